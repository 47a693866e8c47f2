"""What a model tells of crops, and which of its output tensors tells what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from efld_tf.arrays import Flags, Floats
from efld_tf.errors import EfldError
from efld_tf.landmarks.geometry import Crop


class ModelOutputs(NamedTuple):
    """What a model tells of F crops.

    Attributes:
      points: [F, N, 2] float32, in the crops' unit squares, or in pixels of an image.
      confidence: [F] float32, how sure the model is that there is a face, 0 to 1; None for a model
        without this output.
      depth: [F, N] float32, how far each point is in front of their mean, in sides of the crop, or
        in pixels of the image; None for a model without this output.
      errors: [F, N] float32, how far off each point is expected to be, in the same units; None for
        a model that does not tell.
    """

    points: Floats
    confidence: Floats | None = None
    depth: Floats | None = None
    errors: Floats | None = None

    def of(self, chosen: Flags) -> ModelOutputs:
        """What was told of some of the crops, chosen by [F] bool."""
        confidence, depth, errors = (None if values is None else values[chosen]
                                     for values in (self.confidence, self.depth, self.errors))
        return ModelOutputs(self.points[chosen], confidence, depth, errors)

    def in_pixels(self, crops: Sequence[Crop]) -> ModelOutputs:
        """What was told of crops of an image in its pixels, in the same arrays."""
        for index, crop in enumerate(crops):
            self.points[index] = crop.from_unit(self.points[index])
            for distances in (self.depth, self.errors):
                if distances is not None:
                    distances[index] *= crop.mean_side
        return self


class Places(NamedTuple):
    """The places of the outputs among those of a `.tflite`; None for those that it lacks.

    Attributes:
      errors: whether the output of the confidence has the expected errors of the points, too.
    """

    points: int
    confidence: int | None
    depth: int | None
    errors: bool


def of(outputs: Sequence[Floats]) -> ModelOutputs:
    """Named outputs of a `.tflite` for F crops, each [F, ...]; errors are as in `places`."""
    found = places([(1, *output.shape[1:]) for output in outputs])
    quality = None if found.confidence is None else outputs[found.confidence]
    return ModelOutputs(
        outputs[found.points], None if quality is None else quality[:, 0],
        None if found.depth is None else outputs[found.depth],
        quality[:, 1:] if found.errors and quality is not None else None)


def places(shapes: Sequence[Sequence[int | None]], count: int | None = None) -> Places:
    """Which output is which, by their shapes.

    The points come first, [1, N, 2]; a confidence [1, 1], or [1, 1 + N] with the expected errors of
    the points, and depths [1, N] may follow in this order.

    Args:
      shapes: of the outputs, in their order.
      count: N; None for that of the first output.

    Raises:
      EfldError: they are other outputs.
    """
    found = [tuple(int(side or 0) for side in shape) for shape in shapes]
    first, *others = found or [()]
    points = count if count is not None else (first[1] if len(first) == 3 else 0)
    if first != (1, points, 2) or not points:
        wanted = points if count is not None else "N"
        raise EfldError(f"expected an output of shape [1, {wanted}, 2], got {list(first)}")
    quality = others[0] if others[:1] in ([(1, 1)], [(1, 1 + points)]) else None
    depth = others[1:] if quality else others
    if depth not in ([], [(1, points)]):
        raise EfldError(
            f"expected no other outputs than a confidence [1, 1], or [1, {1 + points}] with "
            f"expected errors, and depths [1, {points}], got {[list(shape) for shape in others]}")
    return Places(0, 1 if quality else None, len(others) if depth else None,
                  quality == (1, 1 + points))
