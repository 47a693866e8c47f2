"""Codecs turn points into what a head predicts, and back.

The targets of `encode` have an entry for each raw output of the head, which broadcasts to it. From
a head that predicts its targets, `decode` gives back the points. Targets may have further entries
that only the loss reads.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from efld_tf.models import roi

Maps = dict[str, tf.Tensor]


class MeanResidualCodec:
    """Points as residuals from their format's mean shape: raw = mean shape - points.

    The int8 grid of a residual is four to five times finer than that of a coordinate, and training
    starts from a face.

    Attributes:
      mean_shape: [N, 2] float32, in the crop's unit square.
      precision: how exactly `decode` inverts `encode`, in crop sides.
    """

    precision = 1e-6

    def __init__(self, mean_shape: np.ndarray):
        self.mean_shape = np.asarray(mean_shape, np.float32)

    def encode(self, points: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Points [B, N, 2] in the crop's unit square -> raw residuals [B, N, 2]."""
        return self.mean_shape - points

    def decode(self, raw: tf.Tensor) -> tf.Tensor:
        """Raw residuals [B, N, 2] -> points [B, N, 2] in the crop's unit square."""
        return tf.subtract(self.mean_shape, raw)


class PIPCodec:
    """Points as the cells of a coarse grid, and offsets within them (PIPNet, Sections 3.1 and 3.2).

    Raw outputs, for a grid of G x G cells, N points and C neighbours of each:

    - `scores` [B, G, G, N]: 1 in the cell that a point lies in, else 0;
    - `x`, `y` [B, G, G, N]: the point's offset from that cell's top left corner, in cells;
    - `neighbour_x`, `neighbour_y` [B, G, G, N * C] (channel n * C + c): the offsets of the point's
      neighbours, which may lie many cells away. Without neighbours they are absent.

    Attributes:
      grid: G.
      neighbours: [N, C] indices of the neighbours of each: the points nearest to it in the mean
        shape, nearest first, or the first ones of the given order.
      precision: as in `MeanResidualCodec`.
    """

    precision = 1e-5

    def __init__(
        self, mean_shape: np.ndarray, grid: int, neighbours: int, order: np.ndarray | None = None
    ):
        """Makes the codec of a mean shape [N, 2].

        Args:
          neighbours: C, of each point.
          order: [N, N - 1] for each point the others, those first that are its neighbours first;
            None for the order of their distances.
        """
        self.grid = grid
        self.neighbours = nearest_points(mean_shape, neighbours) if order is None \
            else np.asarray(order)[:, :neighbours]
        count = len(mean_shape)
        # For each point, its places among N rows that predict themselves and C neighbours.
        columns = np.concatenate([np.arange(count)[:, None], self.neighbours], axis=1)
        places = [np.flatnonzero(columns.ravel() == point) for point in range(count)]
        most = max(len(indices) for indices in places)
        self._places = np.zeros((count, most), np.int32)
        self._weights = np.zeros((count, most), np.float32)
        for point, indices in enumerate(places):
            self._places[point, : len(indices)] = indices
            self._weights[point, : len(indices)] = 1 / (len(indices) * grid)

    def encode(self, points: tf.Tensor, mask: tf.Tensor) -> Maps:
        """Turns points [B, N, 2] in the crop's unit square into targets.

        A point outside the square belongs to the nearest cell.

        Args:
          mask: [B, N], 1 where a point is annotated.

        Returns:
          An entry for each raw output, and `neighbours_known` [B, N, C], 1 where a neighbour is
          annotated.
        """
        count, grid = len(self.neighbours), self.grid
        points = points * grid
        cell = tf.clip_by_value(tf.floor(points), 0.0, grid - 1.0)
        index = tf.cast(cell[..., 1] * grid + cell[..., 0], tf.int32)
        scores = tf.one_hot(index, grid * grid, axis=1)
        offsets = (points - cell)[:, None, None]
        maps = {
            "scores": tf.reshape(scores, [-1, grid, grid, count]),
            "x": offsets[..., 0],
            "y": offsets[..., 1],
        }
        if self.neighbours.shape[1]:
            others = tf.gather(points, self.neighbours, axis=1) - cell[:, :, None]
            others = tf.reshape(others, [-1, 1, 1, self.neighbours.size, 2])
            maps |= {"neighbour_x": others[..., 0], "neighbour_y": others[..., 1]}
            maps["neighbours_known"] = tf.gather(mask, self.neighbours, axis=1)
        return maps

    def decode(self, raw: Maps) -> tf.Tensor:
        """Raw maps -> points [B, N, 2]: means of their own and the neighbours' predictions."""
        count, grid = len(self.neighbours), self.grid
        cell = best_cells(raw["scores"])
        corner = {"x": tf.cast(cell % grid, tf.float32), "y": tf.cast(cell // grid, tf.float32)}
        coordinates = []
        for axis in ("x", "y"):
            predicted = at_cells(raw[axis], cell)
            if self.neighbours.shape[1]:
                others = at_cells(raw[f"neighbour_{axis}"], cell)
                predicted = tf.concat([predicted, others], axis=-1)
            predicted += tf.expand_dims(corner[axis], -1)
            predicted = tf.reshape(predicted, [-1, count * (1 + self.neighbours.shape[1])])
            collected = tf.gather(predicted, self._places, axis=1) * self._weights
            coordinates.append(tf.reduce_sum(collected, axis=-1))
        return tf.stack(coordinates, axis=-1)

    def encode_coarse(self, points: tf.Tensor, level: int) -> tf.Tensor:
        """Target scores [B, G', G', N] of a grid whose cells are 2^level times as long."""
        coarse = PIPCodec(np.zeros((len(self.neighbours), 2)), self.grid >> level, 0)
        return coarse.encode(points, tf.ones_like(points[..., 0]))["scores"]


DECODERS = ("centroid", "quarter")
# What maps hold: the height of the Gaussians, or its log-odds.
MAPS = ("values", "log_odds")
# The window of a centroid reaches so many standard deviations from the highest pixel.
WINDOW = 3
# Keeps a centroid finite where all of its window is 0.
NOTHING = 1e-6


class HeatmapCodec:
    """Points as Gaussians on maps of G x G pixels, one map a point: raw [B, G, G, N].

    Two decoders start from the highest pixel: `centroid` takes the mean place in a window around
    it, weighted by the map, and `quarter` goes a quarter of a pixel towards the higher neighbour
    (B. Xiao et al., "Simple Baselines for Human Pose Estimation and Tracking", ECCV 2018; PIPNet,
    Section 4.3.1).

    Attributes:
      size: G.
      sigma: the standard deviation of the Gaussians, in pixels of the map.
      decoder: one of `DECODERS`.
      maps: one of `MAPS`: what `raw` holds. Targets are always values.
      precision: as in `MeanResidualCodec`; it is half a pixel of the map.
    """

    def __init__(
        self, points: int, size: int, sigma: float, decoder: str = "quarter", maps: str = "values"
    ):
        self._count, self.size, self.sigma = points, size, sigma
        self.decoder, self.maps = decoder, maps
        self.precision = 0.5 / size

    def encode(self, points: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Points [B, N, 2] in the crop's unit square -> maps [B, G, G, N], 1 at their peaks."""
        centres = tf.range(self.size, dtype=tf.float32) + 0.5
        distance = centres[:, None, None] - points[:, None] * self.size  # [B, G, N, 2]
        weight = tf.exp(-tf.square(distance) / (2 * self.sigma**2))
        return weight[:, :, None, :, 1] * weight[:, None, :, :, 0]

    def decode(self, raw: tf.Tensor) -> tf.Tensor:
        """Raw maps [B, G, G, N] -> points [B, N, 2] in the crop's unit square."""
        size, cell = self.size, best_cells(raw)
        row, column = cell // size, cell % size
        offsets = self._centroid(raw, row, column) if self.decoder == "centroid" \
            else self._quarter(raw, row, column)
        return tf.stack([(tf.cast(place, tf.float32) + 0.5 + offset) * (1 / size)
                         for place, offset in zip((column, row), offsets, strict=True)], axis=-1)

    def _centroid(
        self, raw: tf.Tensor, row: tf.Tensor, column: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """x and y [B, N] of the mean place in a window, from the highest pixel, in pixels.

        The window is moved into the map. Near a border, only what is as far on the other side of
        the highest pixel counts, since the Gaussian is cut off there.
        """
        count, reach = self._count, min(math.ceil(WINDOW * self.sigma), (self.size - 1) // 2)
        side = 2 * reach + 1
        rows, columns = (tf.minimum(tf.maximum(place - reach, 0), self.size - side)
                         for place in (row, column))  # the first ones of the window
        steps = np.arange(side, dtype=np.int32)
        places = (steps[:, None] * self.size + steps).ravel()
        cells = tf.expand_dims(rows * self.size + columns, -1) + places  # [B, N, side^2]
        flat = tf.reshape(raw, [-1, self.size**2 * count])
        index = cells * count + np.arange(count, dtype=np.int32)[:, None]
        weights = tf.gather(flat, index, axis=1, batch_dims=1)
        weights = tf.sigmoid(weights) if self.maps == "log_odds" else tf.maximum(weights, 0.0)
        window = tf.reshape(weights, [-1, count, side, side])
        means = []
        for place, start, other_axis in ((column, columns, 2), (row, rows, 3)):
            along = tf.reduce_sum(window, axis=other_axis)
            ahead = steps - tf.expand_dims(place - start, -1)
            inside = tf.expand_dims(tf.minimum(place, self.size - 1 - place), -1)
            # 1 where |ahead| <= inside, else 0, of whole numbers.
            counted = tf.minimum(tf.maximum(inside + 1 - tf.maximum(ahead, 0 - ahead), 0), 1)
            along *= tf.cast(counted, tf.float32)
            moved = tf.reduce_sum(along * tf.cast(ahead, tf.float32), axis=-1)
            means.append(moved / (tf.reduce_sum(along, axis=-1) + NOTHING))
        return means[0], means[1]

    def _quarter(
        self, raw: tf.Tensor, row: tf.Tensor, column: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """A quarter pixel towards the higher neighbour, in x and y; at the map's border 0."""
        size, offsets = self.size, []
        for place, step in ((column, 1), (row, size)):
            inside = tf.minimum(tf.minimum(place, size - 1 - place), 1)
            cell = row * size + column
            after = at_cells(raw, cell + inside * step)
            before = at_cells(raw, cell - inside * step)
            offsets.append(0.25 * tf.squeeze(tf.sign(after - before), -1))
        return offsets[0], offsets[1]

    def encode_coarse(self, points: tf.Tensor, level: int) -> tf.Tensor:
        """Target maps [B, G', G', N] of pixels 2^level times as long; sigma is in these pixels."""
        coarse = HeatmapCodec(self._count, self.size >> level, self.sigma)
        return coarse.encode(points, tf.ones_like(points[..., 0]))


# What is kept of a Gaussian's distance from 0 and 1, so that its log-odds are finite.
LEAST_ODDS = 1e-6


class TwoStageCodec:
    """Points as expected places on coarse maps and, in a region around those, on fine ones.

    Raw outputs, for coarse maps of G x G pixels, and regions of R x R cells on a grid of F x F
    (Sections 3.1 and 3.2 of the two-stage paper, see `two_stage`):

    - `first` [B, G, G, N]: log-odds of a Gaussian around the point;
    - `origin` [B, N, 2]: x and y of the first cell of each region, in cells;
    - `second` [B, R, R, N]: log-odds of a Gaussian around the point in its region.

    With one stage there is `first` alone.

    Attributes:
      precision: as in `MeanResidualCodec`; it is that of points at the crop's border, where half of
        a Gaussian is cut off.
    """

    def __init__(self, coarse: int, grid: int, side: int, sigma: float, stages: int):
        """Makes the codec of any number of points.

        Args:
          coarse, grid, side: G, F and R.
          sigma: the standard deviation of the Gaussians, in pixels of their map.
          stages: 1 or 2.
        """
        self.coarse, self.grid, self.side = coarse, grid, side
        self.sigma, self.stages = sigma, stages
        self.precision = sigma / (coarse if stages == 1 else grid)

    def encode(self, points: tf.Tensor, mask: tf.Tensor) -> Maps:
        """Points [B, N, 2] in the crop's unit square -> an entry for each raw output.

        Regions lie around the true points. For the loss, whose regions lie around the predicted
        ones, there are also `pixels` and `cells` [B, N, 2], the points in pixels of the coarse maps
        and in cells of the grid, and `sigma` [B].
        """
        pixels, cells = points * self.coarse - 0.5, points * self.grid - 0.5
        maps = {"pixels": pixels, "cells": cells, "first": self._log_odds(pixels, self.coarse),
                "sigma": tf.fill(tf.shape(points)[:1], float(self.sigma))}
        if self.stages == 2:
            origin = tf.round(cells - (self.side - 1) / 2)
            origin = tf.clip_by_value(origin, 0.0, float(self.grid - self.side))
            maps |= {"origin": origin, "second": self._log_odds(cells - origin, self.side)}
        return maps

    def _log_odds(self, places: tf.Tensor, size: int) -> tf.Tensor:
        """Places [B, N, 2] in pixels of maps -> log-odds of the Gaussians [B, size, size, N]."""
        values = tf.exp(-squared_distances(places, size) / (2 * self.sigma**2))
        values = tf.clip_by_value(values, LEAST_ODDS, 1 - LEAST_ODDS)
        return tf.math.log(values) - tf.math.log1p(-values)

    def decode(self, raw: Maps) -> tf.Tensor:
        """Raw maps -> points [B, N, 2] in the crop's unit square."""
        if self.stages == 1:
            return (roi.expected_places(raw["first"]) + 0.5) * (1 / self.coarse)
        places = roi.expected_places(raw["second"])
        places += tf.cast(raw["origin"], tf.float32)
        return (places + 0.5) * (1 / self.grid)


def squared_distances(places: tf.Tensor, size: int) -> tf.Tensor:
    """From places [B, N, 2] to every pixel of a map, in pixels: [B, size, size, N]."""
    pixels = tf.range(size, dtype=tf.float32)
    squares = tf.square(pixels[:, None, None] - places[:, None])  # [B, size, N, 2]
    return squares[:, :, None, :, 1] + squares[:, None, :, :, 0]


def nearest_points(mean_shape: np.ndarray, count: int) -> np.ndarray:
    """The `count` points nearest to each one of a shape [N, 2], nearest first: [N, count].

    If there are fewer, these are all other points (PIPNet, Section 3.2, by Euclidean distance).
    """
    shape = np.asarray(mean_shape, np.float64)
    distance = np.linalg.norm(shape[:, None] - shape[None], axis=-1)
    np.fill_diagonal(distance, np.inf)
    return np.argsort(distance, axis=1, kind="stable")[:, : min(count, len(shape) - 1)]


def best_cells(scores: tf.Tensor) -> tf.Tensor:
    """The cell of the highest score of each point; of equal ones, the first.

    Args:
      scores: [B, G, G, N].

    Returns:
      [B, N] int32, row * G + column.
    """
    _, rows, columns, points = scores.shape
    flat = tf.reshape(scores, [-1, rows * columns, points])
    # LiteRT's search is faster where the cells of a point are side by side.
    return tf.argmax(tf.transpose(flat, [0, 2, 1]), axis=2, output_type=tf.int32)


def at_cells(maps: tf.Tensor, cell: tf.Tensor) -> tf.Tensor:
    """The values of K maps a point in its cell: [B, G, G, N * K] and [B, N] -> [B, N, K]."""
    _, rows, columns, channels = maps.shape
    points = cell.shape[1]
    flat = tf.reshape(maps, [-1, rows * columns * points, channels // points])
    return tf.gather(flat, cell * points + tf.range(points), axis=1, batch_dims=1)
