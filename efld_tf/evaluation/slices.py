"""Measures for which faces a model is better or worse, by pose, expression, picture and skin.

Only the points have to be annotated: all that divides faces into slices is measured on them and on
the crop. Occlusion is not among the slices, since points do not tell it; see `robustness`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from efld_tf.evaluation.evaluate import Evaluation, percent
from efld_tf.evaluation.faces import EvaluationFaces
from efld_tf.evaluation.measured import Measured
from efld_tf.evaluation.robustness import FAILURE
from efld_tf.landmarks import metrics, openings, pose, schemas
from efld_tf.landmarks.schema import ANCHORS, EYES, LandmarkSchema
from efld_tf.runtime.predictor import Predictor

# The radius of the cheeks' patches, in distances between the eye centres.
CHEEK_RADIUS = 0.12

# A. Chardon et al., "Skin colour typology and suntanning pathways", Int. J. Cosmetic Science 1991.
TONES = ("dark", "brown", "tan", "intermediate", "light", "very light")
TONE_EDGES = (-30.0, 10.0, 28.0, 41.0, 55.0)
# The least b* of skin: photos without colour, or in blue light, do not tell its tone.
LEAST_YELLOW = 2.0
# The fewest people with several faces each for a standard error.
FEWEST_PEOPLE = 10


@dataclass(frozen=True)
class Attribute:
    """Something that divides faces into groups.

    Attributes:
      name, title, unit: texts for results and pictures.
      measure: faces -> the value [F] of each, NaN if it cannot be measured; None if the schema does
        not allow it for any face.
      edges: where one group ends and the next begins; None for thirds of the faces, if the unit has
        no meaning of its own.
      groups: names of the groups, from low to high; None to name them by their edges.
    """

    name: str
    title: str
    unit: str
    measure: Callable[[EvaluationFaces], np.ndarray | None]
    edges: tuple[float, ...] | None
    groups: tuple[str, ...] | None = None


@dataclass(frozen=True, eq=False)
class Slices(Measured):
    """Faces divided by every attribute that could be measured.

    Attributes:
      evaluation: the evaluation of all faces.
      attributes: the attributes that could be measured.
      values: the values [F] of each attribute, by its name.
    """

    section = "slices"

    evaluation: Evaluation
    attributes: tuple[Attribute, ...]
    values: dict[str, np.ndarray]

    @property
    def subject(self) -> Predictor:
        """What was measured."""
        return self.evaluation.predictor

    def groups(self, attribute: Attribute) -> list[tuple[str, np.ndarray]]:
        """The groups that have faces, from low to high: the name, and [F] bool, who is in it."""
        values = self.values[attribute.name]
        edges = attribute.edges
        if edges is None:
            edges = np.nanquantile(values, [1 / 3, 2 / 3]).tolist()
        result = []
        for place, (low, high) in enumerate(itertools.pairwise((-np.inf, *edges, np.inf))):
            name = attribute.groups[place] if attribute.groups else _between(low, high)
            members = (values >= low) & (values < high)  # NaN is in none
            if members.any():
                result.append((name, members))
        return result

    def summary(self) -> dict[str, Any]:
        """The `slices` section of `results.json`; numbers in percent unless named otherwise."""
        faces, normaliser = self.evaluation.faces, self.evaluation.normaliser
        return {
            "source": faces.source,
            "faces": len(faces),
            "schema": self.evaluation.schema.name,
            "normaliser": normaliser,
            "attributes": {
                attribute.name: {
                    "unit": attribute.unit,
                    "not_told": int(np.isnan(self.values[attribute.name]).sum()),
                    "groups": [
                        {"group": name, **self.of_group(members)}
                        for name, members in self.groups(attribute)
                    ],
                }
                for attribute in self.attributes
            },
        }

    def report(self) -> str:
        """The summary for a terminal, with a line for each group."""
        nme = f"nme_{self.evaluation.normaliser}_percent"
        lines = [f"slices: NME {self.evaluation.normaliser} ± its standard error in % "
                 "(faces; those above 10%, in %)"]
        for name, attribute in self.summary()["attributes"].items():
            lines.append(f"{name}, {attribute['unit']}")
            for group in attribute["groups"]:
                error = group["standard_error_percent"]
                spread = "" if error is None else f" ± {error:.2f}"
                lines.append(f"    {group['group']:18} {group[nme]:.2f}{spread} "
                             f"({group['faces']}; {group['failure_rate_10_percent']:.1f})")
        return "\n".join(lines)

    def draw(self, folder: Path) -> list[Path]:
        """Draws the error by group."""
        from efld_tf.evaluation import slices_plot

        path = folder / "slices.png"
        slices_plot.slices_plot(path, self)
        return [path]

    def of_group(self, members: np.ndarray) -> dict[str, Any]:
        """The entry of a group, [F] bool, in `summary`."""
        nme = self.evaluation.nme[members]
        people = np.array(self.evaluation.faces.people)[members]
        error = standard_error(nme, people)
        return {
            "faces": len(nme),
            "people": len(set(people)),
            f"nme_{self.evaluation.normaliser}_percent": percent(nme.mean()),
            "standard_error_percent": None if np.isnan(error) else percent(error),
            "failure_rate_10_percent": percent(metrics.failure_rate(nme, FAILURE)),
        }


def measure(evaluation: Evaluation) -> Slices:
    """Divides the faces of an evaluation by every attribute that can be measured on them."""
    values = {}
    for attribute in ATTRIBUTES:
        measured = attribute.measure(evaluation.faces)
        if measured is not None and np.isfinite(measured).any():
            values[attribute.name] = measured
    attributes = tuple(attribute for attribute in ATTRIBUTES if attribute.name in values)
    return Slices(evaluation, attributes, values)


def standard_error(values: np.ndarray, people: np.ndarray) -> float:
    """The standard error of the mean of values [F], when the values of one person [F] are alike.

    Each person's deviations from the mean are summed up first; with one value a person, the result
    is the usual standard error. It is NaN for a single person, and for fewer than `FEWEST_PEOPLE`
    people with several values, for whom it would be too low. (A. C. Cameron and D. L. Miller, "A
    Practitioner's Guide to Cluster-Robust Inference", Journal of Human Resources 50(2), 2015,
    Sections II and VI.)
    """
    _, owner = np.unique(people, return_inverse=True)
    sums = np.bincount(owner, weights=values - values.mean())
    if len(sums) < (2 if len(sums) == len(values) else FEWEST_PEOPLE):
        return float("nan")
    return float(np.sqrt(len(sums) / (len(sums) - 1) * (sums**2).sum()) / len(values))


def _between(low: float, high: float) -> str:
    if np.isinf(low):
        return f"below {high:.4g}"
    return f"{low:.4g} and more" if np.isinf(high) else f"{low:.4g} to {high:.4g}"


def _pose(axis: int, signed: bool) -> Callable[[EvaluationFaces], np.ndarray | None]:
    """A function that measures one angle of `pose.estimate`."""

    def angle(faces: EvaluationFaces) -> np.ndarray | None:
        depths = None if faces.depths is None else faces.depths_in_photo(faces.depths)
        angles = pose.estimate(faces.in_photo(faces.points), schemas.get(faces.schema), depths)
        if angles is None:
            return None
        return angles[:, axis] if signed else np.abs(angles[:, axis])

    return angle


def eye_opening(faces: EvaluationFaces) -> np.ndarray | None:
    """Height / width of the eyes' outlines in upright faces, as the mean of both eyes: [F]."""
    both = openings.of_eyes(faces.in_photo(faces.points), schemas.get(faces.schema))
    return None if both is None else both.mean(axis=-1)


