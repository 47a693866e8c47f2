"""300-VW: videos of one face each, with 68 points in every frame.

`NNN/vid.avi` goes with `NNN/annot/000001.pts`, one iBUG file a frame, counted from 1. The official
split has 50 videos for training and 31, 19 and 14 for testing: category 1 is in good conditions, 2
in changing light, and 3 in arbitrary conditions. Coordinates count from 1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from efld_tf.annotations import ibug, listing, pts
from efld_tf.annotations.format import Format
from efld_tf.annotations.record import FaceRecord
from efld_tf.errors import DataError, EfldError

SCHEMA = "ibug68"
SPLITS = {
    "train": (
        1, 2, 3, 4, 7, 9, 10, 11, 13, 15, 16, 17, 18, 19, 20, 22, 25, 27, 28, 29, 31, 33, 34, 35,
        37, 39, 41, 43, 44, 46, 47, 48, 49, 53, 57, 59, 112, 113, 115, 119, 120, 123, 138, 143,
        144, 160, 204, 205, 223, 225,
    ),
    "category1": (
        114, 124, 125, 126, 150, 158, 401, 402, 505, 506, 507, 508, 509, 510, 511, 514, 515, 518,
        519, 520, 521, 522, 524, 525, 537, 538, 540, 541, 546, 547, 548,
    ),
    "category2": (
        203, 208, 211, 212, 213, 214, 218, 224, 403, 404, 405, 406, 407, 408, 409, 412, 550, 551,
        553,
    ),
    "category3": (410, 411, 516, 517, 526, 528, 529, 530, 531, 533, 557, 558, 559, 562),
}  # fmt: skip


def read(
    path: Path, *, split: str = "all", every: str = "1"
) -> Iterator[FaceRecord | DataError]:
    """The faces of the data set's folder, by video and frame; the identity is the video.

    The attribute `split` is the one that a video belongs to.

    Args:
      split: `train`, `category1`, `category2` or `category3`, where each video must be there, or
        `all` that are there.
      every: reads every so many frames, from the first one on, and no others, be they for training
        or for tests. `every` of a recipe's source leaves frames out of training alone.

    Raises:
      DataError: `path` is not a folder.
      EfldError: an option has another value.
    """
    if split not in ("all", *SPLITS):
        raise EfldError(f"split: expected one of all, {', '.join(SPLITS)}, got {split!r}")
    if not re.fullmatch(r"[1-9]\d{0,5}", every, re.ASCII):
        raise EfldError(f"every: expected a number of frames from 1 on, got {every!r}")
    if not path.is_dir():
        raise DataError(path, "expected a folder with folders NNN of videos")
    videos = {number: name for name, numbers in SPLITS.items() for number in numbers}
    for number in sorted(videos) if split == "all" else SPLITS[split]:
        folder = path / f"{number:03d}"
        if split == "all" and not folder.is_dir():
            continue
        video = folder / "vid.avi"
        if not video.is_file():
            yield DataError(folder, f"expected vid.avi in it, a video of {videos[number]}")
            continue
        yield from _frames(folder / "annot", video, videos[number], int(every))


def _frames(
    folder: Path, video: Path, split: str, every: int
) -> Iterator[FaceRecord | DataError]:
    files = listing.files(folder, [".pts"], deep=False)
    for file in sorted(files, key=lambda file: (len(file.name), file)):
        try:
            if not re.fullmatch(r"\d{1,9}", file.stem, re.ASCII) or int(file.stem) == 0:
                raise DataError(file, "expected the number of a frame, from 1 on, as its name")
            frame = int(file.stem) - 1
            if frame % every:
                continue
            content = pts.read(file, ibug.SCHEMAS)
            if content.schema != SCHEMA:
                raise DataError(file, f"expected 68 points, got {len(content.points)}")
        except DataError as error:
            yield error
        else:
            yield FaceRecord(
                video, content.points, content.schema,
                attributes={"split": split}, identity=video.parent.name, frame=frame,
            )  # fmt: skip


FORMAT = Format(
    "300vw", "300-VW", read, ("ibug68",), "FOLDER",
    "NNN/vid.avi and NNN/annot/000001.pts, one file a frame",
    "research only, not for commercial use",
)
