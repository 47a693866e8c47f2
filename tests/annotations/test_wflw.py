from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from efld_tf.annotations import wflw
from efld_tf.annotations.record import FaceRecord
from efld_tf.landmarks import schemas
from tests.annotations.writers import some_points, wflw_line, write_image
from tests.errors import assert_refusal, refuses

NAME = "36--Football/36_Football_1.jpg"
LIST = Path("WFLW_annotations", "list_98pt_rect_attr_train_test", "list.txt")


def _write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines))
    return path


def test_real_points_in_the_native_format(shared_data: Path, tmp_path: Path) -> None:
    samples = shared_data / "format_samples" / "wflw"
    content = json.loads((samples / "test_wflw.json").read_text())
    names = {image["id"]: image["file_name"] for image in content["images"]}
    lines, truths = [], []
    for annotation in content["annotations"]:
        truths.append(np.reshape(annotation["keypoints"], (98, 3))[:, :2])
        x, y, width, height = annotation["bbox"]
        box = (x, y, x + width, y + height)
        lines.append(wflw_line(names[annotation["image_id"]], truths[-1], box))
    path = _write(tmp_path / "list.txt", *lines)
    records = list(wflw.read(path, images=str(samples)))
    for record, truth in zip(records, truths, strict=True):
        np.testing.assert_allclose(record.points, truth, atol=1e-3)
        right_eye, left_eye, mouth_right, mouth_left = schemas.get("wflw98").anchor_points(
            record.points
        )
        assert right_eye[0] < left_eye[0] and mouth_right[0] < mouth_left[0]


def test_round_trip(tmp_path: Path) -> None:
    points = some_points(98)
    image = write_image(tmp_path / "WFLW_images" / NAME)
    path = _write(tmp_path / LIST, wflw_line(NAME, points, (1, 2, 3, 4), "1 0 1 0 1 1"))
    (record,) = wflw.read(path)
    assert record.image == image
    assert (record.schema, record.identity) == ("wflw98", NAME)
    np.testing.assert_allclose(record.points, points, atol=1e-4)
    np.testing.assert_array_equal(record.box, [1, 2, 3, 4])
    assert record.attributes == {
        "pose": "1",
        "expression": "0",
        "illumination": "1",
        "make-up": "0",
        "occlusion": "1",
        "blur": "1",
    }


@pytest.mark.parametrize(
    "folder",
    [
        LIST.parent,
        LIST.parent / "WFLW_images",
        LIST.parents[1] / "WFLW_images",
        Path("WFLW_images"),
    ],
)
def test_where_images_are_looked_for(tmp_path: Path, folder: Path) -> None:
    image = write_image(tmp_path / folder / NAME)
    path = _write(tmp_path / LIST, wflw_line(NAME, some_points(98)))
    (record,) = wflw.read(path)
    assert record.image.samefile(image)


def test_a_relative_list_finds_images_above_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(tmp_path / "WFLW_images" / NAME)
    path = _write(tmp_path / LIST, wflw_line(NAME, some_points(98)))
    monkeypatch.chdir(path.parent)
    (record,) = wflw.read(Path("list.txt"))
    assert record.image.is_file()


def test_images_option(tmp_path: Path) -> None:
    image = write_image(tmp_path / "elsewhere" / NAME)
    write_image(tmp_path / "WFLW_images" / NAME)
    path = _write(tmp_path / LIST, wflw_line(NAME, some_points(98)))
    (record,) = wflw.read(path, images=str(tmp_path / "elsewhere"))
    assert record.image == image
    with refuses("images", tmp_path / "nowhere", "folder"):
        list(wflw.read(path, images=str(tmp_path / "nowhere")))


_GOOD = wflw_line(NAME, some_points(98))


@pytest.mark.parametrize(
    ("line", "facts"),
    [
        ("1 2 3", ["numbers", 206, 3]),
        (_GOOD.replace(NAME, ""), ["206 numbers", "206 fields"]),
        (_GOOD.replace("0 1 0 0 1 0", "0 1 0 0 2 0"), ["occlusion", 0, 1, 2]),
        ("x" + _GOOD[_GOOD.index(" "):], ["number", "x"]),
        ("nan" + _GOOD[_GOOD.index(" "):], ["coordinate", "nan"]),
        (_GOOD.replace("10 20 110 140", "10 20 5 140"), ["face box", "10 to 5"]),
        (_GOOD.replace(NAME, "no.jpg"), ["no.jpg", "exist"]),
        *((_GOOD.replace(NAME, before + NAME), ["inside", before + NAME])
          for before in ("../", "a/../../", "/")),
    ],
)  # fmt: skip
def test_a_bad_line_is_one_error(tmp_path: Path, line: str, facts: list[object]) -> None:
    write_image(tmp_path / "WFLW_images" / NAME)
    path = _write(tmp_path / LIST, _GOOD, line.strip() + "\n", _GOOD)
    first, error, last = wflw.read(path)
    assert isinstance(first, FaceRecord) and isinstance(last, FaceRecord)
    assert_refusal(error, *facts, path=path, line=2)


def test_subsets_are_the_faces_with_an_attribute(tmp_path: Path) -> None:
    write_image(tmp_path / "WFLW_images" / NAME)
    flags = ["1 0 0 0 0 0", "0 1 0 0 0 1", "0 0 1 0 0 1", "0 0 0 1 0 0", "0 0 0 0 1 0"]
    points = [some_points(98, seed) for seed in range(5)]
    lines = [wflw_line(NAME, xy, attributes=text) for xy, text in zip(points, flags, strict=True)]
    path = _write(tmp_path / LIST, *lines)
    members = {
        "pose": [0], "expression": [1], "illumination": [2], "make-up": [3], "occlusion": [4],
        "blur": [1, 2],
    }  # fmt: skip
    for subset, expected in members.items():
        found = np.stack([record.points for record in wflw.read(path, subset=subset)])
        np.testing.assert_allclose(found, np.stack([points[k] for k in expected]), atol=1e-4)
    assert len(list(wflw.read(path))) == 5


def test_a_bad_line_is_reported_in_every_subset(tmp_path: Path) -> None:
    write_image(tmp_path / "WFLW_images" / NAME)
    path = _write(tmp_path / LIST, _GOOD, "1 2 3\n")
    (error,) = wflw.read(path, subset="pose")
    assert_refusal(error, "206 numbers", path=path, line=2)


def test_the_top_of_the_box_is_lowered(tmp_path: Path) -> None:
    write_image(tmp_path / "WFLW_images" / NAME)
    path = _write(tmp_path / LIST, wflw_line(NAME, some_points(98), (10, 20, 110, 140)))
    (record,) = wflw.read(path, box_top="0.2")
    np.testing.assert_allclose(record.box, [10, 20 + 0.2 * 120, 110, 140])


@pytest.mark.parametrize(
    ("option", "value", "known"),
    [
        ("subset", "blurred",
         ["pose", "expression", "illumination", "make-up", "occlusion", "blur"]),
        *(("box_top", value, [0, 1]) for value in ("1", "-0.1", "nan", "a bit")),
    ],
)
def test_options_are_checked(
    tmp_path: Path, option: str, value: str, known: list[object]
) -> None:
    with refuses(option, repr(value), *known):
        list(wflw.read(_write(tmp_path / LIST, _GOOD), **{option: value}))


def test_the_list_must_exist(tmp_path: Path) -> None:
    with refuses("read", "No such file", path=tmp_path / "list.txt"):
        list(wflw.read(tmp_path / "list.txt"))
