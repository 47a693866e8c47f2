"""What people notice of a model's points beside their mean error: blinks, turned heads, jitter.

`noticed` measures it on faces that are held out of training, and on every other photo of those of
AFLW2000-3D of which the shape alone is known; the rest of these, and test sets, are not touched.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from turned_heads import BINS, Head, error, shapes

import efld_tf
from efld_tf.annotations import sources
from efld_tf.annotations.images import read_photo
from efld_tf.annotations.synthetic import render_face
from efld_tf.data.splits import in_validation
from efld_tf.landmarks import openings, pose, schemas
from efld_tf.landmarks.geometry import tight_box
from efld_tf.runtime.landmarker import FaceLandmarker

INNER, ALL = schemas.get("ibug51"), schemas.get("ibug68")
OF_ALL = list(ALL.subset_indices(INNER.name))
# Annotated sources, and which share of their photos or people is held out.
HELD_OUT = {
    "helen": ("ibug:${EFLD_DATA}/ibug/helen/trainset", 0.1),
    "lfpw": ("ibug:${EFLD_DATA}/lfpw/trainset", 0.25),
    "youtube_faces": ("youtube_faces:${EFLD_DATA}/youtube_faces?identities=train", 0.1),
}
OF_300W = ("helen", "lfpw")
PARTS = {"brows": slice(0, 10), "nose": slice(10, 19), "eyes": slice(19, 31),
         "mouth": slice(31, 51)}
TURNED = 25  # degrees
# Eyes are closed below the first opening (height / width), and seen so below the second.
CLOSED, SEEN_CLOSED, OPEN = 0.15, 0.2, 0.25
SMALL = 30  # pixels of a small face's box
BLUR = 0.04  # deviation, of the box's side
RENDERED, SEED = 200, 900
RARE = {"closed_eyes": 0.5, "hand": 0.15, "mask": 0.15, "sunglasses": 0.1, "hard_light": 0.2}


@dataclass(frozen=True, eq=False)
class Seen:
    """A face and where a model sees its inner points, in pixels of the photo.

    Attributes:
      true: [51, 2].
      first: [51, 2] at the first look, in the crop around the true box.
      last: [51, 2] at the third, as detected faces get it.
      jitter: how far points move when the crop moves by a pixel of the model's input.
    """

    true: np.ndarray
    first: np.ndarray
    last: np.ndarray
    jitter: float


def look(
    landmarker: FaceLandmarker, image: np.ndarray, box: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """Inner points at the first look and at the third, and the jitter, as in `Seen`."""
    crop = landmarker.crop_rule.crop(box)
    pixel = crop.side / landmarker.predictor.input_size
    moved = [replace(crop, center_x=crop.center_x + x * pixel, center_y=crop.center_y + y * pixel)
             for x, y in ((0, 0), (1, 0), (0, 1))]
    first = landmarker.look(image, moved)
    second = landmarker.look(image, [first.around[0]])
    last = landmarker.look(image, [second.around[0]])
    inner = list(schemas.get(landmarker.schema).subset_indices(INNER.name))
    one, right, down, three = (
        points.astype(np.float64)[inner] for points in (*first.points, last.points[0]))
    jitter = np.mean([np.linalg.norm(other - one, axis=1) for other in (right, down)])
    return one, three, float(jitter)


def held_out(landmarker: FaceLandmarker, name: str) -> Iterator[tuple[np.ndarray, Seen]]:
    """The held-out faces of a source, with their photos."""
    source, share = HELD_OUT[name]
    for record in sources.read(source, progress=False).records:
        if in_validation(record, share):
            image, points = read_photo(record.image), record.points.astype(np.float64)
            yield image, Seen(points[OF_ALL], *look(landmarker, image, tight_box(points)))


def worse(
    landmarker: FaceLandmarker, faces: Iterable[tuple[np.ndarray, Seen]],
    change: Callable[[np.ndarray, float], tuple[np.ndarray, float]],
) -> list[Seen]:  # fmt: skip
    """The same faces in changed photos; `change` takes the box's side, and gives the scale."""
    found = []
    for image, face in faces:
        # The box of all points is not kept; that of the inner ones grows to about its size.
        low, high = face.true.min(axis=0), face.true.max(axis=0)
        margin = 0.25 * (high - low)
        changed, scale = change(image, float((high - low + 2 * margin).max()))
        move = (scale - 1) / 2  # pixel centres are whole numbers
        box = np.concatenate([low - margin, high + margin]) * scale + move
        one, three, jitter = look(landmarker, changed, box)
        found.append(Seen(face.true, (one - move) / scale, (three - move) / scale, jitter / scale))
    return found


