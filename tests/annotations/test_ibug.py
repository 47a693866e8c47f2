from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from efld_tf.annotations import ibug, pts
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
        (ibug_text(some_points(68)) * 2, 73, ["}", "NAME_1.pts"]),
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
    np.testing.assert_allclose(pts.read(path, ibug.SCHEMAS).points, points, atol=1e-4)


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
        TEXT.replace("version: 1", "version: 1.0"),
        TEXT.replace("68\n{", "68 {"),
        TEXT.replace("n_points:  68\n{", "n_points:68{"),
        re.sub(r"(?m)^(-?\d\S+) (\S+)$", r"\1, \2", TEXT),
        re.sub(r"(?m)^(-?\d\S+) (\S+)$", r"\1,\2", TEXT),
        re.sub(r"(?m)^(-?\d\S+) (\S+)$", r"\1 ,\t\2", TEXT),
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


def _columns(front: Sequence[object] | None, points: np.ndarray,
             behind: Sequence[object] | None = None) -> str:
    rows = [f"{x + 1:.6f} {y + 1:.6f}" for x, y in points.astype(float)]
    if front is not None:
        rows = [f"{word} {row}" for word, row in zip(front, rows, strict=True)]
    if behind is not None:
        rows = [f"{row} {word}" for word, row in zip(behind, rows, strict=True)]
    return "\n".join(["version: 1", f"n_points: {len(points)}", "{", *rows, "}"])


SIXTY_EIGHT = [*range(68)]


