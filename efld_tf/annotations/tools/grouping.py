"""Which single points, and which box, are those of one face."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from efld_tf.annotations import parsing
from efld_tf.annotations.tools.shapes import Picture, Shape
from efld_tf.arrays import Floats
from efld_tf.errors import DataError

# How far from its face a point may lie, as a share of the longer side of what is there of it.
NEAR = 1.0

# A point may be another face's if it lies farther than this from the rest of its group, and nearer
# than this to the other face, as shares of the longer side of what is there of them; each has at
# least this share of a schema's points. Whole faces never are that spread.
FAR, INSIDE, REST = 1.0, 0.5, 0.5

# The share of a schema's points that two parts of a face have between them at least.
WHOLE = 0.75

# How the points of a face are kept together in most tools, for messages.
GROUPS = "give all points of a face the same group"

# The boxes that a face may get in the end; a bound on the pairs of crowds.
MOST_BOXES = 8

# A message lists at most so many points.
MOST_LISTED = 8


@dataclass
class Face:
    """The shapes of a face: one of all points, or single points; and its box."""

    shapes: list[Shape]
    group: str | None
    box: Shape | None = None

    @property
    def points(self) -> Floats:
        """Its annotated points, [K, 2]."""
        points = np.concatenate([shape.points for shape in self.shapes])
        return points[np.isfinite(points).all(axis=-1)]


def grouped(
    singles: Sequence[Shape], boxes: Sequence[Shape], picture: Picture, count: int, *,
    named: bool, chosen: bool, advice: str = GROUPS,
) -> list[Face]:  # fmt: skip
    """Single points by face: by their group, or else by the box that they lie in.

    Args:
      count: the number of points of a face.
      named: whether the labels are the points' names.
      chosen: whether the user says that the boxes are those of faces.
      advice: how the points of a face are kept together in the tool, for messages.

    Raises:
      DataError: a point without a group lies in no box of several, or in more than one; or points
        seem to have been given no group, or another one than the rest of their face; or boxes or
        groups seem to be those of parts of a face.
    """
    groups: dict[str | None, list[Shape]] = defaultdict(list)
    for shape in singles:
        groups[shape.group].append(shape)
    loose = groups.pop(None, [])
    found = [Face(shapes, group) for group, shapes in groups.items()]
    free = [box for box in boxes if box.group not in groups]
    if loose and len(free) < 2:
        found.append(Face(loose, None))
    elif loose:
        found += _by_box(loose, free, picture, advice)
    if named and len(found) > 1:
        if not chosen:
            _check_parts(found, boxes, picture, advice)
        own = [face for face in found if _has_own_box(face, boxes) or (chosen and face.box)]
        _check_strays(found, own, picture, count, advice)
        _check_halves([face for face in found if not (chosen and face.box)],
                      boxes, picture, count, advice)
        _check_far(found, picture, count, advice)
    return found


def _by_box(
    loose: Sequence[Shape], boxes: Sequence[Shape], picture: Picture, advice: str
) -> Iterator[Face]:
    by_box: dict[int, list[Shape]] = defaultdict(list)
    corners = _corners(boxes)
    for shape in loose:
        holding = np.flatnonzero(_held(shape.points, corners))
        if len(holding) != 1:
            number = "no" if not len(holding) else "more than one"
            raise DataError(
                picture.path, f"the point {parsing.shorten(shape.label)} lies in {number} box: "
                f"{advice}, or name the faces' boxes with category= if others are of something "
                "else", shape.line or picture.line)
        by_box[int(holding[0])].append(shape)
    return (Face(shapes, boxes[i].group, boxes[i]) for i, shapes in by_box.items())


def _check_strays(
    found: Sequence[Face], sure: Sequence[Face], picture: Picture, count: int, advice: str
) -> None:
    """Refuses a few points that would be a face of their own, but that others near them lack.

    Args:
      sure: those that are faces, whatever they lack.
    """
    sizes = np.array([len(face.shapes) for face in found])
    labels = [{shape.label for shape in face.shapes} for face in found]
    corners = np.array([[face.points.min(axis=0), face.points.max(axis=0)] for face in found])
    margins = NEAR * np.ptp(corners, axis=1).max(axis=-1, keepdims=True)
    certain = {id(face) for face in sure}
    for number, few in enumerate(found):
        if 2 * len(few.shapes) > count or id(few) in certain:
            continue
        others = (sizes >= len(few.shapes)) & (np.arange(len(found)) != number)
        for shape in few.shapes:
            inside = (shape.points >= corners[:, 0] - margins) \
                & (shape.points <= corners[:, 1] + margins)
            near = np.flatnonzero(others & inside.all(axis=-1))
            if all(shape.label in labels[i] for i in near):
                break
        else:
            names = ", ".join(parsing.shorten(shape.label) for shape in few.shapes[:MOST_LISTED])
            more = "" if len(few.shapes) <= MOST_LISTED else \
                f" and {len(few.shapes) - MOST_LISTED} more"
            which = "the point" if len(few.shapes) == 1 else "the points"
            raise DataError(
                picture.path, f"{which} {names}{more} would be a face without others, beside one "
                f"that lacks just that: {advice}", few.shapes[0].line or picture.line)


def _check_far(found: Sequence[Face], picture: Picture, count: int, advice: str) -> None:
    """Refuses a point far from the rest of its group, in a face that lacks just that, or whose own
    is as far away."""
    far = [_far(face, count) for face in found]
    if not any(far):
        return
    corners = np.array([[face.points.min(axis=0), face.points.max(axis=0)] for face in found])
    margins = INSIDE * np.ptp(corners, axis=1).max(axis=-1, keepdims=True)
    labels = [{shape.label for shape in face.shapes} for face in found]
    for number, shapes in enumerate(far):
        for label, shape in shapes.items():
            inside = ((shape.points >= corners[:, 0] - margins)
                      & (shape.points <= corners[:, 1] + margins)).all(axis=-1)
            if any(i != number and len(labels[i]) >= REST * count
                   and (label not in labels[i] or label in far[i])
                   for i in np.flatnonzero(inside)):
                raise DataError(
                    picture.path, f"the point {parsing.shorten(label)} lies far from the others "
                    f"of its face, and in another face without a point of that name: {advice}",
                    shape.line or picture.line)


def _far(face: Face, count: int) -> dict[str, Shape]:
    """The single points of a face that lie far from its other points, by their labels."""
    points = np.concatenate([shape.points for shape in face.shapes])
    if len(points) - 1 < max(3, REST * count):
        return {}
    # The box around the others, for each point.
    ordered = np.sort(points, axis=0)
    low = np.where(points == ordered[0], ordered[1], ordered[0])
    high = np.where(points == ordered[-1], ordered[-2], ordered[-1])
    away = np.maximum(low - points, points - high).max(axis=-1)
    return {face.shapes[i].label: face.shapes[i]
            for i in np.flatnonzero(away > FAR * (high - low).max(axis=-1))}


def _check_halves(
    found: Sequence[Face], boxes: Sequence[Shape], picture: Picture, count: int, advice: str
) -> None:
    """Refuses two faces near one another that have nearly all names between them, none in common.

    They are two if one has a box that does not hold all of the other.
    """
    partial = [face for face in found if len(face.shapes) < count]
    labels = [{shape.label for shape in face.shapes} for face in partial]
    low = np.array([face.points.min(axis=0) for face in partial]).reshape(-1, 2)
    high = np.array([face.points.max(axis=0) for face in partial]).reshape(-1, 2)
    for number, face in enumerate(partial):
        margin = NEAR * (high[number] - low[number]).max()
        near = ((low <= high[number] + margin) & (high >= low[number] - margin)).all(axis=-1)
        for other in np.flatnonzero(near[:number]):
            if len(labels[number]) + len(labels[other]) < WHOLE * count \
                    or not labels[number].isdisjoint(labels[other]) \
                    or _has_own_box(face, boxes, partial[other]) \
                    or _has_own_box(partial[other], boxes, face):
                continue
            name, its_name = (parsing.shorten(f.shapes[0].label) for f in (partial[other], face))
            raise DataError(
                picture.path, f"the faces of the points {name} and {its_name} have no point of the "
                f"same name, but nearly all points between them: if they are parts of one, "
                f"{advice}; if not, draw a box around each", face.shapes[0].line or picture.line)


def _check_parts(
    found: Sequence[Face], boxes: Sequence[Shape], picture: Picture, advice: str
) -> None:
    """Refuses boxes of several labels that hold points of other names each, as parts of a face do.
    """
    by_group = {box.group: box for box in boxes}
    own = [(face, by_group.get(face.group) if face.box is None and face.group is not None
            else face.box) for face in found]
    boxed = [(face, box) for face, box in own if box is not None]
    if not boxed:
        return
    most, its_box = max(boxed, key=lambda pair: len(pair[0].shapes))
    names = {shape.label for shape in most.shapes}
    for face, box in boxed:
        if box.label != its_box.label and names.isdisjoint(shape.label for shape in face.shapes):
            raise DataError(
                picture.path, f"no point in the box {parsing.shorten(box.label)} has a name of "
                f"those in the box {parsing.shorten(its_box.label)}: are these parts of a face? "
                f"Then {advice}; if they are faces, say category=NAME, with commas between several",
                box.line or picture.line)


def _has_own_box(face: Face, boxes: Sequence[Shape], other: Face | None = None) -> bool:
    """Whether a face has a box of its group that holds it, and not all of the other face."""
    own = _corners([box for box in boxes if box.group is not None and box.group == face.group])
    held = _held(face.points, own) == len(face.points)
    if other is not None:
        held &= _held(other.points, own) < len(other.points)
    return bool(held.any())


def give_boxes(found: Sequence[Face], boxes: Sequence[Shape]) -> None:
    """Gives faces without a box one of their group, or one that holds most of their points.

    Those that fit best come first: what a box and the box around the points have in common, by what
    they cover together, times the square of the share of the points that it holds; then smaller
    boxes. The order of shapes does not matter.
    """
    given = {id(face.box) for face in found if face.box is not None}
    by_group: dict[str | None, list[Shape]] = defaultdict(list)
    for box in boxes:
        if id(box) not in given:
            by_group[box.group].append(box)
    corners = {group: _corners(some) for group, some in by_group.items()}
    pairs = []
    for face in found:
        points = face.points
        if face.box is not None or not len(points):
            continue
        group = face.group if face.group in by_group else None
        if group not in by_group:
            continue
        held = _held(points, corners[group])
        own = np.flatnonzero((2 * held > len(points)) | (group is not None))
        fits, areas = _fits(points, corners[group][:, own])
        fits = fits * (held[own] / len(points)) ** 2
        for i in np.lexsort((areas, -fits))[:MOST_BOXES]:
            box = by_group[group][own[i]]
            place = (-fits[i], areas[i], *box.points.ravel(), *points.mean(axis=0))
            pairs.append((place, face, box))
    for _, face, box in sorted(pairs, key=lambda pair: pair[0]):
        if face.box is None and id(box) not in given:
            face.box = box
            given.add(id(box))


def _fits(points: Floats, corners: Floats) -> tuple[Floats, Floats]:
    """The intersections over union of boxes with the one around the points; the boxes' areas."""
    low, high = corners
    least, most = points.min(axis=0), points.max(axis=0)
    common = np.maximum(np.minimum(high, most) - np.maximum(low, least), 0).prod(axis=-1)
    areas = (high - low).prod(axis=-1)
    union = areas + (most - least).prod() - common
    return common / np.where(union > 0, union, 1), areas


def _corners(boxes: Sequence[Shape]) -> Floats:
    """The lower and the upper corners of boxes, [2, B, 2]."""
    if not boxes:
        return np.empty((2, 0, 2))
    return np.array([[box.points.min(axis=0), box.points.max(axis=0)]
                     for box in boxes]).swapaxes(0, 1)


def _held(points: Floats, corners: Floats) -> np.ndarray:
    """How many of the points each box holds, [B]."""
    low, high = corners
    held = np.zeros(len(low), int)
    for point in points if len(low) else ():
        held += ((point >= low) & (point <= high)).all(axis=-1)
    return held
