"""Evaluating points of a part of the face."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from efld_tf.annotations import sources
from efld_tf.annotations.synthetic.render import render_face
from efld_tf.data import pack
from efld_tf.data.options import PackOptions, SourceOptions
from efld_tf.evaluation import detected, evaluate, faces, presence, prior, slices
from efld_tf.evaluation.evaluate import Evaluation
from efld_tf.landmarks import schemas
from efld_tf.landmarks.geometry import Crop, CropRule, extract_crop, tight_box
from efld_tf.landmarks.model_outputs import ModelOutputs
from efld_tf.runtime import crop_maps
from tests import faces as drawn
from tests import parts
from tests.errors import refuses
from tests.evaluation.predictors import Fixed
from tests.parts import EYES, MOUTH, NOSE, Part

FACES = 25


class Mean(Fixed):
    """A model that finds the mean points of a part everywhere."""

    def __init__(self, part: Part, helen: Path):
        schemas.register(part.schema)
        self.schema, self.crop_rule = part.name, CropRule("points", part.name, 1.25)
        points = parts.points_of(part, helen)
        self.mean_shape = np.mean(
            [self.crop_rule.crop(tight_box(face)).to_unit(face) for face in points], axis=0)

    def predict_crops(self, crops: np.ndarray) -> np.ndarray:
        return np.tile(self.mean_shape, (len(crops), 1, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def helen(shared_data: Path) -> Path:
    return shared_data / "ibug/helen/testset"


@pytest.fixture(scope="module")
def evaluations(tmp_path_factory: pytest.TempPathFactory, helen: Path) -> dict[str, Evaluation]:
    found = {}
    for part in (EYES, MOUTH, NOSE):
        source = part.write(tmp_path_factory.mktemp(part.name), helen, FACES)
        model = Mean(part, helen)
        found[part.name] = evaluate.evaluate(
            model, faces.load(source, model.crop_rule, 64, progress=False))
    return found


def test_the_mean_points_are_near(evaluations: dict[str, Evaluation]) -> None:
    assert 1 < evaluations["eyes12"].nme_percent < 10
    assert 5 < evaluations["mouth20"].nme_percent < 25
    for evaluation in evaluations.values():
        assert evaluation.faces.crop_rule_from == "model"
        assert len(evaluation.nme) == FACES


@pytest.mark.parametrize(("name", "expected"), [
    ("eyes12", {"eye_opening", "face_size"}), ("mouth20", set()), ("nose9", set()),
])
def test_slices_that_the_points_tell(
    name: str, expected: set[str], evaluations: dict[str, Evaluation]
) -> None:
    found = slices.measure(evaluations[name])
    assert set(found.values) == {"sharpness", "brightness"} | expected


def test_eyes_are_as_open_as_among_68_points(
    evaluations: dict[str, Evaluation], helen: Path
) -> None:
    kept = {Path(name).name for name in evaluations["eyes12"].faces.names}
    whole = faces.load(f"ibug:{helen}", CropRule("points", "ibug68", 1.25), 16, progress=False,
                       keep=lambda record: record.key in kept)
    np.testing.assert_allclose(
        slices.eye_opening(evaluations["eyes12"].faces), slices.eye_opening(whole), atol=1e-4)
    np.testing.assert_allclose(
        slices.face_size(evaluations["eyes12"].faces), slices.face_size(whole), rtol=1e-4)


@pytest.mark.parametrize("name", ["eyes12", "mouth20", "nose9"])
def test_the_prior_of_a_part(name: str, evaluations: dict[str, Evaluation]) -> None:
    evaluation = evaluations[name]
    summary = prior.measure(
        evaluation.predictor, evaluation, count=3, progress=False).summary()
    assert summary["kinds"]["face"]["residual_width_percent"] < 10
    assert summary["residual_without_shape_percent"] > 20


def test_rendered_faces_take_the_place_of_a_source_where_they_can_be_cropped(helen: Path) -> None:
    class Seen(Mean):
        def predict_outputs(self, crops: np.ndarray) -> ModelOutputs:
            seen.append(crops)
            return ModelOutputs(self.predict_crops(crops))

    seen: list[np.ndarray] = []
    found = prior.measure(Seen(MOUTH, helen), count=2, progress=False)
    assert found.summary()["kinds"]["face"]["inputs"] == 2
    for index, pixels in enumerate(seen[0]):
        face = render_face(prior.SEED, index, prior.RENDERED_SIZE)
        reference = crop_maps.REFERENCE.crop(tight_box(face.points["ibug68"]))
        crop = reference.within(detected.FaceLandmarker(Mean(MOUTH, helen)).shown)
        assert np.array_equal(pixels, extract_crop(face.image, crop, 64))
    with refuses("prior", "nose9", "source", "anchors"):
        prior.measure(Mean(NOSE, helen), count=2, progress=False)


def test_faces_of_another_schema_are_not_cropped_at_random(
    tmp_path: Path, helen: Path
) -> None:
    model = Mean(EYES, helen)
    with refuses("ibug68", "eyes12", "mouth_right", "use faces of eyes12"):
        faces.load(f"ibug:{helen}", model.crop_rule, 64, progress=False)
    options = SourceOptions(source=MOUTH.write(tmp_path, helen, 10), name="m", heads=["mouth20"])
    pack.pack(options, tmp_path / "p", PackOptions(size=64), workers=1, progress=False)
    with refuses("other parts of faces", "mouth20", "eyes12"):
        faces.load(f"packed:{tmp_path}/p", model.crop_rule, 64, split="train", progress=False)


def test_whole_faces_are_pasted_into_scenes(tmp_path: Path, helen: Path) -> None:
    """The eyes' crop tells where the face is; it has the size that faces have in scenes."""
    model = Mean(EYES, helen)
    landmarker = detected.FaceLandmarker(model)
    source = EYES.write(tmp_path, helen, 8)
    found = sources.read(source).records
    images = detected._images(found, model.crop_rule, True, "stop", [], landmarker.shown)
    for image, ((_, crop),) in images:
        corners = crop.from_unit(landmarker.shown.to_unit(detected.FACE_CORNERS))
        side = np.ptp(corners, axis=0).max()
        assert 0.14 * 960 < side < 0.61 * 960
        assert (corners > -1).all() and (corners < [image.shape[1], image.shape[0]]).all()


