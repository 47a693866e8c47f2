from __future__ import annotations

import itertools
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from efld_tf.annotations import images, sources
from efld_tf.annotations.format import Note
from efld_tf.annotations.record import FaceRecord
from efld_tf.annotations.tools import label_studio
from efld_tf.annotations.tools.label_studio_images import addresses
from efld_tf.annotations.tools.local_copies import Address
from efld_tf.errors import DataError
from efld_tf.landmarks import schemas
from tests.annotations.writers import write_image
from tests.errors import assert_refusal, assert_told, refuses

FIVE = schemas.get("mtfl5").names
POINTS = np.array([[120.5, 100.25], [180, 101], [150.75, 140], [130, 170], [170, 172.5]])
SIZE = (408, 408)
PERCENT = 100 / np.array(SIZE)
NUMBERS = itertools.count(0xA1B2C3D4E)


def _result(
    kind: str, value: Mapping[str, Any], label: str | None, *, id: str = "", parent: str = "",
    control: str = "", size: tuple[int, int] | None = SIZE, turned: int = 0, **more: Any,
) -> dict[str, Any]:
    """A region as Label Studio 1.18 exports it."""
    labels = {} if label is None else {kind: [label]}
    result = {
        "id": id or f"{next(NUMBERS):x}", "type": kind,
        "value": {**value, **labels}, "origin": "manual", "to_name": "image",
        "from_name": control or ("points" if kind.startswith("keypoint") else "boxes"),
        "image_rotation": turned,
    }
    if parent:
        result["parentID"] = parent
    if size is not None:
        result |= {"original_width": size[0], "original_height": size[1]}
    return result | more


def _point(at: np.ndarray, label: str | None, kind: str = "keypointlabels", **more: Any) -> Any:
    x, y = np.asarray(at) * 100 / np.array(more.get("size") or SIZE)
    return _result(kind, {"x": x, "y": y, "width": 0.2285263987391647}, label, **more)


def _points(
    points: np.ndarray = POINTS, names: Sequence[str] = FIVE, **more: Any
) -> list[dict[str, Any]]:
    return [_point(point, name, **more) for point, name in zip(points, names, strict=True)]


def _box(x0: float, y0: float, x1: float, y1: float, label: str = "face", **more: Any) -> Any:
    rotation = more.pop("rotation", 0)
    x, y, width, height = np.array([x0, y0, x1 - x0, y1 - y0]) * np.tile(PERCENT, 2)
    value = {"x": x, "y": y, "width": width, "height": height, "rotation": rotation}
    return _result("rectanglelabels", value, label, **more)


def _annotation(*results: Any, id: int = 22, **fields: Any) -> dict[str, Any]:
    return {
        "id": id, "completed_by": 1, "result": list(results), "was_cancelled": False,
        "ground_truth": False, "created_at": "2025-01-30T02:40:43.893565Z",
        "updated_at": "2025-01-30T02:40:43.893578Z",
        "draft_created_at": "2025-01-30T02:40:42.917892Z", "lead_time": 8.65, "prediction": {},
        "result_count": 0, "unique_id": "3bc9da85-967f-47a1-bfa8-410206e54cf9", "import_id": None,
        "last_action": None, "bulk_created": False, "task": 87, "project": 29, "updated_by": 1,
        "parent_prediction": None, "parent_annotation": None, "last_created_by": None,
    } | fields  # fmt: skip


def _task(*annotations: Any, id: int = 87, image: Any = "a.jpg", **fields: Any) -> dict[str, Any]:
    return {
        "id": id, "annotations": list(annotations), "file_upload": "a.jpg", "drafts": [],
        "predictions": [], "data": {"image": image}, "meta": {},
        "created_at": "2025-01-30T02:40:33.867975Z", "updated_at": "2025-01-30T02:40:43.923985Z",
        "inner_id": 1, "total_annotations": 1, "cancelled_annotations": 0, "total_predictions": 0,
        "comment_count": 0, "unresolved_comment_count": 0, "last_comment_updated_at": None,
        "project": 29, "updated_by": 1, "comment_authors": [],
    } | fields  # fmt: skip


def _minimal(*results: Any, id: int = 87, image: str = "a.jpg", annotation: Any = 22) -> Any:
    """A record of JSON-MIN, as `convert_to_json_min` makes it of results."""
    record: dict[str, Any] = {"image": image, "id": id}
    for result in results:
        sizes = {key: result[key] for key in ("original_width", "original_height")
                 if key in result}
        record.setdefault(result["from_name"], []).append(result["value"] | sizes)
    return record | {
        "annotator": 1, "annotation_id": annotation, "created_at": "2025-01-30T02:40:43.893565Z",
        "updated_at": "2025-01-30T02:40:43.893578Z", "lead_time": 8.65,
    }


def _write(folder: Path, *tasks: Any, files: Sequence[str] = ("a.jpg", "sub/b.jpg")) -> Path:
    for name in files:
        write_image(folder / name)
    path = folder / "project-1-at-2025-01-30.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(list(tasks)))
    return path


def _read(path: Path, **options: str) -> tuple[list[FaceRecord], list[DataError], list[str]]:
    items = list(label_studio.read(path, **{"schema": "mtfl5", **options}))
    return ([item for item in items if isinstance(item, FaceRecord)],
            [item for item in items if isinstance(item, DataError)],
            [item.text for item in items if isinstance(item, Note)])


