"""Poses estimated from landmarks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st

from efld_tf.landmarks import pose, schemas
from efld_tf.landmarks.schema import ANCHORS

angle = st.floats(-60, 60)


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Rx(pitch) Ry(yaw) Rz(roll), written out as 3DDFA does."""
    (sx, sy, sz), (cx, cy, cz) = (f(np.radians([pitch, yaw, roll])) for f in (np.sin, np.cos))
    about_x = np.array([[1, 0, 0], [0, cx, sx], [0, -sx, cx]])
    about_y = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    about_z = np.array([[cz, sz, 0], [-sz, cz, 0], [0, 0, 1]])
    return about_x @ about_y @ about_z


@given(yaw=angle, pitch=angle, roll=angle, scale=st.floats(1, 500), x=angle, y=angle)
def test_a_turned_mean_face_gives_its_angles(yaw, pitch, roll, scale, x, y) -> None:
    turned = scale * pose.MEAN_FACE @ rotation(yaw, pitch, roll).T
    flat = turned[:, :2] * [1, -1] + [x, y]
    points = np.zeros((1, 5, 2))
    schema = schemas.get("mtfl5")
    for group, place in zip([*schema.anchors.values(), schema.nose_tip], flat, strict=True):
        points[0, list(group)] = place
    np.testing.assert_allclose(pose.estimate(points, schema)[0], [yaw, pitch, roll], atol=1e-6)


@given(yaw=st.floats(-89, 89), pitch=angle, roll=angle, scale=st.floats(1, 500), x=angle, y=angle)
def test_a_turned_mean_face_in_space(yaw, pitch, roll, scale, x, y) -> None:
    turned = scale * pose.MEAN_FACE @ rotation(yaw, pitch, roll).T
    schema = schemas.get("mtfl5")
    points, depth = np.zeros((1, 5, 2)), np.zeros((1, 5))
    groups = [*(schema.anchors[name] for name in ANCHORS), schema.nose_tip]
    for group, place in zip(groups, turned, strict=True):
        points[0, list(group)] = place[:2] * [1, -1] + [x, y]
        depth[0, list(group)] = place[2] + x
    np.testing.assert_allclose(
        pose.estimate(points, schema, depth)[0], [yaw, pitch, roll], atol=1e-5)


def test_a_face_without_depths_is_estimated_by_its_points() -> None:
    schema = schemas.get("mtfl5")
    points = np.random.default_rng(0).normal(size=(3, 5, 2))
    depth = np.random.default_rng(1).normal(size=(3, 5))
    depth[1, 2] = np.nan
    found = pose.estimate(points, schema, depth)
    flat = pose.estimate(points, schema)
    np.testing.assert_array_equal(found[1], flat[1])
    assert (found[[0, 2]] != flat[[0, 2]]).all()


@given(yaw=st.floats(-89, 89), pitch=angle, roll=angle)
def test_axes_of_a_turned_head(yaw, pitch, roll) -> None:
    up_and_towards = rotation(yaw, pitch, roll).T
    np.testing.assert_allclose(
        pose.axes(yaw, pitch, roll), up_and_towards * [1, -1, 1], atol=1e-12)


def test_depths_tell_the_turn_of_real_heads_better(shared_data: Path) -> None:
    lines = (shared_data / "aflw2000_shapes/shapes.jsonl").read_text().splitlines()
    rows = [row for row in map(json.loads, lines) if abs(row["yaw_degrees"]) <= 90]
    points, depth, yaw = (np.array([row[key] for row in rows], np.float64)
                          for key in ("shape68", "shape68_z", "yaw_degrees"))
    schema = schemas.get("ibug68_3d")
    flat, in_space = (np.abs(pose.estimate(points, schema, z)[:, 0] - yaw).mean()
                      for z in (None, depth))
    assert len(rows) > 1700 and in_space < 2 < 3 < flat < 4


def test_real_faces_against_their_fitted_3d_models(shared_data: Path) -> None:
    truths, points = [], []
    for file in sorted((shared_data / "aflw2000").glob("*.mat")):
        content = scipy.io.loadmat(file)
        pitch, yaw, roll = np.degrees(content["Pose_Para"][0, :3])
        truths.append([yaw, pitch, roll])
        points.append(content["pt3d_68"][:2].T)
    error = np.abs(pose.estimate(np.array(points), schemas.get("ibug68")) - truths)
    assert len(truths) == 16 and np.ptp(np.array(truths)[:, 0]) > 90
    assert (error.mean(axis=0) < [5, 5, 4]).all()


def test_what_is_missing_gives_no_pose() -> None:
    points = np.random.default_rng(0).uniform(0, 1, (3, 68, 2))
    points[1, 30] = np.nan
    found = pose.estimate(points, schemas.get("ibug68"))
    assert np.isnan(found).any(axis=1).tolist() == [False, True, False]


@pytest.mark.parametrize("degrees", [0, 30, 90, 179, -135])
@pytest.mark.parametrize("names", [None, ("right_eye", "left_eye"), ("mouth_right", "mouth_left")])
def test_the_lean_of_a_face(degrees: float, names: tuple[str, ...] | None) -> None:
    """By eyes and mouth, or by those that the schema has."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    upright = np.array([[-1.0, 0], [1, 0], [0, 1], [-0.8, 2], [0.8, 2]])
    points = upright @ np.array([[cosine, sine], [-sine, cosine]])
    schema = schemas.get("mtfl5")
    if names:
        schema = replace(schema, anchors={name: schema.anchors[name] for name in names})
    assert pose.lean(points, schema) == pytest.approx(degrees)
    assert pose.lean(np.full((5, 2), np.nan), schema) is None
    assert pose.lean(points, replace(schema, anchors={})) is None


@pytest.mark.parametrize("count", [0, 1])
def test_few_faces(count: int) -> None:
    found = pose.estimate(np.random.default_rng(0).uniform(0, 1, (count, 68, 2)),
                          schemas.get("ibug68"))
    assert found.shape == (count, 3)
