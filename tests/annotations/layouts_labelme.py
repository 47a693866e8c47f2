"""Native layouts of labelme, X-AnyLabeling and VIA, for the fuzz tests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from efld_tf.annotations.format import Note
from efld_tf.annotations.record import FaceRecord
from efld_tf.annotations.tools import labelme, via
from efld_tf.errors import DataError
from efld_tf.landmarks import schemas
from tests.annotations.layouts import Layout
from tests.annotations.real import coco_faces
from tests.annotations.tools import writers_labelme, writers_via

NAMES = schemas.get("ibug68").names


def _face(data: Path) -> tuple[np.ndarray, list[list[float]]]:
    """The points of a face, and two corners of its box."""
    _, points, box = next(coco_faces(data, "300w"))
    return points, box.reshape(2, 2).tolist()


def _labelme_bytes(data: Path) -> bytes:
    points, corners = _face(data)
    shapes = [
        writers_labelme.shape("face", points, "polygon", flags={"smiles": True}),
        writers_labelme.shape("face", corners, "rectangle"),
        writers_labelme.shape("hair", corners, "mask", mask="iVBORw0KGgo="),
    ]
    return writers_labelme.text(shapes, imageData="/9j/4AAQ").encode()


def _x_anylabeling_bytes(data: Path) -> bytes:
    points, ((x0, y0), (x1, y1)) = _face(data)
    corners = [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]
    shapes = [writers_labelme.xany_shape("face", corners, "rectangle", 0, score=0.5)]
    shapes += [writers_labelme.xany_shape(name, xy, "point", 0)
               for name, xy in zip(NAMES, points, strict=True)]
    return writers_labelme.text(shapes, version="2.4.0").encode()


def _read_labelme(path: Path) -> Iterator[FaceRecord | DataError | Note]:
    return labelme.read(path, schema="ibug68")


def _via(data: Path) -> dict[str, Any]:
    """A face in one shape, and one of single points, as VIA exports them."""
    points, ((x0, y0), (x1, y1)) = _face(data)
    box = writers_via.rect(x0, y0, x1 - x0, y1 - y0, part="face")
    singles = [writers_via.point(xy, part=name) for name, xy in zip(NAMES, points, strict=True)]
    return writers_via.images({
        "a.jpg": [writers_via.line(points, "polygon", part="face"), box, *singles],
        "http://example.org/b.jpg": [writers_via.circle(1, 2, 3)],
    })


def _via_json(data: Path) -> bytes:
    return json.dumps(_via(data)).encode()


def _via_project(data: Path) -> bytes:
    return json.dumps(writers_via.project(_via(data))).encode()


def _via_csv(data: Path) -> bytes:
    return writers_via.table(_via(data)).encode()


def _via_3(data: Path) -> bytes:
    points, ((x0, y0), (x1, y1)) = _face(data)
    regions = [([7.0, *points.ravel().tolist()], {"1": "face"}),
               ([2.0, x0, y0, x1 - x0, y1 - y0], {"1": "face", "2": "0"})]
    return json.dumps(writers_via.project_3({"a.jpg": regions})).encode()


def _read_via(path: Path) -> Iterator[FaceRecord | DataError | Note]:
    return via.read(path, schema="ibug68")


LAYOUTS: dict[str, Layout] = {
    "labelme": Layout(_read_labelme, "a.json", "", ("a.jpg",), _labelme_bytes),
    "x_anylabeling": Layout(_read_labelme, "a.json", "", ("a.jpg",), _x_anylabeling_bytes),
    "via": Layout(_read_via, "a.json", "a.json", ("a.jpg", "b.jpg"), _via_json),
    "via_project": Layout(_read_via, "a.json", "a.json", ("a.jpg", "b.jpg"), _via_project),
    "via_csv": Layout(_read_via, "a.csv", "a.csv", ("a.jpg", "b.jpg"), _via_csv),
    "via_3": Layout(_read_via, "a.json", "a.json", ("a.jpg", "b.jpg"), _via_3),
}
