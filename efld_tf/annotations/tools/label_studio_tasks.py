"""The tasks in an export of Label Studio, and which of their annotations is read."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from efld_tf.annotations import parsing
from efld_tf.annotations.format import Note
from efld_tf.annotations.tools.label_studio_addresses import images_of
from efld_tf.errors import DataError
from efld_tf.text import counted

NEWEST, OLDEST = "newest", "oldest"


@dataclass
class Annotation:
    """An annotation of a task.

    Attributes:
      results: what was drawn, see `label_studio_regions`.
      time: when it was changed last, as a text that sorts by time.
      is_truth: whether it is marked as the ground truth.
    """

    results: list[Any]
    time: str
    is_truth: bool = False


@dataclass
class Task:
    """A task.

    Attributes:
      place: its name in messages.
      data: its data, which say what image it is.
      annotations: those that were submitted.
      old: whether it is an export of Label Studio 0.x.
      minimal: whether it is a record of JSON-MIN.
    """

    place: str
    data: Mapping[str, Any]
    annotations: list[Annotation] = field(default_factory=list)
    old: bool = False
    minimal: bool = False


class Tasks:
    """The tasks of a file, with counts of what is left out of them."""

    def __init__(self, path: Path, several: str):
        """Takes the reader's option `several`."""
        self._path, self._several = path, several
        self._counts: Counter[str] = Counter()

    def read(self, content: Any) -> list[Task | DataError]:
        """The tasks of the content of a file.

        Raises:
          DataError: it is not a list of tasks, nor a task.
        """
        entries = [content] if isinstance(content, dict) else content
        if not isinstance(entries, list):
            raise DataError(self._path, "expected a list of tasks, as Label Studio exports them")
        tasks: list[Task | DataError] = []
        minimal: dict[str, Task] = {}
        for number, entry in enumerate(entries):
            try:
                task = self._task(entry, number)
            except DataError as error:
                tasks.append(error)
                continue
            # JSON-MIN has an object for each annotation. Tasks of several projects may have one id.
            if task.minimal and type(entry.get("id")) in (int, str):
                same = json.dumps([entry["id"], images_of(task.data)], sort_keys=True)
                if same in minimal:
                    minimal[same].annotations += task.annotations
                    continue
                minimal[same] = task
            tasks.append(task)
        return tasks

    def _task(self, entry: Any, number: int) -> Task:
        if not isinstance(entry, dict):
            raise DataError(self._path, f"task number {number}: expected an object")
        id = entry.get("id")
        place = (f"task {parsing.shorten(str(id), 40)}" if type(id) in (int, str)
                 else f"task number {number}")
        data = entry.get("data")
        if not isinstance(data, dict):
            return Task(place, entry, _minimal(entry), minimal=True)
        old = "annotations" not in entry and "completions" in entry
        given = entry.get("completions" if old else "annotations", [])
        if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
            raise DataError(self._path, f"{place}: expected a list of objects as 'annotations'")
        submitted = [one for one in given
                     if not one.get("was_cancelled") and not one.get("skipped")]
        self._counts["skipped annotation"] += len(given) - len(submitted)
        predictions = entry.get("predictions")
        if isinstance(predictions, list):
            self._counts["prediction"] += len(predictions)
        annotations = []
        for one in submitted:
            results = one.get("result", [])
            if not isinstance(results, list):
                raise DataError(self._path, f"{place}: expected a list as 'result'")
            annotations.append(Annotation(results, _time(one), one.get("ground_truth") is True))
        return Task(place, data, annotations, old)

    def chosen(self, task: Task) -> Annotation | None:
        """The annotation of a task that is read; None if it has none.

        Raises:
          DataError: it has several, and neither they nor the option tell which.
        """
        truths = [one for one in task.annotations if one.is_truth]
        if len(task.annotations) < 2 or len(truths) == 1:
            self._counts["unannotated task"] += not task.annotations
            return next(iter(truths or task.annotations), None)
        if not self._several:
            raise DataError(
                self._path, f"{task.place}: it has {len(task.annotations)} annotations: say "
                f"several={NEWEST} or several={OLDEST}, or mark one as the ground truth")
        # Those of the same time are in the order of the file.
        ordered = sorted(task.annotations, key=lambda one: one.time)
        self._counts["further annotation"] += len(ordered) - 1
        return ordered[-1 if self._several == NEWEST else 0]

    def notes(self) -> Iterator[Note]:
        """What was left out."""
        for noun, number in sorted(self._counts.items()):
            if number:
                yield Note(f"left out: {counted(number, noun)}")


def _minimal(record: Mapping[str, Any]) -> list[Annotation]:
    """The annotation in a record of JSON-MIN, with results as in JSON.

    Regions have no ids there. What has no label is of the first region with one at its place, since
    points may coincide.
    """
    values = [(control, value) for control, given in record.items() if isinstance(given, list)
              for value in given if isinstance(value, dict)]
    ids: dict[str, str] = {}
    results = []
    for labelled in (True, False):
        for number, (control, value) in enumerate(values):
            place = repr([value.get(key) for key in ("x", "y", "width", "height")])
            if any(str(key).endswith("labels") for key in value) == labelled:
                id = ids.setdefault(place, str(number))
                results.append((number, {
                    "id": str(number) if labelled else id, "from_name": control, "value": value,
                    "original_width": value.get("original_width"),
                    "original_height": value.get("original_height"),
                }))
    results.sort(key=lambda result: result[0])
    if not results and record.get("annotation_id") is None:
        return []
    return [Annotation([result for _, result in results], _time(record))]


def _time(entry: Mapping[str, Any]) -> str:
    time = entry.get("updated_at") or entry.get("created_at") or ""
    return str(time)
