"""Whether a source's coordinates may be shares of the images' sizes, told by all of its faces.

Shares of images that are not square are squeezed faces; those of large images lie in their first
pixels, and those of small ones beyond them. One face proves nothing, and no test says which
unit it is but the largest coordinate.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from efld_tf.arrays import Floats
from efld_tf.landmarks.schema import ANCHORS, LandmarkSchema

# What 1 is in each unit that coordinates may have instead of pixels.
UNITS = {"true": 1.0, "percent": 100.0, "1000": 1000.0}
SUSPECTED = ("percent", "1000")  # faces of 0 to 1 pixel are refused one by one

# Shares may lie so far outside of the image, and few faces farther.
MOST_OUTSIDE, FEW = 0.25, 0.02

# Faces of large images all in their first corner are suspicious below this chance, refused below
# the second. Images of less than twice the corner tell nothing: the faces of crops are in their
# middle.
SUSPICIOUS, REFUSED = 1e-2, 1e-12

# The distance of the eyes is that from the eyes to the mouth, within 0.1 in the median of the
# frontal faces of five clean sets and 0.12 for one of them (the log of their ratio). A face is
# frontal if its nose is so near to the middle of the eyes, in their distance.
FRONTAL = 0.1
TYPICAL, SPREAD = -0.03, 0.12

# Faces are squeezed if they are so by what shares would be, 1, within the first number, and the
# standard error is below the others. Images that are nearly square tell nothing.
SQUEEZED_WITHIN, SUSPICIOUS_ERROR, REFUSED_ERROR, LEAST_STRETCH = 0.4, 0.3, 0.15, 0.15

# Faces are beyond their image from so many parts of its size on.
BEYOND = 1.05


class Units:
    """Collects what a source's faces tell of the unit of their coordinates, taken as pixels."""

    def __init__(self) -> None:
        self._largest: list[float] = []
        self._smallest: list[float] = []
        self._sizes: dict[Path, tuple[int, int]] = {}
        self._beyond = 0
        self._squeezed = self._weight = 0.0

    def add(
        self, points: Floats, schema: LandmarkSchema, image: Path, size: tuple[int, int] | None
    ) -> None:
        """Takes a face's points [N, 2] (NaN: missing) and the size of its image, if known."""
        self._largest.append(float(np.nanmax(points)))
        self._smallest.append(float(np.nanmin(points)))
        if size is None:
            return
        self._sizes[image] = size
        self._beyond += bool((np.nanmax(points, axis=0) > BEYOND * np.array(size)).any())
        as_pixels = _proportion(points, schema)
        as_shares = _proportion(points * size, schema)
        difference = as_shares - as_pixels
        if abs(difference) >= LEAST_STRETCH:  # not if NaN
            self._squeezed += (TYPICAL - as_pixels) * difference
            self._weight += difference**2

    def doubt(self) -> tuple[str, bool] | None:
        """Why the coordinates may be no pixels, and whether that is certain; None if it is not."""
        faces = len(self._largest)
        allowed = int(FEW * faces)
        if not faces:
            return None
        for option in SUSPECTED:
            unit = UNITS[option]
            over = sum(high > (1 + MOST_OUTSIDE) * unit or low < -MOST_OUTSIDE * unit
                       for high, low in zip(self._largest, self._smallest, strict=True))
            if over <= allowed:
                break
        else:
            return None
        highest = sorted(self._largest)[faces - 1 - over]
        corner = max(unit, highest)
        chance = sum(float(np.log(corner / np.array(size)).sum()) for size in self._sizes.values()
                     if min(size) >= 2 * corner)
        error = SPREAD / np.sqrt(self._weight) if self._weight > 0 else np.inf
        squeezed = abs(self._squeezed - self._weight) < SQUEEZED_WITHIN * self._weight
        why = []
        if chance < np.log(SUSPICIOUS):
            why.append("its images are much larger")
        if squeezed and error < SUSPICIOUS_ERROR:
            why.append("its faces are squeezed as their images are")
        if 2 * self._beyond > faces > 1:
            why.append(f"{self._beyond} reach beyond their images")
        if not why:
            return None
        most = f"{faces - over} of its {faces} faces"
        other = ""
        if len(why) == 1 and 2 * self._beyond > faces:
            other = "give the images that were annotated, if they were larger; "
        share = f"shares of the image's size, 0 to {unit:g}, say normalised={option}"
        certain = chance < np.log(REFUSED) or (squeezed and error < REFUSED_ERROR)
        return (f"no coordinate of {most} is above {np.ceil(highest):g}, though "
                f"{' and '.join(why)}: {other}if they are {share}, and if they are pixels "
                "normalised=false"), certain


def _proportion(points: Floats, schema: LandmarkSchema) -> float:
    """The log of the distance of the eyes to that from eyes to mouth; NaN if not frontal."""
    if not schema.nose_tip or not all(name in schema.anchors for name in ANCHORS):
        return np.nan
    anchors = schema.anchor_points(points.astype(np.float64))
    middle = anchors[:2].mean(axis=0)
    across, down = anchors[1] - anchors[0], anchors[2:].mean(axis=0) - middle
    nose = points[list(schema.nose_tip)].mean(axis=0) - middle
    area = across[0] * down[1] - across[1] * down[0]
    if not area > 0 or abs((nose[0] * down[1] - nose[1] * down[0]) / area) > FRONTAL:
        return np.nan
    return float(np.log(np.linalg.norm(across) / np.linalg.norm(down)))
