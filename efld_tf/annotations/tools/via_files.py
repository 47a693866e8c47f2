"""The layouts of VGG Image Annotator's files: what was drawn on which image.

Version 2 saves a project and exports annotations as JSON or as a table; version 1 (1.0 and 1.1)
exports the same, with regions by number in JSON. What is chosen from options (dropdown, radio)
stands there by its id; a project alone says what ids mean (`_via_attributes`). Ids of what is
ticked (checkbox) are keys of an object. Version 3 saves a project of another layout:

    {"a.jpg14320": {"filename": "a.jpg", "size": 14320, "file_attributes": {}, "regions": [
        {"shape_attributes": {"name": "point", "cx": 10, "cy": 20},
         "region_attributes": {"part": "nose"}}, ...]}}

    filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_...
    a.jpg,14320,"{}",1,0,"{""name"":""point"",""cx"":10,""cy"":20}","{""part"":""nose""}"

    {"file": {"1": {"fname": "a.jpg", "type": 2, ...}}, "view": {"1": {"fid_list": ["1"]}},
     "attribute": {"1": {"aname": "part", "options": {}}},
     "metadata": {"1_aB3": {"vid": "1", "z": [], "xy": [1, 10, 20], "av": {"1": "nose"}}}}
"""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from efld_tf.annotations import json_values, parsing
from efld_tf.errors import DataError

HEADER = (
    "filename", "file_size", "file_attributes", "region_count", "region_id",
    "region_shape_attributes", "region_attributes",
)  # fmt: skip
# Spreadsheets of some languages save tables with semicolons.
DELIMITERS = (",", ";", "\t")
PROJECT_3 = ("project", "file", "view", "metadata")

# All of an image's regions; a table's line is much shorter than this many.
MAX_REGIONS = 1 << 14

POINT, RECTANGLE, POLYLINE, POLYGON = "point", "rect", "polyline", "polygon"
# Version 3's numbers of shapes; those left out here are circles, ellipses and lines.
SHAPES_3 = {1: POINT, 2: RECTANGLE, 6: POLYLINE, 7: POLYGON}
IMAGE_3 = 2


@dataclass(eq=False)
class Region:
    """Something that was drawn.

    Attributes:
      points: [K, 2] float64 pixels: a point, two corners of a box, or a list of points; K is 0 for
        other shapes.
      texts: its attributes; several options that are ticked have commas between them.
      is_box: whether it is a box.
      line: its line in a table.
      ticked: the attributes whose options are ticked.
    """

    points: np.ndarray
    texts: Mapping[str, str]
    is_box: bool = False
    line: int | None = None
    ticked: Collection[str] = ()

    @property
    def is_single(self) -> bool:
        return len(self.points) == 1


@dataclass
class Entry:
    """An image and its regions, in the order of drawing.

    Attributes:
      name: its file name, path or address.
      bytes: the size of its file when it was annotated; None if that is not stated.
      texts: its attributes.
      stated: the number of regions that a table states; 0 elsewhere.
      line: its first line in a table.
    """

    name: str
    bytes: int | None = None
    texts: Mapping[str, str] = field(default_factory=dict)
    regions: list[Region] = field(default_factory=list)
    stated: int = 0
    line: int | None = None


@dataclass(frozen=True)
class Content:
    """What a file has.

    Attributes:
      images: the images in its order, or the errors that say why one has none.
      dated: whether it states the version of its layout, which VIA does since 2020.
      choices: the meanings of what may be chosen as an attribute of a region, by their ids, where
        regions have these ids.
      is_project: whether it would state such meanings.
      is_sorted: whether its keys were sorted since, and with them the regions, which stand by
        keys without an order in version 3.
    """

    images: list[Entry | DataError]
    dated: bool = False
    choices: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    is_project: bool = False
    is_sorted: bool = False


