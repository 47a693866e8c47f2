"""The accuracy of predicted landmarks: NME, Point-Var, failure rate, CED and n-pixel accuracy.

Points are [F, N, 2] (F faces) in any unit that prediction and truth share; `accuracy_within` needs
pixels. A true point that is NaN is not annotated and does not count, nor does one that `mask`
leaves out. A prediction that is not finite where there is a truth is an error and never skipped.

The definitions are those of 300-W (Sagonas et al., "300 Faces in-the-Wild Challenge", Image and
Vision Computing 2016) and WFLW (Wu et al., "Look at Boundary", CVPR 2018).
"""

from __future__ import annotations

import numpy as np

from efld_tf.arrays import Flags, Floats, Ints
from efld_tf.errors import EfldError
from efld_tf.landmarks import normalisers
from efld_tf.landmarks.normalisers import BoxNormaliser
from efld_tf.landmarks.schema import LandmarkSchema


def point_errors(predicted: Floats, truth: Floats, mask: Flags | None = None) -> Floats:
    """The Euclidean distance [F, N] between the two places of each point, in their unit.

    Args:
      predicted, truth: [F, N, 2].
      mask: [F, N] bool, True where a point counts (e.g. visible ones); None for all.

    Returns:
      Distances; NaN where a point is not annotated or masked out.

    Raises:
      EfldError: the shapes differ, or a prediction that counts is not finite.
    """
    predicted, truth = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    if predicted.shape != truth.shape or truth.ndim != 3 or truth.shape[-1] != 2:
        raise EfldError(
            f"expected predicted and true points of one shape [faces, points, 2], "
            f"got {list(predicted.shape)} and {list(truth.shape)}"
        )
    counts = np.isfinite(truth).all(axis=-1)
    if mask is not None:
        mask = np.asarray(mask, bool)
        if mask.shape != counts.shape:
            raise EfldError(f"mask: expected shape {list(counts.shape)}, got {list(mask.shape)}")
        counts &= mask
    bad = counts & ~np.isfinite(predicted).all(axis=-1)
    if bad.any():
        face, point = np.argwhere(bad)[0]
        raise EfldError(f"face {face}: the prediction of point {point} is not a finite number")
    difference = np.where(counts[..., None], predicted - truth, np.nan)
    errors: Floats = np.linalg.norm(difference, axis=-1)
    return errors


def depth_errors(predicted: Floats, truth: Floats) -> Floats:
    """The distances [F, N] between the two depths of each point, in their unit.

    Depths are measured from any plane, so that both are first centred on the annotated points.

    Args:
      predicted, truth: [F, N], how far each point is in front; NaN in `truth` where it is not
        annotated.

    Returns:
      Distances; NaN where a point is not annotated.

    Raises:
      EfldError: the shapes differ.
    """
    predicted, truth = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    if predicted.shape != truth.shape or truth.ndim != 2:
        raise EfldError("expected predicted and true depths of one shape [faces, points], "
                        f"got {list(predicted.shape)} and {list(truth.shape)}")
    difference = predicted - truth
    known = np.isfinite(truth)
    counts = known.sum(axis=1, keepdims=True)
    mean = np.where(known, difference, 0).sum(axis=1, keepdims=True) / np.maximum(counts, 1)
    errors: Floats = np.abs(difference - mean)
    return errors


def nme(
    predicted: Floats,
    truth: Floats,
    schema: LandmarkSchema,
    normaliser: str | None = None,
    mask: Flags | None = None,
    boxes: Floats | None = None,
) -> Floats:
    """The normalised mean error [F] of each face, as a fraction (x 100 for percent).

        NME = mean over points |predicted - true| / d,

    where d is the distance of the normaliser in the true annotation, or that size of the true box.

    Args:
      predicted, truth: [F, N, 2], where N is that of `schema`.
      normaliser: one of the schema's normalisers or of `BOX_NORMALISERS`; None for the schema's
        default.
      mask: [F, N] bool, True where a point counts; it does not apply to the normaliser.
      boxes: [F, 4] (x0, y0, x1, y1) in the points' unit, the true boxes for one of
        `BOX_NORMALISERS`; NaN where a face has none. None for the tight boxes of `truth`, if it is
        a size of these.

    Raises:
      EfldError: as in `point_errors`; or a face has no point that counts, or its normaliser's
        distance is zero or not annotated. The message names the face's index.
    """
    errors = point_errors(predicted, truth, mask)
    distance = normalising(truth, schema, normaliser, boxes)
    total: Floats = np.nansum(errors, axis=1)
    return total / _counted(errors) / distance


def point_variance(
    predicted: Floats,
    truth: Floats,
    schema: LandmarkSchema,
    normaliser: str | None = None,
    mask: Flags | None = None,
    boxes: Floats | None = None,
) -> tuple[Floats, Floats]:
    """How far each face's points are shifted together, and how much they vary about that.

        d_i = (predicted_i - true_i) / d
        shift = |mean over points d_i|
        variance = mean over points |d_i - mean over points d_i|^2

    The mean of the variance over a test set is Point-Var (Jin et al., "Pixel-in-Pixel Net", IJCV
    2021, Section 4.3.2): "the variance of the difference between the ground-truth and the
    predictions for each test image", of which the paper states neither unit nor normaliser.

    Args:
      predicted, truth, normaliser, mask, boxes: as in `nme`, with the same d.

    Returns:
      The shift [F] as a fraction of d (x 100 for percent), and the variance [F] as a fraction of
      d^2 (x 10,000 for percent squared).

    Raises:
      EfldError: as in `nme`.
    """
    errors = point_errors(predicted, truth, mask)
    distance = normalising(truth, schema, normaliser, boxes)
    counted = _counted(errors)
    counts = np.isfinite(errors)[..., None]
    difference = np.asarray(predicted, np.float64) - np.asarray(truth, np.float64)
    difference = np.where(counts, difference / distance[:, None, None], 0)
    mean = difference.sum(axis=1) / counted[:, None]
    deviation = np.where(counts, difference - mean[:, None], 0)
    return np.linalg.norm(mean, axis=1), (deviation**2).sum(axis=(1, 2)) / counted


