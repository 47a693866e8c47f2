from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from efld_tf.annotations import ibug, sources
from efld_tf.annotations.format import Note
from efld_tf.annotations.images import read_image
from efld_tf.annotations.record import FaceRecord
from efld_tf.annotations.tools import via, via_files
from efld_tf.errors import DataError
from efld_tf.landmarks import schemas
from tests.annotations.tools import writers_via
from tests.annotations.tools.writers_via import circle, line, point, rect
from tests.annotations.writers import some_points, write_image
from tests.errors import assert_refusal, assert_told, refuses

SCHEMA = "mtfl5"
NAMES = schemas.get(SCHEMA).names
POINTS = np.array([[150, 160], [250, 158], [200.5, 210.25], [160, 260], [240, 262]])

# What a user may save or export, as a file's suffix and text of the same regions.
Written = tuple[str, str]
WAYS: dict[str, Callable[[dict[str, Any]], Written]] = {
    "project": lambda exported: (".json", json.dumps(writers_via.project(exported))),
    "json": lambda exported: (".json", json.dumps(exported)),
    "csv": lambda exported: (".csv", writers_via.table(exported)),
}
every_way = pytest.mark.parametrize("way", WAYS)


def named(points: np.ndarray, key: str = "part", **more: str) -> list[dict[str, Any]]:
    return [point(xy, **{key: name}, **more) for name, xy in zip(NAMES, points, strict=True)]


def write(folder: Path, way: str, regions: Any, **options: Any) -> Path:
    exported = writers_via.images(
        regions if isinstance(regions, dict) else {"a.jpg": regions}, **options)
    suffix, text = WAYS[way](exported)
    path = folder / f"via{suffix}"
    path.write_text(text)
    return path


def read(path: Path, **options: str) -> list[FaceRecord | DataError | Note]:
    return list(via.read(path, **{"schema": SCHEMA, **options}))


def one(path: Path, **options: str) -> FaceRecord:
    (record,) = read(path, **options)
    assert isinstance(record, FaceRecord), record
    return record


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_image(tmp_path / "a.jpg")
    write_image(tmp_path / "b.jpg")
    return tmp_path


@every_way
@pytest.mark.parametrize("kind", ["polygon", "polyline"])
def test_all_points_in_one_shape(folder: Path, way: str, kind: str) -> None:
    record = one(write(folder, way, [line(POINTS, kind)], texts={"caption": "two, \"or\" {3}"}))
    np.testing.assert_array_equal(record.points, POINTS.astype(np.float32))
    assert (record.image, record.identity) == (folder / "a.jpg", "a.jpg")
    assert (record.box, record.visible, record.image_size) == (None, None, None)
    assert record.attributes == {"caption": 'two, "or" {3}'}
    assert record.upright is (True if way == "project" else None)


@every_way
def test_single_points_with_names(folder: Path, way: str) -> None:
    regions = named(POINTS)[::-1]
    record = one(write(folder, way, [*regions, rect(100, 90, 200, 230, part="face", sex="f")]))
    np.testing.assert_array_equal(record.points, POINTS.astype(np.float32))
    np.testing.assert_array_equal(record.box, [100, 90, 300, 320])
    assert record.attributes == {"sex": "f"}


@every_way
def test_points_without_names_are_in_the_order_of_drawing(folder: Path, way: str) -> None:
    path = write(folder, way, {"a.jpg": [point(xy, type="landmark", note="") for xy in POINTS],
                               "b.jpg": [point(xy) for xy in POINTS[:4]]})
    record, error = read(path)
    np.testing.assert_array_equal(record.points, POINTS.astype(np.float32))
    facts = ("mtfl5", 5, 4) if way == "csv" else ("image 'b.jpg'", "mtfl5", 5, 4)
    assert_refusal(error, *facts, path=path, line=7 if way == "csv" else None)


@every_way
def test_groups_and_boxes_tell_faces_apart(folder: Path, way: str) -> None:
    far = POINTS / 4
    pairs = zip(named(POINTS, face="1"), named(far, face="2"), strict=True)
    path = write(folder, way, [one for pair in pairs for one in pair])
    first, second = read(path, group="face", label="part")
    np.testing.assert_array_equal(first.points, POINTS.astype(np.float32))
    np.testing.assert_allclose(second.points, far)
    boxes = [rect(30, 30, 60, 60), rect(100, 100, 200, 200)]
    first, second = read(write(folder, way, [*named(POINTS), *boxes, *named(far)]))
    np.testing.assert_array_equal(first.box, [100, 100, 300, 300])
    np.testing.assert_array_equal(second.box, [30, 30, 90, 90])
    (error,) = read(write(folder, way, [*named(POINTS), *named(far)]))
    assert_refusal(error, "right_eye_centre", "group", path=path, line=2 if way == "csv" else None)


