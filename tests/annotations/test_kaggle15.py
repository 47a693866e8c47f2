from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from efld_tf.annotations import kaggle15, sources
from efld_tf.annotations.images import ImageReader
from efld_tf.annotations.record import FaceRecord
from efld_tf.landmarks import schemas
from tests.annotations.writers import kaggle_line, kaggle_text
from tests.errors import assert_refusal, refuses

# The first face of Kaggle's training.csv: published coordinates in the order of its header.
FIRST = np.array([
    66.0335639098, 39.0022736842, 30.2270075188, 36.4216781955, 59.582075188, 39.6474225564,
    73.1303458647, 39.9699969925, 36.3565714286, 37.3894015038, 23.4528721805, 37.3894015038,
    56.9532631579, 29.0336481203, 80.2271278195, 32.2281383459, 40.2276090226, 29.0023218045,
    16.3563789474, 29.6474706767, 44.4205714286, 57.0668030075, 61.1953082707, 79.9701654135,
    28.6144962406, 77.3889924812, 43.3126015038, 72.9354586466, 43.1307067669, 84.4857744361,
]).reshape(15, 2)  # fmt: skip


def _image(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (96, 96)).astype(np.uint8)


def _write(folder: Path, *lines: str) -> Path:
    path = folder / "training.csv"
    path.write_text(kaggle_text(*lines))
    return path


def test_round_trip(tmp_path: Path) -> None:
    missing = FIRST.copy()
    missing[[2, 14]] = np.nan
    images = [_image(seed) for seed in range(2)]
    path = _write(tmp_path, kaggle_line(FIRST, images[0]), kaggle_line(missing, images[1]))
    records = sources.read(f"kaggle15:{path}").records
    assert [record.schema for record in records] == ["kaggle15"] * 2
    np.testing.assert_allclose(records[0].points, FIRST, atol=1e-4)
    np.testing.assert_allclose(records[1].points, missing, atol=1e-4)
    np.testing.assert_array_equal(records[0].box, [-0.5, -0.5, 95.5, 95.5])
    assert records[0].identity != records[1].identity
    reader = ImageReader()
    for record, image in zip(records, images, strict=True):
        pixels = reader.read(record)
        assert pixels.shape == (96, 96, 3)
        for channel in range(3):
            np.testing.assert_array_equal(pixels[..., channel], image)


def test_sides_are_the_person_s(tmp_path: Path) -> None:
    """Kaggle's left eye is the face's own: it lies on the right of the image."""
    (record,) = kaggle15.read(_write(tmp_path, kaggle_line(FIRST, _image(0))))
    schema = schemas.get("kaggle15")
    right_eye, left_eye, mouth_right, mouth_left = schema.anchor_points(record.points)
    np.testing.assert_allclose(right_eye, FIRST[1], atol=1e-4)
    np.testing.assert_allclose(left_eye, FIRST[0], atol=1e-4)
    assert right_eye[0] < left_eye[0] and mouth_right[0] < mouth_left[0]


GOOD = kaggle_line(FIRST, _image(0))


@pytest.mark.parametrize(
    ("line", "facts"),
    [
        (GOOD.replace(",", ",,", 1), ["cells", 31, 32]),
        ("1,2,3", ["cells", 31, 3]),
        (GOOD.rsplit(" ", 1)[0], ["grey", 9216, 9215]),
        ("x" + GOOD[GOOD.index(","):], ["number", "x"]),
        (kaggle_line(FIRST * np.nan, _image(0)), ["annotated"]),
    ],
)
def test_a_bad_line_is_one_error(tmp_path: Path, line: str, facts: list[object]) -> None:
    path = _write(tmp_path, GOOD, line, GOOD)
    first, error, last = kaggle15.read(path)
    assert isinstance(first, FaceRecord) and isinstance(last, FaceRecord)
    assert_refusal(error, *facts, path=path, line=3)


@pytest.mark.parametrize("word", ["256", "-1", "1e2", "9999999999999999999999"])
def test_a_bad_grey_value_is_an_error_of_the_image(tmp_path: Path, word: str) -> None:
    line = GOOD[: GOOD.rindex(" ") + 1] + word
    path = _write(tmp_path, line)
    (record,) = kaggle15.read(path)
    with refuses("grey", f"byte {len(kaggle_text())}", path=path):
        ImageReader().read(record)


def test_the_header_must_be_kaggle_s(tmp_path: Path) -> None:
    path = tmp_path / "training.csv"
    path.write_text("ImageId,Image\n1,2 3\n")
    with refuses("left_eye_center_x", "Image", path=path, line=1):
        list(kaggle15.read(path))
