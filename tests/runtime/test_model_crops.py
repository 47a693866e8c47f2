"""Where a model looks whose crops do not follow from its crop rule alone."""

from __future__ import annotations

import json
import math
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from efld_tf import assets
from efld_tf.landmarks import mean_head, pose, schemas
from efld_tf.landmarks.geometry import (
    OFF_TIES,
    PIXEL_PARTS,
    REFERENCE_ANCHORS,
    Crop,
    CropRule,
    zoomed,
)
from efld_tf.landmarks.schema_fields import to_fields
from efld_tf.runtime import crop_maps, metadata, model_crops, portable
from efld_tf.runtime.detector import Detection
from efld_tf.runtime.faces import Face, extent
from efld_tf.runtime.landmarker import FaceLandmarker, distinct
from efld_tf.runtime.model_crops import ModelCrops
from tests.errors import refuses
from tests.evaluation.predictors import Fixed
from tests.faces import mean_shape
from tests.parts import EYES, MOUTH, NOSE, Part

IBUG51 = schemas.get("ibug51")
# Of crops, in pixels.
GRID = 1 / PIXEL_PARTS


def reference_shape() -> np.ndarray:
    """The 51 points [51, 2] of a face whose anchors lie where the reference crop has them."""
    shape = mean_shape("ibug51")
    (right, eyes), (left, _), (corner, mouth), (other, _) = IBUG51.anchor_points(shape)
    (x0, y0), (x1, _), (x2, y2), (x3, _) = REFERENCE_ANCHORS
    width = np.full(51, (x1 - x0) / (left - right))
    width[31:] = (x3 - x2) / (other - corner)
    return np.stack([0.5 + width * (shape[:, 0] - 0.5),
                     y0 + (y2 - y0) / (mouth - eyes) * (shape[:, 1] - eyes)], axis=-1)


def shape_of(part: Part) -> np.ndarray:
    """The part's points in its own crop, 1.25 times their box."""
    points = reference_shape()[[i - 17 for i in part.points]]
    low, high = points.min(axis=0), points.max(axis=0)
    return (points - (low + high) / 2) / (1.25 * max(high - low)) + 0.5


def crops_of(part: Part, rule: CropRule | None = None) -> ModelCrops:
    return ModelCrops(
        part.schema, rule or CropRule("points", part.name, 1.25), shape_of(part))


@pytest.mark.parametrize("part", [EYES, MOUTH], ids=lambda part: part.name)
def test_a_pair_says_which_part_of_the_face_is_shown(part: Part) -> None:
    """By hand: the part's crop in the reference crop is 1.25 times the box of its points there."""
    points = reference_shape()[[i - 17 for i in part.points]]
    low, high = points.min(axis=0), points.max(axis=0)
    shown = crops_of(part).shown
    assert shown.side == pytest.approx(1.25 * max(high - low))
    np.testing.assert_allclose((shown.center_x, shown.center_y), (low + high) / 2)


def test_a_detector_s_key_points_place_the_part() -> None:
    box, face = np.array([100.0, 50, 300, 250]), np.zeros((6, 2))
    face[:2], face[3] = [[150, 120], [250, 120]], [205, 200]
    detection = Detection(box, face, 0.9, "short")
    whole = crop_maps.from_detection(box, face, "short")
    for part, middle in ((EYES, [200, 120]), (MOUTH, [205, 200])):
        crops = crops_of(part)
        crop = crops.of_detection(detection)
        assert crop.side == pytest.approx(whole.side * crops.shown.side, abs=GRID)
        anchors = part.schema.anchor_points(crop.from_unit(shape_of(part)))
        np.testing.assert_allclose(np.nanmean(anchors, axis=0), middle, atol=2 * GRID)


def test_without_a_pair_a_detector_gives_no_crop() -> None:
    crops = crops_of(NOSE)
    with refuses("schema nose9", *NOSE.schema.missing_anchors, "--boxes", "detector=None"):
        crops.check_detector()
    with refuses("schema nose9", "--boxes"):
        crops.of_reference(Crop(0.0, 0.0, 1.0))

    class Noses(Fixed):
        schema = "nose9"
        crop_rule = CropRule("points", "nose9", 1.25)
        mean_shape = shape_of(NOSE)

    schemas.register(NOSE.schema)
    FaceLandmarker(Noses())
    with refuses("schema nose9", "--boxes"):
        FaceLandmarker(Noses(), detector=object())


