"""Paints a face on the atlas: skin, eyes, brows, lips, beard, hair and clothes."""

from __future__ import annotations

import cv2
import numpy as np

from efld_tf.annotations.synthetic import hair
from efld_tf.annotations.synthetic.atlas import Atlas, Mask, Painter, smooth_noise
from efld_tf.annotations.synthetic.curves import CHIN_Y, Curves
from efld_tf.annotations.synthetic.parameters import FaceParameters

_T = np.linspace(0, 1, 25)
_Q = np.linspace(-1, 1, 41)


def paint_face(face: FaceParameters, atlas: Atlas, rng: np.random.Generator) -> np.ndarray:
    """The texture [H, W, 3] uint8 sRGB."""
    image = np.empty((3, *atlas.shape), np.float32)
    curves = Curves(face)
    _paint_skin(image, face, atlas, rng)
    painter = Painter(atlas, image)
    _paint_folds(painter, curves)
    _paint_nose(painter, curves)
    _paint_beard(painter, curves, rng)
    _paint_mouth(painter, curves, rng)
    for side in (0, 1):
        _paint_eye(painter, curves, side, rng)
        _paint_brow(painter, curves, side, rng)
    _paint_hair(image, face, atlas, rng)
    _paint_clothes(image, curves, atlas, rng)
    _paint_ears(image, face, atlas)
    np.clip(image, 0, 255, out=image)
    return cv2.merge([plane.astype(np.uint8) for plane in image])


def _paint_skin(
    image: np.ndarray, face: FaceParameters, atlas: Atlas, rng: np.random.Generator
) -> None:
    look, shape = face.look, image.shape[1:]
    blotches = smooth_noise(rng, shape, 14 * atlas.scale) * np.float32(0.025)
    pores = _tiled(smooth_noise(rng, (96, 96), 0.7 * atlas.scale), shape)
    pores = pores * np.float32(0.012 + 0.03 * look.age)
    np.multiply(1 + blotches + pores, _planes(look.skin), out=image)
    image[0] += 3 * smooth_noise(rng, shape, 9 * atlas.scale)
    painter = Painter(atlas, image)
    for sign in (-1, 1):
        flush = np.array([1.03, 1 - 0.22 * look.blush, 1 - 0.2 * look.blush])
        painter.shade(painter.ellipse(np.array([sign * 42, 0]), 15, 11, 7), flush)
    tip = painter.ellipse(np.array([0, Curves(face).nose.tip]), 9, 7, 4)
    painter.shade(tip, np.array([1.0, 1 - 0.12 * look.blush, 1 - 0.1 * look.blush]))
    if look.freckles:
        spots = rng.normal([0, -5], [34, 13], (int(70 * look.freckles) + 8, 2))
        dots = np.stack([spots, spots + 0.4], 1)
        painter.shade(painter.strokes(dots, 1.3, 0.2), np.array([0.8, 0.7, 0.65]))


def _paint_folds(painter: Painter, curves: Curves) -> None:
    """Lines of age and expression."""
    face = curves.face
    age = face.look.age
    nose, half = curves.nose, curves.mouth_half_width
    for side, sign in enumerate((-1, 1)):
        smile = max(0.0, face.expression.smile[side])
        fold = np.array(
            [[nose.half_width + 2, nose.base - 8], [nose.half_width + 8, nose.base + 3],
             [half + 6, nose.base + 14], [half + 8, nose.base + 25]]
        ) * [sign, 1]  # fmt: skip
        strength = min(0.45, 0.05 + 0.22 * age + 0.28 * smile)
        painter.shade(painter.line(_curve(fold), 1.6, 1.0), 1 - strength * np.array([0.7, 1, 1]))
        _, lower = curves.eye_lids(side, _T)
        bag = _moved(lower[3:-2], 0, 4.5)
        painter.shade(painter.line(bag, 1.2, 1.0), 1 - (0.06 + 0.2 * age + 0.1 * smile))
        hollow = painter.ellipse(_moved(curves.eye_centre(side), -sign * 11, 4), 6, 4, 3)
        painter.shade(hollow, np.array([0.93, 0.88, 0.9]))
    frown = face.expression.frown
    if frown > 0.2:
        for sign in (-1, 1):
            line = np.array([[4.5, -60], [4, -53], [5, -48]]) * [sign, 1]
            painter.shade(painter.line(_curve(line), 0.9, 0.7), 1 - 0.3 * min(frown, 1))
    lift = max(0.0, sum(face.expression.brow_raise) / 2) + 0.4 * age
    for row, y in enumerate((-74.0, -82.0, -90.0)):
        x = np.linspace(-36 + 3 * row, 36 - 3 * row, 15)
        line = np.stack([x, y + 2.2 * np.cos(x / 14)], -1)
        painter.shade(painter.line(line, 0.8, 0.8), 1 - min(0.28, 0.22 * lift))


