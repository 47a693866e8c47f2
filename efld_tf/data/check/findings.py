"""The kinds of findings of a check, and its thresholds."""

from __future__ import annotations

from dataclasses import dataclass, fields

from efld_tf.annotations.placement import BEYOND, RESIZED, TINY, TURNED, UNITS
from efld_tf.errors import EfldError

ANNOTATION = "annotation"
IMAGE = "image"
TRUNCATED = "truncated"
OUTSIDE = "outside"
MISSING = "missing"
SWAPPED = "swapped"
SHIFT = "shift"
OUTLIER = "outlier"
NO_BOX = "no_box"
BOX = "box"
DUPLICATE = "duplicate"
NEAR_DUPLICATE = "near_duplicate"
TEST_DUPLICATE = "test_duplicate"
TEST_NEAR_DUPLICATE = "test_near_duplicate"
TEST_PHOTO = "test_photo"
TEST_IDENTITY = "test_identity"

# Every kind with its meaning, in the order of reports.
KINDS = {
    ANNOTATION: "the annotation cannot be used",
    IMAGE: "the image cannot be read",
    TRUNCATED: "the image file is cut off",
    TURNED: "upright only in the photo as it is shown (EXIF), not as it is stored, or vice versa: "
            "say upright=true or false",
    RESIZED: "annotated on an image of another size: give that image, or say sizes=scale",
    UNITS: "coordinates are shares of the image's size, not pixels: say normalised=true, "
           "percent or 1000",
    TINY: "the points are too close together for a face",
    BEYOND: "all points outside the image",
    OUTSIDE: "points outside the image",
    MISSING: "points at 0, 0 or another mark, which may stand for points that are not annotated",
    SWAPPED: "left and right labels, or x and y, are exchanged",
    SHIFT: "labels are shifted by some indices",
    OUTLIER: "the shape is no face's, or unlike the source's other faces",
    NO_BOX: "no face box, from which the crops of its schema start",
    BOX: "the face box misses its points",
    DUPLICATE: "the same pixels as an earlier face",
    NEAR_DUPLICATE: "nearly the same picture as an earlier face",
    TEST_DUPLICATE: "the same pixels as a test face",
    TEST_NEAR_DUPLICATE: "nearly the same picture as a test face",
    TEST_PHOTO: "another face of a photo that test data has",
    TEST_IDENTITY: "a person or photo that test data has",
}

# The kinds of good faces that are read in a wrong way: an option of the source mends them.
MISREAD = frozenset({TURNED, RESIZED, UNITS})

# The kinds of faces that are better left out of training. Points outside, odd boxes and similar
# pictures, such as the frames of a video, may be right.
EXCLUDED = frozenset({
    ANNOTATION, IMAGE, TRUNCATED, TINY, BEYOND, NO_BOX, SWAPPED, SHIFT, OUTLIER,
    DUPLICATE, TEST_DUPLICATE, TEST_NEAR_DUPLICATE, TEST_PHOTO, TEST_IDENTITY,
})


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or looks wrong.

    Attributes:
      source: the index of the source in the check; the corpus' sources come before the test data.
      key: the face's key in the source, or the `error_key` of an error.
      kind: one of `KINDS`.
      score: how bad it is; comparable within a kind.
      message: one line that says what is wrong.
      other: for pairs, the index of the source and the key of the other face.
      whole_source: whether it is true of the source as a whole; it cannot be excluded.
    """

    source: int
    key: str
    kind: str
    score: float
    message: str
    other: tuple[int, str] | None = None
    whole_source: bool = False


@dataclass(frozen=True)
class Thresholds:
    """The limits beyond which something is a finding.

    Face sizes are sides of `FaceRecord.face_box`.

    Attributes:
      outside: how far a point may lie outside the image, in face sizes.
      outlier: robust standard deviations of the log of a source's shape residuals.
      box: the smallest intersection over union of a box and the face that its points span; of
        points of a part of the face, which span none, the smallest share of them in the box.
      near: the largest Hamming distance of 64-bit hashes of near-duplicates, 0 to 7.
      similar: the smallest correlation of the face thumbnails of near-duplicates.
    """

    outside: float = 0.05
    outlier: float = 6.0
    box: float = 0.2
    near: int = 6
    similar: float = 0.965

    def __post_init__(self) -> None:
        ranges = {"outside": (0, 100), "outlier": (1, 100), "box": (0, 1), "near": (0, 7),
                  "similar": (0.5, 1)}
        for option in fields(self):
            low, high = ranges[option.name]
            if not low <= (value := getattr(self, option.name)) <= high:
                raise EfldError(f"{option.name}: expected {low} to {high}, got {value}")
