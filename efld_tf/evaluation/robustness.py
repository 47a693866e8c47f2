"""Measures how a model's error grows as its input gets worse: NME and FR@10 by corruption."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from efld_tf.evaluation import corruptions
from efld_tf.evaluation.corruptions import CORRUPTIONS, FACE_PIXELS, Changed, Moved
from efld_tf.evaluation.evaluate import Evaluation, percent
from efld_tf.evaluation.faces import WHOLE, EvaluationFaces, common_points
from efld_tf.evaluation.measured import Measured
from efld_tf.landmarks import metrics
from efld_tf.landmarks.geometry import Crop
from efld_tf.progress import Progress
from efld_tf.runtime.predictor import Predictor

FAILURE = 0.10  # NME from which a face counts as failed


@dataclass(frozen=True, eq=False)
class Curve:
    """Errors under one corruption.

    Attributes:
      corruption: the corruption.
      levels: its levels [L], the clean one first.
      nme: [L, F] normalised mean error of each face, as a fraction.
      left_out: levels that need more around the crop than the source has stored.
    """

    corruption: Moved | Changed
    levels: tuple[float | None, ...]
    nme: np.ndarray
    left_out: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Robustness(Measured):
    """A model's errors under every corruption, beside its plain evaluation."""

    section = "robustness"

    evaluation: Evaluation
    curves: tuple[Curve, ...]

    @property
    def subject(self) -> Predictor:
        """What was measured."""
        return self.evaluation.predictor

    def summary(self) -> dict[str, Any]:
        """The `robustness` section of `results.json`; the first of all levels is the clean one."""
        faces, normaliser = self.evaluation.faces, self.evaluation.normaliser
        return {
            "source": faces.source,
            "faces": len(faces),
            "schema": self.evaluation.schema.name,
            "crop_rule": faces.crop_rule.name,
            "crop_scale": faces.crop_rule.need_scale("robustness"),
            "normaliser": normaliser,
            "face_px": FACE_PIXELS,
            "corruptions": {
                curve.corruption.name: {
                    "unit": curve.corruption.unit,
                    "levels": list(curve.levels),
                    f"nme_{normaliser}_percent": [percent(nme.mean()) for nme in curve.nme],
                    "failure_rate_10_percent": [
                        percent(metrics.failure_rate(nme, FAILURE)) for nme in curve.nme
                    ],
                    "left_out": list(curve.left_out),
                }
                for curve in self.curves
            },
        }


    def report(self) -> str:
        """The summary for a terminal, with a line for each corruption."""
        summary = self.summary()
        nme = f"nme_{summary['normaliser']}_percent"
        lines = [f"robustness: level: NME {summary['normaliser']} in % (faces above 10%, in %)"]
        for name, curve in summary["corruptions"].items():
            levels = zip(
                curve["levels"], curve[nme], curve["failure_rate_10_percent"], strict=True)
            errors = ", ".join(
                f"{f'{level:g}' if place else 'clean'}: {error:.2f} ({failed:.1f})"
                for place, (level, error, failed) in enumerate(levels))
            lines.append(f"{name}, {curve['unit']}\n    {errors}")
            if curve["left_out"]:
                left_out = ", ".join(f"{level:g}" for level in curve["left_out"])
                lines.append("    note: left out, because the packed crops end before: "
                             f"{left_out}")
        return "\n".join(lines)

    def draw(self, folder: Path) -> list[Path]:
        """Draws the error by level, and one face at all levels."""
        from efld_tf.evaluation import robustness_plots

        curves, sheet = folder / "robustness_curves.png", folder / "robustness_levels.png"
        robustness_plots.curves_plot(curves, self)
        robustness_plots.levels_sheet(sheet, self)
        return [curves, sheet]


