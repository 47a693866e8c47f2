"""What every face that a reader yields goes through: its key, its place, its conversion."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from efld_tf.annotations import axes, image_paths, likeness
from efld_tf.annotations.copies import Copies
from efld_tf.annotations.format import Note
from efld_tf.annotations.placement import Placer
from efld_tf.annotations.record import FaceRecord
from efld_tf.errors import DataError
from efld_tf.landmarks import normalisers, schemas


def faces(
    items: Iterator[FaceRecord | DataError | Note],
    folder: Path,
    notes: list[str],
    placer: Placer,
    convert: str | None,
) -> Iterator[FaceRecord | DataError]:
    """Adds keys to faces, and places and converts them; errors for those that cannot be used.

    Args:
      items: what the reader yields.
      folder: the folder of the source, to which keys are relative.
      notes: gets what the user should know of the faces.
      convert: the schema to convert to; None for none.
    """
    copies = Copies()
    for item in likeness.checked(_placed(items, folder, notes, placer), folder):
        if isinstance(item, DataError):
            yield item
            continue
        copies.add(item)
        if convert is not None:
            item = _converted(item, convert, notes)
            if not np.isfinite(item.points).any():
                yield DataError(folder / item.key, f"none of its points is one of {convert}")
                continue
        schema = schemas.get(item.schema)
        if normalisers.size_of(item.points, schema) == 0:
            yield DataError(folder / item.key, "the points of its normaliser "
                            f"{normalisers.find(schema).name} coincide: there is no distance to "
                            "measure by")
        else:
            yield item
    notes += copies.notes()
    for last in placer.end():
        if isinstance(last, str):
            notes.append(last)
        else:
            yield last


def _placed(
    items: Iterator[FaceRecord | DataError | Note], folder: Path, notes: list[str], placer: Placer
) -> Iterator[FaceRecord | DataError]:
    """Faces with their keys, in pixels of their images; errors for those that cannot be so."""
    counts: Counter[str] = Counter()
    identities = image_paths.Identities()
    for item in items:
        if isinstance(item, Note):
            notes.append(item.text)
            continue
        if isinstance(item, DataError):
            yield item
            continue
        place = os.path.relpath(item.image, folder)
        item = replace(item, identity=identities.of(item.identity, item.image, place))
        image = place if item.frame is None else f"{place}#{item.frame}"
        key = f"{image}@{counts[image]}" if counts[image] else image
        counts[image] += 1
        try:
            # An error has the key, not the image, since the photo's other faces may be good.
            item = placer.place(replace(item, key=key), folder / key)
        except DataError as error:
            yield error
            continue
        order = axes.other_order(item.points)
        yield DataError(folder / key, axes.refusal(order)) if order else item


def _converted(record: FaceRecord, target: str, notes: list[str]) -> FaceRecord:
    schema = schemas.get(record.schema)
    points, visible = schema.convert(record.points, record.visible, target)
    if target in schema.conversions:
        note = f"{schema.name} is converted to {target}: {schema.conversions[target].note}"
        notes += [note] if note not in notes else []
    depth = None if record.depth is None else schema.convert_values(record.depth, target)
    return replace(record, points=points, visible=visible, depth=depth, schema=target)
