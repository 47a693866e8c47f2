"""How long and how fast a recipe learns. TensorFlow is not imported here."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from itertools import pairwise

from efld_tf.errors import EfldError

PRECISIONS = ("float32", "bfloat16", "float16")
OPTIMIZERS = ("adamw", "adam", "nadam", "sgd")
MAX_SEED = 2**31  # NumPy takes 32 bits; each round of self-training has the next one
MOST_FACES = 64  # that TensorBoard shows


@dataclass(frozen=True)
class TrainingRecipe:
    """How long and how fast to learn.

    Attributes:
      target_head: the head whose validation NME decides which weights are best.
      steps: optimiser steps; this or `epochs` is given.
      epochs: passes through the training faces, those of all sources times their `repeat`. One is
        as many steps as these faces / `batch_size`, rounded up; with `coherence`, / half of it. A
        run counts them when its data are packed, and its own recipe has the steps.
      batch_size: faces a step.
      learning_rate: at its highest; a cosine brings it to 0 at the last step.
      learning_rate_drops: shares of the steps at which the rate falls instead of following a
        cosine.
      learning_rate_drop_factor: what is left of the rate at each drop.
      optimizer: `adamw`, `adam`, `nadam`, or `sgd` with a momentum of 0.9.
      warmup_steps: linear rise from 0.
      weight_decay: of `adamw`, on kernels only; 0 with other optimizers.
      gradient_clip_norm: largest global norm of the gradient, or None for no clipping.
      weight_average: validate and keep the weights' exponential moving average instead of them; the
        share of the old average that a step keeps, such as 0.999, or 0 for none. It is updated
        every `log_interval` steps.
      loss: one that fits the family; None for its own.
      loss_options: numbers that the loss takes, such as `alpha` and `beta` of `pip`.
      coherence: the weight of the coherent loss, of families that predict a heatmap a point: each
        face comes twice in a batch, augmented in two ways, and its maps should differ by that
        alone. 0 for none; the dense U-Nets' paper has 0.001.
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
        anew, and options of the family that are not the same are told.
      backbone_weights: a file of public ImageNet weights for the backbone: of torchvision or timm
        (`.safetensors`) for ResNets, of tf_keras.applications (`.h5`) for MobileNets.
    """

    target_head: str
    steps: int | None = None
    epochs: int | None = None
    batch_size: int = 128
    learning_rate: float = 1e-3
    learning_rate_drops: list[float] = field(default_factory=list)
    learning_rate_drop_factor: float = 0.1
    optimizer: str = "adamw"
    warmup_steps: int = 0
    weight_decay: float = 1e-4
    gradient_clip_norm: float | None = None
    weight_average: float = 0.0
    loss: str | None = None
    loss_options: dict[str, float] = field(default_factory=dict)
    coherence: float = 0.0
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
        self._check_length()
        positive = ("batch_size", "learning_rate", "validation_interval",
                    "checkpoint_interval", "checkpoint_seconds", "log_interval")
        for name in positive:
            if not getattr(self, name) > 0:
                raise EfldError(f"{name}: expected a positive number, got {getattr(self, name)}")
        self._check_optimizer()
        if not 0 <= self.tensorboard_faces <= MOST_FACES:
            raise EfldError(f"tensorboard_faces: expected 0 up to {MOST_FACES}, got "
                            f"{self.tensorboard_faces}")
        if not 0 <= self.seed <= MAX_SEED:
            raise EfldError(f"seed: expected 0 up to {MAX_SEED}, got {self.seed}")
        if not 0 <= self.weight_average < 1:
            raise EfldError(
                f"weight_average: expected 0 up to, not including, 1, got {self.weight_average}"
            )
        if self.coherence < 0:
            raise EfldError(f"coherence: expected 0 or more, got {self.coherence}")
        if self.coherence and self.batch_size % (2 * (self.devices or 1)):
            raise EfldError("batch_size: with coherence, each device gets pairs of faces; expected "
                            f"a multiple of {2 * (self.devices or 1)}, got {self.batch_size}")
        if self.precision not in PRECISIONS:
            raise EfldError(f"precision: expected one of {PRECISIONS}, got {self.precision!r}")
        if self.devices is not None and (self.devices < 1 or self.batch_size % self.devices):
            raise EfldError(
                f"devices: expected a number that divides batch_size ({self.batch_size}), "
                f"got {self.devices}"
            )
        if self.init_from and self.backbone_weights:
            raise EfldError("init_from, backbone_weights: expected one of them, got both")

    def _check_length(self) -> None:
        """Refuses recipes that do not say how long, or say it twice."""
        if (self.steps is None) == (self.epochs is None):
            got = "neither" if self.steps is None else "both"
            raise EfldError(f"steps, epochs: expected one of them, got {got}")
        for name in ("steps", "epochs"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise EfldError(f"{name}: expected a positive number, got {value}")
        if self.warmup_steps < 0 or (self.steps is not None and self.warmup_steps >= self.steps):
            steps = "" if self.steps is None else f" ({self.steps})"
            raise EfldError(
                f"warmup_steps: expected 0 or more, and fewer than steps{steps}, got "
                f"{self.warmup_steps}"
            )

    def _check_optimizer(self) -> None:
        """Refuses optimizers that do not exist, and rates and decays that they cannot have."""
        if self.optimizer not in OPTIMIZERS:
            raise EfldError(f"optimizer: expected one of {OPTIMIZERS}, got {self.optimizer!r}")
        if self.weight_decay < 0:
            raise EfldError(f"weight_decay: expected 0 or more, got {self.weight_decay}")
        if self.weight_decay and self.optimizer != "adamw":
            raise EfldError(f"weight_decay: {self.optimizer} has none; set it to 0, got "
                            f"{self.weight_decay}")
        drops = [0.0, *self.learning_rate_drops, 1.0]
        if any(first >= second for first, second in pairwise(drops)):
            raise EfldError(
                "learning_rate_drops: expected rising fractions between 0 and 1, got "
                f"{self.learning_rate_drops}"
            )
        if not 0 < self.learning_rate_drop_factor < 1:
            raise EfldError("learning_rate_drop_factor: expected a number between 0 and 1, got "
                            f"{self.learning_rate_drop_factor}")
        if self.gradient_clip_norm is not None and not self.gradient_clip_norm > 0:
            raise EfldError("gradient_clip_norm: expected a positive number or null")

    @property
    def last_step(self) -> int:
        """The number of steps, once it is known.

        Raises:
          ValueError: it is not: the recipe has epochs.
        """
        if self.steps is None:
            raise ValueError("epochs are not counted in steps yet; see Recipe.in_steps")
        return self.steps

    def in_steps(self, faces: float) -> TrainingRecipe:
        """The same with `steps` in place of `epochs`.

        Args:
          faces: the number of training faces of an epoch.

        Raises:
          EfldError: there are no more steps than `warmup_steps`.
        """
        if self.epochs is None:
            return self
        # Sums of shares, such as ten times 0.1, may be a little more than a whole number.
        faces_a_step = self.batch_size / (2 if self.coherence else 1)
        steps = self.epochs * math.ceil(round(faces / faces_a_step, 6))
        return replace(self, steps=steps, epochs=None)
