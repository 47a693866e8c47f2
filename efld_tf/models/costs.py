"""What a network costs by its layers, before it is exported (`runtime.graph` reads a `.tflite`)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import tensorflow as tf
import tf_keras
from tf_keras import layers

from efld_tf.models.blocks import HardSigmoid, HardSwish

# Layers that are activations alone.
ACTIVATIONS = (layers.ReLU, HardSigmoid, HardSwish)


@dataclass(frozen=True)
class Cost:
    """What one or more layers cost for one image.

    Attributes:
      parameters: trainable numbers.
      macs: multiply-accumulates of convolutions and dense layers.
      flops: `macs`, two for each value of a batch norm, and one for each of an activation. This
        gives the sizes that papers on small HRNets print. Sums, products, averages and resizing
        are not counted, nor are biases.
    """

    parameters: int = 0
    macs: int = 0
    flops: int = 0

    def __add__(self, other: Cost) -> Cost:
        """The cost of both."""
        return Cost(self.parameters + other.parameters, self.macs + other.macs,
                    self.flops + other.flops)


def by_layer(model: tf_keras.Model) -> dict[str, Cost]:
    """The cost of every layer of a functional model by its name, in the order of the model."""
    return {layer.name: _of(layer) for layer in model.layers}


def total(model: tf_keras.Model) -> Cost:
    """The cost of a functional model."""
    return sum(by_layer(model).values(), Cost())


def _of(layer: layers.Layer) -> Cost:
    outputs = math.prod(tf.nest.flatten(layer.output)[0].shape[1:])
    parameters = sum(math.prod(weight.shape) for weight in layer.trainable_weights)
    macs = _macs(layer, outputs)
    flops = macs
    if isinstance(layer, layers.BatchNormalization):
        flops += 2 * outputs
    linear = tf_keras.activations.linear
    if isinstance(layer, ACTIVATIONS) or getattr(layer, "activation", linear) is not linear:
        flops += outputs
    return Cost(parameters, macs, flops)


def _macs(layer: layers.Layer, outputs: int) -> int:
    """The multiply-accumulates of a layer that gives so many values."""
    if isinstance(layer, layers.DepthwiseConv2D):
        return outputs * math.prod(layer.kernel_size)
    if isinstance(layer, layers.Conv2DTranspose):  # every input pixel meets the whole kernel
        return math.prod(layer.input.shape[1:3]) * math.prod(layer.kernel.shape)
    if isinstance(layer, layers.Conv2D):
        return outputs * math.prod(layer.kernel.shape[:3])
    return math.prod(layer.kernel.shape) if isinstance(layer, layers.Dense) else 0
