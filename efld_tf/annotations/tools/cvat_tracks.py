"""Which frames of CVAT's tracks were drawn by a person, and which CVAT filled."""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from efld_tf.annotations.format import Note
from efld_tf.annotations.tools.cvat_images import Drawn
from efld_tf.annotations.tools.shapes import Shape
from efld_tf.text import counted

# How a shape came to a frame: somebody drew it, CVAT moved it between two that somebody drew, or
# CVAT repeats it. As values of the reader's option, each includes those before it.
KEYFRAMES, INTERPOLATED, ALL = FRAMES = ("keyframes", "interpolated", "all")


def origins(
    shapes: Sequence[tuple[int, Shape | None, bool]]
) -> Iterator[tuple[int, Shape, str]]:
    """How the shapes of a track came to their frames: (frame, shape, one of `FRAMES`).

    Args:
      shapes: for each frame its number, the shape, and whether it is a keyframe; None for a shape
        that is outside.
    """
    keys = sorted((number, shape is not None) for number, shape, key in shapes if key)
    for number, shape, key in shapes:
        if shape is None:
            continue
        later = keys[bisect.bisect_left(keys, (number, False)):]
        moves = bool(later) and later[0][1] and (
            shape.names is not None or shape.is_box or len(shape.points) == 1)
        yield number, shape, KEYFRAMES if key else INTERPOLATED if moves else ALL


def select(drawn: Drawn, frames: str, left_out: Counter[str]) -> None:
    """Leaves the shapes of `frames` on a frame, and counts the others in `left_out`.

    Single points of a group stay together, since each has a track of its own; boxes stay with
    points.
    """
    best: dict[str | None, int] = {}
    for shape, origin in zip(drawn.shapes, drawn.origins, strict=True):
        if _is_single(shape):
            best[shape.group] = min(best.get(shape.group, len(FRAMES)), FRAMES.index(origin))
    kept, boxes = [], []
    for shape, origin in zip(drawn.shapes, drawn.origins, strict=True):
        rank = best[shape.group] if _is_single(shape) else FRAMES.index(origin)
        if shape.is_box:
            boxes.append(shape)
        elif not len(shape.points) or rank <= FRAMES.index(frames):
            kept.append(shape)
        else:
            left_out[FRAMES[rank]] += 1
    drawn.shapes = [*kept, *boxes] if kept or len(boxes) == len(drawn.shapes) else []


def notes(left_out: Mapping[str, int]) -> Iterator[Note]:
    """What `select` left out."""
    if number := left_out.get(INTERPOLATED):
        yield Note(f"left out: {counted(number, 'shape')} between keyframes; frames=interpolated "
                   "reads them")
    if number := left_out.get(ALL):
        yield Note(f"left out: {counted(number, 'shape')} that CVAT repeats on the frames behind a "
                   "keyframe, where the face may have moved; frames=all reads them")


def _is_single(shape: Shape) -> bool:
    return len(shape.points) == 1 and shape.names is None
