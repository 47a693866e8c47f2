"""Fits a presence output for a trained model: one dense layer on features that stay as they are.

The fit is a logistic regression with an L2 penalty on standardised features. The penalty is chosen
on photos that were not fitted to, and the bias is set by the log-odds of faces in such photos.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tf_keras
from scipy.optimize import minimize
from scipy.special import expit

from efld_tf.errors import EfldError
from efld_tf.models import registry
from efld_tf.models.checkpoint import ModelSpec
from efld_tf.models.registry import Architecture
from efld_tf.training import folds
from efld_tf.training.folds import FOLDS

PENALTIES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
# Share of the faces, by weight, that have to reach a confidence of 0.5. They have the variations of
# fitting; of unchanged faces, more reach it. Those that do not are mostly profiles, and a larger
# share would let many more false alarms pass (benchmarks/presence).
RECALL = 0.975
BATCH = 128


@dataclass(frozen=True, eq=False)
class Layer:
    """A dense layer with one output.

    Attributes:
      kernel: [C], for features that are not standardised.
      bias: the bias of the log-odds.
      penalty: the chosen one of `PENALTIES`.
      held_out: [F], the log-odds of each example by layers that were not fitted to its photo. Like
        the bias, they are shifted so that `RECALL` of the faces are above 0.
    """

    kernel: np.ndarray
    bias: float
    penalty: float
    held_out: np.ndarray


def features(
    architecture: Architecture, model: tf_keras.Model, crops: np.ndarray
) -> np.ndarray:
    """The features [F, C] float32 of a model for crops [F, S, S, 3] uint8.

    Raises:
      EfldError: the family cannot have a presence output.
    """
    build_features = architecture.family.features
    if build_features is None:
        raise EfldError(f"the family {architecture.name!r} has no presence output")
    probe = tf_keras.Model(model.input, build_features(model))
    parts = [probe(crops[i : i + BATCH].astype(np.float32) / 255.0, training=False).numpy()
             for i in range(0, len(crops), BATCH)]
    return np.concatenate(parts)


def fit(
    x: np.ndarray, face: np.ndarray, weight: np.ndarray, photos: Sequence[str],
    penalties: Sequence[float] = PENALTIES,
) -> Layer:
    """Fits the layer.

    Args:
      x: [F, C] features.
      face: [F] bool, whether each example is a face.
      weight: [F], the weight of each example.
      photos: [F], the photo or person of each; one is never on both sides of a fold.
      penalties: the penalties to choose from, by the log loss on the folds that were left out.

    Raises:
      EfldError: a fold does not have examples of both kinds.
    """
    fold = folds.of(photos)
    for index in range(FOLDS):
        if len(set(face[fold != index])) < 2 or not face[fold == index].any():
            raise EfldError(f"too few photos with and without faces to fit to: {len({*photos})}")
    mean, spread = x.mean(axis=0), x.std(axis=0) + 1e-6
    z = (x - mean) / spread
    trials: list[tuple[float, float, np.ndarray]] = []
    for penalty in penalties:
        held_out = np.zeros(len(x))
        for index in range(FOLDS):
            fitted = fold != index
            kernel, bias = logistic(z[fitted], face[fitted], weight[fitted], penalty)
            held_out[~fitted] = z[~fitted] @ kernel + bias
        trials.append((_loss(held_out, face, weight), penalty, held_out))
    _, penalty, held_out = min(trials, key=lambda trial: trial[0])
    kernel, bias = logistic(z, face, weight, penalty)
    shift = -quantile(held_out[face], weight[face], 1 - RECALL)
    kernel = kernel / spread
    return Layer(kernel, float(bias + shift - mean @ kernel), penalty, held_out + shift)


def attached(
    spec: ModelSpec, model: tf_keras.Model, layer: Layer, description: dict[str, Any]
) -> tuple[ModelSpec, tf_keras.Model]:
    """A model with the layer as its presence output; it shares its other layers with `model`.

    Args:
      description: the description of the fit for `ModelSpec.presence`.

    Raises:
      EfldError: the family cannot have a presence output.
    """
    others = {name: output for name, output in model.output.items() if name != registry.PRESENCE}
    complete = spec.architecture.with_presence(tf_keras.Model(model.input, others))
    presence = complete.get_layer(registry.PRESENCE_LAYER)
    presence.set_weights([layer.kernel[:, None], np.array([layer.bias])])
    return replace(spec, presence=description), complete


def quantile(values: np.ndarray, weight: np.ndarray, share: float) -> float:
    """The value below which that share of the weight lies."""
    order = np.argsort(values)
    below = np.cumsum(weight[order]) / weight.sum()
    return float(values[order][min(int(np.searchsorted(below, share)), len(order) - 1)])


def logistic(
    z: np.ndarray, face: np.ndarray, weight: np.ndarray, penalty: float
) -> tuple[np.ndarray, float]:
    """A logistic regression with an L2 penalty.

    Args:
      z: [F, C] features.
      face: [F] bool, what is told.
      weight: [F], the weight of each example.

    Returns:
      Kernel [C] and bias that minimise the weighted mean log loss + penalty / 2 |kernel|^2.
    """
    share = weight / weight.sum()

    def objective(values: np.ndarray) -> tuple[float, np.ndarray]:
        kernel, logit = values[:-1], z @ values[:-1] + values[-1]
        error = share * (expit(logit) - face)
        loss = _loss(logit, face, weight) + penalty / 2 * kernel @ kernel
        return loss, np.append(error @ z + penalty * kernel, error.sum())

    solution = minimize(objective, np.zeros(z.shape[1] + 1), jac=True, method="L-BFGS-B",
                        options={"maxiter": 2000})
    return solution.x[:-1], float(solution.x[-1])


def _loss(logit: np.ndarray, face: np.ndarray, weight: np.ndarray) -> float:
    return float(np.average(np.logaddexp(0, np.where(face, -logit, logit)), weights=weight))
