"""Fits crop rules that show a face at the same place, whatever the annotation's format.

That takes a schema with eyes and mouth. Points of a part of the face get a crop of their own,
`PART_SCALE` times their box, unless the source has a `crop.scale`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from efld_tf.annotations.record import FaceRecord
from efld_tf.arrays import Float64s
from efld_tf.data.options import CropOptions
from efld_tf.errors import EfldError
from efld_tf.landmarks import schemas
from efld_tf.landmarks.geometry import REFERENCE_ANCHORS, CropRule, zoomed
from efld_tf.landmarks.schema import ANCHORS, EYES, MOUTH, LandmarkSchema

# Side of the crop of points that lack eyes or mouth, divided by the longest side of their box: as
# the reference crop is to the box of the 68 iBUG points.
PART_SCALE = 1.25
# How many times as large faces may be in the crops of one source as in those of another, where
# these are not fitted: augmentation varies sizes by about as much.
MOST_SIZE = 1.3


def crop_rule(records: list[FaceRecord], options: CropOptions, zoom: float = 1.0) -> CropRule:
    """The crop rule of a source, as the options give it or fitted to its faces, with a zoom.

    The fit is the least-squares scale and offset that bring the mean anchors of the faces to
    `REFERENCE_ANCHORS`, as a crop of that zoom shows them. If the schema lacks anchors, the rule is
    `PART_SCALE` times the box, about its middle.

    Args:
      records: faces of one schema.
      zoom: the zoom of the `CropRule`; with a scale given, of a schema that lacks anchors, it is
        about the middle of the crop.

    Raises:
      EfldError: no annotation has the box that the rule needs, no face the anchors that the fit
        needs, the anchors of a pair are exchanged, or a schema that lacks anchors has a zoom and no
        scale.
    """
    schema = schemas.get(records[0].schema)
    box = options.box or schema.box
    zoom_crop = zoomed(zoom)
    if not options.fitted:
        given = CropRule(box, schema.name, options.scale, options.offset_x, options.offset_y, zoom,
                         options.scale_x, options.scale_y)
        return _zoomed(given, about_eyes=not schema.missing_anchors)
    fitted = []
    boxed = [record for record in records if box != "file" or record.box is not None]
    for record in boxed or records[:1]:
        x0, y0, x1, y1 = record.source_box(box)
        centre = np.array([x0 + x1, y0 + y1]) / 2
        fitted.append((schema.anchor_points(record.points) - centre) / max(x1 - x0, y1 - y0))
    anchors = np.array(fitted)
    if schema.missing_anchors:
        _check_part(anchors, schema, zoom)
        return CropRule(box, schema.name, PART_SCALE)
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


def _zoomed(rule: CropRule, about_eyes: bool) -> CropRule:
    """A rule whose scales are those at zoom 1, with its zoom applied to them and the offsets."""
    part, (scale_x, scale_y) = zoomed(rule.zoom), rule.scales
    x, y = rule.offset_x, rule.offset_y
    if about_eyes:
        x += scale_x * (part.center_x - 0.5)
        y += scale_y * (part.center_y - 0.5)
    scales = {name: value * part.side for name, value in rule.fields().items()
              if name in ("scale", "scale_x", "scale_y")}
    return replace(rule, offset_x=float(x), offset_y=float(y), **scales)


def _check_part(anchors: Float64s, schema: LandmarkSchema, zoom: float) -> None:
    """Checks what a schema that lacks anchors must have for the rule that is not fitted.

    Args:
      anchors: [F, 4, 2], upright up to the lean of heads; NaN for those that are missing.
    """
    if zoom != 1:
        raise EfldError(f"data.pack.zoom {zoom:g} is about whole faces, but {lacking(schema)}; "
                        "give the source a crop.scale")
    for pair in (EYES, MOUTH):
        right, left = (anchors[:, ANCHORS.index(name), 0] for name in pair)
        across = (left - right)[np.isfinite(left - right)]
        if len(across) and np.median(across) < 0:
            raise EfldError(f"schema {schema.name}: its anchors {pair[0]} and {pair[1]} are "
                            "exchanged: right is the person's own, on the left of the image")


def lacking(schema: LandmarkSchema) -> str:
    """A text that says which anchors a schema lacks."""
    return f"schema {schema.name} has no anchors {', '.join(schema.missing_anchors)}"


def note(schema: LandmarkSchema) -> str | None:
    """What the user should know of the crops of a schema without a scale of their own, if any."""
    if not schema.missing_anchors:
        return None
    return (f"{lacking(schema)}: without a crop.scale, its crops are {PART_SCALE:g} times the box, "
            "whatever part of the face that is")


def same_kind(first: CropRule, second: CropRule) -> bool:
    """Whether two rules both stretch or neither does, and are of one schema or of whole faces."""
    schemas_of_both = {first.schema, second.schema}
    return first.stretched == second.stretched \
        and (len(schemas_of_both) == 1 or not any(map(_of_part, schemas_of_both)))


def alike(first: CropRule, second: CropRule) -> bool:
    """Whether crops by two rules show the same part of a face, as far as the rules tell.

    Squares do if they are of one schema or of whole faces, which are fitted by eyes and mouth;
    stretched ones if they are stretched from one kind of box.
    """
    return same_kind(first, second) and (not first.stretched or first.name == second.name)


def times_as_large(
    shape: Sequence[Sequence[float]] | Float64s, schema: str,
    other: Sequence[Sequence[float]] | Float64s, other_schema: str,
) -> Float64s | None:
    """How many times as wide and as high eyes and mouth of one mean face are as those of another.

    Args:
      shape, other: [N, 2] of each schema, in unit squares of crops.

    Returns:
      [2], or None if a schema lacks eyes or mouth, or has them in one line, as of a profile.
    """
    spans = list[Float64s]()
    for points, name in ((shape, schema), (other, other_schema)):
        anchors = schemas.get(name).anchor_points(np.array(points))
        span: Float64s = np.ptp(anchors, axis=0)
        if not (span > 0).all():  # also NaN, of what is lacking
            return None
        spans.append(span)
    return spans[0] / spans[1]


def made_from(rule: CropRule) -> str:
    """What two rules that are not of the `same_kind` or not `alike` differ in, for a message."""
    return rule.name if rule.stretched else rule.schema


def rule_like(rule: CropRule, records: list[FaceRecord]) -> CropRule:
    """The rule by which faces of another schema are cropped as a model's own rule crops its own.

    Raises:
      EfldError: one of the schemas lacks anchors, or the model's crops are stretched, so that there
        is no such rule; or as in `crop_rule`.
    """
    name = records[0].schema
    rule.need_scale(f"faces of {name} for a model of {rule.schema}")
    if parts := [part for part in (rule.schema, name) if _of_part(part)]:
        raise EfldError(f"faces of {name} cannot be cropped like those of {rule.schema}: "
                        f"{lacking(schemas.get(parts[0]))}; use faces of {rule.schema}")
    return crop_rule(records, CropOptions(), rule.zoom)


def _of_part(name: str) -> bool:
    """Whether a schema lacks anchors; that of a model's crop rule may not be known here."""
    return name in schemas.names() and bool(schemas.get(name).missing_anchors)
