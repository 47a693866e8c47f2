"""Measures the faces of a source: poses, sizes, shapes and brightness, in numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from efld_tf.annotations.record import FaceRecord, face_square
from efld_tf.data import look
from efld_tf.data.crop_fit import lacking
from efld_tf.data.look import Face, Remarks
from efld_tf.errors import DataError, EfldError
from efld_tf.landmarks import geometry, pose, schemas, shapes
from efld_tf.landmarks.geometry import Crop
from efld_tf.progress import Progress

# The most faces whose pixels are read, and whose shapes are compared; they are drawn at random.
MOST_IMAGES = 500
MOST_SHAPES = 20_000

PERCENTILES = (1, 5, 25, 50, 75, 95, 99)

# The measures of each face, with their titles in pictures and tables.
MEASURES = {
    "yaw": "yaw, degrees",
    "pitch": "pitch, degrees",
    "roll": "roll, degrees",
    "size": "face size in the photo, px",
    "residual": "distance from the mean shape, face sizes",
    "brightness": "mean brightness of the face",
}


@dataclass(frozen=True, eq=False)
class SourceStats:
    """The faces of one source. A face size is the side of `FaceRecord.face_box`.

    Attributes:
      source: the source as it was given.
      schema: the name of the schema of its points.
      remarks: the annotations and images that cannot be used, and notes.
      faces, identities: how many there are; identities are None if the source does not tell.
      occluded, missing: shares of all points; occluded is None if the source does not tell.
      values: for each key of `MEASURES`, a value for each face on which it could be measured.
      mean: [N, 2] the mean shape in face sizes, upright, y down, its centre at 0; NaN for points
        that no face has.
      covariance: [N, 2, 2] the covariance of the points about the mean shape, after each face's
        best similarity; NaN for points of fewer than two faces.
    """

    source: str
    schema: str
    remarks: Remarks
    faces: int
    identities: int | None
    occluded: float | None
    missing: float
    values: dict[str, np.ndarray]
    mean: np.ndarray
    covariance: np.ndarray

    @property
    def deviation(self) -> np.ndarray:
        """The RMS distance [N] of each point from its mean, in face sizes."""
        return np.sqrt(np.trace(self.covariance, axis1=1, axis2=2))

    def to_json(self) -> dict[str, Any]:
        """The numbers as they are written to a file; NaN is None."""
        return {
            "source": self.source,
            "schema": self.schema,
            "faces": self.faces,
            "unusable": [str(error) for error in self.remarks.errors],
            "notes": self.remarks.notes,
            "identities": self.identities,
            "occluded_share": None if self.occluded is None else round(self.occluded, 4),
            "missing_share": round(self.missing, 4),
            "measures": {
                name: {
                    "title": MEASURES[name],
                    "faces": len(values),
                    "percentiles": dict(zip(
                        map(str, PERCENTILES), np.percentile(values, PERCENTILES).round(4).tolist(),
                        strict=True,
                    )),
                }
                for name, values in self.values.items() if len(values)
            },
            "points": [
                {"name": name, "mean": _rounded(mean), "deviation": _rounded(deviation)}
                for name, mean, deviation in zip(
                    schemas.get(self.schema).names, self.mean, self.deviation, strict=True
                )
            ],
        }


def measure(source: str, split: str | None = None, *, progress: bool = True) -> SourceStats:
    """Reads every annotation of a source, and the images of some faces.

    Args:
      source: `reader:path` or `packed:folder`.
      split: the split of a packed folder; None for `train`.
      progress: whether to show how far it is.

    Raises:
      EfldError: the source is malformed, does not exist, holds no face or mixes schemas.
    """
    remarks = look.Remarks()
    records: list[FaceRecord] = []
    sizes: list[float] = []
    faces = look.faces(source, remarks, split)

    def recorded() -> Iterator[Face]:
        for face in bar.over(faces):
            x0, _, x1, _ = face.record.face_box()
            records.append(face.record)
            sizes.append((x1 - x0) * face.scale)
            yield face

    with Progress(f"annotations of {source}", None, "face", shown=progress) as bar:
        imaged = look.sample(recorded(), MOST_IMAGES)
    if not records:
        raise look.no_face(source, remarks)
    names = sorted({record.schema for record in records})
    if len(names) > 1:
        raise EfldError(f"source {source}: annotations of several schemas: {', '.join(names)}")
    if schemas.get(names[0]).missing_anchors:
        remarks.notes.append(f"{lacking(schemas.get(names[0]))}: a face size is the longest side "
                             "of the box of its points")
    points = np.stack([record.points for record in records])
    mean, covariance, residual = _shape(points, names[0])
    identities = {record.identity for record in records} - {None}
    visible = [record.visible for record in records if record.visible is not None]
    return SourceStats(
        source=source,
        schema=names[0],
        remarks=remarks,
        faces=len(records),
        identities=len(identities) or None,
        occluded=1 - float(np.mean(visible)) if visible else None,
        missing=float(np.isnan(points).any(axis=-1).mean()),
        values=angles(points, names[0], _depths(records))
        | {"size": np.array(sizes), "residual": residual,
           "brightness": _brightness(imaged, remarks, progress)},
        mean=mean,
        covariance=covariance,
    )


def _depths(records: Sequence[FaceRecord]) -> np.ndarray:
    """How far the points [F, N] are in front, in pixels; NaN where it is not annotated."""
    return np.stack([np.full(len(record.points), np.nan) if record.depth is None else record.depth
                     for record in records])


def angles(
    points: np.ndarray, schema: str, depths: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Yaw, pitch and roll of points [F, N, 2] in degrees, for the faces where they are known.

    With depths [F, N], NaN for faces without, they are more exact.

    If the schema has no tip of the nose, or no eyes or mouth, only the roll is known, positive
    clockwise, by the eyes or else the mouth; if it has one eye only, or neither, nothing is.
    """
    landmark_schema = schemas.get(schema)
    estimated = pose.estimate(points, landmark_schema, depths)
    if estimated is None:
        estimated = np.full((len(points), 3), np.nan)
        across = landmark_schema.across(points)
        if across is not None:
            roll = np.degrees(np.arctan2(across[:, 1], across[:, 0]))
            estimated[:, 2] = np.where(across.any(axis=1), roll, np.nan)
    return {
        name: column[np.isfinite(column)]
        for name, column in zip(pose.ANGLES, estimated.T, strict=True)
    }


