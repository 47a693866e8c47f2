"""Errors divided by sizes of the true box, computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from efld_tf.landmarks import metrics, normalisers, schemas
from efld_tf.landmarks.schema_fields import from_fields
from tests.errors import refuses

MTFL = schemas.get("mtfl5")
FACE = np.array([[0, 0], [10, 0], [5, 5], [1, 9], [9, 9]], float)
# 30 x 40: diagonal 50, sqrt of the area 34.641, longest side 40.
BOXES = np.array([[-5, -10, 25, 30]], float)


@pytest.mark.parametrize(("name", "distance"), [
    ("box_diagonal", 50), ("box_size", np.sqrt(1200)), ("image_size", 40),
])
def test_by_hand(name: str, distance: float) -> None:
    noise = np.array([[3, 4], [0, 0], [0, 0], [0, 0], [0, -5]])  # of length 5, 0, 0, 0, 5
    predicted, truth = (FACE + noise)[None], FACE[None]
    found = metrics.nme(predicted, truth, MTFL, name, boxes=BOXES)
    np.testing.assert_allclose(found, [2 / distance])
    shift, variance = metrics.point_variance(predicted, truth, MTFL, name, boxes=BOXES)
    by_eyes, variance_by_eyes = metrics.point_variance(predicted, truth, MTFL)  # 10 apart
    np.testing.assert_allclose(shift, by_eyes * 10 / distance)
    np.testing.assert_allclose(variance, variance_by_eyes * (10 / distance) ** 2)


def test_faces_without_a_box_are_refused() -> None:
    both = np.stack([FACE, FACE])
    with refuses("boxes", "image_size", "[2, 4]"):  # others are of the points
        metrics.nme(both, both, MTFL, "image_size")
    with refuses("boxes", "box_size", "[1, 4]"):
        metrics.nme(both, both, MTFL, "box_size", boxes=BOXES)
    with refuses("face 1", "image_size", "nan"):
        metrics.nme(both, both, MTFL, "image_size",
                    boxes=np.concatenate([BOXES, np.full((1, 4), np.nan)]))
    with refuses("face 0", "box_size", 0):  # a box without height
        metrics.nme(both, both, MTFL, "box_size", boxes=np.array([[0, 0, 9, 0], [0, 0, 9, 9.0]]))


def test_names() -> None:
    assert normalisers.find(MTFL) == MTFL.normaliser
    assert normalisers.find(MTFL, "box_size").name == "box_size"
    with refuses("mtfl5", "nose", MTFL.normaliser.name, *normalisers.BOX_NORMALISERS):
        normalisers.find(MTFL, "nose")
    fields = yaml.safe_load((schemas.SCHEMA_FILES / "mtfl5.yaml").read_text())
    fields["normalisers"]["box_size"] = {"right": 0, "left": 1}
    with refuses("normalisers.box_size"):
        from_fields(fields)
