from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from efld_tf.annotations import sources
from efld_tf.annotations.record import FaceRecord
from efld_tf.errors import DataError, EfldError
from efld_tf.landmarks import schemas
from tests.annotations.real import assert_upright
from tests.annotations.writers import ibug_text, mtfl_line, some_points, write_image
from tests.errors import assert_refusal, assert_told, refuses


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two faces and, between them, one damaged file."""
    for name, text in {
        "a": ibug_text(some_points(68)),
        "b": "damaged",
        "c": ibug_text(some_points(68)),
    }.items():
        write_image(tmp_path / f"{name}.jpg")
        (tmp_path / f"{name}.pts").write_text(text)
    return tmp_path


def test_parse() -> None:
    source = sources.parse("wflw:/data/a:b/list.txt?images=/x&more=1=2")
    assert (source.reader, source.path) == ("wflw", Path("/data/a:b/list.txt"))
    assert source.options == {"images": "/x", "more": "1=2"}
    assert str(source) == "wflw:/data/a:b/list.txt?images=/x&more=1=2"
    assert str(sources.parse("scut:data")) == "scut:data"
    assert sources.parse("made:up", extra_readers=("made",)).reader == "made"
    assert sources.parse("scut:~/x").path == Path.home() / "x"


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("", ["reader:path", *sources.FORMATS]),
        ("ibug", ["reader:path", *sources.FORMATS]),
        ("ibug:", ["reader:path", *sources.FORMATS]),
        ("ibag:/data", ["reader 'ibag'", *sources.FORMATS]),
        ("ibug:/data?deep", ["option=value", "'deep'"]),
    ],
)
def test_parse_errors(text: str, facts: list[str]) -> None:
    with refuses(repr(text), *facts):
        sources.parse(text)


def test_stop_and_skip(folder: Path) -> None:
    with refuses("version: 1", "damaged", path=folder / "b.pts", line=1):
        sources.read(f"ibug:{folder}")
    found = sources.read(f"ibug:{folder}", on_error="skip")
    assert found.schema == "ibug68"
    assert [record.identity for record in found.records] == ["a", "c"]
    assert [error.path.name for error in found.skipped] == ["b.pts"]


@pytest.mark.parametrize(
    ("source", "facts"),
    [
        ("ibug:{}?deep=1", ["option 'deep'", "reader ibug", "convert"]),
        ("wflw:{}?image=x", ["option 'image'", "reader wflw", "images", "convert"]),
        ("youtube_faces:{}?split=x", ["option 'split'", "reader youtube_faces", "identities"]),
        ("ibug:{}/nothing", ["{}/nothing", "exist"]),
        ("ibug:{}/empty", ["no annotated face", "NAME.pts", "NAME.jpg"]),
    ],
)
def test_read_errors(folder: Path, source: str, facts: list[str]) -> None:
    (folder / "empty").mkdir()
    text = source.format(folder)
    with refuses(f"source {text}", *(fact.format(folder) for fact in facts)):
        sources.read(text, on_error="skip")


def test_wording(folder: Path) -> None:
    with pytest.raises(DataError) as caught:
        sources.read(f"ibug:{folder}")
    expected = "expected 'version: 1', 'n_points: N' or '{', got 'damaged'"
    assert str(caught.value) == f"{folder / 'b.pts'}:1: {expected}"
    with pytest.raises(EfldError) as refused:
        sources.read(f"ibug:{folder}?deep=1")
    expected = "unknown option 'deep'; reader ibug has schema, images, origin, convert, upright, "
    expected += "normalised, sizes, missing"
    assert str(refused.value) == f"source ibug:{folder}?deep=1: {expected}"


def test_mixed_schemas_are_refused(folder: Path) -> None:
    (folder / "c.pts").write_text(ibug_text(some_points(51)))
    with refuses("several", "ibug51", "ibug68"):
        sources.read(f"ibug:{folder}", on_error="skip")


def test_excluding_a_face_without_a_distance_keeps_the_others_of_its_photo(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg")
    good, bad = some_points(5), some_points(5)
    bad[:2] = 7
    lines = [mtfl_line("a.jpg", (0, 0, 90, 90), points) for points in (good, bad)]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    source = f"mtfl:{tmp_path}/list.txt"
    with pytest.raises(DataError) as caught:
        sources.read(source)
    assert_refusal(caught.value, "coincide", path=tmp_path / "a.jpg@1")
    key = sources.error_key(caught.value, tmp_path)
    assert key == "a.jpg@1"
    found = sources.read(source, exclude=frozenset([key]))
    assert [record.key for record in found.records] == ["a.jpg"]
    assert found.excluded == {"a.jpg@1"}


def test_one_photo_of_many_names_is_one_identity(tmp_path: Path) -> None:
    """Else its faces end up on both sides of a split, and two of them have one key."""
    folder = tmp_path / "key"
    write_image(folder / "imgs/a.jpg")
    write_image(folder / "imgs/b.jpg")
    names = ["../key/imgs/a.jpg", "imgs/a.jpg", "imgs/A.JPG", "IMGS\\a.jpg", "./imgs/../imgs/a.jpg",
             str(folder / "imgs/a.jpg"), "imgs/B.jpg"]
    points = some_points(5).tolist()
    (folder / "faces.jsonl").write_text(
        "\n".join(json.dumps({"image": name, "points": points}) for name in names))
    records = sources.read(f"json:{folder}/faces.jsonl?schema=mtfl5").records
    assert [record.identity for record in records] == ["imgs/a.jpg"] * 6 + ["imgs/b.jpg"]
    assert [record.key for record in records] == [
        "imgs/a.jpg", *(f"imgs/a.jpg@{k}" for k in range(1, 6)), "imgs/b.jpg"]
    (folder / "images").mkdir()
    (folder / "imgs").rename(folder / "images/imgs")
    keypoints = np.column_stack([some_points(5), [2] * 5]).ravel().tolist()
    for names in (("imgs/a.jpg", "images/imgs/a.jpg"), ("images/imgs/a.jpg", "imgs/a.jpg")):
        images = [{"id": id, "file_name": name} for id, name in enumerate(names)]
        faces = [{"id": id, "image_id": id, "keypoints": keypoints} for id in range(2)]
        (folder / "faces.json").write_text(json.dumps({"images": images, "annotations": faces}))
        records = sources.read(f"coco:{folder}/faces.json?schema=mtfl5").records
        assert {record.identity for record in records} == {names[0]}
        assert [record.key for record in records] == ["images/imgs/a.jpg", "images/imgs/a.jpg@1"]


def test_identities_that_are_no_names_of_the_photo_stay(tmp_path: Path) -> None:
    for name in "ab":
        write_image(tmp_path / f"imgs/{name}.jpg")

    def identities(*said: tuple[str, str]) -> list[str | None]:
        rows = [{"image": image, "identity": identity, "points": some_points(5).tolist()}
                for image, identity in said]
        (tmp_path / "faces.jsonl").write_text("\n".join(map(json.dumps, rows)))
        records = sources.read(f"json:{tmp_path}/faces.jsonl?schema=mtfl5").records
        return [record.identity for record in records]

    kept = ["ann", "a", "b/a.jpg", "1/imgs/a.jpg", "imgs/a", "..", "", "/", "a.jpg"]
    assert identities(*(("imgs/a.jpg", identity) for identity in kept)) == kept
    # Equal ones stay equal, whichever comes first: b.jpg may be a part of a.jpg.
    first, second = ("imgs/a.jpg", "Imgs/a.jpg"), ("imgs/b.jpg", "Imgs/a.jpg")
    assert identities(first, second) == ["imgs/a.jpg"] * 2
    assert identities(second, first) == ["Imgs/a.jpg"] * 2


def test_conversion_to_a_subset(folder: Path) -> None:
    (folder / "b.pts").unlink()
    found = sources.read(f"ibug:{folder}?convert=ibug51")
    assert (found.schema, found.notes) == ("ibug51", [])
    for record in found.records:
        assert record.schema == "ibug51"
        np.testing.assert_allclose(record.points, some_points(68)[17:], atol=1e-4)


def test_conversion_says_once_how_it_is_made(shared_data: Path) -> None:
    path = shared_data / "format_samples" / "wflw" / "test_wflw.json"
    whole = sources.read(f"coco:{path}")
    found = sources.read(f"coco:{path}?convert=ibug68")
    assert whole.notes == [] and found.schema == "ibug68"
    (note,) = found.notes
    assert_told(note, "wflw98", "ibug68", "differ")
    for record, source in zip(found.records, whole.records, strict=True):
        assert_upright(record)
        np.testing.assert_allclose(record.points[48:60], source.points[76:88])
        assert (record.key, record.image) == (source.key, source.image)


def test_faces_without_a_point_after_a_conversion_are_skipped(tmp_path: Path) -> None:
    """iBUG's points 28 and 17 to 19: of the first, `makeup65` has none."""
    write_image(tmp_path / "a.jpg")
    points = some_points(68)
    rows = [[None if index not in known else point for index, point in enumerate(points.tolist())]
            for known in ({28}, {17, 18, 19, 36, 39, 42, 45})]
    path = tmp_path / "faces.jsonl"
    path.write_text("\n".join(
        json.dumps({"image": "a.jpg", "points": row, "visible": [True] * 68}) for row in rows))
    error, record = sources.stream(f"json:{path}?schema=ibug68&convert=makeup65")
    assert isinstance(error, DataError) and isinstance(record, FaceRecord)
    assert_refusal(error, "makeup65", path=tmp_path / "a.jpg")
    assert np.isfinite(record.points).all(axis=1).sum() == 7
    assert record.visible is not None
    absent = [not group for group in schemas.get("ibug68").conversions["makeup65"].points]
    assert not record.visible[absent].any()  # a point that is not there is not visible


