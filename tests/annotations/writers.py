"""Writes small data sets in their native layouts: the other half of each reader."""

from __future__ import annotations

import io
import json
from pathlib import Path

import cv2
import h5py
import numpy as np


def write_image(path: Path) -> Path:
    """A grey image in which `some_points` have room."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((408, 408, 3), 128, np.uint8))
    return path


def json_lines(path: Path, *faces: dict[str, object]) -> str:
    """A source of JSON lines."""
    path.write_text("\n".join(json.dumps(face) for face in faces))
    return f"json:{path}?schema=ibug68"


def some_points(count: int, seed: int = 0) -> np.ndarray:
    """[count, 2] float32 that decimal text with 6 digits keeps exactly enough."""
    points = np.random.default_rng(seed).uniform(-5, 400, (count, 2))
    return points.round(3).astype(np.float32)


def numbers(values: np.ndarray, separator: str = " ") -> str:
    return separator.join(f"{value:.6f}" for value in np.ravel(values).astype(float))


def ibug_text(points: np.ndarray) -> str:
    rows = "".join(f"{x + 1:.6f} {y + 1:.6f}\n" for x, y in points.astype(float))
    return f"version: 1\nn_points:  {len(points)}\n{{\n{rows}}}\n"


def asf_text(
    shares: np.ndarray, image: str, written: str = "Wednesday March 07 - 2001 [11:00]"
) -> str:
    """An AAM shape file as AAM-API writes it, of one closed path."""
    count = len(shares)
    rows = "".join(
        f"0 \t0 \t{x:.8f}\t {y:.8f}\t\t{i} \t{(i - 1) % count}\t{(i + 1) % count}\n"
        for i, (x, y) in enumerate(shares.astype(float)))
    bar = "#" * 70
    fields = "<path#> <type> <x rel.> <y rel.> <point#> <connects from> <connects to>"
    return (
        f"{bar}\n#\n#    AAM Shape File  -  written: {written}\n#\n{bar}\n\n"
        f"#\n# number of model points\n#\n{count}\n\n#\n# model points\n#\n# format: {fields}\n#\n"
        f"{rows}\n#\n# host image\n#\n{image}\n"
    )


def csv_text(rows: list[tuple[str, np.ndarray]]) -> str:
    header = "," + ",".join(str(i) for i in range(136))
    lines = [header, *(f"{name},{numbers(points, ',')}" for name, points in rows)]
    return "".join(line + "\r\n" for line in lines)


def scut_bytes(points: np.ndarray) -> bytes:
    return np.int32(len(points)).tobytes() + points.astype("<f4").tobytes()


def mtfl_line(name: str, box: tuple[float, float, float, float], points: np.ndarray) -> str:
    x0, y0, x1, y1 = box
    return f"{name} {x0:g} {x1:g} {y0:g} {y1:g} {numbers(points)}\n"


def retinaface_line(
    box: tuple[int, int, int, int], points: np.ndarray, flags: tuple[float, ...] = (0,) * 5,
    score: float = 0.89,
) -> str:  # fmt: skip
    """A face of RetinaFace's label.txt; NaN for a missing point."""
    rows = [f"{x:.3f} {y:.3f} {flag:.1f}" if x == x else "-1.0 -1.0 -1.0"
            for (x, y), flag in zip(points.astype(float), flags, strict=True)]
    return " ".join([*map(str, box), *rows, f"{score:g}"]) + "\n"


