"""MediaPipe's attention mesh: iBUG's 68 points of it, used to teach other models.

I. Grishchenko et al., "Attention Mesh: High-fidelity Face Mesh Prediction in Real-time", 2020. It
looks at eyes and lips once more and sees how far they are open. Its file has operators that only
MediaPipe itself has, so that it runs by MediaPipe's Python interface, which takes ten seconds to
import and finds the face in the crop again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from efld_tf.arrays import Array, Floats, Image
from efld_tf.errors import EfldError
from efld_tf.landmarks.geometry import CropRule
from efld_tf.landmarks.model_outputs import ModelOutputs
from efld_tf.quiet import silenced_stderr
from efld_tf.runtime.mesh import MeshPredictor

SCHEMA = "ibug68"
# Fitted by `tools/fit_attention_map.py`.
MAP = Path(__file__).with_name("attention_map.npz")
VERTICES = 468  # and ten of the irises
# The map from vertices to points was fitted to annotated photos of 300-W.
LICENSE = "non-commercial (points as in the photos of 300-W)"
SIDE = 400
# MediaPipe's own detector has to find the face again, and sees its surroundings, too.
CROP_RULE = CropRule("points", SCHEMA, 2.0)
MIN_DETECTION = 0.2
# The middle of the mesh of the face that was meant lies within so many sides of the crop's.
FARTHEST = 0.15
# The vertices of the outer corners of the right and the left eye.
CORNERS = 33, 263


@dataclass(frozen=True, eq=False)
class VertexMap:
    """Where points lie, by the vertices: a linear map in the frame of the outer eye corners.

    Attributes:
      mean: [2 * VERTICES] the mean face's vertices, all x first; the unit is the distance of the
        corners, from their middle.
      components: [C, 2 * VERTICES] directions from there.
      weights: [C, 2 * N] what each moves the points by.
      points: [2 * N] the mean face's points.
    """

    mean: Floats
    components: Floats
    weights: Floats
    points: Floats

    def __call__(self, vertices: Floats) -> Floats:
        """Points [F, N, 2] of vertices [F, VERTICES, 2], in the same frame as these."""
        centre, axis = frame(vertices)
        parts = (framed(vertices, centre, axis) - self.mean) @ self.components.T
        x, y = np.split(self.points + parts @ self.weights, 2, axis=1)
        found = (x + 1j * y) * axis[:, None] + centre[:, None]
        result: Floats = np.stack([found.real, found.imag], axis=-1).astype(np.float32)
        return result


def frame(vertices: Floats) -> tuple[Array, Array]:
    """The middle of the eye corners and the way from the right to the left, as complex [F]."""
    right, left = (vertices[:, corner] @ np.array([1, 1j]) for corner in CORNERS)
    return (right + left) / 2, left - right


def framed(points: Floats, centre: Array, axis: Array) -> Floats:
    """Points [F, N, 2] in a frame, as [F, 2 * N], all x first."""
    found = (points @ np.array([1, 1j]) - centre[:, None]) / axis[:, None]
    return np.concatenate([found.real, found.imag], axis=1)


@cache
def vertex_map() -> VertexMap:
    """The map that was fitted."""
    with np.load(MAP) as stored:
        return VertexMap(**{name: stored[name].astype(np.float64) for name in stored.files})


class AttentionMeshPredictor(MeshPredictor):
    """Runs the attention mesh as `LandmarkPredictor` runs an exported model.

    Its confidence is 1 where it finds a face and 0, with all points in the middle, where it does
    not. It is not safe to share between threads.
    """

    def __init__(self) -> None:
        """Loads MediaPipe.

        Raises:
          EfldError: mediapipe is not installed.
        """
        try:
            with silenced_stderr():
                from mediapipe.python.solutions.face_mesh import FaceMesh

                self._mesh_of_face = FaceMesh(
                    static_image_mode=True, max_num_faces=1, refine_landmarks=True,
                    min_detection_confidence=MIN_DETECTION)
        except ImportError as error:
            raise EfldError(f"mediapipe cannot be imported: {error}") from error
        self.model = Path("mediapipe")
        self.schema, self.crop_rule, self.mean_shape = SCHEMA, CROP_RULE, None
        self.has_confidence, self.has_depth, self.has_errors = True, False, False
        self.input_size = SIDE

    def vertices(self, crop: Image) -> Floats | None:
        """The vertices [VERTICES, 2] in the unit square of a crop [S, S, 3] uint8 RGB.

        None if MediaPipe finds no face there, or one that is not in the middle.
        """
        with silenced_stderr():
            found = self._mesh_of_face.process(np.ascontiguousarray(crop)).multi_face_landmarks
        if not found:
            return None
        places = np.array([[point.x, point.y] for point in found[0].landmark[:VERTICES]])
        middle = (places.min(axis=0) + places.max(axis=0)) / 2
        return places if np.linalg.norm(middle - 0.5) < FARTHEST else None

    def predict_outputs(self, crops: Image) -> ModelOutputs:
        """All that the model tells of crops [F, S, S, 3] uint8 RGB, in the crops' unit squares."""
        found = [self.vertices(crop) for crop in crops]
        points = np.full((len(crops), len(vertex_map().points) // 2, 2), 0.5, np.float32)
        seen = [index for index, places in enumerate(found) if places is not None]
        if seen:
            points[seen] = vertex_map()(np.array([found[index] for index in seen]))
        confidence = np.zeros(len(crops), np.float32)
        confidence[seen] = 1
        return ModelOutputs(points, confidence, None)
