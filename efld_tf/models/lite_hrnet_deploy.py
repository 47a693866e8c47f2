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

For integers, the channels that a block has filtered or a module has fused are stretched to the
range of the widest one (as in `exporting.equalise`): they share a grid, by whose steps they are
rounded again and again. Whatever reads them has smaller weights for them; where they are fused,
constants make up for it.
"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras import layers

from efld_tf.models import probe
from efld_tf.models.blocks import Channels
from efld_tf.models.lite_hrnet_branches import (
    KEPT,
    Branch,
    Branches,
    diagonal,
    in_order,
    log_odds,
    mean,
    placed,
    pointwise,
    shuffled,
    side_by_side,
)
from efld_tf.models.rebuild import Rebuild, call, consumers, copied

# The layers, by their names, whose channels are stretched for integers, and how far at most, since
# the channels' weights share a grid, too.
STRETCHED = r"stage\d+_module\d+_(ccw\d+_branch\d+_depthwise_dwconv|fusion_branch\d+_act)"
LARGEST_STRETCH = 3.0


def deploy(model: tf_keras.Model, crops: np.ndarray) -> tf_keras.Model:
    """A network with the outputs of a trained one, in fewer operators.

    Args:
      model: as `lite_hrnet_plus.build` makes it, perhaps with a presence output, and with its batch
        norms folded.
      crops: [F, S, S, 3] uint8, the calibration crops; none for a network that stays in float.
    """
    network = _Deployment(model, {}).finished()
    return _Deployment(model, _stretches(network, crops)).finished() if len(crops) else network


def _stretches(network: tf_keras.Model, crops: np.ndarray) -> dict[str, np.ndarray]:
    """What to stretch the channels of filtered and fused branches by, by the name of the layer."""
    chosen = [layer for layer in network.layers if re.fullmatch(STRETCHED, layer.name)]
    extremes = probe.extremes_of(network, chosen, crops)
    reached = [np.abs(ends).max(axis=(0, 1, 2)) for ends in extremes]
    return {
        layer.name: np.clip(values.max() / np.maximum(values, 1e-6), 1.0, LARGEST_STRETCH)
        for layer, values in zip(chosen, reached, strict=True)
    }


