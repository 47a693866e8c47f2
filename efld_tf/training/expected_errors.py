"""Fits what tells how far off a trained model's points may be: two dense layers on its features.

The model stays as it is. The log-odds of each point's error, in sides of the crop, are regressed on
standardised features with an L2 penalty; the part of them that a few numbers explain is kept
(reduced-rank regression). Errors have long tails, and the exponential of a mean logarithm lies
below their mean: so a slope and an offset, which all points share, are fitted last, to the mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tf_keras
from scipy.optimize import minimize
from scipy.special import expit, logit

from efld_tf.errors import EfldError
from efld_tf.models import registry
from efld_tf.models.checkpoint import ModelSpec
from efld_tf.training import folds
from efld_tf.training.folds import FOLDS

PENALTIES = (1e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)
# Errors in sides of the crop beyond which differences tell nothing: half a pixel of 128, and what
# is on no face at all.
LEAST, MOST = 0.004, 0.5
# The standard deviation of the latent numbers, which exports hold between -8 and 8
# (`exporting.ranges.LARGEST_LOG_ODDS`).
LATENT_SPREAD = 2.0


@dataclass(frozen=True, eq=False)
class Layers:
    """Two dense layers from C features to the log-odds of N expected errors.

    Attributes:
      latent_kernel, latent_bias: [C, R], [R], for features that are not standardised.
      kernel, bias: [R, N], [N].
      penalty: the chosen one of `PENALTIES`.
      held_out: [E, N] the expected errors of the examples, by layers that were not fitted to their
        photos, in sides of the crop.
    """

    latent_kernel: np.ndarray
    latent_bias: np.ndarray
    kernel: np.ndarray
    bias: np.ndarray
    penalty: float
    held_out: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """The expected errors [E, N] for features [E, C]."""
        return expit((x @ self.latent_kernel + self.latent_bias) @ self.kernel + self.bias)


def fit(
    x: np.ndarray, errors: np.ndarray, photos: Sequence[str],
    rank: int = registry.ERROR_LATENTS, penalties: Sequence[float] = PENALTIES,
    calibration: tuple[np.ndarray, np.ndarray] | None = None,
) -> Layers:
    """Fits the layers.

    Args:
      x: [E, C] features of E looks at faces.
      errors: [E, N] how far off each point is, in sides of the crop.
      photos: [E], the photo or person of each; one is never on both sides of a fold.
      rank: R, how many numbers the errors follow from.
      penalties: the penalties to choose from, by the squared error of the log-odds on the folds
        that were left out.
      calibration: features and errors of further looks, at faces that the model's weights have not
        learnt, to fit the slope and the offset to: of learnt faces errors are smaller. None for the
        looks of the folds that were left out.

    Raises:
      EfldError: there are fewer photos than folds, or a number is not finite.
    """
    if (count := len({*photos})) < FOLDS:
        raise EfldError(f"expected errors: at least {FOLDS} photos are needed, got {count}")
    if not all(np.isfinite(some).all() for some in (x, errors, *(calibration or ()))):
        raise EfldError("expected errors: a feature or an error is not a finite number")
    fold = folds.of(photos)
    target = logit(np.clip(errors, LEAST, MOST))
    trials = []
    for penalty in penalties:
        held_out = np.empty_like(target)
        for index in range(FOLDS):
            kept = fold != index
            latents, kernel, bias = _regression(x[kept], target[kept], penalty, rank)
            held_out[~kept] = latents(x[~kept]) @ kernel + bias
        trials.append((float(np.square(held_out - target).mean()), penalty, held_out))
    _, penalty, held_out = min(trials, key=lambda trial: trial[0])
    latents, kernel, bias = _regression(x, target, penalty, rank)
    if calibration is None:
        slope, offset = to_mean(held_out, errors)
    else:
        others, their_errors = calibration
        slope, offset = to_mean(latents(others) @ kernel + bias, their_errors)
    return Layers(latents.kernel, latents.bias, slope * kernel, slope * bias + offset, penalty,
                  expit(slope * held_out + offset))


@dataclass(frozen=True, eq=False)
class _Latents:
    """The first layer: [E, C] -> [E, R]."""

    kernel: np.ndarray
    bias: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return x @ self.kernel + self.bias


def _regression(
    x: np.ndarray, target: np.ndarray, penalty: float, rank: int
) -> tuple[_Latents, np.ndarray, np.ndarray]:
    """Ridge regression of targets [E, N] of a rank: the first layer, and kernel, bias of the other.

    The directions that are kept are the principal ones of what the full regression predicts
    (A. J. Izenman, "Reduced-rank regression for the multivariate linear model", 1975).
    """
    mean, spread = x.mean(axis=0), x.std(axis=0) + 1e-6
    z, bias = (x - mean) / spread, target.mean(axis=0)
    gram = z.T @ z / len(z) + penalty * np.eye(z.shape[1])
    full = np.linalg.solve(gram, z.T @ (target - bias) / len(z))
    directions = np.linalg.svd(z @ full, full_matrices=False)[2][:rank].T  # [N, R]
    kernel = full @ directions / spread[:, None]
    scale = LATENT_SPREAD / ((x - mean) @ kernel).std(axis=0).clip(1e-6)
    kernel = kernel * scale
    return _Latents(kernel, -mean @ kernel), (directions / scale).T, bias


def to_mean(log_odds: np.ndarray, errors: np.ndarray) -> tuple[float, float]:
    """The slope and offset by which log-odds [E, N] tell the mean of errors [E, N].

    They minimise the deviance of a gamma distribution, error / mean + log mean, whose mean is the
    sigmoid of slope * log-odds + offset.
    """
    known = np.clip(errors, LEAST / 4, MOST)

    def deviance(values: np.ndarray) -> tuple[float, np.ndarray]:
        mean = expit(values[0] * log_odds + values[1])
        ratio = known / mean
        # The derivative of log mean by the log-odds is 1 - mean.
        by_odds = (1 - ratio) * (1 - mean)
        return float((ratio + np.log(mean)).mean()), np.array(
            [(by_odds * log_odds).mean(), by_odds.mean()])

    solution = minimize(deviance, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B")
    return float(solution.x[0]), float(solution.x[1])


def attached(
    spec: ModelSpec, model: tf_keras.Model, head: str, layers: Layers, description: dict[str, Any]
) -> tuple[ModelSpec, tf_keras.Model]:
    """A model with the layers as a head's output of expected errors.

    It shares its other layers with `model`, whose own such output is replaced.

    Args:
      description: the description of the fit for `HeadSpec.errors`.

    Raises:
      EfldError: the model has no presence output, or the family can have no such output.
    """
    if spec.presence is None:
        raise EfldError("expected errors: the model has no presence output, which comes first")
    name = registry.errors_output(head)
    others = {key: output for key, output in model.output.items() if key != name}
    points = spec.schema(head).num_points
    complete = spec.architecture.with_errors(tf_keras.Model(model.input, others), head, points)
    first, second = (complete.get_layer(layer) for layer in registry.error_layers(head))
    first.set_weights([layers.latent_kernel, layers.latent_bias])
    second.set_weights([layers.kernel, layers.bias])
    heads = {**spec.heads, head: replace(spec.heads[head], errors=description)}
    return replace(spec, heads=heads), complete
