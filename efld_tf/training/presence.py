"""A presence output for a trained model: one dense layer, fitted to features that stay as they are.

Logistic regression with an L2 penalty on standardised features. The penalty is chosen on photos
that were not fitted to, and the bias set by what faces of such photos reach.
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

PENALTIES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
FOLDS = 5
# Share of the faces, by weight, that shall be above a confidence of 0.5: with the variations of
# fitting, so that more of faces as they are is above it. What falls below are mostly profiles; more
# would let pass many more false alarms (benchmarks/presence).
RECALL = 0.975
BATCH = 128


@dataclass(frozen=True, eq=False)
class Layer:
    """A dense layer with one output.

    Attributes:
      kernel: [C], on the features as they are.
      bias: of the log-odds.
      penalty: of `PENALTIES`.
      held_out: [F], the log-odds of each example by layers that were not fitted to its photo; as
        the bias, moved to where `RECALL` of the faces are above 0.
    """

    kernel: np.ndarray
    bias: float
    penalty: float
    held_out: np.ndarray


def features(
    architecture: Architecture, model: tf_keras.Model, crops: np.ndarray
) -> np.ndarray:
    """What a model knows about crops [F, S, S, 3] uint8: [F, C] float32.

    Raises:
      EfldError: the family cannot have a presence output.
    """
    read = architecture.family.features
    if read is None:
        raise EfldError(f"the family {architecture.name!r} has no presence output")
    probe = tf_keras.Model(model.input, read(model))
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
      face: [F] bool, whether it is a face.
      weight: [F], of each example.
      photos: [F], the photo or person of each; those of one are never on both sides of a fold.
      penalties: to choose from, by the log loss on the folds that were left out.

    Raises:
      EfldError: there are no examples of both kinds in each fold.
    """
    names = {name: index for index, name in enumerate(sorted(set(photos)))}
    order = np.random.default_rng(0).permutation(len(names))
    fold = np.array([order[names[photo]] % FOLDS for photo in photos])
    for index in range(FOLDS):
        if len(set(face[fold != index])) < 2 or not face[fold == index].any():
            raise EfldError("too few photos with and without faces to fit to")
    mean, spread = x.mean(axis=0), x.std(axis=0) + 1e-6
    z = (x - mean) / spread
    tried: list[tuple[float, float, np.ndarray]] = []
    for penalty in penalties:
        held_out = np.zeros(len(x))
        for index in range(FOLDS):
            kept = fold != index
            kernel, bias = _logistic(z[kept], face[kept], weight[kept], penalty)
            held_out[~kept] = z[~kept] @ kernel + bias
        tried.append((_loss(held_out, face, weight), penalty, held_out))
    _, penalty, held_out = min(tried, key=lambda one: one[0])
    kernel, bias = _logistic(z, face, weight, penalty)
    shift = -quantile(held_out[face], weight[face], 1 - RECALL)
    kernel = kernel / spread
    return Layer(kernel, float(bias + shift - mean @ kernel), penalty, held_out + shift)


def attached(
    spec: ModelSpec, model: tf_keras.Model, layer: Layer, about: dict[str, Any]
) -> tuple[ModelSpec, tf_keras.Model]:
    """A model with the layer as its presence output; it shares its other layers with `model`.

    Args:
      about: what the spec says of it, see `ModelSpec.presence`.

    Raises:
      EfldError: the family cannot have one.
    """
    heads = tf_keras.Model(model.input, {head: model.output[head] for head in spec.heads})
    whole = spec.architecture.with_presence(heads)
    presence = whole.get_layer(registry.PRESENCE_LAYER)
    presence.set_weights([layer.kernel[:, None], np.array([layer.bias])])
    return replace(spec, presence=about), whole


def quantile(values: np.ndarray, weight: np.ndarray, share: float) -> float:
    """The value below which that share of the weight lies."""
    order = np.argsort(values)
    below = np.cumsum(weight[order]) / weight.sum()
    return float(values[order][min(int(np.searchsorted(below, share)), len(order) - 1)])


def _logistic(
    z: np.ndarray, face: np.ndarray, weight: np.ndarray, penalty: float
) -> tuple[np.ndarray, float]:
    """Kernel and bias that minimise the weighted mean log loss + penalty / 2 |kernel|^2."""
    share = weight / weight.sum()

    def objective(values: np.ndarray) -> tuple[float, np.ndarray]:
        kernel, logit = values[:-1], z @ values[:-1] + values[-1]
        error = share * (expit(logit) - face)
        loss = _loss(logit, face, weight) + penalty / 2 * kernel @ kernel
        return loss, np.append(error @ z + penalty * kernel, error.sum())

    found = minimize(objective, np.zeros(z.shape[1] + 1), jac=True, method="L-BFGS-B",
                     options={"maxiter": 2000})
    return found.x[:-1], float(found.x[-1])


def _loss(logit: np.ndarray, face: np.ndarray, weight: np.ndarray) -> float:
    return float(np.average(np.logaddexp(0, np.where(face, -logit, logit)), weights=weight))