def test_overlaps_of_flat_parts_are_those_of_their_squares() -> None:
    schemas.register(EYES.schema)
    points = np.zeros((12, 2))
    points[:, 0] = np.arange(12) * 10.0
    (same,) = detected._overlaps(points, [points + np.array([0, 11])], "eyes12")
    assert same == pytest.approx(99 / 121)


def test_a_confidence_is_about_whole_faces(tmp_path: Path, helen: Path) -> None:
    crops = presence.PresenceCrops(16, presence.AS_IS, np.random.default_rng(0))
    with refuses("whole faces", "schema eyes12", "mouth_right"):
        presence.add_source(crops, EYES.write(tmp_path, helen, 5))
    with refuses("whole faces", "schema mouth20", "right_eye"):
        presence.add_scenes(crops, [], Mean(MOUTH, helen))

    class Wide(Fixed):
        crop_rule = CropRule("points", "ibug51", 3.0)
        mean_shape = 0.5 + (drawn.mean_shape("ibug51") - 0.5) / 3

    with refuses("crop.scale", "fitted"):
        presence.add_scenes(crops, [], Wide())


def test_the_crop_in_a_whole_face_is_that_of_the_part(helen: Path) -> None:
    """The eyes' crop of a face is 1.25 times the box of its eyes, but for how faces differ."""
    landmarker = detected.FaceLandmarker(Mean(EYES, helen))
    errors = []
    for record in sources.read(f"ibug:{helen}").records[:60]:
        reference = crop_maps.REFERENCE.crop(record.source_box("points"))
        crop: Crop = landmarker._crops.of_reference(reference)
        eyes = CropRule("points", "eyes12", 1.25).crop(tight_box(record.points[36:48]))
        place = eyes.to_unit(np.array([crop.center_x, crop.center_y])) - 0.5
        errors.append([*place, np.log(crop.side / eyes.side)])
    assert np.abs(np.mean(errors, axis=0)).max() < 0.05
    assert np.std(errors, axis=0).max() < 0.15
