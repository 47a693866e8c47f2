from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from efld_tf.annotations import face_synthetics
from efld_tf.annotations.images import read_image
from efld_tf.annotations.record import FaceRecord
from efld_tf.landmarks import geometry, schemas
from tests.annotations.writers import numbers, some_points, write_image
from tests.errors import assert_refusal, refuses


def _text(points: np.ndarray) -> str:
    return "".join(numbers(point) + "\n" for point in points)


def _write(folder: Path, name: str, text: str, suffix: str = ".png") -> None:
    write_image(folder / f"{name}{suffix}")
    (folder / f"{name}_ldmks.txt").write_text(text)


def test_real_files(shared_data: Path) -> None:
    records = list(face_synthetics.read(shared_data / "face_synthetics"))
    assert len(records) == 100
    assert [record.identity for record in records[:2]] == ["000000", "000001"]
    schema = schemas.get("face_synthetics70")
    upright = 0
    for record in records:
        anchors = schema.anchor_points(record.points)
        upright += anchors[0, 0] < anchors[1, 0] and anchors[1, 1] < anchors[3, 1]
        height, width = read_image(record).shape[:2]
        x0, y0, x1, y1 = geometry.tight_box(record.points)
        assert x1 > 0 and y1 > 0 and x0 < width and y0 < height
    assert upright >= 95  # a few heads lie on their sides


def test_the_pupils_lie_in_their_eyes(shared_data: Path) -> None:
    """The last two points, which the first 68 (iBUG's) do not have."""
    points = np.stack(
        [record.points for record in face_synthetics.read(shared_data / "face_synthetics")]
    )
    for pupil, eye in ((68, slice(36, 42)), (69, slice(42, 48))):
        corners = points[:, eye]
        size = np.linalg.norm(corners[:, 0] - corners[:, 3], axis=-1)
        away = np.linalg.norm(points[:, pupil] - corners.mean(axis=1), axis=-1) / size
        assert np.median(away) < 0.25 and away.max() < 1  # far out only in eyes seen from the side


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_round_trip(tmp_path: Path, suffix: str) -> None:
    points = some_points(70)
    _write(tmp_path, "000007", _text(points), suffix)
    (record,) = face_synthetics.read(tmp_path)
    assert (record.schema, record.identity) == ("face_synthetics70", "000007")
    assert record.image == tmp_path / f"000007{suffix}"
    np.testing.assert_allclose(record.points, points, atol=1e-4)


_ROWS = _text(some_points(70))


@pytest.mark.parametrize(
    ("text", "line", "facts"),
    [
        ("", None, ["ends", 0, 70]),
        (_ROWS[: _ROWS.rindex(" ")], 70, ["2 numbers"]),
        (_ROWS + "1 2\n", 71, ["end of the file", 70]),
        ("x 1\n" + _ROWS, 1, ["number", "x"]),
        ("1e7 1\n" + _ROWS, 1, ["coordinate", "1e7"]),
    ],
)
def test_a_bad_file_is_one_error(
    tmp_path: Path, text: str, line: int | None, facts: list[object]
) -> None:
    _write(tmp_path, "0", text)
    _write(tmp_path, "1", _ROWS)
    error, record = face_synthetics.read(tmp_path)
    assert isinstance(record, FaceRecord)
    assert_refusal(error, *facts, path=tmp_path / "0_ldmks.txt", line=line)


def test_points_without_an_image(tmp_path: Path) -> None:
    _write(tmp_path, "0", _ROWS)
    (tmp_path / "0.png").unlink()
    (error,) = face_synthetics.read(tmp_path)
    assert_refusal(error, "0.png", "exist", path=tmp_path / "0_ldmks.txt")
    with refuses("folder", "NAME_ldmks.txt", path=tmp_path / "nothing"):
        list(face_synthetics.read(tmp_path / "nothing"))
