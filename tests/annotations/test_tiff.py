"""TIFF files of many layouts, made by hand: each is decoded right, or refused."""

from __future__ import annotations

import io
import struct

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from efld_tf.annotations import decoding
from efld_tf.errors import DataError
from tests.annotations.photos import OTHER, PICTURE, RGB, X, Y, apart, decoded, encoded
from tests.annotations.tiffs import LONG, SHORT, tiff
from tests.errors import assert_refusal, refuses

GREY = RGB[..., :1].astype(int)
ALPHA = np.where(X < 20, 0, np.where(X < 40, 128, 255))[..., None]
COLOURS = RGB.astype(int)
GREYS = np.repeat(GREY, 3, axis=2)
EXTRA, FORMAT, COLOUR_MAP, ORIENTATION = 338, 339, 320, 274


def black(colours: np.ndarray) -> np.ndarray:
    """Blended with black by `ALPHA`."""
    return np.round(colours * ALPHA / 255).astype(int)


def extra(kind: int) -> dict:
    """0 is a sample of any meaning, 1 alpha by which colours are multiplied, 2 alpha."""
    return {EXTRA: (SHORT, [kind])}


def colour_map(scale: int) -> dict:
    """A palette of (i, 255 - i, 77)."""
    values = np.concatenate([np.arange(256), 255 - np.arange(256), np.full(256, 77)]) * scale
    return {COLOUR_MAP: (SHORT, values.tolist())}


PALETTE = np.stack([GREY[..., 0], 255 - GREY[..., 0], np.full(X.shape, 77)], axis=-1)
INK = np.concatenate([255 - COLOURS, (Y * 3)[..., None]], axis=2)
PRINTED = np.round((255 - INK[..., :3]) * (255 - INK[..., 3:]) / 255)
YCBCR = cv2.cvtColor(RGB, cv2.COLOR_RGB2YCrCb)[..., [0, 2, 1]]


def with_alpha(colours: np.ndarray) -> np.ndarray:
    return np.concatenate([colours, ALPHA], axis=2)


