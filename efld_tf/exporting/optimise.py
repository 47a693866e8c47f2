"""Rewrites a network into a form that runs faster, beyond what the converter does.

Every step keeps the function (up to rounding) and the multiply-accumulates (up to the few that
summing partial sums takes); `benchmarks/export.py` measures the gain of each:

- `fold_batch_norms`: each batch norm goes into the convolution or dense layer before it. The
  converter would do so too; done first, it makes the other steps simple. One that comes first in
  its block becomes a depthwise convolution of one tap, which is one operator with its activation,
  and in integers exact to a scale a channel and a bias of 32 bits; the converter's product and sum
  are two, and their constants have one scale each.
- `split_depthwise`: XNNPACK's depthwise kernels have up to 25 taps; a larger one, such as the 8 x 8
  of EFLD's decoder, is computed channel by channel. Here it becomes four partial sums of 16 taps
  and their sum.
- `merge_siblings`: convolutions that read the same tensor become one where that saves time. XNNPACK
  computes 16 output channels at a time, so that 8 + 4 cost twice as much as 12.
- `interleave_as_planes` (int8 only): a concatenation of few channels copies a handful of bytes at
  a time, pixel after pixel. Tensors are instead stacked as planes of 4 channels, which takes one
  copy each, and one transposition of 32-bit elements puts the channels side by side. Merged
  siblings come apart in the same way.
- `lift_biases`: the bias of a linear decoder goes into the dense layers behind it. The converter
  alone would move it halfway and add it a second time, on a coarser int8 grid.
- `dense_as_convolutions` (integer weights only): dense layers become 1 x 1 convolutions, which
  every runtime computes with a scale for each of their outputs.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras import layers

from efld_tf.errors import UnsupportedMode
from efld_tf.models.blocks import Channels, HardSwish
from efld_tf.models.rebuild import Rebuild, call, consumers, copied, rebuilt

# Channels of a plane; 4 int8 values are one 32-bit element, which XNNPACK transposes fast.
PLANE = 4
# From this many channels on, copying a pixel's channels is as fast as transposing them.
LARGEST_PIECE = 12
# Output channels that XNNPACK's convolutions compute at a time.
TILE = 16
# The most taps of XNNPACK's depthwise kernels.
MOST_TAPS = 25

LINEAR = tf_keras.activations.linear

# Layers that treat [B, 1, 1, C] as they treat [B, C].
ELEMENTWISE = layers.ReLU | HardSwish | layers.Concatenate


def fold_batch_norms(model: tf_keras.Model) -> tf_keras.Model:
    """Folds each batch norm into the kernel and bias of the convolution or dense layer before it.

    Batch norms of maps that have no such layer become one. Dropout, which does nothing outside of
    training, is left out.
    """

    def fold(layer: layers.Layer, new: Rebuild) -> bool:
        if isinstance(layer, layers.Dropout):
            new.put(layer.output, new.value(layer.input))
            return True
        if isinstance(layer, layers.BatchNormalization) and len(layer.input.shape) == 4:
            factor, bias = _affine(layer)
            alone = layers.DepthwiseConv2D(1, name=layer.name)
            kernel = factor[None, None, :, None]
            new.put(layer.output, call(alone, new.value(layer.input), [kernel, bias]))
            return True
        following = consumers(layer)
        kinds = layers.Conv2D | layers.DepthwiseConv2D | layers.Dense
        if not isinstance(layer, kinds) or len(following) != 1:
            return False
        norm = following[0]
        if not isinstance(norm, layers.BatchNormalization) or layer.activation is not LINEAR:
            return False
        kernel, *bias = layer.get_weights()
        factor, bias = _affine(norm, bias[0] if bias else 0.0)
        kernel = scaled(layer, kernel, factor)
        output = call(copied(layer, use_bias=True), new.value(layer.input), [kernel, bias])
        new.put(layer.output, output)
        new.put(norm.output, output)
        return True

    return rebuilt(model, fold)


def scaled(layer: layers.Layer, kernel: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """A layer's kernel with each output channel multiplied by its factor [C].

    Output channels come last, except in depthwise [H, W, C, 1] and transposed [H, W, C, in] ones.
    """
    channels_last = not isinstance(layer, layers.DepthwiseConv2D | layers.Conv2DTranspose)
    return kernel * (factor if channels_last else factor[:, None])


def _affine(
    norm: layers.BatchNormalization, bias: np.ndarray | float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Factor [C] and shift [C] of adding a bias and a batch norm, which may lack one of its own."""
    values = [np.asarray(value, np.float64) for value in norm.get_weights()]
    *_, mean, variance = values
    gamma = values.pop(0) if norm.scale else 1.0
    beta = values.pop(0) if norm.center else 0.0
    factor = gamma / np.sqrt(variance + norm.epsilon)
    return factor, beta + (bias - mean) * factor


