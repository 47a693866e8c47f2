"""Fits where iBUG's 68 points lie by the vertices of MediaPipe's attention mesh.

    python tools/fit_attention_map.py ibug:PATH/helen/trainset ibug:PATH/lfpw/trainset

writes efld_tf/runtime/attention_map.npz, in a minute: the principal components of the vertices in
the frame of the outer eye corners, and a ridge regression of the points on them, on the faces of
all sources and their mirror images. How many components and what ridge it chooses by leaving out
faces of the first source. Only training faces belong here.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from efld_tf.annotations import sources
from efld_tf.annotations.images import read_image
from efld_tf.cli import common
from efld_tf.errors import EfldError
from efld_tf.landmarks import schemas
from efld_tf.landmarks.geometry import extract_crop
from efld_tf.progress import Progress
from efld_tf.runtime.attention_mesh import (
    CROP_RULE,
    MAP,
    SCHEMA,
    SIDE,
    AttentionMeshPredictor,
    VertexMap,
    frame,
    framed,
)

COMPONENTS, RIDGES, FOLDS = (20, 40, 60, 80), (1e-4, 1e-3, 3e-3, 1e-2), 5
IBUG, MESH = schemas.get(SCHEMA), schemas.get("mediapipe468")


def main(argv: Sequence[str] | None = None) -> None:
    """Fits, prints what was tried, and writes.

    Raises:
      EfldError: a source cannot be read, or has other points.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("source", nargs="+", help="annotated training faces of ibug68")
    first, *others = [looked_at(source) for source in parser.parse_args(argv).source]
    tried = {}
    for count, ridge in itertools.product(COMPONENTS, RIDGES):
        folds = np.random.default_rng(0).permutation(len(first[0])) % FOLDS
        tried[count, ridge] = float(np.mean([
            error(fit([(first[0][folds != fold], first[1][folds != fold]), *others], count, ridge),
                  first[0][folds == fold], first[1][folds == fold]) for fold in range(FOLDS)]))
        print(f"# {count} components, ridge {ridge:g}: {tried[count, ridge]:.3f}%")
    count, ridge = min(tried, key=lambda choice: tried[choice])
    print(f"# chosen: {count} components, ridge {ridge:g}")
    fitted = fit([first, *others], count, ridge)
    np.savez_compressed(MAP, **{
        name: value.astype(np.float16 if name == "components" else np.float32)
        for name, value in asdict(fitted).items()})


def looked_at(source: str) -> tuple[np.ndarray, np.ndarray]:
    """The vertices [F, 468, 2] and points [F, 68, 2] of faces, in the unit squares of crops."""
    records = sources.read(source, progress=False).records
    if records[0].schema != SCHEMA:
        raise EfldError(f"{source}: expected faces of {SCHEMA}, got {records[0].schema}")
    predictor, vertices, points = AttentionMeshPredictor(), [], []
    with Progress(f"looking at {source}", len(records), "face") as bar:
        for record in bar.over(records):
            crop = CROP_RULE.crop(record.source_box("points"))
            found = predictor.vertices(extract_crop(read_image(record), crop, SIDE))
            if found is not None:
                vertices.append(found)
                points.append(crop.to_unit(record.points))
    print(f"# {source}: {len(records)} faces, {len(records) - len(vertices)} missed")
    return np.array(vertices), np.array(points, np.float64)


def fit(faces: list[tuple[np.ndarray, np.ndarray]], count: int, ridge: float) -> VertexMap:
    """The map with so many components, fitted to vertices and points and their mirror images."""
    pairs = [(mirrored(vertices, MESH.known_flip), mirrored(points, IBUG.known_flip))
             for vertices, points in faces]
    x, y = [], []
    for vertices, points in (*faces, *pairs):
        place = frame(vertices)
        x.append(framed(vertices, *place))
        y.append(framed(points, *place))
    vertices, points = np.concatenate(x), np.concatenate(y)
    mean, mean_points = vertices.mean(axis=0), points.mean(axis=0)
    _, _, directions = np.linalg.svd(vertices - mean, full_matrices=False)
    parts = (vertices - mean) @ directions[:count].T
    products = parts.T @ parts
    products += ridge * np.trace(products) / count * np.eye(count)
    weights = np.linalg.solve(products, parts.T @ (points - mean_points))
    return VertexMap(mean, directions[:count], weights, mean_points)


def mirrored(points: np.ndarray, flip: Sequence[int]) -> np.ndarray:
    """Points in the unit square, seen in a mirror."""
    return np.asarray(points[:, list(flip)] * [-1, 1] + [1, 0])


def error(fitted: VertexMap, vertices: np.ndarray, points: np.ndarray) -> float:
    """The mean error of the inner points in percent of the distance of the outer eye corners."""
    away = np.linalg.norm(fitted(vertices) - points, axis=-1)[:, 17:].mean(axis=1)
    return 100 * float((away / IBUG.normaliser.distance(points)).mean())


if __name__ == "__main__":
    raise SystemExit(common.run(main))
