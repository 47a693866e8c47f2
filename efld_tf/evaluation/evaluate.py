"""Measures a predictor on annotated faces."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from efld_tf.evaluation.faces import EvaluationFaces, common_points
from efld_tf.evaluation.measured import Measured
from efld_tf.landmarks import metrics, normalisers, pose, regions, schemas
from efld_tf.landmarks.geometry import CropRule
from efld_tf.landmarks.normalisers import BoxNormaliser
from efld_tf.landmarks.schema import LandmarkSchema
from efld_tf.progress import Progress
from efld_tf.runtime.predictor import Predictor

# The PAIR competition's tolerance (EFLD, Section 4.2), in pixels of the photo.
ACCURACY_PIXELS = 5.0


# An attribute of more values, such as a score, does not divide faces into groups; nor does one of
# fewer than two faces a value.
MOST_VALUES = 40

# A bad fit, by its NME: what expected errors are to tell from others.
BAD_FIT = 0.05

BATCH = 64  # faces between two updates of the progress, as many as a network in float gets at once


@dataclass(frozen=True, eq=False)
class Evaluation(Measured):
    """Predictions and truth in one schema.

    Attributes:
      predictor: the model that was measured.
      faces: the faces that it was measured on.
      schema: the schema in which predictions and truth are compared.
      predicted, truth: [F, N, 2] in the crops' unit squares.
      normaliser: name of the distance that errors are divided by (`landmarks.normalisers`).
      nme: [F] normalised mean error of each face, as a fraction.
      thresholds_percent: NME thresholds of the failure rates and CED-AUCs in the summary.
      predicted_depth, true_depth: [F, N] in mean sides of the crops, the latter NaN where it is not
        annotated; None unless the model tells depths and some face is annotated with them.
      expected_errors: [F, N] how far off the model expects its points to be, in mean sides of the
        crops; None unless it tells.
    """

    section = "evaluation"

    predictor: Predictor
    faces: EvaluationFaces
    schema: LandmarkSchema
    predicted: np.ndarray
    truth: np.ndarray
    normaliser: str
    nme: np.ndarray
    thresholds_percent: tuple[float, ...] = (10.0,)
    predicted_depth: np.ndarray | None = None
    true_depth: np.ndarray | None = None
    expected_errors: np.ndarray | None = None

    @property
    def subject(self) -> Predictor:
        """What was measured."""
        return self.predictor

    @property
    def skipped(self) -> Sequence[object]:
        """Why samples could not be used."""
        return self.faces.skipped

    @property
    def factors(self) -> dict[str, float]:
        """The accuracy of the PAIR score."""
        return {"accuracy_percent": self.accuracy_percent}

    def summary(self) -> dict[str, Any]:
        """The `evaluation` section of `results.json`; numbers in percent unless named otherwise."""
        result: dict[str, Any] = {
            "source": self.faces.source,
            "faces": len(self.faces),
            "skipped": len(self.faces.skipped),
            "schema": self.schema.name,
            "crop_rule": self.faces.crop_rule.name,
            **crop_scales(self.faces.crop_rule),
            "crop_rule_from": self.faces.crop_rule_from,
            "normaliser": self.normaliser,
            "normaliser_is": normalisers.title(self.schema, self.normaliser),
            f"nme_{self.normaliser}_percent": self.nme_percent,
        }
        predicted, truth = self.faces.in_photo(self.predicted), self.faces.in_photo(self.truth)
        for other in self.schema.normalisers:
            # All faces have the distance of the chosen one; points of others may not be annotated.
            if other.name != self.normaliser and (other.distance(truth) > 0).all():
                nme = metrics.nme(predicted, truth, self.schema, other.name)
                result[f"nme_{other.name}_percent"] = percent(nme.mean())
        for threshold in self.thresholds_percent:
            result[f"failure_rate_{threshold:g}_percent"] = percent(
                metrics.failure_rate(self.nme, threshold / 100)
            )
            result[f"ced_auc_{threshold:g}_percent"] = percent(
                metrics.ced_auc(self.nme, threshold / 100)
            )
        result["accuracy_5px_percent"] = self.accuracy_percent
        shift, variance = metrics.point_variance(
            predicted, truth, self.schema, self.normaliser,
            boxes=true_boxes(self.faces, self.schema, self.normaliser))
        result["mean_shift_percent"] = percent(shift.mean())
        result["point_variance_percent2"] = round(1e4 * float(variance.mean()), 4)
        result.update(self._of_depth())
        result.update(self._of_expected())
        result["nme_by_region_percent"] = {
            name: percent(np.nanmean(nme)) for name, nme in self.nme_by_region().items()
        }
        result["nme_by_point_percent"] = self._by_point()
        by_attribute = self._by_attribute()
        if by_attribute:
            result["by_attribute"] = by_attribute
        return result

    def report(self) -> str:
        """The summary for a terminal."""
        rules = {"fitted": "a rule fitted to these faces", "packed": "that of their packed folder"}
        rule = rules.get(self.faces.crop_rule_from)
        note = f"\nnote: the faces are cropped by {rule}, not by the model's" if rule else ""
        return super().report() + note

    def draw(self, folder: Path) -> list[Path]:
        """Draws the charts, worst and typical faces."""
        from efld_tf.evaluation import plots

        worst, sample = (folder / f"{name}.png" for name in ("worst", "sample"))
        charts = self.charts(folder)
        plots.predictions_sheet(worst, self, plots.worst(self))
        plots.predictions_sheet(sample, self, plots.spread(self))
        return [*charts, worst, sample]

    def charts(self, folder: Path) -> list[Path]:
        """Draws the cumulative error distribution, errors by point, and by the expected ones."""
        from efld_tf.evaluation import plots, point_plots

        label = "/".join(self.faces.source.split("/")[-2:])
        ced, points = (folder / f"{name}.png" for name in ("ced", "points"))
        plots.ced_plot(ced, {label: self})
        point_plots.points_plot(points, {label: self})
        expected = self.expected_nme()
        if expected is None:
            return [ced, points]
        reliability = folder / "reliability.png"
        plots.reliability_plot(reliability, label, expected, self.nme)
        return [ced, points, reliability]

    @property
    def nme_percent(self) -> float:
        """The mean of `nme`, in percent."""
        return percent(self.nme.mean())

    def __repr__(self) -> str:
        """The model and the result in a line; `report` has all of it."""
        return (f"Evaluation({self.predictor.model.name} on {self.faces.source}: {self.nme_percent}"
                f"% {self.normaliser} of {len(self.faces)} faces, {len(self.skipped)} skipped)")

    @property
    def accuracy_percent(self) -> float:
        """Share of points within 5 pixels of the truth, in pixels of the photo."""
        return percent(metrics.accuracy_within(
            self.faces.in_photo(self.predicted), self.faces.in_photo(self.truth), ACCURACY_PIXELS
        ))

    def point_errors(self) -> np.ndarray:
        """Errors [F, N] as fractions of the normalising distance; NaN where not annotated."""
        errors = metrics.point_errors(
            self.faces.in_photo(self.predicted), self.faces.in_photo(self.truth))
        return errors / self.distances()[:, None]

    def distances(self) -> np.ndarray:
        """The distance [F] that each face's errors are divided by, in pixels of the photo."""
        return metrics.normalising(self.faces.in_photo(self.truth), self.schema, self.normaliser,
                                   true_boxes(self.faces, self.schema, self.normaliser))

    def nme_by_region(self) -> dict[str, np.ndarray]:
        """The mean error [F] of each face's points in each region (`landmarks.regions`).

        It is a fraction, and NaN for faces of which no point in the region is annotated. Regions
        that no face has are left out.
        """
        errors, result = self.point_errors(), {}
        for name, points in regions.regions(self.schema).items():
            region_errors = errors[:, list(points)]
            counts = np.isfinite(region_errors).sum(axis=1)
            if counts.any():
                mean = np.nansum(region_errors, axis=1) / np.maximum(counts, 1)
                result[name] = np.where(counts > 0, mean, np.nan)
        return result

    def _of_depth(self) -> dict[str, Any]:
        """How far depths, and the pose by points and depths, are from the annotated ones."""
        if self.predicted_depth is None or self.true_depth is None:
            return {}
        found, true = map(self.faces.depths_in_photo, (self.predicted_depth, self.true_depth))
        errors = metrics.depth_errors(found, true) / self.distances()[:, None]
        known = np.isfinite(errors).any(axis=1)
        result: dict[str, Any] = {
            "depth_faces": int(known.sum()),
            f"depth_error_{self.normaliser}_percent": percent(
                np.nanmean(errors[known], axis=1).mean()),
        }
        angles = [pose.estimate(self.faces.in_photo(points), self.schema, depth)
                  for points, depth in ((self.predicted, found), (self.truth, true))]
        if angles[0] is not None and angles[1] is not None:
            wrong = np.abs((angles[0] - angles[1] + 180) % 360 - 180)
            told = np.isfinite(wrong).all(axis=1) & np.isfinite(true).all(axis=1)
            if told.any():
                result["pose_error_degrees"] = {
                    name: round(float(error), 4) for name, error in
                    zip(pose.ANGLES, wrong[told].mean(axis=0), strict=True)}
        return result

    def expected_nme(self) -> np.ndarray | None:
        """The NME [F] of the annotated points that the model expects, which knows no true points.

        It is a fraction of the distance in its own points, or of the true box where errors are
        divided by that. None if the model does not tell.
        """
        if self.expected_errors is None:
            return None
        annotated = np.isfinite(self.truth).all(axis=-1)
        expected_errors = np.where(annotated, self.expected_errors, np.nan)
        off = np.nanmean(self.faces.depths_in_photo(expected_errors), axis=1)
        chosen = normalisers.find(self.schema, self.normaliser)
        if isinstance(chosen, BoxNormaliser):
            size = self.distances()
        else:  # that of points which lie on each other is no less than the crop's thousandth
            size = np.maximum(chosen.distance(self.faces.in_photo(self.predicted)),
                              self.faces.depths_in_photo(np.full((len(off), 1), 1e-3))[:, 0])
        expected: np.ndarray = off / size
        return expected

    def _of_expected(self) -> dict[str, Any]:
        """How well the expected errors tell the true ones."""
        expected = self.expected_nme()
        if expected is None:
            return {}
        result: dict[str, Any] = {"expected_nme_percent": percent(expected.mean())}
        bad = self.nme > BAD_FIT
        if 0 < bad.sum() < len(bad):
            result["bad_fit_auroc_percent"] = percent(metrics.auroc(expected, bad))
        return result

    def _by_point(self) -> Mapping[str, float]:
        columns = zip(self.schema.names, self.point_errors().T, strict=True)
        return {name: percent(np.nanmean(v)) for name, v in columns if np.isfinite(v).any()}

    def _by_attribute(self) -> dict[str, Any]:
        """The number and the NME of the faces that have each value of each attribute."""
        groups: dict[str, dict[str, list[float]]] = {}
        for attributes, nme in zip(self.faces.attributes, self.nme, strict=True):
            for name, value in attributes.items():
                groups.setdefault(name, {}).setdefault(value, []).append(nme)
        return {
            name: {
                value: {"faces": len(nme), "nme_percent": percent(np.mean(nme))}
                for value, nme in sorted(values.items())
            }
            for name, values in sorted(groups.items())
            if 1 < len(values) <= min(MOST_VALUES, len(self.nme) // 2)
        }


def evaluate(
    predictor: Predictor, faces: EvaluationFaces, thresholds_percent: Iterable[float] = (), *,
    normaliser: str | None = None, progress: bool = False,
) -> Evaluation:  # fmt: skip
    """Runs a predictor on faces.

    Args:
      thresholds_percent: NME thresholds for failure rates and CED-AUCs, beside 10.
      normaliser: what errors are divided by: one of the normalisers of the schema in which they are
        compared, or of `BOX_NORMALISERS`; None for the schema's default.
      progress: whether to show how far it is.

    Raises:
      EfldError: the schemas cannot be compared, there is no such normaliser, or a face's
        normalising distance is zero.
    """
    name, predicted_indices, truth_indices = common_points(predictor.schema, faces.schema)
    schema = schemas.get(name)
    normaliser = normalisers.find(schema, normaliser).name
    with Progress("predicting", len(faces), "face", shown=progress) as bar:
        told = in_batches(partial(_told, predictor), faces.crops, bar)[:, list(predicted_indices)]
    predicted = told[..., :2]
    predicted_depth = true_depth = None
    if faces.depths is not None and predictor.has_depth:
        predicted_depth, true_depth = told[..., 2], faces.depths[:, list(truth_indices)]
    truth = faces.points[:, list(truth_indices)]
    return Evaluation(
        predictor=predictor,
        faces=faces,
        schema=schema,
        predicted=predicted,
        truth=truth,
        normaliser=normaliser,
        nme=metrics.nme(faces.in_photo(predicted), faces.in_photo(truth), schema, normaliser,
                        boxes=true_boxes(faces, schema, normaliser)),
        thresholds_percent=tuple(sorted({10.0, *thresholds_percent})),
        predicted_depth=predicted_depth,
        true_depth=true_depth,
        expected_errors=told[..., -1] if predictor.has_errors else None,
    )


def _told(predictor: Predictor, crops: np.ndarray) -> np.ndarray:
    """Points of crops, with their depths and then their expected errors if the model tells them.

    Returns:
      [F, N, 2 to 4].
    """
    outputs = predictor.predict_outputs(crops)
    further = [some[..., None] for some in (outputs.depth, outputs.errors) if some is not None]
    return np.concatenate([outputs.points, *further], axis=-1)


def true_boxes(
    faces: EvaluationFaces, schema: LandmarkSchema, normaliser: str
) -> np.ndarray | None:
    """The boxes [F, 4] that a normaliser measures, as in `in_photo`; None if it measures none."""
    chosen = normalisers.find(schema, normaliser)
    if not isinstance(chosen, BoxNormaliser):
        return None
    return faces.in_photo(faces.true_boxes(chosen.box).reshape(-1, 2, 2)).reshape(-1, 4)


def crop_scales(rule: CropRule) -> dict[str, float]:
    """The scale of a crop rule by its keys in `results.json`; a stretched one has two."""
    if rule.stretched:
        return dict(zip(("crop_scale_x", "crop_scale_y"), rule.scales, strict=True))
    return {"crop_scale": rule.scales[0]}


def in_batches(
    predict: Callable[[np.ndarray], np.ndarray], crops: np.ndarray, bar: Progress
) -> np.ndarray:
    """What `predict` gives for crops [F, S, S, 3], called for some at a time, which are counted."""
    parts = []
    for start in range(0, max(len(crops), 1), BATCH):
        parts.append(predict(crops[start : start + BATCH]))
        bar.update(len(crops[start : start + BATCH]))
    return np.concatenate(parts)


def percent(fraction: float | np.floating[Any]) -> float:
    """A fraction as percent with four decimals."""
    return round(100.0 * float(fraction), 4)
