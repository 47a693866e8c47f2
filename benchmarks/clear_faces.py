"""Which faces `efld-predict` finds, and whether the points lie on them: at any angle, in scenes,
of turned heads, and of newcomers in videos.

    EFLD_DATA=/path/to/data python benchmarks/clear_faces.py

- 40 photos of HELEN's test set, each turned in its plane by 24 angles.
- 200 scenes of 1280 x 960 with six people each: frontal faces of HELEN's test set, and rendered
  heads that are turned, of several sizes, some of them at the scene's border.
- Rendered heads of 0 to 90 degrees of yaw, and the photos of AFLW2000, whose yaw is known.
- Rendered heads that turn to profile and back in a video, in three seconds.
- Newcomers in videos of 1280 x 720 at 30 frames a second, while another person is followed.

Points are wrong if their mean error is more than 20% of the distance between the eyes; of turned
heads, more than 10% of the size of the face, the root of the area of the tight box of its points.
Nothing was chosen by these photos. Writes benchmarks/clear_faces/: results.json, table.md, and
turned.jpg and scenes.jpg, which show rendered people.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import efld_tf
from efld_tf.annotations import sources
from efld_tf.annotations.images import read_image, read_photo
from efld_tf.annotations.synthetic.render import render_face
from efld_tf.evaluation.scenes import SIZE, place, turned
from efld_tf.landmarks import drawing, pose, schemas
from efld_tf.landmarks.geometry import tight_box
from efld_tf.runtime.detector import SAME_FACE_IOU
from efld_tf.runtime.faces import Face, Faces
from efld_tf.runtime.landmarker import FaceLandmarker
from efld_tf.runtime.overlap import iou

OUTPUT = Path(__file__).parent / "clear_faces"
DATA = Path(os.environ["EFLD_DATA"])
SCHEMA = schemas.get("ibug51")
INNER = list(schemas.get("ibug68").subset_indices("ibug51"))
MODELS = ("research", "synthetic")
ANGLES = range(0, 360, 15)
TURNED_FACES, SCENES, PEOPLE = 40, 200, 6
SIZES = (32, 40, 48, 64, 96, 128, 192, 256)
FRONTAL = 15.0  # degrees of yaw and of pitch, at most
HEAD_YAWS, HEADS = tuple(range(0, 91, 15)), 40
YAW_BINS = ((0, 15), (15, 30), (30, 45), (45, 60), (60, 75), (75, 90))
TURNING_HEADS, TURN_FRAMES = 12, 90
NEWCOMERS, NEWCOMER_SIZES, WAITED = 60, (80, 100, 133, 200), 60
WRONG, WRONG_HEAD = 0.2, 0.1
Photo = tuple[np.ndarray, np.ndarray]


def test_faces() -> list[Photo]:
    """Photos of HELEN's test set with one face each, and its 68 points, in a fixed random order."""
    records = sources.read(f"ibug:{DATA}/ibug/helen/testset").records
    order = np.random.default_rng(0).permutation(len(records))
    return [(read_image(records[i]), records[i].points.astype(float)) for i in order]


def eyes_apart(points: np.ndarray) -> float:
    """The distance between the eyes of 51 points."""
    right, left = SCHEMA.anchor_points(points)[:2]
    return float(np.linalg.norm(left - right))


def at(faces: list[Face], points: np.ndarray) -> list[Face]:
    """The faces that lie where 51 points do."""
    middle = points.mean(axis=0)
    return [face for face in faces if (face.points.min(axis=0) < middle).all()
            and (face.points.max(axis=0) > middle).all()]


def share(values: Any) -> float:
    return round(100 * float(np.mean(values)), 1)


