"""The web page and its module, in a real browser."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from efld_tf import assets
from efld_tf.cli import export
from efld_tf.errors import EfldError
from efld_tf.exporting import web
from efld_tf.landmarks import schemas
from efld_tf.landmarks.geometry import CropRule
from efld_tf.runtime import portable
from tests.errors import refuses
from tests.tools import web_cases, web_vectors
from tools import serve_web

FOLDER = Path(__file__).parents[2] / "tools" / "web"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, npm: str) -> Iterator[str]:
    """The address at which a folder of `--web` with both shipped models is served."""
    folder = tmp_path_factory.mktemp("web") / "site"
    web.write(["research"], folder)
    web.write(["synthetic"], folder)
    with serve_web.serving(folder) as address:
        yield address


def run(command: list[str], **environment: str) -> None:
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False,
                          env={**os.environ, **environment})
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]


def test_types(npm: str) -> None:
    run([npm, "run", "check"])


def test_vectors_are_those_of_the_toolkit() -> None:
    assert web_vectors.FILE.read_text() == web_vectors.text()


def test_the_module_computes_what_the_toolkit_does(npm: str) -> None:
    run(["node", "--test", "test/vectors.test.js"])


SLOW = "memory is flat|the camera's face|a lost face"


@pytest.mark.parametrize("titles", [
    f"^(?!{SLOW})",
    pytest.param(SLOW, marks=pytest.mark.long),
])
def test_in_a_browser(titles: str, site: str, chromium: str, tmp_path: Path) -> None:
    web_cases.write(tmp_path / "cases")
    run(["node", "--test", "--test-name-pattern", titles, "test/browser.test.js"], EFLD_SITE=site,
        EFLD_CASES=str(tmp_path / "cases"))


def test_a_folder_has_its_models_with_their_terms(npm: str, tmp_path: Path, capfd) -> None:
    folder = tmp_path / "site"
    assert export.main(["synthetic", "--web", str(folder)]) is None
    assert export.main(["research", "--web", str(folder)]) is None
    assert str(folder) in capfd.readouterr().out
    models = json.loads((folder / "models" / "models.json").read_text())
    assert [model["name"] for model in models] == ["research", "synthetic"]
    assert "non-commercial" in models[0]["license"] and models[1]["license"] == "Apache-2.0"
    for part in ("", "detector", "litert"):
        assert "Apache License" in (folder / part / "LICENSE").read_text()
    described = json.loads((folder / "models" / "research" / "landmarker.json").read_text())
    assert described["schema"]["names"] == list(schemas.get("ibug51").names)
    assert (folder / "models" / "research" / described["detector"]["file"]).resolve().is_file()
    # The page runs no script but its own, and asks nobody else.
    page = (folder / "index.html").read_text()
    text = re.search(r'<script type="importmap">(.*?)</script>', page, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in page and "https://" not in page
    # What else is there stays, and what is not of the toolkit is not replaced.
    other = tmp_path / "other"
    other.mkdir()
    (other / "index.html").write_text("mine")
    with refuses("--web", path=other):
        web.write(["research"], other)
    (other / "models").mkdir()
    (other / "models" / "models.json").write_text("{}")
    (other / "src").mkdir()
    with refuses("src", "--web", path=other):
        web.write(["research"], other)
    assert {path.name for path in other.iterdir()} == {"index.html", "models", "src"}


def test_models_are_called_as_their_folders(npm: str, tmp_path: Path, monkeypatch) -> None:
    bundle, folder = tmp_path / "mine #1", tmp_path / "site"
    shutil.copytree(assets.INT8_MODEL.parent, bundle)
    monkeypatch.chdir(bundle)
    web.write(["synthetic"], folder)
    web.write(["."], folder)
    web.write([f"../{bundle.name}/{assets.INT8_MODEL.name}"], folder)
    assert {path.name for path in (folder / "models").iterdir()} == {
        bundle.name, "synthetic", "models.json"}
    with refuses("name", bundle.name):
        web.write([bundle, "."], folder)
    damaged = folder / "models" / bundle.name / "landmarker.json"
    damaged.write_text(damaged.read_text()[:50])
    with refuses(path=damaged):
        web.write(["research"], folder)
    assert (folder / "models" / "synthetic").is_dir()


def test_without_npm_the_way_out_is_told(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with refuses("npm", "Node.js"):
        web.write(["research"], tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_what_was_fetched_and_is_damaged_is_fetched_again(
    npm: str, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    web.check(tmp_path / "site")
    (lost,) = (tmp_path / "cache").rglob("litert_wasm_internal.wasm")
    lost.unlink()
    web.check(tmp_path / "site")
    assert lost.stat().st_size > 1e6


def test_a_model_without_detected_crops_is_refused(tmp_path: Path) -> None:
    """Of a jaw, a detector's faces tell no place."""
    class Jaw:
        input_size, has_confidence = 128, False
        schema, crop_rule = "jaw", CropRule("points", "jaw", 1.25)
        mean_shape = np.array([[0.1, 0.3], [0.5, 0.9], [0.9, 0.3]])

    schemas.declare({"name": "jaw", "title": "jaw", "parts": {"jaw": {"points": "0-2"}},
                     "flip": [2, 1, 0], "normalisers": {"width": {"right": 0, "left": 2}},
                     "anchors": {}})
    with refuses("jaw", "anchors"):
        portable.fields(Jaw())


@pytest.mark.parametrize("arguments", [
    ["research"], ["research", "--compare", "--web", "site"],
    ["research", "--head", "ibug51", "--web", "site"], ["runs/none", "--web", "site"],
])
def test_mistakes(arguments: list[str], tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((EfldError, SystemExit)) as caught:
        export.main(arguments)
    assert getattr(caught.value, "code", 2) == 2
    assert not list(tmp_path.iterdir())
