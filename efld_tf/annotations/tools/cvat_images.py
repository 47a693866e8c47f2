"""Finds the images that CVAT's XML speaks of: photos, exported frames, or the frames of a video."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from efld_tf.annotations import image_paths, listing, parsing
from efld_tf.annotations.image_paths import ImageFolders
from efld_tf.annotations.tools.cvat_tasks import Task, whole_number
from efld_tf.annotations.tools.shapes import Picture, Shape
from efld_tf.errors import DataError, EfldError


@dataclass
class Drawn:
    """An image or a frame with what was drawn on it.

    Attributes:
      task, subset, name: what the file says of the image; frames of tracks have no name.
      number: the frame.
      line: its line in the file.
      size: the image's width and height in pixels, if the file states them.
      shapes: what was drawn.
      origins: for a frame, how each shape came there: a value of the reader's option `frames`.
      error: what is wrong with it, if anything is.
    """

    task: str
    subset: str
    name: str
    number: str
    line: int
    size: tuple[int, int] | None = None
    shapes: list[Shape] = field(default_factory=list)
    origins: list[str] = field(default_factory=list)
    error: DataError | None = None


class Images:
    """The images of a file."""

    def __init__(
        self, path: Path, folders: ImageFolders, tasks: Mapping[str, Task], video: str | None,
        told: bool,
    ):  # fmt: skip
        """Takes where images may be.

        Args:
          path: the annotation file.
          video: the option of that name.
          told: whether the user says in which folder images are.

        Raises:
          EfldError: `video` is no file, or the annotations are of several videos.
        """
        self._path, self._tasks, self._told = path, tasks, told
        self._video: str | None = None
        self._videos: dict[str, str | DataError] = {}
        self._stems: dict[Path, dict[str, list[Path]]] = {}
        # For each folder of frames the last one, if it is behind that of all tasks.
        self._behind: dict[Path, int | None] = {}
        self.folders = folders
        if video is not None:
            file = Path(video).expanduser()
            if not file.is_file():
                raise EfldError(f"video: {video} is not a file")
            if len(tasks) > 1:
                raise EfldError(f"video: {path} has {len(tasks)} tasks, not that of one video")
            self._video = file.name
            self.folders = ImageFolders([file.parent, *folders], folders.prefix)

    def order(self) -> Callable[[str], int]:
        """A function from the numbers of tasks to their places in the file."""
        places = {task: place for place, task in enumerate(self._tasks)}
        return lambda task: places.get(task, -1)

    def picture(self, drawn: Drawn) -> Picture:
        """An image with its place on the disk.

        Raises:
          DataError: the file does not tell what image it is, or the video does not exist.
        """
        task = self._task(drawn)
        is_photo = PurePosixPath(drawn.name).suffix.lower() in listing.IMAGE_SUFFIXES
        if is_photo or (drawn.name and not task.is_video and not self._video):
            owner = " of ".join(filter(None, [drawn.subset, drawn.task and f"task {drawn.task}"]))
            return Picture(self._in_subset(drawn), drawn.shapes, self._path, drawn.line,
                           size=drawn.size, upright=True,
                           called=f"{drawn.name} in {owner}" if owner else "")
        number = whole_number(drawn.number, self._path, drawn.line)
        frame = task.frame(number, self._path, drawn.line)
        named = re.fullmatch(r"frame_(\d{6,9})", drawn.name, re.ASCII)
        if named and int(named[1]) not in (number, frame):
            raise DataError(
                self._path, f"id {number} is the frame {frame}, but its name "
                f"{parsing.shorten(drawn.name)}: correct one of them", drawn.line)
        identity = self._video or task.source or f"{self._path.stem}:{task.id}"
        exported = self._exported(drawn.name or f"frame_{number:06d}", drawn.subset)
        if exported is not None and self._video is None:
            if not self._told:
                self._check_alone(task, exported)
            return Picture(exported, drawn.shapes, self._path, drawn.line, upright=True,
                           size=drawn.size or task.frame_size(self._path), identity=identity)
        return Picture(self._video_of(task), drawn.shapes, self._path, drawn.line, frame=frame,
                       size=drawn.size or task.frame_size(self._path), identity=identity)

    def _task(self, drawn: Drawn) -> Task:
        if drawn.task in self._tasks:
            return self._tasks[drawn.task]
        if drawn.task or len(self._tasks) > 1:
            raise DataError(
                self._path, f"there is no task {parsing.shorten(drawn.task)}", drawn.line)
        return next(iter(self._tasks.values()))

    def _in_subset(self, drawn: Drawn) -> str:
        """The name of a photo; projects export those of a subset into a folder of that name."""
        if drawn.subset:
            name = f"{drawn.subset}/{drawn.name}"
            try:
                inside = image_paths.relative_name(name, self._path, drawn.line)
                image_paths.find_image(self.folders, inside, self._path, drawn.line)
            except DataError:
                return drawn.name
            return inside
        return drawn.name

    def _exported(self, stem: str, subset: str) -> str | None:
        """The name of the image of a frame, if it was exported.

        Raises:
          DataError: the images there seem to be numbered from 1.
        """
        places = [PurePosixPath()]
        if subset:
            try:
                places.insert(0, PurePosixPath(image_paths.relative_name(subset, self._path)))
            except DataError:
                return None
        for place in places:
            for folder in self.folders:
                if folder / place not in self._stems:
                    there = os.path.isdir(folder / place)  # False for names that are too long
                    self._stems[folder / place] = listing.images_by_stem(
                        folder / place) if there else {}
                for image in self._stems[folder / place].get(stem, ()):
                    self._check_numbers(folder / place)
                    return str(place / image.name)
        return None

    def _check_numbers(self, place: Path) -> None:
        """Refuses frames that another program numbered from 1: there is one behind the last."""
        if place not in self._behind:
            numbers = {int(match[1]) for stem in self._stems[place]
                       if (match := re.fullmatch(r"frame_(\d{6,9})", stem, re.ASCII))}
            last = [task.last for task in self._tasks.values()]
            ends = [end for end in last if end is not None]
            behind = 0 not in numbers and 1 in numbers and len(ends) == len(last) \
                and max(numbers) > max(ends)
            self._behind[place] = max(numbers) if behind else None
        if (number := self._behind[place]) is not None:
            raise DataError(
                self._path, f"the frames in {parsing.shorten(str(place), 200)} seem to be numbered "
                f"from 1: there is a frame_{number:06d} behind the last one of the task, and no "
                "frame_000000. Number them from 0 (ffmpeg: -start_number 0), or say video=FILE")

    def _check_alone(self, task: Task, exported: str) -> None:
        """Refuses frames beside their video, since they may be those of another one."""
        with contextlib.suppress(DataError):
            video = self._video_of(task)
            raise EfldError(f"{self._path}: there are frames such as {parsing.shorten(exported)} "
                            f"and the video {parsing.shorten(video)}: say video=FILE to read the "
                            "video, or images=FOLDER to read the frames in it")

    def _video_of(self, task: Task) -> str:
        """The name of a task's video; if there is none, it raises the same error each time."""
        if self._video is not None:
            return self._video
        if task.id not in self._videos:
            try:
                self._videos[task.id] = self._found(task)
            except DataError as error:
                self._videos[task.id] = error
        found = self._videos[task.id]
        if isinstance(found, DataError):
            raise found.with_traceback(None)
        return found

    def _found(self, task: Task) -> str:
        if not task.is_video:
            raise DataError(
                self._path, "tracks on photos, whose names are not in this export: export 'CVAT "
                "for images 1.1' instead, or say video=FILE if it was a video")
        if not task.source:
            raise DataError(
                self._path, "the export does not name its video, as those of jobs do not: say "
                "video=FILE, or export the task")
        name = image_paths.relative_name(task.source, self._path)
        try:
            image_paths.find_image(self.folders, name, self._path)
        except DataError as error:
            raise DataError(self._path, f"{error.reason}; say video=FILE if it is elsewhere, or "
                                        "images=FOLDER if there are its frames") from error
        return name
