"""What photos seldom show and a model should know, drawn as often as one asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from efld_tf.annotations.synthetic.parameters import Expression, FaceParameters
from efld_tf.errors import EfldError

CLOSED_EYES, HAND, MASK, SUNGLASSES, HARD_LIGHT = KINDS = (
    "closed_eyes", "hand", "mask", "sunglasses", "hard_light")
_STREAM = 2  # of random numbers, beside those of the face and of its yaw


@dataclass(frozen=True, eq=False)
class Rare:
    """What is rare about a face.

    Attributes:
      kinds: some of `KINDS`.
      rng: the generator of its details, so that the rest of the face stays as it is without it.
    """

    kinds: frozenset[str]
    rng: np.random.Generator


def check(odds: Mapping[str, float]) -> None:
    """Raises EfldError for a kind that there is not, or a probability that is none."""
    for kind, probability in odds.items():
        if kind not in KINDS:
            raise EfldError(f"synthetic faces: rare: expected some of {', '.join(KINDS)}, got "
                            f"{kind!r}")
        if not 0 <= probability <= 1:
            raise EfldError(f"synthetic faces: rare: {kind}: expected a probability from 0 to 1, "
                            f"got {probability}")


def draw(odds: Mapping[str, float], seed: int, index: int) -> Rare:
    """Draws what is rare about a face; each kind by itself, with the given probability.

    Raises:
      EfldError: as in `check`.
    """
    check(odds)
    rng = np.random.default_rng([seed, index, _STREAM])
    chance = dict(zip(KINDS, rng.random(len(KINDS)), strict=True))
    return Rare(frozenset(kind for kind, often in odds.items() if chance[kind] < often), rng)


def none() -> Rare:
    """Nothing."""
    return Rare(frozenset(), np.random.default_rng(0))


def with_closed_eyes(face: FaceParameters, rng: np.random.Generator) -> FaceParameters:
    """The face with both eyes closed, half closed, or winking."""
    way = rng.random()
    if way < 0.8:
        opening = float(rng.uniform(0, 0.1) if way < 0.5 else rng.uniform(0.1, 0.45))
        both = (opening, float(np.clip(opening + rng.normal(0, 0.03), 0, 1)))
    else:
        both = (float(rng.uniform(0, 0.1)), float(rng.beta(6, 2)))
        both = both[::-1] if rng.random() < 0.5 else both
    expression: Expression = replace(face.expression, eye_opening=both)
    return replace(face, expression=expression)
