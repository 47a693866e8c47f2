"""The One-Euro filter for landmarks: calm while a face is still, quick while it moves.

G. Casiez, N. Roussel, D. Vogel, "1 Euro Filter: A Simple Speed-based Low-pass Filter for Noisy
Input in Interactive Systems", CHI 2012, Algorithm 1.
"""

from __future__ import annotations

import math

import numpy as np

from efld_tf.arrays import Floats
from efld_tf.errors import EfldError


class OneEuroFilter:
    """Smooths the points of one face from frame to frame.

    Each point is low-pass filtered with a cutoff frequency that grows with its speed,
    `min_cutoff + beta * speed`; the velocity itself is filtered at `derivative_cutoff`. All
    coordinates of a point share the cutoff, so that the result does not depend on the axes.

    Lengths are divided by the size of the face, so that speeds are in face sizes a second and the
    parameters mean the same for near and far faces. The defaults were chosen by
    `benchmarks/smoothing.py`, where the size is the longest side of the points' tight box.
    """

    def __init__(
        self, min_cutoff: float = 0.5, beta: float = 30.0, derivative_cutoff: float = 1.0
    ) -> None:
        """Makes a filter that has seen no frame yet; each face needs its own.

        Args:
          min_cutoff: cutoff in Hz for a face that is still; a smaller one is calmer, but lags more.
          beta: how many Hz the cutoff rises for a speed of one face size a second; a larger one is
            quicker, but less calm in motion. 0 gives a plain low-pass filter.
          derivative_cutoff: cutoff of the velocity in Hz.

        Raises:
          EfldError: a cutoff is not positive, or `beta` is negative.
        """
        if not (0 < min_cutoff < math.inf and 0 < derivative_cutoff < math.inf
                and 0 <= beta < math.inf):
            raise EfldError("smoothing: expected cutoffs above 0 and beta from 0 on, got "
                            f"{min_cutoff}, {derivative_cutoff} and {beta}")
        self._min_cutoff = min_cutoff
        self._beta = beta
        self._derivative_cutoff = derivative_cutoff
        self._seconds = 0.0
        self._points: Floats | None = None  # the last smoothed ones
        self._velocity = np.zeros(())

    def update(self, points: Floats, seconds: float, face_size: float) -> Floats:
        """Smooths the points of the next frame.

        Args:
          points: [N, 2] in pixels, or [N, 3] with their depths.
          seconds: the frame's time, later than the last one's by any step.
          face_size: the size of the face in pixels, see above.

        Returns:
          The points, float32 in pixels; those of the first frame are unchanged.

        Raises:
          EfldError: the time does not go on, the points are not finite or not as many as in the
            last frame, or the size is not positive.
        """
        points = np.asarray(points, np.float64)
        if points.ndim != 2 or points.shape[1] not in (2, 3) or not np.isfinite(points).all():
            raise EfldError("smoothing: expected finite points [N, 2] or [N, 3]")
        if not 0 < face_size < math.inf:
            raise EfldError(f"smoothing: expected a face size above 0, got {face_size}")
        if self._points is None:
            self._velocity = np.zeros_like(points)
            smooth = points
        else:
            step = seconds - self._seconds
            if not 0 < step < math.inf:
                raise EfldError(f"smoothing: a frame at {seconds:g} s after one at "
                                f"{self._seconds:g} s")
            if points.shape != self._points.shape:
                raise EfldError(f"smoothing: {len(points)} points {list(points.shape)} after "
                                f"{len(self._points)} {list(self._points.shape)}")
            velocity = (points - self._points) / (step * face_size)
            self._velocity += _weight(self._derivative_cutoff, step) * (velocity - self._velocity)
            speed = np.linalg.norm(self._velocity, axis=1, keepdims=True)
            weight = _weight(self._min_cutoff + self._beta * speed, step)
            smooth = self._points + weight * (points - self._points)
        self._points, self._seconds = smooth, seconds
        return smooth.astype(np.float32)


def _weight(cutoff: float | Floats, step: float) -> float | Floats:
    """The weight of a new value in a low-pass filter: cutoff in Hz, step in seconds."""
    return 1 / (1 + 1 / (2 * math.pi * cutoff * step))
