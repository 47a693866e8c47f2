from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from efld_tf.annotations import images, sources
from efld_tf.annotations.tools.label_studio_addresses import addresses
from efld_tf.annotations.tools.local_copies import Address
from efld_tf.errors import DataError
from efld_tf.landmarks import schemas
from tests.annotations.tools import writers_label_studio as ls
from tests.annotations.tools.writers_label_studio import FIVE, POINTS, SIZE
from tests.annotations.writers import write_image
from tests.errors import assert_refusal, assert_told, refuses


@pytest.mark.parametrize("minimal", [False, True])
def test_points_are_the_face_of_an_image(tmp_path: Path, minimal: bool) -> None:
    results = ls.points()[::-1]
    path = ls.write(tmp_path, ls.minimal(*results) if minimal else ls.task(ls.annotation(*results)))
    (record,), errors, notes = ls.read(path)
    assert not errors and not notes
    np.testing.assert_allclose(record.points, POINTS, rtol=1e-6)
    assert (record.image, record.identity) == (tmp_path / "a.jpg", "a.jpg")
    assert (record.image_size, record.upright, record.normalised) == (SIZE, True, False)
    assert (record.box, record.visible) == (None, None)


def test_one_task_alone(tmp_path: Path) -> None:
    """As Label Studio writes it into a target storage."""
    path = ls.write(tmp_path)
    path.write_text(json.dumps(ls.task(ls.annotation(*ls.points()))))
    (record,), errors, _ = ls.read(path)
    assert not errors
    np.testing.assert_allclose(record.points, POINTS, rtol=1e-6)


def test_numbers_sorted_as_texts_and_missing_points(tmp_path: Path) -> None:
    names = [str(i) for i in range(15)]
    points = np.random.default_rng(0).uniform(10, 400, (15, 2))
    order = [i for i in sorted(range(15), key=str) if i != 7]
    results = ls.points(points[order], [names[i] for i in order])
    (record,), errors, _ = ls.read(
        ls.write(tmp_path, ls.task(ls.annotation(*results))), schema="kaggle15")
    assert not errors and np.isnan(record.points[7]).all()
    np.testing.assert_allclose(record.points[order], points[order], rtol=1e-5)


@pytest.mark.parametrize("minimal", [False, True])
def test_loose_points_go_by_the_boxes_that_hold_them(tmp_path: Path, minimal: bool) -> None:
    far = POINTS + 200
    results = [ls.box(100, 90, 200, 180), *ls.points(), *ls.points(far), ls.box(300, 290, 390, 385)]
    path = ls.write(tmp_path, ls.minimal(*results) if minimal else ls.task(ls.annotation(*results)))
    (first, second), errors, notes = ls.read(path)
    assert not errors and not notes
    np.testing.assert_allclose(first.points, POINTS, rtol=1e-6)
    np.testing.assert_allclose(second.points, far, rtol=1e-6)
    np.testing.assert_allclose(second.box, [300, 290, 390, 385], rtol=1e-6)
    # Without boxes, there are two points of each name.
    path = ls.write(tmp_path, ls.task(ls.annotation(*ls.points(), *ls.points(far))))
    _, (error,), _ = ls.read(path)
    assert_refusal(error, "'right_eye_centre'", "parentID", path=path)


def test_labels_of_another_control_at_the_same_region(tmp_path: Path) -> None:
    """`KeyPoint` with `Labels`: two results of one region; answers to a box are attributes."""
    results = []
    for number, (point, name) in enumerate(zip(POINTS, FIVE, strict=True)):
        plain = ls.point(point, None, "keypoint", id=f"p{number}", control="keypoint")
        label = ls.point(point, name, "labels", id=f"p{number}", control="labels")
        results += [plain, label]
    box = ls.box(100, 90, 200, 180, id="box")
    answer = {**box, "type": "choices", "from_name": "glasses"}
    answer["value"] = {**box["value"], "choices": ["yes", "tinted"]}
    del answer["value"]["rectanglelabels"]
    results += [box, answer, {**answer, "id": "other", "value": {"choices": ["male"]}}]
    (record,), errors, notes = ls.read(ls.write(tmp_path, ls.task(ls.annotation(*results))))
    assert not errors and not notes
    np.testing.assert_allclose(record.points, POINTS, rtol=1e-6)
    assert record.attributes == {"glasses": "yes, tinted"}
    (record,), errors, _ = ls.read(ls.write(tmp_path, ls.minimal(*results)))
    assert not errors
    np.testing.assert_allclose(record.points, POINTS, rtol=1e-6)


def test_turned_boxes(tmp_path: Path) -> None:
    """They turn clockwise about their top left corner: by a quarter to its lower left."""
    box = ls.box(200, 90, 290, 180 + 8, rotation=90)
    (record,), _, _ = ls.read(ls.write(tmp_path, ls.task(ls.annotation(box, *ls.points()))))
    np.testing.assert_allclose(record.box, [200 - 98, 90, 200, 180], rtol=1e-6)