@every_way
def test_a_point_without_annotation(folder: Path, way: str) -> None:
    record = one(write(folder, way, named(POINTS)[1:]))
    assert np.isnan(record.points[0]).all()
    np.testing.assert_array_equal(record.points[1:], POINTS[1:].astype(np.float32))


@every_way
def test_other_shapes_are_left_out_and_counted(folder: Path, way: str) -> None:
    regions = [line(POINTS, what="face"), circle(9, 9, 3, what="mole"),
               line(some_points(30), what="hair"), rect(1, 2, 3, 4, what="car")]
    record, *notes = read(write(folder, way, regions))
    np.testing.assert_array_equal(record.points, POINTS.astype(np.float32))
    texts = [item.text for item in notes if isinstance(item, Note)]
    for text, name in zip(texts, ["'car'", "'hair'", "'mole'"], strict=True):
        assert_told(text, "1 shape", name)


def test_version_1(folder: Path) -> None:
    """Regions by number, and polygons that are closed by their first point."""
    exported = writers_via.images_1({
        "a.jpg": [line([*POINTS, POINTS[0]], "polygon"), *[point(xy) for xy in POINTS]]})
    path = folder / "via_region_data.json"
    path.write_text(json.dumps(exported))
    for record in read(path):
        np.testing.assert_array_equal(record.points, POINTS.astype(np.float32))
    path = folder / "via_region_data.csv"
    path.write_text("#" + writers_via.table(writers_via.images({"a.jpg": [line(POINTS)]})))
    np.testing.assert_array_equal(one(path).points, POINTS.astype(np.float32))


def test_regions_of_version_1_whose_keys_were_sorted(folder: Path) -> None:
    """As texts, `10` stands before `2`."""
    exported = writers_via.images_1({"a.jpg": [circle(9, 9, 2)] * 8 + [point(xy) for xy in POINTS]})
    path = folder / "via.json"
    path.write_text(json.dumps(exported, sort_keys=True))
    record, left_out = read(path)
    np.testing.assert_array_equal(record.points, POINTS.astype(np.float32))
    assert_told(left_out.text, 8)


def test_a_project_of_version_3_whose_keys_were_sorted(folder: Path) -> None:
    """Its regions have random keys; names tell what points are all the same."""
    regions = [([1, *xy], {"1": name}) for name, xy in zip(NAMES, POINTS, strict=True)]
    path = folder / "via.json"
    content = writers_via.project_3({"a.jpg": regions})
    content["metadata"] = dict(zip("bdace", content["metadata"].values(), strict=True))
    for sort in (False, True):
        path.write_text(json.dumps(content, sort_keys=sort))
        np.testing.assert_array_equal(one(path).points, POINTS.astype(np.float32))
    for region in content["metadata"].values():
        region["av"] = {}
    path.write_text(json.dumps(content, sort_keys=True))
    with refuses("sorted", "name", path=path):
        read(path)
    path.write_text(json.dumps(content))
    np.testing.assert_array_equal(one(path).points, POINTS.astype(np.float32))
    whole = writers_via.project_3({"a.jpg": [([7, *POINTS.ravel()], {"1": "face"})]})
    path.write_text(json.dumps(whole, sort_keys=True))
    np.testing.assert_array_equal(one(path).points, POINTS.astype(np.float32))


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_tables_with_other_delimiters(folder: Path, delimiter: str) -> None:
    """As spreadsheets of some languages save them."""
    path = write(folder, "csv", named(POINTS))
    rows = list(csv.reader(path.read_text().splitlines()))
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    np.testing.assert_array_equal(one(path).points, POINTS.astype(np.float32))


def test_a_second_header(folder: Path) -> None:
    """As of tables that were put behind one another."""
    first, second = (writers_via.table(writers_via.images({name: named(POINTS)}))
                     for name in ("a.jpg", "b.jpg"))
    path = folder / "via.csv"
    path.write_text(f"{first}\n{second}\n")
    *records, error = read(path)
    assert [record.identity for record in records] == ["a.jpg", "b.jpg"]
    assert_refusal(error, "second header", path=path, line=7)


def test_a_point_that_was_drawn_as_a_circle(folder: Path) -> None:
    regions = [*named(POINTS)[:2], circle(200, 210, 2, part=NAMES[2]), *named(POINTS)[3:]]
    record, left_out = read(write(folder, "json", regions))
    assert np.isnan(record.points[2]).all() and np.isfinite(record.points[[0, 1, 3, 4]]).all()
    assert_told(left_out.text, 1, repr(NAMES[2]), "no point")
    for region in regions:
        region["region_attributes"] = {}
    path = write(folder, "json", regions)
    error, *_ = read(path)
    assert_refusal(error, 5, 4, "1 shape", "circles", path=path)


