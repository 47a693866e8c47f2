from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from efld_tf.annotations import sources
from efld_tf.annotations.synthetic.render import render_face
from efld_tf.errors import EfldError
from efld_tf.landmarks import align, geometry, schemas
from tests.errors import refuses
from tests.faces import mean_shape
from tests.landmarks.blobs import blob_image, centroid

TEMPLATE = np.array([*align.TEMPLATE.values()])


def _similarity(scale: float, angle: float, shift: tuple[float, float]) -> np.ndarray:
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[cos, -sin, shift[0]], [sin, cos, shift[1]]])


similarities = st.builds(
    _similarity, st.floats(0.05, 20), st.floats(-np.pi, np.pi),
    st.tuples(st.floats(-500, 500), st.floats(-500, 500)),
)


@given(similarities)
def test_a_template_that_was_moved_comes_back(matrix: np.ndarray) -> None:
    moved = geometry.apply_affine(matrix, TEMPLATE)
    found = align.similarity(moved, TEMPLATE)
    np.testing.assert_allclose(geometry.apply_affine(found, moved), TEMPLATE, atol=1e-8)
    np.testing.assert_allclose(found, geometry.invert_affine(matrix), atol=1e-6, rtol=1e-6)


@given(similarities, st.integers(0, 1000))
def test_it_is_that_of_least_squares(matrix: np.ndarray, seed: int) -> None:
    """Umeyama's own solution by the singular values, and no worse than small changes of it."""
    rng = np.random.default_rng(seed)
    source = geometry.apply_affine(matrix, TEMPLATE + rng.normal(0, 4, TEMPLATE.shape))
    found = align.similarity(source, TEMPLATE)
    x, y = source - source.mean(axis=0), TEMPLATE - TEMPLATE.mean(axis=0)
    u, d, vt = np.linalg.svd(y.T @ x / len(x))
    sign = np.diag([1, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    linear = np.trace(np.diag(d) @ sign) / (x**2).sum(axis=1).mean() * u @ sign @ vt
    np.testing.assert_allclose(found[:, :2], linear, rtol=1e-6, atol=1e-9)

    def error(candidate: np.ndarray) -> float:
        return ((geometry.apply_affine(candidate, source) - TEMPLATE) ** 2).sum()

    for change in (_similarity(1.01, 0, (0, 0)), _similarity(1, 0.01, (0, 0)),
                   _similarity(1, 0, (0.1, -0.1))):
        assert error(geometry.compose_affines(change, found)) >= error(found)


@given(similarities, st.integers(0, 1000))
def test_nothing_is_reflected(matrix: np.ndarray, seed: int) -> None:
    """A mirrored face is turned and scaled at most, so that it is seen that it does not fit."""
    rng = np.random.default_rng(seed)
    mirrored = TEMPLATE * [-1, 1] + rng.normal(0, 2, TEMPLATE.shape)
    source = geometry.apply_affine(matrix, mirrored)
    try:
        found = align.similarity(source, TEMPLATE)
    except EfldError:
        return
    assert np.linalg.det(found[:, :2]) > 0
    assert abs(geometry.apply_affine(found, source) - TEMPLATE).max() > 5


@pytest.mark.parametrize(("points", "reason"), [
    (np.ones((5, 2)), "coincide"),
    (np.full((5, 2), np.nan), "missing"),
    (np.full((5, 2), np.inf), "missing"),
    (np.array([[0, 0], [1, 0], [np.nan, 1], [0, 2], [1, 2]], float), "missing"),
])
def test_points_of_no_face(points: np.ndarray, reason: str) -> None:
    with refuses("align", reason):
        align.similarity(points, TEMPLATE)


@pytest.mark.parametrize("name", sorted({*schemas.names()} - {"menpo39", "scut86"}))
def test_every_schema_has_its_points_where_the_template_has(name: str) -> None:
    schema = schemas.get(name)
    found = align.five_points(mean_shape(name), schema)
    assert set(found) == {*align.TEMPLATE} - ({"nose_tip"} if not schema.nose_tip else set())
    assert found["right_eye"][0] < found["left_eye"][0]  # the person's right is on the left
    assert found["mouth_right"][0] < found["mouth_left"][0]
    assert found["right_eye"][1] < found["mouth_right"][1]


def test_real_faces_without_a_nose_tip_in_their_schema(shared_data: Path) -> None:
    schema = schemas.get("scut86")
    records = islice(sources.stream(f"scut:{shared_data / 'scut_fbp5500'}"), 20)
    for record in records:
        found = align.five_points(record.points, schema)
        assert len(found) == 4 and "nose_tip" not in found
        target = np.array([align.TEMPLATE[name] for name in found])
        matrix = align.similarity(np.array([*found.values()]), target)
        # These are frontal faces: their eyes and mouths are close to the template's.
        placed = geometry.apply_affine(matrix, np.array([*found.values()]))
        assert abs(placed - target).max() < 8


@pytest.mark.parametrize("angle", [0.0, 0.7, 3.0])
def test_a_rendered_face_is_upright_in_its_place(angle: float) -> None:
    face = render_face(3, 2, 256)
    turn = _similarity(1, angle, (0, 0))
    turn[:, 2] = [255, 255] - turn[:, :2] @ [127.5, 127.5]
    image = geometry.extract_aligned(face.image, turn, 511)
    schema = schemas.get("ibug68")
    points = geometry.apply_affine(turn, face.points["ibug68"])
    aligned = align.align(image, points, schema)
    reference = align.align(face.image, face.points["ibug68"], schema)
    assert aligned.shape == (112, 112, 3) and aligned.dtype == np.uint8
    middle = slice(30, 100)  # what is outside of the photo differs
    difference = abs(aligned[middle, middle].astype(int) - reference[middle, middle])
    assert difference.mean() < 4


@given(
    scale=st.floats(0.1, 3), angle=st.floats(-np.pi, np.pi), x=st.floats(35, 75),
    y=st.floats(35, 75),
)
def test_a_marker_lands_where_the_matrix_says(
    scale: float, angle: float, x: float, y: float
) -> None:
    """To sub-pixels, however much it shrinks or is turned."""
    place = np.array([x, y])
    matrix = _similarity(scale, angle, (0, 0))
    matrix[:, 2] = place - matrix[:, :2] @ [400.3, 380.6]
    image = blob_image(800, 700, 400.3, 380.6, 3 / scale)
    found = centroid(geometry.extract_aligned(image, matrix, 112))
    np.testing.assert_allclose(found, place, atol=0.08 + scale / 32)


def test_shrinking_does_not_alias() -> None:
    stripes = np.zeros((900, 900, 3), np.uint8)
    stripes[:, ::2] = 255
    for angle in (0.0, 0.4):
        matrix = _similarity(0.2, angle, (0, 0))
        matrix[:, 2] = [56, 56] - matrix[:, :2] @ [450, 450]
        found = geometry.extract_aligned(stripes, matrix, 112).astype(float)
        assert abs(found[20:90, 20:90] - 127.5).max() < 30


def test_squares_outside_and_absurd_ones() -> None:
    image = np.full((50, 60, 3), 200, np.uint8)
    far = _similarity(1, 0.3, (5000, 0))
    assert not geometry.extract_aligned(image, far, 112).any()
    with refuses("crop", "1120000 px", "60 x 50"):
        geometry.extract_aligned(image, _similarity(1e-4, 0, (0, 0)), 112)
