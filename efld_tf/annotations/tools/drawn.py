"""Faces from the shapes that people draw in annotation tools.

A face is drawn in one of three ways:

- as one shape with all of its points, in the schema's order;
- as one shape whose points have names, a skeleton;
- as single points, whose labels are the names. The points of a face have a group in common, or lie
  in the face's box, or are the only ones of their image. Without labels, they are in the schema's
  order.

A box belongs to the face of its group, or to the one whose points it holds. Where points have
names, shapes of as many points without names are no faces. Other shapes, and points with other
names beside all of the schema's, are left out and counted. The readers of the tools' files make
`Picture`s, and `faces` does the rest.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from efld_tf import licenses
from efld_tf.annotations import image_paths, parsing, point_names
from efld_tf.annotations.declared import choice, schema_named
from efld_tf.annotations.format import Note
from efld_tf.annotations.record import LICENSE, FaceRecord, checked_points
from efld_tf.annotations.tools import grouping, numbering
from efld_tf.annotations.tools.grouping import Face
from efld_tf.annotations.tools.shapes import Picture, Shape
from efld_tf.errors import DataError, EfldError
from efld_tf.landmarks import schemas
from efld_tf.text import counted

MATCH, IGNORE = "match", "ignore"

# The first pixel's centre as tools may count it: some count pixels, some their edges, some from 1.
ORIGINS = ("0", "0.5", "1")


@dataclass(frozen=True)
class Options:
    """What a source says of the shapes in its files.

    Attributes:
      schema: the schema of the points.
      match_names: whether the names of points decide, or their order.
      first: the number of the first point, where they are numbered; None if the numbers tell.
      categories: the labels of faces; empty for all shapes with the right number of points.
      origin: what the tool calls the first pixel's centre.
    """

    schema: str
    match_names: bool
    first: int | None
    categories: frozenset[str]
    origin: float

    @classmethod
    def parse(
        cls, schema: str | None, names: str, first: str, category: str, origin: str
    ) -> Options:
        """The options as a source gives them.

        Raises:
          EfldError: an option has an unknown value.
        """
        return cls(
            schema_named(schema),
            choice("names", names, (MATCH, IGNORE)) == MATCH,
            None if not first else int(choice("first", first, ("0", "1"))),
            frozenset(filter(None, category.split(","))),
            float(choice("origin", origin, ORIGINS)),
        )


def faces(
    pictures: Sequence[Picture | DataError], options: Options, folders: Sequence[Path], path: Path,
    groups: str = grouping.GROUPS,
) -> Iterator[FaceRecord | DataError | Note]:
    """The faces of all pictures of a source, in their order.

    Args:
      pictures: everything that was drawn, since all names together tell what they mean.
      folders: the folders to which the names of images are relative.
      path: the source, for messages.
      groups: how the points of a face are kept together in the tool, for messages.

    Raises:
      DataError: the points' names are not those of the schema.
    """
    pictures = _apart(pictures)
    try:
        drawn = [picture for picture in pictures if isinstance(picture, Picture)]
        reader = _Faces(options, folders, drawn, groups)
    except DataError:
        raise
    except EfldError as error:
        raise DataError(path, str(error)) from error
    yield from reader.all(pictures)
    for label, count in sorted(reader.left_out.items()):
        name = f"labelled {parsing.shorten(label)}" if label else "without a label"
        ending = " of a kind that is no point" if reader.is_point(label) else ""
        yield Note(f"left out: {counted(count, 'shape')} {name}{ending}")
    for name, count in sorted(reader.other_points.items()):
        yield Note(f"left out: {counted(count, 'point')} named {parsing.shorten(name)}")
    for label, count in sorted(reader.odd_boxes.items()):
        yield Note(f"{counted(count, 'shape')} labelled {parsing.shorten(label)} were taken for "
                   "boxes of the faces that they hold: if they are of something else, say with "
                   "category= which label faces have")


def _apart(pictures: Sequence[Picture | DataError]) -> list[Picture | DataError]:
    """The pictures; errors for those of several images whose place on the disk is one file.

    Those on which nothing was drawn count, too, but are no errors.
    """
    places: dict[tuple[str, int | None], dict[str, None]] = defaultdict(dict)
    for picture in pictures:
        if isinstance(picture, Picture) and picture.called:
            places[picture.name, picture.frame][picture.called] = None
    apart: list[Picture | DataError] = []
    for picture in pictures:
        called = [] if isinstance(picture, DataError) else [*places[picture.name, picture.frame]]
        if isinstance(picture, Picture) and picture.called and len(called) > 1 and picture.shapes:
            both = " and ".join(parsing.shorten(place, 100) for place in called[:2])
            apart.append(DataError(
                picture.path, f"image {parsing.shorten(picture.name)} may be {both}: say with "
                "images= in which folder each of them is, or give the annotations of each as a "
                "source of their own", picture.line))
        else:
            apart.append(picture)
    return apart


class _Faces:
    def __init__(
        self, options: Options, folders: Sequence[Path], pictures: Sequence[Picture], groups: str
    ):
        self._options, self._folders, self._groups = options, folders, groups
        self._count = schemas.get(options.schema).num_points
        # The labels of shapes with names of something else; None for single points.
        self._others: Set[str | None] = frozenset()
        self._indices = self._match(pictures)
        self._face_labels = self._labels_of_faces(pictures)
        self._tells_occlusion = any(
            shape.visible is not None and not shape.visible.all()
            for picture in pictures for shape in picture.shapes)
        # Shapes of the picture that are neither points nor boxes, such as circles.
        self._no_points = 0
        self.left_out: Counter[str] = Counter()
        self.other_points: Counter[str] = Counter()
        self.odd_boxes: Counter[str] = Counter()

    def is_point(self, label: str) -> bool:
        """Whether a label is the name of a point of the schema."""
        names = {*map(point_names.simplified, schemas.get(self._options.schema).names)}
        return label in self._indices or point_names.simplified(label) in names

    def all(self, pictures: Sequence[Picture | DataError]) -> Iterator[FaceRecord | DataError]:
        """The faces of pictures; an error for one whose points are numbered otherwise."""
        items = ((picture, item) for picture in pictures for item in (
            [picture] if isinstance(picture, DataError) else self.of(picture)))
        start = numbering.start(self._indices) if self._options.first is None else None
        if start is None:
            yield from (item for _, item in items)
        else:
            yield from numbering.checked([*items], start, self._options.schema)

    def of(self, picture: Picture) -> Iterator[FaceRecord | DataError]:
        """The faces of a picture."""
        self._no_points = sum(not len(shape.points) for shape in picture.shapes)
        found: list[Face] = []
        singles: list[Shape] = []
        boxes: list[Shape] = []
        for shape in picture.shapes:
            if shape.is_box:
                boxes.append(shape)
            elif self._has_other_names(shape):
                self.left_out[shape.label] += 1
            elif self._is_single(shape):
                if self._indices and shape.label and shape.label not in self._indices:
                    self.other_points[shape.label] += 1
                else:
                    singles.append(shape)
            elif len(shape.points) and shape.label in self._face_labels:
                found.append(Face([shape], shape.group))
            else:
                self.left_out[shape.label] += 1
        boxes = [box for box in boxes if self._may_be_face(box)]
        try:
            found += grouping.grouped(
                singles, boxes, picture, self._count, named=bool(self._indices),
                chosen=bool(self._options.categories), advice=self._groups)
        except DataError as error:
            yield _of_image(error, picture)
        grouping.give_boxes(found, boxes)
        self.odd_boxes.update(face.box.label for face in found
                              if face.box is not None and self._is_odd(face.box, face))
        given = {id(face.box) for face in found}
        self.left_out.update(box.label for box in boxes if id(box) not in given)
        for face in found:
            try:
                yield self._record(face, picture)
            except DataError as error:
                yield _of_image(error, picture)

    def _is_single(self, shape: Shape) -> bool:
        return len(shape.points) == 1 and not shape.is_box and shape.names is None \
            and self._count > 1

    def _match(self, pictures: Sequence[Picture]) -> dict[str, int]:
        """The index of each name of a point, of all pictures; what has other names is no face."""
        families: dict[str | None, dict[str, None]] = defaultdict(dict)
        for picture in pictures:
            for shape in picture.shapes:
                if shape.names is not None and self._wanted(shape.label):
                    families[shape.label].update(dict.fromkeys(shape.names))
                elif self._is_single(shape) and shape.label:
                    families[None][shape.label] = None
        if not families or not self._options.match_names:
            return {}
        schema, first = self._options.schema, self._options.first
        own: list[str | None] = [family for family in families if family is not None]
        if not own or not self._options.categories:
            own = point_names.families_of(families, schema, "category")
        self._others = families.keys() - own
        self._check_one([family for family in own if family is not None])
        names = [*dict.fromkeys(name for family in own for name in families[family])]
        try:
            return point_names.match(names, schema, first, more=True)
        except EfldError as error:
            raise self._where(names, own, pictures, error) from error

    def _where(
        self, names: Sequence[str], own: Sequence[str | None], pictures: Sequence[Picture],
        error: EfldError,
    ) -> EfldError:
        """The error of matching names, with the first place of the rarest unknown name."""
        known = {*map(point_names.simplified, schemas.get(self._options.schema).names)}
        unknown = [name for name in names if point_names.simplified(name) not in known]
        if len(unknown) == len(names) and point_names.numbered(unknown):
            return error
        unknown = point_names.beside_numbers(unknown)
        places: dict[str, tuple[Picture, Shape]] = {}
        counts: Counter[str] = Counter()
        for picture in pictures:
            for shape in picture.shapes:
                family = None if shape.names is None else shape.label
                if family in own and (shape.names is not None or self._is_single(shape)):
                    for name in shape.names or (shape.label,):
                        places.setdefault(name, (picture, shape))
                        counts[name] += 1
        if not unknown:
            return error
        name = min(unknown, key=lambda name: counts[name])
        picture, shape = places[name]
        return DataError(picture.path, f"image {parsing.shorten(picture.name)} has a point "
                                       f"{parsing.shorten(name)}: {error}", shape.line)

    def _check_one(self, labels: Sequence[str]) -> None:
        """Refuses several labels that may be faces, unless the source says that they are."""
        if len(labels) > 1 and not self._options.categories:
            several = ", ".join(parsing.shorten(label) for label in sorted(labels)[:8])
            raise EfldError(f"shapes of several labels may be faces: {several}; say category=NAME, "
                            "or several with commas between them")

    def _has_other_names(self, shape: Shape) -> bool:
        if shape.names is not None:
            return shape.label in self._others
        return None in self._others and len(shape.points) == 1 and bool(shape.label)

    def _wanted(self, label: str) -> bool:
        return not self._options.categories or label in self._options.categories

    def _labels_of_faces(self, pictures: Sequence[Picture]) -> frozenset[str]:
        """The labels of shapes that are faces: those given, or those with the right points."""
        if self._options.categories:
            return self._options.categories
        shapes = [shape for picture in pictures for shape in picture.shapes if not shape.is_box]
        skeletons = {shape.label for shape in shapes if shape.names is not None}
        if skeletons or self._indices:
            labels = skeletons - self._others
            if not self._options.match_names:
                labels = {shape.label for shape in shapes if shape.names is not None
                          and len(shape.points) == self._count} or labels
        else:
            labels = {shape.label for shape in shapes
                      if len(shape.points) == self._count and not self._is_single(shape)}
        self._check_one([*labels])
        # If none has as many points, each is a face with a wrong number of them, unless faces are
        # drawn as single points.
        if labels or any(self._is_single(shape) for shape in shapes):
            return frozenset(labels)
        return frozenset(shape.label for shape in shapes if len(shape.points) > 1)

    def _may_be_face(self, box: Shape) -> bool:
        if not self._options.categories or box.label in self._options.categories:
            return True
        self.left_out[box.label] += 1
        return False

    def _is_odd(self, box: Shape, face: Face) -> bool:
        """Whether a box that just holds a face may be that of something else, by its label."""
        label = point_names.simplified(box.label)
        own = point_names.simplified(face.shapes[0].label)
        return bool(label) and "face" not in label and label != own \
            and not self._options.categories and (face.group is None or box.group != face.group)

    def _record(self, face: Face, picture: Picture) -> FaceRecord:
        options, path = self._options, picture.path
        line = face.shapes[0].line or picture.line
        points = np.full((self._count, 2), np.nan)
        visible = np.ones(self._count, bool)
        for index, shape, row in self._placed(face, path, line):
            points[index] = shape.points[row] - (0 if picture.normalised else options.origin)
            if shape.visible is not None:
                visible[index] = shape.visible[row]
        box = None
        if face.box is not None:
            x, y = face.box.points.T - (0 if picture.normalised else options.origin)
            box = parsing.box_of([min(x), min(y), max(x), max(y)], path, face.box.line or line)
        name = image_paths.relative_name(picture.name, path, picture.line, self._folders)
        shapes = [*face.shapes, *([face.box] if face.box is not None else [])]
        attributes = {k: v for shape in shapes for k, v in shape.attributes.items()}
        if LICENSE in attributes:
            try:
                attributes[LICENSE] = licenses.checked(attributes[LICENSE], LICENSE)
            except EfldError as error:
                raise DataError(path, str(error), line) from error
        try:
            image = image_paths.find_image(self._folders, name, path, picture.line)
        except DataError as error:
            raise DataError(path, f"{error.reason}; say with images= where images are, if they are "
                                  "elsewhere", error.line) from error
        return FaceRecord(
            image=image,
            points=checked_points(points, options.schema, path, line, missing=True),
            schema=options.schema,
            box=box,
            visible=visible & np.isfinite(points).all(axis=-1) if self._tells_occlusion else None,
            attributes=attributes,
            identity=picture.identity or name,
            frame=picture.frame,
            upright=picture.upright,
            image_size=picture.size,
            normalised=picture.normalised,
            scalable=picture.scalable,
        )

    def _placed(
        self, face: Face, path: Path, line: int | None
    ) -> Iterator[tuple[int, Shape, int]]:
        """For each point of a face its index in the schema, its shape and its row there."""
        single = len(face.shapes) > 1 or len(face.shapes[0].points) == 1
        if single and face.shapes[0].names is None:
            labels = [shape.label for shape in face.shapes]
            if self._indices and any(labels):
                if not all(labels):
                    raise DataError(path, f"{labels.count('')} of {len(labels)} points of a face "
                                          "have no name: name all of them, or none", line)
                twice = [label for label, count in Counter(labels).items() if count > 1]
                if twice:
                    raise DataError(path, f"two points {parsing.shorten(twice[0])} of one face: "
                                          f"{self._groups}, or draw a box around each face", line)
                yield from ((self._indices[s.label], s, 0) for s in face.shapes)
                return
            self._check_count(len(labels), path, line)
            yield from ((index, shape, 0) for index, shape in enumerate(face.shapes))
            return
        (shape,) = face.shapes
        if shape.names is not None and self._options.match_names:
            if len(set(shape.names)) < len(shape.names):
                raise DataError(path, "two points of the same name in one shape", line)
            others = [name for name in shape.names if name not in self._indices]
            self.other_points.update(others)
            yield from ((self._indices[name], shape, i) for i, name in enumerate(shape.names)
                        if name in self._indices)
            return
        self._check_count(len(shape.points), path, line, shape.label)
        yield from ((index, shape, index) for index in range(self._count))

    def _check_count(self, count: int, path: Path, line: int | None, label: str = "") -> None:
        if count != self._count:
            advice = ""
            if not self._options.categories and label:
                advice = f" of {parsing.shorten(label)}; category=NAME says which labels are faces"
            if not label and self._no_points:
                advice = f", and {counted(self._no_points, 'shape')} of other kinds, such as " \
                         "circles, which are no points"
            raise DataError(path, f"expected {self._count} points of {self._options.schema}, got "
                                  f"{count}{advice}", line)


def _of_image(error: DataError, picture: Picture) -> DataError:
    """The error with the name of its image, where no line tells which one it is."""
    if error.line is not None:
        return error
    return DataError(error.path, f"image {parsing.shorten(picture.name)}: {error.reason}")
