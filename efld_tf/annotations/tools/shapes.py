"""What people draw on images in annotation tools, whatever the tool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


@dataclass(frozen=True, eq=False)
class Shape:
    """Something that was drawn.

    Attributes:
      points: [K, 2] float64 in the tool's pixels; K is 1 for a single point, and 0 for what is no
        points, such as a mask. A box has two corners. NaN for points that are not annotated.
      label: what the user called it; "" for nothing.
      is_box: whether it is a box.
      names: the names of the points, if each has one.
      group: what shapes of one face have in common; None if the tool does not tell.
      visible: [K] bool, False for occluded points; None if the tool does not tell.
      attributes: what else it says.
      line: its line in the file; None where lines tell nothing.
    """

    points: np.ndarray
    label: str = ""
    is_box: bool = False
    names: tuple[str, ...] | None = None
    group: str | None = None
    visible: np.ndarray | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    line: int | None = None


@dataclass(frozen=True, eq=False)
class Picture:
    """An image and what was drawn on it.

    Attributes:
      name: its name in the annotation file.
      shapes: what was drawn.
      path, line: the annotation file, and where it has the image.
      size: width and height in pixels, if the annotation states them.
      frame: the frame, if the image is a video.
      identity: what must not be on both sides of a split; None for the image.
      normalised: whether points are shares of the image's width and height.
      scalable: whether they were shares of `size`, and so are right for the image in any size.
      upright: whether the tool shows photos turned as their EXIF orientation says; None if that is
        not known.
      called: where the image was that was annotated, as far as the annotation tells: two such
        places are never one image, even if their image was looked for elsewhere; "" if it does not.
    """

    name: str
    shapes: Sequence[Shape]
    path: Path
    line: int | None = None
    size: tuple[int, int] | None = None
    frame: int | None = None
    identity: str | None = None
    normalised: bool = False
    scalable: bool = False
    upright: bool | None = None
    called: str = ""
