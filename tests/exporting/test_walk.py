"""The inputs of layers are those of the network as it is, whatever is kept of it."""

from __future__ import annotations

import numpy as np
import pytest
import tf_keras
from tf_keras import layers

from efld_tf.exporting import walk
from efld_tf.models import probe

CROPS = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), np.uint8)  # more than a batch


def branched() -> tuple[tf_keras.Model, list[layers.Layer]]:
    """A network with a shortcut, several inputs a layer and a layer that reads a tensor twice."""
    tf_keras.utils.set_random_seed(0)
    image = tf_keras.Input((16, 16, 3))
    x = layers.Conv2D(4, 3, 2, "same", activation="relu", name="first")(image)
    left = layers.Conv2D(4, 1, name="left")(x)
    right = layers.DepthwiseConv2D(3, padding="same", name="right")(x)
    y = layers.Concatenate()([x, layers.Multiply()([left, right]), x])
    y = layers.Multiply()([y, y])
    z = layers.Conv2D(4, 1, name="last")(y)
    model = tf_keras.Model(image, layers.Add()([z, x]))
    return model, [model.get_layer(name) for name in ("first", "left", "right", "last")]


@pytest.mark.parametrize("largest", [0, 40 * 8 * 8 * 4 * 4, 1 << 30])
def test_inputs_are_those_of_the_network(largest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "LARGEST_CUT", largest)
    model, chosen = branched()
    runs = walk.Walk(model, CROPS)
    rng = np.random.default_rng(1)
    for layer in sorted(chosen, key=model.layers.index):
        before = layer.inbound_nodes[0].inbound_layers
        found = np.concatenate(list(runs.inputs(layer)))
        if isinstance(before, layers.InputLayer):
            np.testing.assert_array_equal(found, CROPS / np.float32(255))
        else:
            expected = [x for (x,) in probe.batches_of(model, [before], CROPS)]
            np.testing.assert_array_equal(found, np.concatenate(expected))
        kernel, bias = layer.get_weights()  # those after it see the new weights
        layer.set_weights([kernel + rng.normal(0, 0.1, kernel.shape), bias])


def test_layers_are_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, chosen = branched()
    ran: list[str] = []
    original = walk.Walk._run

    def counted(self: walk.Walk, node, values) -> None:
        ran.append(node.layer.name)
        original(self, node, values)

    monkeypatch.setattr(walk.Walk, "_run", counted)
    runs = walk.Walk(model, CROPS[:8])
    for layer in sorted(chosen, key=model.layers.index):
        assert len(list(runs.inputs(layer))) == 1
    assert ran and len(ran) == len(set(ran))
