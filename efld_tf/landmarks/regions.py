"""The regions of a face for which errors are stated, whatever the parts of a schema are called.

The eight regions are those of PIPNet's bar charts (Jin et al., "Pixel-in-Pixel Net", IJCV 2021,
Figure 6). Left and right are the subject's own.
"""

from __future__ import annotations

from efld_tf.landmarks.schema import LandmarkSchema, Part

REGIONS = ("right_cheek", "left_cheek", "right_eyebrow", "left_eyebrow", "right_eye", "left_eye",
           "nose", "mouth")
CHIN = "chin"

# The parts that belong to a region; those of the eyes have a side before their name.
_OF_EYE = ("eye", "pupil", "iris", "eye_centre", "eyelid")
_REGION_OF = {
    **{f"{side}_{part}": f"{side}_eye" for side in ("right", "left") for part in _OF_EYE},
    **dict.fromkeys(("nose_bridge", "nose_base", "right_nose_bridge", "left_nose_bridge"), "nose"),
    **dict.fromkeys(("outer_lips", "inner_lips"), "mouth"),
}


def regions(schema: LandmarkSchema) -> dict[str, tuple[int, ...]]:
    """The regions of a schema and their points, each point in one region, in rising order.

    A `jaw` is two cheeks, from either ear to the chin. The point in its middle, which is its own
    mirror image, belongs to neither, but to the region `chin`. Parts that belong to no region, such
    as ears, are regions of their own name, and so are jaws that are not symmetric (a profile's).

    Returns:
      First those of `REGIONS` that the schema has, in that order, then the others in the order of
      the schema's parts.
    """
    points_by_region: dict[str, list[int]] = {}
    for part in schema.parts:
        if part.name == "jaw" and _is_symmetric(part, schema):
            half = len(part.points) // 2
            pieces = {
                # Jaws start at the subject's right ear in every format.
                "right_cheek": part.points[:half],
                "left_cheek": part.points[len(part.points) - half :],
                CHIN: part.points[half : len(part.points) - half],
            }
        else:
            pieces = {_REGION_OF.get(part.name, part.name): part.points}
        for name, points in pieces.items():
            if points:
                points_by_region.setdefault(name, []).extend(points)
    order = [name for name in REGIONS if name in points_by_region]
    order += [name for name in points_by_region if name not in REGIONS]
    return {name: tuple(sorted(points_by_region[name])) for name in order}


def _is_symmetric(part: Part, schema: LandmarkSchema) -> bool:
    """Whether the part's mirror image is the part itself, taken from its other end."""
    if schema.flip is None or len(part.points) < 2:
        return False
    return tuple(schema.flip[i] for i in part.points) == part.points[::-1]