@pytest.mark.parametrize("minimal", [False, True])
def test_points_are_the_face_of_an_image(tmp_path: Path, minimal: bool) -> None:
    results = _points()[::-1]
    path = _write(tmp_path, _minimal(*results) if minimal else _task(_annotation(*results)))
    (record,), errors, notes = _read(path)
    assert not errors and not notes
    np.testing.assert_allclose(record.points, POINTS, rtol=1e-6)
    assert (record.image, record.identity) == (tmp_path / "a.jpg", "a.jpg")
    assert (record.image_size, record.upright, record.normalised) == (SIZE, True, False)
    assert (record.box, record.visible) == (None, None)


def test_one_task_alone(tmp_path: Path) -> None:
    """As Label Studio writes it into a target storage."""
    path = _write(tmp_path)
    path.write_text(json.dumps(_task(_annotation(*_points()))))
    (record,), errors, _ = _read(path)
    assert not errors
    np.testing.assert_allclose(record.points, POINTS, rtol=1e-6)


def test_numbers_sorted_as_texts_and_missing_points(tmp_path: Path) -> None:
    names = [str(i) for i in range(15)]
    points = np.random.default_rng(0).uniform(10, 400, (15, 2))
    order = [i for i in sorted(range(15), key=str) if i != 7]
    results = _points(points[order], [names[i] for i in order])
    (record,), errors, _ = _read(
        _write(tmp_path, _task(_annotation(*results))), schema="kaggle15")
    assert not errors and np.isnan(record.points[7]).all()
    np.testing.assert_allclose(record.points[order], points[order], rtol=1e-5)


def test_points_below_a_box_are_its_face(tmp_path: Path) -> None:
    """Even if it does not hold them, and whatever else holds them."""
    person = _box(0, 0, 400, 400, "person", id="person")
    one = _box(100, 90, 200, 180, id="one", parent="person")
    two = _box(5, 5, 30, 30, id="two")
    results = [
        person, one, two, *_points(parent="one"), *_points(POINTS + 2, parent="two"),
        {"type": "relation", "from_id": "one", "to_id": "two", "direction": "right"},
    ]
    path = _write(tmp_path, _task(_annotation(*results)))
    (first, second), errors, (note,) = _read(path)
    assert not errors
    assert_told(note, 1, "'person'")
    np.testing.assert_allclose(first.points, POINTS, rtol=1e-6)
    np.testing.assert_allclose(first.box, [100, 90, 200, 180], rtol=1e-6)
    np.testing.assert_allclose(second.points, POINTS + 2, rtol=1e-6)
    np.testing.assert_allclose(second.box, [5, 5, 30, 30], rtol=1e-6)


EYES, REST = POINTS[:2], POINTS[2:]


def _face(
    shift: float = 0, *, id: str, parent: str = "", eyes: str = "eyes", label: str = "face"
) -> list[dict[str, Any]]:
    """A face's box with points below it, and those of the eyes below a box of their own."""
    corners = np.array([100, 90, 200, 180]) + shift
    return [
        _box(*corners, label, id=id, parent=parent),
        *_points(REST + shift, FIVE[2:], parent=id),
        _box(*(np.array([110, 95, 190, 110]) + shift), eyes, id=f"{id} eyes", parent=id),
        *_points(EYES + shift, FIVE[:2], parent=f"{id} eyes"),
    ]


@pytest.mark.parametrize("option", [{}, {"category": "face"}])
def test_regions_below_the_face(tmp_path: Path, option: dict[str, str]) -> None:
    """Those of its parts, and of a person and a crowd above it, in any order."""
    results = [
        _box(0, 0, 405, 405, "crowd", id="crowd"), _box(5, 5, 300, 300, "person", id="person",
                                                        parent="crowd"),
        *_face(id="one", parent="person"), *_face(150, id="two", parent="crowd")]
    for order in (results, results[::-1]):
        records, errors, notes = _read(_write(tmp_path, _task(_annotation(*order))), **option)
        assert not errors
        first, second = sorted(records, key=lambda record: float(record.points[0, 0]))
        np.testing.assert_allclose(first.points, POINTS, rtol=1e-6)
        np.testing.assert_allclose(first.box, [100, 90, 200, 180], rtol=1e-6)
        np.testing.assert_allclose(second.points, POINTS + 150, rtol=1e-6)
        np.testing.assert_allclose(second.box, [250, 240, 350, 330], rtol=1e-6)
        assert_told("\n".join(notes), 2, "'eyes'")


def test_the_usual_region_is_that_of_a_face_of_one_part(tmp_path: Path) -> None:
    one = _box(100, 90, 200, 180, id="f"), _box(110, 95, 190, 110, "eyes", id="e", parent="f")
    path = _write(tmp_path, _task(_annotation(*one, *_points(EYES, FIVE[:2], parent="e"))),
                  _task(_annotation(*_face(id="one"))), _task(_annotation(*_face(id="one"))))
    (partial, *_), errors, _ = _read(path)
    assert not errors
    np.testing.assert_allclose(partial.box, [100, 90, 200, 180], rtol=1e-6)


