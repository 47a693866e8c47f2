"""Native layouts of the formats that are tables or trees of many faces, for the fuzz tests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from efld_tf.annotations import (
    celeba,
    coco,
    dlib,
    helen194,
    json_points,
    kaggle15,
    muct76,
    table,
)
from efld_tf.annotations.record import FaceRecord
from efld_tf.errors import DataError
from tests.annotations import writers
from tests.annotations.layouts import Layout
from tests.annotations.real import coco_faces


def _coco_bytes(data: Path) -> bytes:
    content = json.loads((data / "format_samples/cofw/test_cofw.json").read_text())
    for image in content["images"][1:]:  # of images with one name none is read
        image["file_name"] = "b.jpg"
    content["images"][0]["file_name"] = "a.jpg"
    return json.dumps(content).encode()


def _first(data: Path, name: str) -> np.ndarray:
    _, points, _ = next(coco_faces(data, name))
    return points


def _csv_bytes(data: Path) -> bytes:
    header = ",".join(["image", *(f"{axis}{i}" for i in range(68) for axis in "xy")])
    return f"{header}\na.jpg,{writers.numbers(_first(data, '300w'), ',')}\n".encode()


def _json_bytes(data: Path) -> bytes:
    entry = {"image": "a.jpg", "points": _first(data, "300w").tolist(), "box": [1, 2, 3, 4]}
    return (json.dumps(entry) + "\n").encode() * 2


def _json_list_bytes(data: Path) -> bytes:
    return b"[" + _json_bytes(data).strip().replace(b"\n", b",") + b"]"


def _dlib_bytes(data: Path) -> bytes:
    box = writers.dlib_box(_first(data, "300w"))
    return writers.dlib_text([("a.jpg", [box, box])]).encode()


def _kaggle_bytes(data: Path) -> bytes:
    line = writers.kaggle_line(writers.some_points(15), np.full((96, 96), 7, np.uint8))
    return writers.kaggle_text(line).encode()


def _read_table(path: Path) -> Iterator[FaceRecord | DataError]:
    return table.read(path, schema="ibug68")


def _read_json(path: Path) -> Iterator[FaceRecord | DataError]:
    return json_points.read(path, schema="ibug68")


LAYOUTS: dict[str, Layout] = {
    "coco": Layout(coco.read, "a.json", "a.json", ("a.jpg",), _coco_bytes),
    "dlib": Layout(dlib.read, "a.xml", "a.xml", ("a.jpg",), _dlib_bytes),
    "csv": Layout(_read_table, "a.csv", "a.csv", ("a.jpg",), _csv_bytes),
    "json": Layout(_read_json, "a.jsonl", "a.jsonl", ("a.jpg",), _json_bytes),
    "json_list": Layout(_read_json, "a.json", "a.json", ("a.jpg",), _json_list_bytes),
    "helen194": Layout(
        helen194.read, "annotation/1.txt", "", ("helen_1/a_1.jpg",),
        lambda data: writers.helen_text("a_1", writers.some_points(194)).encode(),
    ),
    "muct76": Layout(
        muct76.read, "muct76-opencv.csv", "muct76-opencv.csv", ("i000qa-fn.jpg",),
        lambda data: "\n".join([
            writers.muct_header(), writers.muct_line("i000qa-fn", writers.some_points(76)), ""
        ]).encode(),
    ),
    "kaggle15": Layout(kaggle15.read, "training.csv", "training.csv", (), _kaggle_bytes),
    "celeba": Layout(
        celeba.read, "list_landmarks_align_celeba.txt", "list_landmarks_align_celeba.txt",
        ("a.jpg",),
        lambda data: writers.celeba_text([("a.jpg", writers.some_points(5))] * 2).encode(),
    ),
}  # fmt: skip
