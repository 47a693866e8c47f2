"""Videos through three threads: the time of each stage alone, one after the other, and at once.

    python benchmarks/video.py

A rendered face moves over a picture of 1280 x 720. The stages are decoding (VideoReader), work
(face detector and the shipped int8 model, one thread each) and encoding (VideoWriter). How far a
stage lets others run is measured by a thread that counts in Python meanwhile, in shares of what it
counts alone. Decoder and encoder are held to one thread here, so that each stage needs one core.
Writes benchmarks/video/: results.json, table.md.
"""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np

from efld_tf import assets
from efld_tf.annotations import media
from efld_tf.annotations.synthetic.render import render_face
from efld_tf.benchmarking.latency import current_conditions
from efld_tf.landmarks.geometry import tight_box
from efld_tf.runtime import video
from efld_tf.runtime.detector import FaceDetector
from efld_tf.runtime.predictor import LandmarkPredictor
from efld_tf.runtime.stream import run
from efld_tf.runtime.video import Frame, VideoReader, VideoWriter

OUTPUT = Path(__file__).parent / "video"
WIDTH, HEIGHT, FRAMES, RATE, REPEATS = 1280, 720, 90, 30, 9


class Counter:
    """Counts in a thread of its own, as long as its block runs."""

    def __enter__(self) -> Counter:
        self._end, self.rate = threading.Event(), 0.0
        self._thread = threading.Thread(target=self._count)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _count(self) -> None:
        begin, count = time.perf_counter(), 0
        while not self._end.is_set():
            for _ in range(1000):
                count += 1
        self.rate = count / (time.perf_counter() - begin)


def film() -> list[Frame]:
    """A face that moves to and fro over a picture with noise."""
    random = np.random.default_rng(0)
    face = render_face(0, 0, 360).image
    scene = cv2.resize(render_face(0, 1, 256).image, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    frames = []
    for index in range(FRAMES):
        image = scene.copy()
        x = int(400 + 300 * np.sin(2 * np.pi * index / 90))
        image[180 : 180 + len(face), x : x + len(face)] = face
        noise = random.integers(-3, 4, image.shape, np.int16)
        frames.append(Frame(np.clip(image + noise, 0, 255).astype(np.uint8), index, index / RATE))
    return frames


def seconds(action: Callable[[], object]) -> float:
    """How long an action takes."""
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def measure(folder: Path) -> dict[str, float]:
    """Milliseconds a frame by what is run, and shares of counting."""
    detector, predictor = FaceDetector(), LandmarkPredictor(assets.INT8_MODEL)

    def encode(frames: list[Frame]) -> None:
        with VideoWriter(folder / "out.mp4") as writer:
            for frame in frames:
                writer.write(frame)

    def work(frame: Frame) -> Frame:
        for face in detector.detect(frame.image):
            predictor.predict(frame.image, [tight_box(face.keypoints)])
        return frame

    def at_once() -> None:
        with VideoWriter(folder / "out.mp4") as writer:
            run(VideoReader(folder / "in.mp4"), work, writer.write)

    frames = film()
    encode(frames)
    (folder / "out.mp4").rename(folder / "in.mp4")
    stages = {
        "decode": lambda: list(VideoReader(folder / "in.mp4")),
        "work": lambda: [work(frame) for frame in frames],
        "encode": lambda: encode(frames),
    }
    found: dict[str, list[float]] = {}
    counted: dict[str, list[float]] = {}
    for _ in range(REPEATS):
        with Counter() as alone:
            time.sleep(1)
        counted.setdefault("alone", []).append(alone.rate)
        for name, stage in stages.items():
            found.setdefault(name, []).append(1000 * seconds(stage) / FRAMES)
            with Counter() as beside:
                stage()
            counted.setdefault(name, []).append(beside.rate)
        found.setdefault("at_once", []).append(1000 * seconds(at_once) / FRAMES)
    # The best of all runs: what else goes on in a machine only ever takes away.
    shares = {f"{name}_counting": max(counted[name]) / max(counted["alone"]) for name in stages}
    return {name: min(values) for name, values in found.items()} | shares


def table(found: dict) -> str:
    """The results as Markdown."""
    ms = found["ms_a_frame"]
    stages = ("decode", "work", "encode")
    conditions = found["conditions"]
    lines = [f"{FRAMES} frames of {WIDTH} x {HEIGHT}, {conditions['device']}, the best of "
             f"{REPEATS} runs; decoder, models and encoder of one thread each.", "",
             "| | ms a frame | a thread that counts beside it |", "|---|---|---|"]
    for name in stages:
        lines.append(f"| {name} alone | {ms[name]:.1f} | {100 * ms[f'{name}_counting']:.0f}% |")
    lines += [f"| one after the other | {sum(ms[name] for name in stages):.1f} | |",
              f"| **at once** | **{ms['at_once']:.1f}** | |"]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures and writes the table."""
    OUTPUT.mkdir(exist_ok=True)
    media._MAX_THREADS = 1
    video._ENCODER["threads"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        found = {"conditions": asdict(current_conditions()), "frames": FRAMES, "width": WIDTH,
                 "height": HEIGHT, "ms_a_frame": measure(Path(folder))}
    (OUTPUT / "results.json").write_text(json.dumps(found, indent=2) + "\n")
    (OUTPUT / "table.md").write_text(table(found))
    print((OUTPUT / "table.md").read_text())


if __name__ == "__main__":
    main()
