"""An export calibrated on plain photos, whose faces are found as `efld-predict` finds them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import efld_tf
from efld_tf import assets
from efld_tf.annotations.images import read_photo
from efld_tf.annotations.synthetic.render import render_face
from efld_tf.benchmarking import mode_table
from efld_tf.cli import common, export
from efld_tf.evaluation import evaluate, faces
from efld_tf.exporting import calibration, modes
from efld_tf.exporting import photos as plain
from efld_tf.exporting.export import calibrated
from efld_tf.exporting.report import Bundle
from efld_tf.landmarks.geometry import Crop, extract_crop
from efld_tf.landmarks.model_outputs import ModelOutputs
from efld_tf.models.predictor import FloatPredictor
from efld_tf.models.trained import TrainedModel
from efld_tf.runtime.any_angle import open_detector
from efld_tf.runtime.faces import Face
from efld_tf.runtime.landmarker import FaceLandmarker
from efld_tf.runtime.predictor import LandmarkPredictor
from tests.errors import assert_error_line, assert_told, refuses
from tests.exporting.conftest import RULE, SIZE
from tests.runtime import videos

HELEN = 100


@pytest.fixture(scope="module")
def research() -> TrainedModel:
    return TrainedModel.load(assets.FLOAT_MODEL, "ibug51")


@pytest.fixture(scope="module")
def helen(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of HELEN's test set, without their annotation, and some other files."""
    folder = tmp_path_factory.mktemp("plain") / "photos"
    (folder / "sub").mkdir(parents=True)
    for path in sorted((shared_data / "ibug/helen/testset").glob("*.jpg"))[:HELEN]:
        os.symlink(path, folder / path.name)
    Image.fromarray(np.full((90, 120, 3), 128, np.uint8)).save(folder / "sub/wall.png")
    (folder / "sub/text.jpg").write_text("Dear all,\n")
    (folder / "notes.txt").write_text("These are photos of people.\n")
    videos.make(folder / "clip.mp4")
    return folder


