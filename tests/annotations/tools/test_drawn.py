"""How shapes become faces, whatever the tool: those of labelme stand for all."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from efld_tf.annotations import sources
from efld_tf.annotations.format import Note
from efld_tf.annotations.record import FaceRecord
from efld_tf.annotations.tools import cvat, labelme
from efld_tf.errors import DataError
from efld_tf.landmarks import schemas
from tests.annotations.tools.writers_labelme import shape, write
from tests.annotations.writers import write_image
from tests.errors import assert_refusal, assert_told, refuses

SCHEMA = "mtfl5"
NAMES = schemas.get(SCHEMA).names
POINTS = np.array([[150, 160], [250, 158], [200.5, 210.25], [160, 260], [240, 262]])
SMALL = POINTS / 4 + [300, 10]


def singles(points: np.ndarray, group: Any = None) -> list[dict[str, Any]]:
    return [shape(name, xy, "point", group) for name, xy in zip(NAMES, points, strict=True)]


def box(x0: float, y0: float, x1: float, y1: float, label: str = "face", group: Any = None) -> Any:
    return shape(label, [[x0, y0], [x1, y1]], "rectangle", group)


def read(folder: Path, **options: str) -> list[FaceRecord | DataError | Note]:
    return list(labelme.read(folder, **{"schema": SCHEMA, **options}))


def faces(folder: Path, **options: str) -> tuple[list[FaceRecord], list[str]]:
    """The faces, and what notes tell."""
    items = read(folder, **options)
    records = [item for item in items if isinstance(item, FaceRecord)]
    notes = [item.text for item in items if isinstance(item, Note)]
    assert len(records) + len(notes) == len(items), items
    return records, notes


def refused(folder: Path, **options: str) -> DataError:
    (error,) = [item for item in read(folder, **options) if not isinstance(item, Note)]
    assert isinstance(error, DataError), error
    return error


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_image(tmp_path / "a.jpg")
    return tmp_path


# Points that were given no group, or another one.


@pytest.mark.parametrize("group", [None, 11, 2])
def test_a_point_of_another_group_than_its_face(folder: Path, group: int | None) -> None:
    shapes = [*singles(POINTS, 1), *singles(SMALL, 2)]
    shapes[2]["group_id"] = group
    write(folder / "a.json", shapes)
    records = read(folder)
    error = next(item for item in records if isinstance(item, DataError))
    assert_refusal(error, "'nose_tip'", "group", path=folder / "a.json")
    # Without its nose, the other face is not what was drawn either.
    assert not any(isinstance(item, FaceRecord) for item in records)


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("drawn", [(True, False), (False, True), (True, True)])
def test_a_point_of_one_face_in_the_group_of_another(
    folder: Path, number: int, drawn: tuple[bool, bool]
) -> None:
    """The group's own point was not drawn, or both were given the other's group."""
    shapes = [singles(POINTS / 2 - [60, 70], 1), singles(SMALL, 2)]
    write(folder / "a.json", [*shapes[0], *shapes[1]])
    assert len(faces(folder)[0]) == 2
    for own, group, there in zip(shapes, (2, 1), drawn, strict=True):
        own[number]["group_id"] = group
        if not there:
            del own[number]
    write(folder / "a.json", [*shapes[0], *shapes[1]])
    assert_refusal(refused(folder), repr(NAMES[number]), "far", "group", path=folder / "a.json")


def test_a_point_far_from_the_others_of_its_face(folder: Path) -> None:
    """It is no other face's that has such a point, or is no face that may lack one."""
    far = SMALL.copy()
    far[2] = POINTS[2]
    for others in (singles(POINTS, 1), singles(POINTS, 1)[:2], []):
        write(folder / "a.json", [*others, *singles(far, 2)])
        assert len(faces(folder)[0]) == 1 + bool(others)


def test_real_faces_have_no_point_far_from_the_others(shared_data: Path, folder: Path) -> None:
    """Whole faces and halves of them, beside one another."""
    names = schemas.get("ibug68").names
    for face in sources.read(f"ibug:{shared_data}/ibug/helen/testset").records[:24]:
        points = (face.points - face.points.min(axis=0)) * 100 / np.ptp(face.points)
        for rows in (range(68), np.argsort(points[:, 0])[:40], np.argsort(points[:, 1])[28:]):
            shapes = [shape(names[i], points[i] + [110 * group, 0], "point", group)
                      for group in range(3) for i in (rows if group < 2 else range(68))]
            write(folder / "a.json", shapes)
            assert len(faces(folder, schema="ibug68")[0]) == 3


