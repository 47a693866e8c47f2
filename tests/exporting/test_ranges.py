"""What the grids of an integer model cover."""

from __future__ import annotations

import numpy as np
import tf_keras
from tf_keras import layers

from efld_tf.exporting import ranges
from tests import tiny_models


def test_sixteen_bits_leave_room_for_other_faces() -> None:
    crops = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), np.uint8)
    tf_keras.utils.set_random_seed(5)
    image = layers.Input((16, 16, 3), name="image")
    x = layers.Conv2D(4, 3, 2, bias_initializer="normal")(image)
    content = tiny_models.convert(tf_keras.Model(image, layers.Flatten()(x)), [[1, 16, 16, 3]])
    observed = ranges.observe(content, crops)
    eight, sixteen = (ranges.choose(observed, bits) for bits in (8, 16))
    pixels = observed.model_graph.inputs[0].name
    assert eight[pixels] == sixteen[pixels] == (0.0, 1.0)
    others = set(eight) - {pixels}
    assert others
    for name in others:
        assert sixteen[name] == tuple(2 * value for value in eight[name]) != (0.0, 0.0)