def test_a_name_twice_below_a_face_does_not_make_faces_of_its_parts(tmp_path: Path) -> None:
    results = [*_face(id="one"), _point([150, 150], FIVE[0], parent="one")]
    path = _write(tmp_path, _task(_annotation(*results)))
    records, (error,), _ = _read(path)
    assert not records
    assert_refusal(error, repr(FIVE[0]), "parentID", path=path)


def test_parts_of_a_face_that_no_region_holds_together(tmp_path: Path) -> None:
    results = [
        _box(110, 95, 190, 110, "eyes", id="e"), *_points(EYES, FIVE[:2], parent="e"),
        _box(110, 120, 190, 180, "rest", id="r"), *_points(REST, FIVE[2:], parent="r")]
    loose = [{key: value for key, value in result.items() if key != "parentID"}
             for result in results]
    for some in (results, loose):
        path = _write(tmp_path, _task(_annotation(*some)))
        records, (error,), _ = _read(path)
        assert not records
        assert_refusal(error, "'eyes'", "'rest'", "parentID", "category=NAME", path=path)
    assert len(_read(path, category="eyes,rest")[0]) == 2
    (record,), _, _ = _read(path, category="face")  # there is no such box
    np.testing.assert_allclose(record.points, POINTS, rtol=1e-6)


def test_parts_without_names(tmp_path: Path) -> None:
    results = [
        _box(100, 90, 200, 180, id="f"), _box(110, 95, 190, 110, "eyes", id="e", parent="f"),
        *_points(EYES, ["x"] * 2, parent="e"), *_points(REST, ["x"] * 3, parent="f")]
    (record,), errors, _ = _read(
        _write(tmp_path, _task(_annotation(*results))), names="ignore")
    assert not errors
    np.testing.assert_allclose(record.points, POINTS, rtol=1e-6)


def test_regions_too_deep_below_others(tmp_path: Path) -> None:
    boxes = [_box(1, 2, 3, 4, id=f"b{i}", parent=f"b{i + 1}") for i in range(100)]
    path = _write(tmp_path, _task(_annotation(*boxes)), _task(_annotation(*_points()), id=88))
    (record,), (error,), _ = _read(path)
    assert_refusal(error, "'87'", 32, path=path)
    assert record.image.name == "a.jpg"


def test_points_below_a_point(tmp_path: Path) -> None:
    """A region may be dragged below any other; one that went round in a circle is no group."""
    first, *others = _points(id="", parent="")
    first["id"] = "top"
    for other in others:
        other["parentID"] = "top"
    results = [first, *others, *_points(POINTS + 100, parent="gone")]
    (one, two), errors, _ = _read(_write(tmp_path, _task(_annotation(*results))))
    assert not errors
    np.testing.assert_allclose(one.points, POINTS, rtol=1e-6)
    np.testing.assert_allclose(two.points, POINTS + 100, rtol=1e-6)
    first["parentID"] = others[0]["id"]
    others[0]["parentID"] = "top"
    items = list(label_studio.read(_write(tmp_path, _task(_annotation(*results))), schema="mtfl5"))
    assert items  # it ends


@pytest.mark.parametrize("minimal", [False, True])
def test_loose_points_go_by_the_boxes_that_hold_them(tmp_path: Path, minimal: bool) -> None:
    far = POINTS + 200
    results = [_box(100, 90, 200, 180), *_points(), *_points(far), _box(300, 290, 390, 385)]
    path = _write(tmp_path, _minimal(*results) if minimal else _task(_annotation(*results)))
    (first, second), errors, notes = _read(path)
    assert not errors and not notes
    np.testing.assert_allclose(first.points, POINTS, rtol=1e-6)
    np.testing.assert_allclose(second.points, far, rtol=1e-6)
    np.testing.assert_allclose(second.box, [300, 290, 390, 385], rtol=1e-6)
    # Without boxes, there are two points of each name.
    path = _write(tmp_path, _task(_annotation(*_points(), *_points(far))))
    _, (error,), _ = _read(path)
    assert_refusal(error, "'right_eye_centre'", "parentID", path=path)


def test_labels_of_another_control_at_the_same_region(tmp_path: Path) -> None:
    """`KeyPoint` with `Labels`: two results of one region; answers to a box are attributes."""
    results = []
    for number, (point, name) in enumerate(zip(POINTS, FIVE, strict=True)):
        plain = _point(point, None, "keypoint", id=f"p{number}", control="keypoint")
        label = _point(point, name, "labels", id=f"p{number}", control="labels")
        results += [plain, label]
    box = _box(100, 90, 200, 180, id="box")
    answer = {**box, "type": "choices", "from_name": "glasses"}
    answer["value"] = {**box["value"], "choices": ["yes", "tinted"]}
    del answer["value"]["rectanglelabels"]
    results += [box, answer, {**answer, "id": "other", "value": {"choices": ["male"]}}]
    (record,), errors, notes = _read(_write(tmp_path, _task(_annotation(*results))))
    assert not errors and not notes
    np.testing.assert_allclose(record.points, POINTS, rtol=1e-6)
    assert record.attributes == {"glasses": "yes, tinted"}
    (record,), errors, _ = _read(_write(tmp_path, _minimal(*results)))
    assert not errors
    np.testing.assert_allclose(record.points, POINTS, rtol=1e-6)


