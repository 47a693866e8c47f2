"""Loading a `.tflite` into LiteRT."""

from __future__ import annotations

from pathlib import Path

from ai_edge_litert.interpreter import Interpreter

from efld_tf.errors import DataError
from efld_tf.quiet import silenced_stderr
from efld_tf.runtime import model_file, trial


def load(path: str | Path, threads: int = 1) -> Interpreter:
    """An interpreter with its tensors allocated, XNNPACK on; the model is tried before.

    Raises:
      DataError: the file cannot be read, is no model that LiteRT can load and run, or is not the
        one that its bundle was written for.
    """
    content = model_file.read(path)
    try:
        trial.check(Path(path), content)
        with silenced_stderr():  # it announces its delegate
            interpreter = Interpreter(model_content=content, num_threads=threads)
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise DataError(path, f"LiteRT cannot load it: {error}") from error
    return interpreter


def invoke(interpreter: Interpreter, path: Path) -> None:
    """Runs a model on what is in its inputs.

    Args:
      path: its file, for the message.

    Raises:
      DataError: LiteRT cannot run it.
    """
    try:
        interpreter.invoke()
    except (ValueError, RuntimeError) as error:
        raise DataError(path, f"LiteRT cannot run it: {error}") from error
