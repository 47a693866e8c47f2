from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from efld_tf.landmarks import metrics, schemas
from tests.errors import refuses

MTFL = schemas.get("mtfl5")
# Eyes 10 apart.
FACE = np.array([[0, 0], [10, 0], [5, 5], [1, 9], [9, 9]], float)


def test_nme_by_hand() -> None:
    noise = np.array([[3, 4], [0, 0], [0, 0], [0, 0], [0, -5]])  # of length 5, 0, 0, 0, 5
    predicted = FACE + noise
    np.testing.assert_allclose(metrics.nme(predicted[None], FACE[None], MTFL), [2 / 10])


def test_nme_with_each_normaliser_of_68_points() -> None:
    schema = schemas.get("ibug68")
    truth = np.zeros((1, 68, 2))
    truth[0, 36:42] = [[0, 0], [2, 1], [4, 1], [6, 0], [4, -1], [2, -1]]  # centre (3, 0)
    truth[0, 42:48] = [[14, 0], [16, 1], [18, 1], [20, 0], [18, -1], [16, -1]]  # centre (17, 0)
    predicted = truth + np.array([0, 1])
    np.testing.assert_allclose(metrics.nme(predicted, truth, schema), [1 / 20])
    np.testing.assert_allclose(metrics.nme(predicted, truth, schema, "interocular"), [1 / 20])
    np.testing.assert_allclose(metrics.nme(predicted, truth, schema, "interpupil"), [1 / 14])
    with refuses("ibug68", "normaliser", "bbox", "interocular", "interpupil"):
        metrics.nme(predicted, truth, schema, "bbox")


@given(arrays(np.float64, (3, 5, 2), elements=st.floats(-2, 2)), st.floats(0.1, 50))
def test_nme_does_not_depend_on_scale_and_place(noise: np.ndarray, scale: float) -> None:
    truth = np.tile(FACE, (3, 1, 1))
    expected = metrics.nme(truth + noise, truth, MTFL)
    moved = metrics.nme((truth + noise) * scale + 7, truth * scale + 7, MTFL)
    np.testing.assert_allclose(moved, expected, atol=1e-9)


def test_points_without_annotation_do_not_count() -> None:
    truth = np.stack([FACE, FACE])
    truth[0, 2] = np.nan
    truth[1, 3, 0] = np.nan
    predicted = np.stack([FACE, FACE]) + np.array([0, 2])
    predicted[0, 2] = 1e9  # no truth to compare with
    errors = metrics.point_errors(predicted, truth)
    np.testing.assert_array_equal(errors[0], [2, 2, np.nan, 2, 2])
    np.testing.assert_allclose(metrics.nme(predicted, truth, MTFL), [0.2, 0.2])
    assert metrics.accuracy_within(predicted, truth, 2.0) == 1


def test_point_variance_by_hand() -> None:
    """Eyes 10 apart: of d in units of that, the mean is (0.2, 0), and so on."""
    noise = np.array([[2, 1], [2, -1], [2, 0], [3, 0], [1, 0]], float)
    shift, variance = metrics.point_variance((FACE + noise)[None], FACE[None], MTFL)
    np.testing.assert_allclose(shift, [0.2])
    np.testing.assert_allclose(variance, [(4 * 0.1**2) / 5])


def test_a_constant_shift_has_no_variance() -> None:
    truth = np.stack([FACE, 2 * FACE])
    shift, variance = metrics.point_variance(truth + np.array([3, 4]), truth, MTFL)
    np.testing.assert_allclose(shift, [5 / 10, 5 / 20])
    np.testing.assert_allclose(variance, [0, 0], atol=1e-15)


@given(arrays(np.float64, (3, 5, 2), elements=st.floats(-2, 2)))
def test_shift_and_variance_are_the_mean_squared_error(noise: np.ndarray) -> None:
    truth = np.tile(FACE, (3, 1, 1))
    shift, variance = metrics.point_variance(truth + noise, truth, MTFL)
    squared = ((noise / 10) ** 2).sum(axis=-1).mean(axis=-1)
    np.testing.assert_allclose(shift**2 + variance, squared, atol=1e-12)
    assert (shift <= metrics.nme(truth + noise, truth, MTFL) + 1e-12).all()


def test_point_variance_leaves_out_what_does_not_count() -> None:
    truth = FACE[None].copy()
    truth[0, 2] = np.nan
    predicted = FACE[None] + np.array([0, 2])
    predicted[0, 2], predicted[0, 4] = np.nan, 1e6
    mask = np.array([[True, True, True, True, False]])
    shift, variance = metrics.point_variance(predicted, truth, MTFL, mask=mask)
    np.testing.assert_allclose([shift[0], variance[0]], [0.2, 0], atol=1e-12)
    with refuses("face 0", "annotated"):
        metrics.point_variance(predicted, truth, MTFL, mask=mask & False)
    with refuses("face 0", "intereye", 0):
        metrics.point_variance(FACE[None], 0 * FACE[None], MTFL)


def test_mask() -> None:
    predicted = FACE[None] + [[[0, 0], [0, 0], [0, 50], [0, 1], [0, 3]]]
    mask = np.array([[False, True, False, True, True]])
    np.testing.assert_allclose(metrics.nme(predicted, FACE[None], MTFL, mask=mask), [4 / 3 / 10])
    assert metrics.accuracy_within(predicted, FACE[None], 1, mask) == pytest.approx(2 / 3)
    with refuses("mask", "[1, 5]", "[5]"):
        metrics.nme(predicted, FACE[None], MTFL, mask=mask[0])


