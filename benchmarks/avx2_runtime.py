"""A copy of the runtime that takes the processor for one without AVX-512."""

from __future__ import annotations

import shutil
from pathlib import Path

import ai_edge_litert

# XGETBV, by which a program learns which registers the system saves; and `mov al, 7`, as if it
# were those of AVX and not of AVX-512.
ASKS, ANSWER = b"\x0f\x01\xd0", b"\xb0\x07\x90"
# The library of the interpreter's kernels, and how often it asks in release 2.3.0.
KERNELS, TIMES = "libpywrap_litert_common.so", 2


def without_avx512(folder: Path) -> Path:
    """Makes the copy in a folder, which is to be in `PYTHONPATH`; returns it.

    Raises:
      SystemExit: the library that holds the kernels asks in another way, so that the copy would use
        what the processor has.
    """
    (original,) = map(Path, ai_edge_litert.__path__)
    copy = Path(shutil.copytree(original, folder / original.name))
    library = copy / KERNELS
    content = library.read_bytes()
    if content.count(ASKS) != TIMES:
        raise SystemExit(f"{library.name}: expected {TIMES} times XGETBV, found "
                         f"{content.count(ASKS)}: not the release that this was written for")
    library.write_bytes(content.replace(ASKS, ANSWER))
    return folder
