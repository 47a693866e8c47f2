"""Runs the check: reads everything, measures it, and turns what is unusual into findings."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from efld_tf.annotations import sources
from efld_tf.annotations.declared import infer_flip
from efld_tf.annotations.placement import PlacementError
from efld_tf.annotations.record import FaceRecord
from efld_tf.annotations.sources import Source
from efld_tf.data import crop_fit
from efld_tf.data.check import duplicates, faces, findings, labels, places, shapes
from efld_tf.data.check.faces import Measured
from efld_tf.data.check.findings import Finding, Thresholds
from efld_tf.errors import DataError, EfldError
from efld_tf.landmarks import schemas
from efld_tf.parallel import bounded_map
from efld_tf.progress import Progress

# Batches of photos under way for each process: enough to keep it busy, and few for the memory.
WINDOW = 4


@dataclass(eq=False)
class CheckedSource:
    """One source of a check.

    Attributes:
      source: where its faces come from.
      against: whether it is test data.
      records: its usable annotations.
      measured: the measurements on the pixels of each.
      errors: the unusable annotations.
      notes: what the reader says of them.
    """

    source: Source
    against: bool
    records: list[FaceRecord] = field(default_factory=list)
    measured: list[Measured] = field(default_factory=list)
    errors: list[DataError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Report:
    """The result of a check.

    Attributes:
      sources: the corpus' sources, then the test data.
      thresholds: the thresholds that were used.
      findings: the findings in the order of sources and faces.
      notes: one line for each thing that could not be tested.
      seconds: how long the check took.
    """

    sources: list[CheckedSource]
    thresholds: Thresholds
    findings: list[Finding]
    notes: list[str]
    seconds: float

    @property
    def faces(self) -> int:
        """The number of faces that were checked."""
        return sum(len(checked.records) for checked in self.sources)

    def counts(self, source: int) -> dict[str, int]:
        """The number of a source's findings of each kind, in their order, without zeros."""
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
      corpus: the sources to train on.
      against: the sources of test data, which the corpus must not contain.
      workers: number of processes; None for one a core.
      progress: whether to show how far it is.

    Raises:
      EfldError: a source is malformed, does not exist, is given twice or holds nothing.
    """
    begun = time.monotonic()
    thresholds = thresholds or Thresholds()
    checked_sources = [CheckedSource(sources.parse(text), False) for text in corpus]
    checked_sources += [CheckedSource(sources.parse(text), True) for text in against]
    texts = [str(checked_source.source) for checked_source in checked_sources]
    for text in texts:
        if texts.count(text) > 1:
            raise EfldError(f"source {text}: given twice")
    for checked_source in checked_sources:
        _read_annotations(checked_source, progress)
    _measure(checked_sources, workers or os.cpu_count() or 1, progress)
    all_findings: list[Finding] = []
    notes = [f"{checked_source.source}: {note}" for checked_source in checked_sources
             for note in checked_source.notes]
    for index, checked_source in enumerate(checked_sources):
        all_findings += _file_findings(index, checked_source)
        all_findings += places.place_findings(
            index, checked_source.records, checked_source.measured, thresholds)
        all_findings += _shape_findings(index, checked_source, thresholds, notes)
    all_findings += _pair_findings(checked_sources, thresholds)
    all_findings += _identity_findings(checked_sources)
    ordered = _in_order(all_findings, checked_sources)
    return Report(checked_sources, thresholds, ordered, notes, time.monotonic() - begun)


def _read_annotations(checked_source: CheckedSource, progress: bool) -> None:
    description = f"annotations of {checked_source.source.path.name}"
    with Progress(description, None, "face", shown=progress) as bar:
        for item in bar.over(sources.stream(checked_source.source, checked_source.notes)):
            if isinstance(item, DataError):
                checked_source.errors.append(item)
            else:
                checked_source.records.append(item)
    if not checked_source.records and not checked_source.errors:
        raise sources.no_face(checked_source.source, checked_source.notes)


def _measure(checked_sources: list[CheckedSource], workers: int, progress: bool) -> None:
    total = sum(len(checked_source.records) for checked_source in checked_sources)
    batches = (batch for checked_source in checked_sources
               for batch in faces.batches(checked_source.records))
    with Progress("images", total, "face", shown=progress) as bar:
        results = bounded_map(faces.measure, batches, workers, WINDOW * workers)
        everything: list[Measured] = []
        for measured in results:
            everything += measured
            bar.update(len(measured))
    for checked_source in checked_sources:
        count = len(checked_source.records)
        checked_source.measured, everything = everything[:count], everything[count:]


def _file_findings(index: int, checked_source: CheckedSource) -> Iterator[Finding]:
    for error in checked_source.errors:
        key = sources.error_key(error, checked_source.source.folder)
        placement = error if isinstance(error, PlacementError) else None
        kind = placement.kind if placement else findings.ANNOTATION
        whole_source = placement is not None and placement.whole_source
        yield Finding(index, key, kind, 1.0, error.reason, whole_source=whole_source)
    for record, measured in zip(checked_source.records, checked_source.measured, strict=True):
        if measured.truncated:
            effect = "" if measured.error is None else f" ({measured.error})"
            message = f"the file is cut off: {measured.truncated}{effect}"
            yield Finding(index, record.key, findings.TRUNCATED, 1.0, message)
        elif measured.error:
            yield Finding(index, record.key, findings.IMAGE, 1.0, measured.error)


def _shape_findings(
    index: int, checked_source: CheckedSource, limits: Thresholds, notes: list[str]
) -> Iterator[Finding]:
    by_schema: dict[str, list[FaceRecord]] = defaultdict(list)
    for record in checked_source.records:
        by_schema[record.schema].append(record)
    for name, records in by_schema.items():
        if not checked_source.against and (note := crop_fit.note(schemas.get(name))):
            notes.append(f"{checked_source.source}: {note}")
        points = np.stack([record.points for record in records])
        tests = None
        if len(records) < shapes.FEWEST_FACES:
            notes.append(f"{checked_source.source}: only eyes and mouth tested, not shapes: "
                         f"{len(records)} faces of {name}, {shapes.FEWEST_FACES} are needed")
        else:
            _infer_flip(checked_source, records, notes)
            notes += [f"{checked_source.source}: {note}"
                      for note in labels.flip_notes(points, schemas.get(name))]
            tests = shapes.shape_tests(points, schemas.get(name), limits.outlier)
        found, source_notes = labels.label_findings(index, records, tests)
        notes += [f"{checked_source.source}: {note}" for note in source_notes]
        yield from found


def _infer_flip(
    checked_source: CheckedSource, records: list[FaceRecord], notes: list[str]
) -> None:
    if schemas.get(records[0].schema).flip is None:
        try:
            notes.append(infer_flip(records))
        except EfldError as error:
            notes.append(f"{checked_source.source}: exchanged labels not looked for: {error}")


def _pair_findings(checked_sources: list[CheckedSource], limits: Thresholds) -> Iterator[Finding]:
    """Finds copies and near-duplicates, within the corpus, within the test data and across."""
    place = [(i, record) for i, checked_source in enumerate(checked_sources)
             for record in checked_source.records]
    measured = [m for checked_source in checked_sources for m in checked_source.measured]
    against = np.array([checked_sources[i].against for i, _ in place], bool)
    digests = [m.digest for m in measured]
    boxes = np.array([record.face_box() for _, record in place]).reshape(-1, 4)
    own_copies, test_copies, same_photo = duplicates.copies(digests, boxes, against)
    crops = {i: m.crop for i, m in enumerate(measured) if m.crop is not None}
    hashed = list(crops)
    near_own, near_test = duplicates.near_duplicates(
        [np.array([measured[i].photo_hash for i in hashed], np.uint64),
         np.array([crop.hash for crop in crops.values()], np.uint64)],
        np.array([crop.thumbnail.ravel() for crop in crops.values()]),
        [digests[i] for i in hashed], against[hashed], limits.near, limits.similar,
    )
    near_own, near_test = ({hashed[i]: hashed[j] for i, j in pairs.items()}
                           for pairs in (near_own, near_test))
    nothing: dict[int, int] = {}
    kinds = (
        (findings.DUPLICATE, own_copies, nothing, "the same pixels as"),
        (findings.TEST_DUPLICATE, test_copies, nothing, "the same pixels as the test face"),
        (findings.TEST_PHOTO, same_photo, nothing, "its photo also has the test face"),
        (findings.NEAR_DUPLICATE, near_own, own_copies, "nearly the same picture as"),
        (findings.TEST_NEAR_DUPLICATE, near_test, test_copies,
         "nearly the same picture as the test face"),
    )
    for kind, pairs, stronger, words in kinds:
        for face, match_face in pairs.items():
            if face in stronger:
                continue
            (index, record), (there, match) = place[face], place[match_face]
            location = "" if index == there else f" in {checked_sources[there].source.path.name}"
            score = 1.0
            if kind in (findings.NEAR_DUPLICATE, findings.TEST_NEAR_DUPLICATE):
                score = duplicates.correlation(crops[face].thumbnail, crops[match_face].thumbnail)
            yield Finding(index, record.key, kind, score, f"{words} {match.key}{location}",
                          (there, match.key))


def _identity_findings(checked_sources: list[CheckedSource]) -> Iterator[Finding]:
    """Finds faces of people (or photos, if those are the identities) that test data has too.

    Only sources of one reader are compared, since two data sets may give two people the same name.
    """
    people: dict[tuple[str, str], tuple[int, str]] = {}
    for index, checked_source in enumerate(checked_sources):
        for record in checked_source.records if checked_source.against else ():
            if record.identity:
                person = (checked_source.source.reader, record.identity)
                people.setdefault(person, (index, record.key))
    for index, checked_source in enumerate(checked_sources):
        for record in checked_source.records if not checked_source.against else ():
            if test_face := people.get((checked_source.source.reader, record.identity or "")):
                message = f"test data has {record.identity} too: {test_face[1]}"
                yield Finding(index, record.key, findings.TEST_IDENTITY, 1.0, message, test_face)


def _in_order(all_findings: list[Finding], checked_sources: list[CheckedSource]) -> list[Finding]:
    place = {
        (index, record.key): number
        for index, checked_source in enumerate(checked_sources)
        for number, record in enumerate(checked_source.records)
    }
    kinds = list(findings.KINDS)
    return sorted(all_findings, key=lambda finding: (
        finding.source, place.get((finding.source, finding.key), -1), kinds.index(finding.kind)
    ))
