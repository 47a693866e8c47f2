from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from efld_tf.annotations import mtfl
from efld_tf.annotations.record import FaceRecord
from tests.annotations.writers import mtfl_line, some_points, write_image
from tests.errors import assert_refusal, refuses

BOX = (20.0, 15.0, 138.0, 130.0)


@pytest.mark.parametrize(("name", "faces", "photos"), [("train", 3200, 3027), ("test", 400, 397)])
def test_real_data(shared_data: Path, name: str, faces: int, photos: int) -> None:
    records = list(mtfl.read(shared_data / "net7876" / f"{name}ImageList.txt"))
    assert len(records) == faces
    assert all(isinstance(record, FaceRecord) for record in records)
    assert len({record.identity for record in records}) == photos
    # Coordinates alternate x, y: nearly every face has its eyes above its mouth, and the points
    # inside its box.
    points = np.stack([record.points for record in records])
    boxes = np.stack([record.box for record in records])
    assert (points[:, :2, 1].max(axis=1) < points[:, 3:, 1].min(axis=1)).mean() > 0.99
    inside = (points > boxes[:, None, :2]) & (points < boxes[:, None, 2:])
    assert inside.mean() > 0.99


def test_photos_on_both_sides_of_the_split(shared_data: Path) -> None:
    sides = [
        {record.identity for record in mtfl.read(shared_data / "net7876" / f"{name}ImageList.txt")}
        for name in ("train", "test")
    ]
    assert len(sides[0] & sides[1]) == 42


def test_round_trip(tmp_path: Path) -> None:
    points = some_points(5)
    names = ["images/8780_0_0.jpg", "images\\_-20_1421_0.jpg", "a folder/Ann_Lee_0001.jpg"]
    path = tmp_path / "list.txt"
    path.write_text("\n".join(mtfl_line(name, BOX, points) for name in names))
    images = [write_image(tmp_path / name.replace("\\", "/")) for name in names]
    records = list(mtfl.read(path))
    assert [record.image for record in records] == images
    assert [record.identity for record in records] == ["8780", "_-20_1421", "Ann_Lee"]
    for record in records:
        np.testing.assert_allclose(record.points, points, atol=1e-4)
        np.testing.assert_array_equal(record.box, BOX)
        assert record.schema == "mtfl5"


def test_a_made_face(tmp_path: Path) -> None:
    """The order of the numbers, spelled out."""
    write_image(tmp_path / "a.jpg")
    path = tmp_path / "list.txt"
    path.write_text("a.jpg 1 9 2 8  3 4 7 4 5 5 4 7 6 7\n")
    (record,) = mtfl.read(path)
    np.testing.assert_array_equal(record.box, [1, 2, 9, 8])
    np.testing.assert_array_equal(record.points, [[3, 4], [7, 4], [5, 5], [4, 7], [6, 7]])


def test_mtfl_s_own_lists(tmp_path: Path) -> None:
    """All x before all y, counted from 1, and attributes; the first line as published."""
    line = (
        "lfw_5590\\Aaron_Eckhart_0001.jpg 107.25 146.75 125.25 114.75 144.75 "
        "108.75 111.25 129.25 159.75 158.75 1 2 2 3"
    )
    image = write_image(tmp_path / "lfw_5590" / "Aaron_Eckhart_0001.jpg")
    path = tmp_path / "training.txt"
    path.write_text(line + "\n")
    (record,) = mtfl.read(path)
    assert (record.image, record.identity) == (image, "Aaron_Eckhart")
    np.testing.assert_allclose(
        record.points,
        [[106.25, 107.75], [145.75, 110.25], [124.25, 128.25], [113.75, 158.75], [143.75, 157.75]],
    )
    assert record.attributes == {"gender": "1", "smile": "2", "glasses": "2", "pose": "3"}
    # No box in the file: a square around the face, 2.4 times as high as the eyes are from the
    # mouth: (106.25 + 145.75 + 113.75 + 143.75) / 4 and (107.75 + ... + 157.75) / 4 its centre.
    x0, y0, x1, y1 = record.box
    assert ((x0 + x1) / 2, (y0 + y1) / 2) == pytest.approx((127.375, 133.625))
    away = np.hypot(126 - 128.75, 109 - 158.25)
    assert (x1 - x0, y1 - y0) == pytest.approx((2.4 * away, 2.4 * away))


@pytest.mark.parametrize(
    ("name", "photo"),
    [
        ("images/8780_0_0.jpg", "8780"),
        ("images/8780_1_0.jpg", "8780"),  # another face of the photo
        ("images/_-20_1421_0.jpg", "_-20_1421"),
        ("images/_-20_1421_3.jpg", "_-20_1421"),
        ("images/_0_1421_0.jpg", "_0_1421"),  # another search, another photo
        ("lfw_5590/Aaron_Eckhart_0001.jpg", "Aaron_Eckhart"),
        ("AFLW/0001-image20056.jpg", "image20056"),  # MTFL's testing list
        ("one.jpg", "one"),
    ],
)
def test_photo(name: str, photo: str) -> None:
    assert mtfl.photo(name) == photo


@pytest.mark.parametrize(
    ("line", "facts"),
    [
        ("a.jpg 1 9 2 8", ["numbers", 14, 4]),
        ("a.jpg 1 9 2 8 3 4 7 4 5 5 4 7 6 y", ["number", "y"]),
        ("a.jpg 1 9 2 8 3 4 7 4 5 5 4 7 6 inf", ["coordinate", "inf"]),
        ("a.jpg 9 1 2 8 3 4 7 4 5 5 4 7 6 7", ["face box", "x 9 to 1", "y 2 to 8"]),
        ("b.jpg 1 9 2 8 3 4 7 4 5 5 4 7 6 7", ["b.jpg", "exist"]),
        (f"{'a' * 5000}.jpg 1 9 2 8 3 4 7 4 5 5 4 7 6 7", ["exist"]),
        *((f"{name} 1 9 2 8 3 4 7 4 5 5 4 7 6 7", ["inside", repr(name)]) for name in (
            "../a.jpg", "x\\..\\..\\a.jpg", "/etc/passwd", "\\\\host\\a.jpg", "C:\\a.jpg")),
    ],
)
def test_a_bad_line_is_one_error(tmp_path: Path, line: str, facts: list[object]) -> None:
    write_image(tmp_path / "sub" / "a.jpg")
    write_image(tmp_path / "a.jpg")
    good = mtfl_line("a.jpg", BOX, some_points(5))
    path = tmp_path / "sub" / "list.txt"
    path.write_text(f"{good}\n{line}\n{good}")
    first, error, last = mtfl.read(path)
    assert isinstance(first, FaceRecord) and isinstance(last, FaceRecord)
    assert_refusal(error, *facts, path=path, line=3)
    assert len(str(error)) < 400 + len(str(tmp_path))


def test_the_list_must_exist(tmp_path: Path) -> None:
    with refuses("read", "No such file", path=tmp_path / "list.txt"):
        list(mtfl.read(tmp_path / "list.txt"))
    with refuses("read", "directory", path=tmp_path):
        list(mtfl.read(tmp_path))
