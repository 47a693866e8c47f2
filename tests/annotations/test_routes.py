"""What cannot be read names the nearest route."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from efld_tf.annotations import routes, sources
from tests.annotations.writers import dlib_box, dlib_text, ibug_text, some_points, write_image
from tests.errors import refuses

COCO = json.dumps({"images": [{"id": 1, "file_name": "a.jpg"}],
                   "annotations": [{"id": 1, "image_id": 1, "keypoints": [1, 2, 2]}]})
CONTENTS = {
    "coco.json": COCO,
    "labelme/a.json": json.dumps({"version": "5.4.1", "shapes": [], "imagePath": "a.jpg"}),
    "via.json": json.dumps({"_via_settings": {}, "_via_img_metadata": {}}),
    "via_export.json": json.dumps({"a.jpg1": {"regions": [{"shape_attributes": {}}]}}),
    "via.csv": "filename,file_size,region_shape_attributes\n",
    "tasks.json": json.dumps([{"annotations": [{"result": [{"from_name": "x"}]}]}]),
    "whole.json": json.dumps({"annotations": [{"face_kpts": [1]}]}),
    "faces.jsonl": json.dumps({"image": "a.jpg", "points": [[1, 2]]}),
    "faces.xml": dlib_text([("a.jpg", [dlib_box(some_points(68))])]),
    "annotations.xml": "<?xml version='1.0'?><annotations><version>1.1</version></annotations>",
    "label.txt": "# 0--Parade/a.jpg\n1 2 3 4\n",
    "table.csv": "image,x0,y0\n",
}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("coco.json", "coco:{}"), ("labelme/a.json", "labelme:{folder}"), ("via.json", "via:{}"),
        ("via_export.json", "via:{}"), ("via.csv", "via:{}"), ("tasks.json", "label_studio:{}"),
        ("whole.json", "coco_wholebody:{}"), ("faces.jsonl", "json:{}"),
        ("faces.xml", "dlib:{}"), ("annotations.xml", "cvat:{}"), ("label.txt", "retinaface:{}"),
        ("table.csv", "csv:{}"),
    ],
)  # fmt: skip
def test_files_are_recognised(tmp_path: Path, name: str, expected: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(CONTENTS[name])
    expected = expected.format(path, folder=path.parent)
    assert routes.nearest(path, "none") == f"it looks like {expected}"
    assert routes.nearest(path, expected.partition(":")[0]) is None


@pytest.mark.parametrize(
    ("source", "content", "facts"),
    [
        ("json:{}?schema=ibug68", "coco.json", ["coco:{}"]),
        ("coco:{}", "labelme/a.json", ["labelme:{folder}"]),
        ("coco:{}", "tasks.json", ["label_studio:{}"]),
        ("dlib:{}", "annotations.xml", ["cvat:{}"]),
        ("csv:{}?schema=ibug68", "faces.jsonl", ["json:{}"]),
        ("ibug:{folder}", "faces.xml", ["dlib:{}"]),
    ],
)
def test_a_reader_names_the_right_one(
    tmp_path: Path, source: str, content: str, facts: list[str]
) -> None:
    path = tmp_path / content
    path.parent.mkdir(exist_ok=True)
    path.write_text(CONTENTS[content])
    with refuses(*(fact.format(path, folder=path.parent) for fact in facts)):
        sources.read(source.format(path, folder=path.parent))


@pytest.mark.parametrize(
    ("content", "fact"),
    [(b"PK\x03\x04rest", "unpack"), (b"\x93NUMPYrest", "JSON lines"), (b"\x80\x04rest", "pickle"),
     (b"\xd0\xcf\x11\xe0rest", "CSV"), (b"PAR1", "CSV")],
)
def test_files_that_no_reader_reads(tmp_path: Path, content: bytes, fact: str) -> None:
    path = tmp_path / "faces.csv"
    path.write_bytes(content)
    with refuses(fact, path=path):
        sources.read(f"csv:{path}?schema=ibug68")


def test_unknown_readers(tmp_path: Path) -> None:
    for name, fact in (("voc", "efld-data label"), ("xlsx", "csv:FILE.csv"), ("pts", "ibug:FOLDER"),
                       ("Labelbox", "coco:FILE.json"), ("nonsense", "ibug")):
        with refuses(f"'{name}'", fact):
            sources.read(f"{name}:{tmp_path}")
    known = {*sources.FORMATS, "efld", "json", "packed"}
    assert not known & {*routes.ROUTES}
    named = {word.partition(":")[0] for route in routes.ROUTES.values()
             for word in route.replace(",", " ").split() if ":" in word[:-1]}
    assert named <= known


def test_right_files_get_no_hint(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg")
    (tmp_path / "a.pts").write_text(ibug_text(some_points(68)).replace("n_points", "points"))
    with pytest.raises(sources.EfldError) as caught:
        sources.read(f"ibug:{tmp_path}")
    assert "looks like" not in str(caught.value)
    assert routes.nearest(tmp_path / "none", "ibug") is None
