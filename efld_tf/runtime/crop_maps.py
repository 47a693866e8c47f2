"""Computes the crop that a model was trained on from a detector's box or from landmarks.

Crops that were fitted by eyes and mouth (`data.crop_fit`) show the same part of a face: the
reference crop, which is 1.25 times the tight box of the 68 iBUG points, or a part of it where there
is a zoom. The maps to it from a detector's box, and from the four or five points of a whole face,
were fitted once by `tools/fit_crop_maps.py`; the numbers are in `crop_maps.json`.
"""

from __future__ import annotations

import functools
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from efld_tf import trees
from efld_tf.arrays import Floats
from efld_tf.landmarks.geometry import Crop, CropRule, zoomed
from efld_tf.landmarks.schema import LandmarkSchema

FILE = Path(__file__).with_name("crop_maps.json")

REFERENCE_SCALE = 1.25
REFERENCE = CropRule("points", "ibug68", REFERENCE_SCALE)
WHOLE = Crop(0.5, 0.5, 1.0)


@dataclass(frozen=True)
class BoxMap:
    """The map from a detector's box to the reference crop.

    Attributes:
      scale: side of the crop, divided by the longest side of the box.
      offset_x, offset_y: crop centre minus box centre, divided by the longest side of the box.
    """

    scale: float
    offset_x: float
    offset_y: float

    @property
    def in_box(self) -> Crop:
        """The reference crop in the unit square of the box."""
        return Crop(0.5 + self.offset_x, 0.5 + self.offset_y, self.scale)


@dataclass(frozen=True)
class CropMaps:
    """What `crop_maps.json` holds.

    Attributes:
      fitted_on: the source of the faces.
      detectors: the map of each detector, by its name.
      points: for schemas without and with a tip of the nose, the weights [1 + 2 P, 3] by which the
        `CropAround.features` give the crop's centre and the logarithm of its side.
    """

    fitted_on: str
    detectors: dict[str, BoxMap]
    points: dict[str, list[list[float]]]


@functools.cache
def maps() -> CropMaps:
    """The fitted maps of the package."""
    return trees.from_tree(json.loads(FILE.read_text(encoding="utf-8")), CropMaps)


def from_detection(box: Floats, keypoints: Floats, detector: str) -> Crop:
    """The reference crop for a face that a detector found, turned so that its eyes are level.

    Args:
      box: (x0, y0, x1, y1) in pixels.
      keypoints: [K, 2] in pixels; the right eye is first and the left one second.
      detector: `short` or `full`.
    """
    longest = float(max(box[2] - box[0], box[3] - box[1]))
    (right_x, right_y), (left_x, left_y) = keypoints[:2]
    angle = math.atan2(left_y - right_y, left_x - right_x)
    upright = Crop(float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2, longest, angle)
    return upright.within(maps().detectors[detector].in_box)


def square_of(reference: Crop, detector: str) -> Crop:
    """The square that a detector's box of a face is, turned as the face's reference crop is."""
    return reference.around(maps().detectors[detector].in_box)


class CropAround:
    """The reference crop around landmarks, turned so that the face is upright.

    It is linear in the upright points: unlike their tight box it follows a face that turns its
    head, whose jaw most schemas do not have.
    """

    def __init__(self, schema: LandmarkSchema):
        """Prepares the map for the points of a schema.

        Raises:
          EfldError: the schema lacks anchors.
        """
        schema.need_anchors("the reference crop around points")
        groups = [*schema.anchors.values(), *([schema.nose_tip] if schema.nose_tip else [])]
        self._means = np.zeros((len(groups), schema.num_points))
        for row, group in zip(self._means, groups, strict=True):
            row[list(group)] = 1 / len(group)
        self._used = np.flatnonzero(self._means.any(axis=0))
        self._means = self._means[:, self._used]
        self._weights = np.array(
            maps().points["with_nose" if schema.nose_tip else "without_nose"])

    def __call__(self, points: Floats) -> Crop:
        """The crop for landmarks [N, 2] in pixels."""
        features, upright = self.features(points)
        x, y, log_side = (float(value) for value in features @ self._weights)
        return upright.within(Crop(x, y, math.exp(min(max(log_side, -3), 3))))

    def features(self, points: Floats) -> tuple[Floats, Crop]:
        """The values in which the crop is linear.

        Returns:
          [1 + 2 P]: 1, then eye centres, mouth corners and the tip of the nose where the schema
          has one, in the units of the crop that is also returned. The top left corner of that crop
          is the mean of eyes and mouth corners; its side is the larger of the distances from eye
          to eye and from eyes to mouth; its angle is the direction from the person's right eye and
          mouth corner to the left ones.
        """
        places = self._means @ np.asarray(points, np.float64)[self._used]
        right_eye, left_eye, mouth_right, mouth_left = places[:4]
        down_x, down_y = (mouth_right + mouth_left - right_eye - left_eye) / 2
        eyes_x, eyes_y = left_eye - right_eye
        across_x, across_y = left_eye + mouth_left - right_eye - mouth_right
        side = max(math.hypot(eyes_x, eyes_y), math.hypot(down_x, down_y), 1e-6)
        center_x, center_y = places[:4].mean(axis=0)
        upright = Crop(center_x, center_y, side, math.atan2(across_y, across_x))
        upright = upright.within(Crop(1.0, 1.0, 1.0))  # its corner at the centre
        return np.concatenate([[1.0], upright.to_unit(places).ravel()]), upright


def part(reference: Crop, shown: Crop) -> Crop:
    """The part of a reference crop that is given in its unit square."""
    return reference if shown == WHOLE else reference.within(shown)


def shown(rule: CropRule) -> Crop:
    """The part of the reference crop that crops by a rule show, in its unit square.

    A rule for the 68 iBUG points says how its crop differs from the reference. A rule for other
    annotations was fitted to these points, so that its crop differs by its zoom alone.

    Raises:
      EfldError: the rule stretches.
    """
    scale = rule.need_scale("where a detector's faces would be in the crop")
    if rule.name != REFERENCE.name:
        return zoomed(rule.zoom)
    # The rule's offsets and scale are in units of the box, of which the reference is `scale` times.
    return Crop(
        0.5 + (rule.offset_x - REFERENCE.offset_x) / REFERENCE_SCALE,
        0.5 + (rule.offset_y - REFERENCE.offset_y) / REFERENCE_SCALE,
        scale / REFERENCE_SCALE,
    )
