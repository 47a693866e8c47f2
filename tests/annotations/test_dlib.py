from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from efld_tf.annotations import dlib, sources
from efld_tf.annotations.record import FaceRecord
from efld_tf.errors import DataError
from tests.annotations.writers import dlib_box, dlib_text, some_points, write_image
from tests.errors import assert_refusal, assert_told, refuses

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


def _sized(width: object, height: object) -> str:
    return _one(dlib_box(POINTS)).replace(
        "trainset/1.jpg'", f"trainset/1.jpg' width='{width}' height='{height}'")


def test_the_stated_size(tmp_path: Path) -> None:
    """dlib writes the image's width and height; photos that were resized since are told."""
    (record,) = dlib.read(_write(tmp_path, _sized(408, 408)))
    assert record.image_size == (408, 408) and record.attributes == {}
    path = _write(tmp_path, _sized(816, 816))
    with refuses("816 x 816", "408 x 408", "sizes=scale",
                 path=tmp_path / "helen/trainset/1.jpg"):
        sources.read(f"dlib:{path}")
    (record,) = sources.read(f"dlib:{path}?sizes=scale").records
    np.testing.assert_allclose(record.points, (POINTS + 0.5) / 2 - 0.5, atol=1e-3)
    path = _write(tmp_path, _sized(816, ""))
    (error,) = dlib.read(path)
    assert_refusal(error, "width", "height", "'816'", path=path, line=5)


def test_parts_go_by_their_names(tmp_path: Path) -> None:
    """`imglab` sorts parts by name, and leaves out those that were not clicked."""
    lines = dlib_box(POINTS).splitlines()
    parts = [line for line in lines if "<part" in line]
    shuffled = [lines[0], *parts[:1:-1], *lines[-1:]]  # without the points 0 and 1
    path = _write(tmp_path, _one("\n".join(shuffled)))
    with refuses("2 to 67", "first=0", "first=1", path=path, line=5):
        raise next(iter(dlib.read(path, schema="ibug68")))
    (record,) = dlib.read(path, schema="ibug68", first="0")
    np.testing.assert_array_equal(record.points[2:], POINTS[2:])
    assert np.isnan(record.points[:2]).all()


def test_schemas_by_count_and_by_name(tmp_path: Path) -> None:
    (record,) = dlib.read(_write(tmp_path, _one(dlib_box(some_points(194).round()))))
    assert record.schema == "helen194"
    path = _write(tmp_path, _one(dlib_box(some_points(51).round())))
    (record,) = dlib.read(path, schema="ibug51")
    assert record.schema == "ibug51"
    (error,) = dlib.read(path)
    assert_refusal(error, 68, 194, 51, "schema=", path=path, line=5)


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
    with refuses("images", tmp_path / "nowhere", "folder"):
        list(dlib.read(path, images=str(tmp_path / "nowhere")))


BOX = dlib_box(POINTS)


@pytest.mark.parametrize(
    ("box", "line", "facts"),
    [
        (BOX.replace("name='03'", "name='68'"), 9, ["ibug68", "0 to 67", 68]),
        (BOX.replace("name='03'", "name='-3'"), 9, ["ibug68", "jaw_3", "'-3'"]),
        (BOX.replace("name='03'", "name='04'"), 10, ["part", "04", "twice"]),
        (re.sub("name='03' x='[0-9.]+'", "name='03' x='z'", BOX), 9, ["number", "z"]),
        (BOX.replace(" top='", " up='"), 5, ["box", "top"]),
        (re.sub("width='[0-9]+'", "width='0'", BOX), 5, ["face box", "1 to 0"]),
    ],
)
def test_a_bad_box_is_one_error(tmp_path: Path, box: str, line: int, facts: list[str]) -> None:
    assert box != BOX
    path = _write(tmp_path, dlib_text([("helen/trainset/1.jpg", [box, BOX])]))
    error, record = dlib.read(path, schema="ibug68")
    assert isinstance(record, FaceRecord)
    assert_refusal(error, *facts, path=path, line=line)


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("../1.jpg", ["inside", "'../1.jpg'"]),
        ("/1.jpg", ["inside", "'/1.jpg'"]),
        ("", ["inside", "''"]),
        ("none.jpg", ["none.jpg", "exist"]),
    ],
)
def test_images_lie_inside_the_folder(tmp_path: Path, name: str, facts: list[str]) -> None:
    write_image(tmp_path / "1.jpg")
    path = _write(tmp_path / "data", dlib_text([(name, [BOX])]))
    (error,) = dlib.read(path)
    assert_refusal(error, *facts, path=path, line=5)


