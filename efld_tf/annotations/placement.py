"""Puts faces into the pixels of their image, and refuses those that cannot belong there.

An annotation does not always say what its coordinates are of: the photo as it is shown, or as its
pixels lie in the file (EXIF); pixels, or shares of the image's size; this file, or a larger one.
What it states decides, then what the user says (`OPTIONS`). What neither tells is not guessed: a
face that fits its photo only in another reading is refused.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from efld_tf.annotations.header import Header, read_header, read_video_header
from efld_tf.annotations.record import FaceRecord
from efld_tf.arrays import Floats
from efld_tf.errors import DataError, EfldError
from efld_tf.landmarks import schemas
from efld_tf.landmarks.schema import ANCHORS
from efld_tf.text import counted

# The options with their values, the first of which is the default.
OPTIONS = {
    "upright": ("", "true", "false"),
    "normalised": ("false", "true", "percent"),
    "sizes": ("check", "scale", "ignore"),
    "missing": (),
}
MEANINGS = {
    "upright": "true if the coordinates are of the photos as they are shown, turned as their EXIF "
    "orientation says, false if they are of the pixels as they lie in the file; for annotations "
    "that do not tell.",
    "normalised": "true if the coordinates are shares of the image's width and height, 0 to 1, "
    "percent if they are 0 to 100; false, the default, if they are pixels.",
    "sizes": "check, the default, refuses images of another size than the annotation states; scale "
    "scales its points to the image, ignore takes them as they are.",
    "missing": "x,y of points that are not annotated, such as 0,0 or -1,-1, if the file writes "
    "them so.",
}

# What is wrong with a face.
TURNED = "turned"
RESIZED = "resized"
BEYOND = "beyond"
TINY = "tiny"
UNITS = "units"

# The points of a face span at least so many pixels, and those of half of a source's faces at least
# the second number, unless the user says that they are pixels.
LEAST_PIXELS, LEAST_MEDIAN = 4.0, 8.0

# Shares of an image may lie so far outside it.
MOST_OUTSIDE = 0.25

# An image was resized if its sides were multiplied by the same number, but for rounding.
MOST_STRETCHED = 0.02

# What programs write for points that are not annotated, and no point ever is.
SENTINELS = ((0.0, 0.0), (-1.0, -1.0))
LEAST_COORDINATE = -900.0

# Percentages are suspected where faces lie in the first `CORNER` x `CORNER` pixels of their images,
# all but a few, and this is less likely by chance than `SUSPICIOUS`; below `REFUSED`, such a source
# is refused. Images smaller than `LEAST_SIDE` tell nothing: the faces of crops are in their middle.
CORNER, FEW = 125, 0.02
SUSPICIOUS, REFUSED, LEAST_SIDE = 1e-3, 1e-12, 250

# The reading of a turned photo is told by faces that stand upright in it, within so many degrees,
# and are turned by so many more in the other one.
MOST_TURNED, LEAST_DIFFERENCE = 50.0, 60.0


class PlacementError(DataError):
    """A face that cannot be where its annotation says.

    Attributes:
      kind: what is wrong, such as `TURNED`.
      whole_source: whether it is true of all faces of the source, so that none can be skipped.
    """

    def __init__(self, path: str | Path, reason: str, kind: str, whole_source: bool = False):
        super().__init__(path, reason)
        self.kind = kind
        self.whole_source = whole_source

    def __reduce__(self) -> tuple[type, tuple[Path, str, str, bool]]:  # type: ignore[override]
        return type(self), (self.path, self.reason, self.kind, self.whole_source)


@dataclass
class _Counts:
    """What was seen of a source's faces so far."""

    faces: int = 0
    small: int = 0
    sentinels: Counter[str] = field(default_factory=Counter)
    undecided: int = 0
    contrary: int = 0
    turned: int = 0
    elsewhere: int = 0
    log_chance: float = 0.0


