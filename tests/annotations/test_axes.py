"""The order of x and y, told by the shape of a face."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from efld_tf.annotations import axes, sources
from tests.annotations.tables import write_table
from tests.annotations.writers import write_image
from tests.errors import assert_refusal


def _x_before_y(points: np.ndarray) -> np.ndarray:
    """What is read as x, y in turn where all x stand before all y."""
    return points.T.reshape(-1, 2)


def _in_turn(points: np.ndarray) -> np.ndarray:
    """What is read as all x before all y where they stand in turn."""
    return points.reshape(2, -1).T


@pytest.mark.parametrize("source", [
    "ibug:ibug/helen/testset", "scut:scut_fbp5500", "webmorph:webmorph",
    "face_synthetics:face_synthetics", "coco:format_samples/wflw/test_wflw.json",
    "coco:format_samples/lapa/test_lapa.json", "coco:format_samples/cofw/test_cofw.json",
    "coco:format_samples/aflw/test_aflw.json"])
def test_real_faces(shared_data: Path, source: str) -> None:
    """None is refused, however it is turned, and all are told from those in another order."""
    reader, path = source.split(":")
    found = sources.read(f"{reader}:{shared_data / path}", on_error="skip")
    assert not any("order" in error.reason for error in found.skipped)
    rng = np.random.default_rng(0)
    for record in found.records[:400]:
        points = record.points
        assert axes.other_order(_x_before_y(points)) == "all x before all y", record.key
        assert axes.other_order(_in_turn(points)) == "x and y of each point in turn", record.key
        turn = rng.uniform(-np.pi / 2, np.pi / 2)
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        centre = points.mean(axis=0)
        assert axes.other_order((points - centre) @ rotation + centre) is None, record.key


def test_lines_of_another_table(shared_data: Path, tmp_path: Path) -> None:
    faces = sources.read(f"ibug:{shared_data / 'ibug/helen/testset'}").records[:4]
    header = ",".join(["image", *(f"{axis}{i}" for i in range(68) for axis in "xy")])
    lines = [f"{i}.jpg," + ",".join(map(str, (face.points.T if i > 1 else face.points).ravel()))
             for i, face in enumerate(faces)]
    for i in range(4):
        write_image(tmp_path / f"{i}.jpg")
    path = write_table(tmp_path, header, *lines)
    found = sources.read(f"csv:{path}?schema=ibug68", on_error="skip")
    assert [record.image.name for record in found.records] == ["0.jpg", "1.jpg"]
    for name, error in zip(("2.jpg", "3.jpg"), found.skipped, strict=True):
        assert_refusal(error, "all x before all y", path=tmp_path / name)


@pytest.mark.parametrize("points", [
    np.zeros((68, 2)), np.full((68, 2), np.nan), np.arange(10.0).reshape(5, 2),
    np.stack([np.arange(68.0), np.zeros(68)], axis=1)])
def test_what_cannot_be_told(points: np.ndarray) -> None:
    assert axes.other_order(points) is None
