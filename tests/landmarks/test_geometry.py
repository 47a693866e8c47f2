from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from efld_tf import trees
from efld_tf.landmarks import geometry, schemas
from efld_tf.landmarks.geometry import Crop, CropRule
from tests.errors import refuses
from tests.landmarks.blobs import blob_image, centroid

coordinates = st.floats(-1000, 1000)
crops = st.builds(Crop, coordinates, coordinates, st.floats(1, 2000),
                  st.just(0.0) | st.floats(-np.pi, np.pi))
rectangles = st.builds(Crop, coordinates, coordinates, st.floats(1, 2000), st.just(0.0),
                       st.floats(0.1, 10))
points = arrays(np.float64, (7, 2), elements=coordinates)
affines = arrays(np.float64, (2, 3), elements=st.floats(-10, 10))


@given(crops | rectangles, points)
def test_unit_round_trip(crop: Crop, xy: np.ndarray) -> None:
    np.testing.assert_allclose(crop.from_unit(crop.to_unit(xy)), xy, atol=1e-6)


@given(crops | rectangles, points, st.integers(1, 512))
def test_affine_agrees_with_the_unit_square(crop: Crop, xy: np.ndarray, size: int) -> None:
    # Pixel j of the crop has its centre at u = (j + 0.5) / size.
    pixels = geometry.apply_affine(crop.affine(size), xy)
    np.testing.assert_allclose((pixels + 0.5) / size, crop.to_unit(xy), rtol=1e-9, atol=1e-6)


def test_a_turned_crop_by_hand() -> None:
    # Turned by a quarter clockwise: its x goes down the image, its y to the left.
    crop = Crop(10.0, 20.0, 8.0, np.pi / 2)
    np.testing.assert_allclose(crop.origin, [14, 16])
    np.testing.assert_allclose(crop.from_unit(np.array([[1.0, 0], [0, 1]])), [[14, 24], [6, 16]])
    image = np.random.default_rng(0).integers(0, 256, (48, 48, 3), np.uint8)
    whole = geometry.extract_crop(image, Crop(23.5, 23.5, 48, np.pi / 2), 48)
    np.testing.assert_array_equal(whole, np.rot90(image))
    shrunk = geometry.extract_crop(image, Crop(23.5, 23.5, 48, np.pi / 2), 12)
    upright = geometry.extract_crop(image, Crop(23.5, 23.5, 48), 12)
    assert np.abs(shrunk.astype(int) - np.rot90(upright)).max() <= 1


def test_a_rectangle_by_hand() -> None:
    """8 wide and 16 high about (10, 20)."""
    crop = Crop(10.0, 20.0, 8.0, aspect=2.0)
    np.testing.assert_array_equal(crop.sides, [8, 16])
    np.testing.assert_array_equal(crop.origin, [6, 12])
    np.testing.assert_array_equal(crop.axes, [[8, 0], [0, 16]])
    here = np.array([[6.0, 12], [14, 28], [8, 20]])
    there = np.array([[0.0, 0], [1, 1], [0.25, 0.5]])
    np.testing.assert_array_equal(crop.to_unit(here), there)
    np.testing.assert_array_equal(crop.from_unit(there), here)
    # Pixels of 32: 4 a pixel in x, 2 in y; the corner is half a pixel before the first centre.
    np.testing.assert_array_equal(crop.affine(32), [[4, 0, -24.5], [0, 2, -24.5]])
    assert crop.scaled(1.5) == Crop(10, 20, 12, aspect=2)
    assert crop.within(Crop(0.5, 0.25, 0.5)) == Crop(10, 16, 4, aspect=2)
    assert Crop(10, 20, 8).within(Crop(0.5, 0.25, 0.5, aspect=2)) == Crop(10, 18, 4, aspect=2)


