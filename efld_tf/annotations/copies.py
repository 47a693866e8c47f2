"""Faces that one photo has twice: copies of an annotation, or an old version beside a new one."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np

from efld_tf.annotations import parsing
from efld_tf.annotations.record import FaceRecord
from efld_tf.text import counted

# The largest distance of the centres of two versions of a face and the largest difference of their
# sizes, as shares of the size: people never are so near, and those who annotate a face twice
# differ less.
NEAR = 0.1


class Copies:
    """Looks for faces that lie where another face of the photo does, in the order of a source."""

    def __init__(self) -> None:
        # Centre x and y and size of the faces of a photo, with their keys.
        self._faces: defaultdict[
            tuple[Path, int | None], list[tuple[float, float, float, str]]] = defaultdict(list)
        self._found: list[tuple[str, str]] = []

    def add(self, record: FaceRecord) -> None:
        """Takes another face, with its key and its points in pixels."""
        faces = self._faces[record.image, record.frame]
        annotated = record.points[np.isfinite(record.points).all(axis=1)].astype(float)
        x, y = annotated.mean(axis=0)
        size = float(np.sqrt(annotated.var(axis=0).sum()))
        for other_x, other_y, other_size, key in faces:
            near = NEAR * max(size, other_size)
            if np.hypot(x - other_x, y - other_y) <= near and abs(size - other_size) <= near:
                self._found.append((record.key, key))
                break
        faces.append((float(x), float(y), size, record.key))

    def notes(self) -> list[str]:
        """A note if there are such faces."""
        if not self._found:
            return []
        (first, second), count = self._found[0], len(self._found)
        lie = "lies" if count == 1 else "lie"
        return [f"{counted(count, 'face')} {lie} where another face of the photo does, such as "
                f"{parsing.shorten(first)} on {parsing.shorten(second)}: if they are copies or "
                "older versions, remove or exclude them, or they count twice"]
