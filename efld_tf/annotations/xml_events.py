"""Reads XML piece by piece: the starts and ends of elements, without building a tree.

Files come from strangers: document types, and with them entities, are refused, and tags, texts and
the depth are bounded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.parsers import expat

from efld_tf.annotations import parsing
from efld_tf.errors import DataError

MAX_FILE_BYTES = 1 << 30
CHUNK_BYTES = 1 << 16

# A tag takes about 100 bytes, and that of a mask some 10 kB. Longer ones would be collected in
# memory.
MAX_TAG_BYTES = 1 << 20

# The formats read here have less than 10 levels.
MAX_DEPTH = 100

# Texts are read as far as this.
MAX_TEXT = 1 << 16


class Event(NamedTuple):
    """The start or the end of an element.

    Attributes:
      tag: the element's name.
      attributes: its attributes at its start, None at its end.
      text: at its end, the text behind the last tag in it, stripped.
      line: the line in the file.
    """

    tag: str
    attributes: dict[str, str] | None
    text: str
    line: int


def read(path: Path, root: str, program: str) -> Iterator[Event | DataError]:
    """The events of a file; an error in the XML is the last item, since nothing follows it.

    Args:
      root: the tag of the outermost element.
      program: whose files these are, for messages.

    Raises:
      DataError: the file cannot be read or is too large.
    """
    parser = _Parser(path, root, program)
    try:
        with parsing.open_limited(path, MAX_FILE_BYTES) as file:
            final = False
            while not final:
                chunk = file.read(CHUNK_BYTES)
                final = not chunk
                error = parser.feed(chunk, final)
                while parser.events:
                    yield parser.events.popleft()
                if error:
                    yield error
                    return
    except OSError as error:
        raise DataError(path, f"cannot be read: {error.strerror}") from error


class _Parser:
    """Collects the events of expat."""

    def __init__(self, path: Path, root: str, program: str):
        self._path, self._root, self._program = path, root, program
        self._depth = self._text_length = 0
        self._texts: list[str] = []
        self._fed = self._reached = 0
        self.events: deque[Event] = deque()
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        self._parser.CommentHandler = self._comment
        # Entities can only be declared in a document type; without one there is nothing to expand.
        self._parser.StartDoctypeDeclHandler = self._doctype

    def feed(self, chunk: bytes, final: bool) -> DataError | None:
        """Parses the next chunk; after an error is returned, no more may be fed."""
        try:
            self._parser.Parse(chunk, final)
        except DataError as error:
            return error
        except expat.ExpatError as error:
            message = expat.errors.messages.get(error.code, "malformed")
            return DataError(self._path, f"not XML that can be read: {message}", error.lineno)
        except (LookupError, ValueError):
            return DataError(self._path, "not XML that can be read: of an unknown encoding", 1)
        self._fed += len(chunk)
        if self._fed - self._reached > MAX_TAG_BYTES:
            return self._error(f"expected tags, got more than {MAX_TAG_BYTES} bytes without one")
        return None

    def _error(self, reason: str) -> DataError:
        return DataError(self._path, reason, self._parser.CurrentLineNumber)

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._reached = self._parser.CurrentByteIndex
        self._depth += 1
        if self._depth == 1 and tag != self._root:
            raise self._error(
                f"expected {self._program}'s <{self._root}>, got <{parsing.shorten(tag)}>")
        if self._depth > MAX_DEPTH:
            raise self._error(f"expected at most {MAX_DEPTH} elements in each other")
        self._take_text()
        self.events.append(Event(tag, attributes, "", self._parser.CurrentLineNumber))

    def _end(self, tag: str) -> None:
        self._reached = self._parser.CurrentByteIndex
        self._depth -= 1
        self.events.append(Event(tag, None, self._take_text(), self._parser.CurrentLineNumber))

    def _take_text(self) -> str:
        text = "".join(self._texts).strip()
        self._texts, self._text_length = [], 0
        return text

    def _text(self, text: str) -> None:
        self._reached = self._parser.CurrentByteIndex
        if self._text_length < MAX_TEXT:
            self._texts.append(text[: MAX_TEXT - self._text_length])
            self._text_length += len(text)

    def _comment(self, _: str) -> None:
        self._reached = self._parser.CurrentByteIndex

    def _doctype(self, *_: object) -> None:
        raise self._error(f"a document type is not accepted: {self._program}'s files have none")
