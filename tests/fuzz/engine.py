"""Fuzzes targets in turn, guided by the coverage of the package's modules (Atheris, libFuzzer).

Modules are instrumented while they are imported, once for all targets of a process; each target
is then fuzzed in a fork of it. Needs Linux.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import atheris

from tests.fuzz import targets
from tests.fuzz.targets import Parser, Target, stands

PACKAGE = Path(__file__).parents[2] / "efld_tf"

# An input may take so long and, with everything that is loaded, so much memory.
INPUT_SECONDS = 10
MEMORY_MB = 4096
# A crash of the process ends the fuzzing of its target, which then starts again.
MOST_RESTARTS = 20
# Exit codes of the process of a target.
DONE, FOUND = 0, 1


@dataclass(frozen=True)
class Finding:
    """An input that a parser did not stand.

    Attributes:
      target: the name of the target.
      path: the file of the input.
      reason: what happened.
    """

    target: str
    path: Path
    reason: str

    def __str__(self) -> str:
        return (f"{self.target}: {self.reason}; again: "
                f"python -m tests.fuzz --replay {self.target} {self.path}")


def instrumented_targets() -> dict[str, Target]:
    """All targets; modules that are imported for their names are instrumented."""
    with atheris.instrument_imports(include=[PACKAGE.name]):
        return targets.targets()


def fuzz_all(chosen: Sequence[Target], work: Path, seconds: float) -> list[Finding]:
    """Fuzzes targets in turn, each for an equal part of the time, to which imports do not count."""
    share = seconds / len(chosen)
    found = []
    for target in chosen:
        parser = load(target)
        tried, findings = fuzz(target, parser, work, share)
        print(f"{target.name}: {tried} inputs in {share:.1f} s, {len(findings)} findings")
        for finding in findings:
            print(finding, flush=True)
        found += findings
    return found


def load(target: Target) -> Parser:
    """The parser of a target, whose modules are instrumented where they are new."""
    with atheris.instrument_imports(include=[PACKAGE.name]):
        return target.load()


def fuzz(target: Target, parser: Parser, work: Path, seconds: float) -> tuple[int, list[Finding]]:
    """Fuzzes one target for a time.

    Args:
      work: keeps new inputs in TARGET/, and what was found in findings/.

    Returns:
      The number of inputs that were tried, and the findings.
    """
    (work / target.name).mkdir(parents=True, exist_ok=True)
    for content in targets.first_inputs(target):
        digest = hashlib.sha256(content).hexdigest()[:12]
        (work / target.name / digest).write_bytes(content)
    (work / "findings").mkdir(exist_ok=True)
    before = {*_findings(target, work)}
    count_file = work / f"{target.name}.count"
    end = time.monotonic() + seconds
    tried, reasons = 0, {}
    for restart in range(MOST_RESTARTS):
        count_file.write_text("0")
        sys.stdout.flush()
        child = os.fork()
        if not child:
            _run(target, parser, work, end, restart)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        tried += int(count_file.read_text())
        new = [path for path in _findings(target, work) if path not in before | {*reasons}]
        for path in new:
            note = path.with_suffix(".txt")
            reasons[path] = note.read_text() if note.exists() else _died(path, status)
        if status in (DONE, FOUND) or time.monotonic() > end:
            break
    count_file.unlink()
    return tried, [Finding(target.name, path, reason) for path, reason in reasons.items()]


def _findings(target: Target, work: Path) -> list[Path]:
    return [path for path in sorted((work / "findings").glob(f"{target.name}-*"))
            if path.suffix != ".txt"]


def _died(path: Path, status: int) -> str:
    kind = path.name.rpartition("-")[0].rpartition("-")[2]
    if kind == "timeout":
        return f"takes longer than {INPUT_SECONDS} s"
    if kind == "oom":
        return f"takes more than {MEMORY_MB} MB"
    return f"the process dies ({signal.Signals(-status).name if status < 0 else status})"


def _run(target: Target, parser: Parser, work: Path, end: float, restart: int) -> None:
    """Fuzzes until the end, in a process of its own, which it ends."""
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
    log = os.open(work / f"{target.name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(log, 1)
    os.dup2(log, 2)
    tried = 0
    places: set[str] = set()

    def finish() -> None:
        (work / f"{target.name}.count").write_text(str(tried))
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(FOUND if places else DONE)

    def test_one(content: bytes) -> None:
        nonlocal tried
        if tried and time.monotonic() > end:
            finish()
        tried += 1
        if tried % 256 == 0:  # for a process that dies
            (work / f"{target.name}.count").write_text(str(tried))
        try:
            stands(parser, folder, content)
        except Exception as error:
            place = _place(error)
            if place not in places:
                places.add(place)
                digest = hashlib.sha256(place.encode()).hexdigest()[:12]
                path = work / "findings" / f"{target.name}-{digest}"
                path.write_bytes(content)
                path.with_suffix(".txt").write_text(place)

    atheris.Setup(
        [sys.argv[0], str(work / target.name),
         f"-artifact_prefix={work}/findings/{target.name}-", f"-timeout={INPUT_SECONDS}",
         f"-rss_limit_mb={MEMORY_MB}", f"-seed={restart + 1}", f"-max_len={target.max_bytes}",
         "-print_final_stats=0", "-verbosity=1", "-reload=0"], test_one)
    atheris.Fuzz()


def _place(error: BaseException) -> str:
    """What was raised and where: the same kinds of findings have the same."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(PACKAGE)] or frames
    where = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}"
    return f"{type(error).__name__} at {where}: {error}"[:200]
