"""Transparent pixels of every kind of photo: the colours that are hidden in them are not seen."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from efld_tf.landmarks.geometry import Crop, extract_crop
from tests.annotations.photos import OTHER, PICTURE, RGB, X, apart, decoded, encoded
from tests.errors import refuses

ALPHA = np.where(X < 20, 0, np.where(X < 40, 128, 255)).astype(np.uint8)
BLENDED = np.round(RGB * (ALPHA[..., None] / 255)).astype(int)
RGBA = Image.fromarray(np.dstack([RGB, ALPHA]))
OTHERS = Image.fromarray(np.dstack([255 - RGB, ALPHA]))
# What an editor may leave in the pixels that it makes transparent.
ERASED = Image.fromarray(np.dstack([np.where(ALPHA[..., None] == 0, 255 - RGB, RGB), ALPHA]))
OPAQUE = Image.fromarray(np.dstack([RGB, np.full_like(ALPHA, 255)]))
FOUR_LEVELS = np.arange(4)[None]


def bmp(pixels: np.ndarray, masks: tuple[int, int, int, int], header: int = 124) -> bytes:
    """A BMP file of 32 bits with bit fields; a header of 56 bytes or more has one of alpha."""
    values = sum(pixels[..., channel].astype(np.uint32) << (mask & -mask).bit_length() - 1
                 for channel, mask in enumerate(masks) if mask)
    data = values[::-1].astype("<u4").tobytes()
    height, width = pixels.shape[:2]
    head = struct.pack("<IiiHHIIiiII", header, width, height, 1, 32, 3, len(data), 0, 0, 0, 0)
    fields = struct.pack("<4I", *masks)
    head = head + fields[:12] if header == 40 else (head + fields).ljust(header, b"\0")
    start = 14 + len(head)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + head + data


def png(
    rows: list[bytes], width: int, bits: int, colours: int, transparent: bytes = b"",
    palette: bytes = b"",
) -> bytes:  # fmt: skip
    header = struct.pack(">IIBBBBB", width, len(rows), bits, colours, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    chunks = [(b"IHDR", header), (b"PLTE", palette), (b"tRNS", transparent), (b"IDAT", pixels)]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in (*chunks, (b"IEND", b"")) if data or name == b"IEND")


def sixteen_bits(image: Image.Image) -> bytes:
    """A PNG file of 16 bits a channel."""
    pixels = cv2.cvtColor(np.array(image), cv2.COLOR_RGBA2BGRA).astype(np.uint16) * 257
    return cv2.imencode(".png", pixels)[1].tobytes()


# How each kind is made of a picture with alpha, and how far it may be from it.
KINDS = {
    "PNG": (lambda image: encoded(image, "PNG"), 0),
    "PNG of 16 bits": (sixteen_bits, 1),
    "animated PNG": (
        lambda image: encoded(image, "PNG", save_all=True, append_images=[OTHERS]), 0),
    "lossless WebP": (lambda image: encoded(image, "WEBP", lossless=True, exact=True), 0),
    "WebP": (lambda image: encoded(image, "WEBP", quality=95), 16),
    "WebP with EXIF": (lambda image: encoded(image, "WEBP", quality=95, exif=Image.Exif()), 16),
    "animated WebP": (lambda image: encoded(
        image, "WEBP", lossless=True, exact=True, save_all=True, append_images=[OTHERS]), 0),
    "TIFF": (lambda image: encoded(image, "TIFF"), 0),
    "compressed TIFF": (lambda image: encoded(image, "TIFF", compression="tiff_lzw"), 0),
    "AVIF": (lambda image: encoded(image, "AVIF", quality=95), 16),
    "multiplied AVIF": (
        lambda image: encoded(image, "AVIF", quality=95, alpha_premultiplied=True), 24),
    "JPEG 2000": (lambda image: encoded(image, "JPEG2000"), 0),
    "BMP, BGRA": (
        lambda image: bmp(np.array(image), (0xFF0000, 0xFF00, 0xFF, 0xFF000000)), 0),
    "BMP, RGBA": (
        lambda image: bmp(np.array(image), (0xFF, 0xFF00, 0xFF0000, 0xFF000000), 56), 0),
    "BMP, ABGR": (
        lambda image: bmp(np.array(image), (0xFF000000, 0xFF0000, 0xFF00, 0xFF), 108), 0),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_transparent_pixels_are_blended_with_black(kind: str) -> None:
    make, loss = KINDS[kind]
    found = decoded(make(RGBA))
    assert apart(found, BLENDED) <= loss
    assert not found[:, :16].any()  # lossy codecs spread colours near the edge
    if loss <= 1:
        np.testing.assert_array_equal(decoded(make(ERASED)), found)


@pytest.mark.parametrize("kind", KINDS)
def test_opaque_pictures_with_alpha_are_what_they_are_without(kind: str) -> None:
    make, loss = KINDS[kind]
    found = decoded(make(OPAQUE))
    assert apart(found, RGB) <= loss
    if kind == "WebP":
        np.testing.assert_array_equal(found, decoded(encoded(PICTURE, "WEBP", quality=95)))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG2000"])
def test_grey_with_alpha(kind: str) -> None:
    grey = np.array(PICTURE.convert("L"))
    image = Image.fromarray(np.dstack([grey, ALPHA]), "LA")
    content = encoded(image, kind, **({"lossless": True} if kind == "WEBP" else {}))
    expected = np.round(grey * (ALPHA / 255)).astype(int)
    assert apart(decoded(content), np.repeat(expected[..., None], 3, axis=2)) == 0


def test_grey_with_alpha_of_sixteen_bits() -> None:
    rows = [struct.pack(">6H", 0x64C8, 0, 0x64C8, 0x8000, 0x64C8, 0xFFFF)]
    # 0x64C8 * 0x8000 / 0xFFFF is 0x3264 and a fraction.
    expected = np.array([[0, 0x32, 0x64]])
    assert apart(decoded(png(rows, 3, 16, 4)), np.repeat(expected[..., None], 3, axis=2)) == 0


@pytest.mark.parametrize(
    ("bits", "row", "key", "expected"),
    [
        (1, bytes([0b01100000]), 1, [0, 0, 0, 0]),
        (1, bytes([0b01100000]), 0, [0, 255, 255, 0]),
        (2, bytes([0b00011011]), 2, [0, 85, 0, 255]),
        (4, bytes([0x5A, 0xF1]), 5, [0, 170, 255, 17]),
        (8, bytes([7, 100, 200, 255]), 200, [7, 100, 0, 255]),
        (16, struct.pack(">4H", 0x6463, 0x6464, 0xC800, 0xFFFF), 0x6464, [100, 0, 200, 255]),
    ],
)
def test_a_grey_that_is_transparent(
    bits: int, row: bytes, key: int, expected: list[int]
) -> None:
    """Pillow compares other values than the file's where they are not of 8 bits."""
    content = png([row], 4, bits, 0, struct.pack(">H", key))
    assert apart(decoded(content), np.repeat([[[value] for value in expected]], 3, axis=2)) == 0


