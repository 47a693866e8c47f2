from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from efld_tf.annotations import coco, sources
from efld_tf.annotations.record import FaceRecord
from efld_tf.landmarks import schemas
from tests.annotations.real import assert_upright, coco_faces
from tests.annotations.writers import some_points, write_image
from tests.errors import assert_refusal, assert_told, refuses

POINTS = some_points(68)
OWN = schemas.get("ibug68").names


def _annotation(flags: int | list[int] = 1, **fields: Any) -> dict[str, Any]:
    values = np.column_stack([POINTS.astype(float), np.broadcast_to(flags, 68)])
    return {
        "id": 7, "image_id": 3, "category_id": 1, "iscrowd": 0, "num_keypoints": 68,
        "keypoints": values.ravel().tolist(), "bbox": [1.5, 2, 30, 40],
    } | fields  # fmt: skip


def _write(folder: Path, *annotations: Any, images: Any = None) -> Path:
    write_image(folder / "sub" / "a.jpg")
    listed = [{"id": 3, "file_name": "sub/a.jpg", "height": 408, "width": 408}]
    content = {"images": listed if images is None else images, "annotations": list(annotations)}
    path = folder / "face_landmarks.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("name", "schema", "faces"),
    [
        ("300w", "ibug68", 2),
        ("300wlp", "ibug68", 2),
        ("aflw", "aflw19", 2),
        ("cofw", "cofw29", 2),
        ("lapa", "lapa106", 2),
        ("wflw", "wflw98", 4),
    ],
)
def test_real_files(shared_data: Path, name: str, schema: str, faces: int) -> None:
    records = list(coco.read(shared_data / "format_samples" / name / f"test_{name}.json"))
    assert len(records) == faces
    truths = coco_faces(shared_data, name)
    for record, (image, points, box) in zip(records, truths, strict=True):
        assert (record.schema, record.image, record.identity) == (schema, image, image.name)
        np.testing.assert_allclose(record.points, points, atol=1e-3)
        if box.any():
            np.testing.assert_allclose(record.box, box, atol=1e-3)
        assert_upright(record)


def test_flags_speak_of_occlusion_in_cofw_alone(shared_data: Path) -> None:
    samples = shared_data / "format_samples"
    content = json.loads((samples / "cofw" / "test_cofw.json").read_text())
    for record, truth in zip(
        coco.read(samples / "cofw" / "test_cofw.json"), content["annotations"], strict=True
    ):
        np.testing.assert_array_equal(record.visible, np.array(truth["keypoints"][2::3]) == 2)
        assert not record.visible.all() and np.isfinite(record.points).all()
    for name in ("300w", "aflw", "lapa", "wflw"):
        for record in coco.read(samples / name / f"test_{name}.json"):
            assert record.visible is None


@pytest.mark.parametrize(
    ("flags", "missing", "hidden"),
    [
        ([0] * 68, 0, None),  # as files write it whose flags say nothing
        ([1] * 68, 0, None),
        ([2] * 68, 0, None),
        ([0] * 3 + [2] * 65, 3, None),
        ([1] * 3 + [2] * 65, 0, 3),
        ([0] * 3 + [1] * 4 + [2] * 61, 3, 7),  # what is missing is not visible either
    ],
)
def test_flags(tmp_path: Path, flags: list[int], missing: int, hidden: int | None) -> None:
    record, *notes = coco.read(_write(tmp_path, _annotation(flags)))
    assert np.isnan(record.points).all(axis=1).sum() == missing
    for note in notes:
        assert_told(note.text, f"{missing} keypoints", "v=visible")
    assert len(notes) == bool(missing)
    np.testing.assert_allclose(record.points[missing:], POINTS[missing:], atol=1e-3)
    assert (None if record.visible is None else (~record.visible).sum()) == hidden


def test_one_file_has_one_meaning_of_flags(tmp_path: Path) -> None:
    """A face all of whose points have 1 is occluded, if another one has 2."""
    first, second = coco.read(_write(tmp_path, _annotation(1), _annotation(2)))
    assert not first.visible.any() and second.visible.all()