def test_tables_from_other_programs(folder: Path) -> None:
    """A mark of the byte order, line ends of Windows, lines in another order."""
    header, *lines = writers_via.table(
        writers_via.images({"a.jpg": [point(xy) for xy in POINTS], "b.jpg": []})).split("\n")
    path = folder / "via.csv"
    text = "\r\n".join([header, lines[5], *lines[4::-1], "", ""])
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    np.testing.assert_array_equal(one(path).points, POINTS.astype(np.float32))


def test_a_table_that_was_cut(folder: Path) -> None:
    path = write(folder, "csv", named(POINTS))
    path.write_text("\n".join(path.read_text().split("\n")[:-1]))
    record, cut = read(path)
    assert isinstance(record, FaceRecord) and isinstance(cut, Note)
    assert_told(cut.text, "1 image", "region_count", "'a.jpg'", "4 of 5")


def test_version_3(folder: Path) -> None:
    """Values that are chosen from options stand by their number."""
    regions = [([1, *xy], {"1": name, "2": str(person)})
               for person, points in enumerate([POINTS, POINTS / 4])
               for name, xy in zip(NAMES, points.tolist(), strict=True)]
    boxes = [([2, 30, 30, 60, 60], {"2": "1"}), ([2, 100, 90, 200, 230], {"2": "0"})]
    content = writers_via.project_3({
        "a.jpg": [*boxes, *regions, ([3, 5, 5, 2], {}), ([], {"1": "of the image"})]})
    path = folder / "project.json"
    path.write_text(json.dumps(content))
    first, second, left_out = read(path, group="person")
    np.testing.assert_array_equal(first.points, POINTS.astype(np.float32))
    np.testing.assert_array_equal(first.box, [100, 90, 300, 320])
    np.testing.assert_array_equal(second.box, [30, 30, 90, 90])
    assert_told(left_out.text, "1 shape")
    path.write_text(json.dumps(writers_via.project_3({
        "b.jpg": [([7, *POINTS.ravel().tolist()], {}), ([6, *POINTS.ravel().tolist()], {})]})))
    for record in read(path):
        np.testing.assert_array_equal(record.points, POINTS.astype(np.float32))
        assert (record.identity, record.upright) == ("b.jpg", True)


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        ({"file": {"1": {"fname": "a.mp4", "type": 4}}}, ["a.mp4", "videos", "frames"]),
        ({"file": {}}, ["fname", "'1'"]),
        ({"view": {"1": {"fid_list": [["\x1b"]]}}}, ["view", "'1'"]),
        ({"view": {"1": {"fid_list": ["1", "2"]}}}, ["view", "'1'"]),
        ({"view": {}}, ["view", "'1'"]),
        ({"metadata": {"x": {"vid": "1", "xy": 5}}}, ["region 'x'", "xy"]),
        ({"metadata": {"x": {"vid": "1", "xy": [1, 2, "3"]}}}, ["region 'x'", "xy"]),
        ({"metadata": {"x": {"vid": "1", "xy": [2, 1, 2, 3]}}}, ["region 'x'", "rect"]),
        ({"metadata": {"x": {"vid": "1", "xy": [1, 1, 2, 3, 4]}}}, ["region 'x'", "point"]),
        ({"metadata": {"x": 5}}, ["region 'x'", "xy"]),
    ],
)
def test_damaged_projects_of_version_3(
    folder: Path, change: dict[str, Any], facts: list[str]
) -> None:
    content = writers_via.project_3({"a.jpg": [([7, *POINTS.ravel().tolist()], {})]})
    path = folder / "project.json"
    path.write_text(json.dumps(content | change))
    (error,) = read(path)
    assert_refusal(error, *facts, path=path)


