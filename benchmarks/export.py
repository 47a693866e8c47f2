"""What each step of the int8 export gives: time, size and accuracy, from the shipped float weights.

    EFLD_DATA=/path/to/data python benchmarks/export.py

Writes benchmarks/export/: steps.json (optimisation, one run, one thread), precision.json (what
keeps int8 accurate), calibration.json (how many faces to calibrate on), modes.json (every mode, on
HELEN's test set), table.md and calibration.png. All but the modes is compared on training faces of
YouTube Faces, while HELEN's calibrate.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import matplotlib
import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras import layers

from efld_tf import assets
from efld_tf.benchmarking import compare, mode_table
from efld_tf.evaluation import faces
from efld_tf.evaluation.evaluate import evaluate
from efld_tf.exporting import calibration, comparison, convert, flatbuffer, metadata
from efld_tf.exporting.modes import INT8, Steps
from efld_tf.landmarks import schemas
from efld_tf.models import checkpoint
from efld_tf.models.predictor import FloatPredictor
from efld_tf.models.registry import PRESENCE
from efld_tf.models.trained import POINTS, TrainedModel
from efld_tf.quiet import silenced_stderr
from efld_tf.runtime import graph
from efld_tf.runtime.metadata import ModelMetadata
from efld_tf.runtime.predictor import LandmarkPredictor

matplotlib.use("Agg")
import matplotlib.pyplot as plt

OUTPUT = Path(__file__).parent / "export"
MANIFEST = Path(__file__).parents[1] / "calibration" / "helen_train.json"
TRAIN, TEST = (f"ibug:${{EFLD_DATA}}/ibug/helen/{part}set" for part in ("train", "test"))
COMPARED = "youtube_faces:${EFLD_DATA}/youtube_faces?identities=train"
ALL_STEPS = INT8.steps
EVERY = 4  # of its faces; there are several of each person
HEAD = "ibug51"
RUNS = 4000
NOTHING = Steps(last="float32")
# Side, channels and kernel of large convolutions.
METAL = ((64, 512, 1), (32, 256, 1), (16, 512, 1), (16, 256, 3), (32, 128, 3))
COUNTS = (1, 8, 32, 128, 256, 512, None)


class Bench:
    """The shipped float weights, their calibration crops, and faces of another source."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.model = TrainedModel.load(assets.FLOAT_MODEL, HEAD)
        self.rule, self.size = self.model.crop_rule, self.model.input_size
        manifest = calibration.read_manifest(MANIFEST)
        self.crops = calibration.load_faces(manifest, self.rule, self.size).crops
        everything = faces.load(COMPARED, self.rule, self.size, progress=False)
        self.compared = everything.ordered(list(range(0, len(everything), EVERY)))
        self.trained = evaluate(FloatPredictor(self.model), self.compared)

    def write(self, name: str, content: bytes) -> Path:
        """A model file with metadata."""
        about = ModelMetadata("efld", HEAD, self.rule, schemas.get(HEAD).names)
        path = self.folder / f"{name}.tflite"
        path.write_bytes(metadata.add(content, about))
        return path

    def int8(
        self, name: str, steps: Steps = ALL_STEPS, crops: np.ndarray | None = None
    ) -> Path:
        """An int8 export with some steps left out."""
        crops = self.crops if crops is None else crops
        return self.write(name, convert.convert(self.model, INT8, crops, steps))

    def loss(self, path: Path) -> dict[str, float]:
        """Accuracy on the compared faces beside the trained model's."""
        found = comparison.compare(self.trained, evaluate(LandmarkPredictor(path), self.compared))
        return {"faces": found["faces"], "nme_percent": found["exported_nme_percent"],
                "float_nme_percent": found["trained_nme_percent"],
                "median_px": found["point_difference_px_median"],
                "p99_px": found["point_difference_px_p99"]}


def plain(bench: Bench) -> bytes:
    """What TensorFlow's converter makes of the same weights, as its documentation says."""
    image = tf.TensorSpec([1, bench.size, bench.size, 3], tf.float32, name="image")
    points = tf.function(lambda image: bench.model.decoded(image), input_signature=[image])
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [points.get_concrete_function()], bench.model.network)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: (
        [crop[None].astype(np.float32) / 255.0] for crop in bench.crops)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type, converter.inference_output_type = tf.uint8, tf.float32
    with silenced_stderr():
        tree = flatbuffer.read(converter.convert())
    flatbuffer.order_outputs(tree, (POINTS, PRESENCE))
    return flatbuffer.write(tree)