class Placer:
    """Places the faces of a source one after the other."""

    def __init__(
        self, source: Path, origin: tuple[float, bool] = (0.0, False), upright: str = "",
        normalised: str = "", sizes: str = "", missing: str = "",
    ):  # fmt: skip
        """Takes the options of a source.

        Args:
          source: the source's file or folder, for messages.
          origin: what the reader has subtracted from coordinates, and whether the user said so.
          upright, normalised, sizes, missing: values of `OPTIONS`; "" for the default.

        Raises:
          EfldError: an option has another value.
        """
        given = {"upright": upright, "normalised": normalised, "sizes": sizes}
        for name, value in given.items():
            if value and value not in OPTIONS[name]:
                allowed = ", ".join(filter(None, OPTIONS[name]))
                raise EfldError(f"{name}: expected one of {allowed}, got {value!r}")
        self._source = source
        self._upright = None if not upright else upright == "true"
        self._unit = {"true": 1.0, "percent": 100.0}.get(normalised)
        self._units_told = bool(normalised)
        self._sizes = sizes or "check"
        self._missing: tuple[float, float] | None = None
        if missing:
            number = r"(-?\d{1,7}(?:\.\d+)?)"
            numbers = re.fullmatch(f"{number},{number}", missing, re.ASCII)
            if numbers is None:
                raise EfldError(f"missing: expected x,y such as 0,0 or -1,-1, got {missing!r}")
            self._missing = (float(numbers[1]), float(numbers[2]))
        self._origin, self._origin_said = origin
        self._image: tuple[Path, Header | None] | None = None
        self._counted: set[Path] = set()
        self._counts = _Counts()

    def place(self, record: FaceRecord, path: Path) -> FaceRecord:
        """The face in pixels of its image, with `upright` decided.

        Args:
          path: the name of the face in messages.

        Raises:
          PlacementError: the face is not where it is said to be.
          DataError: all of its points are missing.
        """
        header = self._header(record)
        record = self._without_missing(record, path)
        record = self._scaled(record, header, path)
        upright = self._reading(record, header, path)
        record = replace(record, upright=upright)
        size = None if header is None else header.size(upright)
        if self._unit is not None or record.normalised:
            record = self._in_pixels(record, size or record.image_size, path)
        points = record.points[np.isfinite(record.points).all(axis=-1)].astype(np.float64)
        self._check_size(points, record, path)
        if size is not None and not _inside(points, size).any():
            raise PlacementError(
                path, f"all of its {len(points)} points lie outside the image of {size[0]} x "
                f"{size[1]} pixels: expected those of this image", BEYOND)
        self._count(points, record.image, size)
        return record

    def end(self) -> Iterator[PlacementError | str]:
        """What can be told when all faces have been seen: notes, and an error of the source."""
        counts = self._counts
        for place, number in counts.sentinels.items():
            yield (f"{counted(number, 'point')} at {place}: if that means that they are not "
                   f"annotated, say missing={place.replace(' ', '')}")
        if counts.undecided and counts.turned:
            yield PlacementError(
                self._source, f"of its faces in photos that are stored turned (EXIF), "
                f"{counts.turned} stand upright only as the photos are shown, and "
                f"{counts.undecided} do not tell: say upright=true if they were annotated so, "
                "upright=false if not", TURNED, whole_source=True)
        elif counts.undecided:
            yield (f"{counted(counts.undecided, 'face')} in photos that are stored turned (EXIF), "
                   "read as the pixels lie in the file; if they were annotated as the photos are "
                   "shown, say upright=true, and if not upright=false")
        if counts.contrary:
            yield (f"{counted(counts.contrary, 'face')} in photos that are stored turned (EXIF) "
                   "would be upright, or inside, only in the other reading: is upright= right?")
        if not self._units_told and 2 * counts.small > counts.faces > 2:
            yield PlacementError(
                self._source, f"the points of {counts.small} of {counts.faces} faces are within "
                f"{LEAST_MEDIAN:g} pixels: if they are pixels nevertheless say normalised=false",
                TINY, whole_source=True)
        if not self._units_told and counts.elsewhere <= FEW * counts.faces \
                and counts.log_chance < np.log(SUSPICIOUS):
            most = f"{counts.faces - counts.elsewhere} of its {counts.faces} faces"
            reason = (f"no coordinate of {most} is above {CORNER}, though its images are much "
                      "larger: if they are percentages of the image's size say "
                      "normalised=percent, and if they are pixels normalised=false")
            if counts.log_chance < np.log(REFUSED):
                yield PlacementError(self._source, reason, UNITS, whole_source=True)
            else:
                yield reason

    def _header(self, record: FaceRecord) -> Header | None:
        if record.frame is not None and record.image_size is None:
            return None
        if self._image is None or self._image[0] != record.image:
            read = read_header if record.frame is None else read_video_header
            self._image = (record.image, read(record.image))
        return self._image[1]

    def _scaled(self, record: FaceRecord, header: Header | None, path: Path) -> FaceRecord:
        """Compares the size that the annotation states with the file's."""
        stated = record.image_size
        if stated is None or header is None or stated in (header.size(False), header.size(True)) \
                or (self._sizes == "ignore" and not record.scalable) \
                or self._unit is not None or record.normalised:  # shares are right in any size
            return record
        # A turned copy has the other side as its longer one.
        turned = (stated[0] > stated[1]) != (header.width > header.height) and header.turns
        factor = np.array(header.size(turned)) / stated
        resized = abs(factor[0] / factor[1] - 1) <= MOST_STRETCHED
        if not resized and not (self._sizes == "ignore" and record.scalable):
            raise PlacementError(path, f"{_sizes(stated, header)}: give the image that was "
                                       "annotated; it was turned or cropped since", RESIZED)
        if self._sizes == "check" and not record.scalable:
            raise PlacementError(
                path, f"{_sizes(stated, header)}: give the image that was annotated, or say "
                "sizes=scale if it was resized since, sizes=ignore if the stated size is wrong",
                RESIZED)
        return replace(
            record,
            points=((record.points + 0.5) * factor - 0.5).astype(np.float32),
            box=None if record.box is None
            else ((record.box + 0.5) * np.tile(factor, 2) - 0.5).astype(np.float32),
            image_size=header.size(turned),
        )

    def _reading(self, record: FaceRecord, header: Header | None, path: Path) -> bool:
        """Whether the coordinates are of the photo as it is shown."""
        stated = None
        if header is not None and header.turns and header.width != header.height \
                and record.image_size in (header.size(False), header.size(True)) \
                and self._sizes != "ignore":
            stated = record.image_size == header.size(True)
        if None not in (stated, self._upright) and stated != self._upright:
            said = str(self._upright).lower()
            raise PlacementError(
                path, f"upright={said} contradicts the size that the annotation states, which is "
                f"of the photo as it is {'shown' if stated else 'stored'}", TURNED)
        decided = next((told for told in (stated, self._upright, record.upright)
                        if told is not None), None)
        if header is None or header.orientation == 1 or stated is not None:
            return bool(decided)
        better = _upright_fits_better(record, header, self._unit)
        if decided is None and better:
            self._counts.turned += 1
            raise PlacementError(
                path, f"the photo is stored turned (EXIF orientation {header.orientation}), and "
                "its face stands upright, or inside, only in the photo as it is shown: say "
                "upright=true if it was annotated so, upright=false if not", TURNED)
        self._counts.undecided += decided is None and better is None
        self._counts.contrary += None not in (decided, better) and decided != better
        return bool(decided)

    def _without_missing(self, record: FaceRecord, path: Path) -> FaceRecord:
        """The face without the points that stand for missing ones; others that may are counted."""
        raw = record.points + (0 if record.normalised else self._origin)
        if self._missing is not None:
            missing = (abs(raw - np.array(self._missing)) < 1e-3).all(axis=-1)
            if missing.all():
                raise DataError(path, "no point is annotated")
            points = np.where(missing[:, None], np.float32(np.nan), record.points)
            visible = None if record.visible is None else record.visible & ~missing
            return replace(record, points=points, visible=visible)
        for place in suspicious(raw):
            self._counts.sentinels[place] += 1
        return record

    def _in_pixels(
        self, record: FaceRecord, size: tuple[int, int] | None, path: Path
    ) -> FaceRecord:
        """A face whose coordinates are shares of its image, in pixels.

        The first pixel's centre is 0, as in the programs that write shares of what they show, or
        what the user says.
        """
        if size is None:
            raise PlacementError(
                path, "shares of the image's size need a photo whose size can be read", UNITS)
        unit = self._unit or 1.0
        before, after = (0.0, 0.0) if record.normalised else (
            self._origin, self._origin if self._origin_said else 0.0)
        shares = (record.points[np.isfinite(record.points).all(axis=-1)] + before) / unit
        if len(shares) and not (abs(shares - 0.5) <= 0.5 + MOST_OUTSIDE).all():
            worst = float(shares.ravel()[abs(shares - 0.5).argmax()]) * unit
            raise PlacementError(path, f"expected coordinates of 0 to {unit:g} (normalised), got "
                                       f"{worst:g}", BEYOND)
        factor = np.array(size) / unit
        box = None
        if record.box is not None:
            box = ((record.box + before) * np.tile(factor, 2) - after).astype(np.float32)
        points = ((record.points + before) * factor - after).astype(np.float32)
        return replace(record, points=points, box=box, normalised=False)

    def _check_size(self, points: Floats, record: FaceRecord, path: Path) -> None:
        if len(points) < min(3, len(record.points)):  # too few to span a face
            return
        span = float(np.ptp(points, axis=0).max())
        if span >= LEAST_PIXELS or len(points) == 1:
            return
        reason = f"its {len(points)} points are within {span:.3g} pixels, which is no face"
        shares = points + (self._origin if self._unit is None else 0)
        if self._unit is None and abs(shares - 0.5).max() <= 0.5 + MOST_OUTSIDE / 5:
            reason += ": are they shares of the image's width and height? Then say normalised=true"
        raise PlacementError(path, reason, TINY)

    def _count(self, points: Floats, image: Path, size: tuple[int, int] | None) -> None:
        counts = self._counts
        counts.faces += 1
        counts.small += float(np.ptp(points, axis=0).max()) < LEAST_MEDIAN and len(points) > 2
        counts.elsewhere += bool(points.min() < -CORNER / 5 or points.max() > CORNER)
        if size is not None and image not in self._counted and min(size) >= LEAST_SIDE:
            counts.log_chance += float(np.log(CORNER / np.array(size)).sum())
            self._counted.add(image)


