from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from efld_tf.annotations import ibug
from efld_tf.annotations.images import read_image
from efld_tf.annotations.listing import IMAGE_SUFFIXES
from efld_tf.annotations.record import FaceRecord
from efld_tf.errors import DataError
from tests.annotations.writers import ibug_text, some_points, write_image
from tests.errors import assert_refusal, assert_told, refuses


def _write(folder: Path, name: str, text: str) -> Path:
    write_image(folder / f"{name}.jpg")
    path = folder / f"{name}.pts"
    path.write_text(text, newline="")
    return path


@pytest.mark.parametrize(
    ("split", "faces", "photos"), [("trainset", 870, 783), ("testset", 330, 298)]
)
def test_helen(shared_data: Path, split: str, faces: int, photos: int) -> None:
    records = list(ibug.read(shared_data / "ibug" / "helen" / split))
    assert len(records) == faces
    assert all(record.schema == "ibug68" for record in records)
    assert len({record.identity for record in records}) == photos
    assert [record.image for record in records] == sorted(record.image for record in records)
    # Each image is centred on the tight box: counted from 0, an image's centre is (size - 1) / 2.
    for record in records[::40]:
        height, width = read_image(record).shape[:2]
        x0, y0, x1, y1 = record.source_box("points")
        np.testing.assert_allclose([x0 + x1, y0 + y1], [width - 1, height - 1], atol=0.02)


@pytest.mark.parametrize(("count", "schema"), [(68, "ibug68"), (51, "ibug51")])
def test_round_trip(tmp_path: Path, count: int, schema: str) -> None:
    points = some_points(count)
    _write(tmp_path / "deep" / "er", "12_1", ibug_text(points))
    (record,) = ibug.read(tmp_path)
    assert (record.schema, record.identity) == (schema, "12")
    assert record.image == tmp_path / "deep" / "er" / "12_1.jpg"
    assert record.points.dtype == np.float32 and record.box is None
    np.testing.assert_allclose(record.points, points, atol=1e-4)


def test_white_space_and_line_ends(tmp_path: Path) -> None:
    points = some_points(51)
    text = ibug_text(points).replace(" ", "\t ").replace("\n", " \r\n\r\n")
    _write(tmp_path, "a", "\ufeff" + text.replace("n_points:", "n_points :"))
    (record,) = ibug.read(tmp_path)
    np.testing.assert_allclose(record.points, points, atol=1e-4)


@pytest.mark.parametrize("suffix", [".jpg", ".JPG", ".jpeg", ".Png", ".bmp"])
def test_image_suffixes(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "a.pts").write_text(ibug_text(some_points(68)))
    (tmp_path / f"a{suffix}").touch()
    (record,) = ibug.read(tmp_path)
    assert record.image.name == f"a{suffix}"


def test_names_with_dots_keep_apart(tmp_path: Path) -> None:
    (tmp_path / "a.b.pts").write_text(ibug_text(some_points(68)))
    write_image(tmp_path / "a.jpg")
    (error,) = ibug.read(tmp_path)
    assert_refusal(error, "image", ".jpg", ".png", path=tmp_path / "a.b.pts")


@pytest.mark.parametrize(
    ("stem", "photo"),
    [
        ("100040721_1", "100040721"),  # HELEN: two faces of one photo
        ("100040721_2", "100040721"),
        ("134212_1", "134212"),  # AFW
        ("image_003_1", "image_003"),  # iBUG
        ("image_0018", "image_0018"),  # LFPW: the number of the photo
        ("image_0018_mirror", "image_0018"),
        ("indoor_020", "indoor_020"),  # 300-W
        ("face", "face"),
        ("12", "12"),
    ],
)
def test_photo(stem: str, photo: str) -> None:
    assert ibug.photo(stem) == photo