def _paint_nose(painter: Painter, curves: Curves) -> None:
    nose, skin = curves.nose, curves.face.look.skin
    dark = skin * [0.3, 0.2, 0.18]
    under = np.array([[-nose.half_width + 1, nose.base - 3], [0, nose.base - 3.5],
                      [nose.half_width - 1, nose.base - 3], [6, nose.base + 0.8],
                      [-6, nose.base + 0.8]])  # fmt: skip
    painter.shade(painter.polygon(under, 1.3), np.array([0.86, 0.78, 0.76]))
    for sign in (-1, 1):
        wing = np.array(
            [[nose.half_width - 0.5, nose.base - 13], [nose.half_width + 1.4, nose.base - 8],
             [nose.half_width + 0.4, nose.base - 3.2], [nose.half_width - 3.5, nose.base - 1.6]]
        ) * [sign, 1]  # fmt: skip
        painter.shade(painter.line(_curve(wing), 1.1, 0.8), np.array([0.8, 0.68, 0.66]))
        middle = 0.46 * nose.half_width
        hole = painter.ellipse(np.array([sign * middle, nose.base - 2.2]), 2.9, 1.5, 0.55)
        painter.tint(hole, dark, 0.85)


def _paint_beard(painter: Painter, curves: Curves, rng: np.random.Generator) -> None:
    look, nose = curves.face.look, curves.nose
    if look.beard == 0:
        return
    half = curves.mouth_half_width
    upper_out, _, _, lower_out = curves.lips(_Q)
    low, mouth = float(curves.lowered(100)), upper_out[0, 1]
    side = np.array([[70.5, -22], [64, -14], [58, 12], [45, 26], [half + 7, mouth]])
    bare_chin = _moved(lower_out[::-1], 0, 3)
    shape = np.concatenate([side, bare_chin, (side * [-1, 1])[::-1], [[-64, low], [64, low]]])
    whiskers = 0.5 + 0.5 * _strands(rng, painter.image.shape[1:], 5)
    colour = look.brow * 0.9
    masks = [(painter.polygon(shape, 4 - 2.5 * look.beard_length), look.beard)]
    if look.moustache:
        lip = np.concatenate([
            [[-half - 5, mouth + 2], [-9, nose.base + 3], [0, nose.base + 4.5], [9, nose.base + 3],
             [half + 5, mouth + 2]], upper_out[::-1] - [0, 0.8],
        ])  # fmt: skip
        masks.append((painter.polygon(lip, 1.2), look.moustache))
    for mask, amount in masks:
        rough = np.clip(mask.weight * (0.55 + 0.9 * mask.of(whiskers)), 0, 1)
        strength = amount * (0.35 + 0.55 * look.beard_length)
        painter.tint(Mask(mask.corner, rough.astype(np.float32)), colour, strength)


