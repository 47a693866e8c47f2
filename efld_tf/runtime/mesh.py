"""MediaPipe's face mesh, run by LiteRT: 468 points of a face, used to teach other models.

Y. Kartynnik et al., "Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs", 2019.
The model is a file of the installed mediapipe package, which is never imported. MediaPipe turns its
crop upright by the eyes, as `FaceLandmarker` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from efld_tf.arrays import Image
from efld_tf.errors import DataError
from efld_tf.landmarks import schemas
from efld_tf.landmarks.geometry import Crop, CropRule, extract_crop
from efld_tf.landmarks.model_outputs import ModelOutputs
from efld_tf.runtime import interpreter
from efld_tf.runtime.blazeface import bundled
from efld_tf.runtime.predictor import LandmarkPredictor

FILE = "modules/face_landmark/face_landmark.tflite"
LICENSE = "Apache-2.0"  # MediaPipe's, code and models

# `tools/fit_mesh_map.py` chose this rule: on HELEN's training faces, with the boxes of their 68
# points, it gives the least error. MediaPipe's own crop is 1.5 times its detector's box.
CROP_RULE = CropRule("points", "ibug68", 1.5, 0.0, -0.07)


class MeshPredictor(LandmarkPredictor):
    """Runs MediaPipe's face mesh as `LandmarkPredictor` runs an exported model.

    It is not safe to share between threads, because the interpreter holds its tensors.
    """

    def __init__(self, path: str | Path | None = None, threads: int = 1):
        """Loads the model.

        Args:
          path: MediaPipe's `face_landmark.tflite`; None for that of the installed package.

        Raises:
          EfldError: mediapipe is not installed.
          DataError: the file is not that model.
        """
        path = bundled(FILE) if path is None else Path(path)
        self.model = path
        self.schema = "mediapipe468"
        self.crop_rule = CROP_RULE
        self.mean_shape = None
        self.has_confidence, self.has_depth, self.has_errors = True, True, False
        self._interpreter = interpreter.load(path, threads)
        inputs = self._interpreter.get_input_details()
        outputs = self._interpreter.get_output_details()
        self._count = schemas.get(self.schema).num_points
        shape, sizes = inputs[0]["shape"].tolist(), [int(d["shape"].prod()) for d in outputs]
        if len(shape) != 4 or shape[1] != shape[2] or sizes != [3 * self._count, 1]:
            raise DataError(path, "expected MediaPipe's face mesh of 468 points")
        self._input, self._mesh, self._logit = (d["index"] for d in (*inputs, *outputs))
        self.input_size = shape[1]

    def predict_outputs(self, crops: Image) -> ModelOutputs:
        """All that the model tells of crops [F, S, S, 3] uint8 RGB, in the crops' unit squares."""
        points = np.empty((len(crops), self._count, 2), np.float32)
        depth = np.empty((len(crops), self._count), np.float32)
        logits = np.empty(len(crops), np.float32)
        for index, crop in enumerate(crops):
            self._interpreter.set_tensor(self._input, crop[None] / np.float32(255))
            interpreter.invoke(self._interpreter, self.model)
            # Pixels count from the crop's outer corner: x of mirrored crops sum up to 191.8.
            mesh = self._interpreter.get_tensor(self._mesh).reshape(self._count, 3)
            points[index] = mesh[:, :2] / self.input_size
            # It counts away from the camera.
            depth[index] = (mesh[:, 2].mean() - mesh[:, 2]) / self.input_size
            logits[index] = self._interpreter.get_tensor(self._logit).item()
        return ModelOutputs(points, 1 / (1 + np.exp(-logits)), depth)

    def predict_in(self, image: Image, crops: Sequence[Crop]) -> ModelOutputs:
        """What the model tells of the faces in squares of an image.

        Args:
          image: [H, W, 3] uint8 RGB.
          crops: squares such as `crop_rule` gives them.

        Returns:
          The outputs in pixels of the image, pixel centres at whole numbers.

        Raises:
          EfldError: a crop is absurdly larger than the image.
        """
        pixels = [extract_crop(image, crop, self.input_size) for crop in crops]
        return self.predict_outputs(np.array(pixels, np.uint8)).in_pixels(crops)
