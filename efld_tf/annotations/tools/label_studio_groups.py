"""Which of Label Studio's regions are of one face.

Regions lie below others in the list of regions (`parentID`): points below a face, and those of an
eye below the eye that is below the face; faces below a person or a crowd. All points below the
topmost region are of one face, unless it has points of the same name below several others: then
these are faces. Of several regions that have just the points of a face below them, such as a
person's and the face's, it is the lowest, or one labelled as most faces are.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from efld_tf.annotations.tools.label_studio_regions import BOX, POINT, Region
from efld_tf.errors import DataError

# How deep regions may lie below others.
MAX_DEPTH = 32


@dataclass(frozen=True)
class Grouping:
    """The faces of an annotation.

    Attributes:
      groups: for each region the id of the one that stands for its face; None if it is alone.
      others: the boxes that are of no face, since there are those of faces above or below them.
    """

    groups: Mapping[str, str | None]
    others: Collection[str]


class Tree:
    """The regions of an annotation by what they lie below."""

    def __init__(
        self, regions: Mapping[str, Region], points: Collection[str], most: int | None,
        path: Path, place: str,
    ):  # fmt: skip
        """Takes the regions of an annotation.

        Args:
          points: the ids of the faces' points.
          most: how many points a face has at most, if labels do not name them; else None.
          path, place: the file and the task, for messages.

        Raises:
          DataError: regions lie too deep below others.
        """
        self._regions, self._most = regions, most
        self._above = {id: self._lineage(id, path, place) for id in regions}
        self._below: dict[str, list[str]] = defaultdict(list)
        for id in points:
            for other in self._above[id]:
                self._below[other].append(id)
        self._several: dict[str, bool] = {}
        # For each point, the regions that stand for its face, from the lowest on.
        self._faces = {id: self._candidates(id) for id in points}

    def lowest_labels(self) -> Counter[str]:
        """The labels of the regions that stand for faces, the lowest of each."""
        return Counter(self._label(id) for id in {faces[0] for faces in self._faces.values()})

    def grouping(self, usual: Mapping[str, int], categories: Collection[str]) -> Grouping:
        """The faces.

        Args:
          usual: how often a label is that of a face.
          categories: the labels of faces; a point below a region of such a label is of that face.
        """
        groups: dict[str, str | None] = dict.fromkeys(self._regions)
        for id, faces in self._faces.items():
            face = next((other for other in self._above[id] if self._label(other) in categories),
                        max(faces, key=lambda other: usual[self._label(other)]))
            groups[id] = None if face == id and len(self._below[id]) == 1 else face
        chosen = {*groups.values()}
        boxes = [id for id, region in self._regions.items() if region.kind == BOX]
        groups |= {id: id for id in boxes if id in chosen}
        return Grouping(groups, {id for id in boxes if self._below.get(id) and id not in chosen})

    def _lineage(self, id: str, path: Path, place: str) -> list[str]:
        """A region and those above it; itself alone if they go round in a circle."""
        found = [id]
        while above := self._regions.get(found[-1], Region()).parent:
            if above in found:
                return [id]
            found.append(above)
            if len(found) > MAX_DEPTH:
                raise DataError(path, f"{place}: regions lie more than {MAX_DEPTH} deep below "
                                      "others")
        return found

    def _candidates(self, point: str) -> list[str]:
        """The regions that have just the points of a point's face below them."""
        above = self._above[point]
        top = next(id for id in reversed(above) if not self._is_several(id))
        same = [id for id in above[: above.index(top) + 1]
                if len(self._below[id]) == len(self._below[top])]
        return [id for id in same if not self._is_point(id)] or same

    def _is_several(self, id: str) -> bool:
        """Whether what is below a region are several faces: each has a name that another has."""
        if id not in self._several:
            self._several[id] = self._has_copies(self._below[id]) and self._are_faces(id)
        return self._several[id]

    def _has_copies(self, points: Sequence[str]) -> bool:
        if self._most is not None:
            return len(points) > self._most
        names = [self._regions[id].label for id in points]
        return len({*names}) < len(names)

    def _are_faces(self, id: str) -> bool:
        parts: dict[str, set[str]] = defaultdict(set)
        for point in self._below[id]:
            place = self._above[point].index(id)
            part = self._above[point][place - 1]
            if place == 0 or (part == point and len(self._below[point]) == 1):
                return False  # a point of its own
            parts[part].add(self._regions[point].label)
        copies = Counter(name for names in parts.values() for name in names)
        return self._most is not None or all(
            any(copies[name] > 1 for name in names) for names in parts.values())

    def _label(self, id: str) -> str:
        """What a region is; "" for a point, whose label is a name."""
        return "" if self._is_point(id) else self._regions.get(id, Region()).label

    def _is_point(self, id: str) -> bool:
        return self._regions.get(id, Region()).kind == POINT
