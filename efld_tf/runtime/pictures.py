"""Draws faces on their photo, and writes such pictures to files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from efld_tf import files
from efld_tf.arrays import Flags, Image
from efld_tf.landmarks import drawing, normalisers, pose, schemas
from efld_tf.landmarks.geometry import tight_box
from efld_tf.runtime.faces import Face

# JPEG smears the thin coloured lines of a small picture, and PNG takes too many bytes for a large
# one.
MOST_PNG_PIXELS = 512 * 512
LONGEST_JPEG = 65500  # pixels, the limit of the library
# Dots would cover a thumbnail, so it is enlarged to about this many pixels, at most 8-fold.
LEAST_SIDE, MOST_ENLARGED = 480, 8
# The length of a head's axes, as a share of the longest side of its points' box.
AXES = 0.6
# A point is unsure from this expected error on, as a share of what the schema's errors are divided
# by.
UNSURE = 0.1


def annotate_photo(image: Image, faces: Sequence[Face]) -> Image:
    """Draws faces as `annotate` does; a small picture is first enlarged by a whole number.

    Args:
      image: [H, W, 3] uint8 RGB.

    Returns:
      [K H, K W, 3] uint8 RGB, K from 1 on.
    """
    factor = min(max(round(LEAST_SIDE / max(image.shape[:2])), 1), MOST_ENLARGED)
    return annotate(*_scaled(image, faces, factor))


def annotate_to_fit(
    image: Image, faces: Sequence[Face], width: int, height: int
) -> Image:
    """Draws faces as `annotate_photo` does, on a picture that fits `width` x `height` pixels."""
    factor = min(width / image.shape[1], height / image.shape[0])
    if factor >= 1:
        return annotate_photo(image, faces)
    return annotate(*_scaled(image, faces, factor))


def _scaled(
    image: Image, faces: Sequence[Face], factor: float
) -> tuple[Image, Sequence[Face]]:
    """A picture and its faces, `factor` times as large."""
    if factor == 1:
        return image, faces
    interpolation = cv2.INTER_CUBIC if factor > 1 else cv2.INTER_AREA
    height, width = (max(1, round(side * factor)) for side in image.shape[:2])
    x, y = width / image.shape[1], height / image.shape[0]
    # Pixel centres are whole numbers, and the outer corner of the first pixel stays in place.
    moved = []
    for face in faces:
        depth, errors = (None if distances is None else distances * math.sqrt(x * y)
                         for distances in (face.depth, face.errors))
        moved.append(replace(face, points=(face.points + 0.5) * [x, y] - 0.5,
                             box=(face.box + 0.5) * [x, y, x, y] - 0.5, depth=depth, errors=errors))
    return cv2.resize(image, (width, height), interpolation=interpolation), moved


def annotate(image: Image, faces: Sequence[Face]) -> Image:
    """Draws faces: the box, the points and their lines, their number and confidence.

    Of a model that tells depths, the axes of the head are drawn too, from the tip of its nose. Of
    one that tells expected errors, their mean (NME) follows the confidence, in percent, and points
    with more than `UNSURE` are rings. The number is the person's in a video, and that of the face
    in a photo: `0 .98 3%`. Sizes follow each face and not the photo, so that small faces of large
    photos are not covered.

    Args:
      image: [H, W, 3] uint8 RGB; it is not changed.

    Returns:
      [H, W, 3] uint8 RGB.
    """
    result = image.copy()
    height, width = image.shape[:2]
    for face in faces:
        schema = schemas.get(face.schema)
        boxes = np.stack([face.box, tight_box(face.points)])
        margin = 0.08 * (boxes[:, 2:] - boxes[:, :2]).max() + 2
        low = np.floor(boxes[:, :2].min(axis=0) - margin)
        high = np.ceil(boxes[:, 2:].max(axis=0) + margin)
        x0, y0 = np.clip(low, 0, [width, height]).astype(int)
        x1, y1 = np.clip(high, 0, [width, height]).astype(int)
        if x1 <= x0 or y1 <= y0:  # the face is outside the image
            continue
        region, shift = result[y0:y1, x0:x1], np.array([x0, y0])
        drawn = drawing.draw_box(region, face.box - [x0, y0, x0, y0])
        drawn = drawing.draw_landmarks(
            drawn, face.points - shift, schema, visible=_sure(face),
            part_colours=drawing.part_colours(schema))
        region[:] = drawn
    for index, face in enumerate(faces):  # above the drawings of all
        result = _with_axes(result, face)
        number = index if face.track is None else face.track
        expected = face.expected_nme
        text = f"{number} {face.confidence:.2f}".replace(" 0.", " .")
        _write(result, face, text if expected is None else f"{text} {100 * expected:.0f}%")
    return result


def _sure(face: Face) -> Flags | None:
    """[N] bool: which points are expected to be near enough; None if the model does not tell."""
    size = normalisers.size_of(np.asarray(face.points), schemas.get(face.schema))
    if face.errors is None or not size > 0:
        return None
    return np.asarray(face.errors) <= UNSURE * size


def _with_axes(image: Image, face: Face) -> Image:
    """The picture of a face with the axes of its head, if they are known."""
    angles = None if face.depth is None else face.pose
    if angles is None:
        return image
    nose = face.points[list(schemas.get(face.schema).nose_tip)].mean(axis=0)
    box = tight_box(face.points)
    length = AXES * float((box[2:] - box[:2]).max())
    return drawing.draw_axes(image, nose, length * pose.axes(*angles)[:, :2])


def _write(image: Image, face: Face, text: str) -> None:
    """Writes a text above the box's left corner, or into it where there is no room."""
    x0, y0, x1, _ = np.clip(face.box, -1e5, 1e5)
    pixels = float(np.clip(0.12 * (x1 - x0), 9, 120))
    scale = pixels / 22  # OpenCV's capitals are 22 pixels high at a scale of 1
    base = y0 - 0.4 * pixels if y0 > 1.6 * pixels else y0 + 1.4 * pixels
    place = (int(x0 + pixels / 3), int(base))
    thickness = max(1, round(pixels / 12))
    for colour, wide in ((drawing.BACKGROUND, 3 * thickness), (drawing.YELLOW, thickness)):
        cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, wide,
                    cv2.LINE_AA)


def write(path: Path, image: Image) -> Path:
    """Writes a picture [H, W, 3] uint8 RGB atomically, as PNG if it is small and else as JPEG.

    Args:
      path: without a suffix, which is added.

    Returns:
      The path with the suffix.
    """
    height, width = image.shape[:2]
    as_png = height * width <= MOST_PNG_PIXELS or max(height, width) > LONGEST_JPEG
    return write_as(path.with_name(path.name + (".png" if as_png else ".jpg")), image)


def write_as(path: Path, image: Image) -> Path:
    """Writes a picture [H, W, 3] uint8 RGB atomically, as PNG or JPEG by the path's suffix."""
    files.write_bytes(path, drawing.encoded(image, path.suffix))
    return path
