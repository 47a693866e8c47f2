from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from efld_tf.annotations import ibug, sources
from efld_tf.annotations.format import Note
from efld_tf.annotations.images import read_image
from efld_tf.annotations.record import FaceRecord
from efld_tf.annotations.tools import labelme
from efld_tf.errors import DataError
from efld_tf.landmarks import schemas
from tests.annotations.tools.writers_labelme import shape, text, write, xany_shape
from tests.annotations.writers import some_points, write_image
from tests.errors import assert_refusal, assert_told, refuses

SCHEMA = "mtfl5"
NAMES = schemas.get(SCHEMA).names
POINTS = np.array([[150, 160], [250, 158], [200.5, 210.25], [160, 260], [240, 262]])


def singles(points: np.ndarray, group: Any = None, make: Any = shape) -> list[dict[str, Any]]:
    return [make(name, xy, "point", group) for name, xy in zip(NAMES, points, strict=True)]


def read(folder: Path, **options: str) -> list[FaceRecord | DataError | Note]:
    return list(labelme.read(folder, **{"schema": SCHEMA, **options}))


def one(folder: Path, **options: str) -> FaceRecord:
    (record,) = read(folder, **options)
    assert isinstance(record, FaceRecord), record
    return record


def refused(folder: Path, **options: str) -> DataError:
    (error,) = read(folder, **options)
    assert isinstance(error, DataError), error
    return error


def note(items: list[FaceRecord | DataError | Note]) -> str:
    (told,) = [item.text for item in items if isinstance(item, Note)]
    return told


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_image(tmp_path / "a.jpg")
    return tmp_path


@pytest.mark.parametrize("kind", ["polygon", "linestrip", "points"])
def test_all_points_in_one_shape(folder: Path, kind: str) -> None:
    write(folder / "a.json", [shape("face", POINTS, kind)])
    record = one(folder)
    np.testing.assert_array_equal(record.points, POINTS.astype(np.float32))
    assert (record.image, record.identity) == (folder / "a.jpg", "a.jpg")
    assert (record.box, record.visible, record.image_size) == (None, None, (408, 408))
    assert record.attributes == {}


def test_single_points_whose_labels_are_the_names(folder: Path) -> None:
    order = [3, 0, 4, 1, 2]
    shapes = [singles(POINTS)[i] for i in order]
    shapes[0]["label"] = "Mouth-right corner"
    write(folder / "a.json", [*shapes, shape("face", [[100, 90], [300, 320]], "rectangle")])
    record = one(folder)
    np.testing.assert_array_equal(record.points, POINTS.astype(np.float32))
    np.testing.assert_array_equal(record.box, [100, 90, 300, 320])


def test_a_point_without_annotation(folder: Path) -> None:
    write(folder / "a.json", singles(POINTS)[:4])
    record = one(folder)
    assert np.isnan(record.points[4]).all()
    np.testing.assert_array_equal(record.points[:4], POINTS[:4].astype(np.float32))


@pytest.mark.parametrize("groups", [(1, 0), (None, 7)])
def test_several_faces_by_group(folder: Path, groups: tuple[int | None, int]) -> None:
    first, second = singles(POINTS, groups[0]), singles(POINTS + 40, groups[1])
    mixed = [one for pair in zip(first, second, strict=True) for one in pair]
    boxes = [shape("face", [[140, 130], [320, 330]], "rectangle", groups[1]),
             shape("face", [[90, 90], [300, 300]], "rectangle", groups[0])]
    write(folder / "a.json", [*boxes, *mixed])
    records = {float(record.points[0, 0]): record for record in read(folder)}
    np.testing.assert_array_equal(records[150].box, [90, 90, 300, 300])
    np.testing.assert_array_equal(records[190].box, [140, 130, 320, 330])
    np.testing.assert_array_equal(records[190].points, (POINTS + 40).astype(np.float32))