# Samples, what they mean, their bits, further tags; and the colours that they are.
LAYOUTS: dict[str, tuple[np.ndarray, int, int, dict, np.ndarray]] = {
    "RGB": (COLOURS, 2, 8, {}, COLOURS),
    "RGB of one BitsPerSample": (COLOURS, 2, 8, {258: (SHORT, [8])}, COLOURS),
    "RGB of 16 bits": (COLOURS * 257, 2, 16, {}, COLOURS),
    "RGB of 4 bits": (COLOURS // 17, 2, 4, {}, COLOURS // 17 * 17),
    "RGB and something": (with_alpha(COLOURS), 2, 8, extra(0), COLOURS),
    "RGB and something of 16 bits": (with_alpha(COLOURS) * 257, 2, 16, extra(0), COLOURS),
    "RGB and two things": (np.concatenate([with_alpha(COLOURS), ALPHA], axis=2), 2, 8,
                           {EXTRA: (SHORT, [0, 0])}, COLOURS),
    "RGBA": (with_alpha(COLOURS), 2, 8, extra(2), black(COLOURS)),
    "RGBA of 16 bits": (with_alpha(COLOURS) * 257, 2, 16, extra(2), black(COLOURS)),
    "RGBA without a word": (with_alpha(COLOURS), 2, 8, {}, black(COLOURS)),
    "multiplied RGBA": (with_alpha(black(COLOURS)), 2, 8, extra(1), black(COLOURS)),
    "multiplied RGBA of 16 bits": (with_alpha(black(COLOURS)) * 257, 2, 16, extra(1),
                                   black(COLOURS)),
    "grey": (GREY, 1, 8, {}, GREYS),
    "grey of 1 bit": (GREY // 128, 1, 1, {}, GREYS // 128 * 255),
    "grey of 2 bits": (GREY // 64, 1, 2, {}, GREYS // 64 * 85),
    "grey of 4 bits": (GREY // 16, 1, 4, {}, GREYS // 16 * 17),
    "grey of 12 bits": (GREY * 16 + 9, 1, 12, {}, GREYS),
    "grey of 16 bits": (GREY * 256 + 99, 1, 16, {}, GREYS),
    "grey and alpha": (with_alpha(GREY), 1, 8, extra(2), black(GREYS)),
    "grey and alpha of 16 bits": (with_alpha(GREY) * 257, 1, 16, extra(2), black(GREYS)),
    "grey, multiplied, and alpha": (with_alpha(black(GREY)), 1, 8, extra(1), black(GREYS)),
    "grey and something": (with_alpha(GREY), 1, 8, extra(0), GREYS),
    "grey and a sample without a word": (with_alpha(GREY), 1, 8, {}, black(GREYS)),
    "grey, 0 is white": (255 - GREY, 0, 8, {}, GREYS),
    "grey of 1 bit, 0 is white": (1 - GREY // 128, 0, 1, {}, GREYS // 128 * 255),
    "grey of 4 bits, 0 is white": (15 - GREY // 16, 0, 4, {}, GREYS // 16 * 17),
    "grey of 16 bits, 0 is white": (65535 - GREY * 256 - 99, 0, 16, {}, GREYS),
    "palette": (GREY, 3, 8, colour_map(257), PALETTE),
    "palette of bytes": (GREY, 3, 8, colour_map(1), PALETTE),
    "CMYK": (INK, 5, 8, {}, PRINTED),
    "CMYK of 16 bits": (INK * 257, 5, 16, {}, PRINTED),
    "YCbCr": (YCBCR, 6, 8, {530: (SHORT, [1, 1])}, COLOURS),
    "Lab of 16 bits": (COLOURS * 257, 8, 16, {}, COLOURS + 999),  # of other values than RGB
    "ICC's Lab": (COLOURS, 9, 8, {}, COLOURS + 999),
    "mask": (GREY // 128, 4, 1, {}, COLOURS + 999),
}  # fmt: skip
ARRANGEMENTS: dict[str, dict] = {
    "a strip": {}, "strips": {"rows": 7}, "tiles": {"tile": 32}, "a tile": {"tile": 64},
    "planes": {"planes": True}, "planes of strips": {"planes": True, "rows": 7},
    "planes of tiles": {"planes": True, "tile": 32},
}  # fmt: skip
# What both libraries get wrong or do not know; what is only refused in some arrangements; and what
# is refused in planes.
REFUSED = ("RGB of 4 bits", "grey and alpha of 16 bits", "grey and a sample without a word",
           "Lab of 16 bits", "ICC's Lab", "mask")  # fmt: skip
IN_STRIPS_ALONE = ("grey, multiplied, and alpha", "grey and something")
NOT_IN_PLANES = ("RGB and two things", "RGBA without a word", "grey and alpha")
NOT_IN_UNCOMPRESSED_PLANES = ("RGBA of 16 bits", "CMYK of 16 bits")
LITTLE_ENDIAN_ALONE = ("grey of 12 bits",)


def must_be_decoded(layout: str, arrangement: str, order: str, deflate: bool) -> bool:
    planes, tiles = "planes" in arrangement, "tile" in arrangement
    return not (
        layout in REFUSED
        or (layout in IN_STRIPS_ALONE and tiles)
        or (layout in NOT_IN_PLANES and planes)
        or (layout in NOT_IN_UNCOMPRESSED_PLANES and planes and not deflate)
        or (layout in LITTLE_ENDIAN_ALONE and order == ">")
        or (layout == "grey of 16 bits, 0 is white" and order == ">" and tiles)
    )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_are_decoded_right_or_refused(layout: str) -> None:
    samples, photometric, bits, tags, expected = LAYOUTS[layout]
    for arrangement, options in ARRANGEMENTS.items():
        if options.get("planes") and samples.shape[2] == 1:
            continue
        for order in "<>":
            for deflate in (False, True):
                content = tiff(samples, photometric, bits=bits, tags=tags, order=order,
                               deflate=deflate, predictor=deflate and bits in (8, 16), **options)
                case = f"{layout} in {arrangement}, {order}, {deflate}"
                if must_be_decoded(layout, arrangement, order, deflate):
                    assert apart(decoded(content), expected) <= 1, case
                else:
                    with refuses("TIFF", photometric, "convert", path="a.jpg"):
                        decoded(content)


# Two that Pillow decodes, stored or compressed, and two that OpenCV decodes.
BY_EACH = {
    "Pillow": ("RGB", {}), "Pillow's libtiff": ("grey of 16 bits", {"deflate": True}),
    "OpenCV": ("RGB of 16 bits", {"planes": True}), "OpenCV's libtiff": ("palette of bytes", {}),
}  # fmt: skip


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("library", BY_EACH)
def test_both_libraries_turn_pictures(library: str, orientation: int) -> None:
    layout, options = BY_EACH[library]
    samples, photometric, bits, tags, expected = LAYOUTS[layout]
    content = tiff(samples, photometric, bits=bits,
                   tags=tags | {ORIENTATION: (SHORT, [orientation])}, **options)
    upright = decoding.turned(expected, orientation)
    for asked in (False, True):
        assert apart(decoded(content, asked), upright) == 0


@pytest.mark.parametrize("deflate", [False, True])
def test_xmp_does_not_turn_pictures(deflate: bool) -> None:
    """It repeats what the file says; Pillow alone would believe it where the file says nothing."""
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    content = tiff(COLOURS, 2, deflate=deflate, tags={700: (1, list(xmp))})
    assert apart(decoded(content), RGB) == 0


@pytest.mark.parametrize("order", "<>")
def test_bigtiff(order: str) -> None:
    """Pillow knows it in one byte order alone."""
    for layout in ("RGB", "grey of 16 bits", "RGBA"):
        samples, photometric, bits, tags, expected = LAYOUTS[layout]
        content = tiff(samples, photometric, bits=bits, tags=tags, order=order, big=True)
        if order == "<" or layout != "RGBA":
            assert apart(decoded(content), expected) == 0
        else:
            with refuses("TIFF", "convert", path="a.jpg"):
                decoded(content)


COMPRESSIONS = {"raw": 0, "tiff_lzw": 0, "packbits": 0, "tiff_adobe_deflate": 0, "zstd": 0,
                "lzma": 0, "jpeg": 12, "group3": 0, "group4": 0, "tiff_ccitt": 0}  # fmt: skip
OF_TWO_COLOURS = ("group3", "group4", "tiff_ccitt")


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_compressions(compression: str) -> None:
    modes = ["1"] if compression in OF_TWO_COLOURS else ["RGB", "L", "CMYK"]
    for mode in modes:
        picture = PICTURE.convert(mode)
        options = {"quality": 95} if compression == "jpeg" else {}
        content = encoded(picture, "TIFF", compression=compression, save_all=True,
                          append_images=[OTHER.convert(mode)], **options)
        expected = np.array(picture.convert("RGB"))
        assert apart(decoded(content), expected) <= COMPRESSIONS[compression], mode
        if compression not in ("zstd", "lzma"):
            assert apart(decoded(content), by_opencv(content)) <= 1


def by_opencv(content: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)


@pytest.mark.parametrize("mode", ["RGB", "YCbCr"])
def test_jpeg_of_two_colour_spaces(mode: str) -> None:
    content = encoded(PICTURE.convert(mode), "TIFF", compression="jpeg", quality=95)
    with Image.open(io.BytesIO(content)) as image:
        assert image.tag_v2[262] == (2 if mode == "RGB" else 6)
    assert apart(decoded(content), RGB) <= 12


@pytest.mark.parametrize("deflate", [False, True])
def test_ycbcr_of_fewer_colours_than_pixels(deflate: bool) -> None:
    """Four pixels of a square share their colour: their Y, Cb and Cr lie together."""
    y, cb, cr = (YCBCR[..., channel].reshape(24, 2, 32, 2) for channel in range(3))
    units = [y[:, 0, :, 0], y[:, 0, :, 1], y[:, 1, :, 0], y[:, 1, :, 1],
             cb.mean((1, 3)).round(), cr.mean((1, 3)).round()]
    tags = {256: (LONG, [64]), 257: (LONG, [48]), 258: (SHORT, [8, 8, 8]), 277: (SHORT, [3]),
            278: (LONG, [48]), 530: (SHORT, [2, 2])}  # fmt: skip
    content = tiff(np.stack(units, axis=-1), 6, deflate=deflate, tags=tags)
    assert apart(decoded(content), RGB) <= 6


def test_lab_is_converted() -> None:
    profiles = [ImageCms.createProfile(name) for name in ("sRGB", "LAB")]
    lab = ImageCms.applyTransform(PICTURE, ImageCms.buildTransform(*profiles, "RGB", "LAB"))
    for compression in ("raw", "tiff_lzw"):
        found = decoded(encoded(lab, "TIFF", compression=compression))
        assert apart(found, np.array(lab.convert("RGB"))) == 0
        assert apart(found, RGB) <= 32


@pytest.mark.parametrize(
    ("bits", "dtype", "format"),
    [(8, "i1", 2), (16, "i2", 2), (16, "f2", 3), (32, "u4", 1), (32, "i4", 2), (32, "f4", 3),
     (64, "f8", 3), (8, "u1", 4)],
)  # fmt: skip
@pytest.mark.parametrize("order", "<>")
def test_other_numbers_are_refused(bits: int, dtype: str, format: int, order: str) -> None:
    """Both libraries take signed ones for unsigned ones; where floats are white is not said."""
    for samples, photometric in ((GREY // 2, 1), (COLOURS // 2, 2)):
        tags = {FORMAT: (SHORT, [format] * samples.shape[2])}
        content = tiff(samples, photometric, bits=bits, dtype=dtype, order=order, tags=tags)
        with refuses("TIFF", "floats", "signed", "32-bit", path="a.jpg"):
            decoded(content)


def places(content: bytes) -> tuple[list[int], list[int]]:
    """Where the strips or tiles of a file are, and how long they are."""
    with Image.open(io.BytesIO(content)) as image:
        tags = image.tag_v2
        offsets, sizes = (324, 325) if 324 in tags else (273, 279)
        return list(tags[offsets]), list(tags[sizes])


@pytest.mark.parametrize("deflate", [False, True])
@pytest.mark.parametrize("options", [{"rows": 7}, {"tile": 16}, {"rows": 7, "planes": True}])
def test_missing_pixels_are_not_black(options: dict, deflate: bool) -> None:
    """Pillow alone overlooks that strips and tiles that are not compressed are missing."""
    offsets, sizes = places(tiff(COLOURS, 2, deflate=deflate, **options))
    names = (324, 325) if "tile" in options else (273, 279)
    for changed, lengths in (
        (offsets[:-1], sizes[:-1]), (offsets[:1], sizes[:1]), ([*offsets[:-1], 0], sizes),
        ([*offsets[:-1], 10**6], sizes),
    ):  # fmt: skip
        tags = {names[0]: (LONG, changed), names[1]: (LONG, lengths)}
        with refuses("damaged", "TIFF", path="a.jpg"):
            decoded(tiff(COLOURS, 2, deflate=deflate, tags=tags, **options))


def test_strips_of_jpeg_that_end_early_are_refused() -> None:
    """libtiff fills what is missing with grey, and says nothing."""
    content = bytearray(encoded(PICTURE.resize((256, 192)), "TIFF", compression="jpeg"))
    offsets, sizes = places(bytes(content))
    for offset, size in zip(offsets, sizes, strict=True):
        changed = bytearray(content)
        changed[offset + size // 2 : offset + size] = bytes(size - size // 2)
        with refuses("damaged", "TIFF", path="a.jpg"):
            decoded(bytes(changed))


@pytest.mark.parametrize("tag", [256, 257, 262, 273])
def test_tags_that_must_be_there(tag: int) -> None:
    with refuses("damaged", "TIFF", path="a.jpg"):
        decoded(tiff(COLOURS, 2, tags={tag: None}))


def test_claims_of_too_many_pixels() -> None:
    for width, height in ((12000, 12000), (1 << 31, 1), (1 << 31, 1 << 31)):
        size = {256: (LONG, [width]), 257: (LONG, [height])}
        for deflate in (False, True):
            with refuses("too large", path="a.jpg"):
                decoded(tiff(COLOURS, 2, deflate=deflate, tags=size | {278: (LONG, [1 << 31])}))


def test_tags_that_claim_the_same_bytes_again_and_again_are_refused() -> None:
    """A library that copies the values of each would take 600 MB for these 24 kB."""
    count, header = 2000, 16
    content = bytearray(tiff(COLOURS, 2))
    (start,) = struct.unpack_from("<I", content, 4)
    (own,) = struct.unpack_from("<H", content, start)
    entries = bytes(content[start + 2 : start + 2 + 12 * own])
    bomb = b"".join(struct.pack("<HHII", 40000 + number, 1, len(content) - header, header)
                    for number in range(count))
    content[start : start + 2] = struct.pack("<H", own + count)
    content[start + 2 :] = entries + bomb + bytes(4)
    with refuses("damaged", "TIFF", path="a.jpg"):
        decoded(bytes(content))


@given(
    layout=st.sampled_from(sorted(LAYOUTS)), arrangement=st.sampled_from(sorted(ARRANGEMENTS)),
    order=st.sampled_from("<>"), deflate=st.booleans(), big=st.booleans(),
    changes=st.lists(st.tuples(st.integers(1, 400), st.integers(0, 255)), max_size=4),
    share=st.floats(0.1, 2),
)  # fmt: skip
def test_damaged_files_are_decoded_or_refused(
    layout: str, arrangement: str, order: str, deflate: bool, big: bool,
    changes: list[tuple[int, int]], share: float,
) -> None:  # fmt: skip
    """Whichever library decodes them; the tags are in the last bytes."""
    samples, photometric, bits, tags, _ = LAYOUTS[layout]
    content = bytearray(tiff(samples, photometric, bits=bits, tags=tags, order=order,
                             deflate=deflate, big=big, **ARRANGEMENTS[arrangement]))
    for place, value in changes:
        content[-min(place, len(content))] = value
    try:
        found = decoded(bytes(content[: int(share * len(content))]), upright=True)
        assert found.ndim == 3 and found.shape[2] == 3 and found.dtype == np.uint8
    except DataError as error:
        assert_refusal(error, path="a.jpg")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated_files_are_refused(share: float) -> None:
    for arrangement in ARRANGEMENTS.values():
        for deflate in (False, True):
            content = tiff(COLOURS, 2, deflate=deflate, **arrangement)
            with refuses("damaged", "TIFF", path="a.jpg"):
                decoded(content[: int(share * len(content))])
