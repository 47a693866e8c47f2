"""Writes synthetic faces as an ordinary data set of images and annotation files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from efld_tf import files, folders
from efld_tf.annotations import pts
from efld_tf.annotations.synthetic import rare
from efld_tf.annotations.synthetic.landmarks import FORMATS
from efld_tf.annotations.synthetic.render import (
    GENERATOR_VERSION,
    MAX_SIZE,
    MIN_SIZE,
    MOST_YAW,
    SyntheticFace,
    render_face,
)
from efld_tf.annotations.writing import lines
from efld_tf.annotations.writing.annotated import AnnotatedFace, AnnotatedImage
from efld_tf.errors import DataError, EfldError
from efld_tf.landmarks import pose
from efld_tf.parallel import bounded_map
from efld_tf.progress import Progress

# Names of files have six digits.
MAX_COUNT = 1_000_000
# The file of all faces, for schemas whose points are not in a file beside each image.
WFLW_LIST, JSON_LIST = "list_98pt_rect_attr.txt", "faces.jsonl"
LISTS = {"wflw98": WFLW_LIST, "ibug68_3d": JSON_LIST}
DESCRIPTION = "dataset.json"
MOST_BYTES = 1 << 20  # of that file
_JPEG_QUALITY = 95
_YAW = 1  # the stream of random numbers for it
_WINDOW = 8  # faces in progress for each worker


def write_dataset(
    folder: Path, schema: str, count: int, seed: int, size: int = 256,
    workers: int | None = None, progress: bool = True, *, yaw: float | None = None,
    odds: Mapping[str, float] | None = None,
) -> None:
    """Renders `count` faces into a folder that the readers of real data sets can read.

    `ibug68` and `ibug51` give `NAME.jpg` and `NAME.pts`; `wflw98` gives images and a list file in
    WFLW's own format; `ibug68_3d` images and JSON lines with depths and what the head itself hides.
    The folder appears only when it is complete. If it is there already and was written with the
    same arguments, nothing is done. The files do not depend on `workers`.

    Args:
      folder: the folder to create; its parent is created too.
      schema: one of `FORMATS`.
      count: number of faces, 1 to `MAX_COUNT`.
      seed: the seed of the data set, not negative; its faces 0..count-1 are written.
      size: side of the images in pixels, 32 to 1024.
      workers: number of processes, by default one a processor; 1 renders in this process.
      progress: whether to show how far it is.
      yaw: the furthest turn of the heads in degrees, up to 90, of which all are equally frequent;
        None for those of `render_face`, mostly moderate ones.
      odds: how probable each of `rare.KINDS` is, beside what there is without.

    Raises:
      EfldError: an argument is out of its range, or the folder holds something else.
    """  # fmt: skip
    folder = Path(folder)
    _check(schema, count, seed, size, yaw, workers)
    odds = {kind: float(often) for kind, often in (odds or {}).items()}
    rare.check(odds)
    description = {
        "generator": "efld_tf.annotations.synthetic",
        "version": GENERATOR_VERSION,
        "schema": schema,
        "count": count,
        "seed": seed,
        "size": size,
        **({} if yaw is None else {"yaw": yaw}),
        **({"rare": odds} if odds else {}),
    }
    if _is_written(folder, description):
        return
    with folders.new_folder(folder) as temporary:
        write = partial(_write_face, temporary, schema, seed, size, yaw, odds)
        faces = _run(write, count, workers or os.cpu_count() or 1)
        with Progress(f"{schema} faces", count, "face", shown=progress) as bar:
            listed = "".join(bar.over(faces))
        if schema in LISTS:
            files.write_text(temporary / LISTS[schema], listed)
        files.write_json(temporary / DESCRIPTION, description)


def wflw_line(face: SyntheticFace, name: str) -> str:
    """A face as a line of a WFLW list; the box is the tight one in whole pixels."""
    points = face.points["wflw98"].astype(np.float64)
    coordinates = " ".join(f"{value:.6f}" for value in points.ravel())
    box = [*np.floor(points.min(0)).astype(int), *np.ceil(points.max(0)).astype(int)]
    flags = [int(flag) for flag in _wflw_flags(face.attributes)]
    return f"{coordinates} {' '.join(map(str, [*box, *flags]))} {name}\n"


def json_line(face: SyntheticFace, name: str) -> str:
    """A face of `ibug68_3d` as a JSON line."""
    # As in 300W-LP, where a positive yaw turns the nose to the image's left.
    angles = {angle: round(sign * face.attributes[angle], 1)
              for angle, sign in (("yaw", -1), ("pitch", 1), ("roll", 1))}
    annotated = AnnotatedFace(
        face.points["ibug68_3d"], visible=face.visible, depth=face.depth, attributes=angles)
    return lines.json_line(AnnotatedImage(name, name, [annotated]), annotated) + "\n"


def _wflw_flags(attributes: dict[str, float]) -> tuple[bool, ...]:
    """Whether pose, expression, illumination, make-up, occlusion and blur are each unusual."""
    yaw, pitch, roll = (abs(attributes[name]) for name in pose.ANGLES)
    return (
        yaw > 25 or pitch > 15 or roll > 20,
        attributes["mouth_opening"] > 0.3 or abs(attributes["smile"]) > 0.8,
        attributes["light_contrast"] > 0.6,
        attributes["make_up"] > 0,
        attributes["occluded"] > 0,
        attributes["blur"] > 1.2,
    )


def _check(
    schema: str, count: int, seed: int, size: int, yaw: float | None, workers: int | None
) -> None:
    if schema not in FORMATS:
        raise EfldError(f"synthetic faces: schema must be one of {FORMATS}, got {schema!r}")
    if not 1 <= count <= MAX_COUNT:
        raise EfldError(f"synthetic faces: count must be 1 to {MAX_COUNT}, got {count}")
    if seed < 0:
        raise EfldError(f"synthetic faces: seed must not be negative, got {seed}")
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise EfldError(f"synthetic faces: size must be {MIN_SIZE} to {MAX_SIZE}, got {size}")
    if yaw is not None and not 0 <= yaw <= MOST_YAW:
        raise EfldError(f"synthetic faces: yaw must be 0 to {MOST_YAW}, got {yaw}")
    if workers is not None and workers < 1:
        raise EfldError(f"synthetic faces: workers must be at least 1, got {workers}")


def _is_written(folder: Path, description: dict[str, Any]) -> bool:
    """Whether `folder` is the data set already.

    Raises:
      EfldError: the folder is something else.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    try:
        existing = json.loads(files.read_bytes(folder / DESCRIPTION, MOST_BYTES))
        different = [key for key in {**existing, **description}
                     if existing.get(key) != description.get(key)]
    except (DataError, ValueError, AttributeError, RecursionError) as error:
        raise EfldError(
            f"{folder} exists and is not a synthetic data set (no readable {DESCRIPTION}); "
            "choose another folder or delete it"
        ) from error
    if different:
        changes = ", ".join(
            f"{key} {existing.get(key)} not {description.get(key)}" for key in different)
        raise EfldError(f"{folder} was written with {changes}; delete {folder} to write it anew")
    return True


