"""Converts landmark schemas from and to the fields in YAML files, packed folders and models."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from efld_tf import trees
from efld_tf.errors import EfldError
from efld_tf.landmarks.normalisers import BOX_NORMALISERS
from efld_tf.landmarks.schema import (
    ANCHORS,
    EYES,
    MOUTH,
    Conversion,
    LandmarkSchema,
    Normaliser,
    Part,
)
from efld_tf.text import shown

# Stands for a flip permutation that is inferred from the mean shape of the first faces read.
INFER = "infer"
# In a conversion, a point that the source does not have.
NONE = "none"

# No format has more points. It also bounds the memory for a stranger's `0-999,0-999,...`.
MAX_POINTS = 1000

MAX_MESSAGE = 400

# Names stand in tables, in legends and in the names of columns; titles and notes are read.
LONGEST_NAME = 100
LONGEST_TEXT = 1000


@dataclass(frozen=True)
class PartFields:
    """A part: `points` as in `SchemaFields`, the rest as in `schema.Part`."""

    points: Any
    closed: bool = False
    line: bool = True


@dataclass(frozen=True)
class NormaliserFields:
    """A normaliser: the groups of points of its two ends, as in `SchemaFields`."""

    right: Any
    left: Any


@dataclass(frozen=True)
class AnchorFields:
    """The groups of points of the four `schema.ANCHORS`, as in `SchemaFields`.

    Both eyes may be left out together, and both corners of the mouth.
    """

    right_eye: Any = None
    left_eye: Any = None
    mouth_right: Any = None
    mouth_left: Any = None


@dataclass(frozen=True)
class ConversionFields:
    """A conversion: for each point of the target a group of points, and how definitions differ.

    Attributes:
      points: `none` stands for a point of the target that is not annotated.
    """

    points: list[Any]
    note: str


@dataclass(frozen=True)
class SchemaFields:
    """The fields of a schema file; `LandmarkSchema` says what they mean.

    A group of points is an index, `3`, or a text of several, `"0-16"` or `"36,39,48-50"`.

    Attributes:
      name, title: its identifier (letters, digits and `_`), and its common name.
      parts: each part's name with its points. Together they have every point once.
      flip: the permutation as a list of indices, or `infer`.
      normalisers: each normaliser's name with its ends; the first is the default.
      anchors: the groups of points of eyes and mouth corners. Points of a part of the face have
        the pair that lies in it; what lies on one side, such as an ear or one eye, has none.
      names: the names of the points in their order; by default `PART_0`, `PART_1`, ..., or `PART`
        for a part of one point.
      subsets: for each schema that is a true subset, this schema's indices of its points.
      box: `points` or `file`.
      nose_tip: the group of the tip of the nose; left out if there is none.
      conversions: the inexact conversions, by the name of the target.
      divisor: as in `LandmarkSchema`; left out for the first of the normalisers.
    """

    name: str
    title: str
    parts: dict[str, PartFields]
    flip: Any
    normalisers: dict[str, NormaliserFields]
    anchors: AnchorFields = field(default_factory=AnchorFields)
    names: list[str] | None = None
    subsets: dict[str, Any] = field(default_factory=dict)
    box: str = "points"
    nose_tip: Any = None
    conversions: dict[str, ConversionFields] = field(default_factory=dict)
    divisor: str = ""


def from_fields(fields: Any) -> LandmarkSchema:
    """Makes a schema from the content of its file, see `SchemaFields`.

    Raises:
      EfldError: a field is unknown, missing or inconsistent.
    """
    try:
        return _from_fields(trees.from_tree(fields, SchemaFields))
    except EfldError as error:
        # Messages quote values, and those of strangers may be long.
        raise EfldError(shown(str(error), MAX_MESSAGE)) from error


def to_fields(schema: LandmarkSchema) -> dict[str, Any]:
    """The fields of a schema in a file, from which `from_fields` makes an equal one."""

    def text(indices: tuple[int, ...]) -> str:
        return ",".join(map(str, indices))

    return {
        "name": schema.name,
        "title": schema.title,
        "names": list(schema.names),
        "parts": {
            p.name: {"points": text(p.points), "closed": p.closed}
            # Schemas without such a part are written as before there were any.
            | ({} if p.line else {"line": False})
            for p in schema.parts
        },
        "flip": INFER if schema.flip is None else list(schema.flip),
        "normalisers": {
            n.name: {"right": text(n.right), "left": text(n.left)} for n in schema.normalisers
        },
        **({"anchors": {name: text(group) for name, group in schema.anchors.items()}}
           if schema.anchors else {}),
        "subsets": {name: text(indices) for name, indices in schema.subsets.items()},
        "box": schema.box,
        **({"nose_tip": text(schema.nose_tip)} if schema.nose_tip else {}),
        "conversions": {
            name: {"points": [text(group) if group else NONE for group in c.points],
                   "note": c.note}
            for name, c in schema.conversions.items()
        },
        **({"divisor": schema.divisor} if schema.divisor else {}),
    }


def _indices(value: Any, field: str) -> tuple[int, ...]:
    """Parses `3`, `"0-16"` or `"36,39"` as indices; errors name `field`."""
    result: list[int] = []
    for item in str(value).split(","):
        match = re.fullmatch(r"\s*(\d{1,3})(?:-(\d{1,3}))?\s*", item, re.ASCII)
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise EfldError(f"{field}: expected indices like 3, 0-16 or 36,39, got {value!r}")
        result.extend(range(int(match[1]), int(match[2] or match[1]) + 1))
        if len(result) > MAX_POINTS:
            raise EfldError(f"{field}: more than {MAX_POINTS} indices")
    return tuple(result)


def _names_from_parts(parts: tuple[Part, ...]) -> list[str]:
    """The names `PART_0`, `PART_1`, ... in the order of the points; `PART` if it has one point."""
    by_index = {
        point: f"{part.name}_{i}" if len(part.points) > 1 else part.name
        for part in parts
        for i, point in enumerate(part.points)
    }
    return [by_index[i] for i in sorted(by_index)]


def _part(name: str, fields: PartFields) -> Part:
    if fields.closed and not fields.line:
        raise EfldError(f"parts.{name}: closed, but without a line")
    return Part(name, _indices(fields.points, f"parts.{name}"), fields.closed, fields.line)


def _from_fields(fields: SchemaFields) -> LandmarkSchema:
    parts = tuple(_part(name, part) for name, part in fields.parts.items())
    flip = fields.flip
    if flip != INFER and not isinstance(flip, list):
        raise EfldError(f"flip: expected a list of indices or {INFER!r}, got {flip!r}")
    for place, index in enumerate(flip if flip != INFER else ()):
        if type(index) is not int:
            raise EfldError(f"flip.{place}: expected an index, got {index!r}")
    schema = LandmarkSchema(
        name=fields.name,
        title=fields.title,
        names=tuple(fields.names or _names_from_parts(parts)),
        parts=parts,
        flip=None if flip == INFER else tuple(flip),
        normalisers=tuple(
            Normaliser(name, _indices(ends.right, f"normalisers.{name}"),
                       _indices(ends.left, f"normalisers.{name}"))
            for name, ends in fields.normalisers.items()
        ),
        anchors={
            name: _indices(group, f"anchors.{name}") for name in ANCHORS
            if (group := getattr(fields.anchors, name)) is not None
        },
        subsets={
            name: _indices(group, f"subsets.{name}") for name, group in fields.subsets.items()
        },
        box=fields.box,
        nose_tip=() if fields.nose_tip is None else _indices(fields.nose_tip, "nose_tip"),
        conversions={
            name: Conversion(
                tuple(() if group == NONE else _indices(group, f"conversions.{name}.points")
                      for group in target.points),
                target.note)
            for name, target in fields.conversions.items()
        },
        divisor=fields.divisor,
    )
    _check(schema)
    return schema


def _check(schema: LandmarkSchema) -> None:
    """Raises EfldError if the fields of a schema do not fit together."""
    _check_texts(schema)
    if not re.fullmatch(r"[A-Za-z]\w*", schema.name, re.ASCII):  # it names layers and files
        raise EfldError(f"name: expected letters, digits and '_', got {schema.name!r}")
    _check_parts(schema)
    if twice := [name for name in schema.names if schema.names.count(name) > 1]:
        raise EfldError(f"names: two points have the same name, {twice[0]!r}")
    _check_flip(schema)
    if schema.box not in ("points", "file"):
        raise EfldError(f"box: expected 'points' or 'file', got {schema.box!r}")
    if not schema.normalisers:
        raise EfldError("normalisers: at least one is needed")
    _check_groups(schema)
    _check_anchors(schema)


def _check_texts(schema: LandmarkSchema) -> None:
    names = {"names": schema.names, "parts": [part.name for part in schema.parts],
             "normalisers": [normaliser.name for normaliser in schema.normalisers],
             "subsets": schema.subsets, "conversions": schema.conversions}
    for field_name, texts in names.items():
        for text in texts:
            _check_text(field_name, text, LONGEST_NAME)
    _check_text("name", schema.name, LONGEST_NAME)
    _check_text("title", schema.title, LONGEST_TEXT)
    for name, conversion in schema.conversions.items():
        _check_text(f"conversions.{name}.note", conversion.note, LONGEST_TEXT)


def _check_text(field_name: str, text: str, longest: int) -> None:
    if len(text) > longest or not text.isprintable():
        raise EfldError(f"{field_name}: expected at most {longest} printable characters, got "
                        f"{shown(repr(text), 60)}")


def _check_parts(schema: LandmarkSchema) -> None:
    parts: dict[int, str] = {}
    for part in schema.parts:
        for point in part.points:
            if point in parts:
                raise EfldError(f"parts.{part.name}: point {point} is in parts.{parts[point]}, too")
            parts[point] = part.name
    for point in range(schema.num_points):
        if point not in parts:
            raise EfldError(f"parts: point {point} of {schema.num_points} is in none of them")
    for point, name in parts.items():
        if point >= schema.num_points:
            raise EfldError(f"parts.{name}: index {point} is not below the number of points, "
                            f"{schema.num_points}")


def _check_flip(schema: LandmarkSchema) -> None:
    flip = schema.flip
    if flip is None:
        return
    if len(flip) != schema.num_points:
        raise EfldError(
            f"flip: expected an index for each of {schema.num_points} points, got {len(flip)}")
    for place, index in enumerate(flip):
        if not 0 <= index < schema.num_points:
            raise EfldError(f"flip.{place}: index {index} is not below the number of points, "
                            f"{schema.num_points}")
        if flip[index] != place:
            raise EfldError("flip: expected a permutation that is its own inverse; it takes "
                            f"{place} to {index}, but {index} to {flip[index]}")


def _check_anchors(schema: LandmarkSchema) -> None:
    eyes, mouth = ({i for name in pair for i in schema.anchors.get(name, ())}
                   for pair in (EYES, MOUTH))
    if eyes & mouth:
        raise EfldError(f"anchors: point {min(eyes & mouth)} is both of an eye and of the mouth")
    for right, left in (EYES, MOUTH):
        if (right in schema.anchors) != (left in schema.anchors):
            absent = left if right in schema.anchors else right
            raise EfldError(f"anchors.{absent}: expected; a pair, here {right} and {left}, may be "
                            "left out as a whole only")
        if right in schema.anchors and schema.flip is not None and \
                {schema.flip[i] for i in schema.anchors[right]} != {*schema.anchors[left]}:
            raise EfldError(f"flip: it must exchange the points of anchors.{right} and {left}")


def _check_groups(schema: LandmarkSchema) -> None:
    for normaliser in schema.normalisers:
        if normaliser.name in BOX_NORMALISERS:
            raise EfldError(f"normalisers.{normaliser.name}: this is the name of a size of the "
                            "box, which every schema has; choose another")
        if {*normaliser.right} & {*normaliser.left}:
            raise EfldError(f"normalisers.{normaliser.name}: its ends have a point in common")
    divisors = [*(n.name for n in schema.normalisers), *BOX_NORMALISERS]
    if schema.divisor not in ("", *divisors):
        raise EfldError(f"divisor: expected one of {', '.join(divisors)}, got {schema.divisor!r}")
    groups = {f"anchors.{name}": group for name, group in schema.anchors.items()}
    groups |= {f"subsets.{name}": group for name, group in schema.subsets.items()}
    groups |= {f"normalisers.{n.name}": n.right + n.left for n in schema.normalisers}
    groups |= {f"conversions.{name}": sum(conversion.points, ())
               for name, conversion in schema.conversions.items()}
    for name, group in {**groups, "nose_tip": schema.nose_tip}.items():
        if group and max(group) >= schema.num_points:
            raise EfldError(
                f"{name}: index {max(group)} is not below the number of points, "
                f"{schema.num_points}")
