"""Chooses the devices on which a run computes, and its precision."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import tensorflow as tf
import tf_keras
from absl import logging as absl_logging
from official.modeling import performance
from tensorflow.python.framework import config as tf_config  # tf.config can enable, not disable

from efld_tf.errors import EfldError
from efld_tf.quiet import silenced_stderr


def claim(devices: int | None, batch_size: int) -> None:
    """Makes sure that there are enough devices, before TensorFlow computes anything.

    Args:
      devices: number of GPUs, or, without a GPU, of logical devices of the CPU (which are no faster
        than one; they are for trying things out). None for all GPUs, or one CPU.
      batch_size: the batch size, of which every device gets the same share.

    Raises:
      EfldError: there are fewer GPUs, the batch cannot be divided among all of them, it is too late
        to make logical CPUs, or these would give wrong results.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if gpus and devices and devices > len(gpus):
        raise EfldError(f"training.devices: {devices} asked for, there are {len(gpus)} GPUs")
    if gpus and not devices and batch_size % len(gpus):
        raise EfldError(
            f"training.devices: all {len(gpus)} GPUs cannot share batches of {batch_size} equally; "
            "give a number of devices, or another training.batch_size"
        )
    if gpus or devices in (None, 1):
        return
    if os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "1":
        raise EfldError(
            "training.devices: logical CPUs need TF_ENABLE_ONEDNN_OPTS=0 in the environment; "
            "TensorFlow 2.19 mixes up their inputs with oneDNN's kernels"
        )
    cpu = tf.config.list_physical_devices("CPU")[0]
    with contextlib.suppress(RuntimeError):  # TensorFlow has computed already; checked below
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * devices
        )
    if len(tf.config.list_logical_devices("CPU")) < devices:
        raise EfldError(
            f"training.devices: this process has already begun to compute on one CPU; "
            f"{devices} are possible in a process of its own"
        )


def quiet_xla() -> None:
    """Makes XLA, which the training pipeline compiles with, announce itself unseen."""
    with silenced_stderr(), tf.device("/cpu:0"):
        tf.function(lambda: tf.zeros([]), jit_compile=True)()


def strategy(devices: int | None) -> tf.distribute.Strategy:
    """The strategy that spreads training over the claimed devices."""
    gpus = tf.config.list_physical_devices("GPU")
    count = devices or len(gpus) or 1
    kind = "gpu" if gpus else "cpu"
    if count == 1:
        # A single device, TensorFlow's first, needs no strategy's bookkeeping.
        return tf.distribute.get_strategy()
    mirrored = tf.distribute.MirroredStrategy([f"/{kind}:{index}" for index in range(count)])
    absl_logging.info("devices: %s", ", ".join(mirrored.extended.worker_devices))
    return mirrored


@contextlib.contextmanager
def determinism(enabled: bool) -> Iterator[None]:
    """Makes a block compute bit-equal results on equal hardware, if enabled."""
    if not enabled or tf_config.is_op_determinism_enabled():
        yield
        return
    tf_config.enable_op_determinism()
    try:
        yield
    finally:
        # Later code in this process may need random operations without a seed.
        tf_config.disable_op_determinism()


@contextlib.contextmanager
def precision(name: str) -> Iterator[None]:
    """Makes the models that a block builds compute in `float32`, `bfloat16` or `float16`.

    Weights stay float32 (P. Micikevicius et al., "Mixed Precision Training", ICLR 2018).
    """
    before = tf_keras.mixed_precision.global_policy()
    performance.set_mixed_precision_policy(tf.as_dtype(name))
    try:
        yield
    finally:
        tf_keras.mixed_precision.set_global_policy(before)
