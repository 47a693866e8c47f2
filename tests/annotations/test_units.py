"""Coordinates that are no pixels are told by a source's faces together."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from efld_tf.annotations import sources, units
from efld_tf.annotations.placement import UNITS, PlacementError
from efld_tf.landmarks import schemas
from tests.annotations import placed
from tests.annotations.turned import write_turned
from tests.annotations.writers import numbers
from tests.errors import assert_told, refuses

IBUG = schemas.get("ibug68")
Face = tuple[np.ndarray, tuple[int, int]]


@pytest.fixture(scope="module")
def faces(shared_data: Path) -> list[Face]:
    """Real points and the sizes of their images, few of which are square."""
    records = sources.read(f"ibug:{shared_data}/lfpw/trainset").records
    found = []
    for record in records[:300]:
        assert record.points.shape == (68, 2)
        width, height = np.ptp(record.points, axis=0) * 1.6
        found.append((record.points - record.points.min(axis=0), (int(width), int(height))))
    return found


def _doubt(faces: list[Face], scale: np.ndarray | None = None) -> tuple[str, bool] | None:
    collected = units.Units()
    for number, (points, size) in enumerate(faces):
        shares = points if scale is None else points / size * scale
        collected.add(shares, IBUG, Path(f"{number}.jpg"), size)
    return collected.doubt()


def _placed(faces: list[Face], size: tuple[int, int]) -> list[Face]:
    """The faces at random places of images of a size."""
    rng = np.random.default_rng(1)
    return [(points + rng.uniform(0, 1, 2) * (np.array(size) - np.ptp(points, axis=0) - 1), size)
            for points, _ in faces]


@pytest.mark.parametrize("option", ["percent", "1000"])
@pytest.mark.parametrize("size", [(1600, 1200), (1080, 1920), (640, 480)])
def test_faces_that_are_squeezed_as_their_images_are(
    faces: list[Face], option: str, size: tuple[int, int]
) -> None:
    unit = units.UNITS[option]
    found = _doubt(_placed(faces[:60], size), np.array([unit, unit]))
    assert found is not None and found[1]
    assert_told(found[0], "60 of its 60 faces", f"normalised={option}", "normalised=false")


@pytest.mark.parametrize("size", [(1000, 1000), (800, 600), (600, 1000), (960, 540)])
@pytest.mark.parametrize("count", [1, 2, 7, 40, 300])
def test_pixels_are_not_doubted(faces: list[Face], count: int, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(count)
    for _ in range(10):
        chosen = [faces[i] for i in rng.choice(len(faces), count, replace=False)]
        assert _doubt(_placed(chosen, size)) is None


@pytest.mark.parametrize("least", [0, 15, 25, 40])
def test_yawed_faces_are_not_squeezed(shared_data: Path, least: float) -> None:
    """They are as narrow as shares of wide images would be, but their noses are aside."""
    lines = (shared_data / "aflw2000_shapes/shapes.jsonl").read_text().splitlines()
    turned = []
    for face in map(json.loads, lines):
        if least <= abs(face["yaw_degrees"]) <= 90:
            points = np.array(face["shape68"])
            points = (points - points.min(axis=0)) / np.ptp(points) * 200
            turned.append((points, (800, 600)))
    assert len(turned) > 400
    for faces in (turned, turned[:20], turned[100:200]):
        assert _doubt(_placed(faces, (800, 600))) is None


def test_percentages_of_images_below_250_pixels(faces: list[Face]) -> None:
    small = [(points / np.ptp(points) * 150 + 20, (235, 235)) for points, _ in faces[:30]]
    assert _doubt(small) is None
    found = _doubt(small, np.array([100, 100]))
    assert found is not None and found[1] and "normalised=percent" in found[0]
    two = _doubt(_placed(small[:2], (400, 400)), np.array([100, 100]))
    assert two is not None and not two[1] and "normalised=percent" in two[0]


def test_faces_beyond_their_images(faces: list[Face]) -> None:
    """Thousandths of square images of 300 pixels."""
    small = [(points / np.ptp(points) * 180 + 60, (300, 300)) for points, _ in faces[:5]]
    found = _doubt(small, np.array([1000, 1000]))
    assert found is not None
    assert_told(found[0], "5 reach beyond", "normalised=1000")


def test_thousandths_are_refused_and_read(tmp_path: Path, faces: list[Face]) -> None:
    lines, size = [placed.COLUMNS], (1600, 1200)
    chosen = _placed(faces[:40], size)
    for index, (points, _) in enumerate(chosen):
        write_turned(tmp_path / f"{index}.jpg", np.zeros((1200, 1600, 3), np.uint8), 1)
        lines.append(f"{index}.jpg,{numbers(points / size * 1000, ',')}")
    (tmp_path / "a.csv").write_text("\n".join(lines))
    source = f"csv:{tmp_path}/a.csv?schema=ibug68"
    for on_error in sources.ON_ERROR:
        with pytest.raises(PlacementError) as caught:
            sources.read(source, on_error)
        assert (caught.value.kind, caught.value.whole_source) == (UNITS, True)
    assert_told(str(caught.value), "40 of its 40 faces", "normalised=1000", "normalised=false")
    records = sources.read(f"{source}&normalised=1000").records
    np.testing.assert_allclose(records[2].points, chosen[2][0], atol=2e-3)
    assert len(sources.read(f"{source}&normalised=false").records) == 40
    with refuses("normalised", "1000", "'999'"):
        sources.read(f"{source}&normalised=999")


def test_a_face_beyond_its_image_may_be_of_thousandths(tmp_path: Path, faces: list[Face]) -> None:
    points = faces[0][0]
    write_turned(tmp_path / "a.jpg", np.zeros((300, 300, 3), np.uint8), 1)
    shares = points / np.ptp(points) * 300 + 500
    with refuses("300 x 300", "normalised=1000"):
        sources.read(placed.write("csv", tmp_path, shares, None))
    with pytest.raises(PlacementError) as caught:
        sources.read(placed.write("csv", tmp_path, shares + 2000, None))
    assert "normalised" not in str(caught.value)
