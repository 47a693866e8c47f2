"""Puts faces into the pixels of their image, and refuses those that cannot belong there.

An annotation does not always say what its coordinates are of: the photo as it is shown, or as its
pixels lie in the file (EXIF); pixels, or shares of the image's size; this file, or a larger one.
What it states decides, then what the user says (`OPTIONS`). What neither tells is not guessed: a
face that fits its photo only in another reading is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from efld_tf.annotations import missing as marks
from efld_tf.annotations import orientation, units
from efld_tf.annotations.header import Header, read_header, read_video_header
from efld_tf.annotations.record import FaceRecord
from efld_tf.arrays import Floats
from efld_tf.errors import DataError, EfldError
from efld_tf.landmarks import schemas
from efld_tf.text import counted

# The options with their values, the first of which is the default.
OPTIONS = {
    "upright": ("", "true", "false"),
    "normalised": ("false", *units.UNITS),
    "sizes": ("check", "scale", "ignore"),
    "missing": (),
}
MEANINGS = {
    "upright": "true if the coordinates are of the photos as they are shown, turned as their EXIF "
    "orientation says, false if they are of the pixels as they lie in the file; for annotations "
    "that do not tell.",
    "normalised": "true if the coordinates are shares of the image's width and height, 0 to 1, "
    "percent if they are 0 to 100, 1000 if they are 0 to 1000; false, the default, if they are "
    "pixels.",
    "sizes": "check, the default, refuses images of another size than the annotation states; scale "
    "scales its points to the image, ignore takes no heed of the stated size.",
    "missing": "x,y of points that are not annotated, such as 0,0, if the file writes them so; "
    "several as 0,0;-1,-1, and 0,* for x = 0 with any y.",
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

# An image was resized if its sides were multiplied by the same number, but for rounding. Sizes that
# differ by so many pixels only are the same, rounded otherwise.
MOST_STRETCHED, MOST_ROUNDED = 0.02, 2

MOST_PLACES = 5  # places of points that may be missing, in a note


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
    """What was seen of a source's faces so far.

    Attributes:
      faces, small: the number of faces, and of those within `LEAST_MEDIAN` pixels.
      undecided, contrary, turned: faces in turned photos that do not tell their reading, contradict
        what the user or the tool says, or were refused.
      agreeing: turned photos whose stated size is of the reading that their faces tell.
      denying: those whose faces tell another reading; as shown, and as stored.
      rounded: faces in photos whose stated size is a little different.
      sized, unsized: faces whose stated size can be compared with the file's, and others.
      missing: points that have each mark that the user says.
    """

    faces: int = 0
    small: int = 0
    undecided: int = 0
    contrary: int = 0
    turned: int = 0
    agreeing: set[Path] = field(default_factory=set)
    denying: dict[bool, set[Path]] = field(default_factory=lambda: {True: set(), False: set()})
    rounded: int = 0
    sized: int = 0
    unsized: int = 0
    missing: Counter[marks.Mark] = field(default_factory=Counter)


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
        self._unit = units.UNITS.get(normalised)
        self._units_told = bool(normalised)
        self._sizes = sizes or "check"
        self._missing = marks.parse(missing) if missing else []
        self._origin, self._origin_said = origin
        self._image: tuple[Path, Header | None] | None = None
        self._counts = _Counts()
        self._suspicion = marks.Suspicion()
        self._units = units.Units()

    def place(self, record: FaceRecord, path: Path) -> FaceRecord:
        """The face in pixels of its image, with `upright` decided.

        Args:
          path: the name of the face in messages.

        Raises:
          PlacementError: the face is not where it is said to be.
          DataError: all of its points are missing.
        """
        header = self._header(record)
        record = self._without_missing(record, header, path)
        record = self._scaled(record, header, path)
        upright = self._reading(record, header, path)
        record = replace(record, upright=upright)
        size = None if header is None else header.size(upright)
        if self._unit is not None or record.normalised:
            record = self._in_pixels(record, size or record.image_size, path)
        points = record.points[np.isfinite(record.points).all(axis=-1)].astype(np.float64)
        self._check_size(points, record, path)
        if self._unit is None:
            self._units.add(record.points, schemas.get(record.schema), record.image, size)
        if size is not None and not orientation.inside(points, size).any():
            way_out = ""
            if not self._units_told and points.min() >= 0 and points.max() <= units.UNITS["1000"]:
                way_out = ", or normalised=1000 if they are shares of its size, 0 to 1000"
            raise PlacementError(
                path, f"all of its {len(points)} points lie outside the image of {size[0]} x "
                f"{size[1]} pixels: expected those of this image{way_out}", BEYOND)
        self._counts.faces += 1
        self._counts.small += float(np.ptp(points, axis=0).max()) < LEAST_MEDIAN and len(points) > 2
        return record

    def end(self) -> Iterator[PlacementError | str]:
        """What can be told when all faces have been seen: notes, and an error of the source."""
        yield from self._end_missing()
        yield from self._end_turned()
        yield from self._end_sizes()
        counts = self._counts
        if not self._units_told and 2 * counts.small > counts.faces > 2:
            yield self._error(
                f"the points of {counts.small} of {counts.faces} faces are within "
                f"{LEAST_MEDIAN:g} pixels: if they are pixels nevertheless say normalised=false",
                TINY)
        if not self._units_told and (doubt := self._units.doubt()):
            reason, certain = doubt
            yield self._error(reason, UNITS) if certain else reason

    def _error(self, reason: str, kind: str) -> PlacementError:
        return PlacementError(self._source, reason, kind, whole_source=True)

    def _end_missing(self) -> Iterator[str]:
        if suspected := self._suspicion.marks():
            right = [mark for mark in self._missing if self._counts.missing[mark]]
            option = ";".join(marks.name(mark) for mark in [*right, *suspected][:MOST_PLACES])
            places = [f"{counted(number, 'point')} at {marks.place(mark)}"
                      for mark, number in suspected.items()]
            places[MOST_PLACES:] = ["others"] * (len(places) > MOST_PLACES)
            yield (f"{' and '.join(places)}: if that means that they are not annotated, say "
                   f"missing={option}")
        for mark in self._missing:
            if not self._counts.missing[mark]:
                yield f"missing={marks.name(mark)}: no point is there"

    def _end_turned(self) -> Iterator[PlacementError | str]:
        counts = self._counts
        if counts.undecided and counts.turned:
            yield self._error(
                f"of its faces in photos that are stored turned (EXIF), "
                f"{counts.turned} stand upright only as the photos are shown, and "
                f"{counts.undecided} do not tell: say upright=true if they were annotated so, "
                "upright=false if not", TURNED)
        elif counts.undecided:
            yield (f"{counted(counts.undecided, 'face')} in photos that are stored turned (EXIF), "
                   "read as the pixels lie in the file; if they were annotated as the photos are "
                   "shown, say upright=true, and if not upright=false")
        if counts.contrary:
            yield (f"{counted(counts.contrary, 'face')} in photos that are stored turned (EXIF) "
                   "would be upright, or inside, only in the other reading: is upright= right?")
        if denying := sum(map(len, counts.denying.values())):
            shown = 2 * len(counts.denying[True]) >= denying
            right, wrong = str(shown).lower(), str(not shown).lower()
            reason = (f"faces of {counted(denying, 'photo')} stored turned (EXIF) stand upright "
                      f"only in the photo as it is {'shown' if shown else 'stored'}, but the "
                      "stated size is of the other reading: if the size is wrong say "
                      f"upright={right}&sizes=ignore, and if it is right upright={wrong}")
            most = denying > max(len(counts.agreeing), 1)  # who is in one alone may lie there
            yield self._error(reason, TURNED) if most else reason

    def _end_sizes(self) -> Iterator[PlacementError | str]:
        counts = self._counts
        if counts.rounded:
            yield (f"{counted(counts.rounded, 'face')} in images whose sides differ by 1 or "
                   f"{MOST_ROUNDED} pixels from what the annotation states: the points are taken "
                   "as they are")
        if self._sizes == "scale" and counts.unsized and not counts.sized:
            yield self._error(
                "sizes=scale needs the size of the image that was annotated, which none of its "
                f"{counted(counts.unsized, 'face')} states for a photo whose size can be read: "
                "state it, or leave sizes=scale out if the points are of these images", RESIZED)
        elif self._sizes == "scale" and counts.unsized:
            yield (f"{counted(counts.unsized, 'face')} are not scaled: no size is stated, or the "
                   "photo's cannot be read")

    def _header(self, record: FaceRecord) -> Header | None:
        if record.frame is not None and record.image_size is None:
            return None
        if self._image is None or self._image[0] != record.image:
            read = read_header if record.frame is None else read_video_header
            self._image = (record.image, read(record.image))
        return self._image[1]

    def _scaled(self, record: FaceRecord, header: Header | None, path: Path) -> FaceRecord:
        """Compares the size that the annotation states with the file's."""
        if self._unit is not None or record.normalised:  # shares are right in any size
            return record
        stated = record.image_size
        if stated is None or header is None:
            self._counts.unsized += 1
            return record
        self._counts.sized += 1
        said = self._upright if self._sizes == "ignore" and record.scalable else None
        if (self._sizes == "ignore" and not record.scalable) \
                or (said is None and stated in (header.size(False), header.size(True))):
            return record
        near = [header.size(upright) for upright in (False, True)
                if _rounded(stated, header.size(upright))]
        if near and not record.scalable:
            self._counts.rounded += 1
            # Nearly square, it is of both readings, and tells neither.
            return replace(record, image_size=near[0] if len({*near}) == 1 else None)
        # A turned copy has the other side as its longer one.
        turned = (stated[0] > stated[1]) != (header.width > header.height) and header.turns
        turned = turned if said is None else said
        factor = np.array(header.size(turned)) / stated
        if not record.scalable and _rounded(stated[::-1], header.size(False)):
            raise PlacementError(
                path, f"{_sizes(stated, header)}: give the image that was annotated, if it was "
                "turned since, or say sizes=ignore if the annotation states the height first",
                RESIZED)
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
            depth=_scaled(record.depth, factor),
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
                f"of the photo as it is {'shown' if stated else 'stored'}: if the size is wrong "
                f"say upright={said}&sizes=ignore", TURNED)
        decided = next((told for told in (stated, self._upright, record.upright)
                        if told is not None), None)
        if header is None or header.orientation == 1:
            return bool(decided)
        better = None
        if stated is None and self._unit is None and not record.normalised:
            better = orientation.inside_better(record, header)
        if better is None:
            better = orientation.stands_better(record, header)
        if stated is not None and self._upright is None:
            if better is not None:
                told = self._counts.agreeing if better == stated else self._counts.denying[better]
                told.add(record.image)
            return stated
        if decided is None and better:
            self._counts.turned += 1
            raise PlacementError(
                path, f"the photo is stored turned (EXIF orientation {header.orientation}), and "
                "its face stands upright, or inside, only in the photo as it is shown: say "
                "upright=true if it was annotated so, upright=false if not", TURNED)
        self._counts.undecided += decided is None and better is None
        self._counts.contrary += None not in (decided, better) and decided != better
        return bool(decided)

    def _without_missing(
        self, record: FaceRecord, header: Header | None, path: Path
    ) -> FaceRecord:
        """The face without the points that stand for missing ones; others that may are counted."""
        raw = record.points + (0 if record.normalised else self._origin)
        missing = np.zeros(len(raw), bool)
        for mark in self._missing:
            there = marks.at(raw, mark)
            self._counts.missing[mark] += int(there.sum())
            missing |= there
        if missing.any():
            if not np.isfinite(raw[~missing]).all(axis=-1).any():
                raise DataError(path, "no point is annotated")
            visible = None if record.visible is None else record.visible & ~missing
            raw[missing] = np.nan
            record = replace(record, points=np.where(missing[:, None], np.float32(np.nan),
                                                     record.points), visible=visible)
        self._suspicion.add(raw, self._extent(record, header))
        return record

    def _extent(self, record: FaceRecord, header: Header | None) -> tuple[float, float] | None:
        """The extent of a face's image in the unit of its file, whichever way it is turned."""
        if self._unit is not None or record.normalised:
            unit = self._unit or 1.0
            return 1 + unit, 1 + unit  # they end at 1, pixels one before their number
        size = record.image_size or (None if header is None else header.size(False))
        if size is None:
            return None
        longer = float(max(size))
        return (longer, longer) if header is not None and header.turns else size

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
        if len(shares) and not (abs(shares - 0.5) <= 0.5 + units.MOST_OUTSIDE).all():
            worst = float(shares.ravel()[abs(shares - 0.5).argmax()]) * unit
            raise PlacementError(path, f"expected coordinates of 0 to {unit:g} (normalised), got "
                                       f"{worst:g}", BEYOND)
        factor = np.array(size) / unit
        box = None
        if record.box is not None:
            box = ((record.box + before) * np.tile(factor, 2) - after).astype(np.float32)
        points = ((record.points + before) * factor - after).astype(np.float32)
        return replace(record, points=points, box=box, depth=_scaled(record.depth, factor),
                       normalised=False)

    def _check_size(self, points: Floats, record: FaceRecord, path: Path) -> None:
        if len(points) < min(3, len(record.points)):  # too few to span a face
            return
        span = float(np.ptp(points, axis=0).max())
        if span >= LEAST_PIXELS or len(points) == 1:
            return
        reason = f"its {len(points)} points are within {span:.3g} pixels, which is no face"
        shares = points + (self._origin if self._unit is None else 0)
        if self._unit is None and abs(shares - 0.5).max() <= 0.5 + units.MOST_OUTSIDE / 5:
            reason += ": are they shares of the image's width and height? Then say normalised=true"
        raise PlacementError(path, reason, TINY)


def _scaled(depth: np.ndarray | None, factor: np.ndarray) -> np.ndarray | None:
    """Depths where x and y are scaled by two factors."""
    return None if depth is None else (depth * np.sqrt(factor.prod())).astype(np.float32)


def _sizes(stated: tuple[int, int], header: Header) -> str:
    width, height = header.size(False)
    return f"annotated on an image of {stated[0]} x {stated[1]} pixels, but the file has {width} " \
        f"x {height}"


def _rounded(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two sizes are the same, but for pixels that programs gain or lose by rounding."""
    return all(abs(a - b) <= min(MOST_ROUNDED, MOST_STRETCHED * b)
               for a, b in zip(one, other, strict=True))
