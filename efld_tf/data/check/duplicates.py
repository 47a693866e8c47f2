"""Finds faces that show the same picture, without comparing all with all.

Copies have the same decoded pixels. Near-duplicates (re-encoded, resized, cut out anew) are looked
for by 64-bit perceptual hashes of both the whole photo and the face: the photo's hash survives
another annotation, the face's hash another frame around it. A hash only proposes a pair, since
portraits on a white wall have similar hashes too; the thumbnails of the faces decide. They also
tell apart several faces of one photo.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

# Two hashes at a Hamming distance below BANDS agree in at least one of their bands.
BANDS = 8

# Boxes of one photo whose IoU is above this show the same face.
SAME_FACE = 0.5

# Rows of a block in the comparison of all hashes that share a band.
BLOCK = 128

# The number of pairs whose thumbnails are compared at once.
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
    """Finds faces with the same pixels.

    Args:
      digests: the digest of each face's decoded pixels, empty if there are none.
      boxes: [F, 4], the boxes of the faces in their photos.
      against: [F] bool, True for the test faces, which stand behind the others.

    Returns:
      Three dicts by face: the first face on its own side of which it is a copy; for faces that are
      not test faces, the test face of which it is a copy; and for those that are not such copies, a
      test face of the same photo. Faces without a match are not in a dict.
    """
    photos: dict[bytes, list[int]] = defaultdict(list)
    for face, digest in enumerate(digests):
        if digest:
            photos[digest].append(face)
    own_copies: dict[int, int] = {}
    test_copies: dict[int, int] = {}
    same_photo: dict[int, int] = {}
    for members in photos.values():
        firsts: dict[bool, list[int]] = {False: [], True: []}
        for face in members:
            side = firsts[bool(against[face])]
            match = next((o for o in side if iou(boxes[o], boxes[face]) > SAME_FACE), None)
            if match is None:
                side.append(face)
            else:
                own_copies[face] = match
        for face in members:
            if not against[face] and firsts[True]:
                overlaps = [iou(boxes[o], boxes[face]) for o in firsts[True]]
                best = int(np.argmax(overlaps))
                matches = test_copies if overlaps[best] > SAME_FACE else same_photo
                matches[face] = firsts[True][best]
    return own_copies, test_copies, same_photo


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """The correlation of two thumbnails of one shape, -1 to 1."""
    centred = [picture.ravel() - picture.mean() for picture in (first, second)]
    sizes = np.prod([np.linalg.norm(picture) for picture in centred])
    return float(centred[0] @ centred[1] / max(sizes, 1e-6))


def similar_pairs(
    hashes: Sequence[np.ndarray], thumbnails: np.ndarray, most_bits: int, least: float
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields blocks of pairs of near-duplicates: first and second indices (first < second).

    A pair may be repeated.

    Args:
      hashes: arrays [F] uint64; a pair is proposed if it differs in at most `most_bits` of one.
      thumbnails: [F, P], compared by correlation.
      most_bits: the largest number of different bits, below `BANDS`.
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
    """Finds faces with nearly the same picture that are not faces of the same photo.

    The arguments are those of `copies` and `similar_pairs`.

    Returns:
      Two dicts by face: the first near-duplicate before it on its own side, and, for faces that are
      not test faces, the first among the test faces. Faces without one are not in a dict.
    """
    count = len(thumbnails)
    first_own, first_test = np.full(count, count), np.full(count, count)
    numbers: dict[bytes, int] = {}
    photo = np.array([numbers.setdefault(digest, len(numbers)) for digest in digests], int)
    for first, second in similar_pairs(hashes, thumbnails, most_bits, least):
        distinct = photo[first] != photo[second]
        first, second = first[distinct], second[distinct]
        same_side = against[first] == against[second]
        np.minimum.at(first_own, second[same_side], first[same_side])
        np.minimum.at(first_test, first[~same_side], second[~same_side])
    near_own, near_test = (
        {int(face): int(nearest[face]) for face in np.flatnonzero(nearest < count)}
        for nearest in (first_own, first_test)
    )
    return near_own, near_test
