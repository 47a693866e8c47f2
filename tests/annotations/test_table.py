from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from efld_tf.annotations import table
from efld_tf.annotations.record import FaceRecord
from efld_tf.landmarks import schemas
from tests.annotations.writers import numbers, some_points, write_image
from tests.errors import assert_refusal, refuses

POINTS = some_points(5)
NAMES = [f"{axis}{i}" for i in range(5) for axis in "xy"]
SCHEMA = "mtfl5"


def _write(folder: Path, *lines: str) -> Path:
    write_image(folder / "a.jpg")
    path = folder / "faces.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def _line(points: np.ndarray = POINTS, name: str = "a.jpg", separator: str = ",") -> str:
    return f"{name}{separator}{numbers(points, separator)}"


HEADER = ",".join(["image", *NAMES])


def test_round_trip(tmp_path: Path) -> None:
    path = _write(tmp_path, HEADER, _line(), "", _line(POINTS + 1))
    first, second = table.read(path, schema=SCHEMA)
    assert (first.schema, first.identity, first.image) == (SCHEMA, "a.jpg", tmp_path / "a.jpg")
    np.testing.assert_allclose(first.points, POINTS, atol=1e-4)
    np.testing.assert_allclose(second.points, POINTS + 1, atol=1e-4)
    assert first.box is None and first.visible is None


def test_a_table_of_real_points(shared_data: Path) -> None:
    """youtube_faces' native table, read as a user would describe it."""
    folder = shared_data / "youtube_faces"
    path = folder / "test_frames_keypoints.csv"
    records = list(table.read(path, schema="ibug68", images=str(folder / "test")))
    assert len(records) == 770 and all(isinstance(record, FaceRecord) for record in records)
    assert records[0].image.parent == folder / "test"


def test_columns_by_their_names(tmp_path: Path) -> None:
    header = ",".join([*NAMES, "identity", "box_y1", "box_x1", "box_y0", "box_x0", "file"])
    cells = f"{numbers(POINTS, ',')},Ann,44,33,22,11,a.jpg"
    (record,) = table.read(_write(tmp_path, header, cells), schema=SCHEMA, image="file")
    assert record.identity == "Ann"
    np.testing.assert_array_equal(record.box, [11, 22, 33, 44])
    np.testing.assert_allclose(record.points, POINTS, atol=1e-4)


def test_columns_of_predictions(tmp_path: Path) -> None:
    extra = ["frame", "upright", "seconds", "face", "track", "score", "confidence"]
    header = ",".join(["image", *extra, *NAMES])
    cells = numbers(POINTS, ",")
    path = _write(tmp_path, header, f"a.jpg,,1,,0,,0.9,0.75,{cells}",
                  f"a.jpg,12,,0.48,1,3,0.9,0.75,{cells}")
    photo, frame = table.read(path, schema=SCHEMA)
    assert (photo.frame, photo.upright) == (None, True)
    assert photo.attributes == {"face": "0", "score": "0.9", "confidence": "0.75"}
    assert (frame.frame, frame.upright, frame.identity) == (12, False, "a.jpg")
    assert frame.attributes["track"] == "3" and frame.attributes["seconds"] == "0.48"
    np.testing.assert_allclose(frame.points, POINTS, atol=1e-4)
    path = _write(tmp_path, header, f"a.jpg,-1,,,0,,1,1,{cells}", f"a.jpg,,yes,,0,,1,1,{cells}")
    first, second = table.read(path, schema=SCHEMA)
    assert_refusal(first, "frame", "whole", -1, path=path, line=2)
    assert_refusal(second, "upright", "yes", 0, 1, path=path, line=3)


@pytest.mark.parametrize(
    ("separator", "delimiter"), [(";", ";"), ("\t", "tab"), (" ", "space"), ("  \t ", "space")]
)
def test_delimiters(tmp_path: Path, separator: str, delimiter: str) -> None:
    path = _write(tmp_path, HEADER.replace(",", separator), _line(separator=separator))
    (record,) = table.read(path, schema=SCHEMA, delimiter=delimiter)
    np.testing.assert_allclose(record.points, POINTS, atol=1e-4)


def test_without_a_header(tmp_path: Path) -> None:
    path = _write(tmp_path, _line())
    (record,) = table.read(path, schema=SCHEMA, header="no")
    np.testing.assert_allclose(record.points, POINTS, atol=1e-4)
    path = _write(tmp_path, f"{numbers(POINTS, ',')},a.jpg")
    (record,) = table.read(path, schema=SCHEMA, header="no", image="10")
    np.testing.assert_allclose(record.points, POINTS, atol=1e-4)


