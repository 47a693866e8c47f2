"""On which image of a task of Label Studio something was drawn, and where its copy lies.

The images are not in the export. They are found in a folder by the end of their address, without
the 8 digits that Label Studio puts before the names of uploaded files (see `local_copies`).

A region names the `Image` of the labelling interface on which it is (`to_name`). The interface is
not in the export, so that the field of a task's data with that image is the one of the same name,
or the only one that names an image.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from efld_tf.annotations import parsing
from efld_tf.annotations.tools.label_studio_addresses import (
    addresses,
    images_of,
    names_image,
)
from efld_tf.annotations.tools.label_studio_groups import Grouping
from efld_tf.annotations.tools.label_studio_regions import POINT, Region
from efld_tf.annotations.tools.label_studio_tasks import Task
from efld_tf.annotations.tools.local_copies import LocalCopies
from efld_tf.errors import DataError


@dataclass
class View:
    """An image of a task with what was drawn on it.

    Attributes:
      place: the task, for messages.
      address: what the task calls the image; "" without points, which need no image.
      regions: the regions by their ids.
      grouping: the faces of the annotation.
      name: the image's path in the folder.
    """

    place: str
    address: str
    regions: Mapping[str, Region]
    grouping: Grouping
    name: str = ""

    @property
    def turned(self) -> bool:
        """Whether the image was turned while annotating."""
        return any(region.turned for region in self.regions.values())

    @property
    def has_points(self) -> bool:
        return any(region.kind == POINT for region in self.regions.values())


class Fields:
    """Tells which field of a task's data names an image."""

    def __init__(
        self, field: str, targets: Collection[str], controls: Collection[str], path: Path
    ):
        """Takes what is known of all tasks.

        Args:
          field: the reader's option.
          targets: the `Image`s on which there are points of faces.
          controls: the KeyPointLabels of these points; empty if the user has chosen them.
          path: the file, for messages.

        Raises:
          DataError: the field is given, and there are several `Image`s that may be it.
        """
        self._field, self._path = field, path
        self._targets, self._controls = targets, controls
        self._used: dict[str, None] = {}
        if field and len(targets) > 1 and field not in targets:
            raise DataError(path, f"field: points are on the images {_listed(targets)} of the "
                                  "labelling interface, and this is one: say with control= which "
                                  "KeyPointLabels are on it")

    def is_read(self, target: str) -> bool:
        """Whether what is on an `Image` is read."""
        return target == self._field if self._field in self._targets else target in self._targets

    def address(self, task: Task, target: str, item: int) -> str:
        """What a task calls an image.

        Args:
          target, item: the `Image`, and which one of its images.

        Raises:
          DataError: its data do not tell, or do not name one.
        """
        field = self._field or self._field_of(task, target)
        value = task.data.get(field)
        if task.minimal:
            self._check_minimal(task, value)
        if isinstance(value, list):
            value = value[item] if item < len(value) else None
        elif item:
            value = None
        if not isinstance(value, str) or not value:
            raise DataError(self._path, f"{task.place}: expected the name of image {item} as "
                                        f"{parsing.shorten(field)}")
        self._used[field] = None
        return value

    def addresses(self, tasks: Sequence[Task | DataError]) -> list[str]:
        """What all tasks call their images, in the fields that `address` has read."""
        values = (task.data.get(field) for task in tasks if isinstance(task, Task)
                  for field in self._used)
        lists = (value if isinstance(value, list) else [value] for value in values)
        return [*dict.fromkeys(value for given in lists for value in given
                               if isinstance(value, str) and value)]

    def _check_minimal(self, task: Task, value: Any) -> None:
        """Refuses what JSON-MIN does not tell: which points are on which image."""
        reason = f"{task.place}: JSON-MIN does not tell which points are on which of its images: " \
                 "export JSON"
        if isinstance(value, list) and len(value) > 1:
            raise DataError(self._path, reason)
        if sum(map(names_image, task.data.values())) > 1 and len(self._controls) > 1:
            raise DataError(self._path, f"{reason}; or say control=, if each image has "
                                        "KeyPointLabels of its own")

    def _field_of(self, task: Task, target: str) -> str:
        data = task.data
        if target in data:
            return target
        found = [*images_of(data)]
        if len(found) == 1 and len(self._targets) < 2:
            return found[0]
        which = "say with field= which field of its data names the image: " \
            f"{_listed(found or data) or 'it has none'}"
        if len(self._targets) > 1:
            which = f"points are on the images {_listed(self._targets)} of the labelling " \
                    f"interface: say with control= which KeyPointLabels are on one, and {which}"
        raise DataError(self._path, f"{task.place}: {which}")


def _listed(names: Collection[str]) -> str:
    return ", ".join(parsing.shorten(name, 30) for name in [*names][:8])


def find_copies(
    views: list[View | DataError], every: Sequence[str], copies: LocalCopies, path: Path
) -> None:
    """Finds the images; an error takes the place of a view without one.

    One copy cannot be that of two images, be they without points: those are errors, too.

    Args:
      every: what all tasks call their images.
    """
    of_copies: dict[str, dict[str, None]] = defaultdict(dict)
    for number, view in enumerate(views):
        if isinstance(view, DataError) or not view.has_points:
            continue
        try:
            view.name = copies.find(addresses(view.address), view.address, path)
        except DataError as error:
            views[number] = DataError(path, f"{view.place}: {error.reason}")
        else:
            of_copies[view.name][view.address] = None
    found = {address for texts in of_copies.values() for address in texts}
    for address in every:
        if address not in found:
            with contextlib.suppress(DataError):
                of_copies[copies.find(addresses(address), address, path)][address] = None
    for number, view in enumerate(views):
        if isinstance(view, View) and len(of_copies[view.name]) > 1:
            both = " and ".join(parsing.shorten(text, 80) for text in [*of_copies[view.name]][:2])
            views[number] = DataError(
                path, f"{view.place}: {parsing.shorten(view.name)} may be the copy of {both}: give "
                "with images= a folder with their names on the server")
