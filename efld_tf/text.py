"""Texts of strangers, such as names of files, made harmless for where they are shown."""

from __future__ import annotations


def printable(text: str) -> str:
    """A text as one line that does nothing to a terminal: what is not printable is escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode()
                   for c in text)


def label(text: str) -> str:
    """A text as Matplotlib shows it letter by letter: a `$` begins no formula."""
    return printable(text).replace("$", r"\$")