def read(path: Path) -> Content:
    """What a file has.

    Raises:
      DataError: the file is not VIA's, or damaged as a whole.
    """
    if path.suffix.lower() == ".csv":
        return Content(list(_table(path)))
    content = json_values.load(path)
    if isinstance(content, dict) and all(isinstance(content.get(k), dict) for k in PROJECT_3):
        dated = "data_format_version" in content["project"]
        ordered = all(keys == sorted(keys) for keys in (list(content), list(content["project"])))
        return Content(list(_project_3(content, path)), dated, is_project=True, is_sorted=ordered)
    dated = isinstance(content, dict) and "_via_data_format_version" in content
    choices = _choices(content.get("_via_attributes")) if isinstance(content, dict) else {}
    is_project = isinstance(content, dict) and "_via_img_metadata" in content
    if is_project:
        content = content["_via_img_metadata"]
    if not isinstance(content, dict) or not any(
        isinstance(image, dict) and "regions" in image for image in content.values()
    ):
        raise DataError(path, "expected a project of VIA, or the annotations that it exports: "
                              "'filename' and 'regions' of each image")
    return Content(list(_export(content, path)), dated, choices, is_project)


def _choices(attributes: Any) -> dict[str, dict[str, str]]:
    """The options of the regions' attributes in a project of version 2, see `Content.choices`."""
    regions = attributes.get("region") if isinstance(attributes, dict) else None
    found = {}
    for name, attribute in regions.items() if isinstance(regions, dict) else ():
        options = attribute.get("options") if isinstance(attribute, dict) else None
        if isinstance(options, dict):
            found[name] = {id: text for id, text in options.items()
                           if isinstance(text, str) and text.strip()}
    return found


def _export(content: dict[str, Any], path: Path) -> Iterator[Entry | DataError]:
    """The images of version 1 or 2."""
    for key, image in content.items():
        try:
            yield _entry(image, path)
        except DataError as error:
            yield DataError(path, f"image {parsing.shorten(key)}: {error.reason}")


def _entry(image: Any, path: Path) -> Entry:
    """An image and its regions."""
    if not isinstance(image, dict) or not isinstance(image.get("filename"), str):
        raise DataError(path, "expected a text as 'filename'")
    regions = image.get("regions")
    if isinstance(regions, dict):  # version 1; keys may have been sorted as texts since
        keys = list(regions)
        if all(key.isdecimal() and len(key) < 10 for key in keys):
            keys.sort(key=int)
        regions = [regions[key] for key in keys]
    if not isinstance(regions, list) or len(regions) > MAX_REGIONS:
        raise DataError(path, f"regions: expected a list of at most {MAX_REGIONS}")
    entry = Entry(image["filename"], _count(image.get("size")),
                  _texts(image.get("file_attributes"), path))
    for number, region in enumerate(regions):
        if not isinstance(region, dict):
            raise DataError(path, f"region {number}: expected an object")
        attributes = region.get("region_attributes")
        drawn = _region(region.get("shape_attributes"), attributes, path, f"region {number}")
        entry.regions += drawn
    return entry


def _texts(value: Any, path: Path, line: int | None = None) -> dict[str, str]:
    """Attributes that are texts, numbers or ticked, without those that are not filled in."""
    attributes = json_values.attributes(value, path, line) | _ticked(value)
    return {key: text for key, text in attributes.items() if text.strip()}


def _ticked(value: Any) -> dict[str, str]:
    """The attributes with options that are ticked, and these with commas between them."""
    found = {}
    for key, options in value.items() if isinstance(value, dict) else ():
        if isinstance(options, dict) and all(isinstance(on, bool) for on in options.values()):
            found[key] = ", ".join(option for option, on in options.items() if on)
    return {key: text for key, text in found.items() if text}


def _count(value: Any) -> int | None:
    """A number from 0 on, such as a file's size; None for addresses, whose size is -1."""
    if isinstance(value, str) and value.isdecimal() and len(value) < 19:
        value = int(value)
    return value if type(value) is int and value >= 0 else None


