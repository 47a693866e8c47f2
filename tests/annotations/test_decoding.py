"""Photos of every kind against Pillow, which makes them here, and files that are no photos."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageCms, ImageOps

from efld_tf.annotations import decoding, image_kinds
from efld_tf.annotations.images import read_photo
from efld_tf.errors import DataError
from tests.annotations.photos import (
    OTHER,
    PICTURE,
    RGB,
    X,
    Y,
    apart,
    decoded,
    encoded,
    exif,
)
from tests.errors import assert_refusal, assert_told, refuses

LAB = ImageCms.applyTransform(PICTURE, ImageCms.buildTransform(
    ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"))


def oriented(kind: str, orientation: int, **options: object) -> bytes:
    return encoded(PICTURE, kind, exif=exif(orientation), **options)


def by_pillow(content: bytes, upright: bool = False) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return np.array((ImageOps.exif_transpose(image) if upright else image).convert("RGB"))


# A photo of each kind, and how far it may be from the picture: what is lossy loses something.
KINDS = {
    "JPEG": (encoded(PICTURE, "JPEG", quality=95), 12),
    "MPO of two pictures": (
        # A copy, in which Pillow leaves settings of JPEG.
        encoded(PICTURE, "MPO", quality=95, save_all=True, append_images=[OTHER.copy()]), 12),
    "progressive": (encoded(PICTURE, "JPEG", quality=95, progressive=True), 12),
    "4:4:4": (encoded(PICTURE, "JPEG", quality=95, subsampling=0), 12),
    "CMYK, inverted as Adobe does": (encoded(PICTURE.convert("CMYK"), "JPEG", quality=95), 12),
    "with a profile": (encoded(PICTURE, "JPEG", quality=95, icc_profile=b"no profile"), 12),
    "PNG": (encoded(PICTURE, "PNG"), 0),
    "animated PNG": (encoded(PICTURE, "PNG", save_all=True, append_images=[OTHER]), 0),
    "WebP": (encoded(PICTURE, "WEBP", quality=95), 16),
    "lossless WebP": (encoded(PICTURE, "WEBP", lossless=True), 0),
    "animated WebP": (
        encoded(PICTURE, "WEBP", lossless=True, save_all=True, append_images=[OTHER]), 0),
    "TIFF": (encoded(PICTURE, "TIFF"), 0),
    "compressed TIFF": (encoded(PICTURE, "TIFF", compression="tiff_lzw"), 0),
    "TIFF of JPEG": (encoded(PICTURE, "TIFF", compression="jpeg", quality=95), 12),
    "CMYK TIFF": (encoded(PICTURE.convert("CMYK"), "TIFF"), 0),
    "Lab TIFF": (encoded(LAB, "TIFF"), 32),
    "TIFF of pages": (encoded(PICTURE, "TIFF", save_all=True, append_images=[OTHER]), 0),
    "BigTIFF": (encoded(PICTURE, "TIFF", big_tiff=True), 0),
    "BMP": (encoded(PICTURE, "BMP"), 0),
    "JPEG 2000": (encoded(PICTURE, "JPEG2000"), 0),
    "PPM": (encoded(PICTURE, "PPM"), 0),
    "AVIF": (encoded(PICTURE, "AVIF", quality=95), 16),
    "GIF": (encoded(PICTURE, "GIF"), 64),
    "animated GIF": (encoded(PICTURE, "GIF", save_all=True, append_images=[OTHER]), 64),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_colours_are_those_of_the_picture_and_of_pillow(kind: str) -> None:
    content, loss = KINDS[kind]
    assert apart(decoded(content), RGB) <= loss
    assert apart(decoded(content), by_pillow(content)) <= 1


@pytest.mark.parametrize(
    ("kind", "mode"),
    [(kind, mode) for kind in ("PNG", "TIFF", "GIF") for mode in ("L", "1", "P", "LA")]
    + [("BMP", "L"), ("BMP", "1"), ("BMP", "P"), ("JPEG", "L"), ("WEBP", "L")],
)
def test_grey_black_and_white_and_palettes(kind: str, mode: str) -> None:
    content = encoded(PICTURE.convert(mode), kind)
    assert apart(decoded(content), by_pillow(content)) == 0


def test_sixteen_bits_become_eight() -> None:
    """Pillow cuts grey ones off at 255; 65535 is as white as 255."""
    grey = (X * 1000 + Y).astype(np.uint16)
    for kind in ("PNG", "TIFF", "JPEG2000"):
        found = decoded(encoded(Image.fromarray(grey), kind))
        assert apart(found, np.repeat((grey >> 8)[..., None], 3, axis=-1)) <= 1
    colours = RGB[..., ::-1].astype(np.uint16) * 257
    for suffix in (".png", ".tiff"):
        assert apart(decoded(cv2.imencode(suffix, colours)[1].tobytes()), RGB) == 0


@pytest.mark.parametrize("transform", [0, 2, None])
def test_cmyk_and_ycck_by_adobes_marker_and_without_it(transform: int | None) -> None:
    content = encoded(PICTURE.convert("CMYK"), "JPEG", quality=95)
    at = content.index(b"Adobe")  # in a segment of 2 + 14 bytes: FF EE 00 0E A d o b e ...
    if transform is None:
        content = content[: at - 4] + content[at + 12 :]
    else:
        content = content[: at + 11] + bytes([transform]) + content[at + 12 :]
    assert apart(decoded(content), by_pillow(content)) <= 1


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (20000, 1), (40000, 2), (3, 1)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "BMP"])
def test_one_pixel_and_very_long_ones(kind: str, size: tuple[int, int]) -> None:
    content = encoded(Image.new("RGB", size, (200, 120, 30)), kind)
    found = decoded(content, upright=True)
    assert apart(found, by_pillow(content)) == 0
    assert apart(found, np.full((size[1], size[0], 3), (200, 120, 30))) <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "MPO", "PNG", "WEBP", "AVIF", "TIFF"])
def test_orientation(kind: str, orientation: int) -> None:
    content = oriented(kind, orientation, **({} if kind in ("PNG", "TIFF") else {"quality": 95}))
    upright = by_pillow(oriented("PNG", orientation), upright=True)
    loss = {"PNG": 0, "TIFF": 0, "JPEG": 12, "MPO": 12}.get(kind, 16)
    found = decoded(content, upright=True)
    assert apart(found, upright) <= loss
    raw = decoded(content)
    # Both libraries turn TIFF whatever is asked for.
    assert apart(raw, upright if kind == "TIFF" else RGB) <= loss
    height, width = found.shape[:2]
    turn = decoding.orientation(content, Path("a.jpg"))
    for x, y in ((0, 0), (5, 9), (width - 1, height - 1)):
        column, row = decoding.unturned_points(np.array([x, y]), turn, width, height)
        np.testing.assert_array_equal(raw[row, column], found[y, x])


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("before", ["", "XMP", "profile"])
def test_exif_by_any_camera(order: str, before: str) -> None:
    """Either byte order, behind other segments: OpenCV alone overlooks it behind XMP."""

    def segment(marker: int, data: bytes) -> bytes:
        return struct.pack(">BBH", 255, marker, len(data) + 2) + data

    tag = struct.pack(order + "HHIHH", ExifTags.Base.Orientation, 3, 1, 6, 0)
    head = {"<": b"II", ">": b"MM"}[order] + struct.pack(order + "HIH", 42, 8, 1)
    found = segment(0xE1, b"Exif\0\0" + head + tag + bytes(4))
    others = {"XMP": segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>"),
              "profile": segment(0xE2, b"ICC_PROFILE\0\1\1" + bytes(200)), "": b""}
    plain = encoded(PICTURE, "JPEG", quality=95)
    content = plain[:2] + others[before] + found + plain[2:]
    np.testing.assert_array_equal(decoded(content, True), np.rot90(decoded(plain), -1))


def test_exif_behind_the_pixels_of_a_png() -> None:
    plain, content = encoded(PICTURE, "PNG"), oriented("PNG", 6)
    start = content.index(b"eXIf") - 4
    chunk = content[start : start + 12 + int.from_bytes(content[start : start + 4], "big")]
    end = plain.index(b"IEND") - 4
    assert apart(decoded(plain[:end] + chunk + plain[end:], True), np.rot90(RGB, -1)) == 0


def test_exif_that_says_nothing() -> None:
    plain = encoded(PICTURE, "JPEG")
    np.testing.assert_array_equal(decoded(oriented("JPEG", 99), True), decoded(plain))
    damaged = b"Exif\0\0II*\0\xff\xff\xff\xff"
    segment = struct.pack(">BBH", 255, 0xE1, len(damaged) + 2) + damaged
    np.testing.assert_array_equal(decoded(plain[:2] + segment + plain[2:], True), decoded(plain))


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.999])
@pytest.mark.parametrize("kind", [
    "JPEG", "progressive", "PNG", "WebP", "lossless WebP", "TIFF", "compressed TIFF", "BMP", "PPM",
    "JPEG 2000", "GIF", "AVIF",
])  # fmt: skip
def test_truncated_photos_are_refused(kind: str, share: float) -> None:
    content, _ = KINDS[kind]
    with refuses("truncated", path="a.jpg"):
        decoded(content[: int(len(content) * share)])


@pytest.mark.parametrize("kind", ["JPEG", "progressive"])
def test_a_jpeg_whose_end_was_lost_and_closed_again_is_refused(kind: str) -> None:
    """libjpeg fills what is missing with grey, and says so on stderr only."""
    content, _ = KINDS[kind]
    cut = content[: int(len(content) * 0.8)]
    with refuses("truncated", "JPEG", path="a.jpg"):
        decoded(cut + b"\xff\xd9")
    claims = content.replace(struct.pack(">HH", 48, 64), struct.pack(">HH", 480, 640), 1)
    with refuses("truncated", "JPEG", path="a.jpg"):
        decoded(claims)


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_behind_the_end_are_left_alone(kind: str) -> None:
    content, _ = KINDS[kind]
    np.testing.assert_array_equal(decoded(content + b"a camera's own data"), decoded(content))


@given(
    kind=st.sampled_from(["JPEG", "progressive", "PNG", "animated PNG", "TIFF", "lossless WebP",
                          "GIF", "AVIF", "JPEG 2000", "BMP"]),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=4),
    share=st.floats(0.1, 2),
)
def test_a_damaged_photo_is_decoded_or_refused(
    kind: str, changes: list[tuple[float, int]], share: float
) -> None:
    """It ends neither the process nor in another exception; OpenCV alone aborts on some."""
    content = bytearray(KINDS[kind][0])
    for place, value in changes:
        content[int(place * (len(content) - 1))] = value
    try:
        found = decoded(bytes(content[: int(share * len(content))]), upright=True)
        assert found.ndim == 3 and found.shape[2] == 3 and found.dtype == np.uint8
    except DataError as error:
        assert_refusal(error, path="a.jpg")


def test_a_damaged_chunk_of_a_png_is_found() -> None:
    content = bytearray(KINDS["PNG"][0])
    content[content.index(b"IDAT") + 10] ^= 1
    with refuses("damaged", "PNG", path="a.jpg"):
        decoded(bytes(content))


def _sized(kind: str, side: int) -> bytes:
    """A small file whose header claims `side` x `side` pixels."""
    content = bytearray(encoded(PICTURE, kind))
    if kind == "JPEG":
        at = content.index(b"\xff\xc0") + 5
        content[at : at + 4] = struct.pack(">HH", side, side)
    elif kind == "GIF":
        content[6:10] = struct.pack("<HH", side, side)
    else:
        content[18:26] = struct.pack("<ii", side, side)
    return bytes(content)


@pytest.mark.parametrize(("kind", "side"), [("JPEG", 65500), ("BMP", 60000), ("GIF", 65000),
                                            ("GIF", 12500)])
def test_claims_of_too_many_pixels(kind: str, side: int) -> None:
    for upright in (False, True):
        with refuses("too large", path="a.jpg"):
            decoded(_sized(kind, side), upright)


@pytest.mark.parametrize(
    ("content", "facts"),
    [
        (b"", ["empty"]),
        (b"Dear all,\n", ["neither", "JPEG", "PNG"]),
        (b"%PDF-1.4", ["neither", "JPEG", "PNG"]),
        (bytes(5000), ["neither", "JPEG", "PNG"]),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", ["damaged", "HEIC"]),
        (b"\0\0\0\x18ftypmp42\0\0\0\0isommp42", ["neither", "JPEG", "PNG"]),
        (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf", ["damaged", "AVIF"]),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', ["SVG"]),
        (b'<?xml version="1.0"?><svg/>', ["SVG"]),
        (b"\xff\x0a\xfa\x7f", ["JPEG XL"]),
        (encoded(Image.fromarray(X.astype(np.float32)), "TIFF"), ["TIFF", "floats", "32-bit"]),
        (encoded(Image.fromarray(X.astype(np.int32)), "TIFF"), ["TIFF", "floats", "32-bit"]),
        (b"II*\0" + bytes(100), ["damaged", "TIFF"]),
        (b"BM" + bytes(100), ["damaged", "BMP"]),
    ],
)
def test_other_files_are_refused_in_a_line(content: bytes, facts: list[str]) -> None:
    with refuses(*facts, path="a.jpg"):
        decoded(content)


@pytest.mark.parametrize("name", ["a.heic", "a.tif", "a.png", "a", "a.txt"])
def test_the_name_says_nothing(name: str) -> None:
    content, loss = KINDS["JPEG"]
    assert apart(decoding.decode(content, Path(name), upright=True), RGB) <= loss


def test_wording() -> None:
    with pytest.raises(DataError) as caught:
        decoded(b"<svg/>")
    assert str(caught.value) == ("a.jpg: not an image that can be decoded: SVG is not supported; "
                                 "convert it to JPEG or PNG first")


def _fifo(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("make", "facts"),
    [
        (Path.mkdir, ["read", "directory"]),
        (_fifo, ["a file", "a pipe"]),
        (lambda path: path.symlink_to("nowhere.jpg"), ["read", "No such file"]),
        (lambda path: path.symlink_to(path.name), ["read", "symbolic links"]),
    ],
)
def test_what_is_no_file(
    tmp_path: Path, make: Callable[[Path], object], facts: list[str]
) -> None:
    make(tmp_path / "a.jpg")
    with refuses(*facts, path=tmp_path / "a.jpg"):
        read_photo(tmp_path / "a.jpg")


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(KINDS["JPEG"][0])
    path.chmod(0)
    user = os.geteuid()
    if user == 0:  # who may read everything
        os.seteuid(65534)
    try:
        with refuses("read", "Permission denied", path=path):
            read_photo(path)
    finally:
        os.seteuid(user)


def test_the_libraries_say_nothing(tmp_path: Path) -> None:
    """libjpeg, libpng and OpenCV write to the process' stderr."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[36:40] = b"XXXX"
    jpeg, png = KINDS["JPEG"][0], KINDS["PNG"][0]
    broken = bytearray(jpeg)
    broken[-200:-190] = bytes(10)
    contents = {
        "broken.jpg": bytes(broken), "closed.jpg": jpeg[:-300] + b"\xff\xd9", "cut.jpg": jpeg[:-9],
        "cut.png": png[:-40], "profile.png": encoded(PICTURE, "PNG", icc_profile=bytes(profile)),
        "cut.tif": KINDS["TIFF"][0][:-999], "cut.bmp": KINDS["BMP"][0][:-999],
        "cut.jp2": KINDS["JPEG 2000"][0][:-99],
        "float.tif": encoded(Image.fromarray(X.astype(np.float32)), "TIFF"),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    code = (
        "import sys\nfrom pathlib import Path\nfrom efld_tf.annotations import images\n"
        "from efld_tf.errors import DataError\n"
        "for name in sys.argv[1:]:\n"
        "    try:\n        print(images.read_photo(Path(name), True).shape)\n"
        "    except DataError as error:\n        print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *contents], cwd=tmp_path, text=True,
                          capture_output=True, check=True)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0] == lines[4] == "(48, 64, 3)" and len(lines) == len(contents)
    assert sum("damaged" in line for line in lines) == 6


