"""Writes faces for annotation tools and training programs, a file an image."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path, PurePosixPath
from types import TracebackType

import numpy as np

from efld_tf import files
from efld_tf.annotations import listing, pts
from efld_tf.annotations.coco import OCCLUDED, UNLABELLED, VISIBLE
from efld_tf.annotations.ibug import Owners
from efld_tf.annotations.tools.yolo_data import IMAGES
from efld_tf.annotations.writing.annotated import AnnotatedFace, AnnotatedImage, face_number
from efld_tf.errors import DataError, EfldError
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
          EfldError: a point is missing, which the format cannot say.
          DataError: no name of a file is read as that of the image.
        """
        faces = image.turned(False).faces
        if not all(face.present.all() for face in faces):
            raise EfldError(f"{image.name}: a point is not annotated, which .pts cannot say")
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
    """Writes a YOLO-pose data set: `data.yaml`, `labels/`, and `images/` as a link to the photos.

    Ultralytics looks for the label of `images/a.jpg` in `labels/a.txt`, and replaces the last
    folder `images` of a path. Of photos in folders of that name, each of them gets its link:
    `train/images/`, with `train/labels/` beside it. Ultralytics leaves out images with a coordinate
    that is not in them, so that boxes are cut, and points outside are not labelled.
    """

    def __init__(self, path: Path, schema: str, root: Path):
        super().__init__(path, schema, root)
        self._listed: tuple[Path, dict[str, list[Path]]] | None = None
        self._places: dict[str, Path] = {}

    def write(self, image: AnnotatedImage) -> None:
        """Adds an image, whose size must be known.

        Raises:
          EfldError: another image beside it has the same label file, whether with faces or not,
            or none is found for the image.
        """
        place, below = _images_folder(image.name)
        stem = below.rpartition(".")[0] or below
        label = str(PurePosixPath(place).with_name("labels") / f"{stem}.txt")
        photo = self._root / image.name
        for other in self._images_in(photo.parent).get(photo.stem, []):
            if other.name != photo.name:
                raise EfldError(f"{image.name}: YOLO has one label file for it and {other.name}: "
                                "rename one")
        self._link(place, self._root / image.name.removesuffix(below), image.name)
        image = image.turned(True)
        size = np.array(image.size or (1, 1), float)
        lines = "".join(f"{self._line(face, size)}\n" for face in image.faces)
        files.write_text(self.path / label, lines)

    def _images_in(self, folder: Path) -> dict[str, list[Path]]:
        """The images of a folder by their stems; none if it cannot be listed."""
        if self._listed is None or self._listed[0] != folder:
            self._listed = folder, {}
            with contextlib.suppress(DataError):
                self._listed = folder, listing.images_by_stem(folder)
        return self._listed[1]

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

    def _link(self, place: str, folder: Path, image: str) -> None:
        """Makes a folder of the data set be the photos' one."""
        if self._places.get(place) == folder:
            return
        for other in self._places:
            if f"{place}/".startswith(f"{other}/") or f"{other}/".startswith(f"{place}/") \
                    or IMAGES in (place, other):
                raise EfldError(f"{image}: YOLO takes the last folder {IMAGES} of a path for that "
                                "of the images, which is another one for others: rename it")
        self._places[place] = folder
        schema = self._schema
        places = IMAGES if place == IMAGES else json.dumps([*self._places])
        flip = "" if schema.flip is None else f"flip_idx: {list(schema.flip)}\n"
        files.write_text(self.path / "data.yaml", (
            f"path: .\ntrain: {places}\nval: {places}\n"
            f"kpt_shape: [{schema.num_points}, 3]\n{flip}names:\n  0: {FACE}\n"
            f"kpt_names:\n  0: {json.dumps(schema.names)}\n"))
        link = self.path / place
        link.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError):  # not on every file system
            if link.is_symlink():
                link.unlink()
            link.symlink_to(os.path.realpath(folder), target_is_directory=True)


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


def yolo_links_root(path: Path, root: Path) -> bool:
    """Whether a data set's `images` are the root of the photos, whether linked or not."""
    link = path / IMAGES
    if os.path.lexists(link):
        return os.path.realpath(link) == os.path.realpath(root)
    return (path / "labels").is_dir()
