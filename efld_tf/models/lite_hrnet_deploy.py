"""Lite-HRNet Plus as it runs on a phone: the trained network in fewer and faster operators.

Taking half of the channels out, putting them back and shuffling them costs more there than
filtering them. So a conditional channel weighting is computed on all channels:

- those that are kept get a weight of 1 and a filter of one tap;
- a shuffle only changes which channel lies where, which the next kernels are permuted for;
- the weights by a branch's averages and those of the next block by all resolutions become one
  product at the lowest resolution, and so one multiplication of the branch. The averages over
  space are those of the branches pooled to the lowest resolution, which the block needs anyway;
- both gates of all branches are computed together, by kernels that have zeros between branches.

A sigmoid in int8 gives at most 255 / 256. This is what kept channels are weighted by here, and
their filter makes up for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras import layers

from efld_tf.models.blocks import ChannelMean, Channels
from efld_tf.models.rebuild import Rebuild, call, consumers, copied

# The largest sigmoid in int8, and its log-odds.
KEPT = 255 / 256
KEPT_LOG_ODDS = math.log(255)


@dataclass(frozen=True)
class _Branches:
    """All branches, from the highest resolution down.

    Attributes:
      tensors: [B, S_i, S_i, C_i] each.
      places: [C_i] each: where each channel of the trained network lies in these tensors.
      pooled: [B, S, S, T], all of them at the lowest resolution, side by side; T is the sum of C_i.
      weights: [B, 1, 1, T], by which all this is still to be multiplied; None for 1.
    """

    tensors: list[tf.Tensor]
    places: list[np.ndarray]
    pooled: tf.Tensor
    weights: tf.Tensor | None = None

    @property
    def starts(self) -> np.ndarray:
        """Where each branch starts among the channels of all."""
        return np.cumsum([0, *(len(places) for places in self.places)])

    def changed(self) -> list[np.ndarray]:
        """Where the half of each branch that a block changes lies among the channels of all."""
        return [start + places[len(places) // 2 :]
                for start, places in zip(self.starts, self.places, strict=False)]


def deploy(model: tf_keras.Model) -> tf_keras.Model:
    """A network with the outputs of a trained one, in fewer operators.

    Args:
      model: as `lite_hrnet_plus.build` makes it, perhaps with a presence output, and with its batch
        norms folded.
    """
    return _Deployment(model).finished()


class _Deployment:
    """Copies a network, and writes its conditional channel weightings and attention anew."""

    def __init__(self, model: tf_keras.Model):
        self._old = model
        self._new = Rebuild(model)
        self._names = {layer.name for layer in model.layers}

    def finished(self) -> tf_keras.Model:
        """The whole network."""
        tensors, places = self._stem()
        stages = self._numbered("stage", "_module1")
        for stage in stages:
            tensors, places = self._transition(tensors, places, stage)
            for module in self._numbered(f"{stage}_module"):
                pooled = _pooled(tensors, f"{module}_pooled")
                branches = _Branches(tensors, places, pooled)
                for block in self._numbered(f"{module}_ccw"):
                    branches = self._weighting(branches, block)
                tensors, places = self._fused(branches, module, block)
        self._end(tensors, places, module)
        # The layers of a head may begin like these: they have the name of its schema.
        written_anew = tuple(f"{stage}_{part}" for stage in stages for part in ("branch", "module"))
        for layer in self._old.layers:
            if not (layer.name.startswith(written_anew) or self._new.is_replaced(layer)):
                self._new.copy(layer)
        return self._new.finish()

    def _copy(self, start: str) -> None:
        """Copies the layers whose names start so."""
        for layer in self._old.layers:
            if layer.name.startswith(start):
                self._new.copy(layer)

    def _value(self, name: str) -> tf.Tensor:
        """The new tensor in place of that layer's output."""
        return self._new.value(self._old.get_layer(name).output)

    def _numbered(self, start: str, following: str = "") -> list[str]:
        """The parts of the network whose names are this and a number from 1 up.

        Args:
          following: what has to follow in the name of one of a part's layers.
        """
        found = list[str]()
        while any(name.startswith(f"{start}{len(found) + 1}{following}_") for name in self._names):
            found.append(f"{start}{len(found) + 1}")
        return found

    def _matrix(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """The kernel [inputs, outputs] and bias of a point-wise convolution."""
        kernel, bias = self._old.get_layer(name).get_weights()
        return kernel[0, 0], bias

    def _activated(self, x: tf.Tensor, name: str) -> tf.Tensor:
        """The activation of a block of that name."""
        return copied(self._old.get_layer(f"{name}_act"))(x)

    def _stem(self) -> tuple[list[tf.Tensor], list[np.ndarray]]:
        """See `lite_hrnet_plus.stem`."""
        self._copy("stem_first")
        x = self._value("stem_first_act")
        channels = x.shape[-1]
        halves = np.split(np.arange(channels), 2)
        kept = self._filtered(x, halves[0], "stem_kept_depthwise_dwconv", others=0)
        kernel, bias = self._matrix("stem_kept_pointwise_conv")
        kept = _pointwise(kept, _placed(kernel, channels, halves[0]), bias,
                          "stem_kept_pointwise_conv")
        kept = self._activated(kept, "stem_kept_pointwise")
        kernel, bias = self._matrix("stem_wide_expand_conv")
        wide = _pointwise(x, _placed(kernel, channels, halves[1]), bias, "stem_wide_expand_conv")
        self._new.put(self._old.get_layer("stem_wide_expand_conv").output, wide)
        self._copy("stem_wide_expand_act")
        self._copy("stem_wide_depthwise")
        self._copy("stem_wide_pointwise")
        x = layers.Concatenate(name="stem_concat")([kept, self._value("stem_wide_pointwise_act")])
        return [x], [_shuffled(np.arange(channels))]

    def _transition(
        self, tensors: list[tf.Tensor], places: list[np.ndarray], stage: str
    ) -> tuple[list[tf.Tensor], list[np.ndarray]]:
        """See `lite_hrnet_plus.transition`."""
        result, result_places = [], []
        for index, _ in enumerate(self._numbered(f"{stage}_module1_ccw1_branch")):
            source, part = min(index, len(tensors) - 1), f"{stage}_branch{index + 1}"
            x, place = tensors[source], places[source]
            if f"{part}_depthwise_dwconv" in self._names:
                depthwise = self._old.get_layer(f"{part}_depthwise_dwconv")
                kernel, bias = depthwise.get_weights()
                inverse = np.argsort(place)
                x = call(copied(depthwise), x, [kernel[:, :, inverse], bias[inverse]])
                kernel, bias = self._matrix(f"{part}_pointwise_conv")
                x = _pointwise(x, kernel[inverse], bias, f"{part}_pointwise_conv")
                x, place = self._activated(x, f"{part}_pointwise"), np.arange(x.shape[-1])
            result.append(x)
            result_places.append(place)
        return result, result_places

    def _weighting(self, branches: _Branches, name: str) -> _Branches:
        """See `lite_hrnet_plus.weighting`."""
        weights = self._across(branches, f"{name}_across")
        tensors = []
        for index, (x, places) in enumerate(zip(branches.tensors, branches.places, strict=True)):
            part, channels = f"{name}_branch{index + 1}", len(places)
            weight = Channels(branches.starts[index], channels, name=f"{part}_weight")(weights)
            if x.shape[1] > weight.shape[1]:
                up = layers.UpSampling2D(x.shape[1] // weight.shape[1], name=f"{part}_up")
                weight = up(weight)
            x = layers.Multiply(name=f"{part}_weighted")([x, weight])
            # They are weighted twice, across resolutions and by averages.
            tensors.append(self._filtered(
                x, places[channels // 2 :], f"{part}_depthwise_dwconv", others=1 / KEPT**2))
        pooled = _pooled(tensors, f"{name}_pooled")
        return _Branches(
            tensors, [_shuffled(places) for places in branches.places], pooled,
            self._excited(pooled, branches, name))

    def _across(self, branches: _Branches, name: str) -> tf.Tensor:
        """The weights of all branches at the lowest resolution: [B, S, S, T]."""
        pooled, before = branches.pooled, branches.weights
        if before is not None:
            pooled = layers.Multiply(name=f"{name}_pooled")([pooled, before])
        changed = np.concatenate(branches.changed())
        kernel, bias = self._matrix(f"{name}_squeeze_conv")
        x = _pointwise(pooled, _placed(kernel, pooled.shape[-1], changed), bias,
                       f"{name}_squeeze_conv")
        x = self._activated(x, f"{name}_squeeze")
        x = _log_odds(x, *self._matrix(f"{name}_excite_conv"), changed, pooled.shape[-1],
                      f"{name}_excite_conv")
        x = layers.Activation("sigmoid", name=f"{name}_sigmoid")(x)
        if before is None:
            return x
        return layers.Multiply(name=f"{name}_and_before")([x, before])

    def _filtered(
        self, x: tf.Tensor, changed: np.ndarray, name: str, others: float
    ) -> tf.Tensor:
        """A depthwise convolution of some channels, which multiplies the others by a number."""
        depthwise = self._old.get_layer(name)
        kernel, bias = depthwise.get_weights()
        height, width = kernel.shape[:2]
        all_kernels = np.zeros((height, width, x.shape[-1], 1))
        all_kernels[height // 2, width // 2] = others
        all_kernels[:, :, changed], all_biases = kernel, np.zeros(x.shape[-1])
        all_biases[changed] = bias
        return call(copied(depthwise), x, [all_kernels, all_biases])

    def _excited(self, pooled: tf.Tensor, branches: _Branches, name: str) -> tf.Tensor:
        """The weights of all branches by their averages: [B, 1, 1, T]."""
        total, changed = pooled.shape[-1], branches.changed()
        parts = [f"{name}_branch{index + 1}" for index, _ in enumerate(changed)]
        squeeze = [self._matrix(f"{part}_squeeze") for part in parts]
        excite = [self._matrix(f"{part}_excite") for part in parts]
        x = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_average")(pooled)
        kernel = _placed(_diagonal([k for k, _ in squeeze]), total, np.concatenate(changed))
        x = _pointwise(x, kernel, np.concatenate([b for _, b in squeeze]), f"{name}_squeeze")
        x = layers.ReLU(name=f"{name}_squeeze_act")(x)
        x = _log_odds(x, _diagonal([k for k, _ in excite]), np.concatenate([b for _, b in excite]),
                      np.concatenate(changed), total, f"{name}_excite")
        return layers.Activation("sigmoid", name=f"{name}_sigmoid")(x)

    def _fused(
        self, branches: _Branches, module: str, block: str
    ) -> tuple[list[tf.Tensor], list[np.ndarray]]:
        """The branches after a module's fusion."""
        # A last module may be left with its first branch alone, which reads the second's mean.
        tensors, with_attention = [], f"{module}_fusion_mean2" in self._names
        for index, (x, places) in enumerate(zip(branches.tensors, branches.places, strict=True)):
            part = f"{block}_branch{index + 1}"
            weight = Channels(branches.starts[index], len(places), name=f"{part}_excite")(
                branches.weights)
            x = layers.Multiply(name=f"{part}_excited")([x, weight])
            tensors.append(x)
            old = self._old.get_layer(f"{part}_shuffle")
            if not with_attention or _readers_outside(old, module):
                self._new.put(old.output, _in_order(x, places, f"{old.name}_in_order"))
        if with_attention:
            averages = layers.GlobalAveragePooling2D(keepdims=True, name=f"{module}_average")(
                branches.pooled)
            averages = layers.Multiply(name=f"{module}_average_weighted")(
                [averages, branches.weights])
            return self._scaf(tensors, branches, averages, f"{module}_fusion"), branches.places
        self._copy(f"{module}_fusion")
        fused = [self._value(f"{branch}_act")
                 for branch in self._numbered(f"{module}_fusion_branch")]
        return fused, [np.arange(x.shape[-1]) for x in fused]

    def _scaf(
        self, tensors: list[tf.Tensor], branches: _Branches, averages: tf.Tensor, name: str
    ) -> list[tf.Tensor]:
        """See `lite_hrnet_fusion.scaf`."""
        count = len(tensors)
        # Nothing reads the first mean but at half its resolution.
        halved = layers.Conv2D(1, 2, 2, use_bias=False, name=f"{name}_1to2_down")
        weights = np.full((2, 2, tensors[0].shape[-1], 1), 0.25 / tensors[0].shape[-1], np.float32)
        means = {0: call(halved, tensors[0], [weights])}
        result = []
        for i, _ in enumerate(self._numbered(f"{name}_branch")):
            x = tensors[i]
            average = Channels(branches.starts[i], x.shape[-1], name=f"{name}_average{i + 1}")(
                averages)
            attention = self._attention(average, branches.places[i], i, count, name)
            terms, below = [x], None
            for j in reversed(range(i + 1, count)):
                if j not in means:
                    means[j] = ChannelMean(name=f"{name}_mean{j + 1}")(tensors[j])
                part = f"{name}_{j + 1}to{i + 1}"
                term = layers.Multiply(name=f"{part}_weighted")([means[j], attention[j]])
                if below is not None:
                    term = layers.Add(name=f"{part}_sum")([term, below])
                below = layers.UpSampling2D(2, name=f"{part}_up")(term)
            if below is not None:
                terms.append(below)
            for j in range(i):
                part = f"{name}_{j + 1}to{i + 1}"
                if (j, i) != (0, 1):
                    means[j] = layers.AveragePooling2D(2, name=f"{part}_down")(means[j])
                terms.append(layers.Multiply(name=f"{part}_weighted")([means[j], attention[j]]))
            x = layers.Add(name=f"{name}_branch{i + 1}_sum")(terms)
            result.append(self._activated(x, f"{name}_branch{i + 1}"))
        return result

    def _attention(
        self, average: tf.Tensor, places: np.ndarray, i: int, count: int, name: str
    ) -> dict[int, tf.Tensor]:
        """The attention [B, 1, 1, C] of branch i for every other branch."""
        others, channels = [j for j in range(count) if j != i], len(places)
        inverse = np.argsort(places)
        squeeze = [self._matrix(f"{name}_{j + 1}to{i + 1}_squeeze") for j in others]
        excite = [self._matrix(f"{name}_{j + 1}to{i + 1}_excite") for j in others]
        x = _pointwise(average, np.concatenate([k[inverse] for k, _ in squeeze], axis=1),
                       np.concatenate([b for _, b in squeeze]), f"{name}_squeeze{i + 1}")
        x = layers.ReLU(name=f"{name}_squeeze{i + 1}_act")(x)
        grouped = layers.Conv2D(len(others) * channels, 1, groups=len(others),
                                name=f"{name}_excite{i + 1}")
        x = call(grouped, x, [
            np.concatenate([k[:, inverse] for k, _ in excite], axis=1)[None, None],
            np.concatenate([b[inverse] for _, b in excite])])
        x = layers.Activation("sigmoid", name=f"{name}_sigmoid{i + 1}")(x)
        return {j: Channels(index * channels, channels, name=f"{name}_{j + 1}to{i + 1}_weight")(x)
                for index, j in enumerate(others)}

    def _end(self, tensors: list[tf.Tensor], places: list[np.ndarray], module: str) -> None:
        """Hands the last branches over to the point-wise convolutions of a head, or to others."""
        # A head need not read all of them.
        for index, (x, place) in enumerate(zip(tensors, places, strict=False)):
            old = self._old.get_layer(f"{module}_fusion_branch{index + 1}_act")
            readers = consumers(old)
            if not all(_is_pointwise(reader) for reader in readers):
                self._new.put(old.output, _in_order(x, place, f"{old.name}_in_order"))
                continue
            for reader in readers:
                kernel, bias = self._matrix(reader.name)
                self._new.put(reader.output, _pointwise(
                    x, kernel[np.argsort(place)], bias, reader.name))


def _readers_outside(layer: layers.Layer, module: str) -> list[layers.Layer]:
    """The layers that read one of a module, and are not of the module themselves."""
    return [reader for reader in consumers(layer) if not reader.name.startswith(f"{module}_")]


def _is_pointwise(layer: layers.Layer) -> bool:
    return type(layer) is layers.Conv2D and layer.kernel_size == (1, 1) and layer.use_bias \
        and layer.activation is tf_keras.activations.linear


def _pointwise(x: tf.Tensor, kernel: np.ndarray, bias: np.ndarray, name: str) -> tf.Tensor:
    """A point-wise convolution by a kernel [inputs, outputs]."""
    return call(layers.Conv2D(len(bias), 1, name=name), x, [kernel[None, None], bias])


def _placed(kernel: np.ndarray, inputs: int, rows: np.ndarray) -> np.ndarray:
    """A kernel [R, outputs] for more inputs, of which it reads those at `rows` [R]."""
    result = np.zeros((inputs, kernel.shape[1]), np.float32)
    result[rows] = kernel
    return result


def _log_odds(
    x: tf.Tensor, kernel: np.ndarray, bias: np.ndarray, places: np.ndarray, total: int, name: str
) -> tf.Tensor:
    """Log-odds of `total` weights: a kernel's at some places, those of KEPT at the others."""
    all_biases = np.full(total, KEPT_LOG_ODDS, np.float32)
    all_biases[places] = bias
    return _pointwise(x, _placed(kernel.T, total, places).T, all_biases, name)


def _diagonal(kernels: list[np.ndarray]) -> np.ndarray:
    """One kernel with these along its diagonal."""
    result = np.zeros(np.sum([kernel.shape for kernel in kernels], axis=0), np.float32)
    row = column = 0
    for kernel in kernels:
        rows, columns = kernel.shape
        result[row : row + rows, column : column + columns] = kernel
        row, column = row + rows, column + columns
    return result


def _pooled(tensors: list[tf.Tensor], name: str) -> tf.Tensor:
    """All tensors at the lowest resolution, side by side: [B, S, S, T]."""
    lowest = tensors[-1].shape[1]
    pooled = [
        layers.AveragePooling2D(x.shape[1] // lowest, name=f"{name}{index + 1}")(x)
        if x.shape[1] > lowest else x for index, x in enumerate(tensors)
    ]
    return layers.Concatenate(name=name)(pooled)


def _shuffled(places: np.ndarray) -> np.ndarray:
    """The places after a shuffle of the channels."""
    return places.reshape(2, -1).T.ravel()


def _in_order(x: tf.Tensor, places: np.ndarray, name: str) -> tf.Tensor:
    """The channels in the order of the trained network."""
    kernel = np.eye(len(places), dtype=np.float32)[:, places]
    return _pointwise(x, kernel, np.zeros(len(places)), name)
