"""Whatever an annotation file holds, a reader gives valid records or DataErrors, and quickly."""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from efld_tf import hdf5
from efld_tf.annotations.format import Note
from efld_tf.annotations.record import FaceRecord
from efld_tf.errors import DataError, EfldError
from efld_tf.landmarks import schemas
from tests.annotations import (
    layouts,
    layouts_browser,
    layouts_labelme,
    layouts_matlab,
    layouts_tables,
    layouts_text,
    layouts_yolo,
)
from tests.annotations.layouts import Layout

LAYOUTS = (layouts.LAYOUTS | layouts_matlab.LAYOUTS | layouts_text.LAYOUTS
           | layouts_tables.LAYOUTS | layouts_browser.LAYOUTS | layouts_labelme.LAYOUTS
           | layouts_yolo.LAYOUTS)

every_layout = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)


@pytest.fixture(autouse=True)
def hdf5_without_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process for each of these files would take minutes; `tests/fuzz` has a faster one."""
    monkeypatch.setattr(hdf5, "_try", lambda *_: None)


def check(layout: Layout, root: Path, content: bytes) -> list[FaceRecord | DataError | Note]:
    """What the reader makes of the content; fails on anything but valid records and errors."""
    source = layout.build(root, content)
    items: list[FaceRecord | DataError | Note] = []
    try:
        items.extend(layout.read(source))
    except EfldError as error:
        assert len(str(error)) < 1000 + len(str(root))
    for item in items:
        if isinstance(item, Note):
            assert len(item.text) < 1000 and item.text.isprintable()
            continue
        if isinstance(item, DataError):
            assert root == item.path or root in item.path.parents
            assert len(str(item)) < 1000 + len(str(root))
            assert str(item).isprintable()
            continue
        if isinstance(item, Note):
            assert len(item.text) < 1000 and item.text.isprintable()
            continue
        assert isinstance(item, FaceRecord)
        assert item.points.shape == (schemas.get(item.schema).num_points, 2)
        assert item.points.dtype == np.float32
        assert not (np.abs(item.points) > 1e6 + 1).any() and np.isfinite(item.points).any()
        assert root in item.image.resolve().parents
        if item.box is not None:
            assert item.box.shape == (4,) and (item.box[:2] < item.box[2:]).all()
            assert np.abs(item.box).max() <= 1e6 + 1
        if item.visible is not None:
            assert item.visible.shape == item.points.shape[:1] and item.visible.dtype == bool
        texts = [*item.attributes, *item.attributes.values(), item.identity or ""]
        assert all(isinstance(text, str) for text in texts)
    return items


@every_layout
def test_real_content_is_read(layout: Layout, shared_data: Path, tmp_path: Path) -> None:
    items = check(layout, tmp_path, layout.content(shared_data))
    assert any(isinstance(item, FaceRecord) for item in items)


@every_layout
@given(content=st.binary(max_size=800))
def test_any_bytes(layout: Layout, tmp_path: Path, content: bytes) -> None:
    check(layout, tmp_path, content)


@every_layout
@given(
    words=st.lists(
        st.one_of(
            st.sampled_from(["\n", " ", ",", "{", "}", "version: 1\n", "n_points: 68\n", "a.jpg"]),
            st.sampled_from(["..", "/", "\\", "\0", "nan", "-inf", "1e999", "0x1", "1_0", "\x0b"]),
            st.floats().map(str),
            st.integers().map(str),
            st.text(max_size=4),
        ),
        max_size=230,
    ),
    separator=st.sampled_from(["", " ", ",", "\n"]),
)
def test_any_text(layout: Layout, tmp_path: Path, words: list[str], separator: str) -> None:
    text = separator.join(words)
    check(layout, tmp_path, text.encode("utf-8", "surrogatepass"))


@every_layout
def test_every_truncation_of_a_real_file(
    layout: Layout, shared_data: Path, tmp_path: Path
) -> None:
    content = layout.content(shared_data)
    for length in range(0, len(content), max(1, len(content) // 150)):
        check(layout, tmp_path, content[:length])


@every_layout
def test_bit_flips_of_a_real_file(layout: Layout, shared_data: Path, tmp_path: Path) -> None:
    content = layout.content(shared_data)
    generator = random.Random(0)
    for _ in range(150):
        damaged = bytearray(content)
        for _ in range(generator.choice([1, 1, 4])):
            damaged[generator.randrange(len(damaged))] ^= 1 << generator.randrange(8)
        check(layout, tmp_path, bytes(damaged))


# What a program may write where another value belongs.
VALUES = [None, True, 5, -1, 1e9, float("nan"), "", "x", "5", [], [1], {}, {"x": 1}]


def replacements(value: Any) -> Iterator[Any]:
    """JSON values with one value in it replaced; of long lists some alone."""
    yield from VALUES
    if isinstance(value, dict):
        for key in value:
            yield {k: v for k, v in value.items() if k != key}
            yield from ({**value, key: other} for other in replacements(value[key]))
    elif isinstance(value, list):
        for i in {0, 1, len(value) - 1} if value else ():
            if i < len(value):
                yield from ([*value[:i], other, *value[i + 1 :]]
                            for other in replacements(value[i]))


@every_layout
def test_values_of_other_types(layout: Layout, shared_data: Path, tmp_path: Path) -> None:
    """JSON of another shape, and tables with other words."""
    text = layout.content(shared_data).decode("utf-8", "replace")
    first, *further = text.splitlines()
    whole, line = _json(text), _json(first)
    if whole is not None:
        for other in replacements(whole):
            check(layout, tmp_path, json.dumps(other).encode())
    elif line is not None:
        for other in replacements(line):
            check(layout, tmp_path, "\n".join([json.dumps(other), *further]).encode())
    else:
        words = re.split(r"([\s,;]+)", text)
        for i in [*range(0, 24, 2), *range(len(words) - 1, len(words) - 12, -2)]:
            for other in ("", "nan", "-1", "1e9", "x", '"', "[]", "0x10", "1,5"):
                check(layout, tmp_path, "".join([*words[:i], other, *words[i + 1 :]]).encode())


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


@every_layout
@pytest.mark.parametrize("opening", ["[", '{"a":', "<a>", "- ", "(", '"'])
def test_deep_nesting(layout: Layout, opening: str, tmp_path: Path) -> None:
    check(layout, tmp_path, opening.encode() * 60_000)


@every_layout
def test_a_file_of_16_gb_is_refused_at_once(layout: Layout, tmp_path: Path) -> None:
    layout.build(tmp_path, b"")
    os.truncate(tmp_path / layout.file, 1 << 34)  # sparse: takes no room on the disk
    try:
        items = list(layout.read(tmp_path / layout.source))
    except DataError as error:
        items = [error]
    (error,) = items
    assert isinstance(error, DataError) and "bytes" in error.reason


@every_layout
def test_a_pipe_is_refused_instead_of_waited_for(layout: Layout, tmp_path: Path) -> None:
    layout.build(tmp_path, b"")
    (tmp_path / layout.file).unlink()
    os.mkfifo(tmp_path / layout.file)
    try:
        items = list(layout.read(tmp_path / layout.source))
    except DataError as error:
        items = [error]
    assert not any(isinstance(item, FaceRecord) for item in items)
