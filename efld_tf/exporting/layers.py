"""Measures what each layer of an int8 model has lost against the same layer in float."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from efld_tf.progress import Progress
from efld_tf.quiet import silenced_stderr
from efld_tf.runtime import graph


@dataclass(frozen=True)
class LayerError:
    """The errors of one operator's result, over all crops.

    Attributes:
      name: the name of the result's tensor.
      operator: that of the operator that computes it in float; a widened convolution's result in
        int8 is a reshaped one.
      signal_to_noise_db: power of the float values over power of the difference.
      scale: step of the int8 grid; 0 for a float result.
      error_steps: root mean square difference in those steps; one rounding alone gives 0.29.
      clipped_percent: percent of the values that lie at an end of the grid although the float value
        does not.
    """

    name: str
    operator: str
    signal_to_noise_db: float
    scale: float
    error_steps: float
    clipped_percent: float


def compare(
    reference: bytes, quantised: bytes, crops: np.ndarray, *, progress: bool = False
) -> list[LayerError]:
    """Compares the results that both models have, in the order of the quantised one.

    Args:
      reference: the float model, which takes an image in [0, 1].
      quantised: the same network in integers, which takes a uint8 image.
      crops: [F, S, S, 3] uint8.
      progress: whether to show how far it is.
    """
    floats, integers = _Probe(reference), _Probe(quantised)
    sums: dict[str, np.ndarray] = {}
    with Progress("comparing layers", len(crops), "face", shown=progress) as bar:
        for crop in bar.over(crops):
            float_results = floats.run(crop[None].astype(np.float32) / 255.0)
            integer_results = integers.run(crop[None])
            for name in integer_results.keys() & float_results.keys():
                values, clipped = integer_results[name]
                truth, _ = float_results[name]
                if values.size != truth.size:
                    continue
                values, clipped = (one.reshape(truth.shape) for one in (values, clipped))
                difference = np.asarray(values, np.float64) - truth
                scale, zero = integers.grids[name]
                inside = (truth > (-128 - zero) * scale) & (truth < (127 - zero) * scale)
                row = (np.square(truth).sum(), np.square(difference).sum(), truth.size,
                       (clipped & inside).sum())
                sums[name] = sums.get(name, np.zeros(4)) + row
    computed_by = {op.outputs[0].name: op.name for op in floats.model_graph.operators}
    rows = []
    for operator in integers.model_graph.operators:
        name = operator.outputs[0].name
        if name not in sums:
            continue
        signal, noise, count, clipped = sums[name]
        scale = integers.grids[name][0]
        ratio = max(signal, 1e-30) / max(noise, 1e-30)
        rows.append(LayerError(
            name, computed_by[name], round(10 * float(np.log10(ratio)), 1),
            float(scale), round(float(np.sqrt(noise / count) / scale), 2) if scale else 0.0,
            round(100 * float(clipped / count), 3),
        ))
    return rows


class _Probe:
    """Runs a model and gives every result by its tensor's name."""

    def __init__(self, content: bytes):
        self.model_graph = graph.parse(content)
        with silenced_stderr():
            self._interpreter = Interpreter(
                model_content=content,
                num_threads=1,
                experimental_preserve_all_tensors=True,
                experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            )
            self._interpreter.allocate_tensors()
        details = {row["index"]: row for row in self._interpreter.get_tensor_details()}
        self._results = [op.outputs[0] for op in self.model_graph.operators]
        self.grids = {t.name: details[t.index]["quantization"] for t in self._results}

    def run(self, image: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """The values of each result, and which of them lie at an end of their grid."""
        self._interpreter.set_tensor(self.model_graph.inputs[0].index, image)
        self._interpreter.invoke()
        results = {}
        for tensor in self._results:
            values = self._interpreter.get_tensor(tensor.index)
            clipped = np.zeros(values.shape, bool)
            scale, zero = self.grids[tensor.name]
            if scale and values.dtype.kind == "i":
                limits = np.iinfo(values.dtype)
                clipped = (values == limits.min) | (values == limits.max)
                values = (values.astype(np.float64) - zero) * scale
            results[tensor.name] = values, clipped
        return results
