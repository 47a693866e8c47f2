"""Files of labelme and X-AnyLabeling: a JSON file for each image.

    {"version": "5.4.1", "flags": {}, "imagePath": "a.jpg", "imageHeight": 480, "imageWidth": 640,
     "imageData": null, "shapes": [{"label": "nose", "points": [[10.5, 20.0]],
                                    "shape_type": "point", "group_id": 1, "flags": {}}, ...]}

The layout is that of labelme 3.0 (whose shapes have no type: they are polygons) to 6.3, and of
X-AnyLabeling 2 to 4.2, whose rectangles have four points and whose shapes have `difficult`, which
its own exports take for an occluded point.

labelme shows photos turned as their EXIF orientation says from 3.7.0 on. Most versions of
X-AnyLabeling show them as they lie in the file; the size that they state tells, and where it does
not, sources ask. An image's copy in its annotation file (`imageData`) is not decoded.
"""

from __future__ import annotations

import filecmp
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from efld_tf.annotations import image_paths, json_values, listing, parsing
from efld_tf.annotations.declared import image_folders
from efld_tf.annotations.format import Format, Note
from efld_tf.annotations.record import FaceRecord
from efld_tf.annotations.tools import drawn
from efld_tf.annotations.tools.drawn import Options
from efld_tf.annotations.tools.shapes import Picture, Shape
from efld_tf.errors import DataError
from efld_tf.text import counted

# A copy of an image of 150 MB in base64, and as many shapes as anybody draws.
MAX_FILE_BYTES = 1 << 28
MAX_SHAPES = 1 << 14

POINT, RECTANGLE, POLYGON = "point", "rectangle", "polygon"
LISTS = ("points", "linestrip", "line", POLYGON)
COUNTS = {POINT: (1,), RECTANGLE: (2, 4)}

FIRST_UPRIGHT = (3, 7)  # the version of labelme
# What X-AnyLabeling writes and labelme does not; their versions overlap.
X_ANYLABELING = ("difficult", "score", "kie_linking", "attributes")


def read(
    path: Path,
    *,
    schema: str | None = None,
    images: str | None = None,
    names: str = "match",
    first: str = "",
    category: str = "",
    origin: str = "0",
) -> Iterator[FaceRecord | DataError | Note]:
    """The faces of a folder and its sub-folders, sorted by file; the identity is the image.

    A face is a shape of all points (polygon, linestrip, points), or single points that are labelled
    with the names of the schema's points. Those of one face have a group (`group_id`), or lie in
    its rectangle. Other shapes, and JSON files without shapes, are left out and counted.

    The image is where `imagePath` says, from the annotation file; if none is there, it is the one
    of that name beside the annotation file, and then the one of the annotation file's own name.

    Args:
      schema: `NAME` or `FILE.yaml`; required.
      images: a folder with the images, in sub-folders like those of the files or in none; by
        default they are where the files say, or beside them.
      names: `match` matches the labels of single points with the schema's names or numbers,
        `ignore` takes them in the schema's order.
      first: the number of the first point, `0` or `1`, if labels are numbers that do not tell.
      category: the labels of faces, with commas between; by default those of shapes with the
        schema's number of points.
      origin: what the files call the first pixel's centre, `0`, `0.5` or `1`.

    Raises:
      DataError: `path` is not a folder, or labels of points are not names of the schema.
      EfldError: an option has an unknown value.
    """
    options = Options.parse(schema, names, first, category, origin)
    folder = image_folders(images, [path])[0]
    if not path.is_dir():
        raise DataError(path, "expected a folder with JSON files")
    pictures: list[Picture | DataError] = []
    others = 0
    unreadable: list[DataError] = []
    backups: list[Path] = []
    files = listing.files(path, [".json"], unreadable=unreadable, backups=backups)
    yield from unreadable
    yield from listing.backups_left_out(backups)
    finder = _Images(path, None if images is None else folder, files)
    for file in files:
        try:
            picture = _picture(file, finder)
        except DataError as error:
            pictures.append(error)
        else:
            pictures += [picture] if picture is not None else []
            others += picture is None
    yield from drawn.faces(pictures, options, [folder], path)
    if others:
        yield Note(f"left out: {counted(others, 'JSON file')} without 'shapes', not labelme's")
    if finder.own:
        file, image = finder.own[0]
        yield Note(f"{counted(len(finder.own), 'annotation file')} named an image that is not "
                   "there: the image of the file's own name was taken, such as "
                   f"{parsing.shorten(image.name)} for {parsing.shorten(file.name)}")


