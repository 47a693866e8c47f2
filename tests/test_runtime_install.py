"""The small environment of `make runtime`: what it holds, does and says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib import import_module, metadata
from pathlib import Path

import cv2
import pillow_heif
import pytest
from PIL import Image

from efld_tf import assets
from efld_tf.annotations.synthetic.dataset import write_dataset
from efld_tf.cli import common
from efld_tf.runtime.video import VideoReader
from tests.cli.predict.command import lines
from tests.errors import assert_error_line
from tests.runtime import moving

ROOT = Path(__file__).parents[1]
FULL = Path(sys.executable).parent
COMMANDS = [entry.name for entry in metadata.distribution("efld-tf").entry_points]

# The README says so.
MOST_BYTES = 700e6

HELD = """
import importlib.metadata, importlib.util, json, sys
import cv2
print(json.dumps({
    "versions": {found.name.lower(): found.version for found in importlib.metadata.distributions()},
    "missing": [name for name in sys.argv[1:] if importlib.util.find_spec(name) is None],
    "windows": cv2.currentUIFramework(),
}))
"""


@pytest.fixture(scope="session")
def small() -> Path:
    """The programs of the environment that `make runtime` makes, in `RUNTIME_VENV` or its default.

    Tests that need it are skipped where it has not been made, but fail in CI.
    """
    folder = ROOT / os.environ.get("RUNTIME_VENV", ".venv-runtime")
    if not (folder / ".installed").exists():
        reason = f"there is no environment in {folder}: make runtime"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder / "bin"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rendered people in `people/`, who walk in `clip.avi`; and a file of MATLAB 7.3."""
    folder = tmp_path_factory.mktemp("runtime")
    people = moving.people(folder / "walkers")
    writer = cv2.VideoWriter(str(folder / "clip.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 25,
                             (moving.WIDTH, moving.HEIGHT))
    for index in range(20):
        left = 100 + 4 * index
        shown = [(people[0], left, 120), (people[1], left + 400, 120)]
        writer.write(moving.frame(shown)[0][..., ::-1])
    writer.release()
    write_dataset(folder / "people", "ibug68", 4, seed=5, size=256, workers=1, progress=False)
    (folder / "images.mat").write_bytes(b"MATLAB 7.3 MAT-file")
    return folder


def run(program: Path, *arguments: object, cwd: Path, code: int = 0) -> tuple[str, str]:
    """Runs a program as people do; returns what it printed."""
    done = subprocess.run([program, *map(str, arguments)], cwd=cwd, capture_output=True, text=True,
                          timeout=120, check=False)
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    return done.stdout, done.stderr


def held(small: Path, *modules: str) -> dict:
    """What the environment holds, and which of these modules it does not."""
    return json.loads(run(small / "python", "-c", HELD, *modules, cwd=small)[0])


def test_it_is_small(small: Path) -> None:
    out, _ = run(Path("du"), "-skc", small.parent, ROOT / "efld_tf", cwd=ROOT)
    assert 1024 * int(out.splitlines()[-1].split()[0]) < MOST_BYTES


def test_what_is_large_is_left_out(small: Path) -> None:
    large = ("tensorflow", "tf_keras", "keras", "jax", "official", "scipy", "matplotlib", "h5py")
    found = held(small, *large)
    assert found["missing"] == list(large)
    assert [name for name in found["versions"] if name.startswith("opencv")] == ["opencv-python"]
    assert found["windows"]


def test_the_versions_are_those_that_were_tested(small: Path) -> None:
    tested = set(re.findall(r"^[\w.-]+==\S+", (ROOT / "constraints.txt").read_text(), re.M))
    versions = held(small)["versions"]
    for name in ("efld-tf", "pip", "setuptools"):  # what every environment has
        versions.pop(name, None)
    installed = {f"{re.sub('[._]', '-', name)}=={version}" for name, version in versions.items()}
    assert len(installed) > 8 and installed <= tested


def test_the_readme_installs_the_same() -> None:
    out, _ = run(Path("make"), "--dry-run", "--always-make", "runtime", cwd=ROOT)
    made = re.findall(r"pip install --quiet --no-compile (--constraint .*)",
                      out.replace("--editable ", ""))
    readme = (ROOT / "README.md").read_text()
    assert len(made) == 2 and all(f"\npip install {line}\n" in readme for line in made)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_and_version(small: Path, command: str, folder: Path) -> None:
    assert command in run(small / command, "--help", cwd=folder)[0]
    out, _ = run(small / command, "--version", cwd=folder)
    assert out == f"{command} {metadata.version('efld-tf')}\n"


def test_it_finds_the_same_points(small: Path, folder: Path) -> None:
    for environment, output in ((small, "small"), (FULL, "full")):
        run(environment / "efld-predict", "people", "clip.avi", "--save", "json", "pictures",
            "--align", "--output", output, cwd=folder)
    found = lines(folder / "small/faces.jsonl")
    assert len(found) == 4 + 2 * 20
    assert found == lines(folder / "full/faces.jsonl")
    assert len(list(VideoReader(folder / "small/pictures/clip.mp4"))) == 20


@pytest.mark.parametrize("model", ["research", "mesh"])
def test_it_labels_the_same(small: Path, folder: Path, model: str) -> None:
    for environment, output in ((small, "small"), (FULL, "full")):
        run(environment / "efld-data", "label", "people", "--model", model, "--views", 2,
            "--output", f"{output}_{model}.jsonl", cwd=folder)
    labels = lines(folder / f"small_{model}.jsonl")
    assert len(labels) == 4 and labels == lines(folder / f"full_{model}.jsonl")


def test_it_verifies_the_same(small: Path, folder: Path) -> None:
    out, _ = run(small / "efld-verify", "research", cwd=folder)
    assert out == run(FULL / "efld-verify", "research", cwd=folder)[0]


def test_it_measures_and_scores_the_same(small: Path, folder: Path) -> None:
    for environment, output in ((small, "small.json"), (FULL, "full.json")):
        run(environment / "efld-eval", "research", "--source", "ibug:people", "--output", output,
            cwd=folder)
    run(small / "efld-bench", "research", "--runs", 20, "--output", "small.json", cwd=folder)
    measured = json.loads((folder / "small.json").read_text())
    full = json.loads((folder / "full.json").read_text())
    assert measured["evaluation"] == full["evaluation"] and measured["time_ms"] > 0
    out, _ = run(small / "efld-score", "small.json", "--power", 2, cwd=folder)
    assert "PAIR score" in out
    assert out == run(FULL / "efld-score", "small.json", "--power", 2, cwd=folder)[0]


@pytest.mark.parametrize(("package", "command", "arguments"), [
    ("tensorflow", "train", [ROOT / "configs/efld/demo.yaml"]),
    ("tensorflow", "train", ["--keys"]),
    ("tensorflow", "export", ["synthetic", "--int8"]),
    ("tensorflow", "eval", [assets.FLOAT_MODEL, "--source", "ibug:people"]),
    ("efld-export", "predict", ["--model", assets.FLOAT_MODEL, "clip.avi"]),
    ("tensorflow", "eval", ["research", "--source", "packed:shards"]),
    ("tensorflow", "data", ["pack", "ibug:people", "shards"]),
    ("matplotlib", "eval", ["research", "--source", "ibug:people", "--plots", "plots"]),
    ("markupsafe", "eval", ["research", "--source", "ibug:people", "--report", "page"]),
    ("matplotlib", "data", ["stats", "ibug:people"]),
    ("h5py", "data", ["show", "cofw:images.mat"]),
])  # fmt: skip
def test_what_it_cannot_do_is_one_line(
    small: Path, folder: Path, package: str, command: str, arguments: list
) -> None:
    out, error = run(small / f"efld-{command}", *arguments, cwd=folder, code=2)
    assert not out and error.count("\n") == 1
    assert package in error and "pip install ." in error


def test_photos_of_phones_need_one_package_more(small: Path, folder: Path) -> None:
    pillow_heif.from_pillow(Image.new("RGB", (64, 64))).save(folder / "phone.heic")
    out, error = run(small / "efld-predict", "phone.heic", cwd=folder, code=2)
    assert not out
    assert_error_line(error, "phone.heic", "HEIC", "pip install pillow-heif")


def test_a_missing_package_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert common.run(lambda _: import_module("no_such_package.part")) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "no_such_package" in error and "pip install ." in error


@pytest.mark.parametrize("module", ["efld_tf.no_such_module", "winreg"])
def test_a_missing_part_of_the_package_or_of_python_is_a_bug(module: str) -> None:
    with pytest.raises(ModuleNotFoundError):
        common.run(lambda _: import_module(module))
