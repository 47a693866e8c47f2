"""Measures how many faces a second the training pipeline supplies and a training step consumes.

    EFLD_DATA=/path/to/data python benchmarks/input_pipeline.py [RECIPE]

RECIPE is configs/efld/cross_format.yaml by default; its sources are packed if they are not yet.
Every number is the median of `ROUNDS` rounds that go through all measurements in turn, so that
noise of the machine hits them alike. Results go to benchmarks/input_pipeline/.
"""

from __future__ import annotations

import functools
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from efld_tf import config
from efld_tf.benchmarking.latency import current_conditions
from efld_tf.data.options import AugmentOptions, ServiceOptions
from efld_tf.quiet import quiet_tensorflow
from efld_tf.training.recipe import Recipe

OUTPUT = Path(__file__).parent / "input_pipeline"
ROUNDS = 5
SECONDS = 2.5  # of each measurement in each round
PARALLEL_CALLS = (1, 2, 4)


def main() -> None:
    """Measures, and writes results.json and table.md."""
    recipe_path = sys.argv[1] if len(sys.argv) > 1 else "configs/efld/cross_format.yaml"
    quiet_tensorflow()
    import tensorflow as tf

    from efld_tf.data import pack, pipeline
    from efld_tf.training import task

    recipe = config.load(recipe_path, Recipe)
    for source in recipe.data.sources:
        pack.pack(source, recipe.pack_folder(source), recipe.data.pack)
    sources = task.packed_sources(recipe)
    base = pipeline.BatchOptions(
        heads=tuple(recipe.heads), size=recipe.model.input_size,
        batch_size=recipe.training.batch_size, augment=recipe.data.augment,
    )

    def supply(**changes: Any) -> Iterator[dict]:
        return iter(pipeline.training_batches(sources, replace(base, **changes)))

    streams = {
        "pipeline": supply(),
        "crops only": supply(augment=AugmentOptions.none()),
        "not cached": supply(cache=False),
        "warp by TensorFlow's kernel": supply(portable=True),
    }
    for calls in PARALLEL_CALLS:
        streams[f"{calls} parallel"] = supply(parallel_calls=calls)
    for group, names in STAGES.items():
        streams[f"without {group}"] = supply(augment=_without(recipe.data.augment, names))
    dispatcher = tf.data.experimental.service.DispatchServer()
    worker_config = tf.data.experimental.service.WorkerConfig(
        dispatcher_address=dispatcher.target.partition("://")[2]
    )
    workers = [tf.data.experimental.service.WorkerServer(worker_config) for _ in range(2)]
    whole = [replace(source, repeat=float(round(source.repeat))) for source in sources]
    streams["tf.data service, 2 workers here"] = iter(
        pipeline.service_batches(whole, base, ServiceOptions(dispatcher.target))
    )
    steps: dict[str, Callable[[], object]] = {
        name: functools.partial(next, stream) for name, stream in streams.items()
    }
    steps["training step"] = _training_step(recipe, sources, next(streams["pipeline"]))
    rates = _measure(steps, base.batch_size)
    del workers, dispatcher
    ratio = rates["pipeline"] / rates["training step"]
    results = {
        "command": f"python benchmarks/input_pipeline.py {recipe_path}",
        "batch_size": base.batch_size,
        "conditions": asdict(current_conditions()),
        "faces_per_second": {name: round(rate, 1) for name, rate in rates.items()},
        "pipeline_over_training_step": round(ratio, 2),
    }
    OUTPUT.mkdir(exist_ok=True)
    (OUTPUT / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    (OUTPUT / "table.md").write_text(_table(results))
    print(_table(results))


# Which options of the augmentation make up a stage of the profile.
STAGES = {
    "rotation, zoom, shift, flip": ("flip", "rotation", "scale", "translation"),
    "blur": ("blur",),
    "noise": ("noise",),
    "occlusion": ("occlusion",),
}


def _without(augment: AugmentOptions, names: tuple[str, ...]) -> AugmentOptions:
    assert set(names) <= {option.name for option in fields(AugmentOptions)}
    nothing: dict[str, Any] = dict.fromkeys(names, 0.0)
    return replace(augment, **nothing)


def _training_step(recipe: Recipe, sources: list, batch: dict) -> Callable[[], object]:
    """One optimiser step on a batch that is already there."""
    import tensorflow as tf
    from official.core import exp_factory  # noqa: F401 - Model Garden's registry must be loaded

    from efld_tf.training import task

    params = task.experiment(recipe, 0)
    landmark_task = task.LandmarkTask(params.task)
    model = landmark_task.build_model()
    optimizer = landmark_task.create_optimizer(params.trainer.optimizer_config)
    metrics = landmark_task.build_metrics()
    inputs = (batch["image"], {"points": batch["points"], "mask": batch["mask"]})

    @tf.function
    def step() -> None:
        landmark_task.train_step(inputs, model, optimizer, metrics)

    return step


def _measure(steps: dict[str, Callable[[], object]], batch: int) -> dict[str, float]:
    """Faces a second of each step, the median over rounds."""
    for step in steps.values():  # traces, fills caches and buffers
        for _ in range(3):
            step()
    rounds: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(ROUNDS):
        for name, step in steps.items():
            for _ in range(4):  # what was prepared while others ran does not count
                step()
            count, start = 0, time.perf_counter()
            while (elapsed := time.perf_counter() - start) < SECONDS:
                step()
                count += 1
            rounds[name].append(count * batch / elapsed)
        print(f"round {number + 1} of {ROUNDS}", file=sys.stderr, flush=True)
    return {name: sorted(values)[len(values) // 2] for name, values in rounds.items()}


def _table(results: dict) -> str:
    rates, conditions = results["faces_per_second"], results["conditions"]
    step = rates["training step"]
    lines = [
        f"Batch {results['batch_size']}, {conditions['cores']} cores of {conditions['device']}. "
        f"The pipeline supplies **{results['pipeline_over_training_step']:.1f} times** what a "
        "training step consumes.",
        "",
        "| | faces/s | / training step |",
        "|---|---|---|",
        *(f"| {name} | {rate:,.0f} | {rate / step:.2f} |" for name, rate in rates.items()),
        "",
        f"Made by `{results['command']}`.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
