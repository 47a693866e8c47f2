"""Self-training: rounds of training, each on the pseudo-labels of the model of the one before.

The curriculum is H. Jin, S. Liao and L. Shao, "Pixel-in-Pixel Net: Towards Efficient Facial
Landmark Detection in the Wild", IJCV 2021, Section 3.3: early rounds learn only the scores of a
coarser grid from pseudo-labels, which are right more often than the points themselves.
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from efld_tf import files
from efld_tf.data.options import PACKED, SourceOptions
from efld_tf.models import registry
from efld_tf.runs import BEST_MODEL
from efld_tf.training import pseudo_labels, run
from efld_tf.training.recipe import Recipe

ROUNDS = "rounds.json"
# Section 3.3: Task 1, Task 2, and Task 3 three times; standard self-training is Task 3 alone.
CURRICULUM = (2, 1, 0, 0, 0)
STANDARD = (0, 0, 0)


def train(recipe: Recipe, *, progress: bool = True) -> run.RunResult:
    """Trains a recipe: one run, or with `self_training` its rounds, each of them a run.

    Round 0 learns from the labelled sources. Each further one labels the unlabelled sources by the
    best weights of the one before and learns, from new weights, from both. Killed, it goes on in
    the round it was in.

    Returns:
      The last round's best weights, which are also the folder's.

    Raises:
      EfldError: as in `run.train`, or the family has no coarser grid to learn.
    """
    if recipe.self_training is None:
        return run.train(recipe, progress=progress)
    levels = levels_of(recipe)
    sources = run.prepare(recipe, progress=progress)
    run.pack_sources(recipe, recipe.self_training.unlabelled, progress=progress)
    run.claim_folder(recipe, sources)
    labelled = replace(recipe, output_dir=str(recipe.folder), self_training=None)
    result = run.train(replace(labelled, name=round_name(0)), progress=progress)
    entries = [_entry(result)]
    for number, level in enumerate(levels, start=1):
        if progress:
            print(f"round {number} of {len(levels)}: pseudo-labels by {result.folder}, "
                  f"cells x {2**level}", file=sys.stderr)
        labels = _pseudo_label(recipe, number, level, result, progress)
        result = run.train(_round(labelled, number, labels), progress=progress)
        entries.append({**_entry(result), "level": level})
        files.write_json(recipe.folder / ROUNDS, entries)
    with files.atomic_path(recipe.folder / BEST_MODEL) as temporary:
        shutil.copyfile(result.folder / BEST_MODEL, temporary)
    return replace(result, folder=recipe.folder)


def levels_of(recipe: Recipe) -> tuple[int, ...]:
    """The level of each round after the first.

    Raises:
      EfldError: the family cannot learn one of them.
    """
    levels = recipe.self_training.levels
    if levels is None:
        levels = CURRICULUM if registry.get(recipe.model.family).coarse else STANDARD
    run.check_levels(recipe, levels)
    return tuple(levels)


def round_name(number: int) -> str:
    """The folder of a round within the run's."""
    return f"round_{number}"


def history(folder: Path) -> list[dict[str, Any]]:
    """The finished rounds of a run in order: step and validation NME of the best weights, level."""
    path = folder / ROUNDS
    return json.loads(path.read_text()) if path.exists() else []


def _round(labelled: Recipe, number: int, sources: list[SourceOptions]) -> Recipe:
    """The recipe of a round after the first: from other weights, in another order."""
    steps = {"seed": labelled.training.seed + number}
    return replace(
        labelled,
        name=round_name(number),
        data=replace(labelled.data, sources=[*labelled.data.sources, *sources]),
        training=replace(labelled.training, **steps),
    )


def _pseudo_label(
    recipe: Recipe, number: int, level: int, teacher: run.RunResult, progress: bool
) -> list[SourceOptions]:
    """Labels the unlabelled sources by the teacher; returns them as packed sources, one a head."""
    result = []
    for source in recipe.self_training.unlabelled:
        for head in source.heads:
            name = f"{source.name}-{head}"
            folder = recipe.folder / f"pseudo_{number}" / name
            pseudo_labels.write(
                recipe.pack_folder(source), folder, teacher.folder / BEST_MODEL, head,
                progress=progress,
            )
            result.append(SourceOptions(
                source=f"{PACKED}:{folder}", name=name, heads=[head], repeat=source.repeat,
                level=level,
            ))
    return result


def _entry(result: run.RunResult) -> dict[str, Any]:
    return {"round": result.folder.name, "step": result.step, "nme_percent": result.nme_percent}