def test_real_faces(shared_data: Path, tmp_path: Path) -> None:
    faces = list(ibug.read(shared_data / "ibug" / "helen" / "testset"))[:40]
    by_image: dict[Path, list[FaceRecord]] = {}
    for face in faces:
        by_image.setdefault(face.image, []).append(face)
    names = schemas.get("ibug68").names
    regions = {
        image.name: [
            one for group, record in enumerate(records) for one in (
                [line(record.points, "polygon", name="face")] if i % 2
                else [point(xy, face=str(group), name=name)
                      for name, xy in zip(names, record.points, strict=True)][::-1])
        ] for i, (image, records) in enumerate(by_image.items())
    }  # fmt: skip
    exported = writers_via.images(regions)
    for image in by_image:
        exported[f"{image.name}-1"]["size"] = image.stat().st_size
    for way, make in WAYS.items():
        suffix, text = make(exported)
        path = tmp_path / f"{way}{suffix}"
        path.write_text(text)
        found = sources.read(f"via:{path}?schema=ibug68&group=face&category=face"
                             f"&images={shared_data}/ibug/helen/testset")
        assert found.notes == [] and len(found.records) == len(faces)
        for record, face in zip(found.records, faces, strict=True):
            assert record.image.samefile(face.image)
            np.testing.assert_allclose(record.points, face.points, atol=1e-3)


# Which attribute names points.


def test_the_attribute_whose_values_are_the_names(folder: Path) -> None:
    regions = [point(xy, person=str(i % 2), note=f"n{i}", part=name.replace("_", " ").title())
               for i, (name, xy) in enumerate(zip(NAMES, POINTS, strict=True))][::-1]
    record = one(write(folder, "json", regions))
    np.testing.assert_array_equal(record.points, POINTS.astype(np.float32))


def test_several_attributes_that_may_name_points(folder: Path) -> None:
    regions = [point(xy, id=str(i + 1), look=str(5 - i)) for i, xy in enumerate(POINTS)]
    path = write(folder, "json", regions)
    with refuses("'id'", "'look'", "label=ATTRIBUTE", "names=ignore", path=path):
        read(path)
    for options, points in (({"label": "id"}, POINTS), ({"label": "look"}, POINTS[::-1]),
                            ({"names": "ignore"}, POINTS)):
        np.testing.assert_array_equal(one(path, **options).points, points.astype(np.float32))
    faces = [item for item in read(path, group="look") if isinstance(item, FaceRecord)]
    assert len(faces) == 5
    regions = named(POINTS)
    for region in regions:
        region["region_attributes"]["teil"] = region["region_attributes"]["part"]
    path = write(folder, "json", regions)
    with refuses("'part'", "'teil'", "label=ATTRIBUTE", path=path):
        read(path)


def test_numbers_that_count_faces_are_no_names_of_points(folder: Path) -> None:
    regions = [point(xy, person=str(person)) for person in (0, 1) for xy in POINTS + person]
    path = write(folder, "json", regions)
    with refuses("image 'a.jpg'", "group=person", "label=person", path=path):
        read(path)
    first, second = read(path, group="person")
    np.testing.assert_array_equal(first.points, POINTS.astype(np.float32))
    np.testing.assert_array_equal(second.points, (POINTS + 1).astype(np.float32))


def test_faces_whose_group_is_not_named(folder: Path) -> None:
    regions = [*named(POINTS, person="0"), *named(POINTS + 200, person="1")]
    path = write(folder, "json", regions)
    (error,) = read(path)
    assert_refusal(error, repr(NAMES[0]), "group=", "'person'", path=path)
    assert len(read(path, group="person")) == 2


def _chosen(folder: Path, options: dict[str, str], ids: list[str], **more: Any) -> Path:
    """A project whose points have what was chosen from the options of a dropdown."""
    regions = [point(xy, part=id, **more) for id, xy in zip(ids, POINTS, strict=True)]
    attribute = {"type": "dropdown", "description": "", "options": options, "default_options": {}}
    exported = writers_via.images({"a.jpg": regions})
    path = folder / "via.json"
    path.write_text(json.dumps(writers_via.project(exported, part=attribute)))
    return path


@pytest.mark.parametrize("ids", ["01234", "12345", "abcde"])
def test_what_was_chosen_stands_for_its_meaning(folder: Path, ids: str) -> None:
    """The options are sorted by their text, so that ids are no numbers of points."""
    options = dict(zip(ids, sorted(NAMES), strict=True))
    by_name = {name: id for id, name in options.items()}
    record = one(_chosen(folder, options, [by_name[name] for name in NAMES]))
    np.testing.assert_array_equal(record.points, POINTS.astype(np.float32))


@pytest.mark.parametrize("ids", [["0", "1", "2", "3", "4"], ["lm0", "lm1", "lm2", "lm3", "lm4"]])
@pytest.mark.parametrize("meaning", ["{}", "p{}", "Point {}"])
def test_meanings_that_are_other_numbers(folder: Path, ids: list[str], meaning: str) -> None:
    order = [3, 0, 4, 1, 2]
    options = {id: meaning.format(number + 1) for id, number in zip(ids, order, strict=True)}
    record = one(_chosen(folder, options, [ids[order.index(number)] for number in range(5)]))
    np.testing.assert_array_equal(record.points, POINTS.astype(np.float32))


