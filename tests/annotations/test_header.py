"""Headers say what decoding does with a photo, and take no time on files made to be slow."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from efld_tf.annotations.decoding import orientation
from efld_tf.annotations.header import Header, read_header
from efld_tf.annotations.images import read_photo

WIDTH, HEIGHT = 40, 30
XMP = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="%d"/></x:xmpmeta>'


def _exif(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def _encoded(kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (WIDTH, HEIGHT), (9, 99, 200)).save(buffer, kind, **options)
    return buffer.getvalue()


def _chunk(name: bytes, data: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(name + data))
    return struct.pack(">I", len(data)) + name + data + check


def _png(before: bytes = b"", behind: bytes = b"", **options) -> bytes:
    """A PNG file with chunks before and behind its picture."""
    content = _encoded("PNG", **options)
    first, last = content.index(b"IDAT") - 4, content.rindex(b"IEND") - 4
    return content[:first] + before + content[first:last] + behind + content[last:]


def _text(text: str, key: str = "XML:com.adobe.xmp") -> bytes:
    return _chunk(b"iTXt", key.encode() + b"\0\0\0\0\0" + text.encode())


EXIF = _exif(6).tobytes().removeprefix(b"Exif\0\0")
RAW_PROFILE = f"\nexif\n{len(EXIF) + 6}\n{(b'Exif' + bytes(2) + EXIF).hex()}\n"
LONG_TEXT = _chunk(b"zTXt", b"history\0\0" + zlib.compress(bytes(2_000_000)))
FRAMES = _chunk(b"acTL", struct.pack(">II", 2, 0))
FRAME = _chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, WIDTH, HEIGHT, 0, 0, 1, 10, 0, 0))

PNGS = {
    "plain": (_png(), 1),
    "exif": (_png(_chunk(b"eXIf", EXIF)), 6),
    "exif behind the picture": (_png(behind=_chunk(b"eXIf", EXIF)), 6),
    "xmp": (_png(_text(XMP % 6)), 6),
    "xmp behind the picture": (_png(behind=_text(XMP % 8)), 8),
    "exif before xmp": (_png(_text(XMP % 8) + _chunk(b"eXIf", EXIF)), 6),
    "raw profile": (_png(_chunk(b"tEXt", b"Raw profile type exif\0" + RAW_PROFILE.encode())), 6),
    "damaged exif": (_png(_chunk(b"eXIf", b"MM\0*\0\0\0\x08\0\x05")), 1),
    "no orientation": (_png(_text(XMP % 9)), 1),
    "long text": (_png(LONG_TEXT), 1),
    "long text behind the picture": (_png(behind=LONG_TEXT), 1),
    "exif and long text behind": (_png(_chunk(b"eXIf", EXIF), LONG_TEXT), 6),
    "animation": (_png(FRAMES, FRAME + _chunk(b"eXIf", EXIF)), 1),
    "palette": (_png(_chunk(b"PLTE", bytes(range(9))), _chunk(b"eXIf", EXIF)), 6),
}


@pytest.mark.parametrize("name", PNGS)
def test_png_is_turned_as_it_is_decoded(tmp_path: Path, name: str) -> None:
    content, expected = PNGS[name]
    path = tmp_path / "a.png"
    path.write_bytes(content)
    assert orientation(content, path) == expected
    assert read_header(path) == Header(WIDTH, HEIGHT, expected)
    shown = (WIDTH, HEIGHT) if expected in (5, 6, 7, 8) else (HEIGHT, WIDTH)
    assert read_photo(path, upright=True).shape[:2] == shown


@pytest.mark.parametrize("kind", ["JPEG", "MPO", "WEBP", "AVIF", "TIFF", "GIF", "JPEG2000", "BMP",
                                  "PPM"])
def test_headers_agree_with_decoding(tmp_path: Path, kind: str) -> None:
    """Though the file is named as another kind."""
    path = tmp_path / "a.jpg"
    for options in ({"exif": _exif(6)}, {"xmp": (XMP % 6).encode()}, {},
                    {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\x05"}, {"exif": b"Exif\0\0MM"}):
        if kind in ("TIFF", "AVIF") and isinstance(options.get("exif"), bytes):
            continue  # Pillow writes no damaged one
        path.write_bytes(_encoded(kind, **options))
        header = read_header(path)
        assert header is not None and header.orientation == orientation(path.read_bytes(), path)
        for upright in (False, True):
            assert header.size(upright) == read_photo(path, upright).shape[1::-1]


def test_depth_maps_before_the_picture(tmp_path: Path) -> None:
    """Cameras put them into as many segments as they need."""
    content = _encoded("JPEG", exif=_exif(6))
    segment = b"\xff\xe1\xff\xff" + bytes(65533)
    path = tmp_path / "a.jpg"
    path.write_bytes(content[:2] + segment * 150 + content[2:])
    assert read_header(path) == Header(WIDTH, HEIGHT, 6)


SLOW = {
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 30\n" + b"%%X: y\n" * 9_000_000,
    "PGM": b"P5\n#" + b"x" * 60_000_000 + b"\n40 30\n255\n" + bytes(WIDTH * HEIGHT),
    "XPM": b"/* XPM */\n" + b"\n" * 60_000_000,
    "JPEG": b"\xff\xd8" + b"\xff" * 60_000_000,
    "PNG": b"\x89PNG\r\n\x1a\n" + _chunk(b"tEXt", b"") * 5_000_000,
    "JPEG 2000": b"\xff\x4f\xff\x51\0\x2f" + bytes(47) + b"\xff\x5c\0\x02" * 15_000_000,
}


@pytest.mark.parametrize("name", SLOW)
def test_only_so_much_is_read(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each took many seconds, for Pillow asks every format that it knows, or reads by bytes."""
    path = tmp_path / "a.jpg"
    path.write_bytes(SLOW[name])
    opened = Image.open
    given: list[int] = []

    def measured(file, **options):
        given.append(file.seek(0, 2))
        file.seek(0)
        assert len(options["formats"]) == 1
        return opened(file, **options)

    monkeypatch.setattr(Image, "open", measured)
    assert read_header(path) is None
    assert all(size <= 1 << 24 for size in given)