def test_turned_boxes(tmp_path: Path) -> None:
    """They turn clockwise about their top left corner: by a quarter to its lower left."""
    box = _box(200, 90, 290, 180 + 8, rotation=90)
    (record,), _, _ = _read(_write(tmp_path, _task(_annotation(box, *_points()))))
    np.testing.assert_allclose(record.box, [200 - 98, 90, 200, 180], rtol=1e-6)


def test_what_is_no_face_is_counted(tmp_path: Path) -> None:
    polygon = _result("polygonlabels", {"points": [[1, 2], [3, 4], [5, 6]], "closed": True}, "hair")
    ellipse = _result("ellipselabels", {
        "x": 8.4, "y": 83.2, "radiusX": 1.1, "radiusY": 1.4, "rotation": 0}, "hair")
    brush = _result("brushlabels", {"format": "rle", "rle": [0, 1, 2]}, "skin")
    spots = [_point([50, 60], "spot", control="spots"), _point([55, 60], "mole", control="spots")]
    results = [polygon, ellipse, brush, *spots, _box(300, 300, 310, 310, "car"), *_points()]
    path = _write(tmp_path, _task(_annotation(*results)),
                  _task(_annotation(polygon), id=88, image="gone.jpg"))
    (record,), errors, notes = _read(path)
    assert not errors and record.box is None
    np.testing.assert_allclose(record.points, POINTS, rtol=1e-6)
    for note, facts in zip(
        notes, [(1, "'car'"), (3, "'hair'"), (1, "'skin'"), (2, "'spots'")], strict=True
    ):
        assert_told(note, *facts)


def test_controls_by_name(tmp_path: Path) -> None:
    numbers = [str(i) for i in range(5)]
    hand = _points(POINTS[:3], numbers[:3], control="hand")
    path = _write(tmp_path, _task(_annotation(*_points(POINTS, numbers), *hand)))
    with refuses("'hand'", "'points'", "control=", "mtfl5", path=path):
        _read(path)
    (record,), errors, (note,) = _read(path, control="points")
    assert not errors
    np.testing.assert_allclose(record.points, POINTS, rtol=1e-6)
    assert_told(note, 3, "'hand'")
    with refuses("control", "'feet'", "'hand'", "'points'", path=path):
        _read(path, control="points,feet")


def test_misspelt_labels_are_refused(tmp_path: Path) -> None:
    path = _write(tmp_path, _task(_annotation(*_points(names=[*FIVE[:4], "mouth"]))))
    with refuses("mtfl5", "'mouth'", "'mouth_left_corner'", "names=ignore", path=path):
        _read(path)
    (record,), _, _ = _read(path, names="ignore", origin="0.5")
    np.testing.assert_allclose(record.points, POINTS - 0.5, rtol=1e-5)


def test_skipped_and_unannotated_tasks(tmp_path: Path) -> None:
    prediction = {"id": 5, "model_version": "m", "result": _points(POINTS + 7), "score": 0.5}
    path = _write(
        tmp_path,
        _task(_annotation(*_points(POINTS + 9), was_cancelled=True), _annotation(*_points()),
              predictions=[prediction]),
        _task(_annotation(*_points(), was_cancelled=True), id=88, image="gone.jpg"),
        _task(id=89, image="gone.jpg", predictions=[prediction, prediction]),
        _task(_annotation(), id=90, image="gone.jpg"),  # no face is there
        _minimal(id=91, image="gone.jpg", annotation=None),
    )
    (record,), errors, notes = _read(path)
    assert not errors
    np.testing.assert_allclose(record.points, POINTS, rtol=1e-6)
    for note, facts in zip(notes, [(3, "predictions"), (2, "skipped"), (3, "unannotated")],
                           strict=True):
        assert_told(note, *facts)


@pytest.mark.parametrize("minimal", [False, True])
def test_several_annotations_of_an_image(tmp_path: Path, minimal: bool) -> None:
    old, new = _points(), _points(POINTS + 3)
    early, late = "2025-01-30T02:40:43.893578Z", "2025-02-01T00:00:00.000000Z"
    if minimal:
        tasks = [_minimal(*new, annotation=23) | {"updated_at": late},
                 _minimal(*old) | {"updated_at": early}]
    else:
        tasks = [_task(_annotation(*new, id=23, updated_at=late),
                       _annotation(*old, updated_at=early))]
    path = _write(tmp_path, *tasks)
    _, (error,), _ = _read(path)
    assert_refusal(error, "'87'", 2, "several=newest", "several=oldest", path=path)
    for several, expected in (("newest", POINTS + 3), ("oldest", POINTS)):
        (record,), errors, (note,) = _read(path, several=several)
        assert not errors
        np.testing.assert_allclose(record.points, expected, rtol=1e-6)
        assert_told(note, 1, "annotation")


def test_the_ground_truth_of_several_annotations(tmp_path: Path) -> None:
    path = _write(tmp_path, _task(
        _annotation(*_points(POINTS + 3)), _annotation(*_points(), ground_truth=True),
        _annotation(*_points(POINTS + 4))))
    (record,), errors, notes = _read(path)
    assert not errors and not notes
    np.testing.assert_allclose(record.points, POINTS, rtol=1e-6)


