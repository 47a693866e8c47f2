"""What an export for microcontrollers has beside its model: a trial, and C source.

The trial is by TensorFlow Lite Micro itself, with its plain kernels: it tells whether a
microcontroller can run the model, and in how much memory.
"""

from __future__ import annotations

import contextlib
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from efld_tf import files
from efld_tf.errors import EfldError, UnsupportedMode
from efld_tf.exporting.report import ExportReport
from efld_tf.landmarks import model_outputs, schemas
from efld_tf.progress import Progress
from efld_tf.quiet import captured_stderr, silenced_stderr
from efld_tf.runtime import graph
from efld_tf.runtime.predictor import LandmarkPredictor

HEADER, SOURCE = "model_data.h", "model_data.c"
# Crops on which the two runtimes are compared: this one takes a hundred times as long.
COMPARED = 64
# The sizes of an arena that are tried are multiples of the first, up to the second.
STEP, LARGEST_ARENA = 1024, 64 << 20
BYTES_A_LINE = 20
# The runtimes round in other places; what is this far off in the median is something else.
MOST_AWAY = 0.02
# The last lines of what TensorFlow Lite Micro says of a model that it cannot run.
LINES = 2


def check_installed() -> None:
    """Checks that TensorFlow Lite Micro is there.

    Raises:
      EfldError: it is not; the message says how to install it.
    """
    try:
        import tflite_micro  # noqa: F401
    except ImportError as error:
        raise EfldError("--micro: TensorFlow Lite Micro, by which an export is tried, is not "
                        "installed: pip install 'efld-tf[micro]'; there are wheels of it for "
                        "Linux on x86-64 alone") from error


def check(model: Path) -> None:
    """Runs a model once.

    Raises:
      UnsupportedMode: TensorFlow Lite Micro cannot run it; the message has what it says.
    """
    content = model.read_bytes()
    (image,) = graph.parse(content).inputs
    blank = np.zeros([side or 1 for side in image.shape], np.uint8)
    _outputs(content, blank, progress=False)


def trial(model: Path, crops: np.ndarray, *, progress: bool = False) -> dict[str, Any]:
    """Runs a model by TensorFlow Lite Micro, as `ExportReport.micro` has it.

    Args:
      crops: [F, S, S, 3] uint8; images on which it is compared with LiteRT.

    Raises:
      UnsupportedMode: as in `check`.
      EfldError: it gives other results than LiteRT.
    """
    from tflite_micro import __version__

    content, crops = model.read_bytes(), crops[:COMPARED]
    expected = LandmarkPredictor(model).predict_outputs(crops)
    found = model_outputs.of(_outputs(content, crops, progress=progress))
    for value, wanted in zip(found, expected, strict=True):
        if value is None or wanted is None:
            continue
        away = np.abs(value - wanted)
        if not np.median(away) <= MOST_AWAY:
            raise EfldError(f"--micro: TensorFlow Lite Micro {__version__} gives other results "
                            f"than LiteRT: they differ by {np.median(away):.3f} in the median")
    away = crops.shape[1] * np.linalg.norm(found.points - expected.points, axis=-1)
    return {"runtime": f"tflite-micro {__version__}", "arena_bytes": arena_bytes(content),
            "faces": len(crops), "point_difference_px_median": round(float(np.median(away)), 4),
            "point_difference_px_max": round(float(away.max()), 4)}


def _outputs(content: bytes, crops: np.ndarray, *, progress: bool) -> list[np.ndarray]:
    """What a model gives for each of some crops, by its outputs."""
    results: list[list[np.ndarray]] = [[] for _ in graph.parse(content).outputs]
    with _reported():
        interpreter = _interpreter(content, LARGEST_ARENA)
    with Progress("running TensorFlow Lite Micro", len(crops), "face", shown=progress) as bar:
        for index in bar.over(range(len(crops))):
            with _reported():
                interpreter.set_input(crops[index : index + 1], 0)
                interpreter.invoke()
                for place, values in enumerate(results):
                    values.append(interpreter.get_output(place)[0].copy())
    return [np.array(values) for values in results]