def test_exchanged_or_coinciding_anchors_give_no_crop() -> None:
    rule = CropRule("points", "eyes12", 1.25)
    mirrored = shape_of(EYES) * [-1, 1] + [1, 0]
    for shape in (mirrored, np.repeat([[0.4, 0.5], [0.6, 0.5]], 6, axis=0)[[0, 6] * 6]):
        with refuses("schema eyes12", "right_eye", "left_eye", "--boxes"):
            ModelCrops(EYES.schema, rule, shape).check_detector()


@given(st.floats(0.05, 50), st.floats(-1e3, 1e3), st.floats(-1e3, 1e3), st.floats(-3.1, 3.1),
       st.sampled_from([EYES, MOUTH, NOSE]), st.booleans())
def test_the_crop_follows_the_points(
    scale: float, x: float, y: float, angle: float, part: Part, own_rule: bool
) -> None:
    """Whatever their size, place and turn, points like the mean's lie in the crop as these do."""
    rule = CropRule("points", part.name if own_rule else "wflw98", 1.25)
    crops, place = crops_of(part, rule), Crop(x, y, scale, angle)
    crop = crops.around(place.from_unit(shape_of(part)))
    np.testing.assert_allclose(
        (crop.center_x, crop.center_y), (x, y), atol=1e-3 * scale + GRID)
    assert crop.side == pytest.approx(scale, rel=1e-3, abs=GRID)
    assert np.cos(crop.angle - angle) == pytest.approx(1)


def test_an_open_mouth_is_cropped_as_in_training() -> None:
    """By its own box, upright, where the rule is of these points."""
    points = 100 * shape_of(MOUTH)
    points[points[:, 1] > 50] += [0, 30]
    rule = CropRule("points", "mouth20", 1.25)
    crop, expected = crops_of(MOUTH).around(points), rule.crop(
        np.concatenate([points.min(axis=0), points.max(axis=0)]))
    np.testing.assert_allclose(
        (crop.center_x, crop.center_y, crop.side, crop.angle),
        (expected.center_x, expected.center_y, expected.side, 0), atol=GRID)


def test_crops_lie_on_a_grid() -> None:
    """So that points that differ in their last digits give the same pixels."""
    points = 100 * shape_of(MOUTH) + [300, 200]
    crop, near = crops_of(MOUTH).around(points), crops_of(MOUTH).around(points + 1e-7)
    assert crop == near == crop.on_grid()
    values = (crop.center_x - OFF_TIES, crop.center_y - OFF_TIES, crop.side)
    assert all((64 * value).is_integer() for value in values)


def test_any_points_give_a_finite_crop() -> None:
    for points in (np.zeros((12, 2)), np.full((12, 2), 1e6), np.eye(12, 2) * 1e5):
        crop = crops_of(EYES).around(points)
        assert np.isfinite([crop.center_x, crop.center_y, crop.side]).all() and crop.side > 0


def test_only_own_crops_need_a_mean_shape() -> None:
    """Crops that eyes and mouth fit are where their zoom says; a scale of the user's is not."""
    fitted, shape = CropRule("points", "ibug51", 1.4, 0.01, -0.1, 1.3), reference_shape()
    near = zoomed(1.3).to_unit(shape)
    assert not model_crops.needs_mean_shape(IBUG51, fitted, near)
    assert model_crops.needs_mean_shape(IBUG51, fitted, shape)
    assert not model_crops.needs_mean_shape(IBUG51, crop_maps.REFERENCE, near)
    assert model_crops.needs_mean_shape(EYES.schema, fitted, shape_of(EYES))
    with refuses("schema eyes12", "mean shape"):
        ModelCrops(EYES.schema, fitted, None)


def test_a_crop_of_the_user_s_scale_is_found_from_the_whole_face() -> None:
    """Points at half the size: the crop is twice the reference crop, about the same middle."""
    own = CropRule("points", "ibug51", 3.0)
    crops = ModelCrops(IBUG51, own, 0.5 + (reference_shape() - 0.5) / 2)
    crop = crops.of_reference(Crop(100.0, 60.0, 50.0, 0.3))
    assert crop.side == pytest.approx(100) and crop.angle == 0.3
    np.testing.assert_allclose((crop.center_x, crop.center_y), (100, 60), atol=1e-6)
    around = crops.around(200 * reference_shape())
    fitted = crop_maps.CropAround(IBUG51)(200 * reference_shape())
    assert around.side == pytest.approx(2 * fitted.side)


