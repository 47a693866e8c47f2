from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from efld_tf.annotations import sources, w300lp
from efld_tf.annotations.record import FaceRecord
from tests.annotations.writers import mat_bytes, some_points, write_image
from tests.errors import assert_refusal, refuses

POSE = np.array([[0.5, -1, 0.25, 200, 100, -90, 1e-3]], np.float32)
MODEL, OUTLINE, BESIDE = (some_points(68, seed).astype(float) for seed in range(3))
NAMES = ["AFW/AFW_134212_1_0", "HELEN/HELEN_2345_1_7", "LFPW/LFPW_image_test_0018_12"]


def _write(root: Path, name: str, landmarks: bool = True, **more: object) -> None:
    write_image(root / f"{name}.jpg")
    content = mat_bytes(**{"Pose_Para": POSE, "pt2d": BESIDE.T + 1, **more})
    (root / f"{name}.mat").write_bytes(content)
    if landmarks:
        path = root / "landmarks" / f"{name}_pts.mat"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(mat_bytes(pts_3d=MODEL + 1, pts_2d=OUTLINE + 1))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in NAMES:
        _write(tmp_path, name)
    folder, stem = NAMES[0].split("/")
    _write(tmp_path, f"{folder}_Flip/{stem}", landmarks=False)
    (tmp_path / "Code").mkdir()
    (tmp_path / "Code" / "Model_Shape.mat").write_bytes(b"of no face")
    return tmp_path


def test_the_points_of_the_model_are_the_default(root: Path) -> None:
    records = list(w300lp.read(root))
    assert [record.image for record in records] == [root / f"{name}.jpg" for name in NAMES]
    for record in records:
        assert record.schema == "ibug68_3d" and record.depth is None
        np.testing.assert_allclose(record.points, MODEL, atol=1e-3)
        expected = {"pitch": "28.6", "yaw": "-57.3", "roll": "14.3", "points": "3d"}
        assert record.attributes == expected
    identities = [record.identity for record in records]
    assert identities == ["AFW_134212", "HELEN_2345", "LFPW_image_test_0018"]


def test_points_of_the_outline(root: Path) -> None:
    for record in sources.read(f"300wlp:{root}?points=2d").records:
        np.testing.assert_allclose(record.points, OUTLINE, atol=1e-3)
        assert record.schema == "ibug68" and record.attributes["points"] == "2d"


@pytest.mark.parametrize("name", ["AFW", "AFW_Flip"])
def test_one_of_the_folders(root: Path, name: str) -> None:
    (record,) = w300lp.read(root / name, points="2d")
    assert record.image == root / name / "AFW_134212_1_0.jpg"
    expected = OUTLINE if name == "AFW" else BESIDE
    np.testing.assert_allclose(record.points, expected, atol=1e-3)
    assert record.identity == "AFW_134212"


def test_mirrored_copies(root: Path) -> None:
    records = list(w300lp.read(root, mirrored="yes", points="2d"))
    assert [record.image.parent.name for record in records] == ["AFW", "AFW_Flip", "HELEN", "LFPW"]
    _, error, *_ = w300lp.read(root, mirrored="yes")
    name = "AFW_Flip/AFW_134212_1_0"
    assert_refusal(error, "3d", "pt3d_68", f"landmarks/{name}_pts.mat", "points=2d",
                   path=root / f"{name}.mat")


def test_an_edition_with_three_coordinates(root: Path) -> None:
    points = np.concatenate([BESIDE.T + 1, np.arange(68.0)[None]])
    _write(root, "IBUG/IBUG_image_003_1_2", landmarks=False, pt3d_68=points)
    (record,) = w300lp.read(root / "IBUG")
    np.testing.assert_allclose(record.points, BESIDE, atol=1e-3)
    assert record.identity == "IBUG_image_003"
    np.testing.assert_allclose(record.depth, np.arange(68))
    _write(root, "AFW/AFW_134212_1_0", pt3d_68=points)  # whose x and y are beside it
    record, *_ = w300lp.read(root)
    np.testing.assert_allclose(record.points, MODEL, atol=1e-3)
    np.testing.assert_allclose(record.depth, np.arange(68))
    outline, *_ = w300lp.read(root, points="2d")
    assert outline.depth is None


def test_bad_files_are_one_error_each(root: Path) -> None:
    (root / "AFW" / "AFW_134212_1_0.mat").write_bytes(mat_bytes(pt2d=BESIDE.T))
    (root / "landmarks" / "HELEN" / "HELEN_2345_1_7_pts.mat").write_bytes(
        mat_bytes(pts_3d=MODEL.T)
    )
    (root / "LFPW" / "LFPW_image_test_0018_12.jpg").unlink()
    _write(root, "LFPW/LFPW_image_test_0019_0")
    pose, shape, image, good = w300lp.read(root)
    assert_refusal(pose, "Pose_Para", "1 x 7", "none", path=root / f"{NAMES[0]}.mat")
    path = root / "landmarks" / f"{NAMES[1]}_pts.mat"
    assert_refusal(shape, "pts_3d", "68 x 2", "2 x 68", path=path)
    assert_refusal(image, root / f"{NAMES[2]}.jpg", "exist", path=root / f"{NAMES[2]}.mat")
    assert isinstance(good, FaceRecord)


def test_wrong_options_and_folders(root: Path) -> None:
    with refuses("points", "4d", "3d", "2d"):
        list(w300lp.read(root, points="4d"))
    with refuses("mirrored", "maybe", "no", "yes"):
        list(w300lp.read(root, mirrored="maybe"))
    with refuses("AFW", "HELEN", "IBUG", "LFPW", path=root / "Code"):
        list(w300lp.read(root / "Code"))
