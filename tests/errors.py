"""What a refusal must tell a user: the facts, in one line. How it words them is free."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from efld_tf.errors import DataError, EfldError


@contextmanager
def refuses(
    *facts: object, path: Path | str | None = None, line: int | None = None
) -> Iterator[None]:
    """Expects an error of the project that tells the facts; see `assert_refusal`."""
    with pytest.raises(EfldError) as caught:
        yield
    assert_refusal(caught.value, *facts, path=path, line=line)


def assert_refusal(
    error: Exception, *facts: object, path: Path | str | None = None, line: int | None = None
) -> None:
    """An error tells the facts in one line, and where they are.

    Args:
      facts: what a user needs, and what tells this refusal from others: the key or option, the
        value found, the names known. Each stands in the message, but not merely in its path.
      path: the file at fault. The error is a `DataError` of it, and of the line.
      line: 1-based; without one, the error names no line.
    """
    message = str(error)
    kind = EfldError if path is None else DataError
    assert isinstance(error, kind), f"no {kind.__name__}: {error!r}"
    assert message.isprintable(), f"more than a line of text: {message!r}"
    if path is not None:
        found = error.path, error.line
        assert found == (Path(path), line), f"expected {path}, line {line}: {message}"
    assert_told(error.reason if isinstance(error, DataError) else message, *facts)


def assert_told(text: str, *facts: object) -> None:
    """A line of the text tells all facts, as words of their own: 3 is not found in 3.5 or 13."""
    patterns = [rf"(?<![\w.-]){re.escape(str(fact))}(?!\w|[.-]\w)" for fact in facts]
    assert any(all(re.search(pattern, line) for pattern in patterns)
               for line in text.splitlines()), f"no line tells all of {facts}: {text}"


def assert_error_line(err: str, *facts: object) -> None:
    """A command has printed to stderr one line alone, `error: ...`, that tells the facts."""
    assert err.startswith("error: ") and err.endswith("\n"), f"no error: {err!r}"
    assert err[:-1].isprintable(), f"more than a line of text: {err!r}"
    assert_told(err, *facts)


def without_progress(text: str) -> str:
    """What a command says beside how far it is, which it tells where a machine is slow."""
    return re.sub(r"^[a-z ]+: +\d+% .*\n", "", text, flags=re.M)
