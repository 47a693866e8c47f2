from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from efld_tf.annotations import images, sources
from efld_tf.annotations.format import Note
from efld_tf.annotations.record import FaceRecord
from efld_tf.annotations.tools import cvat
from efld_tf.errors import DataError
from efld_tf.landmarks import schemas
from tests.annotations.layouts_browser import LAYOUTS
from tests.annotations.test_fuzz import check
from tests.annotations.writers import some_points, write_image
from tests.errors import assert_refusal, assert_told, refuses

FIVE = schemas.get("mtfl5").names
POINTS = np.array([[120.5, 100.25], [180, 101], [150.75, 140], [130, 170], [170, 172.5]])

# What CVAT 2 writes of a label of a skeleton, and of one of its points.
LABELS = """<labels>
        <label>
          <name>face</name>
          <color>#fa3253</color>
          <type>skeleton</type>
          <attributes>
          </attributes>
          <svg>&lt;circle r="1.5" cx="25.1" cy="22.6" data-type="element node" data-element-id="1"
data-node-id="1" data-label-name="nose_tip"&gt;&lt;/circle&gt;</svg>
        </label>
        <label>
          <name>nose_tip</name>
          <color>#d12345</color>
          <type>points</type>
          <attributes>
          </attributes>
          <parent>face</parent>
        </label>
      </labels>"""

TASK = """<task>
      <id>{id}</id>
      <name>faces</name>
      <size>{size}</size>
      <mode>{mode}</mode>
      <overlap>0</overlap>
      <bugtracker></bugtracker>
      <created>2025-03-02 10:11:12.131415+00:00</created>
      <updated>2025-03-02 11:11:12.131415+00:00</updated>
      <subset>{subset}</subset>
      <start_frame>{start}</start_frame>
      <stop_frame>99</stop_frame>
      <frame_filter>{filter}</frame_filter>
      <segments>
        <segment>
          <id>7</id>
          <start>0</start>
          <stop>{size}</stop>
          <url>http://localhost:8080/api/jobs/7</url>
        </segment>
      </segments>
      <owner>
        <username>anna</username>
        <email>anna@example.com</email>
      </owner>
      <assignee></assignee>
      {labels}
      {video}
    </task>"""


def _task(
    video: str = "", *, id: int = 4, size: int = 100, start: int = 0, filter: str = "",
    subset: str = "default", labels: str = LABELS,
) -> str:
    source = f"""<original_size>
        <width>408</width>
        <height>408</height>
      </original_size>
      <source>{video}</source>"""
    return TASK.format(
        id=id, size=size, mode="interpolation" if video else "annotation", subset=subset,
        start=start, filter=filter, labels=labels, video=source if video else "")


def _document(*content: str, meta: str | None = None) -> str:
    """An export as CVAT writes it; its content starts in the line after the metadata's last."""
    return "\n".join([
        '<?xml version="1.0" encoding="utf-8"?>', "<annotations>", "  <version>1.1</version>",
        "  <meta>", f"    {_task() if meta is None else meta}",
        "    <dumped>2025-03-02 12:00:00.000000+00:00</dumped>", "  </meta>",
        *content, "</annotations>", "",
    ])


def _pairs(points: np.ndarray) -> str:
    return ";".join(f"{x:.2f},{y:.2f}" for x, y in np.atleast_2d(points))


def _points(
    label: str, points: np.ndarray, more: str = 'z_order="0"', *, occluded: int = 0, text: str = ""
) -> str:
    return (f'    <points label={quoteattr(label)} source="manual" occluded="{occluded}" '
            f'points="{_pairs(points)}" {more}>\n{text}    </points>')


def _box(x0: float, y0: float, x1: float, y1: float, more: str = 'z_order="0"') -> str:
    return (f'    <box label="face" source="manual" occluded="0" xtl="{x0:.2f}" ytl="{y0:.2f}" '
            f'xbr="{x1:.2f}" ybr="{y1:.2f}" {more}>\n    </box>')


def _skeleton(
    points: np.ndarray = POINTS, names: Sequence[str] = FIVE, *, label: str = "face",
    outside: Sequence[int] = (), occluded: Sequence[int] = (), more: str = "",
) -> str:
    rows = [
        f'      <points label={quoteattr(name)} source="manual" outside="{int(i in outside)}" '
        f'occluded="{int(i in occluded)}" points="{_pairs(points[i])}">\n      </points>'
        for i, name in enumerate(names)
    ]
    head = f'    <skeleton label={quoteattr(label)} source="manual" z_order="0" {more}>'
    return "\n".join([head, *rows, "    </skeleton>"])


def _image(
    *shapes: str, name: str = "a.jpg", id: int = 0, width: int = 408, height: int = 408,
    more: str = "",
) -> str:
    head = (f'  <image id="{id}" name={quoteattr(name)} {more} width="{width}" '
            f'height="{height}">')
    return "\n".join([head, *shapes, "  </image>"])


def _track(*shapes: str, id: int = 0, label: str = "face", more: str = "") -> str:
    head = f'  <track id="{id}" label={quoteattr(label)} source="manual" {more}>'
    return "\n".join([head, *shapes, "  </track>"])


