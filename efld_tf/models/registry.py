"""The model families by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import numpy as np
import tensorflow as tf
import tf_keras

from efld_tf import trees
from efld_tf.errors import EfldError
from efld_tf.landmarks.geometry import LARGEST_CROP
from efld_tf.models import (
    coordnet,
    dense_unet,
    efld,
    heatmaps,
    lite_hrnet_deploy,
    lite_hrnet_plus,
    mapnet,
    on_backbone,
    pipnet,
    two_stage,
)
from efld_tf.models.blocks import near_zero
from efld_tf.models.codecs import HeatmapCodec, PIPCodec

# A head's prediction: a tensor, or several by name, as its family and its codec agree. A list of
# these is of one stage after the other, see `predictions`.
Raw: TypeAlias = Any

# The output that says whether there is a face, beside those of the heads.
PRESENCE = "presence"
# The name of its layer, and so of its weights in a file. Change it together with the features that
# a family's presence reads, so that weights for other features are refused.
PRESENCE_LAYER = "presence_logit"


# How many numbers the expected errors of a head's points follow from. More told nothing more
# (benchmarks/expected_errors).
ERROR_LATENTS = 4


def depth_output(head: str) -> str:
    """The name of the output, and of its layer, that tells the depths of a head's points."""
    return f"{head}_depth"


def errors_output(head: str) -> str:
    """The name of the output, and of its layer, that tells the expected errors of its points."""
    return f"{head}_errors"


def error_layers(head: str) -> tuple[str, str]:
    """The names of the two layers of that output, in their order."""
    return f"{errors_output(head)}_latent", errors_output(head)


def tells_quality(layer: str) -> bool:
    """Whether a layer tells presence or expected errors, which are fitted afterwards."""
    return layer == PRESENCE_LAYER or layer.endswith(("_errors_latent", "_errors"))


def predictions(raw: Raw) -> list[Raw]:
    """What the stages of a head predict: a list as it is, anything else as the only one.

    All stages learn the same targets (intermediate supervision); the last one's are the points.
    """
    return list(raw) if isinstance(raw, list | tuple) else [raw]


class Codec(Protocol):
    """Turns points into what a head predicts, and back; see `codecs`.

    Attributes:
      precision: how exactly `decode` inverts `encode`, in crop sides.
    """

    precision: float

    def encode(self, points: tf.Tensor, mask: tf.Tensor) -> Raw:
        """Turns points into training targets.

        Args:
          points: [B, N, 2] in the crop's unit square.
          mask: [B, N], 1 where a point is annotated.
        """

    def decode(self, raw: Raw) -> tf.Tensor:
        """A head's raw output -> points [B, N, 2] in the crop's unit square."""


# A family's dataclass of options.
Options = TypeVar("Options")


@dataclass(frozen=True)
class Grid(Generic[Options]):
    """The grid on which a family's heads score the places of points.

    Attributes:
      cells: (options, input size) -> cells a side.
      coarse: (model, head, level) -> the head's scores on a grid of cells 2^level times as long,
        by the same weights.
      encode: (codec, points [B, N, 2], level) -> target scores on such a grid, for self-training
        with curriculum.
      loss: (options) -> the name of the loss by which such scores learn those targets.
    """

    cells: Callable[[Options, int], int]
    coarse: Callable[[tf_keras.Model, str, int], tf.Tensor]
    encode: Callable[[Any, tf.Tensor, int], tf.Tensor]
    loss: Callable[[Options], str]


