"""Reads a toolkit model's metadata from its `.tflite`, without TensorFlow or MediaPipe.

TFLite metadata stores its associated files as a ZIP archive behind the flatbuffer. Two of them
are ours: the landmark names (one a line, as mobile tools show them) and a JSON with the rest.
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
    """

    family: str
    schema: str
    crop_rule: CropRule
    names: tuple[str, ...] = ()
    license: str = ""
    schema_fields: dict[str, Any] | None = None

    def json(self) -> str:
        """The content of `MODEL_FILE`."""
        fields = asdict(self)
        del fields["names"], fields["license"]
        if self.schema_fields is None:
            del fields["schema_fields"]
        return json.dumps(fields, separators=(",", ":"))


def read(path: str | Path) -> ModelMetadata:
    """Reads the metadata of a model.

    Raises:
      DataError: the file cannot be read, or has no valid metadata of this toolkit.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for name in (NAMES_FILE, MODEL_FILE):
                if archive.getinfo(name).file_size > MAX_BYTES:
                    raise DataError(path, f"its metadata file {name} is too large")
            names = archive.read(NAMES_FILE).decode().split("\n")
            tree = json.loads(archive.read(MODEL_FILE))
        stored = trees.from_tree(tree, _Stored)
        schema_names = schemas.resolved(stored.schema, stored.schema_fields).names
    except OSError as error:
        raise DataError(path, f"cannot read the model: {error.strerror or error}") from error
    except (zipfile.BadZipFile, KeyError) as error:
        raise DataError(path, "has no landmark metadata: not exported by efld-export") from error
    except (ValueError, TypeError, NotImplementedError, RuntimeError, EfldError, EOFError,
            zlib.error) as error:
        raise DataError(path, f"its landmark metadata cannot be read: {error}") from error
    if tuple(names) != schema_names:
        raise DataError(path, f"its landmark names are not those of {stored.schema}")
    return ModelMetadata(
        stored.family, stored.schema, stored.crop_rule, tuple(names),
        schema_fields=stored.schema_fields,
    )


@dataclass(frozen=True)
class _Stored:
    """The fields of `MODEL_FILE`, for strict reading."""

    family: str
    schema: str
    crop_rule: CropRule
    schema_fields: dict[str, Any] | None = None
