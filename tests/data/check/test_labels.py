"""Wrong orders of coordinates and points are found, in few faces and in many."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from efld_tf.annotations import sources
from efld_tf.annotations.record import FaceRecord
from efld_tf.data.check import findings, labels, shapes
from efld_tf.landmarks import schemas
from efld_tf.landmarks.stance import stances
from tests.annotations import placed
from tests.annotations.writers import numbers
from tests.data.check.checking import kinds_of, quick
from tests.errors import assert_told


@pytest.fixture(scope="module")
def faces(shared_data: Path) -> list[FaceRecord]:
    """Faces of different photos."""
    records = sources.read(f"ibug:{shared_data}/ibug/helen/testset").records
    return list({record.identity: record for record in records}.values())[:24]


def _write(folder: Path, faces: list[FaceRecord], change) -> str:
    lines = [f"{face.image},{numbers(change(face.points), ',')}" for face in faces]
    (folder / "a.csv").write_text("\n".join([placed.COLUMNS, *lines]))
    return f"csv:{folder}/a.csv?schema=ibug68&images={faces[0].image.parent}"


@pytest.mark.parametrize("count", [1, 12, 24])
@pytest.mark.parametrize(("change", "told"), [
    (lambda points: points[:, ::-1], "x and y are exchanged"),
    (lambda points: points * [1, -1] + [0, 399], "y is counted upwards"),
    (lambda points: points * [-1, 1] + [399, 0], "left and right"),
])
def test_mirrored_faces(
    tmp_path: Path, faces: list[FaceRecord], count: int, change, told: str
) -> None:
    report = quick([_write(tmp_path, faces[:count], change)])
    found = [finding for finding in report.findings if finding.kind == findings.SWAPPED]
    assert len(found) == count
    assert_told("\n".join(report.notes), f"{count} of {count} faces", told)
    for finding in found:
        assert_told(finding.message, told)


def test_five_points_in_another_order(tmp_path: Path, faces: list[FaceRecord]) -> None:
    lines = []
    for face in faces[:7]:  # more would be refused
        shutil.copyfile(face.image, tmp_path / face.image.name)
        anchors = schemas.get("ibug68").anchor_points(face.points)
        five = np.stack([anchors[0], anchors[1], face.points[30], anchors[2], anchors[3]])
        lines.append(f" {face.image.name} {numbers(five, ' ')} 1 2 2 3")
    (tmp_path / "a.txt").write_text("\n".join(lines))
    report = quick([f"mtfl:{tmp_path}/a.txt"])
    assert len(kinds_of(report)[findings.OUTLIER]) > 4
    assert_told("\n".join(report.notes), "of 7 faces", "x and y", "mtfl5")


@pytest.mark.parametrize("name", ["profiles", "lfpw", "mtfl_aflw/training.txt"])
def test_likeness_with_the_mirror_image(shared_data: Path, name: str) -> None:
    """Faces that are beyond both limits are few, and most if x and y are mixed up."""
    schema = schemas.get("mtfl5" if name.startswith("mtfl") else "ibug68")
    if name == "profiles":
        lines = (shared_data / "aflw2000_shapes/shapes.jsonl").read_text().splitlines()
        points = np.array([json.loads(line)["shape68"] for line in lines])
    else:
        source = f"mtfl:{shared_data}/{name}" if name.startswith("mtfl") \
            else f"ibug:{shared_data}/lfpw/trainset"
        points = np.stack([record.points for record in sources.read(source).records])
    for wrong in (False, True):
        if wrong:
            points = np.swapaxes(points, 1, 2).reshape(points.shape)
        asymmetry = shapes.asymmetry(points, schema)
        width = stances(schema.anchor_points(points)).width
        beyond = (asymmetry > labels.MOST_ASYMMETRIC) & (width > labels.LEAST_WIDTH)
        assert beyond.mean() > 0.9 if wrong else beyond.mean() < 0.04
        assert np.median(asymmetry) > 0.84 if wrong else np.median(asymmetry) < 0.42


@pytest.mark.parametrize("count", [1, 12, 24])
def test_right_faces(tmp_path: Path, faces: list[FaceRecord], count: int) -> None:
    report = quick([_write(tmp_path, faces[:count], lambda points: points)])
    assert set(kinds_of(report)) <= {findings.NEAR_DUPLICATE}
    assert len(report.notes) == (count < 20)  # that shapes were not tested
