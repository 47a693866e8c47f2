"""The optimizers that a recipe may name, and its learning rate, for Model Garden."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from official.modeling import optimization
from official.modeling.optimization.configs import optimization_config, optimizer_config

from efld_tf.training.learning import TrainingRecipe

# Batch norm and biases are not decayed, since that would change the function, not its complexity.
NOT_DECAYED = (r"/bias\b", r"/beta\b", r"/gamma\b")
MOMENTUM = 0.9  # of SGD


class Nadam(tf_keras.optimizers.Nadam):
    """Adam with Nesterov's momentum (T. Dozat, 2016), whose schedule of momenta goes by steps.

    That of tf_keras goes on with every variable of a step once `tf.function` compiles it, which
    takes away its correction of early steps. Momenta mu_t = beta_1 (1 - 0.96^t / 2) are the same.
    """

    STEPS = 1000  # after which mu is beta_1, and the product of all mu is 0, in float32

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable) -> None:
        """Moves a variable by its gradient, which is dense."""
        momenta = self.beta_1 * (1 - 0.5 * 0.96 ** np.arange(1, self.STEPS + 2))
        step = tf.minimum(self.iterations, self.STEPS - 1)
        momentum, next_momentum = (
            tf.gather(tf.constant(momenta, variable.dtype), step + ahead) for ahead in (0, 1))
        product, next_product = (
            tf.gather(tf.constant(np.cumprod(momenta), variable.dtype), step + ahead)
            for ahead in (0, 1))
        power = tf.pow(tf.cast(self.beta_2, variable.dtype),
                       tf.cast(self.iterations + 1, variable.dtype))
        index = self._index_dict[self._var_key(variable)]
        mean, square = self._momentums[index], self._velocities[index]
        mean.assign_add((gradient - mean) * (1 - self.beta_1))
        square.assign_add((tf.square(gradient) - square) * (1 - self.beta_2))
        ahead = next_momentum * mean / (1 - next_product) \
            + (1 - momentum) * gradient / (1 - product)
        rate = tf.cast(self.learning_rate, variable.dtype)
        variable.assign_sub(rate * ahead / (tf.sqrt(square / (1 - power)) + self.epsilon))


optimization.register_optimizer_cls("nadam", Nadam)


@dataclasses.dataclass
class NadamConfig(optimizer_config.BaseOptimizerConfig):
    """Model Garden's view of `Nadam`."""

    name: str = "Nadam"


@dataclasses.dataclass
class OptimizerConfig(optimization_config.OptimizerConfig):
    """Model Garden's optimizers and `nadam`."""

    nadam: NadamConfig = dataclasses.field(default_factory=NadamConfig)


@dataclasses.dataclass
class OptimizationConfig(optimization.OptimizationConfig):
    """Model Garden's optimizers, with `nadam`, and learning rates."""

    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)


def config(training: TrainingRecipe) -> dict[str, Any]:
    """What an `OptimizationConfig` says of a recipe's optimizer and learning rate."""
    name, own = training.optimizer, dict[str, Any]()
    if name == "adamw":
        # Its own clipping, on by default, would come before the replicas' gradients are summed.
        own = {"weight_decay_rate": training.weight_decay,
               "exclude_from_weight_decay": list(NOT_DECAYED), "gradient_clip_norm": 0.0}
    elif name == "sgd":
        own = {"momentum": MOMENTUM}
    result = {
        "optimizer": {"type": name, name: {**own, "global_clipnorm": training.gradient_clip_norm}},
        "learning_rate": _learning_rate(training),
    }
    if training.warmup_steps:
        result["warmup"] = {
            "type": "linear",
            "linear": {"warmup_steps": training.warmup_steps, "warmup_learning_rate": 0.0},
        }
    return result


def _learning_rate(training: TrainingRecipe) -> dict[str, Any]:
    """Model Garden's schedule: a cosine to 0, or drops."""
    last_step = training.last_step
    if not training.learning_rate_drops:
        cosine = {"initial_learning_rate": training.learning_rate, "decay_steps": last_step}
        return {"type": "cosine", "cosine": cosine}
    steps = [round(share * last_step) for share in training.learning_rate_drops]
    # Divided by 10 rather than times 0.1, which is no exact number: older runs go on bit for bit.
    divisor = 1 / training.learning_rate_drop_factor
    values = [training.learning_rate / divisor**drop for drop in range(len(steps) + 1)]
    return {"type": "stepwise", "stepwise": {"boundaries": steps, "values": values}}
