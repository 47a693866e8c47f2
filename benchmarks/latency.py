"""EFLD against its peers on one core, in one run: latency, size and multiply-accumulates.

    python benchmarks/latency.py

Peers: MediaPipe's face mesh and face detectors as they are in the installed package, and PFLD
(X. Guo et al., "PFLD: A Practical Facial Landmark Detector", Table 1) at widths 0.25 and 1 with
random weights, which do not change its time. Writes benchmarks/latency/: results.json, table.md,
chart.png, and profile.md, the time of every operator of the shipped model.
"""

from __future__ import annotations

import importlib.util
import json
import tempfile
from dataclasses import asdict
from pathlib import Path

import matplotlib
import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras import layers

from efld_tf import assets
from efld_tf.benchmarking import compare, profile
from efld_tf.errors import DataError
from efld_tf.exporting import convert, modes
from efld_tf.models.trained import TrainedModel
from efld_tf.quiet import silenced_stderr
from efld_tf.runtime import graph

matplotlib.use("Agg")
import matplotlib.pyplot as plt

OUTPUT = Path(__file__).parent / "latency"
RUNS = 2000
MEDIAPIPE = {
    "MediaPipe face mesh, 468 points": "face_landmark/face_landmark.tflite",
    "MediaPipe face detector, short range": "face_detection/face_detection_short_range.tflite",
    "MediaPipe face detector, full range":
        "face_detection/face_detection_full_range_sparse.tflite",
}


def pfld(width: float) -> tf_keras.Model:
    """PFLD's backbone and 68 points, 112 x 112 pixels; the auxiliary pose net is for training."""

    def block(x: tf.Tensor, channels: int, stride: int, expansion: int) -> tf.Tensor:
        """MobileNetV2's bottleneck."""
        y = convolved(x, x.shape[-1] * expansion, 1)
        y = layers.ReLU(6.0)(layers.BatchNormalization()(layers.DepthwiseConv2D(
            3, stride, "same", use_bias=False)(y)))
        y = layers.BatchNormalization()(layers.Conv2D(channels, 1, use_bias=False)(y))
        return x + y if stride == 1 and x.shape[-1] == channels else y

    def convolved(
        x: tf.Tensor, channels: int, kernel: int, stride: int = 1, padding: str = "same"
    ) -> tf.Tensor:
        x = layers.Conv2D(channels, kernel, stride, padding, use_bias=False)(x)
        return layers.ReLU(6.0)(layers.BatchNormalization()(x))

    def wide(channels: int) -> int:
        return max(8, int(channels * width))

    image = layers.Input((112, 112, 3), batch_size=1)
    x = convolved(image, wide(64), 3, 2)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(layers.DepthwiseConv2D(
        3, 1, "same", use_bias=False)(x)))
    for repeat in range(5):
        x = block(x, wide(64), 1 if repeat else 2, 2)
    x = block(x, wide(128), 2, 2)
    for _ in range(6):
        x = block(x, wide(128), 1, 4)
    first = block(x, wide(16), 1, 2)
    second = convolved(first, wide(32), 3, 2)
    third = convolved(second, wide(128), 7, padding="valid")
    pooled = [layers.GlobalAveragePooling2D()(x) for x in (first, second)]
    x = layers.Concatenate()([*pooled, layers.Flatten()(third)])
    return tf_keras.Model(image, layers.Dense(136)(x))


