"""Points of a part of the face: schemas that lack eyes, mouth or both, and sources of HELEN's."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from efld_tf.annotations import sources
from efld_tf.landmarks import schemas
from efld_tf.landmarks.schema import LandmarkSchema
from efld_tf.landmarks.schema_fields import from_fields


@dataclass(frozen=True)
class Part:
    """Some of the 68 iBUG points as a format of their own."""

    points: tuple[int, ...]
    fields: dict[str, Any]

    @property
    def name(self) -> str:
        return self.fields["name"]

    @property
    def schema(self) -> LandmarkSchema:
        """The schema, not registered, with its flip if the fields have one."""
        return from_fields(self.fields)

    @property
    def without_anchors(self) -> Part:
        """The same points without their anchors."""
        return replace(self, fields={k: v for k, v in self.fields.items() if k != "anchors"})

    def named(self, name: str, **fields: Any) -> Part:
        """The same points by another name, and with other fields."""
        return replace(self, fields={**self.fields, **fields, "name": name})

    def write(self, folder: Path, helen: Path, count: int | None = None) -> str:
        """Writes the schema's file and HELEN's first faces; returns the source."""
        records = sources.read(f"ibug:{helen}").records[:count]
        lines = [json.dumps({"image": record.image.name,
                             "points": record.points[list(self.points)].astype(float).tolist()})
                 for record in records]
        (folder / f"{self.name}.yaml").write_text(yaml.safe_dump(self.fields, sort_keys=False))
        (folder / f"{self.name}_{helen.name}.jsonl").write_text("\n".join(lines) + "\n")
        return (f"json:{folder}/{self.name}_{helen.name}.jsonl?schema={folder}/{self.name}.yaml"
                f"&images={helen}")


def _part(name: str, points: range, parts: dict[str, Any], ends: tuple[int, int],
          flip: Any = "infer", **fields: Any) -> Part:
    return Part(tuple(points), {
        "name": name, "title": f"Points of {name}", "parts": parts, "flip": flip,
        "normalisers": {"width": {"right": ends[0], "left": ends[1]}}, **fields,
    })


def _closed(points: str) -> dict[str, Any]:
    return {"points": points, "closed": True}


EYES = _part("eyes12", range(36, 48),
             {"right_eye": _closed("0-5"), "left_eye": _closed("6-11")}, (0, 9),
             anchors={"right_eye": "0,3", "left_eye": "6,9"})
MOUTH = _part("mouth20", range(48, 68),
              {"outer_lips": _closed("0-11"), "inner_lips": _closed("12-19")}, (0, 6),
              anchors={"mouth_right": 0, "mouth_left": 6})
NOSE = _part("nose9", range(27, 36),
             {"nose_bridge": {"points": "0-3"}, "nose_base": {"points": "4-8"}}, (4, 8),
             nose_tip=3)
EYE = _part("eye6", range(36, 42), {"eye": _closed("0-5")}, (0, 3), flip=list(range(6)))
HALF_JAW = _part("jaw9", range(9), {"jaw": {"points": "0-8"}}, (0, 8))
ALL = (EYES, MOUTH, NOSE, EYE, HALF_JAW)


def flip_of_68(part: Part) -> list[int] | None:
    """The part's flip as the 68 points have it; None if its mirror image is another part."""
    flip = schemas.get("ibug68").known_flip
    partners = [flip[i] for i in part.points]
    if {*partners} != {*part.points}:
        return None
    return [part.points.index(i) for i in partners]


def points_of(part: Part, helen: Path) -> np.ndarray:
    """The part's points [F, N, 2] of all of HELEN's faces in a folder."""
    records = sources.read(f"ibug:{helen}").records
    return np.stack([record.points[list(part.points)] for record in records])