def test_what_is_no_face_is_counted(tmp_path: Path) -> None:
    outline = {"points": [[1, 2], [3, 4], [5, 6]], "closed": True}
    polygon = ls.result("polygonlabels", outline, "hair")
    ellipse = ls.result("ellipselabels", {
        "x": 8.4, "y": 83.2, "radiusX": 1.1, "radiusY": 1.4, "rotation": 0}, "hair")
    brush = ls.result("brushlabels", {"format": "rle", "rle": [0, 1, 2]}, "skin")
    spots = [ls.point([50, 60], "spot", control="spots"),
             ls.point([55, 60], "mole", control="spots")]
    results = [polygon, ellipse, brush, *spots, ls.box(300, 300, 310, 310, "car"), *ls.points()]
    path = ls.write(tmp_path, ls.task(ls.annotation(*results)),
                  ls.task(ls.annotation(polygon), id=88, image="gone.jpg"))
    (record,), errors, notes = ls.read(path)
    assert not errors and record.box is None
    np.testing.assert_allclose(record.points, POINTS, rtol=1e-6)
    for note, facts in zip(
        notes, [(1, "'car'"), (3, "'hair'"), (1, "'skin'"), (2, "'spots'")], strict=True
    ):
        assert_told(note, *facts)


def test_controls_by_name(tmp_path: Path) -> None:
    numbers = [str(i) for i in range(5)]
    hand = ls.points(POINTS[:3], numbers[:3], control="hand")
    path = ls.write(tmp_path, ls.task(ls.annotation(*ls.points(POINTS, numbers), *hand)))
    with refuses("'hand'", "'points'", "control=", "mtfl5", path=path):
        ls.read(path)
    (record,), errors, (note,) = ls.read(path, control="points")
    assert not errors
    np.testing.assert_allclose(record.points, POINTS, rtol=1e-6)
    assert_told(note, 3, "'hand'")
    with refuses("control", "'feet'", "'hand'", "'points'", path=path):
        ls.read(path, control="points,feet")


def test_misspelt_labels_are_refused(tmp_path: Path) -> None:
    path = ls.write(tmp_path, ls.task(ls.annotation(*ls.points(names=[*FIVE[:4], "mouth"]))))
    with refuses("mtfl5", "'mouth'", "'mouth_left_corner'", "names=ignore", path=path):
        ls.read(path)
    (record,), _, _ = ls.read(path, names="ignore", origin="0.5")
    np.testing.assert_allclose(record.points, POINTS - 0.5, rtol=1e-5)


def test_skipped_and_unannotated_tasks(tmp_path: Path) -> None:
    prediction = {"id": 5, "model_version": "m", "result": ls.points(POINTS + 7), "score": 0.5}
    path = ls.write(
        tmp_path,
        ls.task(ls.annotation(*ls.points(POINTS + 9), was_cancelled=True),
                ls.annotation(*ls.points()), predictions=[prediction]),
        ls.task(ls.annotation(*ls.points(), was_cancelled=True), id=88, image="gone.jpg"),
        ls.task(id=89, image="gone.jpg", predictions=[prediction, prediction]),
        ls.task(ls.annotation(), id=90, image="gone.jpg"),  # no face is there
        ls.minimal(id=91, image="gone.jpg", annotation=None),
    )
    (record,), errors, notes = ls.read(path)
    assert not errors
    np.testing.assert_allclose(record.points, POINTS, rtol=1e-6)
    for note, facts in zip(notes, [(3, "predictions"), (2, "skipped"), (3, "unannotated")],
                           strict=True):
        assert_told(note, *facts)


@pytest.mark.parametrize("minimal", [False, True])
def test_several_annotations_of_an_image(tmp_path: Path, minimal: bool) -> None:
    old, new = ls.points(), ls.points(POINTS + 3)
    early, late = "2025-01-30T02:40:43.893578Z", "2025-02-01T00:00:00.000000Z"
    if minimal:
        tasks = [ls.minimal(*new, annotation=23) | {"updated_at": late},
                 ls.minimal(*old) | {"updated_at": early}]
    else:
        tasks = [ls.task(ls.annotation(*new, id=23, updated_at=late),
                       ls.annotation(*old, updated_at=early))]
    path = ls.write(tmp_path, *tasks)
    _, (error,), _ = ls.read(path)
    assert_refusal(error, "'87'", 2, "several=newest", "several=oldest", path=path)
    for several, expected in (("newest", POINTS + 3), ("oldest", POINTS)):
        (record,), errors, (note,) = ls.read(path, several=several)
        assert not errors
        np.testing.assert_allclose(record.points, expected, rtol=1e-6)
        assert_told(note, 1, "annotation")


