from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from efld_tf.annotations import muct76
from efld_tf.annotations.record import FaceRecord
from tests.annotations.writers import muct_header, muct_line, some_points, write_image
from tests.errors import assert_refusal, refuses

POINTS = some_points(76).round()


def _write(folder: Path, *lines: str, header: str | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "muct76-opencv.csv"
    path.write_text("\n".join([muct_header() if header is None else header, *lines]) + "\n")
    return path


@pytest.mark.parametrize("place", ["jpg", "../jpg", "../muct-a-jpg-v1/jpg", "."])
def test_round_trip(tmp_path: Path, place: str) -> None:
    """As published: the table in `muct-landmarks/`, the photos in `jpg/` beside it."""
    image = write_image(tmp_path / "muct-landmarks" / place / "i000qa-fn.jpg")
    path = _write(tmp_path / "muct-landmarks", muct_line("i000qa-fn", POINTS))
    (record,) = muct76.read(path)
    assert record.image.samefile(image)
    assert (record.schema, record.identity) == ("muct76", "000")
    assert record.attributes == {"lighting": "q", "camera": "a"}
    np.testing.assert_array_equal(record.points, POINTS)


def test_hidden_points(tmp_path: Path) -> None:
    write_image(tmp_path / "i001rd-fn.jpg")
    points = POINTS.copy()
    points[[3, 75]] = 0
    points[4] = [0, 5]  # on the left edge
    (record,) = muct76.read(_write(tmp_path, muct_line("i001rd-fn", points)))
    assert np.flatnonzero(np.isnan(record.points).all(axis=1)).tolist() == [3, 75]
    np.testing.assert_array_equal(record.points[4], [0, 5])


def test_mirrored_copies_are_passed_over(tmp_path: Path) -> None:
    write_image(tmp_path / "i000qa-fn.jpg")
    lines = [muct_line(name, POINTS) for name in ("i000qa-fn", "ir000qa-fn")]
    (record,) = muct76.read(_write(tmp_path, *lines))
    assert record.image.stem == "i000qa-fn"


GOOD = muct_line("i000qa-fn", POINTS)


@pytest.mark.parametrize(
    ("line", "facts"),
    [
        (GOOD + ",1", ["cells", 154, 155]),
        ("i000qa-fn,0000", ["cells", 154, 2]),
        (GOOD.replace(",", ",0,x", 1).rpartition(",")[0], ["number", "x0000"]),
        (muct_line("i000qa-fn", POINTS * 0), ["annotated"]),
        (GOOD.replace("i000qa", "i001qa"), ["i001qa-fn.jpg", "exist"]),
        (GOOD.replace("i000qa", "../i000qa"), ["inside", "../i000qa-fn.jpg"]),
    ],
)
def test_a_bad_line_is_one_error(tmp_path: Path, line: str, facts: list[object]) -> None:
    write_image(tmp_path / "jpg" / "i000qa-fn.jpg")
    path = _write(tmp_path, GOOD, line, GOOD)
    first, error, last = muct76.read(path)
    assert isinstance(first, FaceRecord) and isinstance(last, FaceRecord)
    assert_refusal(error, *facts, path=path, line=3)


def test_the_header_must_be_muct_s(tmp_path: Path) -> None:
    path = _write(tmp_path, GOOD, header="name,x,y")
    with refuses("header", "name,tag,x00,y00", path=path, line=1):
        list(muct76.read(path))
    with refuses("read", "No such file", path=tmp_path / "none.csv"):
        list(muct76.read(tmp_path / "none.csv"))
