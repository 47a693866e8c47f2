"""Native layouts of the text formats, for the fuzz tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from efld_tf.annotations import face_synthetics, ivsfd, lapa, menpo, mtfl, w300, webmorph
from efld_tf.annotations.record import FaceRecord
from efld_tf.errors import DataError
from tests.annotations import writers
from tests.annotations.layouts import Layout
from tests.annotations.real import coco_faces


def _helen(data: Path) -> bytes:
    return (data / "ibug/helen/testset/296961468_1.pts").read_bytes()


def _lapa_bytes(data: Path) -> bytes:
    _, points, _ = next(coco_faces(data, "lapa"))
    return ("106\n" + "".join(writers.numbers(point) + "\n" for point in points)).encode()


def _read_challenging(path: Path) -> Iterator[FaceRecord | DataError]:
    return w300.read(path, split="challenging")


LAYOUTS: dict[str, Layout] = {
    "300w": Layout(_read_challenging, "ibug/a.pts", "", ("ibug/a.jpg",), _helen),
    "menpo": Layout(menpo.read, "a.pts", "", ("a.jpg",), _helen),
    "ivsfd": Layout(
        ivsfd.read, "a.pts", "", ("a.jpg",),
        lambda data: writers.ibug_text(writers.some_points(51)).encode(),
    ),
    "lapa": Layout(
        lapa.read, "train/landmarks/1_0.txt", "", ("train/images/1_0.jpg",), _lapa_bytes
    ),
    "face_synthetics": Layout(
        face_synthetics.read, "000000_ldmks.txt", "", ("000000.jpg",),
        lambda data: (data / "face_synthetics/000000_ldmks.txt").read_bytes(),
    ),
    "webmorph": Layout(
        webmorph.read, "a.tem", "", ("a.jpg",),
        lambda data: (data / "webmorph/3dsk_female_agata.tem").read_bytes(),
    ),
    "mtfl_training": Layout(
        mtfl.read, "training.txt", "training.txt", ("lfw_5590/Aaron_Eckhart_0001.jpg",),
        lambda data: (
            rb"lfw_5590\Aaron_Eckhart_0001.jpg 107.25 146.75 125.25 114.75 144.75 "
            rb"108.75 111.25 129.25 159.75 158.75 1 2 2 3" + b"\n"
        ),
    ),
}  # fmt: skip