class Subject:
    """One face of an evaluation, to be seen under corruptions."""

    def __init__(self, faces: EvaluationFaces, index: int):
        self._faces, self._index = faces, index
        self._box = corruptions.unit_box(faces.crop_rule)
        self._side = round(FACE_PIXELS / self._box.side)

    def under(
        self, corruption: Moved | Changed, level: float | None, size: int
    ) -> tuple[np.ndarray, Crop]:
        """The face under a corruption, as a model gets it.

        Args:
          size: side S of the model's input in pixels.

        Returns:
          [S, S, 3] uint8 RGB, and its square in the unit square of the clean crop.
        """
        if level is None or level == corruption.clean:
            return self._faces.picture(self._index, size), WHOLE
        random = corruptions.generator(self._faces.names[self._index], corruption.name, level)
        if isinstance(corruption, Moved):
            possible = corruption.squares(self._box, level)
            square = possible[random.integers(len(possible))]
            return self._faces.view(self._index, square, size), square
        scale = self._side
        box = Crop(self._box.center_x * scale - 0.5, self._box.center_y * scale - 0.5,
                   self._box.side * scale)
        changed = corruption.pixels(self._picture, box, level, random)
        return resized(changed, size), WHOLE

    @functools.cached_property
    def _picture(self) -> np.ndarray:
        """The clean crop in which the box has `FACE_PIXELS` pixels."""
        return self._faces.view(self._index, WHOLE, self._side)


def measure(
    predictor: Predictor,
    evaluation: Evaluation,
    chosen: Sequence[Moved | Changed] = CORRUPTIONS,
    *,
    progress: bool = True,
) -> Robustness:
    """Runs a predictor on the faces of its plain evaluation under every corruption and level.

    Predictions are mapped back to the clean crop and compared with its truth there, so that every
    error is one of the photo, divided by the same distance. The clean level is the plain
    evaluation itself.

    Raises:
      DataError: a photo cannot be read any more.
      EfldError: the crops are stretched.
    """
    faces = evaluation.faces
    box = corruptions.unit_box(faces.crop_rule)
    fitting_levels = {
        c.name: tuple(v for v in c.levels if c.fits(box, v, faces.reach)) for c in chosen
    }
    plan = [(corruption, level)
            for corruption in chosen for level in fitting_levels[corruption.name]]
    _, predicted_indices, _ = common_points(predictor.schema, faces.schema)
    errors, distances = np.empty((len(plan), len(faces))), evaluation.distances()
    with Progress("robustness", len(faces), "face", shown=progress) as bar:
        for index in bar.over(range(len(faces))):
            subject = Subject(faces, index)
            looks = [subject.under(*step, predictor.input_size) for step in plan]
            points = predictor.predict_crops(np.stack([pixels for pixels, _ in looks]))
            points = points[:, list(predicted_indices)]
            predicted = np.stack([
                square.from_unit(at) for (_, square), at in zip(looks, points, strict=True)
            ])
            truth = np.broadcast_to(evaluation.truth[index], predicted.shape)
            sides = faces.sides[index]
            wrong = np.nanmean(metrics.point_errors(predicted * sides, truth * sides), axis=1)
            errors[:, index] = wrong / distances[index]
    curves = []
    for corruption in chosen:
        rows = [row for row, (planned, _) in enumerate(plan) if planned is corruption]
        levels = fitting_levels[corruption.name]
        curves.append(Curve(
            corruption=corruption,
            levels=(corruption.clean, *levels),
            nme=np.concatenate([evaluation.nme[None], errors[rows]]),
            left_out=tuple(level for level in corruption.levels if level not in levels),
        ))
    return Robustness(evaluation, tuple(curves))


def resized(picture: np.ndarray, size: int) -> np.ndarray:
    """A square picture at another size; it is averaged if it shrinks, and bilinear otherwise."""
    if picture.shape[0] == size:
        return picture
    interpolation = cv2.INTER_AREA if picture.shape[0] > size else cv2.INTER_LINEAR
    return cv2.resize(picture, (size, size), interpolation=interpolation)
