"""Metrics of predictors whose error is known, from photos and from packed crops."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from efld_tf.annotations import sources
from efld_tf.data import pack
from efld_tf.data.options import CropOptions, PackOptions, SourceOptions
from efld_tf.evaluation import evaluate, plots, robustness, slices
from efld_tf.evaluation import faces as faces_of
from efld_tf.landmarks import metrics, pose, schemas
from efld_tf.landmarks.geometry import CropRule
from efld_tf.landmarks.model_outputs import ModelOutputs
from tests import faces
from tests.errors import refuses
from tests.evaluation.predictors import Fixed

RULE = CropRule("points", "ibug68", 1.25)
SIZE = 64


class Shifted(Fixed):
    """Predicts the truth of given faces, moved by `pixels` of the photo to the right."""

    schema, crop_rule, input_size = "ibug51", RULE, SIZE

    def __init__(self, truth: faces_of.EvaluationFaces, pixels: float):
        points = truth.points[:, 17:] if truth.schema == "ibug68" else truth.points
        self.points = points + (np.array([pixels, 0]) / truth.sides)[:, None]

    def predict_crops(self, crops: np.ndarray) -> np.ndarray:
        return self.points


class Blind(Shifted):
    """Predicts the same for each crop of one face, whatever it shows."""

    def predict_crops(self, crops: np.ndarray) -> np.ndarray:
        return np.repeat(self.points, len(crops), axis=0)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return faces.write_ibug(tmp_path_factory.mktemp("photos"), 12)


@pytest.fixture(scope="module")
def found(photos: Path) -> faces_of.EvaluationFaces:
    return faces_of.load(f"ibug:{photos}", RULE, SIZE, progress=False)


def test_a_perfect_prediction(found) -> None:
    summary = evaluate.evaluate(Shifted(found, 0.0), found).summary()
    assert summary["nme_interocular_percent"] == pytest.approx(0, abs=1e-4)
    assert summary["accuracy_5px_percent"] == 100
    assert summary["failure_rate_10_percent"] == 0
    assert summary["ced_auc_10_percent"] == pytest.approx(100, abs=1e-3)


@pytest.mark.parametrize(("pixels", "accuracy"), [(4.9, 100.0), (5.1, 0.0)])
def test_a_known_shift(found, photos: Path, pixels: float, accuracy: float) -> None:
    """A shift by p pixels is p / (distance of the outer eye corners) of every face."""
    result = evaluate.evaluate(Shifted(found, pixels), found)
    records = sources.read(f"ibug:{photos}").records
    corners = np.array([np.linalg.norm(r.points[36] - r.points[45]) for r in records])
    np.testing.assert_allclose(result.nme, pixels / corners, rtol=1e-4)
    summary = replace(result, thresholds_percent=(8.0, 10.0)).summary()
    assert summary["accuracy_5px_percent"] == accuracy
    assert summary["nme_interocular_percent"] == pytest.approx(100 * result.nme.mean(), 1e-4)
    assert summary["failure_rate_8_percent"] == pytest.approx(
        100 * np.mean(pixels / corners > 0.08)
    )
    centres = [np.linalg.norm(r.points[36:42].mean(0) - r.points[42:48].mean(0)) for r in records]
    assert summary["nme_interpupil_percent"] == pytest.approx(
        100 * np.mean(pixels / np.array(centres)), rel=1e-3
    )
    assert set(summary["nme_by_point_percent"]) == set(schemas.get("ibug51").names)
    # All of it is a shift, everywhere alike.
    assert summary["mean_shift_percent"] == pytest.approx(100 * result.nme.mean(), 1e-4)
    assert summary["point_variance_percent2"] == pytest.approx(0, abs=1e-4)
    by_region = summary["nme_by_region_percent"]
    assert list(by_region)[-2:] == ["nose", "mouth"] and len(by_region) == 6
    assert list(by_region.values()) == pytest.approx([100 * result.nme.mean()] * 6, 1e-4)


def test_crops_show_the_points(found, photos: Path) -> None:
    """The dark dots that are drawn on the anchors are there in the crop."""
    anchors = schemas.get("ibug68").anchor_points(found.points)
    for crop, points in zip(found.crops, anchors, strict=True):
        for x, y in np.clip((points * SIZE).astype(int), 0, SIZE - 1):
            assert crop[y, x].mean() < 80
    picture = found.picture(3, 2 * SIZE)
    small = cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(float) - found.crops[3]).mean() < 8


def test_packed_faces_are_the_same_faces(found, photos: Path, tmp_path: Path) -> None:
    options = SourceOptions(f"ibug:{photos}", "p", ["ibug68"])
    options = replace(options, crop=replace(options.crop, scale=1.25))
    pack.pack(options, tmp_path / "p", PackOptions(size=96, jpeg_quality=100), progress=False)
    packed = faces_of.load(f"packed:{tmp_path / 'p'}", RULE, SIZE, split="train")
    assert packed.names == found.names
    assert (packed.crop_rule_from, found.crop_rule_from) == ("model", "model")
    np.testing.assert_allclose(packed.points, found.points, atol=1e-4)
    np.testing.assert_allclose(packed.sides, found.sides, rtol=1e-4)
    assert np.abs(packed.crops.astype(float) - found.crops).mean() < 3
    with refuses(f"packed:{tmp_path / 'p'}", "zoom", 1, 1.25):
        faces_of.load(f"packed:{tmp_path / 'p'}", replace(RULE, zoom=1.25), SIZE, split="train")


def test_a_five_point_source_gets_a_rule_of_its_own(tmp_path: Path) -> None:
    listed = faces.write_five_points(tmp_path, 8)
    found = faces_of.load(f"mtfl:{listed}", RULE, SIZE, progress=False)
    assert (found.crop_rule.name, found.crop_rule_from) == ("mtfl5-file", "fitted")
    near = faces_of.load(f"mtfl:{listed}", replace(RULE, zoom=1.25), SIZE, progress=False)
    np.testing.assert_allclose(near.sides, found.sides / 1.25, rtol=1e-3)
    with refuses("ibug51", "mtfl5"):
        evaluate.evaluate(Shifted(found, 0.0), found)


def test_bad_photos_stop_or_are_counted(photos: Path, tmp_path: Path) -> None:
    faces.write_ibug(tmp_path, 4)
    (tmp_path / "face_002x.png").write_bytes(b"x")
    with refuses("image", path=tmp_path / "face_002x.png"):
        faces_of.load(f"ibug:{tmp_path}", RULE, SIZE, progress=False)
    found = faces_of.load(f"ibug:{tmp_path}", RULE, SIZE, on_error="skip", progress=False)
    assert len(found) == 3 and "face_002x.png" in found.skipped[0]


def test_faces_without_a_normaliser_are_told_or_counted(tmp_path: Path) -> None:
    """Alike from photos, where the annotation is in part, and packed."""
    folder = faces.write_ibug(tmp_path / "photos", 5)
    lines = []
    for index, record in enumerate(sources.read(f"ibug:{folder}").records):
        points = record.points.round(3).tolist()
        if index in (1, 3):
            points[36] = None  # an outer eye corner
        lines.append(json.dumps({"image": record.image.name, "points": points}))
    (folder / "faces.jsonl").write_text("\n".join(lines))
    source = f"json:{folder / 'faces.jsonl'}?schema=ibug68"
    pack.pack(SourceOptions(source, "p", ["ibug68"]), tmp_path / "p", PackOptions(size=96),
              progress=False)
    for name, path, split in ((source, folder / "face_001x.png", None),
                              (f"packed:{tmp_path / 'p'}", tmp_path / "p", "train")):
        with refuses("right_eye_0", "interocular", "on-error skip", path=path):
            faces_of.load(name, RULE, SIZE, split=split, progress=False)
        found = faces_of.load(name, RULE, SIZE, on_error="skip", split=split, progress=False)
        assert [key[:8] for key in found.names] == ["face_000", "face_002", "face_004"]
        assert len(found.skipped) == 2 and "face_003x" in found.skipped[1]
        assert evaluate.evaluate(Shifted(found, 0.01), found).nme.shape == (3,)
        everyone = faces_of.load(name, RULE, SIZE, split=split, measured=False, progress=False)
        assert len(everyone) == 5 and everyone.measurable().names == found.names


def test_faces_are_measured_by_what_both_schemas_have(tmp_path: Path) -> None:
    """Their own schema is normalised by the mouth, the model's by the eyes."""
    fields = yaml.safe_load((schemas.SCHEMA_FILES / "ibug68.yaml").read_text())
    fields |= {"name": "mouth68", "normalisers": {"mouth": {"right": 48, "left": 54}}}
    (tmp_path / "mouth68.yaml").write_text(yaml.safe_dump(fields))
    folder, lines = faces.write_ibug(tmp_path / "photos", 4), []
    for index, record in enumerate(sources.read(f"ibug:{folder}").records):
        points = record.points.round(3).tolist()
        if index:
            points[36 if index == 1 else 48] = None
        lines.append(json.dumps({"image": record.image.name, "points": points}))
    (folder / "faces.jsonl").write_text("\n".join(lines))
    source = f"json:{folder / 'faces.jsonl'}?schema={tmp_path / 'mouth68.yaml'}"
    with refuses("right_eye_0", "interocular", path=folder / "face_001x.png"):
        faces_of.load(source, RULE, SIZE, predicted="ibug51", progress=False)
    found = faces_of.load(source, RULE, SIZE, predicted="ibug51", on_error="skip", progress=False)
    assert [name[:8] for name in found.names] == ["face_000", "face_002", "face_003"]
    assert len(found.measurable()) == 1 and len(found.measurable("ibug51")) == 3
    predictor = Shifted(found, 0.01)
    predictor.points = np.nan_to_num(predictor.points[:, 17:])
    assert evaluate.evaluate(predictor, found).nme.shape == (3,)


