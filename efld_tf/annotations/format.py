"""The description of a reader, which `efld-data formats` lists."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from efld_tf.annotations.record import FaceRecord
from efld_tf.errors import DataError


@dataclass(frozen=True)
class Note:
    """What the user should know of the faces that a reader yields, such as what it left out."""

    text: str


# A reader yields a FaceRecord for each face, or the DataError that says why it has none; and notes.
# Its keyword-only parameters are the options that a source may give.
Reader = Callable[..., Iterator[FaceRecord | DataError | Note]]


@dataclass(frozen=True)
class Format:
    """A data set format.

    Attributes:
      name: its name, which stands before the colon of a source.
      title: the common name of the data.
      read: the reader.
      schemas: the schemas that its faces may have; empty if the user declares one.
      path: what stands after the colon of a source, e.g. `FOLDER` or `LIST.txt`.
      layout: the files that it expects there, in one line.
      licence: what its publishers allow, in one line.
      faces: the number of faces that the publishers count in each split, for formats with splits.
    """

    name: str
    title: str
    read: Reader
    schemas: tuple[str, ...]
    path: str
    layout: str
    licence: str
    faces: Mapping[str, int] = field(default_factory=dict)

    @property
    def options(self) -> dict[str, str]:
        """The meanings of the options of this format, from the docstring of its reader."""
        described = re.findall(
            r"^      (\w+): (.*?)(?=^      \w+: |^\s*$|\Z)", self.read.__doc__ or "", re.M | re.S
        )
        meanings = {name: " ".join(text.split()) for name, text in described}
        return {
            name: meanings.get(name, "")
            for name, parameter in inspect.signature(self.read).parameters.items()
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        }

    def default(self, option: str) -> str | None:
        """The value of an option that a source does not give."""
        return inspect.signature(self.read).parameters[option].default