@dataclass(frozen=True)
class Family(Generic[Options]):
    """One family of architectures.

    Attributes:
      options: the dataclass of what can be varied.
      check_size: (options, input size) raises EfldError, which begins with `input_size`, for a size
        that does not fit the options.
      build: (options, input size, points by head) -> model from images [B, S, S, 3] in [0, 1] to
        {head: raw output}, or a list of raw outputs, of one stage after the other (`predictions`).
      codec: (options, input size, mean shape [N, 2]) -> the codec of a head.
      losses: the names of `training.losses` that fit what its heads predict, the default first.
      features: model -> features [B, C] of the crop, from which one dense layer tells whether it
        shows a face, another how far its points are in front, and two more how far off these may
        be; None for a family without such outputs.
      grid: the grid of its heads; None if they have none.
      load_backbone: (model, options, file) copies ImageNet weights into the backbone; None for a
        family that has none to load.
      by_correlation: (options) -> whether the codec also takes an order of the points, from the
        training faces (`PIPCodec`); None where it never does.
      by_maps: whether its heads predict one map a point, and nothing else, which the coherent loss
        compares.
      fits: (options, loss) -> whether one of the losses fits with these options; None where all do.
      deploy: (network without batch norms, calibration crops [F, S, S, 3], none for floats) -> one
        of the same function and outputs that has fewer or faster operators, for exports; None where
        the trained form is the fastest.
      for_integers: network as it was trained -> one of nearly the same points that integers can
        compute, or compute faster; it takes the trained one's place in modes that are calibrated.
        None where the trained one is that already.
      clip_percentile: in percent of the calibration crops, for the ranges of int8
        (`ranges.choose`); below 100 where a few faces drive unbounded activations much further.
    """

    options: type[Options]
    check_size: Callable[[Options, int], None]
    build: Callable[[Options, int, Mapping[str, int]], tf_keras.Model]
    codec: Callable[..., Codec]
    losses: tuple[str, ...]
    features: Callable[[tf_keras.Model], tf.Tensor] | None = None
    grid: Grid[Options] | None = None
    load_backbone: Callable[[tf_keras.Model, Options, Path], None] | None = None
    by_maps: bool = False
    fits: Callable[[Options, str], bool] | None = None
    by_correlation: Callable[[Options], bool] | None = None
    deploy: Callable[[tf_keras.Model, np.ndarray], tf_keras.Model] | None = None
    for_integers: Callable[[tf_keras.Model], tf_keras.Model] | None = None
    clip_percentile: float = 100.0


