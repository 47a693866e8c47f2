"""Reports the findings of a check as JSON, as a table and as pictures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from efld_tf import files
from efld_tf.annotations.images import read_image
from efld_tf.annotations.record import FaceRecord
from efld_tf.data import look
from efld_tf.data.check import findings
from efld_tf.data.check.findings import Finding
from efld_tf.data.check.run import Report
from efld_tf.errors import EfldError
from efld_tf.landmarks import drawing

# The contact sheet: the number of the worst of each kind, the tiles a row, and the pixels a tile.
WORST = 8
COLUMNS = 8
TILE = 224

# How much around a face is shown, in face boxes, and the side of the drawn picture in pixels.
SHOWN = 2.2
DRAWN = 448


def summary(report: Report) -> str:
    """The numbers of findings by source and kind, as lines of text."""
    kinds = [kind for kind in findings.KINDS if any(f.kind == kind for f in report.findings)]
    lines = []
    for index, checked_source in enumerate(report.sources):
        side = " (test data)" if checked_source.against else ""
        lines.append(f"{checked_source.source}{side}: {len(checked_source.records)} faces")
        counts = report.counts(index)
        for kind in kinds:
            if kind in counts:
                lines.append(f"  {counts[kind]:7d}  {kind:20} {findings.KINDS[kind]}")
        if not counts:
            lines.append("        0  findings")
    lines += [f"note: {note}" for note in report.notes]
    rate = report.faces / max(report.seconds, 1e-6)
    lines.append(f"{report.faces} faces in {report.seconds:.1f} s, {rate:.0f} faces/s; "
                 f"{len(report.findings)} finding{'s' * (len(report.findings) != 1)}")
    return "\n".join(lines)


def to_json(report: Report) -> dict[str, Any]:
    """The content of `report.json`; it has no times, so that equal data give equal reports."""
    return {
        "thresholds": asdict(report.thresholds),
        "kinds": findings.KINDS,
        "sources": [
            {
                "source": str(checked_source.source),
                "test_data": checked_source.against,
                "faces": len(checked_source.records),
                "unusable_annotations": len(checked_source.errors),
                "counts": report.counts(index),
            }
            for index, checked_source in enumerate(report.sources)
        ],
        "notes": report.notes,
        "findings": [
            {
                "source": finding.source,
                "key": finding.key,
                "kind": finding.kind,
                "score": round(finding.score, 4),
                "message": finding.message,
                **({"other": {"source": finding.other[0], "key": finding.other[1]}}
                   if finding.other else {}),
            }
            for finding in report.findings
        ],
    }


def write_sheet(path: Path, report: Report) -> bool:
    """Draws the worst faces of each kind as JPEG, and returns whether there was one to draw."""
    records = {
        (index, record.key): record
        for index, checked_source in enumerate(report.sources) for record in checked_source.records
    }
    tiles, captions = [], []
    for finding in worst(report.findings, WORST):
        tile = _tile(finding, records)
        if tile is not None:
            tiles.append(tile)
            captions.append(f"{finding.kind}: {Path(finding.key).name}")
    if not tiles:
        return False
    sheet = drawing.contact_sheet(tiles, COLUMNS, TILE, captions)
    files.write_bytes(path, drawing.encoded(sheet, ".jpg", 90))
    return True


def worst(all_findings: Sequence[Finding], count: int) -> list[Finding]:
    """The `count` findings of each kind with the highest scores, the kinds in their order."""
    by_kind: dict[str, list[Finding]] = defaultdict(list)
    for finding in all_findings:
        by_kind[finding.kind].append(finding)
    return [
        finding for kind in findings.KINDS
        for finding in sorted(by_kind[kind], key=lambda f: -f.score)[:count]
    ]


def _tile(finding: Finding, records: dict[tuple[int, str], FaceRecord]) -> np.ndarray | None:
    """The face with its points, beside the other face of a pair; None if there are no pixels."""
    places = [(finding.source, finding.key), *([finding.other] if finding.other else [])]
    try:
        pictures = [
            look.picture(records[place], read_image(records[place]), DRAWN, SHOWN)
            for place in places if place in records
        ]
    except EfldError:
        return None
    return np.hstack(pictures) if pictures else None