def yolo_line(
    kind: int, points: np.ndarray, box: tuple[float, ...] | np.ndarray,
    flags: list[int] | np.ndarray | int | None = 2,
) -> str:  # fmt: skip
    """A line of a label of Ultralytics: points [N, 2] and box x0, y0, x1, y1 as shares."""
    x0, y0, x1, y1 = (float(value) for value in box)
    values = [(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0]
    words = [str(kind), *(f"{value:.6f}" for value in values)]
    shown = np.broadcast_to([0] if flags is None else flags, len(points))
    for (x, y), flag in zip(points.astype(float), shown, strict=True):
        words += [f"{x:.6f}", f"{y:.6f}", *([] if flags is None else [str(flag)])]
    return " ".join(words) + "\n"


def wflw_line(
    name: str,
    points: np.ndarray,
    box: tuple[float, float, float, float] = (10, 20, 110, 140),
    attributes: str = "0 1 0 0 1 0",
) -> str:
    return f"{numbers(points)} {' '.join(f'{v:g}' for v in box)} {attributes} {name}\n"


def mat_bytes(compress: bool = True, **arrays: object) -> bytes:
    """A MATLAB file of version 5 with those variables."""
    from scipy.io import savemat

    file = io.BytesIO()
    savemat(file, arrays, do_compression=compress)
    return file.getvalue()


def write_cofw(path: Path, images: list[np.ndarray], faces: np.ndarray, boxes: np.ndarray) -> Path:
    """COFW's training or test file, by its name, as MATLAB 7.3 writes it.

    Args:
      images: [H, W, 3] or [H, W] uint8.
      faces: [F, 87] x, y, occluded, counted from 1.
      boxes: [F, 4] x, y, width, height.
    """
    suffix = "Tr" if "train" in path.name else "T"
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", userblock_size=512) as file:
        cells = file.create_group("#refs#")
        references = [
            cells.create_dataset(f"i{index}", data=image.T, compression="gzip").ref
            for index, image in enumerate(images)
        ]
        dataset = file.create_dataset(f"Is{suffix}", (1, len(images)), dtype=h5py.ref_dtype)
        dataset[0] = references
        file.create_dataset(f"phis{suffix}", data=faces.T, compression="gzip")
        file.create_dataset(f"bboxes{suffix}", data=boxes.T)
    return path


def dlib_box(
    points: np.ndarray, *, left: int = 1, top: int = 2, width: int = 30, height: int = 40,
    **attributes: str,
) -> str:
    """A `box` element of dlib's XML with whole coordinates, a line for each part."""
    more = "".join(f" {name}='{value}'" for name, value in attributes.items())
    place = f"top='{top}' left='{left}' width='{width}' height='{height}'{more}"
    parts = (f"<part name='{i:02d}' x='{x:.0f}' y='{y:.0f}'/>" for i, (x, y) in enumerate(points))
    return "\n".join([f"<box {place}>", *parts, "</box>"])


def dlib_text(images: list[tuple[str, list[str]]]) -> str:
    """dlib's XML of those image paths and boxes; the first image stands in line 4."""
    lines = ["<?xml version='1.0' encoding='ISO-8859-1'?>", "<dataset>", "<images>"]
    for name, boxes in images:
        lines += [f"<image file='{name}'>", *boxes, "</image>"]
    return "\n".join([*lines, "</images>", "</dataset>", ""])


def helen_text(name: str, points: np.ndarray) -> str:
    """A file of HELEN's own 194 points."""
    return f"{name}\n" + "".join(f"{x:.6f} , {y:.6f}\n" for x, y in points.astype(float))


def muct_header() -> str:
    return ",".join(["name", "tag", *(f"{axis}{i:02d}" for i in range(76) for axis in "xy")])


def muct_line(name: str, points: np.ndarray) -> str:
    """A line of MUCT's table, whose coordinates are whole."""
    return f"{name},0000," + ",".join(f"{value:.0f}" for value in points.ravel())


def kaggle_line(points: np.ndarray, image: np.ndarray) -> str:
    """A line of Kaggle's table: [15, 2] (NaN becomes an empty cell), [96, 96] uint8."""
    cells = ["" if np.isnan(value) else f"{value:.10f}" for value in points.ravel()]
    return ",".join([*cells, " ".join(map(str, image.ravel()))])


def kaggle_text(*lines: str) -> str:
    header = (
        "left_eye_center_x,left_eye_center_y,right_eye_center_x,right_eye_center_y,"
        "left_eye_inner_corner_x,left_eye_inner_corner_y,left_eye_outer_corner_x,"
        "left_eye_outer_corner_y,right_eye_inner_corner_x,right_eye_inner_corner_y,"
        "right_eye_outer_corner_x,right_eye_outer_corner_y,left_eyebrow_inner_end_x,"
        "left_eyebrow_inner_end_y,left_eyebrow_outer_end_x,left_eyebrow_outer_end_y,"
        "right_eyebrow_inner_end_x,right_eyebrow_inner_end_y,right_eyebrow_outer_end_x,"
        "right_eyebrow_outer_end_y,nose_tip_x,nose_tip_y,mouth_left_corner_x,"
        "mouth_left_corner_y,mouth_right_corner_x,mouth_right_corner_y,mouth_center_top_lip_x,"
        "mouth_center_top_lip_y,mouth_center_bottom_lip_x,mouth_center_bottom_lip_y,Image"
    )
    return "\n".join([header, *lines, ""])


def celeba_text(rows: list[tuple[str, np.ndarray]], separator: str = " ") -> str:
    """CelebA's list of landmarks; with commas as Kaggle distributes it."""
    places = ("lefteye", "righteye", "nose", "leftmouth", "rightmouth")
    header = [f"{place}_{axis}" for place in places for axis in "xy"]
    lines = [separator.join([name, *(f"{v:.0f}" for v in xy.ravel())]) for name, xy in rows]
    head = [f"{len(rows)}", " ".join(header)]
    if separator == ",":
        head = [",".join(["image_id", *header])]
    return "\n".join([*head, *lines, ""])