def test_several_faces_by_rectangle(folder: Path) -> None:
    far = POINTS / 4
    boxes = [shape("face", [[30, 30], [90, 90]], "rectangle"),
             shape("face", [[300, 300], [100, 100]], "rectangle")]
    write(folder / "a.json", [*singles(POINTS), *boxes, *singles(far)])
    near, small = read(folder)
    np.testing.assert_array_equal(near.points, POINTS.astype(np.float32))
    np.testing.assert_array_equal(near.box, [100, 100, 300, 300])
    np.testing.assert_allclose(small.points, far)


def test_a_box_of_no_group_is_of_the_face_that_it_holds(folder: Path) -> None:
    """The smallest that holds most of its points, and one face's alone."""
    corners = [[[90, 90], [400, 400]], [[140, 150], [260, 255]], [[0, 0], [5, 5]]]
    boxes = [shape("face", pair, "rectangle") for pair in corners]
    write(folder / "a.json", [*boxes, shape("face", POINTS, "polygon"),
                              shape("face", POINTS + 1, "polygon"),
                              shape("face", POINTS + 2, "polygon")])
    first, second, third, left_out = read(folder)
    np.testing.assert_array_equal(first.box, [140, 150, 260, 255])
    np.testing.assert_array_equal(second.box, [90, 90, 400, 400])
    assert third.box is None
    assert_told(left_out.text, "1 shape", "'face'")


def test_several_faces_that_nothing_tells_apart(folder: Path) -> None:
    write(folder / "a.json", [*singles(POINTS), *singles(POINTS + 9)])
    assert_refusal(refused(folder), "right_eye_centre", "group", path=folder / "a.json")


def test_numbers_of_all_files_decide_where_they_start(folder: Path) -> None:
    write_image(folder / "sub" / "b.jpg")
    write(folder / "a.json", [shape(f"p{i}", POINTS[i], group=1) for i in (1, 2, 3)])
    write(folder / "sub" / "b.json", [shape(f"p{i}", POINTS[i]) for i in (4, 0)], "b.jpg")
    first, second = read(folder)
    np.testing.assert_array_equal(first.points[1:4], POINTS[1:4].astype(np.float32))
    np.testing.assert_array_equal(second.points[[0, 4]], POINTS[[0, 4]].astype(np.float32))
    assert second.identity == "sub/b.jpg"
    (folder / "sub" / "b.json").unlink()
    with refuses("1 to 3", "first=0", "first=1", path=folder):
        read(folder)
    record = one(folder, first="1")
    np.testing.assert_array_equal(record.points[:3], POINTS[1:4].astype(np.float32))


def test_names_that_are_not_the_schema_s(folder: Path) -> None:
    shapes = singles(POINTS)
    shapes[2]["label"] = "snout"
    write(folder / "a.json", shapes)
    with refuses("'snout'", "'nose_tip'", "names=ignore", path=folder / "a.json"):
        read(folder)
    np.testing.assert_array_equal(one(folder, names="ignore").points, POINTS.astype(np.float32))
    shapes[2]["label"] = ""
    write(folder / "a.json", shapes)
    assert_refusal(refused(folder), "1 of 5", "name", path=folder / "a.json")


def test_what_is_no_face_is_left_out_and_counted(folder: Path) -> None:
    write(folder / "a.json", [
        shape("face", POINTS, "polygon"),
        shape("hair", POINTS[:3], "polygon"),
        shape("hair", POINTS[:4], "linestrip"),
        shape("face", POINTS[:2], "circle"),
        shape("glasses", POINTS[:2], "mask", mask="iVBORw0KGgo="),
        shape("car", [[1, 2], [30, 40]], "rectangle"),
    ])  # fmt: skip
    record, *notes = read(folder)
    np.testing.assert_array_equal(record.points, POINTS.astype(np.float32))
    texts = [item.text for item in notes if isinstance(item, Note)]
    assert len(texts) == len(notes) == 4
    expected = [(1, "'car'"), (1, "'face'"), (1, "'glasses'"), (2, "'hair'")]
    for told, facts in zip(texts, expected, strict=True):
        assert_told(told, *facts)


def test_outlines_beside_single_points_are_no_faces(folder: Path) -> None:
    write(folder / "a.json", [*singles(POINTS), shape("hair", some_points(30), "polygon")])
    record, hair = read(folder)
    assert isinstance(record, FaceRecord) and isinstance(hair, Note)
    assert_told(hair.text, "1 shape", "'hair'")


