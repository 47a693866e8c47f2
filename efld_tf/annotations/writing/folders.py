"""Writes faces for annotation tools and training programs, a file an image."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path, PurePosixPath
from types import TracebackType

import numpy as np

from efld_tf import files
from efld_tf.annotations import pts
from efld_tf.annotations.coco import OCCLUDED, UNLABELLED, VISIBLE
from efld_tf.annotations.ibug import Owners
from efld_tf.annotations.tools.yolo_data import IMAGES
from efld_tf.annotations.writing.annotated import AnnotatedFace, AnnotatedImage, face_number
from efld_tf.errors import DataError
from efld_tf.landmarks import schemas
from efld_tf.landmarks.geometry import tight_box
from efld_tf.text import counted

# The version of labelme whose files are written.
LABELME = "5.4.1"
FACE = "face"


class _FolderWriter:
    """Writes into a folder; what is written is whole at any time, so that nothing is left to do."""

    def __init__(self, path: Path, schema: str, root: Path):
        """Takes the folder, which is made when something is written.

        Args:
          root: the folder to which the names of images are relative.
        """
        self.path, self._schema, self._root = path, schemas.get(schema), root

    def __enter__(self) -> _FolderWriter:
        return self

    def write(self, image: AnnotatedImage) -> None:
        """Adds an image."""
        raise NotImplementedError

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:  # fmt: skip
        pass


class PtsWriter(_FolderWriter):
    """Writes an iBUG file for each face, in the photo's own rows and columns.

    The files of `a.jpg` are called `a_K.pts`, or `a.jpg_K.pts` where `a_K` may be the name of
    another image, since one beside it is called so, or alike.
    """

    def __init__(self, path: Path, schema: str, root: Path):
        super().__init__(path, schema, root)
        self._owners: tuple[Path, Owners | None] | None = None

    def write(self, image: AnnotatedImage) -> None:
        """Adds an image.

        Raises:
          DataError: a point is missing, which the format cannot say, or no name of a file is read
            as that of the image.
        """
        faces = image.turned(False).faces
        if not all(face.present.all() for face in faces):
            raise DataError(self._root / image.name, "a point of a face is not annotated, which "
                                                     ".pts cannot say")
        names = [self._name(image, face_number(face, index)) for index, face in enumerate(faces)]
        for name, face in zip(names, faces, strict=True):
            files.write_text(self.path / name, pts.text(face.points))

    def _name(self, image: AnnotatedImage, number: int) -> str:
        """The name of a face's file, which the reader takes as one of that image."""
        usual = f"{image.stem}_{number}.pts"
        photo = self._root / image.name
        if image.frame is not None or not photo.is_file():  # of an address: no image to mistake
            return usual
        owners = self._owners_in(photo.parent)
        for name in (usual, f"{image.name}_{number}.pts"):
            with contextlib.suppress(DataError):
                if owners is not None and owners.find(photo.parent / Path(name).name)[0] == photo:
                    return name
        raise DataError(photo, "every name of a .pts file of it is read as that of another image, "
                               "or of none: rename it")

    def _owners_in(self, folder: Path) -> Owners | None:
        """What the reader takes files for in a folder of images; None if it cannot be listed."""
        if self._owners is None or self._owners[0] != folder:
            owners = None
            with contextlib.suppress(DataError):
                owners = Owners(folder)
            self._owners = folder, owners
        return self._owners[1]


class LabelmeWriter(_FolderWriter):
    """Writes labelme's JSON: the points of a face by their names, in a group with its box."""

    def write(self, image: AnnotatedImage) -> None:
        """Adds an image, whose size must be known."""
        image = image.turned(True)
        width, height = image.size or (0, 0)
        shapes = []
        for group, face in enumerate(image.faces):
            if face.box is not None:
                x0, y0, x1, y1 = face.box
                shapes.append(_labelme_shape(FACE, [(x0, y0), (x1, y1)], group, "rectangle"))
            shapes += [_labelme_shape(name, [point], group, "point")
                       for name, point, there in
                       zip(self._schema.names, face.points, face.present, strict=True) if there]
        path = self.path / f"{image.stem}.json"
        place = os.path.relpath(self._root / image.name, path.parent)
        files.write_text(path, json.dumps({
            "version": LABELME, "flags": {}, "shapes": shapes,
            "imagePath": Path(place).as_posix(), "imageData": None,
            "imageHeight": height, "imageWidth": width,
        }, indent=2) + "\n")


def _labelme_shape(
    label: str, points: list[np.ndarray] | list[tuple[float, float]], group: int, kind: str
) -> dict[str, object]:
    return {
        "label": label, "points": [[round(float(x), 3), round(float(y), 3)] for x, y in points],
        "group_id": group, "description": "", "shape_type": kind, "flags": {}, "mask": None,
    }  # fmt: skip