def _of_scans(side: int, scans: int) -> bytes:
    """A progressive JPEG of one colour, whose last scan, which adds nothing to it, is repeated."""
    content = encoded(Image.new("RGB", (side, side), (90, 120, 150)), "JPEG", progressive=True)
    last, end = content.rindex(b"\xff\xda"), content.rindex(b"\xff\xd9")
    assert content.count(b"\xff\xda") == 10
    return content[:end] + content[last:end] * (scans - 10) + content[end:]


def test_scans_of_a_jpeg_are_counted() -> None:
    assert image_kinds.jpeg_scans(_of_scans(16, 10)) == (10, 256)
    assert image_kinds.jpeg_scans(_of_scans(16, 2000)) == (2000, 256)
    # A preview in the EXIF, a picture behind the end and bytes after it are none of its scans.
    plain = encoded(PICTURE, "JPEG")
    pixels = PICTURE.width * PICTURE.height
    preview = b"\xff\xe1" + (len(plain) + 2).to_bytes(2, "big") + plain
    assert image_kinds.jpeg_scans(plain[:2] + preview + plain[2:]) == (1, pixels)
    assert image_kinds.jpeg_scans(plain + _of_scans(16, 300)) == (1, pixels)
    # Markers may be filled with FF, and there may be bytes before them.
    last = plain.rindex(b"\xff\xda")
    assert image_kinds.jpeg_scans(plain[:last] + b"x\xff\xff" + plain[last:]) == (1, pixels)
    assert image_kinds.jpeg_scans(plain[:2] + b"\xff\xe0\0\2" * (1 << 17) + plain[2:]) is None