def large_convolution(side: int, channels: int, kernel: int) -> bytes:
    """A convolution that keeps XNNPACK's int8 kernels busy."""
    image = layers.Input((side, side, channels), batch_size=1)
    model = tf_keras.Model(
        image, layers.Conv2D(channels, kernel, padding="same", activation="relu")(image))
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    random = np.random.default_rng(0)
    converter.representative_dataset = lambda: (
        [random.random((1, side, side, channels), np.float32)] for _ in range(2))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    with silenced_stderr():
        return converter.convert()


def steps(bench: Bench) -> dict:
    """The optimisation, step by step, all in one run."""
    kept = {
        "plain converter": bench.write("plain", plain(bench)),
        "pixels through XNNPACK, float last layer": bench.int8("pixels", NOTHING),
        "depthwise 8 x 8 as partial sums": bench.int8("split", replace(NOTHING, split=True)),
        "sibling convolutions merged": bench.int8(
            "merge", replace(NOTHING, split=True, merge=True)),
        "channels interleaved as planes": bench.int8(
            "planes", replace(NOTHING, split=True, merge=True, planes=True)),
        "equalised and balanced": bench.int8(
            "equalised", replace(
                ALL_STEPS, round=False, dense_as_convolutions=False, widen=())),
        "weights rounded together": bench.int8(
            "rounded", replace(ALL_STEPS, dense_as_convolutions=False, widen=())),
        "dense layers as 1 x 1 convolutions": bench.int8("dense", replace(ALL_STEPS, widen=())),
        "convolutions of few channels widened": bench.int8("all"),
    }
    metal: dict[str, Path] = {}
    for side, channels, kernel in METAL:
        name = f"{kernel} x {kernel}, {channels} to {channels} channels at {side} x {side}"
        metal[name] = bench.folder / f"metal{len(metal)}.tflite"
        metal[name].write_bytes(large_convolution(side, channels, kernel))
    measured = compare.measure(list(kept.values()), runs=RUNS)
    # Each one's weights and pixels fill the caches: one at a time, right after.
    rates = {}
    for name, path in metal.items():
        milliseconds = compare.measure([path], 200).rows[0].latency_ms_p50
        rates[name] = graph.total_macs(path) / milliseconds / 1e6
    rows = []
    for (name, path), row in zip(kept.items(), measured.rows, strict=True):
        found = graph.read(path)
        rows.append({"step": name, "size_bytes": path.stat().st_size, "macs": found.total_macs,
                     **{k: v for k, v in asdict(row).items() if k != "model"}, **bench.loss(path)})
    return {
        "conditions": asdict(measured.conditions), "core": measured.core, "runs": measured.runs,
        "steps": rows,
        "large_convolutions_gmacs_per_s": {k: round(v, 1) for k, v in rates.items()},
    }


def precision(bench: Bench) -> list[dict]:
    """What int8 loses without each of the steps that keep it accurate, and with clipped ranges."""
    variants = {
        "all": ALL_STEPS,
        "without equalisation": replace(ALL_STEPS, equalise=False),
        "without rounding together": replace(ALL_STEPS, round=False),
        "int8 output, not a float last layer": replace(ALL_STEPS, last="as others"),
        "without partial sums": replace(ALL_STEPS, split=False),
        "ranges clipped at 99.5% of the faces": replace(ALL_STEPS, clip_percentile=99.5),
        "ranges clipped at 98% of the faces": replace(ALL_STEPS, clip_percentile=98.0),
    }
    rows = [{"variant": name, **bench.loss(bench.int8(f"precision{index}", variant))}
            for index, (name, variant) in enumerate(variants.items())]
    path = bench.write("coordinates", of_coordinates(bench))
    return [*rows, {"variant": "int8 output of coordinates, not residuals", **bench.loss(path)}]


def of_coordinates(bench: Bench) -> bytes:
    """A model whose last layer gives coordinates in int8: the mean shape is in its bias."""
    spec, network = checkpoint.load(assets.FLOAT_MODEL)
    head = spec.heads[HEAD]
    layer = network.get_layer(f"{HEAD}_points")
    kernel, bias = layer.get_weights()
    layer.set_weights([kernel, bias - np.ravel(head.mean_shape)])
    nothing = replace(head, mean_shape=np.zeros_like(head.mean_shape).tolist())
    moved = TrainedModel.of(
        assets.FLOAT_MODEL, replace(spec, heads={HEAD: nothing}), network, HEAD)
    return convert.convert(moved, INT8, bench.crops, replace(ALL_STEPS, last="as others"))