def test_attributes_are_grouped(found) -> None:
    attributes = [{"blur": str(i % 2), "same": "1"} for i in range(len(found))]
    tagged = replace(found, attributes=attributes)
    result = evaluate.evaluate(Shifted(tagged, 3.0), tagged)
    groups = result.summary()["by_attribute"]
    assert list(groups) == ["blur"] and groups["blur"]["1"]["faces"] == 6
    assert groups["blur"]["0"]["nme_percent"] == pytest.approx(100 * result.nme[::2].mean(), 1e-3)


def test_pictures_are_drawn(found, tmp_path: Path) -> None:
    result = evaluate.evaluate(Shifted(found, 4.0), found)
    plots.ced_plot(tmp_path / "ced.png", {"a": result})
    plots.predictions_sheet(tmp_path / "worst.png", result, plots.worst(result, 6), columns=3)
    sheet = cv2.imread(str(tmp_path / "worst.png"))
    assert sheet.shape[1] >= 3 * plots.TILE and sheet.std() > 10
    assert cv2.imread(str(tmp_path / "ced.png")).std() > 10
    order = plots.worst(result, 12)
    assert (np.diff(result.nme[order]) <= 0).all()
    assert plots.spread(result, 3)[0] == order[-1] and plots.spread(result, 3)[-1] == order[0]


