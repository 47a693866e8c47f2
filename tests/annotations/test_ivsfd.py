from __future__ import annotations

from pathlib import Path

import numpy as np

from efld_tf.annotations import ibug, ivsfd
from efld_tf.annotations.record import FaceRecord
from tests.annotations.real import assert_upright
from tests.annotations.writers import ibug_text, some_points, write_image
from tests.errors import assert_refusal, refuses


def _write(folder: Path, name: str, points: np.ndarray) -> None:
    write_image(folder / f"{name}.jpg")
    (folder / f"{name}.pts").write_text(ibug_text(points))


def test_images_in_folders(tmp_path: Path) -> None:
    """Folders as in the competition's archive: one for each scene."""
    for k, folder in enumerate(["night/01", "day/01", "day/02"]):
        _write(tmp_path / folder, "frame_a", some_points(51, k))
    records = list(ivsfd.read(tmp_path))
    assert [str(record.image.parent.relative_to(tmp_path)) for record in records] == [
        "day/01", "day/02", "night/01",
    ]  # fmt: skip
    assert all(record.schema == "ibug51" and record.points.shape == (51, 2) for record in records)
    np.testing.assert_allclose(records[0].points, some_points(51, 1), atol=1e-4)


def test_real_faces_without_their_jaws(shared_data: Path, tmp_path: Path) -> None:
    faces = list(ibug.read(shared_data / "ibug" / "helen" / "testset"))[::33]
    for face in faces:
        _write(tmp_path, face.image.stem, face.points[17:])
    records = list(ivsfd.read(tmp_path))
    assert len(records) == 10
    for record, face in zip(records, faces, strict=True):
        np.testing.assert_allclose(record.points, face.points[17:], atol=1e-3)
        assert_upright(record)


def test_other_numbers_of_points_are_errors(tmp_path: Path) -> None:
    _write(tmp_path, "a", some_points(68))
    _write(tmp_path, "b", some_points(51))
    error, record = ivsfd.read(tmp_path)
    assert isinstance(record, FaceRecord)
    assert_refusal(error, "n_points: 51", 68, path=tmp_path / "a.pts")
    with refuses("folder", ".pts", path=tmp_path / "a.pts"):
        list(ivsfd.read(tmp_path / "a.pts"))
