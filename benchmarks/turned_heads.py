"""Heads up to profile: how models find their points, and how well points tell their turn.

    EFLD_DATA=/path/to/data python benchmarks/turned_heads.py [NAME=MODEL ...]

Measures models (a bundle, a run's folder, or a shipped one by its name) on three sets of faces:

- 1,786 photos of AFLW2000-3D whose shapes are known up to their scale and place, to each of which a
  model's points are aligned first; crops start from a rough box, as a detector's;
- 16 photos of it with the points themselves;
- 400 rendered faces, turned evenly up to profile.

Errors are of the inner points, and of all that the model's schema and `ibug68_3d` have in common,
divided by the size of the true box of all 68, in bins of the yaw, as AFLW2000-3D is reported. Also
compares the yaw by the true points alone and by their depths with the annotated one. Models that
models.json has are not measured again. Writes benchmarks/turned_heads/: models.json, table.md and
rendered.jpg, the first model of the command on rendered faces.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from trainings import known, remember

import efld_tf
from efld_tf import files
from efld_tf.annotations import sources
from efld_tf.annotations.images import read_photo
from efld_tf.annotations.synthetic import render_face
from efld_tf.evaluation.faces import common_points
from efld_tf.landmarks import drawing, pose, schemas
from efld_tf.landmarks.geometry import tight_box
from efld_tf.progress import Progress
from efld_tf.runtime import pictures
from efld_tf.runtime.faces import Face
from efld_tf.runtime.landmarker import FaceLandmarker, Looks

OUTPUT = Path(__file__).parent / "turned_heads"
MODELS = OUTPUT / "models.json"
HEAD, INNER = schemas.get("ibug68_3d"), "ibug51"
BINS = {"0 to 30": (0, 30), "30 to 60": (30, 60), "60 to 90": (60, 90.001)}
LOOKS = 3  # as many as detected faces get
RENDERED, SEED, SIZE, SHOWN = 400, 900, 256, 10


@dataclass(frozen=True, eq=False)
class Head:
    """A face in any pose.

    Attributes:
      image: [H, W, 3] uint8 RGB.
      box: where to look first, (x0, y0, x1, y1) in pixels.
      points, depth: [68, 2] and [68]; of an unplaced one, up to a shift and a scale.
      yaw: in degrees.
      placed: whether the points are in pixels of the image.
    """

    image: np.ndarray
    box: np.ndarray
    points: np.ndarray
    depth: np.ndarray
    yaw: float
    placed: bool = True


def shapes(data: Path) -> list[dict]:
    """The annotations of the photos with shapes; those beyond a yaw of 90 degrees are rough."""
    rows = map(json.loads, (data / "aflw2000_shapes/shapes.jsonl").read_text().splitlines())
    return [row for row in rows if abs(row["yaw_degrees"]) <= 90]


def unplaced(data: Path) -> Iterable[Head]:
    for row in shapes(data):
        image = read_photo(data / "aflw2000_shapes" / row["image"])
        yield Head(image, np.array(row["rough_box_xyxy"], float), np.array(row["shape68"], float),
                   np.array(row["shape68_z"], float), row["yaw_degrees"], placed=False)


def annotated(data: Path) -> Iterable[Head]:
    for record in sources.read(f"aflw2000:{data}/aflw2000", progress=False).records:
        assert record.depth is not None
        points, depth = record.points.astype(float), record.depth.astype(float)
        yaw = float(true_yaw(points[None], depth[None])[0])
        yield Head(read_photo(record.image), tight_box(points), points, depth, yaw)


def true_yaw(points: np.ndarray, depth: np.ndarray | None) -> np.ndarray:
    """The yaw [F] by true points [F, 68, 2], and by their depths."""
    angles = pose.estimate(points, HEAD, depth)
    assert angles is not None
    return angles[:, 0]


def rendered() -> Iterable[Head]:
    turns = np.random.default_rng(SEED).permutation(np.linspace(-90, 90, RENDERED))
    for index, turn in enumerate(turns):
        face = render_face(seed=SEED, index=index, size=SIZE, yaw=float(turn))
        points = face.points["ibug68_3d"].astype(float)
        # Positive yaw turns the nose to the left of the image here, and to the right there.
        yield Head(face.image, tight_box(points), points, face.depth.astype(float), -float(turn))


def looked_at(landmarker: FaceLandmarker, head: Head) -> Looks:
    """The model's last look at a face, as detected faces get it."""
    crops = [landmarker.crop_rule.crop(head.box)]
    for _ in range(LOOKS):
        looks = landmarker.look(head.image, crops)
        crops = looks.around
    return looks


def error(found: np.ndarray, head: Head, indices: list[int]) -> float:
    """The error of points [N, 2] at these places of a face, in percent of its box's size."""
    truth = head.points[indices]
    if not head.placed:  # the shift and the scale that bring them closest
        offset, aim = found - found.mean(axis=0), truth - truth.mean(axis=0)
        found = offset * (offset * aim).sum() / (offset**2).sum() + truth.mean(axis=0)
    size = np.sqrt(np.ptp(head.points, axis=0).prod())
    return float(100 * np.linalg.norm(found - truth, axis=-1).mean() / size)


def by_bins(yaw: np.ndarray, values: np.ndarray) -> dict[str, float]:
    """The mean of values in each bin of the yaw, and the mean of these."""
    means = {name: float(values[(low <= abs(yaw)) & (abs(yaw) < high)].mean())
             for name, (low, high) in BINS.items()}
    return {name: round(mean, 3) for name, mean in
            {**means, "mean": float(np.mean([*means.values()]))}.items()}