def converted(model: tf_keras.Model, int8: bool) -> bytes:
    """A peer by TensorFlow's converter."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if int8:
        random = np.random.default_rng(0)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: (
            [random.random(model.input.shape, np.float32)] for _ in range(8))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
    with silenced_stderr():
        return converter.convert()


def models(folder: Path) -> dict[str, Path]:
    """Every model of the table."""
    trained = TrainedModel.load(assets.FLOAT_MODEL, "ibug51")
    (folder / "efld.tflite").write_bytes(convert.convert(trained, modes.FLOAT32))
    found = {"EFLD int8, 51 points": assets.INT8_MODEL, "EFLD float32": folder / "efld.tflite"}
    for width in (0.25, 1.0):
        for int8 in (True, False):
            name = f"PFLD {width:g}x {'int8' if int8 else 'float32'}, 68 points"
            found[name] = folder / f"pfld_{width}_{int8}.tflite"
            found[name].write_bytes(converted(pfld(width), int8))
    spec = importlib.util.find_spec("mediapipe")
    assert spec is not None and spec.origin is not None
    package = Path(spec.origin).parent / "modules"
    return {**found, **{name: package / path for name, path in MEDIAPIPE.items()
                        if (package / path).exists()}}


def macs(path: Path) -> int | None:
    """Multiply-accumulates of a model; None where its graph does not tell."""
    try:
        return graph.total_macs(path)
    except DataError:
        return None


def draw(rows: list[dict]) -> None:
    """Latency by model."""
    figure, axis = plt.subplots(figsize=(8, 3.6), layout="constrained")
    ordered = sorted(rows, key=lambda row: -row["latency_ms_p50"])
    colours = ["tab:orange" if row["name"].startswith("EFLD") else "tab:blue" for row in ordered]
    bars = axis.barh([row["name"] for row in ordered], [row["latency_ms_p50"] for row in ordered],
                     color=colours)
    axis.bar_label(bars, [f"{row['latency_ms_p50']:.2f} ms, {row['size_bytes'] / 1e6:.2f} MB"
                          for row in ordered], padding=3, fontsize=8)
    axis.set_xlim(0, 1.35 * ordered[0]["latency_ms_p50"])
    axis.set_xlabel("median latency of one face, ms, one thread")
    figure.savefig(OUTPUT / "chart.png", dpi=110)


def table(found: dict) -> str:
    """The results as Markdown."""
    conditions = found["conditions"]
    lines = [
        f"One thread on core {found['core']} of {conditions['device']}, {conditions['runtime']}, "
        f"XNNPACK, {found['runs']} runs of each in turns.", "",
        "| model | p50 (95% interval) | time of EFLD int8 | size | MACs | energy |",
        "|---|---|---|---|---|---|",
    ]
    first = found["rows"][0]["latency_ms_p50"]
    for row in found["rows"]:
        count = "-" if row["macs"] is None else f"{row['macs'] / 1e6:.1f} M"
        energy = "not available" if row["energy_mj"] is None else f"{row['energy_mj']:.2f} mJ"
        lines.append(
            f"| {row['name']} | {row['latency_ms_p50']:.3f} ms ({row['latency_ms_low']:.3f} to "
            f"{row['latency_ms_high']:.3f}) | x {row['latency_ms_p50'] / first:.2f} "
            f"| {row['size_bytes'] / 1e6:.3f} MB | {count} | {energy} |")
    return "\n".join(lines) + "\n"


def profiled() -> str:
    """The shipped model operator by operator, as Markdown."""
    rows = profile.measure(assets.INT8_MODEL, core=0)
    lines = ["Time of each operator of the shipped int8 model, by timing every prefix of it: below "
             "a microsecond it says nothing.", "",
             "| operator | output | MACs | us | GMAC/s |", "|---|---|---|---|---|"]
    for row in rows:
        rate = f"{row.macs / row.microseconds / 1000:.0f}" if row.macs and row.microseconds else ""
        lines.append(f"| {row.index} {row.name} | {' x '.join(map(str, row.shape))} "
                     f"| {row.macs:,} | {row.microseconds:.1f} | {rate} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures all models and writes the table, the chart and the profile."""
    OUTPUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        named = models(Path(folder))
        measured = compare.measure(list(named.values()), runs=RUNS)
        rows = [
            {"name": name, "size_bytes": path.stat().st_size, "macs": macs(path),
             **{key: value for key, value in asdict(row).items() if key != "model"}}
            for (name, path), row in zip(named.items(), measured.rows, strict=True)
        ]
    found = {"conditions": asdict(measured.conditions), "core": measured.core,
             "runs": measured.runs, "rows": rows}
    (OUTPUT / "results.json").write_text(json.dumps(found, indent=2) + "\n")
    (OUTPUT / "table.md").write_text(table(found))
    (OUTPUT / "profile.md").write_text(profiled())
    draw(rows)
    print((OUTPUT / "table.md").read_text())


if __name__ == "__main__":
    main()
