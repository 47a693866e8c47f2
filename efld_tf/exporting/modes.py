"""The export modes: the numbers in which an exported model computes, and the steps to get there.

A mode is an entry of this table; if its numbers are not the trained ones, it also has a quantiser
of that name in `quantise`. Modes for other runtimes than TensorFlow Lite's are in a table of their
own; the converters of other formats quantise. This module does not import TensorFlow, since
commands and tests read it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from efld_tf.errors import EfldError
from efld_tf.exporting import kernels

Numbers = Literal["float32", "float16", "int8", "int16"]
Last = Literal["as others", "float32", "int16"]


@dataclass(frozen=True)
class Steps:
    """The steps that are applied to a network on its way to a `.tflite`.

    Attributes:
      deploy: whether the family's own form for exports is taken (`registry.Family.deploy`).
      split, merge, planes: steps of `optimise`, in their order; planes need merged siblings.
      equalise: the steps of `equalise`.
      resample: see `resampling`.
      round: see `rounding.round_weights`.
      dense_as_convolutions: the step of `optimise` of that name.
      last: the activations of the last layer with weights, in an integer model whose points it
        gives: float ones, or of 16 bits, do not lie on the 255 steps of a grid.
      integer_pixels: whether the pixels become int8 without being float ones in between.
      widen: the processors for which convolutions are widened, see `widen`; none of them are
        without any.
      clip_percentile: see `ranges.choose`.
    """

    deploy: bool = False
    split: bool = False
    merge: bool = False
    planes: bool = False
    equalise: bool = False
    resample: bool = False
    round: bool = False
    dense_as_convolutions: bool = False
    last: Last = "as others"
    integer_pixels: bool = False
    widen: tuple[str, ...] = ()
    clip_percentile: float = 100.0


@dataclass(frozen=True)
class Mode:
    """One mode.

    Attributes:
      name: its name in commands and files.
      meaning: what it is, in one line.
      activations, weights: the types that `audit` demands of a file: those of the operators'
        results, except in the float tail of an integer model, and those of the stored weights.
      one_partition: whether the whole model has to be one partition of XNNPACK.
      steps: what is done to the network.
      fine_tuned: whether the weights are first fine-tuned under simulated int8 (`qat`).
      stored_as: the mode whose files look the same to a reader, and whose quantiser is used if
        this mode has none of its own; by default the mode itself.
      suffix: of its files.
    """

    name: str
    meaning: str
    activations: Numbers
    weights: Numbers
    one_partition: bool
    steps: Steps = field(default_factory=Steps)
    fine_tuned: bool = False
    stored_as: str = ""
    suffix: str = ".tflite"

    def __post_init__(self) -> None:
        object.__setattr__(self, "stored_as", self.stored_as or self.name)

    @property
    def calibrated(self) -> bool:
        """Whether the mode needs photos, for the ranges of its activations."""
        return self.activation_bits is not None

    @property
    def debuggable(self) -> bool:
        """Whether its layers can be compared with those in float: int8 of the trained weights."""
        return self.stored_as == "int8" and not self.fine_tuned

    @property
    def activation_bits(self) -> int | None:
        """The bits of the grids of its activations; None for float ones."""
        return {"int8": 8, "int16": 16}.get(self.activations)


_INT8 = Steps(deploy=True, split=True, merge=True, planes=True, equalise=True, resample=True,
              round=True, dense_as_convolutions=True, last="float32", widen=kernels.ALL)
_FLOAT = Steps(deploy=True, split=True, merge=True, resample=True)

MODES: dict[str, Mode] = {}
OTHER_RUNTIMES: dict[str, Mode] = {}


def register(mode: Mode) -> Mode:
    """Registers a mode; its quantiser is registered in `quantise`.

    Raises:
      EfldError: there is a mode of that name already.
    """
    if mode.name in MODES:
        raise EfldError(f"there is an export mode {mode.name!r} already")
    MODES[mode.name] = mode
    return mode


def get(name: str) -> Mode:
    """The mode of that name.

    Raises:
      EfldError: there is none; the message lists the known ones.
    """
    known = {**MODES, **OTHER_RUNTIMES}
    if name not in known:
        raise EfldError(f"unknown export mode {name!r}; known: {', '.join(known)}; one of your own "
                        "has to be registered first")
    return known[name]


INT8 = register(Mode(
    "int8", "int8 throughout, points from int8 weights in float: the one for phones",
    "int8", "int8", one_partition=True, steps=_INT8,
))
QAT = register(Mode(
    "qat", "int8 after quantisation-aware training on the head's training photos",
    "int8", "int8", one_partition=True, steps=_INT8, fine_tuned=True, stored_as="int8",
))
# XNNPACK has no kernels for depthwise convolutions of int8 weights and float activations, nor for
# 16-bit activations.
DYNAMIC = register(Mode(
    "dynamic", "int8 weights, float activations; no calibration",
    "float32", "int8", one_partition=False,
    steps=Steps(split=True, merge=True, dense_as_convolutions=True),
))
FLOAT16 = register(Mode(
    "float16", "float with weights of half the size",
    "float32", "float16", one_partition=True, steps=_FLOAT,
))
FLOAT32 = register(Mode(
    "float32", "float throughout",
    "float32", "float32", one_partition=True, steps=_FLOAT,
))
INT16X8 = register(Mode(
    "int16x8", "int8 weights, 16-bit activations; slow, without XNNPACK",
    "int16", "int8", one_partition=False,
    steps=Steps(round=True, dense_as_convolutions=True, last="float32"),
))

ONNX = Mode(
    "onnx", "float as ONNX, for ONNX Runtime and others",
    "float32", "float32", one_partition=False, steps=_FLOAT, suffix=".onnx",
)
# Steps that suit a quantiser with a grid for each tensor. It rounds weights on the grids of
# `round`, whose corrections therefore hold.
ONNX_INT8 = Mode(
    "onnx-int8", "int8 as ONNX, by ONNX Runtime's quantiser",
    "int8", "int8", one_partition=False,
    steps=Steps(deploy=True, split=True, merge=True, equalise=True, resample=True, round=True),
    suffix=".onnx",
)
COREML = Mode(
    "coreml", "float16 as a Core ML program, for iOS 16 and macOS 13 on; it does not run here",
    "float16", "float16", one_partition=False, steps=_FLOAT, suffix=".mlpackage",
)
# Its kernels compute no planes faster, and none for float activations and int8 weights.
MICRO = Mode(
    "micro", "int8 with points of 16 bits, also as C source, for TensorFlow Lite Micro",
    "int8", "int8", one_partition=False,
    steps=Steps(deploy=True, equalise=True, resample=True, round=True, dense_as_convolutions=True,
                last="int16", integer_pixels=True),
)
OTHER_RUNTIMES.update({mode.name: mode for mode in (ONNX, ONNX_INT8, COREML, MICRO)})