def _replaced(line: int, text: str) -> str:
    lines = ibug_text(some_points(68)).splitlines()
    lines[line - 1] = text
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("text", "line", "facts"),
    [
        (_replaced(7, "nan nan x"), 7, ["2 numbers", "nan nan x"]),
        (_replaced(7, "1 x"), 7, ["number", "x"]),
        (_replaced(7, "1 nan"), 7, ["coordinate", "nan"]),
        (_replaced(7, "1 inf"), 7, ["coordinate", "inf"]),
        (_replaced(7, "1 1e30"), 7, ["coordinate", "1e30"]),
        (_replaced(7, "5"), 7, ["2 numbers", 5]),
        (_replaced(7, ""), 72, ["points", 68, 67]),
        (_replaced(7, "}"), 7, ["points", 68, 3]),
        (_replaced(72, "1 1"), 72, ["}", 68]),
        (_replaced(72, ""), None, ["ends", "68 of 68"]),
        (_replaced(1, "version: 2"), None, ["version: 1", 2]),
        (_replaced(1, "hi"), 1, ["version: 1", "n_points: N", "{", "hi"]),
        (_replaced(2, "n_points: 29"), None, ["n_points: 68", 51, 29]),
        (_replaced(2, "n_points: 9999999999"), None, ["n_points: 68", 51, 9999999999]),
        (_replaced(2, "n_points: 51"), 55, ["}", 51]),
        (_replaced(2, ""), None, ["n_points: 68", 51, None]),
        (_replaced(3, "version: 1"), 4, ["version: 1"]),
        ("", None, ["{"]),
        ("x" * 20000, 1, ["version: 1"]),
        ("version: 1\n" * 10000, None, ["bytes", 65536, 110000]),
    ],
)
def test_errors_say_where_and_what(
    tmp_path: Path, text: str, line: int | None, facts: list[object]
) -> None:
    path = _write(tmp_path, "a", text)
    _write(tmp_path, "b", ibug_text(some_points(68)))
    error, record = ibug.read(tmp_path)
    assert isinstance(record, FaceRecord)
    assert_refusal(error, *facts, path=path, line=line)
    assert len(str(error)) < 200 + len(str(tmp_path))


def test_a_folder_is_needed(tmp_path: Path) -> None:
    path = _write(tmp_path, "a", ibug_text(some_points(68)))
    with refuses("folder", ".pts", path=path):
        list(ibug.read(path))
    path.rename(tmp_path / "a.txt")
    assert list(ibug.read(tmp_path)) == []


@given(st.sampled_from([68, 51]), st.integers(0, 1000))
def test_any_points_survive_the_round_trip(tmp_path: Path, count: int, seed: int) -> None:
    points = some_points(count, seed)
    path = _write(tmp_path, "a", ibug_text(points))
    np.testing.assert_allclose(ibug.read_points(path)[0], points, atol=1e-4)


def test_other_numbers_of_points_by_their_schema(tmp_path: Path) -> None:
    points = some_points(98)
    path = _write(tmp_path, "a", ibug_text(points))
    (record,) = ibug.read(tmp_path, schema="wflw98")
    assert record.schema == "wflw98"
    np.testing.assert_allclose(record.points, points, atol=1e-4)
    (error,) = ibug.read(tmp_path)
    assert_refusal(error, "n_points: 68", 98, "schema=", path=path)
    (record,) = ibug.read(tmp_path, schema="wflw98", origin="0")
    np.testing.assert_allclose(record.points, points + 1, atol=1e-4)


TEXT = ibug_text(some_points(68))


@pytest.mark.parametrize(
    "text",
    [
        TEXT.replace("version: 1\n", ""),
        TEXT.replace("version: 1", "# made by hand\nversion: 1").replace("{", "// points\n{"),
        TEXT.replace("n_points", "N_Points").replace("version", "Version"),
        TEXT.replace("\n", "\r\n"),
        TEXT.replace("version: 1", "\ufeffversion: 1"),
    ],
)
def test_other_ways_to_write_a_file(tmp_path: Path, text: str) -> None:
    assert text != TEXT
    _write(tmp_path, "a", text)
    (record,) = ibug.read(tmp_path)
    np.testing.assert_allclose(record.points, some_points(68), atol=1e-4)


