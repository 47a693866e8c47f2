"""Label Studio's exports `JSON` and `JSON-MIN`: tasks, each an image with annotations.

    [{"id": 1, "data": {"image": "/data/upload/3/1a2b3c4d-a.jpg"}, "annotations": [{
        "was_cancelled": false, "result": [{
          "id": "YuLAREYKpq", "type": "keypointlabels", "from_name": "points", "to_name": "image",
          "original_width": 640, "original_height": 480, "image_rotation": 0, "parentID": "hplPm0",
          "value": {"x": 64.4, "y": 39.3, "width": 0.23, "keypointlabels": ["nose_tip"]}}, ...]}]}]

In JSON-MIN, a task is an object of its data, with the values of its regions by `from_name`. It does
not tell which region lies in which, nor whether the image was turned: prefer JSON.

Regions labelled by `KeyPointLabels` are single points, those of `RectangleLabels` boxes (see
`drawn`). Points below a region in the list of regions (`parentID`) are of its face (see
`label_studio_groups`), on the image that `label_studio_images` finds. x and y are
percentages of the image as a browser shows it, turned as its EXIF orientation says. Label Studio
1.4 and later turns only the view if the image is turned while annotating (`image_rotation`), so
that x and y are those of the unturned image; older ones turned the points, too.

Drafts and predictions are left out, and so are annotations that were skipped (`was_cancelled`). Of
several annotations, the one that is the ground truth is read, if it is the only one that is.

The layout is that of the documentation's "Label Studio JSON format" and of the converter in
`label_studio_sdk` (commit 0015729); image and regions are those of `web/libs/editor/src`
(`tags/object/Image/Image.js`, commit 014c626).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from efld_tf.annotations import json_values, parsing, point_names
from efld_tf.annotations.declared import choice, image_folders
from efld_tf.annotations.format import Format, Note
from efld_tf.annotations.record import FaceRecord
from efld_tf.annotations.tools.drawn import MATCH, Options, faces
from efld_tf.annotations.tools.label_studio_groups import Grouping, Tree
from efld_tf.annotations.tools.label_studio_images import Fields, View, find_copies
from efld_tf.annotations.tools.label_studio_regions import BOX, POINT, Region, regions_of
from efld_tf.annotations.tools.label_studio_tasks import NEWEST, OLDEST, Task, Tasks
from efld_tf.annotations.tools.local_copies import LocalCopies
from efld_tf.annotations.tools.shapes import Picture, Shape
from efld_tf.errors import DataError, EfldError
from efld_tf.landmarks import schemas
from efld_tf.text import counted

# How the points of a face are kept together, for messages.
GROUPS = "drag the points of a face below a region of its own in the list of regions (parentID)"


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
      field: the field of a task's data that names the image; by default the one called as the
        `Image` that was drawn on (`to_name`), or the only one that names an image.
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
    every = tasks.read(json_values.load(path))
    content = [_drawn(task, tasks, path) for task in every]
    drawn = [some for some in content if isinstance(some, _Drawn)]
    controls = _controls(drawn, control, options, path)
    fields = Fields(field, _targets(drawn, controls), () if control else controls, path)
    left_out: Counter[str] = Counter()
    views = [view for some in _grouped(content, controls, options, path)
             for view in _views(some, fields, left_out, path)]
    copies = LocalCopies(folders[0])
    find_copies(views, fields.addresses(every), copies, path)
    pictures = [_picture(view, controls, left_out, path) for view in views]
    groups = GROUPS
    if len(controls) > 1 and not control:
        listed = " and ".join(parsing.shorten(name, 30) for name in sorted(controls)[:4])
        groups += f", say with control= which of {listed} is read"
    yield from faces(pictures, options, folders, path, groups)
    for name, number in sorted(left_out.items()):
        yield Note(f"left out: {counted(number, 'point')} of the KeyPointLabels "
                   f"{parsing.shorten(name)}")
    yield from tasks.notes()
    if copies.cleaned:
        copy, upload = next(iter(copies.cleaned.items()))
        yield Note(f"{counted(len(copies.cleaned), 'image')} found by the name that Label Studio "
                   f"gives uploads, without some signs: {parsing.shorten(copy)} was taken for "
                   f"{parsing.shorten(upload)}")
    if number := sum(isinstance(view, View) and view.turned and view.has_points for view in views):
        yield Note(f"{counted(number, 'image')} turned while annotating (image_rotation): their "
                   "points are read as Label Studio writes them from 1.4 on, of the unturned image")


@dataclass(frozen=True, eq=False)
class _Drawn:
    """A task with the regions of the annotation that is read, by their ids."""

    task: Task
    regions: Mapping[str, Region]


def _drawn(task: Task | DataError, tasks: Tasks, path: Path) -> _Drawn | DataError | None:
    """What was drawn on the images of a task; None if it has no annotation."""
    try:
        if isinstance(task, DataError):
            raise task
        annotation = tasks.chosen(task)
        if annotation is None:
            return None
        regions = regions_of(annotation.results, path, task.place)
        if task.old and any(region.turned for region in regions.values()):
            raise DataError(path, f"{task.place}: its image was turned while annotating "
                                  "(image_rotation), and with it the points in Label Studio 0.x")
    except DataError as error:
        return error
    return _Drawn(task, regions)


def _is_wanted(region: Region, controls: Collection[str]) -> bool:
    """Whether a region is a point of a face, as far as its control tells."""
    return region.kind == POINT and (not region.label or region.control in controls)


def _targets(drawn: Sequence[_Drawn], controls: Collection[str]) -> list[str]:
    """The names of the images on which there are points of faces."""
    return sorted({region.target for some in drawn for region in some.regions.values()
                   if _is_wanted(region, controls)})


def _grouped(
    content: Sequence[_Drawn | DataError | None], controls: Collection[str], options: Options,
    path: Path,
) -> list[tuple[_Drawn, Grouping] | DataError]:  # fmt: skip
    """What was drawn, with its faces."""
    named = options.match_names and any(
        region.label for some in content if isinstance(some, _Drawn)
        for region in some.regions.values() if _is_wanted(region, controls))
    most = None if named else schemas.get(options.schema).num_points
    trees: list[tuple[_Drawn, Tree] | DataError] = []
    for some in content:
        if isinstance(some, _Drawn):
            points = [id for id, region in some.regions.items() if _is_wanted(region, controls)]
            try:
                trees.append((some, Tree(some.regions, points, most, path, some.task.place)))
            except DataError as error:
                trees.append(error)
        elif some is not None:
            trees.append(some)
    usual: Counter[str] = Counter()
    for item in trees:
        usual += Counter() if isinstance(item, DataError) else item[1].lowest_labels()
    return [item if isinstance(item, DataError)
            else (item[0], item[1].grouping(usual, options.categories)) for item in trees]


def _views(
    drawn: tuple[_Drawn, Grouping] | DataError, fields: Fields, left_out: Counter[str], path: Path
) -> Iterator[View | DataError]:
    """The images of a task on which something was drawn; points on others are counted."""
    if isinstance(drawn, DataError):
        yield drawn
        return
    some, grouping = drawn
    on_images: dict[tuple[str, int], dict[str, Region]] = defaultdict(dict)
    for id, region in some.regions.items():
        on_images[region.target, region.item][id] = region
    for (target, item), regions in sorted(on_images.items()):
        points = [region for region in regions.values() if region.kind == POINT]
        address = ""
        if points and fields.is_read(target):
            try:
                address = fields.address(some.task, target, item)
            except DataError as error:
                yield error
                continue
        else:
            left_out.update(region.control for region in points)
            regions = {id: region for id, region in regions.items() if region.kind != POINT}
        yield View(some.task.place, address, regions, grouping)


def _controls(
    drawn: Sequence[_Drawn], control: str, options: Options, path: Path
) -> frozenset[str]:
    """The controls whose points are those of faces."""
    families: dict[str, dict[str, None]] = defaultdict(dict)
    for some in drawn:
        for region in some.regions.values():
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
    view: View | DataError, controls: frozenset[str], left_out: Counter[str], path: Path
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
        if id in view.grouping.others:
            shapes.append(Shape(np.empty((0, 2)), region.label))
            continue
        corners = region.corners if size is not None else region.corners / 100
        if region.kind == BOX:
            corners = np.stack([corners.min(axis=0), corners.max(axis=0)])
        shapes.append(Shape(
            corners, region.label, is_box=region.kind == BOX, group=view.grouping.groups[id],
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
