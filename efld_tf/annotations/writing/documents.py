"""Writes faces for annotation tools, one document for all images: COCO keypoints and CVAT's XML."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import IO, Any
from xml.sax.saxutils import quoteattr

import numpy as np

from efld_tf import files
from efld_tf.annotations.coco import OCCLUDED, UNLABELLED, VISIBLE
from efld_tf.annotations.writing.annotated import AnnotatedFace, AnnotatedImage
from efld_tf.annotations.writing.lines import LineFile, is_kept
from efld_tf.annotations.writing.names import in_xml
from efld_tf.errors import EfldError
from efld_tf.landmarks import schemas
from efld_tf.landmarks.geometry import tight_box
from efld_tf.landmarks.schema import LandmarkSchema

FACE, BOX = "face", "face_box"
XML_START = '<?xml version="1.0" encoding="utf-8"?>'
CVAT_FILE, CVAT_LABELS = "annotations.xml", "labels.json"


def edges(schema: LandmarkSchema) -> list[tuple[int, int]]:
    """The lines between points of a schema's parts, as pairs of indices."""
    return [pair for part in schema.parts for pair in pairwise(part.polyline)]


class CocoWriter:
    """Writes COCO keypoints when the `with` block ends, also by Ctrl-C.

    The category has the schema's names, so that the reader `coco` knows them in any order.
    """

    def __init__(self, path: Path, schema: str, root: Path, partial: bool = True):
        """Takes the path of the file; nothing is written yet.

        Args:
          root: the folder to which the names of images are relative.
          partial: as for a `LineFile`.
        """
        self.path, self._schema, self._partial = path, schemas.get(schema), partial
        self._images: list[str] = []
        self._annotations: list[str] = []

    def __enter__(self) -> CocoWriter:
        return self

    def write(self, image: AnnotatedImage) -> None:
        """Adds an image, whose size must be known."""
        image = image.turned(True)
        number = len(self._images) + 1
        width, height = image.size or (0, 0)
        self._images.append(json.dumps(
            {"id": number, "file_name": image.name, "width": width, "height": height}))
        for face in image.faces:
            self._annotations.append(json.dumps(self._annotation(face, number)))

    def _annotation(self, face: AnnotatedFace, image: int) -> dict[str, Any]:
        visible = np.ones(len(face.points), bool) if face.visible is None else face.visible
        keypoints: list[float] = []
        for point, present, seen in zip(face.points, face.present, visible, strict=True):
            flag = (VISIBLE if seen else OCCLUDED) if present else UNLABELLED
            x, y = np.nan_to_num(point)
            keypoints += [round(float(x), 3), round(float(y), 3), flag]
        box = tight_box(face.points[face.present]) if face.box is None else face.box
        x0, y0, x1, y1 = (float(v) for v in box)
        return {
            "id": len(self._annotations) + 1, "image_id": image, "category_id": 1, "iscrowd": 0,
            "keypoints": keypoints, "num_keypoints": int(face.present.sum()),
            "bbox": [round(v, 3) for v in (x0, y0, x1 - x0, y1 - y0)],
            "area": round((x1 - x0) * (y1 - y0), 3),
            "attributes": dict(face.attributes),
        }  # fmt: skip

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:  # fmt: skip
        if not is_kept(kind, self._partial):
            return
        category = {
            "id": 1, "name": FACE, "supercategory": "person", "keypoints": [*self._schema.names],
            "skeleton": [[i + 1, j + 1] for i, j in edges(self._schema)],
        }
        with files.atomic_path(self.path) as temporary, open(temporary, "w") as file:
            file.write('{"images": [\n' + ",\n".join(self._images) + "\n],\n")
            file.write('"annotations": [\n' + ",\n".join(self._annotations) + "\n],\n")
            file.write(f'"categories": [{json.dumps(category)}]}}\n')