def test_category(folder: Path) -> None:
    boxes = [shape("face", [[100, 90], [300, 320]], "rectangle"),
             shape("hand", [[110, 110], [290, 300]], "rectangle")]
    write(folder / "a.json", [shape("hair", POINTS + 9, "polygon"),
                              shape("face", POINTS, "polygon"), *boxes])
    record, *notes = read(folder, category="face")
    np.testing.assert_array_equal(record.points, POINTS.astype(np.float32))
    np.testing.assert_array_equal(record.box, [100, 90, 300, 320])
    assert len(notes) == 2


def test_x_anylabeling(folder: Path) -> None:
    """Rectangles have four points; a difficult point is occluded, as in its own exports."""
    corners = [[100, 90], [300, 90], [300, 320], [100, 320]]
    points = singles(POINTS, 0, xany_shape)
    points[1]["difficult"] = True
    box = xany_shape("person", corners, "rectangle", 0, score=0.9361733198165894, flags=None,
                     attributes={"mask": "no"}, description="left one")
    rotated = xany_shape("plate", corners, "rotation", direction=0.5)
    write(folder / "a.json", [box, *points, rotated], version="2.4.0", checked=False)
    record, left_out = read(folder)
    np.testing.assert_array_equal(record.points, POINTS.astype(np.float32))
    np.testing.assert_array_equal(record.box, [100, 90, 300, 320])
    np.testing.assert_array_equal(record.visible, [True, False, True, True, True])
    assert record.attributes == {"mask": "no", "score": "0.9361733198165894", "difficult": "0",
                                 "description": "left one"}
    assert_told(left_out.text, "1 shape", "'plate'")


def test_flags_are_attributes(folder: Path) -> None:
    face = shape("face", POINTS, "polygon", flags={"smiles": True, "blurred": True})
    write(folder / "a.json", [face], flags={"blurred": False, "indoors": True})
    assert one(folder).attributes == {"blurred": "1", "indoors": "1", "smiles": "1"}


def test_labelme_3(folder: Path) -> None:
    """Shapes of labelme 3.0 have colours and no type, and the file states no size."""
    face = {"label": "face", "line_color": None, "fill_color": None, "points": POINTS.tolist()}
    (folder / "a.json").write_text(json.dumps({
        "version": "3.0.0", "flags": {}, "shapes": [face], "lineColor": [0, 255, 0, 128],
        "fillColor": [255, 0, 0, 128], "imagePath": "a.jpg", "imageData": "/9j/4AAQ",
    }))  # fmt: skip
    record = one(folder)
    np.testing.assert_array_equal(record.points, POINTS.astype(np.float32))
    assert (record.upright, record.image_size) == (None, None)


def test_real_faces(shared_data: Path, tmp_path: Path) -> None:
    faces = list(ibug.read(shared_data / "ibug" / "helen" / "testset"))[:40]
    by_image: dict[Path, list[FaceRecord]] = {}
    for face in faces:
        by_image.setdefault(face.image, []).append(face)
    names = schemas.get("ibug68").names
    for i, (image, records) in enumerate(by_image.items()):
        shapes = [
            one for group, record in enumerate(records) for one in (
                [shape("face", record.points, "points", group)] if i % 2
                else [shape(name, xy, "point", group)
                      for name, xy in zip(names, record.points, strict=True)][::-1])
        ]  # fmt: skip
        with Image.open(image) as photo:
            width, height = photo.size
        write(tmp_path / f"{image.stem}.json", shapes, f"C:\\helen\\{image.name}",
              imageWidth=width, imageHeight=height)
    source = (f"labelme:{tmp_path}?schema=ibug68&category=face"
              f"&images={shared_data}/ibug/helen/testset")
    found = sources.read(source)
    assert found.notes == [] and len(found.records) == len(faces)
    for record, face in zip(found.records, faces, strict=True):
        assert record.image.samefile(face.image)
        np.testing.assert_allclose(record.points, face.points, atol=1e-3)


