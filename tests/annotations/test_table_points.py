from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from efld_tf.annotations import table
from efld_tf.errors import DataError
from tests.annotations.tables import (
    BY_POINT,
    NAMES,
    POINT_NAMES,
    POINTS,
    RIGHT,
    SCHEMA,
    line_of,
    renamed,
    table_of,
    write_table,
)
from tests.annotations.writers import some_points
from tests.errors import assert_told, refuses


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
    path = table_of(dict(cells), tmp_path, '"')
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
    (record,) = table.read(table_of(cells, tmp_path), schema=SCHEMA)
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
    path = table_of({name: cells[name] for name in sorted(cells)}, tmp_path)
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
    ([f"{word}{i}" for i in range(5) for word in ("lon", "lat")], "xy"),
    ([f"{word}{i}" for word in ("lon", "lat") for i in range(5)], "xxyy"),
    (["lon0", "lat1", "lon1", "lat0", *"abcdef"], ""),
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
    path = table_of({name[:-1] + axis: "1" for name in [*cells][::2] for axis in "yx"}, tmp_path)
    for order in ("", "xy", "xxyy"):
        with refuses("'nez'", "p0", path=path, line=1):
            list(table.read(path, schema=SCHEMA, order=order))


@pytest.mark.parametrize("extra", [
    ["bbox_x", "bbox_y", "bbox_w", "bbox_h"], ["x_min", "y_min", "x_max", "y_max"],
    ["x", "y", "w", "h"], ["image_y"], ["gaze_x", "gaze_y"],
    [f"p{i}_{axis}_norm" for i in range(6) for axis in "xy"], ["q1_x", "q1_y", "q2_x", "q2_y"],
])
@pytest.mark.parametrize("pattern", ["pN_A", "A_lmN", "AN", "A_N"])
def test_columns_beside_numbered_points_are_left_out(
    tmp_path: Path, extra: list[str], pattern: str
) -> None:
    for first in (0, 1):
        cells = renamed(pattern, tuple(str(first + i) for i in range(5)))
        path = table_of(dict.fromkeys(extra, "7") | cells, tmp_path)
        for order in ("", "xy"):
            record, note = table.read(path, schema=SCHEMA, order=order)
            np.testing.assert_array_equal(record.points, RIGHT)
            assert_told(note.text, "left out", *extra[:4])


def test_any_names_of_a_schema(tmp_path: Path) -> None:
    """Names of columns as this project writes them."""
    names = ["nose", "x", "y", "cupid's bow", "l,r", "eye (left)", "xy", "y.x", "lip_px", "1st x"]
    own = tmp_path / "awkward_names.yaml"
    own.write_text(f"name: awkward_names\ntitle: Own\nnames: {names!r}\n"
                   "parts: {all: {points: '0-9'}}\nflip: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]\n"
                   "normalisers: {width: {right: 0, left: 1}}\n")
    header = ",".join(f'"{name}_{axis}"' for name in names for axis in "yx")
    path = write_table(tmp_path, f"image,{header}", "a.jpg," + ",".join(map(str, range(20))))
    (record,) = table.read(path, schema=str(own))
    np.testing.assert_array_equal(record.points, np.arange(20).reshape(10, 2)[:, ::-1])


def test_long_names_cost_nothing(tmp_path: Path) -> None:
    path = write_table(tmp_path, "image," + "x" * 60_000, "a.jpg,1")
    with refuses(10, 1, path=path, line=1):
        list(table.read(path, schema=SCHEMA))


PATTERNS = ["pN_A", "N.A [px]", "A_N", "AN", "NA", "pAN", "lmN_A", "('pN', 'A')", "posA_N", "AposN",
            "pN_A_px", "N_A_coord", "xy_A_N", "y.N.A"]
AXES = [("x", "y"), ("X", "Y"), ("x", "Y"), ("col", "row"), ("Column", "Row"), ("c", "r"),
        ("u", "v")]
OTHERS = [[], ["bbox_x", "bbox_y", "bbox_w"], ["x", "y", "w", "h"], ["image_y"],
          ["x_min", "y_min", "x_max", "y_max"], ["width", "height"], ["row", "col"], ["cx", "cy"],
          ["x1", "y1", "x2", "y2"], ["c", "r"], ["frame_x", "track_y"], ["gaze_x", "gaze_y"]]


@given(pattern=st.sampled_from(PATTERNS), axes=st.sampled_from(AXES), first=st.integers(0, 1),
       others=st.sampled_from(OTHERS), columns=st.permutations([*NAMES]),
       arrangement=st.sampled_from(["random", "x y", "y x", "x, then y", "y, then x"]),
       order=st.sampled_from(["", "xy", "xxyy"]))
def test_any_header_is_read_rightly_or_refused(
    tmp_path: Path, pattern: str, axes: tuple[str, str], first: int, others: list[str],
    columns: list[str], arrangement: str, order: str,
) -> None:  # fmt: skip
    x, y = NAMES[::2], NAMES[1::2]
    arranged = {"x y": NAMES, "y x": [c for pair in zip(y, x, strict=True) for c in pair],
                "x, then y": [*x, *y], "y, then x": [*y, *x]}.get(arrangement, columns)
    names = {c: pattern.replace("A", "@").replace("N", str(int(c[1]) + first)).replace(
        "@", axes["xy".index(c[0])]) for c in arranged}
    path = table_of(dict.fromkeys(others, "7"), tmp_path)
    header = ",".join(["image", *others, *(f'"{names[c]}"' for c in arranged)])
    cells = ",".join(["a.jpg", *["7"] * len(others), *(BY_POINT[c] for c in arranged)])
    path.write_text(f"{header}\n{cells}\n")
    try:
        record, *_ = table.read(path, schema=SCHEMA, order=order)
    except DataError as error:
        # It says another order, or `x1` may be of a point that is named twice.
        assert (order and f"order={order}" in error.reason) or "x1" in others, error
    else:
        np.testing.assert_array_equal(record.points, RIGHT)


def test_points_that_are_numbered_twice_are_refused(tmp_path: Path) -> None:
    path = table_of(renamed("pN_A") | renamed("qN_A"), tmp_path)
    with refuses("twice", "'p0'", "'q0'", path=path, line=1):
        list(table.read(path, schema=SCHEMA))
    path = table_of(renamed("pN_A", tuple(map(str, range(7)))[:5]) | {
        f"p{i}_{axis}": "1" for i in (5, 6) for axis in "xy"}, tmp_path)
    with refuses("0 to 6", "0 to 4", path=path, line=1):
        list(table.read(path, schema=SCHEMA))