@pytest.mark.parametrize(
    ("first", "second", "name"), [("ibug68", "ibug51", "ibug51"), ("ibug51", "ibug51", "ibug51")]
)
def test_common_points(first: str, second: str, name: str) -> None:
    for one, other in ((first, second), (second, first)):
        common, left, right = faces_of.common_points(one, other)
        assert common == name and len(left) == len(right) == 51
        assert schemas.get(one).names[left[0]] == "right_eyebrow_0"


def test_ced_auc_is_the_area_under_the_drawn_curve(found) -> None:
    nme = evaluate.evaluate(Shifted(found, 3.0), found).nme
    errors, shares = metrics.ced_curve(nme, 0.1, 20001)
    area = ((shares[1:] + shares[:-1]) / 2 * np.diff(errors)).sum() / 0.1
    assert metrics.ced_auc(nme, 0.1) == pytest.approx(area, abs=1e-3)


def boxed(folder: Path, count: int, unboxed: tuple[int, ...] = ()) -> str:
    """A source of 68 points whose faces have boxes of 50 x 80 pixels in their file."""
    faces.write_ibug(folder, count)
    lines = []
    for index, record in enumerate(sources.read(f"ibug:{folder}").records):
        face = {"image": record.image.name, "points": record.points.round(3).tolist()}
        if index not in unboxed:
            face["box"] = [10, 5, 60, 85]
        lines.append(json.dumps(face))
    (folder / "faces.jsonl").write_text("\n".join(lines))
    return f"json:{folder / 'faces.jsonl'}?schema=ibug68"


