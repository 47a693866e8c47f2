from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from efld_tf.annotations import sources, w300
from efld_tf.annotations.record import FaceRecord
from efld_tf.errors import DataError
from tests.annotations.real import assert_upright, coco_faces
from tests.annotations.writers import ibug_text, some_points, write_image
from tests.errors import assert_refusal, assert_told, refuses

FOLDERS = {
    "afw": 2, "helen/trainset": 3, "helen/testset": 1, "lfpw/trainset": 2, "lfpw/testset": 2,
    "ibug": 4, "300W/01_Indoor": 2, "300W/02_Outdoor": 1,
}  # fmt: skip
FACES = {"train": 7, "common": 3, "challenging": 4, "full": 7, "test": 3}


def _write(folder: Path, name: str, points: np.ndarray) -> None:
    write_image(folder / f"{name}.png")
    (folder / f"{name}.pts").write_text(ibug_text(points))


def _data_set(root: Path, folders: dict[str, int]) -> Path:
    for folder, count in folders.items():
        for k in range(count):
            _write(root / folder, f"image_{k:04d}", some_points(68, k))
    return root


@pytest.mark.parametrize(("split", "faces"), FACES.items())
def test_splits(tmp_path: Path, split: str, faces: int) -> None:
    records = list(w300.read(_data_set(tmp_path, FOLDERS), split=split))
    assert len(records) == faces
    folders = {str(record.image.parent.relative_to(tmp_path)).lower() for record in records}
    assert folders == set(w300.SPLITS[split])
    np.testing.assert_allclose(records[0].points, some_points(68), atol=1e-4)
    assert all(record.schema == "ibug68" for record in records)


def test_the_splits_are_those_of_the_protocol() -> None:
    """300-W's protocol as in the literature: 3,148 to train, 554 + 135 = 689, and 600."""
    assert w300.OFFICIAL_FACES == {
        "train": 337 + 2000 + 811, "common": 330 + 224, "challenging": 135, "full": 689,
        "test": 300 + 300,
    }  # fmt: skip
    assert set(w300.SPLITS["full"]) == {*w300.SPLITS["common"], *w300.SPLITS["challenging"]}


@pytest.mark.parametrize(
    "folders",
    [
        ("01_Indoor", "02_Outdoor"),
        ("300w_cropped/01_Indoor", "300w_cropped/02_Outdoor"),
        ("300-W/indoor", "300-W/outdoor"),
        ("300W/01_INDOOR", "300W/02_OUTDOOR"),
    ],
)
def test_spellings_of_the_test_set(tmp_path: Path, folders: tuple[str, str]) -> None:
    _data_set(tmp_path, dict.fromkeys(folders, 1))
    assert len(list(w300.read(tmp_path, split="test"))) == 2


def test_spellings_of_the_training_set(tmp_path: Path) -> None:
    _data_set(tmp_path, {"AFW": 1, "HELEN/train": 1, "Lfpw/TrainSet": 1})
    assert len(list(w300.read(tmp_path))) == 3


def test_real_faces(shared_data: Path, tmp_path: Path) -> None:
    """HELEN's test set is real and whole; the other half of `common` is made."""
    (tmp_path / "helen").symlink_to(shared_data / "ibug" / "helen")
    _data_set(tmp_path, {"lfpw/testset": 1})
    found = sources.read(f"300w:{tmp_path}?split=common")
    assert len(found.records) == 331
    (note,) = found.notes
    assert_told(note, "split common", 331, 554)
    keys = [record.key for record in found.records]
    assert len(set(keys)) == 331 and keys[-1] == "lfpw/testset/image_0000.png"


def test_the_real_test_set_in_its_native_layout(shared_data: Path, tmp_path: Path) -> None:
    faces = list(coco_faces(shared_data, "300w"))
    for image, points, _ in faces:
        _write(tmp_path / "01_Indoor", image.stem, points)
    _data_set(tmp_path, {"02_Outdoor": 1})
    records = list(w300.read(tmp_path, split="test"))
    assert [record.identity for record in records[:2]] == ["indoor_020", "indoor_029"]
    truths = {image.stem: points for image, points, _ in faces}
    for record in records[:2]:
        np.testing.assert_allclose(record.points, truths[record.image.stem], atol=1e-3)
        assert_upright(record)


def test_one_bad_file_is_one_error(tmp_path: Path) -> None:
    _data_set(tmp_path, {"ibug": 2})
    (tmp_path / "ibug" / "image_0000.pts").write_text(ibug_text(some_points(51)))
    error, record = w300.read(tmp_path, split="challenging")
    assert isinstance(record, FaceRecord)
    assert_refusal(error, "n_points: 68", 51, path=tmp_path / "ibug" / "image_0000.pts")


def test_missing_folders_are_named(tmp_path: Path) -> None:
    _data_set(tmp_path, {"afw": 1, "helen/testset": 1})
    with pytest.raises(DataError) as caught:
        list(w300.read(tmp_path))
    assert_refusal(caught.value, "split train", "helen/trainset", "lfpw/trainset", path=tmp_path)
    assert "afw" not in caught.value.reason
    with refuses("split", "indoor", *w300.SPLITS):
        list(w300.read(tmp_path, split="indoor"))
    path = tmp_path / "afw" / "image_0000.pts"
    with refuses("afw", "helen/trainset", "lfpw/trainset", path=path):
        list(w300.read(path))
