"""Annotated sources by name: `reader:path[?option=value&...]`, in commands and configs alike."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from efld_tf import config, files
from efld_tf.annotations import (
    aflw,
    aflw2000,
    asf,
    celeba,
    checked,
    coco,
    coco_wholebody,
    cofw,
    cofw68,
    dlib,
    face_synthetics,
    helen194,
    ibug,
    ivsfd,
    json_points,
    kaggle15,
    lapa,
    menpo,
    mtfl,
    muct76,
    retinaface,
    routes,
    scut,
    table,
    vw300,
    w300,
    w300lp,
    webmorph,
    wflw,
    youtube_faces,
)
from efld_tf.annotations.declared import infer_flip, schema_named
from efld_tf.annotations.format import Format
from efld_tf.annotations.placement import MEANINGS, PlacementError, Placer
from efld_tf.annotations.record import FaceRecord
from efld_tf.annotations.tools import cvat, label_studio, labelme, via, yolo
from efld_tf.errors import DataError, EfldError
from efld_tf.landmarks import schemas
from efld_tf.progress import Progress

# Every format. To add one, write its reader and name it here; `register` adds those of others.
FORMATS: dict[str, Format] = {
    format.name: format
    for format in (
        aflw.FORMAT,
        aflw2000.FORMAT,
        asf.FORMAT,
        celeba.FORMAT,
        coco.FORMAT,
        coco_wholebody.FORMAT,
        cofw.FORMAT,
        cofw68.FORMAT,
        table.FORMAT,
        cvat.FORMAT,
        dlib.FORMAT,
        face_synthetics.FORMAT,
        helen194.FORMAT,
        ibug.FORMAT,
        ivsfd.FORMAT,
        json_points.FORMAT,
        kaggle15.FORMAT,
        label_studio.FORMAT,
        labelme.FORMAT,
        lapa.FORMAT,
        menpo.FORMAT,
        mtfl.FORMAT,
        muct76.FORMAT,
        retinaface.FORMAT,
        scut.FORMAT,
        via.FORMAT,
        vw300.FORMAT,
        w300.FORMAT,
        w300lp.FORMAT,
        webmorph.FORMAT,
        wflw.FORMAT,
        yolo.FORMAT,
        youtube_faces.FORMAT,
    )
}

# Options that every source has, with their meanings.
COMMON_OPTIONS = {
    "convert": "a schema to convert to: a subset of the source's, or one that it has a conversion "
    "for (wflw98 to ibug68, as PIPNet makes WFLW-68).",
    **MEANINGS,
}

ON_ERROR = ("stop", "skip")

# How a reason says which entry of its file it is of: `annotation 99: `, `image 'a.jpg': face 2: `.
_ENTRY = re.compile(r"""(?:(?:[a-z]+ )+(?:\d+|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"): )+""", re.ASCII)

# The reader's name in a source that is a packed folder, which `data` reads.
PACKED = "packed"


@dataclass(frozen=True)
class Source:
    """A parsed `reader:path[?option=value&...]`."""

    reader: str
    path: Path
    options: dict[str, str]

    @property
    def folder(self) -> Path:
        """The folder to which the names of its images are relative."""
        return self.path if self.path.is_dir() else self.path.parent

    def __str__(self) -> str:
        options = "&".join(f"{name}={value}" for name, value in self.options.items())
        return f"{self.reader}:{self.path}" + (f"?{options}" if options else "")


@dataclass(frozen=True)
class Annotations:
    """The faces of a source.

    Attributes:
      source: where they come from.
      schema: the schema of all of them.
      records: the faces in the order of the source.
      skipped: the errors that were passed over.
      excluded: those keys to exclude that are in the source.
      notes: what the user should know of the faces: how they were converted, or that there are not
        as many as the publishers count.
    """

    source: Source
    schema: str
    records: list[FaceRecord]
    skipped: list[DataError]
    excluded: frozenset[str] = frozenset()
    notes: list[str] = field(default_factory=list)


def register(format: Format) -> Format:
    """Makes a format known to this process: its sources can then be named like any other.

    Raises:
      EfldError: there is a format of that name already, or it is no name for one.
    """
    if not re.fullmatch(r"[a-z]\w*", format.name, re.ASCII) or format.name == PACKED:
        raise EfldError(f"no name for a reader: {format.name!r}")
    if format.name in FORMATS:
        raise EfldError(f"there is a reader named {format.name!r}: choose another name")
    FORMATS[format.name] = format
    return format


def parse(text: str, extra_readers: tuple[str, ...] = ()) -> Source:
    """Parses `reader:path[?option=value&...]`; `${NAME}` in it is that environment variable.

    Args:
      extra_readers: names of readers to accept beside those of `FORMATS`.

    Raises:
      EfldError: the form or the reader's name is wrong, or a variable is not set.
    """
    text = config.expand(text)
    reader, colon, location = text.partition(":")
    names = sorted([*FORMATS, *extra_readers])
    if not colon or not location:
        known_names = ", ".join(names)
        raise EfldError(f"source {text!r}: expected reader:path, with a reader of {known_names}")
    if reader not in names:
        route = routes.ROUTES.get(reader.casefold())
        raise EfldError(f"source {text!r}: unknown reader {reader!r}; "
                        + (route or f"known: {', '.join(names)}"))
    path, _, query = location.partition("?")
    options = {}
    for item in filter(None, query.split("&")):
        name, equals, value = item.partition("=")
        if not equals:
            raise EfldError(f"source {text!r}: expected option=value after '?', got {item!r}")
        options[name] = value
    return Source(reader, Path(path).expanduser(), options)


def declare_schema(source: str) -> None:
    """Registers the schema file that a source's option `schema` names, if it has one.

    Raises:
      EfldError: the source is malformed, or the file is not a schema.
    """
    if "schema=" in source.partition("?")[2]:
        schema_named(parse(source).options["schema"])


def stream(
    source: str | Source, notes: list[str] | None = None
) -> Iterator[FaceRecord | DataError]:
    """Yields the faces of a source one by one, in a fixed order and with their keys, or errors.

    Errors are yielded, not raised, so that a caller may go on after them.

    Args:
      notes: gets what the user should know of the faces.

    Raises:
      EfldError: the source is malformed or does not exist, or has an unknown option.
    """
    if isinstance(source, str):
        source = parse(source)
    if source.reader not in FORMATS:
        raise EfldError(f"source {source}: not a source of annotated photos")
    format = FORMATS[source.reader]
    common = {name: source.options[name] for name in COMMON_OPTIONS if name in source.options}
    reader_options = {name: value for name, value in source.options.items() if name not in common}
    for name in reader_options:
        if name not in format.options:
            available = ", ".join([*format.options, *COMMON_OPTIONS])
            raise EfldError(
                f"source {source}: unknown option {name!r}; reader {source.reader} has {available}"
            )
    if not source.path.exists():
        raise EfldError(
            f"source {source}: {source.path} does not exist{files.whence(source.path)}; "
            f"expected {format.path}: {format.layout}")
    if source.path.is_dir() and "FOLDER" not in format.path:
        route = routes.nearest(source.path, "")
        raise EfldError(f"source {source}: expected {format.path}, got a folder"
                        + (f"; {route}" if route else ""))
    notes = [] if notes is None else notes
    convert = common.pop("convert", None)
    said = reader_options.get("origin")
    origin = said or (format.default("origin") if "origin" in format.options else None) or "0"
    known = float(origin) if origin in ("0", "0.5", "1") else 0.0  # the reader refuses others
    placer = Placer(source.path, (known, said is not None), **common)
    items = format.read(source.path, **reader_options)
    return _with_routes(
        checked.faces(items, source.folder, notes, placer, convert), source)


def read(
    source: str | Source, on_error: str = "stop", exclude: frozenset[str] = frozenset(), *,
    progress: bool = False,
) -> Annotations:  # fmt: skip
    """Reads every face of a source, in a fixed order.

    Args:
      on_error: `stop` raises the first bad annotation, `skip` collects them.
      exclude: keys of faces to leave out, and `error_key`s of errors to pass over; the path alone
        passes over all errors of entries of that file, as lists had it once. What is wrong with the
        whole source is never passed over.
      progress: whether to show how far it is.

    Raises:
      EfldError: the source is malformed, does not exist, has no faces or mixes schemas.
      DataError: an annotation is bad, with `on_error="stop"`.
    """
    if on_error not in ON_ERROR:
        raise EfldError(f"on_error must be one of {', '.join(ON_ERROR)}, got {on_error!r}")
    if isinstance(source, str):
        source = parse(source)
    records: list[FaceRecord] = []
    skipped: list[DataError] = []
    excluded: set[str] = set()
    notes: list[str] = []
    with Progress(f"annotations of {source.path.name}", None, "face", shown=progress) as bar:
        for item in bar.over(stream(source, notes)):
            if isinstance(item, PlacementError) and item.whole_source:
                raise item
            keys = [item.key] if isinstance(item, FaceRecord) else _error_keys(item, source.folder)
            if listed := [key for key in keys if key in exclude]:
                excluded.add(listed[0])
            elif isinstance(item, FaceRecord):
                records.append(item)
            elif on_error == "stop":
                raise item
            else:
                skipped.append(item)
    schema_names = sorted({record.schema for record in records})
    if not schema_names and excluded and not skipped:
        raise EfldError(f"source {source}: all of its {len(excluded)} faces are excluded")
    if not schema_names and skipped:
        raise EfldError(f"source {source}: none of its {len(skipped)} faces can be used; the "
                        f"first: {skipped[0]}")
    if not schema_names:
        raise no_face(source, notes)
    if len(schema_names) > 1:
        several = ", ".join(schema_names)
        raise EfldError(f"source {source}: annotations of several schemas: {several}"
                        + _common_schema(schema_names))
    if schemas.get(schema_names[0]).flip is None:
        notes.append(infer_flip(records))
    notes += _count_note(source, len(records) + len(skipped) + len(excluded))
    return Annotations(source, schema_names[0], records, skipped, frozenset(excluded), notes)


def _common_schema(names: Sequence[str]) -> str:
    """The option that makes faces of several schemas alike, for a message; "" if there is none."""
    known = [{name, *schemas.get(name).subsets, *schemas.get(name).conversions} for name in names]
    common = sorted(set.intersection(*known))
    return f"; say convert={common[0]} to read all of them as that" if common else ""


def no_face(source: Source, notes: Sequence[str] = ()) -> EfldError:
    """The error for a source in which its reader finds nothing.

    Args:
      notes: those of the reader, such as what it left out.
    """
    format = FORMATS[source.reader]
    route = routes.nearest(source.path, source.reader)
    return EfldError("; ".join([
        f"source {source}: no annotated face found", *notes,
        f"expected {format.path}: {format.layout}", *([route] if route else []),
    ]))


def error_key(error: DataError, folder: Path) -> str:
    """The name of an error in an exclusion list, with the path in the source.

    `PATH:LINE`, `PATH:ENTRY` if the file has no lines but the reason names the entry, as in
    `faces.json:annotation 99`, or `PATH`.
    """
    return _error_keys(error, folder)[0]


def _error_keys(error: DataError, folder: Path) -> list[str]:
    """The names by which an error can be excluded, the most exact one first."""
    path = os.path.relpath(error.path, folder)
    if error.line is not None:
        return [f"{path}:{error.line}"]
    if isinstance(error, PlacementError):  # its path is the face's key
        return [path]
    entry = _ENTRY.match(error.reason)
    return [f"{path}:{entry[0].removesuffix(': ')}", path] if entry else [path]


def _count_note(source: Source, faces: int) -> list[str]:
    """A note if a split does not have as many faces as its publishers count."""
    format = FORMATS[source.reader]
    if not format.faces:
        return []
    split = source.options.get("split", format.default("split"))
    assert split is not None  # readers of published splits have a default split
    if faces == format.faces[split]:
        return []
    return [f"the split {split} has {faces} faces here and {format.faces[split]} officially"]


def _with_routes(
    items: Iterator[FaceRecord | DataError], source: Source
) -> Iterator[FaceRecord | DataError]:
    """Adds what a file looks like to the errors of a reader that it was not made for."""

    def told(error: DataError) -> DataError:
        route = None
        if error.path == source.path and not isinstance(error, PlacementError):
            route = routes.nearest(source.path, source.reader)
        if route is None:
            return error
        if not route.startswith(routes.LIKE):  # what is wrong with it as text is no help
            return DataError(error.path, route)
        return DataError(error.path, f"{error.reason}; {route}", error.line)

    first = True
    try:
        for item in items:
            yield told(item) if first and isinstance(item, DataError) else item
            first = False
    except DataError as error:
        raise (told(error) if first else error) from error