def split_depthwise(model: tf_keras.Model) -> tf_keras.Model:
    """Turns each depthwise convolution over a whole tensor into partial sums and their sum.

    `parts` neighbouring columns are taken for channels, which is another view of the same bytes.
    """

    def split(layer: layers.Layer, new: Rebuild) -> bool:
        if not isinstance(layer, layers.DepthwiseConv2D) or layer.depth_multiplier != 1:
            return False
        _, height, width, channels = layer.input.shape
        parts = _parts(height, width)
        if layer.kernel_size != (height, width) or layer.padding != "valid" or not parts:
            return False
        kernel, *bias = layer.get_weights()
        taps = height * width // parts
        columns = layers.Reshape((taps, 1, parts * channels), name=f"{layer.name}_columns")
        x = columns(new.value(layer.input))
        partial = layers.DepthwiseConv2D((taps, 1), name=f"{layer.name}_parts")
        x = call(partial, x, [kernel.reshape(taps, 1, -1, 1), np.zeros(parts * channels)])
        x = layers.Reshape((parts, 1, channels), name=f"{layer.name}_channels")(x)
        total = layers.DepthwiseConv2D(
            (parts, 1), use_bias=layer.use_bias, name=f"{layer.name}_sum"
        )
        new.put(layer.output, call(total, x, [np.ones((parts, 1, channels, 1)), *bias]))
        return True

    return rebuilt(model, split)


