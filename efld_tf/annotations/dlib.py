"""dlib's XML files, as its `imglab` writes them: boxes with named parts, and perhaps a label.

    <dataset><images>
      <image file='helen/trainset/1.jpg' width='1024' height='768'>
        <box top='224' left='78' width='138' height='139'>
          <label>face</label>
          <part name='00' x='55' y='254'/>
          ...

Later versions of dlib write the image's width and height, earlier ones do not. Coordinates count
from 0, as in dlib. Its 68-point files are iBUG's, which count from 1, after rounding; whether 1 was
subtracted is not documented. dlib's own five points (eye corners and nose base) do not tell where
the mouth is and have no schema here.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from efld_tf.annotations import image_paths, parsing, point_names, xml_events
from efld_tf.annotations.declared import choice, image_folders, schema_named
from efld_tf.annotations.format import Format, Note
from efld_tf.annotations.record import FaceRecord, checked_points
from efld_tf.errors import DataError, EfldError
from efld_tf.landmarks import schemas
from efld_tf.text import counted

SCHEMAS = {68: "ibug68", 194: "helen194"}

# The most of dlib's own files is 194.
MAX_PARTS = 1 << 12
MAX_LABELS = 1 << 12

PLACE = ("left", "top", "width", "height")


def read(
    path: Path, *, schema: str | None = None, images: str | None = None, prefix: str = "",
    category: str = "", names: str = "match", first: str = "",
) -> Iterator[FaceRecord | DataError | Note]:  # fmt: skip
    """The boxes of a file, in its order, except those with `ignore='1'`; the identity is the image.

    Parts are matched with points by the schema's names, or by their number. Points without a part
    are not annotated. Boxes without parts, those with other labels than the faces', and parts with
    other names beside all of the schema's are left out and counted. The file is read piece by
    piece, twice: all boxes together tell where numbers start.

    Args:
      schema: `NAME` or `FILE.yaml`; by default the one with 68 or 194 points, if boxes have as many
        parts.
      images: the folder that image paths are relative to; by default the file's.
      prefix: the start of image names that stands for the folder of images, such as a path on
        another computer: `/home/ann/photos`, or `C:/photos` for `C:\\photos`.
      category: the labels of faces, with commas between them, an empty one for boxes without a
        label; by default all boxes with parts have the same.
      names: `match` for the names of parts, `ignore` for their order in the file, which then is the
        schema's.
      first: the number of the first part, `0` or `1`; by default the numbers tell.

    Raises:
      DataError: `path` is not a readable file, or its labels do not tell which boxes are faces.
      EfldError: `images` is not a folder, there is no such schema, or an option has an unknown
        value.
    """
    name = None if schema is None else schema_named(schema)
    folders = image_folders(images, [path.parent], prefix)
    by_name = choice("names", names, ("match", "ignore")) == "match"
    start = int(choice("first", first, ("0", "1"))) if first else None
    survey = _Survey.of(path)
    labels = survey.chosen(category, path)
    reader = _Reader(path, folders, name or survey.schema(labels, path), by_name, start, survey)
    left_out: Counter[str] = Counter()
    for box in _boxes(path):
        if isinstance(box, DataError):
            yield box
        elif not box.parts:
            left_out["without parts"] += 1
        elif box.label not in labels:
            left_out[f"labelled {parsing.shorten(box.label)}" if box.label
                     else "without a label"] += 1
        else:
            try:
                yield reader.record(box)
            except DataError as error:
                yield error
    for what, count in sorted(left_out.items()):
        yield Note(f"left out: {count} box{'' if count == 1 else 'es'} {what}")
    for part, count in sorted(reader.others.items()):
        yield Note(f"left out: {counted(count, 'part')} named {parsing.shorten(part)}")


@dataclass
class _Box:
    """A `box` element: its image's path and stated width and height, its attributes and label, and
    (name, x, y, line) of its parts."""

    image: str
    size: tuple[str, str]
    attributes: dict[str, str]
    line: int
    label: str = ""
    parts: list[tuple[str, str, str, int]] = field(default_factory=list)


@dataclass
class _Survey:
    """What the boxes with parts have: names of parts, and by label their numbers of parts."""

    names: dict[str, None] = field(default_factory=dict)
    counts: dict[str, set[int]] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path) -> _Survey:
        """Those of a file up to its end, or to where it is damaged.

        Raises:
          DataError: the file cannot be read, or has more names than anybody needs.
        """
        survey = cls()
        for box in _boxes(path):
            if isinstance(box, _Box) and box.parts:
                survey.names.update(dict.fromkeys(part[0] for part in box.parts))
                survey.counts.setdefault(box.label, set()).add(len(box.parts))
            if len(survey.names) > MAX_PARTS:
                raise DataError(path, f"expected at most {MAX_PARTS} different parts")
            if len(survey.counts) > MAX_LABELS:
                raise DataError(path, f"expected at most {MAX_LABELS} different labels of boxes")
        return survey

    def chosen(self, category: str, path: Path) -> Set[str]:
        """The labels of faces.

        Raises:
          DataError: there are several, or none of those that are wanted.
        """
        known = ", ".join(parsing.shorten(label) for label in sorted(self.counts)[:8]) or "none"
        if category:
            wanted = {label.strip() for label in category.split(",")}
            if self.counts and not wanted & self.counts.keys():
                raise DataError(path, f"category: no box with parts has such a label, but {known}")
            return wanted
        if len(self.counts) > 1:
            raise DataError(path, f"boxes with parts have several labels: {known}; say "
                                  "category=NAME, or several with commas between them")
        return self.counts.keys()

    def schema(self, labels: Set[str], path: Path) -> str | None:
        """The schema with as many points as boxes have parts; None if none has.

        Raises:
          DataError: there are several.
        """
        counts = {count for label in labels for count in self.counts.get(label, ())}
        found = [name for count, name in SCHEMAS.items() if count in counts]
        if len(found) > 1:
            raise DataError(path, f"some boxes have as many parts as {found[0]}, others as "
                                  f"{found[1]}: name the points with schema=")
        return found[0] if found else None


class _Reader:
    """Reads the boxes of a file.

    Attributes:
      others: the names of parts that are left out, with their number.
    """

    def __init__(
        self, path: Path, folders: list[Path], schema: str | None, by_name: bool,
        first: int | None, survey: _Survey,
    ) -> None:  # fmt: skip
        self._path, self._folders, self._schema, self._by_name = path, folders, schema, by_name
        self._first = first
        self._order: tuple[str, ...] = ()
        if schema is not None and first is None:
            self._first = point_names.first_number([*survey.names], schema)
        self.others: Counter[str] = Counter()

    def record(self, box: _Box) -> FaceRecord:
        """The face of a box with parts.

        Raises:
          DataError: the box is not of the format.
        """
        path, schema = self._path, self._schema
        if schema is None:
            counts = " or ".join(str(count) for count in SCHEMAS)
            raise DataError(path, f"expected {counts} parts, got {len(box.parts)}; name the points "
                            "with schema=", box.line)
        points = np.full((schemas.get(schema).num_points, 2), np.nan)
        for index, (part, x, y, line) in zip(self._places(box, schema), box.parts, strict=True):
            if index is None:
                self.others[part] += 1
            else:
                points[index] = parsing.coordinates([x, y], path, line)
        missing = [name for name in PLACE if name not in box.attributes]
        if missing:
            raise DataError(path, f"the box has no {missing[0]}", box.line)
        left, top, width, height = parsing.coordinates(
            [box.attributes[name] for name in PLACE], path, box.line
        )
        # A dlib rectangle's last pixel is left + width - 1.
        corners = parsing.box_of([left, top, left + width - 1, top + height - 1], path, box.line)
        image = image_paths.relative_name(box.image, path, box.line, self._folders)
        others = {k: v for k, v in box.attributes.items() if k not in (*PLACE, "ignore")}
        return FaceRecord(
            image=_image(self._folders, image, path, box.line),
            points=checked_points(points, schema, path, box.line, missing=True),
            schema=schema,
            box=corners,
            attributes=others,
            identity=image,
            image_size=parsing.stated_size(*box.size, path=path, line=box.line),
        )

    def _places(self, box: _Box, schema: str) -> Sequence[int | None]:
        """The index in the schema of each part of a box; None for those that are left out."""
        names = tuple(part[0] for part in box.parts)
        if not self._by_name:
            expected = schemas.get(schema).num_points
            if len(names) != expected:
                raise DataError(self._path, f"expected {expected} parts of {schema}, got "
                                            f"{len(names)}", box.line)
            self._order = self._order or names
            if names != self._order:
                raise DataError(self._path, "its parts are not those of the first box, or in "
                                            "another order: names=ignore cannot be", box.line)
            return range(expected)
        seen: set[str] = set()
        for name, _, _, line in box.parts:
            if name in seen:
                raise DataError(self._path, f"the part {parsing.shorten(name)} stands twice", line)
            seen.add(name)
        found = _matched(names, schema, self._first)
        if isinstance(found, _Unmatched):
            line = box.line if found.part is None else box.parts[found.part][3]
            raise DataError(self._path, found.reason, line)
        return found


@dataclass(frozen=True)
class _Unmatched:
    """Why parts are not a schema's points, and the first whose name alone is wrong."""

    reason: str
    part: int | None


