"""dlib's XML files, as its `imglab` writes them: boxes with named parts.

    <dataset><images>
      <image file='helen/trainset/1.jpg'>
        <box top='224' left='78' width='138' height='139'>
          <part name='00' x='55' y='254'/>
          ...

Coordinates count from 0, as in dlib. Its 68-point files are iBUG's, which count from 1, after
rounding; whether 1 was subtracted is not documented. dlib's own five points (eye corners and nose
base) do not tell where the mouth is and have no schema here.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from efld_tf.annotations import image_paths, parsing, point_names, xml_events
from efld_tf.annotations.declared import choice, image_folders, schema_named
from efld_tf.annotations.format import Format, Note
from efld_tf.annotations.record import FaceRecord, checked_points
from efld_tf.errors import DataError, EfldError
from efld_tf.landmarks import schemas

SCHEMAS = {68: "ibug68", 194: "helen194"}

# The most of dlib's own files is 194.
MAX_PARTS = 1 << 12

PLACE = ("left", "top", "width", "height")


def read(
    path: Path, *, schema: str | None = None, images: str | None = None, first: str = ""
) -> Iterator[FaceRecord | DataError | Note]:
    """The boxes of a file, in its order, except those with `ignore='1'`; the identity is the image.

    Parts are matched with points by the schema's names, or by their number. Points without a part
    are not annotated. Boxes without parts are left out and counted. The file is read piece by
    piece, twice: all names together tell where numbers start.

    Args:
      schema: `NAME` or `FILE.yaml`; by default the one with as many points as the first box that
        has 68 or 194 parts.
      images: the folder that image paths are relative to; by default the file's.
      first: the number of the first part, `0` or `1`; by default the numbers tell.

    Raises:
      DataError: `path` is not a readable file.
      EfldError: `images` is not a folder, or there is no such schema.
    """
    name = None if schema is None else schema_named(schema)
    folders = image_folders(images, [path.parent])
    start = int(choice("first", first, ("0", "1"))) if first else None
    names: set[str] = set()
    if start is None:
        for box in _boxes(path):
            if isinstance(box, _Box):
                names.update(part[0] for part in box.parts)
            if len(names) > MAX_PARTS:
                raise DataError(path, f"expected at most {MAX_PARTS} different parts")
    without = 0
    for box in _boxes(path):
        if isinstance(box, DataError):
            yield box
            continue
        if not box.parts:
            without += 1
            continue
        if name is None:
            name = SCHEMAS.get(len(box.parts))
        try:
            if name is None:
                counts = " or ".join(str(count) for count in SCHEMAS)
                raise DataError(path, f"expected {counts} parts, got {len(box.parts)}; name the "
                                "points with schema=", box.line)
            if start is None:
                start = point_names.first_number([*names], name)
            yield _record(box, name, start, folders, path)
        except DataError as error:
            yield error
    if without:
        yield Note(f"left out: {without} box{'' if without == 1 else 'es'} without parts")


@dataclass
class _Box:
    """A `box` element: its image's path, its attributes, and (name, x, y, line) of its parts."""

    image: str
    attributes: dict[str, str]
    line: int
    parts: list[tuple[str, str, str, int]] = field(default_factory=list)


def _record(
    box: _Box, schema: str, first: int | None, folders: list[Path], path: Path
) -> FaceRecord:
    points = np.full((schemas.get(schema).num_points, 2), np.nan)
    seen: set[str] = set()
    for name, _, _, line in box.parts:
        if name in seen:
            raise DataError(path, f"the part {parsing.shorten(name)} stands twice", line)
        seen.add(name)
    try:
        indices = _matched(tuple(part[0] for part in box.parts), schema, first)
    except EfldError as error:
        raise DataError(path, str(error), _line_of_error(box, schema, first)) from error
    for index, (_, x, y, line) in zip(indices, box.parts, strict=True):
        points[index] = parsing.coordinates([x, y], path, line)
    missing = [name for name in PLACE if name not in box.attributes]
    if missing:
        raise DataError(path, f"the box has no {missing[0]}", box.line)
    left, top, width, height = parsing.coordinates(
        [box.attributes[name] for name in PLACE], path, box.line
    )
    # A dlib rectangle's last pixel is left + width - 1.
    corners = parsing.box_of([left, top, left + width - 1, top + height - 1], path, box.line)
    image = image_paths.relative_name(box.image, path, box.line, folders)
    others = {k: v for k, v in box.attributes.items() if k not in (*PLACE, "ignore")}
    return FaceRecord(
        image=_image(folders, image, path, box.line),
        points=checked_points(points, schema, path, box.line, missing=True),
        schema=schema,
        box=corners,
        attributes=others,
        identity=image,
    )


@functools.lru_cache(maxsize=256)
def _matched(names: tuple[str, ...], schema: str, first: int | None) -> tuple[int, ...]:
    indices = point_names.match(names, schema, first)
    return tuple(indices[name] for name in names)


def _line_of_error(box: _Box, schema: str, first: int | None) -> int:
    """The line of the first part whose name alone is wrong, or that of the box."""
    for name, _, _, line in box.parts:
        try:
            point_names.match([name], schema, first or 0)
        except EfldError:
            return line
    return box.line


def _image(folders: list[Path], name: str, path: Path, line: int) -> Path:
    """The image of that name; imglab writes its bytes as they are under a header of Latin-1."""
    try:
        return image_paths.find_image(folders, name, path, line)
    except DataError:
        try:
            as_written = name.encode("latin-1").decode("utf-8")
        except UnicodeError:
            as_written = name
        if as_written == name:
            raise
        return image_paths.find_image(folders, as_written, path, line)


def _boxes(path: Path) -> Iterator[_Box | DataError]:
    """Yields the boxes of a file; an error in the XML is the last item, since nothing follows it.

    Raises:
      DataError: the file cannot be read or is too large.
    """
    image: str | None = None
    box: _Box | None = None
    for event in xml_events.read(path, "dataset", "dlib"):
        if isinstance(event, DataError):
            yield event
            return
        tag, attributes, _, line = event
        if attributes is None:
            if tag == "box" and box is not None:
                if box.attributes.get("ignore", "0") in ("", "0"):
                    yield box
                box = None
            elif tag == "image":
                image = None
        elif tag == "image":
            image = attributes.get("file", "")
        elif tag == "box" and image is not None:
            box = _Box(image, attributes, line)
        elif tag == "part" and box is not None:
            if len(box.parts) == MAX_PARTS:
                yield DataError(path, f"expected at most {MAX_PARTS} parts in a box", line)
                return
            name, x, y = (attributes.get(name, "") for name in ("name", "x", "y"))
            box.parts.append((name, x, y, line))


FORMAT = Format(
    "dlib", "dlib's imglab XML (ibug_300W_large_face_landmark_dataset)", read,
    tuple(SCHEMAS.values()), "FILE.xml",
    "dataset/images/image[file]/box/part[name,x,y]; images relative to the file",
    "its 300-W file: research only; else check the publisher's terms",
)
