"""What the stated size of an image says of its faces, and what they say of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from efld_tf.annotations import sources
from efld_tf.annotations.placement import RESIZED, TURNED, PlacementError, Placer
from efld_tf.annotations.record import FaceRecord
from tests.annotations import placed
from tests.annotations.turned import stored_points, write_turned
from tests.errors import assert_told, refuses

TURNING = (5, 6, 7, 8)


@pytest.fixture(scope="module")
def face(shared_data: Path) -> tuple[np.ndarray, np.ndarray]:
    return placed.real_face(shared_data)


def _lines(folder: Path, faces: list[tuple[np.ndarray, list[int] | None]], **more: Any) -> str:
    """JSON lines of faces, each of an image, with the stated sizes; the source."""
    lines = [{"image": f"{i}.jpg", "points": points.tolist()} | more
             | ({} if size is None else {"image_size": size})
             for i, (points, size) in enumerate(faces)]
    (folder / "a.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return f"json:{folder}/a.jsonl?schema=ibug68"


@pytest.mark.parametrize("as_shown", [True, False])
@pytest.mark.parametrize("orientation", TURNING)
def test_a_size_of_the_other_reading_than_the_points(
    tmp_path: Path, face: tuple[np.ndarray, np.ndarray], orientation: int, as_shown: bool
) -> None:
    """Some libraries turn photos as EXIF says, and some do not; sizes may come from another one."""
    image, points = face
    height, width = image.shape[:2]
    stored = stored_points(points, image, orientation)
    right = points if as_shown else stored
    size = [height, width] if as_shown else [width, height]
    for i in range(3):
        write_turned(tmp_path / f"{i}.jpg", image, orientation)
    source = _lines(tmp_path, [(right, size)] * 3)
    words = ("false", "true")
    option = f"upright={words[as_shown]}&sizes=ignore"
    for on_error in sources.ON_ERROR:
        with pytest.raises(PlacementError) as caught:
            sources.read(source, on_error)
        assert (caught.value.kind, caught.value.whole_source) == (TURNED, True)
        assert_told(str(caught.value), "3 photos", "EXIF", option, f"upright={words[not as_shown]}")
    with refuses(f"upright={words[as_shown]}", option):  # alone it contradicts the size
        sources.read(f"{source}&upright={words[as_shown]}")
    found = sources.read(f"{source}&{option}")
    assert [record.upright for record in found.records] == [as_shown] * 3 and not found.notes
    np.testing.assert_allclose(found.records[0].points, right, atol=1e-3)
    kept = sources.read(f"{source}&upright={words[not as_shown]}")
    assert_told("\n".join(kept.notes), "3 faces", "upright")


def test_a_person_who_lies_is_no_wrong_size(
    tmp_path: Path, face: tuple[np.ndarray, np.ndarray]
) -> None:
    """One alone in turned photos of a right size is told; all others are read."""
    image, points = face
    height, width = image.shape[:2]
    lying = stored_points(points, image, 6)  # as shown, in a photo that is tall
    faces = [(points, [width, height])] * 2 + [(lying, [height, width])]
    for i in range(2):
        write_turned(tmp_path / f"{i}.jpg", image, 6)
    write_turned(tmp_path / "2.jpg", np.rot90(image), 6)
    found = sources.read(_lines(tmp_path, faces))
    assert [record.upright for record in found.records] == [True] * 3
    assert_told("\n".join(found.notes), "1 photo", "upright=false&sizes=ignore", "upright=true")
    found = sources.read(_lines(tmp_path, faces[2:] * 3, image="2.jpg"))  # one photo, three faces
    assert [record.upright for record in found.records] == [True] * 3
    assert_told("\n".join(found.notes), "1 photo", "upright=false&sizes=ignore")
    found = sources.read(_lines(tmp_path, faces[:2]))
    assert [record.upright for record in found.records] == [True] * 2 and not found.notes


@pytest.mark.parametrize("upright", [True, False])
def test_shares_of_a_size_of_the_other_reading(
    tmp_path: Path, face: tuple[np.ndarray, np.ndarray], upright: bool
) -> None:
    """Label Studio's shares times a size that is not of the photo as it was annotated."""
    image, points = face
    height, width = image.shape[:2]
    path = write_turned(tmp_path / "a.jpg", image, 6)
    right = points if upright else stored_points(points, image, 6)
    size, other = ((width, height), (height, width)) if upright else \
        ((height, width), (width, height))
    stated = (right + 0.5) / size * other - 0.5
    record = FaceRecord(path, stated.astype(np.float32), "ibug68", image_size=other,
                        upright=True, scalable=True)
    placer = Placer(tmp_path, upright=str(upright).lower(), sizes="ignore")
    found = placer.place(record, path)
    assert found.upright == upright
    np.testing.assert_allclose(found.points, right, atol=1e-3)