def test_a_third_column_is_left_out_and_said(tmp_path: Path) -> None:
    lines = TEXT.splitlines()
    deep = "\n".join([*lines[:3], *(f"{line} -7.5" for line in lines[3:-1]), "}"])
    path = _write(tmp_path, "a", deep)
    record, note = ibug.read(tmp_path)
    np.testing.assert_allclose(record.points, some_points(68), atol=1e-4)
    assert_told(note.text, "third column", "1 file")
    path.write_text(deep.replace(" -7.5", "", 1))
    (error,) = ibug.read(tmp_path)
    assert_refusal(error, 2, "-7.5", path=path, line=5)


def test_rows_with_an_index(tmp_path: Path) -> None:
    for start in (0, 1):
        lines = TEXT.splitlines()
        rows = [f"{i} {line}" for i, line in enumerate(lines[3:-1], start)]
        _write(tmp_path, "a", "\n".join([*lines[:3], *rows, "}"]))
        (record,) = ibug.read(tmp_path)
        np.testing.assert_allclose(record.points, some_points(68), atol=1e-4)


def test_every_photo_and_suffix_that_is_read(tmp_path: Path) -> None:
    for index, suffix in enumerate(IMAGE_SUFFIXES):
        (tmp_path / f"{index}{suffix}").touch()
        (tmp_path / f"{index}.{'PTS' if index % 2 else 'pts'}").write_text(TEXT)
    records = list(ibug.read(tmp_path))
    assert {record.image.suffix for record in records} == {*IMAGE_SUFFIXES}
    assert all(record.image.stem == record.identity for record in records)


def test_two_photos_of_one_stem(tmp_path: Path) -> None:
    """As `efld-predict` names their files, and a copy of a file's name with `.pts` behind it."""
    for name in ("a.jpg", "a.PNG"):
        write_image(tmp_path / name.lower()).rename(tmp_path / name)
    files = {"a_jpg_0": "a.jpg", "a_png_0": "a.PNG", "a_png_1": "a.PNG", "a_jpg": "a.jpg",
             "a.jpg": "a.jpg", "a.png_7": "a.PNG"}
    for stem in files:
        (tmp_path / f"{stem}.pts").write_text(TEXT)
    found = {record.image.name for record in ibug.read(tmp_path)}
    assert found == {"a.jpg", "a.PNG"}
    names = [record.image.name for record in ibug.read(tmp_path)]
    assert names == [files[stem] for stem in sorted(files)]
    (tmp_path / "a.pts").write_text(TEXT)
    errors = [item for item in ibug.read(tmp_path) if isinstance(item, DataError)]
    (error,) = errors
    assert_refusal(error, "a.jpg", "a.PNG", path=tmp_path / "a.pts")


def test_images_in_another_folder_and_frames_of_a_video(tmp_path: Path) -> None:
    image = write_image(tmp_path / "photos" / "b" / "a.jpg")
    (tmp_path / "photos" / "clip.mp4").touch()
    for name in ("b/a_0.pts", "b/a_1.pts", "clip.mp4/000007_0.pts"):
        path = tmp_path / "pts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(TEXT)
    records = list(ibug.read(tmp_path / "pts", images=str(tmp_path / "photos")))
    assert [(r.image, r.frame) for r in records] == [
        (image, None), (image, None), (tmp_path / "photos" / "clip.mp4", 7)]
    assert [r.identity for r in records] == ["a", "a", "clip.mp4"]
    for item in ibug.read(tmp_path / "pts"):
        assert isinstance(item, DataError)
    with refuses("images", "folder"):
        list(ibug.read(tmp_path / "pts", images=str(tmp_path / "none")))