@every_way
def test_numbers_may_be_ids_of_options(folder: Path, way: str) -> None:
    """Exported annotations do not have the meanings, which the project has."""
    path = write(folder, way, [point(xy, part=str(i)) for i, xy in enumerate(POINTS)])
    record, *notes = read(path)
    np.testing.assert_array_equal(record.points, POINTS.astype(np.float32))
    is_export = way != "project"
    assert len(notes) == is_export
    for note in notes:
        assert_told(note.text, "'part'", "project")
    assert len(read(path, label="part")) == 1


def test_ids_that_are_the_names(folder: Path) -> None:
    meanings = ["right", "left", "tip", "corner", "other corner"]
    record = one(_chosen(folder, dict(zip(NAMES, meanings, strict=True)), list(NAMES)))
    np.testing.assert_array_equal(record.points, POINTS.astype(np.float32))
    record = one(_chosen(folder, dict.fromkeys("01234", ""), list("01234")))
    np.testing.assert_array_equal(record.points, POINTS.astype(np.float32))


def test_meanings_that_are_not_the_schema_s(folder: Path) -> None:
    words = ["Auge rechts", "Auge links", "Nase", "Mund rechts", "Mund links"]
    path = _chosen(folder, dict(zip("01234", words, strict=True)), list("01234"))
    with refuses("Auge rechts", "Nase", *NAMES, "names=ignore", SCHEMA):
        read(path)


def test_names_that_are_not_the_schema_s(folder: Path) -> None:
    regions = named(POINTS)
    regions[2]["region_attributes"]["part"] = "snout"
    path = write(folder, "json", regions)
    with refuses("'snout'", "'nose_tip'", "names=ignore", path=path):
        read(path)
    np.testing.assert_array_equal(one(path, names="ignore").points, POINTS.astype(np.float32))
    regions[2]["region_attributes"] = {}
    (error,) = read(write(folder, "json", regions))
    assert_refusal(error, "image 'a.jpg'", "1 of 5", "name", path=path)


@pytest.mark.parametrize("option", ["label", "group"])
def test_attributes_that_there_are_not(folder: Path, option: str) -> None:
    path = write(folder, "json", named(POINTS))
    with refuses(option, "'teil'", "'part'", path=path):
        read(path, **{option: "teil"})


def test_category(folder: Path) -> None:
    regions = [line(POINTS + 9, what="hair"), line(POINTS, what="face"), rect(1, 2, 3, 4, what="x")]
    record, *notes = read(write(folder, "json", regions), category="face")
    np.testing.assert_array_equal(record.points, POINTS.astype(np.float32))
    assert len(notes) == 2
    regions[1]["region_attributes"]["sex"] = "f"
    path = write(folder, "json", regions)
    with refuses("category", "'sex'", "'what'", "label=ATTRIBUTE", path=path):
        read(path, category="face")
    record, *notes = read(path, category="face", label="what")
    assert (record.attributes, len(notes)) == ({"sex": "f"}, 2)


def test_what_is_ticked_or_a_number(folder: Path) -> None:
    regions = [point(xy, part=i, seen={"yes": True, "no": i > 2}) for i, xy in enumerate(POINTS)]
    record, _ = read(write(folder, "json", regions[::-1]))
    np.testing.assert_array_equal(record.points, POINTS.astype(np.float32))


@every_way
@pytest.mark.parametrize("option", ["", "part"])
def test_names_that_are_ticked(folder: Path, way: str, option: str) -> None:
    """Options that are unticked again may stay, and other attributes may have several."""
    regions = [point(xy, part={name: True, "other": False}, seen={"yes": True, "no": i > 2})
               for i, (name, xy) in enumerate(zip(NAMES, POINTS, strict=True))]
    box = rect(100, 100, 200, 200, kind="face", wears={"glasses": True, "hat": True})
    record = one(write(folder, way, [box, *regions[::-1]]), label=option)
    np.testing.assert_array_equal(record.points, POINTS.astype(np.float32))
    assert record.attributes["wears"] == "glasses, hat"


def test_meanings_of_what_is_ticked(folder: Path) -> None:
    regions = [point(xy, part={str(i): True}) for i, xy in enumerate(POINTS)]
    options = {str(i): name for i, name in enumerate(NAMES[::-1])}
    path = folder / "via.json"
    path.write_text(json.dumps(writers_via.project(
        writers_via.images({"a.jpg": regions}), part={"type": "checkbox", "options": options})))
    np.testing.assert_array_equal(one(path).points, POINTS[::-1].astype(np.float32))


