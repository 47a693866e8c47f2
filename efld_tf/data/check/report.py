"""What a check found, as JSON, as a table and as pictures."""

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

# The contact sheet: so many of the worst of each kind, tiles a row, pixels a tile.
WORST = 8
COLUMNS = 8
TILE = 224

# How much around a face is shown, in face boxes, and the side of what is drawn on, in pixels.
SHOWN = 2.2
DRAWN = 448


def summary(report: Report) -> str:
    """The numbers of findings by source and kind, as lines of text."""
    kinds = [kind for kind in findings.KINDS if any(f.kind == kind for f in report.findings)]
    lines = []
    for index, one in enumerate(report.sources):
        side = " (test data)" if one.against else ""
        lines.append(f"{one.source}{side}: {len(one.records)} faces")
        counts = report.counts(index)
        for kind in kinds:
            if kind in counts:
                lines.append(f"  {counts[kind]:7d}  {kind:20} {findings.KINDS[kind]}")
        if not counts:
            lines.append("        0  findings")
    lines += [f"note: {note}" for note in report.notes]
    rate = report.faces / max(report.seconds, 1e-6)
    lines.append(f"{report.faces} faces in {report.seconds:.1f} s, {rate:.0f} faces/s; "
                 f"{len(report.findings)} findings")
    return "\n".join(lines)


def to_json(report: Report) -> dict[str, Any]:
    """The report as it stands in `report.json`; equal for equal data (it has no times)."""
    return {
        "thresholds": asdict(report.thresholds),
        "kinds": findings.KINDS,
        "sources": [
            {
                "source": str(one.source),
                "test_data": one.against,
                "faces": len(one.records),
                "unusable_annotations": len(one.errors),
                "counts": report.counts(index),
            }
            for index, one in enumerate(report.sources)
        ],
        "notes": report.notes,
        "findings": [
            {
                "source": found.source,
                "key": found.key,
                "kind": found.kind,
                "score": round(found.score, 4),
                "message": found.message,
                **({"other": {"source": found.other[0], "key": found.other[1]}}
                   if found.other else {}),
            }
            for found in report.findings
        ],
    }


def write_sheet(path: Path, report: Report) -> bool:
    """Draws the worst faces of each kind as JPEG; whether there was one to draw."""
    records = {
        (index, record.key): record
        for index, one in enumerate(report.sources) for record in one.records
    }
    tiles, captions = [], []
    for found in worst(report.findings, WORST):
        tile = _tile(found, records)
        if tile is not None:
            tiles.append(tile)
            captions.append(f"{found.kind}: {Path(found.key).name}")
    if not tiles:
        return False
    sheet = drawing.contact_sheet(tiles, COLUMNS, TILE, captions)
    files.write_bytes(path, drawing.encoded(sheet, ".jpg", 90))
    return True


def worst(found: Sequence[Finding], count: int) -> list[Finding]:
    """The `count` findings of each kind with the highest scores, the kinds in their order."""
    by_kind: dict[str, list[Finding]] = defaultdict(list)
    for finding in found:
        by_kind[finding.kind].append(finding)
    return [
        finding for kind in findings.KINDS
        for finding in sorted(by_kind[kind], key=lambda f: -f.score)[:count]
    ]


def _tile(found: Finding, records: dict[tuple[int, str], FaceRecord]) -> np.ndarray | None:
    """The face with its points, beside the other one of a pair; None where there are no pixels."""
    places = [(found.source, found.key), *([found.other] if found.other else [])]
    try:
        pictures = [
            look.picture(records[place], read_image(records[place]), DRAWN, SHOWN)
            for place in places if place in records
        ]
    except EfldError:
        return None
    return np.hstack(pictures) if pictures else None
