"""Boxes from a file, and what is no such file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from efld_tf.runtime.boxes import read_boxes
from tests.errors import refuses


def test_both_forms(tmp_path: Path) -> None:
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps({"a.jpg": [[1, 2, 4, 8.5]], "b/c.png": []}))
    found = read_boxes(path)
    assert np.array_equal(found["a.jpg"], [[1, 2, 4, 8.5]]) and found["b/c.png"].shape == (0, 4)
    assert np.array_equal(read_boxes(path, "xywh")["a.jpg"], [[1, 2, 5, 10.5]])


def test_real_scenes(shared_data: Path) -> None:
    found = read_boxes(shared_data / "wider_scenes" / "boxes_xywh.json", "xywh")
    assert len(found) == 60 and sum(map(len, found.values())) == 416


@pytest.mark.parametrize(("text", "line", "facts"), [
    ("[]", None, ["object"]),
    ('{"a.jpg": 3}', None, ["a.jpg", "list"]),
    ('{"a.jpg": [[1, 2, 3]]}', None, ["a.jpg", "box 0", 4, 3]),
    ('{"a.jpg": [[1, 2, 3, "x"]]}', None, ["a.jpg", "box 0", "str"]),
    ('{"a.jpg": [[1, 2, 3, NaN]]}', None, ["a.jpg", "box 0", "NaN"]),
    ('{"a.jpg": [[0, 0, 1, 1], [5, 5, 4, 9]]}', None, ["a.jpg", "box 1", "area"]),
    ("{", 1, ["JSON"]),
    ('{"a.jpg": [], "b.jpg": [], "a.jpg": [[1, 2, 3, 4]]}', None, ["a.jpg", "twice"]),
])
def test_mistakes_are_named(
    tmp_path: Path, text: str, line: int | None, facts: list[object]
) -> None:
    path = tmp_path / "boxes.json"
    path.write_text(text)
    with refuses(*facts, path=path, line=line):
        read_boxes(path)


def test_an_unknown_form(tmp_path: Path) -> None:
    with refuses("boxes", "cxcywh", "xyxy", "xywh"):
        read_boxes(tmp_path / "boxes.json", "cxcywh")