@pytest.mark.parametrize("largest", [1, 2])
def test_flags_that_only_say_what_can_be_seen(tmp_path: Path, largest: int) -> None:
    """Without the option, v=0 is COCO's: not labelled."""
    hidden = [0] * 6 + [largest] * 62
    path = _write(tmp_path, _annotation(hidden), _annotation(0), _annotation(largest))
    part, error, full, note = coco.read(path)
    assert np.isnan(part.points[:6]).all() and np.isfinite(part.points[6:]).all()
    assert np.isfinite(full.points).all()
    assert_refusal(error, 7, "v=visible", path=path)
    assert_told(note.text, 6 + 68, "keypoints", "v 0", "v=visible")
    records = list(coco.read(path, v="visible"))
    assert [int((~record.visible).sum()) for record in records] == [6, 68, 0]
    for record in records:
        np.testing.assert_allclose(record.points, POINTS, atol=1e-3)
    with refuses("v", "labelled", "visible", "ignore", "seen"):
        list(coco.read(path, v="seen"))


def test_points_at_0_0_0_are_not_there(tmp_path: Path) -> None:
    """As COCO writes those that are not labelled: nothing is told of them, whatever v means."""
    keypoints = _annotation(2)["keypoints"]
    keypoints[:6] = [0, 0, 0, None, None, 0]
    path = _write(tmp_path, _annotation(keypoints=keypoints), _annotation(1))
    for v in ("labelled", "visible", "ignore"):
        record, _ = coco.read(path, v=v)
        assert np.isnan(record.points[:2]).all()
        np.testing.assert_allclose(record.points[2:], POINTS[2:], atol=1e-3)


@pytest.mark.parametrize("v", [0.93, 3, -1])
def test_scores_as_v(tmp_path: Path, v: float) -> None:
    values = np.column_stack([POINTS.astype(float), np.full(68, v)]).ravel().tolist()
    path = _write(tmp_path, _annotation(keypoints=values))
    (error,) = coco.read(path)
    assert_refusal(error, 7, "v", v, "v=ignore", path=path)
    (record,) = coco.read(path, v="ignore")
    np.testing.assert_allclose(record.points, POINTS, atol=1e-3)
    assert record.visible is None


@pytest.mark.parametrize("nothing", [None, float("nan")])
def test_points_and_boxes_of_no_number(tmp_path: Path, nothing: float | None) -> None:
    values = [nothing, nothing, 0, *_annotation(2)["keypoints"][3:]]
    path = _write(tmp_path, _annotation(keypoints=values, bbox=[nothing] * 4))
    (record,) = coco.read(path)
    assert np.isnan(record.points[0]).all() and record.box is None
    np.testing.assert_allclose(record.points[1:], POINTS[1:], atol=1e-3)


@pytest.mark.parametrize("flag", [1, 2])
def test_numbers_as_texts(tmp_path: Path, flag: int) -> None:
    values = [*map(str, _annotation(flag)["keypoints"])]
    path = _write(tmp_path, _annotation(keypoints=values, bbox=["1.5", "2", "30", "40"]))
    (record,) = coco.read(path)
    np.testing.assert_allclose(record.points, POINTS, atol=1e-3)
    np.testing.assert_array_equal(record.box, [1.5, 2, 31.5, 42])


def test_keypoints_decide_whether_there_are_any(tmp_path: Path) -> None:
    zeros = _annotation(keypoints=[0] * 204)
    path = _write(tmp_path, _annotation(2, num_keypoints=0), zeros, zeros | {"num_keypoints": 0},
                  _annotation(0, num_keypoints=0))
    record, *notes = coco.read(path)
    np.testing.assert_allclose(record.points, POINTS, atol=1e-3)
    assert_told(notes[0].text, 3, "without keypoints")
    seen = [item for item in coco.read(path, v="visible") if isinstance(item, FaceRecord)]
    assert [record.visible.all() for record in seen] == [True, False]