@pytest.mark.parametrize("target", ["wflw98", "nonsense"])
def test_conversions_that_there_are_not(folder: Path, target: str) -> None:
    with refuses("schema ibug68", target, "ibug51"):
        sources.read(f"ibug:{folder}?convert={target}")


def test_stream_yields_errors_in_their_place(folder: Path) -> None:
    first, error, last = sources.stream(f"ibug:{folder}")
    assert isinstance(first, FaceRecord) and isinstance(last, FaceRecord)
    assert (first.key, last.key) == ("a.jpg", "c.jpg")
    assert isinstance(error, DataError) and error.path.name == "b.pts"
    assert sources.error_key(error, folder) == "b.pts:1"


def test_every_format_says_what_it_is() -> None:
    assert list(sources.FORMATS) == [format.name for format in sources.FORMATS.values()]
    for format in sources.FORMATS.values():
        assert format.title and format.path and format.layout and format.licence
        for schema in format.schemas:
            assert schemas.get(schema).name == schema
        assert all(meaning.endswith(".") for meaning in format.options.values()), format.name
    declared = [format.name for format in sources.FORMATS.values() if not format.schemas]
    assert declared == [
        "asf", "csv", "cvat", "json", "label_studio", "labelme", "via", "yolo",
    ]  # fmt: skip


