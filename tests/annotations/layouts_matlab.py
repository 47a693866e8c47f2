"""Native layouts of the matlab formats, for the fuzz tests."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from efld_tf.annotations import aflw, aflw2000, cofw, cofw68, vw300, w300lp
from efld_tf.annotations.record import FaceRecord
from efld_tf.errors import DataError
from tests.annotations import writers
from tests.annotations.layouts import Layout


def _cofw_bytes(data: Path) -> bytes:
    rng = np.random.default_rng(0)
    faces = np.concatenate([rng.uniform(1, 90, (4, 58)), rng.integers(0, 2, (4, 29))], axis=1)
    cells = [rng.integers(0, 256, (9, 8, 3)).astype(np.uint8) for _ in faces]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "COFW_train_color.mat"
        boxes = np.array([[1, 2, 30, 40]] * 4, float)
        return writers.write_cofw(path, cells, faces, boxes).read_bytes()


def _aflw_bytes(compress: bool) -> bytes:
    names = np.empty((3, 1), dtype=object)
    names[:, 0] = "a.jpg"
    points = np.random.default_rng(0).uniform(1, 90, (3, 38))
    return writers.mat_bytes(
        compress, nameList=names, bbox=np.array([[1.5, 30, 2, 40]] * 3), data=points,
        mask_new=np.ones((3, 19)), ra=np.array([[2, 3, 1]]),
    )  # fmt: skip


def _landmarks_bytes(data: Path) -> bytes:
    points = writers.some_points(68).astype(float)
    return writers.mat_bytes(pts_2d=points, pts_3d=points)


def _read_with_pose(path: Path) -> Iterator[FaceRecord | DataError]:
    """300W-LP whose NAME.mat is good, so that what varies is the file in `landmarks`."""
    pose = writers.mat_bytes(Pose_Para=np.full((1, 7), 0.5))
    (path / "AFW" / "AFW_1_1_0.mat").write_bytes(pose)
    return w300lp.read(path)


LAYOUTS: dict[str, Layout] = {
    "aflw": Layout(
        aflw.read, "AFLWinfo_release.mat", "AFLWinfo_release.mat", ("flickr/a.jpg",),
        lambda data: _aflw_bytes(compress=True),
    ),
    "aflw_uncompressed": Layout(
        aflw.read, "AFLWinfo_release.mat", "AFLWinfo_release.mat", ("flickr/a.jpg",),
        lambda data: _aflw_bytes(compress=False),
    ),
    "aflw2000": Layout(
        aflw2000.read, "a.mat", "", ("a.jpg",),
        lambda data: (data / "aflw2000/image00050.mat").read_bytes(),
    ),
    "cofw": Layout(cofw.read, "COFW_train_color.mat", "COFW_train_color.mat", (), _cofw_bytes),
    "cofw68": Layout(
        cofw68.read, "100_points.mat", "", ("COFW_test_color.mat",),
        lambda data: (data / "cofw68/100_points.mat").read_bytes(),
    ),
    "300wlp": Layout(
        _read_with_pose, "landmarks/AFW/AFW_1_1_0_pts.mat", "", ("AFW/AFW_1_1_0.jpg",),
        _landmarks_bytes,
    ),
    "300vw": Layout(
        vw300.read, "001/annot/000001.pts", "", ("001/vid.avi",),
        lambda data: (data / "ibug/helen/testset/296961468_1.pts").read_bytes(),
    ),
}  # fmt: skip
