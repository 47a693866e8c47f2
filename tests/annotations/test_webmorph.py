from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from efld_tf.annotations import webmorph
from efld_tf.annotations.images import read_image
from efld_tf.annotations.record import FaceRecord
from tests.annotations.real import assert_upright
from tests.annotations.writers import numbers, some_points, write_image
from tests.errors import assert_refusal, refuses


def _text(points: np.ndarray, lines: str = "") -> str:
    rows = "".join(numbers(point, "\t") + "\n" for point in points)
    return f"{len(points)}\n{rows}{lines}"


def _write(folder: Path, name: str, text: str) -> Path:
    write_image(folder / f"{name}.jpg")
    path = folder / f"{name}.tem"
    path.write_text(text)
    return path


def test_real_files(shared_data: Path) -> None:
    records = list(webmorph.read(shared_data / "webmorph"))
    assert len(records) == 202
    assert len({record.identity for record in records}) == 202
    for record in records:
        assert_upright(record)
    for record in records[::50]:
        height, width = read_image(record).shape[:2]
        assert (record.points > 0).all() and (record.points < [width, height]).all()


def test_the_first_points_are_the_pupils(shared_data: Path) -> None:
    points = webmorph.read_points(shared_data / "webmorph" / "3dsk_female_agata.tem")
    np.testing.assert_allclose(points[:2], [[147.25, 244.65], [252.74, 244.65]])


def test_round_trip_with_the_lines_of_the_template(tmp_path: Path) -> None:
    points = some_points(189)
    _write(tmp_path / "deep", "ann", _text(points, "2\n1\n0\n3\n44 45 46\n1\n"))
    (record,) = webmorph.read(tmp_path)
    assert (record.schema, record.identity, record.box) == ("webmorph189", "ann", None)
    assert record.image == tmp_path / "deep" / "ann.jpg"
    np.testing.assert_allclose(record.points, points, atol=1e-4)


_ROWS = _text(some_points(189))


@pytest.mark.parametrize(
    ("text", "line", "facts"),
    [
        ("", None, [189, "''"]),
        ("178\n" + _ROWS, 1, [189, 178]),
        ("4000000000\n" + _ROWS, 1, [189, 4000000000]),
        ("\n".join(_ROWS.splitlines()[:100]), None, ["ends", "99 of 189"]),
        (_ROWS.replace("\t", " 1\t", 1), 2, ["2 numbers"]),
        ("189\nnan\t1\n" + _ROWS, 2, ["coordinate", "nan"]),
        (_ROWS + "1.5\t2.5\n", 191, ["lines", r"1.5\t2.5"]),
    ],
)
def test_a_bad_file_is_one_error(
    tmp_path: Path, text: str, line: int | None, facts: list[object]
) -> None:
    path = _write(tmp_path, "a", text)
    _write(tmp_path, "b", _ROWS)
    error, record = webmorph.read(tmp_path)
    assert isinstance(record, FaceRecord)
    assert_refusal(error, *facts, path=path, line=line)


def test_a_template_without_an_image(tmp_path: Path) -> None:
    path = _write(tmp_path, "a", _ROWS).rename(tmp_path / "b.tem")
    (error,) = webmorph.read(tmp_path)
    assert_refusal(error, "image", ".jpg", ".png", path=path)
    with refuses("folder", ".tem", path=path):
        list(webmorph.read(path))