class YoloWriter(_FolderWriter):
    """Writes a YOLO-pose data set: `data.yaml`, `labels/`, and `images/` with a link to each photo.

    Ultralytics takes every image that it finds in `images/`, those without a label as ones without
    a face, so that no other photo may be there. It looks for the label of `images/a.jpg` in
    `labels/a.txt`, and replaces the last folder `images` of a path: a photo of a folder of that
    name keeps it, as `train/images/`, with `train/labels/` beside it. Ultralytics leaves out images
    with a coordinate that is not in them, so that boxes are cut, and points outside are not
    labelled.
    """

    def __init__(self, path: Path, schema: str, root: Path):
        super().__init__(path, schema, root)
        self._owners: dict[str, str] = {}
        self._places: list[str] = []

    def write(self, image: AnnotatedImage) -> None:
        """Adds an image, whose size must be known.

        Raises:
          DataError: another one has the same label file.
        """
        place, below = _images_folder(image.name)
        stem = below.rpartition(".")[0] or below
        label = str(PurePosixPath(place).with_name("labels") / f"{stem}.txt")
        owner = self._owners.setdefault(label, image.name)
        if owner != image.name:
            raise DataError(self._root / image.name, f"YOLO has one label file for it and {owner}: "
                                                     "rename one")
        self._declare(place)
        self._link(self._root / image.name, self.path / place / below)
        image = image.turned(True)
        size = np.array(image.size or (1, 1), float)
        lines = "".join(f"{self._line(face, size)}\n" for face in image.faces)
        files.write_text(self.path / label, lines)

    def _line(self, face: AnnotatedFace, size: np.ndarray) -> str:
        inside = np.isfinite(face.points).all(axis=-1) & ~_outside(face.points, size)
        box = tight_box(face.points[face.present]) if face.box is None else face.box
        x0, y0, x1, y1 = np.clip(np.asarray(box, float) / np.tile(size, 2), 0, 1)
        words = [f"{v:.8f}" for v in ((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0)]
        visible = np.ones(len(face.points), bool) if face.visible is None else face.visible
        for point, there, seen in zip(face.points, inside, visible, strict=True):
            x, y = point / size if there else (0, 0)
            flag = (VISIBLE if seen else OCCLUDED) if there else UNLABELLED
            words += [f"{x:.8f}", f"{y:.8f}", str(flag)]
        return " ".join(["0", *words])

    def _declare(self, place: str) -> None:
        """Names a folder of images in data.yaml, unless it is in one that is named there."""
        if place in self._places:
            return
        self._places.append(place)
        places = [place for place in self._places
                  if not any(place.startswith(f"{other}/") for other in self._places)]
        named = places[0] if places == [IMAGES] else json.dumps(places)
        schema = self._schema
        flip = "" if schema.flip is None else f"flip_idx: {list(schema.flip)}\n"
        files.write_text(self.path / "data.yaml", (
            f"path: .\ntrain: {named}\nval: {named}\n"
            f"kpt_shape: [{schema.num_points}, 3]\n{flip}names:\n  0: {FACE}\n"
            f"kpt_names:\n  0: {json.dumps(schema.names)}\n"))

    def _link(self, photo: Path, link: Path) -> None:
        """Links a photo into the data set, or copies it to a file system without links."""
        if not photo.is_file():  # of an address
            return
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        try:
            link.symlink_to(os.path.realpath(photo))
        except OSError:
            shutil.copyfile(photo, link)


def _images_folder(name: str) -> tuple[str, str]:
    """The folder of the images for a name, and the rest, which is the label's name, too."""
    parts = name.split("/")
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == IMAGES:
            return "/".join(parts[: index + 1]), "/".join(parts[index + 1 :])
    return IMAGES, name


def _outside(points: np.ndarray, size: np.ndarray) -> np.ndarray:
    """[N] bool: which points [N, 2] have a share of the image's size that is not in 0 to 1."""
    with np.errstate(invalid="ignore"):
        outside: np.ndarray = ((points < 0) | (points > size)).any(axis=-1)
    return outside


def points_outside(image: AnnotatedImage) -> int:
    """The number of an image's points that `YoloWriter` does not label."""
    image = image.turned(True)
    size = np.array(image.size or (1, 1), float)
    return sum(int(_outside(face.points, size).sum()) for face in image.faces)


def outside_notes(points: int) -> list[str]:
    """What the user should know of so many points that are `points_outside`."""
    return [f"yolo does not keep points outside of the image, {counted(points, 'point')}: they are "
            "not labelled; boxes are cut"] if points else []