LAUGHS = "".join(
    f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">\n' if n else '<!ENTITY l0 "ha">\n' for n in range(10)
)


@pytest.mark.parametrize(
    ("text", "line", "facts"),
    [
        ("<annotation><box/></annotation>", 1, ["dataset", "annotation"]),
        (HEAD + "<image file='a'></dataset>", 4, ["XML", "tag"]),
        ("1 2 3", 1, ["XML"]),
        ("", 1, ["XML", "no element"]),
        ("<?xml version='1.0' encoding='klingon'?><dataset/>", 1, ["XML", "encoding"]),
        # Entities that grow to gigabytes, and ones that name files of this machine.
        (f"<!DOCTYPE lolz [\n{LAUGHS}]>\n<dataset>&l9;</dataset>", 1, ["document type"]),
        ("<!DOCTYPE d [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><dataset>&e;</dataset>", 1,
         ["document type"]),
        (HEAD + "<image file='" + "a" * (3 << 20), 4, ["tags", 1048576]),
        (HEAD + "<image file='a'><box>" + "<part/>" * 5000, 4, ["parts", 4096]),
    ],
)
def test_a_bad_file_ends_in_one_error(
    tmp_path: Path, text: str, line: int, facts: list[object]
) -> None:
    path = _write(tmp_path, text)
    (error,) = dlib.read(path)
    assert_refusal(error, *facts, path=path, line=line)
    assert len(str(error)) < 300 + len(str(tmp_path))


def test_what_stands_before_the_damage_is_read(tmp_path: Path) -> None:
    text = _one(BOX)
    record, error = dlib.read(_write(tmp_path, text[: text.index("</image>")] + "</box>"))
    assert isinstance(record, FaceRecord) and isinstance(error, DataError)


def test_boxes_without_parts_are_left_out_and_counted(tmp_path: Path) -> None:
    """`imglab`'s boxes of a detector's training."""
    empty = "<box top='1' left='2' width='30' height='40'/>"
    path = _write(tmp_path, dlib_text([("helen/trainset/1.jpg", [empty, BOX, empty])]))
    record, note = dlib.read(path)
    assert isinstance(record, FaceRecord)
    assert_told(note.text, "2 boxes", "without parts")


def test_parts_counted_from_1(tmp_path: Path) -> None:
    def renamed(points: list[int]) -> str:
        parts = "".join(f"<part name='{i + 1}' x='{POINTS[i, 0]:.0f}' y='{POINTS[i, 1]:.0f}'/>"
                        for i in points)
        return f"<box top='1' left='2' width='30' height='40'>{parts}</box>"

    boxes = [renamed([5, 4, 3]), renamed([*range(68)])]
    path = _write(tmp_path, dlib_text([("helen/trainset/1.jpg", boxes)]))
    some, every = dlib.read(path, schema="ibug68")
    np.testing.assert_array_equal(every.points, POINTS)
    np.testing.assert_array_equal(some.points[3:6], POINTS[3:6])
    assert np.isnan(some.points).any(axis=1).sum() == 65


def test_names_of_utf_8_under_a_header_of_latin_1(tmp_path: Path) -> None:
    """`imglab` writes the bytes of names as they are."""
    for name in ("Zoë/Müller.jpg", "日本.jpg"):
        image = write_image(tmp_path / name)
        path = _write(tmp_path, "")
        path.write_bytes(dlib_text([(name, [BOX])]).encode("utf-8"))
        assert b"ISO-8859-1" in path.read_bytes()
        (record,) = dlib.read(path)
        assert record.image == image
    image = write_image(tmp_path / "Grün.jpg")
    path.write_bytes(dlib_text([("Grün.jpg", [BOX])]).encode("latin-1"))
    (record,) = dlib.read(path)
    assert record.image == image


def test_a_file_in_a_folder_beside_that_of_the_images(tmp_path: Path) -> None:
    image = write_image(tmp_path / "images" / "1.jpg")
    for name in ("../images/1.jpg", str(image)):
        folder = tmp_path / "xml" if name.startswith("..") else tmp_path
        folder.mkdir(exist_ok=True)
        path = folder / "faces.xml"
        path.write_text(dlib_text([(name, [BOX])]))
        (record,) = dlib.read(path)
        assert record.image.resolve() == image
    found = sources.read(f"dlib:{tmp_path}/xml/faces.xml")
    assert found.records[0].key == "../images/1.jpg"


def _labelled(label: str, points: np.ndarray = POINTS) -> str:
    head, *parts = dlib_box(points).split("\n")
    return "\n".join([head, f"<label>{label}</label>", *parts])


