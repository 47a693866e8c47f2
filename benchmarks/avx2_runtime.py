"""A copy of the runtime that takes the processor for one without AVX-512."""

from __future__ import annotations

import shutil
from pathlib import Path

import ai_edge_litert

# XGETBV, by which a program learns which registers the system saves; and `mov al, 7`, as if it
# were those of AVX and not of AVX-512.
ASKS, ANSWER = b"\x0f\x01\xd0", b"\xb0\x07\x90"


def without_avx512(folder: Path) -> Path:
    """Makes the copy in a folder, which is to be in `PYTHONPATH`; returns it."""
    (original,) = map(Path, ai_edge_litert.__path__)
    copy = Path(shutil.copytree(original, folder / original.name))
    for library in copy.glob("*.so"):
        content = library.read_bytes()
        if ASKS in content:
            library.write_bytes(content.replace(ASKS, ANSWER))
    return folder
