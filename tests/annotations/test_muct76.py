from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from efld_tf.annotations import muct76
from efld_tf.annotations.record import FaceRecord
from efld_tf.errors import DataError
from tests.annotations.writers import muct_header, muct_line, some_points, write_image

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
    ("line", "message"),
    [
        (GOOD + ",1", "csv:3: expected 154 cells, got 155"),
        ("i000qa-fn,0000", "csv:3: expected 154 cells, got 2"),
        (GOOD.replace(",", ",0,x", 1).rpartition(",")[0], "csv:3: expected a number, got 'x"),
        (muct_line("i000qa-fn", POINTS * 0), "csv:3: no point is annotated"),
        (GOOD.replace("i000qa", "i001qa"), "i001qa-fn.jpg' does not exist"),
        (GOOD.replace("i000qa", "../i000qa"), "csv:3: expected an image path inside"),
    ],
)
def test_a_bad_line_is_one_error(tmp_path: Path, line: str, message: str) -> None:
    write_image(tmp_path / "jpg" / "i000qa-fn.jpg")
    first, error, last = muct76.read(_write(tmp_path, GOOD, line, GOOD))
    assert isinstance(first, FaceRecord) and isinstance(last, FaceRecord)
    assert isinstance(error, DataError) and message in str(error)


def test_the_header_must_be_muct_s(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="csv:1: expected the header name,tag,x00,y00"):
        list(muct76.read(_write(tmp_path, GOOD, header="name,x,y")))
    with pytest.raises(DataError, match="cannot be read"):
        list(muct76.read(tmp_path / "none.csv"))
