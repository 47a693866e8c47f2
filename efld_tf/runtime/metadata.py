"""Reads a toolkit model's metadata from its file, without TensorFlow or MediaPipe.

TFLite metadata stores its associated files as a ZIP archive behind the flatbuffer. Two of them
are ours: the landmark names (one a line, as mobile tools show them) and a JSON with the rest. An
`.onnx` has both as properties of these names.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from efld_tf import trees
from efld_tf.errors import DataError, EfldError
from efld_tf.landmarks import schemas
from efld_tf.landmarks.geometry import CropRule
from efld_tf.landmarks.schema import LandmarkSchema
from efld_tf.runtime import model_file, onnx_file

NAMES_FILE = "landmarks.txt"
MODEL_FILE = "efld.json"

# Both files are a few kilobytes; more would be an attempt to fill the memory.
MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class ModelMetadata:
    """The information that is needed to use a model.

    Attributes:
      family: the name of the architecture.
      schema: the name of the schema of the points that come out.
      crop_rule: how the crop that goes in is made.
      names: the name of each point.
      license: the licence of the weights; it is in the TFLite metadata only.
      schema_fields: the definition of a schema that is not built in (`schema_fields.to_fields`).
      mean_shape: [N, 2] the mean points in the unit square of the crop, for a model whose crops
        follow from them (`model_crops`).
    """

    family: str
    schema: str
    crop_rule: CropRule
    names: tuple[str, ...] = ()
    license: str = ""
    schema_fields: dict[str, Any] | None = None
    mean_shape: list[list[float]] | None = None

    def json(self) -> str:
        """The content of `MODEL_FILE`."""
        fields = {**asdict(self), "crop_rule": self.crop_rule.fields()}
        del fields["names"], fields["license"]
        for name in ("schema_fields", "mean_shape"):
            if fields[name] is None:
                del fields[name]
        return json.dumps(fields, separators=(",", ":"))


def read(path: str | Path) -> ModelMetadata:
    """Reads the metadata of a model.

    Raises:
      DataError: the file cannot be read, or has no valid metadata of this toolkit.
    """
    model_file.check(path)
    try:
        texts = onnx_file.properties(path) if onnx_file.is_onnx(path) else _archived(path)
        names, tree = texts[NAMES_FILE].split("\n"), json.loads(texts[MODEL_FILE])
        stored = trees.from_tree(tree, _Stored)
        schema = schemas.resolved(stored.schema, stored.schema_fields)
        _check_mean_shape(stored.mean_shape, schema)
    except OSError as error:
        raise DataError(path, f"cannot read the model: {error.strerror or error}") from error
    except (zipfile.BadZipFile, KeyError) as error:
        raise DataError(path, "has no landmark metadata: not exported by efld-export") from error
    except (ValueError, TypeError, NotImplementedError, RuntimeError, EfldError, EOFError,
            zlib.error) as error:
        raise DataError(path, f"its landmark metadata cannot be read: {error}") from error
    if tuple(names) != schema.names:
        raise DataError(path, f"its landmark names are not those of {stored.schema}")
    return ModelMetadata(
        stored.family, stored.schema, stored.crop_rule, tuple(names),
        schema_fields=stored.schema_fields, mean_shape=stored.mean_shape,
    )


def _archived(path: str | Path) -> dict[str, str]:
    with zipfile.ZipFile(path) as archive:
        for name in (NAMES_FILE, MODEL_FILE):
            if archive.getinfo(name).file_size > MAX_BYTES:
                raise DataError(path, f"its metadata file {name} is too large")
        return {name: archive.read(name).decode() for name in (NAMES_FILE, MODEL_FILE)}


def _check_mean_shape(mean_shape: list[list[float]] | None, schema: LandmarkSchema) -> None:
    if mean_shape is None:
        if schema.missing_anchors:
            raise EfldError(f"mean_shape: expected, for schema {schema.name} lacks anchors")
        return
    points = [tuple(point) for point in mean_shape]
    if len(points) != schema.num_points or {len(point) for point in points} != {2}:
        raise EfldError(f"mean_shape: expected {schema.num_points} points (x, y)")
    if len(set(points)) == 1:
        raise EfldError("mean_shape: its points coincide")


@dataclass(frozen=True)
class _Stored:
    """The fields of `MODEL_FILE`, for strict reading."""

    family: str
    schema: str
    crop_rule: CropRule
    schema_fields: dict[str, Any] | None = None
    mean_shape: list[list[float]] | None = None
