"""A training run, which packs, trains with Orbit, validates, keeps the best weights and resumes."""

from __future__ import annotations

import contextlib
import logging
import re
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import tensorflow as tf
import tf_keras
from absl import logging as absl_logging
from official.core import train_lib

from efld_tf import config, files, quiet, runs, stopping
from efld_tf.data import pack
from efld_tf.data.options import SourceOptions
from efld_tf.errors import DataError, EfldError
from efld_tf.models import checkpoint, registry
from efld_tf.progress import Progress
from efld_tf.runs import Run, validation_history
from efld_tf.text import say
from efld_tf.training import averaging, checks, devices, run_folder, task
from efld_tf.training.recipe import Recipe
from efld_tf.training.validation_faces import ValidationFaces

TENSORBOARD_FACES = "validation_faces"  # the tag of the picture


def train(recipe: Recipe, *, progress: bool = True) -> Run:
    """Trains a recipe, or goes on where an earlier, killed run of it stopped.

    Raises:
      EfldError: the recipe has self-training, which is for `rounds.train`; the run's folder holds
        another recipe or was begun with other data; the data cannot be read; or the loss is no
        longer a finite number.
    """
    if recipe.self_training:
        raise EfldError("self_training: one run cannot carry it out; see rounds.train")
    prepare(recipe, progress=progress)
    return train_prepared(recipe, progress=progress)


def train_prepared(recipe: Recipe, *, progress: bool = True) -> Run:
    """Does the same as `train` for a recipe that is checked and whose sources are packed."""
    recipe = _in_steps(recipe, progress)
    run_folder.check(recipe)
    is_new = not recipe.folder.exists()
    training = recipe.training
    with run_folder.held(recipe.folder):
        run_folder.claim(recipe, recipe.data.sources)
        history = validation_history(recipe.folder)
        if history and (step := history[-1]["step"]) >= training.last_step:
            if progress:
                say(f"{recipe.folder}: trained to step {step} already; a larger training.steps "
                    "or training.epochs goes on from there", sys.stderr)
            return _found(recipe)
        devices.quiet_xla()
        with (
            _logs_to(recipe.folder / "train.log"),
            devices.determinism(training.deterministic),
            devices.precision(training.precision),
            contextlib.ExitStack() as stack,  # It ends before the stream that its bar is shown on.
        ):
            try:
                trainer = _Trainer(recipe, progress, stack)
            except Exception:
                if is_new:  # A network that cannot be built must not take the name.
                    shutil.rmtree(recipe.folder, ignore_errors=True)
                raise
            return trainer.run()


def _in_steps(recipe: Recipe, progress: bool) -> Recipe:
    """The recipe with its epochs counted in steps, which is told."""
    counted, epochs = recipe.in_steps(), recipe.training.epochs
    if progress and epochs is not None:
        say(f"{recipe.name}: {epochs} epochs of {recipe.faces():g} faces are "
            f"{counted.training.last_step} steps of {recipe.training.batch_size}", sys.stderr)
    return counted


def prepare(recipe: Recipe, *, progress: bool = True) -> None:
    """Checks the recipe before the run has a folder, and packs the data; errors as in `train`."""
    recipe.check_sources()
    devices.claim(recipe.training.devices, recipe.training.batch_size)
    checks.check_model(recipe)
    run_folder.check(recipe)
    pack_sources(recipe, recipe.data.sources, progress=progress)
    if not checks.is_validated(recipe, task.packed_sources(recipe)):
        say("note: no face is held out (validation_fraction): nothing is validated, and the last "
            "weights are kept", sys.stderr)


def pack_sources(recipe: Recipe, sources: list[SourceOptions], *, progress: bool) -> None:
    """Packs the sources that are not packed yet, and says what should be known of their faces.

    Errors are those of `pack.pack` and `checks.check_boxes`.
    """
    for source in sources:
        if not source.packed:
            manifest = pack.pack(
                source, recipe.pack_folder(source), recipe.data.pack, progress=progress)
            skipped = [f"{len(manifest.skipped)} left out; the first: {manifest.skipped[0]}"] \
                if manifest.skipped else []
            for note in [*manifest.notes, *skipped]:
                say(f"note: {source.name}: {note}", sys.stderr)
        checks.check_boxes(recipe, source)


