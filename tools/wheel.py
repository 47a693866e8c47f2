"""Builds the wheel, with a software bill of materials (SBOM) in it.

    make wheel

The SBOM is CycloneDX 1.6 in JSON, where wheels have theirs (PEP 770): the packages that the wheel
requires, directly or not, in the versions of this environment, with their licences, and the models
in the wheel, with their licences and SHA-256. `cyclonedx-py` reads the packages.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from efld_tf import assets, files
from efld_tf.runtime import model_license

ROOT = Path(__file__).parents[1]
NAME = "efld-tf"
MODELS = (".tflite", ".h5")


def packages() -> dict[str, Any]:
    """The SBOM of this environment without what the package does not require."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "environment.json"
        subprocess.run(
            [Path(sys.executable).with_name("cyclonedx-py"), "environment", sys.executable,
             "--output-format", "JSON", "--spec-version", "1.6", "--output-reproducible",
             "--output-file", path], check=True, stderr=subprocess.DEVNULL)
        bom: dict[str, Any] = json.loads(path.read_text())
    required = closure(NAME)
    found = {canonicalize_name(item["name"]): item for item in bom["components"]}
    root = found[canonicalize_name(NAME)]
    root.pop("externalReferences", None)  # where the package lies on this computer
    bom["metadata"]["component"] = root | {"purl": f"pkg:pypi/{NAME}@{root['version']}"}
    bom["components"] = [found[name] for name in sorted(required) if name != NAME]
    bom["dependencies"] = [
        {"ref": found[name]["bom-ref"],
         "dependsOn": sorted(found[other]["bom-ref"] for other in others)}
        for name, others in sorted(required.items())]
    return bom


def closure(package: str) -> dict[NormalizedName, set[NormalizedName]]:
    """What a package requires in this environment, directly or not: the names by the name.

    `cyclonedx-py` takes what packages require for their tests, too, where it is there.
    """
    required: dict[NormalizedName, set[NormalizedName]] = {}
    waiting: list[tuple[NormalizedName, frozenset[str]]] = [
        (canonicalize_name(package), frozenset())]
    seen = set(waiting)
    while waiting:
        name, extras = waiting.pop()
        others = required.setdefault(name, set())
        for requirement in map(Requirement, metadata.requires(name) or []):
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": e}) for e in ("", *extras)):
                other = canonicalize_name(requirement.name)
                others.add(other)
                item = (other, frozenset(requirement.extras))
                if item not in seen:
                    seen.add(item)
                    waiting.append(item)
    return required


def models() -> list[dict[str, Any]]:
    """The models in the package, as components."""
    folder = Path(assets.__file__).parent
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.suffix in MODELS):
        (exported,) = (folder / path.relative_to(folder).parts[0]).rglob("*.tflite")
        name = f"efld_tf/assets/{path.relative_to(folder).as_posix()}"
        found.append({
            "type": "machine-learning-model", "bom-ref": name, "name": name,
            "hashes": [{"alg": "SHA-256", "content": files.sha256(path)}],
            # Weights and the model that is exported with them have the same.
            "licenses": [{"license": {"name": model_license.read(exported)}}],
        })
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "dist")
    folder: Path = parser.parse_args().folder
    bom = packages()
    bom["components"] += models()
    python = [sys.executable, "-m"]
    shutil.rmtree(ROOT / "build", ignore_errors=True)  # old files in it would get into the wheel
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run([*python, "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
                        "--wheel-dir", scratch, ROOT], check=True)
        (wheel,) = Path(scratch).glob("*.whl")
        subprocess.run([*python, "wheel", "unpack", "--dest", scratch, wheel], check=True,
                       stdout=subprocess.DEVNULL)
        (info,) = Path(scratch).glob("*/*.dist-info")
        (info / "sboms").mkdir()
        (info / "sboms" / f"{NAME}.cdx.json").write_text(json.dumps(bom, indent=1) + "\n")
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([*python, "wheel", "pack", "--dest-dir", folder, info.parent], check=True,
                       stdout=subprocess.DEVNULL)
    print(f"{folder / wheel.name}: {len(bom['components'])} components in its SBOM")


if __name__ == "__main__":
    main()