def test_images_turned_while_annotating(tmp_path: Path) -> None:
    """The view is turned, and the points stay those of the unturned image; of old exports not."""
    task = _task(_annotation(*_points(turned=270)))
    (record,), errors, (note,) = _read(_write(tmp_path, task))
    assert not errors
    np.testing.assert_allclose(record.points, POINTS, rtol=1e-6)
    assert_told(note, 1, "image_rotation", "unturned")
    task["completions"] = task.pop("annotations")
    path = _write(tmp_path, task)
    _, (error,), _ = _read(path)
    assert_refusal(error, "'87'", "image_rotation", "turned", path=path)
    # Other old exports are read.
    task = _task(completions=[{
        "created_at": 1603000000, "id": 1, "lead_time": 3.5, "result": _points()}])
    del task["annotations"]
    (record,), errors, _ = _read(_write(tmp_path, task))
    assert not errors
    np.testing.assert_allclose(record.points, POINTS, rtol=1e-6)


def test_shares_of_an_image_of_unknown_size(tmp_path: Path) -> None:
    results = [_box(100, 90, 200, 180, size=None), *_points(size=None)]
    path = _write(tmp_path, _task(_annotation(*results)))
    (record,), errors, _ = _read(path)
    assert not errors and record.normalised and record.image_size is None
    np.testing.assert_allclose(record.points, POINTS / 408, rtol=1e-6)
    (record,) = sources.read(f"label_studio:{path}?schema=mtfl5").records
    np.testing.assert_allclose(record.points, POINTS, rtol=1e-5)
    np.testing.assert_allclose(record.box, [100, 90, 200, 180], rtol=1e-5)
    results[0]["value"]["rotation"] = 5
    _, (error,), _ = _read(_write(tmp_path, _task(_annotation(*results))))
    assert_refusal(error, "original_width", "turned", path=path)