@pytest.mark.parametrize("name", ["box_diagonal", "box_size", "image_size"])
def test_errors_are_divided_by_sizes_of_the_true_box(tmp_path: Path, name: str) -> None:
    """51 points are compared, but the box is of all 68, or of the file; alike in all sections."""
    source = boxed(tmp_path, 6)
    found = faces_of.load(source, RULE, SIZE, predicted="ibug51", normaliser=name, progress=False)
    result = evaluate.evaluate(Shifted(found, 3.0), found, normaliser=name)
    width, height = np.array([np.ptp(r.points, axis=0) for r in sources.read(source).records]).T
    expected = {"box_diagonal": np.sqrt(width**2 + height**2), "box_size": np.sqrt(width * height),
                "image_size": np.full(6, 80.0)}[name]
    np.testing.assert_allclose(result.nme, 3 / expected, rtol=1e-4)
    np.testing.assert_allclose(result.point_errors(), np.tile(result.nme[:, None], 51), rtol=1e-4)
    summary = result.summary()
    mean = 100 * float(result.nme.mean())
    assert summary["normaliser"] == name and "box" in summary["normaliser_is"]
    assert summary[f"nme_{name}_percent"] == pytest.approx(mean, abs=1e-3)
    assert summary["mean_shift_percent"] == pytest.approx(mean, abs=1e-3)
    assert summary["nme_by_region_percent"]["nose"] == pytest.approx(mean, abs=1e-3)
    assert {"nme_interocular_percent", "nme_interpupil_percent"} <= set(summary)
    divided = slices.measure(result).summary()
    assert divided["normaliser"] == name
    group = divided["attributes"]["brightness"]["groups"][0]
    assert f"nme_{name}_percent" in group
    noise = next(c for c in robustness.CORRUPTIONS if isinstance(c, robustness.Changed))
    one = found.ordered([0])
    blind = Blind(one, 3.0)
    worse = robustness.measure(
        blind, evaluate.evaluate(blind, one, normaliser=name), [noise], progress=False)
    assert worse.summary()["normaliser"] == name
    np.testing.assert_allclose(worse.curves[0].nme, 3 / expected[0], rtol=1e-4)


def test_packed_faces_know_the_longest_side_of_the_file_s_box(tmp_path: Path) -> None:
    source = boxed(tmp_path / "photos", 5)
    for kind in ("file", "points"):
        crop = CropOptions(scale=1.5, offset_x=0.1, offset_y=-0.2, box=kind)
        pack.pack(SourceOptions(source, "p", ["ibug68"], crop=crop), tmp_path / kind,
                  PackOptions(size=96), progress=False)
    folder = tmp_path / "file"
    found = faces_of.load(f"packed:{folder}", RULE, SIZE, split="train", normaliser="image_size")
    np.testing.assert_allclose(evaluate.evaluate(
        Shifted(found, 4.0), found, normaliser="image_size").nme, 4 / 80, rtol=1e-4)
    photo = faces_of.load(source, found.crop_rule, SIZE, progress=False)
    middle = photo.true_boxes("file").reshape(-1, 2, 2).mean(axis=1)
    np.testing.assert_allclose(
        found.true_boxes("file").reshape(-1, 2, 2).mean(axis=1), middle, atol=1e-6)
    with refuses("image_size", "box", path=tmp_path / "points"):
        faces_of.load(f"packed:{tmp_path / 'points'}", RULE, SIZE, split="train",
                      normaliser="image_size")