class _Trainer:
    """The part of a run that one process does."""

    def __init__(self, recipe: Recipe, progress: bool, stack: contextlib.ExitStack):
        self.recipe, self.progress = recipe, progress
        self.folder = recipe.folder
        training = recipe.training
        tf_keras.utils.set_random_seed(training.seed)
        self.start_step, damaged = run_folder.newest_checkpoint(self.folder)
        run_folder.forget_later_validations(self.folder, self.start_step)
        params = task.experiment(recipe, self.start_step)
        self.task = task.LandmarkTask(params.task)
        self.validates = training.target_head in task.validated_heads(self.task.sources)
        self.loss: float | None = None  # until the first steps of this process
        self.bar = stack.enter_context(Progress(
            f"training {recipe.name}", training.last_step, "step", begun=self.start_step,
            shown=progress, kept=True, details=self._details))
        for text in damaged:
            self._say(text)
        if self.start_step:
            self._say(f"resuming from step {self.start_step}")
        self.until = 0  # the last step before the next validation
        self.last_saved: str | None = None  # the path of the last checkpoint
        self.saved_at = time.monotonic()
        self.held = stopping.Held()
        self.faces: ValidationFaces | None = None  # until the first validation
        strategy = devices.strategy(training.devices)
        self.runner = train_lib.OrbitExperimentRunner(
            distribution_strategy=strategy,
            task=self.task,
            mode="train_and_eval" if self.validates else "train",
            params=params,
            model_dir=str(self.folder / run_folder.CHECKPOINTS),
            train_actions=[self._average_weights, self._show_progress, self._save_or_stop],
        )
        if self.runner.trainer.optimizer.iterations.numpy() != self.start_step:
            # Restoring skips what it does not find.
            raise EfldError(f"{self.folder}: begun by another version, which cannot be resumed: "
                            "delete it or choose another name")
        if training.weight_average:
            self._begin_average()

    def _compare_start(self, init_from: str) -> None:
        """Says if the weights are of other options, or of faces of another size in the crop."""
        spec = checkpoint.read_spec(runs.trained_model(config.expand(init_from)))
        options = asdict(self.task.spec.architecture.options)
        for name, theirs in spec.options.items():  # which may be another family's
            if name in options and options[name] != theirs:
                self._say(f"{init_from} was trained with model.options.{name} {theirs}; "
                          f"here it is {options[name]}")
        zooms = {head.crop_rule.zoom for head in spec.heads.values()}
        if zooms != {zoom := self.recipe.data.pack.zoom}:
            listed = " and ".join(f"{value:g}" for value in sorted(zooms))
            self._say(f"{init_from} was trained with data.pack.zoom {listed}; here it is {zoom:g}")

    def run(self) -> Run:
        """Trains to the last step; at multiples of the interval and at the end `_validate`s."""
        training, controller = self.recipe.training, self.runner.controller
        step, last_step = self.start_step, training.last_step
        interval = training.validation_interval
        if self.task.started_anew:
            parts = ", ".join(_parts(self.task.started_anew, self.recipe.heads))
            self._say(f"{training.init_from} has no weights for: {parts}")
        if training.init_from and not step:
            self._compare_start(training.init_from)
        if self.task.spec.license != self.recipe.license:
            self._say(f"license of the weights: {self.task.spec.license}")
        if step and (step % interval == 0 or step == last_step) and not self._validated(step):
            self._validate(step)  # killed between a checkpoint and its validation
        if self.progress and step < last_step:
            self._say("compiling the graph, which the first step waits for")
        while step < last_step:
            step = self.until = min((step // interval + 1) * interval, last_step)
            try:
                # The checkpoint comes before the validation, so that a resumed run never goes
                # back behind weights that it has already called the best.
                with stopping.held_back() as self.held:
                    controller.train(step, checkpoint_at_completion=True)
            except (RuntimeError, tf.errors.OpError) as error:
                raise self._stopped(error) from error
            self._validate(step)
        return _found(self.recipe)

    def _save_or_stop(self, output: dict[str, Any]) -> None:
        """Saves a checkpoint if the last one is old; saves and ends if somebody asked to stop."""
        now, manager = time.monotonic(), self.runner.checkpoint_manager
        step = int(self.runner.trainer.global_step.numpy())
        if self.last_saved != manager.latest_checkpoint:  # Orbit saves, too
            self.last_saved, self.saved_at = manager.latest_checkpoint, now
        if self.held.signals or now - self.saved_at >= self.recipe.training.checkpoint_seconds:
            self.last_saved, self.saved_at = manager.save(checkpoint_number=step), now
        if self.held.signals:
            self._say(f"{self.folder}: saved at step {step}; the same command goes on from there")
            raise stopping.Stopped(self.held.signals[0])

    def _stopped(self, error: Exception) -> EfldError:
        """Says why training cannot go on, and what is kept."""
        kept = run_folder.newest_checkpoint(self.folder)[0]
        rest = f"; the same command goes on from step {kept}" if kept else ""
        return EfldError(f"{self.folder}: training stopped before step {self.until}: "
                         f"{_reason(error)}{rest}")

    def _begin_average(self) -> None:
        """Adds the average to the checkpoints, from which it is restored if there is one."""
        trainer = self.runner.trainer
        with trainer.strategy.scope():
            self.task.average = self.task.build_model()
        self.task.average.set_weights(trainer.model.get_weights())
        self.averaged_step = self.start_step
        trainer.checkpoint.average = self.task.average

    def _average_weights(self, output: dict[str, Any]) -> None:
        if self.task.average is None:
            return
        trainer, decay = self.runner.trainer, self.recipe.training.weight_average
        step = int(trainer.global_step.numpy())
        averaging.update(self.task.average, trainer.model, decay, self.averaged_step, step)
        self.averaged_step = step

    def _show_progress(self, output: dict[str, Any]) -> None:
        step = int(self.runner.trainer.global_step.numpy())
        self.loss = float(output["training_loss"])
        self.bar.reach(step)

    def _details(self, rate: float) -> str:
        """What the progress line says beside steps, of which there are `rate` a second."""
        loss = "" if self.loss is None else f", loss {self.loss:.4f}"
        return f"{rate * self.recipe.training.batch_size:.0f} images/s{loss}"

    def _validate(self, step: int) -> None:
        """Measures all heads, and saves the weights if they are the best so far.

        If nothing is held out, it saves them.
        """
        nme, depth = self._measured() if self.validates else ({}, {})
        best = _best(self.recipe)[1]
        least = float("inf") if best is None else best
        if not nme or nme[self.recipe.training.target_head] < least:
            training = {"recipe": self.recipe.name, "step": step, "validation_nme_percent": nme}
            if self.recipe.training.init_from:
                training["started_from"] = self.recipe.training.init_from
            spec = replace(self.task.spec, training=training)
            model = self.task.average or self.runner.trainer.model
            checkpoint.save(self.folder / runs.BEST_MODEL, spec, model)
        loss = None if self.loss is None else round(self.loss, 5)
        names = {head: self.task.normalisers[head].name for head in nme}
        entry = {"step": step, "training_loss": loss, "nme_percent": nme, "normaliser": names,
                 **({"depth_percent": depth} if depth else {})}
        run_folder.write_history(self.folder, [*validation_history(self.folder), entry])
        if not nme:
            return
        summary = ", ".join(f"{head} {nme[head]:.2f}% ({names[head]})" for head in nme)
        of_depths = ", ".join(f"{head} {error:.2f}%" for head, error in depth.items())
        self._say(f"step {step}: validation NME {summary}"
                  + (f"; of depths {of_depths}" if depth else ""))
        if self.recipe.training.tensorboard_faces:
            self._show_faces(step)

    def _measured(self) -> tuple[dict[str, float], dict[str, float]]:
        """The errors in percent of heads with held-out faces: of points, and of depths."""
        try:
            output = self.runner.controller.evaluate()
        except (RuntimeError, tf.errors.OpError) as error:
            raise self._stopped(error) from error
        nme, depth = (
            {head: round(float(output[f"{kind}_{head}"]), 4) for head in self.recipe.heads
             if f"{kind}_{head}" in output} for kind in (task.NME, task.DEPTH))
        return nme, depth

    def _show_faces(self, step: int) -> None:
        """Shows TensorBoard what the validated weights predict for a few held-out faces."""
        summaries = self.runner.controller.eval_summary_manager
        try:
            self.faces = self.faces or ValidationFaces(self.task)
            sheet = self.faces.sheet(self.task.average or self.runner.trainer.model)
            with summaries.summary_writer().as_default():
                tf.summary.image(TENSORBOARD_FACES, sheet[None], step=step)
            summaries.flush()
        except (RuntimeError, tf.errors.OpError) as error:
            raise self._stopped(error) from error

    def _say(self, line: str) -> None:
        say(line, sys.stderr)

    def _validated(self, step: int) -> bool:
        return any(entry["step"] == step for entry in validation_history(self.folder))


def _reason(error: Exception) -> str:
    """What an error of TensorFlow says, in one line."""
    first_line, _, rest = str(error).partition("\n")
    if first_line != "Graph execution error:":
        return first_line
    # The reason stands between where the node was made and the names of the nodes.
    line = [first_line, *rest.partition("\n\t [[")[0].splitlines()][-1]
    return re.sub(r".*\bIterator::\S+: ", "", line)


def _parts(weights: Iterable[str], heads: Iterable[str]) -> list[str]:
    """The heads that weights belong to, and the layers of weights that belong to no head."""
    longest_first = sorted(heads, key=len, reverse=True)
    layers = {name.split("/")[0] for name in weights}
    depths = {registry.depth_output(head): f"the depths of {head}" for head in longest_first}
    return sorted({depths.get(layer) or next(
        (head for head in longest_first if layer.startswith(f"{head}_")), layer)
        for layer in layers})


def _found(recipe: Recipe) -> Run:
    """What has come of a run; errors as in `_best`."""
    target, (step, nme) = recipe.training.target_head, _best(recipe)
    normaliser = "" if nme is None else task.normalisers_of(recipe)[target].name
    return Run(recipe.folder, target, step, nme, normaliser)


def _best(recipe: Recipe) -> tuple[int, float | None]:
    """The step of a run's best weights so far, and their validation NME of the target head.

    The NME is None if there are no weights yet, or nothing is held out to measure it.

    Raises:
      DataError: the weights are not those of a run with this head.
    """
    path = recipe.folder / runs.BEST_MODEL
    if not path.exists():
        return 0, None
    training, head = checkpoint.read_spec(path).training, recipe.training.target_head
    try:
        nme = training["validation_nme_percent"]
        return int(training["step"]), None if nme == {} else float(nme[head])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DataError(path, f"does not say its step and its validation NME of {head}: not the "
                              "weights of this run; delete it or choose another name") from error


@contextlib.contextmanager
def _logs_to(path: Path) -> Iterator[None]:
    """Sends all that Orbit prints and that the libraries log and write to stderr to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path)
    handler.handleError = lambda record: None  # type: ignore[method-assign]  # of a full disk
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    loggers = [absl_logging.get_absl_logger(), logging.getLogger("tensorflow")]
    before = [(logger, logger.handlers[:], logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [handler], False
    absl_logging.set_verbosity(absl_logging.INFO)
    try:
        with (
            files.errors_name(path), open(path, "a") as log, contextlib.redirect_stdout(log),
            quiet.native_stderr_silenced(path),
        ):
            yield
    finally:
        for logger, handlers, propagate in before:
            logger.handlers, logger.propagate = handlers, propagate
        handler.close()