def test_a_photo_that_is_stored_turned(tmp_path: Path) -> None:
    """A browser shows it upright, and Label Studio states its size so."""
    photo = Image.fromarray(np.full((300, 400, 3), 90, np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    path = _write(tmp_path, _task(_annotation(*_points(size=(300, 400)))))
    photo.save(tmp_path / "a.jpg", exif=exif)
    (record,) = sources.read(f"label_studio:{path}?schema=mtfl5").records
    assert record.upright is True
    np.testing.assert_allclose(record.points, POINTS, rtol=1e-6)
    assert images.read_image(record).shape == (400, 300, 3)


@pytest.mark.parametrize("option", ["", "&sizes=ignore", "&sizes=scale"])
def test_a_photo_that_was_shrunk_since(tmp_path: Path, option: str) -> None:
    """Percentages are right in any size, whatever is said of the stated one."""
    box = _box(100, 90, 300, 320, size=(816, 816))
    path = _write(tmp_path, _task(_annotation(*_points(2 * POINTS, size=(816, 816)), box)))
    (record,) = sources.read(f"label_studio:{path}?schema=mtfl5{option}").records
    # Halved about the corner of the image, half a pixel before the first pixel's centre.
    np.testing.assert_allclose(record.points, POINTS - 0.25, rtol=1e-5)
    np.testing.assert_allclose(record.box, [99.75, 89.75, 299.75, 319.75], rtol=1e-5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.jpg", [("a.jpg",)]),
        ("photos/a b.jpg", [("photos", "a b.jpg")]),
        ("photos\\a.jpg", [("photos", "a.jpg")]),
        ("C:\\photos\\a.jpg", [("photos", "a.jpg")]),
        ("photos/a%20b.jpg", [("photos", "a%20b.jpg"), ("photos", "a b.jpg")]),
        ("/data/upload/3/1a2b3c4d-a%20b.jpg",
         [("upload", "3", "1a2b3c4d-a b.jpg"), ("1a2b3c4d-a b.jpg",), ("a b.jpg",)]),
        ("/label-studio/data/upload/a_ZoqW18z.jpg",
         [("upload", "a_ZoqW18z.jpg"), ("a_ZoqW18z.jpg",)]),
        ("http://localhost:8080/data/upload/3/1a2b3c4d-a.jpg",
         [("upload", "3", "1a2b3c4d-a.jpg"), ("1a2b3c4d-a.jpg",), ("a.jpg",)]),
        ("/data/local-files/?d=photos/a.jpg", [("photos", "a.jpg")]),
        ("/data/local-files/?d=photos%2Fa%2Bb.jpg",
         [("photos", "a+b.jpg"), ("photos%2Fa%2Bb.jpg",)]),
        ("http://localhost:8080/data/local-files/?d=a+b.jpg", [("a b.jpg",), ("a+b.jpg",)]),
        ("s3://bucket/photos/a b#1.jpg", [("photos", "a b#1.jpg")]),
        ("gs://bucket/a.jpg", [("a.jpg",)]),
        ("azure-blob://container/photos/a.jpg", [("photos", "a.jpg")]),
        ("https://host/x/a%20b.jpg?signature=a/b.png#top", [("x", "a b.jpg")]),
        ("data:image/png;base64,AAAA", []),
        ("/", []),
        ("", []),
    ],
)
def test_addresses(text: str, expected: list[tuple[str, ...]]) -> None:
    found = list(dict.fromkeys(address.parts for address in addresses(text)))
    assert found == expected
    assert all(address.whole != ("upload" in text and len(address.parts) == 1)
               for address in addresses(text))


@pytest.mark.parametrize(
    ("address", "files", "found"),
    [
        # Uploaded files have 8 digits before their names, which LS's own folder keeps.
        ("/data/upload/3/1a2b3c4d-a.jpg", ["a.jpg"], "a.jpg"),
        ("/data/upload/3/1a2b3c4d-a.jpg", ["deep/down/a.jpg"], "deep/down/a.jpg"),
        ("/data/upload/3/1a2b3c4d-a.jpg", ["a.jpg", "x/1a2b3c4d-a.jpg"], "x/1a2b3c4d-a.jpg"),
        ("/data/upload/3/1a2b3c4d-a.jpg", ["3/1a2b3c4d-a.jpg", "a.jpg"], "3/1a2b3c4d-a.jpg"),
        ("/data/upload/3/1a2b3c4d-a.jpg", ["a.jpg", "x/a.jpg"], None),
        ("/data/upload/3/1a2b3c4d-My_photo_1.JPG", ["My photo (1).jpg"], "My photo (1).jpg"),
        ("/data/upload/3/1a2b3c4d-deadbeef-a.jpg", ["deadbeef-a.jpg"], "deadbeef-a.jpg"),
        ("/data/upload/src_ZoqW18z.jpg", ["x/src_ZoqW18z.jpg"], "x/src_ZoqW18z.jpg"),
        # The end of a path decides, and a whole one before others.
        ("/data/local-files/?d=faces/train/a.jpg", ["train/a.jpg", "test/a.jpg"], "train/a.jpg"),
        ("/data/local-files/?d=train/a.jpg", ["x/train/a.jpg", "a.jpg"], "x/train/a.jpg"),
        ("/data/local-files/?d=train/a.jpg", ["x/train/a.jpg", "y/train/a.jpg"], None),
        ("s3://bucket/train/a.jpg", ["test/a.jpg"], ""),
        ("s3://bucket/train/a.jpg", ["a.jpg"], "a.jpg"),
        ("a.jpg", ["a.jpg", "x/a.jpg"], "a.jpg"),
        ("a.jpg", ["x/a.jpg", "y/a.jpg"], None),
        ("a.jpg", ["A.JPG"], "A.JPG"),
        ("../../a.jpg", ["x/b.jpg"], ""),
        ("https://host/img?id=3", ["a.jpg"], ""),
    ],
)
def test_local_copies(
    tmp_path: Path, address: str, files: list[str], found: str | None
) -> None:
    path = _write(tmp_path, _task(_annotation(*_points()), image=address), files=files)
    records, errors, _ = _read(path)
    if found:
        (record,) = records
        assert (record.image, record.identity) == (tmp_path / found, found)
        return
    (error,) = errors
    places = [repr(name) for name in files] if found is None else ["images="]
    assert_refusal(error, "'87'", repr(address), *places, path=path)


def test_images_option(tmp_path: Path) -> None:
    path = _write(tmp_path / "here", _task(_annotation(*_points()), image="s3://b/faces/c.jpg"))
    image = write_image(tmp_path / "there" / "c.jpg")
    (record,), _, _ = _read(path, images=str(tmp_path / "there"))
    assert record.image == image
    with refuses("images", "/nowhere"):
        _read(path, images="/nowhere")


def test_links_to_a_copy_are_no_other_copies(tmp_path: Path) -> None:
    """As in a YOLO data set that was written among the photos."""
    path = _write(tmp_path, _task(_annotation(*_points())))
    for link in ("yolo/images/a.jpg", "a link/a.jpg"):
        (tmp_path / link).parent.mkdir(parents=True)
        (tmp_path / link).symlink_to(tmp_path / "a.jpg")
    (record,), errors, _ = _read(path)
    assert not errors and record.image == tmp_path / "a.jpg"
    (record,), errors, _ = _read(path, images=str(tmp_path / "yolo"))
    assert not errors and record.image == tmp_path / "yolo/images/a.jpg"


def test_one_copy_is_not_taken_for_two_images(tmp_path: Path) -> None:
    """Two photos of one name were uploaded, and one of them lies here."""
    first, second = (f"/data/upload/3/{digits}-a.jpg" for digits in ("1a2b3c4d", "2b3c4d5e"))
    path = _write(tmp_path, _task(_annotation(*_points()), image=first),
                  _task(_annotation(*_points()), image=second, id=88),
                  _task(_annotation(*_points()), image="sub/b.jpg", id=89),
                  _task(_annotation(*_points()), image="sub/b.jpg", id=90))
    records, errors, _ = _read(path)
    assert [record.image.name for record in records] == ["b.jpg", "b.jpg"]
    for error, task in zip(errors, ("'87'", "'88'"), strict=True):
        assert_refusal(error, task, "'a.jpg'", repr(first), repr(second), "images=", path=path)


def test_the_field_of_the_image(tmp_path: Path) -> None:
    def task(**data: Any) -> dict[str, Any]:
        return _task(_annotation(*_points()), data=data)

    (record,), _, _ = _read(_write(tmp_path, task(url="s3://b/a.jpg", person="anna", age=7)))
    assert record.image == tmp_path / "a.jpg"
    path = _write(tmp_path, task(one="a.jpg", two="b.png"))
    _, (error,), _ = _read(path)
    assert_refusal(error, "'87'", "field=", "'one'", "'two'", path=path)
    (record,), _, _ = _read(path, field="one")
    assert record.image == tmp_path / "a.jpg"
    _, (error,), _ = _read(path, field="three")
    assert_refusal(error, "'87'", "'three'", path=path)
    _, (error,), _ = _read(_write(tmp_path, task()))
    assert_refusal(error, "'87'", "field=", path=path)


def _on(target: str, results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**result, "to_name": target} for result in results]


