"""The mean head, and how it lies in a picture of which some of its places are known.

Its places are those of the schema `ibug68_3d`: means over rendered heads
(`tools/fit_mean_head.py`), x to the image's right, y up, z towards the camera, in distances between
the eye centres from the middle between them. It is turned as `pose.MEAN_FACE` is.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from efld_tf.arrays import Floats
from efld_tf.errors import EfldError
from efld_tf.landmarks import pose, schemas
from efld_tf.landmarks.schema import EYES, LandmarkSchema

FILE = Path(__file__).with_name("mean_head.json")
HEAD, WHOLE, INNER = "ibug68_3d", "ibug68", "ibug51"
# The first of the inner points among the 68.
FIRST_INNER = 17
# Eyes and mouth corners alone lie nearly in a plane, which tells turns to both sides alike.
LEAST = 5


@functools.cache
def mean_head() -> Floats:
    """The places of the mean head: [68, 3]."""
    places: Floats = np.array(json.loads(FILE.read_text(encoding="utf-8"))["places"])
    return places


@dataclass(frozen=True, eq=False)
class Places:
    """Places of the head that a schema's points tell.

    Attributes:
      means: [K, N], of whose product with the points [N, ...] the places are.
      head: [K, 3] the same places on the mean head.
    """

    means: Floats
    head: Floats

    def of(self, points: Floats) -> Floats:
        """The places [K, D] of points [N, D]; NaN where one of a place's points is."""
        points = np.asarray(points, np.float64)
        missing = (self.means != 0).astype(float) @ ~np.isfinite(points)
        return np.where(missing > 0, np.nan, self.means @ np.nan_to_num(points))


@functools.cache
def places_of(schema: str) -> Places:
    """The places that a schema's points tell.

    They are the 68 or the 51 inner ones where the schema has them, or can be converted to them; of
    others the eyes, the mouth corners and the tip of the nose, as far as they have these.

    Raises:
      EfldError: there is no schema of that name, or it has no two eyes.
    """
    definition, head = schemas.get(schema), mean_head()
    own = np.eye(definition.num_points)
    names = {schema, *definition.subsets, *definition.conversions}
    if schema == HEAD:
        return Places(own, head)
    if schema == INNER:
        return Places(own, head[FIRST_INNER:])
    for target, first in ((INNER, 0), (WHOLE, FIRST_INNER)):
        if target in names:
            means = definition.convert_values(own, target)[first:]
            annotated = np.isfinite(means).all(axis=-1)
            return Places(means[annotated], head[FIRST_INNER:][annotated])
    definition.need_anchors("alignment", EYES)
    if definition.anchors["right_eye"] == definition.anchors["left_eye"]:
        raise EfldError(f"alignment: schema {schema} has one eye only")
    of_head = schemas.get(HEAD)
    pairs = [(group, of_head.anchors[name]) for name, group in definition.anchors.items()]
    if definition.nose_tip:
        pairs.append((definition.nose_tip, of_head.nose_tip))
    return Places(np.stack([own[list(mine)].mean(axis=0) for mine, _ in pairs]),
                  np.stack([head[list(its)].mean(axis=0) for _, its in pairs]))


@dataclass(frozen=True, eq=False)
class Placed:
    """How a head lies in a picture, by scaled orthography.

    Attributes:
      scale: pixels of the distance between the mean head's eyes, seen from in front.
      rotation: [3, 3] from the mean head's axes to x to the image's right, y up, z to the camera.
      shift: [2] where the middle between its eyes is, in pixels, y down.
    """

    scale: float
    rotation: Floats
    shift: Floats

    def project(self, places: Floats) -> Floats:
        """Places [..., 3] of the mean head in pixels of the picture: [..., 2]."""
        turned: Floats = self.scale * places @ self.rotation[:2].T * [1, -1] + self.shift
        return turned


def fit(points: Floats, schema: LandmarkSchema, depth: Floats | None = None) -> Placed:
    """How the head lies whose points these are: the mean head's places are brought closest to them.

    Args:
      points: [N, 2] in pixels; NaN for those that are not known.
      depth: [N] in pixels, how far each point is in front; None if it is not known.

    Raises:
      EfldError: fewer than `LEAST` places are known, or they lie in one another.
    """
    places = places_of(schema.name)
    in_space = points if depth is None else np.column_stack([points, depth])
    observed = places.of(in_space)
    known = np.isfinite(observed).all(axis=-1)
    if known.sum() < LEAST:
        raise EfldError(f"cannot place a head of which fewer than {LEAST} places are known")
    seen, head = observed[known], places.head[known]
    upright = seen * [1, -1, 1][: seen.shape[-1]]
    offsets, model = upright - upright.mean(axis=0), head - head.mean(axis=0)
    rotation = (pose.rotations if depth is None else pose.rotations_in_space)(
        offsets[None], model)[:, 0]
    turned = model @ rotation[: offsets.shape[-1]].T
    scale = float((offsets * turned).sum() / (turned**2).sum())
    if not scale > 1e-6 * np.abs(offsets).max() > 0:
        raise EfldError("cannot place a head whose points coincide or are mirrored")
    shift = seen[:, :2].mean(axis=0) - scale * head.mean(axis=0) @ rotation[:2].T * [1, -1]
    return Placed(scale, rotation, shift)
