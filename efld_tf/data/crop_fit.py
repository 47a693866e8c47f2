"""Fits crop rules that show a face at the same place, whatever the annotation's format."""

from __future__ import annotations

import numpy as np

from efld_tf.annotations.record import FaceRecord
from efld_tf.data.options import CropOptions
from efld_tf.errors import EfldError
from efld_tf.landmarks import schemas
from efld_tf.landmarks.geometry import CropRule, zoomed
from efld_tf.landmarks.schema import ANCHORS

# The mean places of the schemas' ANCHORS (eye centres, mouth corners) in the unit square of a crop:
# the means over HELEN's training faces in the crop of 1.25 times the tight box of the 68 iBUG
# points, made symmetric. They define how much of the crop a face fills.
REFERENCE_ANCHORS = np.array(
    [[0.3317, 0.2790], [0.6683, 0.2790], [0.3517, 0.6255], [0.6483, 0.6255]]
)


def crop_rule(records: list[FaceRecord], options: CropOptions, zoom: float = 1.0) -> CropRule:
    """The crop rule of a source, as the options give it or fitted to its faces, with a zoom.

    The fit is the least-squares scale and offset that bring the mean anchors of the faces to
    `REFERENCE_ANCHORS`, as a crop of that zoom shows them.

    Args:
      records: faces of one schema.
      zoom: the zoom of the `CropRule`.

    Raises:
      EfldError: no annotation has the box that the rule needs, or no face the anchors that the fit
        needs.
    """
    schema = schemas.get(records[0].schema)
    box = options.box or schema.box
    zoom_crop = zoomed(zoom)
    if options.scale is not None:
        middle = np.array([zoom_crop.center_x, zoom_crop.center_y]) - 0.5
        x, y = np.array([options.offset_x, options.offset_y]) + options.scale * middle
        return CropRule(box, schema.name, options.scale * zoom_crop.side, float(x), float(y), zoom)
    fitted = []
    boxed = [record for record in records if box != "file" or record.box is not None]
    for record in boxed or records[:1]:
        x0, y0, x1, y1 = record.source_box(box)
        centre = np.array([x0 + x1, y0 + y1]) / 2
        fitted.append((schema.anchor_points(record.points) - centre) / max(x1 - x0, y1 - y0))
    anchors = np.array(fitted)
    # In units of the box: anchors - offset = scale * (reference - 0.5).
    for name, places in zip(ANCHORS, np.moveaxis(anchors, 1, 0), strict=True):
        if np.isnan(places).any(axis=-1).all():
            raise EfldError("the crop rule cannot be fitted: no face has all points of the "
                            f"schema's anchor {name}; give the source a crop.scale")
    mean_anchors = np.nanmean(anchors, axis=0)
    target = zoom_crop.to_unit(REFERENCE_ANCHORS) - 0.5
    spread = target - target.mean(axis=0)
    scale = float((spread * (mean_anchors - mean_anchors.mean(axis=0))).sum() / (spread**2).sum())
    if not scale > 0:
        raise EfldError("the crop rule cannot be fitted: eyes and mouths are upside down")
    x, y = mean_anchors.mean(axis=0) - scale * target.mean(axis=0)
    scale, x, y = (round(float(v), 4) for v in (scale, x, y))
    return CropRule(box, schema.name, scale, x, y, zoom)