@contextlib.contextmanager
def _reported() -> Iterator[None]:
    """Tells what TensorFlow Lite Micro wrote to stderr where it fails."""
    from tflite_micro import __version__

    with captured_stderr() as read_captured:
        try:
            yield
        except (RuntimeError, ValueError) as error:
            said = read_captured().decode(errors="replace").strip().splitlines() or [str(error)]
            raise UnsupportedMode(
                f"--micro: TensorFlow Lite Micro {__version__} cannot run the model: "
                f"{'; '.join(line.strip() for line in said[-LINES:])}") from error


def arena_bytes(content: bytes) -> int:
    """The least memory, to a kilobyte, in which TensorFlow Lite Micro takes a model here."""
    low, high = 0, LARGEST_ARENA // STEP  # too small, and large enough
    while high - low > 1:
        middle = (low + high) // 2
        try:
            with silenced_stderr():
                _interpreter(content, middle * STEP)
            high = middle
        except RuntimeError:
            low = middle
    return high * STEP


def _interpreter(content: bytes, arena: int) -> Any:
    """TensorFlow Lite Micro with a model.

    Raises:
      RuntimeError: it refuses it, or the arena is too small.
    """
    from tflite_micro import runtime

    return runtime.Interpreter.from_bytes(content, arena_size=arena)


def write(model: Path, head: str, report: ExportReport) -> None:
    """Writes C source with a model beside it: `model_data.h` and `model_data.c`.

    Args:
      head: the name of the model's schema.
      report: the report on the model, with its operators and `arena_bytes`.
    """
    content, name = model.read_bytes(), symbol(model.stem)
    size, points = graph.parse(content).inputs[0].shape[1], schemas.get(head).num_points
    files.write_text(model.with_name(HEADER), HEADER_TEXT.format(
        file=model.name, name=name, constants=name.upper(), bytes=len(content),
        arena=report.micro["arena_bytes"], side=size, points=points,
        operators=textwrap.fill(", ".join(sorted(report.operators)), 96,
                                subsequent_indent="   ")))
    rows = (content[start : start + BYTES_A_LINE]
            for start in range(0, len(content), BYTES_A_LINE))
    files.write_text(model.with_name(SOURCE), SOURCE_TEXT.format(
        file=model.name, name=name, header=HEADER,
        bytes="\n".join("    " + "".join(f"{byte}," for byte in row) for row in rows)))


def symbol(text: str) -> str:
    """A name of C for a model."""
    return re.sub(r"\W", "_", text, flags=re.ASCII).lstrip("0123456789_") or "model"


HEADER_TEXT = """\
/* {file} as C source, for TensorFlow Lite Micro.

   Input: uint8 RGB [1, {side}, {side}, 3], a face as landmarker.json says. Outputs: float32
   [1, {points}, 2], points (x, y) in the unit square of the crop; others as MODEL_CARD.md says.

   Operators, which a MicroMutableOpResolver needs:
   {operators}. */

#ifndef {constants}_H
#define {constants}_H

#ifdef __cplusplus
extern "C" {{
#endif

enum {{
  {constants}_BYTES = {bytes},
  /* What it took with plain kernels where pointers have 64 bits. Kernels such as those of CMSIS-NN
     take more, for themselves. */
  {constants}_ARENA_BYTES = {arena},
  {constants}_SIDE = {side},
  {constants}_POINTS = {points},
}};

/* At an address that is a multiple of 16. */
extern const unsigned char {name}[{constants}_BYTES];

#ifdef __cplusplus
}}
#endif

#endif
"""

SOURCE_TEXT = """\
/* {file} as C source, for TensorFlow Lite Micro; C11, or C++11. */

#include "{header}"

#ifdef __cplusplus
alignas(16)
#else
_Alignas(16)
#endif
const unsigned char {name}[] = {{
{bytes}
}};
"""
