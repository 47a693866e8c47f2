"""The video pipeline against MediaPipe's face mesh, on the same videos in one run.

    python benchmarks/tracking.py

Rendered people walk and turn about in 1280 x 720 at 30 frames a second: one of them, and four. Both
follow the faces from frame to frame, with a detector where one is lost, and both smooth. Measured
are the frames a second and the processor's time a frame of each, from frames in memory, by turns,
with one face and with four; of the toolkit also from a file to landmarks and from a file to an
annotated video, by `runtime.stream`. NME is by the rendered truth, which has definitions of its
own: a constant difference from a model's is in it. Writes benchmarks/tracking/: results.json,
table.md, frame.jpg.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from efld_tf import assets
from efld_tf.annotations.synthetic.render import render_face
from efld_tf.benchmarking.latency import current_conditions
from efld_tf.landmarks import drawing, metrics, schemas
from efld_tf.landmarks.geometry import apply_affine
from efld_tf.runtime.any_angle import open_detector
from efld_tf.runtime.landmarker import FaceLandmarker
from efld_tf.runtime.predictor import LandmarkPredictor
from efld_tf.runtime.stream import run
from efld_tf.runtime.video import Frame, VideoReader, VideoWriter

OUTPUT = Path(__file__).parent / "tracking"
# By the number of people: such that both find all of them in every frame, since MediaPipe's
# detector runs as long as one is missing.
SEEDS = {1: 101, 4: 116}
WIDTH, HEIGHT, RATE, FRAMES, ROUNDS, SIZE = 1280, 720, 30, 150, 3, 320
SCHEMA = schemas.get("ibug51")
INNER = list(schemas.get("ibug68").subset_indices("ibug51"))


def film(count: int) -> tuple[list[np.ndarray], list[list[np.ndarray]]]:
    """Frames [720, 1280, 3] with so many people, and the 68 points of each."""
    people = [render_face(SEEDS[count], index, SIZE) for index in range(count)]
    coarse = np.random.default_rng(0).integers(60, 180, (6, 10, 3)).astype(np.uint8)
    backdrop = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    noise = np.random.default_rng(1)
    frames, truth = [], []
    for index in range(FRAMES):
        image, points = backdrop.copy(), []
        for number, person in enumerate(people):
            phase = 2 * math.pi * (index / 75 + number / count)
            x = WIDTH * (number + 0.5) / count + 60 * math.sin(phase)
            y = HEIGHT / 2 + 50 * math.cos(2 * phase)
            turn = cv2.getRotationMatrix2D(
                ((SIZE - 1) / 2,) * 2, 12 * math.sin(phase), 1 + 0.1 * math.sin(phase))
            turn[:, 2] += np.array([x, y]) - (SIZE - 1) / 2
            cv2.warpAffine(person.image, turn, (WIDTH, HEIGHT), dst=image,
                           flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_TRANSPARENT)
            points.append(apply_affine(turn, person.points["ibug68"]))
        grain = noise.integers(-4, 5, image.shape, np.int16)
        frames.append(np.clip(image + grain, 0, 255).astype(np.uint8))
        truth.append(points)
    return frames, truth


def toolkit() -> Callable[[np.ndarray, float], list[np.ndarray]]:
    """Follows faces by the shipped model."""
    tracker = FaceLandmarker(LandmarkPredictor(assets.INT8_MODEL), open_detector()).track()
    return lambda image, seconds: [face.points for face in tracker.update(image, seconds)]


def mediapipe(count: int) -> Callable[[np.ndarray, float], list[np.ndarray]]:
    """MediaPipe's own pipeline in its mode for videos; its vertices as the 51 points."""
    import mediapipe

    mesh = mediapipe.solutions.face_mesh.FaceMesh(
        static_image_mode=False, max_num_faces=count, refine_landmarks=False)
    schema = schemas.get("mediapipe468")

    def look(image: np.ndarray, _: float) -> list[np.ndarray]:
        found = mesh.process(image).multi_face_landmarks or []
        size = np.array([WIDTH, HEIGHT])
        meshes = [np.array([[p.x, p.y] for p in face.landmark]) * size - 0.5 for face in found]
        return [schema.convert(points, None, "ibug51")[0] for points in meshes]

    return look


