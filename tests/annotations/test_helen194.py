from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from efld_tf.annotations import helen194
from efld_tf.annotations.record import FaceRecord
from efld_tf.errors import DataError, EfldError
from tests.annotations.writers import helen_text, some_points, write_image

POINTS = some_points(194)


def _write(folder: Path, number: int, text: str) -> None:
    (folder / "annotation").mkdir(parents=True, exist_ok=True)
    (folder / "annotation" / f"{number}.txt").write_text(text)


@pytest.mark.parametrize("given", ["", "annotation"])
def test_round_trip(tmp_path: Path, given: str) -> None:
    """As published: `annotation.zip`, and the photos in `helen_1` to `helen_5`."""
    image = write_image(tmp_path / "helen_2" / "100032540_1.jpg")
    write_image(tmp_path / "helen_1" / "100032540_2.jpg")
    _write(tmp_path, 1, helen_text("100032540_1", POINTS))
    _write(tmp_path, 2, helen_text("100032540_2", POINTS + 1))
    first, second = helen194.read(tmp_path / given)
    assert (first.schema, first.image.resolve()) == ("helen194", image.resolve())
    assert first.identity == second.identity == "100032540"  # two faces of one photo
    np.testing.assert_allclose(first.points, POINTS, atol=1e-4)
    np.testing.assert_allclose(second.points, POINTS + 1, atol=1e-4)


def test_images_option(tmp_path: Path) -> None:
    image = write_image(tmp_path / "elsewhere" / "a_1.jpg")
    _write(tmp_path / "labels", 1, helen_text("a_1", POINTS))
    (record,) = helen194.read(tmp_path / "labels", images=str(tmp_path / "elsewhere"))
    assert record.image == image
    with pytest.raises(EfldError, match="nowhere is not a folder"):
        list(helen194.read(tmp_path / "labels", images=str(tmp_path / "nowhere")))


GOOD = helen_text("a_1", POINTS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1.txt:1: expected an image path inside"),
        (GOOD.replace("a_1", "b_1"), "1.txt:1: there is no image 'b_1'"),
        (GOOD.replace("a_1", "../a_1"), "1.txt:1: expected an image path inside"),
        (GOOD.replace(" , ", " ", 1), "1.txt:2: expected 'x , y', got"),
        (GOOD.replace(" , ", " , z", 1), "1.txt:2: expected a number, got"),
        (GOOD[: GOOD.rindex("\n", 0, -1)], "1.txt: expected 194 points, got 193"),
        (GOOD + "1 , 2\n", "1.txt: expected 194 points, got 195"),
        (GOOD + " " * (1 << 15), "1.txt: expected at most 32768 bytes"),
    ],
)
def test_a_bad_file_is_one_error(tmp_path: Path, text: str, message: str) -> None:
    write_image(tmp_path / "a_1.jpg")
    _write(tmp_path, 1, text)
    _write(tmp_path, 2, GOOD)
    error, record = helen194.read(tmp_path)
    assert isinstance(error, DataError) and isinstance(record, FaceRecord)
    assert message in str(error)


def test_the_folder_must_exist(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected a folder with HELEN's annotation files"):
        list(helen194.read(tmp_path / "none"))
