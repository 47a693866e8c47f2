"""iBUG `.pts` files: 68 points (300-W, HELEN, LFPW, AFW, iBUG) or 51 (IVSFD, the PAIR data set).

Other formats of `.pts` files (300-W by its splits, Menpo, IVSFD) are read by the functions here.

A folder holds `NAME.pts` beside an image of the same stem; `pts.py` says what is in them.
Coordinates count from 1, since they were made with MATLAB: the first pixel's centre is (1, 1).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from efld_tf.annotations import listing, pts
from efld_tf.annotations.declared import choice, image_folders, schema_named
from efld_tf.annotations.format import Format, Note
from efld_tf.annotations.images import VIDEO_SUFFIXES
from efld_tf.annotations.record import FaceRecord
from efld_tf.errors import DataError
from efld_tf.landmarks import schemas as known_schemas
from efld_tf.text import counted

SCHEMAS = {68: "ibug68", 51: "ibug51"}


def read(
    path: Path, *, schema: str | None = None, images: str | None = None, origin: str = "1"
) -> Iterator[FaceRecord | DataError | Note]:
    """The faces of a folder and its sub-folders, sorted by path.

    The identity is the photo: HELEN names the faces of one photo `PHOTO_1`, `PHOTO_2`.

    Args:
      schema: `NAME` or `FILE.yaml`; by default by the number of points, 68 or 51.
      images: the folder of the images, with the same sub-folders; by default they lie beside the
        files.
      origin: what the files call the first pixel's centre, `0` or `1`.

    Raises:
      DataError: `path` is not a folder.
      EfldError: an option has an unknown value.
    """
    named = SCHEMAS
    if schema is not None:
        name = schema_named(schema)
        named = {known_schemas.get(name).num_points: name}
    place = None if images is None else image_folders(images, [])[0]
    return read_folder(path, named, place, int(choice("origin", origin, ("0", "1"))))


def read_folder(
    path: Path, schemas: Mapping[int, str], images: Path | None = None, origin: int = 1
) -> Iterator[FaceRecord | DataError | Note]:
    """The faces of a folder and its sub-folders, sorted by path.

    `NAME.pts` belongs to the image of that stem, and so does `NAME_K.pts` if it has no image of its
    own: it is face K of several, as `efld-predict` writes them. Beside a `NAME.pts`, or images
    called `NAME_J`, it is refused: it may be of an image that is lost. Of two images `NAME.jpg` and
    `NAME.png`, the files are called `NAME_jpg` and `NAME_png` there, or `NAME.jpg.pts` and
    `NAME.jpg_K.pts`. `000007_K` in a folder `clip.mp4` is of frame 7 of the video of that name.

    Args:
      schemas: the numbers of points that a file may have, and the schema of each.
      images: the folder of the images, with the same sub-folders; None if they lie beside.
      origin: what the files call the first pixel's centre.

    Raises:
      DataError: `path` is not a folder.
    """
    if not path.is_dir():
        raise DataError(path, "expected a folder with .pts files and their images")
    columns: Counter[str] = Counter()
    unreadable: list[DataError] = []
    backups: list[Path] = []
    found = listing.files(path, [".pts"], unreadable=unreadable, backups=backups)
    yield from unreadable
    yield from listing.backups_left_out(backups)
    for folder, group in groupby(found, key=lambda file: file.parent):
        files = [*group]
        place = folder if images is None else images / folder.relative_to(path)
        try:
            owners = Owners(place, files)
        except DataError as error:
            yield error
            continue
        for file in files:
            try:
                image, frame = owners.find(file)
                content = pts.read(file, schemas, origin)
            except DataError as error:
                yield error
            else:
                identity = image.name if frame is not None else photo(image.stem)
                columns.update([content.left_out] if content.left_out else [])
                yield FaceRecord(
                    image, content.points, content.schema, identity=identity, frame=frame)
    for column, count in sorted(columns.items()):
        yield Note(f"left out: {column.format(files=counted(count, 'file'))}")


class Owners:
    """Finds the image that a file belongs to, in one folder of images or in a video."""

    def __init__(self, place: Path, files: Sequence[Path] = ()):
        """Lists the folder; errors are as in `listing.files`.

        Args:
          files: all files of the folder: one that an image has of its own is its only one.
        """
        self._place = place
        self._is_video = place.suffix.lower() in VIDEO_SUFFIXES and place.is_file()
        self._images: dict[str, list[Path]] = {}
        if not self._is_video:
            self._images = listing.images_by_stem(place)
        # By names as file systems may change them.
        self._folded: dict[str, list[Path]] = {}
        for stem, images in self._images.items():
            self._folded.setdefault(listing.folded(stem), []).extend(images)
        self._numbered = {match[1] for stem in self._folded
                          if (match := re.fullmatch(r"(.+)_\d+", stem, re.DOTALL))}
        self._own: dict[Path, list[Path]] = {}
        for file in files:
            images = self._called(file.stem)
            if len(images) == 1:
                self._own.setdefault(images[0], []).append(file)

    def find(self, file: Path) -> tuple[Path, int | None]:
        """The image of a file and, in a video, its frame.

        Raises:
          DataError: there is none, or there are several that may be meant.
        """
        stem = re.sub(r"_\d+$", "", file.stem)
        if self._is_video:
            if not re.fullmatch(r"\d{1,9}", stem, re.ASCII):
                raise DataError(file, f"expected the number of a frame of {self._place.name}")
            return self._place, int(stem)
        if found := self._called(file.stem):
            image = self._only(found, file)
            if file.stem not in (image.stem, image.name):
                self._check_alone(image, file)
            return image, None
        if found := self._called(stem):
            image = self._only(found, file)
            self._check_further(image, file, stem)
            return image, None
        kinds = ", ".join(listing.IMAGE_SUFFIXES)
        where = "beside it" if file.parent == self._place else f"in {self._place}"
        raise DataError(file, f"there is no image of that name ({kinds}) {where}")

    def _check_alone(self, image: Path, file: Path) -> None:
        """Checks that no other file differs from one in case or composed letters alone."""
        for other in self._own.get(image, []):
            if other != file and listing.folded(other.stem) == listing.folded(file.stem):
                raise DataError(file, f"{other.name} is called like {image.name}, too: which is "
                                      "that of the image?")

    def _check_further(self, image: Path, file: Path, stem: str) -> None:
        """Checks that a file `NAME_K` may be of face K of an image, not of one that is lost."""
        lost = f"there is no image {file.stem} beside it, and as a face of {image.name} it would "
        if image in self._own:
            raise DataError(file, f"{lost}not stand beside {self._own[image][0].name}: if it is "
                            f"one, call that one {stem}_0.pts")
        if listing.folded(stem) in self._numbered:
            raise DataError(file, f"{lost}not be told from one of a lost image, since others are "
                            f"called {stem}_NUMBER: if it is one, call it {image.name}_K.pts")

    @staticmethod
    def _only(found: Sequence[Path], file: Path) -> Path:
        if len(found) > 1:
            names = " and ".join(image.name for image in found)
            raise DataError(file, f"several images of that name, {names}: call the file "
                            f"{found[0].name}.pts")
        return found[0]

    def _called(self, stem: str) -> list[Path]:
        """The images that a file with that stem may belong to, the same name first."""
        name, _, suffix = stem.rpartition("_")
        return self._images.get(stem, []) or self._named(stem) \
            or self._named(f"{name}.{suffix}") or self._folded.get(listing.folded(stem), [])

    def _named(self, name: str) -> list[Path]:
        """The image of that name, or those whose names differ in case or composed letters."""
        stem = listing.folded(Path(name).stem)
        alike = [image for image in self._folded.get(stem, [])
                 if listing.folded(image.name) == listing.folded(name)]
        return [image for image in alike if image.name == name] or alike


def photo(stem: str) -> str:
    """The photo that a face's file name belongs to.

    A last `_K` counts the faces of a photo only after another digit (`2345_1`, `image_003_1`); in
    LFPW's `image_0018` and 300-W's `indoor_020` it is the photo's own number. `_mirror` marks a
    flipped copy in some distributions of 300-W.
    """
    stem = stem.removesuffix("_mirror")
    match = re.fullmatch(r"(.*\d)_\d+", stem, re.DOTALL)
    return match[1] if match else stem


FORMAT = Format(
    "ibug", "iBUG .pts files: HELEN, LFPW, AFW, iBUG, XM2VTS, FRGC, IVSFD", read,
    ("ibug68", "ibug51"), "FOLDER", "NAME.pts beside NAME.jpg or another image, in any sub-folders",
    "research only, not for commercial use",
)
