"""Licences of weights: what is taken from files, and how they add up."""

from __future__ import annotations

from pathlib import Path

import pytest

from efld_tf import assets, licenses
from efld_tf.runtime import model_license
from tests.errors import refuses

STRANGE = ["free\x1b]0;title\x07", "two\nlines", "half \ud800 a letter", "x" * 10_001, 5, True]


@pytest.mark.parametrize("text", STRANGE, ids=repr)
def test_what_is_no_line_of_text_is_refused(text: object) -> None:
    with refuses("license", "10,000"):
        licenses.checked(text)


@pytest.mark.parametrize(
    ("own", "origin", "expected"),
    [
        ("", "", ""),
        ("MIT", "", "MIT"),
        ("", "research only", "taught by weights under: research only"),
        ("MIT", "research only", "MIT; taught by weights under: research only"),
        ("MIT", "MIT", "MIT"),
        ("research only, as asked", "research only", "research only, as asked"),
        ("research only", "research only, as asked", "research only, as asked"),
        ("a; taught by weights under: b", "b", "a; taught by weights under: b"),
        ("MIT-0", "MIT", "MIT-0; taught by weights under: MIT"),
        ("MIT", "MIT-0", "MIT; taught by weights under: MIT-0"),
        ("under 5 conditions", "5", "under 5 conditions; taught by weights under: 5"),
    ],
)  # fmt: skip
def test_the_terms_of_other_weights_stay(own: str, origin: str, expected: str) -> None:
    assert licenses.combined(own, origin, "taught by") == expected


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"non-commercial", b"non-comm\x1b[31m!", "license"),
        (b"non-commercial", b"non-commercia\xff", "utf-8"),
        (b"TFLITE_METADATA", b"TFLITE_METADAT_", None),
    ],
)
def test_the_licence_of_a_strange_model(
    tmp_path: Path, old: bytes, new: bytes, reason: str | None
) -> None:
    content = assets.INT8_MODEL.read_bytes()
    assert content.count(old) == 1 and len(old) == len(new)
    path = tmp_path / "strange.tflite"
    path.write_bytes(content.replace(old, new))
    if reason is None:
        assert model_license.read(path) == ""
        return
    with refuses("metadata", reason, path=path):
        model_license.read(path)