def test_scaling_needs_stated_sizes(tmp_path: Path, face: tuple[np.ndarray, np.ndarray]) -> None:
    image, points = face
    height, width = image.shape[:2]
    for i in range(2):
        write_turned(tmp_path / f"{i}.jpg", image, 1)
    source = _lines(tmp_path, [(points, None)] * 2)
    with pytest.raises(PlacementError) as caught:
        sources.read(f"{source}&sizes=scale")
    assert (caught.value.kind, caught.value.whole_source) == (RESIZED, True)
    assert_told(str(caught.value), "sizes=scale", "2 faces")
    larger = (points + 0.5) * 2 - 0.5
    source = _lines(tmp_path, [(larger, [2 * width, 2 * height]), (points, None)])
    found = sources.read(f"{source}&sizes=scale")
    for record in found.records:
        np.testing.assert_allclose(record.points, points, atol=1e-3)
    assert_told("\n".join(found.notes), "1 face", "not scaled")


@pytest.mark.parametrize("more", [(1, 0), (0, -1), (-2, 2)])
def test_rounded_sizes_change_nothing(
    tmp_path: Path, face: tuple[np.ndarray, np.ndarray], more: tuple[int, int]
) -> None:
    image, points = face
    height, width = image.shape[:2]
    for orientation in (1, 6):
        write_turned(tmp_path / "0.jpg", image, orientation)
        source = _lines(tmp_path, [(points, [width + more[0], height + more[1]])])
        for option in ("check", "scale"):
            found = sources.read(f"{source}&sizes={option}")
            (record,) = found.records
            np.testing.assert_allclose(record.points, points, atol=1e-4)
            assert bool(record.upright) == (orientation == 6)
            assert_told("\n".join(found.notes), "1 face", "2 pixels")


def test_height_and_width_exchanged(tmp_path: Path, face: tuple[np.ndarray, np.ndarray]) -> None:
    image, points = face
    height, width = image.shape[:2]
    write_turned(tmp_path / "0.jpg", image, 1)
    source = _lines(tmp_path, [(points, [height, width])])
    for option in ("check", "scale"):
        with refuses(f"{height} x {width}", f"{width} x {height}", "sizes=ignore"):
            sources.read(f"{source}&sizes={option}")
    (record,) = sources.read(f"{source}&sizes=ignore").records
    np.testing.assert_allclose(record.points, points, atol=1e-4)


def test_depths_are_scaled_with_their_points(
    tmp_path: Path, face: tuple[np.ndarray, np.ndarray]
) -> None:
    """Annotated on a photo of half the size, or as shares of it."""
    image, points = face
    height, width = image.shape[:2]
    write_turned(tmp_path / "0.jpg", image, 1)
    depth = list(np.arange(68.0))
    halved = _lines(tmp_path, [((points + 0.5) / 2 - 0.5, [width // 2, height // 2])], depth=depth)
    (record,) = sources.read(f"{halved}&sizes=scale").records
    np.testing.assert_allclose(record.points, points, atol=1)
    np.testing.assert_allclose(record.depth, 2 * np.arange(68), rtol=0.01)
    shares = [depth / np.sqrt(width * height) for depth in np.arange(68.0)]
    source = _lines(tmp_path, [(points / [width, height], None)], depth=shares)
    (record,) = sources.read(f"{source}&normalised=true").records
    np.testing.assert_allclose(record.depth, np.arange(68), rtol=1e-4)


def test_depths_are_converted_with_their_points(
    tmp_path: Path, face: tuple[np.ndarray, np.ndarray]
) -> None:
    image, points = face
    write_turned(tmp_path / "0.jpg", image, 1)
    source = _lines(tmp_path, [(points, None)], depth=list(np.arange(68.0)))
    (record,) = sources.read(f"{source}&convert=ibug51").records
    np.testing.assert_array_equal(record.depth, np.arange(17, 68))
    assert record.depth.dtype == np.float32