def test_boxes_origin_and_images(tmp_path: Path) -> None:
    path = _write(tmp_path, _annotation(), _annotation(bbox=[5, 5, 0, 0]), _annotation(bbox=None))
    records = list(coco.read(path))
    np.testing.assert_array_equal(records[0].box, [1.5, 2, 31.5, 42])
    assert [record.box is None for record in records] == [False, True, True]
    assert records[0].image == tmp_path / "sub" / "a.jpg"
    from_one = next(iter(coco.read(path, origin="1")))
    np.testing.assert_allclose(from_one.points, POINTS - 1, atol=1e-3)
    np.testing.assert_array_equal(from_one.box, [0.5, 1, 30.5, 41])
    elsewhere = write_image(tmp_path / "elsewhere" / "sub" / "a.jpg")
    assert next(iter(coco.read(path, images=str(elsewhere.parents[1])))).image == elsewhere


def test_crowds_and_faces_without_points_are_passed_over(tmp_path: Path) -> None:
    without = _annotation(segmentation={"counts": "x", "size": [8, 8]})
    del without["keypoints"]
    path = _write(tmp_path, _annotation(iscrowd=1), _annotation(),
                  _annotation(keypoints=[]), _annotation(keypoints=None), without)
    face, crowds, others = coco.read(path)
    assert isinstance(face, FaceRecord)
    assert_told(crowds.text, "1 annotation", "crowds")
    assert_told(others.text, 3, "without keypoints")


def _changed(place: int, value: Any) -> list[Any]:
    keypoints = _annotation()["keypoints"]
    keypoints[place] = value
    return keypoints


@pytest.mark.parametrize(
    ("annotation", "facts"),
    [
        (5, ["number 1", "object"]),
        (_annotation(keypoints="no"), [7, "keypoints", "list"]),
        (_annotation(keypoints=[1.0] * 203), [7, "x, y, v", "keypoint"]),
        (_annotation(keypoints=[1.0] * 15), [7, "5 keypoints", 19, 29, 51, 68, 98, 106,
         "schema="]),
        (_annotation(keypoints=_changed(4, "nine")), [7, "keypoints", "str"]),
        (_annotation(keypoints=_changed(4, True)), [7, "keypoints", "bool"]),
        (_annotation(keypoints=_changed(4, 10**400)), [7, "keypoints", "NaN", "large"]),
        (_annotation(keypoints=_changed(4, float("nan"))), [7, OWN[1], "alone"]),
        (_annotation(keypoints=_changed(5, 3)), [7, "keypoint", "v", 0, 1, 2]),
        (_annotation(image_id=4), [7, "image", "id", 4]),
        (_annotation(image_id=[3]), [7, "image", "id", "[3]"]),
        (_annotation(bbox=[1, 2, 3]), [7, "bbox", "width", "height"]),
        (_annotation(bbox=[1, 2, -3, 4]), [7, "face box", "1 to -2"]),
    ],
)  # fmt: skip
def test_a_bad_annotation_is_one_error(
    tmp_path: Path, annotation: Any, facts: list[object]
) -> None:
    path = _write(tmp_path, _annotation(), annotation, _annotation())
    first, error, last = coco.read(path)
    assert isinstance(first, FaceRecord) and isinstance(last, FaceRecord)
    assert_refusal(error, *facts, path=path)


@pytest.mark.parametrize("name", ["../a.jpg", "/etc/passwd", "sub/../../a.jpg", "C:\\a.jpg"])
def test_images_lie_inside_the_folder(tmp_path: Path, name: str) -> None:
    write_image(tmp_path / "a.jpg")
    path = _write(tmp_path / "data", _annotation(), images=[{"id": 3, "file_name": name}])
    (error,) = coco.read(path)
    assert_refusal(error, 7, "inside", repr(name), path=path)


