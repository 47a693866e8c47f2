"""Files as Label Studio exports them, with five points, and what the reader makes of them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from efld_tf.annotations.format import Note
from efld_tf.annotations.record import FaceRecord
from efld_tf.annotations.tools import label_studio
from efld_tf.errors import DataError
from efld_tf.landmarks import schemas
from tests.annotations.writers import write_image

FIVE = schemas.get("mtfl5").names
POINTS = np.array([[120.5, 100.25], [180, 101], [150.75, 140], [130, 170], [170, 172.5]])
SIZE = (408, 408)
PERCENT = 100 / np.array(SIZE)
NUMBERS = itertools.count(0xA1B2C3D4E)


def result(
    kind: str, value: Mapping[str, Any], label: str | None, *, id: str = "", parent: str = "",
    control: str = "", size: tuple[int, int] | None = SIZE, turned: int = 0, **more: Any,
) -> dict[str, Any]:
    """A region as Label Studio 1.18 exports it."""
    labels = {} if label is None else {kind: [label]}
    result = {
        "id": id or f"{next(NUMBERS):x}", "type": kind,
        "value": {**value, **labels}, "origin": "manual", "to_name": "image",
        "from_name": control or ("points" if kind.startswith("keypoint") else "boxes"),
        "image_rotation": turned,
    }
    if parent:
        result["parentID"] = parent
    if size is not None:
        result |= {"original_width": size[0], "original_height": size[1]}
    return result | more


def point(at: np.ndarray, label: str | None, kind: str = "keypointlabels", **more: Any) -> Any:
    x, y = np.asarray(at) * 100 / np.array(more.get("size") or SIZE)
    return result(kind, {"x": x, "y": y, "width": 0.2285263987391647}, label, **more)


def points(
    points: np.ndarray = POINTS, names: Sequence[str] = FIVE, **more: Any
) -> list[dict[str, Any]]:
    return [point(at, name, **more) for at, name in zip(points, names, strict=True)]


def box(x0: float, y0: float, x1: float, y1: float, label: str = "face", **more: Any) -> Any:
    rotation = more.pop("rotation", 0)
    x, y, width, height = np.array([x0, y0, x1 - x0, y1 - y0]) * np.tile(PERCENT, 2)
    value = {"x": x, "y": y, "width": width, "height": height, "rotation": rotation}
    return result("rectanglelabels", value, label, **more)


def annotation(*results: Any, id: int = 22, **fields: Any) -> dict[str, Any]:
    return {
        "id": id, "completed_by": 1, "result": list(results), "was_cancelled": False,
        "ground_truth": False, "created_at": "2025-01-30T02:40:43.893565Z",
        "updated_at": "2025-01-30T02:40:43.893578Z",
        "draft_created_at": "2025-01-30T02:40:42.917892Z", "lead_time": 8.65, "prediction": {},
        "result_count": 0, "unique_id": "3bc9da85-967f-47a1-bfa8-410206e54cf9", "import_id": None,
        "last_action": None, "bulk_created": False, "task": 87, "project": 29, "updated_by": 1,
        "parent_prediction": None, "parent_annotation": None, "last_created_by": None,
    } | fields  # fmt: skip


def task(*annotations: Any, id: int = 87, image: Any = "a.jpg", **fields: Any) -> dict[str, Any]:
    return {
        "id": id, "annotations": list(annotations), "file_upload": "a.jpg", "drafts": [],
        "predictions": [], "data": {"image": image}, "meta": {},
        "created_at": "2025-01-30T02:40:33.867975Z", "updated_at": "2025-01-30T02:40:43.923985Z",
        "inner_id": 1, "total_annotations": 1, "cancelled_annotations": 0, "total_predictions": 0,
        "comment_count": 0, "unresolved_comment_count": 0, "last_comment_updated_at": None,
        "project": 29, "updated_by": 1, "comment_authors": [],
    } | fields  # fmt: skip


def minimal(*results: Any, id: int = 87, image: str = "a.jpg", annotation: Any = 22) -> Any:
    """A record of JSON-MIN, as `convert_to_json_min` makes it of results."""
    record: dict[str, Any] = {"image": image, "id": id}
    for result in results:
        sizes = {key: result[key] for key in ("original_width", "original_height")
                 if key in result}
        record.setdefault(result["from_name"], []).append(result["value"] | sizes)
    return record | {
        "annotator": 1, "annotation_id": annotation, "created_at": "2025-01-30T02:40:43.893565Z",
        "updated_at": "2025-01-30T02:40:43.893578Z", "lead_time": 8.65,
    }


def write(folder: Path, *tasks: Any, files: Sequence[str] = ("a.jpg", "sub/b.jpg")) -> Path:
    for name in files:
        write_image(folder / name)
    path = folder / "project-1-at-2025-01-30.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(list(tasks)))
    return path


def read(path: Path, **options: str) -> tuple[list[FaceRecord], list[DataError], list[str]]:
    items = list(label_studio.read(path, **{"schema": "mtfl5", **options}))
    return ([item for item in items if isinstance(item, FaceRecord)],
            [item for item in items if isinstance(item, DataError)],
            [item.text for item in items if isinstance(item, Note)])
