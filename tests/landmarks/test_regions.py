"""Regions of the built-in schemas: every point in one, left and right the subject's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from efld_tf.annotations import sources
from efld_tf.annotations.synthetic.render import render_face
from efld_tf.landmarks import schemas
from efld_tf.landmarks.regions import REGIONS, regions
from efld_tf.landmarks.schema import LandmarkSchema


def test_68_points_by_hand() -> None:
    assert regions(schemas.get("ibug68")) == {
        "right_cheek": tuple(range(8)),
        "left_cheek": tuple(range(9, 17)),
        "right_eyebrow": tuple(range(17, 22)),
        "left_eyebrow": tuple(range(22, 27)),
        "right_eye": tuple(range(36, 42)),
        "left_eye": tuple(range(42, 48)),
        "nose": tuple(range(27, 36)),
        "mouth": tuple(range(48, 68)),
        "chin": (8,),
    }


@pytest.mark.parametrize("name", schemas.names())
def test_every_point_is_in_one_region(name: str) -> None:
    schema = schemas.get(name)
    found = regions(schema)
    points = [point for own in found.values() for point in own]
    assert sorted(points) == list(range(schema.num_points))
    assert all(list(own) == sorted(own) for own in found.values())
    known = [name for name in found if name in REGIONS]
    assert known == [name for name in REGIONS if name in found] == list(found)[: len(known)]


@pytest.mark.parametrize("name", [n for n in schemas.names() if n != "menpo39"])
def test_the_mirror_image_of_a_region_is_that_of_the_other_side(name: str) -> None:
    schema = schemas.get(name)
    found = regions(schema)
    for region, points in found.items():
        if region.startswith("right_"):
            mirrored = sorted(schema.flip[point] for point in points)
            assert mirrored == list(found[region.replace("right_", "left_")])


def test_pupils_are_of_the_eyes_and_other_parts_stay() -> None:
    assert {96, *range(60, 68)} == set(regions(schemas.get("wflw98"))["right_eye"])
    webmorph = regions(schemas.get("webmorph189"))
    assert set(webmorph["chin"]) == {129, 174, 175} and "left_ear" in webmorph
    assert webmorph["right_cheek"] == (125, 126, 127, 128, 164, 165, 166)
    assert list(regions(schemas.get("mtfl5"))) == ["right_eye", "left_eye", "nose", "mouth"]


@pytest.mark.parametrize("schema", [
    schemas.get("menpo39"),  # one side of a face
    replace(schemas.get("ibug68"), flip=None),  # not known yet
], ids=["profile", "not inferred"])
def test_a_jaw_without_two_sides_stays(schema: LandmarkSchema) -> None:
    found = regions(schema)
    assert "jaw" in found and "right_cheek" not in found


def _assert_sides(points: np.ndarray, name: str) -> None:
    """The cheek of a side is nearer to the eye of that side, however the head is turned."""
    schema, found = schemas.get(name), regions(schemas.get(name))
    right, left = (np.nanmean(points[list(found[f"{side}_cheek"])], axis=0)
                   for side in ("right", "left"))
    eyes = schema.anchor_points(points)[1] - schema.anchor_points(points)[0]
    assert (left - right) @ eyes > 0


@pytest.mark.parametrize("name", ["ibug68", "wflw98"])
def test_cheeks_of_rendered_faces(name: str) -> None:
    for index in range(3):
        _assert_sides(render_face(1, index, 64).points[name], name)


@pytest.mark.parametrize("source", [
    "ibug:{}/ibug/helen/testset", "webmorph:{}/webmorph", "face_synthetics:{}/face_synthetics",
    "coco:{}/format_samples/lapa/test_lapa.json", "coco:{}/format_samples/wflw/test_wflw.json",
])
def test_cheeks_of_real_faces(source: str, shared_data: Path) -> None:
    for record in sources.read(source.format(shared_data)).records[:20]:
        _assert_sides(record.points, record.schema)
