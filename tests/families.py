"""Options with which a model of each family is small enough for tests."""

from __future__ import annotations

from typing import Any

# The default network takes a minute to build and convert.
SMALL: dict[str, dict[str, Any]] = {
    "lite_hrnet_plus": {"modules": [1, 1, 1], "stem": 8, "channels": 8},
    "dense_unet": {"width": 1 / 16, "halvings": 1, "topology": "hourglass", "block": "residual"},
}


def small_options(family: str) -> dict[str, Any]:
    """The options of a small model of a family; none where the default is small."""
    return SMALL.get(family, {})