def measured(landmarker: FaceLandmarker, heads: Iterable[Head], total: int) -> dict[str, object]:
    """The errors of points, of the yaw, and of depths where the model tells them, by bins."""
    name, own, of_head = common_points(landmarker.schema, HEAD.name)
    schema, yaws = schemas.get(landmarker.schema), []
    inner = [list(some.subset_indices(INNER)) for some in (schema, HEAD)]
    rows: dict[str, list[float]] = {"inner_nme_box_size_percent": [], "nme_box_size_percent": []}
    with Progress("looking at faces", total, "face") as bar:
        for head in bar.over(heads):
            looks = looked_at(landmarker, head)
            points, depth = looks.points[0].astype(float), looks.depths[0]
            yaws.append(head.yaw)
            rows["inner_nme_box_size_percent"].append(error(points[inner[0]], head, inner[1]))
            rows["nme_box_size_percent"].append(error(points[list(own)], head, list(of_head)))
            angles = pose.estimate(
                points[None], schema, None if depth is None else depth[None].astype(float))
            if angles is not None:
                rows.setdefault("yaw_degrees", []).append(abs(float(angles[0, 0]) - head.yaw))
            if depth is not None and head.placed:
                truth = head.depth[list(of_head)]
                wrong = np.abs(depth[list(own)] - (truth - truth.mean()))
                size = np.sqrt(np.ptp(head.points, axis=0).prod())
                rows.setdefault("depth_box_size_percent", []).append(
                    float(100 * wrong.mean() / size))
    yaw = np.array(yaws)
    return {"points": name, "faces": len(yaws),
            **{key: by_bins(yaw, np.array(values)) for key, values in rows.items()}}


def of_true_points(data: Path) -> dict[str, dict[str, float]]:
    """How far the yaw of `pose.estimate` is from the annotated one, by points and with depths."""
    rows = shapes(data)
    points, depth, yaw = (np.array([row[key] for row in rows], float)
                          for key in ("shape68", "shape68_z", "yaw_degrees"))
    return {name: by_bins(yaw, np.abs(true_yaw(points, z) - yaw))
            for name, z in (("true points", None), ("true points and depths", depth))}


def picture(landmarker: FaceLandmarker) -> None:
    """Rendered faces from profile to profile: above as the model sees them, below the truth."""
    tiles = []
    heads = sorted(rendered(), key=lambda head: head.yaw)[:: RENDERED // SHOWN]
    for head in heads:
        looks = looked_at(landmarker, head)
        face = Face(
            looks.points[0], landmarker.schema, head.box, 1.0, 1.0, depth=looks.depths[0])
        tiles.append(pictures.annotate(head.image, [face]))
    tiles += [drawing.draw_landmarks(head.image, head.points, HEAD) for head in heads]
    sheet = drawing.contact_sheet(tiles, len(heads), 160)
    files.write_bytes(OUTPUT / "rendered.jpg", drawing.encoded(sheet, ".jpg", 90))


def table(found: dict[str, dict], true: dict[str, dict[str, float]]) -> str:
    """The results as Markdown."""

    def row(name: str, points: str, bins: dict[str, float]) -> str:
        return f"| {name} | {points} | " + " | ".join(f"{v:.2f}" for v in bins.values()) + " |"

    head = ["|  | points | " + " | ".join(f"yaw {name}" for name in BINS) + " | mean |",
            "|---|---|" + "---|" * (len(BINS) + 1)]
    lines = ["Degrees from the annotated yaw on AFLW2000-3D's shapes, by the true points.", "",
             *head, *(row(name, HEAD.name, bins) for name, bins in true.items())]
    titles = {
        "shapes": "Photos with known shapes, after aligning scale and place", "photos": "16 photos",
        "rendered": f"{RENDERED} rendered faces",
    }
    keys = {"inner_nme_box_size_percent": "Errors of the 51 inner points in percent of the box's "
                                          "size",
            "nme_box_size_percent": "Errors of all points in percent of the box's size",
            "depth_box_size_percent": "Errors of depths in percent of the box's size",
            "yaw_degrees": "Errors of the yaw in degrees"}
    for key, title in keys.items():
        for part, where in titles.items():
            rows = [row(name, about[part]["points"], about[part][key])
                    for name, about in found.items() if key in about[part]]
            if rows:
                lines += ["", f"{title}: {where[0].lower()}{where[1:]}.", "", *head, *rows]
    return "\n".join(lines) + "\n"


def main(models: list[str]) -> None:
    data = Path(os.environ["EFLD_DATA"])
    OUTPUT.mkdir(exist_ok=True)
    for index, argument in enumerate(models):
        name, _, model = argument.rpartition("=")
        landmarker = efld_tf.load(model, head=None, detector=None)
        if (name or model) not in known(MODELS):
            remember(MODELS, name or model, {
                "shapes": measured(landmarker, unplaced(data), len(shapes(data))),
                "photos": measured(landmarker, annotated(data), 16),
                "rendered": measured(landmarker, rendered(), RENDERED),
            })
        if not index:
            picture(landmarker)
    (OUTPUT / "table.md").write_text(table(known(MODELS), of_true_points(data)))


if __name__ == "__main__":
    main(sys.argv[1:])