def test_a_schema_of_any_pose_is_measured_by_the_box_of_its_points() -> None:
    schema = schemas.get("ibug68_3d")
    truth = np.random.default_rng(0).uniform(0, 1, (2, 68, 2))
    truth[0, 0], truth[0, 1] = [-1, 0], [3, 4]
    truth[1, 5] = np.nan
    spans = np.nanmax(truth, axis=1) - np.nanmin(truth, axis=1)
    assert spans[0].prod() == pytest.approx(16, rel=0.01)
    found = metrics.nme(truth + np.array([0.3, 0.4]), truth, schema)
    np.testing.assert_allclose(found, 0.5 / np.sqrt(spans.prod(axis=1)))
    with refuses("face 1", "box_size", "nan"):
        metrics.nme(truth, np.stack([truth[0], np.full_like(truth[0], np.nan)]), schema)


def test_errors_name_the_face() -> None:
    truth = np.stack([FACE, FACE, FACE])
    zero = truth.copy()
    zero[1, 1] = zero[1, 0]
    with refuses("face 1", "intereye", 0):
        metrics.nme(truth, zero, MTFL)
    unknown = truth.copy()
    unknown[2, 0] = np.nan
    with refuses("face 2", "intereye", "nan"):
        metrics.nme(truth, unknown, MTFL)
    for bad in (np.nan, np.inf):
        predicted = truth.copy()
        predicted[2, 4, 1] = bad
        with refuses("face 2", "prediction", "point 4"):
            metrics.nme(predicted, truth, MTFL)
    mask = np.ones((3, 5), bool)
    mask[1] = False
    with refuses("face 1", "annotated"):
        metrics.nme(truth, truth, MTFL, mask=mask)
    with refuses("annotated"):
        metrics.accuracy_within(truth, np.full_like(truth, np.nan))


def test_shapes_are_checked() -> None:
    with refuses("shape", "[1, 5, 2]", "[5, 2]"):
        metrics.point_errors(FACE[None], FACE)
    with refuses("shape", "[5, 2]"):
        metrics.point_errors(FACE, FACE)
    with refuses("ibug68", 68, 5):
        metrics.nme(FACE[None], FACE[None], schemas.get("ibug68"))


def test_failure_rate_by_hand() -> None:
    assert metrics.failure_rate(np.array([0.05, 0.1, 0.11, 0.3]), 0.1) == 0.5


def test_ced_auc_by_hand() -> None:
    assert metrics.ced_auc(np.array([0.0, 0.05, 0.1, 0.2]), 0.1) == pytest.approx(1.5 / 4)
    assert metrics.ced_auc(np.zeros(3), 0.08) == 1
    assert metrics.ced_auc(np.ones(3), 0.08) == 0


def test_ced_curve_by_hand() -> None:
    errors, fractions = metrics.ced_curve(np.array([0.02, 0.01, 0.5, 0.03]), 0.04, steps=5)
    np.testing.assert_allclose(errors, [0, 0.01, 0.02, 0.03, 0.04])
    np.testing.assert_allclose(fractions, [0, 0.25, 0.5, 0.75, 0.75])


face_errors = arrays(np.float64, st.integers(1, 30), elements=st.floats(0, 0.5))


@given(face_errors, st.floats(0.01, 0.4))
def test_auc_is_the_area_under_the_curve(face_nme: np.ndarray, threshold: float) -> None:
    errors, fractions = metrics.ced_curve(face_nme, threshold, steps=4001)
    # The step curve lies between the sums of its left and right values.
    width = errors[1] / threshold
    auc = metrics.ced_auc(face_nme, threshold)
    assert fractions[:-1].sum() * width - 1e-9 <= auc <= fractions[1:].sum() * width + 1e-9
    assert fractions[-1] == pytest.approx(1 - metrics.failure_rate(face_nme, threshold))
    assert (np.diff(fractions) >= 0).all()


@pytest.mark.parametrize(
    ("face_nme", "threshold", "facts"),
    [
        ([], 0.1, ["shape [0]"]),
        ([[0.1]], 0.1, ["shape [1, 1]"]),
        ([0.1, np.nan], 0.1, ["face 1"]),
        ([0.1], 0, ["threshold", 0]),
        ([0.1], np.nan, ["threshold", "nan"]),
    ],
)
def test_bad_summaries(face_nme: list[float], threshold: float, facts: list[object]) -> None:
    for summary in (metrics.failure_rate, metrics.ced_auc, metrics.ced_curve):
        with refuses(*facts):
            summary(np.array(face_nme), threshold)
    with refuses("steps", 1):
        metrics.ced_curve(np.array([0.1]), 0.1, steps=1)


def test_accuracy_within_includes_the_limit() -> None:
    truth = np.zeros((1, 4, 2))
    predicted = np.array([[[3, 4], [0, 5.01], [0, 0], [-5, 0]]], float)
    assert metrics.accuracy_within(predicted, truth) == 0.75
    assert metrics.accuracy_within(predicted, truth, pixels=4.9) == 0.25