def normalising(
    truth: Floats, schema: LandmarkSchema, normaliser: str | None, boxes: Floats | None = None
) -> Floats:
    """The distance [F] by which the errors of each face are divided; arguments as in `nme`.

    Raises:
      EfldError: a face's distance is zero or not annotated. The message names the face's index.
    """
    if (count := np.shape(truth)[1]) != schema.num_points:
        raise EfldError(f"schema {schema.name} has {schema.num_points} points, got {count}")
    chosen = normalisers.find(schema, normaliser)
    if isinstance(chosen, BoxNormaliser):
        expected = [len(truth), 4]
        if boxes is None and chosen.box == "points":
            boxes = normalisers.known_box(truth)
        if boxes is None or list(np.shape(boxes)) != expected:
            got = None if boxes is None else list(np.shape(boxes))
            raise EfldError(
                f"boxes: expected {expected} for the normaliser {chosen.name}, got {got}")
        distance = chosen.distance(boxes)
    else:
        distance = chosen.distance(np.asarray(truth, np.float64))
    if not (usable := distance > 0).all():  # also False for NaN
        face = int(np.argmin(usable))
        raise EfldError(
            f"face {face}: the normaliser {chosen.name} has the distance {distance[face]:g}"
        )
    return distance


def failure_rate(face_nme: Floats, threshold: float) -> float:
    """FR@threshold, the fraction of faces with NME above `threshold` (0.10 is customary)."""
    return float((_checked(face_nme, threshold) > threshold).mean())


def ced_auc(face_nme: Floats, threshold: float) -> float:
    """The area under the cumulative error distribution up to `threshold`, as its fraction: 0 to 1.

        AUC = 1/t  integral over e from 0 to t of (fraction of faces with NME <= e)
            = mean over faces of max(0, 1 - NME / t).

    The step curve is integrated exactly, so that no step width has to be stated.
    """
    return float(np.maximum(0, 1 - _checked(face_nme, threshold) / threshold).mean())


def ced_curve(face_nme: Floats, threshold: float, steps: int = 101) -> tuple[Floats, Floats]:
    """The cumulative error distribution, for plots.

    Returns:
      `steps` errors from 0 to `threshold`, and the fraction of faces with NME up to each: [steps].
    """
    if steps < 2:
        raise EfldError(f"steps: expected at least 2, got {steps}")
    ordered = np.sort(_checked(face_nme, threshold))
    errors = np.linspace(0, threshold, steps)
    return errors, np.searchsorted(ordered, errors, side="right") / ordered.size


def auroc(score: Floats, positive: Flags) -> float:
    """The area under the ROC curve: how often a positive has a higher score than another one.

    Args:
      score, positive: [E]; equal scores count half.

    Returns:
      0 to 1; NaN without both kinds.
    """
    others = np.sort(score[~positive])
    if len(others) in (0, len(score)):
        return float("nan")
    below = sum(np.searchsorted(others, score[positive], side) for side in ("left", "right"))
    return float(np.mean(below) / 2 / len(others))


def reliability(
    expected: Floats, true: Floats, bins: int = 10
) -> list[tuple[float, float, int]]:
    """Means of expected and of true values [E] in bins of equally many, by the expected ones."""
    parts = np.array_split(np.argsort(expected, kind="stable"), bins)
    return [(float(expected[part].mean()), float(true[part].mean()), len(part))
            for part in parts if len(part)]


def accuracy_within(
    predicted_px: Floats,
    truth_px: Floats,
    pixels: float = 5.0,
    mask: Flags | None = None,
) -> float:
    """The fraction of points that fall within `pixels` (inclusive) of the truth, over all faces.

    Args:
      predicted_px, truth_px: [F, N, 2] in the pixels in which `pixels` is stated.
      mask: [F, N] bool, True where a point counts.

    Raises:
      EfldError: as in `point_errors`, or no point counts.
    """
    errors = point_errors(predicted_px, truth_px, mask)
    errors = errors[np.isfinite(errors)]
    if not errors.size:
        raise EfldError("no annotated point to measure")
    return float((errors <= pixels).mean())


def _checked(face_nme: Floats, threshold: float) -> Floats:
    face_nme = np.asarray(face_nme, np.float64)
    if face_nme.ndim != 1 or not face_nme.size:
        raise EfldError(f"expected one error a face, got shape {list(face_nme.shape)}")
    if not np.isfinite(face_nme).all():
        raise EfldError(f"face {int(np.argmin(np.isfinite(face_nme)))}: the error is not finite")
    if not threshold > 0:
        raise EfldError(f"threshold: expected a positive fraction, got {threshold}")
    return face_nme


def _counted(errors: Floats) -> Ints:
    """The number [F] of points that count, from errors [F, N] with NaN for those that do not."""
    counted: Ints = np.isfinite(errors).sum(axis=1)
    if not counted.all():
        raise EfldError(f"face {int(np.argmin(counted))}: no annotated point to measure")
    return counted
