from __future__ import annotations

from pathlib import Path

import pytest

from efld_tf.annotations import sources
from efld_tf.errors import DataError, EfldError
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
        ("ibug:{}/empty", "no annotated face found"),
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


def test_on_error_is_checked(folder: Path) -> None:
    with pytest.raises(EfldError, match="on_error must be one of stop, skip, got 'ignore'"):
        sources.read(f"ibug:{folder}", on_error="ignore")
