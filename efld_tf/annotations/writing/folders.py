"""Writes faces for annotation tools and training programs, a file an image."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from types import TracebackType

import numpy as np

from efld_tf import files
from efld_tf.annotations.coco import OCCLUDED, UNLABELLED, VISIBLE
from efld_tf.annotations.ibug import Owners, pts_text
from efld_tf.annotations.writing.annotated import AnnotatedFace, AnnotatedImage
from efld_tf.errors import DataError, EfldError
from efld_tf.landmarks import schemas
from efld_tf.landmarks.geometry import tight_box

# The version of labelme whose files are written.
LABELME = "5.4.1"
FACE = "face"


class _FolderWriter:
    """Writes into a folder; what is written is whole at any time."""

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

    The files of `a.jpg` are called `a_K.pts`, or `a.jpg_K.pts` where `a_K` is read as the name of
    another image that lies beside it.
    """

    def __init__(self, path: Path, schema: str, root: Path):
        super().__init__(path, schema, root)
        self._owners: tuple[Path, Owners | None] | None = None

    def write(self, image: AnnotatedImage) -> None:
        """Adds an image.

        Raises:
          EfldError: a point is missing, which the format cannot say, or no name of a file is read
            as that of the image.
        """
        for number, face in enumerate(image.turned(False).faces):
            if not face.present.all():
                raise EfldError(f"{image.name}: a point is not annotated, which .pts cannot say")
            files.write_text(self.path / self._name(image, number), pts_text(face.points))

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
        raise EfldError(f"{image.name}: every name of a .pts file of it is read as that of another "
                        "image, or of none: rename it")

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
    """Writes a YOLO-pose data set: `data.yaml`, `labels/`, and `images/` as a link to the photos.

    Ultralytics looks for the label of `images/a.jpg` in `labels/a.txt`.
    """

    def __init__(self, path: Path, schema: str, root: Path):
        super().__init__(path, schema, root)
        self._written: dict[str, str] = {}

    def write(self, image: AnnotatedImage) -> None:
        """Adds an image, whose size must be known.

        Raises:
          EfldError: another image has the same label file.
        """
        stem = image.name.rpartition(".")[0] or image.name
        if (other := self._written.setdefault(stem, image.name)) != image.name:
            raise EfldError(f"{image.name}: YOLO has one label file for it and {other}: rename one")
        if len(self._written) == 1:
            self._begin()
        image = image.turned(True)
        size = np.array(image.size or (1, 1), float)
        lines = "".join(f"{self._line(face, size)}\n" for face in image.faces)
        files.write_text(self.path / "labels" / f"{stem}.txt", lines)

    def _line(self, face: AnnotatedFace, size: np.ndarray) -> str:
        box = tight_box(face.points[face.present]) if face.box is None else face.box
        x0, y0, x1, y1 = np.asarray(box, float) / np.tile(size, 2)
        words = [f"{v:.8f}" for v in ((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0)]
        visible = np.ones(len(face.points), bool) if face.visible is None else face.visible
        for point, there, seen in zip(face.points, face.present, visible, strict=True):
            x, y = np.nan_to_num(point) / size
            flag = (VISIBLE if seen else OCCLUDED) if there else UNLABELLED
            words += [f"{x:.8f}", f"{y:.8f}", str(flag)]
        return " ".join(["0", *words])

    def _begin(self) -> None:
        schema = self._schema
        flip = "" if schema.flip is None else f"flip_idx: {list(schema.flip)}\n"
        files.write_text(self.path / "data.yaml", (
            "path: .\ntrain: images\nval: images\n"
            f"kpt_shape: [{schema.num_points}, 3]\n{flip}names:\n  0: {FACE}\n"
            f"kpt_names:\n  0: {json.dumps(schema.names)}\n"))
        link = self.path / "images"
        with contextlib.suppress(OSError):  # not on every file system
            if link.is_symlink():
                link.unlink()
            link.symlink_to(os.path.realpath(self._root), target_is_directory=True)
