"""What readers have in common: boxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from efld_tf.annotations import parsing
from tests.errors import refuses


@pytest.mark.parametrize("corners", [
    (5, 1, 5, 2), (6, 1, 5, 2), (1, 3, 2, 3), (float("nan"), 0, 1, 1),
    # Sides that float32 does not have.
    (100000, 1, 100000.001, 2), (0, 1, 1e-60, 2),
])
def test_a_box_without_pixels_is_refused(corners: tuple[float, ...]) -> None:
    with refuses("empty", path=Path("a"), line=3):
        parsing.box_of(corners, Path("a"), 3)


def test_a_box_beyond_all_images_is_refused() -> None:
    for far in (1.1e6, 1e39, float("inf")):
        with refuses("large", path=Path("a")):
            parsing.box_of((0, 0, far, 1), Path("a"))


def test_a_box_has_32_bits() -> None:
    box = parsing.box_of((1.5, -2, 3, 4), Path("a"))
    assert box.dtype == np.float32 and box.tolist() == [1.5, -2, 3, 4]
