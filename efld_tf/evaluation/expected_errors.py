"""Looks at faces of which the true errors are known, to fit and to judge expected errors.

A model looks at each face as it does after a detector: at a square that is somewhat off, and twice
more at the crop around its points. Besides the photo as it is, there are copies that one of the
corruptions makes worse at random (`corruptions`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np

from efld_tf.errors import EfldError
from efld_tf.evaluation import faces as faces_of
from efld_tf.evaluation.corruptions import CORRUPTIONS, Changed, generator
from efld_tf.evaluation.evaluate import BAD_FIT
from efld_tf.evaluation.faces import EvaluationFaces, common_points
from efld_tf.landmarks import metrics, normalisers, schemas
from efld_tf.landmarks.geometry import Crop, extract_crop
from efld_tf.progress import Progress
from efld_tf.runtime.landmarker import FaceLandmarker
from efld_tf.runtime.predictor import Predictor

# The picture that a look starts from: so many sides of the annotated crop, and pixels.
AROUND, PIXELS = 2.0, 320
# How far the first square is off, at most: in sides, as a factor's logarithm, and in radians.
SHIFT, LOG_SCALE, TURN = 0.1, 0.15, 0.3
LOOKS = 3
AS_IS = "as it is"


@dataclass(eq=False)
class Looks:
    """E last looks at faces.

    Attributes:
      photos: [E] the person or photo of each.
      kinds: [E] the corruption of each, or `AS_IS`.
      crops: [E, S, S, 3] uint8, what was looked at.
      errors: [E, N] how far off each point is, in sides of the crop.
      expected: [E, N] how far off the model expects it to be; NaN if it does not tell.
      nme: [E] the mean error over what the schema's errors are divided by, of the true points.
      confidence: [E] how sure the model is that there is a face; 1 if it does not tell.
      sizes: [E] what the errors are divided by, of the found points, in sides of the crop.
      moved: [E] how far the last look's points lie from the first one's, in the unit of the NME.
    """

    photos: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    crops: list[np.ndarray] = field(default_factory=list)
    errors: list[np.ndarray] = field(default_factory=list)
    expected: list[np.ndarray] = field(default_factory=list)
    nme: list[float] = field(default_factory=list)
    confidence: list[float] = field(default_factory=list)
    sizes: list[float] = field(default_factory=list)
    moved: list[float] = field(default_factory=list)

    @property
    def expected_nme(self) -> np.ndarray:
        """[E] the mean expected errors, over what those of the found points are divided by."""
        return np.stack(self.expected).mean(axis=1) / np.array(self.sizes)

    def of(self, kind: str | None = None) -> np.ndarray:
        """[E] bool: the looks at photos as they are (`AS_IS`) or by another kind; None for all."""
        return np.array([kind in (None, one) for one in self.kinds], bool)


def add(
    looks: Looks, landmarker: FaceLandmarker, faces: EvaluationFaces, worse: int,
    *, progress: bool = False,
) -> int:  # fmt: skip
    """Looks at faces.

    Args:
      looks: gets the looks.
      landmarker: with the model that looks; it needs no detector.
      faces: with points of the model's schema, or of one that has them.
      worse: how many worse copies of each photo are looked at, too.

    Returns:
      The number of faces; those without all points are left out.

    Raises:
      EfldError: the faces' schema lacks points of the model's.
    """
    common, _, given = common_points(landmarker.schema, faces.schema)
    if common != landmarker.schema:
        raise EfldError(f"{faces.source}: expected all points of {landmarker.schema}, got those of "
                        f"{faces.schema}")
    count = 0
    with Progress("looking at faces", len(faces), "face", shown=progress) as bar:
        for index in bar.over(range(len(faces))):
            true = faces.points[index][list(given)]
            if not np.isfinite(true).all():
                continue
            count += 1
            for copy, (kind, picture) in enumerate(_pictures(faces, index, worse)):
                # The unit square of the crop lies in the middle of the picture.
                place = ((true - 0.5) / AROUND + 0.5) * len(picture) - 0.5
                random = generator(faces.names[index], "look", copy)
                _add_look(looks, landmarker, picture, place, random)
                looks.photos.append(faces.people[index])
                looks.kinds.append(kind)
    return count


def add_source(looks: Looks, predictor: Predictor, source: str, worse: int) -> int:
    """Looks at the faces of a source (`reader:path`); the result and errors are as in `add`."""
    landmarker = FaceLandmarker(predictor, detector=None)
    loaded = faces_of.load(source, predictor.crop_rule, predictor.input_size, on_error="skip",
                           predicted=predictor.schema)
    return add(looks, landmarker, loaded, worse, progress=True)


def _pictures(
    faces: EvaluationFaces, index: int, worse: int
) -> Iterator[tuple[str, np.ndarray]]:
    """The surroundings of a face as they are, and worse copies, with the name of what was done."""
    picture = faces.view(index, Crop(0.5, 0.5, AROUND), PIXELS)
    yield AS_IS, picture
    changes = [one for one in CORRUPTIONS if isinstance(one, Changed)]
    middle, side = (PIXELS - 1) / 2, PIXELS / AROUND
    box = Crop(middle, middle, side / faces.crop_rule.need_scale("expected errors"))
    for copy in range(worse):
        random = generator(faces.names[index], "worse", copy)
        change = changes[random.integers(len(changes))]
        level = change.levels[random.integers(len(change.levels))]
        changed = change.pixels(picture, box, level, random)
        if changed.shape != picture.shape:
            changed = cv2.resize(changed, (PIXELS, PIXELS), interpolation=cv2.INTER_LINEAR)
        yield change.name, changed


def _add_look(
    looks: Looks, landmarker: FaceLandmarker, picture: np.ndarray, true: np.ndarray,
    random: np.random.Generator,
) -> None:
    middle, side = (len(picture) - 1) / 2, len(picture) / AROUND
    crop = Crop(middle + side * random.uniform(-SHIFT, SHIFT),
                middle + side * random.uniform(-SHIFT, SHIFT),
                side * math.exp(random.uniform(-LOG_SCALE, LOG_SCALE)),
                random.uniform(-TURN, TURN))
    found = []
    for _ in range(LOOKS):
        seen = crop
        look = landmarker.look(picture, [seen])
        found.append(look.points[0].astype(np.float64))
        crop = look.around[0]
    distance = np.linalg.norm(found[-1] - true, axis=-1)
    schema = schemas.get(landmarker.schema)
    size, found_size = (normalisers.size_of(points, schema) for points in (true, found[-1]))
    expected = look.errors[0]
    told = np.full(len(distance), np.nan) if expected is None else expected
    looks.crops.append(extract_crop(picture, seen, landmarker.predictor.input_size))
    looks.errors.append(distance / seen.side)
    looks.expected.append(told / seen.side)
    looks.nme.append(float(np.mean(distance) / size))
    looks.confidence.append(float(look.confidence[0]))
    looks.sizes.append(found_size / seen.side)
    looks.moved.append(float(np.linalg.norm(found[-1] - found[0], axis=-1).mean() / found_size))


def summary(looks: Looks) -> dict[str, float]:
    """How well expected errors tell the true ones, for photos as they are and for all looks."""
    result: dict[str, float] = {}
    expected, nme, moved = looks.expected_nme, np.array(looks.nme), np.array(looks.moved)
    for kind, title in ((AS_IS, "as_is"), (None, "all")):
        chosen = looks.of(kind)
        bad = nme[chosen] > BAD_FIT
        result |= {
            f"{title}_looks": int(chosen.sum()),
            f"{title}_bad_percent": round(100 * float(bad.mean()), 2),
            f"{title}_auroc": round(metrics.auroc(expected[chosen], bad), 4),
            f"{title}_auroc_of_movement": round(metrics.auroc(moved[chosen], bad), 4),
            f"{title}_nme_percent": round(100 * float(nme[chosen].mean()), 3),
            f"{title}_expected_nme_percent": round(100 * float(expected[chosen].mean()), 3),
        }
    return result
