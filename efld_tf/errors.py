"""The one error type that a user of the toolkit is meant to read."""

from __future__ import annotations

from pathlib import Path


class EfldError(Exception):
    """A mistake in the input, said in one line. Commands print it and exit with code 2."""


class UnsupportedMode(EfldError):
    """A mode of export that a model cannot have; the message says why, and what it can."""


class DataError(EfldError):
    """A file that cannot be used: `path[:line]: reason`.

    Attributes:
      path: the offending file.
      reason: what was expected and what was found.
      line: 1-based line in a text file, where one is to blame.
    """

    def __init__(self, path: str | Path, reason: str, line: int | None = None):
        self.path = Path(path)
        self.reason = reason
        self.line = line
        place = f"{path}:{line}" if line is not None else f"{path}"
        super().__init__(f"{place}: {reason}")

    def __reduce__(self) -> tuple[type, tuple[Path, str, int | None]]:
        """Pickled by its parts: exceptions are otherwise made anew from their message alone."""
        return type(self), (self.path, self.reason, self.line)
