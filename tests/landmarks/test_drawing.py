from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from efld_tf.landmarks import drawing, schemas
from tests.errors import refuses
from tests.landmarks.blobs import centroid

MTFL = schemas.get("mtfl5")
FACE = np.array([[30, 30], [70, 32], [50, 50], [35, 70], [65, 71]], float)


def _black(size: int = 100) -> np.ndarray:
    return np.zeros((size, size, 3), np.uint8)


def _alone(x: float, y: float) -> np.ndarray:
    """Five points of which only the nose is known."""
    points = np.full((5, 2), np.nan)
    points[2] = x, y
    return points


@given(st.floats(10, 90), st.floats(10, 90), st.floats(1, 6))
def test_a_dot_is_drawn_at_its_subpixel_place(x: float, y: float, radius: float) -> None:
    image = drawing.draw_landmarks(_black(), _alone(x, y), MTFL, radius=radius)
    # Whole-pixel drawing would be up to 0.7 pixels off; small circles of OpenCV are a bit coarse.
    np.testing.assert_allclose(centroid(image), [x, y], atol=0.25)
    rows, columns = np.nonzero(image.any(axis=-1))
    assert np.hypot(columns - x, rows - y).max() <= radius + 2.5  # with the soft edge


def test_only_pixels_near_points_and_lines_change() -> None:
    image = np.full((100, 100, 3), 90, np.uint8)
    before = image.copy()
    result = drawing.draw_landmarks(image, FACE, MTFL, (255, 0, 0), radius=2)
    np.testing.assert_array_equal(image, before)
    for x, y in FACE.astype(int):
        np.testing.assert_array_equal(result[y, x], [255, 0, 0])
    np.testing.assert_array_less(90, result[70, 40:60, 0])  # the line between mouth corners
    changed = (result != before).any(axis=-1)
    allowed = np.zeros_like(changed)
    for x, y in FACE.astype(int):
        allowed[y - 4 : y + 5, x - 4 : x + 5] = True
    allowed[68:74, 35:66] = True
    assert not (changed & ~allowed).any()
    assert not drawing.draw_landmarks(before, FACE, MTFL, lines=False)[70, 45:55].max() > 90


@pytest.mark.parametrize("name", schemas.names())
def test_every_schema_can_be_drawn(name: str) -> None:
    schema = schemas.get(name)
    points = np.random.default_rng(0).uniform(-20, 120, (schema.num_points, 2))
    points[0] = np.nan
    points[-1] = 1e30
    image = drawing.draw_landmarks(_black(), points, schema, numbers=True)
    assert image.shape == (100, 100, 3) and image.any()


def test_a_part_without_a_line_is_smaller_dots_alone() -> None:
    mesh = schemas.get("mediapipe468")
    skin = next(part for part in mesh.parts if not part.line)
    points = np.full((mesh.num_points, 2), np.nan)
    points[list(skin.points[:2])] = [[20, 50], [80, 50]]
    image = drawing.draw_landmarks(_black(), points, mesh, radius=4)
    assert image[50, 20].any() and image[50, 80].any() and not image[:, 26:74].any()
    rim = np.full_like(points, np.nan)
    rim[list(mesh.parts[0].points[:2])] = [[20, 50], [80, 50]]
    joined = drawing.draw_landmarks(_black(), rim, mesh, radius=4)
    assert joined[50, 26:74].any(axis=-1).all()
    assert image[:, :20].any(axis=-1).sum() < 0.5 * joined[:, :20].any(axis=-1).sum()


def test_dots_grow_with_the_image() -> None:
    areas = []
    for size in (400, 1600):
        image = drawing.draw_landmarks(_black(size), _alone(size / 2, size / 2), MTFL)
        areas.append((image[..., 1] > 128).mean())
    assert areas[0] == pytest.approx(areas[1], rel=0.5)


def test_number_of_points_is_checked() -> None:
    with refuses("mtfl5", 5, "(4, 2)"):
        drawing.draw_landmarks(_black(), FACE[:4], MTFL)


def test_box() -> None:
    image = drawing.draw_box(_black(), np.array([20, 30, 60, 80]), (0, 255, 0))
    rows, columns = np.nonzero(image[..., 1] > 128)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (30, 80, 20, 60)
    assert not image[35:75, 25:55].any()


def test_axes() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    drawn = drawing.draw_axes(image, np.array([50, 60]), np.array([[30, 0], [0, -40], [-20, 0.0]]))
    for place, colour in (((60, 75), drawing.RED), ((30, 50), drawing.GREEN),
                          ((60, 35), drawing.BLUE)):
        assert np.abs(drawn[place] - np.array(colour)).max() < 30
    assert not image.any() and not drawn[80:].any()


def test_comparison_shows_truth_prediction_and_error() -> None:
    predicted = FACE + np.array([8, 0])
    image = drawing.draw_comparison(_black(), FACE, predicted, MTFL)
    for (x, y), (u, v) in zip(FACE.astype(int), predicted.astype(int), strict=True):
        np.testing.assert_array_equal(image[v, u], drawing.ORANGE)
        assert image[y, x, 1] > 150
        assert image[y, x + 4].min() > 100  # the white line between them


def test_contact_sheet_fits_each_image_into_its_tile() -> None:
    wide = np.full((50, 100, 3), (255, 0, 0), np.uint8)
    tall = np.full((300, 150, 3), (0, 255, 0), np.uint8)
    square = np.full((20, 20, 3), (0, 0, 255), np.uint8)
    sheet = drawing.contact_sheet([wide, tall, square], columns=2, size=80)
    assert sheet.shape == (160, 160, 3) and sheet.dtype == np.uint8
    assert (sheet[20:60, :80] == [255, 0, 0]).all()
    assert (sheet[:80, 100:140] == [0, 255, 0]).all()
    assert (sheet[80:, :80] == [0, 0, 255]).all()
    for empty in (sheet[:19, :80], sheet[61:80, :80], sheet[80:, 80:]):
        assert (empty == drawing.BACKGROUND).all()


def test_contact_sheet_captions() -> None:
    image = np.zeros((60, 60, 3), np.uint8)
    sheet = drawing.contact_sheet([image] * 2, columns=1, size=120, captions=["a", "long " * 99])
    assert sheet.shape == (2 * 136, 120, 3)
    assert (sheet[120:136] > 200).any() and (sheet[256:272] > 200).any()
    assert (sheet[120:136, 60:] == drawing.BACKGROUND).all()


def test_captions_that_are_not_utf_8() -> None:
    """OpenCV would end the process."""
    image = np.zeros((64, 64, 3), np.uint8)
    odd, told = (drawing.contact_sheet([image], 1, 200, [text])
                 for text in ("b\udcff.jpg", r"b\udcff.jpg"))
    np.testing.assert_array_equal(odd, told)


def test_pictures_that_are_too_large_for_their_format() -> None:
    wide = np.zeros((1, 70000, 3), np.uint8)
    with refuses("70000 x 1", ".jpg"):
        drawing.encoded(wide, ".jpg")
    assert drawing.encoded(wide, ".png").startswith(b"\x89PNG")


def test_contact_sheet_errors() -> None:
    with refuses("contact sheet", "an image"):
        drawing.contact_sheet([], 3, 100)
    with refuses("captions", 1, 2):
        drawing.contact_sheet([_black()], 3, 100, ["a", "b"])
