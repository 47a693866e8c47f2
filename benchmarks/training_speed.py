"""Images a second of `efld-train` against a plain `tf_keras` `fit` of the same model and data.

    EFLD_DATA=/path/to/data python benchmarks/training_speed.py

Both train `configs/efld/cross_format.yaml` in processes of their own, by turns. Start-up, tracing,
the filling of caches and validation are the same in runs of `STEPS[0]` and `STEPS[1]` steps, so
that the rate follows from the difference of their times. The plain one is what one would write
with Keras alone: TensorFlow's default kernels, crops decoded every time and warped by TensorFlow's
operators, a loss for each head, AdamW, `compile` and `fit`. It has this project's augmentation,
too, compiled as it is, for want of an obvious other. Writes benchmarks/training_speed/:
results.json and table.md.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

# Nothing of this project is imported before `fit` has begun: it chooses TensorFlow's kernels.

OUTPUT = Path(__file__).parent / "training_speed"
STEPS = (150, 750)
ROUNDS = 3


def recipe_of(name: str, steps: int, runs: Path) -> dict[str, Any]:
    """The recipe with so many steps, validated once."""
    from trainings import training, variant

    short = training(steps=steps, validation_interval=steps, checkpoint_interval=steps,
                     warmup_steps=100)
    return variant(f"{name}_{steps}", runs, short)


def seconds(name: str, steps: int, runs: Path) -> float:
    """What one run of so many steps takes from start to end."""
    import yaml

    path = runs / f"{name}_{steps}.yaml"
    path.write_text(yaml.safe_dump(recipe_of(name, steps, runs)))
    commands = {
        "efld-train": [str(Path(sys.executable).parent / "efld-train"), str(path), "--quiet"],
        "fit": [sys.executable, __file__, "fit", str(path)],
    }
    environment = {k: v for k, v in os.environ.items() if k != "TF_ENABLE_ONEDNN_OPTS"}
    start = time.perf_counter()
    subprocess.run(commands[name.partition("_")[0]], check=True, env=environment,
                   stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def fit(path: str) -> None:
    """The plain training; the data must have been packed."""
    import tensorflow as tf
    import tf_keras

    if "TF_ENABLE_ONEDNN_OPTS" in os.environ:
        raise RuntimeError("the kernels are not TensorFlow's own choice")
    tf.constant(1.0) + 1.0  # it has made its choice
    from efld_tf.data import pipeline
    from efld_tf.training import model_spec, task
    from efld_tf.training import recipe as training_recipe

    recipe = training_recipe.load(path)
    sources = task.packed_sources(recipe)
    options = pipeline.BatchOptions(
        heads=tuple(recipe.heads), size=recipe.model.input_size,
        batch_size=recipe.training.batch_size, augment=recipe.data.augment, cache=False,
        portable=True,
    )
    spec = model_spec.of(recipe, sources)
    means = {head: tf.constant(about.mean_shape, tf.float32)
             for head, about in spec.heads.items()}

    def labelled(batch: dict[str, Any]) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        targets = {head: tf.concat([points - means[head], batch["mask"][head][..., None]], -1)
                   for head, points in batch["points"].items()}
        return batch["image"], targets

    def loss(target: tf.Tensor, residual: tf.Tensor) -> tf.Tensor:
        distance = tf.sqrt(tf.reduce_sum((residual - target[..., :2]) ** 2, -1) + 1e-12)
        return tf.reduce_mean(distance * target[..., 2], -1)

    model = spec.build()
    model.compile(tf_keras.optimizers.AdamW(recipe.training.learning_rate),
                  loss={head: loss for head in recipe.heads})
    model.fit(pipeline.training_batches(sources, options).map(labelled), epochs=1,
              steps_per_epoch=recipe.training.steps, verbose=0,
              validation_data=pipeline.validation_batches(sources, options).map(labelled))


def main() -> None:
    """Measures by turns and writes."""
    rates: dict[str, list[float]] = {"efld-train": [], "fit": []}
    with tempfile.TemporaryDirectory() as temporary:
        runs = Path(temporary)
        seconds("efld-train_pack", STEPS[0], runs)
        for number in range(ROUNDS):
            for name in rates:
                short, long = (seconds(f"{name}_{number}", steps, runs) for steps in STEPS)
                batch = recipe_of(name, 1, runs)["training"]["batch_size"]
                rates[name].append((STEPS[1] - STEPS[0]) * batch / (long - short))
                print(number, name, f"{rates[name][-1]:.0f} images/s", flush=True)
    from efld_tf.benchmarking.latency import current_conditions

    results = {"steps": STEPS, "conditions": asdict(current_conditions()), "images_per_second":
               {name: [round(rate, 1) for rate in found] for name, found in rates.items()}}
    OUTPUT.mkdir(exist_ok=True)
    (OUTPUT / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (OUTPUT / "table.md").write_text(table(results))
    print((OUTPUT / "table.md").read_text())


def table(results: dict[str, Any]) -> str:
    """The results as Markdown."""
    median = {name: statistics.median(found)
              for name, found in results["images_per_second"].items()}
    ratio = median["efld-train"] / median["fit"]
    conditions = results["conditions"]
    lines = [f"{conditions['cores']} cores of {conditions['device']}, median of {ROUNDS} rounds. "
             f"`efld-train` is **{ratio:.2f} times** as fast.", "",
             "| | images/s | rounds |", "|---|---|---|"]
    for name, found in results["images_per_second"].items():
        lines.append(f"| `{name}` | {median[name]:.0f} | {', '.join(f'{r:.0f}' for r in found)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    fit(sys.argv[2]) if sys.argv[1:2] == ["fit"] else main()