def test_pixels_are_stretched() -> None:
    image = np.random.default_rng(0).integers(0, 256, (24, 48, 3), np.uint8)
    crop = Crop(23.5, 11.5, 48, aspect=0.5)
    shrunk = geometry.extract_crop(image, crop, 24)  # in x alone
    pairs = image.reshape(24, 24, 2, 3).astype(float).mean(axis=2)
    assert np.abs(shrunk - pairs).max() <= 0.5
    wide = geometry.extract_crop(image, crop, 48)
    enlarged = cv2.resize(image, (48, 48), interpolation=cv2.INTER_LINEAR)
    assert np.abs(wide[2:-2].astype(int) - enlarged[2:-2]).max() <= 4  # in y alone
    # Beyond the image it is black, not cut off.
    low = geometry.extract_crop(image, Crop(23.5, 23.5, 48, aspect=1.0), 48)
    lower = geometry.extract_crop(image, Crop(23.5, 23.5, 48, aspect=0.5), 48)
    assert not low[25:].any() and not lower[26:].any() and lower[:22].any()


@given(rectangles, st.floats(-np.pi, np.pi))
def test_only_squares_are_turned(crop: Crop, angle: float) -> None:
    assume(crop.aspect != 1 and angle != 0)
    for turn in (
        lambda: Crop(0, 0, 1, angle, crop.aspect),
        lambda: crop.within(Crop(0.5, 0.5, 1, angle)),
        lambda: Crop(0, 0, 1, angle).within(crop),
        lambda: crop.around(Crop(0.5, 0.5, 1)),
        lambda: Crop(0, 0, 1).around(crop),
    ):
        with refuses("squares", f"{crop.aspect:g}"):
            turn()


def test_only_similarities_are_crops() -> None:
    for matrix in ([[2, 0, 0], [0, 1, 0]], [[1, 0.5, 0], [0, 1, 0]], [[1, 0, 0], [0, -1, 0]]):
        with refuses("similarity"):
            Crop.of_similarity(np.array(matrix, float), 32)


@given(crops, crops, points)
def test_a_crop_in_a_crop(outer: Crop, inner: Crop, xy: np.ndarray) -> None:
    inner = Crop(inner.center_x / 1000, inner.center_y / 1000, inner.side / 1000, inner.angle)
    there = outer.within(inner).to_unit(xy)
    assert np.allclose(there, inner.to_unit(outer.to_unit(xy)),
                       rtol=1e-6, atol=1e-6 * (1 + 1 / inner.side / outer.side))


@given(crops, st.integers(1, 512))
def test_a_similarity_is_a_crop(crop: Crop, size: int) -> None:
    again = Crop.of_similarity(crop.affine(size), size)
    np.testing.assert_allclose(again.affine(size), crop.affine(size), rtol=1e-6, atol=1e-6)


def test_a_crop_of_the_whole_image_keeps_its_pixels() -> None:
    image = np.random.default_rng(0).integers(0, 256, (48, 48, 3), np.uint8)
    crop = Crop(23.5, 23.5, 48)  # from the outer corner -0.5 to 47.5
    np.testing.assert_array_equal(crop.origin, [-0.5, -0.5])
    np.testing.assert_array_equal(geometry.extract_crop(image, crop, 48), image)
    np.testing.assert_allclose(crop.to_unit(np.array([0, 47])), [0.5 / 48, 47.5 / 48])


@given(affines, points)
def test_inverse(matrix: np.ndarray, xy: np.ndarray) -> None:
    (a, b), (c, d) = matrix[:, :2]
    assume(abs(a * d - b * c) > 0.1)
    there = geometry.apply_affine(matrix, xy)
    np.testing.assert_allclose(
        geometry.apply_affine(geometry.invert_affine(matrix), there), xy, atol=1e-4
    )


@given(affines, affines, points)
def test_composition(second: np.ndarray, first: np.ndarray, xy: np.ndarray) -> None:
    composed = geometry.apply_affine(geometry.compose_affines(second, first), xy)
    stepwise = geometry.apply_affine(second, geometry.apply_affine(first, xy))
    np.testing.assert_allclose(composed, stepwise, rtol=1e-9, atol=1e-6)