def test_json_min_of_several_projects(tmp_path: Path) -> None:
    """Tasks of one id are of one project if they have the same image."""
    path = ls.write(
        tmp_path, ls.minimal(annotation=None), ls.minimal(*ls.points(), image="sub/b.jpg"),
        ls.minimal(*ls.points(POINTS + 3)), ls.minimal(*ls.points(POINTS + 5), annotation=24))
    records, (error,), notes = ls.read(path)
    assert not notes and [record.identity for record in records] == ["sub/b.jpg"]
    np.testing.assert_allclose(records[0].points, POINTS, rtol=1e-6)
    assert_refusal(error, "'87'", 2, "several=newest", path=path)
    both = ls.minimal(*ls.points()), ls.minimal(*ls.points(POINTS + 3), image="sub/b.jpg")
    records, errors, notes = ls.read(ls.write(tmp_path, *both))
    assert not errors and not notes
    assert [record.identity for record in records] == ["a.jpg", "sub/b.jpg"]


@pytest.mark.parametrize("boxed", [False, True])
def test_regions_of_one_id(tmp_path: Path, boxed: bool) -> None:
    """As scripts write them that take the label for it; each region has two results."""
    results = []
    for points in (POINTS, POINTS + 200):
        for name, xy in zip(FIVE, points, strict=True):
            drawn = ls.point(xy, None, "keypoint", id=name, control="kp")
            results += [drawn, ls.point(xy, name, "labels", id=name, control="labels")]
    boxes = [ls.box(100, 90, 200, 180, id="face"), ls.box(300, 290, 390, 385, id="face")]
    path = ls.write(tmp_path, ls.task(ls.annotation(*boxes[: 2 * boxed], *results)))
    records, errors, _ = ls.read(path)
    if boxed:
        assert not errors
        np.testing.assert_allclose([record.points for record in records], [POINTS, POINTS + 200])
        np.testing.assert_allclose(records[1].box, [300, 290, 390, 385])
    else:
        assert not records
        assert_refusal(errors[0], "'right_eye_centre'", "parentID", path=path)


def test_points_below_one_of_several_regions_of_one_id(tmp_path: Path) -> None:
    boxes = [ls.box(100, 90, 200, 180, id="face"), ls.box(300, 290, 390, 385, id="face")]
    path = ls.write(tmp_path, ls.task(ls.annotation(
        *boxes, *ls.points(parent="face"), *ls.points(POINTS + 200, parent="face"))))
    _, (error,), _ = ls.read(path)
    assert_refusal(error, "'87'", "'face'", "parentID", path=path)


def test_the_ground_truth_of_several_annotations(tmp_path: Path) -> None:
    path = ls.write(tmp_path, ls.task(
        ls.annotation(*ls.points(POINTS + 3)), ls.annotation(*ls.points(), ground_truth=True),
        ls.annotation(*ls.points(POINTS + 4))))
    (record,), errors, notes = ls.read(path)
    assert not errors and not notes
    np.testing.assert_allclose(record.points, POINTS, rtol=1e-6)


def test_images_turned_while_annotating(tmp_path: Path) -> None:
    """The view is turned, and the points stay those of the unturned image; of old exports not."""
    task = ls.task(ls.annotation(*ls.points(turned=270)))
    (record,), errors, (note,) = ls.read(ls.write(tmp_path, task))
    assert not errors
    np.testing.assert_allclose(record.points, POINTS, rtol=1e-6)
    assert_told(note, 1, "image_rotation", "unturned")
    task["completions"] = task.pop("annotations")
    path = ls.write(tmp_path, task)
    _, (error,), _ = ls.read(path)
    assert_refusal(error, "'87'", "image_rotation", "turned", path=path)
    # Other old exports are read.
    task = ls.task(completions=[{
        "created_at": 1603000000, "id": 1, "lead_time": 3.5, "result": ls.points()}])
    del task["annotations"]
    (record,), errors, _ = ls.read(ls.write(tmp_path, task))
    assert not errors
    np.testing.assert_allclose(record.points, POINTS, rtol=1e-6)


def test_shares_of_an_image_of_unknown_size(tmp_path: Path) -> None:
    results = [ls.box(100, 90, 200, 180, size=None), *ls.points(size=None)]
    path = ls.write(tmp_path, ls.task(ls.annotation(*results)))
    (record,), errors, _ = ls.read(path)
    assert not errors and record.normalised and record.image_size is None
    np.testing.assert_allclose(record.points, POINTS / 408, rtol=1e-6)
    (record,) = sources.read(f"label_studio:{path}?schema=mtfl5").records
    np.testing.assert_allclose(record.points, POINTS, rtol=1e-5)
    np.testing.assert_allclose(record.box, [100, 90, 200, 180], rtol=1e-5)
    results[0]["value"]["rotation"] = 5
    _, (error,), _ = ls.read(ls.write(tmp_path, ls.task(ls.annotation(*results))))
    assert_refusal(error, "original_width", "turned", path=path)


