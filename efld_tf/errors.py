"""The errors whose messages are written for the users of the toolkit."""

from __future__ import annotations

from pathlib import Path


class EfldError(Exception):
    """A mistake in the input, described in one line; commands print it and exit with code 2."""


class UnsupportedMode(EfldError):
    """A mode in which a model cannot be exported; the message says why and what is possible."""


class DataError(EfldError):
    """A file that cannot be used; the message is `path[:line]: reason`.

    Attributes:
      path: the offending file.
      reason: what was expected and what was found.
      line: the offending line of a text file, counted from 1; None where there is no such line.
    """

    def __init__(self, path: str | Path, reason: str, line: int | None = None):
        self.path = Path(path)
        self.reason = reason
        self.line = line
        place = f"{path}:{line}" if line is not None else f"{path}"
        super().__init__(f"{place}: {reason}")

    def __reduce__(self) -> tuple[type, tuple[Path, str, int | None]]:
        """Pickles the error by its parts, because others are restored from their message alone."""
        return type(self), (self.path, self.reason, self.line)
