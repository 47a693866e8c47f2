"""Draws landmarks, boxes and contact sheets on images, to look at data and predictions.

Images are [H, W, 3] uint8 RGB and are never changed: every function returns a new one. Points are
in image pixels with pixel centres at whole numbers, drawn anti-aliased at 1/16 pixel. Sizes follow
the image, so that a 64-pixel crop and a photo look alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np

from efld_tf.arrays import Flags, Floats, Image
from efld_tf.errors import EfldError
from efld_tf.landmarks.schema import LandmarkSchema, Part

Colour = tuple[int, int, int]

GREEN: Colour = (40, 220, 60)
ORANGE: Colour = (255, 110, 20)
YELLOW: Colour = (255, 225, 60)
RED: Colour = (240, 50, 40)
BLUE: Colour = (60, 110, 255)
WHITE: Colour = (255, 255, 255)
BACKGROUND: Colour = (32, 32, 32)

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_SHIFT = 4  # fractional bits of OpenCV's fixed-point coordinates
_FARTHEST = 1e5  # pixels; OpenCV's coordinates are 32-bit


def draw_landmarks(
    image: Image,
    points: Floats,
    schema: LandmarkSchema,
    colour: Colour = GREEN,
    *,
    lines: bool = True,
    radius: float | None = None,
    numbers: bool = False,
    visible: Flags | None = None,
    part_colours: Sequence[Colour] | None = None,
) -> Image:
    """Draws the polylines of the schema's parts and a dot for each point.

    The dots of parts without a line, which may be hundreds, are half as large.

    Args:
      image: [H, W, 3] uint8 RGB.
      points: [N, 2] in pixels; points that are not finite are left out.
      lines: whether to draw the polylines.
      radius: radius of the dots in pixels, 1/160 of the longer side by default.
      numbers: whether to write each point's index beside it.
      visible: [N] bool; points where it is False are rings instead of dots.
      part_colours: one for each part of the schema, instead of `colour` for all.

    Raises:
      EfldError: the number of points is not the schema's.
    """
    if np.shape(points) != (schema.num_points, 2):
        raise EfldError(
            f"schema {schema.name} has {schema.num_points} points, got shape {np.shape(points)}"
        )
    result = image.copy()
    colours = [colour] * len(schema.parts) if part_colours is None else list(part_colours)
    if lines:
        for part, line_colour in zip(schema.parts, colours, strict=True):
            red, green, blue = (int(0.75 * channel) for channel in line_colour)
            _draw_part(result, points, part, (red, green, blue))
    full = max(0.8, max(image.shape[:2]) / 160) if radius is None else radius
    # A point that several parts share belongs to the first.
    dots = {i: (c, full if part.line else full / 2)
            for part, c in reversed(list(zip(schema.parts, colours, strict=True)))
            for i in part.points}
    for index, point in enumerate(points):
        if not np.isfinite(point).all():
            continue
        shade, radius = dots[index]
        ring = visible is not None and not visible[index]
        thickness = max(1, round(radius / 3)) if ring else -1
        size = round(radius * (1 << _SHIFT))
        cv2.circle(result, _fixed(point), size, shade, thickness, cv2.LINE_AA, _SHIFT)
        if numbers:
            _write_number(result, index, point, radius)
    return result


def part_colours(schema: LandmarkSchema) -> list[Colour]:
    """A bright colour for each part of a schema; neighbours in the list differ most."""
    # With steps of the golden angle, hues that come close to each other are far apart in the list.
    hues = [int(180 * (0.33 + 0.618034 * index) % 180) for index in range(len(schema.parts))]
    hsv = np.array([[[hue, 190, 255] for hue in hues]], np.uint8)
    rgb = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0]
    return [(int(red), int(green), int(blue)) for red, green, blue in rgb]


def legend(schema: LandmarkSchema, width: int, row: int = 18) -> Image:
    """The points' indices and names in the colours of their parts, in columns.

    Args:
      width, row: the width of the picture and the height of a line of text, in pixels.

    Returns:
      [H, width, 3] uint8; H follows from the number of points.
    """
    scale = cv2.getFontScaleFromHeight(_FONT, round(row * 0.5))
    texts = [f"{index} {name}" for index, name in enumerate(schema.names)]
    widest = max(cv2.getTextSize(text, _FONT, scale, 1)[0][0] for text in texts) + row
    columns = max(1, width // widest)
    rows = -(-len(texts) // columns)
    picture = np.full((rows * row + row // 2, width, 3), BACKGROUND, np.uint8)
    for part, colour in reversed(list(zip(schema.parts, part_colours(schema), strict=True))):
        for index in part.points:
            left, top = index // rows * widest, index % rows * row
            cell = picture[top : top + row, left : left + widest]
            cell[:] = BACKGROUND
            cv2.putText(cell, texts[index], (row // 3, round(row * 0.8)), _FONT, scale, colour, 1,
                        cv2.LINE_AA)
    return picture


def draw_box(image: Image, box: Floats, colour: Colour = YELLOW) -> Image:
    """Draws a box (x0, y0, x1, y1), in pixels."""
    x0, y0, x1, y1 = box
    corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]], float)
    result = image.copy()
    for start, end in pairwise(corners):
        _draw_line(result, start, end, colour)
    return result


def draw_axes(image: Image, start: Floats, axes: Floats) -> Image:
    """Draws the axes of a head from a point: to its left in red, up in green, forward in blue.

    Args:
      start: [2] in pixels.
      axes: [3, 2] in pixels; what points away from the camera is drawn as well.
    """
    result = image.copy()
    for axis, colour in zip(axes, (RED, GREEN, BLUE), strict=True):
        _draw_line(result, np.asarray(start), np.asarray(start) + axis, colour)
    return result


def draw_comparison(
    image: Image, truth: Floats, predicted: Floats, schema: LandmarkSchema
) -> Image:
    """Draws the truth in green, the prediction as orange dots, and the error of each as a line.

    Args:
      truth, predicted: [N, 2] in pixels.
    """
    result = draw_landmarks(image, truth, schema, GREEN)
    for start, end in zip(np.asarray(truth), np.asarray(predicted), strict=True):
        _draw_line(result, start, end, WHITE)
    return draw_landmarks(result, predicted, schema, ORANGE, lines=False)


def contact_sheet(
    images: Sequence[Image],
    columns: int,
    size: int,
    captions: Sequence[str] | None = None,
) -> Image:
    """Puts images side by side, each fitted into a square tile without distortion.

    Args:
      images: [H, W, 3] uint8 each, of any size.
      columns: tiles in a row; the last row may be partly empty.
      size: side of a tile in pixels.
      captions: a line under each tile; the middle of one that is too long is left out.

    Returns:
      [rows * tile height, columns * size, 3] uint8.

    Raises:
      EfldError: there are no images, or not as many captions as images.
    """
    if not images or columns < 1 or size < 1:
        raise EfldError("a contact sheet needs an image, a column and a size")
    if captions is not None and len(captions) != len(images):
        raise EfldError(f"expected {len(images)} captions, got {len(captions)}")
    strip = 0 if captions is None else min(24, max(16, size // 10))
    rows = -(-len(images) // columns)
    sheet = np.full((rows * (size + strip), columns * size, 3), BACKGROUND, np.uint8)
    for index, image in enumerate(images):
        top, left = index // columns * (size + strip), index % columns * size
        _letterbox(image, sheet[top : top + size, left : left + size])
        if captions is not None:
            area = sheet[top + size : top + size + strip, left : left + size]
            area[:] = _caption(captions[index], size, strip)
    return sheet


def encoded(image: Image, suffix: str, quality: int = 95) -> bytes:
    """A picture [H, W, 3] uint8 RGB as the content of a file.

    Args:
      suffix: `.png`, `.jpg` or `.jpeg`.
      quality: the quality of a JPEG, 1 to 100.

    Raises:
      EfldError: the picture is too large for the format.
    """
    # Colour at half the resolution would smear thin lines.
    jpeg = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    options = [] if suffix == ".png" else jpeg
    try:
        success, content = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    except cv2.error:
        success = False
    if not success:
        height, width = image.shape[:2]
        raise EfldError(f"a picture of {width} x {height} pixels is too large for {suffix}")
    return content.tobytes()


def _fixed(point: Floats) -> tuple[int, int]:
    x, y = np.round(np.clip(point, -_FARTHEST, _FARTHEST) * (1 << _SHIFT)).astype(int)
    return int(x), int(y)


def _draw_line(image: Image, start: Floats, end: Floats, colour: Colour) -> None:
    """Draws a line into `image`, unless an end is not finite."""
    if np.isfinite(start).all() and np.isfinite(end).all():
        thickness = max(1, round(max(image.shape[:2]) / 400))
        cv2.line(image, _fixed(start), _fixed(end), colour, thickness, cv2.LINE_AA, _SHIFT)


def _draw_part(image: Image, points: Floats, part: Part, colour: Colour) -> None:
    for first, second in pairwise(part.polyline):
        _draw_line(image, points[first], points[second], colour)


def _write_number(image: Image, index: int, point: Floats, radius: float) -> None:
    scale = max(0.3, max(image.shape[:2]) / 2500)
    shifted = np.clip(point, -_FARTHEST, _FARTHEST) + np.array([radius + 1, -radius])
    place = (int(shifted[0]), int(shifted[1]))
    for colour, thickness in ((BACKGROUND, 3), (WHITE, 1)):  # legible on any skin
        cv2.putText(image, str(index), place, _FONT, scale, colour, thickness, cv2.LINE_AA)


def _letterbox(image: Image, tile: Image) -> None:
    """Writes `image` into the middle of a square `tile`."""
    height, width = image.shape[:2]
    scale = len(tile) / max(height, width)
    height, width = max(1, round(height * scale)), max(1, round(width * scale))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    top, left = (len(tile) - height) // 2, (len(tile) - width) // 2
    tile[top : top + height, left : left + width] = cv2.resize(
        image, (width, height), interpolation=interpolation
    )


def _caption(text: str, width: int, height: int) -> Image:
    """A line of text [height, width, 3]; the middle of one that is too long is left out."""
    scale = cv2.getFontScaleFromHeight(_FONT, round(height * 0.5))
    # OpenCV crashes on file names that are not UTF-8.
    text = text.encode("utf-8", "backslashreplace").decode()
    line, length = text, len(text)
    while length and cv2.getTextSize(line, _FONT, scale, 1)[0][0] > width - 6:
        length -= 1
        line = f"{text[: (length + 1) // 2]}..{text[len(text) - length // 2 :]}"
    strip = np.full((height, width, 3), BACKGROUND, np.uint8)
    cv2.putText(strip, line, (3, round(height * 0.75)), _FONT, scale, WHITE, 1, cv2.LINE_AA)
    return strip
