"""What recognition sees of heads that turn, by each way of aligning them.

    EFLD_DATA=/path/to/data python benchmarks/alignment.py [--landmarks NAME=MODEL ...]
        [--recognition recognition.tflite --pairs lfw:FOLDER cfp:FOLDER]

Renders 20 people, each in the same light at 13 yaws from profile to profile and at 5 pitches, and
aligns each picture by five points, by all inner points and by the head in space: by the true
points, with and without their depths, and by those of models. Of a person's aligned pictures it
tells in bins of the yaw how large the head is, how it is tilted and where the middle of its face
is, from those of the frontal one, by the true pose; and how much the pictures differ from it.

With a recognition model and pairs of LFW or CFP-FP, also how often the model tells one person from
two, of each way and of the photos as they are; the landmarks are those of the first model. Writes
benchmarks/alignment/: results.json, table.md and aligned.jpg, one rendered person.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

import efld_tf
from efld_tf import files
from efld_tf.annotations.images import read_photo
from efld_tf.annotations.synthetic.landmarks import in_space
from efld_tf.annotations.synthetic.parameters import sample_parameters
from efld_tf.annotations.synthetic.render import SyntheticFace, compose
from efld_tf.errors import EfldError
from efld_tf.evaluation import pairs, verification
from efld_tf.landmarks import align, drawing, geometry, mean_head, schemas
from efld_tf.landmarks.geometry import tight_box
from efld_tf.progress import Progress
from efld_tf.runtime.landmarker import FaceLandmarker

OUTPUT = Path(__file__).parent / "alignment"
HEAD = schemas.get(mean_head.HEAD)
PEOPLE, SEED, SIZE = 20, 700, 256
YAWS, PITCHES = range(-90, 91, 15), (-24, -12, 0, 12, 24)
BINS = {"0 to 30": (0, 31), "45 and 60": (31, 61), "75 and 90": (61, 91)}
LOOKS = 3
TRUE, DEEP = "true points", "true points and depths"
READERS = {"lfw": pairs.lfw, "cfp": pairs.cfp}


@dataclass(frozen=True, eq=False)
class View:
    """A picture of a person.

    Attributes:
      yaw, pitch: how the head is turned, in degrees.
      face: the picture, with the true points.
    """

    yaw: int
    pitch: int
    face: SyntheticFace

    @property
    def middle_and_way_up(self) -> np.ndarray:
        """The middle of the face's five points, and 50 mm below and above it: [3, 2] in pixels.

        They are places of the head itself, seen by the camera that drew it. Its way up is that of
        the mean head in it.
        """
        places = in_space(self.face.head, lambda places: places).astype(float)
        middle = np.mean([*align.five_points(places, HEAD).values()], axis=0)
        up = mean_head.fit(places[:, :2], HEAD, places[:, 2]).rotation[:, 1] * [1, -1, 1]
        along = middle + np.array([0, -50, 50])[:, None] * up
        points: np.ndarray = self.face.camera.project(along.astype(np.float32))[:, :2]
        return points


def people() -> Iterator[list[View]]:
    """The views of each person, the frontal one first; the scene is always the same."""
    for person in range(PEOPLE):
        drawn = sample_parameters(np.random.default_rng([SEED, person]))
        still = replace(drawn.pose, yaw=0.0, pitch=0.0, roll=0.0, camera_distance=1500.0)
        turns = [(0, 0), *((yaw, 0) for yaw in YAWS if yaw),
                 *((0, pitch) for pitch in PITCHES if pitch)]
        yield [View(yaw, pitch, compose(
            replace(drawn, pose=replace(still, yaw=float(yaw), pitch=float(pitch))),
            np.random.default_rng([SEED, person, 1]), SIZE, apart=True)) for yaw, pitch in turns]


# The points [N, 2] of a picture, with their schema and depths [N], or None.
Found = tuple[np.ndarray, str, np.ndarray | None]


def ways_of(models: dict[str, FaceLandmarker]) -> dict[str, Callable[[View], Found]]:
    """What finds points: the truth, and the models."""

    def by(landmarker: FaceLandmarker) -> Callable[[View], Found]:
        def find(view: View) -> Found:
            crops = [landmarker.crop_rule.crop(tight_box(view.face.points[HEAD.name]))]
            for _ in range(LOOKS):
                looks = landmarker.look(view.face.image, crops)
                crops = looks.around
            return looks.points[0], landmarker.schema, looks.depths[0]
        return find

    return {
        TRUE: lambda view: (view.face.points[HEAD.name], HEAD.name, None),
        DEEP: lambda view: (view.face.points[HEAD.name], HEAD.name, view.face.depth),
        **{name: by(landmarker) for name, landmarker in models.items()},
    }


def seen(view: View, matrix: np.ndarray) -> np.ndarray:
    """The head in the aligned picture: pixels a millimetre, tilt in degrees, and place [2]."""
    middle, low, high = geometry.apply_affine(matrix, view.middle_and_way_up)
    size = view.face.camera.scale * np.sqrt(np.linalg.det(matrix[:, :2]))
    way = high - low
    return np.array([size, np.degrees(np.arctan2(way[0], -way[1])), *middle])


def compared(views: list[View], found: list[Found], by: str) -> Iterator[tuple[int, np.ndarray]]:
    """Of each turned view its yaw, and how it differs from the frontal one.

    That is in percent of the size, in degrees, in percent of the picture's side, and in levels.
    """
    alignment = align.Alignment(by)
    # Of each view its head and its picture; None where the points are of no head.
    looks: list[tuple[np.ndarray, np.ndarray] | None] = []
    for view, (points, schema, depth) in zip(views, found, strict=True):
        try:
            matrix = align.matrix(points, schemas.get(schema), alignment, depth)
        except EfldError:
            looks.append(None)
            continue
        looks.append((seen(view, matrix), cv2.GaussianBlur(geometry.extract_aligned(
            view.face.image, matrix, alignment.size), (0, 0), 2).astype(float)))
    if looks[0] is None:
        return
    front, first = looks[0]
    for view, look in zip(views[1:], looks[1:], strict=True):
        if look is None:
            continue
        head, picture = look
        size = 100 * abs(head[0] / front[0] - 1)
        place = 100 * np.linalg.norm(head[2:] - front[2:]) / alignment.size
        yield view.yaw, np.array([size, abs(head[1] - front[1]), place,
                                  np.abs(picture - first).mean()])


COLUMNS = ("size_percent", "tilt_degrees", "place_percent", "pixels_levels")


def measured(models: dict[str, FaceLandmarker]) -> dict[str, dict]:
    """The means of what `compared` gives, by what found the points, way and bin."""
    rows: dict[tuple[str, str, str], list[np.ndarray]] = defaultdict(list)
    finders, picture = ways_of(models), None
    with Progress("rendering people", PEOPLE, "person") as bar:
        for views in bar.over(people()):
            for name, find in finders.items():
                found = [find(view) for view in views]
                for by in align.WAYS:
                    if name == DEEP and by != "head":
                        continue
                    for yaw, values in compared(views, found, by):
                        bin_name = next(bin_name for bin_name, (low, high) in BINS.items()
                                        if low <= abs(yaw) < high)
                        rows[name, by, bin_name].append(values)
            picture = picture or show(views)
    result: dict[str, dict] = {}
    for (name, by, bin_name), differences in rows.items():
        means = np.mean(differences, axis=0).round(3).tolist()
        result.setdefault(name, {}).setdefault(by, {})[bin_name] = dict(
            zip(COLUMNS, means, strict=True))
    return result


def show(views: list[View]) -> bool:
    """Writes a person's aligned pictures: a row for each way, from profile to profile."""
    turned = sorted((view for view in views if view.pitch == 0), key=lambda view: view.yaw)[::2]
    tiles = [align.align(view.face.image, view.face.points[HEAD.name], HEAD, align.Alignment(by),
                         view.face.depth) for by in align.WAYS for view in turned]
    sheet = drawing.contact_sheet(tiles, len(turned), align.SIZE)
    files.write_bytes(OUTPUT / "aligned.jpg", drawing.encoded(sheet, ".jpg", 90))
    return True