def test_flat_parts_are_told_apart_by_squares() -> None:
    """Eyes of one face, found twice, are shifted by their height: they are one face all the same.

    The eyes of a face beside it are another's.
    """
    schemas.register(EYES.schema)
    points = (200 * shape_of(EYES)).astype(np.float32)
    height = float(np.ptp(points[:, 1]))
    np.testing.assert_allclose(np.ptp(extent(points, "eyes12").reshape(2, 2), axis=0), 160,
                               atol=1e-3)

    def face(x: float, y: float, confidence: float) -> Face:
        return Face(points + np.float32([x, y]), "eyes12", np.zeros(4), 1.0, confidence)

    first, again, other = face(0, 0, 0.9), face(0, height, 0.8), face(170, 0, 0.7)
    assert distinct([first, again, other]) == [first, other]


def rewritten(path: Path, **changes: object) -> Path:
    """The shipped model with other metadata."""
    content = assets.INT8_MODEL.read_bytes()
    with zipfile.ZipFile(assets.INT8_MODEL) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
        end = min(info.header_offset for info in archive.infolist())
    path.write_bytes(content[:end])
    tree = json.loads(files[metadata.MODEL_FILE]) | changes
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(metadata.NAMES_FILE, "\n".join(EYES.schema.names))
        archive.writestr(metadata.MODEL_FILE, json.dumps(tree))
    return path


def test_the_mean_shape_stands_in_the_metadata(tmp_path: Path) -> None:
    schema = replace(EYES.schema, flip=(9, 8, 7, 6, 11, 10, 3, 2, 1, 0, 5, 4))
    whole = {"schema": "eyes12", "schema_fields": to_fields(schema)}
    shape = shape_of(EYES).tolist()
    found = metadata.read(rewritten(tmp_path / "a.tflite", **whole, mean_shape=shape))
    assert found.mean_shape == shape
    assert json.loads(found.json())["mean_shape"] == shape
    assert "mean_shape" not in json.loads(replace(found, mean_shape=None).json())
    for bad, facts in ((None, ["mean_shape", "eyes12"]), (shape[:5], ["mean_shape", 12]),
                       ([[0.5]] * 12, ["mean_shape", 12]), ([[0.5, 0.5]] * 12, ["mean_shape"]),
                       ("x", ["mean_shape", "x"])):
        path = rewritten(tmp_path / "b.tflite", **whole, mean_shape=bad)
        with refuses(*facts, path=path):
            metadata.read(path)


# -- Heads in any pose -----------------------------------------------------------------------------

OF_HEAD = CropRule("points", "ibug68_3d", 1.3, 0.02, -0.05)


def in_any_pose() -> ModelCrops:
    return ModelCrops(schemas.get("ibug68_3d"), OF_HEAD, None)


@given(yaw=st.floats(-90, 90), pitch=st.floats(-40, 40), lean=st.floats(-180, 180))
def test_a_head_in_any_pose_is_cropped_as_in_training(
    yaw: float, pitch: float, lean: float
) -> None:
    """By the box of its points, which leans as it does; eyes and mouth tell less in profile."""
    rotation = (pose.axes(yaw, pitch, 0) * [1, -1, 1]).T
    placed = mean_head.Placed(70.0, rotation, np.array([200.0, 190.0]))
    points = placed.project(mean_head.mean_head())
    up = rotation[:2, 1]
    rolled = Crop(200.0, 190.0, 100.0, math.radians(lean) - math.atan2(up[0], up[1]))
    upright = Crop(200.0, 190.0, 100.0).to_unit(points)
    found = in_any_pose().around(rolled.from_unit(upright))
    turned = Crop(0.0, 0.0, 1.0, math.radians(lean))
    moved = turned.to_unit(rolled.from_unit(upright))
    expected = turned.within(OF_HEAD.crop((*moved.min(axis=0), *moved.max(axis=0))))
    assert found.side == pytest.approx(expected.side, abs=2 * GRID)
    assert (found.center_x, found.center_y) == pytest.approx(
        (expected.center_x, expected.center_y), abs=2 * GRID)
    assert abs(math.remainder(found.angle - expected.angle, 2 * math.pi)) < 0.01


@pytest.mark.parametrize("points", [
    np.zeros((68, 2)), np.ones((68, 2)) * 1e6, np.random.default_rng(0).uniform(0, 9, (68, 2))])
def test_any_points_of_a_head_give_a_finite_crop(points: np.ndarray) -> None:
    found = in_any_pose().around(points)
    assert np.isfinite([found.center_x, found.center_y, found.side, found.angle]).all()
    assert found.side > 0


def test_ports_have_no_crops_of_heads_in_any_pose() -> None:
    class Model(Fixed):
        schema, crop_rule = "ibug68_3d", OF_HEAD

    with refuses("ibug68_3d", "ports"):
        portable.fields(Model())