def test_each_image_of_the_labelling_interface(tmp_path: Path) -> None:
    """`to_name` is called as the field, whatever other fields name images."""
    left = _on("left", [_box(100, 90, 200, 180, id="l"), *_points(parent="l", control="kp1")])
    right = _on("image", _points(POINTS + 9, control="kp2"))
    data = {"left": "a.jpg", "image": "sub/b.jpg"}
    path = _write(tmp_path, _task(_annotation(*left, *right), data=data))
    records, errors, notes = _read(path)
    assert not errors and not notes
    found = {record.identity: record.points for record in records}
    np.testing.assert_allclose(found["a.jpg"], POINTS, rtol=1e-6)
    np.testing.assert_allclose(found["sub/b.jpg"], POINTS + 9, rtol=1e-6)
    (record,), errors, (note,) = _read(path, field="left")
    assert not errors and record.identity == "a.jpg"
    assert_told(note, 5, "'kp2'")
    path = _write(tmp_path, _task(_annotation(*left), data=data))
    (record,), _, _ = _read(path)
    assert record.identity == "a.jpg"


def test_images_that_the_labelling_interface_calls_otherwise(tmp_path: Path) -> None:
    one = _on("img1", _points(control="kp1"))
    two = _on("img2", [_box(5, 5, 50, 50), *_points(POINTS + 9, control="kp2")])
    data = {"image": "a.jpg", "right": "sub/b.jpg"}
    path = _write(tmp_path, _task(_annotation(*one), data=data),
                  _task(_annotation(*two), data=data, id=88))
    records, errors, _ = _read(path)
    assert not records
    for error in errors:
        assert_refusal(error, "'img1'", "'img2'", "control=", "field=", "'image'", "'right'",
                       path=path)
    with refuses("field", "'img1'", "'img2'", "control=", path=path):
        _read(path, field="right")
    (record,), errors, _ = _read(path, field="right", control="kp2")
    assert not errors and record.identity == "sub/b.jpg"
    np.testing.assert_allclose(record.points, POINTS + 9, rtol=1e-6)
    # One of the two alone: it may be on either.
    path = _write(tmp_path, _task(_annotation(*two), data=data))
    _, (error,), _ = _read(path)
    assert_refusal(error, "'87'", "field=", "'image'", "'right'", path=path)


def test_json_min_does_not_tell_the_image(tmp_path: Path) -> None:
    pages = _minimal(*_points(item_index=1)) | {"image": ["a.jpg", "sub/b.jpg"]}
    path = _write(tmp_path, pages)
    _, (error,), _ = _read(path)
    assert_refusal(error, "'87'", "JSON-MIN", "JSON", path=path)
    one = _minimal(*_points()) | {"image": ["a.jpg"]}
    (record,), errors, _ = _read(_write(tmp_path, one))
    assert not errors and record.identity == "a.jpg"
    both = _minimal(*_points(control="kp1"), *_points(POINTS + 9, control="kp2"))
    path = _write(tmp_path, both | {"right": "sub/b.jpg"})
    _, (error,), _ = _read(path)
    assert_refusal(error, "'87'", "field=", "'image'", "'right'", path=path)
    _, (error,), _ = _read(path, field="right")
    assert_refusal(error, "'87'", "JSON-MIN", "control=", path=path)
    (record,), errors, _ = _read(path, field="right", control="kp2")
    assert not errors and record.identity == "sub/b.jpg"
    np.testing.assert_allclose(record.points, POINTS + 9, rtol=1e-6)


def test_several_images_of_a_task(tmp_path: Path) -> None:
    results = [*_points(item_index=1), *_points(POINTS + 9, item_index=0)]
    path = _write(tmp_path, _task(_annotation(*results), data={"pages": ["a.jpg", "sub/b.jpg"]}))
    (first, second), errors, _ = _read(path)
    assert not errors
    assert (first.identity, second.identity) == ("a.jpg", "sub/b.jpg")
    np.testing.assert_allclose(second.points, POINTS, rtol=1e-6)
    results = _points(item_index=2)
    path = _write(tmp_path, _task(_annotation(*results), data={"pages": ["a.jpg", "sub/b.jpg"]}))
    _, (error,), _ = _read(path)
    assert_refusal(error, "'87'", "image 2", "'pages'", path=path)


