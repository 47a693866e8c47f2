"""Finds how MediaPipe's face mesh is cropped and which of its vertices are iBUG's 68 points.

    python tools/fit_mesh_map.py ibug:PATH/helen/trainset

prints the crop rule of runtime/mesh.py and the `conversions` of mediapipe468.yaml, in a minute.
Only training faces belong here: the accuracy is measured by benchmarks/face_mesh.py.
"""

from __future__ import annotations

import argparse
import itertools
import runpy
from collections.abc import Sequence

import numpy as np

from efld_tf.annotations import sources
from efld_tf.annotations.images import read_image
from efld_tf.cli import common
from efld_tf.errors import EfldError
from efld_tf.landmarks import schemas
from efld_tf.landmarks.geometry import CropRule, extract_crop
from efld_tf.runtime.blazeface import bundled
from efld_tf.runtime.mesh import MeshPredictor

# The map that goes around, by which the crop rules are compared and the fit is judged.
KNOWN = (
    162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389,
    71, 63, 105, 66, 107, 336, 296, 334, 293, 301, 168, 197, 5, 4, 75, 97, 2, 326, 305,
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87,
)  # fmt: skip
SCALES, OFFSETS_Y = (1.4, 1.45, 1.5, 1.55, 1.6), (-0.13, -0.1, -0.07, -0.04, -0.01)

# Vertices farther from a point than so many others are not tried.
NEAREST = 8

MESH, IBUG = schemas.get("mediapipe468"), schemas.get("ibug68")
Groups = list[tuple[int, ...]]


def main(argv: Sequence[str] | None = None) -> None:
    """Fits and prints.

    Raises:
      EfldError: the source cannot be read, or has other points.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("source", help="annotated faces of ibug68")
    source = parser.parse_args(argv).source
    records = sources.read(source).records
    if records[0].schema != IBUG.name:
        raise EfldError(f"{source}: expected faces of {IBUG.name}, got {records[0].schema}")
    images = [read_image(record) for record in records]
    truth = np.stack([record.points for record in records]).astype(np.float64)
    boxes = [record.source_box("points") for record in records]
    predictor = MeshPredictor()
    tried = []
    for scale, offset in itertools.product(SCALES, OFFSETS_Y):
        rule = CropRule("points", "ibug68", scale, 0.0, offset)
        mesh = predict(predictor, images, boxes, rule)
        tried.append((scatter(mesh, truth), scale, offset, mesh))
        print(f"# scale {scale:.2f}, offset_y {offset:.2f}: scatter {100 * tried[-1][0]:.3f}%")
    _, scale, offset, mesh = min(tried, key=lambda one: one[0])
    print(f"# chosen: scale {scale}, offset_y {offset}")
    groups = fit(mesh, truth)
    known: Groups = [(i,) for i in KNOWN]
    for title, some in (("known", known), ("fitted", groups)):
        of_points = errors(mesh, truth, some)
        print(f"# {title}: {100 * of_points.mean():.3f}% of 68, "
              f"{100 * of_points[17:].mean():.3f}% of 51 points, inter-ocular")
    print("conversions:")
    for name, some in (("ibug68", groups), ("ibug51", groups[17:])):
        print(f"  {name}:\n    points: [{', '.join(text(group) for group in some)}]")


def predict(
    predictor: MeshPredictor, images: list[np.ndarray], boxes: list[np.ndarray], rule: CropRule
) -> np.ndarray:
    """The meshes [F, 468, 2] in pixels of the images, one face an image."""
    crops = [rule.crop(box) for box in boxes]
    size = predictor.input_size
    pixels = (extract_crop(i, c, size) for i, c in zip(images, crops, strict=True))
    return np.stack([
        crop.from_unit(predictor.predict_crops(one[None])[0].astype(np.float64))
        for crop, one in zip(crops, pixels, strict=True)
    ])


def scatter(mesh: np.ndarray, truth: np.ndarray) -> float:
    """How far the 51 points of the known map lie from where each lies on average.

    Places are in the frame of the true outer eye corners, so that a constant difference of the
    definitions does not count.
    """
    away = (mesh[:, KNOWN[17:]] - truth[:, 17:]) @ np.array([1, 1j])
    eyes = (truth[:, 45] - truth[:, 36]) @ np.array([1, 1j])
    away /= eyes[:, None]
    return float(np.abs(away - away.mean(axis=0)).mean())


def fit(mesh: np.ndarray, truth: np.ndarray) -> Groups:
    """For each of the 68 points the vertices whose mean lies nearest, the same for both sides.

    Tried are a vertex and the means of two and three that are joined by edges; one may count twice.
    """
    edges = {frozenset(e) for e in
             runpy.run_path(str(bundled("python/solutions/face_mesh_connections.py")))
             ["FACEMESH_TESSELATION"]}
    single = np.stack([errors(mesh, truth, [(v,)] * 68) for v in range(MESH.num_points)])
    groups: Groups = [()] * 68
    for right, left in enumerate(IBUG.known_flip):
        if left < right:
            continue
        both = single[:, right] + single[list(MESH.known_flip), left]
        near = np.argsort(both)[:NEAREST].tolist()
        candidates = [
            group
            for count in (1, 2, 3)
            for group in itertools.combinations_with_replacement(near, count)
            if all(frozenset(e) in edges for e in itertools.combinations(set(group), 2))
            and (left != right or sorted(mirrored(group)) == sorted(group))
        ]

        def error(group: tuple[int, ...], right: int = right, left: int = left) -> float:
            return sum(
                float(distances(mesh[:, list(g)].mean(axis=1), truth, point).mean())
                for g, point in ((group, right), (mirrored(group), left))
            )

        groups[right] = min(candidates, key=error)
        groups[left] = mirrored(groups[right])
    return groups


def mirrored(group: tuple[int, ...]) -> tuple[int, ...]:
    """The vertices of the other side."""
    return tuple(MESH.known_flip[vertex] for vertex in group)


def errors(mesh: np.ndarray, truth: np.ndarray, groups: Groups) -> np.ndarray:
    """The mean error of each point [68], / the distance of the outer eye corners."""
    return np.array([
        distances(mesh[:, list(group)].mean(axis=1), truth, point).mean()
        for point, group in enumerate(groups)
    ])


def distances(found: np.ndarray, truth: np.ndarray, point: int) -> np.ndarray:
    """From places [F, 2] to a true point, / the distance of the outer eye corners [F]."""
    return np.linalg.norm(found - truth[:, point], axis=-1) / IBUG.normaliser.distance(truth)


def text(group: tuple[int, ...]) -> str:
    """A group as it stands in a schema file."""
    return str(group[0]) if len(group) == 1 else f'"{",".join(map(str, group))}"'


if __name__ == "__main__":
    raise SystemExit(common.run(main))
