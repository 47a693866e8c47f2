from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from efld_tf.annotations import sources
from efld_tf.annotations.record import FaceRecord
from efld_tf.errors import DataError, EfldError
from efld_tf.landmarks import schemas
from tests.annotations.real import assert_upright
from tests.annotations.writers import ibug_text, mtfl_line, some_points, write_image


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
    assert sources.parse("made:up", known=("made",)).reader == "made"
    assert sources.parse("scut:~/x").path == Path.home() / "x"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected reader:path, with a reader of 300vw, 300w,"),
        ("ibug", "expected reader:path"),
        ("ibug:", "expected reader:path"),
        ("ibag:/data", "unknown reader 'ibag'; known: 300vw, 300w,"),
        ("ibug:/data?deep", "expected option=value after '?', got 'deep'"),
    ],
)
def test_parse_errors(text: str, message: str) -> None:
    with pytest.raises(EfldError) as caught:
        sources.parse(text)
    assert message in str(caught.value)


def test_stop_and_skip(folder: Path) -> None:
    with pytest.raises(DataError, match=r"b\.pts:1: expected 'version: 1'"):
        sources.read(f"ibug:{folder}")
    found = sources.read(f"ibug:{folder}", on_error="skip")
    assert found.schema == "ibug68"
    assert [record.identity for record in found.records] == ["a", "c"]
    assert [error.path.name for error in found.skipped] == ["b.pts"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("ibug:{}?deep=1", "unknown option 'deep'; reader ibug has convert"),
        ("wflw:{}?image=x", "unknown option 'image'; reader wflw has images"),
        ("youtube_faces:{}?split=x", "reader youtube_faces has identities, origin"),
        ("ibug:{}/nothing", "nothing does not exist"),
        ("ibug:{}/empty", "no annotated face found; expected FOLDER: NAME.pts beside"),
    ],
)
def test_read_errors(folder: Path, source: str, message: str) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(EfldError, match=message):
        sources.read(source.format(folder), on_error="skip")


def test_mixed_schemas_are_refused(folder: Path) -> None:
    (folder / "c.pts").write_text(ibug_text(some_points(51)))
    with pytest.raises(EfldError, match="several schemas: ibug51, ibug68"):
        sources.read(f"ibug:{folder}", on_error="skip")


def test_excluding_a_face_without_a_distance_keeps_the_others_of_its_photo(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg")
    good, bad = some_points(5), some_points(5)
    bad[:2] = 7
    lines = [mtfl_line("a.jpg", (0, 0, 90, 90), points) for points in (good, bad)]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    source = f"mtfl:{tmp_path}/list.txt"
    with pytest.raises(DataError, match="a.jpg@1: its eyes coincide") as caught:
        sources.read(source)
    key = sources.error_key(caught.value, tmp_path)
    assert key == "a.jpg@1"
    found = sources.read(source, exclude=frozenset([key]))
    assert [record.key for record in found.records] == ["a.jpg"]
    assert found.excluded == {"a.jpg@1"}


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
    assert note.startswith("wflw98 is converted to ibug68: ") and "definitions differ" in note
    for record, source in zip(found.records, whole.records, strict=True):
        assert_upright(record)
        np.testing.assert_allclose(record.points[48:60], source.points[76:88])
        assert (record.key, record.image) == (source.key, source.image)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("wflw98", "schema ibug68 cannot be converted to wflw98; known: .*ibug51"),
        ("nonsense", "schema ibug68 cannot be converted to nonsense"),
    ],
)
def test_conversions_that_there_are_not(folder: Path, target: str, message: str) -> None:
    with pytest.raises(EfldError, match=message):
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
    assert declared == ["csv", "json"]


def test_on_error_is_checked(folder: Path) -> None:
    with pytest.raises(EfldError, match="on_error must be one of stop, skip, got 'ignore'"):
        sources.read(f"ibug:{folder}", on_error="ignore")
