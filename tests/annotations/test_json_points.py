from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from efld_tf.annotations import json_points, sources
from efld_tf.annotations.record import FaceRecord
from efld_tf.landmarks import schemas
from tests.annotations.real import coco_faces
from tests.annotations.writers import some_points, write_image
from tests.errors import assert_refusal, refuses

POINTS = some_points(5).astype(float).tolist()
SCHEMA = "mtfl5"


def _entry(**fields: Any) -> dict[str, Any]:
    return {"image": "a.jpg", "points": POINTS} | fields


def _write(folder: Path, *entries: Any, as_list: bool = False) -> Path:
    write_image(folder / "a.jpg")
    path = folder / "faces.jsonl"
    lines = [entry if isinstance(entry, str) else json.dumps(entry) for entry in entries]
    path.write_text(f"[{','.join(lines)}]" if as_list else "\n".join(lines))
    return path


both = pytest.mark.parametrize("as_list", [False, True])


@both
def test_round_trip(tmp_path: Path, as_list: bool) -> None:
    full = _entry(
        box=[1, 2, 30, 40.5], visible=[True, False, 1, 0, True], identity="Ann",
        depth=[1.5, -2, None, 0, 3],
        attributes={"blur": 1, "camera": "b"},
    )  # fmt: skip
    first, second = json_points.read(_write(tmp_path, _entry(), full, as_list=as_list),
                                     schema=SCHEMA)
    assert (first.schema, first.identity, first.image) == (SCHEMA, "a.jpg", tmp_path / "a.jpg")
    assert first.box is first.visible is first.depth is None and first.attributes == {}
    np.testing.assert_allclose(first.points, POINTS, atol=1e-3)
    np.testing.assert_array_equal(second.box, [1, 2, 30, 40.5])
    np.testing.assert_array_equal(second.visible, [True, False, True, False, True])
    np.testing.assert_array_equal(second.depth, [1.5, -2, np.nan, 0, 3])
    assert (second.identity, second.attributes) == ("Ann", {"blur": "1", "camera": "b"})


def test_frames_and_turned_photos(tmp_path: Path) -> None:
    """As efld-predict writes them; a source tells frames and their faces apart by their keys."""
    (tmp_path / "a.mp4").touch()
    path = _write(tmp_path, _entry(), _entry(upright=True), _entry(image="a.mp4", frame=0),
                  _entry(image="a.mp4", frame=7), _entry(image="a.mp4", frame=7))
    records = list(sources.stream(f"json:{path}?schema={SCHEMA}"))
    assert [r.upright for r in records] == [False, True, False, False, False]
    assert [r.frame for r in records] == [None, None, 0, 7, 7]
    assert [r.key for r in records] == ["a.jpg", "a.jpg@1", "a.mp4#0", "a.mp4#7", "a.mp4#7@1"]


def test_real_faces(shared_data: Path, tmp_path: Path) -> None:
    faces = list(coco_faces(shared_data, "lapa"))
    path = tmp_path / "faces.jsonl"
    path.write_text("\n".join(
        json.dumps({"image": image.name, "points": points.tolist(), "box": box.tolist()})
        for image, points, box in faces
    ))
    images = str(faces[0][0].parent)
    records = list(json_points.read(path, schema="lapa106", images=images))
    for record, (image, points, box) in zip(records, faces, strict=True):
        assert record.image == image
        np.testing.assert_allclose(record.points, points, atol=1e-3)
        np.testing.assert_allclose(record.box, box)


@pytest.mark.parametrize("nothing", [None, [None, None], [math.nan, math.nan]])
def test_points_that_are_not_annotated_and_origin(tmp_path: Path, nothing: Any) -> None:
    points = [[1, 2], nothing, [5, 6], [7, 8], [9, 10]]
    path = _write(tmp_path, _entry(points=points, box=[1, 1, 3, 3]))
    (record,) = json_points.read(path, schema=SCHEMA, origin="1")
    assert np.isnan(record.points[1]).all()
    np.testing.assert_array_equal(record.points[[0, 4]], [[0, 1], [8, 9]])
    np.testing.assert_array_equal(record.box, [0, 0, 2, 2])