def _sizes(stated: tuple[int, int], header: Header) -> str:
    width, height = header.size(False)
    return f"annotated on an image of {stated[0]} x {stated[1]} pixels, but the file has {width} " \
        f"x {height}"


def suspicious(points: Floats) -> list[str]:
    """For each of the points [N, 2] that may stand for a missing one, its place as a text."""
    present = points[np.isfinite(points).all(axis=-1)]
    marks = [(present == mark).all(axis=-1) for mark in SENTINELS]
    marks.append((present <= LEAST_COORDINATE).all(axis=-1))
    return [f"{x:g}, {y:g}" for x, y in present[np.any(marks, axis=0)]]


def _inside(points: Floats, size: tuple[int, int]) -> np.ndarray:
    """Which points are in an image of that size, whose first pixel's centre is 0."""
    return ((points >= -0.5) & (points <= np.array(size) - 0.5)).all(axis=-1)


def _upright_fits_better(
    record: FaceRecord, header: Header, unit: float | None
) -> bool | None:
    """Whether a face fits its photo as shown, or as stored; None if both do, or neither."""
    points = record.points[np.isfinite(record.points).all(axis=-1)].astype(np.float64)
    if unit is None and not record.normalised:
        stored, shown = (bool(_inside(points, header.size(upright)).all())
                         for upright in (False, True))
        if stored != shown:
            return shown
    schema = schemas.get(record.schema)
    if not all(name in schema.anchors for name in ANCHORS):
        return None
    anchors = schema.anchor_points(record.points.astype(np.float64))
    if not np.isfinite(anchors).all():
        return None
    as_shown, as_stored = _turn(anchors), _turn(header.shown(anchors))
    if abs(as_shown - as_stored) < LEAST_DIFFERENCE or min(as_shown, as_stored) > MOST_TURNED:
        return None
    return as_shown < as_stored


def _turn(anchors: Floats) -> float:
    """By how many degrees a face is turned, plus 180 for a mirrored one; `anchors` are [4, 2]."""
    across = anchors[1] - anchors[0]
    down = anchors[2:].mean(axis=0) - anchors[:2].mean(axis=0)
    mirrored = across[0] * down[1] - across[1] * down[0] < 0
    return abs(float(np.degrees(np.arctan2(down[0], down[1])))) + 180 * mirrored