def test_the_file_must_be_one_of_keypoints(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for text, line, facts in (
        ("[1]", None, ["object", "images", "annotations"]),
        ('{"images": []}', None, ["list", "annotations"]),
        ('{"images": [],\n "annotations": [}', 2, ["JSON"]),
        ("[" * 100_000, None, ["JSON", "nested"]),
    ):
        path.write_text(text)
        with refuses(*facts, path=path, line=line):
            list(coco.read(path))


def test_options_are_checked(tmp_path: Path) -> None:
    path = _write(tmp_path, _annotation())
    with refuses("origin", 0, 1, 2):
        list(coco.read(path, origin="2"))
    (error,) = coco.read(path, schema="wflw98")
    assert_refusal(error, 7, "keypoints", "wflw98", 98, 68, path=path)


def _named(names: list[Any], **fields: Any) -> dict[str, Any]:
    """An annotation whose keypoints stand in the order of these numbers of points."""
    order = [int(str(name).removeprefix("p")) for name in names]
    values = np.column_stack([POINTS[order].astype(float), np.full(68, 2)])
    return _annotation(keypoints=values.ravel().tolist(), **fields)


def _with_categories(path: Path, *categories: Any) -> Path:
    path.write_text(json.dumps(json.loads(path.read_text()) | {"categories": list(categories)}))
    return path


SORTED = sorted(str(i) for i in range(68))


@pytest.mark.parametrize(
    "keypoints",
    [
        SORTED,  # 0, 1, 10, 11, ...
        [f"p{name}" for name in SORTED],
        [str(int(name) + 1) for name in SORTED],
        [int(name) for name in SORTED],
        [OWN[int(name)] for name in SORTED],
        [OWN[int(name)].upper().replace("_", " ") for name in SORTED],
    ],
)
def test_the_names_of_keypoints_decide(tmp_path: Path, keypoints: list[Any]) -> None:
    path = _write(tmp_path, _named(SORTED))
    _with_categories(path, {"id": 1, "name": "face", "keypoints": keypoints})
    (record,) = coco.read(path)
    np.testing.assert_allclose(record.points, POINTS, atol=1e-3)
    (record,) = coco.read(path, names="ignore")
    np.testing.assert_allclose(record.points, POINTS[[int(n) for n in SORTED]], atol=1e-3)


def test_keypoints_of_more_than_the_face(tmp_path: Path) -> None:
    keypoints = ["pupil_r", *OWN, "pupil_l"]
    values = np.column_stack([np.vstack([[[1, 2]], POINTS, [[3, 4]]]), np.full(70, 2)])
    path = _write(tmp_path, _annotation(keypoints=values.ravel().tolist()))
    _with_categories(path, {"id": 1, "name": "face", "keypoints": keypoints})
    record, note = coco.read(path, schema="ibug68")
    np.testing.assert_allclose(record.points, POINTS, atol=1e-3)
    assert_told(note.text, "'pupil_r'", "'pupil_l'")


@pytest.mark.parametrize(("category", "image"), [("1", "3"), ("1", 3), (1, "3"), (1.0, 3.0)])
def test_ids_of_other_types_here_and_there(
    tmp_path: Path, category: Any, image: Any
) -> None:
    path = _write(tmp_path, _named(SORTED, category_id=category, image_id=image))
    _with_categories(path, {"id": 1, "name": "face", "keypoints": SORTED})
    (record,) = coco.read(path)
    np.testing.assert_allclose(record.points, POINTS, atol=1e-3)


@pytest.mark.parametrize("category", [0, None, "face"])
def test_a_category_that_there_is_not(tmp_path: Path, category: Any) -> None:
    """Its names would have told the order of the keypoints."""
    path = _write(tmp_path, _named(SORTED, category_id=category))
    _with_categories(path, {"id": 1, "name": "face", "keypoints": SORTED})
    (error,) = coco.read(path)
    assert_refusal(error, 7, category, "1 (face)", path=path)


def test_keypoints_without_flags(tmp_path: Path) -> None:
    path = _write(tmp_path, _annotation(keypoints=POINTS.astype(float).ravel().tolist()))
    _with_categories(path, {"id": 1, "name": "face", "keypoints": [*OWN]})
    (error,) = coco.read(path)
    assert_refusal(error, 7, "x, y, v", path=path)


def test_flags_go_with_their_keypoints(tmp_path: Path) -> None:
    annotation = _named(SORTED)
    annotation["keypoints"][2::3] = [1 if name == "10" else 2 for name in SORTED]
    path = _with_categories(_write(tmp_path, annotation), {"id": 1, "keypoints": SORTED})
    (record,) = coco.read(path)
    assert np.flatnonzero(~record.visible).tolist() == [10]


@pytest.mark.parametrize(
    ("keypoints", "facts"),
    [
        ([f"n{'x' * i}" for i in range(68)], ["68 names", "'n'", "'jaw_0'", "names=ignore"]),
        ([*OWN[:-1], "chin"], ["1 name", "'chin'", "'inner_lips_7'"]),
        ([*OWN[:-1], OWN[0]], ["two", "'jaw_0'"]),
        ([*OWN[:-1]], ["'face'", 67, 68]),
        ([str(i) for i in range(3, 71)], ["3 to 70"]),
    ],
)
def test_names_that_cannot_be_matched_are_refused(
    tmp_path: Path, keypoints: list[str], facts: list[object]
) -> None:
    path = _write(tmp_path, _annotation())
    _with_categories(path, {"id": 1, "name": "face", "keypoints": keypoints})
    (error,) = coco.read(path)
    assert_refusal(error, 7, *facts, path=path)


@pytest.mark.parametrize("field", ["keypoint_names", "keypoints_name", "landmarks", "kpts"])
@pytest.mark.parametrize("at_the_top", [True, False])
def test_names_in_another_field_than_keypoints(
    tmp_path: Path, field: str, at_the_top: bool
) -> None:
    names = {field: [OWN[int(name)] for name in SORTED]}
    path = _write(tmp_path, _named(SORTED))
    colours = {"keypoint_colors": [f"#{i:06x}" for i in range(68)], "keypoints": []}
    _with_categories(path, {"id": 1, "name": "face"} | colours | ({} if at_the_top else names))
    (record,) = coco.read(path) if at_the_top else coco.read(path, names="ignore")
    np.testing.assert_allclose(record.points, POINTS[[int(n) for n in SORTED]], atol=1e-3)
    if at_the_top:
        path.write_text(json.dumps(json.loads(path.read_text()) | names))
    with refuses(field, "'keypoints'", "names=ignore", path=path):
        list(coco.read(path))


def test_some_of_a_schema_s_points_by_their_names(tmp_path: Path) -> None:
    annotation = _annotation(keypoints=[*[10.0, 20, 2], *[30.0, 40, 2]])
    path = _with_categories(_write(tmp_path, annotation),
                            {"id": 1, "name": "eyes", "keypoints": ["right_eye_0", "left_eye_3"]})
    (record,) = coco.read(path, schema="ibug68")
    np.testing.assert_array_equal(record.points[[36, 45]], [[10, 20], [30, 40]])
    assert np.isnan(record.points).any(axis=1).sum() == 66


CATEGORIES = [
    {"id": 1, "name": "face", "keypoints": []},
    {"id": 2, "name": "person", "keypoints": ["nose", "left_eye"]},
    {"id": 3, "name": "car"},
]


def test_other_categories_are_left_out_and_counted(tmp_path: Path) -> None:
    path = _write(
        tmp_path, _annotation(category_id=2, keypoints=[1.0, 2, 2] * 2), _annotation(),
        {"id": 8, "image_id": 3, "category_id": 3, "bbox": [1, 2, 3, 4]},
        _annotation(category_id=2, keypoints=[1.0, 2, 2] * 2),
    )  # fmt: skip
    _with_categories(path, *CATEGORIES)
    face, *notes = coco.read(path)
    np.testing.assert_allclose(face.points, POINTS, atol=1e-3)
    told = "\n".join(note.text for note in notes)
    assert_told(told, "1 annotation", "without keypoints")
    assert_told(told, "2 annotations", "'person'")
    assert next(iter(coco.read(path, category="face"))).schema == "ibug68"
    assert next(iter(coco.read(path, category="1"))).schema == "ibug68"
    with refuses("'dog'", "face", "person", "car", path=path):
        list(coco.read(path, category="dog"))


def test_several_categories_that_may_be_faces(tmp_path: Path) -> None:
    path = _write(tmp_path, _annotation(), _annotation(category_id=2))
    _with_categories(path, *CATEGORIES[:2])
    with refuses("face", "person", "category=NAME", path=path):
        list(coco.read(path))
    assert len(list(coco.read(path, category="face,person"))) == 2
    assert sum(isinstance(item, FaceRecord) for item in coco.read(path, category="face")) == 1


def test_the_stated_size_and_the_usual_folders(tmp_path: Path) -> None:
    """CVAT and COCO itself keep annotations beside the folder of images."""
    source = _write(tmp_path, _annotation())
    for name, folder in (("instances_train2017", "train2017"), ("keypoints_default", "images"),
                         ("person_keypoints_default", "images/default")):
        path = tmp_path / name / "annotations" / f"{name}.json"
        path.parent.mkdir(parents=True)
        path.write_text(source.read_text())
        image = write_image(tmp_path / name / folder / "sub" / "a.jpg")
        (record,) = coco.read(path)
        assert (record.image, record.image_size) == (image.absolute(), (408, 408))


@pytest.mark.parametrize("number", [str, float])
def test_sizes_and_ids_of_other_types(tmp_path: Path, number: type) -> None:
    """A size as a text counts: an image that was resized since is told."""
    image = {"id": number(3), "file_name": "sub/a.jpg", "width": number(816),
             "height": number(816)}
    path = _write(tmp_path, _annotation(), images=[image])
    with refuses("816 x 816", "408 x 408", "sizes=scale", path=tmp_path / "sub/a.jpg"):
        sources.read(f"coco:{path}")
    (record,) = sources.read(f"coco:{path}?sizes=scale").records
    np.testing.assert_allclose(record.points, (POINTS + 0.5) / 2 - 0.5, atol=1e-3)


@pytest.mark.parametrize(
    ("width", "height"), [("wide", 408), (408, None), (-5, 408), (float("nan"), 408), (True, 1)])
def test_a_size_that_is_none(tmp_path: Path, width: Any, height: Any) -> None:
    image = {"id": 3, "file_name": "sub/a.jpg", "width": width, "height": height}
    path = _write(tmp_path, _annotation(), images=[image])
    (error,) = coco.read(path)
    assert_refusal(error, 7, "width", "height", f"'{width}'", f"'{height}'", path=path)


@pytest.mark.parametrize("other", ["sub/a.jpg", "sub\\a.jpg", "sub/A.JPG", "sub/x/../a.jpg"])
def test_two_images_of_one_file_are_refused(tmp_path: Path, other: str) -> None:
    """Data sets were merged, and one of the photos took the other's place."""
    images = [{"id": 3, "file_name": "sub/a.jpg"}, {"id": 4, "file_name": other},
              {"id": 5, "file_name": "sub/b.jpg"}]
    path = _write(tmp_path, _annotation(), _annotation(id=8, image_id=4),
                  _annotation(id=9, image_id=5), images=images)
    write_image(tmp_path / "sub" / "b.jpg")
    first, second, good = coco.read(path)
    assert_refusal(first, 7, "'3'", "'4'", "'sub/a.jpg'", path=path)
    assert_refusal(second, 8, "'4'", "'3'", path=path)
    assert good.identity == "sub/b.jpg"


def test_images_whose_names_differ_in_upper_case_alone(tmp_path: Path) -> None:
    images = [{"id": 3, "file_name": "sub/a.jpg"}, {"id": 4, "file_name": "sub/A.jpg"}]
    path = _write(tmp_path, _annotation(), _annotation(image_id=4), images=images)
    write_image(tmp_path / "sub" / "A.jpg")
    assert [record.image.name for record in coco.read(path)] == ["a.jpg", "A.jpg"]


def test_two_categories_of_one_id_are_refused(tmp_path: Path) -> None:
    """Their keypoints may stand in other orders."""
    path = _with_categories(_write(tmp_path, _named(SORTED)), {"id": 1, "keypoints": SORTED},
                            {"id": 1, "keypoints": [*OWN]})
    with refuses("categories", 1, path=path):
        list(coco.read(path))


def test_two_lists_under_one_key_are_refused(tmp_path: Path) -> None:
    """Of which JSON keeps the last; twice the same is no loss."""
    path = _write(tmp_path, _annotation())
    text = path.read_text()
    path.write_text(text[:-1] + ', "images": ' + json.dumps(json.loads(text)["images"]) + "}")
    assert len(list(coco.read(path))) == 1
    path.write_text(text[:-1] + ', "annotations": []}')
    with refuses("'annotations'", "twice", path=path):
        list(coco.read(path))


def test_two_images_of_one_id_are_refused(tmp_path: Path) -> None:
    images = [{"id": 3, "file_name": "sub/a.jpg"}, {"id": 3, "file_name": "sub/b.jpg"}]
    path = _write(tmp_path, _annotation(), images=images)
    with refuses("id", 3, path=path):
        list(coco.read(path))
