"""The folder of a training run: whose it is, and what a stopped run goes on from."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from efld_tf import config, files, locks, trees
from efld_tf.data.manifest import read_manifest
from efld_tf.data.options import SourceOptions
from efld_tf.errors import DataError, EfldError
from efld_tf.runs import VALIDATION_LOG, validation_history
from efld_tf.training.recipe import Recipe

RECIPE_FILE = "recipe.yaml"
DATA_FILE = "data.json"
MOST_BYTES = 1 << 26  # of that file
CHECKPOINTS = "checkpoints"

DIFFERENCES = 3  # the most differences of two recipes that a message lists
# What may differ when a run goes on; with self-training, later rounds build on its length.
MAY_CHANGE = frozenset({"training.validation_interval", "training.checkpoint_interval",
                        "training.checkpoint_seconds", "training.log_interval",
                        "training.devices", "training.tensorboard_faces"})
LENGTH = frozenset({"training.steps", "training.epochs"})


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Makes a folder, and keeps other commands from writing to it during the block.

    Raises:
      EfldError: another command is writing there.
    """
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with locks.hold(folder, folder / locks.IN_FOLDER):
            yield
    finally:
        if is_new:
            with contextlib.suppress(OSError):  # there is something in it
                folder.rmdir()


def check(recipe: Recipe) -> None:
    """Refuses a folder in which another recipe was trained.

    Raises:
      EfldError: the folder's recipe differs in more than may change on resuming.
    """
    path = recipe.folder / RECIPE_FILE
    if not path.exists():
        return
    may_change = MAY_CHANGE if recipe.self_training else MAY_CHANGE | LENGTH
    try:
        # An older version did not know every field.
        differences = [text for text in config.differences(config.load(path, Recipe), recipe)
                       if text.partition(":")[0] not in may_change]
    except EfldError as error:
        differences = [str(error)]
    if differences:
        hidden = len(differences) - DIFFERENCES
        rest = f" and {hidden} more" if hidden > 0 else ""
        raise EfldError(
            f"{recipe.folder} holds a run of another recipe ({'; '.join(differences[:DIFFERENCES])}"
            f"{rest}); choose another name (--set name=..., and --init-from {recipe.folder} to go "
            f"on from its weights) or delete the folder"
        )


def claim(recipe: Recipe, sources: Sequence[SourceOptions]) -> None:
    """Saves the resolved recipe and a description of its data in the folder.

    Args:
      sources: all sources that the run uses; they are packed.

    Raises:
      EfldError: the folder was claimed with other data.
    """
    manifests = {s.name: read_manifest(recipe.pack_folder(s)) for s in sources}
    data = {
        name: {
            "train": manifest.faces("train"),
            "validation": manifest.faces("validation"),
            "skipped": len(manifest.skipped),
            "content_sha256": manifest.content_sha256,
        }
        for name, manifest in manifests.items()
    }
    path = recipe.folder / DATA_FILE
    before = _data_before(path) or data
    changed = [name for name in {**before, **data} if before.get(name) != data.get(name)]
    if changed:
        raise EfldError(
            f"the data of {recipe.folder} have changed since it was begun ({', '.join(changed)}); "
            f"choose another name (--set name=...) or delete the folder"
        )
    files.write_json(path, data)
    files.write_text(recipe.folder / RECIPE_FILE, config.dump(recipe))


def _data_before(path: Path) -> dict[str, Any] | None:
    """The data with which a folder was claimed; None if it was not.

    Raises:
      DataError: the file is damaged.
    """
    if not path.exists():
        return None
    try:
        return trees.from_tree(json.loads(files.read_bytes(path, MOST_BYTES)), dict[str, Any])
    except (ValueError, RecursionError, EfldError) as error:
        raise DataError(path, "damaged; if the data of the run are still the same, delete this "
                        "file to go on") from error


def newest_checkpoint(folder: Path) -> tuple[int, list[str]]:
    """Finds the newest whole checkpoint of a run, which is the one that will be restored.

    Args:
      folder: the run's.

    Returns:
      Its step, 0 if the run has not come to its first checkpoint; and lines that say which newer
      checkpoints are damaged.

    Raises:
      DataError: the run has been validated, but no checkpoint is whole.
    """
    checkpoints, damaged = folder / CHECKPOINTS, list[str]()
    # Left by a command that was killed, or met a full disk, while it saved.
    for left in checkpoints.glob("ckpt-*_temp"):
        shutil.rmtree(left, ignore_errors=True)
    for left in checkpoints.glob("checkpoint.tmp*"):
        left.unlink(missing_ok=True)
    steps = {int(number): path for path in checkpoints.glob("ckpt-*")
             if (number := path.name.removeprefix("ckpt-").partition(".")[0]).isdecimal()}
    for step in sorted(steps, reverse=True):
        path = checkpoints / f"ckpt-{step}"
        if _is_whole(path):
            kept = [str(checkpoints / f"ckpt-{other}") for other in sorted(steps) if other <= step]
            tf.compat.v1.train.update_checkpoint_state(str(checkpoints), str(path), kept)
            return step, damaged
        damaged.append(f"{path}: damaged, so that the run goes on from an earlier checkpoint")
    if validation_history(folder):
        raise DataError(
            checkpoints, "no whole checkpoint is left to go on from; delete the folder, or choose "
            f"another name (--set name=..., and --init-from {folder} to go on from its best "
            "weights)")
    # A run is saved before it is validated: it has not come farther than its first checkpoints.
    for pattern in ("checkpoint", "ckpt-*"):
        for path in checkpoints.glob(pattern):
            path.unlink(missing_ok=True)
    return 0, [f"{checkpoints}: damaged, so that the run starts anew"] if damaged else []


def _is_whole(path: Path) -> bool:
    """Whether all values of a checkpoint can be read; TensorFlow compares their checksums."""
    try:
        reader = tf.train.load_checkpoint(str(path))
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    except Exception:  # TensorFlow's errors here are of many kinds, such as IndexError.
        return False
    return True


def forget_later_validations(folder: Path, step: int) -> None:
    """Drops validations after a step from a run's history, since it will be trained again."""
    history = validation_history(folder)
    if any(entry["step"] > step for entry in history):
        write_history(folder, [entry for entry in history if entry["step"] <= step])


def write_history(folder: Path, entries: Sequence[dict[str, Any]]) -> None:
    """Writes the validations of a run."""
    text = "".join(json.dumps(entry) + "\n" for entry in entries)
    files.write_text(folder / VALIDATION_LOG, text)
