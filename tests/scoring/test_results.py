"""`results.json`: what is accepted, what is refused and in which words, and merging."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from efld_tf.errors import DataError, EfldError
from efld_tf.scoring import results

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


def _refusal(path: Path, content: str | bytes) -> str:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DataError) as caught:
        results.read(path)
    message = str(caught.value)
    assert message.isprintable()
    assert message.startswith(str(path))
    return message.removeprefix(str(path))


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
    ("content", "message"),
    [
        ('{"evaluation": {"faces": "x"}}', ": evaluation.faces: expected a number, got 'x'"),
        ('{"evaluation": {"faces": 1.5}}', ": evaluation.faces: expected a whole number, got 1.5"),
        ('{"time_ms": "1"}', ": time_ms: expected a number, got '1'"),
        ('{"time_ms": true}', ": time_ms: expected a number, got true"),
        ('{"time_ms": null}', ": time_ms: expected a number, got null"),
        ('{"time_ms": -1}', ": time_ms: expected a finite number from 0 on, got -1"),
        ('{"time_ms": NaN}', ": time_ms: expected a finite number from 0 on, got nan"),
        ('{"time_ms": -Infinity}', ": time_ms: expected a finite number from 0 on, got -inf"),
        ('{"time_ms": 1e999}', ": time_ms: expected a finite number from 0 on, got inf"),
        ('{"accuracy_percent": 100.5}', ": accuracy_percent: expected at most 100, got 100.5"),
        ('{"name": 5}', ": name: expected a line of text, got 5"),
        ('{"name": "a\\nb"}', ": name: expected a line of text, got 'a\\nb'"),
        ('{"name": "\\ud800"}', ": name: expected a line of text, got '\\ud800'"),
        ('{"model": []}', ": model: expected an object, got a list of 0"),
        ('{"benchmark": {"xnnpack": 1}}', ": benchmark.xnnpack: expected true or false, got 1"),
        (
            '{"benchmark": {"latency_ms_p50": [1]}}',
            ": benchmark.latency_ms_p50: expected a number, got a list of 1",
        ),
        (
            '{"evaluation": {"by_attribute": {"pose": [0, NaN]}}}',
            ": evaluation.by_attribute.pose[1]: expected a finite number, got nan",
        ),
        ('{"time_ms": 1, "time_ms": 2}', ": duplicate key 'time_ms'"),
        ('{"model": {"file": "a", "file": "b"}}', ": duplicate key 'file'"),
        ('{"time_ms": 1,\n}', ":2: not JSON: Expecting property name"),
        ("", ":1: not JSON: Expecting value"),
        ("[1]", ": expected an object, got a list of 1"),
        (b"\xff\xfe{\x00}\x00", ": not UTF-8 text: invalid start byte at byte 0"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(path, content, message):
    assert _refusal(path, content).startswith(message)


def test_an_unknown_key_lists_the_known_ones(path):
    message = _refusal(path, '{"latency": 1}')
    assert message.startswith(": unknown key 'latency'; known: name, accuracy_percent, time_ms,")


def test_huge_numbers_and_files_and_deep_nesting_are_refused(path):
    assert "got inf" in _refusal(path, f'{{"time_ms": {"9" * 100_000}}}')
    assert "larger than" in _refusal(path, b" " * (results.MAX_BYTES + 1))
    for depth in (100, 100_000):
        nested = '{"evaluation": {"x": ' + "[" * depth + "]" * depth + "}}"
        assert "is nested too deeply" in _refusal(path, nested)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for wrong in (tmp_path / "none.json", tmp_path):
        with pytest.raises(DataError, match="cannot be read"):
            results.read(wrong)


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
        assert "\n" not in str(error)


@given(st.dictionaries(_KEYS, _JSON | st.dictionaries(_KEYS, _JSON)))
def test_no_json_ends_in_a_traceback(path, content):
    path.write_text(json.dumps(content))
    try:
        results.read(path)
    except DataError as error:
        assert str(error).isprintable()


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
    with pytest.raises(EfldError) as caught:
        _merge(path, sha256="b" * 64)
    message = str(caught.value)
    assert str(path) in message and "a" * 12 in message and "b" * 12 in message
    assert "another --output or delete it" in message
    assert path.read_bytes() == before


def test_merge_writes_nothing_that_cannot_be_read_again(path):
    for wrong, message in (
        ({"factors": {"time_ms": float("nan")}}, "time_ms"),
        ({"factors": {"latency": 1.0}}, "latency"),
        ({"details": {"x": {1: 2}}}, "x"),
        ({"details": {"x": object()}}, "x"),
    ):
        with pytest.raises(DataError, match=message):
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
    with pytest.raises(DataError, match="file is not a folder to write to"):
        results.existing(tmp_path / "file" / "deep" / "results.json", model)
    assert results.existing(tmp_path / "new" / "results.json", model) == {}


def test_merge_into_an_unwritable_place_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written"):
        _merge(tmp_path / "file" / "results.json")


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
    with pytest.raises(DataError, match="cannot read the model"):
        results.describe_model(tmp_path / "none.tflite")
