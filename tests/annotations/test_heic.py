"""HEIC, with and without pillow-heif, which is in the environment of the tests."""

from __future__ import annotations

import io
import struct
import sys
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from efld_tf.annotations import decoding
from efld_tf.errors import DataError
from tests.annotations.photos import OTHER, PICTURE, RGB, X, Y, apart, decoded, encoded, exif
from tests.errors import assert_refusal, refuses

LOSSLESS = {"quality": -1, "chroma": "444"}  # but for the conversion to YCbCr


def heic(*images: Image.Image, **options: object) -> bytes:
    pictures = pillow_heif.HeifFile()
    for image in images:
        pictures.add_from_pillow(image)
    file = io.BytesIO()
    pictures.save(file, **options)
    return file.getvalue()


def raw(mode: str, pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    height, width = pixels.shape[:2]
    pillow_heif.from_bytes(mode, (width, height), pixels.tobytes()).save(file, **LOSSLESS)
    return file.getvalue()


def without_transforms(content: bytes) -> bytes:
    """Makes properties that a reader does not know, and need not, of those that turn a picture."""
    return content.replace(b"irot", b"free").replace(b"imir", b"free")


@pytest.mark.parametrize(
    ("options", "loss"),
    [(LOSSLESS, 1), ({"quality": 95}, 16), ({"quality": 95, "tile_size": 16}, 16)],
)
def test_colours_are_those_of_the_picture(options: dict, loss: int) -> None:
    assert apart(decoded(heic(PICTURE, **options)), RGB) <= loss


def test_the_primary_picture_is_decoded() -> None:
    for primary, expected in ((0, RGB), (1, 255 - RGB)):
        content = heic(PICTURE, OTHER, primary_index=primary, **LOSSLESS)
        assert apart(decoded(content), expected) <= 1


def test_grey_and_more_bits() -> None:
    grey = np.array(PICTURE.convert("L"))
    found = decoded(heic(Image.fromarray(grey), **LOSSLESS))
    assert apart(found, np.repeat(grey[..., None], 3, axis=2)) <= 1
    deep = (X * 1000 + Y).astype(np.uint16)
    found = decoded(heic(Image.fromarray(deep), **LOSSLESS))
    assert apart(found, np.repeat((deep >> 8)[..., None], 3, axis=2)) <= 1
    assert apart(decoded(raw("RGB;16", RGB.astype(np.uint16) * 257)), RGB) <= 1


@pytest.mark.parametrize("mode", ["RGBA", "RGBa", "RGBA;16"])
def test_transparent_pixels_are_blended_with_black(mode: str) -> None:
    alpha = np.where(X < 20, 0, np.where(X < 40, 128, 255))[..., None]
    blended = np.round(RGB * (alpha / 255))
    pixels = np.dstack([blended if mode == "RGBa" else RGB, alpha]).astype(np.uint8)
    content = raw(mode, pixels.astype(np.uint16) * 257 if mode == "RGBA;16" else pixels)
    found = decoded(content)
    assert apart(found, blended) <= 2
    assert not found[:, :20].any()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_always_turned_as_the_file_says(orientation: int) -> None:
    """Not by EXIF, which repeats it, but by two properties of the picture."""
    content = heic(PICTURE, exif=exif(orientation).tobytes(), **LOSSLESS)
    assert (b"irot" in content or b"imir" in content) == (orientation > 1)
    for upright in (False, True):
        assert apart(decoded(content, upright), decoding.turned(RGB, orientation)) <= 1
        assert apart(decoded(without_transforms(content), upright), RGB) <= 1
    assert decoding.orientation(content, Path("a.heic")) == 1


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"mif1"])
def test_brands(brand: bytes) -> None:
    content = bytearray(heic(PICTURE, **LOSSLESS))
    content[8:12] = brand
    assert apart(decoded(bytes(content)), RGB) <= 1
    # The name says nothing, nor what is behind the end.
    assert apart(decoding.decode(bytes(content) + b"more", Path("a.jpg"), True), RGB) <= 1


def test_avif_in_a_file_for_any_codec_is_avif() -> None:
    content = bytearray(encoded(PICTURE, "AVIF", quality=95))
    assert b"mif1" in content[16:40]
    content[8:12] = b"mif1"
    assert apart(decoded(bytes(content)), RGB) <= 16


@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.9, 0.999])
def test_truncated_photos_are_refused(share: float) -> None:
    content = heic(PICTURE)
    with refuses("truncated", "HEIC", path="a.jpg"):
        decoded(content[: max(12, int(len(content) * share))])


@given(
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=4),
    share=st.floats(0.1, 2),
)
def test_a_damaged_photo_is_decoded_or_refused(
    changes: list[tuple[float, int]], share: float
) -> None:
    content = bytearray(TO_DAMAGE)
    for place, value in changes:
        content[int(place * (len(content) - 1))] = value
    try:
        found = decoded(bytes(content[: int(share * len(content))]), upright=True)
        assert found.ndim == 3 and found.shape[2] == 3 and found.dtype == np.uint8
    except DataError as error:
        assert_refusal(error, path="a.jpg")


TO_DAMAGE = heic(PICTURE.resize((128, 96)), quality=50, tile_size=64)


@pytest.mark.parametrize(
    ("width", "height", "fact"),
    [(12000, 12000, "too large"), (1 << 31, 1 << 31, "too large"), (32, 32, "damaged")],
)
def test_claims_of_other_sizes(width: int, height: int, fact: str) -> None:
    """They are before cropping, which HEVC needs; nothing is decoded to more than they tell."""
    content = bytearray(heic(PICTURE))
    at = content.index(b"ispe") + 8
    content[at : at + 8] = struct.pack(">II", width, height)
    with refuses(fact, path="a.jpg"):
        decoded(bytes(content))


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    content = heic(PICTURE)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # as if it were not installed
    with refuses("HEIC", "pip install pillow-heif", "JPEG", "PNG", path="a.jpg"):
        decoded(content)
    assert apart(decoded(encoded(PICTURE, "AVIF", quality=95)), RGB) <= 16  # needs none


def test_pillow_is_not_changed() -> None:
    """The package is for HEIC alone; the program of who calls may have registered another one."""
    decoded(heic(PICTURE))
    assert "HEIF" not in Image.registered_extensions().values()
