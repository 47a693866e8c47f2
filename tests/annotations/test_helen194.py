from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from efld_tf.annotations import helen194
from efld_tf.annotations.record import FaceRecord
from tests.annotations.writers import helen_text, some_points, write_image
from tests.errors import assert_refusal, refuses

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
    with refuses("images", tmp_path / "nowhere", "folder"):
        list(helen194.read(tmp_path / "labels", images=str(tmp_path / "nowhere")))


GOOD = helen_text("a_1", POINTS)


@pytest.mark.parametrize(
    ("text", "line", "facts"),
    [
        ("", 1, ["inside", "''"]),
        (GOOD.replace("a_1", "b_1"), 1, ["image", "b_1"]),
        (GOOD.replace("a_1", "../a_1"), 1, ["inside", "../a_1"]),
        (GOOD.replace(" , ", " ", 1), 2, ["x , y"]),
        (re.sub(", [0-9.]+", ", z", GOOD, count=1), 2, ["number", "z"]),
        (GOOD[: GOOD.rindex("\n", 0, -1)], None, [194, 193]),
        (GOOD + "1 , 2\n", None, [194, 195]),
        (GOOD + " " * (1 << 15), None, ["bytes", 32768]),
    ],
)
def test_a_bad_file_is_one_error(
    tmp_path: Path, text: str, line: int | None, facts: list[object]
) -> None:
    write_image(tmp_path / "a_1.jpg")
    _write(tmp_path, 1, text)
    _write(tmp_path, 2, GOOD)
    error, record = helen194.read(tmp_path)
    assert isinstance(record, FaceRecord)
    assert_refusal(error, *facts, path=tmp_path / "annotation" / "1.txt", line=line)


def test_the_folder_must_exist(tmp_path: Path) -> None:
    with refuses("folder", path=tmp_path / "none"):
        list(helen194.read(tmp_path / "none"))
