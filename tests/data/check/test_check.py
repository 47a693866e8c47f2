"""What a check is made of, on small sources."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from efld_tf.annotations import sources
from efld_tf.annotations.images import read_photo
from efld_tf.data import pack
from efld_tf.data.check import duplicates, faces, findings, shapes
from efld_tf.data.options import PackOptions, SourceOptions
from efld_tf.landmarks import schemas
from tests import faces as drawn
from tests.annotations.writers import write_image
from tests.data.check.checking import kinds_of, quick
from tests.errors import assert_told, refuses
from tests.test_imports import loaded_by


def test_boxes_that_miss_their_points(tmp_path: Path) -> None:
    listed = drawn.write_five_points(tmp_path / "five", 30)
    lines = listed.read_text().split("\n")
    name, x0, x1, y0, y1, *points = lines[3].split()
    lines[3] = " ".join([name, "1", "9", "1", "9", *points])
    lines[5] = " ".join([lines[5].split()[0], *(str(float(v) * 4) for v in (x0, x1, y0, y1)),
                         *lines[5].split()[5:]])
    listed.write_text("\n".join(lines))
    found = quick([f"mtfl:{listed}"], workers=1)
    assert kinds_of(found)[findings.BOX] == {"3_0_0.png", "5_0_0.png"}
    (told,) = (f.message for f in found.findings
               if f.key == "3_0_0.png" and f.kind == findings.BOX)
    assert_told(told, "box", "0 of 5")


def test_faces_of_one_photo_are_no_duplicates(tmp_path: Path) -> None:
    """Two faces in each of two copies of a photo: one copy of each face, whatever their order."""
    rng = np.random.default_rng(0)
    (one, first), (two, second) = (drawn.draw_face("mtfl5", rng) for _ in range(2))
    photo = np.hstack([one, two])
    second = second + np.array([one.shape[1], 0])

    def line(name: str, points: np.ndarray) -> str:
        (x0, y0), (x1, y1) = points.min(0) - 15, points.max(0) + 15
        return " ".join([name, *(f"{v:.2f}" for v in (x0, x1, y0, y1, *points.ravel()))])

    for name in ("a_0_0.png", "b_0_0.png"):
        cv2.imwrite(str(tmp_path / name), photo[..., ::-1])
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join([line("a_0_0.png", first), line("a_0_0.png", second),
                                 line("b_0_0.png", second), line("b_0_0.png", first)]))
    found = quick([f"mtfl:{listed}"], workers=1)
    pairs = {(f.key, f.other[1]) for f in found.findings if f.kind == findings.DUPLICATE}
    assert pairs == {("b_0_0.png", "a_0_0.png@1"), ("b_0_0.png@1", "a_0_0.png")}
    assert findings.NEAR_DUPLICATE not in kinds_of(found)
    one_side, other_side = tmp_path / "train.txt", tmp_path / "test.txt"
    one_side.write_text(line("a_0_0.png", first))
    other_side.write_text(line("b_0_0.png", second))
    found = quick([f"mtfl:{one_side}"], (f"mtfl:{other_side}",), workers=1)
    assert set(kinds_of(found)) == {findings.TEST_PHOTO}


def test_cut_off_files_are_told_from_whole_ones(shared_data: Path) -> None:
    photo = shared_data / "ibug/helen/testset/296961468_1.jpg"
    jpeg = photo.read_bytes()
    image = read_photo(photo)
    thumbnail = cv2.imencode(".jpg", image[:64, :64])[1].tobytes()
    exif = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    assert b"\xff\xd9" in exif
    for whole in (jpeg, jpeg + b"\0" * 100, jpeg[:2] + exif + jpeg[2:]):
        assert faces.truncation(whole) is None
        assert_told(faces.truncation(whole[: len(jpeg) // 2]), "end-of-image")
    png = cv2.imencode(".png", image)[1].tobytes()
    assert faces.truncation(png) is None
    assert_told(faces.truncation(png[:-6]), "IEND")
    for content in (b"", b"BM...", b"\xff\xd8\xff\xff\xff", b"\xff\xd8\xff\xe1\0\0" * 9):
        faces.truncation(content)


def test_batches_never_split_a_photo() -> None:
    points = np.zeros((5, 2), np.float32)
    records = [
        sources.FaceRecord(Path(f"{i // 3}.jpg"), points, "mtfl5") for i in range(300)
    ] + [sources.FaceRecord(Path("v.avi"), points, "mtfl5", frame=i // 2) for i in range(4100)]
    grouped = list(faces.batches(records))
    assert [record for batch in grouped for record, _ in batch] == records
    ends = [(record.image, record.frame) for record, _ in (batch[-1] for batch in grouped)]
    starts = [(record.image, record.frame) for record, _ in (batch[0] for batch in grouped)]
    assert not set(ends[:-1]) & set(starts[1:])
    assert all(len(batch) <= 3 * faces.BATCH_PHOTOS for batch in grouped[:6])
    assert max(map(len, grouped)) <= 2 * (faces.BATCH_FRAMES + faces.BATCH_PHOTOS)


@pytest.mark.parametrize("schema", ["ibug68", "scut86", "mtfl5"])
def test_every_face_mislabelled_is_found_too(shared_data: Path, schema: str) -> None:
    """The source's own mean shape does not hide what all of its faces have wrong."""
    source = {"ibug68": "ibug:ibug/helen/testset", "scut86": "scut:scut_fbp5500",
              "mtfl5": "mtfl:net7876/testImageList.txt"}[schema]
    reader, _, path = source.partition(":")
    records = sources.read(f"{reader}:{shared_data / path}", on_error="skip").records[:400]
    points = np.stack([record.points for record in records])
    found = schemas.get(schema)
    exchanged = points[:, list(found.flip)]
    assert not shapes.shape_tests(points, found).swapped.any()
    assert shapes.shape_tests(exchanged, found).swapped.all()
    half = np.concatenate([points[::2], exchanged[1::2]])
    assert shapes.shape_tests(half, found).swapped.sum() == len(exchanged[1::2])