def _run(write: partial[str], count: int, workers: int) -> Iterator[str]:
    """Yields `write(0)`, `write(1)`, ... in order."""
    if workers == 1 or count == 1:
        yield from map(write, range(count))
    else:
        yield from bounded_map(partial(_in_one_thread, write), range(count), workers,
                               workers * _WINDOW)


def _in_one_thread(write: partial[str], index: int) -> str:
    """`write(index)` without threads of OpenCV, since there is a process for each core."""
    cv2.setNumThreads(1)
    return write(index)


def _write_face(
    folder: Path, schema: str, seed: int, size: int, yaw: float | None,
    odds: Mapping[str, float], index: int,
) -> str:
    """Writes one face's files; returns its line of a list file, or nothing if there is none."""
    if yaw is not None:
        yaw = float(np.random.default_rng([seed, index, _YAW]).uniform(-yaw, yaw))
    face = render_face(seed, index, size, yaw, odds)
    name = f"face{index:06d}"
    quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(face.image, cv2.COLOR_RGB2BGR), quality)
    (folder / f"{name}.jpg").write_bytes(encoded.tobytes())
    if schema not in LISTS:
        (folder / f"{name}.pts").write_text(pts.text(face.points[schema]), encoding="utf-8")
        return ""
    return (wflw_line if schema == "wflw98" else json_line)(face, f"{name}.jpg")
