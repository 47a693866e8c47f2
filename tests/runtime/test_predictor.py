"""The runtime's predictor on photos."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from efld_tf import assets
from efld_tf.annotations import sources
from efld_tf.annotations.images import read_image
from efld_tf.errors import DataError, EfldError
from efld_tf.landmarks import metrics, model_outputs, schemas
from efld_tf.landmarks.geometry import extract_crop
from efld_tf.runtime.predictor import LandmarkPredictor
from tests.errors import refuses


@pytest.fixture(scope="module")
def predictor() -> LandmarkPredictor:
    return LandmarkPredictor(assets.INT8_MODEL)


def test_points_of_a_photo_are_where_the_annotation_has_them(
    predictor: LandmarkPredictor, shared_data: Path
) -> None:
    schema = schemas.get(predictor.schema)
    for record in sources.read(f"ibug:{shared_data / 'ibug/helen/testset'}").records[:20]:
        image = read_image(record)
        points = predictor.predict(image, [record.source_box("points")])
        assert points.shape == (1, 51, 2)
        assert metrics.nme(points, record.points[None, 17:], schema)[0] < 0.09


def test_several_faces_of_one_photo(predictor: LandmarkPredictor, shared_data: Path) -> None:
    """Two photos side by side: each face's points are those of its own photo, moved."""
    records = sources.read(f"ibug:{shared_data / 'ibug/helen/testset'}").records[:2]
    images = [read_image(record) for record in records]
    boxes = [record.source_box("points") for record in records]
    alone = [predictor.predict(i, [b])[0] for i, b in zip(images, boxes, strict=True)]
    gap = 2 * max(image.shape[1] for image in images)
    canvas = np.zeros((max(i.shape[0] for i in images), gap + images[1].shape[1], 3), np.uint8)
    for image, x in zip(images, (0, gap), strict=True):
        canvas[: image.shape[0], x : x + image.shape[1]] = image
    both = predictor.predict(canvas, [boxes[0], boxes[1] + [gap, 0, gap, 0]])
    np.testing.assert_allclose(both, [alone[0], alone[1] + [gap, 0]], atol=0.3)


def test_the_same_pixels_give_the_same_points(predictor: LandmarkPredictor) -> None:
    image = np.random.default_rng(0).integers(0, 256, (200, 150, 3), np.uint8)
    box = np.array([30.0, 40.0, 110.0, 120.0])
    first, again = (predictor.predict(image, [box, box]) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first[0], first[1])
    crop = predictor.crop_rule.crop(box)
    pixels = extract_crop(image, crop, predictor.input_size)
    expected = crop.from_unit(predictor.predict_crops(pixels[None])[0])
    np.testing.assert_allclose(first[0], expected, atol=1e-4)


def test_no_face_is_no_points(predictor: LandmarkPredictor) -> None:
    assert predictor.predict(np.zeros((9, 9, 3), np.uint8), []).shape[0] == 0
    assert predictor.predict_crops(np.zeros((0, 128, 128, 3), np.uint8)).shape == (0, 51, 2)


@pytest.mark.parametrize("boxes", [[1, 2, 3, 4], [(5, 5, 3, 9)], [(1, 2, 3)]], ids=repr)
def test_boxes_of_another_form_are_refused(predictor: LandmarkPredictor, boxes: list) -> None:
    with refuses("boxes", "x0, y0, x1, y1", boxes[0]):
        predictor.predict(np.zeros((9, 9, 3), np.uint8), boxes)


def test_images_of_another_form_are_refused(predictor: LandmarkPredictor) -> None:
    with refuses("image", "[H, W, 3]", "(9, 9)"):
        predictor.predict(np.zeros((9, 9), np.uint8), [])
    with refuses("image", "[H, W, 3]", None):
        predictor.predict(cv2.imread("absent.jpg"), [])  # which gives None


