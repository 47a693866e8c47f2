"""Rooms and what they may load: light commands must start without TensorFlow or MediaPipe."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "efld_tf"

# A room imports from itself and from those above it; modules beside the rooms serve all of them.
ROOMS = ("scoring", "landmarks", "annotations", "data", "models", "training", "runtime",
         "emulation", "evaluation", "exporting", "benchmarking", "api", "cli")
STANDARD_LIBRARY_ONLY = ("scoring",)


def loaded_by(code: str) -> set[str]:
    """The top-level modules that running `code` loads."""
    script = f"{code}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(out.stdout.split("\n")[-2].split())


@pytest.mark.parametrize("room", [
    "landmarks", "annotations", "runtime", "emulation", "scoring", "benchmarking"])
def test_rooms_without_tensorflow(room: str) -> None:
    modules = [
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for path in sorted((PACKAGE / room).rglob("*.py"))
    ]
    loaded = loaded_by("import " + ", ".join(m.removesuffix(".__init__") for m in modules))
    heavy = {"tensorflow", "tf_keras", "keras", "mediapipe", "jax", "h5py", "matplotlib"}
    assert not loaded & heavy
    if room in STANDARD_LIBRARY_ONLY:
        assert not loaded & {"numpy", "cv2", "yaml"}


@pytest.mark.parametrize("command", [
    "score", "bench", "eval", "data", "export", "predict", "train", "verify",
])
def test_help_needs_no_tensorflow(command: str) -> None:
    code = f"from efld_tf.cli import {command}\ntry:\n    {command}.main(['--help'])\n" \
        "except SystemExit as end:\n    assert end.code == 0"
    assert not loaded_by(code) & {"tensorflow", "mediapipe"}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.stem))
def test_imports_only_go_up(path: Path) -> None:
    parts = path.relative_to(PACKAGE).parts
    room = parts[0] if len(parts) > 1 else {"__init__": "api"}.get(path.stem, path.stem)
    room = room if room in ROOMS else None
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "efld_tf":
            names = node.module.split(".")[1:]
            imported = names[:1] or [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            imported = [a.name.split(".")[1] for a in node.names if a.name.startswith("efld_tf.")]
        else:
            continue
        for name in set(imported) & set(ROOMS):
            assert room is not None, f"{path.name} serves all rooms and knows none"
            assert ROOMS.index(name) <= ROOMS.index(room), f"{room} imports {name}"
