"""Native layouts of annotation tools that run in a browser, for the fuzz tests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from efld_tf.annotations.format import Note
from efld_tf.annotations.record import FaceRecord
from efld_tf.annotations.tools import cvat, label_studio
from efld_tf.errors import DataError
from efld_tf.landmarks import schemas
from tests.annotations.layouts import Layout
from tests.annotations.writers import some_points

FIVE = schemas.get("mtfl5").names


def _cvat_bytes(data: Path) -> bytes:
    points = some_points(5)
    skeleton = "".join(
        f'<points label="{name}" outside="0" occluded="0" points="{x:.2f},{y:.2f}"></points>\n'
        for name, (x, y) in zip(FIVE, points, strict=True))
    together = ";".join(f"{x:.2f},{y:.2f}" for x, y in points)
    box = 'outside="0" occluded="0" xtl="1.00" ytl="2.00" xbr="30.00" ybr="40.00"'
    return f"""<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version>
<meta><task><id>4</id><size>9</size><mode>interpolation</mode><start_frame>0</start_frame>
<frame_filter>step=2</frame_filter><original_size><width>408</width><height>408</height>
</original_size><source>clip.avi</source></task></meta>
<image id="0" name="a.jpg" width="408" height="408">
<skeleton label="face" z_order="0">
{skeleton}<attribute name="age">7</attribute></skeleton>
<points label="face" occluded="1" points="{together}" group_id="3"></points>
<box label="face" {box} rotation="10.00"></box>
</image>
<track id="0" label="face" group_id="1">
<points frame="0" keyframe="1" outside="0" occluded="0" points="{together}"></points>
<points frame="2" keyframe="0" outside="0" occluded="0" points="{together}"></points>
<points frame="4" keyframe="1" outside="1" occluded="0" points="{together}"></points>
<box frame="0" keyframe="1" {box}></box>
</track></annotations>
""".encode()


def _read_cvat(path: Path) -> Iterator[FaceRecord | DataError | Note]:
    return cvat.read(path, schema="mtfl5")


def _label_studio_results() -> list[dict[str, Any]]:
    common = {"original_width": 408, "original_height": 408, "image_rotation": 0}
    points = [
        {"id": f"p{name}", "type": "keypointlabels", "from_name": "points", "parentID": "box",
         "value": {"x": float(x) / 4.08, "y": float(y) / 4.08, "width": 0.2,
                   "keypointlabels": [name]}} | common
        for name, (x, y) in zip(FIVE, some_points(5), strict=True)]
    box = {"x": 1, "y": 2, "width": 30, "height": 40, "rotation": 5, "rectanglelabels": ["face"]}
    return [*points, {"id": "box", "type": "rectanglelabels", "from_name": "boxes",
                      "value": box} | common]


def _label_studio_bytes(data: Path) -> bytes:
    annotation = {"id": 3, "result": _label_studio_results(), "was_cancelled": False,
                  "ground_truth": False, "updated_at": "2025-01-30T02:40:43.893578Z"}
    task = {"id": 1, "data": {"image": "/data/upload/3/1a2b3c4d-a.jpg"}, "predictions": [],
            "annotations": [annotation]}
    return json.dumps([task]).encode()


def _label_studio_minimal(data: Path) -> bytes:
    record: dict[str, Any] = {"image": "a.jpg", "id": 1}
    for result in _label_studio_results():
        sizes = {key: result[key] for key in ("original_width", "original_height")}
        record.setdefault(result["from_name"], []).append(result["value"] | sizes)
    return json.dumps([record | {"annotator": 1, "annotation_id": 3}]).encode()


def _label_studio_tree(data: Path) -> bytes:
    """Two images of a task; on one the points of a part below a region below the face's."""
    results = _label_studio_results()
    part = {**results[-1], "id": "eyes", "parentID": "box"}
    for result in (first := [*results[2:], part, *results[:2]])[-2:]:
        result["parentID"] = "eyes"
    second = [{**result, "id": f"second {result['id']}", "parentID": "", "to_name": "right"}
              for result in _label_studio_results()[:-1]]
    task = {"id": 1, "data": {"image": "a.jpg", "right": "a.jpg"}, "annotations": [
        {"id": 3, "result": [*({**result, "to_name": "image"} for result in first), *second]}]}
    return json.dumps([task]).encode()


def _read_label_studio(path: Path) -> Iterator[FaceRecord | DataError | Note]:
    return label_studio.read(path, schema="mtfl5")


LAYOUTS: dict[str, Layout] = {
    "cvat": Layout(_read_cvat, "a.xml", "a.xml", ("a.jpg", "clip.avi"), _cvat_bytes),
    "label_studio": Layout(
        _read_label_studio, "a.json", "a.json", ("a.jpg",), _label_studio_bytes
    ),
    "label_studio_tree": Layout(
        _read_label_studio, "a.json", "a.json", ("a.jpg",), _label_studio_tree
    ),
    "label_studio_minimal": Layout(
        _read_label_studio, "a.json", "a.json", ("a.jpg",), _label_studio_minimal
    ),
}  # fmt: skip
