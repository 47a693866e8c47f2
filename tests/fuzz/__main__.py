"""`python -m tests.fuzz`: fuzzes all targets, or replays inputs."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.fuzz import engine
from tests.fuzz.targets import stands


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", help="default: all")
    parser.add_argument("--seconds", type=float, default=60, help="in total (default: 60)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: 1)")
    parser.add_argument("--work", type=Path, default=Path("runs/fuzz"),
                        help="a folder for new inputs and findings (default: runs/fuzz)")
    parser.add_argument("--replay", action="store_true",
                        help="TARGET FILE...: shows what inputs raise, instead of fuzzing")
    arguments = parser.parse_args(argv)
    known = engine.instrumented_targets()
    names = arguments.targets[: 1 if arguments.replay else None]
    if unknown := {*names} - {*known}:
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    if arguments.replay:
        parse = known[names[0]].load()
        with tempfile.TemporaryDirectory() as folder:
            for path in arguments.targets[1:]:
                stands(parse, Path(folder), Path(path).read_bytes())
        return 0
    chosen = [known[name] for name in names or known]
    if arguments.jobs == 1:
        return 1 if engine.fuzz_all(chosen, arguments.work.absolute(), arguments.seconds) else 0
    processes = [
        subprocess.Popen([sys.executable, "-m", "tests.fuzz", "--seconds", str(arguments.seconds),
                          "--work", str(arguments.work), *(target.name for target in part)])
        for part in (chosen[index :: arguments.jobs] for index in range(arguments.jobs)) if part]
    return max([process.wait() for process in processes])


if __name__ == "__main__":
    sys.exit(main())
