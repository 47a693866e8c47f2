"""Label Studio's exports `JSON` and `JSON-MIN`: tasks, each an image with annotations.

    [{"id": 1, "data": {"image": "/data/upload/3/1a2b3c4d-a.jpg"}, "annotations": [{
        "was_cancelled": false, "result": [{
          "id": "YuLAREYKpq", "type": "keypointlabels", "from_name": "points", "to_name": "image",
          "original_width": 640, "original_height": 480, "image_rotation": 0, "parentID": "hplPm0",
          "value": {"x": 64.4, "y": 39.3, "width": 0.23, "keypointlabels": ["nose_tip"]}}, ...]}]}]

In JSON-MIN, a task is an object of its data, with the values of its regions by `from_name`. It does
not tell which region lies in which, nor whether the image was turned: prefer JSON.

Regions labelled by `KeyPointLabels` are single points, those of `RectangleLabels` boxes (see
`drawn`). Points below a box in the list of regions (`parentID`) are its face's. x and y are
percentages of the image as a browser shows it, turned as its EXIF orientation says. Label Studio
1.4 and later turns only the view if the image is turned while annotating (`image_rotation`), so
that x and y are those of the unturned image; older ones turned the points, too.

Drafts and predictions are left out, and so are annotations that were skipped (`was_cancelled`). Of
several annotations, the one that is the ground truth is read, if it is the only one that is.

The images are not in the export. They are found in a folder by the end of their address, without
the 8 digits that Label Studio puts before the names of uploaded files (see `local_copies`).

The layout is that of the documentation's "Label Studio JSON format" and of the converter in
`label_studio_sdk` (commit 0015729); image and regions are those of `web/libs/editor/src`
(`tags/object/Image/Image.js`, commit 014c626).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote

import numpy as np

from efld_tf.annotations import json_values, listing, parsing, point_names
from efld_tf.annotations.declared import choice, image_folders
from efld_tf.annotations.format import Format, Note
from efld_tf.annotations.record import FaceRecord
from efld_tf.annotations.tools.drawn import MATCH, Options, faces
from efld_tf.annotations.tools.label_studio_regions import BOX, POINT, Region, groups_of, regions_of
from efld_tf.annotations.tools.label_studio_tasks import NEWEST, OLDEST, Task, Tasks
from efld_tf.annotations.tools.local_copies import Address, LocalCopies, path_parts
from efld_tf.annotations.tools.shapes import Picture, Shape
from efld_tf.errors import DataError, EfldError
from efld_tf.text import counted


def read(
    path: Path,
    *,
    schema: str | None = None,
    images: str | None = None,
    field: str = "",
    control: str = "",
    several: str = "",
    names: str = MATCH,
    first: str = "",
    category: str = "",
    origin: str = "0",
) -> Iterator[FaceRecord | DataError | Note]:
    """The faces of a file, in its order; the identity is the image.

    Args:
      schema: `NAME` or `FILE.yaml`; required.
      images: the folder below which the images are; by default the file's.
      field: the field of a task's data that names the image; by default `image`, or the only one
        that names one.
      control: the names of the KeyPointLabels with the face's points, with commas between them; by
        default those with names of the schema.
      several: `newest` or `oldest`: which one of several annotations of an image is read.
      names: `match`, the default, finds points by their labels; `ignore` takes them in the file's
        order, which then is the schema's.
      first: the number of the first point, `0` or `1`, where labels are numbers that do not tell.
      category: the labels of faces' boxes, with commas between them; by default all.
      origin: what the file calls the first pixel's centre, `0`, `0.5` or `1`.

    Raises:
      DataError: `path` is not a readable file of that layout, or its labels are not the schema's.
      EfldError: an option has an unknown value.
    """
    options = Options.parse(schema, names, first, category, origin)
    if several:
        choice("several", several, (NEWEST, OLDEST))
    folders = image_folders(images, [path.parent])
    tasks = Tasks(path, several)
    content = tasks.read(json_values.load(path))
    views = [view for task in content for view in _views(task, tasks, field, path)]
    _place(views, LocalCopies(folders[0]), path)
    controls = _controls(views, control, options, path)
    left_out: Counter[str] = Counter()
    pictures = [_picture(view, controls, left_out, path) for view in views]
    yield from faces(pictures, options, folders, path)
    for name, number in sorted(left_out.items()):
        yield Note(f"left out: {counted(number, 'point')} of the KeyPointLabels "
                   f"{parsing.shorten(name)}")
    yield from tasks.notes()
    if number := sum(isinstance(view, _View) and view.turned and _has_points(view)
                     for view in views):
        yield Note(f"{counted(number, 'image')} turned while annotating (image_rotation): their "
                   "points are read as Label Studio writes them from 1.4 on, of the unturned image")


@dataclass
class _View:
    """An image of a task with what was drawn on it.

    Attributes:
      place: the task, for messages.
      address: what the task calls the image.
      regions: the regions by their ids.
      groups: see `groups_of`.
      name: the image's path in the folder.
    """

    place: str
    address: str
    regions: dict[str, Region]
    groups: Mapping[str, str | None]
    name: str = ""

    @property
    def turned(self) -> bool:
        """Whether the image was turned while annotating."""
        return any(region.turned for region in self.regions.values())


def _views(
    task: Task | DataError, tasks: Tasks, field: str, path: Path
) -> Iterator[_View | DataError]:
    """The images of a task on which something was drawn."""
    if isinstance(task, DataError):
        yield task
        return
    try:
        annotation = tasks.chosen(task)
        if annotation is None:
            return
        regions = regions_of(annotation.results, path, task.place)
        if task.old and any(region.turned for region in regions.values()):
            raise DataError(path, f"{task.place}: its image was turned while annotating "
                                  "(image_rotation), and with it the points in Label Studio 0.x")
        groups = groups_of(regions)
        for item in sorted({region.item for region in regions.values()}):
            on_item = {id: region for id, region in regions.items() if region.item == item}
            yield _View(task.place, _image(task, field, item, path), on_item, groups)
    except DataError as error:
        yield error


def _image(task: Task, field: str, item: int, path: Path) -> str:
    """What a task calls its image."""
    data = task.data
    if not field:
        found = [key for key, value in data.items()
                 if _names_image(value[0] if isinstance(value, list) and value else value)]
        field = "image" if "image" in data else found[0] if len(found) == 1 else ""
        if not field:
            fields = ", ".join(parsing.shorten(key, 30) for key in (found or list(data))[:8])
            raise DataError(path, f"{task.place}: say with field= which field of its data names "
                                  f"the image: {fields or 'it has none'}")
    value = data.get(field)
    if isinstance(value, list):
        value = value[item] if item < len(value) else None
    elif item:
        value = None
    if not isinstance(value, str) or not value:
        raise DataError(path, f"{task.place}: expected the name of image {item} as "
                              f"{parsing.shorten(field)}")
    return value


def _names_image(value: Any) -> bool:
    return isinstance(value, str) and any(
        PurePosixPath(address.parts[-1]).suffix.lower() in listing.IMAGE_SUFFIXES
        for address in addresses(value))


def addresses(text: str) -> list[Address]:
    """The paths that the image of a task may have on the server, those that tell most first."""
    scheme = re.match(r"([a-z][a-z0-9+.-]+)://[^/]*", text, re.IGNORECASE)
    rest = text[scheme.end():] if scheme else text
    on_server = scheme is None or scheme[1].lower() in ("http", "https")
    path, _, query = rest.partition("?")
    if on_server and "/data/local-files" in path and (files := parse_qs(query).get("d")):
        written = query.partition("d=")[2]
        found = [Address(path_parts(files[0])), Address(path_parts(written))]
    elif on_server and (upload := re.search(r"/data/(upload/.+)", path)):
        parts = path_parts(unquote(upload[1]))
        original = re.sub(r"^[0-9a-f]{8}-(?=.)", "", parts[-1])
        found = [Address(parts), *(Address((name,), whole=False)
                                   for name in dict.fromkeys((parts[-1], original)))]
    elif scheme and on_server:
        found = [Address(path_parts(unquote(path.partition("#")[0])))]
    elif re.match(r"data:", text, re.IGNORECASE):
        found = []
    else:  # a cloud's key, or a file's name, with spaces as they are or as in an address
        rest = re.sub(r"^[a-z]:(?=[\\/])", "", rest, flags=re.IGNORECASE)
        found = [Address(path_parts(rest)), Address(path_parts(unquote(rest)))]
    return [address for address in found if address.parts]


def _place(views: list[_View | DataError], copies: LocalCopies, path: Path) -> None:
    """Finds the images; an error takes the place of a view without one.

    One copy cannot be that of two images: those are errors, too.
    """
    of_copies: dict[str, dict[str, None]] = defaultdict(dict)
    for number, view in enumerate(views):
        if isinstance(view, DataError) or not _has_points(view):
            continue
        try:
            view.name = copies.find(addresses(view.address), view.address, path)
        except DataError as error:
            views[number] = DataError(path, f"{view.place}: {error.reason}")
        else:
            of_copies[view.name][view.address] = None
    for number, view in enumerate(views):
        if isinstance(view, _View) and len(of_copies[view.name]) > 1:
            both = " and ".join(parsing.shorten(text, 80) for text in [*of_copies[view.name]][:2])
            views[number] = DataError(
                path, f"{view.place}: {parsing.shorten(view.name)} may be the copy of {both}: give "
                "with images= a folder with their names on the server")


def _has_points(view: _View) -> bool:
    return any(region.kind == POINT for region in view.regions.values())


def _controls(
    views: Sequence[_View | DataError], control: str, options: Options, path: Path
) -> frozenset[str]:
    """The controls whose points are those of faces."""
    families: dict[str, dict[str, None]] = defaultdict(dict)
    for view in views:
        for region in view.regions.values() if isinstance(view, _View) else ():
            if region.kind == POINT and region.label:
                families[region.control][region.label] = None
    if control:
        chosen = frozenset(control.split(","))
        if unknown := sorted(chosen - families.keys()):
            known = ", ".join(parsing.shorten(name) for name in sorted(families)[:8])
            raise DataError(path, f"control: there are no points of {parsing.shorten(unknown[0])}, "
                                  f"but of {known or 'none'}")
        return chosen
    if not options.match_names:
        return frozenset(families)
    try:
        return frozenset(point_names.families_of(families, options.schema, "control"))
    except EfldError as error:
        raise DataError(path, str(error)) from error


def _picture(
    view: _View | DataError, controls: frozenset[str], left_out: Counter[str], path: Path
) -> Picture | DataError:
    """An image for `faces`; points of other controls are counted in `left_out`."""
    if isinstance(view, DataError):
        return view
    sizes = {region.size for region in view.regions.values() if region.kind in (POINT, BOX)}
    if len(sizes) > 1:
        stated = ", ".join(sorted("none" if size is None else f"{size[0]} x {size[1]}"
                                  for size in sizes))
        return DataError(path, f"{view.place}: several sizes of one image: {stated}")
    (size,) = sizes or {None}
    shapes = []
    for id, region in view.regions.items():
        if region.kind == POINT and region.label and region.control not in controls:
            left_out[region.control] += 1
            continue
        corners = region.corners if size is not None else region.corners / 100
        if region.kind == BOX:
            corners = np.stack([corners.min(axis=0), corners.max(axis=0)])
        shapes.append(Shape(
            corners, region.label, is_box=region.kind == BOX, group=view.groups[id],
            # Answers to a single point say nothing of the face.
            attributes=region.attributes if region.kind == BOX else {}))
    return Picture(
        view.name, shapes, path, size=size, normalised=size is None,
        scalable=size is not None, upright=True)


FORMAT = Format(
    "label_studio", "Label Studio's JSON and JSON-MIN", read, (), "FILE.json",
    "tasks with KeyPointLabels, and RectangleLabels; the images anywhere below its folder",
    "yours",
)
