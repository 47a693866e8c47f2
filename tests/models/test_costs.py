"""Costs of layers by hand."""

from __future__ import annotations

import tf_keras
from tf_keras import layers

from efld_tf.models import costs
from efld_tf.models.blocks import HardSwish
from efld_tf.models.costs import Cost


def test_layers_by_hand() -> None:
    """All on 8 x 6 pixels: maps of 4 x 3 behind the first convolution."""
    image = tf_keras.Input((8, 6, 3))
    x = layers.Conv2D(4, 3, 2, "same", use_bias=False, name="conv")(image)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.ReLU(name="relu")(x)
    x = layers.DepthwiseConv2D(3, padding="same", activation="sigmoid", name="depthwise")(x)
    x = layers.Conv2D(6, 1, groups=2, name="grouped")(x)
    x = HardSwish(name="swish")(x)
    x = layers.Conv2DTranspose(2, 4, 2, "same", use_bias=False, name="up")(x)
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    model = tf_keras.Model(image, layers.Dense(5, name="dense")(x))
    found = costs.by_layer(model)
    assert {name: cost for name, cost in found.items() if cost != Cost()} == {
        "conv": Cost(9 * 3 * 4, 12 * 4 * 27, 12 * 4 * 27),
        "norm": Cost(2 * 4, 0, 2 * 12 * 4),
        "relu": Cost(0, 0, 12 * 4),
        "depthwise": Cost(9 * 4 + 4, 12 * 4 * 9, 12 * 4 * 10),
        "grouped": Cost(2 * 6 + 6, 12 * 6 * 2, 12 * 6 * 2),
        "swish": Cost(0, 0, 12 * 6),
        "up": Cost(16 * 6 * 2, 12 * 16 * 6 * 2, 12 * 16 * 6 * 2),
        "dense": Cost(2 * 5 + 5, 10, 10),
    }
    whole = costs.total(model)
    assert whole.parameters == sum(w.numpy().size for w in model.trainable_weights)
    assert whole.macs == sum(cost.macs for cost in found.values())
    assert whole.flops == whole.macs + 12 * (2 * 4 + 4 + 4 + 6)