def mouth_opening(faces: EvaluationFaces) -> np.ndarray | None:
    """Height of the inner lips' outline in upright faces / the normalising distance: [F]."""
    schema = schemas.get(faces.schema)
    upright = openings.upright(faces.in_photo(faces.points), schema)
    points = [p.points for p in schema.parts if p.name == "inner_lips" and len(p.points) >= 4]
    if not points or upright is None or not _has_eyes(schema):
        return None
    height = np.ptp(upright[:, list(points[0]), 1], axis=1)
    return height / schema.normaliser.distance(faces.in_photo(faces.points))


def face_size(faces: EvaluationFaces) -> np.ndarray | None:
    """The normalising distance in pixels of the photo, in a schema with eyes: [F]."""
    schema = schemas.get(faces.schema)
    if not _has_eyes(schema):
        return None
    distance: np.ndarray = schema.normaliser.distance(faces.in_photo(faces.points))
    return distance


def brightness(faces: EvaluationFaces) -> np.ndarray:
    """The mean luma of the pixels inside the hull of the points, 0 to 255: [F]."""
    return np.array([grey[inside].mean() for grey, inside in _inside(faces)])


def sharpness(faces: EvaluationFaces) -> np.ndarray:
    """Standard deviation of the Laplacian / that of the luma, inside the hull of the points: [F].

    It is measured at the size of the model's input; a blur that this size hides costs the model
    nothing.
    """
    return np.array([
        cv2.Laplacian(grey, cv2.CV_32F)[inside].std() / max(float(grey[inside].std()), 1e-6)
        for grey, inside in _inside(faces)
    ])