def measure(
    look: Callable[[np.ndarray, float], list[np.ndarray]],
    frames: list[np.ndarray], truth: list[list[np.ndarray]], start: float,
) -> dict[str, float]:
    """One pass over the frames; the first quarter of a second is not timed."""
    warm = RATE // 4
    errors, missed = [], 0
    wall = processor = 0.0
    for index, (image, people) in enumerate(zip(frames, truth, strict=True)):
        begin, cpu = time.perf_counter(), time.process_time()
        found = look(image, start + index / RATE)
        if index >= warm:
            wall += time.perf_counter() - begin
            processor += time.process_time() - cpu
        for points in people:
            inner = points[INNER][None]
            nme = [float(metrics.nme(f[None], inner, SCHEMA)[0]) for f in found]
            if nme and min(nme) < 0.3:
                errors.append(min(nme))
            else:
                missed += 1
    timed = len(frames) - warm
    return {"ms": 1000 * wall / timed, "cpu_ms": 1000 * processor / timed,
            "nme_percent": 100 * float(np.mean(errors)), "missed": missed}


def from_file(frames: list[np.ndarray], draw: bool) -> float:
    """Milliseconds a frame from a video file to landmarks, or to an annotated video file."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.mp4", Path(folder) / "out.mp4"
        with VideoWriter(source) as writer:
            for index, image in enumerate(frames):
                writer.write(Frame(image, index, index / RATE))
        look = toolkit()

        def work(frame: Frame) -> Frame:
            faces = look(frame.image, frame.seconds)
            return Frame(drawn(frame.image, faces), frame.index, frame.seconds) if draw else frame

        begin = time.perf_counter()
        if not draw:
            run(VideoReader(source), work, lambda _: None)
        else:
            with VideoWriter(target) as writer:
                run(VideoReader(source), work, writer.write)
        return 1000 * (time.perf_counter() - begin) / len(frames)


def drawn(image: np.ndarray, faces: list[np.ndarray]) -> np.ndarray:
    """A frame with the points of its faces."""
    for points in faces:
        image = drawing.draw_landmarks(image, points, SCHEMA, radius=2.0)
    return image


def compare(count: int) -> dict[str, Any]:
    """Both, by turns, with so many faces: the medians of the rounds."""
    frames, truth = film(count)
    kinds = {"efld_tf": toolkit(), "mediapipe": mediapipe(count)}
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in kinds}
    for number in range(ROUNDS):
        for name, look in kinds.items():
            rounds[name].append(measure(look, frames, truth, number * FRAMES / RATE))
    result: dict[str, Any] = {
        name: {key: round(float(np.median([one[key] for one in found])), 4) for key in found[0]}
        for name, found in rounds.items()
    }
    if missed := {name: one["missed"] for name, one in result.items() if one["missed"]}:
        raise SystemExit(f"{count} faces: some were missed: {missed}")
    result["from_file_ms"] = round(from_file(frames, draw=False), 3)
    result["to_file_ms"] = round(from_file(frames, draw=True), 3)
    if count > 1:
        faces = toolkit()(frames[40], 0.0)
        picture = cv2.resize(drawn(frames[40], faces), (960, 540), interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(OUTPUT / "frame.jpg"), picture[..., ::-1],
                    [cv2.IMWRITE_JPEG_QUALITY, 85])
    return {"faces": count, **result}


def table(found: dict[str, Any]) -> str:
    """The results as Markdown."""
    lines = [
        f"{FRAMES} frames of {WIDTH} x {HEIGHT}, {found['conditions']['cores']} cores of "
        f"{found['conditions']['device']}, medians of {ROUNDS} rounds by turns. "
        "Processor's time is of all threads.", "",
        "| faces | pipeline | frames/s | ms a frame | ms of processor | NME | missed faces |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in found["rows"]:
        for name, title in (("efld_tf", "efld_tf"), ("mediapipe", "MediaPipe face mesh")):
            one = row[name]
            lines.append(
                f"| {row['faces']} | {title} | {1000 / one['ms']:.0f} | {one['ms']:.2f} "
                f"| {one['cpu_ms']:.2f} | {one['nme_percent']:.2f}% | {one['missed']:g} |")
    lines += ["", "| faces | from a file | to an annotated file |", "|---|---|---|"]
    for row in found["rows"]:
        lines.append(f"| {row['faces']} | {1000 / row['from_file_ms']:.0f} frames/s "
                     f"| {1000 / row['to_file_ms']:.0f} frames/s |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures and writes everything."""
    OUTPUT.mkdir(exist_ok=True)
    found = {"conditions": asdict(current_conditions()), "rows": [compare(1), compare(4)]}
    (OUTPUT / "results.json").write_text(json.dumps(found, indent=2) + "\n")
    (OUTPUT / "table.md").write_text(table(found))
    print((OUTPUT / "table.md").read_text())


if __name__ == "__main__":
    main()