@given(
    side=st.floats(25, 600),
    size=st.integers(24, 160),
    x=st.floats(60, 180),
    y=st.floats(60, 140),
    at=st.tuples(st.floats(0.3, 0.7), st.floats(0.3, 0.7)),
    angle=st.just(0.0) | st.floats(-np.pi, np.pi),
)
def test_extract_crop_moves_a_marker_to_the_predicted_place(
    side: float, size: int, x: float, y: float, at: tuple[float, float], angle: float
) -> None:
    """Sub-pixel accuracy, enlarged and shrunk, for crops inside and partly outside the image."""
    crop = Crop(x + (0.5 - at[0]) * side, y + (0.5 - at[1]) * side, side, angle)
    scale = size / side
    sigma = min(max(1.2, 1.2 / scale), 0.06 * side)  # wide enough to sample, inside the crop
    assume(sigma * scale > 0.7 and sigma < 15)
    image = blob_image(240, 200, x, y, sigma)
    found = centroid(geometry.extract_crop(image, crop, size))
    expected = crop.to_unit(np.array([x, y])) * size - 0.5
    # OpenCV steps through the source in 1/32 pixels.
    np.testing.assert_allclose(found, expected, atol=0.08 + scale / 32)


@pytest.mark.parametrize("side", [20.0, 100.0, 900.0])
def test_a_crop_that_misses_the_image_is_black(side: float) -> None:
    image = np.full((60, 80, 3), 255, np.uint8)
    for x, y in ((-1000, 30), (2000, 30), (40, -1000), (40, 2000)):
        assert not geometry.extract_crop(image, Crop(x, y, side), 64).any()


@given(st.floats(-400, 400), st.floats(-400, 400), st.floats(1, 1500), st.integers(1, 96))
def test_any_crop_has_its_size(x: float, y: float, side: float, size: int) -> None:
    image = np.full((60, 80, 3), 200, np.uint8)
    crop = geometry.extract_crop(image, Crop(x, y, side), size)
    assert crop.shape == (size, size, 3) and crop.dtype == np.uint8 and crop.max() <= 200


@pytest.mark.parametrize(("side", "size"), [(120.0, 100), (400.0, 64), (300.0, 100)])
def test_a_crop_half_outside_is_black_there_and_unchanged_inside(side: float, size: int) -> None:
    image = np.full((1000, 1000, 3), 200, np.uint8)
    crop = geometry.extract_crop(image, Crop(0, 500, side), size)
    middle = size // 2
    assert not crop[:, : middle - 2].any()
    assert (crop[:, middle + 2 :] == 200).all()


def test_shrinking_does_not_alias() -> None:
    stripes = np.zeros((400, 400, 3), np.uint8)
    stripes[:, ::2] = 255
    crop = geometry.extract_crop(stripes, Crop(200, 200, 300), 60)
    assert abs(crop.astype(float) - 127.5).max() < 30


@given(
    arrays(np.float64, (2,), elements=st.floats(12, 87)),
    st.integers(100, 140),
)
def test_mirror_agrees_with_the_mirrored_image(xy: np.ndarray, width: int) -> None:
    schema = schemas.get("mtfl5")
    image = blob_image(width, 100, xy[0], xy[1], 2)
    truth = np.tile(xy, (5, 1))
    np.testing.assert_allclose(
        centroid(image[:, ::-1]), schema.mirror(truth, width)[0], atol=0.02
    )


def test_mirror_exchanges_left_and_right() -> None:
    schema = schemas.get("mtfl5")
    face = np.array([[10, 10], [30, 11], [20, 20], [12, 30], [28, 31]], float)
    expected = [[19, 11], [39, 10], [29, 20], [21, 31], [37, 30]]
    np.testing.assert_array_equal(schema.mirror(face, 50), expected)


def test_crop_rule() -> None:
    rule = CropRule("points", "ibug68", scale=1.5, offset_x=0.1, offset_y=-0.2)
    assert rule.name == "ibug68-points"
    assert rule.crop(np.array([10, 20, 30, 60])) == Crop(20 + 4, 40 - 8, 60)
    assert Crop(1, 2, 10).scaled(1.5) == Crop(1, 2, 15)


@pytest.mark.parametrize(
    "box", [[0, 0, 0, 0], [5, 5, 1, 1], [0, 0, np.nan, 1], [0, 0, np.inf, 1]]
)
def test_crop_rule_refuses_bad_boxes(box: list[float]) -> None:
    with refuses("face box", np.array(box, float).tolist()):
        CropRule("points", "ibug68", 1.5).crop(np.array(box, float))


STRETCHED = CropRule("points", "ibug68", None, 0.25, 0.1, 1.0, scale_x=1.5, scale_y=0.8)


