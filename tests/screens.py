"""Terminals: what a person sees of what is written to one."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import termios
from contextlib import suppress
from pathlib import Path


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True

    @property
    def screen(self) -> list[str]:
        """The lines that are seen, without those that are empty."""
        return screen(self.getvalue())


def screen(text: str) -> list[str]:
    """The lines that a terminal shows after a text, without those that are empty."""
    rows, row, column = [""], 0, 0
    for part in re.findall(r"\x1b\[A|[\r\n]|[^\r\n\x1b]+", text):
        if part == "\r":
            column = 0
        elif part == "\x1b[A":
            row -= 1
        elif part == "\n":
            row, column = row + 1, 0
            rows += [""] * (row == len(rows))
        else:
            line = rows[row].ljust(column)
            rows[row] = line[:column] + part + line[column + len(part):]
            column += len(part)
    return [line.rstrip() for line in rows if line.strip()]


def drawn(text: str) -> list[str]:
    """Everything that was ever drawn on a line, bars included, in its order."""
    return [part.rstrip() for part in re.split(r"[\r\n]|\x1b\[A", text) if part.strip()]


def run_at_terminal(command: list[str], folder: Path, stdout: Path | None = None) -> str:
    """Runs a command at a terminal of 24 x 80; what it wrote there.

    Args:
      stdout: a file for the standard output; None for the terminal, too.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with (open(stdout, "w") if stdout else os.fdopen(os.dup(theirs), "w")) as out:
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=theirs, stdin=theirs)
    os.close(theirs)
    written = b""
    with suppress(OSError):  # the end of a terminal
        while part := os.read(ours, 1 << 16):
            written += part
    os.close(ours)
    assert process.wait() == 0, written
    return written.decode()
