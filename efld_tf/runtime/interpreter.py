"""Loads an exported model into the runtime of its format: LiteRT, or ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

from ai_edge_litert.interpreter import Interpreter, OpResolverType

from efld_tf.errors import DataError
from efld_tf.quiet import silenced_stderr
from efld_tf.runtime import model_file, onnx_file, trial
from efld_tf.runtime.onnx_interpreter import OnnxInterpreter


def load(path: str | Path, threads: int = 1, *, fast: bool = True) -> Interpreter:
    """An interpreter with its tensors allocated, or one that acts as it does; the model is tried.

    Args:
      threads: number of threads.
      fast: whether XNNPACK takes part, or ONNX Runtime rewrites the graph; without, the built-in
        kernels run the model as it is written.

    Raises:
      DataError: the file cannot be read, is no model that the runtime can load and run, or is not
        the one that its bundle was written for.
    """
    path, content = Path(path), model_file.read(path)
    try:
        if onnx_file.is_onnx(path):
            onnx_file.parsed(path, content)
            trial.check(path, content)
            return OnnxInterpreter(content, threads, optimised=fast)
        trial.check(path, content)
        resolver = OpResolverType.AUTO if fast else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        with silenced_stderr():  # it announces its delegate
            interpreter = Interpreter(model_content=content, num_threads=threads,
                                      experimental_op_resolver_type=resolver)
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise _refused(path, error, "load") from error
    return interpreter


def invoke(interpreter: Interpreter, path: Path) -> None:
    """Runs a model on what is in its inputs.

    Args:
      path: the model's file, for messages.

    Raises:
      DataError: it fails in the runtime.
    """
    try:
        interpreter.invoke()
    except (ValueError, RuntimeError) as error:
        raise _refused(path, error, "run") from error


def kernels(path: str | Path, *, fast: bool) -> str:
    """What runs a model, as reports call it; see `load`."""
    if onnx_file.is_onnx(path):
        return "optimised" if fast else "as written"
    return "XNNPACK" if fast else "built-in"


def _refused(path: Path, error: Exception, what: str) -> DataError:
    runtime = "ONNX Runtime" if onnx_file.is_onnx(path) else "LiteRT"
    return DataError(path, f"{runtime} cannot {what} it: {error}")