def _frame(
    number: int, points: np.ndarray = POINTS, *, key: int = 1, outside: int | Sequence[int] = 0,
    names: Sequence[str] = FIVE, keys: Sequence[int] | None = None,
) -> str:
    """A skeleton of a track."""
    gone = range(len(names)) if outside == 1 else outside or ()
    rows = [
        f'      <points label="{name}" keyframe="{key if keys is None else int(i in keys)}" '
        f'outside="{int(i in gone)}" occluded="0" points="{_pairs(points[i])}">\n      </points>'
        for i, name in enumerate(names)
    ]
    return "\n".join([f'    <skeleton frame="{number}" keyframe="{key}" z_order="0">', *rows,
                      "    </skeleton>"])


def _tracked(number: int, points: np.ndarray, *, key: int = 1, outside: int = 0) -> str:
    """Points of a track."""
    return (f'    <points frame="{number}" keyframe="{key}" outside="{outside}" occluded="0" '
            f'points="{_pairs(points)}" z_order="0">\n    </points>')


def _write(folder: Path, text: str, name: str = "annotations.xml") -> Path:
    for image in ("a.jpg", "images/b.jpg"):
        write_image(folder / image)
    path = folder / name
    path.write_text(text)
    return path


def _video(path: Path, frames: int = 30) -> Path:
    """A video whose frame N has the grey value 8 N."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (408, 408))
    for number in range(frames):
        writer.write(np.full((408, 408, 3), 8 * number, np.uint8))
    writer.release()
    return path


def _read(path: Path, **options: str) -> tuple[list[FaceRecord], list[DataError], list[str]]:
    items = list(cvat.read(path, **{"schema": "mtfl5", **options}))
    return ([item for item in items if isinstance(item, FaceRecord)],
            [item for item in items if isinstance(item, DataError)],
            [item.text for item in items if isinstance(item, Note)])


def test_a_skeleton_is_a_face(tmp_path: Path) -> None:
    attribute = '      <attribute name="glasses">yes &amp; no</attribute>\n'
    skeleton = _skeleton(outside=[1], occluded=[2]).replace(
        "    </skeleton>", attribute + "    </skeleton>")
    path = _write(tmp_path, _document(_image(skeleton)))
    (record,), errors, notes = _read(path)
    assert not errors and not notes
    expected = POINTS.copy()
    expected[1] = np.nan
    np.testing.assert_array_equal(record.points, expected.astype(np.float32))
    assert record.visible.tolist() == [True, False, False, True, True]
    assert (record.image, record.identity, record.frame) == (tmp_path / "a.jpg", "a.jpg", None)
    assert (record.image_size, record.upright, record.box) == ((408, 408), True, None)
    assert record.attributes == {"glasses": "yes & no"}


def test_names_decide_in_any_order(tmp_path: Path) -> None:
    """CVAT names the points of a new skeleton 1, 2, ...; as texts, `10` is before `2`."""
    ten = schemas.get("kaggle15")
    points = some_points(15).round(2)
    order = sorted(range(15), key=lambda i: str(i + 1))
    numbered = _skeleton(points[order], [str(i + 1) for i in order])
    named = _skeleton(points[order], [ten.names[i].replace("_", " ") for i in order])
    for skeleton in (numbered, named):
        (record,), errors, _ = _read(_write(tmp_path, _document(_image(skeleton))),
                                     schema="kaggle15")
        assert not errors
        np.testing.assert_allclose(record.points, points)


def test_several_faces_images_and_their_boxes(tmp_path: Path) -> None:
    far = POINTS + 200
    path = _write(tmp_path, _document(
        _image(_box(310, 290, 390, 385), _skeleton(), _skeleton(far), _box(100, 90, 200, 180)),
        _image(_skeleton(far), name="b.jpg", id=1),
        _image(name="empty.jpg", id=2),
    ))
    (first, second, other), errors, notes = _read(path)
    assert not errors and not notes
    np.testing.assert_array_equal(first.box, [100, 90, 200, 180])
    np.testing.assert_array_equal(second.box, [310, 290, 390, 385])
    assert [first.image, second.image] == [tmp_path / "a.jpg"] * 2
    assert (other.image, other.identity) == (tmp_path / "images" / "b.jpg", "b.jpg")
    np.testing.assert_array_equal(other.points, far.astype(np.float32))


def test_points_in_one_shape_are_in_the_order_of_the_schema(tmp_path: Path) -> None:
    path = _write(tmp_path, _document(_image(
        _points("face", POINTS, occluded=1, text='      <attribute name="age">7</attribute>\n'),
        _points("hand", POINTS[:3]), _points("face", POINTS + 50))))
    (record, other), errors, notes = _read(path)
    assert not errors
    np.testing.assert_array_equal(record.points, POINTS.astype(np.float32))
    assert not record.visible.any() and other.visible.all()
    assert record.attributes == {"age": "7"}
    (note,) = notes
    assert_told(note, 1, "'hand'")
    # None has as many: each is a face with a wrong number.
    path = _write(tmp_path, _document(_image(_points("face", POINTS[:3]))))
    _, (error,), _ = _read(path)
    assert_refusal(error, 5, "mtfl5", 3, path=path, line=_line(path, "<points"))


def test_single_points_by_group_and_by_box(tmp_path: Path) -> None:
    def points(at: np.ndarray, more: str) -> list[str]:
        return [_points(name, point, f'z_order="0" {more}')
                for name, point in zip(FIVE[::-1], at[::-1], strict=True)]

    far = POINTS + 200
    grouped = _image(*points(POINTS, 'group_id="3"'), *points(far, 'group_id="4"'))
    boxed = _image(*points(POINTS, 'group_id="0"'), *points(far, ""), _box(100, 90, 200, 180),
                   _box(300, 290, 390, 385), name="b.jpg")
    path = _write(tmp_path, _document(grouped, boxed))
    records, errors, notes = _read(path)
    assert not errors and not notes
    for record, expected in zip(records, [POINTS, far] * 2, strict=True):
        np.testing.assert_array_equal(record.points, expected.astype(np.float32))
    assert [record.box is None for record in records] == [True, True, False, False]


def test_what_is_no_face_is_counted(tmp_path: Path) -> None:
    others = [
        '<polygon label="car" source="manual" occluded="0" points="1.00,2.00;3.00,4.00;5.00,6.00" '
        'z_order="0">\n</polygon>',
        '<polyline label="car" source="manual" occluded="0" points="1.00,2.00;3.00,4.00" '
        'z_order="0">\n</polyline>',
        '<ellipse label="car" source="manual" occluded="0" cx="5.00" cy="6.00" rx="1.00" '
        'ry="2.00" z_order="0">\n</ellipse>',
        '<mask label="face" source="manual" occluded="0" rle="3, 5, 7" left="7" top="8" width="5" '
        'height="3" z_order="0">\n</mask>',
        '<tag label="good" source="manual">\n</tag>',
        _points("wheel", POINTS[0]), _points("wheel", POINTS[1]),
        _skeleton(POINTS[:3], ["wrist", "thumb", "palm"], label="hand"),
        _box(300, 300, 310, 310),
        _skeleton(outside=range(5)),  # all of it is outside: nothing is there
    ]
    path = _write(tmp_path, _document(_image(*others, _skeleton())))
    (record,), errors, notes = _read(path)
    assert not errors and record.box is None
    np.testing.assert_array_equal(record.points, POINTS.astype(np.float32))
    for note, facts in zip(
        notes, [(3, "'car'"), (2, "'face'"), (1, "'hand'"), (2, "'wheel'")], strict=True
    ):
        assert_told(note, *facts)


def test_names_of_nothing_in_the_schema(tmp_path: Path) -> None:
    names = ["eye", "other eye", "nose tip", "mouth 1", "mouth 2"]
    path = _write(tmp_path, _document(_image(_skeleton(names=names))))
    with refuses("mtfl5", "'eye'", "'mouth 2'", "'right_eye_centre'", "names=ignore", "'a.jpg'",
                 path=path, line=_line(path, "<skeleton")):
        _read(path)
    (record,), _, _ = _read(path, names="ignore")
    np.testing.assert_array_equal(record.points, POINTS.astype(np.float32))
    # Their order is not that of another skeleton: neither can be taken by its order.
    path = _write(tmp_path, _document(
        _image(_skeleton(names=names), _skeleton(names=names[::-1]), name="a.jpg"),
        _image(_skeleton(names=names), name="b.jpg", id=1)))
    (record,), (error,), _ = _read(path, names="ignore")
    assert record.image.name == "b.jpg"
    assert_refusal(error, "order", "names=ignore", path=path,
                   line=_line(path, "<skeleton", 2))


def test_numbered_skeletons_of_two_kinds(tmp_path: Path) -> None:
    """A hand of 3 points is no face that lacks two, if the category says so."""
    numbers = [str(i) for i in range(5)]
    hand = _skeleton(POINTS[:3] + 50, numbers[:3], label="hand")
    wheel = _points("wheel", POINTS[0])
    path = _write(tmp_path, _document(_image(_skeleton(names=numbers), hand, wheel)))
    with refuses("'face'", "'hand'", "mtfl5", "category=", path=path):
        _read(path)
    (record,), errors, notes = _read(path, category="face")
    assert not errors
    np.testing.assert_array_equal(record.points, POINTS.astype(np.float32))
    for note, label in zip(notes, ("'hand'", "'wheel'"), strict=True):
        assert_told(note, 1, label)


def test_first_and_origin(tmp_path: Path) -> None:
    names = [str(i) for i in range(1, 5)]
    path = _write(tmp_path, _document(_image(
        _skeleton(names=names), _box(100, 90, 200, 180, 'rotation="90.00" z_order="0"'))))
    with refuses("1 to 4", "first=0", "first=1", path=path):
        _read(path)
    for first, place in (("0", slice(1, 5)), ("1", slice(0, 4))):
        (record,), _, _ = _read(path, first=first, origin="0.5")
        np.testing.assert_array_equal(record.points[place], (POINTS[:4] - 0.5).astype(np.float32))
        assert np.isnan(record.points).any(axis=1).sum() == 1
        # Turned by a quarter about (150, 135).
        np.testing.assert_allclose(record.box, np.array([105, 85, 195, 185]) - 0.5, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        ({"schema": "nonsense"}, ["nonsense", "mtfl5"]),
        ({"names": "guess"}, ["names", "match", "ignore", "'guess'"]),
        ({"first": "2"}, ["first", "'2'"]),
        ({"origin": "2"}, ["origin", "'2'"]),
        ({"frames": "some"}, ["frames", "interpolated", "keyframes", "all", "'some'"]),
        ({"images": "/nowhere"}, ["images", "/nowhere"]),
        ({"video": "/nowhere.mp4"}, ["video", "/nowhere.mp4"]),
    ],
)
def test_options_are_checked(tmp_path: Path, options: dict[str, str], facts: list[str]) -> None:
    path = _write(tmp_path, _document(_image(_skeleton())))
    with refuses(*facts):
        _read(path, **options)


def test_images_option(tmp_path: Path) -> None:
    path = _write(tmp_path / "here", _document(_image(_skeleton(), name="sub/c.jpg")))
    image = write_image(tmp_path / "there" / "sub" / "c.jpg")
    _, (error,), _ = _read(path)
    assert_refusal(error, "c.jpg", "exist", path=path, line=_line(path, "<image"))
    (record,), _, _ = _read(path, images=str(tmp_path / "there"))
    assert (record.image, record.identity) == (image, "sub/c.jpg")


def _line(path: Path, start: str, number: int = 1) -> int:
    """The line of the number-th element that starts so."""
    lines = [n for n, text in enumerate(path.read_text().splitlines(), 1)
             if text.strip().startswith(start)]
    return lines[number - 1]


@pytest.mark.parametrize(
    ("old", "new", "facts"),
    [
        ('points="150.75,140.00"', 'points="150.75;140.00"', ["x,y", "'150.75'"]),
        ('points="150.75,140.00"', 'points="nan,140.00"', ["pixels", "'nan'"]),
        ('points="150.75,140.00"', 'points="1,2;3,4"', [1, 2]),
        ('points="150.75,140.00"', 'points=""', ["x,y", "''"]),
        ('label="nose_tip" source', "source", ["labelled points", "skeleton"]),
    ],
)
def test_a_bad_point_spoils_its_image_alone(
    tmp_path: Path, old: str, new: str, facts: list[object]
) -> None:
    text = _document(_image(_skeleton()), _image(_skeleton(), name="b.jpg", id=1))
    assert old in text
    path = _write(tmp_path, text.replace(old, new, 1))
    (record,), (error,), _ = _read(path)
    assert record.image.name == "b.jpg"
    assert_refusal(error, *facts, path=path, line=_line(path, "<points", 3))


@pytest.mark.parametrize("flag", ["outside", "occluded"])
def test_flags_are_0_or_1(tmp_path: Path, flag: str) -> None:
    text = _document(_image(_skeleton())).replace(f'{flag}="0"', f'{flag}="maybe"', 1)
    path = _write(tmp_path, text)
    _, (error,), _ = _read(path)
    assert_refusal(error, flag, "'maybe'", path=path, line=_line(path, "<points"))


@pytest.mark.parametrize("name", ["../../a.jpg", "/etc/a.jpg", "C:\\a.jpg", ""])
def test_images_lie_inside_the_folder(tmp_path: Path, name: str) -> None:
    write_image(tmp_path / "a.jpg")
    path = _write(tmp_path / "one" / "two", _document(_image(_skeleton(), name=name)))
    records, (error,), _ = _read(path)
    assert not records and error.path == path


LAUGHS = '<!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;">]>'


@pytest.mark.parametrize(
    ("text", "line", "facts"),
    [
        ("<dataset/>", 1, ["CVAT", "annotations", "dataset"]),
        ("", 1, ["XML"]),
        ("{}", 1, ["XML"]),
        (LAUGHS + "<annotations>&lol2;</annotations>", 1, ["document type", "CVAT"]),
        ("<annotations>" + "<a>" * 5000, 1, ["100"]),
        ("<annotations><image name='" + "a" * (3 << 20), 1, [1048576]),
        ("<annotations><image><skeleton>" + "<points/>" * 5000, 1, [4096]),
        ("<annotations><meta><task><size>-1</size></task></meta></annotations>", 1,
         ["number", "'-1'"]),
    ],
)
def test_a_file_of_something_else(
    tmp_path: Path, text: str, line: int, facts: list[object]
) -> None:
    path = _write(tmp_path, text)
    with refuses(*facts, path=path, line=line):
        _read(path)


def test_damage_is_of_the_whole_file(tmp_path: Path) -> None:
    """What follows might have been further points of a face that is read."""
    text = _document(_image(_skeleton()), _image(_skeleton(), name="b.jpg", id=1))
    path = _write(tmp_path, text[: text.index("</annotations>")])
    with refuses("XML", path=path, line=len(text.splitlines())):
        _read(path)


def test_the_zip_of_an_export_is_to_be_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "task.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("annotations.xml", _document(_image(_skeleton())))
    with refuses("unpack", path=path):
        sources.read(f"cvat:{path}?schema=mtfl5")


def test_a_photo_that_is_stored_turned(tmp_path: Path) -> None:
    """CVAT states the size of the photo as it is shown, and places points there."""
    photo = Image.fromarray(np.full((300, 400, 3), 90, np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    path = _write(tmp_path, _document(_image(_skeleton(), width=300, height=400)))
    for kind in ("a.jpg", "a.png"):
        photo.save(tmp_path / kind, exif=exif)
    (record,) = sources.read(f"cvat:{path}?schema=mtfl5").records
    assert record.upright is True
    np.testing.assert_array_equal(record.points, POINTS.astype(np.float32))
    assert images.read_image(record).shape == (400, 300, 3)
    # Without a stated size, CVAT's habit decides; the photo is turned half around.
    exif[0x0112] = 3
    photo.save(tmp_path / "a.jpg", exif=exif)
    path.write_text(path.read_text().replace('width="300" height="400"', ""))
    (record,) = sources.read(f"cvat:{path}?schema=mtfl5").records
    assert record.upright is True
    (record,) = sources.read(f"cvat:{path}?schema=mtfl5&upright=false").records
    assert record.upright is False


def test_a_photo_of_another_size(tmp_path: Path) -> None:
    path = _write(tmp_path, _document(_image(_skeleton(), width=816, height=816)))
    with refuses("816 x 816", "408 x 408", "sizes=scale"):
        sources.read(f"cvat:{path}?schema=mtfl5")
    (record,) = sources.read(f"cvat:{path}?schema=mtfl5&sizes=scale").records
    np.testing.assert_allclose(record.points, (POINTS + 0.5) / 2 - 0.5)


def test_frames_of_a_video(tmp_path: Path) -> None:
    """Their numbers are those in the video, whatever part of it the task has."""
    video = _video(tmp_path / "clip.avi")
    last = _frame(16, POINTS + 12, key=0, outside=[1])
    path = _write(tmp_path, _document(
        _track(_frame(10, POINTS), _frame(13, POINTS + 6, key=0), last,
               _frame(19, POINTS + 18, outside=[4]), _frame(22, POINTS + 18, outside=1)),
        _track(_frame(13, POINTS + 100), _frame(16, POINTS + 100, outside=1), id=1),
        meta=_task("clip.avi", start=10, filter="step=3")))
    records, errors, notes = _read(path)
    assert not errors and not notes
    assert [record.frame for record in records] == [10, 13, 13, 16, 19]
    assert {(record.image, record.identity) for record in records} == {(video, "clip.avi")}
    np.testing.assert_array_equal(records[1].points, (POINTS + 6).astype(np.float32))
    np.testing.assert_array_equal(records[2].points, (POINTS + 100).astype(np.float32))
    assert [np.isnan(record.points[:, 0]).nonzero()[0].tolist() for record in records] == [
        [], [], [], [1], [4]]
    reader = images.ImageReader()
    for record in records:
        assert abs(int(reader.read(record)[5, 5, 0]) - 8 * record.frame) <= 2
    found = sources.read(f"cvat:{path}?schema=mtfl5")
    assert [record.key for record in found.records] == [
        "clip.avi#10", "clip.avi#13", "clip.avi#13@1", "clip.avi#16", "clip.avi#19"]


def test_keyframes_and_what_is_between_them(tmp_path: Path) -> None:
    """CVAT moves skeletons between keyframes; behind the last one it only repeats them."""
    _video(tmp_path / "clip.avi")
    path = _write(tmp_path, _document(
        _track(_frame(0), _frame(1, POINTS + 1, key=0), _frame(2, POINTS + 2, key=0, keys=[3]),
               _frame(3, POINTS + 3), _frame(4, POINTS + 3, key=0), _frame(5, POINTS + 3, key=0)),
        meta=_task("clip.avi")))
    for frames, expected, facts in (
        ("interpolated", [0, 1, 2, 3], [(2, "frames=all")]),
        ("keyframes", [0, 2, 3], [(1, "frames=interpolated"), (2, "frames=all")]),
        ("all", [0, 1, 2, 3, 4, 5], []),
    ):
        records, errors, notes = _read(path, frames=frames)
        assert not errors and [record.frame for record in records] == expected
        for note, told in zip(notes, facts, strict=True):
            assert_told(note, *told)


def test_what_stands_still_until_it_leaves_is_repeated(tmp_path: Path) -> None:
    _video(tmp_path / "clip.avi")
    path = _write(tmp_path, _document(
        _track(_frame(0), _frame(1, key=0), _frame(2, key=0), _frame(3, outside=1)),
        meta=_task("clip.avi")))
    (record,), _, (note,) = _read(path)
    assert record.frame == 0
    assert_told(note, 2, "frames=all")


def test_several_points_in_one_shape_do_not_move(tmp_path: Path) -> None:
    _video(tmp_path / "clip.avi")
    path = _write(tmp_path, _document(
        _track(_tracked(0, POINTS), _tracked(1, POINTS, key=0), _tracked(2, POINTS + 4),
               _tracked(3, POINTS + 4, outside=1)), meta=_task("clip.avi")))
    records, errors, (note,) = _read(path)
    assert not errors and [record.frame for record in records] == [0, 2]
    assert_told(note, 1, "frames=all")
    records, _, _ = _read(path, frames="all")
    assert [record.frame for record in records] == [0, 1, 2]


def test_single_points_in_tracks_stay_together(tmp_path: Path) -> None:
    """Each has keyframes of its own: a point that nobody moved is there in frames of others."""
    _video(tmp_path / "clip.avi")
    tracks = [_track(_tracked(0, point), _tracked(1, point, key=0), _tracked(2, point, key=0),
                     id=i, label=name, more='group_id="5"')
              for i, (name, point) in enumerate(zip(FIVE[:4], POINTS[:4], strict=True))]
    moved = _track(_tracked(0, POINTS[4]), _tracked(1, POINTS[4] + 1, key=0),
                   _tracked(2, POINTS[4] + 2), id=4, label=FIVE[4], more='group_id="5"')
    box = _track('    <box frame="0" keyframe="1" outside="0" occluded="0" xtl="100.00" '
                 'ytl="90.00" xbr="200.00" ybr="190.00" z_order="0">\n    </box>', id=5)
    path = _write(tmp_path, _document(*tracks, moved, box, meta=_task("clip.avi")))
    for frames, expected in (("interpolated", [0, 1, 2]), ("keyframes", [0, 2])):
        records, errors, _ = _read(path, frames=frames)
        assert not errors and [record.frame for record in records] == expected
        for record in records:
            truth = POINTS.copy()
            truth[4] += record.frame
            np.testing.assert_array_equal(record.points, truth.astype(np.float32))
            assert (record.box is not None) == (record.frame == 0)


def test_frames_that_were_exported_and_their_video(tmp_path: Path) -> None:
    """CVAT exports `images/frame_000012.PNG`, and calls it `frame_000012` in its XML."""
    image = write_image(tmp_path / "images" / "frame_000012.PNG")
    meta = _task("clip.avi")
    tracks = _document(_track(_frame(12), _frame(13)), meta=meta)
    named = _document(_image(_skeleton(), name="frame_000012", id=12),
                      _image(_skeleton(), name="frame_000013", id=13), meta=meta)
    for text in (tracks, named):
        (record,), (error,), _ = _read(_write(tmp_path, text))
        assert_refusal(error, "clip.avi", path=tmp_path / "annotations.xml")
        assert record.image == image and record.upright is True
        assert (record.frame, record.identity) == (None, "clip.avi")
    # The frames may be those of another video, which has the same names for them.
    video = _video(tmp_path / "clip.avi")
    path = _write(tmp_path, tracks)
    with refuses("'frame_000012.PNG'", "'clip.avi'", "video=FILE", "images=FOLDER"):
        _read(path)
    records, errors, _ = _read(path, video=str(video))
    assert not errors
    assert [(record.image, record.frame) for record in records] == [(video, 12), (video, 13)]
    records, (error,), _ = _read(path, images=str(tmp_path / "images"))
    assert [record.image for record in records] == [image]
    assert_refusal(error, "clip.avi", path=path)


@pytest.mark.parametrize(
    ("start", "step", "stored", "from_1"),
    [(0, 1, range(1, 5), True), (0, 1, range(4), False), (0, 1, range(5), False),
     (0, 1, range(1, 4), False), (1, 1, range(1, 5), False), (0, 2, range(1, 9), True),
     (2, 1, range(1, 9), True), (2, 1, range(2, 9), False)],
)
def test_frames_that_were_numbered_from_1(
    tmp_path: Path, start: int, step: int, stored: Sequence[int], from_1: bool
) -> None:
    """As `ffmpeg` does: there is one behind the last of the task. CVAT counts from 0."""
    for number in stored:
        write_image(tmp_path / f"frame_{number:06d}.jpg")
    filter = f"step={step}" if step > 1 else ""
    meta = _task("clip.avi", size=4, start=start, filter=filter)
    named = _image(_skeleton(), name="frame_000002", id=2)
    for content in (_track(_frame(2)), named):
        path = _write(tmp_path, _document(content, meta=meta))
        records, errors, _ = _read(path)
        assert len(records) == (not from_1)
        for error in errors:
            assert_refusal(error, f"frame_{max(stored):06d}", "frame_000000", "video=FILE",
                           path=path)


def test_a_frame_whose_name_has_another_number(tmp_path: Path) -> None:
    _video(tmp_path / "clip.avi")
    path = _write(tmp_path, _document(
        _image(_skeleton(), name="frame_000004", id=0),
        _image(_skeleton(), name="frame_000006", id=6), meta=_task("clip.avi")))
    (record,), (error,), _ = _read(path)
    assert record.frame == 6
    assert_refusal(error, "frame 0", "'frame_000004'", path=path, line=_line(path, "<image"))


def test_a_video_of_another_size(tmp_path: Path) -> None:
    _video(tmp_path / "clip.avi")
    meta = re.sub(r"<(width|height)>\d+<", r"<\1>816<", _task("clip.avi"))
    path = _write(tmp_path, _document(_track(_frame(12), _frame(13)), meta=meta))
    with refuses("816 x 816", "408 x 408", "sizes=scale"):
        sources.read(f"cvat:{path}?schema=mtfl5")
    first, second = sources.read(f"cvat:{path}?schema=mtfl5&sizes=scale").records
    assert (first.frame, second.frame) == (12, 13)
    np.testing.assert_allclose(first.points, (POINTS + 0.5) / 2 - 0.5)


def test_a_photo_without_shapes_is_another_one_of_its_name(tmp_path: Path) -> None:
    path = _write(tmp_path, _document(
        _image(name="a.jpg", more='subset="train" task_id="4"'),
        _image(_skeleton(), name="a.jpg", more='subset="test" task_id="5"'),
        _image(name="gone.jpg", id=1, more='subset="test" task_id="5"'),
        meta=_project(_task(labels=""), _task(id=5, labels=""))))
    records, (error,), _ = _read(path)
    assert not records
    assert_refusal(error, "'a.jpg'", "images=", path=path, line=_line(path, "<image", 2))
    write_image(tmp_path / "test" / "a.jpg")
    (record,), errors, _ = _read(path)
    assert not errors and record.identity == "test/a.jpg"


def test_photos_of_two_subsets_that_are_one_file(tmp_path: Path) -> None:
    write_image(tmp_path / "001.jpg")
    path = _write(tmp_path, _document(
        _image(_skeleton(), name="001.jpg", more='subset="train" task_id="4"'),
        _image(_skeleton(), name="001.jpg", more='subset="test" task_id="5"'),
        _image(_skeleton(), name="a.jpg", id=1, more='subset="test" task_id="5"'),
        meta=_project(_task(labels=""), _task(id=5, labels=""))))
    (record,), errors, _ = _read(path)
    assert record.image.name == "a.jpg"
    for number, error in enumerate(errors, 1):
        assert_refusal(error, "'001.jpg'", "'001.jpg in train of task 4'",
                       "'001.jpg in test of task 5'", "images=", path=path,
                       line=_line(path, "<image", number))


def test_the_video_of_a_job(tmp_path: Path) -> None:
    """The export of a job has its video's size, but not its name."""
    job = _task("clip.avi").replace("task>", "job>").replace("<source>clip.avi</source>", "")
    assert "source" not in job
    path = _write(tmp_path, _document(_track(_frame(2), _frame(3)), meta=job))
    records, (error,), _ = _read(path)
    assert not records
    assert_refusal(error, "video=FILE", "jobs", path=path)
    video = _video(tmp_path / "elsewhere" / "other name.avi")
    records, errors, _ = _read(path, video=str(video))
    assert not errors and [record.frame for record in records] == [2, 3]
    assert {(record.image, record.identity) for record in records} == {(video, "other name.avi")}