def _region(
    shape: Any, attributes: Any, path: Path, place: str, line: int | None = None
) -> list[Region]:
    """A region of version 1 or 2; empty for an image without any, as tables have it."""
    texts = _texts(attributes, path, line)
    if shape == {}:
        return []
    if not isinstance(shape, dict) or not isinstance(shape.get("name"), str):
        raise DataError(path, f"{place}: expected a shape with a 'name'", line)
    kind = shape["name"]
    if kind in (POLYLINE, POLYGON):
        x, y = (json_values.numbers(shape.get(key), path, f"{place}: {key}", line)
                for key in ("all_points_x", "all_points_y"))
        if len(x) != len(y):
            raise DataError(path, f"{place}: {len(x)} x and {len(y)} y of a {kind}", line)
        values = np.stack([x, y], axis=-1).ravel()
    else:
        keys = {POINT: ("cx", "cy"), RECTANGLE: ("x", "y", "width", "height")}.get(kind, ())
        found = [shape.get(key) for key in keys]
        values = json_values.numbers(found, path, f"{place}: {', '.join(keys)}", line)
    region = _drawn(kind, values, texts, path, place, line)
    region.ticked = frozenset(_ticked(attributes))
    return [region]


def _drawn(
    kind: str | None, values: np.ndarray, texts: Mapping[str, str], path: Path, place: str,
    line: int | None = None,
) -> Region:
    """A region of that kind with its coordinates: x, y, ... of points, x, y, width, height."""
    if kind == RECTANGLE and len(values) == 4:
        corners = np.stack([values[:2], values[:2] + values[2:]])
        if np.abs(corners).max() > parsing.MAX_COORDINATE:
            raise DataError(path, f"{place}: a coordinate is too large for pixels", line)
        return Region(corners, texts, is_box=True, line=line)
    if kind in (POINT, POLYLINE, POLYGON):
        if not len(values) or len(values) % 2 or (kind == POINT and len(values) != 2):
            raise DataError(path, f"{place}: expected x and y of each point of a {kind}", line)
        points = values.reshape(-1, 2)
        # Version 1 repeats a polygon's first point at its end.
        if kind == POLYGON and len(points) > 1 and (points[0] == points[-1]).all():
            points = points[:-1]
        return Region(points, texts, line=line)
    if kind == RECTANGLE:
        raise DataError(path, f"{place}: expected x, y, width and height of a {kind}", line)
    return Region(np.empty((0, 2)), texts, line=line)


def _table(path: Path) -> Iterator[Entry | DataError]:
    """The images of a table; an error in a line is that of its image."""
    lines = ((n, text) for n, _, text in parsing.lines_with_offsets(path) if text.strip())
    number, text = next(lines, (1, ""))
    delimiter = next((sign for sign in DELIMITERS if _is_header(text, sign, path, number)), None)
    if delimiter is None:
        raise DataError(path, f"expected VIA's header {','.join(HEADER)} (tables of version 3 are "
                              "not read: save its project)", number)
    entries: dict[tuple[str, str], Entry] = {}
    errors: dict[tuple[str, str], DataError] = {}
    numbers: dict[tuple[str, str], list[int]] = {}
    for number, text in lines:
        key = _key(text.strip().split(delimiter))  # if the line cannot be read
        try:
            if _is_header(text, delimiter, path, number):
                raise DataError(path, "a second header: give each table as a source of its own",
                                number)
            cells = _cells(text, delimiter, path, number)
            if len(cells) != len(HEADER):
                raise DataError(path, f"expected {len(HEADER)} cells, got {len(cells)}", number)
            row = dict(zip(HEADER, cells, strict=True))
            key = _key(cells)
            if key not in entries:
                entries[key] = _image_of(row, path, number)
            entry = entries[key]
            regions = _region_of(row, path, number)
            if len(entry.regions) + len(regions) > MAX_REGIONS:
                raise DataError(path, f"more than {MAX_REGIONS} regions of an image", number)
        except DataError as error:
            errors.setdefault(key, error)
            continue
        entry.regions += regions
        numbers.setdefault(key, []).extend(int(row["region_id"]) for _ in regions)
    for key, entry in entries.items():
        if key not in errors and key in numbers:
            order = np.argsort(numbers[key], kind="stable")
            entry.regions = [entry.regions[i] for i in order]
    yield from (entry for key, entry in entries.items() if key not in errors)
    yield from errors.values()


def _is_header(text: str, delimiter: str, path: Path, line: int) -> bool:
    try:
        cells = _cells(text.lstrip("#"), delimiter, path, line)
    except DataError:
        return False
    return tuple(cell.strip() for cell in cells) == HEADER


