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
from tests.errors import assert_refusal, assert_told, refuses

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
    *records, note = table.read(path, schema="ibug68", images=str(folder / "test"))
    assert_told(note.text, "x0, y0", "order=xxyy")
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
                  f"clip.mp4,12,,0.48,1,3,0.9,0.75,{cells}", f"a.jpg,7,,,0,,0.9,0.75,{cells}")
    (tmp_path / "clip.mp4").touch()
    photo, frame, numbered = table.read(path, schema=SCHEMA)
    assert (photo.frame, photo.upright) == (None, True)
    assert photo.attributes == {"face": "0", "score": "0.9", "confidence": "0.75"}
    assert (frame.frame, frame.upright, frame.identity) == (12, None, "clip.mp4")
    assert (numbered.frame, numbered.attributes["frame"]) == (None, "7")  # of a film's photos
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
    record, note = table.read(path, schema=SCHEMA, header="no")
    np.testing.assert_allclose(record.points, POINTS, atol=1e-4)
    assert_told(note.text, "x0, y0", "order=xxyy")
    path = _write(tmp_path, f"{numbers(POINTS, ',')},a.jpg")
    (record,) = table.read(path, schema=SCHEMA, header="no", image="10", order="xy")
    np.testing.assert_allclose(record.points, POINTS, atol=1e-4)