def test_labels(tmp_path: Path) -> None:
    boxes = [_labelled("face"), _labelled("statue", POINTS + 5), "<box><label>tie</label></box>"]
    path = _write(tmp_path, dlib_text([("helen/trainset/1.jpg", boxes)]))
    with refuses("'face'", "'statue'", "category=NAME", path=path):
        list(dlib.read(path))
    record, *notes = dlib.read(path, category="face")
    assert isinstance(record, FaceRecord)
    np.testing.assert_array_equal(record.points, POINTS)
    assert_told(notes[0].text, "1 box", "'statue'")
    assert_told(notes[1].text, "1 box", "without parts")
    assert len(list(dlib.read(path, category="face,statue"))) == 3
    with refuses("category", "'face'", "'statue'", path=path):
        list(dlib.read(path, category="person"))


def test_boxes_with_and_without_a_label(tmp_path: Path) -> None:
    boxes = [_labelled("statue"), dlib_box(POINTS + 5)]
    path = _write(tmp_path, dlib_text([("helen/trainset/1.jpg", boxes)]))
    with refuses("'statue'", "category=NAME", path=path):
        list(dlib.read(path))
    record, note = dlib.read(path, category=",")
    np.testing.assert_array_equal(record.points, POINTS + 5)
    assert_told(note.text, "1 box", "'statue'")
    path = _write(tmp_path, dlib_text([("helen/trainset/1.jpg", [_labelled("face")] * 2)]))
    assert len(list(dlib.read(path))) == 2


@pytest.mark.parametrize("order", [(60, 68), (68, 60)])
def test_all_boxes_tell_the_schema(tmp_path: Path, order: tuple[int, int]) -> None:
    boxes = [dlib_box(POINTS[:count]) for count in order]
    path = _write(tmp_path, dlib_text([("helen/trainset/1.jpg", boxes)]))
    records = list(dlib.read(path))
    assert [record.schema for record in records] == ["ibug68"] * 2
    assert sorted(np.isfinite(record.points[:, 0]).sum() for record in records) == [60, 68]
    boxes.append(dlib_box(some_points(194).round()))
    path = _write(tmp_path, dlib_text([("helen/trainset/1.jpg", boxes)]))
    with refuses("ibug68", "helen194", "schema=", path=path):
        list(dlib.read(path))


def _named(names: str, points: np.ndarray) -> str:
    parts = [f"<part name='{name}' x='{x:.0f}' y='{y:.0f}'/>"
             for name, (x, y) in zip(names, points, strict=True)]
    return "\n".join(["<box top='1' left='2' width='30' height='40'>", *parts, "</box>"])


def test_names_may_be_ignored(tmp_path: Path) -> None:
    five = POINTS[:5]
    boxes = [_named("edcba", five), _named("edcba", five + 1), _named("abcde", five),
             _named("edcb", five[:4])]
    path = _write(tmp_path, dlib_text([("helen/trainset/1.jpg", boxes)]))
    errors = list(dlib.read(path, schema="mtfl5"))
    assert_refusal(errors[0], "'e'", "mtfl5", "names=ignore", path=path, line=6)
    assert [error.line for error in errors if isinstance(error, DataError)] == [6, 13, 20, 27]
    first, second, order, count = dlib.read(path, schema="mtfl5", names="ignore")
    np.testing.assert_array_equal(first.points, five)
    np.testing.assert_array_equal(second.points, five + 1)
    assert_refusal(order, "order", "names=ignore", path=path, line=19)
    assert_refusal(count, 5, 4, "mtfl5", path=path, line=26)
    with refuses("names", "match", "ignore", "first"):
        list(dlib.read(path, schema="mtfl5", names="first"))


def test_one_more_part(tmp_path: Path) -> None:
    more = BOX.replace("</box>", "<part name='mole' x='5' y='6'/>\n</box>")
    path = _write(tmp_path, dlib_text([("helen/trainset/1.jpg", [more, BOX])]))
    record, other, note = dlib.read(path, schema="ibug68")
    for face in (record, other):
        np.testing.assert_array_equal(face.points, POINTS)
    assert_told(note.text, "1 part", "'mole'")
    # It may be meant for the one that is not there.
    some = more.replace("name='03'", "name='nose'")
    error, _ = dlib.read(_write(tmp_path, dlib_text([("helen/trainset/1.jpg", [some, BOX])])),
                         schema="ibug68")
    assert_refusal(error, "ibug68", "'nose'", "'mole'", "names=ignore", path=path, line=9)