def _shape(points: np.ndarray, schema: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The mean shape [N, 2], covariances [N, 2, 2], and the faces' RMS distances from it."""
    if len(points) > MOST_SHAPES:
        points = np.stack(look.sample(points, MOST_SHAPES))
    landmark_schema = schemas.get(schema)
    faces = shapes.as_complex(points)
    middle = shapes.mean_shape(faces, landmark_schema)
    middle[~np.isfinite(faces).any(axis=0)] = complex(np.nan, np.nan)
    difference = shapes.align(faces, middle) - middle
    offset = np.stack([difference.real, difference.imag], axis=-1)
    mean = np.stack([middle.real, middle.imag], axis=-1)
    x0, _, x1, _ = face_square(mean, landmark_schema)
    side = x1 - x0 or np.nan  # of a single point
    mean, offset = mean / side, offset / side
    annotated = np.isfinite(offset).all(axis=-1)
    offset = np.where(annotated[..., None], offset, 0)
    measured = annotated.any(axis=1)
    squares = (offset[measured] ** 2).sum(axis=(1, 2)) / annotated[measured].sum(axis=1)
    return mean, _covariance(offset, annotated), np.sqrt(squares)


def _covariance(values: np.ndarray, annotated: np.ndarray) -> np.ndarray:
    """The covariances [N, 2, 2] of values [F, N, 2]; NaN for points of fewer than two faces.

    Args:
      values: [F, N, 2], 0 where not annotated.
      annotated: [F, N] bool.
    """
    counts = annotated.sum(axis=0)[:, None]
    centred = np.where(annotated[..., None], values - values.sum(axis=0) / np.maximum(counts, 1), 0)
    products = np.einsum("fni,fnj->nij", centred, centred)
    return products / np.where(counts > 1, counts - 1, np.nan)[..., None]


def _brightness(faces: Sequence[Face], remarks: Remarks, progress: bool) -> np.ndarray:
    """The mean grey values of the faces, 0 to 255; `remarks` gets the errors of other faces."""
    values = []
    with Progress("images", len(faces), "face", shown=progress) as bar:
        for face in bar.over(faces):
            x0, y0, x1, y1 = face.record.face_box()
            try:
                crop = geometry.extract_crop(
                    face.pixels(), Crop((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0), 32
                )
            except DataError as error:
                remarks.errors.append(error)
                continue
            except EfldError as error:  # a face of no size, or of an absurd one
                remarks.errors.append(DataError(face.record.image, str(error)))
                continue
            values.append(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).mean())
    return np.array(values)


def _rounded(values: np.ndarray) -> Any:
    """Values as a list of numbers (or a number) with four decimals, None for NaN."""
    if np.ndim(values):
        return [_rounded(value) for value in values]
    return round(float(values), 4) if np.isfinite(values) else None