def skin_tone(faces: EvaluationFaces) -> np.ndarray | None:
    """The individual typology angle of the cheeks, in degrees, high for light skin: [F].

    It is arctan((L* - 50) / b*) of the median colour of two patches midway between eyes and corners
    of the mouth (A. Chardon et al. 1991). It describes the photo, including its light, not the
    person, and is NaN if the photo has no colour.
    """
    schema, size = schemas.get(faces.schema), faces.crops.shape[1]
    if schema.missing_anchors:
        return None
    angles = np.full(len(faces), np.nan)
    anchors = schema.anchor_points(faces.points) * size - 0.5
    for index, (crop, points) in enumerate(zip(faces.crops, anchors, strict=True)):
        if not np.isfinite(points).all():
            continue
        place = dict(zip(ANCHORS, points, strict=True))
        radius = CHEEK_RADIUS * np.linalg.norm(place["right_eye"] - place["left_eye"])
        mask = np.zeros(crop.shape[:2], np.uint8)
        for side in ("right", "left"):
            centre = (place[f"{side}_eye"] + place[f"mouth_{side}"]) / 2
            cv2.circle(mask, tuple(map(round, centre.tolist())), max(round(radius), 1), 1, -1)
        if mask.any():
            lab = cv2.cvtColor(crop.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[mask > 0]
            lightness, _, yellow = np.median(lab, axis=0)
            if yellow >= LEAST_YELLOW:
                angles[index] = np.degrees(np.arctan2(lightness - 50, yellow))
    return angles


def _has_eyes(schema: LandmarkSchema) -> bool:
    """Whether a schema has eyes, so that its normalising distance is taken for theirs."""
    return all(name in schema.anchors for name in EYES)


def _inside(faces: EvaluationFaces) -> list[tuple[np.ndarray, np.ndarray]]:
    """The luma [S, S] float32 of each face, and which pixels are inside the hull of its points."""
    result, size = [], faces.crops.shape[1]
    for crop, points in zip(faces.crops, faces.points, strict=True):
        annotated = points[np.isfinite(points).all(axis=1)] * size - 0.5
        mask = np.zeros(crop.shape[:2], np.uint8)
        cv2.fillConvexPoly(mask, cv2.convexHull(annotated.round().astype(np.int32)), 1)
        inside = mask > 0 if mask.any() else np.ones_like(mask, bool)
        result.append((cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32), inside))
    return result


# Limits of groups that are not published ones were chosen before looking at any error.
ATTRIBUTES = (
    Attribute("yaw", "head turned", "degrees", _pose(0, signed=False), (10.0, 25.0, 40.0)),
    Attribute("pitch", "head up or down", "degrees, up is positive", _pose(1, signed=True),
              (-20.0, -10.0, 10.0, 20.0)),
    Attribute("roll", "head leaning", "degrees", _pose(2, signed=False), (5.0, 15.0, 30.0)),
    Attribute("eye_opening", "eyes open", "height / width", eye_opening, (0.2, 0.3, 0.4)),
    Attribute("mouth_opening", "mouth open", "height / eye distance", mouth_opening,
              (0.05, 0.15, 0.3)),
    Attribute("face_size", "size of the face", "px between the eyes", face_size,
              (32.0, 64.0, 128.0)),
    Attribute("sharpness", "sharpness", "thirds of the faces", sharpness, None,
              ("blurred", "middle", "sharp")),
    Attribute("brightness", "brightness", "luma, 0 to 255", brightness, (60.0, 100.0, 160.0)),
    Attribute("skin_tone", "apparent skin tone", "typology angle of the cheeks", skin_tone,
              TONE_EDGES, TONES),
)