def _picture(file: Path, finder: _Images) -> Picture | None:
    """What was drawn on the image of a file; None if the file is not labelme's.

    Raises:
      DataError: the file is damaged, or its image is not found.
    """
    content = json_values.parse(parsing.read_bytes(file, MAX_FILE_BYTES), file)
    if not isinstance(content, dict) or "shapes" not in content:
        return None
    entries = content["shapes"]
    if not isinstance(entries, list):
        raise DataError(file, "expected a list as 'shapes'")
    if len(entries) > MAX_SHAPES:
        raise DataError(file, f"expected at most {MAX_SHAPES} shapes, got {len(entries)}")
    flags = _flags(content.get("flags"))
    shapes = [_shape(entry, flags, file, f"shape {i}") for i, entry in enumerate(entries)]
    named = content.get("imagePath")
    try:
        if not isinstance(named, str | None):
            raise DataError(file, "expected a text as 'imagePath'")
        name = finder.find(file, named or "")
    except DataError:
        if any(len(shape.points) for shape in shapes):
            raise
        return Picture("", shapes, file)
    return Picture(
        name=name,
        shapes=shapes,
        path=file,
        size=parsing.stated_size(content.get("imageWidth"), content.get("imageHeight"), file),
        upright=_upright(content),
        called=listing.folded(os.path.abspath(
            file.parent / ((named or "").replace("\\", "/") or file.stem))),
    )


def _upright(content: dict[str, Any]) -> bool | None:
    """Whether the program that wrote a file shows photos turned; None if that is not known."""
    stated = content.get("version")
    version = re.match(r"(\d{1,4})\.(\d{1,4})(\.|$)", stated, re.ASCII) \
        if isinstance(stated, str) else None
    if version is None or (int(version[1]), int(version[2])) < FIRST_UPRIGHT:
        return None
    if any(key in shape for shape in content["shapes"] for key in X_ANYLABELING):
        return None
    return True


def _shape(entry: Any, flags: dict[str, str], file: Path, place: str) -> Shape:
    """A shape of a file, with the flags of its image as attributes."""
    if not isinstance(entry, dict):
        raise DataError(file, f"{place}: expected an object")
    label, kind = entry.get("label"), entry.get("shape_type") or POLYGON
    if not isinstance(label, str) or not isinstance(kind, str):
        raise DataError(file, f"{place}: expected texts as 'label' and 'shape_type'")
    group = entry.get("group_id")
    if group is not None and type(group) not in (int, str):
        raise DataError(file, f"{place}: expected a whole number or null as 'group_id'")
    if kind not in (POINT, RECTANGLE, *LISTS):
        return Shape(np.empty((0, 2)), label)
    points = json_values.pairs(entry.get("points"), file, f"{place}: points")
    expected = COUNTS.get(kind)
    if not len(points) or (expected and len(points) not in expected):
        numbers = " or ".join(map(str, expected or ["any"]))
        raise DataError(file, f"{place}: expected {numbers} points of a {kind}, got {len(points)}")
    if kind == RECTANGLE:
        points = np.stack([points.min(axis=0), points.max(axis=0)])
    single = len(points) == 1
    return Shape(
        points=points,
        label=label,
        is_box=kind == RECTANGLE,
        group=None if group is None else str(group),
        visible=np.array([entry.get("difficult") is not True]) if single else None,
        attributes=flags if single else flags | _attributes(entry, file),
    )


def _attributes(entry: dict[str, Any], file: Path) -> dict[str, str]:
    """What a shape says beside its points."""
    texts = {key: entry.get(key) for key in ("score", "description") if entry.get(key) != ""}
    return _flags(entry.get("flags")) | _flags({"difficult": entry.get("difficult")}) \
        | json_values.attributes(entry.get("attributes"), file) \
        | json_values.attributes(texts, file)


def _flags(value: Any) -> dict[str, str]:
    """What is ticked, as 1, and what is not, as 0."""
    flags = value.items() if isinstance(value, dict) else ()
    return {key: str(int(flag)) for key, flag in flags if isinstance(flag, bool)}