def test_a_flip_that_contradicts_the_faces_is_told(shared_data: Path) -> None:
    records = sources.read(f"ibug:{shared_data}/ibug/helen/testset").records
    points, right = np.stack([record.points for record in records]), schemas.get("ibug68")
    assert not shapes.doubtful_flip(points, right)
    flip = list(right.flip)
    flip[31], flip[35] = 31, 35  # the nostrils, each its own partner
    assert shapes.doubtful_flip(points, replace(right, flip=tuple(flip))) == {31: 35, 35: 31}
    # A face seen from the side alone tells nothing.
    assert not shapes.doubtful_flip(points[..., :] * [0.3, 1] + points[..., ::-1] * [0.9, 0], right)


@pytest.mark.parametrize("source", [
    "ibug:{}/ibug/helen/trainset",
    pytest.param("scut:{}/scut_fbp5500", marks=pytest.mark.long)])
@pytest.mark.parametrize("shift", [1, -2])
def test_a_part_shifted_in_a_tenth_of_the_faces(
    shared_data: Path, source: str, shift: int
) -> None:
    """Though the shape model has learnt the shift; a few are hidden by an expression."""
    records = sources.read(source.format(shared_data), on_error="skip").records
    records = records[:: len(records) // 200][:200]
    schema = schemas.get(records[0].schema)
    right = np.stack([record.points for record in records]).astype(float)
    assert not shapes.shape_tests(right, schema).shifts
    rng = np.random.default_rng(0)
    missed, planted = 0, 0
    for part in schema.parts:
        if not part.line or len(part.points) < shapes.FEWEST_SHIFTED:
            continue
        points, index = right.copy(), list(part.points)
        chosen = rng.choice(len(points), 20, replace=False)
        points[chosen[:, None], index] = np.roll(right[chosen[:, None], index], shift, axis=1)
        found = shapes.shape_tests(points, schema).shifts
        assert set(found) <= {*chosen.tolist()}
        assert {text.rpartition(" by ")[0] for text in found.values()} == {part.name}
        missed, planted = missed + len(chosen) - len(found), planted + len(chosen)
    assert planted >= 7 * 20 and missed <= 0.05 * planted


@pytest.mark.parametrize("source", [
    "ibug:{}/ibug/helen/testset", "ibug:{}/lfpw", "webmorph:{}/webmorph",
    "face_synthetics:{}/face_synthetics", "mtfl:{}/net7876/testImageList.txt"])
def test_right_flips_are_not_doubted(shared_data: Path, source: str) -> None:
    """Neither on clean sets nor on samples of them, however asymmetric."""
    records = sources.read(source.format(shared_data), on_error="skip").records
    points, schema = np.stack([r.points for r in records]), schemas.get(records[0].schema)
    rng = np.random.default_rng(0)
    samples = [rng.choice(len(points), 20, replace=False) for _ in range(20)]
    for chosen in (np.arange(len(points)), *samples):
        assert not shapes.doubtful_flip(points[chosen], schema)


@pytest.mark.parametrize("boxes", [0, 5])
def test_boxes_that_are_missing(tmp_path: Path, boxes: int) -> None:
    """The crops of this schema start from them."""
    listed = tmp_path / "faces.jsonl"
    rows = []
    for index in range(8):
        write_image(tmp_path / f"{index}.png")
        points = [[30, 30], [60, 30], [45, 45], [33, 60], [57, 60]]
        box = {"box": [15, 10, 75, 80]} if index < boxes else {}
        rows.append(json.dumps({"image": f"{index}.png", "points": points, **box}))
    listed.write_text("\n".join(rows))
    source = f"json:{listed}?schema=mtfl5"
    found = quick([source])
    assert len(kinds_of(found)[findings.NO_BOX]) == 8 - boxes
    options = SourceOptions(source, "p", ["mtfl5"])
    with refuses("face box", "points", path=tmp_path / f"{boxes}.png"):
        pack.pack(options, tmp_path / "p", PackOptions(size=32), progress=False)
    options = replace(options, on_error="skip")
    if boxes:
        packed = pack.pack(options, tmp_path / "p", PackOptions(size=32), progress=False)
        assert (packed.faces("train"), len(packed.skipped)) == (boxes, 8 - boxes)
    else:
        with refuses("face box", path=tmp_path / "0.png"):
            pack.pack(options, tmp_path / "p", PackOptions(size=32), progress=False)


def test_missing_points_are_no_outliers(shared_data: Path) -> None:
    records = sources.read(f"ibug:{shared_data}/ibug/helen/testset").records
    points = np.stack([record.points for record in records])
    lost = np.random.default_rng(0).random(points.shape[:2]) < 0.3
    points[lost] = np.nan
    tests = shapes.shape_tests(points, schemas.get("ibug68"))
    assert np.isfinite(tests.residual).all()
    assert tests.outlier.sum() <= 2 and not tests.swapped.any() and len(tests.shifts) <= 2


def test_near_duplicates_are_those_of_comparing_all_with_all() -> None:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 1 << 63, 400, dtype=np.uint64)
    thumbnails = rng.integers(0, 256, (400, 64)).astype(np.uint8)
    for i in range(0, 300, 3):
        flips = rng.choice(64, rng.integers(0, 10), replace=False)
        hashes[i + 1] = hashes[i] ^ np.uint64(sum(1 << int(b) for b in flips))
        thumbnails[i + 1] = thumbnails[i]
    pairs = {
        (int(a), int(b))
        for first, second in duplicates.similar_pairs([hashes], thumbnails, 7, 0.95)
        for a, b in zip(first, second, strict=True)
    }
    expected = {
        (i, i + 1) for i in range(0, 300, 3)
        if bin(int(hashes[i]) ^ int(hashes[i + 1])).count("1") <= 7
    }
    assert pairs == {*expected} and 50 < len(pairs) < 100


