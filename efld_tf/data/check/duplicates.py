"""Faces that show the same picture, found without comparing all with all.

Copies have the same decoded pixels. Near-duplicates (re-encoded, resized, cut out anew) are looked
for by 64-bit perceptual hashes of both the whole photo and the face: the photo's survives another
annotation, the face's another frame around it. Either hash only proposes, as portraits on a white
wall have similar hashes too; the thumbnails of the faces decide. That also keeps the several faces
of one photo apart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

# Two hashes at a Hamming distance below BANDS agree in one of their bands at least.
BANDS = 8

# Boxes of one photo that overlap so much show one face.
SAME_FACE = 0.5

# Rows of one block of the comparison of all hashes that share a band.
BLOCK = 128

# Pairs whose thumbnails are compared at once.
PAIRS = 1 << 15

_ONES = np.array([value.bit_count() for value in range(1 << 16)], np.uint8)


def iou(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two boxes (x0, y0, x1, y1)."""
    low, high = np.maximum(first[:2], second[:2]), np.minimum(first[2:], second[2:])
    inner = float(np.prod(np.maximum(high - low, 0)))
    areas = [float(np.prod(np.maximum(box[2:] - box[:2], 0))) for box in (first, second)]
    return inner / union if (union := sum(areas) - inner) > 0 else 0.0


def copies(
    digests: Sequence[bytes], boxes: np.ndarray, against: np.ndarray
) -> tuple[dict[int, int], dict[int, int], dict[int, int]]:
    """Faces with the same pixels.

    Args:
      digests: of the decoded pixels, empty where there are none.
      boxes: [F, 4] of the faces in their photos.
      against: [F] bool, True for the test faces, which stand behind the others.

    Returns:
      For each face that has one: the first face of its own side that it is a copy of; for faces
      that are not test faces the test face they are a copy of, and, for those that are not such
      copies, a test face of the same photo.
    """
    photos: dict[bytes, list[int]] = defaultdict(list)
    for face, digest in enumerate(digests):
        if digest:
            photos[digest].append(face)
    own: dict[int, int] = {}
    test: dict[int, int] = {}
    photo: dict[int, int] = {}
    for members in photos.values():
        firsts: dict[bool, list[int]] = {False: [], True: []}
        for face in members:
            side = firsts[bool(against[face])]
            same = next((o for o in side if iou(boxes[o], boxes[face]) > SAME_FACE), None)
            if same is None:
                side.append(face)
            else:
                own[face] = same
        for face in members:
            if not against[face] and firsts[True]:
                overlaps = [iou(boxes[o], boxes[face]) for o in firsts[True]]
                best = int(np.argmax(overlaps))
                (test if overlaps[best] > SAME_FACE else photo)[face] = firsts[True][best]
    return own, test, photo


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Correlation of two thumbnails of one shape, -1 to 1."""
    both = [picture.ravel() - picture.mean() for picture in (first, second)]
    sizes = np.prod([np.linalg.norm(picture) for picture in both])
    return float(both[0] @ both[1] / max(sizes, 1e-6))


def similar_pairs(
    hashes: Sequence[np.ndarray], thumbnails: np.ndarray, most_bits: int, least: float
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of near-duplicates in blocks: first and second indices (first < second), repeated ones
    included.

    Args:
      hashes: [F] uint64 each; a pair is proposed where one of them is at most `most_bits` apart.
      thumbnails: [F, P], compared by correlation.
      most_bits: below `BANDS`.
      least: the smallest correlation.
    """
    if not len(thumbnails):
        return
    small = thumbnails.astype(np.float32)
    small -= small.mean(axis=1, keepdims=True)
    small /= np.maximum(np.linalg.norm(small, axis=1, keepdims=True), 1e-6)
    for values in hashes:
        words = values.view(np.uint16).reshape(-1, 4)
        for band in values.view(np.uint8).reshape(-1, BANDS).T:
            order = np.argsort(band, kind="stable")
            for group in np.split(order, np.flatnonzero(np.diff(band[order])) + 1):
                for start in range(0, len(group) - 1, BLOCK):
                    rows, columns = group[start : start + BLOCK], group[start:]
                    bits = sum(
                        _ONES[words[rows, k][:, None] ^ words[columns, k][None]]
                        for k in range(4)
                    )
                    i, j = np.nonzero(np.triu(bits <= most_bits, 1))
                    for at in range(0, len(i), PAIRS):
                        first, second = rows[i[at : at + PAIRS]], columns[j[at : at + PAIRS]]
                        alike = np.einsum("pk,pk->p", small[first], small[second]) >= least
                        yield first[alike], second[alike]


def near_duplicates(
    hashes: Sequence[np.ndarray],
    thumbnails: np.ndarray,
    digests: Sequence[bytes],
    against: np.ndarray,
    most_bits: int,
    least: float,
) -> tuple[dict[int, int], dict[int, int]]:
    """Faces with nearly the same picture that are not faces of the same photo.

    Args: as those of `copies` and `similar_pairs`.

    Returns:
      For each face that has one: the first near-duplicate before it on its own side, and for faces
      that are not test faces the first among the test faces.
    """
    count = len(thumbnails)
    own, test = np.full(count, count), np.full(count, count)
    numbers: dict[bytes, int] = {}
    photo = np.array([numbers.setdefault(digest, len(numbers)) for digest in digests], int)
    for first, second in similar_pairs(hashes, thumbnails, most_bits, least):
        other = photo[first] != photo[second]
        first, second = first[other], second[other]
        same_side = against[first] == against[second]
        np.minimum.at(own, second[same_side], first[same_side])
        np.minimum.at(test, first[~same_side], second[~same_side])
    near_own, near_test = (
        {int(face): int(found[face]) for face in np.flatnonzero(found < count)}
        for found in (own, test)
    )
    return near_own, near_test
