"""Loading a `.tflite` into LiteRT."""

from __future__ import annotations

from pathlib import Path

from ai_edge_litert.interpreter import Interpreter

from efld_tf.errors import DataError
from efld_tf.quiet import silenced_stderr


def load(path: str | Path, threads: int = 1) -> Interpreter:
    """An interpreter with its tensors allocated, XNNPACK on.

    Raises:
      DataError: the file cannot be read, or is no model that LiteRT can load.
    """
    try:
        content = Path(path).read_bytes()
        with silenced_stderr():  # it announces its delegate
            interpreter = Interpreter(model_content=content, num_threads=threads)
            interpreter.allocate_tensors()
    except OSError as error:
        raise DataError(path, f"cannot read the model: {error.strerror}") from error
    except (ValueError, RuntimeError) as error:
        raise DataError(path, f"LiteRT cannot load it: {error}") from error
    return interpreter