def test_a_colour_that_is_transparent() -> None:
    row, expected = bytes(range(1, 10)), np.array([[[1, 2, 3], [0, 0, 0], [7, 8, 9]]])
    assert apart(decoded(png([row], 3, 8, 2, struct.pack(">3H", 4, 5, 6))), expected) == 0
    row = struct.pack(">9H", *(257 * value for value in range(1, 10)))
    key = struct.pack(">3H", 4 * 257, 5 * 257, 6 * 257)
    assert apart(decoded(png([row], 3, 16, 2, key)), expected) == 0
    near = struct.pack(">3H", 4 * 257 + 1, 5 * 257, 6 * 257)  # equal in 8 bits
    assert apart(decoded(png([row], 3, 16, 2, near)), np.arange(1, 10).reshape(1, 3, 3)) == 0


@pytest.mark.parametrize(("bits", "row"), [(8, bytes(range(4))), (2, bytes([0b00011011]))])
def test_colours_of_a_palette_that_are_transparent(bits: int, row: bytes) -> None:
    palette = bytes([10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120])
    content = png([row], 4, bits, 3, bytes([255, 0, 128]), palette)
    # 70 * 128 / 255 is 35.1, 80: 40.2, 90: 45.2
    expected = [[[10, 20, 30], [0, 0, 0], [35, 40, 45], [100, 110, 120]]]
    assert apart(decoded(content), np.array(expected)) == 0


