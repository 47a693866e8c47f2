"""MediaPipe's BlazeFace models, which find faces in a square, run by LiteRT.

V. Bazarevsky et al., "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs", 2019,
describe a single-shot detector that has anchors of one size. The models are files of the installed
mediapipe package; the package itself, which takes ten seconds to import, is not imported for it.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from efld_tf.arrays import Floats, Image
from efld_tf.errors import DataError, EfldError
from efld_tf.runtime import interpreter

KEYPOINTS = ("right_eye", "left_eye", "nose_tip", "mouth", "right_ear", "left_ear")


@dataclass(frozen=True)
class Architecture:
    """A detection model of MediaPipe.

    Attributes:
      file: its path below the mediapipe package.
      input_size: side of the input in pixels.
      grids: cells a side and anchors a cell, in the order of the output.
      smallest: side of the smallest face that is found reliably, divided by the side of the square
        that the model looks at.
      min_score: the score below which MediaPipe itself reports nothing by default.
      tiled: whether tiles are searched unless the user says otherwise; half of what the short-range
        model finds in them is no face (benchmarks/detector.py).
    """

    file: str
    input_size: int
    grids: tuple[tuple[int, int], ...]
    smallest: float
    min_score: float
    tiled: bool

    def anchors(self) -> Floats:
        """Centres [A, 2] of the anchors, in sides of the input."""
        centres = []
        for cells, count in self.grids:
            steps = (np.arange(cells) + 0.5) / cells
            grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
            centres.append(np.repeat(grid, count, axis=0))
        return np.concatenate(centres)


MODELS = {
    "short": Architecture(
        "modules/face_detection/face_detection_short_range.tflite", 128, ((16, 2), (8, 6)), 0.16,
        0.5, False,
    ),
    "full": Architecture(
        "modules/face_detection/face_detection_full_range_sparse.tflite", 192, ((48, 1),), 0.1,
        0.6, True,
    ),
}


class BlazeFace:
    """One of the models.

    It is not safe to share between threads, because the interpreter holds its tensors.

    Attributes:
      name: `short` or `full`.
      architecture: what it is like.
    """

    def __init__(self, model: str | Path, threads: int = 1):
        """Loads a model.

        Args:
          model: `short`, `full`, or a file of one of them.

        Raises:
          EfldError: mediapipe is not installed.
          DataError: the file is not one of these models.
        """
        self._path = bundled(MODELS[model].file) if model in MODELS else Path(model)
        self._interpreter = interpreter.load(self._path, threads)
        self.name, self.architecture = self._recognise()
        self._anchors = self.architecture.anchors()

    def _recognise(self) -> tuple[str, Architecture]:
        """Tells which of the models a file is by the shapes of its input and outputs."""
        inputs = self._interpreter.get_input_details()
        outputs = self._interpreter.get_output_details()
        shapes = [tuple(d["shape"].tolist()) for d in (*inputs, *outputs)]
        for name, architecture in MODELS.items():
            size, count = architecture.input_size, sum(n * n * k for n, k in architecture.grids)
            if sorted(shapes) == sorted([(1, size, size, 3), (1, count, 16), (1, count, 1)]):
                self._input = inputs[0]["index"]
                self._boxes, self._scores = (
                    next(d["index"] for d in outputs if d["shape"][2] == width)
                    for width in (4 + 2 * len(KEYPOINTS), 1)
                )
                return name, architecture
        raise DataError(self._path,
                        "expected one of MediaPipe's face detectors (short or full range)")

    def look(self, pixels: Image, min_score: float) -> Floats:
        """Raw detections in a square: of a face there are several.

        Args:
          pixels: [S, S, 3] uint8 RGB.
          min_score: the lowest score, 0 to 1.

        Returns:
          [D, 17]: score, box (x0, y0, x1, y1) and the `KEYPOINTS` x, y, in the unit square, of
          which pixel j has its centre at (j + 0.5) / S.
        """
        values = self._interpreter.tensor(self._input)()[0]
        np.divide(pixels, np.float32(127.5), out=values)
        values -= 1
        del values  # LiteRT runs no model while there is a view of its memory
        interpreter.invoke(self._interpreter, self._path)
        logits = self._interpreter.get_tensor(self._scores)[0, :, 0].astype(np.float64)
        scores = 1 / (1 + np.exp(-np.clip(logits, -100, 100)))
        chosen = scores >= min_score
        raw = self._interpreter.get_tensor(self._boxes)[0, chosen].astype(np.float64)
        raw /= self.architecture.input_size
        anchors = self._anchors[chosen]
        centre, half = raw[:, :2] + anchors, raw[:, 2:4] / 2
        keypoints = raw[:, 4:] + np.tile(anchors, len(KEYPOINTS))
        return np.concatenate(
            [scores[chosen, None], centre - half, centre + half, keypoints], axis=1)


def bundled(file: str) -> Path:
    """A model file of the installed mediapipe package, which is not imported.

    Raises:
      EfldError: the package or the file is missing.
    """
    spec = importlib.util.find_spec("mediapipe")
    if spec is None or spec.origin is None:
        raise EfldError("mediapipe is not installed, whose package holds the detector's model: "
                        "pip install mediapipe==0.10.21")
    path = Path(spec.origin).parent / file
    if not path.is_file():
        raise EfldError(f"the installed mediapipe has no {file}: 0.10.21 is expected")
    return path