def _cells(text: str, delimiter: str, path: Path, line: int) -> list[str]:
    try:
        return next(csv.reader([text.strip("\r\n")], delimiter=delimiter, strict=True), [])
    except csv.Error as error:
        raise DataError(path, f"not a line of a table: {error}", line) from error


def _key(cells: Sequence[str]) -> tuple[str, str]:
    """An image's name and size, which tell it from others."""
    return cells[0], cells[1] if len(cells) > 1 else ""


def _image_of(row: Mapping[str, str], path: Path, line: int) -> Entry:
    texts = _texts(json_values.parse(row["file_attributes"], path, line), path, line)
    stated = _count(row["region_count"]) or 0
    return Entry(row["filename"], _count(row["file_size"]), texts, stated=stated, line=line)


def _region_of(row: Mapping[str, str], path: Path, line: int) -> list[Region]:
    """The region of a row; empty for an image without regions."""
    if not (row["region_id"].isdecimal() and len(row["region_id"]) < 10):
        raise DataError(path, "region_id: expected a whole number, got "
                              f"{parsing.shorten(row['region_id'])}", line)
    shape, attributes = (json_values.parse(row[key], path, line)
                         for key in ("region_shape_attributes", "region_attributes"))
    return _region(shape, attributes, path, f"region {row['region_id']}", line)


def _project_3(content: dict[str, Any], path: Path) -> Iterator[Entry | DataError]:
    """The images of a project of version 3; an error in a region is that of its image."""
    attributes = content.get("attribute")
    attributes = attributes if isinstance(attributes, dict) else {}
    entries: dict[str, Entry] = {}
    errors: dict[str, DataError] = {}
    for key, region in content["metadata"].items():
        view = region.get("vid") if isinstance(region, dict) else None
        view = view if isinstance(view, str) else f"of region {key}"
        try:
            if not isinstance(region, dict) or not isinstance(region.get("xy"), list):
                raise DataError(path, "expected a list as 'xy'")
            if region["xy"]:  # otherwise it is about the whole image
                if view not in entries:
                    entries[view] = Entry(_name_3(content, view, path))
                entries[view].regions.append(_region_3(region, attributes, path))
                if len(entries[view].regions) > MAX_REGIONS:
                    raise DataError(path, f"more than {MAX_REGIONS} regions of an image")
        except DataError as error:
            place = f"region {parsing.shorten(key)}"
            errors.setdefault(view, DataError(path, f"{place}: {error.reason}"))
    for view in content["view"]:  # images without regions may be called like others
        if view not in entries and view not in errors:
            with contextlib.suppress(DataError):
                entries[view] = Entry(_name_3(content, view, path))
    yield from (entry for view, entry in entries.items() if view not in errors)
    yield from errors.values()


def _name_3(content: dict[str, Any], view: str, path: Path) -> str:
    """The image of a view."""
    shown = content["view"].get(view)
    files = shown.get("fid_list") if isinstance(shown, dict) else None
    if not isinstance(files, list) or len(files) != 1 or not isinstance(files[0], str | int):
        raise DataError(path, f"expected the one file of the view {parsing.shorten(view)}")
    file = content["file"].get(str(files[0]))
    if not isinstance(file, dict) or not isinstance(file.get("fname"), str):
        raise DataError(path, f"expected a text as 'fname' of the file "
                              f"{parsing.shorten(str(files[0]))}")
    if file.get("type") != IMAGE_3:
        raise DataError(path, f"{parsing.shorten(file['fname'])} is no image: faces in videos "
                              "are at times, not at frames; save the frames as images")
    name: str = file["fname"]
    return name


def _region_3(region: dict[str, Any], attributes: dict[str, Any], path: Path) -> Region:
    values = json_values.numbers(region["xy"], path, "xy")
    texts = {}
    for key, text in _texts(region.get("av"), path).items():
        attribute = attributes.get(key)
        attribute = attribute if isinstance(attribute, dict) else {}
        name, options = attribute.get("aname"), attribute.get("options")
        # What is chosen from options stands there by its number.
        value = options.get(text, text) if isinstance(options, dict) else text
        if isinstance(name, str) and isinstance(value, str):
            texts[name] = value
    return _drawn(SHAPES_3.get(int(values[0])), values[1:], texts, path, "xy")
