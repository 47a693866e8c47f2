"""The licence of a `.tflite`'s weights, from the field that TFLite metadata has for it.

Apart from `metadata.py`, since the classes of the model's format would slow down every start.
"""

from __future__ import annotations

from pathlib import Path

from ai_edge_litert import schema_py_generated as schema
from flatbuffers import encode, packer
from flatbuffers.table import Table

from efld_tf import licenses
from efld_tf.errors import DataError, EfldError
from efld_tf.runtime.graph import DAMAGED

METADATA_NAME = "TFLITE_METADATA"

# A model of ours has three.
MAX_ENTRIES = 64

# Of `ModelMetadata.license` in TensorFlow Lite's metadata_schema.fbs: fields count from 4 by 2.
LICENSE_SLOT = 14


def read(path: str | Path) -> str:
    """The licence of a model's weights, "" where it does not say.

    Raises:
      DataError: the file cannot be read, or what it says is damaged or no line of text.
    """
    try:
        model = schema.Model.GetRootAs(Path(path).read_bytes(), 0)
        for entry in map(model.Metadata, range(min(model.MetadataLength(), MAX_ENTRIES))):
            if entry.Name() == METADATA_NAME.encode():
                return _license(model.Buffers(entry.Buffer()).DataAsNumpy().tobytes())
    except OSError as error:
        raise DataError(path, f"cannot read the model: {error.strerror or error}") from error
    except (*DAMAGED, EfldError) as error:
        raise DataError(path, f"its TFLite metadata cannot be read: {error}") from error
    return ""


def _license(about: bytes) -> str:
    table = Table(about, encode.Get(packer.uoffset, about, 0))
    place = table.Offset(LICENSE_SLOT)
    return licenses.checked(table.String(table.Pos + place).decode()) if place else ""
