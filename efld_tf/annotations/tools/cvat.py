"""CVAT's own XML: its exports `CVAT for images 1.1` and `CVAT for video 1.1`.

An `image` has what was drawn on it, a `track` what was drawn on the frames of a video:

    <annotations><version>1.1</version><meta>...</meta>
      <image id="0" name="a.jpg" width="640" height="480">
        <skeleton label="face" source="manual" z_order="0">
          <points label="nose" source="manual" outside="0" occluded="0" points="310.50,200.25">
      ...
      <track id="0" label="face" source="manual">
        <skeleton frame="12" keyframe="1" z_order="0">
          <points label="nose" keyframe="1" outside="0" occluded="0" points="310.50,200.25">

A face is a skeleton, whose points have names, or `points` of as many points as the schema has, or
single `points` labelled with the points' names, of one group or in one box (see `drawn`). What is
`outside` is not there: a whole shape, or a point of a skeleton. Coordinates are in pixels of the
image as it is shown, since CVAT turns photos as their EXIF orientation says.

CVAT writes all frames of a track, also those in which nobody drew. From one keyframe to the next it
moves boxes, single points and those of skeletons evenly. `points` of several points do not move,
and nothing does behind the last keyframe.

The frames of a video are read from the images that CVAT exports with it, `frame_000012.PNG`, or
else from the video; where there are both, the user says which.

The layout is that of `cvat/apps/dataset_manager/formats/cvat.py` (CVAT's commits 00598ab and
a01a8a8) and of CVAT's page "XML annotation format"; tracks follow `annotation.py` beside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from efld_tf.annotations import parsing, xml_events
from efld_tf.annotations.declared import choice, image_folders
from efld_tf.annotations.format import Format, Note
from efld_tf.annotations.record import FaceRecord
from efld_tf.annotations.tools import cvat_tracks
from efld_tf.annotations.tools.cvat_images import Drawn, Images
from efld_tf.annotations.tools.cvat_tasks import Tasks, whole_number
from efld_tf.annotations.tools.drawn import IGNORE, Options, faces
from efld_tf.annotations.tools.shapes import Picture, Shape
from efld_tf.arrays import Floats
from efld_tf.errors import DataError

BOX, POINTS, SKELETON, TAG = "box", "points", "skeleton", "tag"

# An hour of video with 20 single points in each frame. A shape takes about 1 kB of memory.
MAX_SHAPES = 1 << 21

# More than any schema of faces has.
MAX_POINTS = 1 << 12


def read(
    path: Path,
    *,
    schema: str | None = None,
    images: str | None = None,
    prefix: str = "",
    video: str | None = None,
    frames: str = cvat_tracks.INTERPOLATED,
    names: str = "match",
    first: str = "",
    category: str = "",
    origin: str = "0",
) -> Iterator[FaceRecord | DataError | Note]:
    """The faces of a file; the identity is the image, or the video.

    Args:
      schema: `NAME` or `FILE.yaml`; required.
      images: the folder with the images or the video; by default the file's, or `images` in it.
      prefix: the start of image names that stands for the folder of images, such as a path on
        another computer: `/home/ann/photos`, or `C:/photos` for `C:\\photos`.
      video: the video, for exports of a job, which do not name it, if it has another name now, or
        if there are frames of another one beside it.
      frames: `interpolated`, the default, reads keyframes and what CVAT placed between two of them;
        `keyframes` those alone, and `all` also what it only repeats.
      names: `match`, the default, finds points by their names; `ignore` takes them in their order,
        which then is the schema's.
      first: the number of the first point, `0` or `1`, where names are numbers that do not tell.
      category: the labels of faces, with commas between them; by default all with fitting points.
      origin: what the file calls the first pixel's centre, `0`, `0.5` or `1`.

    Raises:
      DataError: `path` is not a readable file of that layout, or its names are not the schema's.
      EfldError: an option has an unknown value.
    """
    options = Options.parse(schema, names, first, category, origin)
    choice("frames", frames, cvat_tracks.FRAMES)
    folders = image_folders(images, [path.parent, path.parent / "images"], prefix)
    document = _Document(path, same_order=names == IGNORE)
    for event in xml_events.read(path, "annotations", "CVAT"):
        if isinstance(event, DataError):
            raise event
        document.take(event)
    found = Images(path, folders, document.tasks.all(), video, told=images is not None)
    left_out: Counter[str] = Counter()
    pictures = [*document.errors, *_pictures(document, found, frames, left_out)]
    yield from faces(pictures, options, found.folders, path)
    yield from cvat_tracks.notes(left_out)


@dataclass
class _Drawing:
    """A shape that is being read."""

    tag: str
    attributes: dict[str, str]
    line: int
    elements: list[tuple[str, dict[str, str], int]] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)


@dataclass
class _Track:
    """A track that is being read, with a shape and whether somebody drew it for each frame."""

    attributes: dict[str, str]
    line: int
    shapes: list[tuple[int, Shape | None, bool]] = field(default_factory=list)


class _Document:
    """Collects what was drawn from the events of a file."""

    def __init__(self, path: Path, same_order: bool):
        self._path, self._same_order = path, same_order
        self._open: list[str] = []
        self._image: Drawn | None = None
        self._track: _Track | None = None
        self._drawing: _Drawing | None = None
        self._attribute = ""
        self._count = 0
        self._names: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._order: dict[str, tuple[str, ...]] = {}
        self.tasks = Tasks(path)
        self.errors: list[DataError] = []
        self.images: list[Drawn] = []
        self.frames: dict[tuple[str, int], Drawn] = {}

    def take(self, event: xml_events.Event) -> None:
        """Takes the next event.

        Raises:
          DataError: the file cannot be read on.
        """
        if event.attributes is not None:
            self._open.append(event.tag)
            self._start(event.tag, event.attributes, event.line)
            return
        if self._open[1:2] == ["meta"]:
            self.tasks.end(self._open[1:], event.text, event.line)
        else:
            self._end(event.tag, event.text)
        self._open.pop()

    def _start(self, tag: str, attributes: dict[str, str], line: int) -> None:
        depth = len(self._open)
        if depth == 2 and tag == "image":
            self._image = self._start_image(attributes, line)
        elif depth == 2 and tag == "track":
            self._track = _Track(attributes, line)
        elif depth == 3 and (self._image or self._track):
            self._count += 1
            if self._count > MAX_SHAPES:
                raise DataError(self._path, f"expected at most {MAX_SHAPES} shapes", line)
            self._drawing = _Drawing(tag, attributes, line)
        elif depth == 4 and self._drawing and tag == "attribute":
            self._attribute = attributes.get("name", "")
        elif depth == 4 and self._drawing:
            self._drawing.elements.append((tag, attributes, line))
            if len(self._drawing.elements) > MAX_POINTS:
                raise DataError(self._path, f"expected at most {MAX_POINTS} points", line)

    def _end(self, tag: str, text: str) -> None:
        depth = len(self._open)
        if depth == 2:
            if self._track:
                self._end_track(self._track)
            self._image = self._track = None
        elif depth == 3 and self._drawing:
            if self._track:
                self._add_to_track(self._drawing, self._track)
            elif self._image and tag != TAG:
                self._add_to_image(self._drawing, self._image)
            self._drawing = None
        elif depth == 4 and self._drawing and tag == "attribute":
            self._drawing.texts[self._attribute] = text

    def _start_image(self, attributes: dict[str, str], line: int) -> Drawn:
        task, subset, name, number, *size = (
            attributes.get(key, "")
            for key in ("task_id", "subset", "name", "id", "width", "height"))
        image = Drawn(task, subset, name, number, line)
        self.images.append(image)
        try:
            width, height = size
            image.size = parsing.stated_size(width, height, self._path, line)
        except DataError as error:
            image.error = error
        return image

    def _add_to_image(self, drawing: _Drawing, image: Drawn) -> None:
        try:
            shape = self._shape(drawing, drawing.attributes)
        except DataError as error:  # it spoils the image, since a face may lack some of its points
            image.error = image.error or error
            return
        if shape is not None:
            image.shapes.append(shape)

    def _add_to_track(self, drawing: _Drawing, track: _Track) -> None:
        attributes, line = drawing.attributes, drawing.line
        try:
            number = whole_number(attributes.get("frame", ""), self._path, line)
        except DataError as error:
            self.errors.append(error)
            return
        try:
            shape = self._shape(drawing, track.attributes)
            keyframe = any(
                self._flag(some, "keyframe", line, missing=True)
                for some in (attributes, *(element[1] for element in drawing.elements)))
        except DataError as error:
            frame = self._frame(track, number, line)
            frame.error = frame.error or error
            return
        track.shapes.append((number, shape, keyframe))

    def _end_track(self, track: _Track) -> None:
        """Gives the shapes of a track to its frames."""
        for number, shape, origin in cvat_tracks.origins(track.shapes):
            frame = self._frame(track, number, shape.line or track.line)
            frame.shapes.append(shape)
            frame.origins.append(origin)

    def _frame(self, track: _Track, number: int, line: int) -> Drawn:
        task = track.attributes.get("task_id", "")
        return self.frames.setdefault((task, number), Drawn(
            task, track.attributes.get("subset", ""), "", str(number), line))

    def _shape(self, drawing: _Drawing, owner: Mapping[str, str]) -> Shape | None:
        """What was drawn; None if it is outside. Label and group are attributes of `owner`."""
        path, attributes, line = self._path, drawing.attributes, drawing.line
        label, number = owner.get("label", ""), owner.get("group_id", "0")
        group = None if number == "0" else number
        if drawing.tag == SKELETON:
            return self._skeleton(drawing, label, group)
        if self._flag(attributes, "outside", line):
            return None
        points = np.empty((0, 2))
        if drawing.tag == BOX:
            points = _corners(attributes, path, line)
        elif drawing.tag == POINTS:
            points = _points(attributes, path, line)
        visible = ~np.full(len(points), self._flag(attributes, "occluded", line))
        # Attributes of a single point say nothing of the face.
        texts = drawing.texts if len(points) > 1 else {}
        return Shape(points, label, is_box=drawing.tag == BOX, group=group,
                     visible=None if drawing.tag == BOX else visible, attributes=texts, line=line)

    def _skeleton(self, drawing: _Drawing, label: str, group: str | None) -> Shape | None:
        points, visible = [], []
        for tag, attributes, line in drawing.elements:
            if tag != POINTS or "label" not in attributes:
                raise DataError(self._path, "expected labelled points in a skeleton", line)
            point = _points(attributes, self._path, line)
            if len(point) != 1:
                raise DataError(self._path, f"expected 1 point, got {len(point)}", line)
            outside = self._flag(attributes, "outside", line)
            points.append([np.nan, np.nan] if outside else point[0])
            visible.append(not self._flag(attributes, "occluded", line))
        if not np.isfinite(points).any():
            return None
        names = tuple(attributes["label"] for _, attributes, _ in drawing.elements)
        names = self._names.setdefault(names, names)
        if self._same_order and self._order.setdefault(label, names) != names:
            raise DataError(self._path, "its points are not those of the other skeletons, or in "
                                        "another order: names=ignore cannot be", drawing.line)
        return Shape(np.array(points, np.float64), label, names=names, group=group,
                     visible=np.array(visible), attributes=drawing.texts, line=drawing.line)

    def _flag(
        self, attributes: Mapping[str, str], name: str, line: int, missing: bool = False
    ) -> bool:
        value = attributes.get(name, "1" if missing else "0")
        if value not in ("0", "1"):
            got = parsing.shorten(value)
            raise DataError(self._path, f"{name}: expected 0 or 1, got {got}", line)
        return value == "1"


def _pictures(
    document: _Document, images: Images, frames: str, left_out: Counter[str]
) -> Iterator[Picture | DataError]:
    """What was drawn on images, then on the frames of each task in their order.

    Args:
      frames: the option of that name; shapes that it does not read are counted in `left_out`.
    """
    place = images.order()
    by_task = sorted(document.frames.items(), key=lambda item: (place(item[0][0]), item[0]))
    for _, drawn in by_task:
        cvat_tracks.select(drawn, frames, left_out)
    told: set[DataError] = set()
    for drawn in (*document.images, *(frame for _, frame in by_task)):
        if drawn.error is not None:
            yield drawn.error
        elif drawn.shapes or drawn.name:  # an image without shapes may be called like another
            try:
                picture = images.picture(drawn)
            except DataError as error:
                if error not in told and drawn.shapes:
                    yield error
                    told.add(error)
            else:
                yield picture


def _corners(attributes: Mapping[str, str], path: Path, line: int) -> Floats:
    """The corners [2, 2] of a box, or of the one around it if it is turned about its centre."""
    words = [attributes.get(name, "") for name in ("xtl", "ytl", "xbr", "ybr", "rotation")]
    x0, y0, x1, y1, angle = parsing.coordinates([*words[:4], words[4] or "0"], path, line)
    half = np.array([x1 - x0, y1 - y0]) / 2
    cos, sin = abs(np.cos(np.radians(angle))), abs(np.sin(np.radians(angle)))
    half = np.array([[cos, sin], [sin, cos]]) @ half
    centre = np.array([x0 + x1, y0 + y1]) / 2
    return np.stack([centre - half, centre + half])


def _points(attributes: Mapping[str, str], path: Path, line: int) -> Floats:
    """The points `x,y;x,y` as [K, 2]."""
    pairs = attributes.get("points", "").split(";")
    if len(pairs) > MAX_POINTS:
        raise DataError(path, f"expected at most {MAX_POINTS} points", line)
    rows = [pair.split(",") for pair in pairs]
    wrong = [pair for pair, row in zip(pairs, rows, strict=True) if len(row) != 2]
    if wrong:
        raise DataError(path, f"expected points as x,y, got {parsing.shorten(wrong[0])}", line)
    return parsing.coordinates([word for row in rows for word in row], path, line).reshape(-1, 2)


FORMAT = Format(
    "cvat", "CVAT for images 1.1, CVAT for video 1.1", read, (), "annotations.xml",
    "skeletons, points, or single points with names; images or the video beside it, or in images/",
    "yours",
)
