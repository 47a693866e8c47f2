"""Every write, sync and rename of a command fails once: it says so, and loses nothing."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
import yaml
from PIL import Image

from efld_tf.annotations.synthetic.render import render_face
from efld_tf.models.checkpoint import read_spec, save
from efld_tf.runtime.golden import verify
from tests import faces
from tests.errors import assert_error_line, without_progress
from tests.faults.injection import ERRORS, Commands, commands
from tests.models.test_contracts import randomised, spec_of

MODULES = ("efld_tf.cli.data", "efld_tf.data.pack", "efld_tf.cli.predict", "efld_tf.runtime.inputs",
           "efld_tf.runtime.outputs", "efld_tf.runtime.landmarker", "efld_tf.runtime.detector",
           "efld_tf.cli.train", "efld_tf.training.rounds", "efld_tf.cli.export",
           "efld_tf.exporting.export")
# What the libraries note of a run may be missing; nothing depends on it.
NOTES = re.compile(r"/(train\.log|events\.out\.tfevents\.[^/]*)$")
# What training says before it fails.
TOLD = re.compile(r"(step \d+: validation NME |resuming from step |runs/small/checkpoints/ckpt-)")
TEMPORARY = re.compile(r"\..*|.*_temp.*|.*\.tmp.*|.*\.tempstate.*")

Check = Callable[[Path], None]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    with commands(tmp_path_factory.mktemp("server"), MODULES) as running:
        yield running


def content(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*")) if path.is_file()}


def fail_each(
    server: Commands, before: Path, arguments: Sequence[object], output: str, check: Check, *,
    share: int | None = None, errors: Sequence[int] = (), again: Sequence[object] | None = None,
) -> None:
    """Runs a command once for each call, which fails, and then again.

    Args:
      before: the folder in which the command is run; each time in a copy.
      output: a pattern of what it writes there.
      check: looks at the folder after the failure, and after the next run.
      share: only so many of the calls fail, at equal distances; None for all.
      errors: each call fails with all of these; by default with one, in turns.
      again: the arguments of the next run; by default the same.
    """
    folder = before.with_name("case")
    whole = server.run(_copy(before, folder), arguments)
    assert whole.code == 0, whole.err
    assert {call.partition(" ")[0] for call in whole.calls} == {"write", "sync", "rename"}
    check(folder)
    problems = []
    count = len(whole.calls)
    numbers = range(1, count + 1) if share is None else [
        1 + int((turn + 0.5) * count / share) for turn in range(share)]
    for turn, number in enumerate(numbers):
        for error in errors or [ERRORS[turn % 2]]:
            done = server.run(_copy(before, folder), arguments, fail_at=number, error=error)
            case = f"{number} {done.calls[number - 1]}: {errno.errorcode[error]}"
            try:
                if done.code or not NOTES.search(done.calls[number - 1]):
                    assert done.code == 2, done.err
                    *told, error_line = without_progress(done.err).splitlines(keepends=True)
                    assert_error_line(error_line, os.strerror(error))
                    assert re.search(output, error_line)
                    assert all(TOLD.match(line) for line in told), told
                left = [path.name for path in folder.rglob("*") if TEMPORARY.fullmatch(path.name)]
                assert not left
                check(folder)
                done = server.run(folder, again or arguments)
                assert done.code == 0, done.err
                check(folder)
            except AssertionError as problem:
                problems.append(f"{case}: {problem}")
    assert not problems, "\n".join(problems)


def _copy(before: Path, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    return Path(shutil.copytree(before, folder, symlinks=True))


def one_of(place: str, *wholes: Mapping[str, bytes]) -> Check:
    """Whether a folder is one of some whole ones, or is not there where one of these is empty."""
    def check(folder: Path) -> None:
        assert content(folder / place) in wholes, [*content(folder / place)]

    return check


each = pytest.mark.parametrize("errors", [(), pytest.param(ERRORS, marks=pytest.mark.long)],
                               ids=["one error", "all errors"])
# All calls take half an hour.
some = pytest.mark.parametrize("share", [1, pytest.param(None, marks=pytest.mark.long)],
                               ids=["some calls", "all calls"])


@each
def test_packing(server: Commands, tmp_path: Path, errors: Sequence[int]) -> None:
    """The old faces stay until the new ones take their place."""
    before = tmp_path / "before"
    faces.write_ibug(before / "photos", 3)
    pack = ["efld-data", "pack", "ibug:photos", "packed", "--quiet", "--workers", 1, "--size"]
    wholes: list[Mapping[str, bytes]] = []
    for size in (16, 24):
        assert server.run(before, [*pack, size]).code == 0
        wholes.append(content(before / "packed"))
    assert server.run(before, [*pack, 16]).code == 0
    fail_each(server, before, [*pack, 24], "packed", one_of("packed", *wholes), errors=errors)


def _photos(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    for index in range(count):
        Image.fromarray(render_face(5, index, 96).image).save(folder / f"{index}.png")


def _check_lines(folder: Path, count: int) -> None:
    """Whether what has its own name is whole, and what has not is in whole lines."""
    for path in folder.glob("out/faces*"):
        text = path.read_text()
        assert not text or text.endswith("\n"), path.name
        if ".jsonl" in path.name:
            found = [json.loads(line)["image"] for line in text.splitlines()]
            assert found == [f"{index}.png" for index in range(len(found))], path.name
            assert path.name != "faces.jsonl" or len(found) in (1, count)
    for path in folder.glob("out/*/*"):
        if path.suffix == ".png":
            with Image.open(path) as picture:
                picture.load()
        else:
            assert path.read_text().endswith("}\n")


@each
def test_predicting(server: Commands, tmp_path: Path, errors: Sequence[int]) -> None:
    """What was found stays in whole lines, and an older table until the new one is whole."""
    before = tmp_path / "before"
    _photos(before / "photos", 2)
    save = ["--save", "json", "csv", "pts", "pictures", "--output", "out", "--quiet"]
    assert server.run(before, ["efld-predict", "photos/0.png", *save]).code == 0
    arguments = ["efld-predict", "photos", *save]
    fail_each(server, before, arguments, "out", lambda folder: _check_lines(folder, 2),
              errors=errors)


@pytest.mark.parametrize("errors", [ERRORS[:1], pytest.param(ERRORS[1:], marks=pytest.mark.long)])
def test_predicting_for_tools(server: Commands, tmp_path: Path, errors: Sequence[int]) -> None:
    """What may have been corrected is not written again: the next run is into another folder."""
    before = tmp_path / "before"
    _photos(before / "photos", 1)
    arguments = ["efld-predict", "photos", "--quiet", "--save", "coco", "cvat", "labelme", "yolo",
                 "--output"]

    def check(folder: Path) -> None:
        for path in folder.glob("*/**/*.json"):
            json.loads(path.read_text())
        for path in folder.glob("*/**/*.xml"):
            assert path.read_text().endswith("</annotations>\n")
        for path in folder.glob("*/**/*.yaml"):
            assert "kpt_names" in yaml.safe_load(path.read_text())

    fail_each(server, before, [*arguments, "out"], "out", check, errors=errors,
              again=[*arguments, "out2"])


@pytest.mark.long
@some
def test_training(server: Commands, tmp_path: Path, share: int | None) -> None:
    """The newest whole checkpoint stays, from which the same command goes on."""
    before = tmp_path / "before"
    faces.write_ibug(before / "photos", 8)
    recipe = {
        "name": "small", "output_dir": "runs", "model": {"input_size": 32},
        "heads": {"ibug51": {}},
        "data": {"cache_dir": "cache", "pack": {"size": 48}, "sources": [
            {"name": "a", "source": "ibug:photos", "heads": ["ibug51"],
             "validation_fraction": 0.25}]},
        "training": {"target_head": "ibug51", "steps": 2, "batch_size": 4, "log_interval": 1,
                     "validation_interval": 1, "checkpoint_interval": 1},
    }
    (before / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    train = ["efld-train", "recipe.yaml", "--quiet"]

    def check(folder: Path) -> None:
        run = folder / "runs" / "small"
        history = run / "validation.jsonl"
        steps = [json.loads(line)["step"] for line in history.read_text().splitlines()] \
            if history.exists() else []
        assert steps in ([], [1], [1, 2])
        if (run / "best.h5").exists():
            assert read_spec(run / "best.h5").training["step"] in (1, 2)

    fail_each(server, before, train, "runs/small|cache", check, share=share)


@pytest.mark.long
@some
def test_exporting(server: Commands, tmp_path: Path, share: int | None) -> None:
    """The old bundle stays until the new one takes its place."""
    before = tmp_path / "before"
    before.mkdir()
    spec = spec_of("efld", "mtfl5")
    save(before / "model.h5", spec, randomised(spec))
    export = ["efld-export", "model.h5", "--output", "out"]
    assert server.run(before, [*export, "--float16"]).code == 0
    old = content(before / "out")

    def check(folder: Path) -> None:
        found = content(folder / "out")
        assert found == old or {*found} == {name.replace("float16", "float32") for name in old}
        assert found == old or verify(folder / "out" / "efld_mtfl5_float32.tflite")[1]

    fail_each(server, before, [*export, "--float32"], "out", check, share=share)
