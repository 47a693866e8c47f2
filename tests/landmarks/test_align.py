from __future__ import annotations

from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from efld_tf.annotations import sources
from efld_tf.annotations.synthetic.render import render_face
from efld_tf.errors import EfldError
from efld_tf.landmarks import align, geometry, mean_head, pose, schemas
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


# -- By all inner points, and by the head in space -------------------------------------------------


def _turned(yaw: float, pitch: float = 0.0, roll: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """The points and depths of the mean head, in pixels."""
    rotation = (pose.axes(yaw, pitch, roll) * [1, -1, 1]).T
    placed = mean_head.Placed(60.0, rotation, np.array([130.0, 110.0]))
    head = mean_head.mean_head()
    return placed.project(head), placed.scale * head @ rotation[2]


def test_all_ways_are_one_for_the_mean_head_from_in_front() -> None:
    points, depth = _turned(0)
    schema = schemas.get("ibug68_3d")
    first, *others = (align.matrix(points, schema, align.Alignment(by), depth) for by in align.WAYS)
    for other in others:
        np.testing.assert_allclose(other, first, atol=1e-6)


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("yaw", [-85.0, -50.0, 0.0, 50.0, 85.0])
def test_by_the_head_a_face_keeps_its_size_and_place(yaw: float, deep: bool) -> None:
    points, depth = _turned(yaw, 15, 30)
    schema, by_head = schemas.get("ibug68_3d"), align.Alignment("head")
    found = align.matrix(points, schema, by_head, depth if deep else None)
    front = align.matrix(_turned(0)[0], schema, by_head)
    assert np.linalg.det(found[:, :2]) == pytest.approx(np.linalg.det(front[:, :2]))
    head = mean_head.mean_head()
    rotation = (pose.axes(yaw, 15, 30) * [1, -1, 1]).T
    placed = mean_head.Placed(60.0, rotation, np.array([130.0, 110.0]))
    five = np.array([*align.five_points(head, schema).values()])
    middle = geometry.apply_affine(found, placed.project(five.mean(axis=0)))
    np.testing.assert_allclose(middle, TEMPLATE.mean(axis=0), atol=0.2)
    low, high = geometry.apply_affine(found, placed.project(np.array([[0, 0, 0], [0, 1, 0]])))
    assert abs(low[0] - high[0]) < 0.01 * (low[1] - high[1])  # the template is tilted so far


def test_by_points_in_the_plane_profiles_are_shrunk_and_tilted() -> None:
    schema = schemas.get("ibug68_3d")
    for by in ("five", "inner"):
        front, turned = (align.matrix(_turned(yaw)[0], schema, align.Alignment(by))[:, :2]
                         for yaw in (0, 85))
        assert np.linalg.det(turned) < 0.85 * np.linalg.det(front)
        tilts = [np.degrees(np.arctan2(one[1, 0], one[0, 0])) for one in (front, turned)]
        assert abs(tilts[1] - tilts[0]) > 2


def test_an_error_of_one_point_matters_less_by_all_of_them() -> None:
    schema, rng = schemas.get("ibug51"), np.random.default_rng(0)
    points = _turned(0)[0][17:]
    moves = []
    for by in align.WAYS:
        alignment, changes = align.Alignment(by), []
        for _ in range(20):
            noisy = points + rng.normal(0, 2, points.shape)
            placed = geometry.apply_affine(align.matrix(noisy, schema, alignment), points)
            true = geometry.apply_affine(align.matrix(points, schema, alignment), points)
            changes.append(np.linalg.norm(placed - true, axis=-1).mean())
        moves.append(np.mean(changes))
    assert moves[1] < 0.8 * moves[0] and moves[2] < 0.9 * moves[0]


@pytest.mark.parametrize("by", ["inner", "head"])
def test_points_that_are_missing_are_left_out(by: str) -> None:
    schema = schemas.get("ibug68")
    points, _ = _turned(20)
    whole = align.matrix(points, schema, align.Alignment(by))
    points[[3, 20, 66]] = np.nan
    np.testing.assert_allclose(
        align.matrix(points, schema, align.Alignment(by)), whole, atol=0.4)


def test_sizes_and_templates() -> None:
    image = np.zeros((240, 260, 3), np.uint8)
    points, _ = _turned(0)
    schema = schemas.get("ibug68_3d")
    small, large = (align.matrix(points, schema, align.Alignment(size=size)) for size in (112, 224))
    corner = geometry.apply_affine(small, np.array([[77.0, 60.0]]))
    np.testing.assert_allclose(
        geometry.apply_affine(large, np.array([[77.0, 60.0]])), 2 * corner + 0.5, atol=1e-6)
    assert align.align(image, points, schema, align.Alignment(size=90)).shape == (90, 90, 3)
    moved = {name: (x + 5, y - 3) for name, (x, y) in align.TEMPLATE.items()}
    found = align.matrix(points, schema, align.Alignment("head", template=moved))
    np.testing.assert_allclose(found - align.matrix(points, schema, align.Alignment("head")),
                               [[0, 0, 5], [0, 0, -3]], atol=1e-6)


@pytest.mark.parametrize("border", align.BORDERS)
@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_borders(border: str, scale: float) -> None:
    """A face at the corner of a picture of one colour."""
    image = np.full((round(150 * scale), round(140 * scale), 3), 200, np.uint8)
    points = (_turned(0)[0] - [100, 90]) * scale
    aligned = align.align(image, points, schemas.get("ibug68_3d"), align.Alignment(border=border))
    assert (aligned[60:, 70:] == 200).all()
    assert (aligned[0, 0] == (0 if border == "black" else 200)).all()


@pytest.mark.parametrize("shift", [-170, -40, 0, 60, 190])
def test_a_mirrored_border_is_mirrored_at_the_picture_s_edge(shift: int) -> None:
    """However much of it is continued: columns go up to the edge and down again."""
    image = np.arange(100, dtype=np.uint8)[None, :, None].repeat(90, 0).repeat(3, 2)
    wide = cv2.copyMakeBorder(image, 300, 300, 300, 300, cv2.BORDER_REFLECT_101)
    schema, mirrored = schemas.get("ibug68_3d"), align.Alignment(border="mirror")
    points = _turned(0)[0] * 0.7 + [shift - 40, -30]
    expected = align.align(wide, points + 300, schema)
    found = align.align(image, points, schema, mirrored)
    np.testing.assert_allclose(found.astype(int), expected, atol=1)


def test_no_picture_is_continued_without_end() -> None:
    image = np.zeros((50, 50, 3), np.uint8)
    points = _turned(0)[0] * 20
    assert align.align(image, points, schemas.get("ibug68_3d")).shape == (112, 112, 3)
    with refuses("align", "border", 4):
        align.align(image, points, schemas.get("ibug68_3d"), align.Alignment(border="repeat"))


@pytest.mark.parametrize(("options", "facts"), [
    ({"by": "nose"}, ("by", "'nose'", "five", "inner", "head")),
    ({"border": "white"}, ("border", "'white'", "repeat")),
    ({"size": 0}, ("size", 0, 1024)), ({"size": 2000}, ("size", 2000)),
    ({"size": 100.5}, ("size", 100.5)), ({"size": "112"}, ("size", "'112'")),
    ({"template": {name: (x / 112, y / 112) for name, (x, y) in align.TEMPLATE.items()}},
     ("template", "right_eye", "mouth")),
    ({"template": {**align.TEMPLATE, "left_eye": (20, 50)}}, ("template", "left_eye")),
    ({"template": {**align.TEMPLATE, "left_eye": (9000, 50)}}, ("left_eye", 112, "9000")),
    ({"template": {"nose": (1, 2)}}, ("template", "nose", "right_eye")),
    ({"template": {**align.TEMPLATE, "nose_tip": (1, 2, 3)}}, ("nose_tip",)),
    ({"template": {**align.TEMPLATE, "nose_tip": (1, np.nan)}}, ("nose_tip", "nan")),
])
def test_other_alignments_are_refused(options: dict, facts: tuple) -> None:
    with refuses(*facts):
        align.Alignment(**options)


def test_templates_in_files(tmp_path: Path) -> None:
    path = tmp_path / "template.yaml"
    path.write_text("\n".join(f"{name}: [{x}, {y}]" for name, (x, y) in align.TEMPLATE.items()))
    assert {name: tuple(place) for name, place in align.read_template(path).items()} \
        == align.TEMPLATE
    for text, facts in (("nose_tip: [1, 2]", ("right_eye", "nose_tip")), ("[1, 2]", ("mapping",)),
                        ("right_eye: left", ("right_eye", "list"))):
        path.write_text(text)
        with refuses(*facts, path=path):
            align.read_template(path)


@pytest.mark.parametrize(("schema", "by"), [
    ("scut86", "head"), ("menpo39", "head"), ("menpo39", "inner")])
def test_heads_need_their_places(schema: str, by: str) -> None:
    with refuses("alignment"):
        align.check(schemas.get(schema), align.Alignment(by))


@pytest.mark.parametrize("by", align.WAYS)
def test_a_face_without_points_is_refused(by: str) -> None:
    with refuses("missing" if by != "head" else "head"):
        align.matrix(np.full((51, 2), np.nan), schemas.get("ibug51"), align.Alignment(by))