class _Deployment:
    """Copies a network, and writes its conditional channel weightings and attention anew."""

    def __init__(self, model: tf_keras.Model, stretches: dict[str, np.ndarray]):
        self._old = model
        self._stretches = stretches
        self._new = Rebuild(model)
        self._names = {layer.name for layer in model.layers}

    def finished(self) -> tf_keras.Model:
        """The whole network."""
        each = [self._stem()]
        stages = self._numbered("stage", "_module1")
        for stage in stages:
            each = self._transition(each, stage)
            for module in self._numbered(f"{stage}_module"):
                branches = Branches(each, side_by_side(each, f"{module}_pooled"))
                for block in self._numbered(f"{module}_ccw"):
                    branches = self._weighting(branches, block)
                each = self._fused(branches, module, block)
        self._end(each, module)
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

    def _stretch(self, name: str, channels: int) -> np.ndarray:
        """What the channels of a layer of that name are multiplied by."""
        return self._stretches.get(name, np.ones(channels))

    def _stem(self) -> Branch:
        """See `lite_hrnet_plus.stem`."""
        self._copy("stem_first")
        x = self._value("stem_first_act")
        channels = x.shape[-1]
        halves = np.split(np.arange(channels), 2)
        kept = self._filtered(x, halves[0], "stem_kept_depthwise_dwconv", others=0)
        kernel, bias = self._matrix("stem_kept_pointwise_conv")
        kept = pointwise(kept, placed(kernel, channels, halves[0]), bias,
                          "stem_kept_pointwise_conv")
        kept = self._activated(kept, "stem_kept_pointwise")
        kernel, bias = self._matrix("stem_wide_expand_conv")
        wide = pointwise(x, placed(kernel, channels, halves[1]), bias, "stem_wide_expand_conv")
        self._new.put(self._old.get_layer("stem_wide_expand_conv").output, wide)
        self._copy("stem_wide_expand_act")
        self._copy("stem_wide_depthwise")
        self._copy("stem_wide_pointwise")
        x = layers.Concatenate(name="stem_concat")([kept, self._value("stem_wide_pointwise_act")])
        return Branch(x, shuffled(np.arange(channels)), np.ones(channels))

    def _transition(self, each: list[Branch], stage: str) -> list[Branch]:
        """See `lite_hrnet_plus.transition`."""
        result = []
        for index, _ in enumerate(self._numbered(f"{stage}_module1_ccw1_branch")):
            branch, part = each[min(index, len(each) - 1)], f"{stage}_branch{index + 1}"
            if f"{part}_depthwise_dwconv" in self._names:
                depthwise = self._old.get_layer(f"{part}_depthwise_dwconv")
                kernel, bias = depthwise.get_weights()
                inverse = np.argsort(branch.places)
                x = call(copied(depthwise), branch.x, [
                    kernel[:, :, inverse] / branch.scale[:, None], bias[inverse]])
                kernel, bias = self._matrix(f"{part}_pointwise_conv")
                x = pointwise(x, kernel[inverse], bias, f"{part}_pointwise_conv")
                branch = Branch.as_trained(self._activated(x, f"{part}_pointwise"))
            result.append(branch)
        return result

    def _weighting(self, branches: Branches, name: str) -> Branches:
        """See `lite_hrnet_plus.weighting`."""
        weights = self._across(branches, f"{name}_across")
        each = []
        for index, branch in enumerate(branches.each):
            part, x, channels = f"{name}_branch{index + 1}", branch.x, len(branch.places)
            weight = Channels(branches.starts[index], channels, name=f"{part}_weight")(weights)
            if x.shape[1] > weight.shape[1]:
                up = layers.UpSampling2D(x.shape[1] // weight.shape[1], name=f"{part}_up")
                weight = up(weight)
            x = layers.Multiply(name=f"{part}_weighted")([x, weight])
            filters = f"{part}_depthwise_dwconv"
            scale = self._stretch(filters, channels)
            # They are weighted twice, across resolutions and by averages.
            x = self._filtered(
                x, branch.changed, filters, others=1 / KEPT**2, before=branch.scale, after=scale)
            each.append(Branch(x, branch.places, scale))
        filtered = Branches(each, side_by_side(each, f"{name}_pooled"))
        return Branches(
            [replace(branch, places=shuffled(branch.places)) for branch in each], filtered.pooled,
            self._excited(filtered, name))

    def _across(self, branches: Branches, name: str) -> tf.Tensor:
        """The weights of all branches at the lowest resolution: [B, S, S, T]."""
        pooled, before = branches.pooled, branches.weights
        if before is not None:
            pooled = layers.Multiply(name=f"{name}_pooled")([pooled, before])
        changed = np.concatenate(branches.changed())
        kernel, bias = self._matrix(f"{name}_squeeze_conv")
        kernel = (placed(kernel, pooled.shape[-1], changed).T / branches.scale).T
        x = pointwise(pooled, kernel, bias, f"{name}_squeeze_conv")
        x = self._activated(x, f"{name}_squeeze")
        x = log_odds(x, *self._matrix(f"{name}_excite_conv"), changed, pooled.shape[-1],
                      f"{name}_excite_conv")
        x = layers.Activation("sigmoid", name=f"{name}_sigmoid")(x)
        if before is None:
            return x
        return layers.Multiply(name=f"{name}_and_before")([x, before])

    def _filtered(
        self, x: tf.Tensor, changed: np.ndarray, name: str, others: float,
        before: np.ndarray | float = 1.0, after: np.ndarray | float = 1.0,
    ) -> tf.Tensor:
        """A depthwise convolution of some channels, which multiplies the others by a number.

        Args:
          before, after: [C], the scales of the channels of `x` and of the result.
        """
        depthwise = self._old.get_layer(name)
        kernel, bias = depthwise.get_weights()
        height, width = kernel.shape[:2]
        all_kernels = np.zeros((height, width, x.shape[-1], 1))
        all_kernels[height // 2, width // 2] = others
        all_kernels[:, :, changed], all_biases = kernel, np.zeros(x.shape[-1])
        all_biases[changed] = bias
        all_kernels = (all_kernels.swapaxes(2, 3) * (after / before)).swapaxes(2, 3)
        return call(copied(depthwise), x, [all_kernels, all_biases * after])

    def _excited(self, branches: Branches, name: str) -> tf.Tensor:
        """The weights of all branches by their averages: [B, 1, 1, T]."""
        pooled, changed = branches.pooled, branches.changed()
        total = pooled.shape[-1]
        parts = [f"{name}_branch{index + 1}" for index, _ in enumerate(changed)]
        squeeze = [self._matrix(f"{part}_squeeze") for part in parts]
        excite = [self._matrix(f"{part}_excite") for part in parts]
        x = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_average")(pooled)
        kernel = placed(diagonal([k for k, _ in squeeze]), total, np.concatenate(changed))
        kernel = (kernel.T / branches.scale).T
        x = pointwise(x, kernel, np.concatenate([b for _, b in squeeze]), f"{name}_squeeze")
        x = layers.ReLU(name=f"{name}_squeeze_act")(x)
        x = log_odds(x, diagonal([k for k, _ in excite]), np.concatenate([b for _, b in excite]),
                      np.concatenate(changed), total, f"{name}_excite")
        return layers.Activation("sigmoid", name=f"{name}_sigmoid")(x)

    def _fused(self, branches: Branches, module: str, block: str) -> list[Branch]:
        """The branches after a module's fusion."""
        # A last module may be left with its first branch alone, which reads the second's mean.
        each, with_attention = [], f"{module}_fusion_mean2" in self._names
        scales = [
            self._stretch(f"{module}_fusion_branch{index + 1}_act", len(branch.places))
            if with_attention else np.ones(len(branch.places))
            for index, branch in enumerate(branches.each)]
        weights = self._multiplied(
            branches.weights, np.concatenate(scales) / branches.scale, f"{module}_scaled")
        for index, (branch, scale) in enumerate(zip(branches.each, scales, strict=True)):
            part = f"{block}_branch{index + 1}"
            weight = Channels(branches.starts[index], len(scale), name=f"{part}_excite")(weights)
            x = layers.Multiply(name=f"{part}_excited")([branch.x, weight])
            each.append(Branch(x, branch.places, scale))
        shuffles = [self._old.get_layer(f"{block}_branch{index + 1}_shuffle")
                    for index, _ in enumerate(each)]
        if with_attention:
            averages = layers.GlobalAveragePooling2D(keepdims=True, name=f"{module}_average")(
                branches.pooled)
            averages = layers.Multiply(name=f"{module}_average_weighted")([averages, weights])
            for branch, old in zip(each, shuffles, strict=True):
                for reader in _readers_outside(old, module):
                    self._put_average(branch, reader)
            return self._scaf(each, branches.starts, averages, f"{module}_fusion")
        for branch, old in zip(each, shuffles, strict=True):
            self._new.put(old.output, in_order(branch, f"{old.name}_in_order"))
        self._copy(f"{module}_fusion")
        return [Branch.as_trained(self._value(f"{branch}_act"))
                for branch in self._numbered(f"{module}_fusion_branch")]

    def _put_average(self, branch: Branch, reader: layers.Layer) -> None:
        """Hands the average of a branch over to a presence output, in place of its own average.

        Not that of all branches side by side: their grid is too coarse for some.
        """
        x = layers.GlobalAveragePooling2D(keepdims=True, name=f"{reader.name}_mixed")(branch.x)
        x = in_order(replace(branch, x=x), f"{reader.name}_in_order")
        self._new.put(reader.output, layers.Flatten(name=f"{reader.name}_flat")(x))

    def _multiplied(self, x: tf.Tensor, by: np.ndarray, name: str) -> tf.Tensor:
        """Each channel of `x` times a number, where channels are stretched."""
        if not self._stretches:
            return x
        each = layers.DepthwiseConv2D(1, use_bias=False, name=name)
        return call(each, x, [by[None, None, :, None]])

    def _scaf(
        self, each: list[Branch], starts: np.ndarray, averages: tf.Tensor, name: str
    ) -> list[Branch]:
        """See `lite_hrnet_fusion.scaf`."""
        means: dict[int, tf.Tensor] = {}
        result = []
        for i, _ in enumerate(self._numbered(f"{name}_branch")):
            branch = each[i]
            average = Channels(starts[i], len(branch.places), name=f"{name}_average{i + 1}")(
                averages)
            attention = self._attention(replace(branch, x=average), i, len(each), name)
            terms, below = [branch.x], None
            for j in reversed(range(i + 1, len(each))):
                if j not in means:
                    means[j] = mean(each[j], f"{name}_mean{j + 1}")
                part = f"{name}_{j + 1}to{i + 1}"
                term = layers.Multiply(name=f"{part}_weighted")([means[j], attention[j]])
                if below is not None:
                    term = layers.Add(name=f"{part}_sum")([term, below])
                below = layers.UpSampling2D(2, name=f"{part}_up")(term)
            if below is not None:
                terms.append(below)
            for j in range(i):
                part = f"{name}_{j + 1}to{i + 1}"
                if (j, i) == (0, 1):  # nothing reads the first mean but at half its resolution
                    means[j] = mean(each[j], f"{part}_down", step=2)
                else:
                    means[j] = layers.AveragePooling2D(2, name=f"{part}_down")(means[j])
                terms.append(layers.Multiply(name=f"{part}_weighted")([means[j], attention[j]]))
            x = layers.Add(name=f"{name}_branch{i + 1}_sum")(terms)
            result.append(replace(branch, x=self._activated(x, f"{name}_branch{i + 1}")))
        return result

    def _attention(
        self, average: Branch, i: int, count: int, name: str
    ) -> dict[int, tf.Tensor]:
        """The attention [B, 1, 1, C] of branch i, of which these are the averages, for others."""
        others, channels = [j for j in range(count) if j != i], len(average.places)
        inverse = np.argsort(average.places)
        squeeze = [self._matrix(f"{name}_{j + 1}to{i + 1}_squeeze") for j in others]
        excite = [self._matrix(f"{name}_{j + 1}to{i + 1}_excite") for j in others]
        x = pointwise(average.x, average.rows(np.concatenate([k for k, _ in squeeze], axis=1)),
                       np.concatenate([b for _, b in squeeze]), f"{name}_squeeze{i + 1}")
        x = layers.ReLU(name=f"{name}_squeeze{i + 1}_act")(x)
        grouped = layers.Conv2D(len(others) * channels, 1, groups=len(others),
                                name=f"{name}_excite{i + 1}")
        x = call(grouped, x, [
            np.concatenate([k[:, inverse] for k, _ in excite], axis=1)[None, None],
            np.concatenate([b[inverse] for _, b in excite])])
        x = layers.Activation("sigmoid", name=f"{name}_sigmoid{i + 1}")(x)
        x = self._multiplied(x, np.tile(average.scale, len(others)), f"{name}_scaled{i + 1}")
        return {j: Channels(index * channels, channels, name=f"{name}_{j + 1}to{i + 1}_weight")(x)
                for index, j in enumerate(others)}

    def _end(self, each: list[Branch], module: str) -> None:
        """Hands the last branches over to the point-wise convolutions of a head, or to others."""
        # A head need not read all of them.
        for index, branch in enumerate(each):
            old = self._old.get_layer(f"{module}_fusion_branch{index + 1}_act")
            readers = consumers(old)
            if not all(_is_pointwise(reader) for reader in readers):
                self._new.put(old.output, in_order(branch, f"{old.name}_in_order"))
                continue
            for reader in readers:
                kernel, bias = self._matrix(reader.name)
                self._new.put(reader.output, pointwise(
                    branch.x, branch.rows(kernel), bias, reader.name))


def _readers_outside(layer: layers.Layer, module: str) -> list[layers.Layer]:
    """The layers that read one of a module, and are not of the module themselves."""
    return [reader for reader in consumers(layer) if not reader.name.startswith(f"{module}_")]


def _is_pointwise(layer: layers.Layer) -> bool:
    return type(layer) is layers.Conv2D and layer.kernel_size == (1, 1) and layer.use_bias \
        and layer.activation is tf_keras.activations.linear
