"""Schemas of a part of the face, which lack eyes, mouth or both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from efld_tf.annotations.record import face_square
from efld_tf.landmarks import align, pose, schemas, shapes
from efld_tf.landmarks.schema import ANCHORS
from efld_tf.landmarks.schema_fields import from_fields, to_fields
from tests import parts
from tests.errors import refuses
from tests.parts import EYES, HALF_JAW, MOUTH, NOSE, Part


@pytest.mark.parametrize("part", parts.ALL, ids=lambda part: part.name)
def test_a_schema_is_its_fields_again(part: Part) -> None:
    schema = part.schema
    assert from_fields(to_fields(schema)) == schema
    assert set(schema.missing_anchors) | set(schema.anchors) == {*ANCHORS}
    assert ("anchors" in to_fields(schema)) == bool(schema.anchors)


@pytest.mark.parametrize("anchors", [{}, "left out"])
def test_all_anchors_may_be_left_out(tmp_path: Path, anchors: object) -> None:
    fields = {key: value for key, value in EYES.fields.items() if key != "anchors"}
    fields |= {"anchors": anchors} if anchors == {} else {}
    path = tmp_path / "eyes.yaml"
    path.write_text(yaml.safe_dump(fields))
    assert schemas.load(path).missing_anchors == ANCHORS


@pytest.mark.parametrize("name", ["right_eye", "left_eye"])
def test_half_a_pair_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "eyes.yaml"
    anchors = {**EYES.fields["anchors"]}
    del anchors[name]
    path.write_text(yaml.safe_dump({**EYES.fields, "anchors": anchors}))
    with refuses(f"anchors.{name}", "pair", path=path):
        schemas.load(path)


def test_what_is_there_and_what_is_not() -> None:
    rng = np.random.default_rng(0)
    eyes, mouth = rng.normal(size=(2, 3, 20, 2))
    found = EYES.schema.anchor_points(eyes[:, :12])
    np.testing.assert_allclose(found[:, 1], eyes[:, [6, 9]].mean(axis=1))
    assert np.isnan(found[:, 2:]).all() and found.shape == (3, 4, 2)
    np.testing.assert_allclose(MOUTH.schema.across(mouth), mouth[:, 6] - mouth[:, 0])
    np.testing.assert_allclose(EYES.schema.across(eyes[:, :12]), found[:, 1] - found[:, 0])
    assert NOSE.schema.across(mouth[:, :9]) is None
    EYES.schema.need_anchors("a test", ["left_eye"])
    with refuses("a test", "schema eyes12", "mouth_right", "mouth_left"):
        EYES.schema.need_anchors("a test")


@pytest.mark.parametrize("part", [EYES, MOUTH, NOSE, EYES.without_anchors, MOUTH.without_anchors],
                         ids=lambda part: f"{part.name}-{len(part.schema.anchors)}")
def test_flips_are_those_of_the_whole_face(part: Part, shared_data: Path) -> None:
    points = parts.points_of(part, shared_data / "ibug/helen/trainset")
    schema = part.schema
    mean = shapes.mean_shape(shapes.as_complex(points), schema)
    flat = np.stack([mean.real, mean.imag], axis=-1)
    assert list(schema.with_flip(flat).known_flip) == parts.flip_of_68(part)


def test_turned_photos_do_not_matter_where_there_are_eyes(shared_data: Path) -> None:
    """Each face is turned by up to 80 degrees, and the mean face is upright all the same."""
    points = parts.points_of(EYES, shared_data / "ibug/helen/testset").astype(float)
    rng = np.random.default_rng(0)
    angle = rng.uniform(-1.4, 1.4, len(points))
    turned = shapes.as_complex(points) * np.exp(1j * angle)[:, None]
    mean = shapes.mean_shape(turned, EYES.schema)
    across = EYES.schema.across(np.stack([mean.real, mean.imag], axis=-1))
    assert abs(np.degrees(np.arctan2(across[1], across[0]))) < 1
    upright = shapes.mean_shape(shapes.as_complex(points), EYES.schema)
    assert abs(mean - upright).max() < 0.02


def test_exchanged_labels_do_not_turn_the_mean_face(shared_data: Path) -> None:
    points = parts.points_of(MOUTH, shared_data / "ibug/helen/testset")
    flip = parts.flip_of_68(MOUTH)
    schema = replace(MOUTH.schema, flip=tuple(flip))
    mean = shapes.mean_shape(shapes.as_complex(points), schema)
    exchanged = shapes.mean_shape(shapes.as_complex(points[:, flip]), schema)
    np.testing.assert_allclose(exchanged, mean, atol=1e-6)


def test_what_has_no_other_side_is_not_paired(shared_data: Path) -> None:
    points = parts.points_of(HALF_JAW, shared_data / "ibug/helen/trainset")
    mean = shapes.mean_shape(shapes.as_complex(points), HALF_JAW.schema)
    with refuses("symmetric", "flip", "declare"):
        HALF_JAW.schema.with_flip(np.stack([mean.real, mean.imag], axis=-1))


@given(st.floats(0.1, 50), st.floats(-3, 3), st.floats(-500, 500), st.floats(-500, 500))
def test_eyes_alone_are_aligned(scale: float, angle: float, x: float, y: float) -> None:
    """By hand: the places of the template, turned, scaled and moved, come back to it."""
    template = np.array([align.TEMPLATE["right_eye"], align.TEMPLATE["left_eye"]])
    turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    points = np.repeat(template @ turn + [x, y], 6, axis=0)
    found = align.five_points(points, EYES.schema)
    assert set(found) == {"right_eye", "left_eye"}
    matrix = align.similarity(np.array([*found.values()]), template)
    np.testing.assert_allclose(points[[0, 6]] @ matrix[:, :2].T + matrix[:, 2], template, atol=1e-6)


@pytest.mark.parametrize("part", [MOUTH, NOSE], ids=lambda part: part.name)
def test_without_eyes_nothing_is_aligned(part: Part) -> None:
    points = np.random.default_rng(0).normal(size=(len(part.points), 2))
    with refuses(f"schema {part.name}", "right_eye", "left_eye", "alignment"):
        align.align(np.zeros((9, 9, 3), np.uint8), points, part.schema)


@pytest.mark.parametrize("part", parts.ALL, ids=lambda part: part.name)
def test_a_part_has_no_pose(part: Part) -> None:
    assert pose.estimate(np.zeros((2, len(part.points), 2)), part.schema) is None


def test_the_face_of_a_part_is_the_square_around_its_points() -> None:
    points = np.zeros((12, 2))
    points[:, 0], points[3:6, 1] = np.arange(12), 4
    np.testing.assert_allclose(face_square(points, EYES.schema), [0, -3.5, 11, 7.5])
