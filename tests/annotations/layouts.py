"""Data sets of one annotation file in their native layouts, for the fuzz tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from efld_tf.annotations import ibug, mtfl, scut, wflw, youtube_faces
from efld_tf.annotations.format import Reader
from tests.annotations import writers


@dataclass(frozen=True)
class Layout:
    """A data set of one annotation file, in its native layout."""

    read: Reader
    file: str
    source: str
    images: tuple[str, ...]
    content: Callable[[Path], bytes]

    def build(self, root: Path, content: bytes) -> Path:
        """Writes the data set below `root`; what its reader is given."""
        for image in self.images:
            path = root / image
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        path = root / self.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return root / self.source


def _head(file: Path, lines: int) -> bytes:
    return b"".join(file.read_bytes().splitlines(keepends=True)[:lines])


def _wflw_bytes(data: Path) -> bytes:
    file = data / "format_samples" / "wflw" / "test_wflw.json"
    annotations = json.loads(file.read_text())["annotations"]
    points = [np.reshape(a["keypoints"], (98, 3))[:, :2] for a in annotations]
    return "".join(writers.wflw_line("a.jpg", xy) for xy in points).encode()


LAYOUTS = {
    "ibug": Layout(
        ibug.read, "a.pts", "", ("a.jpg",),
        lambda data: (data / "ibug/helen/testset/296961468_1.pts").read_bytes(),
    ),
    "youtube_faces": Layout(
        youtube_faces.read, "test_frames_keypoints.csv", "test_frames_keypoints.csv",
        ("test/James_Wolfensohn_00.jpg",),
        lambda data: _head(data / "youtube_faces/test_frames_keypoints.csv", 3),
    ),
    "scut": Layout(
        scut.read, "facial landmark/a.pts", "", ("Images/a.jpg",),
        lambda data: (data / "scut_fbp5500/facial landmark/AF100.pts").read_bytes(),
    ),
    "mtfl": Layout(
        mtfl.read, "list.txt", "list.txt", ("images/_-20_1421_0.jpg", "images/8780_0_0.jpg"),
        lambda data: _head(data / "net7876/testImageList.txt", 3),
    ),
    "wflw": Layout(wflw.read, "list.txt", "list.txt", ("a.jpg",), _wflw_bytes),
}  # fmt: skip