# Where images are.


@pytest.mark.parametrize(
    ("file", "named", "image"),
    [
        ("a.json", "a.jpg", "a.jpg"),
        ("x.json", "a.jpg", "a.jpg"),
        ("json/a.json", "..\\images\\a.jpg", "images/a.jpg"),
        ("json/deep/a.json", "../../images/deep/a.jpg", "images/deep/a.jpg"),
        ("json/a.json", "..\\a.jpg", "a.jpg"),
        ("sub/a.json", "/home/ann/photos/a.jpg", "sub/a.jpg"),
        ("sub/a.json", "D:\\photos\\a.jpg", "sub/a.jpg"),
        ("a.json", "\\\\server\\photos\\a.jpg", "a.jpg"),
        ("a.json", "../../../etc/a.jpg", "a.jpg"),
        ("a.json", "old/a.jpg", "a.jpg"),
        ("a.json", "A.JPG", "a.jpg"),
        ("A.json", "A.JPG", "a.jpg"),
    ],
)
def test_the_image_that_is_named(tmp_path: Path, file: str, named: str, image: str) -> None:
    write_image(tmp_path / image)
    write(tmp_path / file, singles(POINTS), named)
    record, *notes = read(tmp_path)
    assert isinstance(record, FaceRecord), record
    assert (record.image.resolve(), notes) == (tmp_path / image, [])


def test_an_image_beside_the_folder_of_annotations(tmp_path: Path) -> None:
    write_image(tmp_path / "images" / "a.jpg")
    write(tmp_path / "json" / "a.json", singles(POINTS), "..\\images\\a.jpg")
    record = one(tmp_path / "json")
    assert record.image.resolve() == tmp_path / "images" / "a.jpg"
    assert record.identity == "../images/a.jpg"


def test_an_absolute_path_inside_the_folder(tmp_path: Path) -> None:
    write_image(tmp_path / "images" / "a.jpg")
    write(tmp_path / "json" / "b.json", singles(POINTS), str(tmp_path / "images" / "a.jpg"))
    assert one(tmp_path).identity == "images/a.jpg"


@pytest.mark.parametrize("file", ["b.json", "sub/b.json"])
@pytest.mark.parametrize(
    "named",
    ["old.jpg", "C:\\x\\old.jpg", "../../old.jpg", "a\0.jpg", "\ud800/x.jpg", "x" * 500, "", None],
)
def test_the_image_of_the_file_s_own_name(tmp_path: Path, file: str, named: Any) -> None:
    image = write_image((tmp_path / file).with_suffix(".png"))
    write(tmp_path / file, singles(POINTS), named)
    items = read(tmp_path)
    assert items[0].image == image
    assert_told(note(items), "1 annotation file", "'b.png'", "'b.json'")


def test_the_own_name_beside_the_image_that_is_not_there(tmp_path: Path) -> None:
    image = write_image(tmp_path / "images" / "new.jpg")
    write(tmp_path / "json" / "new.json", singles(POINTS), "../images/old.jpg")
    items = read(tmp_path)
    assert items[0].image.resolve() == image
    assert_told(note(items), "1 annotation file")


@pytest.mark.parametrize("images", ["images", "."])
def test_two_images_that_may_be_meant(tmp_path: Path, images: str) -> None:
    """As when a file was copied for the next photo."""
    for name in ("a.jpg", "b.jpg"):
        write_image(tmp_path / images / name)
    path = write(tmp_path / "b.json", singles(POINTS), f"{images}/a.jpg")
    assert_refusal(refused(tmp_path), "b.jpg", f"{images}/a.jpg", "imagePath", path=path)


