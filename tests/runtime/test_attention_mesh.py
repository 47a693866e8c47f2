"""MediaPipe's attention mesh as a labeller: its points, its map, and what it does not find."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from efld_tf.annotations import record, sources
from efld_tf.annotations.synthetic.render import render_face
from efld_tf.arrays import Floats, Image
from efld_tf.cli import data
from efld_tf.evaluation import faces
from efld_tf.landmarks import metrics, schemas
from efld_tf.landmarks.geometry import extract_crop, tight_box
from efld_tf.runtime import attention_mesh, views
from efld_tf.runtime.attention_mesh import AttentionMeshPredictor
from efld_tf.runtime.landmarker import FaceLandmarker
from efld_tf.runtime.mesh import MeshPredictor

INNER, IBUG, MESH = schemas.get("ibug51"), schemas.get("ibug68"), schemas.get("mediapipe468")


@pytest.fixture(scope="module")
def predictor() -> AttentionMeshPredictor:
    return AttentionMeshPredictor()


@pytest.fixture(scope="module")
def vertices(predictor: AttentionMeshPredictor) -> Floats:
    """Of a rendered face."""
    found = predictor.vertices(rendered_crop())
    assert found is not None
    return found


def rendered_crop() -> Image:
    face = render_face(seed=3, index=1, size=500)
    crop = attention_mesh.CROP_RULE.crop(tight_box(face.points["ibug68"]))
    return extract_crop(face.image, crop, attention_mesh.SIDE)


def test_its_points_are_nearer_than_those_of_the_plain_mesh(
    predictor: AttentionMeshPredictor, shared_data: Path
) -> None:
    errors = {}
    for name, one in (("attention", predictor), ("plain", MeshPredictor())):
        found = faces.load(f"ibug:{shared_data / 'ibug/helen/testset'}", one.crop_rule,
                           one.input_size, progress=False)
        some = slice(0, 80)
        points, confidence, *_ = one.predict_outputs(found.crops[some])
        assert confidence.min() > 0.5
        inner = points[:, 17:] if one is predictor else np.stack([
            MESH.convert(face, None, "ibug51")[0] for face in points])
        errors[name] = float(metrics.nme(inner, found.points[some, 17:], INNER).mean())
    assert errors["attention"] < 0.85 * errors["plain"]


@given(angle=st.floats(-3.2, 3.2), scale=st.floats(0.1, 10), x=st.floats(-5, 5),
       y=st.floats(-5, 5))
def test_the_map_turns_and_grows_with_the_face(
    vertices: Floats, angle: float, scale: float, x: float, y: float
) -> None:
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    find = attention_mesh.vertex_map()
    expected = find(vertices[None])[0] @ turn.T + [x, y]
    np.testing.assert_allclose(find((vertices @ turn.T + [x, y])[None])[0], expected,
                               atol=1e-4 * (scale + 5))


def test_the_map_is_that_of_a_mirror_image_too(vertices: Floats) -> None:
    find = attention_mesh.vertex_map()
    points = find(vertices[None])[0]
    mirrored = find((vertices[list(MESH.flip)] * [-1, 1])[None])[0]
    away = np.linalg.norm(mirrored - points[list(IBUG.flip)] * [-1, 1], axis=1)
    assert away.max() < 0.02 * np.linalg.norm(points[36] - points[45])


def test_what_is_no_face_or_beside_it_is_missed(predictor: AttentionMeshPredictor) -> None:
    crop = rendered_crop()
    beside = np.roll(crop, attention_mesh.SIDE // 4, axis=1)
    points, confidence, depth, _ = predictor.predict_outputs(
        np.stack([crop, np.zeros_like(crop), beside]))
    assert confidence.tolist() == [1, 0, 0] and depth is None
    assert (points[1:] == 0.5).all()


class Blinking(AttentionMeshPredictor):
    """Sees nothing in every other view from some time on."""

    looks: int | None = None

    def vertices(self, crop: Image) -> Floats | None:
        if self.looks is not None:
            self.looks += 1
        return None if (self.looks or 0) % 2 else super().vertices(crop)


def test_views_that_show_nothing_do_not_count(predictor: AttentionMeshPredictor) -> None:
    face = render_face(seed=3, index=1, size=500)
    box = tight_box(face.points["ibug68"])
    found = {}
    for one in (predictor, Blinking()):
        landmarker = FaceLandmarker(one, None, min_confidence=0)
        seen = landmarker.find(face.image, [box])
        if isinstance(one, Blinking):
            one.looks = 0
        (found[one],), (spread,) = views.mean(landmarker, face.image, seen, 4)
        assert spread < 5
    whole, part = found.values()
    assert part.confidence == pytest.approx(0.5)
    size = np.linalg.norm(whole.points[36] - whole.points[45])
    assert np.linalg.norm(part.points - whole.points, axis=1).max() < 0.1 * size


def test_photos_are_labelled(shared_data: Path, tmp_path: Path) -> None:
    photos = sorted((shared_data / "ibug/helen/testset").glob("*.jpg"))[:3]
    output = tmp_path / "labels.jsonl"
    assert data.main(["label", *map(str, photos), "--model", "attention_mesh", "--convert",
                      "ibug51", "--views", "2", "--output", str(output), "--quiet"]) is None
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    assert {line["attributes"][record.LICENSE] for line in lines} == {attention_mesh.LICENSE}
    truth = {known.image.name: known for known in sources.read(
        f"ibug:{shared_data / 'ibug/helen/testset'}").records}
    for line in lines:
        known = truth[Path(line["image"]).name].points
        error = metrics.nme(np.array([line["points"]]), known[None, 17:], INNER)
        assert error[0] < 0.06, line["image"]
