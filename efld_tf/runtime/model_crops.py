"""The crops of a model: of the faces that a detector finds, and around the model's own points.

Crops that were fitted by eyes and mouth show a known part of the reference crop (`crop_maps`). For
others, of points of a part of the face or by a scale of the user's own, the mean shape that the
model was trained on says where in the crop the points are; it stands in the model's metadata.

Of points of a head in any pose (`mean_head.HEAD`) the box is what the crop follows from, as in
training: eyes and mouth lie in one another in profile. The mean head tells which way is up.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from efld_tf.arrays import Floats
from efld_tf.errors import EfldError
from efld_tf.landmarks import mean_head
from efld_tf.landmarks.geometry import REFERENCE_ANCHORS, Crop, CropRule, tight_box
from efld_tf.landmarks.schema import ANCHORS, EYES, MOUTH, LandmarkSchema
from efld_tf.landmarks.shapes import as_complex
from efld_tf.runtime import crop_maps
from efld_tf.runtime.blazeface import KEYPOINTS
from efld_tf.runtime.detector import Detection

# The detector's key points whose mean is the middle of a pair of anchors.
KEYPOINTS_OF = {EYES: ("right_eye", "left_eye"), MOUTH: ("mouth",)}
# Fitted crops differ less from the part of the reference crop that their rule names: in place by
# this share of the side, in size by this factor.
SAME_PLACE, SAME_SIZE = 0.06, 1.12


class ModelCrops:
    """Where to look for the points of a model.

    Attributes:
      shown: the part of the reference crop that the model's crop shows, in its unit square; None if
        that is not known, so that a detector's faces give no crops.
      by_head: whether crops around points are those of a head in any pose.
    """

    def __init__(self, schema: LandmarkSchema, rule: CropRule, mean_shape: Floats | None):
        """Prepares the crops of a model.

        Args:
          schema, rule: the schema of its points, and its crop rule.
          mean_shape: [N, 2] in the unit square of its crop; None if it does not need one.

        Raises:
          EfldError: the schema lacks anchors, and there is no mean shape; or the rule stretches.
        """
        rule.need_scale("finding or following faces")
        self._schema, self._rule = schema, rule
        self.by_head = schema.name == mean_head.HEAD and rule.name == f"{schema.name}-points"
        self.shown: Crop | None = crop_maps.shown(rule)
        if mean_shape is not None and needs_mean_shape(schema, rule, mean_shape) \
                and rule.name != crop_maps.REFERENCE.name:
            self.shown = shown_by(schema, mean_shape)
        self._around: crop_maps.CropAround | None = None
        self._mean: Floats | None = None
        if not schema.missing_anchors:
            self._around = crop_maps.CropAround(schema)
        elif mean_shape is None:
            raise EfldError(f"schema {schema.name} lacks anchors, so that the model needs its mean "
                            "shape: export it again")
        else:
            self._mean = np.asarray(mean_shape, np.float64)

    def check_detector(self) -> None:
        """Checks that a detector's faces give crops.

        Raises:
          EfldError: the schema has neither eyes nor mouth by which to place them.
        """
        if self.shown is not None:
            return
        schema = self._schema
        fault = f"has no anchors {', '.join(schema.missing_anchors)}"
        if schema.anchors:
            fault = f"has anchors {', '.join(schema.anchors)} that coincide or are exchanged"
        raise EfldError(f"schema {schema.name} {fault}, so that a detector's faces give no crops; "
                        "give face boxes instead: --boxes, or detector=None in Python")

    def of_reference(self, reference: Crop) -> Crop:
        """The crop of a face whose reference crop is known; errors as in `check_detector`."""
        self.check_detector()
        assert self.shown is not None
        return crop_maps.part(reference, self.shown)

    def of_detection(self, detection: Detection) -> Crop:
        """The crop of a face that a detector found, turned so that its eyes are level, on the grid.

        The middle of eyes or mouth lies at the detector's key points where it is all that a schema
        has: the box says less well where a part of the face is.

        Raises:
          EfldError: as in `check_detector`.
        """
        crop = self.of_reference(crop_maps.from_detection(
            detection.box, detection.keypoints, detection.detector))
        if self._mean is None:
            return crop.on_grid()
        for pair, names in KEYPOINTS_OF.items():
            if pair[0] in self._schema.anchors:
                found = detection.keypoints[[KEYPOINTS.index(name) for name in names]].mean(axis=0)
                ends = self._schema.anchor_points(self._mean)[[ANCHORS.index(end) for end in pair]]
                x, y = found - crop.from_unit(ends.mean(axis=0))
                crop = replace(crop, center_x=crop.center_x + x, center_y=crop.center_y + y)
                break
        return crop.on_grid()

    def as_detection(self, crop: Crop, detector: str) -> Detection:
        """What a detector would find in a crop of the model; errors are as in `check_detector`."""
        self.check_detector()
        assert self.shown is not None
        reference = crop.around(self.shown)
        square = crop_maps.square_of(reference, detector)
        middle, half = np.array([square.center_x, square.center_y]), square.side / 2
        right_eye, left_eye, *mouth = reference.from_unit(REFERENCE_ANCHORS)
        places = {"right_eye": right_eye, "left_eye": left_eye, "mouth": np.mean(mouth, axis=0)}
        keypoints = np.array([places.get(name, middle) for name in KEYPOINTS])
        return Detection(np.concatenate([middle - half, middle + half]), keypoints, 1.0, detector)

    def around(self, points: Floats) -> Crop:
        """The crop around landmarks [N, 2] in pixels, turned so that they are upright, on the grid.

        Of a part of the face, the mean shape tells how the points are turned. The crop is then that
        of their box, where the crop rule is of these points, and otherwise the one in which the
        mean shape comes closest to them.
        """
        return self._at(points).on_grid()

    def _at(self, points: Floats) -> Crop:
        if self.by_head:
            try:
                up = mean_head.fit(points, self._schema).rotation[:2, 1]
            except EfldError:  # points of no head
                up = np.array([0.0, 1.0])
            return self._of_box(points, math.atan2(up[0], up[1]))
        if self._around is not None:
            return self.of_reference(self._around(points))
        assert self._mean is not None
        # The similarity z -> turn z + shift, by least squares.
        mean, found = as_complex(self._mean), as_complex(np.asarray(points))
        offset = mean - mean.mean()
        turn = complex((offset.conj() * (found - found.mean())).sum() / (abs(offset) ** 2).sum())
        centre = complex(found.mean() + turn * (0.5 + 0.5j - mean.mean()))
        angle = math.atan2(turn.imag, turn.real)
        if self._rule.name == f"{self._schema.name}-points" and np.ptp(points, axis=0).max() > 0:
            return self._of_box(points, angle)
        return Crop(centre.real, centre.imag, max(abs(turn), 1e-6), angle)

    def _of_box(self, points: Floats, angle: float) -> Crop:
        """The crop by the rule of the points' tight box, which is turned by an angle."""
        turned = Crop(0.0, 0.0, 1.0, angle)
        box = tight_box(turned.to_unit(np.asarray(points, np.float64)))
        middle, half = (box[:2] + box[2:]) / 2, np.maximum(box[2:] - box[:2], 1e-6) / 2
        return turned.within(self._rule.crop(np.concatenate([middle - half, middle + half])))


