"""The wheel and the bill of materials in it."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from efld_tf import assets, files
from tools import wheel

ROOT = Path(__file__).parents[2]


def test_what_the_package_requires_without_its_tests() -> None:
    required = wheel.closure("efld-tf")
    assert {"tensorflow", "numpy", "ai-edge-litert"} <= required["efld-tf"] & required.keys()
    assert "h5py" in required["tensorflow"]
    assert not {"pytest", "hypothesis", "cyclonedx-bom", "pillow-heif", "ruff"} & required.keys()
    assert all(others <= required.keys() for others in required.values())


def test_the_models_with_their_licences() -> None:
    found = {model["name"]: model for model in wheel.models()}
    research = found["efld_tf/assets/research/efld_ibug51_int8/efld_ibug51_int8.tflite"]
    path = Path(assets.__file__).parents[2] / research["name"]
    assert research["hashes"] == [{"alg": "SHA-256", "content": files.sha256(path)}]
    assert "non-commercial" in research["licenses"][0]["license"]["name"]
    assert len(found) == 4


@pytest.mark.long
def test_the_wheel(tmp_path: Path) -> None:
    """It holds what the repository does, and a valid SBOM."""
    subprocess.run([sys.executable, ROOT / "tools" / "wheel.py", tmp_path], check=True)
    (path,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        (place,) = (name for name in names if "/sboms/" in name)
        text = archive.read(place).decode()
    tracked = subprocess.run(
        ["git", "ls-files", "efld_tf", "tools/web/index.html", "tools/web/efld", "tools/web/page"],
        cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    tracked.remove("efld_tf/web")  # a link
    expected = {name.replace("tools/web/", "efld_tf/web/") for name in tracked}
    assert {name for name in expected if not name.endswith(".md") or "assets/" in name} <= names
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bom = json.loads(text)
    versions = {item["name"]: item.get("version") for item in bom["components"]}
    assert versions["tensorflow"] == metadata.version("tensorflow")
    assert bom["metadata"]["component"]["name"] == "efld-tf"
    assert str(ROOT) not in text