class CvatWriter(LineFile):
    """Writes CVAT for images 1.1: a skeleton for each face, and its box in the same group.

    A folder gets the annotations, and the labels as CVAT's raw editor takes them for a new task.
    """

    END = b"  </image>\n"

    def __init__(self, path: Path, schema: str, root: Path):
        """Takes the folder; arguments are those of `CocoWriter`."""
        super().__init__(path / CVAT_FILE)
        self._schema = schemas.get(schema)
        self._images = 0
        self._labelled = False

    def __enter__(self) -> CvatWriter:
        super().__enter__()
        for line in (XML_START, "<annotations>", "  <version>1.1</version>"):
            super().write(line)
        return self

    def write(self, image: AnnotatedImage) -> None:  # type: ignore[override]
        """Adds an image, whose size must be known.

        Raises:
          EfldError: XML cannot hold the image's name.
        """
        image = image.turned(True)
        width, height = image.size or (0, 0)
        lines = [f'  <image id="{self._images}" name={_quoted(image.name)} width="{width}" '
                 f'height="{height}">']
        for group, face in enumerate(image.faces, 1):
            lines += self._face(face, group if len(image.faces) > 1 or face.box is not None else 0)
        super().write("\n".join([*lines, "  </image>"]))
        self._images += 1
        if image.faces and not self._labelled:
            self._labelled = True
            files.write_json(self.path.with_name(CVAT_LABELS),
                             cvat_labels(self._schema, image.faces[0].points))

    def _face(self, face: AnnotatedFace, group: int) -> list[str]:
        common = f'source="auto" z_order="0" group_id="{group}"'
        lines = [f'    <skeleton label="{FACE}" {common}>']
        present = face.points[face.present]
        elsewhere = present.mean(axis=0)  # where a point that is not annotated waits in CVAT
        visible = np.ones(len(face.points), bool) if face.visible is None else face.visible
        for name, point, there, seen in zip(
            self._schema.names, face.points, face.present, visible, strict=True
        ):
            x, y = point if there else elsewhere
            lines.append(f'      <points label={_quoted(name)} source="auto" '
                         f'occluded="{int(there and not seen)}" outside="{int(not there)}" '
                         f'points="{x:.3f},{y:.3f}"></points>')
        lines.append("    </skeleton>")
        if face.box is not None:
            x0, y0, x1, y1 = face.box
            lines.append(f'    <box label="{BOX}" {common} occluded="0" xtl="{x0:.3f}" '
                         f'ytl="{y0:.3f}" xbr="{x1:.3f}" ybr="{y1:.3f}"></box>')
        return lines

    @classmethod
    def recover(cls, path: Path) -> Path | None:
        """Takes the folder."""
        return super().recover(path / CVAT_FILE)

    @staticmethod
    def _finish(file: IO[bytes]) -> None:
        file.write(b"</annotations>\n")


def cvat_labels(schema: LandmarkSchema, points: np.ndarray) -> list[dict[str, Any]]:
    """The labels of a task as CVAT's raw editor takes them: the skeleton and the box.

    Args:
      points: [N, 2], a face that shows how the skeleton is drawn at first.
    """
    present = np.isfinite(points).all(axis=-1)
    low, high = points[present].min(axis=0), points[present].max(axis=0)
    drawn = 10 + 80 * (np.nan_to_num(points, nan=float(low.mean())) - low) / (high - low).max()
    svg = [f'<line x1="{drawn[i, 0]:.2f}" y1="{drawn[i, 1]:.2f}" x2="{drawn[j, 0]:.2f}" '
           f'y2="{drawn[j, 1]:.2f}" stroke="black" stroke-width="0.5" data-type="edge" '
           f'data-node-from="{i + 1}" data-node-to="{j + 1}"></line>' for i, j in edges(schema)]
    svg += [f'<circle r="0.75" stroke="black" fill="#b3b3b3" stroke-width="0.1" cx="{x:.2f}" '
            f'cy="{y:.2f}" data-type="element node" data-element-id="{i}" data-node-id="{i}" '
            f'data-label-name={_quoted(name)}></circle>'
            for i, (name, (x, y)) in enumerate(zip(schema.names, drawn, strict=True), 1)]
    return [
        {"name": FACE, "type": "skeleton", "attributes": [], "svg": "".join(svg),
         "sublabels": [{"name": name, "type": "points", "attributes": []}
                       for name in schema.names]},
        {"name": BOX, "type": "rectangle", "attributes": []},
    ]


def _quoted(text: str) -> str:
    """A text as an attribute's value with its quotes.

    Raises:
      EfldError: XML cannot hold it.
    """
    if reason := in_xml(text):
        raise EfldError(f"{text!r}: {reason}")
    return quoteattr(text, {"\n": "&#10;", "\r": "&#13;", "\t": "&#9;"})