def test_a_missing_video_is_told_once(tmp_path: Path) -> None:
    path = _write(tmp_path, _document(
        _track(_frame(2), _frame(3)), meta=_task("gone.mp4")))
    records, (error,), _ = _read(path)
    assert not records
    assert_refusal(error, "gone.mp4", "exist", path=path)


def test_a_missing_photo(tmp_path: Path) -> None:
    path = _write(tmp_path, _document(_image(_skeleton(), name="gone.jpg")))
    _, (error,), _ = _read(path)
    assert_refusal(error, "exist", "images=", path=path, line=_line(path, "<image"))


def test_tracks_on_photos_are_refused(tmp_path: Path) -> None:
    """The video layout of a task of photos has their numbers alone."""
    path = _write(tmp_path, _document(_track(_frame(0), _frame(1))))
    records, (error,), _ = _read(path)
    assert not records
    assert_refusal(error, "'CVAT for images 1.1'", path=path)


def _project(*tasks: str) -> str:
    return ("<project><id>1</id><name>p</name><tasks>" + "\n".join(tasks)
            + f"</tasks><subsets>train\ntest</subsets>{LABELS}</project>")


def test_a_project_of_photos(tmp_path: Path) -> None:
    """Its images are exported into folders of its subsets, and may have one name."""
    train, test = (write_image(tmp_path / "images" / name / "c.jpg") for name in ("train", "test"))
    path = _write(tmp_path, _document(
        _image(_skeleton(), name="c.jpg", more='subset="train" task_id="4"'),
        _image(_skeleton(), name="c.jpg", more='subset="test" task_id="5"'),
        _image(_skeleton(), name="a.jpg", id=1, more='subset="test" task_id="5"'),
        meta=_project(_task(labels=""), _task(id=5, labels=""))))
    records, errors, _ = _read(path)
    assert not errors
    assert [record.image for record in records] == [train, test, tmp_path / "a.jpg"]
    assert [record.identity for record in records] == ["train/c.jpg", "test/c.jpg", "a.jpg"]


