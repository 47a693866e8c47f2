"""Annotations converted to another schema, and schemas written and read again."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from efld_tf.landmarks import schemas
from efld_tf.landmarks.schema_fields import from_fields, to_fields
from tests.errors import refuses

WFLW = schemas.get("wflw98")
IBUG = schemas.get("ibug68")


def some_points(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 200, (98, 2))


def to_68(points: np.ndarray) -> np.ndarray:
    return WFLW.convert(points, None, "ibug68")[0]


def test_wflw_becomes_68_points_as_in_pipnet() -> None:
    points = some_points()
    found = to_68(points)
    assert found.shape == (68, 2)
    # Every other point of the jaw; the outer ends of brows, nose, eye corners and mouth unchanged.
    same = {
        **{i: 2 * i for i in range(17)}, 17: 33, 26: 46,
        **{27 + i: 51 + i for i in range(9)}, 36: 60, 39: 64, 42: 68, 45: 72,
        **{48 + i: 76 + i for i in range(20)},
    }  # fmt: skip
    for target, source in same.items():
        np.testing.assert_allclose(found[target], points[source], rtol=1e-12)
    # Brows between their upper and lower edge.
    for target, pair in {18: (34, 41), 21: (37, 38), 22: (42, 50), 25: (45, 47)}.items():
        np.testing.assert_allclose(found[target], points[list(pair)].mean(axis=0))
    # Eyelids: four of 68 points where WFLW has six, a third of the way between two neighbours.
    for target, (near, far) in {37: (61, 62), 38: (63, 62), 40: (65, 66), 44: (71, 70)}.items():
        np.testing.assert_allclose(found[target], (2 * points[near] + points[far]) / 3)


def test_converted_names_mean_the_same_part() -> None:
    part_of = {i: part.name for part in WFLW.parts for i in part.points}
    for part in IBUG.parts:
        for index in part.points:
            for source in WFLW.conversions["ibug68"].points[index]:
                assert part_of[source] == part.name, IBUG.names[index]


def test_an_eyelid_drawn_as_an_ellipse_keeps_its_shape() -> None:
    points = some_points()
    angle = np.pi + np.pi / 4 * np.arange(8)  # from the outer corner over the upper lid
    points[60:68] = np.stack([100 + 20 * np.cos(angle), 50 + 8 * np.sin(angle)], axis=-1)
    lid = to_68(points)[36:42]
    assert (np.diff(lid[:4, 0]) > 0).all() and (np.diff(lid[3:, 0]) < 0).all()
    assert lid[1, 1] == pytest.approx(lid[2, 1]) and lid[1, 1] < 50 < lid[4, 1]
    assert lid[1, 0] + lid[2, 0] == pytest.approx(200)  # symmetric about the eye's middle


@given(
    angle=st.floats(-np.pi, np.pi), scale=st.floats(0.1, 10), x=st.floats(-500, 500),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_converting_commutes_with_similarities(
    angle: float, scale: float, x: float, seed: int
) -> None:
    turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    points = some_points(seed)
    np.testing.assert_allclose(to_68(points @ turn + [x, 3]), to_68(points) @ turn + [x, 3],
                               atol=1e-8)


@pytest.mark.parametrize(
    ("name", "target"),
    [(name, target) for name in schemas.names() for target in schemas.get(name).conversions],
)
def test_converting_commutes_with_the_mirror(name: str, target: str) -> None:
    schema = schemas.get(name)
    points = np.random.default_rng(0).uniform(0, 200, (schema.num_points, 2))
    found = schema.convert(schema.mirror(points, 201), None, target)[0]
    expected = schemas.get(target).mirror(schema.convert(points, None, target)[0], 201)
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_the_mesh_becomes_51_points_as_68() -> None:
    mesh = schemas.get("mediapipe468").conversions
    assert mesh["ibug51"].points == mesh["ibug68"].points[17:]


def test_a_mean_of_points_is_missing_or_occluded_where_one_of_them_is() -> None:
    points, visible = some_points(), np.ones(98, bool)
    points[41], visible[62] = np.nan, False
    found, seen = WFLW.convert(points, visible, "ibug68")
    assert np.flatnonzero(np.isnan(found).any(axis=1)).tolist() == [18]
    assert np.flatnonzero(~seen).tolist() == [37, 38]


def test_a_subset_is_taken_without_a_change() -> None:
    points = np.random.default_rng(0).normal(size=(68, 2)).astype(np.float32)
    visible = np.arange(68) % 3 == 0
    found, seen = IBUG.convert(points, visible, "ibug51")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, points[17:])
    np.testing.assert_array_equal(seen, visible[17:])
    np.testing.assert_array_equal(IBUG.convert(points, None, "ibug68")[0], points)


def test_what_cannot_be_converted_is_said() -> None:
    with refuses("ibug68", "wflw98", "ibug51"):
        IBUG.convert(np.zeros((68, 2)), None, "wflw98")
    with refuses("mtfl5", "ibug68", "none"):
        schemas.get("mtfl5").convert(np.zeros((5, 2)), None, "ibug68")


@pytest.mark.parametrize("name", schemas.names())
def test_fields_of_a_schema_make_it_again(name: str) -> None:
    schema = schemas.get(name)
    assert from_fields(to_fields(schema)) == schema


def test_a_flip_to_be_inferred_is_written_and_read_as_such() -> None:
    schema = dataclasses.replace(schemas.get("mtfl5"), name="mine", flip=None)
    fields = to_fields(schema)
    assert fields["flip"] == "infer" and from_fields(fields) == schema
    with refuses("schema mine", "flip", "inferred"):
        schema.mirror(np.zeros((5, 2)), 10)
    mean_shape = np.array([[-1, -1], [1, -1], [0, 0], [-0.7, 1], [0.7, 1]], float)
    assert schema.with_flip(mean_shape).flip == (1, 0, 2, 4, 3)


@pytest.mark.parametrize("name", schemas.names())
def test_nose_tip_lies_on_the_middle(name: str) -> None:
    schema = schemas.get(name)
    tip = sorted(schema.nose_tip)
    assert sorted(schema.flip[i] for i in tip) == tip
    assert all(i < schema.num_points for i in tip)
