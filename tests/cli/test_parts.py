"""Points of the eyes alone and of the mouth alone, from real photos to an exported model."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

import efld_tf
from efld_tf.annotations import sources
from efld_tf.annotations.images import read_photo
from efld_tf.cli import common
from efld_tf.landmarks import schemas
from efld_tf.landmarks.geometry import CropRule, tight_box
from efld_tf.models import checkpoint
from efld_tf.runs import Run
from efld_tf.runtime import metadata
from tests.errors import assert_error_line, assert_told, refuses
from tests.parts import EYES, MOUTH, NOSE, Part

FACES = 60
FOUND = 12  # the test photos in which faces are detected


class Place:
    """A folder with the sources of a part, a recipe, and the run of it."""

    def __init__(self, part: Part, folder: Path, helen: Path):
        self.part, self.folder, self.helen = part, folder, helen
        self.train = part.write(folder, helen / "trainset", FACES)
        self.test = part.write(folder, helen / "testset", FOUND)
        tree = {
            "name": "r", "output_dir": str(folder / "runs"), "model": {"input_size": 64},
            "heads": {part.name: {}},
            "data": {"cache_dir": str(folder / "packed"), "pack": {"size": 96}, "sources": [
                {"name": "s", "source": self.train, "heads": [part.name],
                 "validation_fraction": 0.1}]},
            "training": {"target_head": part.name, "steps": 12, "batch_size": 8,
                         "validation_interval": 12},
        }
        (folder / "r.yaml").write_text(yaml.safe_dump(tree))
        self.run: Run = efld_tf.train(folder / "r.yaml", progress=False)

    def command(self, name: str, *arguments: object) -> int:
        return common.run(importlib.import_module(f"efld_tf.cli.{name}").main,
                          [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def helen(shared_data: Path) -> Path:
    return shared_data / "ibug/helen"


@pytest.fixture(scope="module")
def eyes(tmp_path_factory: pytest.TempPathFactory, helen: Path) -> Place:
    place = Place(EYES, tmp_path_factory.mktemp("eyes"), helen)
    assert place.command("export", place.run.folder, "--int8", "--calibration", 16) == 0
    return place


@pytest.fixture(scope="module")
def mouth(tmp_path_factory: pytest.TempPathFactory, helen: Path) -> Place:
    return Place(MOUTH, tmp_path_factory.mktemp("mouth"), helen)


@pytest.fixture(scope="module")
def model(eyes: Place) -> Path:
    return eyes.run.folder / "efld_eyes12_int8" / "efld_eyes12_int8.tflite"


def errors(part: Part, found: list, records: list) -> list[float]:
    """The NME of the face nearest to each record, in the part's own normaliser."""
    distance = schemas.get(part.name).normaliser.distance
    return [min(float(np.linalg.norm(face.points - record.points, axis=-1).mean()
                      / distance(record.points)) for face in faces)
            for faces, record in zip(found, records, strict=True)]


@pytest.mark.long
@pytest.mark.parametrize("name", ["eyes", "mouth"])
def test_looking_at_the_data(
    name: str, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture
) -> None:
    place: Place = request.getfixturevalue(name)
    folder = place.folder
    assert place.command("data", "check", place.train, "--output", folder / "c", "--quiet") == 0
    report = json.loads((folder / "c" / "report.json").read_text())
    assert report["sources"][0]["faces"] == FACES and not report["findings"]
    assert_told(capsys.readouterr().out, f"schema {place.part.name}", "anchors", "crop.scale")
    assert place.command("data", "show", place.train, "--output", folder / "f.jpg",
                         "--names", "--numbers") == 0
    assert place.command("data", "stats", place.train, "--output", folder / "s.png",
                         "--quiet") == 0
    for picture in ("f.jpg", "s.png"):
        assert cv2.imread(str(folder / picture)).std() > 10
    measures = json.loads((folder / "s.json").read_text())[0]["measures"]
    assert measures["roll"]["faces"] == FACES and "yaw" not in measures
    assert place.command("data", "pack", place.train, folder / "p", "--size", 96, "--quiet") == 0
    assert_told(capsys.readouterr().out, "note", place.part.name, 1.25)


