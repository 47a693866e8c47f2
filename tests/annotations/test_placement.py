"""Faces are read in the pixels of their image, or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from efld_tf.annotations import sources
from efld_tf.annotations.header import Header, read_header
from efld_tf.annotations.images import read_image, read_photo
from efld_tf.annotations.placement import BEYOND, RESIZED, TINY, TURNED, UNITS, PlacementError
from efld_tf.annotations.record import FaceRecord
from tests.annotations import placed
from tests.annotations.turned import STORED, stored_points, write_turned
from tests.annotations.writers import (
    dlib_box,
    dlib_text,
    ibug_text,
    numbers,
    some_points,
    write_image,
)
from tests.errors import assert_refusal, assert_told, refuses

ORIENTATIONS = [*STORED][1:]


@pytest.fixture(scope="module")
def face(shared_data: Path) -> tuple[np.ndarray, np.ndarray]:
    return placed.real_face(shared_data)


@pytest.mark.parametrize("kind", ["coco", "dlib", "ibug", "csv"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_photo_stored_turned_is_read_as_it_was_annotated(
    tmp_path: Path, face: tuple[np.ndarray, np.ndarray], kind: str, orientation: int
) -> None:
    image, points = face
    write_turned(tmp_path / "a.jpg", image, orientation)
    # Annotated as the photo is shown: never read wrongly.
    source = placed.write(kind, tmp_path, points, None)
    with pytest.raises(PlacementError) as caught:
        sources.read(source)
    assert caught.value.kind == TURNED
    assert_told(str(caught.value), "a.jpg", orientation, "upright=true", "upright=false")
    record = placed.only(sources.read(placed.with_option(source, "upright=true")))
    np.testing.assert_allclose(record.points, points, atol=1e-3)
    difference = abs(read_image(record).astype(int) - image)
    assert difference.shape == image.shape and difference.mean() < 4
    # Annotated as the pixels lie in the file.
    source = placed.write(kind, tmp_path, stored_points(points, image, orientation), None)
    record = placed.only(sources.read(source))
    assert not record.upright
    assert record.points[30] == pytest.approx(stored_points(points, image, orientation)[30])


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_stated_size_decides(
    tmp_path: Path, face: tuple[np.ndarray, np.ndarray], orientation: int
) -> None:
    image, points = face
    height, width = image.shape[:2]
    header = read_header(write_turned(tmp_path / "a.jpg", image, orientation))
    assert header is not None and header.size(True) == (width, height)
    source = placed.write("coco", tmp_path, points, (width, height))
    if orientation in (5, 6, 7, 8):
        assert placed.only(sources.read(source)).upright
        with refuses("upright=false", "shown"):
            sources.read(placed.with_option(source, "upright=false"))
    else:  # both readings have this size
        with refuses(orientation, "upright=true"):
            sources.read(source)
    stored = stored_points(points, image, orientation)
    source = placed.write("coco", tmp_path, stored, header.size(False))
    assert not placed.only(sources.read(source)).upright


def test_the_user_s_choice_is_taken_and_doubted_aloud(
    tmp_path: Path, face: tuple[np.ndarray, np.ndarray]
) -> None:
    image, points = face
    write_turned(tmp_path / "a.jpg", image, 3)
    source = placed.write("csv", tmp_path, points, None)
    found = sources.read(f"{source}&upright=false")
    assert not placed.only(found).upright
    assert_told("\n".join(found.notes), "1 face", "EXIF", "upright")
    found = sources.read(f"{source}&upright=true")
    assert placed.only(found).upright and not found.notes
    with refuses("upright", "true", "false", "'yes'"):
        sources.read(f"{source}&upright=yes")


def test_what_nothing_tells_is_said(tmp_path: Path) -> None:
    """A face that lies on its side in both readings."""
    write_turned(tmp_path / "a.jpg", np.full((400, 400, 3), 90, np.uint8), 2)
    points = np.array([[150, 150], [150, 250], [200, 200], [250, 160], [250, 240]])
    header = ",".join(["image", *(f"{axis}{i}" for i in range(5) for axis in "xy")])
    (tmp_path / "a.csv").write_text(f"{header}\na.jpg,{numbers(points, ',')}\n")
    found = sources.read(f"csv:{tmp_path}/a.csv?schema=mtfl5")
    assert_told("\n".join(found.notes), "1 face", "upright=true", "upright=false")


def test_an_image_of_another_size_is_refused_or_scaled(
    tmp_path: Path, face: tuple[np.ndarray, np.ndarray]
) -> None:
    image, points = face
    write_turned(tmp_path / "a.jpg", image, 1)
    height, width = image.shape[:2]
    larger = (points + 0.5) * 2 - 0.5
    source = placed.write("coco", tmp_path, larger, (2 * width, 2 * height))
    with pytest.raises(PlacementError) as caught:
        sources.read(source)
    assert caught.value.kind == RESIZED
    assert_told(str(caught.value), f"{2 * width} x {2 * height}", f"{width} x {height}",
                "sizes=scale", "sizes=ignore")
    record = placed.only(sources.read(placed.with_option(source, "sizes=scale")))
    np.testing.assert_allclose(record.points, points, atol=1e-3)
    for other in ((2 * width, 3 * height), (2 * height, 2 * width)):  # cropped, or turned
        source = placed.write("coco", tmp_path, larger, other)
        for option in ("sizes=check", "sizes=scale"):
            with pytest.raises(PlacementError) as caught:
                sources.read(placed.with_option(source, option))
            assert caught.value.kind == RESIZED and "sizes=" not in str(caught.value)
    source = placed.write("coco", tmp_path, points, (7, 9))
    record = placed.only(sources.read(placed.with_option(source, "sizes=ignore")))
    np.testing.assert_allclose(record.points, points, atol=1e-3)
    for unknown in ((0, 0), (-1, -1)):
        record = placed.only(sources.read(placed.write("coco", tmp_path, points, unknown)))
        np.testing.assert_allclose(record.points, points, atol=1e-3)


@pytest.mark.parametrize("unit", [1, 100])
@pytest.mark.parametrize("orientation", [1, 6])
def test_shares_of_the_size(
    tmp_path: Path, face: tuple[np.ndarray, np.ndarray], unit: int, orientation: int
) -> None:
    image, points = face
    height, width = image.shape[:2]
    write_turned(tmp_path / "a.jpg", image, orientation)
    shares = points / [width, height] * unit
    source = placed.write("csv", tmp_path, shares, None)
    option = "normalised=true" if unit == 1 else "normalised=percent"
    record = placed.only(sources.read(placed.with_option(source, f"{option}&upright=true")))
    np.testing.assert_allclose(record.points, points, atol=1e-3)
    if unit == 1:
        with pytest.raises(PlacementError) as caught:
            sources.read(placed.with_option(source, "upright=true"))
        assert caught.value.kind == TINY
        assert_told(str(caught.value), "a.jpg", "normalised=true")
        with refuses("none", "normalised=true"):
            sources.read(placed.with_option(source, "upright=true"), on_error="skip")
    other = "normalised=true" if unit == 100 else "normalised=percent"
    with pytest.raises(PlacementError):  # percent as shares are beyond, shares as percent tiny
        sources.read(placed.with_option(source, f"{other}&upright=true"))


def test_pixels_are_no_shares(tmp_path: Path, face: tuple[np.ndarray, np.ndarray]) -> None:
    image, points = face
    write_turned(tmp_path / "a.jpg", image, 1)
    source = placed.write("csv", tmp_path, points, None)
    with pytest.raises(PlacementError) as caught:
        sources.read(placed.with_option(source, "normalised=true"))
    assert caught.value.kind == BEYOND
    with refuses("normalised", "percent", "'maybe'"):
        sources.read(placed.with_option(source, "normalised=maybe"))


def test_percentages_are_suspected_for_all_faces_together(
    tmp_path: Path, face: tuple[np.ndarray, np.ndarray]
) -> None:
    """Each alone would be a small face in a corner; none of them can be skipped."""
    image, points = face
    height, width = image.shape[:2]
    header = ",".join(["image", *(f"{axis}{i}" for i in range(68) for axis in "xy")])
    lines = [header]
    for index in range(14):
        write_turned(tmp_path / f"{index}.jpg", image, 1)
        lines.append(f"{index}.jpg,{numbers(points / [width, height] * 100, ',')}")
    path = tmp_path / "a.csv"
    path.write_text("\n".join(lines))
    source = f"csv:{path}?schema=ibug68"
    for on_error in ("stop", "skip"):
        with pytest.raises(PlacementError) as caught:
            sources.read(source, on_error)
        assert caught.value.kind == UNITS
        assert_told(str(caught.value), "14 of its 14 faces", "normalised=percent",
                    "normalised=false")
    records = sources.read(f"{source}&normalised=percent").records
    np.testing.assert_allclose(records[13].points, points, atol=1e-3)
    assert len(sources.read(f"{source}&normalised=false").records) == 14
    # One that reaches out of its photo is no proof of pixels.
    outside = points / [width, height] * 100 + [0, 30]
    path.write_text("\n".join([*lines, f"0.jpg,{numbers(outside, ',')}"]))
    with refuses("normalised=percent"):
        sources.read(source)
    path.write_text("\n".join(lines[:6]))  # few could be so by chance
    found = sources.read(source)
    assert len(found.records) == 5
    assert_told("\n".join(found.notes), "5 of its 5 faces", "normalised=percent")


def test_points_beyond_the_image_are_refused(
    tmp_path: Path, face: tuple[np.ndarray, np.ndarray]
) -> None:
    image, points = face
    height, width = image.shape[:2]
    write_turned(tmp_path / "a.jpg", image, 1)
    with pytest.raises(PlacementError) as caught:
        sources.read(placed.write("ibug", tmp_path, points + np.array([2 * width, 0]), None))
    assert caught.value.kind == BEYOND
    assert_told(str(caught.value), "a.jpg", 68, f"{width} x {height}")
    half_outside = points + np.array([width - points[:, 0].mean(), 0])
    assert len(sources.read(placed.write("ibug", tmp_path, half_outside, None)).records) == 1


def test_few_points_span_no_face(tmp_path: Path) -> None:
    """Two neighbours that are annotated alone are no tiny face; all of two points are."""
    write_image(tmp_path / "a.jpg")
    lines = [[100, 100, 101, 100, "", "", "", "", "", ""], [100, 100, 100, 101, 101, 101, 100, 100,
             101, 100]]
    header = ",".join(["image", *(f"{axis}{i}" for i in range(5) for axis in "xy")])
    (tmp_path / "a.csv").write_text("\n".join(
        [header, *(",".join(map(str, ["a.jpg", *line])) for line in lines)]))
    first, second = sources.stream(f"csv:{tmp_path}/a.csv?schema=mtfl5")
    assert isinstance(first, FaceRecord)
    assert_refusal(second, 5, "1 pixels", path=tmp_path / "a.jpg@1")


@pytest.mark.parametrize("side", [5, 9])
def test_a_source_of_tiny_faces_is_refused_as_a_whole(tmp_path: Path, side: int) -> None:
    """Each alone may be one, far away."""
    write_image(tmp_path / "a.jpg")
    face = np.array([[0.2, 0.2], [0.8, 0.2], [0.5, 0.5], [0, 1], [1, 1]]) * side
    lines = [f"a.jpg,{numbers(face + 20 * k, ',')}" for k in range(5)]
    header = ",".join(["image", *(f"{axis}{i}" for i in range(5) for axis in "xy")])
    (tmp_path / "a.csv").write_text("\n".join([header, *lines]))
    source = f"csv:{tmp_path}/a.csv?schema=mtfl5"
    if side < 8:
        for on_error in ("stop", "skip"):
            with pytest.raises(PlacementError) as caught:
                sources.read(source, on_error)
            assert_told(str(caught.value), "5 of 5", 8, "normalised=false")
    else:
        assert len(sources.read(source).records) == 5
    assert len(sources.read(f"{source}&normalised=false").records) == 5


def test_a_header_that_cannot_be_read_leaves_the_face_alone(tmp_path: Path) -> None:
    """Its image is an error of its own, when it is decoded."""
    (tmp_path / "a.jpg").write_bytes(b"no image")
    source = placed.write("csv", tmp_path, some_points(68) * 3.0, None)
    assert len(sources.read(source).records) == 1
    with refuses("size"):
        sources.read(placed.with_option(source, "normalised=true"))


def test_headers_agree_with_what_is_decoded(tmp_path: Path) -> None:
    shown = np.zeros((20, 30, 3), np.uint8)
    for suffix in ("jpg", "png", "webp", "tif", "avif"):
        for orientation in STORED:
            path = write_turned(tmp_path / f"a.{suffix}", shown, orientation)
            header = read_header(path)
            for upright in (False, True):
                height, width = read_photo(path, upright).shape[:2]
                assert header is not None and header.size(upright) == (width, height)
    heic = pillow_heif.from_pillow(Image.fromarray(shown))
    heic.save(tmp_path / "a.heic")
    assert read_header(tmp_path / "a.heic") == Header(30, 20, 1)
    assert read_header(tmp_path / "none.jpg") is None


def test_errors_survive_processes() -> None:
    import pickle

    error = PlacementError(Path("a.jpg"), "why", TINY, whole_source=True)
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.kind, copy.whole_source) == ("a.jpg: why", TINY, True)


@pytest.mark.parametrize("origin", ["", "&origin=0.5", "&origin=1"])
@pytest.mark.parametrize("unit", [1, 100])
def test_shares_with_an_origin(
    tmp_path: Path, face: tuple[np.ndarray, np.ndarray], origin: str, unit: int
) -> None:
    """Shares are scaled first; pixels are counted from where the user says, and else from 0."""
    image, points = face
    height, width = image.shape[:2]
    write_turned(tmp_path / "a.jpg", image, 1)
    shares = points / [width, height] * unit
    (tmp_path / "a.pts").write_text(ibug_text(shares - 1))  # the writer adds 1
    option = "normalised=true" if unit == 1 else "normalised=percent"
    moved = float(origin.partition("=")[2] or 0)
    if moved != 0.5:  # .pts files have whole origins
        record = placed.only(sources.read(f"ibug:{tmp_path}?{option}{origin}"))
        np.testing.assert_allclose(record.points, points - moved, atol=2e-3)
    source = placed.write("csv", tmp_path, shares, None)
    record = placed.only(sources.read(f"{source}&{option}{origin}"))
    np.testing.assert_allclose(record.points, points - moved, atol=1e-3)


def test_shares_are_right_for_any_size(
    tmp_path: Path, face: tuple[np.ndarray, np.ndarray]
) -> None:
    image, points = face
    height, width = image.shape[:2]
    write_turned(tmp_path / "a.jpg", image, 1)
    source = placed.write("coco", tmp_path, points / [width, height], (2 * width, 2 * height))
    for sizes in ("check", "scale", "ignore"):
        record = placed.only(sources.read(f"{source}?normalised=true&sizes={sizes}"))
        np.testing.assert_allclose(record.points, points, atol=1e-3)


def test_what_most_turned_photos_tell_is_true_of_all(
    tmp_path: Path, face: tuple[np.ndarray, np.ndarray]
) -> None:
    """A face that lies at 45 degrees does not tell its reading; the others do."""
    image, points = face
    lines = [",".join(["image", *(f"{axis}{i}" for i in range(68) for axis in "xy")])]
    middle = points.mean(axis=0)
    turn = np.array([[1, 1], [-1, 1]]) / np.sqrt(2)
    for index in range(3):
        write_turned(tmp_path / f"{index}.jpg", image, 6)
        shown = (points - middle) @ turn * 0.7 + middle if index == 1 else points
        lines.append(f"{index}.jpg,{numbers(shown, ',')}")
    (tmp_path / "a.csv").write_text("\n".join(lines))
    source = f"csv:{tmp_path}/a.csv?schema=ibug68"
    for on_error in ("stop", "skip"):
        with refuses("upright=true"):
            sources.read(source, on_error)
    assert len(sources.read(f"{source}&upright=true").records) == 3


def test_a_folder_in_place_of_a_file(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg")
    (tmp_path / "a.xml").write_text(dlib_text([("a.jpg", [dlib_box(np.zeros((68, 2)))])]))
    with refuses("FILE.xml", "a folder", f"dlib:{tmp_path}/a.xml"):
        sources.read(f"dlib:{tmp_path}")
