"""Native layouts of YOLO, RetinaFace, COCO-WholeBody and AAM-API, for the fuzz tests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from efld_tf.annotations import asf, coco_wholebody, retinaface
from efld_tf.annotations.format import Note
from efld_tf.annotations.record import FaceRecord
from efld_tf.annotations.tools import yolo
from efld_tf.errors import DataError
from tests.annotations import writers
from tests.annotations.layouts import Layout
from tests.annotations.real import coco_faces

DATA = f"""\
path: /content/faces
train: train.txt
val: [images/train, train.txt]
kpt_shape: [68, 3]
flip_idx: [0, 1]
names:
  0: face
  1: hand
kpt_names:
  0: {[*range(68)]}
"""


@dataclass(frozen=True)
class _DataSet(Layout):
    """A data.yaml, a list of images and an image with a label; one of the files has the content."""

    def build(self, root: Path, content: bytes) -> Path:
        points = np.random.default_rng(0).uniform(0.2, 0.8, (68, 2))
        for name, made in (("labels/train/a.txt", _label_bytes(points)),
                           ("data.yaml", DATA.encode()), ("train.txt", b"images/train/a.jpg\n")):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(made)
        return super().build(root, content)


def _real_shares(data: Path) -> np.ndarray:
    _, points, _ = next(coco_faces(data, "300w"))
    return points / 1000


def _label_bytes(shares: np.ndarray) -> bytes:
    flags = np.arange(68) % 3
    return (writers.yolo_line(0, shares, (0.1, 0.1, 0.9, 0.9), flags) * 2).encode()


def _retinaface_bytes(data: Path) -> bytes:
    line = writers.retinaface_line((1, 2, 30, 40), writers.some_points(5), (0, 1, 0, 0, 0))
    return f"# 0--Parade/a.jpg\n{line}{line}1 2 3 4\n".encode()


def _wholebody_bytes(data: Path) -> bytes:
    _, points, _ = next(coco_faces(data, "300w"))
    face = {"id": 1, "image_id": 3, "face_valid": True, "face_box": [1, 2, 30, 40],
            "face_kpts": np.column_stack([points, np.ones(68)]).ravel().tolist()}
    images = [{"id": 3, "file_name": "a.jpg", "width": 640, "height": 480}]
    return json.dumps({"images": images, "annotations": [face, face]}).encode()


def _read_yolo(path: Path) -> Iterator[FaceRecord | DataError | Note]:
    return yolo.read(path, schema="ibug68")


def _read_asf(path: Path) -> Iterator[FaceRecord | DataError]:
    return asf.read(path, schema="ibug68")


LAYOUTS: dict[str, Layout] = {
    "yolo": Layout(
        _read_yolo, "labels/a.txt", "", ("images/a.jpg",),
        lambda data: _label_bytes(_real_shares(data)),
    ),
    "yolo_data": _DataSet(
        _read_yolo, "data.yaml", "data.yaml", ("images/train/a.jpg",), lambda data: DATA.encode()
    ),
    "yolo_data_flow": _DataSet(  # JSON is YAML, and has its values replaced one by one
        _read_yolo, "data.yaml", "data.yaml", ("images/train/a.jpg",),
        lambda data: json.dumps(yaml.safe_load(DATA)).encode(),
    ),
    "yolo_list": _DataSet(
        _read_yolo, "train.txt", "", ("images/train/a.jpg", "images/val/b.jpg"),
        lambda data: b"./images/train/a.jpg\n/content/faces/images/val/b.jpg\n",
    ),
    "retinaface": Layout(
        retinaface.read, "label.txt", "label.txt", ("images/0--Parade/a.jpg",), _retinaface_bytes
    ),
    "coco_wholebody": Layout(
        coco_wholebody.read, "a.json", "a.json", ("a.jpg",), _wholebody_bytes
    ),
    "asf": Layout(
        _read_asf, "a.asf", "", ("a.jpg",),
        lambda data: writers.asf_text(_real_shares(data), "a.jpg").encode(),
    ),
}  # fmt: skip
