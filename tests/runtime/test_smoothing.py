"""The One-Euro filter: the paper's numbers, and what holds for any input."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from efld_tf.runtime.smoothing import OneEuroFilter
from tests.errors import refuses

COORDINATES = st.floats(-1000, 1000, width=32)
TRACKS = arrays.arrays(np.float32, (6, 3, 2), elements=COORDINATES)
STEPS = st.lists(st.floats(0.001, 1.0), min_size=6, max_size=6)
PARAMETERS = st.tuples(st.floats(0.01, 20), st.floats(0, 100), st.floats(0.01, 20))


def smoothed(
    track: np.ndarray, seconds: np.ndarray, size: float = 100.0, parameters: tuple = (1.0, 5.0, 1.0)
) -> np.ndarray:
    smoother = OneEuroFilter(*parameters)
    return np.array([smoother.update(points, time, size)
                     for points, time in zip(track, seconds, strict=True)])


def paper(values: list[float], times: list[float], parameters: tuple) -> list[float]:
    """Algorithm 1 for one value, line by line."""
    min_cutoff, beta, derivative_cutoff = parameters

    def alpha(rate: float, cutoff: float) -> float:
        tau = 1 / (2 * math.pi * cutoff)
        te = 1 / rate
        return 1 / (1 + tau / te)

    result, derivative, last = [values[0]], 0.0, times[0]
    for value, time in zip(values[1:], times[1:], strict=True):
        rate = 1 / (time - last)
        dx = (value - result[-1]) * rate
        a = alpha(rate, derivative_cutoff)
        derivative = a * dx + (1 - a) * derivative
        cutoff = min_cutoff + beta * abs(derivative)
        a = alpha(rate, cutoff)
        result.append(a * value + (1 - a) * result[-1])
        last = time
    return result


def test_numbers_worked_out_by_hand() -> None:
    """A step of 1 face size after 0.1 s; 2 pi 0.1 = 0.62832.

    Velocity: 1 / 0.1 s = 10 a second, its weight at 1 Hz 0.62832 / 1.62832 = 0.385869: 3.85869.
    Cutoff: 1 + 0.5 * 3.85869 = 2.92935 Hz, its weight 1.84056 / 2.84056 = 0.647958.
    """
    smoother = OneEuroFilter(min_cutoff=1, beta=0.5, derivative_cutoff=1)
    first = smoother.update(np.array([[10.0, 20.0]]), 5.0, 50)
    np.testing.assert_array_equal(first, [[10, 20]])
    second = smoother.update(np.array([[60.0, 20.0]]), 5.1, 50)
    np.testing.assert_allclose(second, [[10 + 50 * 0.647958, 20]], rtol=1e-5)
    assert second.dtype == np.float32


@given(
    values=st.lists(st.floats(-5, 5), min_size=5, max_size=5),
    steps=st.lists(st.floats(0.01, 0.5), min_size=5, max_size=5), parameters=PARAMETERS,
)
def test_along_an_axis_it_is_the_papers_algorithm(
    values: list[float], steps: list[float], parameters: tuple[float, float, float]
) -> None:
    times = np.cumsum(steps).tolist()
    expected = paper(values, times, parameters)
    for axis in (0, 1):
        track = np.zeros((5, 1, 2))
        track[:, 0, axis] = np.array(values) * 80
        found = smoothed(track, np.array(times), 80, parameters)
        np.testing.assert_allclose(found[:, 0, axis], np.array(expected) * 80, atol=1e-3)
        assert not found[:, 0, 1 - axis].any()


@given(points=arrays.arrays(np.float32, (4, 2), elements=COORDINATES), steps=STEPS,
       parameters=PARAMETERS)
def test_what_stands_still_stays(points: np.ndarray, steps: list[float], parameters: tuple) -> None:
    found = smoothed(np.array([points] * 6), np.cumsum(steps), 50, parameters)
    np.testing.assert_array_equal(found, [points] * 6)


@given(track=TRACKS, steps=STEPS, parameters=PARAMETERS)
def test_results_stay_in_the_range_of_the_input(
    track: np.ndarray, steps: list[float], parameters: tuple
) -> None:
    found = smoothed(track, np.cumsum(steps), 50, parameters)
    for count in range(1, 7):  # of what was seen so far
        assert (found[count - 1] <= track[:count].max(axis=0)).all()
        assert (found[count - 1] >= track[:count].min(axis=0)).all()


@given(track=TRACKS, steps=STEPS, shift=st.floats(-100, 100))
def test_only_differences_of_time_count(
    track: np.ndarray, steps: list[float], shift: float
) -> None:
    seconds = np.cumsum(steps)
    np.testing.assert_allclose(smoothed(track, seconds + shift), smoothed(track, seconds),
                               atol=1e-2)


@given(track=TRACKS, steps=STEPS, scale=st.floats(0.1, 10), angle=st.floats(0, 6.3),
       move=st.floats(-100, 100))
def test_it_does_not_depend_on_where_how_large_and_how_turned_a_face_is(
    track: np.ndarray, steps: list[float], scale: float, angle: float, move: float
) -> None:
    seconds = np.cumsum(steps)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    expected = smoothed(track, seconds) @ turn.T + move
    np.testing.assert_allclose(smoothed(track @ turn.T + move, seconds, 100 * scale), expected,
                               atol=0.02)


@given(track=TRACKS, steps=STEPS)
def test_points_do_not_touch_each_other(track: np.ndarray, steps: list[float]) -> None:
    seconds = np.cumsum(steps)
    for point in range(3):
        alone = smoothed(track[:, point : point + 1], seconds)
        np.testing.assert_allclose(smoothed(track, seconds)[:, point : point + 1], alone, atol=1e-4)


def test_beta_follows_quick_motion_and_noise_is_calmed() -> None:
    seconds = np.arange(60) / 30
    noise = np.random.default_rng(0).normal(0, 0.5, (60, 20, 2))
    noise[:30] = np.linspace(0, 1, 30)[:, None, None] * noise[:30]
    still, moving = noise + 100, noise + 100 + 200 * seconds[:, None, None]
    calm = smoothed(still, seconds, 100, (0.5, 0.0, 1.0))
    assert calm[30:].std() < still[30:].std() / 3
    errors = [np.abs(smoothed(moving, seconds, 100, (0.5, beta, 1.0)) - moving)[30:].mean()
              for beta in (0.0, 1.0, 10.0)]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


def test_after_a_long_pause_the_new_points_count() -> None:
    smoother = OneEuroFilter(1, 0, 1)
    smoother.update(np.zeros((1, 2)), 0.0, 10)
    assert smoother.update(np.full((1, 2), 8.0), 100.0, 10) == pytest.approx(8, rel=0.01)


@pytest.mark.parametrize(("points", "seconds", "size", "facts"), [
    (np.zeros((2, 2)), 1.0, 10.0, ["frame", "1 s"]),
    (np.zeros((2, 2)), 0.5, 10.0, ["frame", "0.5 s", "1 s"]),
    (np.zeros((2, 2)), math.nan, 10.0, ["frame", "nan s", "1 s"]),
    (np.zeros((3, 2)), 2.0, 10.0, ["3 points", 2]),
    (np.zeros((2, 3)), 2.0, 10.0, ["points", "[2, 3]", "[2, 2]"]),
    (np.zeros((2, 4)), 2.0, 10.0, ["points", "[N, 2]"]),
    (np.full((2, 2), np.nan), 2.0, 10.0, ["finite", "points"]),
    (np.zeros((2, 2)), 2.0, 0.0, ["face size", 0.0]),
])
def test_mistakes_are_refused_and_forgotten(
    points: np.ndarray, seconds: float, size: float, facts: list[object]
) -> None:
    smoother = OneEuroFilter()
    smoother.update(np.ones((2, 2)), 1.0, 10.0)
    with refuses("smoothing", *facts):
        smoother.update(points, seconds, size)
    other = OneEuroFilter()
    other.update(np.ones((2, 2)), 1.0, 10.0)
    after = [each.update(np.zeros((2, 2)), 1.1, 10.0) for each in (smoother, other)]
    np.testing.assert_array_equal(*after)


@pytest.mark.parametrize("parameters", [(0, 1, 1), (1, -1, 1), (1, 1, 0), (math.nan, 1, 1),
                                        (1, math.inf, 1)])
def test_parameters_out_of_range(parameters: tuple[float, float, float]) -> None:
    with refuses("smoothing", "cutoffs", "beta", *parameters):
        OneEuroFilter(*parameters)


def test_depths_are_smoothed_with_their_points() -> None:
    """A point that moves in depth alone is quick in all coordinates."""
    smoother, flat = OneEuroFilter(), OneEuroFilter()
    rng = np.random.default_rng(0)
    for frame in range(30):
        points = rng.normal(0, 0.1, (4, 2))
        depth = np.full(4, 8.0 * frame)
        found = smoother.update(np.column_stack([points, depth]), frame / 30, 100.0)
        calm = flat.update(points, frame / 30, 100.0)
    assert found.shape == (4, 3) and np.abs(found[:, 2] - depth).max() < 4
    assert np.abs(found[:, :2] - points).mean() < 0.5 * np.abs(calm - points).mean()
