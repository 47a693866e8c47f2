"""Quantisation-aware training with tfmot, for weights that expect the int8 grid.

From its trained weights, the network learns under simulated int8 to give its own float outputs. No
annotation is needed, so the network cannot over-fit to one. Batch norms are folded first and so
stay as they are, and so does the layer of a presence output. Only the weights are kept: the export
takes its ranges from the calibration photos, as for any other model.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tf_keras
from tensorflow_model_optimization.quantization.keras import quantize_model

from efld_tf.errors import UnsupportedMode
from efld_tf.exporting import equalise, optimise
from efld_tf.models import probe
from efld_tf.models.trained import DEPTH, POINTS
from efld_tf.progress import Progress

EPOCHS = 6
BATCH = 32
LEARNING_RATE = 1e-5
SEED = 0


def fine_tuned(
    network: tf_keras.Model, crops: np.ndarray, epochs: int = EPOCHS, *, progress: bool = False
) -> tf_keras.Model:
    """The network with weights that were trained under simulated int8.

    Args:
      network: the network of a `TrainedModel`; it is unchanged.
      crops: [F, S, S, 3] uint8, training faces.
      epochs: number of passes over the crops.
      progress: whether to show how far it is.

    Returns:
      A model with the same outputs, without batch norms.

    Raises:
      UnsupportedMode: tfmot does not know one of its layers.
    """
    tf_keras.utils.set_random_seed(SEED)
    complete = equalise.equalise(optimise.fold_batch_norms(network), crops)
    network = _of_faces(complete)
    batches = tf.data.Dataset.from_tensor_slices(crops).batch(BATCH).map(_pixels)
    targets = network.predict(batches, verbose=0)
    targets = tuple(targets) if isinstance(targets, list) else targets
    simulated = _simulated(network)
    _set_ranges(simulated, network, crops)
    steps = epochs * -(-len(crops) // BATCH)
    rate = tf_keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)
    simulated.compile(tf_keras.optimizers.Adam(rate), loss=_distance)
    data = tf.data.Dataset.from_tensor_slices((crops, targets)).shuffle(len(crops), seed=SEED)
    data = data.batch(BATCH).map(lambda crop, target: (_pixels(crop), target)).prefetch(2)
    with Progress("fine-tuning", steps, "step", shown=progress) as bar:
        counted = tf_keras.callbacks.LambdaCallback(on_train_batch_end=lambda *_: bar.update())
        simulated.fit(data, epochs=epochs, verbose=0, callbacks=[counted])
    trained = {
        wrapper.layer.name: {weight.name.split("/")[-1]: weight for weight in wrapper.weights}
        for wrapper in simulated.layers if hasattr(wrapper, "layer")
    }
    for layer in network.layers:
        if layer.weights:
            weights = trained[layer.name]
            names = [weight.name.split("/")[-1] for weight in layer.weights]
            layer.set_weights([weights[name].numpy() for name in names])
    return complete


def check(network: tf_keras.Model) -> None:
    """Refuses a network that cannot be trained under simulated int8, before any work is done.

    Raises:
      UnsupportedMode: tfmot does not know one of its layers; the message names it.
    """
    _simulated(_of_faces(optimise.fold_batch_norms(network)))


def _of_faces(complete: tf_keras.Model) -> tf_keras.Model:
    """The network with the outputs that faces teach.

    They say nothing about crops without a face, so the presence output is not trained.
    """
    output = complete.output[POINTS]
    if DEPTH in complete.output:
        output = [*tf.nest.flatten(output), complete.output[DEPTH]]
    return tf_keras.Model(complete.input, output)


def _simulated(network: tf_keras.Model) -> tf_keras.Model:
    """The network with simulated int8 around every layer."""
    try:
        return quantize_model(network)
    except RuntimeError as error:
        reason = str(error).partition(". ")[0]
        raise UnsupportedMode(
            f"tfmot cannot simulate int8 for this model: {reason}; use --int8, or train a "
            "model without such layers"
        ) from error


def _set_ranges(simulated: tf_keras.Model, network: tf_keras.Model, crops: np.ndarray) -> None:
    """Starts the simulated grids from the ranges of the float network.

    tfmot starts them from -6 and 6 and moves them by a thousandth of the way in each step, which
    takes far longer than these few epochs.
    """
    for wrapper in simulated.layers:
        ends = {weight.name.split("/")[-1]: weight for weight in wrapper.weights}
        layer = wrapper.layer if hasattr(wrapper, "layer") else network.layers[0]
        ((lowest, highest),) = probe.extremes_of(
            network, [network.get_layer(layer.name)], crops
        )
        for name, weight in ends.items():
            if name.endswith(("output_min:0", "activation_min:0", "layer_min:0")):
                weight.assign(min(0.0, float(lowest.min())))
            elif name.endswith(("output_max:0", "activation_max:0", "layer_max:0")):
                weight.assign(max(0.0, float(highest.max())))


def _pixels(crops: tf.Tensor) -> tf.Tensor:
    return tf.cast(crops, tf.float32) / 255.0


def _distance(expected: tf.Tensor, predicted: tf.Tensor) -> tf.Tensor:
    """The mean distance of points [B, N, 2], or of the values in the cells of maps [B, G, G, C].

    Of depths [B, N] it is the root of the mean square, so that they weigh as one point does.
    """
    if len(expected.shape) == 2:
        return tf.sqrt(tf.reduce_mean(tf.square(expected - predicted)) + 1e-9)
    return tf.reduce_mean(tf.norm(expected - predicted + 1e-9, axis=-1))