def test_names_of_columns_may_be_numbers(tmp_path: Path) -> None:
    for names in (range(10), range(1, 11), [n // 2 for n in range(10)]):
        header = ",".join(["image", *map(str, names)])
        (record,) = table.read(_write(tmp_path, header, _line()), schema=SCHEMA, order="xy")
        np.testing.assert_allclose(record.points, POINTS, atol=1e-4)


def test_orders_and_origins(tmp_path: Path) -> None:
    path = _write(tmp_path, "a.jpg,1,2,3,4,5,6,7,8,9,10")
    (record,) = table.read(path, schema=SCHEMA, header="no", order="xxyy", origin="1")
    np.testing.assert_array_equal(record.points, [[0, 5], [1, 6], [2, 7], [3, 8], [4, 9]])
    (record,) = table.read(path, schema=SCHEMA, header="no", origin="0.5", order="xy")
    np.testing.assert_array_equal(
        record.points, np.array([[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]) - 0.5)


BY_POINT = dict(zip(NAMES, ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"], strict=True))
RIGHT = [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]
POINT_NAMES = schemas.get(SCHEMA).names


def _renamed(pattern: str, names: tuple[str, ...] = ("0", "1", "2", "3", "4")) -> dict[str, str]:
    """The cells of `RIGHT` by names of columns made of a point's name `N` and an axis `A`."""
    return {
        pattern.replace("N", name).replace("A", axis): BY_POINT[f"{axis}{i}"]
        for i, name in enumerate(names) for axis in "xy"
    }


@pytest.mark.parametrize(
    "pattern", ["AN", "A_N", "NA", "N_A", "pN_A", "A[N]", "A N", "p[N].A", "landmark_N_A", "A-N"]
)
@pytest.mark.parametrize("arrangement", ["as it is", "sorted", "all x first", "reversed"])
def test_the_header_decides_which_column_is_which(
    tmp_path: Path, pattern: str, arrangement: str
) -> None:
    for names in (tuple("01234"), tuple("12345"), POINT_NAMES):
        if names == POINT_NAMES and pattern in ("AN", "NA", "pN_A", "landmark_N_A", "p[N].A"):
            continue
        cells = _renamed(pattern, names)
        header = {
            "as it is": list(cells), "sorted": sorted(cells), "reversed": [*cells][::-1],
            "all x first": [*[*cells][::2], *[*cells][1::2]],
        }[arrangement]
        lines = [",".join([*header, "image"]), ",".join([*(cells[c] for c in header), "a.jpg"])]
        (record,) = table.read(_write(tmp_path, *lines), schema=SCHEMA)
        np.testing.assert_array_equal(record.points, RIGHT)


def test_numbers_are_not_sorted_as_texts(tmp_path: Path) -> None:
    """Columns of 68 points sorted by name: x_0, x_1, x_10, x_11, ..."""
    points = some_points(68)
    cells = {f"{axis}_{i}": f"{points[i, k]:.3f}" for i in range(68) for k, axis in enumerate("xy")}
    for header in (sorted(cells), [f"x_{i}" for i in range(68)] + [f"y_{i}" for i in range(68)]):
        lines = [",".join(["image", *header]), ",".join(["a.jpg", *(cells[c] for c in header)])]
        (record,) = table.read(_write(tmp_path, *lines), schema="ibug68")
        np.testing.assert_allclose(record.points, points, atol=1e-3)


def test_bare_numbers_count_the_coordinates(tmp_path: Path) -> None:
    order = sorted(map(str, range(136)))
    values = some_points(68).ravel()
    lines = [",".join(["", *order]), ",".join(["a.jpg", *(f"{values[int(n)]:.3f}" for n in order)])]
    record, note = table.read(_write(tmp_path, *lines), schema="ibug68")
    np.testing.assert_allclose(record.points.ravel(), values, atol=1e-3)
    assert_told(note.text, "order=xxyy")
    # A face whose image has no suffix is no header, whatever its numbers.
    path = _write(tmp_path, "a," + ",".join(str(7 * i) for i in range(10)), _line())
    with refuses("header=no", path=path, line=1):
        list(table.read(path, schema=SCHEMA))


def test_other_columns_are_left_out_and_named(tmp_path: Path) -> None:
    cells = _renamed("N_A", POINT_NAMES) | {"pupil_x": "50", "pupil_y": "60"}
    header = ["Unnamed: 0", "age", "file_name", *cells, "comment"]
    line = ["7", "33", "a.jpg", *cells.values(), "blurred"]
    record, note = table.read(_write(tmp_path, ",".join(header), ",".join(line)), schema=SCHEMA)
    np.testing.assert_array_equal(record.points, RIGHT)
    assert_told(note.text, "Unnamed: 0", "age", "pupil_x", "comment")


def test_an_order_that_contradicts_the_header_is_refused(tmp_path: Path) -> None:
    for order, agrees in (("xy", [*NAMES]), ("xxyy", [*NAMES[::2], *NAMES[1::2]])):
        for header in ([*NAMES], [*NAMES[::2], *NAMES[1::2]]):
            path = _write(tmp_path, ",".join(["image", *header]),
                          ",".join(["a.jpg", *(BY_POINT[name] for name in header)]))
            if header == agrees:
                (record,) = table.read(path, schema=SCHEMA, order=order)
                np.testing.assert_array_equal(record.points, RIGHT)
            else:
                with refuses(f"order={order}", "header", path=path, line=1):
                    list(table.read(path, schema=SCHEMA, order=order))


def test_names_that_tell_no_axis_need_an_order(tmp_path: Path) -> None:
    path = _write(tmp_path, ",".join(["image", *"abcdefghij"]), "a.jpg,1,3,5,7,9,2,4,6,8,10")
    with refuses("'a'", "'b'", "NAME_x", "order=xy", path=path, line=1):
        list(table.read(path, schema=SCHEMA))
    (record,) = table.read(path, schema=SCHEMA, order="xxyy")
    np.testing.assert_array_equal(record.points, RIGHT)


@pytest.mark.parametrize(
    ("names", "facts"),
    [
        (("a", "b", "c", "d", "e"), ["'a'", "left_eye_centre", SCHEMA]),
        ((*POINT_NAMES[:4], "chin"), ["'chin'", POINT_NAMES[4]]),
        (("0", "1", "2", "3", "9"), ["0 to 9", "0 to 4"]),
        (("2", "3", "4", "5", "6"), ["2 to 6", "1 to 5"]),
    ],
)
def test_names_that_are_not_the_schema_s_are_refused_with_both_lists(
    tmp_path: Path, names: tuple[str, ...], facts: list[str]
) -> None:
    cells = _renamed("N_A", names)
    path = _write(tmp_path, ",".join(["image", *cells]), ",".join(["a.jpg", *cells.values()]))
    with refuses(*facts, path=path, line=1):
        list(table.read(path, schema=SCHEMA))


def test_half_a_point_and_two_of_a_kind_are_refused(tmp_path: Path) -> None:
    for header, facts in (
        (["image", *NAMES[:-1]], ["'4'", "y"]),
        (["image", *NAMES[:-1], "x4"], ["'4'", "x"]),
        (["image", *NAMES, "frame", "frame"], ["frame"]),
    ):
        path = _write(tmp_path, ",".join(header), _line())
        with refuses(*facts, path=path, line=1):
            list(table.read(path, schema=SCHEMA))


LINES = ["image;" + ";".join(NAMES), "a.jpg;" + ";".join(BY_POINT.values())]


@pytest.mark.parametrize(
    "content",
    [
        "\r\n".join(["sep=;", *LINES]).encode(),
        "\n".join(LINES).encode(),
        "\r".join([*LINES, ""]).encode(),
        "\n".join(LINES).encode("utf-16"),
        "\r\n".join(["sep=;", *LINES]).encode("utf-16"),
        "\n".join(LINES).encode("utf-16-le"),
        "\n".join(LINES).encode("utf-16-be"),
        "\n".join(LINES).encode("utf-8-sig"),
        "\n".join(LINES).replace(";", "\t").encode(),
        "\n".join(LINES).replace(";", "|").encode(),
        "\n".join([LINES[0], "a.jpg;1,0;2,0;3,0;4,0;5,0;6,0;7,0;8,0;9,0;10,0"]).encode(),
    ],
)
def test_files_as_spreadsheets_write_them(tmp_path: Path, content: bytes) -> None:
    path = _write(tmp_path, "")
    path.write_bytes(content)
    (record,) = table.read(path, schema=SCHEMA)
    np.testing.assert_array_equal(record.points, RIGHT)


def test_decimal_commas_are_read_or_named(tmp_path: Path) -> None:
    path = _write(tmp_path, HEADER, "a.jpg," + ",".join(f"{i},5" for i in range(10)))
    (error,) = table.read(path, schema=SCHEMA)
    assert_refusal(error, 11, 21, "decimal commas", path=path, line=2)
    path = _write(tmp_path, LINES[0], "a.jpg;" + ";".join(["1,5"] * 9 + ["2.5"]))
    with refuses("'2.5'", "'1,5'", "comma", path=path, line=2):
        list(table.read(path, schema=SCHEMA))
    path = _write(tmp_path, "sep=;", *LINES)
    with refuses("sep=;", "delimiter=,", path=path, line=1):
        list(table.read(path, schema=SCHEMA, delimiter=","))


@pytest.mark.parametrize("mark", [",", "."])
def test_thousands_separators_are_refused(tmp_path: Path, mark: str) -> None:
    """As Excel shows 1030 in the US and in Germany; `skip` must not leave other lines."""
    cells = ["970", f"1{mark}030", f"1{mark}292", *["12"] * 7]
    path = _write(tmp_path, LINES[0], "a.jpg;" + ";".join(["5"] * 10), "a.jpg;" + ";".join(cells))
    with refuses(f"'1{mark}030'", "thousands", path=path, line=3):
        list(table.read(path, schema=SCHEMA))
    # All of them with three decimals are what this project writes itself.
    path = _write(tmp_path, LINES[0], "a.jpg;" + ";".join([f"1{mark}030"] * 10))
    (record,) = table.read(path, schema=SCHEMA)
    np.testing.assert_allclose(record.points, 1.03)


def test_columns_as_pandas_and_openface_name_them(tmp_path: Path) -> None:
    cells = ["x", "y", "x.1", "y.1", "x.2", "y.2", "x.3", "y.3", "x.4", "y.4"]
    path = _write(tmp_path, ",".join(["image", *cells]), "a.jpg,1,2,3,4,5,6,7,8,9,10")
    (record,) = table.read(path, schema=SCHEMA)
    np.testing.assert_array_equal(record.points, RIGHT)
    header = ["frame", *(f" x_{i}" for i in range(5)), *(f" y_{i}" for i in range(5)),
              *(f" {axis}_{i}" for axis in "XYZ" for i in range(5)), "image"]
    line = ["1", *"13579", "2", "4", "6", "8", "10", *["777"] * 15, "a.jpg"]
    record, note = table.read(_write(tmp_path, ",".join(header), ",".join(line)), schema=SCHEMA)
    np.testing.assert_array_equal(record.points, RIGHT)
    assert_told(note.text, "X_0", "Y_2")


def test_names_in_another_language_in_the_schema_s_order(tmp_path: Path) -> None:
    cells = _renamed("N_A", ("oeil_d", "oeil_g", "nez", "bouche_d", "bouche_g"))
    for header, order in (([*cells], "xy"), ([*[*cells][::2], *[*cells][1::2]], "xxyy")):
        lines = [",".join(["image", *header]), ",".join(["a.jpg", *(cells[c] for c in header)])]
        path = _write(tmp_path, *lines)
        with refuses("'nez'", "order=xy", path=path, line=1):
            list(table.read(path, schema=SCHEMA))
        (record,) = table.read(path, schema=SCHEMA, order=order)
        np.testing.assert_array_equal(record.points, RIGHT)


def test_stated_sizes_and_delimiters_at_the_end(tmp_path: Path) -> None:
    path = _write(tmp_path, HEADER + ",image_width,image_height", _line() + ",640,480,",
                  _line() + ",,")
    first, second = table.read(path, schema=SCHEMA)
    assert (first.image_size, second.image_size) == ((640, 480), None)


def test_a_text_in_another_encoding_is_named(tmp_path: Path) -> None:
    path = _write(tmp_path, "")
    path.write_bytes("\n".join([HEADER, _line(name="bär.jpg"), _line()]).encode("cp1252"))
    error, record = table.read(path, schema=SCHEMA)
    assert_refusal(error, "UTF-8", path=path, line=2)
    assert record.identity == "a.jpg"


@pytest.mark.parametrize("name", ["two\nlines.jpg", 'a "quoted".jpg', "a, b.jpg", "cr\rlf.jpg"])
def test_names_with_line_breaks_and_quotes(tmp_path: Path, name: str) -> None:
    """As `csv.writer` and spreadsheets write them; the next line is read as well."""
    image = write_image(tmp_path / name)
    quoted = name.replace('"', '""')
    path = _write(tmp_path, HEADER, _line(name=f'"{quoted}"'), "a.jpg,x", _line())
    first, error, last = table.read(path, schema=SCHEMA)
    assert first.image == image and last.image == tmp_path / "a.jpg"
    assert_refusal(error, 11, 2, path=path, line=4 if len(name.splitlines()) > 1 else 3)


def test_a_quote_that_is_not_closed_is_one_error(tmp_path: Path) -> None:
    path = _write(tmp_path, HEADER, _line(), '"a.jpg,1,2', _line())
    record, error = table.read(path, schema=SCHEMA)
    assert isinstance(record, FaceRecord)
    assert_refusal(error, "table", path=path, line=3)


def test_the_box_counts_as_the_points_do(tmp_path: Path) -> None:
    header = HEADER + ",box_x0,box_y0,box_x1,box_y1"
    path = _write(tmp_path, header, _line() + ",1,2,30,40")
    (record,) = table.read(path, schema=SCHEMA, origin="1")
    np.testing.assert_array_equal(record.box, [0, 1, 29, 39])


@pytest.mark.parametrize("cell", ["", "nan", "NaN", "NA", "None", "#N/A"])
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
        (HEADER, {"schema": "ibug68"}, ["ibug68", 68, 5, "jaw_5"]),
        ("image,a,b", {"schema": "ibug68"}, ["ibug68", 136, 2, "delimiter"]),
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
