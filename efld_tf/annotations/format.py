"""What a reader says of itself: everything that `efld-data formats` lists."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from efld_tf.annotations.record import FaceRecord
from efld_tf.errors import DataError

# A reader yields a FaceRecord for each face, or the DataError that says why there is none.
# Its keyword-only parameters are the options that a source may give.
Reader = Callable[..., Iterator[FaceRecord | DataError]]


@dataclass(frozen=True)
class Format:
    """A data set format.

    Attributes:
      name: what stands before the colon of a source.
      title: what people call the data.
      read: the reader.
      schemas: the schemas that its faces may have; empty where the user declares one.
      path: what stands behind the colon, e.g. `FOLDER` or `LIST.txt`.
      layout: the files it expects there, in one line.
      licence: what its publishers allow, in one line.
      faces: how many faces the publishers count in each split, for formats with that option.
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
        """What each option means that a source of this format may give, as its reader says."""
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
