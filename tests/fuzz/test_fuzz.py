"""What fuzzing has found stays mended, it finds more, and a minute of it finds nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from efld_tf import hdf5
from tests.fuzz import targets

TARGETS = targets.targets()
# For all targets together, on one core; `make fuzz` takes hours.
SECONDS = 10


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_the_kept_inputs(target: targets.Target, tmp_path: Path,
                         monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5, "_try", hdf5._try)  # targets replace it
    parse = target.load()
    inputs = targets.first_inputs(target)
    assert inputs or "CI" not in os.environ
    for content in inputs:
        targets.stands(parse, tmp_path, content)


def test_the_corpus_stays_small_and_has_no_other_targets() -> None:
    assert {path.name for path in targets.CORPUS.iterdir()} == {*TARGETS} - {*targets.REAL_SEEDS}
    assert sum(path.stat().st_size for path in targets.CORPUS.glob("*/*")) < 1_000_000


def fuzz(work: Path, *arguments: object, script: str = "") -> subprocess.CompletedProcess[str]:
    start = ["-c", script] if script else ["-m", "tests.fuzz"]
    return subprocess.run(
        [sys.executable, *start, "--work", str(work), *map(str, arguments)], check=False,
        capture_output=True, text=True, cwd=Path(__file__).parents[2],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"})


@pytest.mark.skipif(sys.platform != "linux", reason="Atheris has wheels for Linux alone")
@pytest.mark.long
def test_a_while_of_fuzzing_finds_nothing(tmp_path: Path) -> None:
    done = fuzz(tmp_path, "--seconds", SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    tried = {name: int(rest.split()[0]) for name, _, rest in
             (line.partition(": ") for line in done.stdout.splitlines()) if "inputs" in rest}
    assert tried.keys() == TARGETS.keys()
    assert min(tried.values()) > 0


# A parser that fails on inputs that begin with three letters, found one by one; and one that waits.
_BROKEN = """
import sys, time
import atheris
from pathlib import Path
from tests.fuzz import __main__, engine, targets

@atheris.instrument_func
def parse(folder, content):
    if content[:1] == b"b":
        if content[1:2] == b"a":
            if content[2:3] == b"d":
                raise KeyError("bad")

def waits(folder, content):
    if content:
        time.sleep(60)

targets.first_inputs = lambda target: []
targets.targets = lambda: {"broken": targets.Target("broken", lambda: parse),
                           "waiting": targets.Target("waiting", lambda: waits)}
engine.INPUT_SECONDS = 1
sys.exit(__main__.main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Atheris has wheels for Linux alone")
@pytest.mark.long
def test_what_is_found_is_told_and_kept(tmp_path: Path) -> None:
    done = fuzz(tmp_path, "--seconds", 8, script=_BROKEN)
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    (broken,) = [line for line in lines if "KeyError" in line]
    assert "--replay broken " in broken
    assert Path(broken.split()[-1]).read_bytes()[:3] == b"bad"
    assert any("1 s" in line and "--replay waiting " in line for line in lines)
