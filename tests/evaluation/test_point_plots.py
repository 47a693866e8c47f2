"""Errors by region, and their bar charts for schemas of few and many points."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from efld_tf.evaluation import evaluate, point_plots
from efld_tf.evaluation import faces as faces_of
from efld_tf.landmarks import metrics, schemas
from efld_tf.landmarks.geometry import CropRule
from efld_tf.landmarks.regions import regions
from tests import faces
from tests.errors import refuses
from tests.evaluation.predictors import Fixed

FACES = 6


def evaluation(name: str, offset: np.ndarray) -> evaluate.Evaluation:
    """Faces of a schema, predicted with an offset [N, 2] in the crop's unit square."""
    schema = schemas.get(name)
    truth = np.tile(faces.mean_shape(name), (FACES, 1, 1))
    predicted = truth + offset
    found = faces_of.EvaluationFaces(
        "test", name, CropRule("points", name, 1.0), "model", np.zeros((FACES, 8, 8, 3), np.uint8),
        truth, np.full((FACES, 2), 100.0), [f"face {i}" for i in range(FACES)],
        [f"face {i}" for i in range(FACES)], [{}] * FACES, [],
        lambda index, square, size: np.zeros((size, size, 3), np.uint8), 1.0,
    )
    nme = metrics.nme(predicted, truth, schema)
    return evaluate.Evaluation(
        Fixed(), found, schema, predicted, truth, schema.normaliser.name, nme)


def test_errors_of_regions_by_hand() -> None:
    """The nose alone is off, by a tenth of the distance; the chin is off by a fifth."""
    schema = schemas.get("ibug68")
    distance = schema.normaliser.distance(faces.mean_shape("ibug68"))
    offset = np.zeros((68, 2))
    offset[27:36, 0], offset[8, 1] = 0.1 * distance, 0.2 * distance
    found = evaluation("ibug68", offset)
    by_region = found.summary()["nme_by_region_percent"]
    assert by_region == pytest.approx(
        {**dict.fromkeys(regions(schema), 0.0), "nose": 10, "chin": 20})
    # Points that are not annotated count neither there nor in the mean over the faces.
    truth = found.truth.copy()
    truth[0, 27:36], truth[1:, 27], truth[:, 48:] = np.nan, np.nan, np.nan
    partly = replace(found, truth=truth)
    assert np.isnan(partly.nme_by_region()["nose"]).tolist() == [True] + [False] * 5
    by_region = partly.summary()["nme_by_region_percent"]
    assert by_region["nose"] == pytest.approx(10) and "mouth" not in by_region


@pytest.mark.parametrize("name", ["mtfl5", "ibug51", "wflw98", "webmorph189", "mediapipe468"])
def test_regions_have_places_that_do_not_overlap(name: str) -> None:
    found = regions(schemas.get(name))
    lines = point_plots._lines(found)
    points = [point for slots in lines for slot in slots for point in slot.points]
    assert points == [point for own in found.values() for point in own]
    for slots in lines:
        for slot in slots:
            assert slot.left <= slot.first
            assert slot.first + len(slot.points) <= slot.right + 1e-9
        assert all(a.right < b.left for a, b in pairwise(slots))
        assert slots[-1].right <= point_plots.LINE


@pytest.mark.parametrize("name", ["mtfl5", "ibug68", "webmorph189"])
def test_charts_are_drawn(name: str, tmp_path: Path) -> None:
    count = schemas.get(name).num_points
    offset = np.random.default_rng(0).normal(0, 0.01, (FACES, count, 2))
    good, bad = evaluation(name, offset), evaluation(name, 2 * offset)
    unknown = np.where(np.arange(count)[:, None] == 2, np.nan, good.truth)
    point_plots.points_plot(tmp_path / "one.png", {"a": replace(good, truth=unknown)})
    point_plots.points_plot(tmp_path / "two.png", {"a": good, "b": bad}, face=3)
    one, two = (cv2.imread(str(tmp_path / f"{n}.png")) for n in ("one", "two"))
    assert one.std() > 10 and two.std() > 10
    assert two.shape[1] == one.shape[1] and two.shape[0] > 1.5 * one.shape[0]


def test_charts_of_what_cannot_be_compared(tmp_path: Path) -> None:
    first, other = (evaluation(name, np.zeros(2)) for name in ("mtfl5", "ibug51"))
    renamed = replace(first, faces=replace(first.faces, names=list("uvwxyz")))
    for charts, face, facts in (
        ({}, None, ("chart", "evaluation")),
        ({"a": first, "b": other}, None, ("ibug51", "mtfl5")),
        ({"a": first}, FACES, ("face 6",)),
        ({"a": first, "b": renamed}, 0, ("face 0", "u")),
    ):
        with refuses(*facts):
            point_plots.points_plot(tmp_path / "x.png", charts, face)
    assert not list(tmp_path.iterdir())
    point_plots.points_plot(tmp_path / "x.png", {"a": first})  # without any error
