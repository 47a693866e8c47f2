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


def run_at_terminal(
    command: list[str], folder: Path, stdout: Path | None = None, *, stop_at: str | None = None,
    code: int = 0,
) -> str:  # fmt: skip
    """Runs a command at a terminal of 24 x 80; what it wrote there.

    Args:
      stdout: a file for the standard output; None for the terminal, too.
      stop_at: Ctrl-C is typed once this was written.
      code: the exit code.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with (open(stdout, "w") if stdout else os.fdopen(os.dup(theirs), "w")) as out:
        process = subprocess.Popen(
            command, cwd=folder, stdout=out, stderr=theirs, stdin=theirs, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))  # Ctrl-C is for it
    os.close(theirs)
    written = b""
    with suppress(OSError):  # the end of a terminal
        while part := os.read(ours, 1 << 16):
            written += part
            if stop_at is not None and stop_at.encode() in written:
                os.write(ours, b"\x03")
                stop_at = None
    os.close(ours)
    assert process.wait() == code, written
    return written.decode()