def test_a_project_of_videos(tmp_path: Path) -> None:
    """The frames of a task are counted on from those of the task before it in its subset."""
    for name in ("one.avi", "two.avi", "three.avi"):
        _video(tmp_path / name)
    meta = _project(
        _task("one.avi", id=4, size=8, start=5, filter="step=2", subset="test", labels=""),
        _task("two.avi", id=6, size=30, subset="test", labels=""),
        _task("three.avi", id=5, size=30, subset="train", labels=""))
    offset = 5 + 2 * 8
    path = _write(tmp_path, _document(
        _track(_frame(7), more='task_id="4" subset="test"'),
        _track(_frame(offset + 9), more='task_id="6" subset="test"', id=1),
        _track(_frame(11), more='task_id="5" subset="train"', id=2),
        _track(_frame(8), more='task_id="4" subset="test"', id=3),
        _track(_frame(8), more='task_id="9" subset="test"', id=4),
        meta=meta))
    records, errors, _ = _read(path)
    assert [(record.identity, record.frame) for record in records] == [
        ("one.avi", 7), ("two.avi", 9), ("three.avi", 11)]
    missing, between = errors
    assert_refusal(between, "frame 8", "task 4", path=path, line=_line(path, '<skeleton frame="8"'))
    assert_refusal(missing, "'9'", path=path, line=_line(path, '<skeleton frame="8"', 2))
    with refuses("video", 3):
        _read(path, video=str(tmp_path / "one.avi"))


