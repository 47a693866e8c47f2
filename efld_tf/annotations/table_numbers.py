"""Reads the numbers of a table: decimal commas and points, and cells that are not annotated."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from efld_tf.annotations import parsing
from efld_tf.annotations.parsing import shorten
from efld_tf.annotations.table_text import Row
from efld_tf.errors import DataError

# `<NA>` is of pandas, `-nan` of C.
NOT_ANNOTATED = ("", "nan", "-nan", "na", "<na>", "n/a", "#n/a", "none", "null")

# 1,499 may be 1499 or 1.499; nothing else tells that it is the latter where all are below 10.
_BY_THREE = re.compile(r"[+-]?[1-9]\d{0,2}[,.]\d{3}")
_BELOW_TEN = re.compile(r"[+-]?[1-9][,.]\d{3}")
_PLAIN = re.compile(r"[+-]?\d{1,3}")


def is_missing(cell: str) -> bool:
    """Whether a cell says that it holds nothing."""
    return cell.strip().lower() in NOT_ANNOTATED


def optional_coordinates(cells: Sequence[str], path: Path, line: int | None = None) -> np.ndarray:
    """Cells as float64 [len(cells)], NaN if empty or `nan`; errors are as in `coordinates`."""
    present = [i for i, cell in enumerate(cells) if not is_missing(cell)]
    values = np.full(len(cells), np.nan)
    values[present] = parsing.coordinates([cells[i] for i in present], path, line)
    return values


class Decimals:
    """The decimal mark of a table: by its first rows, and by each row where those do not tell.

    As long as all numbers are whole, or have three decimals, the mark may separate thousands.
    """

    def __init__(self, path: Path, first_rows: Sequence[Row]) -> None:
        """Tells the mark by the coordinates alone of some rows.

        Raises:
          DataError: the marks may be thousands separators, or there are both.
        """
        self._path = path
        cells = [(number, cell) for number, row in first_rows for cell in row]
        found = {mark: [(number, cell) for number, cell in cells if mark in cell] for mark in ",."}
        plain = next((cell for _, cell in cells if _PLAIN.fullmatch(cell)), None)
        for marked in found.values():
            if marked and all(_BY_THREE.fullmatch(cell) for _, cell in marked) and (
                    plain or all(_BELOW_TEN.fullmatch(cell) for _, cell in marked)):
                number, cell = marked[0]
                raise self._thousands(cell, plain, number)
        if found[","] and found["."]:
            number, cell = found[","][0]
            raise DataError(path, f"{shorten(cell)} beside {shorten(found['.'][0][1])}: is the "
                                  "comma a decimal mark, or a thousands separator?", number)
        self._mark = "," if found[","] else "." if found["."] else ""
        self._certain = not all(_BY_THREE.fullmatch(cell) for _, cell in found["."] + found[","])

    def with_points(self, cells: Sequence[str], line: int) -> list[str]:
        """The coordinates of a line with a point as their decimal mark.

        Raises:
          DataError: the marks may be thousands separators, or are others than in other lines.
        """
        if not self._certain:
            self._tell(cells, line)
        return [self.with_point(cell, line) for cell in cells]

    def with_point(self, cell: str, line: int) -> str:
        """A number with a point as its decimal mark; errors are as in `with_points`."""
        if self._mark != ",":
            return cell
        if "." in cell:
            raise DataError(self._path, "expected a decimal comma as in other lines, got "
                                        f"{shorten(cell)}", line)
        return cell.replace(",", ".", 1)

    def _tell(self, cells: Sequence[str], line: int) -> None:
        marked = [cell for cell in cells if "," in cell or "." in cell]
        plain = next((cell for cell in cells if _PLAIN.fullmatch(cell)), None)
        if marked and all(_BY_THREE.fullmatch(cell) for cell in marked):
            if plain or not self._mark:  # all lines before have whole numbers
                raise self._thousands(marked[0], plain, line)
        elif marked:
            self._mark = self._mark or ("," if any("," in cell for cell in marked) else ".")
            self._certain = True
        elif plain and self._mark:
            raise self._thousands(plain, None, line)

    def _thousands(self, cell: str, plain: str | None, line: int) -> DataError:
        beside = f" beside {shorten(plain)}" if plain else ""
        mark = {",": "the comma ", ".": "the point "}.get(cell.strip("+-0123456789"), "the mark of "
                                                          "other lines ")
        return DataError(
            self._path, f"{shorten(cell)}{beside}: is {mark}a thousands separator? Write numbers "
            "without one, or all of them with decimals", line)