@pytest.mark.parametrize("ticks", [[], [NAMES[0], NAMES[4]]])
def test_a_point_with_no_name_or_several_that_are_ticked(folder: Path, ticks: list[str]) -> None:
    regions = [point(xy, part={name: True}) for name, xy in zip(NAMES[:4], POINTS, strict=False)]
    regions.append(point(POINTS[4], part=dict.fromkeys(ticks, True), by="me"))
    regions[0]["region_attributes"]["by"] = "you"
    path = write(folder, "json", regions)
    if ticks:
        with refuses("'by'", "'part'", path=path):
            read(path)
        regions[0]["region_attributes"].pop("by")
        path = write(folder, "json", regions)
        with refuses(f"'{NAMES[0]}, {NAMES[4]}'", path=path):
            read(path)
    else:
        (error,) = read(path)
        assert_refusal(error, "1 of 5", "no name", path=path)


# Where images are, and which.


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("a.jpg", "a.jpg"),
        ("a.jpg", "images/a.jpg"),
        ("sub\\a.jpg", "sub/a.jpg"),
        ("/home/ann/a.jpg", "a.jpg"),
        ("C:\\photos\\a.jpg", "images/a.jpg"),
        ("../../etc/a.jpg", "a.jpg"),
        ("file:///home/ann/a%20b.jpg", "a b.jpg"),
        ("https://example.org/photos/a.jpg?size=large", "a.jpg"),
    ],
)
def test_image_names(tmp_path: Path, name: str, image: str) -> None:
    write_image(tmp_path / image)
    record, *notes = read(write(tmp_path, "json", {name: named(POINTS)}))
    assert isinstance(record, FaceRecord) and record.image == tmp_path / image
    if name in ("a.jpg", "sub\\a.jpg"):
        assert notes == []
    else:
        (found,) = notes
        assert_told(found.text, "1 image", repr(name), repr(record.image.name))


@pytest.mark.parametrize(
    ("drawn", "other", "told"),
    [(None, None, False), (0, None, True), (0, 1, True), (0, 0, False), (1, 0, False),
     (1, 2, False)],
)
def test_an_image_without_regions_is_another_one_of_its_name(
    folder: Path, drawn: int | None, other: int | None, told: bool
) -> None:
    """The size in bytes tells, if only one of the images has that of the file."""
    bytes_ = (folder / "a.jpg").stat().st_size
    sizes = [-1 if more is None else bytes_ + more for more in (drawn, other)]
    regions: list[dict[str, Any]] = [{"/home/y/a.jpg": named(POINTS)}, {"/home/x/A.jpg": []}]
    path = folder / "via.json"
    for order in (1, -1):
        both = [writers_via.images(*pair) for pair in zip(regions, sizes, strict=True)][::order]
        path.write_text(json.dumps(both[0] | both[1]))
        item, *notes = read(path)
        if told:
            np.testing.assert_array_equal(item.points, POINTS.astype(np.float32))
        else:
            assert notes == []
            assert_refusal(item, "'/home/y/a.jpg'", 2, "'a.jpg'", path=path)


def test_images_of_version_3_without_regions(folder: Path) -> None:
    regions = [([1, *xy], {"1": name}) for name, xy in zip(NAMES, POINTS, strict=True)]
    content = writers_via.project_3({"a.jpg": regions, "b.jpg": []})
    path = folder / "via.json"
    path.write_text(json.dumps(content))
    assert one(path).identity == "a.jpg"
    for name in ("x/a.jpg", "a.jpg"):
        content["file"]["1"]["fname"], content["file"]["2"]["fname"] = f"/home/{name}", "/b/a.jpg"
        path.write_text(json.dumps(content))
        (error,) = read(path)
        assert_refusal(error, f"'/home/{name}'", 2, "'a.jpg'", path=path)


def test_images_of_one_name_from_several_places(folder: Path) -> None:
    regions = {f"http://{place}/a.jpg": named(POINTS) for place in "xy"}
    path = write(folder, "json", regions | {"C:\\x\\b.jpg": named(POINTS), "b.jpg": named(POINTS)})
    *errors, record = read(path)
    assert record.identity == "b.jpg" and len(errors) == 3
    for error, place in zip(errors, ["http://x/a.jpg", "http://y/a.jpg", "C:"], strict=True):
        assert_refusal(error, path=path)
        assert place in error.reason