def test_a_bad_frame_is_one_error(tmp_path: Path) -> None:
    _video(tmp_path / "clip.avi")
    text = _document(_track(_frame(0), _frame(1), _frame(2)),
                     _track(_frame(1, POINTS + 90), _frame(2, POINTS + 90), id=1),
                     meta=_task("clip.avi"))
    bad = text.replace('frame="0"', 'frame="-1"', 1).replace("210.50,190.25", "210.50", 1)
    path = _write(tmp_path, bad)
    records, (number, point), _ = _read(path)
    # A face of frame 1 is damaged: the frame is not read.
    assert [record.frame for record in records] == [2, 2]
    assert_refusal(number, "whole number", "'-1'", path=path, line=_line(path, "<skeleton"))
    assert_refusal(point, "x,y", "'210.50'", path=path, line=_line(path, '<points', 16))


def test_real_faces(shared_data: Path, tmp_path: Path) -> None:
    """HELEN's faces as CVAT writes them, which rounds to hundredths of a pixel."""
    folder = shared_data / "ibug" / "helen" / "testset"
    truth = [record for record in sources.read(f"ibug:{folder}").records][:12]
    names = [escape(name) for name in schemas.get("ibug68").names]
    blocks = []
    for number, record in enumerate(truth):
        height, width = cv2.imread(str(record.image)).shape[:2]
        blocks.append(_image(
            _skeleton(record.points.astype(float), names), name=record.image.name, id=number,
            width=width, height=height))
    path = tmp_path / "annotations.xml"
    path.write_text(_document(*blocks))
    found = sources.read(f"cvat:{path}?schema=ibug68&images={folder}")
    assert not found.notes
    for record, expected in zip(found.records, truth, strict=True):
        assert record.image == expected.image
        np.testing.assert_allclose(record.points, expected.points, atol=0.006)


