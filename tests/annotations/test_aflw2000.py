from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat

from efld_tf.annotations import aflw2000, images
from efld_tf.annotations.record import FaceRecord
from efld_tf.landmarks import schemas
from tests.annotations.writers import mat_bytes, some_points, write_image
from tests.errors import assert_refusal, refuses

DEPTH = np.arange(68.0) - 30


def _arrays(points: np.ndarray, **changes: object) -> dict[str, object]:
    return {
        "pt3d_68": np.concatenate([points.T + 1, [DEPTH]]).astype(np.float32),
        "Pose_Para": np.array([[0.5, -1, 0.25, 200, 100, -90, 1e-3]], np.float32),
        "roi": np.array([[1, 2, 300, 400]], np.int16),
        "pt2d": -np.ones((2, 21)),
        **changes,
    }


def _write(folder: Path, **changes: object) -> Path:
    for index, name in enumerate(("image00002", "image00004", "image00006")):
        write_image(folder / f"{name}.jpg")
        own = changes if index == 1 else {}
        content = mat_bytes(**_arrays(some_points(68, index), **own))
        (folder / f"{name}.mat").write_bytes(content)
    return folder


def test_real_files(shared_data: Path) -> None:
    records = list(aflw2000.read(shared_data / "aflw2000"))
    assert len(records) == 16
    schema = schemas.get("ibug68_3d")
    for record in records:
        truth = loadmat(record.image.with_suffix(".mat"))
        np.testing.assert_allclose(record.points, truth["pt3d_68"][:2].T - 1, atol=1e-3)
        np.testing.assert_allclose(record.depth, truth["pt3d_68"][2], atol=1e-3)
        # The tip of the nose is nearer than both ends of the jaw, but for a face in profile.
        assert record.depth[30] > record.depth[[0, 16]].mean()
        assert record.identity == record.image.stem
        height, width, _ = images.read_image(record).shape
        assert (record.points > 0).all() and (record.points < [width, height]).all()
        # The pose agrees with the points: a face with a positive yaw is turned to its right, so
        # that its nose is nearer to the right eye.
        right_eye, left_eye, *_ = schema.anchor_points(record.points)
        nose = record.points[30, 0]
        yaw = float(record.attributes["yaw"])
        if abs(yaw) > 30:
            assert (abs(nose - right_eye[0]) > abs(nose - left_eye[0])) == (yaw < 0), record.image


def test_round_trip(tmp_path: Path) -> None:
    write_image(_write(tmp_path) / "Code" / "other.jpg")
    (tmp_path / "Code" / "other.mat").write_bytes(b"of no face")
    records = list(aflw2000.read(tmp_path))
    assert [record.identity for record in records] == ["image00002", "image00004", "image00006"]
    for index, record in enumerate(records):
        assert record.image == tmp_path / f"{record.identity}.jpg"
        assert (record.schema, record.box, record.visible) == ("ibug68_3d", None, None)
        np.testing.assert_allclose(record.depth, DEPTH)
        np.testing.assert_allclose(record.points, some_points(68, index), atol=1e-3)
        assert record.attributes == {"pitch": "28.6", "yaw": "-57.3", "roll": "14.3"}


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        ({"pt3d_68": np.ones((3, 21))}, ["pt3d_68", "3 x 68", "3 x 21"]),
        ({"pt3d_68": "x"}, ["pt3d_68", "3 x 68", "none"]),
        ({"pt3d_68": np.full((3, 68), np.nan)}, ["pt3d_68", "coordinates"]),
        ({"pt3d_68": np.concatenate([np.ones((2, 68)), [[np.inf] * 68]])}, ["pt3d_68", "depth"]),
        ({"Pose_Para": np.ones((1, 3))}, ["Pose_Para", "1 x 7", "1 x 3"]),
        ({"Pose_Para": np.full((1, 7), np.nan)}, ["Pose_Para", "angles"]),
        ({"Pose_Para": np.full((1, 7), 100)}, ["Pose_Para", "angles"]),
    ],
)
def test_a_bad_file_is_one_error(
    tmp_path: Path, changes: dict[str, object], facts: list[object]
) -> None:
    first, error, last = aflw2000.read(_write(tmp_path, **changes))
    assert isinstance(first, FaceRecord) and isinstance(last, FaceRecord)
    assert_refusal(error, *facts, path=tmp_path / "image00004.mat")


def test_other_errors(tmp_path: Path) -> None:
    folder = _write(tmp_path / "data")
    (folder / "image00004.jpg").unlink()
    (folder / "image00006.mat").write_bytes(b"")
    first, missing, empty = aflw2000.read(folder)
    assert isinstance(first, FaceRecord)
    assert_refusal(missing, "image00004.jpg", "exist", path=folder / "image00004.mat")
    assert_refusal(empty, "MATLAB", path=folder / "image00006.mat")
    with refuses("folder", ".mat", path=folder / "image00002.mat"):
        list(aflw2000.read(folder / "image00002.mat"))