def needs_mean_shape(schema: LandmarkSchema, rule: CropRule, mean_shape: Floats) -> bool:
    """Whether the crops of a model follow from its mean shape and not from its crop rule alone.

    Args:
      schema, rule, mean_shape: as in `ModelCrops`.
    """
    if schema.missing_anchors:
        return True
    if rule.stretched or rule.name == crop_maps.REFERENCE.name:
        return False
    usual, own = crop_maps.shown(rule), shown_by(schema, mean_shape)
    return own is None or not (
        math.hypot(own.center_x - usual.center_x, own.center_y - usual.center_y)
        < SAME_PLACE * usual.side
        and 1 / SAME_SIZE < own.side / usual.side < SAME_SIZE
    )


def shown_by(schema: LandmarkSchema, mean_shape: Floats) -> Crop | None:
    """The part of the reference crop that a crop with these mean points [N, 2] shows.

    It brings the anchors closest to `REFERENCE_ANCHORS`, by least squares. None if the schema has
    none, or if they lie at one place or are exchanged.
    """
    anchors = schema.anchor_points(np.asarray(mean_shape, np.float64))
    there = np.isfinite(anchors).all(axis=-1)
    if not there.any():
        return None
    own, target = anchors[there], REFERENCE_ANCHORS[there]
    middle, aim = own.mean(axis=0), target.mean(axis=0)
    spread = ((own - middle) ** 2).sum()
    side = float(((own - middle) * (target - aim)).sum() / spread) if spread else 0.0
    if not side > 0:
        return None
    x, y = (float(value) for value in aim + side * (0.5 - middle))
    return Crop(x, y, side)
