"""The Model Garden task: landmark heads of many formats on one backbone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from official.core import base_task, exp_factory, task_factory
from official.core import config_definitions as cfg

from efld_tf import config, runs
from efld_tf.data import augment, pipeline, shard_check
from efld_tf.data.manifest import open_packed
from efld_tf.errors import EfldError
from efld_tf.landmarks import normalisers, openings, schemas
from efld_tf.landmarks.geometry import tight_box
from efld_tf.landmarks.normalisers import BoxNormaliser
from efld_tf.landmarks.schema import Normaliser
from efld_tf.models import checkpoint, registry
from efld_tf.training import coherence, losses, model_spec, optimizers
from efld_tf.training.recipe import Recipe

# `{"points": {head: [B, N, 2]}, "mask": {head: [B, N]}, "level": [B], "aspect": [B],
# "boxes": {kind: [B, 2]}}`, as in `pipeline.training_batches`, which may have more.
Labels = Mapping[str, Any]
# What labels have where each face of a batch comes twice.
PAIRED = "to_stored"
# The kinds of errors; the metric of a head is `KIND_HEAD`.
NME, DEPTH = "nme", "depth"


@dataclasses.dataclass
class LandmarkTaskConfig(cfg.TaskConfig):
    """Model Garden's view of a recipe.

    Attributes:
      recipe: the recipe as YAML, since Model Garden would sort the keys of a dict and so change the
        order of the heads.
      start_step: the step of the checkpoint that a run resumes from.
    """

    recipe: str = ""
    start_step: int = 0


@task_factory.register_task_cls(LandmarkTaskConfig)
class LandmarkTask(base_task.Task):
    """Trains one model on several landmark formats at once (EFLD, Section 3.4)."""

    def __init__(self, params: LandmarkTaskConfig, logging_dir: str | None = None,
                 name: str | None = None):
        super().__init__(params, logging_dir, name)
        self.recipe = config.loads(params.recipe, Recipe)
        self.sources = packed_sources(self.recipe)
        self.spec = model_spec.of(self.recipe, self.sources)
        training = self.recipe.training
        fitting = self.spec.architecture.losses
        self._loss = losses.get(training.loss or fitting[0], training.loss_options)
        self._codecs = {head: self.spec.codec(head) for head in self.spec.heads}
        self.normalisers = normalisers_of(self.recipe)
        self._levels = sorted({source.level for source in self.sources} - {0})
        self._pairs = {head: self._opposite_points(head)
                       for head, about in self.recipe.heads.items() if about.openings}
        self.started_anew: list[str] = []  # weights that `init_from` did not supply
        self.average: tf_keras.Model | None = None  # the average of the weights, to validate

    def _opposite_points(self, head: str) -> list[tuple[int, int]]:
        """The pairs of a head's `openings`, which its decoding must let learn."""
        pairs = openings.pairs(schemas.get(head), np.array(self.spec.heads[head].mean_shape))
        if not pairs:
            raise EfldError(f"heads.{head}.openings: no points of its eyes and lips lie opposite "
                            "each other; expected 0")
        if getattr(self._codecs[head], "decoder", None) == "quarter":
            raise EfldError(f"heads.{head}.openings: nothing is learnt through the decoder "
                            "'quarter', which takes the highest pixel; expected 0, or another "
                            "model.options.decoder")
        return pairs

    def build_model(self) -> tf_keras.Model:
        """Builds the model with fresh weights, and with its scores on coarser grids to learn."""
        model, architecture = self.spec.build(), self.spec.architecture
        coarse = {
            _coarse_output(head, level): architecture.coarse_scores(model, head, level)
            for head in self.spec.heads for level in self._levels
        }
        return tf_keras.Model(model.input, {**model.output, **coarse}, name=model.name)

    def initialize(self, model: tf_keras.Model) -> None:
        """Loads `init_from` or `backbone_weights` into a run that has no checkpoint yet."""
        training = self.recipe.training
        if training.init_from:
            self.started_anew = checkpoint.load_matching(
                runs.trained_model(config.expand(training.init_from)), model
            )
        if training.backbone_weights:
            path = config.expand(training.backbone_weights)
            self.spec.architecture.load_backbone(model, path)

    def build_inputs(self, params: cfg.DataConfig,
                     input_context: tf.distribute.InputContext | None = None) -> tf.data.Dataset:
        """Builds batches of (images, labels), where labels are `Labels`."""
        data, training = self.recipe.data, self.recipe.training
        replicas = input_context.num_replicas_in_sync if input_context else 1
        options = pipeline.BatchOptions(
            heads=tuple(self.recipe.heads),
            size=self.recipe.model.input_size,
            batch_size=params.global_batch_size // replicas,
            augment=data.augment,
            seed=training.seed,
            cache=data.cache_decoded,
            black=data.black,
            pairs=bool(training.coherence),
            depths=tuple(head for head, about in self.recipe.heads.items() if about.depth),
            hidden={head: about.hidden for head, about in self.recipe.heads.items()
                    if about.hidden < 1},
        )
        if params.is_training:
            # A step takes one batch for each replica.
            first_batch = self.task_config.start_step * replicas
            if data.service:
                batches = pipeline.service_batches(self.sources, options, data.service)
            else:
                batches = pipeline.training_batches(self.sources, options, first_batch)
        else:
            batches = pipeline.validation_batches(self.sources, options)
        return batches.map(lambda batch: (batch.pop("image"), batch))

    def distance(self, head: str, points: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """The distance [B] of a head's faces for losses, or the mean face's if it is unknown.

        It is the mean face's for all of a schema of heads in any pose, whose errors are divided by
        a box: in profile the distance of two places may vanish.
        """
        normaliser = schemas.get(head).normaliser
        usual = float(normaliser.distance(np.array(self.spec.heads[head].mean_shape)))
        if isinstance(normalisers.find(schemas.get(head)), BoxNormaliser):
            return tf.fill(tf.shape(mask)[:1], usual)
        return normalising_distance(points, mask, normaliser, usual)

    def nme(self, head: str, predicted: tf.Tensor, labels: Labels) -> tf.Tensor:
        """The NME [B] of predictions [B, N, 2] in the head's normaliser, measured in the photo."""
        photo = _photo(labels)
        return losses.nme(predicted * photo, labels["points"][head] * photo, labels["mask"][head],
                          self._photo_distance(head, labels))

    def _photo_distance(self, head: str, labels: Labels) -> tf.Tensor:
        """The distance [B] of the head's normaliser in the photo, in widths of the crop."""
        points, mask = labels["points"][head] * _photo(labels), labels["mask"][head]
        chosen = self.normalisers[head]
        mean_shape = np.array(self.spec.heads[head].mean_shape)
        if isinstance(chosen, BoxNormaliser):
            usual = float(chosen.distance(tight_box(mean_shape)))
            size = chosen.size(*tf.unstack(labels["boxes"][chosen.box], axis=-1))
            return tf.where(size > 0, size, usual)  # NaN is not, either
        return normalising_distance(points, mask, chosen, float(chosen.distance(mean_shape)))

    def build_losses(
        self,
        labels: Labels,
        model_outputs: Mapping[str, tf.Tensor],
        aux_losses: list[tf.Tensor] | None = None,
    ) -> tf.Tensor:
        """The sum over heads of weight * (sum over annotated faces of the loss) / batch size.

        The loss of a face of level 0 is the recipe's; the loss of a face of another level is that
        of its coarser scores (PIPNet, Section 3.3). What a head's recipe weighs besides is added:
        depths, and for faces of level 0 openings.
        """
        total = tf.add_n(aux_losses) if aux_losses else 0.0
        model_outputs = _float32(model_outputs)
        for head, recipe in self.recipe.heads.items():
            points, mask, codec = labels["points"][head], labels["mask"][head], self._codecs[head]
            distance = self.distance(head, points, mask)
            target = codec.encode(points, mask)
            loss = tf.add_n([self._loss(raw, target, mask, distance)
                             for raw in registry.predictions(model_outputs[head])])
            for level in self._levels:
                grid = self.spec.architecture.grid(level)
                target = grid.encode(codec, points, level)
                coarse = losses.get(grid.loss(self.spec.architecture.options))(
                    model_outputs[_coarse_output(head, level)], target, mask, distance)
                loss = tf.where(labels["level"] == level, coarse, loss)
            if PAIRED in labels:
                loss += self.recipe.training.coherence * self._incoherence(
                    head, labels, model_outputs)
            if recipe.depth:
                loss += recipe.depth * self._depth_loss(head, labels, model_outputs, distance)
            if recipe.openings:
                predicted = self.predictions(head, model_outputs)
                # Of labels that are only roughly right, the scores alone are learnt.
                exact = tf.cast(labels["level"] == 0, loss.dtype)
                loss += recipe.openings * exact * losses.openings(
                    predicted, points, mask, distance, self._pairs[head])
            # One of several replicas may get no face of the last batch of a validation.
            faces = tf.cast(tf.shape(loss)[0], loss.dtype)
            total += recipe.weight * tf.math.divide_no_nan(tf.reduce_sum(loss), faces)
        return total

    def _incoherence(
        self, head: str, labels: Labels, model_outputs: Mapping[str, Any]
    ) -> tf.Tensor:
        """How much the maps of each pair of faces differ, summed over the stages: [B]."""
        placed = augment.Placed(labels[PAIRED], labels["mirrored"])
        return tf.add_n([
            coherence.difference(maps, placed, schemas.get(head).known_flip, labels["mask"][head])
            for maps in registry.predictions(model_outputs[head])])

    def _depth_loss(
        self, head: str, labels: Labels, model_outputs: Mapping[str, Any], distance: tf.Tensor
    ) -> tf.Tensor:
        """The mean error of a face's depths divided by its distance, see `losses.depth`: [B]."""
        return losses.depth(model_outputs[registry.depth_output(head)], labels["depth"][head],
                            tf.constant(self.spec.heads[head].mean_depth), distance)

    def validation_step(
        self, inputs: tuple[tf.Tensor, Labels], model: tf_keras.Model,
        metrics: list[tf_keras.metrics.Metric] | None = None,
    ) -> dict[str, tf.Tensor]:
        """Runs Model Garden's validation step, on the average of the weights if there is one."""
        return super().validation_step(inputs, self.average or model, metrics)

    def build_metrics(self, training: bool = True) -> list[tf_keras.metrics.Metric]:
        """The errors in percent of each head; in validation, only of heads with held-out faces.

        They are its NME, and that of its depths if it learns them, divided by the same distance.
        """
        measured = self.spec.heads if training else validated_heads(self.sources)
        return [tf_keras.metrics.Mean(f"{kind}_{head}")
                for head, recipe in self.recipe.heads.items() if head in measured
                for kind in (NME, *([DEPTH] if recipe.depth else []))]

    def predictions(self, head: str, outputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """The points [B, N, 2] of a head, in the image's unit square, from a model's outputs."""
        return self._codecs[head].decode(registry.predictions(_float32(outputs)[head])[-1])

    def process_metrics(
        self,
        metrics: list[tf_keras.metrics.Metric],
        labels: Labels,
        model_outputs: Mapping[str, tf.Tensor],
        **kwargs: object,
    ) -> None:
        """Updates each head's errors with the faces that are annotated in its format.

        They are those in the photo, also where crops are stretched, up to what augmentation
        changes.
        """
        for metric in metrics:
            kind, head = metric.name.split("_", 1)
            if kind == DEPTH:
                # Depths are in mean sides of the crop, and the distance is in its widths.
                distance = self._photo_distance(head, labels) / tf.sqrt(labels["aspect"])
                error = self._depth_loss(head, labels, _float32(model_outputs), distance)
                annotated = tf.math.is_finite(labels["depth"][head])
            else:
                error = self.nme(head, self.predictions(head, model_outputs), labels)
                annotated = labels["mask"][head] > 0
            faces = tf.cast(tf.reduce_any(annotated, axis=-1), error.dtype)
            metric.update_state(100.0 * error, sample_weight=faces)


def _photo(labels: Labels) -> tf.Tensor:
    """Factors from the crop's unit square to widths of the crop in the photo: [B, 1, 2]."""
    aspect = labels["aspect"]
    return tf.stack([tf.ones_like(aspect), aspect], axis=-1)[:, None]


def _float32(outputs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Converts outputs to float32, as losses and errors are small, whatever the precision."""
    return tf.nest.map_structure(lambda output: tf.cast(output, tf.float32), outputs)


def _coarse_output(head: str, level: int) -> str:
    """The name of the training model's output of a head's scores on a coarser grid."""
    return f"{head}_level{level}"


def normalising_distance(
    points: tf.Tensor, mask: tf.Tensor, normaliser: Normaliser, usual: float
) -> tf.Tensor:
    """The normalising distance of points [B, N, 2], in their unit: [B].

    Args:
      mask: [B, N], above 0 where a point is annotated.
      usual: the distance for faces where one of the normaliser's points is not annotated.
    """
    right, left = (
        tf.reduce_mean(tf.gather(points, end, axis=1), axis=1)
        for end in (normaliser.right, normaliser.left)
    )
    needed = tf.gather(mask, [*normaliser.right, *normaliser.left], axis=1)
    return tf.where(tf.reduce_min(needed, axis=1) > 0, tf.norm(right - left, axis=-1), usual)


def normalisers_of(recipe: Recipe) -> dict[str, Normaliser | BoxNormaliser]:
    """What the errors of each head are divided by in validation; errors as in `check_sources`."""
    return {head: normalisers.find(schemas.get(head), options.normaliser)
            for head, options in recipe.heads.items()}


def validated_heads(sources: Sequence[pipeline.PackedSource]) -> set[str]:
    """The heads for which some held-out faces are annotated."""
    return {head for s in sources if s.manifest.faces("validation") for head in s.heads}


def packed_sources(recipe: Recipe) -> list[pipeline.PackedSource]:
    """The packed sources of a recipe; they must have been packed.

    Raises:
      DataError: a folder is not a packed one, or holds other files than those that were packed.
    """
    result = []
    for source in recipe.data.sources:
        folder = recipe.pack_folder(source)
        manifest = open_packed(folder)
        shard_check.check(folder, manifest)
        heads = pipeline.supervised_heads(source, manifest.schema)
        result.append(
            pipeline.PackedSource(folder, manifest, heads, source.repeat, source.level,
                                  source.emphasis)
        )
    return result


@exp_factory.register_config_factory("efld_landmarks")
def default_experiment() -> cfg.ExperimentConfig:
    """The registered experiment, to be filled by `experiment`."""
    return cfg.ExperimentConfig(
        task=LandmarkTaskConfig(
            train_data=cfg.DataConfig(is_training=True),
            validation_data=cfg.DataConfig(is_training=False),
        ),
        trainer=cfg.TrainerConfig(
            optimizer_config=optimizers.OptimizationConfig(
                {"optimizer": {"type": "adamw"}, "learning_rate": {"type": "cosine"}}
            ),
            preemption_on_demand_checkpoint=False,
            max_to_keep=2,
        ),
    )


def experiment(recipe: Recipe, start_step: int) -> cfg.ExperimentConfig:
    """The Model Garden experiment of a recipe."""
    training = recipe.training
    params = exp_factory.get_exp_config("efld_landmarks")
    batch = {"global_batch_size": training.batch_size}
    params.override({
        "runtime": {"mixed_precision_dtype": training.precision},
        "task": {
            "recipe": config.dump(recipe),
            "start_step": start_step,
            "train_data": batch,
            "validation_data": batch,
        },
        "trainer": {
            "optimizer_config": optimizers.config(training),
            "train_steps": training.last_step,
            "steps_per_loop": training.log_interval,
            "summary_interval": training.log_interval,
            "checkpoint_interval": training.checkpoint_interval,
            "validation_interval": training.validation_interval,
        },
    }, is_strict=False)
    return params
