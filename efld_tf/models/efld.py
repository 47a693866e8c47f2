"""EFLD: the EOSA backbone, its decoder and one concat-linear head a landmark format.

The architecture is that of J.-J. Wu, "Efficient Facial Landmark Detection for Embedded Systems",
ICME 2024 workshops, Sections 3.2, 3.3 and 4.1 and Figure 2. The paper leaves padding, bias, batch
norm and the place of the activation open; here every convolution is `same`-padded, has no bias and
is followed by batch norm and activation, which agrees with its 19.1 MFLOPs for 51 points at 128 x
128. The exception is the convolution that turns maps into vectors: without batch norm and
activation, its features give more precise points (`benchmarks/recipe_search`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import tf_keras

from efld_tf.errors import EfldError
from efld_tf.models.blocks import LINEAR, RELUS, Blocks, near_zero
from efld_tf.models.codecs import MeanResidualCodec

# Section 4.1, for each EOSA module: channels of an OSA layer, OSA layers, low-level channels.
MODULES = ((4, 2, 8), (8, 3, 8), (16, 3, 16), (16, 3, 32))
DECODER_CHANNELS = 256
HEAD_BLOCKS, HEAD_UNITS = 3, 32

# PFLD's head for the ablation. The paper gives neither its widths nor where it starts. These widths
# give 18.75 MFLOPs and 195 k parameters; the paper's Table 2 says 18.8 MFLOPs and 0.229 MB.
PFLD_CHANNELS = (96, 48)

HEADS = ("concat_linear", "pfld")
DECODERS = ("linear", "batch_norm")


@dataclass(frozen=True)
class EFLDOptions:
    """What can be varied in the family; by default the paper's model, with bounded activations.

    Attributes:
      activation: `relu6` (bounded, so that one odd calibration image cannot stretch the int8
        grid) or `relu` (as in the paper).
      decoder: what follows the convolution over the whole map, PFLD's included: `linear`, a bias
        alone, or `batch_norm`, batch norm and activation as everywhere else.
      separable: depthwise-separable low-level branches in modules 2 to 4; False is the paper's
        ablation "without the light backbone".
      head: `concat_linear`, or `pfld` for the ablation "without the light head".
      batch_norm_momentum: of every batch norm; 0.95 follows short runs calmly.
      head_batch_norm: whether the hidden layers of the concat-linear heads have batch norms, which
        export folds into them. They keep units alive at high learning rates, but gained nothing.
      dropout: share of the features before the heads that a training step leaves out.
    """

    activation: str = "relu6"
    decoder: str = "linear"
    separable: bool = True
    head: str = "concat_linear"
    batch_norm_momentum: float = 0.95
    head_batch_norm: bool = False
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.activation not in RELUS:
            raise EfldError(f"activation: expected one of {RELUS}, got {self.activation!r}")
        if self.decoder not in DECODERS:
            raise EfldError(f"decoder: expected one of {DECODERS}, got {self.decoder!r}")
        if self.head not in HEADS:
            raise EfldError(f"head: expected one of {HEADS}, got {self.head!r}")
        if not 0 < self.batch_norm_momentum < 1:
            raise EfldError("batch_norm_momentum: expected a number between 0 and 1, got "
                            f"{self.batch_norm_momentum}")
        if self.head_batch_norm and self.head != "concat_linear":
            raise EfldError(
                f"head_batch_norm: only the head concat_linear can have them, not {self.head}")
        if not 0 <= self.dropout < 1:
            raise EfldError(
                f"dropout: expected a number from 0 up to, not including, 1, got {self.dropout}")


def eosa(x: tf.Tensor, module: int, blocks: Blocks, separable: bool) -> tf.Tensor:
    """EOSA module (Figure 2a): [B, 2S, 2S, C] -> [B, S, S, N_OSA * F_OSA + F_conv].

    The OSA branch halves the resolution in its first layer; all its outputs and the low-level
    branch are concatenated.
    """
    osa_channels, osa_layers, low_level_channels = MODULES[module]
    name = f"eosa{module + 1}"
    low_level = blocks.separable if separable and module > 0 else blocks.conv
    outputs = [low_level(x, low_level_channels, 3, stride=2, name=f"{name}_low")]
    for layer in range(osa_layers):
        x = blocks.conv(x, osa_channels, 3, stride=1 if layer else 2, name=f"{name}_osa{layer + 1}")
        outputs.append(x)
    return tf_keras.layers.Concatenate(name=f"{name}_concat")(outputs)


def backbone(x: tf.Tensor, blocks: Blocks, separable: bool) -> tf.Tensor:
    """All EOSA modules: [B, S, S, 3] -> [B, S / 16, S / 16, 80]."""
    for module in range(len(MODULES)):
        x = eosa(x, module, blocks, separable)
    return x


def decoder(x: tf.Tensor, blocks: Blocks, linear: bool) -> tf.Tensor:
    """Decoder (Figure 2b): [B, S, S, C] -> [B, 256] by a 1x1 and a depthwise S x S convolution."""
    x = blocks.conv(x, DECODER_CHANNELS, 1, name="decoder_pointwise")
    x = blocks.depthwise(
        x, x.shape[1], padding="valid", name="decoder_depthwise",
        activation=LINEAR if linear else None, batch_norm=not linear,
    )
    return tf_keras.layers.Flatten(name="decoder_flatten")(x)


def pfld_features(x: tf.Tensor, blocks: Blocks, linear: bool) -> tf.Tensor:
    """PFLD's multi-scale features: [B, S, S, C] -> [B, C + 96 + 48].

    As in X. Guo et al., "PFLD: A Practical Facial Landmark Detector", Table 1, the averages of two
    scales and a full-size convolution of the second are concatenated.
    """
    middle = blocks.conv(x, PFLD_CHANNELS[0], 3, stride=2, name="pfld_middle")
    last = blocks.conv(
        middle, PFLD_CHANNELS[1], middle.shape[1], padding="valid", name="pfld_last",
        activation=LINEAR if linear else None, batch_norm=not linear,
    )
    pooled = [tf_keras.layers.GlobalAveragePooling2D(name=f"pfld_pool{i}")(scale)
              for i, scale in enumerate((x, middle))]
    return tf_keras.layers.Concatenate(name="pfld_concat")(
        [*pooled, tf_keras.layers.Flatten(name="pfld_flatten")(last)]
    )


def concat_linear_head(
    x: tf.Tensor, schema: str, blocks: Blocks, batch_norm: bool = False
) -> tf.Tensor:
    """Head (Section 3.3): [B, 256] -> [B, 352]; each dense layer is concatenated to its input."""
    for block in range(HEAD_BLOCKS):
        y = blocks.dense(x, HEAD_UNITS, name=f"{schema}_dense{block + 1}", batch_norm=batch_norm)
        x = tf_keras.layers.Concatenate(name=f"{schema}_concat{block + 1}")([x, y])
    return x


def check_size(options: EFLDOptions, input_size: int) -> None:
    """Refuses an input size that does not fit.

    Raises:
      EfldError: the size is not divisible by 16.
    """
    if input_size <= 0 or input_size % 16:
        raise EfldError(f"input_size: expected a multiple of 16, got {input_size}")


def build(options: EFLDOptions, input_size: int, heads: Mapping[str, int]) -> tf_keras.Model:
    """The network from images to the raw residuals of every head.

    Args:
      options: the variant.
      input_size: side of the input in pixels, divisible by 16.
      heads: points N by the name of each head's schema; at least one.

    Returns:
      A functional model: images [B, S, S, 3] float in [0, 1] -> {schema: [B, N, 2] residuals from
      the mean shape, in crop sides}.
    """
    blocks = Blocks(options.activation, options.batch_norm_momentum)
    image = tf_keras.Input((input_size, input_size, 3), name="image")
    x = backbone(image, blocks, options.separable)
    to_vector = decoder if options.head == "concat_linear" else pfld_features
    features = to_vector(x, blocks, options.decoder == "linear")
    if options.dropout:
        features = tf_keras.layers.Dropout(options.dropout, name="dropout")(features)
    outputs = {}
    for schema, points in heads.items():
        x = features
        if options.head == "concat_linear":
            x = concat_linear_head(features, schema, blocks, options.head_batch_norm)
        x = tf_keras.layers.Dense(
            2 * points, kernel_initializer=near_zero(), name=f"{schema}_points"
        )(x)
        outputs[schema] = tf_keras.layers.Reshape((points, 2), name=f"{schema}_residual")(x)
    return tf_keras.Model(image, outputs, name="efld")


def codec(options: EFLDOptions, input_size: int, mean_shape: np.ndarray) -> MeanResidualCodec:
    """The codec of a head."""
    return MeanResidualCodec(mean_shape)


def features(model: tf_keras.Model) -> tf.Tensor:
    """Features that tell a face from its surroundings: [B, 256].

    They are the means of modules 2 to 4 over the crop and the maxima of the last. Unlike the
    decoder's features, which serve only the points, they say what the crop shows, wherever it is.
    """
    last_module = model.get_layer("eosa4_concat").output
    maxima = tf_keras.layers.MaxPooling2D(last_module.shape[1], name="presence_maxima")(last_module)
    return tf_keras.layers.Concatenate(name="presence_features")([
        *(tf_keras.layers.GlobalAveragePooling2D(name=f"presence_means{module}")(
            model.get_layer(f"eosa{module}_concat").output) for module in (2, 3, 4)),
        tf_keras.layers.Flatten(name="presence_flatten")(maxima),
    ])