def small(image: np.ndarray, side: float) -> tuple[np.ndarray, float]:
    """The photo with a small face."""
    width = max(1, round(image.shape[1] * SMALL / side))
    scale = width / image.shape[1]
    size = (width, max(1, round(image.shape[0] * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), scale


def blurred(image: np.ndarray, side: float) -> tuple[np.ndarray, float]:
    """The photo, out of focus."""
    return cv2.GaussianBlur(image, (0, 0), BLUR * side), 1.0


def rendered(landmarker: FaceLandmarker) -> list[Seen]:
    """Rendered faces, turned up to half profile, of which many have what is rare."""
    found = []
    for index, yaw in enumerate(np.random.default_rng(SEED).uniform(-45, 45, RENDERED)):
        face = render_face(SEED, index, 256, float(yaw), RARE)
        points = face.points["ibug68"].astype(np.float64)
        found.append(Seen(points[OF_ALL], *look(landmarker, face.image, tight_box(points))))
    return found


def errors(faces: list[Seen], *, last: bool = False) -> np.ndarray:
    """The errors [F, 51] in percent of the distance of the outer eye corners."""
    true = np.stack([face.true for face in faces])
    found = np.stack([face.last if last else face.first for face in faces])
    distance = INNER.normaliser.distance(true)
    return 100 * np.linalg.norm(found - true, axis=-1) / distance[:, None]


def eyes(faces: list[Seen]) -> tuple[np.ndarray, np.ndarray]:
    """How far the eyes are open, [F, 2] each: in truth and as seen at the last look."""
    stacked = (np.stack([face.true for face in faces]), np.stack([face.last for face in faces]))
    true, seen = (openings.of_eyes(points, INNER) for points in stacked)
    assert true is not None and seen is not None
    return true, seen


def blinks(name: str, faces: list[Seen]) -> dict[str, float]:
    """How well closed eyes are told from open ones; each eye counts."""
    true, seen = (both.ravel() for both in eyes(faces))
    shut, wide = true < CLOSED, true > OPEN
    found = {f"{name}_opening_correlation": float(np.corrcoef(true, seen)[0, 1]),
             f"{name}_open_seen_closed_percent": 100 * float((seen[wide] < SEEN_CLOSED).mean())}
    if shut.sum() >= 10:
        found[f"{name}_closed_eyes"] = int(shut.sum())
        found[f"{name}_closed_seen_percent"] = 100 * float((seen[shut] < SEEN_CLOSED).mean())
    return found


def turned(landmarker: FaceLandmarker) -> dict[str, float]:
    """Errors of shapes in percent of the box's size by yaw, and of faces with hidden points."""
    data = Path(os.environ["EFLD_DATA"])
    rows, wrong, yaws, covered = shapes(data)[::2], [], [], []
    for row in rows:
        image = read_photo(data / "aflw2000_shapes" / row["image"])
        head = Head(image, np.array(row["rough_box_xyxy"], float), np.array(row["shape68"], float),
                    np.array(row["shape68_z"], float), row["yaw_degrees"], placed=False)
        one, three, _ = look(landmarker, image, head.box)
        wrong.append([error(points, head, OF_ALL) for points in (one, three)])
        yaws.append(abs(head.yaw))
        covered.append(np.sum(np.array(row.get("visibility") or [2])[17:] == 1) >= 3)
    yaw, off, hidden = np.array(yaws), np.array(wrong), np.array(covered)
    found = {f"yaw_{name.replace(' to ', '_')}": float(off[(low <= yaw) & (yaw < high), 1].mean())
             for name, (low, high) in BINS.items()}
    return {**found, "yaw_60_90_first_look": float(off[yaw >= 60, 0].mean()),
            "yaw_0_30_covered": float(off[hidden & (yaw < 30), 1].mean())}


def noticed(model: Path, head: str = INNER.name) -> dict[str, float]:
    """All measures of a model: errors are NMEs in percent, but for those of `turned`."""
    landmarker = efld_tf.load(model, head=head, detector=None)
    photos = {name: list(held_out(landmarker, name)) for name in HELD_OUT}
    faces = {name: [face for _, face in found] for name, found in photos.items()}
    result: dict[str, float] = {}
    for name, some in faces.items():
        result[name] = float(errors(some).mean())
        result[f"{name}_last_look"] = float(errors(some, last=True).mean())
        result |= blinks(name, some)
    both = [face for name in OF_300W for face in faces[name]]
    off = errors(both)
    result |= {part: float(off[:, points].mean()) for part, points in PARTS.items()}
    true = np.stack([face.true for face in both])
    angles = pose.estimate(true, INNER)
    assert angles is not None
    result["turned"] = float(off[np.abs(angles[:, 0]) >= TURNED].mean())
    distance = INNER.normaliser.distance(true)
    result["jitter"] = 100 * float(np.mean([face.jitter for face in both] / distance))
    together = [pair for name in OF_300W for pair in photos[name]]
    result["small"] = float(errors(worse(landmarker, together, small)).mean())
    result["blurred"] = float(errors(worse(landmarker, together, blurred)).mean())
    drawn = rendered(landmarker)
    result["rendered"] = float(errors(drawn).mean())
    result |= blinks("rendered", drawn)
    result |= {f"shape_{name}": value for name, value in turned(landmarker).items()}
    return {name: round(value, 3) for name, value in result.items()}
