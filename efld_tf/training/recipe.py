"""The contents of a training config. TensorFlow is not imported, so that mistakes show at once."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from efld_tf import config, licenses
from efld_tf.annotations.sources import declare_schema
from efld_tf.data.manifest import open_packed
from efld_tf.data.options import (
    AugmentOptions,
    PackOptions,
    ServiceOptions,
    SourceOptions,
    check_service_repeat,
)
from efld_tf.errors import DataError, EfldError
from efld_tf.landmarks import schemas

PRECISIONS = ("float32", "bfloat16", "float16")
MAX_SEED = 2**31  # NumPy takes 32 bits; each round of self-training has the next one
MOST_FACES = 64  # that TensorBoard shows


@dataclass(frozen=True)
class ModelRecipe:
    """Which network.

    Attributes:
      family: of architectures, such as `efld` or `pipnet`.
      input_size: side of the input in pixels.
      options: of the family.
    """

    family: str = "efld"
    input_size: int = 128
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class HeadRecipe:
    """One head: the schema is its name in the recipe.

    Attributes:
      weight: of its loss.
    """

    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.weight < 0:
            raise EfldError(f"weight: expected 0 or more, got {self.weight}")


@dataclass(frozen=True)
class DataRecipe:
    """Which faces, and how they are mixed and changed.

    Attributes:
      sources: the annotated sources.
      cache_dir: where packed sources are kept, one folder a source.
      pack: how crops are stored.
      augment: random changes of training crops.
      cache_decoded: keep all decoded crops in memory.
      black: replace all pixels by black, in validation too: what is learnt then are the places of
        points alone (PIPNet, Section 3.4).
      service: let a `tf.data` service on other hosts decode and augment.
    """

    sources: list[SourceOptions]
    cache_dir: str = "packed"
    pack: PackOptions = field(default_factory=PackOptions)
    augment: AugmentOptions = field(default_factory=AugmentOptions)
    cache_decoded: bool = True
    service: ServiceOptions | None = None
    black: bool = False


@dataclass(frozen=True)
class TrainingRecipe:
    """How long and how fast to learn.

    Attributes:
      steps: optimiser steps.
      batch_size: faces a step.
      learning_rate: at its highest; a cosine brings it to 0 at the last step.
      learning_rate_drops: shares of the steps at which the rate falls to a tenth instead of
        following a cosine.
      warmup_steps: linear rise from 0.
      weight_decay: AdamW's, on kernels only.
      gradient_clip_norm: largest global norm of the gradient, or None for no clipping.
      weight_average: validate and keep the weights' exponential moving average instead of them; the
        share of the old average that a step keeps, such as 0.999, or 0 for none. It is updated
        every `log_interval` steps.
      loss: one that fits the family; None for its own.
      loss_options: numbers that the loss takes, such as `alpha` and `beta` of `pip`.
      target_head: the head whose validation NME decides which weights are best.
      validation_interval: steps between validations.
      checkpoint_interval: steps between checkpoints that a killed run resumes from.
      checkpoint_seconds: the longest time between them, if `log_interval` steps take less.
      log_interval: steps between updates of the progress line and of TensorBoard.
      tensorboard_faces: held-out faces of the target head that TensorBoard shows after each
        validation, with what is annotated and predicted; 0 for none.
      seed: of weights, order and augmentation; from 0 up to 2^31.
      devices: GPUs to train on, each with its share of every batch; None for all. Without a GPU,
        logical devices of the CPU.
      precision: `float32`, `bfloat16` or `float16`, in which activations are computed; weights are
        float32.
      deterministic: bit-equal results on equal hardware, at some cost in speed.
      init_from: a run's folder or model file to start from; heads and layers that it lacks start
        anew.
      backbone_weights: a file of public ImageNet weights for the backbone: of torchvision or timm
        (`.safetensors`) for ResNets, of tf_keras.applications (`.h5`) for MobileNets.
    """

    steps: int
    target_head: str
    batch_size: int = 128
    learning_rate: float = 1e-3
    learning_rate_drops: list[float] = field(default_factory=list)
    warmup_steps: int = 0
    weight_decay: float = 1e-4
    gradient_clip_norm: float | None = None
    weight_average: float = 0.0
    loss: str | None = None
    loss_options: dict[str, float] = field(default_factory=dict)
    validation_interval: int = 500
    checkpoint_interval: int = 500
    checkpoint_seconds: float = 60.0
    log_interval: int = 20
    tensorboard_faces: int = 8
    seed: int = 1
    devices: int | None = None
    precision: str = "float32"
    deterministic: bool = False
    init_from: str | None = None
    backbone_weights: str | None = None

    def __post_init__(self) -> None:
        positive = ("steps", "batch_size", "learning_rate", "validation_interval",
                    "checkpoint_interval", "checkpoint_seconds", "log_interval")
        for name in positive:
            if not getattr(self, name) > 0:
                raise EfldError(f"{name}: expected a positive number, got {getattr(self, name)}")
        if not 0 <= self.tensorboard_faces <= MOST_FACES:
            raise EfldError(f"tensorboard_faces: expected 0 up to {MOST_FACES}, got "
                            f"{self.tensorboard_faces}")
        if not 0 <= self.seed <= MAX_SEED:
            raise EfldError(f"seed: expected 0 up to {MAX_SEED}, got {self.seed}")
        if not 0 <= self.warmup_steps < self.steps:
            raise EfldError(
                f"warmup_steps: expected fewer than steps ({self.steps}), got {self.warmup_steps}"
            )
        if not 0 <= self.weight_average < 1:
            raise EfldError(
                f"weight_average: expected 0 up to, not including, 1, got {self.weight_average}"
            )
        if self.weight_decay < 0:
            raise EfldError(f"weight_decay: expected 0 or more, got {self.weight_decay}")
        if self.precision not in PRECISIONS:
            raise EfldError(f"precision: expected one of {PRECISIONS}, got {self.precision!r}")
        if self.devices is not None and (self.devices < 1 or self.batch_size % self.devices):
            raise EfldError(
                f"devices: expected a number that divides batch_size ({self.batch_size}), "
                f"got {self.devices}"
            )
        if self.init_from and self.backbone_weights:
            raise EfldError("init_from, backbone_weights: expected one of them, got both")
        drops = [0.0, *self.learning_rate_drops, 1.0]
        if any(first >= second for first, second in pairwise(drops)):
            raise EfldError(
                "learning_rate_drops: expected rising fractions between 0 and 1, got "
                f"{self.learning_rate_drops}"
            )
        if self.gradient_clip_norm is not None and not self.gradient_clip_norm > 0:
            raise EfldError("gradient_clip_norm: expected a positive number or null")


def pseudo_names(source: SourceOptions) -> dict[str, str]:
    """The names of an unlabelled source with its pseudo-labels, by head."""
    return {head: f"{source.name}-{head}" for head in source.heads}


@dataclass(frozen=True)
class SelfTrainingRecipe:
    """Rounds of training on faces that the model of the round before has labelled.

    Attributes:
      unlabelled: sources of further faces. Their own points say where the crop is, nothing else;
        `heads` are those that get pseudo-labels, each a source of its own with this `repeat`. Faces
        that are held out get none.
      teacher: a run's folder or model file, of any family, that labels for the first round in
        place of round 0, which is left out: knowledge distillation. It must have been trained with
        this `data.pack.zoom`.
      levels: of each round but round 0, what its pseudo-labels are used for; see
        `data.sources.N.level`. None for PIPNet's curriculum, [2, 1, 0, 0, 0], where the family has
        scores on a grid, else for standard self-training, [0, 0, 0]; with a teacher [0].
      steps: of each round but round 0; None for those of `training`. More faces need more.
    """

    unlabelled: list[SourceOptions]
    teacher: str | None = None
    levels: list[int] | None = None
    steps: int | None = None

    def __post_init__(self) -> None:
        if not self.unlabelled:
            raise EfldError("unlabelled: at least one source is needed")
        for source in self.unlabelled:
            if source.level:
                raise EfldError(
                    f"unlabelled: {source.name}: level is not for unlabelled sources; see levels"
                )
        names = [name for source in self.unlabelled for name in pseudo_names(source).values()]
        if len(set(names)) < len(names):
            raise EfldError("unlabelled: two sources have the same name and head")
        if self.levels is not None and (not self.levels or min(self.levels) < 0):
            raise EfldError(f"levels: expected numbers of 0 or more, got {self.levels}")


@dataclass(frozen=True)
class Recipe:
    """A training run.

    Attributes:
      name: of the run; its folder is `output_dir/name`.
      heads: landmark formats that the model predicts, by the names of their schemas.
      data: which faces, and how they are mixed and changed.
      training: how long and how fast to learn.
      model: which network.
      self_training: rounds of training on faces that a model has labelled; None for none.
      output_dir: where runs are kept.
      license: of the weights, as the data allow; goes into every exported model.
    """

    name: str
    heads: dict[str, HeadRecipe]
    data: DataRecipe
    training: TrainingRecipe
    model: ModelRecipe = field(default_factory=ModelRecipe)
    self_training: SelfTrainingRecipe | None = None
    output_dir: str = "runs"
    license: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", self.name):
            raise EfldError(f"name: expected letters, digits, '_', '.' or '-', got {self.name!r}")
        licenses.checked(self.license)
        if self.training.target_head not in self.heads:
            raise EfldError(f"training.target_head: {self.training.target_head!r} is not in heads")
        stored, needed = self.data.pack.size, self.model.input_size * self.data.pack.margin
        if stored < needed:
            raise EfldError(
                f"data.pack.size: {stored} px hold less detail than the model sees; with "
                f"model.input_size and data.pack.margin it must be at least {needed:g}"
            )
        if 2 * self.data.augment.blur_sigma > self.model.input_size:
            raise EfldError("data.augment.blur_sigma: expected at most half of model.input_size, "
                            f"got {self.data.augment.blur_sigma}")
        if self.data.service and self.training.deterministic:
            raise EfldError(
                "data.service: the order of its batches depends on the workers' speed; "
                "it cannot be combined with training.deterministic"
            )
        if self.data.service:
            for options in self.data.sources:
                check_service_repeat(options.source, options.repeat)
        self._check_heads()
        self._check_held_out()
        if self.self_training:
            self._check_unlabelled(self.self_training)
        if not any(
            (source.validation_fraction or source.packed)
            and self.training.target_head in source.heads
            for source in self.data.sources
        ):
            raise EfldError(
                "data.sources: one that supervises training.target_head needs a "
                "validation_fraction, to choose the best weights by"
            )

    @property
    def _unlabelled(self) -> list[SourceOptions]:
        return self.self_training.unlabelled if self.self_training else []

    def check_sources(self) -> None:
        """Finds mistakes that only files show, before any work, and declares the sources' schemas.

        Raises:
          EfldError: a schema file or packed folder cannot be read, a packed source does not fit
            the recipe, or the schema of a head is not known.
        """
        for options in [*self.data.sources, *self._unlabelled]:
            if options.packed:
                self._check_packed(options.source, options.packed)
            else:
                declare_schema(options.source)
        for head in self.heads:
            if head not in schemas.names():
                raise EfldError(
                    f"heads.{head}: no landmark schema of that name; expected one of "
                    f"{', '.join(schemas.names())}, or of a source with ?schema=FILE.yaml"
                )

    def _check_packed(self, source: str, folder: Path) -> None:
        """Refuses a packed source whose crops are of another size than the recipe's."""
        stored_pack, recipe_pack = open_packed(folder).pack, self.data.pack
        for name in ("size", "margin", "zoom"):
            stored, expected = getattr(stored_pack, name), getattr(recipe_pack, name)
            if stored != expected:
                raise EfldError(
                    f"{source}: packed with {name} {stored:g}, but data.pack.{name} is "
                    f"{expected:g}"
                )

    def _check_heads(self) -> None:
        """Refuses sources that do not fit the heads, or each other."""
        sources = self.data.sources
        names = [source.name for source in sources]
        if len(set(names)) < len(names):
            raise EfldError("data.sources: two sources have the same name")
        for head in {head for source in sources for head in source.heads} - set(self.heads):
            raise EfldError(f"data.sources: the head {head!r} is not in heads")
        for head in set(self.heads) - {h for s in sources if not s.level for h in s.heads}:
            coarsely = any(head in source.heads for source in sources)
            remark = ", but for those of a level above 0" if coarsely else ""
            raise EfldError(f"heads.{head}: no source supervises it{remark}")

    def _check_held_out(self) -> None:
        """Refuses faces that are held out of one source and trained on by another."""
        shares: dict[str, float] = {}
        for options in [*self.data.sources, *self._unlabelled]:
            share = shares.setdefault(options.source, options.validation_fraction)
            if share != options.validation_fraction:
                raise EfldError(
                    f"validation_fraction: {options.source} has {share:g} in one place and "
                    f"{options.validation_fraction:g} in another, so that faces held out would be "
                    "trained on; give it the same"
                )

    def _check_unlabelled(self, self_training: SelfTrainingRecipe) -> None:
        """Refuses unlabelled sources that do not fit the heads or the labelled ones."""
        if self_training.steps is not None:
            try:
                replace(self.training, steps=self_training.steps)
            except EfldError as error:
                raise EfldError(f"self_training.steps: {error}") from error
        if self.data.service:
            raise EfldError("data.service: it cannot be combined with self_training")
        names = {source.name for source in self.data.sources}
        for source in self_training.unlabelled:
            for head in set(source.heads) - set(self.heads):
                raise EfldError(f"self_training.unlabelled: the head {head!r} is not in heads")
            if names & {source.name, *pseudo_names(source).values()}:
                raise EfldError(
                    f"self_training.unlabelled: {source.name}: a source of data.sources has that "
                    "name, or the one it gets with its head"
                )

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return Path(config.expand(self.output_dir)) / self.name

    def pack_folder(self, options: SourceOptions) -> Path:
        """The folder in which a source of this recipe is packed, or will be.

        The name ends in a hash of the options, so that two recipes that pack the same source
        differently do not replace each other's folder.
        """
        if options.packed:
            return options.packed
        settings = [options.source, options.validation_fraction, options.on_error,
                    asdict(options.crop), asdict(self.data.pack)]
        digest = hashlib.sha256(json.dumps(settings).encode()).hexdigest()
        return Path(config.expand(self.data.cache_dir)) / f"{options.name}-{digest[:8]}"


def load(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Reads a recipe and checks it, also for mistakes that only files show.

    Raises:
      EfldError: as in `config.load`.
      DataError: as in `Recipe.check_sources`.
    """
    recipe = config.load(path, Recipe, overrides)
    try:
        recipe.check_sources()
    except EfldError as error:
        raise DataError(path, str(error)) from error
    return recipe
