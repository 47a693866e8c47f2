"""`efld-data formats`."""

from __future__ import annotations

import json

import pytest

from efld_tf.annotations import sources
from efld_tf.cli import data
from tests.errors import refuses


def formats(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    data.main(["formats", *arguments])
    return capsys.readouterr().out


def test_formats_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    listed = json.loads(formats(capsys, "--json"))
    assert [entry["name"] for entry in listed] == sorted(sources.FORMATS)
    wflw = next(entry for entry in listed if entry["name"] == "wflw")
    assert wflw["schemas"] == [{"name": "wflw98", "points": 98}]
    assert "images" in wflw["options"]
    text = formats(capsys)
    for name, format in sources.FORMATS.items():
        assert f"{name}:{format.path}" in text
        assert format.layout in text and format.licence in text
        assert all(format.options.values()), f"{name}: an option is not described"


def test_formats_say_what_options_mean(capsys: pytest.CaptureFixture[str]) -> None:
    text = formats(capsys, "wflw", "300w")
    for option in (*sources.FORMATS["wflw"].options, *sources.FORMATS["300w"].options, "convert"):
        assert f"?{option}=" in text
    with refuses("format", "wlfw", *sources.FORMATS):
        formats(capsys, "wlfw")
