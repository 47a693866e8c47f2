from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from efld_tf.annotations import table
from efld_tf.annotations.record import FaceRecord
from efld_tf.landmarks import schemas
from tests.annotations.tables import (
    HEADER,
    LINES,
    SCHEMA,
    write_table,
)
from tests.errors import assert_refusal, refuses


def test_decimal_commas_are_read_or_named(tmp_path: Path) -> None:
    path = write_table(tmp_path, HEADER, "a.jpg," + ",".join(f"{i},5" for i in range(10)))
    (error,) = table.read(path, schema=SCHEMA)
    assert_refusal(error, 11, 21, "decimal commas", path=path, line=2)
    path = write_table(tmp_path, LINES[0], "a.jpg;" + ";".join(["1,5"] * 9 + ["2.5"]))
    with refuses("'2.5'", "'1,5'", "comma", path=path, line=2):
        list(table.read(path, schema=SCHEMA))
    path = write_table(tmp_path, "sep=;", *LINES)
    with refuses("sep=;", "delimiter=,", path=path, line=1):
        list(table.read(path, schema=SCHEMA, delimiter=","))


@pytest.mark.parametrize("mark", [",", "."])
def test_thousands_separators_are_refused(tmp_path: Path, mark: str) -> None:
    """As Excel shows 1030 in the US and in Germany; `skip` must not leave other lines."""
    cells = ["970", f"1{mark}030", f"1{mark}292", *["12"] * 7]
    path = write_table(tmp_path, LINES[0], "a.jpg;" + ";".join(["5"] * 10),
                       "a.jpg;" + ";".join(cells))
    with refuses(f"'1{mark}030'", "thousands", path=path, line=3):
        list(table.read(path, schema=SCHEMA))
    # All of them with three decimals are what this project writes itself.
    path = write_table(tmp_path, LINES[0], "a.jpg;" + ";".join([f"101{mark}030"] * 10))
    (record,) = table.read(path, schema=SCHEMA)
    np.testing.assert_allclose(record.points, 101.03)
    # No face is within 10 pixels.
    path = write_table(tmp_path, LINES[0], "a.jpg;" + ";".join([f"3{mark}099", f"2{mark}149"] * 5))
    with refuses(f"'3{mark}099'", "thousands", path=path, line=2):
        list(table.read(path, schema=SCHEMA))


@pytest.mark.parametrize("mark", [",", "."])
@pytest.mark.parametrize(("usual", "cells", "bad"), [
    ("970", ["970", "1M030", *["12"] * 8], True),
    ("970", ["1M030", "1M040"] * 5, True),
    ("970", ["nan", "nan", *["1M030"] * 8], True),
    ("11M030", ["970", "11M040", *["11M030"] * 8], True),
    ("11M030", ["970"] * 10, True),
    ("970", ["970", "12M5", *["12"] * 8], False),
    ("970M5", ["970", "1M030", *["12"] * 8], False),
    ("101M030", ["101M03", "1M030", *["12"] * 8], False),
])
def test_thousands_separators_after_the_first_rows(
    tmp_path: Path, mark: str, usual: str, cells: list[str], bad: bool
) -> None:
    """Where the rows that tell the decimal mark have none, or only such as may be of thousands."""
    usual = usual.replace("M", mark)
    text = ";".join(cells).replace("M", mark)
    path = write_table(tmp_path, LINES[0], *["a.jpg;" + ";".join([usual] * 10)] * table.MARK_ROWS,
                       f"a.jpg;{text}", "a.jpg;" + ";".join([usual] * 10))
    *first, late, last = table.read(path, schema=SCHEMA)
    assert len(first) == table.MARK_ROWS and isinstance(last, FaceRecord)
    if bad:
        assert_refusal(late, "thousands", path=path, line=table.MARK_ROWS + 2)
    else:
        right = [float(cell.replace(",", ".")) for cell in text.split(";")]
        np.testing.assert_allclose(late.points.ravel(), right, rtol=1e-6)


@pytest.mark.parametrize("cell", ["", "nan", "NaN", "-nan", "NA", "<NA>", "None", "#N/A"])
def test_points_that_are_not_annotated(tmp_path: Path, cell: str) -> None:
    path = write_table(tmp_path, HEADER, f"a.jpg,1,2,{cell},{cell},5,6,7,8,9,10",
                       f"a.jpg,1,2,3,{cell},5,6,7,8,9,10", f"a.jpg,1,2,4,5,6,7,8,9,10,{cell}")
    record, half, shifted = table.read(path, schema=SCHEMA)
    assert np.isnan(record.points[1]).all()
    np.testing.assert_array_equal(record.points[[0, 2]], [[1, 2], [5, 6]])
    assert_refusal(half, schemas.get(SCHEMA).names[1], "alone", path=path, line=3)
    assert_refusal(shifted, schemas.get(SCHEMA).names[4], "alone", path=path, line=4)


@given(
    points=st.lists(
        st.tuples(*[st.floats(-1e6, 1e6, width=32)] * 2), min_size=5, max_size=5
    )
)
def test_any_points_round_trip(tmp_path: Path, points: list[tuple[float, float]]) -> None:
    text = ",".join(repr(value) for point in points for value in point)
    (record,) = table.read(write_table(tmp_path, HEADER, f"a.jpg,{text}"), schema=SCHEMA)
    np.testing.assert_array_equal(record.points, np.array(points, np.float32))