def _paint_mouth(painter: Painter, curves: Curves, rng: np.random.Generator) -> None:
    look, expression = curves.face.look, curves.face.expression
    upper_out, upper_in, lower_in, lower_out = curves.lips(_Q)
    blur = 0.35 if look.lip_opacity > 0.6 else 0.8
    top = painter.polygon(np.concatenate([upper_out, upper_in[::-1]]), blur)
    bottom = painter.polygon(np.concatenate([lower_in, lower_out[::-1]]), blur)
    painter.tint(top, look.lips * 0.88, look.lip_opacity)
    painter.tint(bottom, look.lips, look.lip_opacity)
    centre = (lower_in[20] + lower_out[20]) / 2 - [0, 0.6]
    shine = painter.ellipse(centre, 7, 1.4, 1.2)
    painter.tint(shine, np.minimum(look.lips + 60, 255), 0.3)
    shadow = _moved(lower_out[8:-8], 0, 2)
    painter.shade(painter.line(shadow, 2.2, 1.4), np.array([0.86, 0.8, 0.78]))
    gap = expression.mouth_gap
    if gap > 0.6:
        inside = painter.polygon(np.concatenate([upper_in, lower_in[::-1]]), 0.25)
        painter.tint(inside, np.array([52, 16, 16]) * rng.uniform(0.5, 1.3))
        _paint_teeth(painter, curves, inside, rng)
    line = (upper_in + lower_in)[1:-1] / 2 if gap <= 0.6 else upper_in[1:-1]
    dark = look.lips * [0.3, 0.22, 0.22]
    painter.tint(painter.line(line, 0.75, 0.3), dark, 0.85 if gap <= 0.6 else 0.5)
    for end in (0, -1):
        painter.tint(painter.ellipse(upper_in[end], 1.5, 1.0, 0.6), dark, 0.5)


def _paint_teeth(
    painter: Painter, curves: Curves, inside: Mask, rng: np.random.Generator
) -> None:
    gap = curves.face.expression.mouth_gap
    _, upper_in, lower_in, _ = curves.lips(_Q)
    wide = slice(5, -5)
    if gap > 6:
        bottom = lower_in[20] - [0, 0.1 * gap]
        tongue = painter.ellipse(bottom, 0.55 * curves.mouth_half_width, 0.35 * gap, 1.2)
        painter.tint(painter.clip(tongue, inside), np.array([168, 82, 84]), 0.75)
    white = np.array([236, 228, 212]) * rng.uniform(0.75, 1.0)
    tooth_height = min(rng.uniform(0.2, 1.1) * gap, rng.uniform(5.5, 8.5))
    edges = [(upper_in[wide], tooth_height)]
    if gap > 5 and rng.random() < 0.5:
        edges.append((lower_in[wide], -min(0.3 * gap, 4.0)))
    for start, reach in edges:
        end = start + np.stack([np.zeros(len(start)), reach * (1 - 0.3 * _Q[wide] ** 2)], -1)
        teeth = painter.polygon(np.concatenate([start, end[::-1]]), 0.25)
        painter.tint(painter.clip(teeth, inside), white, 0.95)
        places = np.linspace(-0.62, 0.62, 9) * curves.mouth_half_width
        ends = start[:, 1].min(), start[:, 1].max() + reach
        gaps = np.array([[[x, ends[0]], [x, ends[1]]] for x in places])
        painter.shade(painter.clip(painter.strokes(gaps, 0.4, 0.15), inside), 0.72)


def _paint_eye(
    painter: Painter, curves: Curves, side: int, rng: np.random.Generator
) -> None:
    look, shape = curves.face.look, curves.face.shape
    upper, lower = curves.eye_lids(side, _T)
    opening = curves.face.expression.eye_opening[side]
    brow_low = curves.brow(side, _T)[1]
    # The lid is darker in its fold, and painted with eye shadow if there is any.
    arc = (4 * _T * (1 - _T))[:, None] ** 0.6
    fold = upper - arc * [0, 1.6 + (1.6 + shape.lid_crease * 1.6) * (1.2 - 0.5 * opening)]
    lid = painter.polygon(np.concatenate([upper, fold[::-1]]), 0.8)
    painter.shade(lid, np.array([0.94, 0.88, 0.87]))
    if look.eye_shadow:
        high = upper + (brow_low - upper) * arc * 0.6
        colour = rng.uniform(20, 130, 3)
        painter.tint(painter.polygon(np.concatenate([upper, high[::-1]]), 1.6), colour,
                     look.eye_shadow)  # fmt: skip
    painter.shade(
        painter.line(fold[2:-2], 0.7, 0.5), 1 - (0.12 + 0.33 * shape.lid_crease) * np.ones(3)
    )
    if opening > 0.05:
        _paint_eyeball(painter, curves, side, painter.polygon(
            np.concatenate([upper, lower[::-1]]), 0.12), rng)  # fmt: skip
    dark = look.brow * 0.35
    painter.tint(painter.line(upper, 0.9, 0.25), dark, look.lashes)
    painter.tint(painter.line(lower[:-4], 0.5, 0.3), dark, 0.45 * look.lashes)
    if look.lashes > 0.7:
        sign = 2 * side - 1
        roots = upper[1:16:2]
        reach = np.array([sign * 1.7, -1.6 if opening > 0.3 else 1.8])
        tips = roots + reach * np.linspace(1.2, 0.5, len(roots))[:, None]
        painter.tint(painter.strokes(np.stack([roots, tips], 1), 0.35, 0.1), dark, 0.8)


