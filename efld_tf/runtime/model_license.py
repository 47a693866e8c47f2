"""The licence of a model's weights: the field that TFLite metadata has for it, or ONNX's property.

This is not in `metadata.py`, since the classes of the model's format would slow down every start.
"""

from __future__ import annotations

from pathlib import Path

from ai_edge_litert import schema_py_generated as schema
from flatbuffers import encode, packer
from flatbuffers.table import Table

from efld_tf import licenses
from efld_tf.errors import DataError, EfldError
from efld_tf.runtime import model_file, onnx_file
from efld_tf.runtime.graph import DAMAGED

METADATA_NAME = "TFLITE_METADATA"

# A model of ours has three.
MAX_ENTRIES = 64

# The slot of `ModelMetadata.license` in TensorFlow Lite's metadata_schema.fbs, whose fields have
# the slots 4, 6, 8 and so on.
LICENSE_SLOT = 14


def read(path: str | Path) -> str:
    """The licence of a model's weights; "" if the model does not tell.

    Raises:
      DataError: the file cannot be read, or the licence in it is damaged or no line of text.
    """
    if onnx_file.is_onnx(path):
        try:
            return licenses.checked(onnx_file.properties(path).get(onnx_file.LICENSE, ""))
        except EfldError as error:
            raise DataError(path, f"its licence cannot be read: {error}") from error
    content = model_file.read(path)
    try:
        model = schema.Model.GetRootAs(content, 0)
        for entry in map(model.Metadata, range(min(model.MetadataLength(), MAX_ENTRIES))):
            if entry.Name() == METADATA_NAME.encode():
                return _license(model.Buffers(entry.Buffer()).DataAsNumpy().tobytes())
    except (*DAMAGED, EfldError) as error:
        raise DataError(path, f"its TFLite metadata cannot be read: {error}") from error
    return ""


def _license(metadata: bytes) -> str:
    table = Table(metadata, encode.Get(packer.uoffset, metadata, 0))
    place = table.Offset(LICENSE_SLOT)
    return licenses.checked(table.String(table.Pos + place).decode()) if place else ""
