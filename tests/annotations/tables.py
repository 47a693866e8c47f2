"""Tables of five points that the tests of their reader write."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from efld_tf.landmarks import schemas
from tests.annotations.writers import numbers, some_points, write_image

POINTS = some_points(5)
NAMES = [f"{axis}{i}" for i in range(5) for axis in "xy"]
SCHEMA = "mtfl5"


def write_table(folder: Path, *lines: str) -> Path:
    write_image(folder / "a.jpg")
    path = folder / "faces.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def line_of(points: np.ndarray = POINTS, name: str = "a.jpg", separator: str = ",") -> str:
    return f"{name}{separator}{numbers(points, separator)}"


HEADER = ",".join(["image", *NAMES])


BY_POINT = dict(zip(NAMES, ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"], strict=True))
RIGHT = [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]
POINT_NAMES = schemas.get(SCHEMA).names


def renamed(pattern: str, names: tuple[str, ...] = ("0", "1", "2", "3", "4")) -> dict[str, str]:
    """The cells of `RIGHT` by names of columns made of a point's name `N` and an axis `A`."""
    return {
        pattern.replace("N", name).replace("A", axis): BY_POINT[f"{axis}{i}"]
        for i, name in enumerate(names) for axis in "xy"
    }


LINES = ["image;" + ";".join(NAMES), "a.jpg;" + ";".join(BY_POINT.values())]


def table_of(cells: dict[str, str], folder: Path, quote: str = "") -> Path:
    """A table of a face, by its columns."""
    header = ",".join(f"{quote}{name}{quote}" for name in cells)
    return write_table(folder, f"image,{header}", ",".join(["a.jpg", *cells.values()]))
