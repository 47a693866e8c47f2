"""A small scan-converter: triangles to a map of texture coordinates, in vectorised NumPy."""

from __future__ import annotations

import numpy as np

_TOUCH = 1e-3  # pixels; neighbouring triangles overlap by this much, so that no seam stays open


def _spans(
    corners: np.ndarray, top: np.ndarray, bottom: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The scan lines of triangles [T, 3, 2]: triangle, row, first and last column, each [S]."""
    first_row = np.clip(np.ceil(top), 0, size).astype(np.int64)
    last_row = np.clip(np.floor(bottom), -1, size - 1).astype(np.int64)
    rows = np.maximum(last_row - first_row + 1, 0)
    triangle = np.repeat(np.arange(len(corners)), rows)
    starts = np.cumsum(rows) - rows
    y = np.arange(len(triangle)) - starts[triangle] + first_row[triangle]
    low = np.zeros(len(triangle), np.float32)
    high = np.full(len(triangle), size - 1, np.float32)
    for i in range(3):
        start, end = corners[:, i], corners[:, (i + 1) % 3]
        # Inside is where a x + b y + c >= 0: each edge bounds the scan line on one side.
        a, b = start[:, 1] - end[:, 1], end[:, 0] - start[:, 0]
        c = -(a * start[:, 0] + b * start[:, 1])
        with np.errstate(divide="ignore", invalid="ignore"):
            bound = -(b[triangle] * y + c[triangle]) / a[triangle]
        side = a[triangle]
        low = np.where(side > 0, np.fmax(low, bound), low)
        high = np.where(side < 0, np.fmin(high, bound), high)
    first = np.ceil(low - _TOUCH).astype(np.int64)
    last = np.floor(high + _TOUCH).astype(np.int64)
    return triangle, y, np.maximum(first, 0), np.minimum(last, size - 1)


def rasterize(
    xy: np.ndarray, depth: np.ndarray, uv: np.ndarray, triangles: np.ndarray, size: int
) -> np.ndarray:
    """Draws a mesh with hidden surfaces removed.

    Triangles whose corners run counter-clockwise on the screen (y down) are culled; the others are
    painted from far to near, which is exact enough for triangles of a few pixels.

    Args:
      xy: [V, 2] float32 screen positions in pixels, pixel centres at whole numbers.
      depth: [V] larger is nearer.
      uv: [V, 2] what to interpolate, affinely within each triangle.
      triangles: [T, 3] vertex indices.
      size: side of the square screen in pixels.

    Returns:
      [size, size, 2] float32, -1 where no triangle covers the pixel's centre.
    """
    corners = xy[triangles]
    edge1, edge2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = edge1[:, 0] * edge2[:, 1] - edge1[:, 1] * edge2[:, 0]
    lowest = np.minimum(np.minimum(corners[:, 0], corners[:, 1]), corners[:, 2])
    highest = np.maximum(np.maximum(corners[:, 0], corners[:, 1]), corners[:, 2])
    inside = (highest >= 0) & (lowest <= size - 1)
    visible = np.flatnonzero((area > 1e-4) & inside[:, 0] & inside[:, 1])
    depths = depth[triangles[visible]]
    depth_sum = depths[:, 0] + depths[:, 1] + depths[:, 2]
    visible = visible[np.argsort(depth_sum, kind="stable")]
    corners, edge1, edge2 = corners[visible], edge1[visible], edge2[visible]
    area = area[visible, None]

    values = uv[triangles[visible]].astype(np.float32)
    delta1, delta2 = values[:, 1] - values[:, 0], values[:, 2] - values[:, 0]
    along_x = (delta1 * edge2[:, 1:] - delta2 * edge1[:, 1:]) / area
    along_y = (delta2 * edge1[:, :1] - delta1 * edge2[:, :1]) / area
    base = values[:, 0] - along_x * corners[:, 0, :1] - along_y * corners[:, 0, 1:]

    triangle, y, first, last = _spans(corners, lowest[visible, 1], highest[visible, 1], size)
    counts = np.maximum(last - first + 1, 0)
    starts = np.cumsum(counts) - counts
    offset = np.arange(counts.sum()) - np.repeat(starts, counts)
    start = base[triangle] + along_x[triangle] * first[:, None] + along_y[triangle] * y[:, None]
    result = np.full((size * size, 2), -1, np.float32)
    pixel = np.repeat(y * size + first, counts) + offset
    offset = offset.astype(np.float32)
    # Where a pixel occurs more than once, NumPy keeps the last value: the nearest triangle's.
    for i in (0, 1):
        slope = np.repeat(along_x[triangle, i], counts)
        result[pixel, i] = np.repeat(start[:, i], counts) + slope * offset
    return result.reshape(size, size, 2)


def grid_triangles(rows: int, columns: int, first: int = 0) -> np.ndarray:
    """Triangles [2 (rows-1) (columns-1), 3] of a row-major vertex grid that starts at `first`."""
    index = first + np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    return np.concatenate(
        [np.stack([a, b, c], -1).reshape(-1, 3), np.stack([b, d, c], -1).reshape(-1, 3)]
    )
