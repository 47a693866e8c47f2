"""Losses on the predictions of a head. Each takes raw outputs and targets of one head."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import tensorflow as tf

from efld_tf.errors import EfldError
from efld_tf.models import registry
from efld_tf.models.codecs import at_cells, best_cells, squared_distances
from efld_tf.models.registry import Raw
from efld_tf.models.roi import expected_places

# (raw outputs, targets, mask [B, N], normalising distance [B]) -> [B].
Loss = Callable[[Raw, Raw, tf.Tensor, tf.Tensor], tf.Tensor]

# Keeps the gradient of the distance finite where prediction and target coincide, and prevents a
# division by zero for coinciding eye corners. In crop sides; far below a hundredth of a pixel.
EPSILON = 1e-6

# PIPNet's alpha and beta by cells a side of the grid, for strides 16 to 128 at 256 pixels (Section
# 4.1.2).
PIP_BALANCES = {16: 0.02, 8: 0.1, 4: 0.125, 2: 0.25}


def nme(
    raw: tf.Tensor,
    target: tf.Tensor,
    mask: tf.Tensor,
    normaliser: tf.Tensor,
    *,
    focus: float = 0.0,
) -> tf.Tensor:
    """Normalised mean error of each face (EFLD, Section 4.1: "NME ... as our training loss").

    Args:
      raw: [B, N, 2] predicted residuals, in crop sides.
      target: [B, N, 2] true residuals.
      mask: [B, N], 1 where a point is annotated, less where it is hidden and shall weigh less, and
        0 elsewhere.
      normaliser: [B] the face's normalising distance, in crop sides.
      focus: a point whose mean error in the batch is r times that of all points gets the weight
        r^focus; 0 gives the NME itself.

    Returns:
      [B]: mean over annotated points of distance / normaliser; 0 for a face without any.
    """
    squared = tf.reduce_sum(tf.square(raw - target), axis=-1)
    distance = tf.sqrt(squared + EPSILON**2)
    if focus:
        distance *= _point_weights(distance, mask, focus)
    mean = _mean(distance, mask)
    return mean / tf.maximum(normaliser, EPSILON)


def wing(
    raw: tf.Tensor,
    target: tf.Tensor,
    mask: tf.Tensor,
    normaliser: tf.Tensor,
    *,
    width: float = 0.1,
    curvature: float = 0.02,
) -> tf.Tensor:
    """Wing loss: logarithmic below `width`, so that small errors count more, and linear above.

    It is Equation 5 of Z.-H. Feng et al., "Wing Loss for Robust Facial Landmark Localisation with
    Convolutional Neural Networks", CVPR 2018, on coordinates divided by the normalising distance.
    The defaults are its w = 10 and epsilon = 2 pixels at a distance of 100 pixels.

    Args:
      raw, target, mask, normaliser: as in `nme`.
      width, curvature: its w and epsilon, in normalising distances.

    Returns:
      [B]: mean over coordinates of annotated points; 0 for a face without any.
    """
    error = tf.abs(raw - target) / tf.maximum(normaliser, EPSILON)[:, None, None]
    # Both branches are finite everywhere, so that the unused one has a finite gradient, too.
    curve = width * tf.math.log1p(tf.minimum(error, width) / max(curvature, EPSILON))
    loss = tf.where(error < width, curve, curve + error - width)
    return _mean(tf.reduce_mean(loss, axis=-1), mask)


def l1(raw: tf.Tensor, target: tf.Tensor, mask: tf.Tensor, normaliser: tf.Tensor) -> tf.Tensor:
    """Mean absolute difference of coordinates, in crop sides (PIPNet's CoordNet, Section 4.3.1).

    Arguments and result are as in `nme`; the normaliser is not used.
    """
    return _mean(tf.reduce_mean(tf.abs(raw - target), axis=-1), mask)


def depth(
    raw: tf.Tensor, target: tf.Tensor, mean: tf.Tensor, normaliser: tf.Tensor
) -> tf.Tensor:
    """Mean absolute error of the depths of each face, which are measured from a plane of its own.

    Args:
      raw: [B, N] predicted depths, in crop sides.
      target: [B, N] true depths from any plane; NaN where they are not annotated.
      mean: [N] the mean face's depths, from whose plane the prediction is measured: that of a face
        is where its annotated points are as far in front of the mean face's as behind them.
      normaliser: as in `nme`.

    Returns:
      [B]: mean over annotated points of error / normaliser; 0 for a face without any.
    """
    known = tf.math.is_finite(target)
    mask = tf.cast(known, raw.dtype)
    moved = tf.where(known, target - mean, 0.0)
    plane = _mean(moved, mask)[:, None]
    error = tf.where(known, tf.abs(raw - mean - (moved - plane)), 0.0)
    return _mean(error, mask) / tf.maximum(normaliser, EPSILON)


def openings(
    points: tf.Tensor, target: tf.Tensor, mask: tf.Tensor, normaliser: tf.Tensor,
    pairs: Sequence[tuple[int, int]],
) -> tf.Tensor:
    """Mean error of how far apart, and which way, opposite points of eyes and lips are.

    Points that are wrong together, as with an eye that is found too high, have no such error, but
    eyes that are drawn open and are closed do.

    Args:
      points: [B, N, 2] predicted points, in crop sides.
      target: [B, N, 2] true points.
      mask, normaliser: as in `nme`.
      pairs: the points that lie opposite each other (`landmarks.openings`).

    Returns:
      [B]: mean over annotated pairs of |difference of the pairs' vectors| / normaliser.
    """
    one, other = (tf.constant([pair[end] for pair in pairs], tf.int32) for end in (0, 1))
    wrong = points - target
    difference = tf.gather(wrong, one, axis=1) - tf.gather(wrong, other, axis=1)
    distance = tf.sqrt(tf.reduce_sum(tf.square(difference), axis=-1) + EPSILON**2)
    annotated = tf.gather(mask, one, axis=1) * tf.gather(mask, other, axis=1)
    return _mean(distance, annotated) / tf.maximum(normaliser, EPSILON)


def heatmap(raw: tf.Tensor, target: tf.Tensor, mask: tf.Tensor, normaliser: tf.Tensor) -> tf.Tensor:
    """Mean squared difference of score maps [B, G, G, N] (PIPNet, Equation 2, and its MapNet).

    Returns:
      [B]: mean over all cells of the annotated points; 0 for a face without any.
    """
    return _mean(tf.reduce_mean(tf.square(raw - target), axis=(1, 2)), mask)


def heatmap_bce(
    raw: tf.Tensor, target: tf.Tensor, mask: tf.Tensor, normaliser: tf.Tensor
) -> tf.Tensor:
    """Mean binary cross-entropy of maps [B, G, G, N] (Lite-HRNet Plus, Section 4.2).

    Args:
      raw: the maps' log-odds.
      target: the maps, from 0 to 1.
      mask, normaliser: as in `nme`; the normaliser is not used.

    Returns:
      [B]: mean over all cells of the annotated points; 0 for a face without any.
    """
    entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=target, logits=raw)
    return _mean(tf.reduce_mean(entropy, axis=(1, 2)), mask)


def pip(
    raw: Mapping[str, tf.Tensor],
    target: Mapping[str, tf.Tensor],
    mask: tf.Tensor,
    normaliser: tf.Tensor,
    *,
    alpha: float | None = None,
    beta: float | None = None,
) -> tf.Tensor:
    """PIPNet's loss, Equations 1 to 6: L_S + alpha L_O + beta L_N.

    L_S is the mean squared error of the scores over all cells; L_O and L_N are the mean absolute
    errors, in cells, of the offsets of the points and of their neighbours in the true cell only.

    Args:
      raw, target: the maps of `codecs.PIPCodec`.
      mask: [B, N], 1 where a point is annotated.
      normaliser: not used.
      alpha, beta: the weights of L_O and L_N; None for the paper's, by the grid (`PIP_BALANCES`).

    Returns:
      [B]: 0 for a face without any annotated point.
    """
    balance = pip_balance(raw["scores"].shape[1])
    cell = best_cells(target["scores"])

    def offsets(*names: str) -> tf.Tensor:
        """Mean absolute error of maps in the true cell: [B, N, K]."""
        differences = []
        for name in names:
            predicted = at_cells(raw[name], cell)
            differences.append(tf.abs(predicted - tf.reshape(target[name], tf.shape(predicted))))
        return tf.add_n(differences) / len(names)

    total = heatmap(raw["scores"], target["scores"], mask, normaliser)
    point_error = _mean(offsets("x", "y")[..., 0], mask)
    total += (balance if alpha is None else alpha) * point_error
    if "neighbour_x" in raw:
        annotated = mask[..., None] * target["neighbours_known"]
        neighbour_errors = offsets("neighbour_x", "neighbour_y") * annotated
        count = tf.maximum(tf.reduce_sum(annotated, (1, 2)), 1.0)
        mean = tf.reduce_sum(neighbour_errors, (1, 2)) / count
        total += (balance if beta is None else beta) * mean
    return total


def pip_balance(grid: int) -> float:
    """The paper's alpha and beta for the grid in its table that is nearest in octaves."""
    return PIP_BALANCES[min(PIP_BALANCES, key=lambda cells: abs(math.log2(cells / grid)))]


def two_stage(
    raw: Mapping[str, tf.Tensor],
    target: Mapping[str, tf.Tensor],
    mask: tf.Tensor,
    normaliser: tf.Tensor,
    *,
    heatmaps: float = 1.0,
    coordinates: float = 4.0,
) -> tf.Tensor:
    """The two-stage paper's loss of both stages: L_h + lambda L2 (Section 3.3).

    L_h is the cross-entropy of the maps, summed over the pixels, with the weight of Equation 3. As
    printed, Equation 2 takes the logarithm of the truth and lacks a minus; here it is the
    cross-entropy that the text names. The weight is 0 at the true pixel, as printed. L2 is the
    distance of the expected places. The paper does not give lambda.

    Args:
      raw, target: the maps of `codecs.TwoStageCodec`.
      mask: [B, N], 1 where a point is annotated.
      normaliser: not used.
      heatmaps: the weight of L_h; 0 leaves it out.
      coordinates: lambda, of distances in pixels of each map; 0 leaves L2 out.

    Returns:
      [B]: mean over annotated points; 0 for a face without any.
    """
    places = {"first": target["pixels"]}
    if "second" in raw:
        places["second"] = target["cells"] - tf.cast(raw["origin"], tf.float32)
    total = tf.zeros_like(target["sigma"])
    for stage, place in places.items():
        log_odds, size = raw[stage], raw[stage].shape[1]
        squares = squared_distances(place, size)
        values = tf.exp(-squares / (2 * tf.square(target["sigma"][:, None, None, None])))
        entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=values, logits=log_odds)
        weighted = tf.reduce_sum(entropy * squares, axis=(1, 2)) / size**2
        distance = tf.reduce_sum(tf.square(expected_places(log_odds) - place), axis=-1)
        distance = tf.sqrt(distance + EPSILON**2)
        total += _mean(heatmaps * weighted + coordinates * distance, mask)
    return total


