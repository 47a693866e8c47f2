"""Boxes from a file, and what is no such file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from efld_tf.errors import DataError, EfldError
from efld_tf.runtime.boxes import read_boxes


def test_both_forms(tmp_path: Path) -> None:
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps({"a.jpg": [[1, 2, 4, 8.5]], "b/c.png": []}))
    found = read_boxes(path)
    assert np.array_equal(found["a.jpg"], [[1, 2, 4, 8.5]]) and found["b/c.png"].shape == (0, 4)
    assert np.array_equal(read_boxes(path, "xywh")["a.jpg"], [[1, 2, 5, 10.5]])


def test_real_scenes(shared_data: Path) -> None:
    found = read_boxes(shared_data / "wider_scenes" / "boxes_xywh.json", "xywh")
    assert len(found) == 60 and sum(map(len, found.values())) == 416


@pytest.mark.parametrize(("text", "message"), [
    ("[]", "expected an object"),
    ('{"a.jpg": 3}', "'a.jpg': expected a list of boxes"),
    ('{"a.jpg": [[1, 2, 3]]}', "'a.jpg', box 0: expected 4 numbers, got 3"),
    ('{"a.jpg": [[1, 2, 3, "x"]]}', "'a.jpg', box 0: expected numbers, got a str"),
    ('{"a.jpg": [[1, 2, 3, NaN]]}', "NaN"),
    ('{"a.jpg": [[0, 0, 1, 1], [5, 5, 4, 9]]}', "'a.jpg', box 1: it has no area"),
    ("{", "not valid JSON"),
    ('{"a.jpg": [], "b.jpg": [], "a.jpg": []}', "'a.jpg' stands twice"),
])
def test_mistakes_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "boxes.json"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_boxes(path)


def test_an_unknown_form(tmp_path: Path) -> None:
    with pytest.raises(EfldError, match="expected xyxy or xywh"):
        read_boxes(tmp_path / "boxes.json", "cxcywh")
