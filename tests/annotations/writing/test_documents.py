"""The details of what annotation tools are given."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from efld_tf.annotations.header import Header
from efld_tf.annotations.writing.annotated import AnnotatedFace, AnnotatedImage
from efld_tf.annotations.writing.documents import CocoWriter, CvatWriter, cvat_labels, edges
from efld_tf.landmarks import schemas
from tests.annotations.writers import some_points
from tests.errors import refuses

SCHEMA = schemas.get("ibug68")
POINTS = some_points(68)


def _image(name: str = "a.jpg") -> AnnotatedImage:
    faces = [AnnotatedFace(POINTS, np.array([1.0, 2, 31, 42]))]
    return AnnotatedImage(name, "a", faces, Header(400, 300, 1))


def test_coco_has_all_that_the_format_asks_for(tmp_path: Path) -> None:
    visible = np.arange(68) != 5
    points = POINTS.copy()
    points[7] = np.nan
    with CocoWriter(tmp_path / "a.json", "ibug68", tmp_path) as writer:
        face = AnnotatedFace(points, np.array([1.0, 2, 31, 42]), visible)
        writer.write(AnnotatedImage("a.jpg", "a", [face], Header(400, 300, 1)))
        writer.write(AnnotatedImage("none.jpg", "none", [], Header(10, 20, 1)))
    content = json.loads((tmp_path / "a.json").read_text())
    assert content["images"] == [
        {"id": 1, "file_name": "a.jpg", "width": 400, "height": 300},
        {"id": 2, "file_name": "none.jpg", "width": 10, "height": 20}]
    (annotation,) = content["annotations"]
    assert (annotation["image_id"], annotation["category_id"], annotation["iscrowd"]) == (1, 1, 0)
    assert annotation["bbox"] == [1, 2, 30, 40] and annotation["area"] == 1200
    assert annotation["num_keypoints"] == 67
    flags = annotation["keypoints"][2::3]
    assert (flags[5], flags[7], flags[8]) == (1, 0, 2) and annotation["keypoints"][21:23] == [0, 0]
    (category,) = content["categories"]
    assert category["keypoints"] == [*SCHEMA.names]
    assert all(1 <= i <= 68 for pair in category["skeleton"] for i in pair)


def test_cvat_gets_a_skeleton_a_box_and_its_labels(tmp_path: Path) -> None:
    with CvatWriter(tmp_path / "cvat", "ibug68", tmp_path) as writer:
        writer.write(_image('Zoë & "b" <c>\n.jpg'))
    root = ET.parse(tmp_path / "cvat/annotations.xml").getroot()
    assert (root.tag, root.findtext("version")) == ("annotations", "1.1")
    image = root.find("image")
    assert image.get("name") == 'Zoë & "b" <c>\n.jpg' and image.get("width") == "400"
    skeleton, box = image.find("skeleton"), image.find("box")
    assert skeleton.get("group_id") == box.get("group_id") == "1"
    assert [p.get("label") for p in skeleton] == [*SCHEMA.names]
    assert (box.get("xtl"), box.get("ybr")) == ("1.000", "42.000")
    labels = json.loads((tmp_path / "cvat/labels.json").read_text())
    assert [label["type"] for label in labels] == ["skeleton", "rectangle"]
    assert labels[0]["name"] == skeleton.get("label") and labels[1]["name"] == box.get("label")
    svg = ET.fromstring(f"<svg>{labels[0]['svg']}</svg>")
    circles = svg.findall("circle")
    assert [c.get("data-label-name") for c in circles] == [*SCHEMA.names]
    assert len(svg.findall("line")) == len(edges(SCHEMA))
    assert all(0 <= float(c.get(axis)) <= 100 for c in circles for axis in ("cx", "cy"))


def test_labels_of_a_face_with_missing_points() -> None:
    points = POINTS.copy()
    points[:20] = np.nan
    skeleton, _ = cvat_labels(SCHEMA, points)
    assert "nan" not in skeleton["svg"] and len(skeleton["sublabels"]) == 68


@pytest.mark.parametrize("name", ["a\x01.jpg", "a\udcff.jpg", "a\ufffe.jpg", "\uffff.jpg"])
def test_names_that_xml_cannot_hold(tmp_path: Path, name: str) -> None:
    with CvatWriter(tmp_path / "cvat", "ibug68", tmp_path) as writer:
        with refuses("XML"):
            writer.write(_image(name))
        writer.write(_image())
    root = ET.parse(tmp_path / "cvat/annotations.xml").getroot()
    assert [image.get("name") for image in root.findall("image")] == ["a.jpg"]


def test_an_interrupted_run_leaves_whole_documents(tmp_path: Path) -> None:
    for error, kept in ((KeyboardInterrupt, True), (ValueError, False)):
        folder = tmp_path / error.__name__
        for writer in (CocoWriter(folder / "a.json", "ibug68", folder),
                       CvatWriter(folder / "cvat", "ibug68", folder)):
            with pytest.raises(error), writer:
                writer.write(_image())
                raise error
        assert (folder / "a.json").exists() == (folder / "cvat/annotations.xml").exists() == kept
        if kept:
            assert len(json.loads((folder / "a.json").read_text())["annotations"]) == 1
            assert len(ET.parse(folder / "cvat/annotations.xml").getroot().findall("image")) == 1


def test_turning_there_and_back() -> None:
    for orientation in range(1, 9):
        image = AnnotatedImage("a.jpg", "a", [AnnotatedFace(POINTS, np.array([1.0, 2, 31, 42]))],
                               Header(400, 300, orientation))
        stored = image.turned(False)
        assert stored.size == (400, 300)
        assert image.size == ((300, 400) if orientation > 4 else (400, 300))
        back = stored.turned(True)
        np.testing.assert_allclose(back.faces[0].points, POINTS, atol=1e-4)
        np.testing.assert_allclose(back.faces[0].box, [1, 2, 31, 42], atol=1e-4)
        assert (stored.faces[0].box[:2] < stored.faces[0].box[2:]).all()
