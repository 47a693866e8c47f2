"""Landmarks as JSON objects, one a line (JSON lines) or in one list.

    {"image": "a.jpg", "points": [[10.5, 20], null, ...], "box": [0, 0, 90, 90]}

`image` and `points` are required; a point that is null, or whose x and y are null or NaN, is not
annotated. These are optional:

- `box`: x0, y0, x1, y1.
- `visible`: a boolean for each point.
- `depth`: for each point, how far it is in front of a plane that is parallel to the image, in the
  unit of x and y, or null.
- `identity`: the person or photo, by default the image.
- `attributes`: an object of texts and numbers; `weights_license` is the licence of the model that
  made the points, and goes into models that are trained on them.
- `frame`: the number of the frame, counted from 0, if `image` is a video.
- `upright`: true if the coordinates are of the photo turned as its EXIF orientation says.
- `image_size`: width and height of the image that was annotated, if the file may have another.
- `expected_errors`: for each point, how far off a model expects it to be, which is left out.

`efld-predict` writes files of this form.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from efld_tf.annotations import image_paths, json_values, parsing
from efld_tf.annotations.declared import choice, image_folders, schema_named
from efld_tf.annotations.format import Format
from efld_tf.annotations.listing import IMAGE_SUFFIXES
from efld_tf.annotations.record import FaceRecord, checked_points
from efld_tf.errors import DataError
from efld_tf.landmarks import schemas

FIELDS = (
    "image", "points", "box", "visible", "depth", "identity", "attributes", "frame", "upright",
    "image_size", "seconds", "expected_errors",
)

WRITTEN = "[x, y]"

# The largest frame number: years of video.
MAX_FRAME = 1 << 30


def read(
    path: Path, *, schema: str | None = None, images: str | None = None, prefix: str = "",
    origin: str = "0",
) -> Iterator[FaceRecord | DataError]:
    """The faces of a file, in its order; lines are read one by one, a list at once.

    Args:
      schema: `NAME` or `FILE.yaml`; required.
      images: the folder that image paths are relative to; by default the file's.
      prefix: the start of image names that stands for the folder of images, such as a path on
        another computer: `/home/ann/photos`, or `C:/photos` for `C:\\photos`.
      origin: what the file calls the first pixel's centre, `0`, `0.5` or `1`.

    Raises:
      DataError: `path` is not a readable file.
      EfldError: an option has an unknown value.
    """
    name = schema_named(schema)
    folders = image_folders(images, [path.parent], prefix)
    first_pixel = float(choice("origin", origin, ("0", "0.5", "1")))
    listed = _is_list(path)
    if not listed:
        _check_lines(path)
    for place, entry in _list_entries(path) if listed else _line_entries(path):
        entry_place, line = (f"entry {place}: ", None) if listed else ("", place)
        if isinstance(entry, DataError):
            yield entry
            continue
        try:
            yield _record(entry, name, folders, first_pixel, path, line)
        except DataError as error:
            yield DataError(path, entry_place + error.reason, line)


def _is_list(path: Path) -> bool:
    try:
        with parsing.open_limited(path) as file:
            start = file.read(1 << 10)
    except OSError as error:
        raise DataError(path, f"cannot be read: {error.strerror}") from error
    return start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")


def _check_lines(path: Path) -> None:
    """Checks that lines are objects of their own, by the first two of them.

    Raises:
      DataError: they are parts of one, or none at all.
    """
    too_long: DataError | None = None
    lines: list[tuple[int, str]] = []
    try:
        lines = [*islice(parsing.text_lines(path), 2)]
    except DataError as error:
        too_long = error
    if too_long is None and (not lines or any(_is_json(text, path) for _, text in lines)):
        return
    try:
        whole = json_values.load(path)
    except DataError:
        whole = None
    got = "lines that are not JSON"
    if isinstance(whole, dict):
        fields = ", ".join(parsing.shorten(key, 20) for key in [*whole][:4])
        got = f"one object in all, with {fields or 'no field'}{_wrapped(whole)}"
    elif too_long is not None:
        raise too_long
    elif lines[0][1].startswith("{") and lines[0][1].endswith("}"):
        return  # What is wrong in it is told with its line.
    elif lines[0][1].startswith("{"):
        got = "objects over several lines"
    raise DataError(path, f"expected one JSON object a line, or a list of them, got {got}",
                    too_long.line if too_long else lines[0][0])


def _is_json(text: str, path: Path) -> bool:
    try:
        json_values.parse(text, path)
    except DataError:
        return False
    return True


def _wrapped(entry: dict[str, Any]) -> str:
    """What to do if the faces are a list in an object."""
    for key, value in entry.items():
        if key not in FIELDS and isinstance(value, list) and value and isinstance(value[0], dict):
            return f": write the list {parsing.shorten(key, 20)} alone"
    return ""


def _list_entries(path: Path) -> Iterator[tuple[int, Any]]:
    """The entries of a list, counted from 0."""
    yield from enumerate(json_values.load(path))


def _line_entries(path: Path) -> Iterator[tuple[int, Any]]:
    """The values of the lines with their numbers; a DataError for a line that is not JSON."""
    for line, text in parsing.text_lines(path):
        try:
            yield line, json_values.parse(text, path, line)
        except DataError as error:
            yield line, error


def _record(
    entry: Any, schema: str, folders: list[Path], origin: float, path: Path, line: int | None
) -> FaceRecord:
    def wrong(reason: str) -> DataError:
        return DataError(path, reason, line)

    if not isinstance(entry, dict):
        raise wrong("expected an object")
    for field in entry:
        if field not in FIELDS:
            known = ", ".join(FIELDS)
            raise wrong(f"unknown field {parsing.shorten(field)}; known: {known}{_wrapped(entry)}")
    name = entry.get("image")
    if not isinstance(name, str):
        raise wrong("expected a text as 'image'")
    count = schemas.get(schema).num_points
    visible = entry.get("visible")
    if visible is not None and not (
        isinstance(visible, list) and len(visible) == count and all(v in (0, 1) for v in visible)
    ):
        raise wrong(f"visible: expected {count} times true or false")
    attributes = entry.get("attributes", {})
    if not isinstance(attributes, dict) or not all(
        isinstance(value, str | int | float) for value in attributes.values()
    ):
        raise wrong("attributes: expected an object of texts and numbers")
    if (seconds := entry.get("seconds")) is not None:
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise wrong("seconds: expected a number")
        attributes = {**attributes, "seconds": seconds}
    if (expected := entry.get("expected_errors")) is not None \
            and len(json_values.numbers(expected, path, "expected_errors", line)) != count:
        raise wrong(f"expected_errors: expected {count} numbers")
    name = image_paths.relative_name(name, path, line, folders)
    identity = entry.get("identity", name)
    if not isinstance(identity, str | int):
        raise wrong("expected a text as 'identity'")
    frame, upright = entry.get("frame"), entry.get("upright")
    if frame is not None and not (type(frame) is int and 0 <= frame <= MAX_FRAME):
        raise wrong("frame: expected a whole number from 0 on")
    if frame is not None and name.lower().endswith(IMAGE_SUFFIXES):
        raise wrong("frame: a photo has none, only a video")
    if upright is not None and not isinstance(upright, bool):
        raise wrong("upright: expected true or false")
    return FaceRecord(
        image=image_paths.find_image(folders, name, path, line),
        points=_points(entry.get("points"), schema, origin, path, line),
        schema=schema,
        box=_box(entry.get("box"), origin, path, line),
        visible=None if visible is None else np.array(visible, dtype=bool),
        depth=_depth(entry.get("depth"), count, path, line),
        attributes=json_values.attributes(attributes, path, line),
        identity=str(identity),
        frame=frame,
        upright=upright,
        image_size=_size(entry.get("image_size"), path, line),
    )


def _points(value: Any, schema: str, origin: float, path: Path, line: int | None) -> np.ndarray:
    count = schemas.get(schema).num_points
    if not isinstance(value, list) or len(value) != count:
        got = f"{len(value)}" if isinstance(value, list) else "none"
        if isinstance(value, dict):
            got = "an object: list them in the schema's order"
        elif isinstance(value, list) and len(value) == 2 * count and not isinstance(value[0], list):
            got = f"{len(value)} numbers: write each point as [x, y]"
        raise DataError(path, f"points: expected {count} of {schema}, got {got}", line)
    points = np.full((count, 2), np.nan)
    for index, pair in enumerate(value):
        if pair is None:
            continue
        if isinstance(pair, dict) or (isinstance(pair, list) and len(pair) != 2):
            got = f"an object: write it as {WRITTEN}" if isinstance(pair, dict) else (
                f"{len(pair)} values" + (": leave out what is behind" if len(pair) > 2 else ""))
            raise DataError(path, f"point {index}: expected {WRITTEN} or null, got {got}", line)
        pair = json_values.numbers(pair, path, f"point {index}", line, loose=True)
        if np.isnan(pair).sum() == 1:
            raise DataError(path, f"point {index}: expected x and y, got one alone", line)
        points[index] = pair - origin
    return checked_points(points, schema, path, line, missing=True)


def _depth(value: Any, count: int, path: Path, line: int | None) -> np.ndarray | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != count:
        raise DataError(path, f"depth: expected {count} numbers or null", line)
    return json_values.numbers(value, path, "depth", line, loose=True).astype(np.float32)


def _size(value: Any, path: Path, line: int | None) -> tuple[int, int] | None:
    if value in (None, []):
        return None
    if not isinstance(value, list) or len(value) != 2:
        raise DataError(path, "image_size: expected width and height in pixels", line)
    width, height = value
    return parsing.stated_size(width, height, path, line)


def _box(value: Any, origin: float, path: Path, line: int | None) -> np.ndarray | None:
    if value is None:
        return None
    corners = json_values.numbers(value, path, "box", line)
    if len(corners) != 4:
        raise DataError(path, "box: expected x0, y0, x1, y1", line)
    return parsing.box_of(corners - origin, path, line)


FORMAT = Format(
    "json", "JSON lines of your own", read, (), "FILE.jsonl",
    'an object with "image" and "points" a line (or a list of them); needs schema=',
    "yours",
)
