"""The manifest of a packed folder, which describes its content."""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from efld_tf import files, licenses, trees
from efld_tf.annotations import json_values, parsing
from efld_tf.data.options import PackOptions
from efld_tf.data.splits import SPLITS, check_fraction
from efld_tf.errors import DataError, EfldError
from efld_tf.landmarks import schemas
from efld_tf.landmarks.geometry import CropRule, check_mean_shape

MANIFEST = "manifest.json"
FORMAT_VERSION = 1
# Of a million skipped faces, the lines take about 100 MB.
MAX_BYTES = 1 << 28

# Points [N, 2]; both numbers of a point are None where it is not known.
MeanShape: TypeAlias = list[list[float | None]]


@dataclass(frozen=True)
class Shard:
    """One file of packed faces.

    Attributes:
      file: its name in the packed folder.
      faces: number of faces in it, at least 1.
      sha256: of its content, 64 hexadecimal digits.
    """

    file: str
    faces: int
    sha256: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w-][\w.-]*", self.file, re.ASCII):
            raise EfldError("file: expected the name of a file in the folder itself, "
                            f"got {parsing.shorten(self.file)}")
        if self.faces < 1:
            raise EfldError(f"faces: expected at least 1, got {self.faces}")
        if not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise EfldError("sha256: expected 64 hexadecimal digits, "
                            f"got {parsing.shorten(self.sha256)}")


@dataclass(frozen=True)
class Manifest:
    """The content of a packed folder.

    Attributes:
      source: the `reader:path` that it was made from.
      schema: the schema of its annotations.
      crop_rule: how a face's crop follows from its box.
      pack: how crops are stored.
      shards: the shards of each split, `train` and `validation`.
      mean_shape: [N, 2] mean of the training faces' points in the unit square of the model's crop;
        None for points that none of them is annotated with.
      mean_depth: [N] mean of the training faces' depths in sides of the model's crop, of those that
        are annotated with all of them; None if no face is.
      hidden: the number of the training faces' points that are annotated as hidden.
      skipped: one line for each sample that could not be used.
      fingerprint: a hash of all inputs; if it is equal, packing again changes nothing.
      notes: what the user should know of the source.
      schema_fields: the definition of a schema that is not built in (`schema_fields.to_fields`).
      validation_fraction: the share of the source's faces that is held out.
      excluded: the keys of faces that were left out altogether.
      licenses: the licences of models whose points are used; none if people annotated all.
    """

    source: str
    schema: str
    crop_rule: CropRule
    pack: PackOptions
    shards: dict[str, list[Shard]]
    mean_shape: MeanShape
    skipped: list[str]
    fingerprint: str
    notes: list[str] = field(default_factory=list)
    schema_fields: dict[str, Any] | None = None
    validation_fraction: float = 0.0
    excluded: list[str] = field(default_factory=list)
    licenses: list[str] = field(default_factory=list)
    mean_depth: list[float] | None = None
    hidden: int = 0

    def __post_init__(self) -> None:
        schema = schemas.resolved(self.schema, self.schema_fields)
        if len(self.mean_shape) != schema.num_points:
            raise EfldError(f"mean_shape: expected {schema.num_points} points (x, y)")
        known = [[math.nan if value is None else value for value in point]
                 for point in self.mean_shape if point != [None, None]]
        if not known:
            raise EfldError("mean_shape: expected a point that is known")
        check_mean_shape(known, len(known), "mean_shape")
        if self.mean_depth is not None and len(self.mean_depth) != schema.num_points:
            raise EfldError(f"mean_depth: expected {schema.num_points} numbers")
        if self.hidden < 0:
            raise EfldError("hidden: expected a number of points")
        check_fraction(self.validation_fraction)
        for text in self.licenses:
            licenses.checked(text)
        if {*self.shards} != {*SPLITS}:
            raise EfldError(f"shards: expected the splits {', '.join(SPLITS)}, "
                            f"got {parsing.shorten(', '.join(self.shards))}")
        if not self.shards["train"]:
            raise EfldError("shards.train: expected at least one shard")
        listed: set[str] = set()
        for shard in (shard for split in SPLITS for shard in self.shards[split]):
            if shard.file in listed:
                raise EfldError(f"shards: {shard.file} stands twice")
            if shard.faces > self.pack.shard_faces:
                raise EfldError(f"shards: {shard.file} has {shard.faces} faces, expected at most "
                                f"pack.shard_faces, {self.pack.shard_faces}")
            listed.add(shard.file)

    def faces(self, split: str) -> int:
        """The number of faces in a split."""
        return sum(shard.faces for shard in self.shards[split])

    @property
    def mean_points(self) -> np.ndarray:
        """The mean shape as an array [N, 2]; NaN for points that no face is annotated with."""
        return np.array(self.mean_shape, np.float64)

    @property
    def content_sha256(self) -> str:
        """A hash of all packed faces."""
        shards = [shard.sha256 for split in SPLITS for shard in self.shards[split]]
        return hashlib.sha256("".join(shards).encode()).hexdigest()


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes the manifest of a packed folder."""
    content = {"format_version": FORMAT_VERSION, **asdict(manifest),
               "crop_rule": manifest.crop_rule.fields()}
    content["content_sha256"] = manifest.content_sha256
    files.write_json(folder / MANIFEST, content)


def read_manifest(folder: str | Path) -> Manifest:
    """Reads the manifest of a packed folder; that its shards are there, but not what is in them.

    Raises:
      DataError: the manifest is missing, unreadable, wrong or of another format version, or a
        shard is missing.
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        raise DataError(path, "not a packed folder: its manifest cannot be read")
    try:
        content = trees.checked(_tree(path), dict[str, Any], "")
        if content.pop("format_version", FORMAT_VERSION) != FORMAT_VERSION:
            raise DataError(path, f"packed by another version; delete {folder} and pack again")
        content.pop("content_sha256", None)  # it follows from the shards
        manifest = trees.from_tree(content, Manifest)
    except DataError:
        raise
    except EfldError as error:
        raise DataError(path, f"not a manifest of packed faces: {error}") from error
    for shard in (shard for split in SPLITS for shard in manifest.shards[split]):
        if not (Path(folder) / shard.file).is_file():
            raise DataError(path, f"its shard {shard.file} is missing; delete the folder and pack "
                                  "again")
    return manifest


def _tree(path: Path) -> Any:
    try:
        return json_values.parse(parsing.read_bytes(path, MAX_BYTES), path)
    except DataError as error:
        raise DataError(path, f"not a manifest of packed faces: {error.reason}") from error


def open_packed(folder: str | Path) -> Manifest:
    """Reads the manifest of a packed folder and declares the schema that it carries.

    Raises:
      DataError: as in `read_manifest`, or there is another schema of that name.
    """
    manifest = read_manifest(folder)
    if manifest.schema_fields is not None:
        try:
            schemas.declare(manifest.schema_fields)
        except EfldError as error:
            raise DataError(Path(folder) / MANIFEST, str(error)) from error
    return manifest