def test_many_faces_are_not_compared_all_with_all() -> None:
    """50,000 faces: 1.2 billion pairs would run for minutes, and take their thumbnails' memory."""
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 1 << 63, 50_000, dtype=np.uint64)
    thumbnails = rng.integers(0, 256, (50_000, 64)).astype(np.uint8)
    assert sum(len(a) for a, _ in duplicates.similar_pairs([hashes], thumbnails, 6, 0.9)) < 10


def test_equal_shapes_and_lines_do_no_harm() -> None:
    """Degenerate sources: every face the same, all points on a line."""
    schema = schemas.get("ibug68")
    same = np.tile(drawn.mean_shape("ibug68") * 100, (30, 1, 1))
    line = np.stack([np.arange(68.0), np.zeros(68)], -1) * np.ones((30, 1, 1))
    for points in (same, line, np.concatenate([same[:25], np.full((5, 68, 2), 7.0)])):
        tests = shapes.shape_tests(points, schema)
        assert np.isfinite(tests.residual).all()
        assert not tests.outlier[:25].any()


def test_checking_needs_no_tensorflow() -> None:
    modules = "from efld_tf.data.check import exclusions, report, run"
    assert not loaded_by(modules) & {"tensorflow", "tf_keras", "keras", "matplotlib"}
