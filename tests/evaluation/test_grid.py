"""The accuracy of the classification on the grid, of a network whose scores are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from efld_tf.evaluation import faces as faces_of
from efld_tf.evaluation import grid
from efld_tf.landmarks.geometry import CropRule
from efld_tf.models import checkpoint
from efld_tf.models.trained import POINTS, TrainedModel
from tests import faces
from tests.errors import refuses

SIZE, HEAD = 64, "ibug51"
RULE = CropRule("points", "ibug68", 1.25)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> faces_of.EvaluationFaces:
    folder = faces.write_ibug(tmp_path_factory.mktemp("photos"), 6)
    return faces_of.load(f"ibug:{folder}", RULE, SIZE, progress=False)


def model(family: str, points: np.ndarray, **options: object) -> TrainedModel:
    """One whose scores are highest in the cells of these points [F, 51, 2]."""
    spec = checkpoint.ModelSpec(
        family, SIZE, options, {HEAD: checkpoint.HeadSpec(faces.mean_shape(HEAD).tolist(), RULE)})
    codec = spec.codec(HEAD)

    def network(images: np.ndarray, training: bool) -> dict[str, object]:
        assert images.max() <= 1 and not training
        return {POINTS: codec.encode(tf.constant(points, tf.float32), tf.ones(points.shape[:2]))}

    return TrainedModel(Path("known.h5"), spec, HEAD, network, codec)


@pytest.mark.parametrize("family", ["pipnet", "mapnet"])
def test_the_share_of_points_in_the_right_cell(found, family: str) -> None:
    points = found.points[:, 17:].copy()
    assert grid.accuracy(model(family, points), found) == 1
    points[0, :10] += 0.6  # wherever these are, they are not there
    points[3] += 0.6
    assert grid.accuracy(model(family, points), found) == pytest.approx(1 - 61 / (6 * 51))


def test_a_cell_is_right_whatever_the_place_in_it(found) -> None:
    """Moves of less than a cell change it for some points: the larger the cells, the fewer."""
    points = found.points[:, 17:] + 0.03
    shares = []
    for stride in (16, 32):
        side = SIZE // stride
        expected = (np.floor(points * side) == np.floor(found.points[:, 17:] * side)).all(-1).mean()
        shares.append(grid.accuracy(model("pipnet", points, stride=stride), found))
        assert shares[-1] == pytest.approx(expected)
    assert shares[0] < shares[1] < 1


def test_points_that_are_not_annotated_do_not_count(found) -> None:
    points = found.points.copy()
    points[0, 20:30] = np.nan
    wrong = np.nan_to_num(points[:, 17:])
    wrong[1, 0] += 0.6
    share = grid.accuracy(model("pipnet", wrong), replace(found, points=points))
    assert share == pytest.approx(1 - 1 / (6 * 51 - 10))


def test_heads_without_a_grid_are_told(found) -> None:
    with refuses("known.h5", "coordnet", "grid"):
        grid.accuracy(model("coordnet", found.points[:, 17:]), found)
