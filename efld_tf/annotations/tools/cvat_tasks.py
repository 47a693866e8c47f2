"""What CVAT's XML says of its tasks: their videos, and how their frames are numbered.

A file has one task (`meta/task`), a job of one (`meta/job`) or a project of several
(`meta/project/tasks/task`). Frames have the numbers that they have in the video, counted from 0. In
projects, those of a task come after those of the tasks before it that are in the same subset.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from efld_tf.annotations import parsing
from efld_tf.errors import DataError

# Years of video, and more tasks than a project has.
MAX_FRAME = 1 << 30
MAX_TASKS = 1 << 16


@dataclass
class Task:
    """A task, a job, or nothing that the file tells.

    Attributes:
      id: its number.
      source: the name of its video; "" if it has photos, or is a job, which does not tell.
      mode: `interpolation` for videos, `annotation` for photos.
      subset: the subset of its project.
      start, size, step: its frames in the video.
      width, height: the size of the video's frames.
      offset: what is added to the numbers of its frames in a project; None outside of one.
    """

    id: str = ""
    source: str = ""
    mode: str = ""
    subset: str = ""
    start: int = 0
    size: int = 0
    step: int = 1
    width: int = 0
    height: int = 0
    offset: int | None = None

    @property
    def is_video(self) -> bool:
        """Whether its frames are those of a video."""
        return bool(self.source or self.width) or self.mode == "interpolation"

    @property
    def last(self) -> int | None:
        """The number of its last frame in the file; None if its size is not stated."""
        last = (self.offset or 0) + self.start + (self.size - 1) * self.step
        return last if self.size else None

    def frame_size(self, path: Path) -> tuple[int, int] | None:
        """Width and height of the video's frames in pixels; see `parsing.stated_size`."""
        return parsing.stated_size(self.width, self.height, path)

    def frame(self, number: int, path: Path, line: int) -> int:
        """The frame of the video with that number in the file.

        Raises:
          DataError: the task has no such frame.
        """
        if self.offset is None:
            return number
        index, rest = divmod(number - self.offset - self.start, self.step)
        if rest or not 0 <= index < self.size:
            raise DataError(path, f"there is no frame {number} in task {self.id}", line)
        return number - self.offset


class Tasks:
    """Collects the tasks of a file from the ends of the elements in `meta`."""

    def __init__(self, path: Path):
        self._path = path
        self._tasks: list[Task] = []
        self._common = Task()
        self._next = Task()
        self._in_project = False

    def end(self, place: Sequence[str], text: str, line: int) -> None:
        """Takes an element's text.

        Args:
          place: the tags of the elements it is in, from `meta` on, and its own.

        Raises:
          DataError: a number is none, or there are too many tasks.
        """
        match place[1:]:
            case ["task" | "job"] | ["project", "tasks", "task"]:
                self._tasks.append(self._next)
                self._next = Task()
                self._in_project = len(place) > 2
                if len(self._tasks) > MAX_TASKS:
                    raise DataError(self._path, f"expected at most {MAX_TASKS} tasks", line)
            case ["task" | "job", *field] | ["project", "tasks", "task", *field]:
                self._set(self._next, field, text, line)
            case field:
                self._set(self._common, field, text, line)

    def all(self) -> dict[str, Task]:
        """The tasks by their numbers; a single one if the file does not tell of any."""
        tasks = self._tasks or [self._common]
        if len(tasks) == 1:
            (task,) = tasks
            task.source = task.source or self._common.source
            task.width = task.width or self._common.width
            task.height = task.height or self._common.height
        if self._in_project:
            _number(tasks)
        return {task.id: task for task in tasks}

    def _set(self, task: Task, field: Sequence[str], text: str, line: int) -> None:
        match field:
            case ["id" | "source" | "mode" | "subset" as name]:
                setattr(task, name, text)
            case ["start_frame"]:
                task.start = self._whole(text, line)
            case ["size"]:
                task.size = self._whole(text, line)
            case ["original_size", "width" | "height" as name]:
                setattr(task, name, self._whole(text, line))
            case ["frame_filter"]:
                step = re.search(r"step\s*=\s*([1-9]\d{0,8})", text, re.ASCII)
                task.step = int(step[1]) if step else 1

    def _whole(self, text: str, line: int) -> int:
        return whole_number(text, self._path, line) if text else 0


def whole_number(text: str, path: Path, line: int) -> int:
    """A whole number from 0 to `MAX_FRAME`.

    Raises:
      DataError: the text is anything else.
    """
    if not re.fullmatch(r"\d{1,10}", text, re.ASCII) or int(text) > MAX_FRAME:
        raise DataError(path, f"expected a whole number, got {parsing.shorten(text)}", line)
    return int(text)


def _number(tasks: Sequence[Task]) -> None:
    """Sets the offsets of a project's tasks, which are sorted by subset."""
    offset, subset = 0, None
    for task in tasks:
        if task.subset != subset:
            offset, subset = 0, task.subset
        task.offset = offset
        offset += task.start + task.step * task.size