@dataclass(frozen=True)
class Architecture:
    """A family with options and an input size that fit.

    Attributes:
      name, family: the family's name, and the family.
      options: an instance of `family.options`.
      input_size: side S of the input in pixels.
    """

    name: str
    family: Family[Any]
    options: Any
    input_size: int

    @property
    def losses(self) -> tuple[str, ...]:
        """The names of the losses that fit, the default first."""
        fits = self.family.fits
        return tuple(loss for loss in self.family.losses
                     if fits is None or fits(self.options, loss))

    def build(
        self, heads: Mapping[str, int], presence: bool = False,
        depths: Mapping[str, Sequence[float]] | None = None, errors: Sequence[str] = (),
    ) -> tf_keras.Model:
        """Builds the model with fresh weights.

        Args:
          heads: points N by the name of each head's schema.
          presence: whether to add the output `PRESENCE`, see `with_presence`.
          depths: the mean depths [N] of those heads that tell depths, see `with_depth`.
          errors: those heads that tell how far off their points may be, see `with_errors`.

        Raises:
          EfldError: there is no head, or no output for presence, depths or errors in this family.
        """
        if not heads:
            raise EfldError("heads: at least one is needed")
        model = self.family.build(self.options, self.input_size, heads)
        for head, mean in (depths or {}).items():
            model = self.with_depth(model, head, mean)
        if presence:
            model = self.with_presence(model)
        for head in errors:
            model = self.with_errors(model, head, heads[head])
        return model

    @property
    def by_correlation(self) -> bool:
        """Whether codecs need an order of the points."""
        family = self.family
        return family.by_correlation is not None and family.by_correlation(self.options)

    def codec(self, mean_shape: np.ndarray, order: np.ndarray | None = None) -> Codec:
        """The codec of a head with this mean shape [N, 2].

        Args:
          order: [N, N - 1] as in `PIPCodec`, where `by_correlation`.
        """
        if self.by_correlation:
            return self.family.codec(self.options, self.input_size, mean_shape, order)
        return self.family.codec(self.options, self.input_size, mean_shape)

    def with_presence(self, model: tf_keras.Model) -> tf_keras.Model:
        """A model with the same layers and one more output.

        Returns:
          A model whose output `PRESENCE` is [B, 1], the log-odds that the crop shows a face, given
          by a new dense layer on the family's features.

        Raises:
          EfldError: the family has no such output, or the model has one of that name already.
        """
        if PRESENCE in model.output:
            raise EfldError(f"the model has an output {PRESENCE!r} already")
        logit = tf_keras.layers.Dense(1, name=PRESENCE_LAYER)(self._features(model))
        return tf_keras.Model(model.input, {**model.output, PRESENCE: logit}, name=model.name)

    def with_depth(
        self, model: tf_keras.Model, head: str, mean: Sequence[float]
    ) -> tf_keras.Model:
        """A model with the same layers and one more output.

        Args:
          mean: [N] the mean depths of the head's points, from which a new dense layer on the
            family's features starts.

        Returns:
          A model whose output `depth_output(head)` is [B, N], how far each point is in front of
          their mean, in sides of the crop.

        Raises:
          EfldError: the family has no such output, or the model has one of that name already.
        """
        name = depth_output(head)
        if name in model.output:
            raise EfldError(f"heads.{head}.depth: the model has an output {name!r} already; give "
                            "the schema of that head another name")
        depth = tf_keras.layers.Dense(
            len(mean), kernel_initializer=near_zero(),
            bias_initializer=tf_keras.initializers.Constant(np.array(mean)), name=name,
        )(self._features(model))
        return tf_keras.Model(model.input, {**model.output, name: depth}, name=model.name)

    def with_errors(self, model: tf_keras.Model, head: str, points: int) -> tf_keras.Model:
        """A model with the same layers and one more output.

        Args:
          points: N of the head.

        Returns:
          A model whose output `errors_output(head)` is [B, N], the log-odds of how far each point
          is expected to be off, in sides of the crop. Two dense layers on the family's features
          give it by way of `ERROR_LATENTS` numbers.

        Raises:
          EfldError: the family has no such output, or the model has one of that name already.
        """
        name = errors_output(head)
        if name in model.output:
            raise EfldError(f"the model has an output {name!r} already")
        latent, logit = error_layers(head)
        x = tf_keras.layers.Dense(ERROR_LATENTS, name=latent)(self._features(model))
        errors = tf_keras.layers.Dense(points, name=logit)(x)
        return tf_keras.Model(model.input, {**model.output, name: errors}, name=model.name)

    def _features(self, model: tf_keras.Model) -> tf.Tensor:
        """The family's features [B, C] of a model, which are those of its outputs that have some.

        Raises:
          EfldError: the family has none.
        """
        if self.family.features is None:
            raise EfldError(f"the family {self.name!r} has no features for a presence output, "
                            "depths or expected errors")
        readers = {PRESENCE: PRESENCE_LAYER}
        for head in model.output:
            readers[depth_output(head)] = depth_output(head)
            readers[errors_output(head)] = error_layers(head)[0]
        for output, layer in readers.items():
            if output in model.output:
                return model.get_layer(layer).input
        return self.family.features(model)

    def load_backbone(self, model: tf_keras.Model, path: str | Path) -> None:
        """Copies public ImageNet weights from a file into a model's backbone.

        Raises:
          EfldError: there are no weights for it.
          DataError: the file does not hold weights for it.
        """
        if self.family.load_backbone is None:
            raise EfldError(f"training.backbone_weights: the family {self.name!r} has no public "
                            "weights to start from")
        self.family.load_backbone(model, self.options, Path(path))

    def grid(self, level: int) -> Grid[Any]:
        """The family's grid, if it can be 2^level times as coarse.

        Raises:
          EfldError: the heads have no grid, or one that cannot be that coarse.
        """
        grid = self.family.grid
        if grid is None:
            raise EfldError(f"level: the family {self.name!r} has no grid that could be coarser")
        cells = grid.cells(self.options, self.input_size)
        if cells >> level < 2 or cells % 2**level:
            raise EfldError(
                f"level {level}: a grid of {cells} x {cells} cells cannot be halved so often")
        return grid

    def coarse_scores(self, model: tf_keras.Model, head: str, level: int) -> tf.Tensor:
        """A head's scores on a grid of cells 2^level times as long; errors as in `grid`."""
        return self.grid(level).coarse(model, head, level)