def test_a_rule_that_stretches() -> None:
    """A box of 20 x 40 gives a crop of 30 x 32, moved by a quarter of 20 and a tenth of 40."""
    crop = STRETCHED.crop(np.array([10, 20, 30, 60]))
    assert crop == Crop(20 + 5, 40 + 4, 30, aspect=32 / 30)
    np.testing.assert_allclose(crop.sides, [30, 32])
    assert STRETCHED.scales == (1.5, 0.8) and STRETCHED.stretched
    with refuses("tracking", "ibug68-points", "scale_x"):
        STRETCHED.need_scale("tracking")
    for box in ([5, 5, 5, 20], [5, 5, 20, 5], [0, 0, 1, 20]):
        with refuses("face box"):
            STRETCHED.crop(np.array(box, float))


def test_the_top_of_a_box_can_be_left_out() -> None:
    """A box without the upper fifth is one of 0.8 times the height, a tenth further down."""
    rule = CropRule("file", "ibug68", None, 0.0, 0.1, scale_x=1.0, scale_y=0.8)
    np.testing.assert_allclose(
        rule.crop(np.array([10, 100, 60, 200])).from_unit(np.array([[0.0, 0], [1, 1]])),
        [[10, 120], [60, 200]])


def test_files_of_rules() -> None:
    """Squares are written as ever; of the others, no reader can take one scale for both."""
    square = CropRule("points", "ibug68", 1.5, 0.1, -0.2, 1.3)
    assert list(square.fields().items()) == [
        ("box", "points"), ("schema", "ibug68"), ("scale", 1.5), ("offset_x", 0.1),
        ("offset_y", -0.2), ("zoom", 1.3)]
    assert "scale" not in STRETCHED.fields()
    for rule in (square, STRETCHED):
        assert trees.from_tree(rule.fields(), CropRule) == rule
    older = dataclasses.make_dataclass("Older", [
        ("box", str), ("schema", str), ("scale", float), ("offset_x", float, 0.0),
        ("offset_y", float, 0.0), ("zoom", float, 1.0)], frozen=True)
    assert trees.from_tree(square.fields(), older)
    with refuses("scale_x"):
        trees.from_tree(STRETCHED.fields(), older)


def test_crop_rule_checks_its_scales() -> None:
    for scales, told in [
        ({}, "scale"), ({"scale_x": 1.0}, "scale_y"), ({"scale_y": 1.0}, "scale_x"),
        ({"scale": 1.0, "scale_x": 1.0, "scale_y": 1.0}, "scale_x"),
        ({"scale_x": 1.0, "scale_y": 0.0}, "scale_y"),
        ({"scale_x": 1e3, "scale_y": 1.0}, "scale_x"),
    ]:
        with refuses(told):
            CropRule("points", "ibug68", **scales)


def test_crop_rule_checks_its_fields() -> None:
    with refuses("box", "tight", "points", "file"):
        CropRule("tight", "ibug68", 1.5)
    for scale in (0, -1, float("nan")):
        with refuses("scale", scale):
            CropRule("file", "ibug68", scale)


def test_tight_box() -> None:
    box = geometry.tight_box(np.array([[3, 9], [1, 4], [2, 7]]))
    np.testing.assert_array_equal(box, [1, 4, 3, 9])


def test_an_absurd_crop_is_refused_and_a_distant_one_is_black() -> None:
    image = np.full((20, 30, 3), 200, np.uint8)
    with refuses("crop", "1000000 px", "30 x 20"):
        geometry.extract_crop(image, geometry.Crop(10, 10, 1e6), 64)
    for size in (0.0, float("nan")):
        with refuses("crop", f"{size:g} px"):
            geometry.extract_crop(image, geometry.Crop(10, 10, size), 64)
    assert not geometry.extract_crop(image, geometry.Crop(1e5, 10, 50), 64).any()


def test_a_very_wide_image_can_be_cropped() -> None:
    """OpenCV's warp alone refuses more than 32767 pixels."""
    image = np.zeros((60, 40000, 3), np.uint8)
    image[20:40, 39000:39020] = 255
    found = geometry.extract_crop(image, geometry.Crop(39009.5, 29.5, 40), 40)
    assert found[12:28, 12:28].min() == 255 and found[:8].max() == 0