@every_way
def test_the_image_of_the_stated_size_in_bytes(folder: Path, way: str) -> None:
    size = (folder / "a.jpg").stat().st_size
    other = writers_via.images({"a.jpg": named(POINTS + 9)}, size=size + 1)
    suffix, text = WAYS[way](other | writers_via.images({"a.jpg": named(POINTS)}, size=size))
    path = folder / f"via{suffix}"
    path.write_text(text)
    error, record = read(path)
    assert_refusal(error, "'a.jpg'", size, size + 1, path=path, line=2 if way == "csv" else None)
    np.testing.assert_array_equal(record.points, POINTS.astype(np.float32))


@every_way
def test_an_image_that_has_changed_since(folder: Path, way: str) -> None:
    size = (folder / "a.jpg").stat().st_size
    regions = {"a.jpg": [line(POINTS), line(POINTS + 1)], "b.jpg": [line(POINTS)]}
    assert len(read(write(folder, way, regions, size=size))) == 3
    *records, changed = read(write(folder, way, regions, size=size - 1))
    assert len(records) == 3
    assert_told(changed.text, "2 of 2", "'a.jpg'", f"{size} bytes", size - 1)


def test_no_image(folder: Path) -> None:
    path = write(folder, "json", {"c.jpg": named(POINTS), "\ud800/x.jpg": named(POINTS),
                                  "../../c/..": named(POINTS), "": named(POINTS)})
    for error, name in zip(read(path), ["c.jpg", "x.jpg", "..", "''"], strict=True):
        assert_refusal(error, path=path)
        assert name in error.reason
    assert read(write(folder, "json", {"c.jpg": []})) == []


def test_no_image_outside_the_folder_is_read(tmp_path: Path) -> None:
    write_image(tmp_path / "secret.jpg")
    (tmp_path / "data").mkdir()
    for name in ("../secret.jpg", str(tmp_path / "secret.jpg")):
        path = write(tmp_path / "data", "json", {name: named(POINTS)})
        (error,) = read(path)
        assert_refusal(error, path=path)