def test_wording(predictor: LandmarkPredictor, int8_model: Path) -> None:
    with pytest.raises(EfldError) as refused:
        predictor.predict(np.zeros((9, 9), np.uint8), [])
    assert str(refused.value) == "image: expected [H, W, 3] uint8, got (9, 9) uint8"
    with pytest.raises(DataError) as caught:
        LandmarkPredictor(int8_model)
    expected = "has no landmark metadata: not exported by efld-export"
    assert str(caught.value) == f"{int8_model}: {expected}"


def test_a_shipped_model_by_its_name(int8_model: Path) -> None:
    crops = np.random.default_rng(0).integers(0, 256, (1, 128, 128, 3)).astype(np.uint8)
    by_name, by_file = LandmarkPredictor("research"), LandmarkPredictor(assets.INT8_MODEL)
    np.testing.assert_array_equal(by_name.predict_crops(crops), by_file.predict_crops(crops))


def test_other_models_are_refused(int8_model: Path) -> None:
    with refuses("metadata", "efld-export", path=int8_model):
        LandmarkPredictor(int8_model)


def with_metadata(path: Path, names: list[str] | None = None, **fields: object) -> Path:
    """The shipped model with other metadata."""
    content = assets.INT8_MODEL.read_bytes()
    with zipfile.ZipFile(assets.INT8_MODEL) as archive:
        start = min(entry.header_offset for entry in archive.infolist())
        files = {name: archive.read(name) for name in archive.namelist()}
    files["efld.json"] = json.dumps({**json.loads(files["efld.json"]), **fields}).encode()
    if names is not None:
        files["landmarks.txt"] = "\n".join(names).encode()
    path.write_bytes(content[:start])
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize(("shapes", "expected"), [
    ([(1, 5, 2)], (0, None, None, False)), ([(1, 5, 2), (1, 1)], (0, 1, None, False)),
    ([(1, 5, 2), (1, 5)], (0, None, 1, False)), ([(1, 5, 2), (1, 1), (1, 5)], (0, 1, 2, False)),
    ([(1, 5, 2), (1, 6)], (0, 1, None, True)), ([(1, 5, 2), (1, 6), (1, 5)], (0, 1, 2, True)),
])
def test_outputs_are_told_by_their_shapes(shapes: list[tuple], expected: tuple) -> None:
    assert model_outputs.places(shapes) == model_outputs.places(shapes, 5) == expected


@pytest.mark.parametrize("shapes", [
    [], [(1, 1)], [(1, 5, 3)], [(2, 5, 2)], [(1, 5, 2), (1, 5), (1, 1)], [(1, 5, 2), (1, 4)],
    [(1, 5, 2), (1, 1), (1, 1)], [(1, 5, 2), (1, 1), (1, 6)], [(1, 5, 2), (1, 5), (1, 6)],
    [(1, 5, 2), (1, 1), (1, 5), (1, 1)], [(1, None, 2)],
])
def test_other_outputs_are_refused(shapes: list[tuple]) -> None:
    with refuses("expected"):
        model_outputs.places(shapes)
    with refuses("[1, 51, 2]"):
        model_outputs.places([(1, 5, 2)], 51)


def test_metadata_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    assert LandmarkPredictor(with_metadata(path)).schema == "ibug51"
    with refuses("landmark names", "wflw98", path=path):
        LandmarkPredictor(with_metadata(path, schema="wflw98"))
    with refuses("landmark names", "ibug51", path=path):
        LandmarkPredictor(with_metadata(path, names=["a"] * 51))
    with refuses("metadata", "schema 'none'", "ibug51", path=path):
        LandmarkPredictor(with_metadata(path, schema="none"))
    content = bytearray(with_metadata(path).read_bytes())
    start = content.rindex(b"efld.json", 0, content.rindex(b"PK\x01\x02"))
    content[start + 12 : start + 40] = bytes(28)  # amid the deflated content
    path.write_bytes(content)
    with refuses("metadata", path=path):
        LandmarkPredictor(path)