@pytest.mark.parametrize("animation", [{}, {"save_all": True, "append_images": [OTHER]}])
def test_the_transparent_colour_of_a_gif(animation: dict) -> None:
    levels = np.repeat(np.arange(4), 16)[None].repeat(48, axis=0).astype(np.uint8)
    image = Image.fromarray(levels, "P")
    image.putpalette([200, 10, 20, 30, 210, 40, 50, 60, 220, 70, 80, 90])
    expected = np.array([[200, 10, 20], [0, 0, 0], [50, 60, 220], [70, 80, 90]])[levels]
    assert apart(decoded(encoded(image, "GIF", transparency=1, **animation)), expected) == 0


def test_bytes_that_are_reserved_are_no_alpha() -> None:
    """32 bits a pixel without a field of alpha; many programs leave 0 there."""
    nothing = np.dstack([RGB, np.zeros_like(ALPHA)])
    bgr = (0xFF0000, 0xFF00, 0xFF, 0)
    for header in (40, 52, 56, 124):
        assert apart(decoded(bmp(nothing, bgr, header)), RGB) == 0
    assert apart(decoded(encoded(Image.fromarray(nothing), "BMP")), RGB) == 0


def test_other_fields_of_a_bmp() -> None:
    """OpenCV takes those of short headers for BGR, whatever they are."""
    assert apart(decoded(bmp(np.array(OPAQUE), (0xFF000000, 0xFF0000, 0xFF00, 0), 40)), RGB) == 0


def test_a_damaged_list_of_transparent_colours_is_found() -> None:
    """libpng leaves it out, and the picture would be opaque."""
    content = bytearray(png([bytes(range(4))], 4, 8, 3, bytes([255, 0, 128]), bytes(range(12))))
    content[content.index(b"tRNS") + 5] ^= 1
    with refuses("damaged", "PNG", path="a.jpg"):
        decoded(bytes(content))


def test_what_is_transparent_is_what_is_outside_of_the_photo() -> None:
    empty = decoded(encoded(Image.new("RGBA", (8, 8), (200, 100, 50, 0)), "PNG"))
    outside = extract_crop(RGB, Crop(500.0, 500.0, 8.0), 8)
    np.testing.assert_array_equal(empty, outside)


@pytest.mark.long
def test_real_photos_are_what_opencv_decodes(shared_data: Path) -> None:
    """Opaque ones, in every kind that it decodes right."""
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    photos = sorted((shared_data / "ibug/helen/testset").glob("*.jpg"))[:40]
    assert len(photos) == 40
    for photo in photos:
        content = photo.read_bytes()
        expected = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
        np.testing.assert_array_equal(decoded(content), expected)
        image = Image.fromarray(expected)
        for kind in ("PNG", "BMP", "WEBP", "TIFF", "PPM"):
            stored = encoded(image, kind)
            again = cv2.imdecode(np.frombuffer(stored, np.uint8), flags)
            np.testing.assert_array_equal(decoded(stored), again)
            if kind != "WEBP":
                np.testing.assert_array_equal(again, expected)
        image.putalpha(255)
        for kind, options in (("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})):
            np.testing.assert_array_equal(decoded(encoded(image, kind, **options)), expected)
