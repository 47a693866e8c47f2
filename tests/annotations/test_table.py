from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from efld_tf.annotations import table
from efld_tf.annotations.record import FaceRecord
from efld_tf.errors import DataError, EfldError
from tests.annotations.writers import numbers, some_points, write_image

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
    assert "faces.csv:2: frame: expected a whole number, got '-1'" in str(first)
    assert "faces.csv:3: upright: expected 0 or 1, got 'yes'" in str(second)


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
    ("line", "message"),
    [
        ("a.jpg,1,2", "faces.csv:3: expected 11 cells, got 3"),
        (_line() + ",1", "faces.csv:3: expected 11 cells, got 12"),
        (_line().replace(",", ",x", 1), "faces.csv:3: expected a number, got 'x"),
        ("a.jpg,inf,2,3,4,5,6,7,8,9,10", "faces.csv:3: expected a coordinate in pixels, got 'inf'"),
        ("a.jpg" + "," * 10, "faces.csv:3: no point is annotated"),
        (_line(name="b.jpg"), "b.jpg' does not exist"),
        (_line(name="../a.jpg"), "faces.csv:3: expected an image path inside"),
        (_line(name="/etc/passwd"), "faces.csv:3: expected an image path inside"),
    ],
)
def test_a_bad_line_is_one_error(tmp_path: Path, line: str, message: str) -> None:
    write_image(tmp_path / "a.jpg")
    path = _write(tmp_path / "data", HEADER, _line(), line, _line())
    first, error, last = table.read(path, schema=SCHEMA)
    assert isinstance(first, FaceRecord) and isinstance(last, FaceRecord)
    assert isinstance(error, DataError) and message in str(error)


@pytest.mark.parametrize(
    ("header", "options", "message"),
    [
        (HEADER, {}, "schema: say what the points are with schema=FILE.yaml or schema=NAME, one"),
        (HEADER, {"schema": "ibug68"}, "csv:1: expected 136 columns of coordinates of ibug68, got "
         "10; is the delimiter right"),
        (HEADER, {"schema": SCHEMA, "delimiter": ";"}, "csv:1: expected 10 columns of coord"),
        (HEADER, {"schema": SCHEMA, "delimiter": ";;"}, "delimiter: expected a character, tab or"),
        (HEADER, {"schema": SCHEMA, "image": "photo"}, "csv:1: expected a column 'photo'"),
        (HEADER + ",box_x0", {"schema": SCHEMA}, "csv:1: expected all of box_x0, box_y0, box_x1, "
         "box_y1, or none"),
        (HEADER, {"schema": SCHEMA, "header": "no", "image": "11"}, "image: without a header, a "
         "column from 0 to 10, got '11'"),
        (HEADER, {"schema": SCHEMA, "header": "maybe"}, "header: expected yes or no, got 'maybe'"),
        (HEADER, {"schema": SCHEMA, "order": "yx"}, "order: expected xy or xxyy, got 'yx'"),
        (HEADER, {"schema": SCHEMA, "origin": "2"}, "origin: expected 0 or 1, got '2'"),
        ("", {"schema": SCHEMA}, "csv:1: expected a column"),
        (_line(), {"schema": SCHEMA}, "csv:1: expected a header, got a face: add one, or say "
         "header=no"),
    ],
)  # fmt: skip
def test_wrong_use(tmp_path: Path, header: str, options: dict[str, str], message: str) -> None:
    path = _write(tmp_path, *([header, _line()] if header else []))
    with pytest.raises(EfldError) as caught:
        list(table.read(path, **options))
    assert message in str(caught.value)


@given(
    points=st.lists(
        st.tuples(*[st.floats(-1e6, 1e6, width=32)] * 2), min_size=5, max_size=5
    )
)
def test_any_points_round_trip(tmp_path: Path, points: list[tuple[float, float]]) -> None:
    text = ",".join(repr(value) for point in points for value in point)
    (record,) = table.read(_write(tmp_path, HEADER, f"a.jpg,{text}"), schema=SCHEMA)
    np.testing.assert_array_equal(record.points, np.array(points, np.float32))
