from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from efld_tf.annotations import dlib
from efld_tf.annotations.record import FaceRecord
from efld_tf.errors import DataError, EfldError
from tests.annotations.writers import dlib_box, dlib_text, some_points, write_image

POINTS = some_points(68).round()
HEAD = "<?xml version='1.0' encoding='ISO-8859-1'?>\n<dataset>\n<images>\n"


def _write(folder: Path, text: str) -> Path:
    write_image(folder / "helen" / "trainset" / "1.jpg")
    path = folder / "labels_ibug_300W_train.xml"
    path.write_bytes(text.encode("latin-1"))
    return path


def _one(box: str) -> str:
    return dlib_text([("helen/trainset/1.jpg", [box])])


def test_round_trip(tmp_path: Path) -> None:
    second = dlib_box(POINTS + 5, left=3, top=4, width=20, height=10, gender="female")
    path = _write(tmp_path, dlib_text([("helen/trainset/1.jpg", [dlib_box(POINTS), second])]))
    first, other = dlib.read(path)
    assert (first.schema, first.identity) == ("ibug68", "helen/trainset/1.jpg")
    assert first.image == tmp_path / "helen" / "trainset" / "1.jpg"
    np.testing.assert_array_equal(first.points, POINTS)
    np.testing.assert_array_equal(other.points, POINTS + 5)
    # dlib's rectangle includes its last pixel.
    np.testing.assert_array_equal(other.box, [3, 4, 22, 13])
    assert (first.attributes, other.attributes) == ({}, {"gender": "female"})


def test_parts_go_by_their_names(tmp_path: Path) -> None:
    """`imglab` sorts parts by name, and leaves out those that were not clicked."""
    lines = dlib_box(POINTS).splitlines()
    parts = [line for line in lines if "<part" in line]
    shuffled = [lines[0], *parts[:1:-1], *lines[-1:]]  # without the points 0 and 1
    (record,) = dlib.read(_write(tmp_path, _one("\n".join(shuffled))), schema="ibug68")
    np.testing.assert_array_equal(record.points[2:], POINTS[2:])
    assert np.isnan(record.points[:2]).all()


def test_schemas_by_count_and_by_name(tmp_path: Path) -> None:
    (record,) = dlib.read(_write(tmp_path, _one(dlib_box(some_points(194).round()))))
    assert record.schema == "helen194"
    path = _write(tmp_path, _one(dlib_box(some_points(51).round())))
    (record,) = dlib.read(path, schema="ibug51")
    assert record.schema == "ibug51"
    (error,) = dlib.read(path)
    assert "xml:5: expected 68 or 194 parts, got 51; name the points with schema=" in str(error)


def test_ignored_boxes_are_passed_over(tmp_path: Path) -> None:
    boxes = [dlib_box(POINTS, ignore=flag) for flag in ("1", "0")]
    path = _write(tmp_path, dlib_text([("helen/trainset/1.jpg", boxes)]))
    (record,) = dlib.read(path)
    assert record.attributes == {}


def test_images_option(tmp_path: Path) -> None:
    path = _write(tmp_path / "here", _one(dlib_box(POINTS)))
    image = write_image(tmp_path / "there" / "helen" / "trainset" / "1.jpg")
    (record,) = dlib.read(path, images=str(tmp_path / "there"))
    assert record.image == image
    with pytest.raises(EfldError, match="nowhere is not a folder"):
        list(dlib.read(path, images=str(tmp_path / "nowhere")))


BOX = dlib_box(POINTS)


@pytest.mark.parametrize(
    ("box", "message"),
    [
        (BOX.replace("name='03'", "name='68'"), "xml:9: expected a part of ibug68: 0 to 67 or one "
         "of its names, got '68'"),
        (BOX.replace("name='03'", "name='-3'"), "xml:9: expected a part of ibug68"),
        (BOX.replace("name='03'", "name='04'"), "xml:10: the part '04' stands twice"),
        (BOX.replace("name='03' x='", "name='03' x='z"), "xml:9: expected a number, got 'z"),
        (BOX.replace(" top='", " up='"), "xml:5: the box has no top"),
        (re.sub("width='[0-9]+'", "width='0'", BOX), "xml:5: an empty face box"),
    ],
)  # fmt: skip
def test_a_bad_box_is_one_error(tmp_path: Path, box: str, message: str) -> None:
    assert box != BOX
    path = _write(tmp_path, dlib_text([("helen/trainset/1.jpg", [box, BOX])]))
    error, record = dlib.read(path, schema="ibug68")
    assert isinstance(error, DataError) and isinstance(record, FaceRecord)
    assert message in str(error)


@pytest.mark.parametrize("name", ["../1.jpg", "/1.jpg", "none.jpg", ""])
def test_images_lie_inside_the_folder(tmp_path: Path, name: str) -> None:
    write_image(tmp_path / "1.jpg")
    (error,) = dlib.read(_write(tmp_path / "data", dlib_text([(name, [BOX])])))
    assert isinstance(error, DataError)
    assert "inside the data set's folder" in str(error) or "does not exist" in str(error)


LAUGHS = "".join(
    f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">\n' if n else '<!ENTITY l0 "ha">\n' for n in range(10)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotation><box/></annotation>", "expected dlib's <dataset>, got <'annotation'>"),
        (HEAD + "<image file='a'></dataset>", "xml:4: not XML that can be read: mismatched tag"),
        ("1 2 3", "not XML that can be read"),
        ("", "not XML that can be read: no element found"),
        ("<?xml version='1.0' encoding='klingon'?><dataset/>", "not XML that can be read"),
        # Entities that grow to gigabytes, and ones that name files of this machine.
        (f"<!DOCTYPE lolz [\n{LAUGHS}]>\n<dataset>&l9;</dataset>", "a document type is not"),
        ("<!DOCTYPE d [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><dataset>&e;</dataset>",
         "a document type is not accepted"),
        (HEAD + "<image file='" + "a" * (3 << 20), "more than 1048576 bytes without one"),
        (HEAD + "<image file='a'><box>" + "<part/>" * 5000, "at most 4096 parts in a box"),
    ],
)  # fmt: skip
def test_a_bad_file_ends_in_one_error(tmp_path: Path, text: str, message: str) -> None:
    (error,) = dlib.read(_write(tmp_path, text))
    assert isinstance(error, DataError) and message in str(error)
    assert len(str(error)) < 300 + len(str(tmp_path))


def test_what_stands_before_the_damage_is_read(tmp_path: Path) -> None:
    text = _one(BOX)
    record, error = dlib.read(_write(tmp_path, text[: text.index("</image>")] + "</box>"))
    assert isinstance(record, FaceRecord) and isinstance(error, DataError)
