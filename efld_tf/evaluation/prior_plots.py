"""A picture of the implicit prior: inputs of every kind with what the model predicts there."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from efld_tf.evaluation.presence import FACE
from efld_tf.evaluation.prior import Look, Prior
from efld_tf.evaluation.robustness import resized
from efld_tf.files import atomic_path
from efld_tf.landmarks import drawing

TILE = 192
EXAMPLES = 6
LINE = 22  # pixels from one line of text to the next
DIMMED = 0.45  # brightness of inputs without a face, so that points can be seen on noise


def prior_sheet(path: Path, prior: Prior) -> None:
    """Draws a row a kind as PNG: its numbers, its mean prediction, and inputs with predictions.

    The mean prediction (orange) is drawn with its distance from the reference (green) on the mean
    of the inputs. Inputs without a face are darkened.
    """
    tiles, captions = [], []
    for look in prior.looks:
        tiles.append(_numbers(look, prior))
        tiles.append(_mean(look, prior))
        captions += ["", "mean, and reference"]
        shown = np.linspace(0, len(look.crops) - 1, min(EXAMPLES, len(look.crops))).astype(int)
        for index in shown:
            picture = resized(look.crops[index], TILE)
            if look.kind != FACE:
                picture = (picture * DIMMED).astype(np.uint8)
            points = look.predicted[index] * TILE - 0.5
            tiles.append(drawing.draw_landmarks(
                picture, points, prior.reference.schema, drawing.ORANGE))
            sure = look.confidence
            captions.append("" if sure is None else f"confidence {100 * sure[index]:.0f}%")
        for _ in range(EXAMPLES - len(shown)):
            tiles.append(_empty())
            captions.append("")
    sheet = drawing.contact_sheet(tiles, EXAMPLES + 2, TILE, captions)
    with atomic_path(path) as temporary:
        cv2.imwrite(str(temporary), sheet[..., ::-1])


def _mean(look: Look, prior: Prior) -> np.ndarray:
    picture = resized(np.rint(look.crops.mean(axis=0)).astype(np.uint8), TILE)
    return drawing.draw_comparison(
        picture, prior.reference.place * TILE - 0.5, look.mean * TILE - 0.5, prior.reference.schema
    )


def _numbers(look: Look, prior: Prior) -> np.ndarray:
    """The kind and its numbers, as text."""
    summary = look.summary(prior.reference)
    normaliser = prior.reference.schema.normaliser.name
    count = summary["inputs"]
    lines = [look.kind.upper(), f"{count} input{'s' if count > 1 else ''}"]
    if "variation_crop_percent" in summary:
        lines.append(f"variation {summary['variation_crop_percent']:.1f}%")
    lines.append(f"from reference {summary['from_reference_crop_percent']:.1f}%")
    lines.append(f"residual {summary[f'residual_{normaliser}_percent']:.1f}%")
    if "confidence_percent" in summary:
        lines.append(f"confidence {summary['confidence_percent']:.1f}%")
    tile = _empty()
    for row, line in enumerate(lines):
        cv2.putText(tile, line, (6, 28 + LINE * row), cv2.FONT_HERSHEY_SIMPLEX, 0.45,
                    drawing.WHITE, 1, cv2.LINE_AA)
    return tile


def _empty() -> np.ndarray:
    return np.full((TILE, TILE, 3), drawing.BACKGROUND, np.uint8)
