from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from efld_tf.annotations import mtfl, retinaface, sources
from efld_tf.annotations.format import Note
from efld_tf.annotations.record import FaceRecord
from tests.annotations.real import assert_upright
from tests.annotations.writers import retinaface_line, write_image
from tests.errors import assert_refusal, assert_told, refuses

# Of the training list of version 1.1, as published (its second photo is called otherwise there).
TEXT = """\
# 1--Handshaking/1_Handshaking_Handshaking_1_292.jpg
12 111 96 125 35.929 163.571 1.0 86.214 158.857 1.0 63.429 189.5 0.0 46.929 203.643 0.0 81.5 \
199.714 0.0 0.77
313 193 71 89 353.062 211.125 0.0 376.688 207.75 0.0 379.5 234.188 0.0 354.75 255.562 0.0 \
375.562 252.188 0.0 0.66
177 218 64 109 -1.0 -1.0 -1.0 -1.0 -1.0 -1.0 -1.0 -1.0 -1.0 -1.0 -1.0 -1.0 -1.0 -1.0 -1.0 0.68
# 0--Parade/a b.jpg
361 98 63 39 364.143 101.656 0.0 397.134 102.571 0.0 384.121 115.875 0.0 -1.0 -1.0 -1.0 391.978 \
132.839 0.0 0.89
"""
PHOTOS = ("1--Handshaking/1_Handshaking_Handshaking_1_292.jpg", "0--Parade/a b.jpg")


def _write(folder: Path, text: str = TEXT, images: str = "images") -> Path:
    for photo in PHOTOS:
        write_image(folder / images / photo)
    path = folder / "label.txt"
    path.write_text(text)
    return path


def test_the_published_layout(tmp_path: Path) -> None:
    first, second, third, note = retinaface.read(_write(tmp_path))
    assert first.image == tmp_path / "images" / PHOTOS[0] == second.image
    np.testing.assert_allclose(
        first.points, [[35.929, 163.571], [86.214, 158.857], [63.429, 189.5], [46.929, 203.643],
                       [81.5, 199.714]], atol=1e-3)
    np.testing.assert_array_equal(first.box, [12, 111, 108, 236])
    np.testing.assert_array_equal(first.visible, [False, False, True, True, True])
    assert (first.schema, first.identity, first.attributes) == ("mtfl5", PHOTOS[0],
                                                                {"score": "0.77"})
    assert_upright(first)
    assert_upright(second)
    assert second.visible.all()
    assert third.image.name == "a b.jpg" and third.identity == PHOTOS[1]
    np.testing.assert_array_equal(np.isnan(third.points).all(axis=1), [0, 0, 0, 1, 0])
    np.testing.assert_array_equal(third.visible, [1, 1, 1, 0, 1])
    assert_told(note.text, "1 face", "without points")


def test_lists_without_points(tmp_path: Path) -> None:
    """The validation list has boxes alone, the test list names alone."""
    note, = retinaface.read(_write(tmp_path, f"# {PHOTOS[0]}\n1 2 30 40\n5 6 70 80\n"))
    assert_told(note.text, "2 faces", "without points")
    assert list(retinaface.read(_write(tmp_path, f"# {PHOTOS[0]}\n# {PHOTOS[1]}\n"))) == []
    source = f"retinaface:{_write(tmp_path, f'# {PHOTOS[0]}')}"
    with refuses("no annotated face", "label.txt"):
        sources.read(source)
    _write(tmp_path, f"# {PHOTOS[0]}\n1 2 30 40\n")
    with refuses("no annotated face", "1 face without points"):
        sources.read(source)


def test_real_faces(shared_data: Path, tmp_path: Path) -> None:
    """Faces of CUHK's lists, whose order is the same, written as RetinaFace's and read again."""
    truths = list(mtfl.read(shared_data / "net7876" / "testImageList.txt"))[:20]
    lines = []
    for truth in truths:
        x0, y0, x1, y1 = np.round(truth.box).astype(int).tolist()
        lines.append(f"# {truth.image.relative_to(shared_data / 'net7876').as_posix()}\n"
                     + retinaface_line((x0, y0, x1 - x0, y1 - y0), truth.points))
    (tmp_path / "label.txt").write_text("".join(lines))
    found = sources.read(f"retinaface:{tmp_path}/label.txt?images={shared_data / 'net7876'}")
    assert len(found.records) == 20 and found.schema == "mtfl5"
    for record, truth in zip(found.records, truths, strict=True):
        np.testing.assert_allclose(record.points, truth.points, atol=1e-3)
        np.testing.assert_allclose(record.box, truth.box, atol=0.5)
        assert record.image == truth.image and record.visible.all()


