"""Folds of a cross-validation, of which none shares a photo with another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

FOLDS = 5


def of(photos: Sequence[str]) -> np.ndarray:
    """The fold [E] of each example, 0 to `FOLDS` - 1; some are empty for fewer photos.

    Args:
      photos: [E] the photo or person of each; one is never on both sides of a fold.
    """
    names = {name: index for index, name in enumerate(sorted(set(photos)))}
    order = np.random.default_rng(0).permutation(len(names))
    return np.array([order[names[photo]] % FOLDS for photo in photos])