def test_faces_without_a_box_in_their_file_are_told_or_counted(tmp_path: Path) -> None:
    source = boxed(tmp_path, 4, unboxed=(2,))
    with refuses("image_size", "on-error skip", path=tmp_path / "face_002x.png"):
        faces_of.load(source, RULE, SIZE, normaliser="image_size", progress=False)
    found = faces_of.load(
        source, RULE, SIZE, normaliser="image_size", on_error="skip", progress=False)
    assert len(found) == 3 and len(found.skipped) == 1
    assert len(faces_of.load(source, RULE, SIZE, normaliser="box_size", progress=False)) == 4


def test_a_box_measures_faces_that_lack_points_of_the_eyes(tmp_path: Path) -> None:
    source = boxed(tmp_path, 3)
    path = tmp_path / "faces.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[1]["points"][36] = None
    path.write_text("\n".join(map(json.dumps, lines)))
    found = faces_of.load(source, RULE, SIZE, normaliser="box_diagonal", progress=False)
    summary = evaluate.evaluate(Shifted(found, 1.0), found, normaliser="box_diagonal").summary()
    assert "nme_interocular_percent" not in summary and summary["faces"] == 3


class Deep(Fixed):
    """Predicts the truth, with depths of `flatness` times their truth from another plane."""

    schema, has_depth = "ibug68_3d", True

    def __init__(self, truth: faces_of.EvaluationFaces, flatness: float):
        self.truth, self.flatness = truth, flatness

    def predict_outputs(self, crops: np.ndarray) -> ModelOutputs:
        return ModelOutputs(self.truth.points, None, self.flatness * self.truth.depths + 0.3)


def test_depths_and_the_pose_by_them(shared_data: Path) -> None:
    """Of real heads; MediaPipe's and other models' depths have another plane, which is no error."""
    found = faces_of.load(
        f"aflw2000:{shared_data}/aflw2000", CropRule("points", "ibug68_3d", 1.25), SIZE,
        progress=False)
    exact = evaluate.evaluate(Deep(found, 1.0), found).summary()
    assert exact["depth_faces"] == 16
    assert exact["depth_error_box_size_percent"] == pytest.approx(0, abs=1e-4)
    assert exact["pose_error_degrees"] == pytest.approx({"yaw": 0, "pitch": 0, "roll": 0}, abs=0.01)
    flat = evaluate.evaluate(Deep(found, 0.0), found)
    records = sources.read(f"aflw2000:{shared_data}/aflw2000").records
    by_hand = [np.abs(r.depth - r.depth.mean()).mean() / np.sqrt(np.ptp(r.points, axis=0).prod())
               for r in records]
    assert flat.summary()["depth_error_box_size_percent"] == pytest.approx(
        100 * np.mean(by_hand), rel=1e-3)
    assert flat.summary()["pose_error_degrees"]["yaw"] > 5
    assert "error of yaw" in flat.report()
    plain = evaluate.evaluate(Shifted(found, 0.0), found).summary()
    assert "depth_faces" not in plain
    found.depths[3] = np.nan
    assert evaluate.evaluate(Deep(found, 1.0), found).summary()["depth_faces"] == 15


def test_yaws_are_those_of_the_depths(shared_data: Path) -> None:
    found = faces_of.load(
        f"aflw2000:{shared_data}/aflw2000", CropRule("points", "ibug68_3d", 1.25), SIZE,
        progress=False)
    result = slices.measure(evaluate.evaluate(Deep(found, 1.0), found))
    expected = pose.estimate(found.in_photo(found.points), schemas.get("ibug68_3d"),
                             found.depths_in_photo(found.depths))
    np.testing.assert_allclose(result.values["yaw"], np.abs(expected[:, 0]))