class _Images:
    """Finds the images of annotation files.

    Attributes:
      own: the annotation files whose image was found by their own name alone, and that image.
    """

    def __init__(self, root: Path, folder: Path | None, files: Sequence[Path]):
        """Takes the folder of the annotation files, that of the images if it is another, and the
        annotation files."""
        self._root, self._folder = root, folder
        self._base = root if folder is None else folder
        self._stems: dict[Path, dict[str, list[Path]]] = {}
        self._left_out = set() if folder is None else _starts_left_out(root, folder, files)
        self.own: list[tuple[Path, Path]] = []

    def find(self, file: Path, named: str) -> str:
        """The image of an annotation file that names it so, relative to the folder of images.

        Raises:
          DataError: there is none, or it cannot be told which one it is.
        """
        here = PurePosixPath(file.parent.relative_to(self._root).as_posix())
        names = self._names(file, here, named)
        found = next((name for name in names if _is_file(self._base / name)), None)
        if self._folder is None:
            self._check_inside(file, named, found)
        folders = [str(PurePosixPath(name).parent) for name in ([found] if found else names)]
        beside = [str(here)]
        if self._folder is not None:
            beside = [str(PurePosixPath(*parts)) for parts in self._ends(here)]
        own = next(filter(None, (self._of_stem(self._base / folder, file.stem)
                                 for folder in [*folders, *beside])), [])
        if found is not None:
            if own and PurePosixPath(found).stem != file.stem:
                raise DataError(
                    file, f"it names the image {parsing.shorten(named)}, but there is "
                    f"{parsing.shorten(own[0].name)} of the file's own name, too: correct "
                    "'imagePath', or rename one of them")
            return found
        if len(own) > 1:
            several = " and ".join(parsing.shorten(image.name) for image in own[:3])
            raise DataError(file, f"the image {parsing.shorten(named)} does not exist, and several "
                                  f"are of the file's own name: {several}")
        if own:
            if not named.casefold().endswith(own[0].name.casefold()):
                self.own.append((file, own[0]))
            return os.path.relpath(own[0], self._base)
        return self._nearly(file, names, named)

    def _names(self, file: Path, here: PurePosixPath, named: str) -> list[str]:
        """Where the image may be that a file in the folder `here` names, the likeliest first."""
        posix = PurePosixPath(named.replace("\\", "/"))
        candidates = [here / posix, here / posix.name]
        if self._folder is not None:
            there = PurePosixPath(os.path.abspath(file.parent / posix))
            inner = [PurePosixPath(*parts) / posix.name for parts in self._ends(here)]
            stated = [posix] if len(posix.parts) > 1 else []
            candidates = [there, candidates[0], *stated, *inner]
        names = []
        for candidate in candidates if posix.name and "\0" not in named else []:
            try:
                name = image_paths.relative_name(str(candidate), file, None, [self._base])
            except DataError:  # it leads out of the folder
                continue
            if self._folder is None or not name.startswith("../"):
                names.append(name)
        return names

    def _ends(self, here: PurePosixPath) -> list[tuple[str, ...]]:
        """The folders in that of images that may stand for one of annotation files.

        Those are all ends of its path, or if the images have such folders, those like them: a file
        whose image is lost is not to be given one of another folder.
        """
        parts = here.parts
        return [parts[start:] for start in range(len(parts) + 1)
                if not self._left_out or parts[:start] in self._left_out]

    def _check_inside(self, file: Path, named: str, found: str | None) -> None:
        """Refuses an image beside a file that names another one outside of the source."""
        place = PurePosixPath(named.replace("\\", "/"))
        outside = file.parent / place
        if found is None or not place.name or not _is_file(outside):
            return
        inside = self._base / found
        if os.path.samefile(outside, inside):
            return
        try:
            image_paths.relative_name(str(place), file, None, [file.parent])
        except DataError:
            if not filecmp.cmp(outside, inside, shallow=False):
                raise DataError(
                    file, f"it names the image {parsing.shorten(named)}, outside of the source, "
                    f"and {parsing.shorten(inside.name)} beside it is another one: give the "
                    "folder above both as the source, or say images=FOLDER") from None

    def _of_stem(self, place: Path, stem: str) -> list[Path]:
        """The images in a folder whose name has that stem."""
        if place not in self._stems:
            self._stems[place] = listing.images_by_stem(place) if place.is_dir() else {}
        return self._stems[place].get(stem, [])

    def _nearly(self, file: Path, names: list[str], named: str) -> str:
        """The image whose name differs in upper case alone.

        Raises:
          DataError: there is none, and so there is no image at all.
        """
        reasons = []
        for name in names:
            try:
                image = image_paths.find_image([self._base], name, file)
            except DataError as error:
                reasons.append(error.reason)
            else:
                return os.path.relpath(image, self._base)
        reason = reasons[0] if reasons else f"no image is named by {parsing.shorten(named)}"
        raise DataError(file, f"{reason}, and none has the annotation file's own name: say "
                              "images=FOLDER if images lie elsewhere ('imageData' is not read)")


def _starts_left_out(
    root: Path, folder: Path, files: Sequence[Path]
) -> set[tuple[str, ...]]:
    """The starts of paths without which the folders of annotation files are those of images."""
    starts = set()
    for place in {file.parent for file in files}:
        parts = place.relative_to(root).parts
        start = next((i for i in range(len(parts)) if folder.joinpath(*parts[i:]).is_dir()), None)
        if start is not None:
            starts.add(parts[:start])
    return starts


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # the name is too long for the file system
        return False


FORMAT = Format(
    "labelme", "labelme and X-AnyLabeling", read, (), "FOLDER",
    "NAME.json beside NAME.jpg or another image, in any sub-folders; needs schema=", "yours",
)