@pytest.fixture(scope="module")
def bundle(helen: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return efld_tf.export("research", "int8", head="ibug51", calibration=helen,
                          output=tmp_path_factory.mktemp("bundles") / "plain")


@pytest.fixture
def rendered(tmp_path: Path) -> Path:
    """Enough photos of a rendered face each."""
    folder = tmp_path / "rendered"
    folder.mkdir()
    for index in range(plain.FEWEST_FACES):
        Image.fromarray(render_face(9, index, 160).image).save(folder / f"{index}.png")
    return folder


def test_what_was_found_is_told(helen: Path, bundle: Bundle) -> None:
    report = bundle.report
    assert report.calibration_source == f"photos:{helen}"
    assert HELEN <= report.calibration_faces <= 1.1 * HELEN  # some show two people
    found = json.loads((bundle.folder / "report.json").read_text())["calibration_photos"]
    assert found == report.calibration_photos
    skipped = found.pop("skipped")
    assert found == {"looked_at": HELEN + 1, "without_face": 1, "not_needed": 0}
    for line, name in zip(skipped, ("clip.mp4", f"{helen}/sub/text.jpg"), strict=True):
        assert line.startswith(f"{name}: ")
    card = (bundle.folder / "MODEL_CARD.md").read_text()
    assert_told(card, f"{report.calibration_faces} faces of `photos:{helen}`", "face detector")
    difference = report.comparison["point_difference_px_median"]
    assert_told(card, "median difference", f"{difference:.3f} px", "accuracy")
    assert 0 < difference < 0.4 and report.compared_on_calibration


def test_it_is_as_good_as_one_of_annotated_faces(shared_data: Path, bundle: Bundle) -> None:
    predictor = LandmarkPredictor(bundle)
    source = f"ibug:{shared_data / 'ibug/helen/trainset'}"
    annotated = faces.load(source, predictor.crop_rule, 128, progress=False)
    shipped = evaluate.evaluate(LandmarkPredictor(assets.INT8_MODEL), annotated).nme.mean()
    assert evaluate.evaluate(predictor, annotated).nme.mean() < shipped + 0.001


class _Recorder(FloatPredictor):
    """Keeps the pixels that it was given, with the points that it found there."""

    looks: list[tuple[np.ndarray, np.ndarray]]

    def predict_in(self, image: np.ndarray, crops: Sequence[Crop]) -> ModelOutputs:
        outputs = super().predict_in(image, crops)
        self.looks = [*getattr(self, "looks", []),
                      *zip(outputs.points.copy(), self.pixels, strict=True)]
        return outputs

    def predict_outputs(self, crops: np.ndarray) -> ModelOutputs:
        self.pixels = crops.copy()
        return super().predict_outputs(crops)

    def seen(self, face: Face) -> np.ndarray:
        """The pixels in which the points of a face were found."""
        [pixels] = [pixels for points, pixels in self.looks if (points == face.points).all()]
        return pixels


def test_the_crops_are_those_that_the_model_is_given(
    shared_data: Path, research: TrainedModel
) -> None:
    """In crowds: the pixels in which the model finds the points of each face that is kept."""
    scenes = shared_data / "wider_scenes"
    loaded = plain.load(research, [f"{scenes}/*Parade_0_*.jpg", f"{scenes}/*Interview*.jpg"])
    assert loaded.manifest.source == f"photos:{scenes}"
    recorder = _Recorder(research)
    landmarker = FaceLandmarker(recorder, open_detector())
    expected = []
    for image in loaded.manifest.images:
        found = landmarker(scenes / image.image)
        expected += [recorder.seen(face) for face in found]
        assert found
    assert len(expected) >= plain.FEWEST_FACES
    np.testing.assert_array_equal(loaded.faces.crops, expected)


def test_an_exported_model_is_given_the_pixels_of_the_crop(shared_data: Path) -> None:
    """Equal pixels give equal points, to the last bit."""
    predictor = LandmarkPredictor(assets.INT8_MODEL)
    landmarker = FaceLandmarker(predictor, open_detector())
    photo = read_photo(shared_data / "ibug/helen/testset/296814969_3.jpg", upright=True)
    for found in landmarker.find_in_crops(photo):
        face, crop = found.face, found.crop
        pixels = extract_crop(photo, crop, predictor.input_size)
        unit = predictor.predict_crops(pixels[None])[0]
        np.testing.assert_array_equal(face.points, crop.from_unit(unit).astype(np.float32))


@pytest.mark.long
def test_the_command_tells_the_numbers_and_its_manifest_gives_the_same_bytes(
    rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    (rendered / "a\x1b[31mb.jpg").write_bytes(b"")
    assert not common.run(export.main, ["synthetic", "--int8", "--calibration", "rendered/*.png",
                                        "--calibration", "rendered/a*.jpg", "--output", "first"])
    out = capsys.readouterr().out
    assert_told(out, "calibrated", "32 faces", "photos:rendered", 500)
    assert_told(out, "photos: 32", "without a face: 0", "not needed: 0", "skipped: 1")
    assert_told(out, "skipped: rendered/a\\x1b[31mb.jpg", "empty")
    manifest, first = Path("first/calibration.json"), Path("first")
    second = efld_tf.export("synthetic", calibration=manifest, output="second")
    assert second.report.calibration_photos["skipped"] == []
    for path in {*first.iterdir()} - {first / "report.json"}:
        assert path.read_bytes() == (second.folder / path.name).read_bytes(), path.name
    shutil.copy(rendered / "1.png", rendered / "0.png")
    with refuses("manifest", path="rendered/0.png"):
        efld_tf.export("synthetic", calibration=manifest, output="third")
    (rendered / "0.png").unlink()
    with refuses("calibration", "No such file", path="rendered/0.png"):
        efld_tf.export("synthetic", calibration=manifest, output="third")
    manifest.write_text(manifest.read_text().replace('"0.png"', '"../rendered/1.png"'))
    with refuses("'../rendered/1.png'", "inside", path="rendered"):
        efld_tf.export("synthetic", calibration=manifest, output="third")
    assert not Path("third").exists()


def test_the_order_is_that_of_the_names(
    rendered: Path, research: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = plain.load(research, [str(rendered)])
    assert [image.image for image in whole.manifest.images] == \
        sorted(os.listdir(rendered), key=calibration.order) != sorted(os.listdir(rendered))
    shutil.move(rendered, tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path)
    parts = plain.load(research, ["elsewhere/?.png", "elsewhere/1?.png", "elsewhere/[2-9]?.png"])
    assert parts.manifest.images == whole.manifest.images
    assert parts.manifest.source == "photos:elsewhere"
    np.testing.assert_array_equal(parts.faces.crops, whole.faces.crops)
    np.testing.assert_array_equal(parts.faces.picture(3, SIZE * 2), whole.faces.crops[3])


def test_no_more_photos_are_looked_at_than_are_needed(
    rendered: Path, research: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index in range(4):
        Image.fromarray(render_face(10, index, 160).image).save(rendered / f"more{index}.png")
    monkeypatch.setattr(plain, "DEFAULT_FACES", plain.FEWEST_FACES)
    found = plain.load(research, [str(rendered)])
    assert len(found.faces) == len(found.manifest.images) == plain.FEWEST_FACES
    assert found.photos == calibration.PhotoCounts(plain.FEWEST_FACES, 0, 4, [])


@pytest.mark.long
def test_a_table_of_modes_needs_no_annotated_faces(
    rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {name: modes.MODES[name] for name in ("int8", "float32")}
    monkeypatch.setattr(modes, "MODES", few)
    trained = TrainedModel.load(assets.SHIPPED["synthetic"].float, "ibug51")
    table = mode_table.export_all(trained, tmp_path / "all", calibrate_on=str(rendered),
                                  notify=lambda line: None)
    assert table.on == f"photos:{rendered}"
    int8, float32 = table.rows
    assert float32["point_difference_px_median"] < 1e-3 < int8["point_difference_px_median"] < 0.4


@pytest.mark.parametrize(("arguments", "facts"), [
    (["few"], ["calibration", "photos:few", "32 faces", "found 3", "photos: 4", "without a face: 1",
               "skipped: 1", "few/broken.jpg"]),
    (["few/wall.png"], ["32 faces", "found 0", "without a face: 1", "skipped: 0"]),
    (["few/2.png", "few/0.png"], ["photos:few", "found 2"]),
    (["empty"], ["empty", "folder", "image"]),
    (["few/*.gif"], ["few/*.gif", "pattern"]),
    (["nowhere/"], ["nowhere/", "no such", "photos", "manifest", "READER:PATH"]),
    (["few", "8"], ["calibration 8", "photo", "folder", "pattern"]),
    (["few", "ibug:few"], ["calibration ibug:few", "photo"]),
    (["few", "few/broken.json"], ["calibration few/broken.json", "photo"]),
    (["few/broken.json"], ["few/broken.json", "JSON"]),
    (["https://localhost/a.jpg"], ["'https'", "reader"]),
])
def test_refusals_are_one_line_and_exit_2(
    tmp_path: Path, arguments: list[str], facts: list[object], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("few", "empty"):
        Path(name).mkdir()
    for index in range(3):
        Image.fromarray(render_face(9, index, 160).image).save(f"few/{index}.png")
    Image.fromarray(np.full((90, 120, 3), 128, np.uint8)).save("few/wall.png")
    for name in ("broken.jpg", "broken.json"):
        Path("few", name).write_text("hello")
    options = [part for argument in arguments for part in ("--calibration", argument)]
    assert common.run(export.main, ["synthetic", "--int8", *options]) == 2
    assert_error_line(capsys.readouterr().err, *facts)
    assert sorted(os.listdir()) == ["empty", "few"]


def test_a_folder_of_the_name_of_a_number_needs_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("64", "all", "one.jpg"):
        Path(name).mkdir()
    assert calibration.photo_names("64") is calibration.photo_names("all") is None
    assert calibration.photo_names(64) is calibration.photo_names(None) is None
    for named in ("./64", "one.jpg", Path("one.jpg")):
        assert calibration.photo_names(named) == [str(named)]
    assert calibration.photo_names("json:a.json?schema=ibug68") is None


@pytest.mark.parametrize("trained", ["efld"], indirect=True)
def test_another_source_is_taken_up_to_the_limit(
    trained: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = TrainedModel.load(trained, "ibug51")
    monkeypatch.setattr(calibration.choose, "__defaults__", (5,))
    found = calibrated(model, f"ibug:{photos}")
    assert len(found.faces) == 5 and found.photos is None
    assert calibrated(model, found) is found
    assert found.faces.crop_rule == RULE
