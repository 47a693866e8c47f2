from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from efld_tf.annotations import coco_wholebody, ibug, sources
from efld_tf.annotations.record import FaceRecord
from efld_tf.landmarks import schemas
from tests.annotations.real import assert_upright
from tests.annotations.writers import some_points, write_image
from tests.errors import assert_refusal, assert_told, refuses

NAME = "coco_wholebody_val_v1.0.json"

# The face of annotation 442619 of the published example, x and y of every second point of the jaw,
# the eye corners and the mouth's.
PUBLISHED = {
    0: (355.823, 75.36), 4: (360.146, 89.6578), 8: (372.191, 96.1419), 12: (382.903, 86.2741),
    16: (383.903, 71.3861), 36: (358.705, 75.4542), 39: (364.302, 74.6834),
    42: (369.771, 73.7734), 45: (375.722, 72.7144), 48: (363.184, 86.9317), 54: (375.083, 84.8901),
}  # fmt: skip


def _face(points: np.ndarray, flags: float | list[float] = 1.0) -> list[float]:
    values = np.column_stack([points.astype(float), np.broadcast_to(flags, len(points))])
    return [float(value) for value in values.ravel()]


def _annotation(**fields: Any) -> dict[str, Any]:
    """An annotation of a person with all fields of version 1.0."""
    hand = [0.0] * 63
    return {
        "segmentation": [[353.37, 67.65, 358.15, 52.37]], "num_keypoints": 17, "area": 27789.11055,
        "iscrowd": 0, "keypoints": [367, 81, 2] * 17, "image_id": 785,
        "bbox": [280.79, 44.73, 218.7, 346.68], "category_id": 1, "id": 442619,
        "face_box": [10.5, 20, 26.5, 25], "lefthand_box": [0.0] * 4, "righthand_box": [0.0] * 4,
        "lefthand_kpts": hand, "righthand_kpts": hand, "face_kpts": _face(some_points(68)),
        "face_valid": True, "lefthand_valid": False, "righthand_valid": False, "foot_valid": True,
        "foot_kpts": [439, 378, 2] * 6,
    } | fields  # fmt: skip


def _write(folder: Path, *annotations: Any, images: Any = None, photo: str = "") -> Path:
    write_image(folder / (photo or "val2017/000000000785.jpg"))
    listed = [{
        "license": 4, "file_name": "000000000785.jpg", "height": 408, "width": 408, "id": 785,
        "coco_url": "http://images.cocodataset.org/val2017/000000000785.jpg",
    }]  # fmt: skip
    content = {
        "info": {"description": "COCO-WholeBody", "version": "1.0", "year": "2020"},
        "licenses": [{"id": 4, "name": "Attribution License"}],
        "categories": [{"supercategory": "person", "id": 1, "name": "person",
                        "keypoints": ["nose", "left_eye"], "skeleton": [[1, 2]]}],
        "images": listed if images is None else images, "annotations": list(annotations),
    }  # fmt: skip
    path = folder / "annotations" / NAME
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def test_a_face_of_the_published_layout(tmp_path: Path) -> None:
    path = _write(tmp_path, _annotation(), _annotation(id=7, face_box=[0.0] * 4))
    first, second = coco_wholebody.read(path)
    assert first.image == tmp_path / "val2017" / "000000000785.jpg"
    np.testing.assert_allclose(first.points, some_points(68), atol=1e-3)
    np.testing.assert_array_equal(first.box, [10.5, 20, 37, 45])
    assert (first.schema, first.identity) == ("ibug68", "000000000785.jpg")
    assert first.visible is None and first.image_size == (408, 408)
    assert second.box is None  # all 0: none


def test_the_points_are_ibug_s() -> None:
    """Those of the published face, by what iBUG's schema says of them."""
    points = np.full((68, 2), np.nan, np.float32)
    for index, point in PUBLISHED.items():
        points[index] = point
    record = FaceRecord(Path("a.jpg"), points, "ibug68")
    assert_upright(record)
    flip = schemas.get("ibug68").known_flip
    mirrored = points[list(flip)]
    known = sorted(PUBLISHED)
    right, left = points[known, 0], mirrored[known, 0]
    towards_left = np.array(known) < np.array(flip)[known]
    assert (right[towards_left] < left[towards_left]).all()


def test_real_faces(shared_data: Path, tmp_path: Path) -> None:
    truths = list(ibug.read(shared_data / "ibug" / "helen" / "testset"))[:6]
    images, annotations = [], []
    for number, truth in enumerate(truths):
        height, width = cv2.imread(str(truth.image)).shape[:2]
        images.append({"id": number, "file_name": truth.image.name, "width": width,
                       "height": height})
        annotations.append(_annotation(
            id=number, image_id=number, face_kpts=_face(truth.points), face_box=[1, 2, 90, 90]))
    path = _write(tmp_path, *annotations, images=images)
    folder = shared_data / "ibug" / "helen" / "testset"
    found = sources.read(f"coco_wholebody:{path}?images={folder}")
    assert len(found.records) == 6
    for record, truth in zip(found.records, truths, strict=True):
        np.testing.assert_allclose(record.points, truth.points, atol=1e-3)
        assert record.image == truth.image


def test_points_that_are_not_labelled(tmp_path: Path) -> None:
    """v above 0 is a label, be it 1, 2 or what a model was sure of; it tells of no occlusion."""
    flags = [0.0] * 3 + [1.0] * 30 + [2.0] * 30 + [0.53] * 5
    points = some_points(68)
    points[:3] = 0
    (record,) = coco_wholebody.read(_write(tmp_path, _annotation(face_kpts=_face(points, flags))))
    assert np.isnan(record.points[:3]).all()
    np.testing.assert_allclose(record.points[3:], points[3:], atol=1e-3)
    assert record.visible is None