VALUES = st.sampled_from([
    "", "0", "1", "7", "-1", "1e9", "nan", "12.50", "1,2;3,4", "5.00,6.00", "a.jpg", "../a.jpg",
    "frame_000000", "clip.avi", "face", "nose_tip", "train", "x" * 300, "\x7f", "4",
])
ATTRIBUTES = st.dictionaries(
    st.sampled_from([
        "id", "name", "width", "height", "label", "points", "outside", "occluded", "keyframe",
        "frame", "group_id", "task_id", "subset", "xtl", "ytl", "xbr", "ybr", "rotation",
    ]), VALUES, max_size=8)
ELEMENTS = st.recursive(
    st.just([]),
    lambda inner: st.lists(st.tuples(
        st.sampled_from(["image", "track", "points", "box", "skeleton", "attribute", "meta", "task",
                         "project", "tasks", "source", "size", "start_frame", "subset", "id"]),
        ATTRIBUTES, VALUES, inner), max_size=4),
    max_leaves=20)


def _element(tag: str, attributes: dict[str, str], text: str, inner: list) -> str:
    head = "".join(f" {name}={quoteattr(value)}" for name, value in attributes.items())
    return f"<{tag}{head}>{escape(text)}{''.join(_element(*child) for child in inner)}</{tag}>"


@given(elements=ELEMENTS)
def test_any_elements(tmp_path: Path, elements: list) -> None:
    text = "".join(_element(*element) for element in elements)
    check(LAYOUTS["cvat"], tmp_path, f"<annotations>{text}</annotations>".encode())
