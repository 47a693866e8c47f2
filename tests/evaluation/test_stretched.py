"""Crops that are stretched into the square: errors are those of the photo nevertheless."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from efld_tf.annotations import sources
from efld_tf.data import crop_fit, look, pack, pipeline
from efld_tf.data.manifest import Manifest, read_manifest
from efld_tf.data.options import AugmentOptions, CropOptions, PackOptions, SourceOptions
from efld_tf.evaluation import evaluate, presence, prior, robustness, slices
from efld_tf.evaluation import faces as faces_of
from efld_tf.landmarks import pose, schemas
from efld_tf.landmarks.geometry import CropRule
from efld_tf.models import checkpoint
from efld_tf.runtime.landmarker import FaceLandmarker
from efld_tf.training import pseudo_labels
from tests import faces
from tests.errors import refuses
from tests.evaluation.predictors import Fixed

SCALES, OFFSET = np.array([1.2, 1.9]), np.array([0.05, 0.1])
OPTIONS = CropOptions(
    scale_x=1.2, scale_y=1.9, offset_x=0.05, offset_y=0.1)
RULE = CropRule("points", "ibug68", None, 0.05, 0.1, scale_x=1.2, scale_y=1.9)
SQUARE = CropRule("points", "ibug68", 1.25)
SIZE = 64
# What predictions are wrong by, in sides of the crop.
WRONG = np.array([0.01, 0.02])


class Wrong(Fixed):
    """Predicts the truth of faces, moved by `WRONG`."""

    schema, crop_rule, input_size = "ibug68", RULE, SIZE

    def __init__(self, found: faces_of.EvaluationFaces):
        self.points = found.points + WRONG

    def predict_crops(self, crops: np.ndarray) -> np.ndarray:
        return self.points


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return faces.write_ibug(tmp_path_factory.mktemp("photos"), 12)


def packed_as(photos: Path, folder: Path, crop: CropOptions) -> Manifest:
    options = SourceOptions(f"ibug:{photos}", "p", ["ibug68"], crop=crop)
    return pack.pack(options, folder, PackOptions(size=96, jpeg_quality=100), progress=False)


@pytest.fixture(scope="module")
def packed(photos: Path) -> Path:
    folder = photos.parent / "stretched"
    packed_as(photos, folder, OPTIONS)
    return folder


@pytest.fixture(scope="module")
def square(photos: Path) -> Path:
    folder = photos.parent / "square"
    packed_as(photos, folder, CropOptions(scale=1.25))
    return folder


@pytest.fixture(scope="module", params=["photos", "packed"])
def found(request: pytest.FixtureRequest, photos: Path, packed: Path) -> faces_of.EvaluationFaces:
    if request.param == "photos":
        return faces_of.load(f"ibug:{photos}", RULE, SIZE, progress=False)
    return faces_of.load(f"packed:{packed}", RULE, SIZE, split="train", progress=False)


def test_errors_are_those_of_the_photo(found, photos: Path) -> None:
    """Without any code of crops: sides from the tight box, errors in pixels of the photo."""
    summary = evaluate.evaluate(Wrong(found), found, normaliser="box_size").summary()
    by_eyes = evaluate.evaluate(Wrong(found), found, (5.0,))
    records = sources.read(f"ibug:{photos}").records
    points = np.stack([record.points for record in records]).astype(float)
    sizes = np.ptp(points, axis=1)
    assert (abs(sizes[:, 1] / sizes[:, 0] - 1) > 0.05).any()
    error = np.hypot(*(WRONG * SCALES * sizes).T)
    distance = np.linalg.norm(points[:, 36] - points[:, 45], axis=-1)
    np.testing.assert_allclose(by_eyes.nme, error / distance, rtol=1e-3)
    assert by_eyes.nme_percent == pytest.approx(100 * (error / distance).mean(), rel=1e-3)
    box = np.sqrt(sizes.prod(axis=1))
    assert summary["nme_box_size_percent"] == pytest.approx(
        100 * (error / box).mean(), rel=1e-3)
    # In the square they would be others.
    there = found.points[:, 36] - found.points[:, 45]
    assert abs(np.hypot(*WRONG) / np.linalg.norm(there, axis=-1) - by_eyes.nme).min() > 0.005
    told = by_eyes.summary()
    assert (told["crop_scale_x"], told["crop_scale_y"]) == (1.2, 1.9)
    assert "crop_scale" not in told
    assert told["mean_shift_percent"] == pytest.approx(by_eyes.nme_percent, rel=1e-3)
    np.testing.assert_allclose(by_eyes.point_errors(), np.tile(by_eyes.nme[:, None], 68), rtol=1e-3)


def test_five_pixels_and_pose_are_those_of_the_photo(found, photos: Path) -> None:
    points = np.stack([record.points for record in sources.read(f"ibug:{photos}").records])
    np.testing.assert_allclose(found.sides, SCALES * np.ptp(points, axis=1), rtol=1e-4)
    result = evaluate.evaluate(Wrong(found), found)
    # Half of the points are off by 4.9 pixels of the photo to the side, half by 5.1 downwards.
    moved = np.where(np.arange(68)[:, None] % 2, [4.9, 0], [0, 5.1]) / found.sides[:, None]
    result = dataclasses.replace(result, predicted=result.truth + moved)
    assert result.accuracy_percent == 50
    measured = {attribute.name: attribute for attribute in slices.ATTRIBUTES}
    angles = pose.estimate(points, schemas.get("ibug68"))
    assert angles is not None
    np.testing.assert_allclose(measured["roll"].measure(found), abs(angles[:, 2]), atol=0.05)
    distance = np.linalg.norm(points[:, 36] - points[:, 45], axis=-1)
    np.testing.assert_allclose(measured["face_size"].measure(found), distance, rtol=1e-3)


def test_the_pixels_are_the_same_packed_or_not(photos: Path, packed: Path) -> None:
    direct = faces_of.load(f"ibug:{photos}", RULE, SIZE, progress=False)
    stored = faces_of.load(f"packed:{packed}", RULE, SIZE, split="train", progress=False)
    assert (direct.crop_rule_from, stored.crop_rule_from) == ("model", "model")
    np.testing.assert_allclose(stored.points, direct.points, atol=1e-4)
    assert np.abs(stored.crops.astype(float) - direct.crops).mean() < 6
    # The tight box is 1 / 1.2 of the width and 1 / 1.9 of the height, at the same place in all.
    size = np.ptp(direct.points, axis=1)
    np.testing.assert_allclose(size, np.tile(1 / SCALES, (12, 1)), rtol=1e-4)
    middle = (direct.points.min(axis=1) + direct.points.max(axis=1)) / 2
    np.testing.assert_allclose(middle, np.tile(0.5 - OFFSET / SCALES, (12, 1)), atol=1e-4)


def test_the_boxes_of_files_keep_their_form(tmp_path: Path) -> None:
    listed = faces.write_five_points(tmp_path / "five", 8)
    crop = dataclasses.replace(OPTIONS, box="file")
    pack.pack(SourceOptions(f"mtfl:{listed}", "p", ["mtfl5"], crop=crop), tmp_path / "p",
              PackOptions(size=96), progress=False)
    rule = read_manifest(tmp_path / "p").crop_rule
    stored = faces_of.load(f"packed:{tmp_path / 'p'}", rule, SIZE, split="train", progress=False)
    boxes = evaluate.true_boxes(stored, schemas.get("mtfl5"), "image_size")
    expected = np.stack([record.box for record in sources.read(f"mtfl:{listed}").records])
    np.testing.assert_allclose(boxes[:, 2:] - boxes[:, :2], expected[:, 2:] - expected[:, :2],
                               rtol=1e-3)


def test_stored_faces_are_shown_in_their_proportions(photos: Path, packed: Path) -> None:
    shown = list(look.faces(f"packed:{packed}", look.Remarks()))
    records = sources.read(f"ibug:{photos}").records
    for face, record in zip(shown, records, strict=True):
        assert face.pixels().shape[1] == 96 < face.pixels().shape[0]
        np.testing.assert_allclose(np.ptp(face.record.points, axis=0) * face.scale,
                                   np.ptp(record.points, axis=0), rtol=0.01)


def test_squares_are_stored_as_ever(square: Path, packed: Path) -> None:
    for folder, more in ((square, set()), (packed, {"side_y"})):
        manifest = read_manifest(folder)
        path = folder / manifest.shards["train"][0].file
        record = next(tf.data.TFRecordDataset([str(path)]).as_numpy_iterator())
        features = tf.train.Example.FromString(record).features.feature
        assert {*features} == {"jpeg", "name", "points", "side"} | more
        source = pipeline.PackedSource(folder, manifest, {"ibug68": tuple(range(68))})
        options = pipeline.BatchOptions(("ibug68",), 32, 12, AugmentOptions.none())
        batch = next(iter(pipeline.validation_batches([source], options, "train")))
        aspect = batch["aspect"].numpy()
        assert (aspect == 1).all() if not more else (aspect > 1.2).all()
    assert CropOptions(scale=1.25).settings() == {
        "scale": 1.25, "offset_x": 0.0, "offset_y": 0.0, "box": None}
    assert OPTIONS.settings()["scale_y"] == 1.9


@pytest.mark.parametrize(("options", "told"), [
    ({"scale_x": 1.2}, "scale_y"), ({"scale_y": -1.0, "scale_x": 1.0}, "scale_y"),
    ({"scale": 1.0, "scale_x": 1.0, "scale_y": 1.0}, "scale_x"), ({"offset_y": 0.1}, "offset_y"),
])
def test_options_are_checked(options: dict[str, float], told: str) -> None:
    with refuses(told):
        CropOptions(**options)


def test_the_zoom_keeps_the_place_between_the_eyes(photos: Path) -> None:
    records = sources.read(f"ibug:{photos}").records
    far, near = (crop_fit.crop_rule(records, OPTIONS, zoom) for zoom in (1.0, 1.25))
    assert far == RULE and near.scales == pytest.approx((1.2 / 1.25, 1.9 / 1.25))
    for record in records:
        one, other = (rule.crop(record.source_box("points")) for rule in (far, near))
        np.testing.assert_allclose(one.from_unit(np.array([0.5, 0.279])),
                                   other.from_unit(np.array([0.5, 0.279])), atol=1e-6)


def test_only_annotated_boxes_give_such_crops(found, photos: Path, tmp_path: Path) -> None:
    wrong = Wrong(found)
    result = evaluate.evaluate(wrong, found)
    for use in (
        lambda: FaceLandmarker(wrong),  # with a detector, with boxes, or to track
        lambda: robustness.measure(wrong, result, progress=False),
        lambda: prior.measure(wrong, result, progress=False),
        lambda: prior.measure(wrong, progress=False),
        lambda: presence.add_scenes(
            presence.PresenceCrops(SIZE, presence.AS_IS, np.random.default_rng(0)), [], wrong),
        lambda: faces_of.load(f"mtfl:{faces.write_five_points(tmp_path, 2)}", RULE, SIZE,
                              progress=False),
    ):
        with refuses("ibug68-points", "scale_x"):
            use()


def of_head(packed: Path, rule: CropRule) -> checkpoint.HeadSpec:
    """A head of `ibug68` whose mean face is that of packed faces."""
    return checkpoint.HeadSpec(read_manifest(packed).mean_shape, rule)


def test_square_and_stretched_are_not_mixed(packed: Path, square: Path) -> None:
    for folder, rule in ((packed, SQUARE), (square, RULE)):
        with refuses("square", "stretched", f"packed:{folder}"):
            faces_of.load(f"packed:{folder}", rule, SIZE, split="train")
        with refuses("square", "stretched", "crop.scale_x", path=folder):
            pseudo_labels.check_crops(folder, "ibug68", of_head(folder, rule))


OTHERS = [dataclasses.replace(RULE, schema="ibug51"), dataclasses.replace(RULE, box="file")]


@pytest.mark.parametrize("rule", OTHERS, ids=lambda rule: rule.name)
def test_crops_of_other_boxes_are_labelled_where_faces_look_alike(
    packed: Path, rule: CropRule
) -> None:
    spec = of_head(packed, rule)
    pseudo_labels.check_crops(packed, "ibug68", spec)
    for factors, told in (((1.25, 1.0), None), ((1.0, 0.8), None), ((1.4, 1.0), ("1.40", "1.00")),
                          ((1.0, 0.7), ("1.00", "0.70"))):
        shape = (np.array(spec.mean_shape) / factors).tolist()
        changed = dataclasses.replace(spec, mean_shape=shape)
        if told is None:
            pseudo_labels.check_crops(packed, "ibug68", changed)
            continue
        with refuses(*told, "crop.scale_x", path=packed):
            pseudo_labels.check_crops(packed, "ibug68", changed)
    # Those of one rule are not compared: it is the same photo in the same crop.
    own = dataclasses.replace(spec, crop_rule=RULE, mean_shape=shape)
    pseudo_labels.check_crops(packed, "ibug68", own)
    # What is packed is evaluated as it was packed.
    found = faces_of.load(f"packed:{packed}", rule, SIZE, split="train")
    assert (found.crop_rule, found.crop_rule_from) == (RULE, "packed")


def test_what_is_alike() -> None:
    for other in [SQUARE, *OTHERS]:
        assert not crop_fit.alike(RULE, other) and not crop_fit.alike(other, RULE)
        assert crop_fit.same_kind(RULE, other) == (other is not SQUARE)
    assert crop_fit.alike(RULE, dataclasses.replace(RULE, scale_x=1.3))


def test_how_much_larger_a_face_looks() -> None:
    shape = faces.mean_shape("ibug68")
    wider = 0.5 + (faces.mean_shape("wflw98") - 0.5) * [1.5, 0.5]
    times = crop_fit.times_as_large(wider.tolist(), "wflw98", shape.tolist(), "ibug68")
    np.testing.assert_allclose(times, [1.5, 0.5], rtol=0.05)
    assert crop_fit.times_as_large(
        shape.tolist(), "ibug68", (shape * [0, 1]).tolist(), "ibug68") is None
