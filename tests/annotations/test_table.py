from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from efld_tf.annotations import table
from efld_tf.annotations.record import FaceRecord
from efld_tf.landmarks import schemas
from tests.annotations.tables import (
    HEADER,
    NAMES,
    POINTS,
    SCHEMA,
    line_of,
    write_table,
)
from tests.annotations.writers import numbers, write_image
from tests.errors import assert_refusal, assert_told, refuses


def test_round_trip(tmp_path: Path) -> None:
    path = write_table(tmp_path, HEADER, line_of(), "", line_of(POINTS + 1))
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


def test_columns_of_predictions(tmp_path: Path) -> None:
    extra = ["frame", "upright", "seconds", "face", "track", "score", "confidence"]
    header = ",".join(["image", *extra, *NAMES])
    cells = numbers(POINTS, ",")
    path = write_table(tmp_path, header, f"a.jpg,,1,,0,,0.9,0.75,{cells}",
                  f"clip.mp4,12,,0.48,1,3,0.9,0.75,{cells}", f"a.jpg,7,,,0,,0.9,0.75,{cells}")
    (tmp_path / "clip.mp4").touch()
    photo, frame, numbered = table.read(path, schema=SCHEMA)
    assert (photo.frame, photo.upright) == (None, True)
    assert photo.attributes == {"face": "0", "score": "0.9", "confidence": "0.75"}
    assert (frame.frame, frame.upright, frame.identity) == (12, None, "clip.mp4")
    assert (numbered.frame, numbered.attributes["frame"]) == (None, "7")  # of a film's photos
    assert frame.attributes["track"] == "3" and frame.attributes["seconds"] == "0.48"
    np.testing.assert_allclose(frame.points, POINTS, atol=1e-4)
    path = write_table(tmp_path, header, f"a.jpg,-1,,,0,,1,1,{cells}",
                       f"a.jpg,,yes,,0,,1,1,{cells}")
    first, second = table.read(path, schema=SCHEMA)
    assert_refusal(first, "frame", "whole", -1, path=path, line=2)
    assert_refusal(second, "upright", "yes", 0, 1, path=path, line=3)


def test_without_a_header(tmp_path: Path) -> None:
    path = write_table(tmp_path, line_of())
    record, note = table.read(path, schema=SCHEMA, header="no")
    np.testing.assert_allclose(record.points, POINTS, atol=1e-4)
    assert_told(note.text, "x0, y0", "order=xxyy")
    path = write_table(tmp_path, f"{numbers(POINTS, ',')},a.jpg")
    (record,) = table.read(path, schema=SCHEMA, header="no", image="10", order="xy")
    np.testing.assert_allclose(record.points, POINTS, atol=1e-4)


