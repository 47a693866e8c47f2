"""Runs an `.onnx` by ONNX Runtime, behind the interface of LiteRT's interpreter.

It imports nothing from the package, since `worker` uses it in a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

SUFFIX = ".onnx"
# The input is quantised or not; these are the types of its models' ends.
TYPES = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}


class OnnxInterpreter:
    """Acts as LiteRT's `Interpreter`; its tensors are counted from the inputs on."""

    def __init__(self, content: bytes, threads: int = 1, *, optimised: bool = True):
        """Loads a model.

        Args:
          content: the bytes of the file.
          threads: number of threads.
          optimised: whether ONNX Runtime may rewrite the graph; without, it runs as it is written.

        Raises:
          ValueError: ONNX Runtime is not installed.
          RuntimeError: it cannot load the model.
        """
        try:
            import onnxruntime
        except ImportError as error:
            raise ValueError("ONNX Runtime is not installed: pip install 'efld-tf[onnx]'") \
                from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 4  # what fails is raised
        level = onnxruntime.GraphOptimizationLevel
        options.graph_optimization_level = \
            level.ORT_ENABLE_ALL if optimised else level.ORT_DISABLE_ALL
        self._session = _told(lambda: onnxruntime.InferenceSession(
            content, options, providers=["CPUExecutionProvider"]))
        self._inputs = self._details(self._session.get_inputs(), 0)
        self._outputs = self._details(self._session.get_outputs(), len(self._inputs))
        self._values: dict[int, np.ndarray[Any, Any]] = {
            details["index"]: np.zeros(details["shape"], details["dtype"])
            for details in (*self._inputs, *self._outputs)}

    @staticmethod
    def _details(tensors: list[Any], first: int) -> list[dict[str, Any]]:
        details = []
        for index, tensor in enumerate(tensors, start=first):
            if tensor.type not in TYPES:
                raise RuntimeError(f"{tensor.name} is a {tensor.type}")
            if not all(isinstance(side, int) and side > 0 for side in tensor.shape):
                raise RuntimeError(f"{tensor.name} has no fixed shape, but {tensor.shape}")
            details.append({"index": index, "name": tensor.name, "dtype": TYPES[tensor.type],
                            "shape": np.array(tensor.shape, np.int32)})
        return details

    def get_input_details(self) -> list[dict[str, Any]]:
        """Index, name, type and shape of each input."""
        return self._inputs

    def get_output_details(self) -> list[dict[str, Any]]:
        """Index, name, type and shape of each output."""
        return self._outputs

    def allocate_tensors(self) -> None:
        """Does nothing: they are there."""

    def tensor(self, index: int) -> Callable[[], np.ndarray[Any, Any]]:
        """What gives a tensor in its own memory; that of an output is another one after a run."""
        return lambda: self._values[index]

    def get_tensor(self, index: int) -> np.ndarray[Any, Any]:
        """A copy of a tensor."""
        return self._values[index].copy()

    def set_tensor(self, index: int, value: np.ndarray[Any, Any]) -> None:
        """Copies a value into an input.

        Raises:
          ValueError: it has another type or shape.
        """
        tensor = self._values[index]
        if value.shape != tensor.shape or value.dtype != tensor.dtype:
            raise ValueError(f"expected {tensor.dtype} {tensor.shape}, got {value.dtype} "
                             f"{value.shape}")
        tensor[...] = value

    def invoke(self) -> None:
        """Runs the model on what is in its inputs.

        Raises:
          RuntimeError: ONNX Runtime fails.
        """
        inputs = {details["name"]: self._values[details["index"]] for details in self._inputs}
        outputs = _told(lambda: self._session.run(None, inputs))
        for details, output in zip(self._outputs, outputs, strict=True):
            self._values[details["index"]] = output


def _told(action: Callable[[], Any]) -> Any:
    """What an action gives; what ONNX Runtime raises is of no common kind."""
    try:
        return action()
    except Exception as error:
        raise RuntimeError(str(error).strip() or type(error).__name__) from error
