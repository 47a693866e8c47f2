"""`efld-predict` run as people do, and what it is given."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

PROGRAM = str(Path(sys.executable).parent / "efld-predict")


def run(
    folder: Path, *arguments: object, code: int = 0, stdin: str = "", **environment: str
) -> tuple[str, str]:
    """Runs the command in `folder`; returns what it printed."""
    done = subprocess.run(
        [PROGRAM, *map(str, arguments)], cwd=folder, capture_output=True, text=True, input=stdin,
        timeout=120, check=False, env=os.environ | environment,
    )  # fmt: skip
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    return done.stdout, done.stderr


def lines(path: Path) -> list[dict]:
    """The objects of a file of JSON lines, all of which must be whole."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def film(path: Path, faces: list[np.ndarray], count: int) -> Path:
    """A video of one person who moves."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (480, 320))
    for index in range(count):
        frame = np.full((320, 480, 3), 90, np.uint8)
        x = round(100 + 60 * np.sin(index / 12))
        frame[30:286, x : x + 256] = faces[0][..., ::-1]
        writer.write(frame)
    writer.release()
    return path