def test_orders_and_origins(tmp_path: Path) -> None:
    path = write_table(tmp_path, "a.jpg,1,2,3,4,5,6,7,8,9,10")
    (record,) = table.read(path, schema=SCHEMA, header="no", order="xxyy", origin="1")
    np.testing.assert_array_equal(record.points, [[0, 5], [1, 6], [2, 7], [3, 8], [4, 9]])
    (record,) = table.read(path, schema=SCHEMA, header="no", origin="0.5", order="xy")
    np.testing.assert_array_equal(
        record.points, np.array([[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]) - 0.5)


def test_stated_sizes_and_delimiters_at_the_end(tmp_path: Path) -> None:
    path = write_table(tmp_path, HEADER + ",image_width,image_height", line_of() + ",640,480,",
                  line_of() + ",,")
    first, second = table.read(path, schema=SCHEMA)
    assert (first.image_size, second.image_size) == ((640, 480), None)


def test_the_box_counts_as_the_points_do(tmp_path: Path) -> None:
    header = HEADER + ",box_x0,box_y0,box_x1,box_y1"
    path = write_table(tmp_path, header, line_of() + ",1,2,30,40")
    (record,) = table.read(path, schema=SCHEMA, origin="1")
    np.testing.assert_array_equal(record.box, [0, 1, 29, 39])


@pytest.mark.parametrize(
    ("line", "facts"),
    [
        ("a.jpg,1,2", ["cells", 11, 3]),
        (line_of() + ",1", ["cells", 11, 12]),
        ("a.jpg,x,2,3,4,5,6,7,8,9,10", ["number", "x"]),
        ("a.jpg,inf,2,3,4,5,6,7,8,9,10", ["coordinate", "inf"]),
        ("a.jpg" + "," * 10, ["annotated"]),
        (line_of(name="b.jpg"), ["b.jpg", "exist"]),
        (line_of(name="../a.jpg"), ["inside", "../a.jpg"]),
        (line_of(name="/etc/passwd"), ["inside", "/etc/passwd"]),
    ],
)
def test_a_bad_line_is_one_error(tmp_path: Path, line: str, facts: list[object]) -> None:
    write_image(tmp_path / "a.jpg")
    path = write_table(tmp_path / "data", HEADER, line_of(), line, line_of())
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
        list(table.read(write_table(tmp_path, HEADER, line_of()), **options))


def test_tables_put_together(tmp_path: Path) -> None:
    """The same header again is one bad line; what follows another would be of its columns."""
    again = write_table(tmp_path, HEADER, line_of(), HEADER, line_of(POINTS + 1))
    first, error, second = table.read(again, schema=SCHEMA)
    assert_refusal(error, path=again, line=3)
    np.testing.assert_allclose([first.points, second.points], [POINTS, POINTS + 1], atol=1e-4)
    name, *columns = HEADER.split(",")
    turned = ",".join([name, *reversed(columns)])
    path = write_table(tmp_path, HEADER, line_of(), turned, line_of())
    with refuses("header", columns[0], columns[-1], path=path, line=3):
        list(table.read(path, schema=SCHEMA))


def test_other_cells_as_pandas_writes_them(tmp_path: Path) -> None:
    """Whole numbers and truths are others where a column has missing values."""
    header = f"image,frame,upright,identity,score,image_width,image_height,box_x0,box_y0,box_x1," \
             f"box_y1,{','.join(NAMES)}"
    cells = numbers(POINTS, ",")
    path = write_table(tmp_path, header, f"a.jpg,7.0,True,Ann,0.5,640.0,480.0,1,2,30,40,{cells}",
                       f"clip.mp4,8.0,False,<NA>,nan,nan,nan,,,,,{cells}",
                       f"a.jpg,NA,1.0,NA,NA,NA,NA,NA,NA,NA,NA,{cells}",
                       f"a.jpg,7.5,,,,,,,,,,{cells}")
    (tmp_path / "clip.mp4").touch()
    photo, frame, missing, error = table.read(path, schema=SCHEMA)
    assert (photo.identity, photo.upright, photo.image_size) == ("Ann", True, (640, 480))
    assert photo.attributes == {"frame": "7", "score": "0.5"}
    np.testing.assert_array_equal(photo.box, [1, 2, 30, 40])
    assert (frame.identity, frame.upright, frame.frame) == ("clip.mp4", False, 8)
    assert (missing.identity, missing.upright, missing.frame) == ("a.jpg", True, None)
    for record in (frame, missing):
        assert record.box is None and record.image_size is None and not record.attributes
    assert_refusal(error, "frame", "7.5", path=path, line=5)


def test_names_without_a_suffix(tmp_path: Path) -> None:
    path = write_table(tmp_path, HEADER, line_of(name="sub/b"), line_of(name="c"))
    for name in ("sub/b.png", "c.jpg", "c.png"):
        write_image(tmp_path / name)
    record, error = table.read(path, schema=SCHEMA)
    assert (record.image, record.identity) == (tmp_path / "sub/b.png", "sub/b.png")
    assert_refusal(error, "c.jpg", "c.png", path=path, line=3)


@pytest.mark.parametrize("name", ["Unnamed: 0", "", "frame", "id"])
def test_numbers_of_lines_are_no_names_of_photos(tmp_path: Path, name: str) -> None:
    write_image(tmp_path / "7.jpg")
    path = write_table(tmp_path, HEADER.replace("image", name), line_of(name="7"))
    with refuses("image", path=path, line=1):
        list(table.read(path, schema=SCHEMA))
    if name:
        (record,) = table.read(path, schema=SCHEMA, image=name)
        assert record.image == tmp_path / "7.jpg"
