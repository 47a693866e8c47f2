"""What is in a packed source: numbers and pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import matplotlib
import numpy as np

from efld_tf.data import pack, shards
from efld_tf.files import atomic_path
from efld_tf.landmarks import drawing, schemas

matplotlib.use("agg")
import matplotlib.pyplot as plt

TILE = 192


@dataclass(frozen=True, eq=False)
class SplitStats:
    """The faces of one split.

    Attributes:
      faces: how many.
      sides: [F] sides of the model's crops in pixels of the photos.
      roll: [F] angle of the line between the eyes, degrees, positive clockwise.
      brightness: [F] mean pixel value of the stored crops, 0 to 255.
      points: [F, N, 2] in the unit square of the model's crop.
    """

    faces: int
    sides: np.ndarray
    roll: np.ndarray
    brightness: np.ndarray
    points: np.ndarray


def measure(folder: Path, manifest: pack.Manifest, split: str) -> SplitStats:
    """Reads every face of a split and measures it."""
    schema, margin = schemas.get(manifest.schema), manifest.pack.margin
    sides, brightness, points = [], [], []
    for face in shards.load(folder, manifest, split):
        sides.append(face["side"] / margin)
        brightness.append(_decode(face["jpeg"]).mean())
        points.append((face["points"] - 0.5) * margin + 0.5)
    shape = np.array(points, np.float32).reshape(-1, schema.num_points, 2)
    eyes = schema.anchor_points(shape)[:, :2]
    across = eyes[:, 1] - eyes[:, 0]
    return SplitStats(
        faces=len(sides),
        sides=np.array(sides),
        roll=np.degrees(np.arctan2(across[:, 1], across[:, 0])),
        brightness=np.array(brightness),
        points=shape,
    )


def draw(path: Path, manifest: pack.Manifest, stats: SplitStats) -> None:
    """Draws mean shape and spread, face sizes, roll and brightness of a split as PNG."""
    schema = schemas.get(manifest.schema)
    figure, axes = plt.subplots(2, 2, figsize=(9, 8), dpi=110)
    cloud = stats.points[:: max(1, stats.faces // 300)].reshape(-1, 2)
    axes[0, 0].scatter(*cloud.T, s=1, alpha=0.15, color="grey")
    mean = np.nanmean(stats.points, axis=0)
    for part in schema.parts:
        order = [*part.points, part.points[0]] if part.closed else list(part.points)
        axes[0, 0].plot(*mean[order].T, "-o", markersize=2)
    axes[0, 0].set(title="points in the crop, and their mean", xlim=(0, 1), ylim=(1, 0), aspect=1)
    for place, values, title in (
        (axes[0, 1], stats.sides, "crop side in the photo, px"),
        (axes[1, 0], stats.roll, "roll, degrees"),
        (axes[1, 1], stats.brightness, "mean brightness"),
    ):
        place.hist(values, bins=40)
        place.set(title=title, ylabel="faces")
    figure.suptitle(f"{manifest.source}: {stats.faces} faces, {schema.title}")
    figure.tight_layout()
    with atomic_path(path) as temporary:
        figure.savefig(temporary)
    plt.close(figure)


def draw_faces(path: Path, folder: Path, manifest: pack.Manifest, split: str, count: int) -> None:
    """Draws faces spread evenly over a split, with their annotation, as PNG."""
    schema = schemas.get(manifest.schema)
    total = manifest.faces(split)
    wanted = set(np.linspace(0, total - 1, min(count, total)).astype(int).tolist())
    tiles, captions = [], []
    for index, face in enumerate(shards.load(folder, manifest, split)):
        if index in wanted:
            image = cv2.resize(_decode(face["jpeg"]), (TILE, TILE), interpolation=cv2.INTER_AREA)
            points = face["points"] * TILE - 0.5
            tiles.append(drawing.draw_landmarks(image, points, schema))
            captions.append(face["name"].decode())
    with atomic_path(path) as temporary:
        cv2.imwrite(str(temporary), drawing.contact_sheet(tiles, 6, TILE, captions)[..., ::-1])


def _decode(jpeg: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
