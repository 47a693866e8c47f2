from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from efld_tf.annotations import table
from efld_tf.annotations.record import FaceRecord
from tests.annotations.tables import (
    HEADER,
    LINES,
    NAMES,
    POINTS,
    RIGHT,
    SCHEMA,
    line_of,
    write_table,
)
from tests.annotations.writers import write_image
from tests.errors import assert_refusal, assert_told, refuses


@pytest.mark.parametrize(
    ("separator", "delimiter"), [(";", ";"), ("\t", "tab"), (" ", "space"), ("  \t ", "space")]
)
def test_delimiters(tmp_path: Path, separator: str, delimiter: str) -> None:
    path = write_table(tmp_path, HEADER.replace(",", separator), line_of(separator=separator))
    (record,) = table.read(path, schema=SCHEMA, delimiter=delimiter)
    np.testing.assert_allclose(record.points, POINTS, atol=1e-4)


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
    path = write_table(tmp_path, "")
    path.write_bytes(content)
    (record,) = table.read(path, schema=SCHEMA)
    np.testing.assert_array_equal(record.points, RIGHT)


def test_a_text_in_another_encoding_is_named(tmp_path: Path) -> None:
    path = write_table(tmp_path, "")
    path.write_bytes("\n".join([HEADER, line_of(name="bär.jpg"), line_of()]).encode("cp1252"))
    error, record = table.read(path, schema=SCHEMA)
    assert_refusal(error, "UTF-8", path=path, line=2)
    assert record.identity == "a.jpg"


@pytest.mark.parametrize("name", ["two\nlines.jpg", 'a "quoted".jpg', "a, b.jpg", "cr\rlf.jpg"])
def test_names_with_line_breaks_and_quotes(tmp_path: Path, name: str) -> None:
    """As `csv.writer` and spreadsheets write them; the next line is read as well."""
    image = write_image(tmp_path / name)
    quoted = name.replace('"', '""')
    path = write_table(tmp_path, HEADER, line_of(name=f'"{quoted}"'), "a.jpg,x", line_of())
    first, error, last = table.read(path, schema=SCHEMA)
    assert first.image == image and last.image == tmp_path / "a.jpg"
    assert_refusal(error, 11, 2, path=path, line=4 if len(name.splitlines()) > 1 else 3)


NOT_CLOSED = "a quote in it is not closed"


@pytest.mark.parametrize("bad", [
    '"a.jpg,1,2', '"a.jpg,1,2,3,4,5,6,7,8,9,10,', 'a.jpg,"1,2,3,4,5,6,7,8,9,10,', 'a.jpg,1,"',
    'a.jpg,1,2,3,4,5,6,7,8,9,10,"', 'a.jpg,1,2,3,4,5,6,7,8,9,10,"blurred',
])
@pytest.mark.parametrize("times", [[2], [2, 3], [2, 4, 9], [11]])
def test_a_quote_that_is_not_closed_loses_no_other_line(
    tmp_path: Path, bad: str, times: list[int]
) -> None:
    good = [line_of(POINTS + i) + ',"a ""good"" one, here"' for i in range(12)]
    lines = [bad if i in times else line for i, line in enumerate(good)]
    path = write_table(tmp_path, HEADER + ",comment", *lines)
    *items, note = table.read(path, schema=SCHEMA)
    assert_told(note.text, "comment")
    assert len(items) == 12
    for i, item in enumerate(items):
        if i in times:
            assert_refusal(item, NOT_CLOSED, path=path, line=i + 2)
        else:
            np.testing.assert_allclose(item.points, POINTS + i, atol=1e-3)


