"""Points that are written but not annotated: the marks that stand for them, said or suspected."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np

from efld_tf.arrays import Flags, Floats
from efld_tf.errors import EfldError

# The coordinates of a mark; None for any.
Mark = tuple[float | None, float | None]

# What programs write for points that are not annotated, and no point ever is.
KNOWN: tuple[Mark, ...] = ((0.0, 0.0), (-1.0, -1.0))
LEAST_COORDINATE = -900.0

# Other marks are suspected so far away from the face's other points, in about their span: the first
# if several points are there, outside the image.
FAR_TOGETHER, FAR = 0.25, 0.5

# A mark is suspected if several points of a face have it, or so many faces.
FEWEST_FACES = 3

_NUMBER = r"(-?\d{1,7}(?:\.\d+)?|\*)"


def parse(text: str) -> list[Mark]:
    """The marks that the option `missing` says, such as `0,0;-1,-1;0,*`.

    Raises:
      EfldError: the text is something else.
    """
    marks: list[Mark] = []
    for part in text.split(";"):
        found = re.fullmatch(f"{_NUMBER},{_NUMBER}", part, re.ASCII)
        if found is None or part == "*,*":
            raise EfldError("missing: expected x,y such as 0,0, several as 0,0;-1,-1, or 0,* for "
                            f"any y, got {text!r}")
        x, y = (None if number == "*" else float(number) for number in found.groups())
        marks.append((x, y))
    return marks


def name(mark: Mark) -> str:
    """A mark as the option says it."""
    return ",".join("*" if value is None else f"{value:.10g}" for value in mark)


def place(mark: Mark) -> str:
    """Where points of a mark are, for messages."""
    if None not in mark:
        return name(mark).replace(",", ", ")
    return f"x = {mark[0]:.10g}" if mark[1] is None else f"y = {mark[1]:.10g}"


def at(points: Floats, mark: Mark) -> Flags:
    """Which of the points [N, 2] have a mark: [N]."""
    wanted = np.array([np.nan if value is None else value for value in mark])
    same: Flags = (np.isnan(wanted) & np.isfinite(points)) | (abs(points - wanted) < 1e-3)
    return same.all(axis=-1)


class Suspicion:
    """Collects the marks of a source's faces: the same coordinates again and again, far away."""

    def __init__(self) -> None:
        self._points: Counter[Mark] = Counter()
        self._faces: Counter[Mark] = Counter()
        self._certain: set[Mark] = set()

    def add(self, points: Floats, size: tuple[float, float] | None) -> None:
        """Takes a face's points [N, 2] and the extent of its image, if that is known."""
        present = points[np.isfinite(points).all(axis=-1)].astype(np.float64)
        limit = np.array(size or (np.inf, np.inf)) - 1
        places, counts = np.unique(present, axis=0, return_counts=True)
        known = np.any([at(places, mark) for mark in KNOWN], axis=0) \
            | (places <= LEAST_COORDINATE).all(axis=-1)
        outside = ((places < 0) | (places > limit)).any(axis=-1)
        far = _far(places, places[(counts == 1) & ~known], outside)
        together = counts > 1
        suspected = known | ((together | outside) & (far > FAR)) \
            | (together & outside & (far > FAR_TOGETHER))
        for i in np.flatnonzero(suspected):
            self._see((float(places[i, 0]), float(places[i, 1])), int(counts[i]),
                      bool(known[i] or together[i]))
        places, counts = places[~known], counts[~known]
        for axis in (0, 1):
            for value in np.unique(places[:, axis]):
                if not 0 < value < limit[axis]:
                    self._add_line(places, counts, axis, float(value), float(limit[axis]))

    def marks(self) -> dict[Mark, int]:
        """The suspected marks and the number of their points."""
        seen = {mark: count for mark, count in self._points.items() if None not in mark
                and (mark in self._certain or self._faces[mark] >= FEWEST_FACES)}
        for mark, count in self._points.items():
            if None in mark and self._faces[mark] >= FEWEST_FACES:
                axis = mark.index(None) ^ 1
                same = {other for other in seen
                        if None not in other and other[axis] == mark[axis] and other not in KNOWN}
                if 2 * max((seen[other] for other in same), default=0) < count:
                    seen = {other: seen[other] for other in seen if other not in same}
                    seen[mark] = count
        return seen

    def _see(self, mark: Mark, count: int, certain: bool) -> None:
        self._points[mark] += count
        self._faces[mark] += 1
        if certain:
            self._certain.add(mark)

    def _add_line(
        self, places: Floats, counts: np.ndarray, axis: int, value: float, limit: float
    ) -> None:
        """Counts points that share one coordinate on or beyond the image's border.

        Annotators cut faces off there, too, but the other points then go on up to the border.
        """
        on = places[:, axis] == value
        others = places[~on & (places[:, axis] > 0) & (places[:, axis] < limit), axis]
        if counts[on].sum() > 1 and 2 * len(others) > len(places) \
                and abs(others - value).min() > FAR_TOGETHER * np.ptp(others):
            mark: Mark = (value, None) if axis == 0 else (None, value)
            self._see(mark, int(counts[on].sum()), False)


def _far(places: Floats, others: Floats, outside: Flags) -> Floats:
    """How far places [N, 2] are from the face, in about its span; negative within it.

    Four fifths of the points [M, 2] that stand alone tell where it is, whatever the others are.
    """
    if len(others) < 2:
        return np.where(outside, np.inf, 0.0)
    low, high = np.quantile(others, [0.1, 0.9], axis=0)
    distance = np.maximum(low - places, places - high).max(axis=-1)
    far: Floats = distance / max(float((high - low).max()), 1e-9)
    return far