def _point_weights(distance: tf.Tensor, mask: tf.Tensor, focus: float) -> tf.Tensor:
    """Weights [N] of the points by their mean distance in the batch, without gradient."""
    faces = tf.reduce_sum(mask, axis=0)
    error = tf.math.divide_no_nan(tf.reduce_sum(distance * mask, axis=0), faces)
    usual = tf.math.divide_no_nan(tf.reduce_sum(error * faces), tf.reduce_sum(faces))
    return tf.stop_gradient((error / tf.maximum(usual, EPSILON)) ** focus)


def _mean(values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """The weighted mean [B] of values [B, N] over annotated points; 0 for a face without any."""
    weights = tf.reduce_sum(mask, axis=-1)
    return tf.math.divide_no_nan(tf.reduce_sum(values * mask, axis=-1), weights)


LOSSES: dict[str, Callable[..., tf.Tensor]] = {
    "nme": nme, "wing": wing, "l1": l1, "heatmap": heatmap, "heatmap_bce": heatmap_bce, "pip": pip,
    "two_stage": two_stage,
}


def register(
    name: str, loss: Callable[..., tf.Tensor], families: Iterable[str] = ()
) -> None:
    """Makes a loss known by a name, which recipes can then use.

    Args:
      families: the registered families whose heads it fits; others name it in their `losses`.

    Raises:
      EfldError: there is a loss of that name already, or no such family.
    """
    if name in LOSSES:
        raise EfldError(f"there is a loss {name!r} already")
    fitting = {family: registry.get(family) for family in families}
    LOSSES[name] = loss
    for family, definition in fitting.items():
        registry.FAMILIES[family] = replace(definition, losses=(*definition.losses, name))


def get(name: str, options: Mapping[str, Any] | None = None) -> Loss:
    """The loss of that name.

    Args:
      options: keyword arguments of the loss, all numbers.

    Raises:
      EfldError: there is no such loss, or it has no such option (the message lists the known ones),
        or a value is below 0.
    """
    if name not in LOSSES:
        raise EfldError(f"training.loss: unknown loss {name!r}; known: {', '.join(LOSSES)}")
    parameters = inspect.signature(LOSSES[name]).parameters.values()
    option_names = [p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
    for option in set(options or {}) - set(option_names):
        raise EfldError(
            f"training.loss_options.{option}: the loss {name} has "
            f"{'only ' + ', '.join(option_names) if option_names else 'no options'}"
        )
    for option, value in (options or {}).items():
        if value < 0:
            raise EfldError(f"training.loss_options.{option}: expected 0 or more, got {value}")
    return partial(LOSSES[name], **(options or {}))