def verified(model: Path, listed: list[str], landmarker: FaceLandmarker) -> dict[str, dict]:
    """The accuracy of a recognition model on pairs, by way of aligning, and as photos are.

    Photos in which no face is found are taken as they are, and counted.
    """
    recogniser = verification.Recogniser(model)

    def picture(by: str | None, lost: set[Path]) -> Callable[[Path], np.ndarray]:
        def of(path: Path) -> np.ndarray:
            image = read_photo(path, upright=True)
            faces = landmarker(image) if by else []
            middle = np.array(image.shape[1::-1]) / 2
            if by and not faces:
                lost.add(path)
            if by is None or not faces:
                return cv2.resize(image, (recogniser.size,) * 2, interpolation=cv2.INTER_AREA)
            face = min(faces, key=lambda face: np.linalg.norm(face.points.mean(axis=0) - middle))
            return align.align(image, face.points, schemas.get(face.schema),
                               align.Alignment(by, recogniser.size), face.depth)
        return of

    result: dict[str, dict] = {}
    for source in listed:
        reader, _, folder = source.partition(":")
        if reader not in READERS or not folder:
            raise EfldError(f"--pairs {source}: expected lfw:FOLDER or cfp:FOLDER")
        found = READERS[reader](folder)
        for by in (None, *align.WAYS):
            lost = set[Path]()
            right = verification.accuracy(
                found, verification.likeness(found, recogniser, picture(by, lost)))
            result.setdefault(reader, {})[by or "none"] = {
                "accuracy_percent": round(100 * right.mean, 3),
                "standard_error_percent": round(100 * right.standard_error, 3),
                "pairs": right.pairs, "photos_without_face": len(lost)}
    return result