def test_large_pictures_are_not_decoded(tmp_path: Path) -> None:
    """The size of one that no memory holds, and metadata behind it."""
    header = struct.pack(">IIBBBBB", 1 << 20, 1 << 20, 8, 0, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", bytes(99)) * 3
    path = tmp_path / "a.png"
    path.write_bytes(content + _chunk(b"eXIf", EXIF) + _chunk(b"IEND", b""))
    assert read_header(path) == Header(1 << 20, 1 << 20, 6)


@pytest.mark.parametrize("content", [
    b"", b"\x89PNG\r\n\x1a\n", b"\x89PNG\r\n\x1a\n" + b"\xff" * 40, b"<svg", b"\xff\x0a", b"GIF89a",
    b"\x89PNG\r\n\x1a\n\0\0\0\x04IHDR" + bytes(8)])
def test_no_header(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    for name in ("a.png", "none.png", "."):
        assert read_header(tmp_path / name) is None


def test_cut_off_png(tmp_path: Path) -> None:
    """Wherever it is cut off; a header is as of the whole file, or there is none."""
    content = _png(_text(XMP % 6), _chunk(b"tEXt", b"a\0b"))
    for length in range(0, len(content), 7):
        (tmp_path / "a.png").write_bytes(content[:length])
        found = read_header(tmp_path / "a.png")
        assert found in (None, Header(WIDTH, HEIGHT, 1), Header(WIDTH, HEIGHT, 6))
    assert found == Header(WIDTH, HEIGHT, 6)  # only its end is missing


def test_text_of_pillow_itself(tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", XMP % 3, zip=True)
    (tmp_path / "a.png").write_bytes(_encoded("PNG", pnginfo=info))
    assert read_header(tmp_path / "a.png") == Header(WIDTH, HEIGHT, 3)
