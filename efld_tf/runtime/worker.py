"""The process in which a model is loaded, run and timed; `trial.ask_worker` starts it.

It is a separate process, because a damaged model can crash the runtime and its process, and because
only a process that does nothing else has a meaningful peak of memory. It is run as a file:
`python worker.py` reads the job as JSON from standard input and writes the answer to standard
output. It imports nothing from the package, so that it works wherever the package is.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

if TYPE_CHECKING:
    from efld_tf.runtime.onnx_interpreter import OnnxInterpreter

Key = TypeVar("Key")

# Number of runs of an interpreter before it is the turn of the next one. It is small enough that a
# disturbance of a second hits all of them, and large enough that the caches are warm for most runs.
ROUND = 20

# A damaged shape can ask for all the memory of the machine. This limits the address space, not the
# memory in use.
MAX_ADDRESS_BYTES = 8 << 30


def main() -> None:
    """Reads the job, runs it and writes the result of `run`, or `{"error"}` with a message."""
    job = json.load(sys.stdin)
    if sys.platform == "linux":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        most = MAX_ADDRESS_BYTES if hard == resource.RLIM_INFINITY else min(hard, MAX_ADDRESS_BYTES)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    if job.get("core") is not None:
        os.sched_setaffinity(0, {job["core"]})
    try:
        answer = run(job["models"], job["threads"], job["kernels"], job["runs"], job["warmup"],
                     job["seed"])
    except (ValueError, RuntimeError, TypeError, MemoryError) as error:
        # The interpreter raises these for models that it cannot load, prepare or invoke.
        answer = {"error": (str(error).strip() or type(error).__name__).splitlines()[0]}
    # The answer is on a separate line, because the runtime may have written before.
    print("\n" + json.dumps(answer))


def run(
    models: list[str], threads: list[int], kernels: list[bool], runs: int, warmup: int, seed: int
) -> dict[str, Any]:
    """Measures models in turns, for one thread count after the other.

    Args:
      models: paths of the files.
      threads: thread counts.
      kernels: True for XNNPACK, False for the built-in kernels, or both; for an `.onnx`, whether
        ONNX Runtime rewrites the graph.
      runs: number of timed runs of each configuration.
      warmup: number of runs before them.
      seed: seed of the random input.

    Returns:
      `peak_memory_bytes`: what loading and running the first model with one thread and XNNPACK adds
      to the memory of the process; None where the system does not report it.
      `latencies_ns`: `[model's index, threads, XNNPACK on, nanoseconds of each run]` for each
      configuration.
    """
    before = peak_memory_bytes()
    interpreter = load(models[0], 1, True, seed)
    for _ in range(3):
        interpreter.invoke()
    after = peak_memory_bytes()
    del interpreter
    latencies = []
    for count in threads:
        loaded = {
            (index, xnnpack): load(model, count, xnnpack, seed)
            for index, model in enumerate(models) for xnnpack in kernels
        }
        for (index, xnnpack), samples in time_interleaved(loaded, runs, warmup).items():
            latencies.append([index, count, xnnpack, samples])
    return {
        "peak_memory_bytes": None if before is None or after is None else after - before,
        "latencies_ns": latencies,
    }


def load(model: str, threads: int, xnnpack: bool, seed: int) -> Interpreter | OnnxInterpreter:
    """Makes an interpreter with allocated tensors and random inputs."""
    interpreter: Interpreter | OnnxInterpreter
    if model.endswith(".onnx"):
        from onnx_interpreter import OnnxInterpreter  # which lies beside this file

        with open(model, "rb") as file:
            interpreter = OnnxInterpreter(file.read(), threads, optimised=xnnpack)
    else:
        interpreter = Interpreter(
            model_path=model,
            num_threads=threads,
            experimental_op_resolver_type=(
                OpResolverType.AUTO if xnnpack
                else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES),
        )
    interpreter.allocate_tensors()
    if not interpreter.get_input_details() or not interpreter.get_output_details():
        raise ValueError("the model has no input or no output")
    random = np.random.default_rng(seed)
    for details in interpreter.get_input_details():
        interpreter.set_tensor(
            details["index"], random_input(random, tuple(details["shape"]), details["dtype"])
        )
    return interpreter


def random_input(
    random: np.random.Generator, shape: tuple[int, ...], dtype: type
) -> np.ndarray[Any, Any]:
    """Random pixels for 8-bit types, values in [0, 1) for floats, and zeros for other types.

    An input of another type may be an index or a flag.
    """
    if dtype in (np.uint8, np.int8):
        limits = np.iinfo(dtype)
        return random.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    if np.issubdtype(dtype, np.floating):
        return random.random(shape).astype(dtype)
    return np.zeros(shape, dtype)


def time_interleaved(
    interpreters: dict[Key, Interpreter | OnnxInterpreter], runs: int, warmup: int
) -> dict[Key, list[int]]:
    """Times interpreters in turns, so that other load on the machine hits them alike.

    Returns:
      The nanoseconds of `runs` invocations of each, without copying images in and out.
    """
    for interpreter in interpreters.values():
        for _ in range(warmup):
            interpreter.invoke()
    samples: dict[Key, list[int]] = {key: [] for key in interpreters}
    for start in range(0, runs, ROUND):
        for key, interpreter in interpreters.items():
            interpreter.invoke()  # Untimed: brings this model's weights back into the caches.
            for _ in range(min(ROUND, runs - start)):
                begin = time.perf_counter_ns()
                interpreter.invoke()
                samples[key].append(time.perf_counter_ns() - begin)
    return samples


def peak_memory_bytes() -> int | None:
    """The largest resident memory that this process ever had; None where it is not reported."""
    try:
        # On Linux, getrusage inherits the peak of the process that started this one.
        with open("/proc/self/status") as file:
            fields = dict(line.split(":", 1) for line in file)
        return int(fields["VmHWM"].split()[0]) * 1024
    except (OSError, KeyError):
        pass
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # This system counts in bytes.
    return None


if __name__ == "__main__":
    main()
