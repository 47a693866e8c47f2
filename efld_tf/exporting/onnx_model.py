"""Converts one head of a trained model to ONNX, in float or by ONNX Runtime's quantiser to int8."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from efld_tf.errors import EfldError
from efld_tf.exporting.modes import Mode
from efld_tf.models.registry import PRESENCE
from efld_tf.models.trained import DEPTH, POINTS, TrainedModel
from efld_tf.progress import Progress
from efld_tf.quiet import silenced_stderr
from efld_tf.runtime import onnx_file
from efld_tf.runtime.metadata import MODEL_FILE, NAMES_FILE, ModelMetadata

IMAGE = "image"
COUNTED = re.compile(r"__\d+")


def check_installed(mode: Mode) -> None:
    """Checks that what an export takes is there.

    Raises:
      EfldError: it is not; the message says how to install it.
    """
    onnx_file.installed()
    try:
        import onnxruntime
        import tf2onnx  # noqa: F401

        if mode.calibrated:
            import onnxruntime.quantization  # noqa: F401
    except ImportError as error:
        raise EfldError(f"--{mode.name}: {error.name} is not installed: pip install "
                        "'efld-tf[onnx]'") from error


def converted(
    trained: TrainedModel, mode: Mode, crops: np.ndarray, metadata: ModelMetadata, *,
    progress: bool = False,
) -> bytes:  # fmt: skip
    """A rewritten model as the content of an `.onnx`, with its metadata.

    Its ends are those of a `.tflite`: a uint8 image [1, S, S, 3], and float32 outputs.

    Args:
      trained: as `convert.rewritten` gave it.
      crops: [F, S, S, 3] uint8, to calibrate a mode of integers.

    Raises:
      EfldError: it cannot be converted.
    """
    with Progress("converting", 2 if mode.calibrated else 1, "model", shown=progress) as bar:
        try:
            model = _of_network(trained)
            bar.update()
            if mode.calibrated:
                model = _quantised(model, crops)
                bar.update()
        except Exception as error:  # of tf2onnx and ONNX Runtime, which have none of their own
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise EfldError(f"--{mode.name}: the network cannot be converted: {reason[0]}") \
                from error
    for name, text in ((NAMES_FILE, "\n".join(metadata.names)), (MODEL_FILE, metadata.json()),
                       (onnx_file.LICENSE, metadata.license)):
        entry = model.metadata_props.add()
        entry.key, entry.value = name, text
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _of_network(trained: TrainedModel) -> Any:
    import tf2onnx

    shape, network = [1, trained.input_size, trained.input_size, 3], named(trained.network)

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.uint8, name=IMAGE)])
    def landmarks(image: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = trained.decode(network(tf.cast(image, tf.float32) / 255, training=False))
        return {name: tf.identity(value, name=name) for name, value in outputs.items()}

    with quiet(), silenced_stderr(), plain_groups(network):
        model, _ = tf2onnx.convert.from_function(
            landmarks, input_signature=landmarks.input_signature, opset=onnx_file.OPSET)
    _order(model)
    _renumber(model)
    return model


def named(network: tf_keras.Model) -> tf_keras.Model:
    """The network with a name that Keras does not count up, which converters put before others."""
    return tf_keras.Model(network.inputs, network.output, name="network")


@contextlib.contextmanager
def plain_groups(network: tf_keras.Model) -> Iterator[None]:
    """Lets grouped convolutions be traced as such: Keras wraps them into calls for XLA."""
    grouped = [layer for layer in network.layers if getattr(layer, "groups", 1) > 1]
    try:
        for layer in grouped:
            layer._jit_compiled_convolution_op = layer.convolution_op
        yield
    finally:
        for layer in grouped:
            del layer._jit_compiled_convolution_op


def _order(model: Any) -> None:
    """Puts the outputs in the order of the toolkit's files."""
    order = {name: index for index, name in enumerate((POINTS, PRESENCE, DEPTH))}
    outputs = sorted(model.graph.output, key=lambda output: order[output.name])
    del model.graph.output[:]
    model.graph.output.extend(outputs)


def _renumber(model: Any) -> None:
    """Names things in the order of their use: the converter's names differ from run to run.

    It numbers them, and calls a constant that several operators take after any of them.
    """
    ends = {value.name for value in (*model.graph.input, *model.graph.output)}
    constants = {weight.name: weight for weight in model.graph.initializer}
    names: dict[str, str] = {}

    def renamed(name: str) -> str:
        if name in constants:
            return names.setdefault(name, f"constant_{len(names)}")
        if not name or name in ends or not COUNTED.search(name):
            return name
        return names.setdefault(name, COUNTED.sub(f"__{len(names)}", name))

    for node in model.graph.node:
        node.name = renamed(node.name)
        node.input[:] = [renamed(name) for name in node.input]
        node.output[:] = [renamed(name) for name in node.output]
    weights = [constants[name] for name in names if name in constants]
    for weight in weights:
        weight.name = renamed(weight.name)
    del model.graph.initializer[:]
    model.graph.initializer.extend(weights)
    model.graph.ClearField("doc_string")  # a number of TensorFlow's


def _quantised(model: Any, crops: np.ndarray) -> Any:
    """The model in int8, calibrated on crops by the least and largest values of each tensor."""
    import onnx
    from onnxruntime import quantization

    class Crops(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self._left = iter(crops)

        def get_next(self) -> dict[str, np.ndarray] | None:
            crop = next(self._left, None)
            return None if crop is None else {IMAGE: crop[None]}

    with tempfile.TemporaryDirectory() as name, quiet(), silenced_stderr():
        given, prepared, result = (str(Path(name, part)) for part in ("a.onnx", "b.onnx", "c.onnx"))
        onnx.save(model, given)
        quantization.quant_pre_process(given, prepared, skip_symbolic_shape=True)
        # ONNX Runtime's kernels for x86 are made for uint8 activations.
        quantization.quantize_static(
            prepared, result, Crops(), quant_format=quantization.QuantFormat.QDQ, per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8)
        return onnx.load(result)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps converters from logging and printing."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            yield
    finally:
        logging.disable(before)