def test_several_images_of_the_own_name(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png"):
        write_image(tmp_path / name)
    path = write(tmp_path / "a.json", singles(POINTS), "old.jpg")
    assert_refusal(refused(tmp_path), "old.jpg", "a.jpg", "a.png", path=path)
    write(tmp_path / "a.json", singles(POINTS), "a.png")
    assert one(tmp_path).image == tmp_path / "a.png"


@pytest.mark.parametrize("place", ["a.jpg", "sub/a.jpg", "photos/a.jpg"])
def test_images_in_a_folder_of_their_own(tmp_path: Path, place: str) -> None:
    image = write_image(tmp_path / "all" / place)
    write(tmp_path / "json" / "sub" / "a.json", singles(POINTS), "photos\\a.jpg")
    record = one(tmp_path / "json", images=str(tmp_path / "all"))
    assert (record.image, record.identity) == (image, place)


@pytest.mark.parametrize(("files", "image", "option"), [
    ({"x_1.json": "x/1.jpg", "y_1.json": "y/1.jpg"}, "1.jpg", False),
    ({"labels/x/1.json": "../../imgs/x/1.jpg", "labels/y/1.json": "../../imgs/y/1.jpg"},
     "imgs/1.jpg", True),
    ({"labels/x/1.json": "1.jpg", "labels/y/1.json": "1.jpg"}, "imgs/1.jpg", True),
    ({"a.json": r"C:\data\x\1.jpg", "b.json": r"C:\data\y\1.jpg"}, "1.jpg", False),
    ({"x_1.json": "x/1.jpg", "y_1.json": "1.jpg"}, "1.jpg", False),
])
def test_two_images_that_one_file_would_stand_for(
    tmp_path: Path, files: dict[str, str], image: str, option: bool
) -> None:
    write_image(tmp_path / image)
    for file, named in files.items():
        write(tmp_path / file, singles(POINTS), image=named)
    options = {"images": str(tmp_path / "imgs")} if option else {}
    for item, file in zip(read(tmp_path, **options), files, strict=True):
        assert isinstance(item, DataError)
        assert_refusal(item, "'1.jpg'", "images=", path=tmp_path / file)


def test_an_image_without_shapes_is_another_one_of_its_name(tmp_path: Path) -> None:
    write_image(tmp_path / "imgs" / "1.jpg")
    write(tmp_path / "labels/x/1.json", [], "1.jpg")
    path = write(tmp_path / "labels/y/1.json", singles(POINTS), "1.jpg")
    error = refused(tmp_path / "labels", images=str(tmp_path / "imgs"))
    assert_refusal(error, "'1.jpg'", "images=", path=path)
    path.unlink()
    assert read(tmp_path / "labels", images=str(tmp_path / "imgs")) == []


def test_a_copy_of_an_annotation_file_names_the_same_image(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg")
    for file, named in (("a.json", "a.jpg"), ("b.json", "./A.jpg")):
        write(tmp_path / file, singles(POINTS), image=named)
    assert len([item for item in read(tmp_path) if isinstance(item, FaceRecord)]) == 2


def test_images_in_folders_like_those_of_the_annotation_files(tmp_path: Path) -> None:
    for number, place in enumerate(("x", "y")):
        write_image(tmp_path / "imgs" / place / "1.jpg")
        write(tmp_path / "labels" / place / "1.json", singles(POINTS + number), image="1.jpg")
    for folder in (tmp_path, tmp_path / "labels"):
        records = read(folder, images=str(tmp_path / "imgs"))
        assert [(record.identity, record.points[0, 0]) for record in records
                if isinstance(record, FaceRecord)] == [
                    ("x/1.jpg", POINTS[0, 0]), ("y/1.jpg", POINTS[0, 0] + 1)]


@pytest.mark.parametrize("start", [".", "labels"])
@pytest.mark.parametrize("name", ["1.jpg", "old.jpg"])
def test_a_lost_image_of_a_folder_is_not_one_of_another(
    tmp_path: Path, start: str, name: str
) -> None:
    """Images lie in folders like those of the files, and one of that name in the topmost."""
    for place in ("x", "."):
        write_image(tmp_path / "imgs" / place / "1.jpg")
    folder = tmp_path / "json" / start
    for place in ("x", "y", "."):
        write(folder / place / "1.json", singles(POINTS), name)
    options = {"images": str(tmp_path / "imgs")}
    items = [item for item in read(tmp_path / "json", **options) if not isinstance(item, Note)]
    assert [item.identity for item in items if isinstance(item, FaceRecord)] == ["1.jpg", "x/1.jpg"]
    (error,) = (item for item in items if isinstance(item, DataError))
    assert_refusal(error, f"y/{name}", path=folder / "y" / "1.json")


def test_an_image_above_the_source_and_one_beside_the_file(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg")
    Image.new("RGB", (408, 408)).save(write_image(tmp_path / "sub" / "a.jpg"))
    path = write(tmp_path / "sub" / "a.json", singles(POINTS), "..\\a.jpg")
    assert_refusal(refused(tmp_path / "sub"), "outside", "images=FOLDER", path=path)
    assert one(tmp_path).image.resolve() == tmp_path / "a.jpg"
    write_image(tmp_path / "sub" / "a.jpg")  # the same photo
    assert one(tmp_path / "sub").image == tmp_path / "sub" / "a.jpg"


def test_images_that_are_named_from_the_file(tmp_path: Path) -> None:
    """As the toolkit writes them: identities are relative to the folder that is given."""
    image = write_image(tmp_path / "photos" / "sub" / "a.jpg")
    write(tmp_path / "json" / "sub" / "a.json", singles(POINTS), "../../photos/sub/a.jpg")
    record = one(tmp_path / "json", images=str(tmp_path / "photos"))
    assert (record.image, record.identity) == (image, "sub/a.jpg")
    (tmp_path / "empty").mkdir()
    error = refused(tmp_path / "json", images=str(tmp_path / "empty"))
    assert_refusal(error, path=tmp_path / "json" / "sub" / "a.json")


def test_no_image(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", singles(POINTS), "b.jpg", imageData="/9j/4AAQSkZJRg==")
    write_image(tmp_path / "b.png")
    assert_refusal(refused(tmp_path), "b.jpg", "b.png", "images=FOLDER", "imageData", path=path)
    for named in ("\ud800/x.jpg", "x" * 500, "a\0.jpg", "", None, "..", "/"):
        write(path, singles(POINTS), named)
        assert_refusal(refused(tmp_path), "images=FOLDER", path=path)
    write(path, [])
    assert read(tmp_path) == []
    write(path, [shape("hair", POINTS[:2], "mask")])
    (left_out,) = read(tmp_path)
    assert isinstance(left_out, Note)


def test_no_image_outside_the_folder_is_read(tmp_path: Path) -> None:
    write_image(tmp_path / "secret.jpg")
    for named in ("../secret.jpg", str(tmp_path / "secret.jpg"), "../../x/../secret.jpg"):
        path = write(tmp_path / "data" / "a.json", singles(POINTS), named)
        assert_refusal(refused(tmp_path / "data"), "secret.jpg", path=path)


PARTS = ["..", ".", "a.jpg", "data", "images", "x", "C:", "", "\0", "~", "A.JPG", "a"]


@given(
    parts=st.lists(st.sampled_from(PARTS), max_size=6), separator=st.sampled_from(["/", "\\"])
)
def test_any_name_stays_in_the_folder(
    tmp_path: Path, parts: list[str], separator: str
) -> None:
    for place in (".", "x", "x/data", "x/images"):
        (tmp_path / place).mkdir(exist_ok=True)
        (tmp_path / place / "a.jpg").touch()
    path = write(tmp_path / "x" / "data" / "a.json", singles(POINTS), separator.join(parts))
    (item, *_) = read(path.parent)
    # The own image beside the file is never far; one in a neighbouring folder may be named.
    allowed = [tmp_path / "x" / "data" / "a.jpg", tmp_path / "x" / "images" / "a.jpg"]
    assert item.image.resolve() in allowed


# What is damaged.


def test_other_programs_files_are_counted(folder: Path) -> None:
    write(folder / "a.json", singles(POINTS))
    (folder / "coco.json").write_text('{"images": [], "annotations": []}')
    (folder / "list.json").write_text("[1, 2]")
    (folder / ".hidden.json").write_text("damaged")
    record, left_out = read(folder)
    assert isinstance(record, FaceRecord)
    assert_told(left_out.text, "2 JSON files", "'shapes'")


@pytest.mark.parametrize(
    ("content", "facts", "line"),
    [
        ("", ["JSON"], 1),
        ('{"version": "5.4.1", "shapes": [', ["JSON"], 1),
        ("\xff", ["JSON", "UTF-8"], None),
        ("[" * 100_000, ["JSON", "nested"], None),
        ('{"shapes": {}}', ["list", "'shapes'"], None),
        (text([5]), ["shape 0", "object"], None),
        (text([shape("face", POINTS, "polygon"), shape(7, POINTS[0])]), ["shape 1", "label"], None),
        (text([shape("face", POINTS, 5)]), ["shape 0", "shape_type"], None),
        (text([shape("x", POINTS[:2])]), ["shape 0", "1 points of a point", 2], None),
        (text([shape("x", POINTS[:3], "rectangle")]), ["2 or 4", "rectangle", 3], None),
        (text([shape("x", [], "polygon")]), ["shape 0", "polygon", 0], None),
        (text([shape("x", []) | {"points": [1, 2]}]), ["shape 0", "pairs"], None),
        (text([shape("x", []) | {"points": [[1, 2, 3]]}]), ["shape 0", "pairs"], None),
        (text([shape("x", []) | {"points": [["1", 2]]}]), ["shape 0", "numbers"], None),
        (text([shape("x", []) | {"points": [[1e7, 2]]}]), ["shape 0", "coordinate"], None),
        (text([shape("x", []) | {"points": [[math.nan, 2]]}]), ["shape 0", "coordinate"], None),
        (text([shape("x", []) | {"points": None}]), ["shape 0", "pairs"], None),
        (text([shape("x", [1, 2], group=1.5)]), ["shape 0", "group_id"], None),
        (text([shape("x", [1, 2], group=True)]), ["shape 0", "group_id"], None),
        (text([shape("x", [1, 2])], imagePath=5), ["imagePath"], None),
        (text([shape("x", POINTS, "polygon", attributes={"weights_license": "\x1b"})]),
         ["weights_license"], None),
    ],
)  # fmt: skip
def test_a_damaged_file_is_one_error(
    tmp_path: Path, content: str, facts: list[object], line: int | None
) -> None:
    write_image(tmp_path / "a.jpg")
    write_image(tmp_path / "b.jpg")
    write(tmp_path / "b.json", singles(POINTS), "b.jpg")
    path = tmp_path / "a.json"
    path.write_bytes(content.encode("latin-1"))
    error, record = read(tmp_path)
    assert isinstance(record, FaceRecord)
    assert_refusal(error, *facts, path=path, line=line)


def test_too_many_shapes_and_too_large_a_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labelme, "MAX_SHAPES", 4)
    path = write(folder / "a.json", singles(POINTS))
    assert_refusal(refused(folder), 4, 5, "shapes", path=path)
    monkeypatch.setattr(labelme, "MAX_FILE_BYTES", 100)
    assert_refusal(refused(folder), 100, "bytes", path=path)


def test_a_large_copy_of_the_image(folder: Path) -> None:
    write(folder / "a.json", singles(POINTS), imageData="/9j/" * (1 << 23))
    np.testing.assert_array_equal(one(folder).points, POINTS.astype(np.float32))


def test_wrong_use(folder: Path) -> None:
    path = write(folder / "a.json", singles(POINTS))
    with refuses("schema=NAME", "mtfl5"):
        list(labelme.read(folder))
    with refuses("folder", path=path):
        read(path)
    with refuses("images", "nowhere"):
        read(folder, images="nowhere")
    with refuses("first", "2"):
        read(folder, first="2")


# Sizes and turned photos.


def test_the_stated_size_is_compared(folder: Path) -> None:
    write(folder / "a.json", singles(POINTS * 2), imageWidth=816, imageHeight=816)
    source = f"labelme:{folder}?schema={SCHEMA}"
    with refuses("816 x 816", "408 x 408", "sizes=scale", path=folder / "a.jpg"):
        sources.read(source)
    (record,) = sources.read(f"{source}&sizes=scale").records
    np.testing.assert_allclose(record.points, POINTS - 0.25)


def test_sizes_that_are_not_known(folder: Path) -> None:
    for size in (-1, None, "", 0):
        write(folder / "a.json", singles(POINTS), imageWidth=size, imageHeight=size)
        assert one(folder).image_size is None
    write(folder / "a.json", singles(POINTS), imageWidth="408", imageHeight=408.0)
    assert one(folder).image_size == (408, 408)
    for size in ("wide", math.inf, math.nan, 10**400, True):
        write(folder / "a.json", singles(POINTS), imageWidth=size, imageHeight=408)
        (error,) = labelme.read(folder, schema=SCHEMA)
        assert_refusal(error, "width", "height", "'408'", path=folder / "a.json")


@pytest.mark.parametrize("origin", ["0", "0.5", "1"])
def test_origin(folder: Path, origin: str) -> None:
    write(folder / "a.json", singles(POINTS))
    np.testing.assert_allclose(one(folder, origin=origin).points, POINTS - float(origin))


def _turned_photo(path: Path, orientation: int) -> tuple[int, int]:
    """Writes a photo that is shown with white pixels at `POINTS`; its size as it is stored."""
    from PIL import ImageOps

    shown = np.zeros((400, 300, 3), np.uint8)
    for x, y in POINTS.astype(int):
        shown[y, x] = 255
    back = {1: 1, 3: 3, 6: 8, 8: 6}[orientation]
    exif = Image.Exif()
    exif[0x0112] = back
    stored = Image.fromarray(shown)
    stored.getexif()[0x0112] = back
    stored = ImageOps.exif_transpose(stored)
    exif[0x0112] = orientation
    stored.save(path, exif=exif)
    return stored.size


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_photos_that_are_stored_turned(tmp_path: Path, orientation: int) -> None:
    """labelme shows them upright, and states that size."""
    _turned_photo(tmp_path / "a.png", orientation)
    write(tmp_path / "a.json", singles(POINTS), "a.png", imageWidth=300, imageHeight=400)
    found = sources.read(f"labelme:{tmp_path}?schema={SCHEMA}")
    (record,) = found.records
    assert record.upright and found.notes == []
    pixels = read_image(record)
    for x, y in record.points.astype(int):
        assert pixels[y, x].min() == 255


def test_photos_that_x_anylabeling_shows_as_they_are_stored(tmp_path: Path) -> None:
    size = _turned_photo(tmp_path / "a.png", 6)
    assert size == (400, 300)
    x, y = POINTS.astype(int).T
    lying = np.stack([y, 299 - x], axis=-1)
    write(tmp_path / "a.json", singles(lying, 0, xany_shape), "a.png", version="4.0.0",
          imageWidth=400, imageHeight=300)
    (record,) = sources.read(f"labelme:{tmp_path}?schema={SCHEMA}").records
    assert not record.upright
    pixels = read_image(record)
    assert (pixels[299 - x, y] == 255).all()
    np.testing.assert_array_equal(record.points, lying)


@pytest.mark.parametrize(
    ("version", "make", "upright"),
    [("5.4.1", shape, True), ("3.7.0", shape, True), ("6.3", shape, True), ("10.0.0", shape, True),
     ("3.6.16", shape, None), ("0.4.10", shape, None), (None, shape, None), ("dev", shape, None),
     ([5, 4], shape, None),
     ("4.0.0-beta.7", xany_shape, None), ("2.4.0", xany_shape, None)],
)  # fmt: skip
def test_versions(folder: Path, version: Any, make: Any, upright: bool | None) -> None:
    write(folder / "a.json", singles(POINTS, make=make), version=version)
    assert one(folder).upright is upright


@given(
    points=st.lists(st.tuples(*[st.floats(-999, 9999, width=32)] * 2), min_size=5, max_size=5),
    order=st.permutations(range(5)),
    group=st.none() | st.integers(-5, 1 << 40),
)
def test_any_points(
    folder: Path, points: list[tuple[float, float]], order: list[int], group: int | None
) -> None:
    shapes = singles(np.array(points), group)
    write(folder / "a.json", [shapes[i] for i in order])
    np.testing.assert_array_equal(one(folder).points, np.array(points, np.float32))
