"""`results.json`: what is accepted, what is refused, and merging."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from efld_tf.errors import DataError
from efld_tf.scoring import results
from tests.errors import assert_refusal, refuses

HAND_WRITTEN = """{
  "name": "mine",
  "accuracy_percent": 18.47, "time_ms": 1.08,
  "complexity_gflops": 0.0191, "power_w": 1.93,
  "size_mb": 0.17
}"""
SHA = "a" * 64


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results.json"


def _assert_refused(
    path: Path, content: str | bytes, *facts: object, line: int | None = None
) -> None:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with refuses(*facts, path=path, line=line):
        results.read(path)


def test_a_hand_written_file_is_valid(path):
    path.write_text(HAND_WRITTEN)
    content = results.read(path)
    assert [content[name] for name in results.FACTORS] == [18.47, 1.08, 0.0191, 1.93, 0.17]


def test_the_name_and_any_factor_may_be_absent(path):
    for content in ({}, {"time_ms": 1}, {name: 1 for name in results.FACTORS}):
        path.write_text(json.dumps(content))
        assert results.read(path) == content


def test_a_byte_order_mark_is_accepted(path):
    path.write_text(HAND_WRITTEN, encoding="utf-8-sig")
    assert results.read(path)["name"] == "mine"


@pytest.mark.parametrize(
    ("content", "facts"),
    [
        ('{"evaluation": {"faces": "x"}}', ["evaluation.faces", "'x'"]),
        ('{"evaluation": {"faces": 1.5}}', ["evaluation.faces", "whole", 1.5]),
        ('{"time_ms": "1"}', ["time_ms", "number", "'1'"]),
        ('{"time_ms": true}', ["time_ms", "true"]),
        ('{"time_ms": null}', ["time_ms", "null"]),
        ('{"time_ms": -1}', ["time_ms", 0, -1]),
        ('{"time_ms": NaN}', ["time_ms", "nan"]),
        ('{"time_ms": -Infinity}', ["time_ms", "-inf"]),
        ('{"time_ms": 1e999}', ["time_ms", "inf"]),
        (f'{{"time_ms": {"9" * 100_000}}}', ["time_ms", "inf"]),
        ('{"accuracy_percent": 100.5}', ["accuracy_percent", 100, 100.5]),
        ('{"name": 5}', ["name", 5]),
        ('{"name": "a\\nb"}', ["name", r"'a\nb'"]),
        ('{"name": "\\ud800"}', ["name", r"'\ud800'"]),
        ('{"model": []}', ["model", "mapping"]),
        ('{"benchmark": {"xnnpack": 1}}', ["benchmark.xnnpack", "true", "false", 1]),
        ('{"benchmark": {"latency_ms_p50": [1]}}', ["benchmark.latency_ms_p50", "number"]),
        ('{"evaluation": {"by_attribute": {"pose": [0, NaN]}}}',
         ["evaluation.by_attribute.pose[1]", "nan"]),
        ('{"latency": 1}', ["latency", *results.TOP_LEVEL]),
        ('{"time_ms": 1, "time_ms": 2}', ["duplicate", "time_ms"]),
        ('{"model": {"file": "a", "file": "b"}}', ["duplicate", "file"]),
        ("[1]", ["object", "list"]),
        (b"\xff\xfe{\x00}\x00", ["UTF-8", "byte 0"]),
        (b" " * (results.MAX_BYTES + 1), [results.MAX_BYTES]),
    ],
)
def test_what_is_wrong_is_told(path, content, facts):
    _assert_refused(path, content, *facts)


@pytest.mark.parametrize(("content", "line"), [('{"time_ms": 1,\n}', 2), ("", 1)])
def test_what_is_no_json_is_told_by_its_line(path, content, line):
    _assert_refused(path, content, "JSON", line=line)


@pytest.mark.parametrize("depth", [100, 100_000])
def test_deep_nesting_is_refused(path, depth):
    _assert_refused(path, '{"evaluation": {"x": ' + "[" * depth + "]" * depth + "}}", "nested")


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for wrong, reason in ((tmp_path / "none.json", "No such file"), (tmp_path, "directory")):
        with refuses("read", reason, path=wrong):
            results.read(wrong)


def test_wording(path):
    path.write_text('{"evaluation": {"faces": 1.5}}')
    with pytest.raises(DataError) as caught:
        results.read(path)
    assert str(caught.value) == f"{path}: evaluation.faces: expected a whole number, got 1.5"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
_KEYS = st.sampled_from(results.TOP_LEVEL) | st.text(max_size=5)


@given(st.binary(max_size=200))
def test_no_bytes_end_in_a_traceback(path, content):
    path.write_bytes(content)
    try:
        results.read(path)
    except DataError as error:
        assert_refusal(error, path=path, line=error.line)


@given(st.dictionaries(_KEYS, _JSON | st.dictionaries(_KEYS, _JSON)))
def test_no_json_ends_in_a_traceback(path, content):
    path.write_text(json.dumps(content))
    try:
        results.read(path)
    except DataError as error:
        assert_refusal(error, path=path)


def _merge(path: Path, sha256: str = SHA, **changes):
    arguments = {
        "model": {"file": "m.tflite", "sha256": sha256, "size_bytes": 10},
        "section": "benchmark",
        "details": {"threads": 1},
        "factors": {"time_ms": 1.5},
        **changes,
    }
    return results.merge(path, **arguments)


def test_merge_creates_a_file_and_fills_it_section_by_section(path):
    _merge(path)
    written = _merge(
        path,
        model={"sha256": SHA, "family": "efld"},
        section="evaluation",
        details={"faces": 3},
        factors={"accuracy_percent": 20.0},
    )
    assert results.read(path) == written
    assert list(written) == ["accuracy_percent", "time_ms", "model", "evaluation", "benchmark"]
    assert written["model"] == {
        "file": "m.tflite", "sha256": SHA, "size_bytes": 10, "family": "efld",
    }


def test_merge_keeps_what_was_written_by_hand_and_replaces_its_own_section(path):
    path.write_text(HAND_WRITTEN)
    _merge(path, details={"threads": 1, "note": "old"})
    written = _merge(path, factors={"time_ms": 2.0})
    assert written["name"] == "mine"
    assert written["power_w"] == 1.93
    assert written["time_ms"] == 2.0
    assert written["benchmark"] == {"threads": 1}


def test_merge_refuses_another_model_and_leaves_the_file_alone(path):
    _merge(path)
    before = path.read_bytes()
    with refuses(path, "a" * 12, "b" * 12, "--output"):
        _merge(path, sha256="b" * 64)
    assert path.read_bytes() == before


def test_merge_writes_nothing_that_cannot_be_read_again(path):
    for wrong, facts in (
        ({"factors": {"time_ms": float("nan")}}, ["time_ms", "nan"]),
        ({"factors": {"latency": 1.0}}, ["latency"]),
        ({"details": {"x": {1: 2}}}, ["benchmark.x", 1]),
        ({"details": {"x": object()}}, ["benchmark.x", "JSON"]),
    ):
        with refuses(*facts, path=path):
            _merge(path, **wrong)
        assert not path.exists()


def test_names_that_are_no_line_of_text_are_escaped(path):
    model = {"sha256": "a" * 64, "file": "m\udcff.tflite"}
    merged = results.merge(path, model=model, section="evaluation", factors={},
                           details={"source": "ibug:a\u00a0b\n"})
    assert merged["evaluation"]["source"] == r"ibug:a\xa0b\n"
    assert results.read(path)["model"]["file"] == r"m\udcff.tflite"


def test_places_that_cannot_be_written_are_refused_before_the_work(tmp_path):
    (tmp_path / "file").touch()
    model = {"sha256": "a" * 64}
    path = tmp_path / "file" / "deep" / "results.json"
    with refuses("written", tmp_path / "file", path=path):
        results.existing(path, model)
    assert results.existing(tmp_path / "new" / "results.json", model) == {}


def test_merge_into_an_unwritable_place_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "results.json"
    with refuses("written", tmp_path / "file", path=path):
        _merge(path)


def test_a_model_is_described_by_its_content(tmp_path):
    model = tmp_path / "m.tflite"
    model.write_bytes(b"abc")
    described = results.describe_model(model, family="efld")
    assert described == {
        "file": "m.tflite",
        "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "size_bytes": 3,
        "family": "efld",
    }
    with refuses("model", "No such file", path=tmp_path / "none.tflite"):
        results.describe_model(tmp_path / "none.tflite")