def at_angles(landmarker: FaceLandmarker, photos: list[Photo]) -> list[dict[str, Any]]:
    """What is found of faces that are turned in the picture's plane."""
    rows = []
    for degrees in ANGLES:
        errors, found = [], []
        for image, points in photos[:TURNED_FACES]:
            whole, truth = turned(image, points[INNER], degrees)
            faces = at(landmarker.find(whole), truth)
            found.append(bool(faces))
            errors += [float(np.linalg.norm(face.points - truth, axis=1).mean()) / eyes_apart(truth)
                       for face in faces]
        rows.append({"degrees": degrees, "found_percent": share(found),
                     "wrong": int(np.sum(np.array(errors) > WRONG)),
                     "median_error_percent_of_eyes": share(np.median(errors))})
    return rows


@dataclass(frozen=True, eq=False)
class Person:
    """A person in a scene: the 51 points, and what is known of the face."""

    points: np.ndarray
    box: np.ndarray
    kind: str
    size: int
    border: bool


def scene(index: int, photos: list[Photo]) -> tuple[np.ndarray, list[Person]]:
    """A scene with people who do not hide each other."""
    rng = np.random.default_rng([1, index])
    coarse = rng.integers(40, 216, (6, 8, 3)).astype(np.uint8)
    canvas = cv2.resize(coarse, SIZE, interpolation=cv2.INTER_CUBIC)
    people: list[Person] = []
    taken: list[np.ndarray] = []
    for number in range(PEOPLE):
        size = int(rng.choice(SIZES))
        yaw = float(rng.choice([0, 30, 60, 90])) * float(rng.choice([-1, 1]))
        if number % 2:
            image, points = photos[(index * PEOPLE + number) // 2 % len(photos)]
            kind = "frontal photo"
        else:
            head = render_face(41, index * PEOPLE + number, 256, yaw)
            image, points = head.image, head.points["ibug68"].astype(float)
            kind = f"rendered, yaw {abs(yaw):.0f}"
        border = number == 1
        spot = free_spot(rng, size, border, taken)
        if spot is None:
            continue
        truth = place(canvas, image, points, size, spot)
        taken.append(np.concatenate([spot - 1.1 * size, spot + 1.1 * size]))
        people.append(Person(truth[INNER], tight_box(truth), kind, size, border))
    return canvas, people


def free_spot(
    rng: np.random.Generator, size: int, border: bool, taken: list[np.ndarray]
) -> np.ndarray | None:
    """A place where a face is in the scene, and hides no other; None if none was found."""
    low = np.array([size, size]) * (0.55 if border else 1.1)
    high = np.array(SIZE) - low
    for _ in range(200):
        spot = rng.uniform(low, high)
        if border:
            axis = int(rng.integers(2))
            spot[axis] = (low if rng.random() < 0.5 else high)[axis]
        box = np.concatenate([spot - 1.1 * size, spot + 1.1 * size])
        if not (iou(box, np.array(taken).reshape(-1, 4)) > 0).any():
            return spot
    return None


def in_scenes(landmarker: FaceLandmarker, photos: list[Photo]) -> dict[str, Any]:
    """What is found of the people in scenes, by their size, pose and place."""
    frontal = [photo for photo in photos if is_frontal(photo[1])]
    rows: list[tuple[Person, bool, bool]] = []
    alarms = faces_found = 0
    for index in range(SCENES):
        image, people = scene(index, frontal)
        faces = landmarker.find(image)
        boxes = np.array([tight_box(face.points) for face in faces]).reshape(-1, 4)
        seen = np.zeros(len(faces), bool)
        for person in people:
            mine = iou(tight_box(person.points), boxes) > SAME_FACE_IOU
            errors = [np.linalg.norm(face.points - person.points, axis=1).mean()
                      for face, own in zip(faces, mine, strict=True) if own]
            size = np.sqrt(np.prod(person.box[2:] - person.box[:2]))
            rows.append((person, bool(mine.any()), bool(errors and min(errors) > 0.1 * size)))
            seen |= mine | (iou(person.box, np.array([f.box for f in faces]).reshape(-1, 4)) > 0.3)
        alarms, faces_found = alarms + int((~seen).sum()), faces_found + len(faces)

    def recall(found: list[tuple[Person, bool, bool]]) -> dict[str, Any]:
        return {"faces": len(found), "found_percent": share([row[1] for row in found]),
                "missed": sum(not row[1] for row in found), "wrong": sum(row[2] for row in found)}

    kinds = sorted({row[0].kind for row in rows})
    frontal_faces = [row for row in rows if row[0].kind in ("frontal photo", "rendered, yaw 0")
                     and row[0].size >= 48]
    return {
        "by_kind_and_size": {kind: {
            str(size): recall([row for row in rows if (row[0].kind, row[0].size) == (kind, size)])
            for size in SIZES} for kind in kinds},
        "frontal_from_48_px": {
            where: recall([row for row in frontal_faces if row[0].border == border])
            for where, border in (("inside", False), ("at the border", True))},
        "faces_found": faces_found, "false_alarms": alarms,
    }


def is_frontal(points: np.ndarray) -> bool:
    """Whether the head is turned little, by its 68 points."""
    estimated = pose.estimate(points[None], schemas.get("ibug68"))
    assert estimated is not None
    return bool((abs(estimated[0, :2]) <= FRONTAL).all())


def of_heads(heads: Iterator[tuple[float, list[float]]],
             bins: list[tuple[float, float]]) -> list[dict[str, Any]]:
    """Of heads with their yaw and the errors of sure faces, the shares that are sure and wrong."""
    found = list(heads)
    rows = []
    for least, most in bins:
        own = [errors for yaw, errors in found if least <= abs(yaw) <= most]
        sure = [min(errors) for errors in own if errors]
        rows.append({"yaw": [least, most], "heads": len(own),
                     "sure_percent": share([bool(errors) for errors in own]),
                     "wrong_of_all_percent": round(
                         100 * sum(error > WRONG_HEAD for error in sure) / max(len(own), 1), 1)})
    return rows


def rendered_heads(landmarker: FaceLandmarker) -> Iterator[tuple[float, list[float]]]:
    """Yaw, and the errors of the faces that are found, in the face's size."""
    for yaw in HEAD_YAWS:
        for index in range(HEADS):
            head = render_face(43, index, 256, float(yaw if index % 2 else -yaw))
            truth = head.points["ibug51"]
            size = np.sqrt(np.prod(np.ptp(truth, axis=0)))
            yield yaw, [float(np.linalg.norm(face.points - truth, axis=1).mean() / size)
                        for face in at(landmarker.find(head.image), truth)]


def photographed_heads(landmarker: FaceLandmarker) -> Iterator[tuple[float, list[float]]]:
    """As `rendered_heads`; of AFLW2000 scale and place are unknown, and fitted."""
    folder = DATA / "aflw2000_shapes"
    for line in (folder / "shapes.jsonl").read_text().splitlines():
        head = json.loads(line)
        x0, y0, x1, y1 = head["rough_box_xyxy"]
        shape = np.array(head["shape68"])[INNER]
        shape -= shape.mean(axis=0)
        middle = np.array([[(x0 + x1) / 2, (y0 + y1) / 2]])
        errors = []
        for face in at(landmarker.find(read_photo(folder / head["image"], upright=True)), middle):
            points = face.points - face.points.mean(axis=0)
            fitted = shape * (points * shape).sum() / (shape**2).sum()
            errors.append(float(np.linalg.norm(points - fitted, axis=1).mean()
                                / np.sqrt(np.prod(np.ptp(fitted, axis=0)))))
        yield head["yaw_degrees"], errors


def turning_heads(landmarker: FaceLandmarker) -> Iterator[tuple[float, list[float]]]:
    """As `rendered_heads`, of heads that are followed while they turn."""
    for index in range(TURNING_HEADS):
        tracker = landmarker.track()
        for number in range(TURN_FRAMES):
            yaw = 90 * float(np.sin(np.pi * number / TURN_FRAMES))
            head = render_face(53, index, 320, yaw if index % 2 else -yaw)
            frame = np.full((720, 1280, 3), 120, np.uint8)
            frame[200:520, 480:800] = head.image
            truth = head.points["ibug51"] + np.array([480, 200])
            size = np.sqrt(np.prod(np.ptp(truth, axis=0)))
            yield yaw, [float(np.linalg.norm(face.points - truth, axis=1).mean() / size)
                        for face in at(tracker(frame, number / 30), truth)]


def newcomers(landmarker: FaceLandmarker, photos: list[Photo], size: int) -> dict[str, Any]:
    """How many frames pass until a newcomer is shown, the first one counted."""
    host = render_face(101, 0, 320)
    coarse = np.random.default_rng(0).integers(60, 180, (6, 10, 3)).astype(np.uint8)
    backdrop = cv2.resize(coarse, (1280, 720), interpolation=cv2.INTER_CUBIC)
    waits = []
    for index in range(NEWCOMERS):
        rng = np.random.default_rng([2, index])
        tracker, (image, points) = landmarker.track(), photos[-1 - index]
        spot, first = rng.uniform([500, 130], [1150, 590]), int(rng.integers(5, 20))
        for number in range(first + WAITED):
            frame = backdrop.copy()
            sway = np.array([0, 20 * np.sin(number / 10)])
            place(frame, host.image, host.points["ibug68"].astype(float), 250,
                  np.array([220, 360]) + sway)
            truth = None
            if number >= first:
                truth = place(frame, image, points, size, spot + 0.1 * sway)
            noise = rng.integers(-4, 5, frame.shape, np.int16)
            faces = tracker(np.clip(frame + noise, 0, 255).astype(np.uint8), number / 30)
            if truth is not None and at(faces, truth[INNER]):
                waits.append(number - first + 1)
                break
        else:
            waits.append(WAITED + 1)
    return {"size": size, "newcomers": NEWCOMERS, "median_frames": float(np.median(waits)),
            "within_10_percent": share(np.array(waits) <= 10),
            "never_in_60": sum(wait > WAITED for wait in waits)}


def pictures(landmarker: FaceLandmarker) -> None:
    """Rendered people: turned ones, and two scenes."""
    people = [render_face(47, index, 320) for index in range(8)]
    sheet = np.full((2 * 340, 4 * 340, 3), 200, np.uint8)
    for index, (person, degrees) in enumerate(zip(people, range(20, 360, 45), strict=True)):
        whole, _ = turned(person.image, person.points["ibug68"], degrees)
        top, left = 340 * (index // 4), 340 * (index % 4)
        sheet[top : top + 340, left : left + 340] = cv2.resize(
            whole, (340, 340), interpolation=cv2.INTER_AREA)
    (OUTPUT / "turned.jpg").write_bytes(
        drawing.encoded(Faces(landmarker.find(sheet), sheet).draw(), ".jpg"))
    rendered = [(person.image, person.points["ibug68"].astype(float)) for person in people]
    image, _ = scene(0, rendered)
    (OUTPUT / "scenes.jpg").write_bytes(
        drawing.encoded(Faces(landmarker.find(image), image).draw(), ".jpg"))


def table(found: dict[str, Any]) -> str:
    """The results as Markdown."""
    lines = [f"{TURNED_FACES} faces of HELEN's test set at {len(ANGLES)} angles; wrong: an error "
             "of more than 20% of the distance between the eyes.", "",
             "| model | found at the worst angle | found at all | wrong |", "|---|---|---|---|"]
    for name in MODELS:
        rows = found["turned"][name]
        lines.append(f"| {name} | {min(row['found_percent'] for row in rows):.1f}% "
                     f"| {np.mean([row['found_percent'] for row in rows]):.1f}% "
                     f"| {sum(row['wrong'] for row in rows)} of {TURNED_FACES * len(rows)} |")
    scenes = found["scenes"]
    lines += ["", f"{SCENES} scenes of {SIZE[0]} x {SIZE[1]}, `research`: found of the faces with "
              "that longest side of the tight box of 68 points, in pixels. "
              f"{scenes['false_alarms']} of {scenes['faces_found']} found faces are none.", "",
              "| | " + " | ".join(map(str, SIZES)) + " | wrong |", "|---" * (len(SIZES) + 2) + "|"]
    for kind, sizes in scenes["by_kind_and_size"].items():
        lines.append(f"| {kind} | " + " | ".join(
            f"{sizes[str(size)]['found_percent']:.0f}%" for size in SIZES)
            + f" | {sum(row['wrong'] for row in sizes.values())} |")
    for where, row in scenes["frontal_from_48_px"].items():
        lines.append("")
        lines.append(f"Frontal faces from 48 px on {where}: {row['missed']} of {row['faces']} "
                     "missed.")
    lines += ["", "Heads by their yaw: those that are reported (a confidence of 0.5 and more), and "
              "those that are reported with wrong points, by more than 10% of the face's size.", "",
              "| | " + " | ".join(f"{a:g} to {b:g}" if a != b else f"{a:g}" for a, b in (
                  tuple(row["yaw"]) for row in found["heads"]["photographed"])) + " |",
              "|---" * (len(YAW_BINS) + 1) + "|"]
    rows = found["heads"]["photographed"]
    lines.append("| AFLW2000, reported | " + " | ".join(
        f"{row['sure_percent']:.0f}%" for row in rows) + " |")
    lines.append("| and wrong | " + " | ".join(
        f"{row['wrong_of_all_percent']:.1f}%" for row in rows) + " |")
    rows = found["heads"]["rendered"]
    lines += ["", "| | " + " | ".join(f"{row['yaw'][0]:g}" for row in rows) + " |",
              "|---" * (len(rows) + 1) + "|",
              "| rendered, reported | " + " | ".join(
                  f"{row['sure_percent']:.0f}%" for row in rows) + " |",
              "| and wrong | " + " | ".join(
                  f"{row['wrong_of_all_percent']:.1f}%" for row in rows) + " |"]
    rows = found["heads"]["followed"]
    lines += ["", "| | " + " | ".join(f"{a:g} to {b:g}" for a, b in YAW_BINS) + " |",
              "|---" * (len(YAW_BINS) + 1) + "|",
              "| in a video, reported | " + " | ".join(
                  f"{row['sure_percent']:.0f}%" for row in rows) + " |",
              "| and wrong | " + " | ".join(
                  f"{row['wrong_of_all_percent']:.1f}%" for row in rows) + " |"]
    lines += ["", f"{NEWCOMERS} newcomers in videos of 1280 x 720, 30 frames a second.", "",
              "| face, px | median wait, frames | within 10 frames | not in 60 |",
              "|---|---|---|---|"]
    lines += [f"| {row['size']} | {row['median_frames']:g} | {row['within_10_percent']:.0f}% "
              f"| {row['never_in_60']} |" for row in found["newcomers"]]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures everything and writes the table and the pictures."""
    OUTPUT.mkdir(exist_ok=True)
    photos = test_faces()
    landmarkers = {name: efld_tf.load(name) for name in MODELS}
    landmarker = landmarkers["research"]
    found = {
        "turned": {name: at_angles(landmarkers[name], photos) for name in MODELS},
        "scenes": in_scenes(landmarker, photos),
        "heads": {
            "rendered": of_heads(rendered_heads(landmarker),
                                 [(yaw, yaw) for yaw in HEAD_YAWS]),
            "photographed": of_heads(photographed_heads(landmarker), [*YAW_BINS]),
            "followed": of_heads(turning_heads(landmarker), [*YAW_BINS])},
        "newcomers": [newcomers(landmarker, photos, size) for size in NEWCOMER_SIZES],
    }
    (OUTPUT / "results.json").write_text(json.dumps(found, indent=2) + "\n")
    (OUTPUT / "table.md").write_text(table(found))
    pictures(landmarker)
    print((OUTPUT / "table.md").read_text())


if __name__ == "__main__":
    main()