def _paint_eyeball(
    painter: Painter, curves: Curves, side: int, opening: Mask, rng: np.random.Generator
) -> None:
    look = curves.face.look
    upper, lower = curves.eye_lids(side, _T)
    centre = curves.iris_centre(side)
    white = np.array([226, 220, 214]) * rng.uniform(0.86, 1.06)
    painter.tint(opening, white)
    corner = painter.ellipse((upper[-1] + lower[-1]) / 2, 2.4, 1.8, 0.5)
    painter.tint(painter.clip(corner, opening), look.skin * [0.95, 0.62, 0.62], 0.7)
    outer = painter.ellipse((upper[0] + lower[0]) / 2, 2.5, 2.5, 1.2)
    painter.shade(painter.clip(outer, opening), np.array([0.8, 0.68, 0.66]))
    discs = ((6.1, look.iris * 0.42, 0.35), (5.3, look.iris, 0.3), (3.6, look.iris * 1.25, 0.5),
             (rng.uniform(1.7, 2.8), np.array([10, 8, 8]), 0.15))  # fmt: skip
    for radius, colour, blur in discs:
        disc = painter.ellipse(centre, radius, radius, blur)
        painter.tint(painter.clip(disc, opening), np.minimum(colour, 255))
    # The upper lid's shadow falls on the ball.
    shadow = painter.line(_moved(upper, 0, 0.7), 1.8, 0.7)
    painter.shade(painter.clip(shadow, opening), 0.6)
    glint = _moved(centre, rng.uniform(-2.2, 2.2), rng.uniform(-2.4, -0.6))
    wide, tall = rng.uniform(0.5, 1.2, 2)
    spot = painter.ellipse(glint, wide, tall, 0.15)
    painter.tint(painter.clip(spot, opening), np.array([252, 252, 252]), rng.uniform(0.3, 1))


def _paint_brow(
    painter: Painter, curves: Curves, side: int, rng: np.random.Generator
) -> None:
    look = curves.face.look
    upper, lower = curves.brow(side, _T)
    body = painter.polygon(np.concatenate([upper, lower[::-1]]), 0.7)
    painter.tint(body, look.brow, 0.55 * look.brow_density)
    count = int(40 + 60 * look.brow_density)
    t = rng.random(count)
    across = rng.random(count)[:, None]
    high, low = curves.brow(side, t)
    roots = low + (high - low) * across * 0.75
    sign = 2 * side - 1
    lean = np.stack([sign * (1.0 + 2.2 * (1 - t)), -2.4 * t**1.5 + 0.4], -1)
    tips = roots + lean * rng.uniform(0.8, 1.4, (count, 1))
    hairs = painter.strokes(np.stack([roots, tips], 1), 0.45, 0.1)
    painter.tint(hairs, look.brow * 0.8, 0.7 * look.brow_density)