@given(place=st.integers(0, 700), end=st.integers(0, 700), value=st.binary(max_size=3))
def test_scans_of_damaged_jpegs_are_counted(place: int, end: int, value: bytes) -> None:
    content = _of_scans(16, 12)
    scans = image_kinds.jpeg_scans((content[:place] + value + content[place:])[:end + 100])
    assert scans is not None and 0 <= scans[0] <= 14


def test_a_jpeg_of_scans_that_take_minutes_is_refused() -> None:
    assert np.ptp(decoded(_of_scans(16, 100)), axis=(0, 1)).max() == 0
    with refuses("101 scans", path="a.jpg"):
        decoded(_of_scans(16, 101))
    with refuses("2000 scans", path="a.jpg"):
        decoded(_of_scans(64, 2000))
    content = bytearray(_of_scans(16, 20))
    at = content.index(b"\xff\xc2") + 5
    content[at : at + 4] = struct.pack(">HH", 20000, 20000)
    with refuses("20 scans", path="a.jpg"):
        decoded(bytes(content))


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited as on Linux")
@pytest.mark.parametrize("kind", ["AVIF", "JPEG2000", "GIF", "TIFF", "BMP", "JPEG", "PNG", "WEBP"])
def test_a_lack_of_memory_is_no_damage(tmp_path: Path, kind: str) -> None:
    big, small = tmp_path / "big", tmp_path / "small"
    options = {"TIFF": {"compression": "tiff_deflate"}, "AVIF": {"speed": 10}}.get(kind, {})
    for path, side in ((big, 4000), (small, 64)):
        Image.new("RGB", (side, side), (90, 120, 150)).save(path, kind, **options)
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from efld_tf.annotations import decoding\n"
        "from efld_tf.errors import DataError\n"
        "big, small = map(Path, sys.argv[1:])\n"
        "decoding.decode(small.read_bytes(), small, True)\n"
        "content = big.read_bytes()\n"
        "used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (20 << 20),) * 2)\n"
        "try:\n"
        "    decoding.decode(content, big, True)\n"
        "except DataError as error:\n"
        "    print(error)\n"
    )
    told = subprocess.run([sys.executable, "-c", program, big, small], capture_output=True,
                          text=True, check=True).stdout
    assert_told(told, big, "memory", kind)
    assert "damaged" not in told