@pytest.mark.parametrize(("min_face", "read"), [("0", 3), ("15", 3), ("16", 2), ("16.5", 1)])
def test_small_faces_are_left_out_and_counted(tmp_path: Path, min_face: str, read: int) -> None:
    """By the longer side of the box: 15, 16 and 40 pixels."""
    points = np.array([[2, 2], [10, 2], [6, 6], [3, 11], [9, 11]])
    text = f"# {PHOTOS[0]}\n" + "".join(
        retinaface_line((0, 0, width, height), points + 12 * i)
        for i, (width, height) in enumerate([(15, 8), (7, 16), (40, 5)]))
    found = sources.read(f"retinaface:{_write(tmp_path, text)}?min_face={min_face}")
    assert len(found.records) == read
    assert len(found.notes) == (read < 3)
    if found.notes:
        assert_told(found.notes[0], "1 face" if read == 2 else "2 faces", "min_face")
    by_default = sources.read(f"retinaface:{tmp_path}/label.txt")
    assert len(by_default.records) == 2


def test_where_photos_lie(tmp_path: Path) -> None:
    beside = _write(tmp_path / "a", images="")
    assert next(retinaface.read(beside)).image == tmp_path / "a" / PHOTOS[0]
    elsewhere = _write(tmp_path / "b", images="WIDER_train/images")
    (tmp_path / "b" / "images").mkdir()
    option = str(tmp_path / "b" / "WIDER_train" / "images")
    assert next(retinaface.read(elsewhere, images=option)).image.is_file()
    error = next(retinaface.read(elsewhere))
    assert_refusal(error, "exist", path=elsewhere, line=2)


FACE = retinaface_line((1, 2, 30, 40), np.arange(10).reshape(5, 2) + 9.0).strip()


@pytest.mark.parametrize(
    ("line", "facts"),
    [
        ("1 2 3", ["4 or 20 numbers", 3]),
        (FACE + " 1", ["4 or 20 numbers", 21]),
        (FACE.replace("9.000", "x"), ["number", "x"]),
        (FACE.replace("9.000", "nan"), ["nan"]),
        (FACE.replace(" 0.0 ", " 2.0 ", 1), ["0, 1 or -1"]),
        (FACE.replace(" 0.0 ", " -1.0 ", 1), ["-1", "three times"]),
        (FACE.replace("9.000 10.000", "-1.0 -1.0"), ["-1", "three times"]),
        (FACE.replace("1 2 30 40", "1 2 30 0"), ["empty", "2 to 2"]),
        (FACE.replace("1 2 30 40", "9e5 2 9e5 40"), ["too large", "1.8e+06"]),
    ],
)
def test_a_bad_line_is_one_error(tmp_path: Path, line: str, facts: list[object]) -> None:
    path = _write(tmp_path, f"# {PHOTOS[0]}\n{FACE}\n{line}\n{FACE}\n")
    first, error, last = retinaface.read(path)
    assert isinstance(first, FaceRecord) and isinstance(last, FaceRecord)
    assert_refusal(error, *facts, path=path, line=3)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "C:\\a.jpg", "", "a/.."])
def test_unsafe_names_are_told_once(tmp_path: Path, name: str) -> None:
    path = _write(tmp_path, f"# {name}\n{FACE}\n# {PHOTOS[0]}\n{FACE}\n")
    error, face = retinaface.read(path)
    assert isinstance(face, FaceRecord)
    assert_refusal(error, "inside", path=path, line=1)


def test_the_list_begins_with_a_photo(tmp_path: Path) -> None:
    path = _write(tmp_path, f"{FACE}\n# {PHOTOS[0]}\n{FACE}\n")
    error, face = retinaface.read(path)
    assert isinstance(face, FaceRecord)
    assert_refusal(error, "# IMAGE", path=path, line=1)


def test_wrong_use(tmp_path: Path) -> None:
    path = _write(tmp_path)
    for value in ("x", "-1", "nan", "1e9"):
        with refuses("min_face", "pixels", repr(value)):
            list(retinaface.read(path, min_face=value))
    with refuses("images", "nowhere"):
        list(retinaface.read(path, images="nowhere"))
    assert isinstance([*retinaface.read(path)][-1], Note)
