"""What the points of each landmark format mean: names, mirror, normaliser, lines, subsets.

A schema is data (`schema_files/NAME.yaml`, or a user's own file), so that a new format needs no
code. Left and right are always the subject's own.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from efld_tf.errors import DataError, EfldError

SCHEMA_FILES = Path(__file__).parent / "schema_files"

# In place of a flip permutation: find it from the mean shape of the first faces that are read.
INFER = "infer"

MAX_FILE_CHARACTERS = 1 << 18

# The four places that every format can point at; they align crops across formats.
ANCHORS = ("right_eye", "left_eye", "mouth_right", "mouth_left")


@dataclass(frozen=True)
class Part:
    """A named run of points; `closed` says whether its polyline returns to its start."""

    name: str
    points: tuple[int, ...]
    closed: bool = False


@dataclass(frozen=True)
class Normaliser:
    """The distance between two places, each the mean of a group of points."""

    name: str
    right: tuple[int, ...]
    left: tuple[int, ...]

    def distance(self, points: np.ndarray) -> np.ndarray:
        """Distance for points [..., N, 2], in their unit: [...]."""
        right = points[..., list(self.right), :].mean(axis=-2)
        left = points[..., list(self.left), :].mean(axis=-2)
        return np.linalg.norm(right - left, axis=-1)


@dataclass(frozen=True)
class Conversion:
    """How annotations become those of another schema whose definitions differ.

    Attributes:
      points: for each point of the target, the indices of the points whose mean it is.
      note: how the definitions differ.
    """

    points: tuple[tuple[int, ...], ...]
    note: str


@dataclass(frozen=True)
class LandmarkSchema:
    """One landmark format.

    Attributes:
      name: the identifier used in configs, file names and metadata.
      title: what people call it.
      names: one name a point, in order.
      parts: runs of points for drawing and per-region figures; together they cover every point.
      flip: `points[flip]`, mirrored in x, is the annotation of the mirrored image (an involution);
        None until it is inferred from the first faces that are read (`with_flip`).
      normalisers: by name; the first is the schema's own (`interocular` wherever it has the outer
        eye corners).
      anchors: groups of points whose means are the `ANCHORS`, shared by all formats.
      subsets: for each schema that is a true subset, the indices of its points in this one.
      box: what a face's crop is made from: `points`, their tight box, or `file`, the annotation's
        own box, where the points do not span a face.
      nose_tip: the points whose mean is the tip of the nose; empty where there is none.
      conversions: by target schema, how annotations are converted to it, inexactly.
    """

    name: str
    title: str
    names: tuple[str, ...]
    parts: tuple[Part, ...]
    flip: tuple[int, ...] | None
    normalisers: tuple[Normaliser, ...]
    anchors: Mapping[str, tuple[int, ...]]
    subsets: Mapping[str, tuple[int, ...]]
    box: str = "points"
    nose_tip: tuple[int, ...] = ()
    conversions: Mapping[str, Conversion] = field(default_factory=dict)

    @property
    def num_points(self) -> int:
        """How many points an annotation has."""
        return len(self.names)

    @property
    def normaliser(self) -> Normaliser:
        """The schema's own normaliser."""
        return self.normalisers[0]

    def find_normaliser(self, name: str | None = None) -> Normaliser:
        """The normaliser of that name, or the schema's own for None.

        Raises:
          EfldError: the schema does not define it.
        """
        if name is None:
            return self.normaliser
        for normaliser in self.normalisers:
            if normaliser.name == name:
                return normaliser
        known = ", ".join(n.name for n in self.normalisers)
        raise EfldError(f"schema {self.name} has no normaliser {name!r}; it has {known}")

    def mirror(self, points: np.ndarray, width: float) -> np.ndarray:
        """The annotation of the mirrored image: points [..., N, 2] in pixels, image `width` pixels.

        Pixel centres are whole numbers, so x becomes width - 1 - x.

        Raises:
          EfldError: the flip has not been inferred yet.
        """
        if self.flip is None:
            raise EfldError(f"schema {self.name}: its flip is not inferred yet")
        flipped = np.array(points[..., list(self.flip), :])
        flipped[..., 0] = width - 1 - flipped[..., 0]
        return flipped

    def anchor_points(self, points: np.ndarray) -> np.ndarray:
        """The `ANCHORS` of points [..., N, 2]: [..., 4, 2]."""
        return np.stack(
            [points[..., list(self.anchors[name]), :].mean(axis=-2) for name in ANCHORS], axis=-2
        )

    def subset_indices(self, target: str) -> tuple[int, ...]:
        """Indices of the points of schema `target` in this one.

        Raises:
          EfldError: `target` is neither this schema nor a true subset of it.
        """
        if target == self.name:
            return tuple(range(self.num_points))
        if target not in self.subsets:
            raise EfldError(
                f"schema {self.name} does not contain {target}; "
                f"it can supervise {', '.join([self.name, *self.subsets])}"
            )
        return self.subsets[target]

    def convert(
        self, points: np.ndarray, visible: np.ndarray | None, target: str
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """An annotation [N, 2], [N] as one of schema `target`: [M, 2], [M].

        A point that is the mean of several is visible where all of them are, and missing where one
        is.

        Raises:
          EfldError: there is neither a conversion to `target` nor is it a subset.
        """
        if target in self.conversions:
            groups = self.conversions[target].points
        elif target == self.name or target in self.subsets:
            groups = tuple((index,) for index in self.subset_indices(target))
        else:
            known = ", ".join([*self.subsets, *self.conversions]) or "none"
            raise EfldError(f"schema {self.name} cannot be converted to {target}; known: {known}")
        converted = np.stack([points[list(group)].mean(axis=0) for group in groups])
        if visible is not None:
            visible = np.array([visible[list(group)].all() for group in groups])
        return converted.astype(points.dtype), visible

    def with_flip(self, mean_shape: np.ndarray) -> LandmarkSchema:
        """This schema with the flip that follows from a mean shape [N, 2]; errors: `infer_flip`."""
        return replace(self, flip=infer_flip(mean_shape))

    def to_fields(self) -> dict[str, Any]:
        """The schema as it stands in a file: `from_fields` of it gives an equal one."""

        def text(indices: tuple[int, ...]) -> str:
            return ",".join(map(str, indices))

        return {
            "name": self.name,
            "title": self.title,
            "names": list(self.names),
            "parts": {p.name: {"points": text(p.points), "closed": p.closed} for p in self.parts},
            "flip": INFER if self.flip is None else list(self.flip),
            "normalisers": {
                n.name: {"right": text(n.right), "left": text(n.left)} for n in self.normalisers
            },
            "anchors": {name: text(indices) for name, indices in self.anchors.items()},
            "subsets": {name: text(indices) for name, indices in self.subsets.items()},
            "box": self.box,
            **({"nose_tip": text(self.nose_tip)} if self.nose_tip else {}),
            "conversions": {
                name: {"points": [text(group) for group in c.points], "note": c.note}
                for name, c in self.conversions.items()
            },
        }


# Schemas of users: by name, from their files or from the packed folders and models that carry them.
_registered: dict[str, LandmarkSchema] = {}


def names() -> list[str]:
    """The names of the built-in schemas and of those registered in this process."""
    return sorted({*_built_in(), *_registered})


def is_built_in(name: str) -> bool:
    """Whether a schema comes with the package."""
    return name in _built_in()


def get(name: str) -> LandmarkSchema:
    """The schema of that name, built-in or registered.

    Raises:
      EfldError: there is none; the message lists the known ones.
    """
    if name in _registered:
        return _registered[name]
    if name not in _built_in():
        raise EfldError(f"unknown landmark schema {name!r}; known: {', '.join(names())}")
    return _load_built_in(name)


def register(schema: LandmarkSchema) -> LandmarkSchema:
    """Makes a schema known under its name in this process; returns what is known from now on.

    One whose flip is still to be inferred may follow or be followed by the same one with its flip.

    Raises:
      EfldError: another schema has that name.
    """
    if schema.name in _built_in():
        known = _load_built_in(schema.name)
    else:
        known = _registered.get(schema.name, schema)
    if known.flip is None:
        known = replace(known, flip=schema.flip)
    if replace(schema, flip=schema.flip or known.flip) != known:
        raise EfldError(f"there is another schema named {schema.name!r}: choose another name")
    if schema.name not in _built_in():
        _registered[schema.name] = known
    return known


@functools.cache
def _built_in() -> frozenset[str]:
    return frozenset(path.stem for path in SCHEMA_FILES.glob("*.yaml"))


@functools.cache
def _load_built_in(name: str) -> LandmarkSchema:
    return load(SCHEMA_FILES / f"{name}.yaml")


def load(path: str | Path) -> LandmarkSchema:
    """Reads and checks a schema file.

    Raises:
      DataError: the file is not YAML, or a field is missing or inconsistent.
    """
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(MAX_FILE_CHARACTERS + 1)
        if len(text) > MAX_FILE_CHARACTERS:
            raise DataError(path, "too large for a schema file")
        fields = yaml.safe_load(text)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise DataError(path, f"not a readable YAML file: {error}") from error
    try:
        return from_fields(fields)
    except EfldError as error:
        raise DataError(path, str(error)) from error


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
        raise EfldError(str(error)) from error


def infer_flip(mean_shape: np.ndarray) -> tuple[int, ...]:
    """The flip permutation of a format without a published one, from its mean shape [N, 2].

    The shape is mirrored about its centre and its points are matched one to one by distance
    (linear assignment).

    Raises:
      EfldError: the matching is not an involution, so the shape is not symmetric enough.
    """
    from scipy.optimize import linear_sum_assignment

    mirrored = mean_shape * [-1, 1] + [2 * mean_shape[:, 0].mean(), 0]
    distance = np.linalg.norm(mean_shape[:, None] - mirrored[None], axis=-1)
    _, flip = linear_sum_assignment(distance**2)
    if not np.array_equal(flip[flip], np.arange(len(flip))):
        raise EfldError("the mean shape is not symmetric enough to infer its flip; declare it")
    return tuple(int(i) for i in flip)


def _indices(value: Any, field: str) -> tuple[int, ...]:
    """`3`, `"0-16"` or `"36,39"` as indices; `field` is what an error names."""
    result: list[int] = []
    for item in str(value).split(","):
        match = re.fullmatch(r"\s*(\d{1,4})(?:-(\d{1,4}))?\s*", item)
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise ValueError(f"{field}: expected indices like 3, 0-16 or 36,39, got {value!r}")
        result.extend(range(int(match[1]), int(match[2] or match[1]) + 1))
    return tuple(result)


def _mapping(fields: Any, name: str, within: str = "") -> dict[str, Any]:
    """The field `name`, which must be a mapping."""
    if not isinstance(fields[name], dict):
        raise ValueError(f"{within}{name}: expected a mapping, got {fields[name]!r}")
    return fields[name]


def _names_from_parts(parts: tuple[Part, ...]) -> list[str]:
    """`PART_0`, `PART_1`, ... in the order of the points; `PART` alone where it has one point."""
    by_index = {
        point: f"{part.name}_{i}" if len(part.points) > 1 else part.name
        for part in parts
        for i, point in enumerate(part.points)
    }
    return [by_index[i] for i in sorted(by_index)]


def _part(parts: dict[str, Any], name: str) -> Part:
    part = _mapping(parts, name, "parts.")
    return Part(name, _indices(part["points"], f"parts.{name}"), bool(part.get("closed", False)))


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
    point_names = tuple(fields.get("names") or _names_from_parts(parts))
    schema = LandmarkSchema(
        name=fields["name"],
        title=fields["title"],
        names=point_names,
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
            name: _conversion(name, how)
            for name, how in _mapping({"conversions": {}, **fields}, "conversions").items()
        },
    )
    _check(schema)
    return schema


def _conversion(name: str, how: Any) -> Conversion:
    if not isinstance(how, dict) or not isinstance(how.get("points"), list):
        raise ValueError(f"conversions.{name}: expected a mapping with a list 'points'")
    groups = tuple(_indices(group, f"conversions.{name}.points") for group in how["points"])
    return Conversion(groups, str(how["note"]))


def _check(schema: LandmarkSchema) -> None:
    """Raises ValueError where the fields of a schema do not fit together."""
    everything = list(range(schema.num_points))
    flip = schema.flip
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
    if any(i not in everything for group in groups for i in group):
        raise ValueError(f"an index is not below the number of points, {schema.num_points}")