def table(results: dict[str, dict]) -> str:
    """The results as Markdown."""
    titles = {"size_percent": "size, %", "tilt_degrees": "tilt, degrees",
              "place_percent": "place, % of the side", "pixels_levels": "pixels, levels of 255"}
    lines = [f"{PEOPLE} rendered people, aligned: the mean difference from their frontal picture."]
    for bin_name in BINS:
        lines += ["", f"Yaw {bin_name} degrees.", "",
                  "| points | by | " + " | ".join(titles.values()) + " |",
                  "|---|---|" + "---|" * len(titles)]
        for name, ways in results["rendered"].items():
            for by, bins in ways.items():
                values = bins.get(bin_name)
                if values is not None:
                    lines.append(f"| {name} | {by} | " + " | ".join(
                        f"{values[column]:.2f}" for column in titles) + " |")
    for reader, ways in results.get("verification", {}).items():
        lines += ["", f"{reader.upper()}: accuracy of verification.", "",
                  "| aligned by | accuracy, % | photos without a found face |", "|---|---|---|"]
        lines += [f"| {by} | {about['accuracy_percent']:.2f} ± "
                  f"{about['standard_error_percent']:.2f} | {about['photos_without_face']} |"
                  for by, about in ways.items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--landmarks", nargs="*", default=["research"], metavar="NAME=MODEL")
    parser.add_argument("--recognition", type=Path)
    parser.add_argument("--pairs", nargs="*", default=[])
    arguments = parser.parse_args()
    OUTPUT.mkdir(exist_ok=True)
    named = {(name or model): model for name, _, model in
             (some.rpartition("=") for some in arguments.landmarks)}
    results = {"rendered": measured({
        name: efld_tf.load(model, detector=None) for name, model in named.items()})}
    if arguments.recognition:
        first = efld_tf.load(next(iter(named.values())))
        results["verification"] = verified(arguments.recognition, arguments.pairs, first)
    files.write_json(OUTPUT / "results.json", results)
    (OUTPUT / "table.md").write_text(table(results))


if __name__ == "__main__":
    main()