def test_people_without_a_valid_face_are_counted(tmp_path: Path) -> None:
    zeros = {"face_kpts": [0.0] * 204, "face_box": [0.0] * 4}
    path = _write(
        tmp_path, _annotation(face_valid=False, **zeros), _annotation(**zeros), _annotation(),
        _annotation(face_valid=False, face_kpts=5), _annotation(face_valid=0),
    )
    face, note = coco_wholebody.read(path)
    assert isinstance(face, FaceRecord)
    assert_told(note.text, "4 annotations", "valid face")


@pytest.mark.parametrize(("option", "faces"), [({}, 2), ({"min_face": "0"}, 3),
                                               ({"min_face": "26"}, 1)])
def test_small_faces(tmp_path: Path, option: dict[str, str], faces: int) -> None:
    path = _write(tmp_path, _annotation(), _annotation(face_box=[1, 2, 8, 15.5]),
                  _annotation(face_box=[1, 2, 16, 3]))
    *records, note = [*coco_wholebody.read(path, **option), None]
    if faces < 3:
        note = records.pop()
        assert_told(note.text, "1 face" if faces == 2 else "2 faces", "min_face")
    assert len(records) == faces


@pytest.mark.parametrize("photo", [
    "annotations/000000000785.jpg", "annotations/images/000000000785.jpg",
    "images/val2017/000000000785.jpg", "val2017/000000000785.jpg",
    "annotations/val2017/000000000785.jpg",
])  # fmt: skip
def test_where_photos_lie(tmp_path: Path, photo: str) -> None:
    (record,) = coco_wholebody.read(_write(tmp_path, _annotation(), photo=photo))
    assert record.image.resolve() == (tmp_path / photo).resolve()


def test_a_resized_photo_is_refused(tmp_path: Path) -> None:
    listed = [{"id": 785, "file_name": "000000000785.jpg", "height": 425, "width": 640}]
    path = _write(tmp_path, _annotation(), images=listed)
    with refuses("640 x 425", "408 x 408", "cropped"):
        sources.read(f"coco_wholebody:{path}")


@pytest.mark.parametrize(
    ("annotation", "facts"),
    [
        (5, ["number 1", "object"]),
        (_annotation(face_kpts=None), [442619, "face_kpts", "list"]),
        (_annotation(face_kpts=[1.0] * 51), [442619, "face_kpts", 204, 51]),
        (_annotation(face_kpts=["1"] * 204), [442619, "face_kpts", "str"]),
        (_annotation(face_kpts=[float("nan")] * 204), [442619, "face_kpts", "NaN"]),
        (_annotation(face_kpts=[-1] * 204), [442619, "face_kpts", "v"]),
        (_annotation(face_box=[1, 2, 3]), [442619, "face_box", "width", "height"]),
        (_annotation(face_box=[1, 2, -3, 4]), [442619, "face box", "1 to -2"]),
        (_annotation(image_id=4), [442619, "image", "id", 4]),
    ],
)  # fmt: skip
def test_a_bad_annotation_is_one_error(
    tmp_path: Path, annotation: Any, facts: list[object]
) -> None:
    path = _write(tmp_path, _annotation(), annotation, _annotation())
    first, error, last = coco_wholebody.read(path)
    assert isinstance(first, FaceRecord) and isinstance(last, FaceRecord)
    assert_refusal(error, *facts, path=path)


@pytest.mark.parametrize("name", ["../../a.jpg", "/etc/passwd", "C:\\a.jpg"])
def test_images_lie_inside_the_folder(tmp_path: Path, name: str) -> None:
    write_image(tmp_path / "a.jpg")
    path = _write(tmp_path / "data", _annotation(), images=[{"id": 785, "file_name": name}])
    (error,) = coco_wholebody.read(path)
    assert_refusal(error, "inside", repr(name), path=path)


def test_the_file_must_be_coco_wholebody_s(tmp_path: Path) -> None:
    plain = _annotation()
    del plain["face_valid"]
    path = _write(tmp_path, plain)
    with refuses("face_valid", "coco:FILE", path=path):
        list(coco_wholebody.read(path))
    for text, facts in (("[1]", ["images", "annotations"]), ('{"images": []}', ["annotations"]),
                        ("{", ["JSON"])):
        path.write_text(text)
        with refuses(*facts, path=path, line=1 if text == "{" else None):
            list(coco_wholebody.read(path))


def test_only_what_is_needed_is_kept_in_memory(tmp_path: Path) -> None:
    """The published files take some 100 MB, most of it polygons, bodies and hands."""
    others = [_annotation(id=n, face_valid=False, segmentation=[[n + 0.5, 1.5] * 400])
              for n in range(300)]
    path = _write(tmp_path, _annotation(), *others)
    tracemalloc.start()
    faces = coco_wholebody.read(path)
    assert isinstance(next(faces), FaceRecord)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    whole = sum(24 * len(a["segmentation"][0]) for a in others)  # a number takes 24 bytes
    assert held < whole / 5


def test_wrong_use(tmp_path: Path) -> None:
    path = _write(tmp_path, _annotation())
    with refuses("min_face", "pixels", "'x'"):
        list(coco_wholebody.read(path, min_face="x"))
    with refuses("images", "nowhere"):
        list(coco_wholebody.read(path, images="nowhere"))
