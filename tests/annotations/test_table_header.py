from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from efld_tf.annotations import table
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
    table_of,
    write_table,
)
from tests.annotations.writers import numbers
from tests.errors import assert_told, refuses


def test_columns_by_their_names(tmp_path: Path) -> None:
    header = ",".join([*NAMES, "identity", "box_y1", "box_x1", "box_y0", "box_x0", "file"])
    cells = f"{numbers(POINTS, ',')},Ann,44,33,22,11,a.jpg"
    (record,) = table.read(write_table(tmp_path, header, cells), schema=SCHEMA, image="file")
    assert record.identity == "Ann"
    np.testing.assert_array_equal(record.box, [11, 22, 33, 44])
    np.testing.assert_allclose(record.points, POINTS, atol=1e-4)


@pytest.mark.parametrize("header", ["image,path", "path,image", "image_id,file_name"])
def test_of_an_id_and_a_path_the_path_names_the_image(tmp_path: Path, header: str) -> None:
    both = "a.jpg,17" if header == "path,image" else "17,a.jpg"
    path = write_table(tmp_path, f"{header},{','.join(NAMES)}", f"{both},{numbers(POINTS, ',')}")
    record, note = table.read(path, schema=SCHEMA)
    assert record.image == tmp_path / "a.jpg"
    assert_told(note.text, "left out", "'image_id'" if "image_id" in header else "'image'")


def test_other_columns_are_left_out_and_named(tmp_path: Path) -> None:
    cells = renamed("N_A", POINT_NAMES) | {"pupil_x": "50", "pupil_y": "60"}
    header = ["Unnamed: 0", "age", "file_name", *cells, "comment"]
    line = ["7", "33", "a.jpg", *cells.values(), "blurred"]
    path = write_table(tmp_path, ",".join(header), ",".join(line))
    record, note = table.read(path, schema=SCHEMA)
    np.testing.assert_array_equal(record.points, RIGHT)
    assert_told(note.text, "Unnamed: 0", "age", "pupil_x", "comment")


@pytest.mark.parametrize(
    ("header", "options", "facts"),
    [
        (HEADER, {"schema": "ibug68"}, ["ibug68", 68, 5, "jaw_5"]),
        ("image,a,b", {"schema": "ibug68"}, ["ibug68", 136, 2, "delimiter"]),
        (HEADER, {"schema": SCHEMA, "delimiter": ";"}, [SCHEMA, 10, 0, "delimiter"]),
        (HEADER, {"schema": SCHEMA, "image": "photo"}, ["column", "photo"]),
        (HEADER + ",box_x0", {"schema": SCHEMA}, ["box_x0", "box_y0", "box_x1", "box_y1"]),
        ("", {"schema": SCHEMA}, ["empty", "header", "column"]),
        ("", {"schema": SCHEMA, "header": "no", "order": "xy"}, ["empty", "face"]),
        (line_of(), {"schema": SCHEMA}, ["a face", "header=no"]),
    ],
)
def test_the_header_is_checked(
    tmp_path: Path, header: str, options: dict[str, str], facts: list[object]
) -> None:
    path = write_table(tmp_path, *([header, line_of()] if header else []))
    with refuses(*facts, path=path, line=1):
        list(table.read(path, **options))


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
    with refuses("header", "one line", path=path, line=2):
        list(table.read(path, schema=SCHEMA))


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
        record, *notes = table.read(table_of(cells | points, tmp_path), schema=SCHEMA, order=order)
        assert record.image_size == (640, 480)
        assert not facts or any(all(f in note.text for f in facts) for note in notes)


@pytest.mark.parametrize("names", [
    ["x", "y", "width", "height"], ["bbox_x", "bbox_y", "width", "height"],
    ["left", "top", "width", "height"], ["x_min", "y_min", "width", "height"],
    ["cx", "cy", "width", "height"], ["width"], ["w", "h"], ["image_width"],
])
def test_sizes_that_may_be_of_a_box_are_left_out(tmp_path: Path, names: list[str]) -> None:
    record, *notes = table.read(table_of(dict.fromkeys(names, "9") | BY_POINT, tmp_path),
                                schema=SCHEMA)
    assert record.image_size is None
    assert_told(notes[-1].text, "left out", *names)
    assert len(notes) == 1 or "image_width" in notes[0].text


def test_columns_of_their_own_in_any_case(tmp_path: Path) -> None:
    cells = {"Identity": "Ann", "Box_X0": "1", "Box_Y0": "2", "Box_X1": "30", "Box_Y1": "40"}
    (record,) = table.read(table_of(cells | BY_POINT, tmp_path), schema=SCHEMA)
    assert record.identity == "Ann"
    np.testing.assert_array_equal(record.box, [1, 2, 30, 40])