def test_points_of_several_faces_without_a_group(folder: Path) -> None:
    shapes = [*singles(POINTS, 1), *singles(POINTS + np.array([100, 0]), 2)]
    shapes[2]["group_id"] = shapes[8]["group_id"] = None
    write(folder / "a.json", shapes)
    assert_refusal(refused(folder), "'nose_tip'", "'mouth_right_corner'", "group",
                   path=folder / "a.json")


def test_few_points_of_a_face_of_its_own(folder: Path) -> None:
    """They are far from the other, or have a box that says so, or the other has such points."""
    write(folder / "a.json", [*singles(POINTS, 1)[:4], singles(SMALL, 2)[4]])
    assert [len(r.points[np.isfinite(r.points[:, 0])]) for r in faces(folder)[0]] == [4, 1]
    nose = singles(POINTS + 20, 2)[2]
    write(folder / "a.json", [*singles(POINTS, 1), nose])
    assert len(faces(folder)[0]) == 2
    beside = [*singles(POINTS, 1)[:2], *singles(POINTS, 1)[3:], nose]
    write(folder / "a.json", [*beside, box(210, 200, 240, 250, group=2)])
    assert len(faces(folder)[0]) == 2
    write(folder / "a.json", [*beside, box(310, 300, 340, 350, group=2)])
    assert_refusal(refused(folder), "'nose_tip'", "group", path=folder / "a.json")


@pytest.mark.parametrize("boxed", [True, False])
def test_a_group_for_each_part_of_a_face(folder: Path, boxed: bool) -> None:
    shapes = [*singles(POINTS, 1)[:2], *singles(POINTS, 2)[2:]]
    boxes = [box(90, 90, 320, 210, "eyes", group=1), box(110, 150, 260, 320, "rest", group=2)]
    write(folder / "a.json", shapes + (boxes if boxed else []))
    facts = ["'eyes'", "'rest'", "category=NAME"] if boxed else ["'right_eye_centre'"]
    assert_refusal(refused(folder), *facts, "group", path=folder / "a.json")
    for one in boxes:
        one["label"] = "face"
    write(folder / "a.json", [*shapes, *boxes])
    assert len(faces(folder)[0]) == 2  # each has a face's box


@pytest.mark.parametrize("count", [2, 3])
def test_halves_of_a_face_in_two_groups(folder: Path, count: int) -> None:
    """Of an even number of points, too."""
    schema = folder / "four.yaml"
    schema.write_text(
        "name: four\ntitle: Four\nnames: [a, b, c, d]\nparts: {all: {points: '0-3'}}\n"
        "flip: [1, 0, 3, 2]\nnormalisers: {width: {right: 0, left: 1}}\n")
    shapes = [shape(name, [point], "point", group_id=1 if i < count else 2)
              for i, (name, point) in enumerate(zip("abcd", POINTS[:4], strict=True))]
    write(folder / "a.json", shapes)
    assert_refusal(refused(folder, schema=str(schema)), "'d'", "group", path=folder / "a.json")


def test_parts_of_a_face_whose_box_has_the_group_of_one(folder: Path) -> None:
    """Whichever part is the larger one."""
    around = box(90, 90, 320, 320, group=1)
    for count, first_of_fewer in ((2, "'right_eye_centre'"), (3, "'mouth_right_corner'")):
        shapes = [*singles(POINTS, 1)[:count], *singles(POINTS, 2)[count:], around]
        write(folder / "a.json", shapes)
        assert_refusal(refused(folder), first_of_fewer, "group", path=folder / "a.json")


# Other shapes that have as many points as a face.


def test_shapes_of_as_many_points_beside_named_points(folder: Path) -> None:
    write(folder / "a.json", [*singles(POINTS), shape("hair", POINTS + 50, "polygon")])
    (record,), (note,) = faces(folder)
    np.testing.assert_array_equal(record.points, POINTS.astype(np.float32))
    assert_told(note, "1 shape", "'hair'")
    assert len(faces(folder, category="hair")[0]) == 2


