"""The common options of families whose heads predict heatmaps."""

from __future__ import annotations

import math
from dataclasses import dataclass

from efld_tf.errors import EfldError
from efld_tf.models.codecs import DECODERS, MAPS

# The loss that fits what maps hold; see `training.losses`.
LOSSES = {"values": "heatmap", "log_odds": "heatmap_bce"}

# The bounds of sigma. Of a narrower Gaussian between four pixels, less than 0.02 is left on each.
LEAST_SIGMA, MOST_SIGMA = 0.25, 100.0


@dataclass(frozen=True)
class HeatmapOptions:
    """What can be varied in every such family.

    Attributes:
      maps: what the heads predict: `values` of the Gaussians, which the loss `heatmap` compares, or
        their `log_odds`, for `heatmap_bce`.
      decoder: how a point is read from its map: `centroid`, the mean place around the highest
        pixel, or `quarter`, a quarter of a pixel from it towards the higher neighbour.
      sigma: the standard deviation of the Gaussians in pixels of the map, from 0.25 to 100; None
        for the family's.
    """

    maps: str = "values"
    decoder: str = "centroid"
    sigma: float | None = None

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("maps", self.maps, MAPS), ("decoder", self.decoder, DECODERS)
        ):
            if value not in allowed:
                raise EfldError(f"{name}: expected one of {allowed}, got {value!r}")
        if self.sigma is not None and not LEAST_SIGMA <= self.sigma <= MOST_SIGMA:
            raise EfldError(f"sigma: expected a number from {LEAST_SIGMA} to {MOST_SIGMA}, got "
                            f"{self.sigma}")


def first_bias(maps: str, sigma: float, size: int) -> float:
    """The bias with which a head's maps of size x size pixels start.

    Log-odds start from the mean of a Gaussian over its map, 2 pi sigma^2 / size^2. From 0, many
    steps would go into telling the many pixels without a point from the few with
    one (T.-Y. Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, Section 3.3).
    """
    if maps == "values":
        return 0.0
    mean = min(0.5, 2 * math.pi * sigma**2 / size**2)
    return math.log(mean / (1 - mean))


def loss(options: HeatmapOptions) -> str:
    """The name of the loss for what the maps hold."""
    return LOSSES[options.maps]


def fits(options: HeatmapOptions, name: str) -> bool:
    """Whether the loss of that name fits what the maps hold."""
    return name not in LOSSES.values() or name == loss(options)
