"""The check itself: reads everything, measures, and turns what is unusual into findings."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from efld_tf.annotations import sources
from efld_tf.annotations.declared import infer_flip
from efld_tf.annotations.record import FaceRecord
from efld_tf.annotations.sources import Source
from efld_tf.data.check import duplicates, faces, findings, shapes
from efld_tf.data.check.faces import Measured
from efld_tf.data.check.findings import Finding, Thresholds
from efld_tf.errors import DataError, EfldError
from efld_tf.landmarks import schemas
from efld_tf.parallel import bounded_map

# Batches of photos under way for each process: enough to keep it busy, few to keep memory flat.
WINDOW = 4


@dataclass(eq=False)
class CheckedSource:
    """One source of a check.

    Attributes:
      source: where its faces come from.
      against: whether it is test data.
      records: its usable annotations.
      measured: what the pixels say of each.
      errors: the unusable annotations.
    """

    source: Source
    against: bool
    records: list[FaceRecord] = field(default_factory=list)
    measured: list[Measured] = field(default_factory=list)
    errors: list[DataError] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Report:
    """What a check found.

    Attributes:
      sources: the corpus, then what it was checked against.
      thresholds: that were used.
      findings: by source and face, in their order.
      notes: what could not be tested, one line each.
      seconds: that it took.
    """

    sources: list[CheckedSource]
    thresholds: Thresholds
    findings: list[Finding]
    notes: list[str]
    seconds: float

    @property
    def faces(self) -> int:
        """How many faces were looked at."""
        return sum(len(checked.records) for checked in self.sources)

    def counts(self, source: int) -> dict[str, int]:
        """Findings of a source by kind, in the order of `findings.KINDS`, without the zeros."""
        kinds = [finding.kind for finding in self.findings if finding.source == source]
        return {kind: kinds.count(kind) for kind in findings.KINDS if kind in kinds}


def check(
    corpus: Sequence[str],
    against: Sequence[str] = (),
    thresholds: Thresholds | None = None,
    *,
    workers: int | None = None,
    progress: bool = True,
) -> Report:
    """Looks for mistakes in annotated sources.

    Args:
      corpus: sources that are trained on.
      against: test data, which the corpus must not contain.
      workers: processes; None for one a core.

    Raises:
      EfldError: a source is malformed, does not exist, is given twice or holds nothing.
    """
    begun = time.monotonic()
    thresholds = thresholds or Thresholds()
    checked = [CheckedSource(sources.parse(text), False) for text in corpus]
    checked += [CheckedSource(sources.parse(text), True) for text in against]
    texts = [str(one.source) for one in checked]
    for text in texts:
        if texts.count(text) > 1:
            raise EfldError(f"source {text}: given twice")
    for one in checked:
        _read_annotations(one, progress)
    _measure(checked, workers or os.cpu_count() or 1, progress)
    found: list[Finding] = []
    notes: list[str] = []
    for index, one in enumerate(checked):
        found += _file_findings(index, one)
        found += _place_findings(index, one, thresholds)
        found += _shape_findings(index, one, thresholds, notes)
    found += _pair_findings(checked, thresholds)
    found += _identity_findings(checked)
    return Report(checked, thresholds, _in_order(found, checked), notes, time.monotonic() - begun)


def _read_annotations(one: CheckedSource, progress: bool) -> None:
    description = f"annotations of {one.source.path.name}"
    with tqdm(unit="face", desc=description, disable=not progress, leave=False, delay=1) as bar:
        for item in sources.stream(one.source):
            bar.update()
            if isinstance(item, DataError):
                one.errors.append(item)
            else:
                one.records.append(item)
    if not one.records and not one.errors:
        raise sources.no_face(one.source)


def _measure(checked: list[CheckedSource], workers: int, progress: bool) -> None:
    total = sum(len(one.records) for one in checked)
    batches = (batch for one in checked for batch in faces.batches(one.records))
    with tqdm(total=total, unit="face", desc="images", disable=not progress) as bar:
        results = bounded_map(faces.measure, batches, workers, WINDOW * workers)
        everything: list[Measured] = []
        for measured in results:
            everything += measured
            bar.update(len(measured))
    for one in checked:
        one.measured, everything = everything[: len(one.records)], everything[len(one.records) :]


def _file_findings(index: int, one: CheckedSource) -> Iterator[Finding]:
    for error in one.errors:
        key = sources.error_key(error, one.source.folder)
        yield Finding(index, key, findings.ANNOTATION, 1.0, error.reason)
    for record, measured in zip(one.records, one.measured, strict=True):
        if measured.truncated:
            effect = "" if measured.error is None else f" ({measured.error})"
            message = f"the file is cut off: {measured.truncated}{effect}"
            yield Finding(index, record.key, findings.TRUNCATED, 1.0, message)
        elif measured.error:
            yield Finding(index, record.key, findings.IMAGE, 1.0, measured.error)


def _place_findings(index: int, one: CheckedSource, limits: Thresholds) -> Iterator[Finding]:
    """Points outside the image, and boxes away from their points."""
    for record, measured in zip(one.records, one.measured, strict=True):
        box = record.face_box()
        if not measured.error:
            far, count = _outside(record.points, measured.width, measured.height)
            relative = far / max(float(box[2] - box[0]), 1e-6)
            if relative > limits.outside:
                many = "1 point lies" if count == 1 else f"{count} points lie"
                message = f"{many} up to {far:.1f} px ({relative:.2f} face sizes) outside " \
                    f"the image of {measured.width} x {measured.height}"
                yield Finding(index, record.key, findings.OUTSIDE, relative, message)
        if record.box is not None:
            if schemas.get(record.schema).box == "points":
                box = record.source_box("points")
            if (overlap := duplicates.iou(record.box, box)) < limits.box:
                known = record.points[np.isfinite(record.points).all(axis=-1)]
                inside = ((known >= record.box[:2]) & (known <= record.box[2:])).all(axis=-1)
                message = f"the box holds {int(inside.sum())} of {len(known)} points; its " \
                    f"intersection over union with the face is {overlap:.2f}"
                yield Finding(index, record.key, findings.BOX, 1 - overlap, message)


def _outside(points: np.ndarray, width: int, height: int) -> tuple[float, int]:
    """How many pixels the farthest point lies outside the image, and how many points do."""
    known = points[np.isfinite(points).all(axis=-1)].astype(np.float64)
    last = np.array([width, height]) - 0.5
    over = np.linalg.norm(np.maximum(np.maximum(-0.5 - known, known - last), 0), axis=1)
    return float(over.max(initial=0)), int((over > 0).sum())


def _shape_findings(
    index: int, one: CheckedSource, limits: Thresholds, notes: list[str]
) -> Iterator[Finding]:
    by_schema: dict[str, list[FaceRecord]] = defaultdict(list)
    for record in one.records:
        by_schema[record.schema].append(record)
    for name, records in by_schema.items():
        if len(records) < shapes.FEWEST_FACES:
            notes.append(f"{one.source}: shapes not tested: {len(records)} faces of {name}, "
                         f"{shapes.FEWEST_FACES} are needed")
            continue
        if schemas.get(name).flip is None:
            try:
                notes.append(infer_flip(records))
            except EfldError as error:
                notes.append(f"{one.source}: exchanged labels not looked for: {error}")
        schema = schemas.get(name)
        points = np.stack([record.points for record in records])
        tests = shapes.shape_tests(points, schema, limits.outlier)
        swapped = int(np.count_nonzero(tests.swapped))
        if 2 * swapped > len(records):
            notes.append(f"{one.source}: {swapped} of {len(records)} faces have left and right "
                         f"exchanged: are the anchors of {name} those of the person's own sides, "
                         "and its points in the file's order?")
        for face, record in enumerate(records):
            residual = float(tests.residual[face])
            if tests.swapped[face]:
                message = "left and right labels are exchanged (or the photo alone is mirrored)"
                yield Finding(index, record.key, findings.SWAPPED, residual, message)
            elif face in tests.shifts:
                message = f"labels are shifted: {tests.shifts[face]}"
                yield Finding(index, record.key, findings.SHIFT, residual, message)
            elif tests.outlier[face]:
                worst = schema.names[tests.worst[face]]
                message = f"an unlikely shape: {residual:.3f} face sizes RMS from the model's fit" \
                    f", {float(tests.largest[face]):.2f} at {worst}"
                yield Finding(index, record.key, findings.OUTLIER, residual, message)


def _pair_findings(checked: list[CheckedSource], limits: Thresholds) -> Iterator[Finding]:
    """Copies and near-duplicates within either side and across."""
    place = [(i, record) for i, one in enumerate(checked) for record in one.records]
    measured = [m for one in checked for m in one.measured]
    against = np.array([checked[i].against for i, _ in place], bool)
    digests = [m.digest for m in measured]
    boxes = np.array([record.face_box() for _, record in place]).reshape(-1, 4)
    own, test, photo = duplicates.copies(digests, boxes, against)
    crops = {i: m.crop for i, m in enumerate(measured) if m.crop is not None}
    hashed = list(crops)
    near_own, near_test = duplicates.near_duplicates(
        [np.array([measured[i].photo_hash for i in hashed], np.uint64),
         np.array([crop.hash for crop in crops.values()], np.uint64)],
        np.array([crop.thumbnail.ravel() for crop in crops.values()]),
        [digests[i] for i in hashed], against[hashed], limits.near, limits.similar,
    )
    near_own, near_test = ({hashed[i]: hashed[j] for i, j in near.items()}
                           for near in (near_own, near_test))
    nothing: dict[int, int] = {}
    found = (
        (findings.DUPLICATE, own, nothing, "the same pixels as"),
        (findings.TEST_DUPLICATE, test, nothing, "the same pixels as the test face"),
        (findings.TEST_PHOTO, photo, nothing, "its photo also has the test face"),
        (findings.NEAR_DUPLICATE, near_own, own, "nearly the same picture as"),
        (findings.TEST_NEAR_DUPLICATE, near_test, test, "nearly the same picture as the test face"),
    )
    for kind, pairs, stronger, words in found:
        for face, other in pairs.items():
            if face in stronger:
                continue
            (index, record), (there, match) = place[face], place[other]
            where = "" if index == there else f" in {checked[there].source.path.name}"
            score = 1.0
            if kind in (findings.NEAR_DUPLICATE, findings.TEST_NEAR_DUPLICATE):
                score = duplicates.correlation(crops[face].thumbnail, crops[other].thumbnail)
            yield Finding(index, record.key, kind, score, f"{words} {match.key}{where}",
                          (there, match.key))


def _identity_findings(checked: list[CheckedSource]) -> Iterator[Finding]:
    """Faces of people (or photos, where those are the identities) that test data has.

    Only sources of one reader are compared: two data sets may well call two people the same.
    """
    known: dict[tuple[str, str], tuple[int, str]] = {}
    for index, one in enumerate(checked):
        for record in one.records if one.against else ():
            if record.identity:
                known.setdefault((one.source.reader, record.identity), (index, record.key))
    for index, one in enumerate(checked):
        for record in one.records if not one.against else ():
            if other := known.get((one.source.reader, record.identity or "")):
                message = f"test data has {record.identity} too: {other[1]}"
                yield Finding(index, record.key, findings.TEST_IDENTITY, 1.0, message, other)


def _in_order(found: list[Finding], checked: list[CheckedSource]) -> list[Finding]:
    place = {
        (index, record.key): number
        for index, one in enumerate(checked) for number, record in enumerate(one.records)
    }
    kinds = list(findings.KINDS)
    return sorted(found, key=lambda finding: (
        finding.source, place.get((finding.source, finding.key), -1), kinds.index(finding.kind)
    ))
