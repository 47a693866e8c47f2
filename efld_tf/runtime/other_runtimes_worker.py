"""Runs models on their inputs; the Python of another environment executes this file.

It reads a list of jobs as JSON from standard input and writes a line of JSON for each. It needs
nothing but NumPy and the runtime, and runs on Python 3.8.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any


def _load() -> tuple[Any, Any]:
    """The interpreter class of the installed runtime, and its enum of kernels, if it has one."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    try:
        from ai_edge_litert import interpreter
    except ImportError:
        try:
            from tflite_runtime import interpreter
        except ImportError:
            from tensorflow.lite.python import interpreter
    return interpreter.Interpreter, getattr(interpreter, "OpResolverType", None)


def _run(interpreter_class: Any, resolvers: Any, job: dict[str, Any]) -> dict[str, Any]:
    """The outputs of one job, or why the runtime refuses it."""
    import numpy as np

    options = {"model_path": job["model"]}
    if resolvers is not None:
        options["experimental_op_resolver_type"] = (
            resolvers.AUTO if job["default"] else resolvers.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    image = np.fromfile(job["input"], np.uint8).reshape(job["shape"])
    try:
        interpreter = interpreter_class(**options)
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
        interpreter.invoke()
    except (ValueError, RuntimeError) as error:
        return {"refused": " ".join(str(error).split())}
    outputs = [interpreter.get_tensor(end["index"]) for end in interpreter.get_output_details()]
    return {"outputs": [output.astype(float).tolist() for output in outputs]}


def main() -> None:
    """Loads the runtime once, then runs each job in a process of its own, which may crash."""
    interpreter_class, resolvers = _load()
    jobs = json.load(sys.stdin)
    for job in jobs:
        if resolvers is None and not job["default"]:
            print(json.dumps({"absent": True}), flush=True)
            continue
        child = os.fork()
        if not child:
            print(json.dumps(_run(interpreter_class, resolvers, job)), flush=True)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        if status:
            print(json.dumps({"crashed": status}), flush=True)


if __name__ == "__main__":
    main()
