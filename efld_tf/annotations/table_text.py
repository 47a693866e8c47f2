"""Splits the text of a table into lines of cells, as spreadsheets and pandas write them."""

from __future__ import annotations

import csv
import io
import re
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from efld_tf.annotations import parsing
from efld_tf.errors import DataError, EfldError

DELIMITERS = {"tab": "\t", "space": None}
# Those that a header is searched for. Where commas are as frequent, they are in the numbers.
COMMON_DELIMITERS = ("\t", ";", "|", ",")

# A cell in quotes may have line breaks, up to so many.
MAX_CELL_LINES = 100

NOT_CLOSED = "a quote in it is not closed: close it, or write \"\" for a quote in a cell"

Line = tuple[int, str]
Row = tuple[int, list[str]]


def checked_delimiter(option: str) -> str | None:
    """What the option `delimiter` says: a character, None for spaces, "" for what the table says.

    Raises:
      EfldError: it is none of them.
    """
    if option in DELIMITERS:
        return DELIMITERS[option]
    if len(option) > 1 or (option in '"\r\n' and option):
        raise EfldError(f"delimiter: expected a character, tab or space, got {option!r}")
    return option


class _Lines:
    """Numbered lines that can be given back."""

    def __init__(self, lines: Iterator[Line]) -> None:
        self._lines = lines
        self._again: deque[Line] = deque()

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> Line:
        return self._again.popleft() if self._again else next(self._lines)

    def give_back(self, lines: Sequence[Line]) -> None:
        self._again.extendleft(reversed(lines))


def rows(path: Path, delimiter: str | None, with_header: bool) -> Iterator[Row | DataError]:
    """The stripped cells of each line that is not empty, with its number.

    Args:
      delimiter: as `checked_delimiter` gives it.
      with_header: whether comments before the first line, which start with `#`, are left out.

    Raises:
      DataError: as in `_read`, or the table's first line says another delimiter.
    """
    lines = _Lines(_read(path))
    first = next(lines, (1, ""))
    if said := re.fullmatch(r"sep=(.)\s*", first[1], re.IGNORECASE):
        if delimiter not in ("", said[1]):
            raise DataError(path, f"its first line says {first[1].strip()!r}, not delimiter="
                                  f"{delimiter or 'space'}", 1)
        delimiter = said[1]
    else:
        lines.give_back([first])
    if with_header:
        _skip_comments(lines, delimiter)
    if delimiter == "":
        first = next((line for line in lines if line[1].strip()), (1, ""))
        delimiter = _delimiter_of(first[1])
        lines.give_back([first])
    records = ((number, text.split()) for number, text in lines) if delimiter is None \
        else _records(path, lines, delimiter)
    for record in records:
        if isinstance(record, DataError):
            yield record
            continue
        number, cells = record[0], [cell.strip() for cell in record[1]]
        if any("\ufffd" in cell for cell in cells):
            yield DataError(path, "not a text in UTF-8 or UTF-16: save the table as UTF-8", number)
        elif any(cells):
            yield number, cells


def _delimiter_of(line: str) -> str:
    return max(COMMON_DELIMITERS, key=line.count) if any(
        map(line.count, COMMON_DELIMITERS)) else ","


def _skip_comments(lines: _Lines, delimiter: str | None) -> None:
    """Skips the lines before the header that start with `#`.

    The last of them is the header itself if it has as many cells as the next line, as those that
    numpy's savetxt writes.
    """
    comment: Line | None = None
    for number, text in lines:
        if not text.strip():
            continue
        if not text.startswith("#"):
            lines.give_back([(number, text)])
            mark = _delimiter_of(text) if delimiter == "" else delimiter
            if comment and 1 < len(comment[1].split(mark)) == len(text.split(mark)):
                lines.give_back([comment])
            return
        comment = number, text.lstrip("# ")


def _records(path: Path, lines: _Lines, delimiter: str) -> Iterator[Row | DataError]:
    """The cells of each line, or of several lines where a cell in quotes has line breaks.

    A quote that is not closed would make one cell of all lines up to the next quote. It is an error
    of its line, and the lines after it are read as lines of their own.
    """
    count = 0
    for number, text in lines:
        further: list[Line] = []
        if '"' not in text:
            cells = text.rstrip("\r\n").split(delimiter)
        else:
            try:
                cells = next(csv.reader(_texts(text, lines, further), delimiter=delimiter,
                                        strict=True))
            except csv.Error as error:
                lines.give_back(further)
                closed = not further and "unexpected end" not in str(error)
                yield DataError(path, f"not a line of a table: {error}" if closed else NOT_CLOSED,
                                number)
                continue
            if further and (len(cells) < count or _holds_a_line(cells, delimiter, count)):
                lines.give_back(further)
                yield DataError(path, NOT_CLOSED, number)
                continue
        if not count and any(map(str.strip, cells)):
            count = len(cells)
        yield number, cells


def _texts(text: str, lines: _Lines, further: list[Line]) -> Iterator[str]:
    """A text, and those of the lines after it, which are also put into `further`."""
    yield text
    for line in islice(lines, MAX_CELL_LINES):
        further.append(line)
        yield line[1]


def _holds_a_line(cells: Sequence[str], delimiter: str, count: int) -> bool:
    """Whether a line of a cell is one of a table of `count` columns."""
    parts = [cell.splitlines() for cell in cells]
    return any(len(lines) > 1 and any(line.count(delimiter) >= max(count - 1, 1) for line in lines)
               for lines in parts)


def _read(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a text in UTF-8 or UTF-16, whatever ends them, with their numbers.

    Raises:
      DataError: the file cannot be read, or has a line longer than `parsing.MAX_LINE_BYTES`.
    """
    try:
        with parsing.open_limited(path) as file:
            start = file.read(2)
            file.seek(0)
            encoding = "utf-8-sig"
            if start in (b"\xff\xfe", b"\xfe\xff"):
                encoding = "utf-16"
            elif 0 in start:
                encoding = "utf-16-le" if start[0] else "utf-16-be"
            text = io.TextIOWrapper(file, encoding, "replace", newline="")
            number = 0
            while line := text.readline(parsing.MAX_LINE_BYTES + 1):
                number += 1
                if len(line) > parsing.MAX_LINE_BYTES:
                    raise DataError(
                        path, f"a line longer than {parsing.MAX_LINE_BYTES} bytes", number)
                yield number, line
    except OSError as error:
        raise DataError(path, f"cannot be read: {error.strerror}") from error
