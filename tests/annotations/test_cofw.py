from __future__ import annotations

import json
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest

from efld_tf.annotations import cofw, images, sources
from efld_tf.annotations.record import FaceRecord
from efld_tf.landmarks import schemas
from tests.annotations.writers import some_points, write_cofw
from tests.errors import assert_refusal, refuses


def _row(points: np.ndarray, occluded: np.ndarray | None = None) -> np.ndarray:
    flags = np.zeros(29) if occluded is None else occluded
    return np.concatenate([points[:, 0] + 1, points[:, 1] + 1, flags])


def _write(path: Path, rows: list[np.ndarray], boxes: list[tuple[float, ...]]) -> Path:
    cells = [np.zeros((6, 8, 3), np.uint8) for _ in rows]
    return write_cofw(path, cells, np.array(rows), np.array(boxes, float))


def test_real_points_in_the_native_format(shared_data: Path, tmp_path: Path) -> None:
    samples = shared_data / "format_samples" / "cofw"
    content = json.loads((samples / "test_cofw.json").read_text())
    names = {image["id"]: image["file_name"] for image in content["images"]}
    cells, truths, hidden, boxes = [], [], [], []
    for annotation in content["annotations"]:
        values = np.reshape(annotation["keypoints"], (29, 3))
        truths.append(values[:, :2])
        hidden.append(values[:, 2] == 1)
        boxes.append(annotation["bbox"])
        cells.append(images.read_photo(samples / names[annotation["image_id"]]))
    cells[0] = cv2.cvtColor(cells[0], cv2.COLOR_RGB2GRAY)  # as it is in the original
    rows = [_row(*face) for face in zip(truths, hidden, strict=True)]
    path = write_cofw(tmp_path / "COFW_test_color.mat", cells, np.array(rows), np.array(boxes))
    records = sources.read(f"cofw:{path}").records
    assert [record.key for record in records] == [f"COFW_test_color.mat#{k}" for k in (0, 1)]
    reader = images.ImageReader()
    for record, truth, flags, cell in zip(records, truths, hidden, cells, strict=True):
        np.testing.assert_allclose(record.points, truth, atol=1e-3)
        np.testing.assert_array_equal(record.visible, ~flags)
        assert flags.any()
        anchors = schemas.get("cofw29").anchor_points(record.points)
        right_eye, left_eye, mouth_right, mouth_left = anchors
        assert right_eye[0] < left_eye[0] and mouth_right[0] < mouth_left[0]
        image = reader.read(record)
        assert image.shape[:2] == cell.shape[:2]
        np.testing.assert_array_equal(image[..., 0], cell if cell.ndim == 2 else cell[..., 0])


@pytest.mark.parametrize(("name", "suffix"), [("train", "Tr"), ("test", "T")])
def test_round_trip(tmp_path: Path, name: str, suffix: str) -> None:
    points = [some_points(29, seed) for seed in range(2)]
    occluded = np.arange(29) % 3 == 0
    rows = [_row(points[0], occluded), _row(points[1])]
    path = _write(tmp_path / f"COFW_{name}_color.mat", rows, [(11, 21, 30, 40), (1, 1, 5, 6)])
    first, second = cofw.read(path)
    assert (first.image, first.frame, second.frame) == (path, 0, 1)
    assert (first.schema, first.identity) == ("cofw29", f"COFW_{suffix}_0")
    np.testing.assert_allclose(first.points, points[0], atol=1e-4)
    np.testing.assert_allclose(second.points, points[1], atol=1e-4)
    np.testing.assert_array_equal(first.visible, ~occluded)
    assert second.visible.all()
    np.testing.assert_array_equal(first.box, [10, 20, 40, 60])
    assert images.read_image(second).shape == (6, 8, 3)


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        ({3: np.nan}, ["face 1", "coordinates"]),
        ({3: 1e7}, ["face 1", "coordinates"]),
        ({"box": (1, 2, 0, 4)}, ["face box", "0 to 0"]),
        ({"box": (1, np.inf, 3, 4)}, ["face 1", "coordinates"]),
    ],
)
def test_a_bad_face_is_one_error(
    tmp_path: Path, change: dict[object, object], facts: list[object]
) -> None:
    boxes = [(1, 2, 3, 4)] * 3
    rows = [_row(some_points(29)) for _ in range(3)]
    boxes[1] = change.get("box", boxes[1])
    for index in set(change) - {"box"}:
        rows[1][index] = change[index]
    path = _write(tmp_path / "COFW_test_color.mat", rows, boxes)
    first, error, last = cofw.read(path)
    assert isinstance(first, FaceRecord) and isinstance(last, FaceRecord)
    assert_refusal(error, *facts, path=path)


def test_other_files(tmp_path: Path) -> None:
    path = tmp_path / "COFW_test_color.mat"
    with refuses("MATLAB 7.3", path=path):
        list(cofw.read(path))
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(200))
    with refuses("MATLAB 7.3", path=path):
        list(cofw.read(path))
    with h5py.File(path, "w") as file:
        file["phisT"] = np.ones((87, 2))
    with refuses("phisTr", "bboxesTr", "phisT", "bboxesT", path=path):
        list(cofw.read(path))
    for faces, boxes in (((86, 2), (4, 2)), ((87, 2), (4, 3)), ((87, 2), (3, 2)), ((87,), (4, 2))):
        with h5py.File(path, "w") as file:
            file["phisT"], file["bboxesT"] = np.ones(faces), np.ones(boxes)
        with refuses(87, 4, faces[::-1], boxes[::-1], path=path):
            list(cofw.read(path))
