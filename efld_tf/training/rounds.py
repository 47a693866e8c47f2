"""Self-training: rounds of training, each on pseudo-labels by the model of the last round.

The curriculum is that of H. Jin, S. Liao and L. Shao, "Pixel-in-Pixel Net: Towards Efficient Facial
Landmark Detection in the Wild", IJCV 2021, Section 3.3: early rounds learn only the scores of a
coarser grid from pseudo-labels, which are right more often than the points themselves.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from efld_tf import config, files, trees
from efld_tf.annotations.sources import PACKED
from efld_tf.data.options import SourceOptions
from efld_tf.errors import DataError, EfldError
from efld_tf.models import checkpoint, registry
from efld_tf.runs import BEST_MODEL, Run, trained_model
from efld_tf.text import say
from efld_tf.training import checks, model_spec, pseudo_labels, run, run_folder, task
from efld_tf.training.recipe import Recipe, SelfTrainingRecipe, pseudo_names

ROUNDS = "rounds.json"
MOST_BYTES = 1 << 20  # of that file
# Task 1, Task 2, and Task 3 three times (Section 3.3); standard self-training is Task 3 alone.
CURRICULUM = (2, 1, 0, 0, 0)
STANDARD = (0, 0, 0)
DISTILLATION = (0,)


def train(recipe: Recipe, *, progress: bool = True) -> Run:
    """Trains a recipe: one run, or with `self_training` its rounds, each of which is a run.

    Round 0 learns from the labelled sources. Each further round labels the unlabelled sources with
    the best weights of the last round (its last ones, if nothing is held out) and learns from both.
    It starts from the recipe's initial weights again (new ones, `backbone_weights` or `init_from`).
    With a teacher there is no round 0, and round 1 learns from the teacher's labels. A killed
    training goes on in the same round.

    The folder gets `round_K/`, the folder of an ordinary run, `pseudo_K/`, which has the unlabelled
    faces packed again with their pseudo-labels, `rounds.json` and the last round's best weights.

    Returns:
      The last round's best weights, which are also the folder's.

    Raises:
      EfldError: as in `run.train`, or the family cannot learn one of the levels.
    """
    if recipe.self_training is None:
        return run.train(recipe, progress=progress)
    recipe.check_sources()
    unlabelled = recipe.self_training.unlabelled
    levels_of(recipe, recipe.self_training)
    teacher = _teacher(recipe, recipe.self_training)
    run.prepare(recipe, progress=progress)
    run.pack_sources(recipe, unlabelled, progress=progress)
    _check_crops(recipe, unlabelled, teacher)
    with run_folder.held(recipe.folder):
        run_folder.claim(recipe, [*recipe.data.sources, *unlabelled])
        return _train_rounds(recipe, recipe.self_training, teacher, progress)


def _train_rounds(
    recipe: Recipe, self_training: SelfTrainingRecipe, teacher: Path | None, progress: bool
) -> Run:
    """Trains all rounds into the folder, which is held."""
    levels, entries = levels_of(recipe, self_training), list[dict[str, Any]]()
    if teacher is None:
        result = run.train_prepared(_round(recipe, self_training, 0, []), progress=progress)
        _note(recipe, entries, result)
        teacher = result.folder / BEST_MODEL
    for number, level in enumerate(levels, start=1):
        gc.collect()  # frees the decoded faces of the last round
        if progress:
            cells = f", cells x {2**level}" if level else ""
            say(f"round {number} of {len(levels)}: pseudo-labels by {teacher}{cells}", sys.stderr)
        labels = _pseudo_label(recipe, self_training, number, level, teacher, progress)
        round_recipe = _round(recipe, self_training, number, labels)
        result = run.train_prepared(round_recipe, progress=progress)
        _note(recipe, entries, result, level)
        teacher = result.folder / BEST_MODEL
    _keep(result, recipe)
    return replace(result, folder=recipe.folder)


def levels_of(recipe: Recipe, self_training: SelfTrainingRecipe) -> tuple[int, ...]:
    """The level of each round after the first.

    Raises:
      EfldError: the family cannot learn one of the levels.
    """
    levels: Sequence[int]
    if self_training.levels is not None:
        levels = self_training.levels
    elif self_training.teacher is not None:
        levels = DISTILLATION
    else:
        levels = CURRICULUM if registry.get(recipe.model.family).grid else STANDARD
    checks.check_levels(checks.architecture(recipe), levels)
    return tuple(levels)


def history(folder: Path) -> list[dict[str, Any]]:
    """The finished rounds of a run in order.

    Each entry has `round`, the name of its folder, and `step` and `nme_percent` of its best
    weights; those after the first have their `level`.

    Raises:
      DataError: the file is damaged.
    """
    path = folder / ROUNDS
    if not path.exists():
        return []
    try:
        tree = json.loads(files.read_bytes(path, MOST_BYTES))
        entries: list[dict[str, Any]] = trees.checked(tree, list[dict[str, Any]], "")
    except (ValueError, RecursionError, EfldError) as error:
        raise DataError(path, "damaged; delete it, and the same command writes it anew") from error
    return entries


def _teacher(recipe: Recipe, self_training: SelfTrainingRecipe) -> Path | None:
    """The file of the teacher, if there is one.

    Raises:
      DataError: the teacher sees faces in other crops than the recipe's.
    """
    if self_training.teacher is None:
        return None
    path = trained_model(config.expand(self_training.teacher))
    spec, pack, zoom = checkpoint.read_spec(path), recipe.data.pack, recipe.data.pack.zoom
    if pack.size < spec.input_size * pack.margin:
        raise DataError(path, f"sees {spec.input_size} pixels; with data.pack.margin it needs a "
                        f"data.pack.size of {spec.input_size * pack.margin:g}, not {pack.size}")
    for head in {head for source in self_training.unlabelled for head in source.heads}:
        teacher_zoom = spec.heads[checkpoint.chosen_head(path, spec, head)].crop_rule.zoom
        if teacher_zoom != zoom:
            raise DataError(
                path, f"trained with data.pack.zoom {teacher_zoom:g}, but the recipe's is {zoom:g}")
    return path


def _check_crops(recipe: Recipe, unlabelled: list[SourceOptions], teacher: Path | None) -> None:
    """Checks that unlabelled faces are cropped as those of the model that labels them first.

    Raises:
      DataError: they are not.
    """
    if teacher is None:
        spec = model_spec.of(recipe, task.packed_sources(recipe))
    else:
        spec = checkpoint.read_spec(teacher)
    for source in unlabelled:
        for head in source.heads:
            pseudo_labels.check_crops(recipe.pack_folder(source), head, spec.heads[head])


def _round(
    recipe: Recipe, self_training: SelfTrainingRecipe, number: int, labels: list[SourceOptions]
) -> Recipe:
    """The recipe of a round, whose seed differs from those of earlier rounds."""
    training = self_training.length(recipe.training) if number else recipe.training
    return replace(
        recipe,
        name=f"round_{number}",
        output_dir=_folder(recipe),
        self_training=None,
        data=replace(recipe.data, sources=[*recipe.data.sources, *labels]),
        training=replace(training, seed=training.seed + number),
    )


def _folder(recipe: Recipe) -> str:
    """The run's folder as the recipe states it; `${NAME}` stays, so that runs can be moved."""
    return f"{recipe.output_dir}/{recipe.name}"


