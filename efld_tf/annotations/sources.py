"""Annotated sources by name: `reader:path[?option=value&...]`, in commands and configs alike."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from efld_tf import config
from efld_tf.annotations import ibug, mtfl, scut, wflw, youtube_faces
from efld_tf.annotations.record import FaceRecord
from efld_tf.errors import DataError, EfldError
from efld_tf.landmarks import schemas

# A reader yields a FaceRecord for each face, or the DataError that says why there is none.
# Its keyword-only parameters are the options that a source may give.
Reader = Callable[..., Iterator[FaceRecord | DataError]]

READERS: dict[str, Reader] = {
    "ibug": ibug.read,
    "mtfl": mtfl.read,
    "scut": scut.read,
    "wflw": wflw.read,
    "youtube_faces": youtube_faces.read,
}

ON_ERROR = ("stop", "skip")


@dataclass(frozen=True)
class Source:
    """A parsed `reader:path[?option=value&...]`."""

    reader: str
    path: Path
    options: dict[str, str]

    def __str__(self) -> str:
        options = "&".join(f"{name}={value}" for name, value in self.options.items())
        return f"{self.reader}:{self.path}" + (f"?{options}" if options else "")


@dataclass(frozen=True)
class Annotations:
    """The faces of a source, and the errors of those that were skipped."""

    source: Source
    schema: str
    records: list[FaceRecord]
    skipped: list[DataError]


def parse(text: str, known: tuple[str, ...] = ()) -> Source:
    """Parses `reader:path[?option=value&...]`; `${NAME}` in it is that environment variable.

    Args:
      known: names to accept beside those of `READERS`.

    Raises:
      EfldError: the form or the reader's name is wrong, or a variable is not set.
    """
    text = config.expand(text)
    reader, colon, rest = text.partition(":")
    names = sorted([*READERS, *known])
    if not colon or not rest:
        known_names = ", ".join(names)
        raise EfldError(f"source {text!r}: expected reader:path, with a reader of {known_names}")
    if reader not in names:
        raise EfldError(f"source {text!r}: unknown reader {reader!r}; known: {', '.join(names)}")
    path, _, query = rest.partition("?")
    options = {}
    for item in filter(None, query.split("&")):
        name, equals, value = item.partition("=")
        if not equals:
            raise EfldError(f"source {text!r}: expected option=value after '?', got {item!r}")
        options[name] = value
    return Source(reader, Path(path).expanduser(), options)


def read(source: str | Source, on_error: str = "stop") -> Annotations:
    """Reads every face of a source, in a fixed order.

    Args:
      on_error: `stop` raises the first bad annotation, `skip` collects them.

    Raises:
      EfldError: the source is malformed, does not exist, has no faces or mixes schemas.
      DataError: a bad annotation, with `on_error="stop"`.
    """
    if on_error not in ON_ERROR:
        raise EfldError(f"on_error must be one of {', '.join(ON_ERROR)}, got {on_error!r}")
    if isinstance(source, str):
        source = parse(source)
    if source.reader not in READERS:
        raise EfldError(f"source {source}: not a source of annotated photos")
    reader = READERS[source.reader]
    allowed = [
        name for name, parameter in inspect.signature(reader).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    for name in source.options:
        if name not in allowed:
            raise EfldError(
                f"source {source}: unknown option {name!r}; "
                f"reader {source.reader} has {', '.join(allowed) or 'none'}"
            )
    if not source.path.exists():
        raise EfldError(f"source {source}: {source.path} does not exist")
    records: list[FaceRecord] = []
    skipped: list[DataError] = []
    for item in reader(source.path, **source.options):
        if isinstance(item, FaceRecord) and not _normalisable(item):
            item = DataError(item.image, "its eyes coincide: there is no distance to normalise by")
        if isinstance(item, FaceRecord):
            records.append(item)
        elif on_error == "stop":
            raise item
        else:
            skipped.append(item)
    found = sorted({record.schema for record in records})
    if not found:
        raise EfldError(f"source {source}: no annotated face found")
    if len(found) > 1:
        raise EfldError(f"source {source}: annotations of several schemas: {', '.join(found)}")
    return Annotations(source, found[0], records, skipped)


def _normalisable(record: FaceRecord) -> bool:
    return schemas.get(record.schema).normaliser.distance(record.points) != 0