@pytest.mark.parametrize("orientation", [3, 6])
@pytest.mark.parametrize("way", ["project", "csv"])
def test_photos_that_are_stored_turned(tmp_path: Path, way: str, orientation: int) -> None:
    """Projects since 2020 are of photos as they are shown; other files do not tell."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (400, 300) if orientation == 6 else (300, 400)).save(
        tmp_path / "a.jpg", exif=exif)
    source = f"via:{write(tmp_path, way, named(POINTS))}?schema={SCHEMA}"
    if way == "csv":
        with refuses("EXIF", "upright=true", path=tmp_path / "a.jpg"):
            sources.read(source)
        source += "&upright=true"
    found = sources.read(source)
    (record,) = found.records
    assert record.upright and found.notes == []
    assert read_image(record).shape == (400, 300, 3)
    np.testing.assert_array_equal(record.points, POINTS.astype(np.float32))


@pytest.mark.parametrize("origin", ["0", "0.5", "1"])
def test_origin(folder: Path, origin: str) -> None:
    record = one(write(folder, "csv", [*named(POINTS), rect(10, 20, 300, 300)]), origin=origin)
    np.testing.assert_allclose(record.points, POINTS - float(origin))
    np.testing.assert_allclose(record.box, np.array([10, 20, 310, 320]) - float(origin))


# What is damaged.


def _shape(**shape: Any) -> dict[str, Any]:
    return {"shape_attributes": shape, "region_attributes": {}}


DAMAGED: list[tuple[Any, list[Any]]] = [
    (_shape(cx=1), ["region 1", "name"]),
    ({"shape_attributes": 5, "region_attributes": {}}, ["region 1", "name"]),
    (_shape(name="point", cx=1), ["region 1", "cx, cy", "NoneType"]),
    (_shape(name="point", cx="1", cy=2), ["region 1", "str"]),
    (_shape(name="point", cx=1e9, cy=2), ["region 1", "coordinate"]),
    (_shape(name="rect", x=1, y=2, width=3), ["region 1", "width"]),
    (_shape(name="rect", x=9e5, y=2, width=3e5, height=9), ["region 1", "coordinate"]),
    (_shape(name="polygon", all_points_x=[1, 2], all_points_y=[1]), ["region 1", 2, 1, "polygon"]),
    (_shape(name="polyline", all_points_x=[1, 2]), ["region 1", "all_points_y", "list"]),
    (_shape(name="polygon", all_points_x=[], all_points_y=[]), ["region 1", "polygon"]),
]


@every_way
@pytest.mark.parametrize(("region", "facts"), DAMAGED)
def test_a_bad_region_is_an_error_of_its_image(
    folder: Path, way: str, region: dict[str, Any], facts: list[Any]
) -> None:
    path = write(folder, way, {"a.jpg": [point(POINTS[0]), region], "b.jpg": named(POINTS)})
    error, record = sorted(read(path), key=lambda item: isinstance(item, FaceRecord))
    assert isinstance(record, FaceRecord) and record.identity == "b.jpg"
    if way == "csv":
        assert_refusal(error, *facts, path=path, line=3)
    else:
        assert_refusal(error, "image 'a.jpg-1'", *facts, path=path)


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        ({"filename": 5}, ["filename"]),
        ({"regions": 5}, ["regions", "list"]),
        ({"regions": [5]}, ["region 0", "object"]),
    ],
)
def test_damaged_images(folder: Path, change: dict[str, Any], facts: list[str]) -> None:
    exported = writers_via.images({"a.jpg": named(POINTS), "b.jpg": named(POINTS)})
    exported["a.jpg-1"] |= change
    path = folder / "via.json"
    path.write_text(json.dumps(exported))
    error, record = read(path)
    assert isinstance(record, FaceRecord)
    assert_refusal(error, "image 'a.jpg-1'", *facts, path=path)


@pytest.mark.parametrize(
    ("text", "facts", "line_number"),
    [
        ("", ["JSON"], 1),
        ("[" * 100_000, ["JSON", "nested"], None),
        ("[]", ["'filename'", "'regions'"], None),
        ("{}", ["'filename'", "'regions'"], None),
        ('{"images": [], "annotations": []}', ["'filename'", "'regions'"], None),
        ('{"_via_img_metadata": 5}', ["'filename'", "'regions'"], None),
        ('{"a": {"regions": []}, "a": {"regions": [{}]}}', ["'a'", "twice"], None),
    ],
)
def test_files_that_are_not_via_s(
    folder: Path, text: str, facts: list[str], line_number: int | None
) -> None:
    path = folder / "via.json"
    path.write_text(text)
    with refuses(*facts, path=path, line=line_number):
        read(path)


def test_what_via_exports_for_coco(folder: Path) -> None:
    path = folder / "via.json"
    path.write_text('{"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": []}')
    with refuses("'regions'", f"coco:{path}", path=path):
        sources.read(f"via:{path}?schema={SCHEMA}")


GOOD = writers_via.table(writers_via.images({"b.jpg": named(POINTS)})).split("\n")


@pytest.mark.parametrize(
    ("bad", "facts"),
    [
        ("a.jpg,-1", [7, 2]),
        ('a.jpg,-1,"{}",1,0,"{}","{}",', [7, 8]),
        ('a.jpg,-1,"{}",1,0,"{""name"":""poi', ["table"]),
        ('a.jpg,-1,"{}",1,x,"{}","{}"', ["region_id", "'x'"]),
        ('a.jpg,-1,"{}",1,0,"{name}","{}"', ["JSON"]),
        ('a.jpg,-1,"{}",1,0,"{}",x', ["JSON"]),
        ('a.jpg,-1,"{}",1,0,"5","{}"', ["region 0", "name"]),
    ],
)
def test_a_bad_line_is_an_error_of_its_image(folder: Path, bad: str, facts: list[Any]) -> None:
    """Its other points are no face."""
    others = writers_via.table(writers_via.images({"a.jpg": named(POINTS)})).split("\n")[1:]
    path = folder / "via.csv"
    path.write_text("\n".join([*GOOD, others[0], bad, *others[1:]]))
    record, error = read(path)
    assert isinstance(record, FaceRecord) and record.identity == "b.jpg"
    assert_refusal(error, *facts, path=path, line=8)
    path.write_text("\n".join([*GOOD, others[0].replace("{}", "{", 1), *others[1:]]))
    record, error = read(path)
    assert_refusal(error, "JSON", path=path, line=7)


@pytest.mark.parametrize("head", ["# Exported using VGG Image Annotator", "image,x,y", ""])
def test_other_tables(folder: Path, head: str) -> None:
    path = folder / "via.csv"
    path.write_text(f"{head}\n")
    with refuses("filename,file_size", "version 3", path=path, line=1):
        read(path)


@every_way
def test_too_many_regions(folder: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(via_files, "MAX_REGIONS", 4)
    path = write(folder, way, named(POINTS))
    (error,) = read(path)
    assert isinstance(error, DataError) and "4" in error.reason


def test_wrong_use(folder: Path) -> None:
    path = write(folder, "json", named(POINTS))
    with refuses("schema=NAME", "mtfl5"):
        list(via.read(path))
    with refuses("images", "nowhere"):
        read(path, images="nowhere")
    with refuses("No such file", path=folder / "none.json"):
        read(folder / "none.json")
    with refuses("No such file", path=folder / "none.csv"):
        read(folder / "none.csv")