def _pseudo_label(
    recipe: Recipe, self_training: SelfTrainingRecipe, number: int, level: int, teacher: Path,
    progress: bool,
) -> list[SourceOptions]:
    """Labels the unlabelled sources by the teacher and returns a packed source for each head."""
    result = []
    for source in self_training.unlabelled:
        for head, name in pseudo_names(source).items():
            folder = f"{_folder(recipe)}/pseudo_{number}/{name}"
            pseudo_labels.write(
                recipe.pack_folder(source), Path(config.expand(folder)), teacher, head,
                progress=progress,
            )
            result.append(SourceOptions(
                source=f"{PACKED}:{folder}", name=name, heads=[head], repeat=source.repeat,
                level=level, emphasis=source.emphasis,
            ))
    return result


def _note(
    recipe: Recipe, entries: list[dict[str, Any]], result: Run, level: int | None = None
) -> None:
    """Appends a finished round; when rounds are passed again, later ones stay in the file."""
    entry = {"round": result.folder.name, "step": result.step, "nme_percent": result.nme_percent}
    entries.append(entry if level is None else {**entry, "level": level})
    if len(entries) > len(history(recipe.folder)):
        files.write_json(recipe.folder / ROUNDS, entries)


def _keep(last_round: Run, recipe: Recipe) -> None:
    """Copies the last round's best weights to the folder of the whole run."""
    spec, model = checkpoint.load(last_round.folder / BEST_MODEL)
    training = {**spec.training, "recipe": f"{recipe.name}/{last_round.folder.name}"}
    checkpoint.save(recipe.folder / BEST_MODEL, replace(spec, training=training), model)
