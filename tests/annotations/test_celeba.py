from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from efld_tf.annotations import celeba
from efld_tf.annotations.record import FaceRecord
from efld_tf.landmarks import schemas
from tests.annotations.writers import celeba_text, write_image
from tests.errors import assert_refusal, refuses

# The first face of the aligned list, as published.
FIRST = np.array([[69, 109], [106, 113], [77, 142], [73, 152], [108, 154]])
NAMES = [f"{number:06d}.jpg" for number in range(1, 4)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """CelebA as published: `Anno`, `Eval` and `Img`."""
    for name in NAMES:
        write_image(tmp_path / "Img" / "img_align_celeba" / name)
        write_image(tmp_path / "Img" / "img_celeba" / name)
    anno, split = tmp_path / "Anno", tmp_path / "Eval"
    anno.mkdir()
    split.mkdir()
    rows = [(name, FIRST + index) for index, name in enumerate(NAMES)]
    (anno / "list_landmarks_align_celeba.txt").write_text(celeba_text(rows))
    (anno / "list_landmarks_celeba.txt").write_text(celeba_text(rows))
    people = zip(NAMES, (2880, 2937, 2880), strict=True)
    (anno / "identity_CelebA.txt").write_text("".join(f"{name} {who}\n" for name, who in people))
    (anno / "list_bbox_celeba.txt").write_text(
        "3\nimage_id x_1 y_1 width height\n"
        + "".join(f"{name}    95   71  226  313\n" for name in NAMES)
    )
    (split / "list_eval_partition.txt").write_text(
        "".join(f"{name} {part}\n" for part, name in enumerate(NAMES))
    )
    return tmp_path


def test_aligned_photos(root: Path) -> None:
    records = list(celeba.read(root / "Anno" / "list_landmarks_align_celeba.txt"))
    assert [record.identity for record in records] == ["2880", "2937", "2880"]
    for index, record in enumerate(records):
        assert record.schema == "mtfl5"
        assert record.image.resolve() == (root / "Img/img_align_celeba" / NAMES[index]).resolve()
        np.testing.assert_array_equal(record.points, FIRST + index)
        # The file's boxes are of the photos before alignment.
        right_eye, left_eye, *mouth = schemas.get("mtfl5").anchor_points(record.points)
        assert right_eye[0] < left_eye[0] and mouth[0][0] < mouth[1][0]
        x0, y0, x1, y1 = record.box
        assert x0 < record.points[:, 0].min() and record.points[:, 0].max() < x1
        assert y1 - y0 == pytest.approx(x1 - x0)


def test_photos_as_found(root: Path) -> None:
    records = list(celeba.read(root / "Anno" / "list_landmarks_celeba.txt"))
    assert records[0].image.resolve() == (root / "Img/img_celeba" / NAMES[0]).resolve()
    np.testing.assert_array_equal(records[0].box, [95, 71, 321, 384])


@pytest.mark.parametrize(("split", "index"), [("train", 0), ("val", 1), ("test", 2)])
def test_splits(root: Path, split: str, index: int) -> None:
    path = root / "Anno" / "list_landmarks_align_celeba.txt"
    (record,) = celeba.read(path, split=split)
    assert record.image.name == NAMES[index]


def test_kaggle_s_csv(tmp_path: Path) -> None:
    """All tables as `.csv` in one folder, and the images two folders of one name deep."""
    write_image(tmp_path / "img_align_celeba" / "img_align_celeba" / NAMES[0])
    path = tmp_path / "list_landmarks_align_celeba.csv"
    path.write_text(celeba_text([(NAMES[0], FIRST)], separator=","))
    (tmp_path / "list_eval_partition.csv").write_text(f"image_id,partition\n{NAMES[0]},2\n")
    (record,) = celeba.read(path, split="test")
    np.testing.assert_array_equal(record.points, FIRST)
    assert record.identity == NAMES[0]  # no table of identities
    assert list(celeba.read(path, split="train")) == []


def test_images_option(root: Path) -> None:
    image = write_image(root / "elsewhere" / NAMES[0])
    path = root / "Anno" / "list_landmarks_align_celeba.txt"
    assert next(iter(celeba.read(path, images=str(image.parent)))).image == image


@pytest.mark.parametrize(
    ("line", "facts"),
    [
        ("000001.jpg 1 2 3", ["numbers", 10, 3]),
        ("000001.jpg 69 109 106 x 77 142 73 152 108 154", ["number", "x"]),
        ("000009.jpg 69 109 106 113 77 142 73 152 108 154", ["000009.jpg", "exist"]),
        ("../000001.jpg 69 109 106 113 77 142 73 152 108 154", ["inside", "../000001.jpg"]),
        ("000001.jpg" + " 5 5" * 5, ["coincide"]),
    ],
)
def test_a_bad_line_is_one_error(root: Path, line: str, facts: list[object]) -> None:
    path = root / "Anno" / "list_landmarks_align_celeba.txt"
    lines = path.read_text().splitlines()
    lines[3] = line
    path.write_text("\n".join(lines) + "\n")
    first, error, last = celeba.read(path)
    assert isinstance(first, FaceRecord) and isinstance(last, FaceRecord)
    assert_refusal(error, *facts, path=path, line=4)


def test_a_truncated_list_is_an_error(root: Path) -> None:
    path = root / "Anno" / "list_landmarks_align_celeba.txt"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:-1]) + "\n")
    *records, error = celeba.read(path)
    assert len(records) == 2
    assert_refusal(error, "lines", 3, 2, path=path)


def test_a_face_that_the_tables_beside_do_not_have(root: Path) -> None:
    (root / "Anno" / "list_bbox_celeba.txt").write_text(f"1\nimage_id x\n{NAMES[0]} 1 2 3 4\n")
    path = root / "Anno" / "list_landmarks_celeba.txt"
    first, second, third = celeba.read(path)
    assert isinstance(first, FaceRecord)
    assert_refusal(second, NAMES[1], "list_bbox_celeba", path=path, line=4)
    assert_refusal(third, NAMES[2], "list_bbox_celeba", path=path, line=5)


@pytest.mark.parametrize(
    ("text", "line", "facts"),
    [
        ("", 1, ["number of faces"]),
        ("many\n", 1, ["number of faces"]),
        ("3\n1 2 3\n", 2, ["lefteye_x", "rightmouth_y"]),
    ],
)
def test_the_header_must_be_celeba_s(root: Path, text: str, line: int, facts: list[str]) -> None:
    path = root / "Anno" / "list_landmarks_align_celeba.txt"
    path.write_text(text)
    with refuses(*facts, path=path, line=line):
        list(celeba.read(path))


def test_wrong_use(root: Path) -> None:
    path = root / "Anno" / "list_landmarks_align_celeba.txt"
    with refuses("split", "dev", "all", "train", "val", "test"):
        list(celeba.read(path, split="dev"))
    (root / "Eval" / "list_eval_partition.txt").unlink()
    with refuses("split", "list_eval_partition", path=path):
        list(celeba.read(path, split="test"))
    people = root / "Anno" / "identity_CelebA.txt"
    people.write_text("000001.jpg 1\n000002.jpg 2\n3 4 5\n")
    with refuses("cells", 2, 3, path=people, line=3):
        list(celeba.read(path))
