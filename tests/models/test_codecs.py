"""Codecs on hand-computed cases, and as inverses of themselves wherever points lie."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from efld_tf.models import codecs
from efld_tf.models.codecs import HeatmapCodec, PIPCodec

# Figure 4: 8 x 8 cells; the red point lies at .3 and .8 of its cell, the blue one, its neighbour,
# at 1.8 and .7 from that cell's corner. Column and row of the cell are chosen here.
COLUMN, ROW = 2, 3
RED = np.array([COLUMN + 0.3, ROW + 0.8], np.float32) / 8
BLUE = np.array([COLUMN + 1.8, ROW + 0.7], np.float32) / 8


def encode(codec: codecs.MeanResidualCodec | PIPCodec | HeatmapCodec, *points):
    """Targets of one face of which everything is annotated, without the batch's dimension."""
    face = tf.constant([points], tf.float32)
    targets = codec.encode(face, tf.ones(face.shape[:2]))
    return tf.nest.map_structure(lambda target: target.numpy()[0], targets)


def perfect(codec: PIPCodec, targets: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Targets as the raw maps of a head that predicts them."""
    cells = [len(targets["scores"]), codec.grid, codec.grid]
    return {
        name: tf.broadcast_to(target, [*cells, target.shape[-1]])
        for name, target in targets.items() if name != "neighbours_known"
    }


def test_residuals_are_the_mean_shape_less_the_points() -> None:
    codec = codecs.MeanResidualCodec(np.array([[0.25, 0.5], [0.75, 0.5]]))
    raw = encode(codec, [0.5, 0.5], [0.5, 1.25])
    np.testing.assert_array_equal(raw, [[-0.25, 0], [0.25, -0.75]])
    np.testing.assert_array_equal(codec.decode(raw[None]), [[[0.5, 0.5], [0.5, 1.25]]])


# PIPCodec: targets


def test_figure_4() -> None:
    targets = encode(PIPCodec(np.stack([RED, BLUE]), 8, 1), RED, BLUE)
    red, blue = np.zeros((8, 8)), np.zeros((8, 8))
    red[ROW, COLUMN] = blue[ROW, COLUMN + 1] = 1
    np.testing.assert_array_equal(targets["scores"], np.stack([red, blue], -1))
    own = np.stack([targets["x"], targets["y"]], -1)[0, 0]
    np.testing.assert_allclose(own, [[0.3, 0.8], [0.8, 0.7]], atol=1e-6)
    others = np.stack([targets["neighbour_x"], targets["neighbour_y"]], -1)[0, 0]
    # Of blue, red is the neighbour: a cell to the left, so less than 0.
    np.testing.assert_allclose(others, [[1.8, 0.7], [-0.7, 0.8]], atol=1e-6)


def test_channels_of_neighbours_are_by_point_then_by_rank() -> None:
    """Channel n * C + c, nearest first."""
    points = np.array([[0.1, 0.5], [0.2, 0.5], [0.5, 0.5]], np.float32)
    targets = encode(PIPCodec(points, 2, 2), *points)
    # In cells: 0.2, 0.4 in the first column, 1.0 in the second.
    expected = [0.4, 1.0, 0.2, 1.0, 0.4 - 1, 0.2 - 1]
    np.testing.assert_allclose(targets["neighbour_x"][0, 0], expected, atol=1e-6)
    np.testing.assert_allclose(targets["neighbour_y"][0, 0], np.zeros(6), atol=1e-6)


@pytest.mark.parametrize(
    ("point", "cell", "offset"),
    [
        ((-0.125, 1.25), (0, 7), (-1.0, 3.0)),  # outside: the nearest cell counts
        ((1.5, -0.5), (7, 0), (5.0, -4.0)),
        ((0.0, 1.0), (0, 7), (0.0, 1.0)),  # on the crop's edges
        ((0.5, 0.875), (4, 7), (0.0, 0.0)),  # on edges of cells: the later one
    ],
)
def test_points_at_edges_and_outside(point, cell, offset) -> None:
    codec = PIPCodec(np.array([point]), 8, 0)
    targets = encode(codec, point)
    assert np.argwhere(targets["scores"][..., 0]).tolist() == [[cell[1], cell[0]]]
    assert (targets["x"].item(), targets["y"].item()) == offset
    batch = {name: target[None] for name, target in targets.items()}
    np.testing.assert_array_equal(codec.decode(perfect(codec, batch)), [[point]])


def test_neighbours_that_are_not_annotated_are_not_known() -> None:
    codec = PIPCodec(np.array([[0.1, 0.5], [0.2, 0.5], [0.5, 0.5]]), 4, 2)
    assert codec.neighbours.tolist() == [[1, 2], [0, 2], [1, 0]]
    mask = tf.constant([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    known = codec.encode(tf.zeros([3, 3, 2]), mask)["neighbours_known"].numpy()
    np.testing.assert_array_equal(
        known, [[[0, 1], [1, 1], [0, 1]], np.ones((3, 2)), np.zeros((3, 2))]
    )


def test_coarse_targets() -> None:
    """The same points on 8, 4 and 2 cells a side; outside, the nearest cell counts."""
    codec = PIPCodec(np.zeros((3, 2)), 8, 2)
    points = tf.constant([[RED, BLUE, [1.2, -0.3]]])
    expected = {0: [(3, 2), (3, 3), (0, 7)], 1: [(1, 1), (1, 1), (0, 3)],
                2: [(0, 0), (0, 0), (0, 1)]}
    for level, cells in expected.items():
        scores = codec.encode_coarse(points, level).numpy()
        assert scores.shape == (1, 8 >> level, 8 >> level, 3)
        assert scores.sum() == 3
        assert [scores[0, row, column, n] for n, (row, column) in enumerate(cells)] == [1, 1, 1]
    fine = codec.encode(points, tf.ones([1, 3]))["scores"]
    np.testing.assert_array_equal(codec.encode_coarse(points, 0), fine)


# PIPCodec: predictions


def test_a_point_is_the_mean_of_all_that_predict_it() -> None:
    """Its own prediction, and that of every point whose neighbour it is."""
    codec = PIPCodec(np.array([[0.2, 0.5], [0.3, 0.5], [0.0, 0.5]]), 4, 1)
    assert codec.neighbours.tolist() == [[1], [0], [0]]
    # In the highest cell of each point; elsewhere the maps say nonsense.
    cells = [(1, 2), (2, 2), (3, 0)]  # column and row
    said = {"scores": [0.2, 9.0, -0.1], "x": [0.3, 0.1, 0.5], "y": [0.8, 0.5, 0.25],
            "neighbour_x": [1.8, -0.4, -2.3], "neighbour_y": [0.7, 0.9, 2.2]}
    raw = {name: np.full((1, 4, 4, 3), -5.0, np.float32) for name in said}
    for name, values in said.items():
        for point, (column, row) in enumerate(cells):
            raw[name][0, row, column, point] = values[point]
    expected = np.array([
        # Point 0: own, by 1 and by 2.
        [((1 + 0.3) + (2 - 0.4) + (3 - 2.3)) / 3, ((2 + 0.8) + (2 + 0.9) + (0 + 2.2)) / 3],
        # Point 1: own and by 0.
        [((2 + 0.1) + (1 + 1.8)) / 2, ((2 + 0.5) + (2 + 0.7)) / 2],
        # Point 2: nobody's neighbour.
        [3 + 0.5, 0 + 0.25],
    ])
    np.testing.assert_allclose(codec.decode(raw)[0], expected / 4, atol=1e-6)


def test_without_neighbours_a_point_is_its_own_prediction() -> None:
    codec = PIPCodec(np.array([[0.2, 0.5], [0.3, 0.5]]), 2, 0)
    scores = [[[0.1, 0.9], [0.4, 0.2]], [[0.3, 0.1], [0.2, 0.8]]]  # highest: (1, 0) and (0, 0)
    raw = {"scores": tf.constant([scores]), "x": tf.fill([1, 2, 2, 2], 0.5),
           "y": tf.fill([1, 2, 2, 2], 0.25)}
    np.testing.assert_allclose(codec.decode(raw), [[[0.75, 0.125], [0.25, 0.125]]])


# PIPCodec: neighbours


def test_nearest_points_of_a_square() -> None:
    """Of equally near ones, those with the lower number come first."""
    square = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    everybody = [[1, 3, 2], [0, 2, 3], [1, 3, 0], [0, 2, 1]]
    for count in range(6):
        expected = np.array(everybody)[:, :count]
        np.testing.assert_array_equal(codecs.nearest_points(square, count), expected)


def test_neighbours_by_a_given_order() -> None:
    shape = np.array([[0.2, 0.5], [0.3, 0.5], [0.0, 0.5]])
    order = np.array([[2, 1], [2, 0], [1, 0]])
    assert PIPCodec(shape, 4, 1, order).neighbours.tolist() == [[2], [2], [1]]
    assert PIPCodec(shape, 4, 9, order).neighbours.tolist() == order.tolist()
    points = tf.constant([[[0.2, 0.5], [0.3, 0.6], [0.9, 0.1]]])
    codec = PIPCodec(shape, 4, 2, order)
    targets = codec.encode(points, tf.ones([1, 3]))
    raw = {name: tf.broadcast_to(value, [1, 4, 4, value.shape[-1]])
           for name, value in targets.items() if name != "neighbours_known"}
    np.testing.assert_allclose(codec.decode(raw), points, atol=1e-6)


def test_points_that_coincide_are_neighbours_but_not_their_own() -> None:
    shape = np.array([[0.5, 0.5], [0.9, 0.9], [0.5, 0.5]])
    assert codecs.nearest_points(shape, 2).tolist() == [[2, 1], [0, 2], [0, 1]]
    assert codecs.nearest_points(shape[:1], 10).shape == (1, 0)


def test_distances_are_euclidean() -> None:
    """By the larger difference point 1 would be the nearest; by their sum, point 3 before 1."""
    shape = np.array([[0.0, 0.0], [0.35, 0.35], [0.48, 0.0], [0.0, 0.6]])
    assert codecs.nearest_points(shape, 3)[0].tolist() == [2, 1, 3]


# HeatmapCodec


def test_a_heatmap_by_hand() -> None:
    """1 at the point, exp(-d^2 / (2 sigma^2)) at a distance of d pixels."""
    # In pixels of the map: 2.5 and 1.5 from its corner, the centre of column 2 in row 1.
    found = encode(HeatmapCodec(1, 4, 1.0), [2.5 / 4, 1.5 / 4])[..., 0]
    across = np.exp([-2.0, -0.5, 0, -0.5])
    down = np.exp([-0.5, 0, -0.5, -2.0])
    np.testing.assert_allclose(found, down[:, None] * across, atol=1e-6)
    assert np.argwhere(found == found.max()).tolist() == [[1, 2]]


@pytest.mark.parametrize("sigma", [1.0, 2.0, 4.0])
def test_sigma_is_in_pixels_of_the_map(sigma: float) -> None:
    found = encode(HeatmapCodec(2, 32, sigma), [16.5 / 32, 16.5 / 32], [0.25, 0.25])[..., 0]
    assert found[16, 16] == pytest.approx(1.0)
    assert found[16, 16 + int(sigma)] == pytest.approx(np.exp(-0.5), abs=1e-5)
    assert found[16 - 2 * int(sigma), 16] == pytest.approx(np.exp(-2), abs=1e-5)


@pytest.mark.parametrize(
    ("around", "quarters"),
    [
        # Left, right, above, below the highest pixel -> quarters of a pixel across and down.
        ((0.1, 0.2, 0.4, 0.3), (1, -1)),
        ((0.5, 0.2, 0.3, 0.4), (-1, 1)),
        ((0.2, 0.2, 0.1, 0.3), (0, 1)),
        ((-0.2, -0.3, 0.1, 0.1), (-1, 0)),
    ],
)
def test_a_quarter_towards_the_higher_neighbour(around, quarters) -> None:
    left, right, above, below = around
    raw = np.full((1, 5, 5, 1), -1.0, np.float32)
    raw[0, 2, 1:4, 0] = left, 0.9, right
    raw[0, [1, 3], 2, 0] = above, below
    expected = (2.5 + 0.25 * np.array(quarters)) / 5
    np.testing.assert_allclose(HeatmapCodec(1, 5, 1.0).decode(raw), [[expected]], atol=1e-6)


@pytest.mark.parametrize(
    ("column", "row", "quarters"),
    [(0, 0, (0, 0)), (0, 2, (0, 1)), (4, 2, (0, 1)), (2, 0, (1, 0)), (2, 4, (1, 0)),
     (4, 4, (0, 0)), (3, 3, (1, 1)), (1, 1, (1, 1))],
)
def test_there_is_no_quarter_across_a_border(column: int, row: int, quarters) -> None:
    """Values rise to the right and downwards, also from the end of one row to the next."""
    raw = np.arange(25, dtype=np.float32).reshape(1, 5, 5, 1)
    raw[0, row, column, 0] = 99
    expected = (np.array([column, row]) + 0.5 + 0.25 * np.array(quarters)) / 5
    np.testing.assert_allclose(HeatmapCodec(1, 5, 1.0).decode(raw), [[expected]], atol=1e-6)


def test_points_have_maps_of_their_own() -> None:
    raw = np.zeros((2, 4, 4, 2), np.float32)
    for face, point, row, column in ((0, 0, 1, 2), (0, 1, 3, 0), (1, 0, 0, 3), (1, 1, 2, 1)):
        raw[face, row, column, point] = 1
    found = HeatmapCodec(2, 4, 1.0).decode(raw).numpy() * 4 - 0.5
    np.testing.assert_allclose(found, [[[2, 1], [0, 3]], [[3, 0], [1, 2]]], atol=1e-6)


@pytest.mark.parametrize("maps", ["values", "log_odds"])
@pytest.mark.parametrize(("size", "sigma", "worst"), [(24, 1.0, 0.02), (64, 1.5, 0.02)])
def test_centroids_are_nearly_exact(maps: str, size: int, sigma: float, worst: float) -> None:
    """Within so many pixels of the map, away from the border."""
    codec = HeatmapCodec(1, size, sigma, "centroid", maps)
    reach = np.ceil(3 * sigma) + 1
    points = np.random.default_rng(0).uniform(reach / size, 1 - reach / size, (300, 1, 2))
    raw = codec.encode(tf.constant(points, tf.float32), tf.ones([300, 1])).numpy()
    if maps == "log_odds":
        raw = np.log(np.maximum(raw, 1e-9) / np.maximum(1 - raw, 1e-9))
    assert np.abs(codec.decode(raw).numpy() - points).max() * size < worst


@pytest.mark.parametrize("maps", ["values", "log_odds"])
def test_centroids_of_empty_maps_are_finite(maps: str) -> None:
    codec = HeatmapCodec(2, 8, 1.0, "centroid", maps)
    for value in (0.0, -50.0, 50.0):
        found = codec.decode(np.full((1, 8, 8, 2), value, np.float32)).numpy()
        assert np.isfinite(found).all() and (found >= 0).all() and (found <= 1).all()


def test_a_centroid_by_hand() -> None:
    """On one row of the window: 1, 3 and 4 at -1, 0 and 1 pixels; below 0 nothing counts."""
    raw = np.full((1, 9, 9, 1), -5.0, np.float32)
    raw[0, 4, 4:7, 0] = 1, 3.5, 3
    expected = [(5.5 + 2 / 7.5) / 9, 4.5 / 9]
    codec = HeatmapCodec(1, 9, 1.0, "centroid")
    np.testing.assert_allclose(codec.decode(raw), [[expected]], atol=1e-6)
    # At the border, what has no counterpart outside does not count across it.
    raw = np.zeros((1, 9, 9, 1), np.float32)
    raw[0, 3:6, 0, 0], raw[0, 4, 1, 0] = (1, 4, 2), 3
    expected = [0.5 / 9, (4.5 + 1 / 10) / 9]
    np.testing.assert_allclose(codec.decode(raw), [[expected]], atol=1e-6)


def test_coarse_heatmaps() -> None:
    """Pixels twice as long a level, with a Gaussian of as many of them."""
    codec = HeatmapCodec(1, 16, 1.5)
    points = tf.constant([[[5.0 / 16, 10.0 / 16]]])
    for level in range(3):
        side = 16 >> level
        found = codec.encode_coarse(points, level)
        np.testing.assert_array_equal(
            found, HeatmapCodec(1, side, 1.5).encode(points, tf.ones([1, 1]))
        )
        assert found.shape == (1, side, side, 1)
    column, row = 5 / 16 * 4, 10 / 16 * 4  # on the coarsest map
    squared = (1.5 - column) ** 2 + (2.5 - row) ** 2
    assert found[0, 2, 1, 0].numpy() == pytest.approx(np.exp(-squared / (2 * 1.5**2)), abs=1e-6)


# Properties


def faces_in(low: float, high: float) -> st.SearchStrategy[np.ndarray]:
    """Batches of faces with coordinates between two numbers."""
    shapes = st.tuples(st.integers(1, 3), st.integers(1, 7), st.just(2))
    return arrays(np.float32, shapes, elements=st.floats(low, high, width=32))


@given(points=faces_in(0, 1), grid=st.integers(1, 16), neighbours=st.integers(0, 10))
def test_pip_targets_are_decoded_exactly(points: np.ndarray, grid: int, neighbours: int) -> None:
    codec = PIPCodec(points[0], grid, neighbours)
    raw = perfect(codec, codec.encode(tf.constant(points), tf.ones(points.shape[:2])))
    np.testing.assert_allclose(codec.decode(raw), points, rtol=0, atol=codec.precision)


@given(points=faces_in(-0.5, 1.5), grid=st.integers(1, 16))
def test_pip_targets_outside_the_crop_are_decoded(points: np.ndarray, grid: int) -> None:
    codec = PIPCodec(points[0], grid, 2)
    raw = perfect(codec, codec.encode(tf.constant(points), tf.ones(points.shape[:2])))
    np.testing.assert_allclose(codec.decode(raw), points, rtol=0, atol=codec.precision)


@given(points=faces_in(0, 1), size=st.integers(1, 32), sigma=st.sampled_from([1.0, 2.0, 4.0]),
       decoder=st.sampled_from(codecs.DECODERS))
def test_heatmaps_are_decoded_within_half_a_pixel(
    points: np.ndarray, size: int, sigma: float, decoder: str
) -> None:
    codec = HeatmapCodec(points.shape[1], size, sigma, decoder)
    assert codec.precision == 0.5 / size
    found = codec.decode(codec.encode(tf.constant(points), tf.ones(points.shape[:2]))).numpy()
    np.testing.assert_allclose(found, points, rtol=0, atol=codec.precision + 1e-6)
    # Away from the border the quarter halves that.
    inside = (points > 1 / size) & (points < 1 - 1 / size)
    if decoder == "quarter":
        assert np.abs(found - points)[inside].max(initial=0) < 0.25 / size + 1e-4


@given(
    arrays(np.float32, st.tuples(st.integers(1, 3), st.just(3), st.just(3), st.integers(1, 4)),
           elements=st.sampled_from([-1.0, 0.0, 2.0]))
)
def test_of_equal_scores_the_first_cell_is_taken(scores: np.ndarray) -> None:
    found = codecs.best_cells(tf.constant(scores)).numpy()
    for face, point in np.ndindex(found.shape):
        cells = scores[face, ..., point].ravel().tolist()
        assert found[face, point] == cells.index(max(cells))


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.data())
def test_cells_are_read_by_point(grid: int, points: int, maps: int, data: st.DataObject) -> None:
    values = np.arange(2 * grid**2 * points * maps).reshape(2, grid, grid, points * maps)
    cell = data.draw(arrays(np.int32, (2, points), elements=st.integers(0, grid**2 - 1)))
    found = codecs.at_cells(tf.constant(values), tf.constant(cell)).numpy()
    for face, point, k in np.ndindex(found.shape):
        row, column = divmod(int(cell[face, point]), grid)
        assert found[face, point, k] == values[face, row, column, point * maps + k]
