"""What is installed: its hashes, and what is known of its vulnerabilities."""

from __future__ import annotations

import importlib
import io
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from efld_tf.annotations import decoding

ROOT = Path(__file__).parents[1]
VERSION = re.compile(r"^[\w.-]+==\S+(?: ; .+?)?(?= *\\?$)", re.MULTILINE)


def test_every_version_has_the_hashes_of_its_files() -> None:
    constraints = (ROOT / "constraints.txt").read_text()
    requirements = (ROOT / "tools" / "requirements.txt").read_text()
    versions = VERSION.findall(requirements)
    assert len(versions) > 100 and versions == VERSION.findall(constraints)
    for item in re.split(r"\n(?=\w)", requirements.partition("\nabsl")[2]):
        assert re.search(r"\n    --hash=sha256:[0-9a-f]{64}", item), item


def test_advisories_are_of_what_is_pinned_and_tested() -> None:
    """With another version, an advisory is to be looked at again."""
    pinned = VERSION.findall((ROOT / "constraints.txt").read_text())
    lines = [line for line in (ROOT / "tools" / "advisories.txt").read_text().splitlines()
             if not line.startswith("#")]
    assert lines
    for line in lines:
        head, why, test = line.split(" | ")
        identifier, version = head.split(" ")
        assert re.fullmatch(r"(CVE|GHSA|PYSEC)-[\w-]+", identifier) and version in pinned and why
        path, name = test.split("::")
        assert hasattr(importlib.import_module(path.removesuffix(".py").replace("/", ".")), name)


@pytest.mark.parametrize("ending", [".jp2", ".j2k"])
def test_opencv_decodes_no_jpeg_2000(monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (32, 24), (200, 100, 50)).save(stream, "JPEG2000", no_jp2=ending == ".j2k")
    content = stream.getvalue()
    assert cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) is not None
    called: list[bytes] = []
    monkeypatch.setattr(cv2, "imdecode", lambda *a: called.append(a))
    decoded = decoding.decode(content, Path(f"a{ending}"), upright=True)
    np.testing.assert_array_equal(decoded[12, 16], [200, 100, 50])
    assert not called


def test_no_model_is_loaded_with_keras() -> None:
    """Weights are read by `hdf5`, into models that are built here."""
    for path in (ROOT / "efld_tf").rglob("*.py"):
        text = path.read_text()
        assert not re.search(r"(load_model|load_weights|model_from_\w+|TFSMLayer)\(", text), path
