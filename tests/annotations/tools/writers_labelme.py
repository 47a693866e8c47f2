"""Files as labelme and X-AnyLabeling write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

# labelme 5.4's shapes without the points; `mask` is null but for masks.
FIELDS: dict[str, Any] = {"group_id": None, "description": "", "flags": {}, "mask": None}


def shape(
    label: str, points: Any, kind: str = "point", group: Any = None, **more: Any
) -> dict[str, Any]:
    """A shape of labelme 5.4; `points` are [K, 2], or a single point."""
    pairs = np.reshape(np.asarray(points, float), (-1, 2)).tolist()
    fields = {"label": label, "points": pairs, **FIELDS, "shape_type": kind, "group_id": group}
    return fields | more


def xany_shape(
    label: str, points: Any, kind: str = "point", group: Any = None, **more: Any
) -> dict[str, Any]:
    """A shape of X-AnyLabeling 2.4."""
    pairs = np.reshape(np.asarray(points, float), (-1, 2)).tolist()
    fields = {
        "kie_linking": [], "label": label, "score": None, "points": pairs, "group_id": group,
        "description": "", "difficult": False, "shape_type": kind, "flags": {}, "attributes": {},
    }  # fmt: skip
    return fields | more


def text(shapes: list[Any], image: str = "a.jpg", **more: Any) -> str:
    """A file of labelme 5.4 for an image of the size of `writers.write_image`."""
    content = {
        "version": "5.4.1", "flags": {}, "shapes": shapes, "imagePath": image, "imageData": None,
        "imageHeight": 408, "imageWidth": 408,
    }  # fmt: skip
    return json.dumps(content | more, ensure_ascii=False, indent=2)


def write(path: Path, shapes: list[Any], image: str = "a.jpg", **more: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text(shapes, image, **more), encoding="utf-8", errors="surrogatepass")
    return path
