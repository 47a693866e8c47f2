"""Crops from landmarks and from detectors' boxes show what a model was trained on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from efld_tf.annotations import sources
from efld_tf.data.crop_fit import REFERENCE_ANCHORS
from efld_tf.landmarks import schemas
from efld_tf.landmarks.geometry import Crop, CropRule, tight_box
from efld_tf.runtime import crop_maps
from tests.faces import mean_shape


@pytest.mark.parametrize("nose", [True, False])
def test_real_faces_that_were_not_fitted(nose: bool, shared_data: Path) -> None:
    """The numbers are from photos of HELEN; these are frames of videos."""
    path = shared_data / "youtube_faces"
    records = sources.read(sources.parse(f"youtube_faces:{path}?identities=train"), "stop").records
    schema = schemas.get("ibug68") if nose else replace(schemas.get("ibug68"), nose_tip=())
    errors = []
    for record in records[::100]:
        crop = crop_maps.CropAround(schema)(record.points)
        turned = Crop(0.0, 0.0, 1.0, crop.angle)
        true = turned.within(crop_maps.REFERENCE.crop(tight_box(turned.to_unit(record.points))))
        x, y = true.to_unit(np.array([crop.center_x, crop.center_y]))
        errors.append([x - 0.5, y - 0.5, np.log(crop.side / true.side)])
    # Semi-automatic jaws are wider than HELEN's: a systematic difference is allowed, no spread.
    assert np.abs(np.mean(errors, axis=0)).max() < 0.15
    assert (np.std(errors, axis=0) < ([0.05, 0.05, 0.1] if nose else [0.12, 0.05, 0.1])).all()


@pytest.mark.parametrize("name", ["ibug51", "ibug68", "mtfl5", "face_synthetics70"])
def test_the_reference_face_gives_the_reference_crop(name: str) -> None:
    """Points whose eyes and mouth corners are where every crop has them on average."""
    schema = schemas.get(name)
    points = np.full((schema.num_points, 2), np.nan)
    for place, group in zip(REFERENCE_ANCHORS, schema.anchors.values(), strict=True):
        points[list(group)] = place
    points[list(schema.nose_tip)] = [0.5, 0.46]
    crop = crop_maps.CropAround(schema)(200 * points + [30, 50])
    assert abs(crop.side - 200) < 20
    assert abs(crop.center_x - 130) < 2 and abs(crop.center_y - 150) < 12


@given(st.floats(0.01, 100), st.floats(-1e4, 1e4), st.floats(-1e4, 1e4),
       st.floats(-np.pi, np.pi), st.booleans())
def test_crops_follow_the_face(
    scale: float, x: float, y: float, angle: float, mirrored: bool
) -> None:
    """Whatever its size, place, turn and mirror: the points lie at the same place of the crop."""
    schema = schemas.get("ibug51")
    points = mean_shape("ibug51") * 100
    upright = crop_maps.CropAround(schema)(points)
    assert upright.angle == pytest.approx(0, abs=1e-9)
    moved = schema.mirror(points, 101) if mirrored else points
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    moved = moved @ turn * scale + [x, y]
    crop = crop_maps.CropAround(schema)(moved)
    expected = upright.to_unit(points)
    if mirrored:
        expected = expected[list(schema.flip)] * [-1, 1] + [1, 0]
    assert np.allclose(crop.to_unit(moved), expected, atol=1e-3)
    assert np.cos(crop.angle - angle) == pytest.approx(1)


def test_any_points_give_a_finite_crop() -> None:
    schema = schemas.get("ibug51")
    for points in (np.zeros((51, 2)), np.full((51, 2), 1e6), np.eye(51, 2) * 1e5):
        crop = crop_maps.CropAround(schema)(points)
        assert np.isfinite([crop.center_x, crop.center_y, crop.side]).all() and crop.side > 0


def seen(reference: Crop, rule: CropRule) -> Crop:
    """What a model of that rule sees of a face."""
    return crop_maps.part(reference, crop_maps.shown(rule))


def test_models_of_other_crops() -> None:
    reference = Crop(100.0, 60.0, 125.0)  # so that the longest side of the box is 100
    wider = CropRule("points", "ibug68", 1.6, 0.1, -0.2)
    same = seen(reference, wider)
    assert np.allclose((same.center_x, same.center_y, same.side), (110, 40, 160))
    # Turned by a quarter, right is down and down is left.
    turned = seen(Crop(100.0, 60.0, 125.0, np.pi / 2), wider)
    assert np.allclose((turned.center_x, turned.center_y, turned.side), (120, 70, 160))
    fitted = CropRule("points", "wflw98", 1.31, 0.0, 0.02)
    assert seen(reference, fitted) == reference
    near = seen(reference, replace(fitted, zoom=2.0))
    assert near.side == 62.5 and near.center_x == 100
    eyes = np.array([100, 60 + 125 * (0.279 - 0.5)])  # at the same place in both
    assert np.allclose(near.to_unit(eyes), reference.to_unit(eyes))
    same = seen(reference, crop_maps.REFERENCE)
    assert np.allclose((same.center_x, same.center_y, same.side), (100, 60, 125))


def test_a_detection_by_hand() -> None:
    fitted = crop_maps.maps().detectors["full"]
    box, level = np.array([10.0, 20, 30, 60]), np.array([[12.0, 30], [28, 30]])
    crop = crop_maps.from_detection(box, level, "full")
    assert np.allclose((crop.center_x, crop.center_y, crop.side, crop.angle),
                       (20, 40 + 40 * fitted.offset_y, 40 * fitted.scale, 0))
    # The left eye straight below the right one: the face leans by a quarter, its chin to the left.
    crop = crop_maps.from_detection(box, np.array([[20.0, 30], [20, 50]]), "full")
    assert np.allclose((crop.center_x, crop.center_y, crop.side, crop.angle),
                       (20 - 40 * fitted.offset_y, 40, 40 * fitted.scale, np.pi / 2))
