"""Writes a folder that any static server can host: a page for faces, and models for it.

    FOLDER/index.html, page/     the make-up page
    FOLDER/efld/                 the module that the page imports, for pages of your own
    FOLDER/litert/               LiteRT.js, which runs the models
    FOLDER/detector/             MediaPipe's face detector
    FOLDER/models/NAME/          a model, with `landmarker.json`, its card and golden files
    FOLDER/models/models.json    which models there are

Page and module are those of tools/web. LiteRT.js comes from npm, once, in the version and with the
hash of its package-lock.json; it is kept below the user's cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from efld_tf import assets, files, folders, runs
from efld_tf.errors import DataError, EfldError
from efld_tf.exporting import app_files
from efld_tf.runtime import portable
from efld_tf.text import say

# Where tools/web is in the package.
SOURCE = Path(__file__).parents[1] / "web"
FOLDERS = ("efld", "page")
MODELS, INDEX = "models", "models.json"
# The Apache License 2.0 is also that of LiteRT.js.
LICENSE = app_files.LICENSE
# LiteRT's builds: with relaxed SIMD, for browsers without it, and with threads. Its fourth one is
# for WebGPU and WebNN, to which models of this size are no work.
BUILDS = ("internal", "compat_internal", "threaded_internal")
LITERT = {
    **{f"{name}/dist/index.js": f"{name}/index.js" for name in ("core", "wasm-utils")},
    **{f"core/wasm/litert_wasm_{build}.{suffix}": f"wasm/litert_wasm_{build}.{suffix}"
       for build in BUILDS for suffix in ("js", "wasm")},
}
LOCK = "package-lock.json"
OWN = {"index.html", LICENSE, *FOLDERS, "litert", app_files.DETECTOR, MODELS}
MOST_BYTES = 1 << 20  # of a description


def write(models: Sequence[str | os.PathLike[str]], folder: str | os.PathLike[str]) -> Path:
    """Writes the folder, or adds models to one that is there.

    Args:
      models: exported models: bundles, `.tflite` files or names of shipped models. Each has the
        name of its bundle's folder, and replaces one with the same name.
      folder: what to write; everything in it but other models is replaced.

    Returns:
      The folder.

    Raises:
      EfldError: a model's crops do not follow from a detector's faces, the folder holds something
        else, or npm is missing or fails.
      DataError: a file is not an exported model.
    """
    folder = Path(folder)
    check(folder)
    found: dict[str, Path] = {}
    for path in (runs.tflite(model, "--web") for model in models):
        name = _name(path)
        if name in found:
            raise EfldError(f"{path}: another model has the name {name}, which is that of its "
                            "folder; rename one")
        found[name] = path
    detector = f"../../{app_files.DETECTOR}/{app_files.detector_file().name}"
    described = {name: app_files.described(path, detector) for name, path in found.items()}
    litert = _litert()
    with folders.new_folder(folder) as new:
        for name in FOLDERS:
            shutil.copytree(SOURCE / name, new / name)
        for name in ("index.html", LICENSE):
            shutil.copyfile(SOURCE / name, new / name)
        _copy_litert(litert, new / "litert")
        app_files.copy_detector(new / app_files.DETECTOR)
        if (folder / MODELS).is_dir():
            shutil.copytree(folder / MODELS, new / MODELS)
        for name, path in found.items():
            _write_model(new / MODELS / name, path, described[name])
        files.write_json(new / MODELS / INDEX, _index(new / MODELS))
    return folder


def check(folder: Path) -> None:
    """Checks that a folder can be written: that nothing else is in it, and LiteRT.js is there.

    Raises:
      DataError: the path is a file, or a folder that holds something else than `write` writes, or
        a model of which the description is damaged.
      EfldError: npm is missing or fails.
    """
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if folder.exists() and not folder.is_dir():
        raise DataError(folder, "is a file; --web writes a folder")
    if other := sorted(names - OWN):
        raise DataError(folder, f"holds {other[0]}, which is not of --web; name another folder")
    if names and not (folder / MODELS / INDEX).is_file():
        raise DataError(folder, "exists and is no folder of --web; name another")
    _index(folder / MODELS)
    _litert()


def _name(model: Path) -> str:
    """What a model is called in the folder: the shipped one's name, or that of its own folder."""
    shipped = {entry.int8: name for name, entry in assets.SHIPPED.items()}
    return shipped.get(model) or model.resolve().parent.name or model.stem


def _write_model(folder: Path, model: Path, description: dict[str, Any]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    app_files.copy_model(model, folder, description)


def _index(models: Path) -> list[dict[str, str]]:
    """The models of a folder, as a page offers them."""
    rows = []
    for path in sorted(models.glob(f"*/{portable.FILE}")):
        try:
            described = json.loads(files.read_bytes(path, MOST_BYTES))
            rows.append({"name": path.parent.name, "schema": described["schema"]["title"],
                         "license": described["model"]["license"]})
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DataError(path, "is damaged: delete its folder, and write the model again") \
                from error
    return rows


def _copy_litert(packages: Path, folder: Path) -> None:
    for path, place in LITERT.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(packages / path, folder / place)
    shutil.copyfile(SOURCE / LICENSE, folder / LICENSE)


def _litert() -> Path:
    """The folder with LiteRT.js' packages; they are fetched if they are not there.

    Raises:
      EfldError: npm is missing or fails.
    """
    lock = (SOURCE / LOCK).read_bytes()
    cache = files.cache("web") / hashlib.sha256(lock).hexdigest()[:16]
    packages = cache / "node_modules" / "@litertjs"

    def is_whole() -> bool:
        return all((packages / path).is_file() for path in LITERT)

    if is_whole():
        return packages
    npm = shutil.which("npm")
    if npm is None:
        raise EfldError("--web: npm is not there, which fetches LiteRT.js once: install Node.js "
                        "(Debian: nodejs npm)")
    with folders.hold(cache, lambda line: say(line, sys.stderr)):
        if not is_whole():  # unless another process was quicker
            say(f"fetching LiteRT.js into {cache} ...", sys.stderr)
            with folders.replacement(cache) as new:
                _install(npm, new)
    return packages


def _install(npm: str, folder: Path) -> None:
    """Fetches LiteRT.js by npm, in the version of the lock file and checked by its hash."""
    for name in ("package.json", LOCK):
        shutil.copyfile(SOURCE / name, folder / name)
    done = subprocess.run(
        [npm, "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EfldError(f"--web: npm cannot fetch LiteRT.js: {done.stderr.strip()[-300:]}")
