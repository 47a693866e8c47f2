"""Decides which faces of a source are held out of training."""

from __future__ import annotations

import hashlib

from efld_tf.annotations.record import FaceRecord
from efld_tf.errors import EfldError

SPLITS = ("train", "validation")


def in_validation(record: FaceRecord, fraction: float) -> bool:
    """Whether a face is held out, by its identity (or photo) and not by the order of files."""
    key = record.identity or record.image.stem
    digest = hashlib.sha256(key.encode()).digest()
    return int.from_bytes(digest[:8], "big") < fraction * 2**64


def check_fraction(fraction: float) -> None:
    """Raises EfldError for a share of held-out faces that leaves none for training."""
    if not 0 <= fraction < 1:
        raise EfldError("validation_fraction: expected a number from 0 up to, not including, 1, "
                        f"got {fraction}")