@pytest.mark.parametrize(
    ("front", "behind", "column"),
    [
        (SIXTY_EIGHT, None, "first"),
        ([*range(1, 69)], None, "first"),
        ([*range(17, 85)], None, "first"),
        ([2 * i for i in SIXTY_EIGHT], None, "first"),
        ([i + (i > 40) + (i > 60) for i in SIXTY_EIGHT], None, "first"),  # some are not there
        ([1] * 68, None, "first"),
        ([1, 0] * 34, None, "first"),
        ([2, 1, 0, 1] * 17, None, "first"),
        ([i // 10 for i in SIXTY_EIGHT], None, "first"),  # numbers of parts
        (None, [1] * 68, "third"),
        (None, [1, 0] * 34, "third"),
        (None, SIXTY_EIGHT, "third"),
        (None, [0.93 + i / 1000 for i in SIXTY_EIGHT], "third"),
        (None, [(i * 37) % 101 - 50.5 for i in SIXTY_EIGHT], "third"),  # depths
    ],
)
def test_what_a_third_number_is(
    tmp_path: Path, front: list[object] | None, behind: list[object] | None, column: str
) -> None:
    for points in (some_points(68), some_points(68).round()):
        _write(tmp_path, "a", _columns(front, points, behind))
        record, note = ibug.read(tmp_path)
        np.testing.assert_allclose(record.points, points, atol=1e-4)
        assert_told(note.text, f"{column} column", "1 file")


@pytest.mark.parametrize("order", [[*reversed(range(68))], [*range(30, 68), *range(30)]])
@pytest.mark.parametrize("start", [0, 1, 17])
def test_numbers_of_points_decide(tmp_path: Path, order: list[int], start: int) -> None:
    """As names do in other formats, whatever the order of the rows."""
    points = some_points(68)
    _write(tmp_path, "a", _columns([i + start for i in order], points[order]))
    record, note = ibug.read(tmp_path)
    np.testing.assert_allclose(record.points, points, atol=1e-4)
    assert_told(note.text, "first column", "another order")


@pytest.mark.parametrize(
    ("front", "behind"),
    [
        ([1] * 68, [1] * 68),  # x and y cannot both be beside them
        ([0.5 + i / 1000 for i in SIXTY_EIGHT], None),  # a score in front
        ([i % 30 for i in SIXTY_EIGHT], None),
    ],
)
def test_three_numbers_that_may_be_anything(
    tmp_path: Path, front: list[object], behind: list[object] | None
) -> None:
    text = _columns(front, some_points(68))
    if behind is not None:
        text = _columns(front, some_points(68)[:, :1].repeat(2, axis=1), None)
        text = re.sub(r"(?m)^(1 \S+) \S+$", r"\1 1", text)
    path = _write(tmp_path, "a", text)
    (error,) = ibug.read(tmp_path)
    assert_refusal(error, "three columns", "first", "third", path=path)


def test_positions_that_rise_are_no_index(tmp_path: Path) -> None:
    """Whole numbers from point to point, as x along a jaw, and depths behind."""
    points = np.array([[10 + 9 * i + i % 2, 40 + (i - 8) ** 2] for i in range(15)], np.float32)
    rows = "".join(f"{x + 1:.0f} {y + 1:.0f} {7.25 * i - 3.5}\n" for i, (x, y) in enumerate(points))
    _write(tmp_path, "a", f"version: 1\nn_points: 15\n{{\n{rows}}}\n")
    record, note = ibug.read(tmp_path, schema="kaggle15")
    np.testing.assert_allclose(record.points, points)
    assert_told(note.text, "third column")


def test_points_that_are_not_annotated(tmp_path: Path) -> None:
    points = some_points(68)
    points[[0, 5]] = np.nan
    for front, behind in ((None, None), (range(68), None), (None, [1] * 68)):
        text = _columns(front and [*front], points, behind)
        assert text.count("nan nan") == 2
        _write(tmp_path, "a", text.replace("nan nan", "NaN NaN", 1))
        record, *_ = ibug.read(tmp_path)
        np.testing.assert_allclose(record.points, points, atol=1e-4)


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
    files = {"a_jpg": "a.jpg", "a_png_0": "a.PNG", "a_png_1": "a.PNG",
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


def _faces(folder: Path, images: Sequence[str], stems: Sequence[str]) -> dict[str, object]:
    """What each file of these stems is of: its image's name, or the error."""
    for name in images:
        write_image(folder / name)
    result: dict[str, object] = {}
    for index, stem in enumerate(stems):
        (folder / f"{stem}.pts").write_text(ibug_text(some_points(68, index)))
    for item in ibug.read(folder):
        if isinstance(item, DataError):
            result[item.path.stem] = item
        else:
            (index,) = (i for i in range(len(stems))
                        if np.allclose(item.points, some_points(68, i), atol=1e-4))
            result[stems[index]] = item.image.name
    return result


def test_a_file_of_a_lost_image_is_given_to_no_other(tmp_path: Path) -> None:
    found = _faces(tmp_path, ["anna.jpg", "anna_1.jpg"], ["anna", "anna_1", "anna_2"])
    assert (found["anna"], found["anna_1"]) == ("anna.jpg", "anna_1.jpg")
    assert_refusal(found["anna_2"], "anna_2", "anna.jpg", "anna.pts", "anna_0.pts",
                   path=tmp_path / "anna_2.pts")


def test_numbered_images_may_be_lost(tmp_path: Path) -> None:
    found = _faces(tmp_path, ["anna.jpg", "anna_1.jpg"], ["anna_1", "anna_2", "anna.jpg_3"])
    assert (found["anna_1"], found["anna.jpg_3"]) == ("anna_1.jpg", "anna.jpg")
    assert_refusal(found["anna_2"], "anna_2", "anna.jpg", "anna.jpg_K.pts",
                   path=tmp_path / "anna_2.pts")


def test_faces_of_one_image(tmp_path: Path) -> None:
    found = _faces(tmp_path, ["a.jpg", "b_1.jpg", "b_2.jpg"], ["a_0", "a_1", "b_1_0", "b_2_1"])
    assert found == {"a_0": "a.jpg", "a_1": "a.jpg", "b_1_0": "b_1.jpg", "b_2_1": "b_2.jpg"}


def test_names_that_differ_in_case_or_composed_letters(tmp_path: Path) -> None:
    def composed(form: Literal["NFC", "NFD"]) -> str:
        return unicodedata.normalize(form, "Zoë")

    images = ["IMG_0a.JPG", f"{composed('NFC')}.jpg", "B.jpg", "c.jpg", "C.jpg", "d.jpg"]
    stems = ["img_0a", composed("NFD"), "b_0", "b_1", "C", "d", "D"]
    found = _faces(tmp_path, images, stems)
    assert [found[stem] for stem in stems[:-1]] == [
        "IMG_0a.JPG", images[1], "B.jpg", "B.jpg", "C.jpg", "d.jpg"]
    assert_refusal(found["D"], "d.pts", "d.jpg", path=tmp_path / "D.pts")


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