def test_names_of_columns_may_be_numbers(tmp_path: Path) -> None:
    for names in (range(10), [n // 2 for n in range(10)], ["1.0", "1.1", *range(8)]):
        header = ",".join(["image", *map(str, names)])
        (record,) = table.read(_write(tmp_path, header, _line()), schema=SCHEMA)
        np.testing.assert_allclose(record.points, POINTS, atol=1e-4)


def test_orders_and_origins(tmp_path: Path) -> None:
    path = _write(tmp_path, HEADER, "a.jpg,1,2,3,4,5,6,7,8,9,10")
    (record,) = table.read(path, schema=SCHEMA, order="xxyy", origin="1")
    np.testing.assert_array_equal(record.points, [[0, 5], [1, 6], [2, 7], [3, 8], [4, 9]])
    (record,) = table.read(path, schema=SCHEMA)
    np.testing.assert_array_equal(record.points, [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]])


def test_the_box_counts_as_the_points_do(tmp_path: Path) -> None:
    header = HEADER + ",box_x0,box_y0,box_x1,box_y1"
    path = _write(tmp_path, header, _line() + ",1,2,30,40")
    (record,) = table.read(path, schema=SCHEMA, origin="1")
    np.testing.assert_array_equal(record.box, [0, 1, 29, 39])


@pytest.mark.parametrize("cell", ["", "nan", "NaN"])
def test_points_that_are_not_annotated(tmp_path: Path, cell: str) -> None:
    path = _write(tmp_path, HEADER, f"a.jpg,1,2,3,{cell},5,6,7,8,9,10")
    (record,) = table.read(path, schema=SCHEMA)
    assert np.isnan(record.points[1]).all()
    np.testing.assert_array_equal(record.points[[0, 2]], [[1, 2], [5, 6]])


def test_quoted_names(tmp_path: Path) -> None:
    image = write_image(tmp_path / "b, c.jpg")
    (record,) = table.read(_write(tmp_path, HEADER, _line(name='"b, c.jpg"')), schema=SCHEMA)
    assert record.image == image


@pytest.mark.parametrize(
    ("line", "facts"),
    [
        ("a.jpg,1,2", ["cells", 11, 3]),
        (_line() + ",1", ["cells", 11, 12]),
        ("a.jpg,x,2,3,4,5,6,7,8,9,10", ["number", "x"]),
        ("a.jpg,inf,2,3,4,5,6,7,8,9,10", ["coordinate", "inf"]),
        ("a.jpg" + "," * 10, ["annotated"]),
        (_line(name="b.jpg"), ["b.jpg", "exist"]),
        (_line(name="../a.jpg"), ["inside", "../a.jpg"]),
        (_line(name="/etc/passwd"), ["inside", "/etc/passwd"]),
    ],
)
def test_a_bad_line_is_one_error(tmp_path: Path, line: str, facts: list[object]) -> None:
    write_image(tmp_path / "a.jpg")
    path = _write(tmp_path / "data", HEADER, _line(), line, _line())
    first, error, last = table.read(path, schema=SCHEMA)
    assert isinstance(first, FaceRecord) and isinstance(last, FaceRecord)
    assert_refusal(error, *facts, path=path, line=3)


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        ({}, ["schema=FILE.yaml", "schema=NAME", *schemas.names()]),
        ({"schema": SCHEMA, "delimiter": ";;"}, ["delimiter", ";;", "tab", "space"]),
        ({"schema": SCHEMA, "header": "no", "image": "11"}, ["image", 0, 10, 11]),
        ({"schema": SCHEMA, "header": "maybe"}, ["header", "maybe", "yes", "no"]),
        ({"schema": SCHEMA, "order": "yx"}, ["order", "yx", "xy", "xxyy"]),
        ({"schema": SCHEMA, "origin": "2"}, ["origin", 0, 1, 2]),
    ],
)
def test_options_are_checked(
    tmp_path: Path, options: dict[str, str], facts: list[object]
) -> None:
    with refuses(*facts):
        list(table.read(_write(tmp_path, HEADER, _line()), **options))


@pytest.mark.parametrize(
    ("header", "options", "facts"),
    [
        (HEADER, {"schema": "ibug68"}, ["ibug68", 136, 10, "delimiter"]),
        (HEADER, {"schema": SCHEMA, "delimiter": ";"}, [SCHEMA, 10, 0, "delimiter"]),
        (HEADER, {"schema": SCHEMA, "image": "photo"}, ["column", "photo"]),
        (HEADER + ",box_x0", {"schema": SCHEMA}, ["box_x0", "box_y0", "box_x1", "box_y1"]),
        ("", {"schema": SCHEMA}, ["column"]),
        (_line(), {"schema": SCHEMA}, ["a face", "header=no"]),
    ],
)
def test_the_header_is_checked(
    tmp_path: Path, header: str, options: dict[str, str], facts: list[object]
) -> None:
    path = _write(tmp_path, *([header, _line()] if header else []))
    with refuses(*facts, path=path, line=1):
        list(table.read(path, **options))


@given(
    points=st.lists(
        st.tuples(*[st.floats(-1e6, 1e6, width=32)] * 2), min_size=5, max_size=5
    )
)
def test_any_points_round_trip(tmp_path: Path, points: list[tuple[float, float]]) -> None:
    text = ",".join(repr(value) for point in points for value in point)
    (record,) = table.read(_write(tmp_path, HEADER, f"a.jpg,{text}"), schema=SCHEMA)
    np.testing.assert_array_equal(record.points, np.array(points, np.float32))
