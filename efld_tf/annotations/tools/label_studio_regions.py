"""What was drawn in an annotation of Label Studio: its results, by region.

A region has a result for its shape and labels, and may have others with its `id`: its labels, if
they are those of a `Labels` control, and what was answered to it (choices, texts, ratings). Each
repeats the shape. Files that scripts make may have several regions of one `id`, such as the label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from efld_tf.annotations import json_values, parsing
from efld_tf.arrays import Floats
from efld_tf.errors import DataError

POINT, BOX, OTHER = "point", "box", "other"

# The values of results that are answers; those without a shape are to the whole image.
ANSWERS = ("choices", "text", "rating", "number")


@dataclass
class Region:
    """A region.

    Attributes:
      kind: `POINT`, `BOX`, or `OTHER` for polygons, masks and the like; "" if no result says.
      corners: [1, 2] of a point, [4, 2] of a box, which may be turned, [0, 2] of others; in pixels
        if `size` is stated, or else in percentages of the image.
      label: its label; "" for none.
      control: the name of the control with which it was labelled.
      parent: the id of the region that it is below; "" for none.
      target: the name of the `Image` on which it was drawn; "" if that is not known.
      item: the image, for an `Image` of several.
      size: the image's width and height in pixels, if they are stated.
      turned: whether the image was turned while annotating.
      attributes: the answers to it.
    """

    kind: str = ""
    corners: Floats = field(default_factory=lambda: np.empty((0, 2)))
    label: str = ""
    control: str = ""
    parent: str = ""
    target: str = ""
    item: int = 0
    size: tuple[int, int] | None = None
    turned: bool = False
    attributes: dict[str, str] = field(default_factory=dict)


def regions_of(results: Sequence[Any], path: Path, place: str) -> dict[str, Region]:
    """The regions of an annotation by their ids, in its order.

    Args:
      place: the task, for messages.

    Raises:
      DataError: a result is not of the format.
    """
    regions: dict[str, Region] = {}
    ids = _Ids()
    for number, result in enumerate(results):
        where = f"{place}: result {number}"
        if not isinstance(result, dict):
            raise DataError(path, f"{where}: expected an object")
        value = result.get("value")
        if value is None:  # a relation
            continue
        if not isinstance(value, dict):
            raise DataError(path, f"{where}: expected an object as 'value'")
        id = result.get("id")
        id = ids.own(id if isinstance(id, str) else f"#{number}", result, value)
        try:
            _add(regions.setdefault(id, Region()), result, value, path)
        except DataError as error:
            raise DataError(path, f"{where}: {error.reason}") from error
    parents = {region.parent for region in regions.values()} - {""}
    if several := parents & ids.repeated:
        raise DataError(path, f"{place}: several regions have the id "
                              f"{parsing.shorten(min(several))}, below which others are "
                              "(parentID): give each an id of its own")
    return {id: region for id, region in regions.items() if region.kind}


class _Ids:
    """Tells regions of one id from each other: results of one region repeat its shape.

    Attributes:
      repeated: the ids that several regions have.
    """

    def __init__(self) -> None:
        # Of each id, the controls of its regions, and which region has which shape.
        self._controls: dict[str, list[set[str]]] = {}
        self._by_shape: dict[str, dict[str, int]] = {}
        self.repeated: set[str] = set()

    def own(self, id: str, result: Mapping[str, Any], value: Mapping[str, Any]) -> str:
        """An id that only the region of a result has."""
        control = repr(result.get("from_name"))
        shape = repr([value.get(key) for key in ("x", "y", "height")]) if "x" in value else ""
        controls = self._controls.setdefault(id, [])
        by_shape = self._by_shape.setdefault(id, {})
        number = by_shape.get(shape, len(controls) - 1)
        if not controls or (shape and shape not in by_shape and control in controls[-1]):
            controls.append(set())
            number = len(controls) - 1
        if number > 0:
            self.repeated.add(id)
        if shape:
            by_shape.setdefault(shape, number)
        controls[number].add(control)
        return f"{id}\0{number}" if number else id


def _add(region: Region, result: Mapping[str, Any], value: Mapping[str, Any], path: Path) -> None:
    """Adds what a result says to its region."""
    kind = _kind(result.get("type"), value)
    region.turned |= result.get("image_rotation") not in (0, None)
    if isinstance(result.get("parentID"), str):
        region.parent = result["parentID"]
    if kind and not region.kind:
        region.kind = kind
        region.size = parsing.stated_size(
            result.get("original_width"), result.get("original_height"), path)
        region.corners = _corners(kind, value, region.size, path)
        item = result.get("item_index", 0)
        if type(item) is not int or item < 0:
            raise DataError(path, "item_index: expected a whole number from 0 on")
        region.item = item
        region.target = str(result.get("to_name") or "")
    name = result.get("from_name")
    name = name if isinstance(name, str) else ""
    for label in _labels(value, path):
        if region.label and label != region.label:
            raise DataError(path, f"expected one label, got {parsing.shorten(region.label)} and "
                                  f"{parsing.shorten(label)}")
        region.label, region.control = label, name
    for answer in ANSWERS:
        if answer in value:
            given = value[answer] if isinstance(value[answer], list) else [value[answer]]
            region.attributes[name or answer] = ", ".join(map(str, given))


def _kind(type_: Any, value: Mapping[str, Any]) -> str:
    """The kind of region by the fields of a result, as Label Studio tells them from each other."""
    if "x" in value and "y" in value and "radiusX" not in value:
        if "height" in value:
            return BOX
        if "width" in value or "keypointlabels" in value:
            return POINT
    is_shape = any(key in value for key in ("points", "rle", "radiusX", "vertices", "sequence"))
    return OTHER if is_shape or (isinstance(type_, str) and type_.endswith("labels")) else ""


def _labels(value: Mapping[str, Any], path: Path) -> list[str]:
    labels = [value[key] for key in value if isinstance(key, str) and key.endswith("labels")]
    names: list[str] = []
    for given in labels:
        if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
            raise DataError(path, "expected a list of texts as labels")
        names += given
    return names


def _corners(
    kind: str, value: Mapping[str, Any], size: tuple[int, int] | None, path: Path
) -> Floats:
    """See `Region.corners`; a box turns clockwise about its top left corner."""
    if kind == OTHER:
        return np.empty((0, 2))
    scale = np.array(size if size is not None else (100, 100)) / 100
    corner = json_values.numbers([value["x"], value["y"]], path, "x and y") * scale
    corners = corner[None]
    if kind == BOX:
        sides = json_values.numbers(
            [value.get("width"), value["height"]], path, "width and height") * scale
        (angle,) = json_values.numbers([value.get("rotation", 0)], path, "rotation")
        if angle and size is None:
            raise DataError(path, "a turned rectangle without original_width and original_height")
        cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        right, down = sides[0] * np.array([cos, sin]), sides[1] * np.array([-sin, cos])
        corners = corner + np.array([0 * right, right, right + down, down])
    if not (np.abs(corners) <= parsing.MAX_COORDINATE).all():
        raise DataError(path, "a coordinate is too large for pixels")
    return corners