def test_several_labels_with_as_many_points(folder: Path) -> None:
    shapes = [shape("face", POINTS, "points"), shape("freckles", POINTS + 9, "points")]
    write(folder / "a.json", shapes)
    with refuses("'face'", "'freckles'", "category=NAME", path=folder):
        read(folder)
    (record,), (note,) = faces(folder, category="face")
    np.testing.assert_array_equal(record.points, POINTS.astype(np.float32))
    assert_told(note, 1, "'freckles'")
    assert len(faces(folder, category="face,freckles")[0]) == 2


def test_a_label_that_only_sometimes_has_as_many_points(folder: Path) -> None:
    write(folder / "a.json", [shape("hair", POINTS, "polygon"),
                              shape("hair", POINTS[:4], "polygon")])
    record, error = read(folder)
    assert isinstance(record, FaceRecord) and isinstance(error, DataError)
    assert_refusal(error, "5 points", "4", "'hair'", "category=NAME", path=folder / "a.json")


def _skeleton(label: str, names: Any, points: np.ndarray = POINTS) -> str:
    drawn = "".join(f'<points label="{name}" outside="0" occluded="0" points="{x},{y}"></points>'
                    for name, (x, y) in zip(names, points.tolist(), strict=True))
    return f'<skeleton label="{label}" source="manual" z_order="0">{drawn}</skeleton>'


def _cvat(folder: Path, *skeletons: str, **options: str) -> list[FaceRecord | DataError | Note]:
    path = folder / "annotations.xml"
    path.write_text(
        "<annotations><version>1.1</version><meta></meta><image id='0' name='a.jpg' width='408' "
        f"height='408'>{''.join(skeletons)}</image></annotations>")
    return list(cvat.read(path, **{"schema": SCHEMA, **options}))


@pytest.mark.parametrize("names", [NAMES, "12345"])
@pytest.mark.parametrize("option", ["match", "ignore"])
def test_several_skeletons_that_fit(folder: Path, names: Any, option: str) -> None:
    both = _skeleton("face", names), _skeleton("tie", names, POINTS + 50)
    with refuses("'face'", "'tie'", "category=NAME", path=folder / "annotations.xml"):
        _cvat(folder, *both, names=option)
    record, note = _cvat(folder, *both, names=option, category="face")
    assert isinstance(record, FaceRecord) and isinstance(note, Note)
    np.testing.assert_array_equal(record.points, POINTS.astype(np.float32))
    assert_told(note.text, 1, "'tie'")


def test_shapes_without_names_beside_skeletons(folder: Path) -> None:
    spots = ";".join(f"{x},{y}" for x, y in POINTS.tolist())
    record, note = _cvat(folder, _skeleton("face", NAMES),
                         f'<points label="spots" occluded="0" points="{spots}"></points>')
    assert isinstance(record, FaceRecord) and isinstance(note, Note)
    assert_told(note.text, "1 shape", "'spots'")


# Other names of points.


def test_one_more_point(folder: Path) -> None:
    write(folder / "a.json", [*singles(POINTS), shape("mole", [5, 6])])
    (record,), (note,) = faces(folder)
    np.testing.assert_array_equal(record.points, POINTS.astype(np.float32))
    assert_told(note, "1 point", "'mole'")
    record, other = _cvat(folder, _skeleton("face", [*NAMES, "mole"], np.r_[POINTS, POINTS[:1]]))
    assert isinstance(record, FaceRecord) and isinstance(other, Note)
    np.testing.assert_array_equal(record.points, POINTS.astype(np.float32))
    assert_told(other.text, "1 point", "'mole'")


def test_a_misspelt_name_is_shown_where_it_is(folder: Path) -> None:
    """Its file is named; where others have the right name, that point is missing alone."""
    write_image(folder / "b.jpg")
    write(folder / "a.json", singles(POINTS)[:4])
    misspelt = singles(POINTS)
    misspelt[4]["label"] = "mouth_left_conrer"
    write(folder / "b.json", misspelt, "b.jpg")
    with refuses("'b.jpg'", "'mouth_left_conrer'", "'mouth_left_corner'",
                 path=folder / "b.json"):
        read(folder)
    write(folder / "a.json", singles(POINTS))
    (whole, other), (note,) = faces(folder)
    assert np.isfinite(whole.points).all() and np.isnan(other.points[4]).all()
    assert_told(note, "1 point", "'mouth_left_conrer'")


