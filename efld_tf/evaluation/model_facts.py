"""What is known of a measured model, for a report: its file, what it takes and where it is from."""

from __future__ import annotations

import math
from pathlib import Path

from efld_tf.evaluation.markup import Cell
from efld_tf.evaluation.measured import Measured
from efld_tf.landmarks import schemas
from efld_tf.runtime import graph, metadata, model_license, onnx_file
from efld_tf.runtime.predictor import LandmarkPredictor


def model_facts(measured: Measured) -> dict[str, Cell]:
    """The facts of the measured model by their names.

    Raises:
      DataError: the file of the model cannot be read.
    """
    predictor, section = measured.subject, measured.model_section()
    schema, rule = schemas.get(predictor.schema), predictor.crop_rule
    facts: dict[str, Cell] = {
        "file": section["file"],
        "SHA-256": section["sha256"],
        "size": f"{section['size_bytes']:,} bytes",
        "points": f"{schema.num_points}, {schema.name}",
        "input": f"{predictor.input_size} x {predictor.input_size} pixels",
        "crop": f"{rule.name}, {rule.scale_text}, zoom {rule.zoom:g}",
        "says how sure it is": predictor.has_confidence,
    }
    if isinstance(predictor, LandmarkPredictor):
        return facts | _exported(measured)
    return facts | (_trained(measured) if measured.file.suffix == ".h5" else {})


def _exported(measured: Measured) -> dict[str, Cell]:
    file = measured.file
    return {
        "family": metadata.read(file).family,
        **(_of_onnx(file) if onnx_file.is_onnx(file) else _of_tflite(file)),
        "licence": model_license.read(file) or None,
    }


def _of_onnx(file: Path) -> dict[str, Cell]:
    found = onnx_file.read(file)
    return {"weights stored as": found.largest, "multiply-accumulates": f"{found.total_macs:,}",
            "ONNX": f"opset {found.opset}"}


def _of_tflite(file: Path) -> dict[str, Cell]:
    model_graph = graph.read(file)
    constants = [tensor for tensor in model_graph.tensors if tensor.constant]
    largest = max(constants, key=lambda tensor: math.prod(side or 1 for side in tensor.shape))
    return {"weights stored as": largest.dtype,
            "multiply-accumulates": f"{model_graph.total_macs:,}",
            "TensorFlow Lite from": model_graph.minimum_runtime or None}


def _trained(measured: Measured) -> dict[str, Cell]:
    from efld_tf.models import checkpoint  # which imports TensorFlow

    spec = checkpoint.read_spec(measured.file)
    known: dict[str, Cell] = {
        key: str(spec.training[key]) for key in ("recipe", "step")
        if key in spec.training}
    return {"family": spec.family, **known, "licence": spec.license or None}
