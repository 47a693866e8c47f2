"""Makes untrusted texts, such as names of files, harmless to show."""

from __future__ import annotations


def printable(text: str) -> str:
    """Makes a text one line that is harmless to a terminal; other characters are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode()
                   for c in text)


def counted(number: int, noun: str) -> str:
    """A number with its noun: `no face`, `1 face`, `2 faces`."""
    return f"no {noun}" if not number else f"{number} {noun}{'s' if number > 1 else ''}"


def label(text: str) -> str:
    """Escapes a text for Matplotlib, so that a `$` does not begin a formula."""
    return printable(text).replace("$", r"\$")
