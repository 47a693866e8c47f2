"""Converts landmark schemas from and to the fields in YAML files, packed folders and models."""

from __future__ import annotations

import re
from typing import Any

from efld_tf.errors import EfldError
from efld_tf.landmarks.schema import ANCHORS, Conversion, LandmarkSchema, Normaliser, Part

# Stands for a flip permutation that is inferred from the mean shape of the first faces read.
INFER = "infer"

# No format has more points. It also bounds the memory for a stranger's `0-999,0-999,...`.
MAX_POINTS = 1000

MAX_MESSAGE = 400


def from_fields(fields: Any) -> LandmarkSchema:
    """Makes a schema from the content of its file.

    Raises:
      EfldError: a field is missing or inconsistent.
    """
    try:
        return _from_fields(fields)
    except KeyError as error:
        raise EfldError(f"the field {error} is missing") from error
    except (TypeError, ValueError) as error:
        # Messages quote values, and those of strangers may be long.
        raise EfldError(str(error)[:MAX_MESSAGE]) from error


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
        "anchors": {name: text(indices) for name, indices in schema.anchors.items()},
        "subsets": {name: text(indices) for name, indices in schema.subsets.items()},
        "box": schema.box,
        **({"nose_tip": text(schema.nose_tip)} if schema.nose_tip else {}),
        "conversions": {
            name: {"points": [text(group) for group in c.points], "note": c.note}
            for name, c in schema.conversions.items()
        },
    }


def _indices(value: Any, field: str) -> tuple[int, ...]:
    """Parses `3`, `"0-16"` or `"36,39"` as indices; errors name `field`."""
    result: list[int] = []
    for item in str(value).split(","):
        match = re.fullmatch(r"\s*(\d{1,3})(?:-(\d{1,3}))?\s*", item)
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise ValueError(f"{field}: expected indices like 3, 0-16 or 36,39, got {value!r}")
        result.extend(range(int(match[1]), int(match[2] or match[1]) + 1))
        if len(result) > MAX_POINTS:
            raise ValueError(f"{field}: more than {MAX_POINTS} indices")
    return tuple(result)


def _mapping(fields: Any, name: str, within: str = "") -> dict[str, Any]:
    """The field `name`, which must be a mapping."""
    mapping = fields[name]
    if not isinstance(mapping, dict):
        raise ValueError(f"{within}{name}: expected a mapping, got {mapping!r}")
    return mapping


def _names_from_parts(parts: tuple[Part, ...]) -> list[str]:
    """The names `PART_0`, `PART_1`, ... in the order of the points; `PART` if it has one point."""
    by_index = {
        point: f"{part.name}_{i}" if len(part.points) > 1 else part.name
        for part in parts
        for i, point in enumerate(part.points)
    }
    return [by_index[i] for i in sorted(by_index)]


def _part(parts: dict[str, Any], name: str) -> Part:
    part = _mapping(parts, name, "parts.")
    closed, line = bool(part.get("closed", False)), bool(part.get("line", True))
    if closed and not line:
        raise ValueError(f"parts.{name}: closed, but without a line")
    return Part(name, _indices(part["points"], f"parts.{name}"), closed, line)


def _normaliser(normalisers: dict[str, Any], name: str) -> Normaliser:
    ends = _mapping(normalisers, name, "normalisers.")
    return Normaliser(
        name,
        right=_indices(ends["right"], f"normalisers.{name}"),
        left=_indices(ends["left"], f"normalisers.{name}"),
    )


def _from_fields(fields: Any) -> LandmarkSchema:
    if not isinstance(fields, dict):
        raise ValueError(f"expected a mapping of fields, got {type(fields).__name__}")
    parts = tuple(_part(fields["parts"], name) for name in _mapping(fields, "parts"))
    flip = fields["flip"]
    if flip == INFER:
        flip = None
    elif not isinstance(flip, list) or not all(type(i) is int for i in flip):
        raise ValueError(f"flip: expected a list of indices or {INFER!r}, got {flip!r}")
    for name in ("name", "title"):
        if not isinstance(fields[name], str):
            raise ValueError(f"{name}: expected a text, got {fields[name]!r}")
    names = fields.get("names") or _names_from_parts(parts)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("names: expected a list of names")
    schema = LandmarkSchema(
        name=fields["name"],
        title=fields["title"],
        names=tuple(names),
        parts=parts,
        flip=None if flip is None else tuple(flip),
        normalisers=tuple(
            _normaliser(fields["normalisers"], name) for name in _mapping(fields, "normalisers")
        ),
        anchors={
            name: _indices(_mapping(fields, "anchors")[name], f"anchors.{name}")
            for name in ANCHORS
        },
        subsets={
            name: _indices(points, f"subsets.{name}")
            for name, points in _mapping({"subsets": {}, **fields}, "subsets").items()
        },
        box=fields.get("box", "points"),
        nose_tip=_indices(fields["nose_tip"], "nose_tip") if "nose_tip" in fields else (),
        conversions={
            name: _conversion(name, conversion)
            for name, conversion in _mapping({"conversions": {}, **fields}, "conversions").items()
        },
    )
    _check(schema)
    return schema


def _conversion(name: str, fields: Any) -> Conversion:
    if not isinstance(fields, dict) or not isinstance(fields.get("points"), list):
        raise ValueError(f"conversions.{name}: expected a mapping with a list 'points'")
    groups = tuple(_indices(group, f"conversions.{name}.points") for group in fields["points"])
    return Conversion(groups, str(fields["note"]))


def _check(schema: LandmarkSchema) -> None:
    """Raises ValueError if the fields of a schema do not fit together."""
    everything = list(range(schema.num_points))
    flip = schema.flip
    if not re.fullmatch(r"[A-Za-z]\w*", schema.name, re.ASCII):  # it names layers and files
        raise ValueError(f"name: expected letters, digits and '_', got {schema.name!r}")
    if sorted(i for part in schema.parts for i in part.points) != everything:
        raise ValueError(f"parts: every one of the {schema.num_points} points must be in one part")
    if len(set(schema.names)) != schema.num_points:
        raise ValueError("names: two points have the same name")
    if flip is not None and (
        sorted(flip) != everything or [flip[i] for i in flip] != everything
    ):
        raise ValueError("flip: expected a permutation that is its own inverse")
    if schema.box not in ("points", "file"):
        raise ValueError(f"box: expected 'points' or 'file', got {schema.box!r}")
    if not schema.normalisers:
        raise ValueError("normalisers: at least one is needed")
    groups = [*schema.anchors.values(), *schema.subsets.values(), schema.nose_tip]
    groups += [group for c in schema.conversions.values() for group in c.points]
    groups += [group for n in schema.normalisers for group in (n.left, n.right)]
    eyes, mouth = ({*schema.anchors[a], *schema.anchors[b]} for a, b in (ANCHORS[:2], ANCHORS[2:]))
    if eyes & mouth:
        raise ValueError(f"anchors: point {min(eyes & mouth)} is both of an eye and of the mouth")
    if any(i >= schema.num_points for group in groups for i in group):
        raise ValueError(f"an index is not below the number of points, {schema.num_points}")