@functools.lru_cache(maxsize=256)
def _matched(
    names: tuple[str, ...], schema: str, first: int | None
) -> tuple[int | None, ...] | _Unmatched:
    """The index in a schema of each part of a box; None for those beside all of its points."""
    try:
        indices = point_names.match(names, schema, first, more=True)
    except EfldError as error:
        return _Unmatched(str(error), _first_wrong(names, schema, first))
    return tuple(indices.get(name) for name in names)


def _first_wrong(names: tuple[str, ...], schema: str, first: int | None) -> int | None:
    for number, name in enumerate(names):
        try:
            point_names.match([name], schema, first or 0)
        except EfldError:
            return number
    return None


def _image(folders: list[Path], name: str, path: Path, line: int) -> Path:
    """The image of that name; imglab writes its bytes as they are under a header of Latin-1."""
    try:
        return image_paths.find_image(folders, name, path, line)
    except DataError:
        try:
            as_written = name.encode("latin-1").decode("utf-8")
        except UnicodeError:
            as_written = name
        if as_written == name:
            raise
        return image_paths.find_image(folders, as_written, path, line)


def _boxes(path: Path) -> Iterator[_Box | DataError]:
    """Yields the boxes of a file; an error in the XML is the last item, since nothing follows it.

    Raises:
      DataError: the file cannot be read or is too large.
    """
    image: str | None = None
    size = "", ""
    box: _Box | None = None
    for event in xml_events.read(path, "dataset", "dlib"):
        if isinstance(event, DataError):
            yield event
            return
        tag, attributes, text, line = event
        if attributes is None:
            if tag == "label" and box is not None:
                box.label = text
            elif tag == "box" and box is not None:
                if box.attributes.get("ignore", "0") in ("", "0"):
                    yield box
                box = None
            elif tag == "image":
                image = None
        elif tag == "image":
            image = attributes.get("file", "")
            size = attributes.get("width", ""), attributes.get("height", "")
        elif tag == "box" and image is not None:
            box = _Box(image, size, attributes, line)
        elif tag == "part" and box is not None:
            if len(box.parts) == MAX_PARTS:
                yield DataError(path, f"expected at most {MAX_PARTS} parts in a box", line)
                return
            name, x, y = (attributes.get(name, "") for name in ("name", "x", "y"))
            box.parts.append((name, x, y, line))


FORMAT = Format(
    "dlib", "dlib's imglab XML (ibug_300W_large_face_landmark_dataset)", read,
    tuple(SCHEMAS.values()), "FILE.xml",
    "dataset/images/image[file]/box/part[name,x,y]; images relative to the file",
    "its 300-W file: research only; else check the publisher's terms",
)