@pytest.mark.parametrize("label", ["{}", "p{}", "own"])
def test_more_points_beside_those_of_the_face(folder: Path, label: str) -> None:
    """Moles that somebody numbered or named, beside points by name or by number."""
    shapes = singles(POINTS)
    for number, one in enumerate(shapes, 1):
        one["label"] = one["label"] if label == "own" else label.format(number)
    others = ["mole"] if label == "{}" else ["mole", "1", "2"]
    write(folder / "a.json", [*[shape(name, [[5, 5]], "point") for name in others], *shapes])
    (record,), notes = faces(folder)
    np.testing.assert_array_equal(record.points, POINTS.astype(np.float32))
    assert len(notes) == len(others)
    assert_told("\n".join(notes), "1 point", "'mole'")


def test_a_number_beside_names_is_no_point(folder: Path) -> None:
    shapes = [*singles(POINTS)[:4], shape("5", [POINTS[4]], "point")]
    write(folder / "a.json", shapes)
    with refuses("image 'a.jpg'", "'5'", "first=1", path=folder / "a.json"):
        read(folder)
    (record,), _ = faces(folder, first="1")
    np.testing.assert_array_equal(record.points, POINTS.astype(np.float32))


def test_a_name_beside_numbers_is_shown_where_it_is(folder: Path) -> None:
    shapes = [shape(f"p{i}", [xy], "point") for i, xy in enumerate(POINTS[:4], 1)]
    write(folder / "a.json", [*shapes, shape("mole", [[5, 5]], "point")])
    with refuses("image 'a.jpg'", "'mole'", path=folder / "a.json"):
        read(folder)


# Boxes.


def test_boxes_do_not_depend_on_the_order_of_shapes(folder: Path) -> None:
    """The small box holds most points of both faces, but fits the small face."""
    shape_of_face = np.array([[-20, -20], [20, -20], [0, 0], [-15, 20], [15, 20]])
    large, small = 3 * shape_of_face + 200, shape_of_face + np.array([270, 200])
    parts = [singles(large, 0), singles(small, 1),
             [box(100, 100, 330, 330)], [box(170, 130, 320, 262)]]
    for order in itertools.permutations(parts):
        write(folder / "a.json", [one for part in order for one in part])
        boxes = {float(r.points[0, 0]): r.box for r in faces(folder)[0]}
        np.testing.assert_array_equal(boxes[140], [100, 100, 330, 330])
        np.testing.assert_array_equal(boxes[250], [170, 130, 320, 262])


def test_a_box_of_something_else_that_holds_the_face(folder: Path) -> None:
    write(folder / "a.json", [*singles(POINTS), box(50, 50, 400, 400, "person")])
    (record,), (note,) = faces(folder)
    assert record.box is not None and record.box[0] == 50
    assert_told(note, "1 shape", "'person'", "category=")
    (record,), _ = faces(folder, category="face")
    assert record.box is None
    write(folder / "a.json", [*singles(POINTS, 1), box(50, 50, 400, 400, "person", group=1)])
    assert faces(folder)[1] == []
    write(folder / "a.json", [*singles(POINTS), box(50, 50, 400, 400, "Face box")])
    assert faces(folder)[1] == []


@pytest.mark.parametrize(
    ("boxes", "where"),
    [([box(100, 90, 300, 320), box(50, 50, 400, 400, "person")], "more than one box"),
     ([box(100, 90, 300, 240), box(350, 350, 400, 400, "phone")], "no box")],
)  # fmt: skip
def test_loose_points_and_boxes_of_something_else(
    folder: Path, boxes: list[Any], where: str
) -> None:
    write(folder / "a.json", [*singles(POINTS), *boxes])
    assert_refusal(refused(folder), where, "group", "category=", path=folder / "a.json")
    (record,), (note,) = faces(folder, category="face")
    np.testing.assert_array_equal(record.points, POINTS.astype(np.float32))
    assert record.box is not None and record.box[0] == 100
    assert_told(note, 1, f"'{boxes[1]['label']}'")