def _parts(height: int, width: int) -> int | None:
    """The fewest partial sums that make a kernel small enough; None if not needed or possible."""
    if height * width <= MOST_TAPS:
        return None
    fitting = (parts for parts in range(2, width + 1) if width % parts == 0)
    return next((parts for parts in fitting if height * width // parts <= MOST_TAPS), None)


def lift_biases(model: tf_keras.Model) -> tf_keras.Model:
    """Moves the bias of a depthwise convolution that only dense layers read into their biases."""
    shifts: dict[int, np.ndarray] = {}  # the bias that each vector of the new model lacks

    def lift(layer: layers.Layer, new: Rebuild) -> bool:
        if isinstance(layer, layers.DepthwiseConv2D) and layer.use_bias and ends_in_dense(layer):
            kernel, shifts[id(layer.output)] = layer.get_weights()
            plain = copied(layer, use_bias=False)
            new.put(layer.output, call(plain, new.value(layer.input), [kernel]))
            return True
        inputs = tf.nest.flatten(layer.input)
        if not any(id(tensor) in shifts for tensor in inputs):
            return False
        input_shifts = [shifts.get(id(tensor), np.zeros(tensor.shape[-1])) for tensor in inputs]
        if not isinstance(layer, layers.Dense):
            shifts[id(layer.output)] = np.concatenate(input_shifts)
            return False
        kernel, bias = layer.get_weights()
        weights = [kernel, bias + input_shifts[0] @ kernel]
        new.put(layer.output, call(copied(layer), new.value(layer.input), weights))
        return True

    return rebuilt(model, lift)


def ends_in_dense(layer: layers.Layer) -> bool:
    """Whether a layer gives one vector that only dense layers with a bias read, unchanged."""
    if layer.output.shape[1:3] != (1, 1) or layer.activation is not LINEAR:
        return False
    reached = consumers(layer)
    for reader in reached:  # the list grows in the loop
        if isinstance(reader, layers.Reshape | layers.Flatten | layers.Concatenate):
            is_joined = isinstance(reader, layers.Concatenate)
            if not is_joined and reader.output.shape[-1] != reader.input.shape[-1]:
                return False
            following = consumers(reader)
            if not following:
                return False
            reached += following
        elif not isinstance(reader, layers.Dense) or not reader.use_bias:
            return False
    return bool(reached)


def merge_siblings(model: tf_keras.Model) -> tf_keras.Model:
    """Merges convolutions of one tensor that differ only in their kernels."""

    def merge(layer: layers.Layer, new: Rebuild) -> bool:
        siblings = _siblings(layer)
        filters = [sibling.filters for sibling in siblings]
        # One alone saves nothing either.
        if _tiles(sum(filters)) == sum(map(_tiles, filters)):
            return False
        activations = [consumers(sibling)[0] for sibling in siblings]
        name = "_and_".join(sibling.name for sibling in siblings)
        merged = copied(layer, filters=sum(filters), name=name)
        weights = zip(*(sibling.get_weights() for sibling in siblings), strict=True)
        x = call(merged, new.value(layer.input), [np.concatenate(w, axis=-1) for w in weights])
        x = copied(activations[0], name=f"{name}_act")(x)
        starts = np.cumsum([0, *filters])
        for activation, start, count in zip(activations, starts, filters, strict=False):
            part = SiblingChannels(int(start), count, name=f"{activation.name}_part")
            new.put(activation.output, part(x))
        for sibling in siblings:
            new.put(sibling.output, x)
        return True

    return rebuilt(model, merge)


def _tiles(filters: int) -> int:
    return -(-filters // TILE)


def _siblings(layer: layers.Layer) -> list[layers.Conv2D]:
    """The convolutions that can be merged with this one, itself included."""

    def key(conv: layers.Layer) -> tuple | None:
        following = consumers(conv)
        plain = type(conv) is layers.Conv2D and conv.groups == 1
        if not plain or len(following) != 1 or conv.filters % PLANE:
            return None
        if not isinstance(following[0], layers.ReLU):
            return None
        config = {k: v for k, v in conv.get_config().items() if k not in ("name", "filters")}
        return str(config), str({**following[0].get_config(), "name": None})

    layer_key = key(layer)
    if layer_key is None:
        return []
    readers = consumers(layer.inbound_nodes[0].inbound_layers)
    return [reader for reader in readers if key(reader) == layer_key]


@tf_keras.utils.register_keras_serializable("efld_tf")
class SiblingChannels(Channels):
    """The channels of one of merged siblings, a multiple of `PLANE`."""


def interleave_as_planes(model: tf_keras.Model) -> tf_keras.Model:
    """Computes concatenations of few channels, and parts of siblings, by transposed planes."""
    planes: dict[int, tf.Tensor] = {}  # the planes [B, C / 4, H * W, 4] of old tensors

    def interleave(layer: layers.Layer, new: Rebuild) -> bool:
        if isinstance(layer, SiblingChannels):
            merged = layer.input
            if id(merged) not in planes:
                planes[id(merged)] = _planes(new.value(merged), layer.input.name.split("/")[0])
            _, height, width, channels = merged.shape
            skipped = layer.start // PLANE
            after = (channels - layer.start - layer.count) // PLANE
            crop = layers.Cropping2D(((skipped, after), (0, 0)), name=layer.name)
            planes[id(layer.output)] = x = crop(planes[id(merged)])
            new.put(layer.output, _interleaved(x, height, width, layer.name))
            return True
        if isinstance(layer, layers.Concatenate) and _in_few_channels(layer):
            _, height, width, _ = layer.output.shape
            parts = [
                planes[id(t)] if id(t) in planes else _planes(new.value(t), f"{layer.name}_{i}")
                for i, t in enumerate(layer.input)
            ]
            x = layers.Concatenate(axis=1, name=layer.name)(parts)
            new.put(layer.output, _interleaved(x, height, width, layer.name))
            return True
        return False

    return rebuilt(model, interleave)


def _in_few_channels(layer: layers.Concatenate) -> bool:
    shapes = [tensor.shape for tensor in layer.input]
    if any(len(shape) != 4 or shape[-1] % PLANE for shape in shapes):
        return False
    return layer.axis in (-1, 3) and min(shape[-1] for shape in shapes) < LARGEST_PIECE


def _planes(x: tf.Tensor, name: str) -> tf.Tensor:
    """Turns pixels into planes: [B, H, W, C] -> [B, C / 4, H * W, 4]."""
    _, height, width, channels = x.shape
    x = layers.Reshape((height * width, channels // PLANE, PLANE), name=f"{name}_units")(x)
    return layers.Permute((2, 1, 3), name=f"{name}_planes")(x)


def _interleaved(x: tf.Tensor, height: int, width: int, name: str) -> tf.Tensor:
    """Turns planes into pixels: [B, C / 4, H * W, 4] -> [B, H, W, C]."""
    _, count, _, _ = x.shape
    x = layers.Permute((2, 1, 3), name=f"{name}_pixels")(x)
    return layers.Reshape((height, width, count * PLANE), name=f"{name}_interleaved")(x)


def dense_as_convolutions(model: tf_keras.Model) -> tf_keras.Model:
    """Turns dense layers into 1 x 1 convolutions, and vectors [B, C] into pixels [B, 1, 1, C].

    TensorFlow Lite up to 2.15 assumes a single scale for a dense layer of float activations and
    int8 weights, and gives no error if there is a scale for each output. Its convolutions have had
    a scale for each output since their first int8 version (benchmarks/runtimes), and take the same
    time.

    Raises:
      UnsupportedMode: a layer of a vector is of a kind that may depend on its shape.
    """

    def pixels(layer: layers.Layer, new: Rebuild) -> bool:
        vector = _is_vector(tf.nest.flatten(layer.output)[0])
        if not vector and not any(map(_is_vector, tf.nest.flatten(layer.input))):
            return False
        if vector and isinstance(layer, layers.Dense):
            options = {"activation": layer.activation, "use_bias": layer.use_bias}
            conv = layers.Conv2D(layer.units, 1, name=layer.name, **options)
            kernel, *bias = layer.get_weights()
            output = call(conv, new.value(layer.input), [kernel[None, None], *bias])
        elif vector and isinstance(layer, layers.Flatten | layers.Reshape):
            shape = 1, 1, layer.output.shape[-1]
            output = new.value(layer.input)
            if output.shape[1:] != shape:
                output = layers.Reshape(shape, name=layer.name)(output)
        elif isinstance(layer, layers.GlobalAveragePooling2D):
            output = copied(layer, keepdims=True)(new.value(layer.input))
        elif isinstance(layer, layers.Reshape | ELEMENTWISE):
            return False
        else:
            raise UnsupportedMode(
                f"layer {layer.name} ({type(layer).__name__}): integer weights allow vectors "
                "[B, C] in Dense, Flatten, Reshape, Concatenate, ReLU and global average pooling")
        new.put(layer.output, output)
        return True

    result = rebuilt(model, pixels)
    outputs = tf.nest.map_structure(
        lambda old, new: layers.Reshape(old.shape[1:])(new) if _is_vector(old) else new,
        model.output, result.output,
    )
    return tf_keras.Model(result.input, outputs, name=model.name)


def _is_vector(tensor: tf.Tensor) -> bool:
    return len(tensor.shape) == 2