@given(places=st.lists(st.tuples(st.integers(0, 11), st.integers(0, 100)), max_size=5))
def test_quotes_anywhere_lose_no_other_line(
    tmp_path: Path, places: list[tuple[int, int]]
) -> None:
    lines = [line_of(POINTS + i) for i in range(12)]
    for i, place in places:
        lines[i] = f'{lines[i][:place]}"{lines[i][place:]}'
    path = write_table(tmp_path, HEADER, *lines)
    records = [item for item in table.read(path, schema=SCHEMA) if isinstance(item, FaceRecord)]
    read = {i for i in range(12) for record in records
            if np.allclose(record.points, POINTS + i, atol=1e-3)}
    assert read >= {*range(12)} - {i for i, _ in places} and len(records) == len(read)


def test_a_quote_that_the_next_one_closes(tmp_path: Path) -> None:
    """The line between is no part of a name; the last has a quote in its name."""
    path = write_table(tmp_path, HEADER, '"' + line_of(), line_of(), line_of(name='a.jpg"'),
                       line_of())
    first, second, third, last = table.read(path, schema=SCHEMA)
    assert_refusal(first, NOT_CLOSED, path=path, line=2)
    assert_refusal(third, "exist", path=path, line=4)
    assert isinstance(second, FaceRecord) and isinstance(last, FaceRecord)


def test_a_quote_that_is_not_closed_in_a_long_table(tmp_path: Path) -> None:
    path = write_table(tmp_path, HEADER, '"' + line_of(), *[line_of()] * 3000)
    error, *records = table.read(path, schema=SCHEMA)
    assert_refusal(error, NOT_CLOSED, path=path, line=2)
    assert len(records) == 3000 and all(isinstance(record, FaceRecord) for record in records)
    path = write_table(tmp_path, '"' + HEADER, line_of())
    with refuses(NOT_CLOSED, path=path, line=1):
        list(table.read(path, schema=SCHEMA))


@given(names=st.lists(st.text(st.sampled_from('ab," \n\r;'), min_size=1), min_size=1, max_size=5))
def test_any_name_as_python_writes_it(tmp_path: Path, names: list[str]) -> None:
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(["image", *NAMES, "note"])
    writer.writerows([["a.jpg", *range(10), name] for name in names])
    path = write_table(tmp_path, "")
    path.write_text(file.getvalue(), newline="")
    *records, _ = table.read(path, schema=SCHEMA)
    assert len(records) == len(names) and all(isinstance(r, FaceRecord) for r in records)


def test_comments_before_the_header(tmp_path: Path) -> None:
    comments = ["# exported 2024-01-01, by anna", "#", "# 5 points; in pixels"]
    for first in ([], ["sep=,"]):
        path = write_table(tmp_path, *first, *comments, HEADER, line_of(), "a.jpg,x")
        record, error = table.read(path, schema=SCHEMA)
        assert isinstance(record, FaceRecord)
        assert_refusal(error, 11, 2, path=path, line=6 + len(first))
    path = write_table(tmp_path, *comments, "image,a,b", "a.jpg,1,2")
    with refuses(10, 2, path=path, line=4):
        list(table.read(path, schema=SCHEMA))
    # As numpy's savetxt writes a header.
    path = write_table(tmp_path, *comments, f"# {HEADER}", line_of())
    (record,) = table.read(path, schema=SCHEMA)
    np.testing.assert_allclose(record.points, POINTS, atol=1e-4)
    # Without a header, it may be a name.
    path = write_table(tmp_path, line_of(name="#1.jpg"), line_of())
    error, record, _ = table.read(path, schema=SCHEMA, header="no")
    assert_refusal(error, "#1.jpg", path=path, line=1)


def test_names_of_rows_as_r_writes_them(tmp_path: Path) -> None:
    path = write_table(tmp_path, HEADER, f'"1",{line_of()}')
    (error,) = table.read(path, schema=SCHEMA)
    assert_refusal(error, 11, 12, "row.names=FALSE", path=path, line=2)


def test_quoted_names(tmp_path: Path) -> None:
    image = write_image(tmp_path / "b, c.jpg")
    (record,) = table.read(write_table(tmp_path, HEADER, line_of(name='"b, c.jpg"')), schema=SCHEMA)
    assert record.image == image
