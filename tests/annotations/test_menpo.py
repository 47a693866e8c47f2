from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from efld_tf.annotations import menpo
from efld_tf.annotations.record import FaceRecord
from efld_tf.errors import DataError
from tests.annotations.real import assert_upright
from tests.annotations.writers import ibug_text, some_points, write_image
from tests.errors import assert_refusal, refuses

SEMIFRONTAL, PROFILE = some_points(68), some_points(39)


def _write(folder: Path, name: str, text: str) -> None:
    write_image(folder / f"{name}.jpg")
    (folder / f"{name}.pts").write_text(text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Both kinds of faces in one folder, as the training set is distributed."""
    _write(tmp_path, "aflw__face_39844", ibug_text(SEMIFRONTAL))
    _write(tmp_path, "aflw__face_40023", ibug_text(PROFILE))
    _write(tmp_path, "fddb__face_1", ibug_text(SEMIFRONTAL))
    return tmp_path


def test_a_source_has_one_pose(folder: Path) -> None:
    frontal, second = menpo.read(folder)
    assert frontal.schema == second.schema == "ibug68"
    assert frontal.image.name == "aflw__face_39844.jpg"
    np.testing.assert_allclose(frontal.points, SEMIFRONTAL, atol=1e-4)
    (profile,) = menpo.read(folder, pose="profile")
    assert (profile.schema, profile.image.name) == ("menpo39", "aflw__face_40023.jpg")
    np.testing.assert_allclose(profile.points, PROFILE, atol=1e-4)


def test_real_semifrontal_faces(shared_data: Path) -> None:
    """HELEN's `.pts` files are written as Menpo's."""
    records = list(menpo.read(shared_data / "ibug" / "helen" / "testset"))
    assert len(records) == 330
    for record in records[::30]:
        assert_upright(record)
    assert list(menpo.read(shared_data / "ibug" / "helen" / "testset", pose="profile")) == []


@pytest.mark.parametrize("pose", ["semifrontal", "profile"])
def test_a_bad_file_is_one_error_of_either_pose(folder: Path, pose: str) -> None:
    _write(folder, "bad", ibug_text(some_points(51)))
    items = list(menpo.read(folder, pose=pose))
    (error,) = (item for item in items if isinstance(item, DataError))
    assert_refusal(error, "n_points: 68", 39, 51, path=folder / "bad.pts")
    assert sum(isinstance(item, FaceRecord) for item in items) == len(items) - 1 > 0


def test_wrong_use(folder: Path) -> None:
    with refuses("pose", "left", "semifrontal", "profile"):
        list(menpo.read(folder, pose="left"))
    with refuses("folder", ".pts", path=folder / "bad.pts"):
        list(menpo.read(folder / "bad.pts"))
