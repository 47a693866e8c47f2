from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from efld_tf.annotations import mtfl
from efld_tf.annotations.record import FaceRecord
from efld_tf.errors import DataError
from tests.annotations.writers import mtfl_line, some_points, write_image

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


@pytest.mark.parametrize(
    ("name", "photo"),
    [
        ("images/8780_0_0.jpg", "8780"),
        ("images/8780_1_0.jpg", "8780"),  # another face of the photo
        ("images/_-20_1421_0.jpg", "_-20_1421"),
        ("images/_-20_1421_3.jpg", "_-20_1421"),
        ("images/_0_1421_0.jpg", "_0_1421"),  # another search, another photo
        ("lfw_5590/Aaron_Eckhart_0001.jpg", "Aaron_Eckhart"),
        ("one.jpg", "one"),
    ],
)
def test_photo(name: str, photo: str) -> None:
    assert mtfl.photo(name) == photo


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.jpg 1 9 2 8", "list.txt:3: expected a path and 14 numbers, got 4"),
        ("a.jpg 1 9 2 8 3 4 7 4 5 5 4 7 6 y", "list.txt:3: expected a number, got 'y'"),
        ("a.jpg 1 9 2 8 3 4 7 4 5 5 4 7 6 inf", "list.txt:3: expected a coordinate in pixels"),
        ("a.jpg 9 1 2 8 3 4 7 4 5 5 4 7 6 7", "list.txt:3: an empty face box: x 9 to 1, y 2 to 8"),
        ("b.jpg 1 9 2 8 3 4 7 4 5 5 4 7 6 7", "b.jpg' does not exist"),
        ("../a.jpg 1 9 2 8 3 4 7 4 5 5 4 7 6 7", "list.txt:3: expected an image path inside"),
        ("x\\..\\..\\a.jpg 1 9 2 8 3 4 7 4 5 5 4 7 6 7", "expected an image path inside"),
        ("/etc/passwd 1 9 2 8 3 4 7 4 5 5 4 7 6 7", "expected an image path inside"),
        ("\\\\host\\a.jpg 1 9 2 8 3 4 7 4 5 5 4 7 6 7", "expected an image path inside"),
        ("C:\\a.jpg 1 9 2 8 3 4 7 4 5 5 4 7 6 7", "expected an image path inside"),
        (f"{'a' * 5000}.jpg 1 9 2 8 3 4 7 4 5 5 4 7 6 7", "does not exist"),
    ],
)
def test_a_bad_line_is_one_error(tmp_path: Path, line: str, message: str) -> None:
    write_image(tmp_path / "sub" / "a.jpg")
    write_image(tmp_path / "a.jpg")
    good = mtfl_line("a.jpg", BOX, some_points(5))
    path = tmp_path / "sub" / "list.txt"
    path.write_text(f"{good}\n{line}\n{good}")
    first, error, last = mtfl.read(path)
    assert isinstance(first, FaceRecord) and isinstance(last, FaceRecord)
    assert isinstance(error, DataError) and message in str(error)
    assert len(str(error)) < 400 + len(str(tmp_path))


def test_the_list_must_exist(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"list\.txt: cannot be read: No such file"):
        list(mtfl.read(tmp_path / "list.txt"))
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        list(mtfl.read(tmp_path))