FAMILIES: dict[str, Family[Any]] = {
    "efld": Family(
        efld.EFLDOptions, efld.check_size, efld.build, efld.codec, ("nme", "l1", "wing"),
        efld.features,
    ),
    "pipnet": Family(
        pipnet.PIPNetOptions, pipnet.check_size, pipnet.build, pipnet.codec, ("pip",),
        pipnet.features,
        Grid(pipnet.grid, on_backbone.coarse_scores, PIPCodec.encode_coarse, pipnet.coarse_loss),
        on_backbone.load_backbone, by_correlation=pipnet.by_correlation,
    ),
    "coordnet": Family(
        coordnet.CoordNetOptions, on_backbone.check_size, coordnet.build, coordnet.codec,
        ("l1", "nme", "wing"), coordnet.features, load_backbone=on_backbone.load_backbone,
    ),
    "mapnet": Family(
        mapnet.MapNetOptions, on_backbone.check_size, mapnet.build, mapnet.codec,
        ("heatmap", "heatmap_bce"), mapnet.features,
        Grid(mapnet.grid, on_backbone.coarse_scores, HeatmapCodec.encode_coarse, heatmaps.loss),
        on_backbone.load_backbone, by_maps=True, fits=heatmaps.fits,
    ),
    "lite_hrnet_plus": Family(
        lite_hrnet_plus.LiteHRNetPlusOptions, lite_hrnet_plus.check_size, lite_hrnet_plus.build,
        lite_hrnet_plus.codec, ("heatmap_bce", "heatmap"), lite_hrnet_plus.features,
        by_maps=True, fits=heatmaps.fits, deploy=lite_hrnet_deploy.deploy, clip_percentile=95.0,
    ),
    "two_stage": Family(
        two_stage.TwoStageOptions, two_stage.check_size, two_stage.build, two_stage.codec,
        ("two_stage",), two_stage.features, deploy=two_stage.deploy,
        for_integers=two_stage.for_integers,
    ),
    "dense_unet": Family(
        dense_unet.DenseUNetOptions, dense_unet.check_size, dense_unet.build, dense_unet.codec,
        ("heatmap_bce", "heatmap"), dense_unet.features, by_maps=True,
        fits=heatmaps.fits, deploy=dense_unet.deploy, for_integers=dense_unet.by_sums,
    ),
}


def get(name: str) -> Family:
    """The family of that name.

    Raises:
      EfldError: there is none; the message lists the known ones.
    """
    if name not in FAMILIES:
        raise EfldError(f"unknown model family {name!r}; known: {', '.join(FAMILIES)}; one of your "
                        "own has to be registered first")
    return FAMILIES[name]


def register(name: str, family: Family[Any]) -> None:
    """Registers a family.

    Raises:
      EfldError: there is a family of that name already.
    """
    if name in FAMILIES:
        raise EfldError(f"there is a model family {name!r} already")
    FAMILIES[name] = family


def architecture(family: str, options: Mapping[str, Any], input_size: int) -> Architecture:
    """A family with the options of a config; no model is built.

    Raises:
      EfldError: the family is unknown, or does not accept the options or the size; the message
        begins with the key in a recipe.
    """
    try:
        definition = get(family)
    except EfldError as error:
        raise EfldError(f"model.family: {error}") from error
    parsed = trees.from_tree(dict(options), definition.options, "model.options")
    try:
        definition.check_size(parsed, input_size)
        if input_size > LARGEST_CROP:
            raise EfldError(f"input_size: expected at most {LARGEST_CROP} pixels, got {input_size}")
    except EfldError as error:
        raise EfldError(f"model.{error}") from error
    return Architecture(family, definition, parsed, input_size)