def test_a_photo_that_is_stored_turned(tmp_path: Path) -> None:
    """A browser shows it upright, and Label Studio states its size so."""
    photo = Image.fromarray(np.full((300, 400, 3), 90, np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    path = ls.write(tmp_path, ls.task(ls.annotation(*ls.points(size=(300, 400)))))
    photo.save(tmp_path / "a.jpg", exif=exif)
    (record,) = sources.read(f"label_studio:{path}?schema=mtfl5").records
    assert record.upright is True
    np.testing.assert_allclose(record.points, POINTS, rtol=1e-6)
    assert images.read_image(record).shape == (400, 300, 3)


@pytest.mark.parametrize("option", ["", "&sizes=ignore", "&sizes=scale"])
def test_a_photo_that_was_shrunk_since(tmp_path: Path, option: str) -> None:
    """Percentages are right in any size, whatever is said of the stated one."""
    box = ls.box(100, 90, 300, 320, size=(816, 816))
    path = ls.write(tmp_path, ls.task(ls.annotation(*ls.points(2 * POINTS, size=(816, 816)), box)))
    (record,) = sources.read(f"label_studio:{path}?schema=mtfl5{option}").records
    # Halved about the corner of the image, half a pixel before the first pixel's centre.
    np.testing.assert_allclose(record.points, POINTS - 0.25, rtol=1e-5)
    np.testing.assert_allclose(record.box, [99.75, 89.75, 299.75, 319.75], rtol=1e-5)


def _changed(**changes: Any) -> dict[str, Any]:
    """A task whose third point is changed: its value, and other fields of its result."""
    results = ls.points()
    value = {**results[2]["value"], **changes.pop("value", {})}
    results[2] = {**results[2], "value": value, **changes}
    return ls.task(ls.annotation(*results))


@pytest.mark.parametrize(
    ("task", "facts"),
    [
        (7, ["number 0", "object"]),
        (ls.task(7), ["'87'", "annotations"]),
        (ls.task(ls.annotation(result={})), ["'87'", "result"]),
        (ls.task(ls.annotation(7)), ["'87'", "result 0", "object"]),
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
        (ls.task(ls.annotation(*ls.points()), image=7), ["'87'", "'image'"]),
    ],
)
def test_a_bad_task_is_one_error(tmp_path: Path, task: Any, facts: list[object]) -> None:
    path = ls.write(tmp_path, task, ls.task(ls.annotation(*ls.points()), id=88))
    (record,), (error,), _ = ls.read(path)
    np.testing.assert_allclose(record.points, POINTS, rtol=1e-6)
    assert_refusal(error, *facts, path=path)


@pytest.mark.parametrize(("text", "facts"), [("7", ["list of tasks"]), ("[", ["JSON"])])
def test_a_file_of_something_else(tmp_path: Path, text: str, facts: list[str]) -> None:
    path = ls.write(tmp_path)
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        ls.read(path)
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
    path = ls.write(tmp_path, ls.task(ls.annotation(*ls.points())))
    with refuses(*facts):
        ls.read(path, **options)


NAMES = st.text(st.sampled_from("ab. _-/\\%2#?:"), max_size=12)


@given(name=NAMES, kind=st.sampled_from(
    ["{}", "/data/upload/3/1a2b3c4d-{}", "/data/local-files/?d={}", "s3://b/{}", "http://h/{}"]))
def test_any_name_leads_to_an_image_of_the_folder(tmp_path: Path, name: str, kind: str) -> None:
    write_image(tmp_path / "outside.jpg")
    folder = tmp_path / "inside"
    if not folder.exists():
        ls.write(folder, files=["a.jpg", "b/a.jpg", "ab.jpg"])
    path = folder / "tasks.json"
    path.write_text(json.dumps([ls.task(ls.annotation(*ls.points()), image=kind.format(name))]))
    records, errors, _ = ls.read(path)
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
    for task in (ls.task(ls.annotation(*ls.points(points))), ls.minimal(*ls.points(points))):
        (record,), errors, _ = ls.read(ls.write(tmp_path, task))
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
        results = ls.points(record.points.astype(float), names, size=(width, height))
        tasks.append(ls.task(
            ls.annotation(*results), id=number,
            image=f"/data/upload/3/{number:08x}-{record.image.name}"))
    path = tmp_path / "tasks.json"
    path.write_text(json.dumps(tasks))
    found = sources.read(f"label_studio:{path}?schema=ibug68&images={folder}")
    assert not found.notes
    for record, expected in zip(found.records, truth, strict=True):
        assert record.image == expected.image
        np.testing.assert_allclose(record.points, expected.points, rtol=1e-5)
