"""Makes untrusted texts, such as names of files, harmless to show, and prints lines of them."""

from __future__ import annotations

import sys
from typing import TextIO

# A longer line, such as one with a stranger's value of 4 kB, is shown without its middle: its start
# names the place, and its end says what was expected.
LONGEST_LINE = 1000
_LEFT_OUT = " [...] "


def printable(text: str) -> str:
    """Makes a text one line that is harmless to a terminal; other characters are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode()
                   for c in text)


def shown(text: str, longest: int = LONGEST_LINE) -> str:
    """Makes a text one harmless line of at most `longest` characters, with its start and its end.

    Everything that a command prints of foreign texts goes through it (`say`, `say_lines`).
    """
    if len(text) > 2 * longest:  # Escapes make texts longer, and most of this is not shown.
        text = text[:longest] + text[-longest:]
        line = printable(text)
    else:
        line = printable(text)
        if len(line) <= longest:
            return line
    end = (longest - len(_LEFT_OUT)) // 3
    return line[:longest - len(_LEFT_OUT) - end] + _LEFT_OUT + line[len(line) - end:]


def say(text: str, stream: TextIO | None = None) -> None:
    """Prints a text as one line, as it is `shown`, on a stream (default: standard output)."""
    # A pipe may show the lines of a long run.
    print(shown(text), file=sys.stdout if stream is None else stream, flush=True)


def say_lines(text: str, stream: TextIO | None = None) -> None:
    """Prints the lines of a text, such as a table, each as it is `shown`."""
    for line in text.split("\n"):
        say(line, stream)


def counted(number: int, noun: str) -> str:
    """A number with its noun: `no face`, `1 face`, `2 faces`."""
    return f"no {noun}" if not number else f"{number} {noun}{'s' if number > 1 else ''}"


def label(text: str) -> str:
    """Escapes a text for Matplotlib, so that a `$` does not begin a formula."""
    return printable(text).replace("$", r"\$")