def test_the_export_is_measured(eyes: Place, model: Path, capsys: pytest.CaptureFixture) -> None:
    """Annotated boxes first; then, in photos and in scenes, faces that the detector finds."""
    results = eyes.folder / "results.json"
    for scenes in ([], ["--scenes"]):
        assert eyes.command("eval", model, "--source", eyes.test, "--slices", "--detector", "both",
                            "--output", results, "--quiet", *scenes) == 0
        sections = json.loads(results.read_text())
        assert sections["evaluation"]["nme_width_percent"] < 8
        assert sections["detection"]["missed"] <= 1
        assert sections["detection"]["nme_found_median_percent"] < 12
    assert set(sections["slices"]["attributes"]) == {
        "eye_opening", "face_size", "sharpness", "brightness"}
    assert eyes.command("verify", model) == 0
    assert "eyes12" in (model.parent / "schema.yaml").read_text()


def test_points_land_on_the_eyes(
    eyes: Place, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    records = sources.read(eyes.test).records
    photos = [record.image for record in records]
    assert eyes.command("predict", *photos, "--model", model, "--output", tmp_path / "o",
                        "--align") == 0
    table = sources.read(f"json:{tmp_path / 'o' / 'faces.jsonl'}?schema=eyes12"
                         f"&images={eyes.helen / 'testset'}").records
    by_photo = [[face for face in table if face.image == photo] for photo in photos]
    assert all(by_photo) and np.median(errors(EYES, by_photo, records)) < 0.08
    assert cv2.imread(str(next((tmp_path / "o/aligned").rglob("*.png")))).shape == (112, 112, 3)
    # By boxes of the kind that the crop rule names.
    boxes = {photo.name: [tight_box(record.points).tolist()]
             for photo, record in zip(photos, records, strict=True)}
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    assert eyes.command("predict", *photos, "--model", model, "--output", tmp_path / "b",
                        "--boxes", tmp_path / "boxes.json", "--save", "json") == 0


def test_a_video_of_eyes_is_followed(model: Path, eyes: Place) -> None:
    """The detector runs once; then each frame's crop comes from the points of the last one."""
    record = sources.read(eyes.test).records[0]
    image = read_photo(record.image)
    tracker = efld_tf.load(model).track()
    for index in range(6):
        moved = np.roll(image, 3 * index, axis=1)
        (face,) = tracker(moved, 0.04 * index)
        assert face.track == 0
        assert errors(EYES, [[face]], [record])[0] < 0.1


def test_the_metadata_says_where_in_the_crop_the_eyes_are(eyes: Place, model: Path) -> None:
    found = metadata.read(model)
    spec = checkpoint.read_spec(eyes.run.folder / "best.h5")
    assert found.mean_shape == spec.heads["eyes12"].mean_shape
    assert found.crop_rule == CropRule("points", "eyes12", 1.25)


@pytest.mark.long
def test_mouths_are_found_by_the_detector(
    mouth: Place, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """A run is predicted with like an export; its faces cannot be aligned."""
    landmarker = efld_tf.load(mouth.run)
    records = sources.read(mouth.test).records
    found = landmarker([record.image for record in records])
    assert all(found) and np.median(errors(MOUTH, found, records)) < 0.25
    assert mouth.command("eval", mouth.run.folder, "--source", mouth.test, "--quiet") == 0
    capsys.readouterr()
    assert mouth.command("predict", records[0].image, "--model", mouth.run.folder, "--align",
                         "--output", tmp_path / "o") == 2
    assert_error_line(capsys.readouterr().err, "schema mouth20", "right_eye", "left_eye")
    assert not (tmp_path / "o").exists()


def test_a_nose_needs_boxes(tmp_path: Path, helen: Path, capsys: pytest.CaptureFixture) -> None:
    """An untrained model, whose points are those of the mean nose."""
    records = sources.read(NOSE.write(tmp_path, helen / "testset", FOUND)).records
    rule = CropRule("points", "nose9", 1.25)
    mean = np.mean([rule.crop(tight_box(r.points)).to_unit(r.points) for r in records], axis=0)
    spec = checkpoint.ModelSpec(
        "efld", 64, {}, {"nose9": checkpoint.HeadSpec(mean.tolist(), rule)},
        schemas={"nose9": schemas.declared_fields("nose9")})
    checkpoint.save(tmp_path / "nose.h5", spec, spec.build())
    with refuses("schema nose9", "right_eye", "mouth_left", "--boxes", "detector=None"):
        efld_tf.load(tmp_path / "nose.h5")
    landmarker = efld_tf.load(tmp_path / "nose.h5", detector=None)
    found = [landmarker.find(read_photo(record.image), [tight_box(record.points)])
             for record in records]
    assert np.median(errors(NOSE, found, records)) < 0.2