def test_a_missing_folder_is_told_with_what_it_should_hold(tmp_path: Path) -> None:
    with refuses(tmp_path / "300w", "FOLDER", sources.FORMATS["300w"].layout):
        sources.read(f"300w:{tmp_path}/300w?split=train")


def test_on_error_is_checked(folder: Path) -> None:
    with refuses("on_error", "ignore", "stop", "skip"):
        sources.read(f"ibug:{folder}", on_error="ignore")


@pytest.mark.parametrize("start", ["/home/ann/photos", "C:\\photos", "old/photos"])
@pytest.mark.parametrize("reader", ["csv", "coco", "dlib", "json", "cvat", "retinaface"])
def test_names_of_images_on_another_computer(tmp_path: Path, reader: str, start: str) -> None:
    """The message says the option, and with it the face is that of the same name here."""
    image = write_image(tmp_path / "b" / "a.jpg")
    name = f"{start}\\b\\a.jpg" if "\\" in start else f"{start}/b/a.jpg"
    points = some_points(5)
    flat = [float(value) for value in points.ravel()]
    triples = [float(value) for x, y in points for value in (x, y, 2)]
    header = ",".join(f"x{i},y{i}" for i in range(5))
    parts = "".join(f"<part name='{i}' x='{x}' y='{y}'/>" for i, (x, y) in enumerate(points))
    drawn = ";".join(f"{x},{y}" for x, y in points)
    text = {
        "csv": f"image,{header}\n{name},{','.join(map(str, flat))}\n",
        "json": json.dumps({"image": name, "points": points.tolist()}),
        "coco": json.dumps({
            "images": [{"id": 1, "file_name": name}],
            "annotations": [{"image_id": 1, "keypoints": triples}]}),
        "dlib": f"<dataset><images><image file='{name}'>"
                f"<box left='1' top='1' width='9' height='9'>{parts}</box>"
                "</image></images></dataset>",
        "cvat": f"<annotations><image id='0' name='{name}' width='408' height='408'>"
                f"<points label='face' points='{drawn}'/></image></annotations>",
        "retinaface": f"# {name}\n1 1 99 99 {' '.join(f'{x} {y} 0.0' for x, y in points)} 0.9\n",
    }[reader]
    path = tmp_path / "faces"
    path.write_text(text)
    source = f"{reader}:{path}?" + ("" if reader == "retinaface" else "schema=mtfl5&")
    option = f"prefix={start}".replace("\\", "/")
    with refuses(option):
        sources.read(source)
    (record,) = sources.read(source + option).records
    assert record.image == image and record.key == record.identity == "b/a.jpg"
    np.testing.assert_allclose(record.points, points, atol=1e-3)
    (record,) = sources.read(f"{source}prefix={start}").records
    assert record.image == image


def test_several_schemas_and_the_option_that_makes_them_alike(tmp_path: Path) -> None:
    for count in (51, 68):
        write_image(tmp_path / f"{count}.jpg")
        (tmp_path / f"{count}.pts").write_text(ibug_text(some_points(count)))
    with refuses("ibug51", "ibug68", "convert=ibug51"):
        sources.read(f"ibug:{tmp_path}")
    found = sources.read(f"ibug:{tmp_path}?convert=ibug51")
    assert (found.schema, len(found.records)) == ("ibug51", 2)
