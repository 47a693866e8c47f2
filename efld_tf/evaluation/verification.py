"""Face verification: whether two pictures show one person, by a model of face recognition.

The accuracy is that of LFW and CFP: in each fold, of the threshold that is best in the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from efld_tf.arrays import Float64s, Floats, Image
from efld_tf.errors import DataError, EfldError
from efld_tf.evaluation.pairs import Pair
from efld_tf.runtime import interpreter


@dataclass(frozen=True)
class Accuracy:
    """How often a threshold tells pairs of one person from pairs of two.

    Attributes:
      mean: over the folds, 0 to 1.
      standard_error: of the mean; 0 for one fold.
      pairs: number of pairs.
    """

    mean: float
    standard_error: float
    pairs: int


class Recogniser:
    """A model of face recognition, by which pictures of one person are alike.

    Its input is [1, S, S, 3] RGB, `uint8`, or `float32` from -1 to 1; its first output is a vector.
    """

    def __init__(self, model: str | Path):
        """Loads a `.tflite`.

        Raises:
          DataError: the file is not such a model.
        """
        self.model = Path(model)
        self._interpreter = interpreter.load(self.model)
        (self._input, *others) = self._interpreter.get_input_details()
        self._output = self._interpreter.get_output_details()[0]
        shape = self._input["shape"].tolist()
        if others or len(shape) != 4 or shape[0] != 1 or shape[1] != shape[2] or shape[3] != 3 \
                or self._input["dtype"] not in (np.uint8, np.float32):
            raise DataError(model, "expected one input [1, S, S, 3] of uint8 or float32, got "
                                   f"{shape} of {np.dtype(self._input['dtype'])}")
        if self._output["dtype"] != np.float32:
            raise DataError(model, "expected an output of float32")
        self.size: int = shape[1]

    def vector(self, picture: Image) -> Float64s:
        """The unit vector [D] of a picture [S, S, 3] uint8 RGB and its mirror image together.

        Raises:
          DataError: it is not finite, or has no length.
        """
        total = self._of(picture) + self._of(picture[:, ::-1])
        length = float(np.linalg.norm(total))
        if not 0 < length < np.inf:
            raise DataError(self.model, f"its vector of a picture has the length {length:g}")
        vector: Float64s = total / length
        return vector

    def _of(self, picture: Image) -> Float64s:
        pixels = picture[None]
        if self._input["dtype"] == np.float32:
            pixels = (pixels / np.float32(127.5) - 1).astype(np.float32)
        self._interpreter.set_tensor(self._input["index"], pixels)
        interpreter.invoke(self._interpreter, self.model)
        vector = self._interpreter.get_tensor(self._output["index"]).ravel().astype(np.float64)
        return vector / max(float(np.linalg.norm(vector)), 1e-12)


def likeness(
    pairs: Sequence[Pair], recogniser: Recogniser, picture: Callable[[Path], Image]
) -> Float64s:
    """The cosines [P] of the pictures' vectors; each photo is looked at once.

    Args:
      picture: what the model is to see of a photo.
    """
    vectors: dict[Path, Float64s] = {}
    for path in (path for pair in pairs for path in (pair.first, pair.second)):
        if path not in vectors:
            vectors[path] = recogniser.vector(picture(path))
    return np.array([float(vectors[pair.first] @ vectors[pair.second]) for pair in pairs])


def accuracy(pairs: Sequence[Pair], alike: Floats) -> Accuracy:
    """How often pairs are told apart by how much alike [P] their pictures are.

    Of one fold alone, it is that of the threshold that is best in it, and so too high.

    Raises:
      EfldError: there is no pair, or one has no likeness.
    """
    if not pairs or len(pairs) != len(alike) or not np.isfinite(alike).all():
        raise EfldError(f"expected a finite likeness of each of {len(pairs)} pairs, 1 or more")
    same, fold = (np.array([getattr(pair, name) for pair in pairs]) for name in ("same", "fold"))
    rights = []
    for number in np.unique(fold):
        tested = fold == number
        others = ~tested if (~tested).any() else tested
        threshold = _best_threshold(alike[others], same[others])
        rights.append(float(((alike[tested] >= threshold) == same[tested]).mean()))
    spread = np.std(rights, ddof=1) / np.sqrt(len(rights)) if len(rights) > 1 else 0.0
    return Accuracy(float(np.mean(rights)), float(spread), len(pairs))


def _best_threshold(alike: Floats, same: Floats) -> float:
    """The likeness from which on pairs are best called those of one person."""
    order = np.argsort(-alike, kind="stable")
    values, found = alike[order], same[order].astype(int)
    right = np.concatenate([[0], np.cumsum(2 * found - 1)])  # of the first k called the same
    ends = np.concatenate([[True], values[1:] < values[:-1], [True]])  # not between equal ones
    best = int(np.argmax(np.where(ends, right, right.min() - 1)))
    if best == 0:
        return float("inf")
    low = values[best] if best < len(values) else values[best - 1] - 2.0
    return float((values[best - 1] + low) / 2)