def calibration_curve(bench: Bench) -> list[dict]:
    """The loss for several numbers of calibration faces."""
    rows = []
    for count in COUNTS:
        chosen = calibration.choose(TRAIN, count)
        crops = calibration.load_faces(chosen, bench.rule, bench.size).crops
        path = bench.int8(f"calibrated{count}", crops=crops)
        rows.append({"calibrated_on": len(crops), **bench.loss(path)})
        print(rows[-1], flush=True)
    return rows


def draw(rows: list[dict]) -> None:
    """The calibration curve."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    counts = [row["calibrated_on"] for row in rows]
    axes[0].plot(counts, [row["nme_percent"] for row in rows], "o-", label="int8")
    axes[0].axhline(rows[0]["float_nme_percent"], color="0.4", ls="--", label="float")
    axes[0].set_ylabel("NME, % (YouTube Faces, train)")
    axes[0].set_yscale("log")
    axes[1].plot(counts, [row["median_px"] for row in rows], "o-", label="median")
    axes[1].plot(counts, [row["p99_px"] for row in rows], "s-", label="p99")
    axes[1].set_yscale("log")
    axes[1].set_ylabel("int8 to float, px of 128")
    for axis in axes:
        axis.set_xscale("log")
        axis.set_xlabel("calibration faces")
        axis.legend()
        axis.grid(alpha=0.3)
    figure.savefig(OUTPUT / "calibration.png", dpi=110)


def table(found: dict, precise: list[dict], curve: list[dict]) -> str:
    """The results as Markdown."""
    conditions = found["conditions"]
    lines = [
        f"One thread on core {found['core']} of {conditions['device']}, {conditions['runtime']}, "
        f"{found['runs']} runs of each in turns; accuracy on {found['steps'][0]['faces']} training "
        "faces of YouTube Faces; calibrated on HELEN's.", "",
        "| step (each with those before it) | p50 (95% interval) | times faster than plain | size "
        "| MACs | NME (float) | median, p99 difference |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in found["steps"]:
        lines.append(
            f"| {row['step']} | {1000 * row['latency_ms_p50']:.1f} us "
            f"({1000 * row['latency_ms_low']:.1f} to {1000 * row['latency_ms_high']:.1f}) "
            f"| {row['speedup']:.2f} | {row['size_bytes']:,} B | {row['macs'] / 1e6:.2f} M "
            f"| {_loss(row)} |")
    final = next(row for row in found["steps"] if row["step"].startswith("dense"))
    # Without the products by zeros that widened convolutions have.
    own = final["macs"] / found["steps"][-1]["latency_ms_p50"] / 1e6
    rates = found["large_convolutions_gmacs_per_s"]
    best = max(rates, key=rates.get)
    lines += ["", f"EFLD int8 computes {own:.0f} GMAC/s; XNNPACK's best int8 convolution here "
              f"({best}) {rates[best]:.0f}: with its few channels EFLD reaches "
              f"{100 * own / rates[best]:.0f}% of it.", "",
              "| int8 | NME (float) | median, p99 difference |",
              "|---|---|---|"]
    for row in precise:
        lines.append(f"| {row['variant']} | {_loss(row)} |")
    lines += ["", "| calibration faces | NME (float) | median, p99 difference |", "|---|---|---|"]
    for row in curve:
        lines.append(f"| {row['calibrated_on']} | {_loss(row)} |")
    return "\n".join(lines) + "\n"


def _loss(row: dict) -> str:
    return (f"{row['nme_percent']:.3f}% ({row['float_nme_percent']:.3f}%) "
            f"| {row['median_px']:.3f}, {row['p99_px']:.2f} px")


def main() -> None:
    """Measures everything and writes the table."""
    OUTPUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        found = steps(bench)
        (OUTPUT / "steps.json").write_text(json.dumps(found, indent=2) + "\n")
        precise = precision(bench)
        (OUTPUT / "precision.json").write_text(json.dumps(precise, indent=2) + "\n")
        curve = calibration_curve(bench)
        (OUTPUT / "calibration.json").write_text(json.dumps(curve, indent=2) + "\n")
        mode_table.export_all(
            bench.model, Path(folder) / "modes", calibrate_on=MANIFEST, compare_on=TEST)
        for name in ("modes.json", "modes.md"):
            (OUTPUT / name).write_text((Path(folder) / "modes" / name).read_text())
    draw(curve)
    text = table(found, precise, curve)
    (OUTPUT / "table.md").write_text(text + "\n" + (OUTPUT / "modes.md").read_text())
    print((OUTPUT / "table.md").read_text())


if __name__ == "__main__":
    main()
