"""What the benchmarks share: the test sets, and how they run the project's commands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HELEN_TEST = "ibug:${EFLD_DATA}/ibug/helen/testset"
YOUTUBE_TEST = "youtube_faces:${EFLD_DATA}/youtube_faces?identities=test"


def command(*words: object) -> None:
    """Runs one of the project's commands."""
    print("$", *words, flush=True)
    program = Path(sys.executable).parent / str(words[0])
    subprocess.run([str(program), *map(str, words[1:])], check=True)