def _changed(**changes: Any) -> dict[str, Any]:
    """A task whose third point is changed: its value, and other fields of its result."""
    results = _points()
    value = {**results[2]["value"], **changes.pop("value", {})}
    results[2] = {**results[2], "value": value, **changes}
    return _task(_annotation(*results))


@pytest.mark.parametrize(
    ("task", "facts"),
    [
        (7, ["number 0", "object"]),
        (_task(7), ["'87'", "annotations"]),
        (_task(_annotation(result={})), ["'87'", "result"]),
        (_task(_annotation(7)), ["'87'", "result 0", "object"]),
        (_changed(value={"x": "5"}), ["'87'", "result 2", "numbers", "str"]),
        (_changed(value={"x": None}), ["'87'", "result 2", "numbers"]),
        (_changed(value={"y": 1e9}), ["'87'", "result 2", "large"]),
        (_changed(value={"keypointlabels": ["a", "b"]}), ["'87'", "result 2", "'a'", "'b'"]),
        (_changed(value={"keypointlabels": "a"}), ["'87'", "result 2", "labels"]),
        (_changed(item_index=-1), ["'87'", "result 2", "item_index"]),
        (_changed(original_width=9), ["'87'", "9 x 408", "408 x 408"]),
        (_changed(original_width=10**9), ["'87'", "result 2", "width", "'408'"]),
        (_changed(original_width=float("nan")), ["'87'", "result 2", "width", "'nan'"]),
        (_changed(original_width=None, original_height=None), ["'87'", "none", "408 x 408"]),
        (_task(_annotation(*_points()), image=7), ["'87'", "'image'"]),
    ],
)
def test_a_bad_task_is_one_error(tmp_path: Path, task: Any, facts: list[object]) -> None:
    path = _write(tmp_path, task, _task(_annotation(*_points()), id=88))
    (record,), (error,), _ = _read(path)
    np.testing.assert_allclose(record.points, POINTS, rtol=1e-6)
    assert_refusal(error, *facts, path=path)


@pytest.mark.parametrize(("text", "facts"), [("7", ["list of tasks"]), ("[", ["JSON"])])
def test_a_file_of_something_else(tmp_path: Path, text: str, facts: list[str]) -> None:
    path = _write(tmp_path)
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        _read(path)
    assert_refusal(caught.value, *facts, path=path, line=caught.value.line)


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        ({"several": "all"}, ["several", "newest", "oldest", "'all'"]),
        ({"schema": "nonsense"}, ["nonsense", "mtfl5"]),
        ({"names": "guess"}, ["names", "match", "ignore"]),
    ],
)
def test_options_are_checked(tmp_path: Path, options: dict[str, str], facts: list[str]) -> None:
    path = _write(tmp_path, _task(_annotation(*_points())))
    with refuses(*facts):
        _read(path, **options)


NAMES = st.text(st.sampled_from("ab. _-/\\%2#?:"), max_size=12)


@given(name=NAMES, kind=st.sampled_from(
    ["{}", "/data/upload/3/1a2b3c4d-{}", "/data/local-files/?d={}", "s3://b/{}", "http://h/{}"]))
def test_any_name_leads_to_an_image_of_the_folder(tmp_path: Path, name: str, kind: str) -> None:
    write_image(tmp_path / "outside.jpg")
    folder = tmp_path / "inside"
    if not folder.exists():
        _write(folder, files=["a.jpg", "b/a.jpg", "ab.jpg"])
    path = folder / "tasks.json"
    path.write_text(json.dumps([_task(_annotation(*_points()), image=kind.format(name))]))
    records, errors, _ = _read(path)
    assert len(records) + len(errors) == 1
    for record in records:
        assert folder in record.image.resolve().parents
    for address in addresses(kind.format(name)):
        assert isinstance(address, Address) and all(address.parts)
        assert not any(set(part) & set("/\\") for part in address.parts)
        assert os.sep not in "".join(address.parts)


def test_points_may_coincide(tmp_path: Path) -> None:
    """Those of the lips do if the mouth is closed, and JSON-MIN has no ids of regions."""
    points = POINTS.copy()
    points[4] = points[3]
    for task in (_task(_annotation(*_points(points))), _minimal(*_points(points))):
        (record,), errors, _ = _read(_write(tmp_path, task))
        assert not errors
        np.testing.assert_allclose(record.points, points, rtol=1e-6)


def test_real_faces(shared_data: Path, tmp_path: Path) -> None:
    """HELEN's faces as Label Studio writes uploaded photos."""
    folder = shared_data / "ibug" / "helen" / "testset"
    truth = sources.read(f"ibug:{folder}").records[:12]
    names = schemas.get("ibug68").names
    tasks = []
    for number, record in enumerate(truth):
        height, width = cv2.imread(str(record.image)).shape[:2]
        results = _points(record.points.astype(float), names, size=(width, height))
        tasks.append(_task(
            _annotation(*results), id=number,
            image=f"/data/upload/3/{number:08x}-{record.image.name}"))
    path = tmp_path / "tasks.json"
    path.write_text(json.dumps(tasks))
    found = sources.read(f"label_studio:{path}?schema=ibug68&images={folder}")
    assert not found.notes
    for record, expected in zip(found.records, truth, strict=True):
        assert record.image == expected.image
        np.testing.assert_allclose(record.points, expected.points, rtol=1e-5)