@both
@pytest.mark.parametrize(
    ("entry", "facts"),
    [
        (5, ["object"]),
        (_entry(colour="red"), ["colour", "image", "points", "box", "visible"]),
        ({"points": POINTS}, ["text", "image"]),
        (_entry(image=7), ["text", "image"]),
        (_entry(image="../a.jpg"), ["inside", "../a.jpg"]),
        (_entry(image="b.jpg"), ["b.jpg", "exist"]),
        (_entry(image="\ud800/b.jpg"), ["exist"]),
        ({"image": "a.jpg"}, ["points", "mtfl5", 5, "none"]),
        (_entry(points=POINTS[1:]), ["points", "mtfl5", 5, 4]),
        (_entry(points=[None] * 5), ["annotated"]),
        (_entry(points=[[1], *POINTS[1:]]), ["point 0", "[x, y]", "1 values"]),
        (_entry(points=[[1, 2, 3], *POINTS[1:]]), ["point 0", "[x, y]", "3 values", "leave out"]),
        (_entry(points=[{"x": 1, "y": 2}, *POINTS[1:]]), ["point 0", "[x, y]", "object"]),
        (_entry(points={"0": [1, 2]}), ["points", "mtfl5", "object"]),
        (_entry(points=np.ravel(POINTS).tolist()), ["points", 5, "mtfl5", "10 numbers", "[x, y]"]),
        ({"faces": [_entry()]}, ["'faces'", "image", "points", "alone"]),
        (_entry(points=[[1, "two"], *POINTS[1:]]), ["point 0", "str"]),
        (_entry(points=[[1, 1e7], *POINTS[1:]]), ["point 0", "NaN", "large"]),
        (_entry(points=[[1, float("nan")], *POINTS[1:]]), ["point 0", "x and y", "alone"]),
        (_entry(visible=[True]), ["visible", 5, "true", "false"]),
        (_entry(visible=[2] * 5), ["visible", 5, "true", "false"]),
        (_entry(depth=[1, 2]), ["depth", 5, "null"]),
        (_entry(depth=[1, 2, 3, 4, 1e7]), ["depth", "large"]),
        (_entry(depth=[1, 2, 3, 4, True]), ["depth", "bool"]),
        (_entry(expected_errors=[1, 2]), ["expected_errors", 5]),
        (_entry(expected_errors=[1, 2, 3, 4, "far"]), ["expected_errors", "str"]),
        (_entry(box=[1, 2, 3]), ["box", "x0, y0, x1, y1"]),
        (_entry(box=[5, 2, 3, 4]), ["face box", "5 to 3"]),
        (_entry(attributes={"a": []}), ["attributes", "texts", "numbers"]),
        (_entry(attributes={"weights_license": 5}), ["weights_license", "one line"]),
        (_entry(attributes={"weights_license": "\x1b[1m"}), ["weights_license", "one line"]),
        (_entry(frame=-1), ["frame", "whole", 0]),
        (_entry(frame=1.0), ["frame", "whole", 0]),
        (_entry(frame=True), ["frame", "whole", 0]),
        (_entry(frame=1 << 40), ["frame", "whole", 0]),
        (_entry(upright=1), ["upright", "true", "false"]),
        (_entry(image_size=[5]), ["image_size", "width", "height"]),
        (_entry(image_size=[5, "six"]), ["width", "height", "'six'"]),
        (_entry(frame=3), ["frame", "photo", "video"]),
        (_entry(identity=None), ["text", "identity"]),
    ],
)
def test_a_bad_entry_is_one_error(
    tmp_path: Path, as_list: bool, entry: Any, facts: list[object]
) -> None:
    write_image(tmp_path / "a.jpg")
    path = _write(tmp_path / "data", _entry(), entry, _entry(), as_list=as_list)
    first, error, last = json_points.read(path, schema=SCHEMA)
    assert isinstance(first, FaceRecord) and isinstance(last, FaceRecord)
    if as_list:
        assert_refusal(error, "entry 1", *facts, path=path)
    else:
        assert_refusal(error, *facts, path=path, line=2)


def test_a_line_that_is_not_json_is_one_error(tmp_path: Path) -> None:
    path = _write(tmp_path, _entry(), '{"image": ', "[" * 50_000, _entry())
    first, broken, deep, last = json_points.read(path, schema=SCHEMA)
    assert isinstance(first, FaceRecord) and isinstance(last, FaceRecord)
    assert_refusal(broken, "JSON", path=path, line=2)
    assert_refusal(deep, "JSON", "nested", path=path, line=3)
    huge = '{"image": "a.jpg", "points": [[%s, 1]]}' % ("1" * 5000)
    path = _write(tmp_path, huge, huge)
    for line, error in enumerate(json_points.read(path, schema=SCHEMA), 1):
        assert_refusal(error, "JSON", "number", path=path, line=line)


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        (json.dumps(_entry(), indent=1), ["one object", "'image'", "'points'"]),
        (json.dumps({"faces": [_entry()]}, indent=1), ["one object", "'faces'", "alone"]),
        (json.dumps({"faces": [_entry()] * 1000}), ["one object", "'faces'", "alone"]),
        (json.dumps(_entry(), indent=1) + "\n" + json.dumps(_entry(), indent=1), ["objects"]),
        ("image,x0,y0\na.jpg,1,2\n", ["not JSON"]),
        ("x", ["not JSON"]),
    ],
)
def test_what_is_no_json_lines_is_one_error(
    tmp_path: Path, text: str, facts: list[str]
) -> None:
    path = _write(tmp_path, "\n" + text)
    with refuses("one JSON object a line", "list", *facts, path=path, line=2):
        list(json_points.read(path, schema=SCHEMA))


def test_one_face_or_a_list_over_several_lines(tmp_path: Path) -> None:
    path = _write(tmp_path, json.dumps([_entry(), _entry()], indent=1))
    assert len(list(json_points.read(path, schema=SCHEMA))) == 2


def test_wrong_use(tmp_path: Path) -> None:
    path = _write(tmp_path, _entry())
    with refuses("schema=FILE.yaml", "schema=NAME", *schemas.names()):
        list(json_points.read(path))
    with refuses("origin", "one", 0, 1):
        list(json_points.read(path, schema=SCHEMA, origin="one"))
    with refuses("read", "No such file", path=tmp_path / "none.jsonl"):
        list(json_points.read(tmp_path / "none.jsonl", schema=SCHEMA))
    path.write_text("[1, 2")
    with refuses("JSON", path=path, line=1):
        list(json_points.read(path, schema=SCHEMA))


def test_a_stated_size(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg")
    larger = [[2 * x + 0.5, 2 * y + 0.5] for x, y in POINTS]
    path = _write(tmp_path, _entry(points=larger, image_size=[816, 816]))
    (record,) = sources.read(f"json:{path}?schema={SCHEMA}&sizes=scale").records
    np.testing.assert_allclose(record.points, POINTS, atol=1e-3)
