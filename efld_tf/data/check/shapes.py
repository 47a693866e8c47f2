"""Fits a robust shape model to a source, and finds the labels that contradict it.

Shapes are complex numbers, as in `landmarks.shapes`, so that a mirrored face cannot pass for one
that is merely turned. A face whose left and right labels are exchanged therefore fits badly until
they are changed back. So does a mirrored photo whose labels were not exchanged, which looks the
same.

The thresholds were chosen on HELEN, YouTube Faces, SCUT-FBP5500 and the CUHK five-point lists
(13,000 faces with profiles): relabelling a right face makes it 1.35 (a scrambled one) to 4 times
worse, and relabelling a wrong one as many times better.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from efld_tf.errors import EfldError
from efld_tf.landmarks.schema import LandmarkSchema, Part, infer_flip
from efld_tf.landmarks.shapes import Shapes, align, as_complex, mean_shape, normalised

# Fewer shapes cannot tell which one is unusual.
FEWEST_FACES = 20

# The PCA has one mode for every FACES_A_MODE faces, and at most MOST_MODES.
FACES_A_MODE = 10
MOST_MODES = 12

# How far a mode may explain a face, in its standard deviations over the source.
MODE_REACH = 4.0

# Faces this far off are left out of the model, in robust deviations of the log of the residual.
MODEL_DEVIATIONS = 3.0

# Below these a shape is never an outlier, in face sizes: the RMS over all points, and one point.
LEAST_RESIDUAL = 0.025
LEAST_POINT = 0.14

# A relabelling is reported if its misfit is below these parts of the misfit as labelled.
SWAP_RATIO = 0.7
SHIFT_RATIO = 0.6

# A shift also needs labels that fit this badly, in robust deviations of the log of the residual.
SHIFT_UNUSUAL = 2.0

# A shift moves one of the part's points at least this much of what it would in the mean shape:
# a short part that is seen from its end, as in a profile, fits any labels. In 1,781 faces up to 90
# degrees of yaw those are below 0.18; in HELEN, all shifts by one are above 0.27.
LEAST_MOVED = 0.25

# A schema's flip is doubted if its mean shape is so many times more symmetric by another one; on
# clean sets, and samples of 20 of their faces, none is (tests).
FLIP_RATIO = 2.0

# Parts with fewer points have too little shape to tell a shift from an expression.
FEWEST_SHIFTED = 4


@dataclass(frozen=True, eq=False)
class ShapeTests:
    """The tests of a source's faces by the shape model.

    Attributes:
      residual: [F] RMS distance of the points from the model's best fit in face sizes, here four
        times the RMS distance of the points from their centre.
      largest: [F] the largest distance of a point from the fit, in the same unit.
      worst: [F] index of that point.
      outlier: [F] bool.
      swapped: [F] bool; left and right are exchanged.
      shifts: for each face with shifted labels, a text that says which ones and by how much.
    """

    residual: np.ndarray
    largest: np.ndarray
    worst: np.ndarray
    outlier: np.ndarray
    swapped: np.ndarray
    shifts: dict[int, str]


def shape_tests(
    points: np.ndarray, schema: LandmarkSchema, deviations: float = 6.0
) -> ShapeTests:
    """Fits a shape model to the faces of a source and tests each of them.

    Args:
      points: [F, N, 2] in pixels, at least `FEWEST_FACES` faces; NaN where not annotated.
      deviations: how many robust standard deviations of the log of the residuals are unusual.
    """
    shapes = as_complex(points)
    annotated = np.isfinite(shapes)
    mean = mean_shape(shapes, schema)
    aligned = align(shapes, mean)
    aligned = np.where(annotated, aligned, mean)  # missing points are as expected
    distance = _model_distance(aligned, annotated, mean) / 4
    residual = _rms(distance, annotated)
    largest = distance.max(axis=1)
    swapped = _swapped(aligned, mean, schema)
    return ShapeTests(
        residual=residual,
        largest=largest,
        worst=distance.argmax(axis=1),
        outlier=_unusual(residual, deviations, LEAST_RESIDUAL)
        | _unusual(largest, deviations, LEAST_POINT),
        swapped=swapped,
        shifts=_shifts(aligned, mean, schema, ~swapped),
    )


def doubtful_flip(points: np.ndarray, schema: LandmarkSchema) -> dict[int, int]:
    """The points whose partner in the mirror image is another than the schema's flip says.

    Args:
      points: [F, N, 2] in pixels; NaN where not annotated.

    Returns:
      For each such point its partner in these faces; empty if the flip suits them, or if they are
      not symmetric enough to tell.
    """
    shapes = as_complex(points)
    mean = mean_shape(shapes, schema)
    if not np.isfinite(shapes).any(axis=0).all():
        return {}
    try:
        inferred = infer_flip(np.stack([mean.real, mean.imag], axis=-1))
    except EfldError:
        return {}
    given, other = (_asymmetry(mean, flip) for flip in (schema.known_flip, inferred))
    if given < FLIP_RATIO * other:
        return {}
    return {i: j for i, j in enumerate(inferred) if schema.known_flip[i] != j}


def asymmetry(points: np.ndarray, schema: LandmarkSchema) -> np.ndarray:
    """How badly faces [F, N, 2] fit their own mirror images by a similarity: [F], 0 to 1.

    NaN for faces that lack a point. Profiles come near 1, like faces whose points are mixed up.
    """
    flat = normalised(as_complex(points))
    mirrored = normalised(-flat.conj()[:, list(schema.known_flip)])
    fit = abs((flat * mirrored.conj()).sum(axis=1)) / flat.shape[1]
    result: np.ndarray = np.sqrt(1 - np.clip(fit, 0, 1) ** 2)
    return result


def _asymmetry(mean: Shapes, flip: Sequence[int]) -> float:
    """How far a point of a mean shape [N] is at most from that of the mirror image."""
    mirrored = -mean.conj()[list(flip)]
    return float(abs(align(mirrored[None], mean)[0] - mean).max())


def _rms(distance: np.ndarray, annotated: np.ndarray) -> np.ndarray:
    return np.sqrt((distance**2).sum(axis=1) / np.maximum(annotated.sum(axis=1), 1))


def _unusual(values: np.ndarray, deviations: float, least: float = 0.0) -> np.ndarray:
    """Which values are above `least` and far above the others, by median and MAD of their logs.

    Residuals are skewed; their logs are nearly normal, so that the long tail of profiles and
    expressions is not mistaken for errors.
    """
    return values > max(least, _limit(values, deviations))


def _limit(values: np.ndarray, deviations: float) -> float:
    logs = np.log(np.maximum(values, 1e-9))
    median = np.median(logs)
    spread = 1.4826 * np.median(abs(logs - median))
    return float(np.exp(median + deviations * spread))


def _model_distance(aligned: np.ndarray, annotated: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """The distance [F, N] of each point from the fit of a PCA that leaves out unusual faces."""
    flat = np.concatenate([aligned.real, aligned.imag], axis=1)
    distance = abs(aligned - mean)  # before there is a model that a gross error could bend
    for _ in range(3):
        distance = np.where(annotated, distance, 0)
        usual = ~_unusual(_rms(distance, annotated), MODEL_DEVIATIONS)
        usual &= ~_unusual(distance.max(axis=1), MODEL_DEVIATIONS)
        centre = flat[usual].mean(axis=0)
        variance, modes = np.linalg.eigh(np.cov(flat[usual].T, bias=True))
        count = min(MOST_MODES, aligned.shape[1] - 2, int(usual.sum()) // FACES_A_MODE)
        count = max(count, 1)
        modes, reach = modes[:, -count:], MODE_REACH * np.sqrt(np.maximum(variance[-count:], 0))
        fit = np.clip((flat - centre) @ modes, -reach, reach) @ modes.T + centre
        distance = np.hypot(*np.split(flat - fit, 2, axis=1))
    return np.where(annotated, distance, 0)


def _misfit(aligned: np.ndarray, labelled: np.ndarray) -> np.ndarray:
    """The residual [F, K], 0 to 1, of the best similarity between shapes [F, N] and [K, N]."""
    fit = abs(normalised(aligned) @ normalised(labelled).conj().T) / aligned.shape[1]
    return np.sqrt(1 - np.clip(fit, 0, 1) ** 2)


def _swapped(aligned: np.ndarray, mean: np.ndarray, schema: LandmarkSchema) -> np.ndarray:
    if schema.flip is None:
        return np.zeros(len(aligned), bool)
    as_is, exchanged = _misfit(aligned, np.stack([mean, mean[list(schema.flip)]])).T
    return exchanged < SWAP_RATIO * as_is


def _shifts(
    aligned: np.ndarray, mean: np.ndarray, schema: LandmarkSchema, tested: np.ndarray
) -> dict[int, str]:
    """Descriptions of cyclic shifts of labels, by face, for the faces to be tested."""
    descriptions: dict[int, list[str]] = {}
    shifted = np.stack([np.roll(mean, k) for k in range(len(mean))])
    for face, shift in _better(_misfit(aligned, shifted)):
        descriptions[face] = [f"all points by {shift}"]
    fully_shifted = set(descriptions)
    for part, misfit in _part_misfits(aligned, mean, schema):
        index = list(part.points)
        for face, shift in _better(misfit):
            least = LEAST_MOVED * _moved(mean[index], shift)
            if face not in fully_shifted and _moved(aligned[face, index], shift) >= least:
                descriptions.setdefault(face, []).append(f"{part.name} by {shift}")
    return {face: ", ".join(texts) for face, texts in sorted(descriptions.items()) if tested[face]}


def _moved(part: np.ndarray, shift: int) -> float:
    """How far a shift of the labels of a part [M] moves one of its points at most."""
    return float(abs(part - np.roll(part, shift)).max())


def _part_misfits(
    aligned: np.ndarray, mean: np.ndarray, schema: LandmarkSchema
) -> Iterator[tuple[Part, np.ndarray]]:
    """Yields each part and the residual [F, K] of its labels shifted by 0, 1, ...

    The other points tell how the face is turned. The part must then fit by shift and scale alone,
    because a rotation would explain most of a shift along a ring.
    """
    for part in schema.parts:
        index = list(part.points)
        others = np.ones(len(mean), bool)
        others[index] = False
        if not part.line or min(len(index), others.sum()) < FEWEST_SHIFTED:
            continue
        part_shapes = normalised(align(aligned, mean, others)[:, index])
        labellings = normalised(np.stack([np.roll(mean[index], k) for k in range(len(index))]))
        fit = (part_shapes @ labellings.conj().T).real / len(index)
        yield part, np.sqrt(1 - np.clip(fit, 0, 1) ** 2)


def _better(misfit: np.ndarray) -> list[tuple[int, int]]:
    """The faces that fit badly as labelled and well with shifted labels, and the shifts.

    A better fit alone is not enough, since the hidden eyebrow of a profile fits no labels.
    """
    as_is, best = misfit[:, 0], misfit[:, 1:].min(axis=1)
    shift = misfit[:, 1:].argmin(axis=1) + 1
    shift = np.where(shift > misfit.shape[1] / 2, shift - misfit.shape[1], shift)
    usual = _limit(as_is, SHIFT_UNUSUAL)
    better = (best < SHIFT_RATIO * as_is) & (as_is > usual) & (best < usual)
    return [(int(face), int(shift[face])) for face in np.flatnonzero(better)]
