from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from efld_tf.annotations import aflw
from efld_tf.annotations.record import FaceRecord
from efld_tf.errors import DataError
from efld_tf.landmarks import schemas
from tests.annotations.writers import mat_bytes, some_points, write_image
from tests.errors import assert_refusal, refuses

COUNT = 5
NAMES = ["0/image00002.jpg", "2/image00004.jpg", "0/image00002.jpg", "3/a.jpg", "3/b.jpg"]
ORDER = [3, 1, 2, 5, 4]


def _cells(names: list[object]) -> np.ndarray:
    cells = np.empty((len(names), 1), dtype=object)
    cells[:, 0] = names
    return cells


def _arrays(**changes: object) -> dict[str, object]:
    points = [some_points(19, seed) + 1 for seed in range(COUNT)]
    visible = np.ones((COUNT, 19))
    visible[4, 7] = 0
    return {
        "nameList": _cells(NAMES),
        "bbox": np.array([[11, 31, 21, 61]] * COUNT, float),
        "data": np.array([np.concatenate([p[:, 0], p[:, 1]]) for p in points], float),
        "mask_new": visible,
        "ra": np.array([ORDER], np.uint16),
        **changes,
    }


def _write(root: Path, **changes: object) -> Path:
    for name in NAMES:
        write_image(root / "flickr" / name)
    path = root / "AFLWinfo_release.mat"
    path.write_bytes(mat_bytes(**_arrays(**changes)))
    return path


def test_real_points_in_the_native_format(shared_data: Path, tmp_path: Path) -> None:
    samples = shared_data / "format_samples" / "aflw"
    content = json.loads((samples / "test_aflw.json").read_text())
    names = {image["id"]: image["file_name"] for image in content["images"]}
    truths = [np.reshape(a["keypoints"], (19, 3))[:, :2] for a in content["annotations"]]
    arrays = {
        "nameList": _cells([names[a["image_id"]] for a in content["annotations"]]),
        "data": np.array([np.concatenate([p[:, 0], p[:, 1]]) for p in truths]) + 1,
        "bbox": np.array([[1, 9, 1, 9]] * 2), "mask_new": np.ones((2, 19)), "ra": [[1, 2]],
    }  # fmt: skip
    path = tmp_path / "AFLWinfo_release.mat"
    path.write_bytes(mat_bytes(**arrays))
    records = list(aflw.read(path, images=str(samples)))
    for record, truth in zip(records, truths, strict=True):
        np.testing.assert_allclose(record.points, truth, atol=1e-3)
        right_eye, left_eye, mouth_right, mouth_left = schemas.get("aflw19").anchor_points(
            record.points
        )
        assert right_eye[0] < left_eye[0] and mouth_right[0] < mouth_left[0]
        assert right_eye[1] < mouth_right[1] < record.points[18, 1]


@pytest.mark.parametrize("compress", [False, True])
def test_round_trip(tmp_path: Path, compress: bool) -> None:
    path = _write(tmp_path)
    path.write_bytes(mat_bytes(compress, **_arrays()))
    records = list(aflw.read(path))
    assert len(records) == COUNT
    for number, record in zip(ORDER, records, strict=True):
        face = number - 1
        assert record.image == tmp_path / "flickr" / NAMES[face]
        assert (record.schema, record.identity) == ("aflw19", Path(NAMES[face]).stem)
        np.testing.assert_allclose(record.points, some_points(19, face), atol=1e-4)
        np.testing.assert_array_equal(record.box, [10, 20, 30, 60])
        assert record.visible.sum() == (18 if face == 4 else 19)


def test_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aflw, "TRAINING_FACES", 2)
    path = _write(tmp_path)

    def faces(split: str) -> list[str]:
        return [record.image.relative_to(tmp_path / "flickr").as_posix()
                for record in aflw.read(path, split=split)]  # fmt: skip

    assert faces("train") == [NAMES[2], NAMES[0]]
    assert faces("test") == [NAMES[1], NAMES[4], NAMES[3]]
    assert faces("frontal") == [NAMES[1], NAMES[3]]
    assert faces("all") == faces("train") + faces("test")
    with refuses("split", "val", "all", "train", "test", "frontal"):
        faces("val")


@pytest.mark.parametrize("folder", ["flickr", "data/flickr", "images", "aflw", ".."])
def test_where_images_are_looked_for(tmp_path: Path, folder: str) -> None:
    path = _write(tmp_path / "aflw")
    (tmp_path / "aflw" / "flickr").rename(tmp_path / "moved")
    target = tmp_path / ("flickr" if folder == ".." else f"aflw/{folder}")
    if folder == "aflw":
        target = tmp_path / "aflw"
        for child in (tmp_path / "moved").iterdir():
            child.rename(target / child.name)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "moved").rename(target)
    for record in aflw.read(path):
        assert record.image.is_file()


def test_images_option(tmp_path: Path) -> None:
    path = _write(tmp_path)
    for name in NAMES:
        write_image(tmp_path / "elsewhere" / name)
    for record in aflw.read(path, images=str(tmp_path / "elsewhere")):
        assert tmp_path / "elsewhere" in record.image.parents
    with refuses("images", tmp_path / "nowhere", "folder"):
        list(aflw.read(path, images=str(tmp_path / "nowhere")))


_BAD_POINTS = _arrays()["data"].copy()
_BAD_POINTS[1, 3] = np.nan
_BAD_BOX = _arrays()["bbox"].copy()
_BAD_BOX[1] = [5, 5, 1, 2]


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        ({"data": _BAD_POINTS}, ["row 2", "data"]),
        ({"bbox": _BAD_BOX}, ["face box", "4 to 4"]),
        ({"nameList": _cells([NAMES[0], "no.jpg", *NAMES[2:]])}, ["no.jpg", "exist"]),
        ({"nameList": _cells([NAMES[0], "../a.jpg", *NAMES[2:]])}, ["inside", "../a.jpg"]),
        ({"nameList": _cells([NAMES[0], np.ones(3), *NAMES[2:]])}, ["nameList", "cell 2"]),
    ],
)
def test_a_bad_face_is_one_error(
    tmp_path: Path, changes: dict[str, object], facts: list[object]
) -> None:
    path = _write(tmp_path, **changes)
    items = list(aflw.read(path))
    (error,) = (item for item in items if isinstance(item, DataError))
    assert_refusal(error, *facts, path=path)
    assert sum(isinstance(item, FaceRecord) for item in items) == COUNT - 1


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        ({"nameList": np.ones(3)}, ["nameList", "cells"]),
        ({"nameList": _cells(NAMES[:4])}, ["data", "4 x 38", "5 x 38"]),
        ({"data": np.ones((5, 42))}, ["data", "5 x 38", "5 x 42"]),
        ({"bbox": "x"}, ["bbox", "5 x 4", "none"]),
        ({"mask_new": np.ones((5, 21))}, ["mask_new", "5 x 19", "5 x 21"]),
        ({"ra": [[1, 2, 3, 4, 4]]}, ["ra", "permutation", 5]),
        ({"ra": [[0, 1, 2, 3, 4]]}, ["ra", "permutation", 5]),
        ({"ra": [[1, 2, 3, 4, np.nan]]}, ["ra", "permutation", 5]),
        ({"ra": "x"}, ["ra", "permutation", 5]),
    ],
)
def test_files_of_something_else(
    tmp_path: Path, changes: dict[str, object], facts: list[object]
) -> None:
    path = _write(tmp_path, **changes)
    with refuses(*facts, path=path):
        list(aflw.read(path))
