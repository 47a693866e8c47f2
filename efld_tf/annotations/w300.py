"""300-W by its official splits: 68 points in the `.pts` files of AFW, HELEN, LFPW, iBUG and 300W.

The folders are found whatever their case: `afw`, `helen/trainset`, `helen/testset`,
`lfpw/trainset`, `lfpw/testset`, `ibug`, and the 300-W test set's `300W/01_Indoor` and
`300W/02_Outdoor`, whose parent may also be called `300w_cropped` or left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from efld_tf.annotations import ibug
from efld_tf.annotations.format import Format, Note
from efld_tf.annotations.record import FaceRecord
from efld_tf.errors import DataError, EfldError

SCHEMAS = {68: "ibug68"}

# The folders of each split.
SPLITS = {
    "train": ("afw", "helen/trainset", "lfpw/trainset"),
    "common": ("helen/testset", "lfpw/testset"),
    "challenging": ("ibug",),
    "full": ("helen/testset", "lfpw/testset", "ibug"),
    "test": ("300w/01_indoor", "300w/02_outdoor"),
}

# The number of faces in each split as distributed.
OFFICIAL_FACES = {"train": 3148, "common": 554, "challenging": 135, "full": 689, "test": 600}

# Other spellings of a folder, in lower case.
SPELLINGS = {
    "trainset": ("trainset", "train"),
    "testset": ("testset", "test"),
    "300w": ("300w", "300-w", "300w_cropped", ""),
    "01_indoor": ("01_indoor", "indoor"),
    "02_outdoor": ("02_outdoor", "outdoor"),
}


def read(path: Path, *, split: str = "train") -> Iterator[FaceRecord | DataError | Note]:
    """The faces of a split, its folders one after the other and each sorted by path.

    Args:
      split: `train` (AFW and the training sets of HELEN and LFPW), `common` (their test sets),
        `challenging` (iBUG), `full` (both) or `test` (300-W's own test set).

    Raises:
      DataError: a folder of the split is missing.
      EfldError: there is no such split.
    """
    if split not in SPLITS:
        raise EfldError(f"split: expected one of {', '.join(SPLITS)}, got {split!r}")
    matches = {name: _find(path, name.split("/")) for name in SPLITS[split]}
    folders = {name: folder for name, folder in matches.items() if folder is not None}
    if missing := [name for name in matches if name not in folders]:
        raise DataError(path, f"the split {split} needs the folders {', '.join(missing)} in it")
    for folder in folders.values():
        yield from ibug.read_folder(folder, SCHEMAS)


def _find(folder: Path, names: Sequence[str]) -> Path | None:
    """The folder below `folder` with these names in one of their spellings, or None."""
    if not names:
        return folder
    if not folder.is_dir():
        return None
    inside = sorted(child for child in folder.iterdir() if child.is_dir())
    for spelling in SPELLINGS.get(names[0], (names[0],)):
        for child in inside if spelling else [folder]:
            matches = not spelling or child.name.lower() == spelling
            if matches and (match := _find(child, names[1:])):
                return match
    return None


FORMAT = Format(
    "300w", "300-W by its official splits", read, ("ibug68",), "FOLDER",
    "afw, helen/{trainset,testset}, lfpw/{trainset,testset}, ibug, 300W/{01_Indoor,02_Outdoor}: "
    "those that the split needs",
    "research only, not for commercial use", faces=OFFICIAL_FACES,
)
