from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from efld_tf.annotations import table
from efld_tf.errors import DataError
from tests.annotations.tables import (
    BY_POINT,
    HEADER,
    NAMES,
    POINT_NAMES,
    POINTS,
    RIGHT,
    SCHEMA,
    line_of,
    renamed,
    write_table,
)
from tests.annotations.writers import numbers, some_points
from tests.errors import assert_told, refuses


def test_columns_by_their_names(tmp_path: Path) -> None:
    header = ",".join([*NAMES, "identity", "box_y1", "box_x1", "box_y0", "box_x0", "file"])
    cells = f"{numbers(POINTS, ',')},Ann,44,33,22,11,a.jpg"
    (record,) = table.read(write_table(tmp_path, header, cells), schema=SCHEMA, image="file")
    assert record.identity == "Ann"
    np.testing.assert_array_equal(record.box, [11, 22, 33, 44])
    np.testing.assert_allclose(record.points, POINTS, atol=1e-4)


def test_names_of_columns_may_be_numbers(tmp_path: Path) -> None:
    for names in (range(10), range(1, 11), [n // 2 for n in range(10)]):
        header = ",".join(["image", *map(str, names)])
        (record,) = table.read(write_table(tmp_path, header, line_of()), schema=SCHEMA, order="xy")
        np.testing.assert_allclose(record.points, POINTS, atol=1e-4)


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
        cells = renamed(pattern, names)
        header = {
            "as it is": list(cells), "sorted": sorted(cells), "reversed": [*cells][::-1],
            "all x first": [*[*cells][::2], *[*cells][1::2]],
        }[arrangement]
        lines = [",".join([*header, "image"]), ",".join([*(cells[c] for c in header), "a.jpg"])]
        (record,) = table.read(write_table(tmp_path, *lines), schema=SCHEMA)
        np.testing.assert_array_equal(record.points, RIGHT)


def test_numbers_are_not_sorted_as_texts(tmp_path: Path) -> None:
    """Columns of 68 points sorted by name: x_0, x_1, x_10, x_11, ..."""
    points = some_points(68)
    cells = {f"{axis}_{i}": f"{points[i, k]:.3f}" for i in range(68) for k, axis in enumerate("xy")}
    for header in (sorted(cells), [f"x_{i}" for i in range(68)] + [f"y_{i}" for i in range(68)]):
        lines = [",".join(["image", *header]), ",".join(["a.jpg", *(cells[c] for c in header)])]
        (record,) = table.read(write_table(tmp_path, *lines), schema="ibug68")
        np.testing.assert_allclose(record.points, points, atol=1e-3)


def test_bare_numbers_count_the_coordinates(tmp_path: Path) -> None:
    order = sorted(map(str, range(136)))
    values = some_points(68).ravel()
    lines = [",".join(["", *order]), ",".join(["a.jpg", *(f"{values[int(n)]:.3f}" for n in order)])]
    record, note = table.read(write_table(tmp_path, *lines), schema="ibug68")
    np.testing.assert_allclose(record.points.ravel(), values, atol=1e-3)
    assert_told(note.text, "order=xxyy")
    # A face whose image has no suffix is no header, whatever its numbers.
    path = write_table(tmp_path, "a," + ",".join(str(7 * i) for i in range(10)), line_of())
    with refuses("header=no", path=path, line=1):
        list(table.read(path, schema=SCHEMA))


def test_other_columns_are_left_out_and_named(tmp_path: Path) -> None:
    cells = renamed("N_A", POINT_NAMES) | {"pupil_x": "50", "pupil_y": "60"}
    header = ["Unnamed: 0", "age", "file_name", *cells, "comment"]
    line = ["7", "33", "a.jpg", *cells.values(), "blurred"]
    path = write_table(tmp_path, ",".join(header), ",".join(line))
    record, note = table.read(path, schema=SCHEMA)
    np.testing.assert_array_equal(record.points, RIGHT)
    assert_told(note.text, "Unnamed: 0", "age", "pupil_x", "comment")


def test_an_order_that_contradicts_the_header_is_refused(tmp_path: Path) -> None:
    for order, agrees in (("xy", [*NAMES]), ("xxyy", [*NAMES[::2], *NAMES[1::2]])):
        for header in ([*NAMES], [*NAMES[::2], *NAMES[1::2]]):
            path = write_table(tmp_path, ",".join(["image", *header]),
                          ",".join(["a.jpg", *(BY_POINT[name] for name in header)]))
            if header == agrees:
                (record,) = table.read(path, schema=SCHEMA, order=order)
                np.testing.assert_array_equal(record.points, RIGHT)
            else:
                with refuses(f"order={order}", "header", path=path, line=1):
                    list(table.read(path, schema=SCHEMA, order=order))


def test_names_that_tell_no_axis_need_an_order(tmp_path: Path) -> None:
    path = write_table(tmp_path, ",".join(["image", *"abcdefghij"]), "a.jpg,1,3,5,7,9,2,4,6,8,10")
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
    cells = renamed("N_A", names)
    path = write_table(tmp_path, ",".join(["image", *cells]), ",".join(["a.jpg", *cells.values()]))
    with refuses(*facts, path=path, line=1):
        list(table.read(path, schema=SCHEMA))


def test_half_a_point_and_two_of_a_kind_are_refused(tmp_path: Path) -> None:
    for header, facts in (
        (["image", *NAMES[:-1]], ["'4'", "y"]),
        (["image", *NAMES[:-1], "x4"], ["'4'", "x"]),
        (["image", *NAMES, "frame", "frame"], ["frame"]),
    ):
        path = write_table(tmp_path, ",".join(header), line_of())
        with refuses(*facts, path=path, line=1):
            list(table.read(path, schema=SCHEMA))


def test_columns_as_pandas_and_openface_name_them(tmp_path: Path) -> None:
    cells = ["x", "y", "x.1", "y.1", "x.2", "y.2", "x.3", "y.3", "x.4", "y.4"]
    path = write_table(tmp_path, ",".join(["image", *cells]), "a.jpg,1,2,3,4,5,6,7,8,9,10")
    (record,) = table.read(path, schema=SCHEMA)
    np.testing.assert_array_equal(record.points, RIGHT)
    header = ["frame", *(f" x_{i}" for i in range(5)), *(f" y_{i}" for i in range(5)),
              *(f" {axis}_{i}" for axis in "XYZ" for i in range(5)), "image"]
    line = ["1", *"13579", "2", "4", "6", "8", "10", *["777"] * 15, "a.jpg"]
    path = write_table(tmp_path, ",".join(header), ",".join(line))
    record, note = table.read(path, schema=SCHEMA)
    np.testing.assert_array_equal(record.points, RIGHT)
    assert_told(note.text, "X_0", "Y_2")


def test_names_in_another_language_in_the_schema_s_order(tmp_path: Path) -> None:
    cells = renamed("N_A", ("oeil_d", "oeil_g", "nez", "bouche_d", "bouche_g"))
    for header, order in (([*cells], "xy"), ([*[*cells][::2], *[*cells][1::2]], "xxyy")):
        lines = [",".join(["image", *header]), ",".join(["a.jpg", *(cells[c] for c in header)])]
        path = write_table(tmp_path, *lines)
        with refuses("'nez'", f"order={order}", path=path, line=1):
            list(table.read(path, schema=SCHEMA))
        (record,) = table.read(path, schema=SCHEMA, order=order)
        np.testing.assert_array_equal(record.points, RIGHT)


@pytest.mark.parametrize(
    ("header", "options", "facts"),
    [
        (HEADER, {"schema": "ibug68"}, ["ibug68", 68, 5, "jaw_5"]),
        ("image,a,b", {"schema": "ibug68"}, ["ibug68", 136, 2, "delimiter"]),
        (HEADER, {"schema": SCHEMA, "delimiter": ";"}, [SCHEMA, 10, 0, "delimiter"]),
        (HEADER, {"schema": SCHEMA, "image": "photo"}, ["column", "photo"]),
        (HEADER + ",box_x0", {"schema": SCHEMA}, ["box_x0", "box_y0", "box_x1", "box_y1"]),
        ("", {"schema": SCHEMA}, ["column"]),
        (line_of(), {"schema": SCHEMA}, ["a face", "header=no"]),
    ],
)
def test_the_header_is_checked(
    tmp_path: Path, header: str, options: dict[str, str], facts: list[object]
) -> None:
    path = write_table(tmp_path, *([header, line_of()] if header else []))
    with refuses(*facts, path=path, line=1):
        list(table.read(path, **options))


def _columns(cells: dict[str, str], folder: Path, quote: str = "") -> Path:
    """A table of a face, by its columns."""
    header = ",".join(f"{quote}{name}{quote}" for name in cells)
    return write_table(folder, f"image,{header}", ",".join(["a.jpg", *cells.values()]))


@pytest.mark.parametrize("pattern", [
    "pN_A", "N.A [px]", "pN.A (pixels)", "pN_A_px", "pA_N", "point AN", "posAN", "pN_posA",
    "pointNA", "pts[N].A", "('pN', 'A')", "(N, 'A')", "('anna', 'lm_N', 'A')", "lm_A_N",
])
@pytest.mark.parametrize("axes", [("x", "y"), ("X", "Y"), ("col", "row"), ("Column", "Row")])
@pytest.mark.parametrize("arrangement", ["as it is", "y first", "all y first"])
def test_columns_are_x_and_y_if_their_names_differ_in_that(
    tmp_path: Path, pattern: str, axes: tuple[str, str], arrangement: str
) -> None:
    """Whatever the order: `order=` is refused where it says another."""
    x, y = ([(pattern.replace("A", axis).replace("N", str(i)), BY_POINT[f"{a}{i}"])
             for i in range(5)] for a, axis in zip("xy", axes, strict=True))
    cells = {"as it is": [c for pair in zip(x, y, strict=True) for c in pair],
             "y first": [c for pair in zip(y, x, strict=True) for c in pair],
             "all y first": [*y, *x]}[arrangement]
    path = _columns(dict(cells), tmp_path, '"')
    (record,) = table.read(path, schema=SCHEMA)
    np.testing.assert_array_equal(record.points, RIGHT)
    for order in ("xy", "xxyy"):
        if order == "xy" and arrangement == "as it is":
            (record,) = table.read(path, schema=SCHEMA, order=order)
            np.testing.assert_array_equal(record.points, RIGHT)
        else:
            with refuses(f"order={order}", "leave it out", path=path, line=1):
                list(table.read(path, schema=SCHEMA, order=order))


@pytest.mark.parametrize("axes", [("x", "y"), ("c", "r"), ("u", "v")])
def test_one_letter_and_a_number(tmp_path: Path, axes: tuple[str, str]) -> None:
    cells = {f"{axes['xy'.index(axis)]}{i}": BY_POINT[f"{axis}{i}"]
             for i in range(5) for axis in "yx"}
    (record,) = table.read(_columns(cells, tmp_path), schema=SCHEMA)
    np.testing.assert_array_equal(record.points, RIGHT)


def test_names_that_are_x_and_y_and_nothing_else(tmp_path: Path) -> None:
    for header, line in (("y,x," * 5, "2,1,4,3,6,5,8,7,10,9"), ("x,y," * 5, "1,2,3,4,5,6,7,8,9,10"),
                         ("y," * 5 + "x," * 5, "2,4,6,8,10,1,3,5,7,9"),
                         ("y,x,y2,x2,y3,x3,y4,x4,y5,x5,", "2,1,4,3,6,5,8,7,10,9")):
        path = write_table(tmp_path, f"{header}image", f"{line},a.jpg")
        (record,) = table.read(path, schema=SCHEMA)
        np.testing.assert_array_equal(record.points, RIGHT)
    path = write_table(tmp_path, "image," + "y,x," * 5, "a.jpg,2,1,4,3,6,5,8,7,10,9,")
    with refuses("order=xy", path=path, line=1):
        list(table.read(path, schema=SCHEMA, order="xy"))


@pytest.mark.parametrize("names", [
    [f"c{i}" for i in range(136)], [f"x{i}" for i in range(136)], [f"X{i}" for i in range(2, 138)],
    [f"col 1 - {i}" for i in range(136)],
])
@pytest.mark.parametrize("order", ["xy", "xxyy"])
def test_numbers_that_count_the_coordinates_are_no_texts(
    tmp_path: Path, names: list[str], order: str
) -> None:
    points = some_points(68)
    values = points.ravel() if order == "xy" else points.T.ravel()
    cells = dict(zip(names, (f"{value:.3f}" for value in values), strict=True))
    path = _columns({name: cells[name] for name in sorted(cells)}, tmp_path)
    (record,) = table.read(path, schema="ibug68", order=order)
    np.testing.assert_allclose(record.points, points, atol=1e-3)
    with refuses("NAME_x", "order=xy", "order=xxyy", path=path, line=1):
        list(table.read(path, schema="ibug68"))


@pytest.mark.parametrize(("names", "agrees"), [
    ([f"{'xy'[i % 2]}{i}" for i in range(10)], "xy"),
    ([f"{'yx'[i % 2]}{i}" for i in range(10)], ""),
    ([f"{i}.{a}" for i in range(5) for a in range(2)], "xy"),
    ([f"pts[{i}][{a}]" for i in range(5) for a in range(2)], "xy"),
    ([f"({i}, {a})" for a in range(2) for i in range(5)], "xxyy"),
    ([f"{a}.{i}" for a in range(2) for i in range(5)], "xxyy"),
    ([f"{i}.{a}" for i in (0, 1, 10, 2, 3) for a in range(2)], ""),
    ([f"{i}.{a}" for i in range(5) for a in (1, 0)], ""),
    ([f"{i}" for i in range(5)] * 2, "xxyy"),
    (["a1", "a10", "a2", "b1", "b10", "b2", "c", "d", "e", "f"], ""),
])
def test_an_order_that_contradicts_names_or_numbers_is_refused_and_not_proposed(
    tmp_path: Path, names: list[str], agrees: str
) -> None:
    values = np.array(RIGHT).T if agrees == "xxyy" else np.array(RIGHT)
    path = write_table(tmp_path, ",".join(["image", *(f'"{name}"' for name in names)]),
                       ",".join(["a.jpg", *map(str, values.ravel())]))
    with pytest.raises(DataError) as caught:
        list(table.read(path, schema=SCHEMA))
    proposed = {order for order in ("xy", "xxyy") if f"say order={order}" in str(caught.value)}
    assert proposed == {agrees} - {""}
    for order in ("xy", "xxyy"):
        if order == agrees:
            (record,) = table.read(path, schema=SCHEMA, order=order)
            np.testing.assert_array_equal(record.points, RIGHT)
        else:
            with refuses(f"order={order}", path=path, line=1):
                list(table.read(path, schema=SCHEMA, order=order))


def test_foreign_names_with_y_first_are_not_read_as_x(tmp_path: Path) -> None:
    cells = renamed("N_A", ("oeil_d", "oeil_g", "nez", "bouche_d", "bouche_g"))
    path = _columns({name[:-1] + axis: "1" for name in [*cells][::2] for axis in "yx"}, tmp_path)
    for order in ("", "xy", "xxyy"):
        with refuses("'nez'", "p0", path=path, line=1):
            list(table.read(path, schema=SCHEMA, order=order))


@pytest.mark.parametrize("extra", [
    ["bbox_x", "bbox_y", "bbox_w", "bbox_h"], ["x_min", "y_min", "x_max", "y_max"],
    ["x", "y", "w", "h"], ["image_y"], ["gaze_x", "gaze_y"], ["q1_x", "q1_y", "q2_x", "q2_y"],
])
@pytest.mark.parametrize("pattern", ["pN_A", "A_lmN", "AN", "A_N"])
def test_columns_beside_numbered_points_are_left_out(
    tmp_path: Path, extra: list[str], pattern: str
) -> None:
    for first in (0, 1):
        cells = renamed(pattern, tuple(str(first + i) for i in range(5)))
        path = _columns(dict.fromkeys(extra, "7") | cells, tmp_path)
        for order in ("", "xy"):
            record, note = table.read(path, schema=SCHEMA, order=order)
            np.testing.assert_array_equal(record.points, RIGHT)
            assert_told(note.text, "left out", *extra)


def test_points_that_are_numbered_twice_are_refused(tmp_path: Path) -> None:
    path = _columns(renamed("pN_A") | renamed("qN_A"), tmp_path)
    with refuses("twice", "'p0'", "'q0'", path=path, line=1):
        list(table.read(path, schema=SCHEMA))
    path = _columns(renamed("pN_A", tuple(map(str, range(7)))[:5]) | {
        f"p{i}_{axis}": "1" for i in (5, 6) for axis in "xy"}, tmp_path)
    with refuses("0 to 6", "0 to 4", path=path, line=1):
        list(table.read(path, schema=SCHEMA))


@pytest.mark.parametrize(("header", "line", "facts"), [
    ("image,point,x,y", "a.jpg,0,1,2", ["a point in a line", "'point'", "DataFrame.pivot"]),
    ("image,landmarks", 'a.jpg,"[[1, 2], [3, 4]]"', ["a list of points in a cell", "json"]),
    ("image,p0,p1,p2,p3,p4", 'a.jpg,"(1, 2)","(3, 4)","(5, 6)","(7, 8)","(9, 10)"',
     ["a point in a cell", "'(1, 2)'", "NAME_x"]),
])
def test_tables_of_another_layout_are_named(
    tmp_path: Path, header: str, line: str, facts: list[str]
) -> None:
    path = write_table(tmp_path, header, line)
    for order in ("", "xy"):
        with refuses(*facts, path=path, line=1):
            list(table.read(path, schema=SCHEMA, order=order))


@pytest.mark.parametrize("second", ["x,y", "y,x"])
def test_a_header_of_two_lines_is_refused(tmp_path: Path, second: str) -> None:
    """As pandas writes columns of two levels."""
    path = write_table(tmp_path, "image,p0,p0,p1,p1,p2,p2,p3,p3,p4,p4",
                       "," + ",".join([second] * 5), "a.jpg,1,2,3,4,5,6,7,8,9,10")
    with refuses("header", "one line", "NAME_x", path=path, line=2):
        list(table.read(path, schema=SCHEMA, order="xy"))


@pytest.mark.parametrize(("names", "facts"), [
    (["image_width", "image_height"], []),
    (["Image_Width", "Image Height"], []),
    (["ImageWidth", "ImageHeight"], []),
    (["img_w", "img_h"], []),
    (["width", "height"], ["'width'", "size of the image"]),
    (["Width", "class", "Height"], ["'Width'", "size of the image"]),
    (["width", "height", "class", "xmin", "ymin", "xmax", "ymax"],
     ["'width'", "size of the image"]),
    (["left", "top", "right", "bottom", "width", "height"], ["'width'", "size of the image"]),
    (["image_width", "image_height", "x", "y", "width", "height"], []),
])
def test_stated_sizes_as_programs_name_them(
    tmp_path: Path, names: list[str], facts: list[str]
) -> None:
    sizes = {"width": "640", "height": "480", "image_width": "640", "image_height": "480"}
    cells = {name: sizes.get(name.lower(), "640" if "w" in name.lower() else "480")
             for name in names}
    for order, points in (("", BY_POINT), ("xy", BY_POINT)):
        record, *notes = table.read(_columns(cells | points, tmp_path), schema=SCHEMA, order=order)
        assert record.image_size == (640, 480)
        assert not facts or any(all(f in note.text for f in facts) for note in notes)


@pytest.mark.parametrize("names", [
    ["x", "y", "width", "height"], ["bbox_x", "bbox_y", "width", "height"],
    ["left", "top", "width", "height"], ["x_min", "y_min", "width", "height"],
    ["cx", "cy", "width", "height"], ["width"], ["w", "h"], ["image_width"],
])
def test_sizes_that_may_be_of_a_box_are_left_out(tmp_path: Path, names: list[str]) -> None:
    record, *notes = table.read(_columns(dict.fromkeys(names, "9") | BY_POINT, tmp_path),
                                schema=SCHEMA)
    assert record.image_size is None
    assert_told(notes[-1].text, "left out", *names)
    assert len(notes) == 1 or "image_width" in notes[0].text


def test_columns_of_their_own_in_any_case(tmp_path: Path) -> None:
    cells = {"Identity": "Ann", "Box_X0": "1", "Box_Y0": "2", "Box_X1": "30", "Box_Y1": "40"}
    (record,) = table.read(_columns(cells | BY_POINT, tmp_path), schema=SCHEMA)
    assert record.identity == "Ann"
    np.testing.assert_array_equal(record.box, [1, 2, 30, 40])