def _paint_hair(
    image: np.ndarray, face: FaceParameters, atlas: Atlas, rng: np.random.Generator
) -> None:
    look = face.look
    if look.hair_style == "bald":
        return
    head = image[:, :, : atlas.width]
    angle, s = atlas.places(np.arange(atlas.height), np.arange(atlas.width))
    strands = _strands(rng, head.shape[1:], 18 if look.hair_curl < 0.6 else 5)
    covered = look.hair_style == "cover"
    ragged = 0.0 if covered else strands * (2.0 + 5.0 * (look.hair_style != "buzz"))
    line = hair.hairline(look, angle)
    alpha = np.clip((line - s + ragged) / (1.0 if covered else 5.0) + 0.5, 0, 1)
    if look.hair_style in ("buzz", "receding"):
        alpha = alpha * (0.62 + 0.15 * strands)
    folds = smooth_noise(rng, head.shape[1:], 9 * atlas.scale)
    tone = 1 + (0.05 * folds if covered else 0.24 * strands + 0.12 * folds)
    # Under the outer locks it is darker.
    tone = tone * (0.72 + 0.28 * np.clip((line - s) / 25, 0, 1))
    alpha = np.clip(alpha, 0, 1)
    head += (_planes(look.hair) * tone - head) * alpha


def _paint_clothes(
    image: np.ndarray, curves: Curves, atlas: Atlas, rng: np.random.Generator
) -> None:
    look = curves.face.look
    first_row = int(atlas.row_knots[2] * 0.9)
    angle, s = atlas.places(np.arange(first_row, atlas.height), np.arange(atlas.width))
    neckline = float(curves.lowered(CHIN_Y)) + rng.uniform(16, 48)
    neckline = neckline + rng.uniform(0, 22) * np.cos(angle)
    alpha = np.clip((s - neckline) / 1.5, 0, 1)
    alpha = alpha * (1 - hair.coverage(look, angle, s) * hair.drapes(look))
    stripes = 1 + rng.uniform(0, 0.35) * np.sign(np.sin(angle * rng.uniform(4, 30)))
    region = image[:, first_row:, : atlas.width]
    region += (_planes(look.cloth) * stripes.astype(np.float32) - region) * alpha.astype(np.float32)


def _paint_ears(image: np.ndarray, face: FaceParameters, atlas: Atlas) -> None:
    """Patches whose rows run from the middle of the ear to its rim."""
    rows, columns = atlas.ear
    radius = np.linspace(0, 1, rows)[:, None]
    shade = 1 - 0.35 * np.exp(-((radius / 0.35) ** 2))
    shade -= 0.22 * np.exp(-(((radius - 0.66) / 0.1) ** 2))
    colour = _planes(face.look.skin * [1.0, 0.86, 0.84]) * shade
    for side in (0, 1):
        patch_rows, patch_columns = atlas.ear_patch(side)
        image[:, patch_rows, patch_columns] = np.broadcast_to(colour, (3, rows, columns))


def _strands(rng: np.random.Generator, shape: tuple[int, ...], length: float) -> np.ndarray:
    """Noise [H, W] drawn out along the rows' axis, like locks of hair, of about unit deviation."""
    fine = rng.standard_normal((max(2, int(shape[0] / length)), shape[1]), dtype=np.float32)
    coarse = rng.standard_normal((max(2, int(shape[0] / length / 2)), shape[1] // 4), np.float32)
    size = shape[::-1]
    return 0.6 * cv2.resize(fine, size, interpolation=cv2.INTER_LINEAR) + 0.8 * cv2.resize(
        coarse, size, interpolation=cv2.INTER_LINEAR
    )


def _tiled(patch: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A small patch repeated to [H, W]."""
    counts = [-(-shape[k] // patch.shape[k]) for k in (0, 1)]
    return np.tile(patch, counts)[: shape[0], : shape[1]]


def _moved(points: np.ndarray, x: float, y: float) -> np.ndarray:
    return points + np.array([x, y])


def _planes(colour: np.ndarray) -> np.ndarray:
    """A colour [3] as float32 [3, 1, 1], to meet planes."""
    return colour.astype(np.float32)[:, None, None]


def _curve(points: np.ndarray) -> np.ndarray:
    """A smooth line [17, 2] through a few points (quadratic in their index at the most)."""
    index = np.arange(len(points))
    at = np.linspace(0, len(points) - 1, 17)
    degree = min(2, len(points) - 1)
    return np.stack([np.polyval(np.polyfit(index, points[:, k], degree), at) for k in (0, 1)], -1)
