"""Checks of annotated sources: known faults of real data and planted ones are found."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from efld_tf.annotations import sources
from efld_tf.annotations.images import read_photo
from efld_tf.annotations.synthetic.dataset import pts_text
from efld_tf.cli import data
from efld_tf.data import pack
from efld_tf.data.check import duplicates, exclusions, faces, findings, report, shapes
from efld_tf.data.check.findings import Thresholds
from efld_tf.data.check.run import Report, check
from efld_tf.data.options import PackOptions, SourceOptions
from efld_tf.errors import DataError, EfldError
from efld_tf.landmarks import schemas
from tests import faces as drawn
from tests.test_imports import loaded_by


def kinds_of(found: Report, source: int = 0) -> dict[str, set[str]]:
    """The keys of a source's findings by kind."""
    result: dict[str, set[str]] = {}
    for finding in found.findings:
        if finding.source == source:
            result.setdefault(finding.kind, set()).add(finding.key)
    return result


def quick(corpus: list[str], against: tuple[str, ...] = (), **options) -> Report:
    return check(corpus, against, progress=False, workers=options.pop("workers", 2), **options)


# --- real data -----------------------------------------------------------------------------------


def test_helen_is_clean(shared_data: Path) -> None:
    """Nothing is found but 11 near-duplicates: files of one photo, and photos of one moment."""
    helen = shared_data / "ibug/helen"
    found = quick([f"ibug:{helen}/trainset"], (f"ibug:{helen}/testset",))
    assert found.faces == 1200
    for source in (0, 1):
        assert set(kinds_of(found, source)) <= {findings.NEAR_DUPLICATE}
        assert len(kinds_of(found, source)[findings.NEAR_DUPLICATE]) < 10
    same = {"2082267415_2.jpg", "2082267415_3.jpg"}  # two files of one face
    pairs = [{f.key, f.other[1]} for f in found.findings if f.other]
    assert same in pairs


def test_scut_s_truncated_file_and_scrambled_points(shared_data: Path) -> None:
    found = quick([f"scut:{shared_data}/scut_fbp5500"])
    kinds = kinds_of(found)
    assert kinds[findings.ANNOTATION] == {"facial landmark/CM152.pts"}
    # Seen by eye: all are errors of the annotation.
    assert {"Images/CF434.jpg", "Images/AF525.jpg", "Images/AM1744.jpg"} <= kinds[findings.OUTLIER]
    assert len(kinds[findings.OUTLIER]) < 25
    assert findings.SWAPPED not in kinds and findings.SHIFT not in kinds


def test_youtube_faces_share_people(shared_data: Path) -> None:
    folder = shared_data / "youtube_faces"
    found = quick([f"youtube_faces:{folder}/training_frames_keypoints.csv"],
                  (f"youtube_faces:{folder}/test_frames_keypoints.csv",))
    kinds = kinds_of(found)
    assert len(kinds[findings.TEST_IDENTITY]) > 3000
    assert len(kinds[findings.TEST_DUPLICATE]) == 4
    # 3 of 3462 with many profiles: points on the background.
    assert kinds[findings.OUTLIER] == {
        "training/Marieta_Chrousala_12.jpg", "training/Chris_Cirino_30.jpg",
        "training/Elton_John_10.jpg",
    }
    assert findings.SWAPPED not in kinds and findings.SHIFT not in kinds


def test_the_honest_split_shares_no_people(shared_data: Path) -> None:
    folder = shared_data / "youtube_faces"
    found = quick([f"youtube_faces:{folder}?identities=train"],
                  (f"youtube_faces:{folder}?identities=test",))
    assert findings.TEST_IDENTITY not in kinds_of(found)


def test_net_photos_with_faces_on_both_sides(shared_data: Path) -> None:
    folder = shared_data / "net7876"
    found = quick([f"mtfl:{folder}/trainImageList.txt"], (f"mtfl:{folder}/testImageList.txt",))
    shared = kinds_of(found)[findings.TEST_IDENTITY]
    photos = {r.identity for r in found.sources[0].records if r.key in shared}
    assert len(photos) == 42
    assert not {findings.OUTLIER, findings.SWAPPED, findings.SHIFT, findings.BOX} & {
        *kinds_of(found), *kinds_of(found, 1)
    }


# --- planted errors ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def helen(shared_data: Path) -> list[sources.FaceRecord]:
    """Faces of different photos."""
    records = sources.read(f"ibug:{shared_data}/ibug/helen/trainset").records
    seen: set[str] = set()
    return [r for r in records if not (r.identity in seen or seen.add(r.identity))][:90]


def copy(record: sources.FaceRecord, folder: Path, name: str | None = None) -> Path:
    """Copies a face's image and annotation; returns the new image."""
    name = name or record.image.stem
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(record.image, folder / f"{name}.jpg")
    (folder / f"{name}.pts").write_text(pts_text(record.points))
    return folder / f"{name}.jpg"


def annotate(image: Path, points: np.ndarray) -> None:
    image.with_suffix(".pts").write_text(pts_text(points))


@pytest.fixture(scope="module")
def planted(
    helen: list[sources.FaceRecord], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, set[str]], Report]:
    """70 real faces with a fault of each kind, the keys that each must be found at, a report."""
    root = tmp_path_factory.mktemp("planted")
    train, test = root / "train", root / "test"
    schema = schemas.get("ibug68")
    images = [copy(record, train) for record in helen[:70]]
    expected: dict[str, set[str]] = {}

    def fault(kind: str, index: int) -> sources.FaceRecord:
        expected.setdefault(kind, set()).add(images[index].name)
        return helen[index]

    fault(findings.TRUNCATED, 0)
    images[0].write_bytes(images[0].read_bytes()[:-2000])
    fault(findings.IMAGE, 1)
    images[1].write_bytes(b"no image")
    for index, old, new in ((2, "n_points:  68", "n_points:  67"), (3, "\n}", "\n1 2\n}"),
                            (4, "\n{\n", "\n{\nnan 3\n"), (5, "\n{\n", "\n{\ninf 3\n")):
        file = images[index].with_suffix(".pts")
        file.write_text(file.read_text().replace(old, new))
        expected.setdefault(findings.ANNOTATION, set()).add(f"{file.name}")
    points = fault(findings.OUTSIDE, 6).points.copy()
    points[8] += [0, 300]
    annotate(images[6], points)
    expected.setdefault(findings.OUTLIER, set()).add(images[6].name)
    annotate(images[7], fault(findings.SWAPPED, 7).points[list(schema.flip)])
    mirrored = read_photo(fault(findings.SWAPPED, 8).image)[:, ::-1]
    cv2.imwrite(str(images[8]), mirrored[..., ::-1])
    annotate(images[8], helen[8].points * [-1, 1] + [mirrored.shape[1] - 1, 0])
    annotate(images[9], np.roll(fault(findings.SHIFT, 9).points, 1, axis=0))
    points = fault(findings.SHIFT, 10).points.copy()
    points[36:42] = np.roll(points[36:42], -1, axis=0)
    annotate(images[10], points)
    order = np.random.default_rng(0).permutation(68)
    annotate(images[11], fault(findings.OUTLIER, 11).points[order])
    copy(helen[12], train, "zz_copy")
    expected[findings.DUPLICATE] = {"zz_copy.jpg"}
    small = read_photo(helen[13].image)
    scale = 0.7
    small = cv2.resize(small, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(train / "zz_small.jpg"), small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 60])
    annotate(train / "zz_small.jpg", (helen[13].points + 0.5) * scale - 0.5)
    expected[findings.NEAR_DUPLICATE] = {"zz_small.jpg"}
    for index in range(70, 90):
        copy(helen[index], test)
    copy(helen[14], test, "other")
    expected[findings.TEST_DUPLICATE] = {images[14].name}
    copy(helen[89], test, "2345_7")
    copy(helen[15], train, "2345_1")
    images[15].unlink()
    images[15].with_suffix(".pts").unlink()
    expected[findings.TEST_IDENTITY] = {"2345_1.jpg"}
    found = quick([f"ibug:{train}"], (f"ibug:{test}",))
    return root, expected, found


def test_each_planted_error_is_found_and_nothing_else(
    planted: tuple[Path, dict[str, set[str]], Report]
) -> None:
    _, expected, found = planted
    kinds = kinds_of(found)
    for kind, keys in expected.items():
        if kind == findings.ANNOTATION:  # with the line that is to blame
            lined = {key.partition(":")[0] for key in kinds[kind]}
            assert lined == keys
        else:
            assert keys <= kinds[kind], kind
    touched = {key.partition(":")[0] for keys in expected.values() for key in keys}
    touched |= {Path(key).with_suffix(".jpg").name for key in touched}
    untouched = {f.key for f in found.findings if f.source == 0
                 and f.key.partition(":")[0] not in touched}
    assert not untouched
    assert set(kinds_of(found, 1)) == {findings.DUPLICATE}  # the test face that was copied there


def test_the_report_the_sheet_and_the_list(
    planted: tuple[Path, dict[str, set[str]], Report], tmp_path: Path
) -> None:
    root, expected, found = planted
    content = report.to_json(found)
    assert content["sources"][0]["counts"][findings.SWAPPED] == 2
    assert content == report.to_json(quick([f"ibug:{root}/train"], (f"ibug:{root}/test",),
                                           workers=1))
    assert report.write_sheet(tmp_path / "worst.jpg", found)
    assert cv2.imread(str(tmp_path / "worst.jpg")).shape[1] == report.COLUMNS * report.TILE
    table = report.summary(found)
    assert "faces/s" in table and "left and right labels are exchanged" in table
    listed = exclusions.from_report(found)
    assert [Path(entry["source"]).name for entry in listed["sources"]] == ["train"]
    keys = {face["key"] for face in listed["sources"][0]["exclude"]}
    assert not any(Path(key).is_absolute() for key in keys)
    for kind in (findings.SWAPPED, findings.SHIFT, findings.TRUNCATED, findings.TEST_DUPLICATE):
        assert expected[kind] <= keys
    assert not expected[findings.NEAR_DUPLICATE] & keys


def test_packing_leaves_out_what_is_listed(
    planted: tuple[Path, dict[str, set[str]], Report], tmp_path: Path
) -> None:
    root, _, found = planted
    listed = tmp_path / "exclude.json"
    listed.write_text(json.dumps(exclusions.from_report(found)))
    options = SourceOptions(f"ibug:{root}/train", "p", ["ibug68"], exclude=str(listed))
    small = PackOptions(size=32)
    manifest = pack.pack(options, tmp_path / "p", small, workers=1, progress=False)
    out = exclusions.read(listed, options.source)
    assert len(manifest.skipped) == len(out) > 10
    assert manifest.faces("train") == 72 - len(out)
    assert any(line.startswith("excluded: zz_copy.jpg: duplicate: ") for line in manifest.skipped)
    again = json.loads(listed.read_text())
    again["sources"][0]["exclude"][-1] = {"key": "no_such.jpg", "reason": "by hand"}
    listed.write_text(json.dumps(again))
    other = pack.pack(replace(options, on_error="skip"), tmp_path / "p", small, workers=1,
                      progress=False)
    assert other.fingerprint != manifest.fingerprint
    unknown = f"not in the source: 1 of {len(out)} exclusions, e.g. no_such.jpg"
    assert unknown in other.skipped


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
    assert "the box holds 0 of 5 points" in next(
        f.message for f in found.findings if f.key == "3_0_0.png" and f.kind == findings.BOX
    )


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


# --- parts ---------------------------------------------------------------------------------------


def test_cut_off_files_are_told_from_whole_ones(helen: list[sources.FaceRecord]) -> None:
    jpeg = helen[0].image.read_bytes()
    image = read_photo(helen[0].image)
    thumbnail = cv2.imencode(".jpg", image[:64, :64])[1].tobytes()
    exif = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    assert b"\xff\xd9" in exif
    for whole in (jpeg, jpeg + b"\0" * 100, jpeg[:2] + exif + jpeg[2:]):
        assert faces.truncation(whole) is None
        assert faces.truncation(whole[: len(jpeg) // 2]) == "no end-of-image marker"
    png = cv2.imencode(".png", image)[1].tobytes()
    assert faces.truncation(png) is None
    assert faces.truncation(png[:-6]) == "no IEND chunk"
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


def test_near_duplicates_of_many_faces_take_seconds() -> None:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 1 << 63, 50_000, dtype=np.uint64)
    thumbnails = rng.integers(0, 256, (50_000, 64)).astype(np.uint8)
    begun = time.monotonic()
    assert sum(len(a) for a, _ in duplicates.similar_pairs([hashes], thumbnails, 6, 0.9)) < 10
    assert time.monotonic() - begun < 20


# --- commands ------------------------------------------------------------------------------------


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    folder = drawn.write_ibug(tmp_path / "faulty", 25)
    shutil.copyfile(folder / "face_003x.png", folder / "face_999x.png")
    shutil.copyfile(folder / "face_003x.pts", folder / "face_999x.pts")
    return folder


def test_the_command_writes_and_says(
    faulty: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["check", f"ibug:{faulty}", "--quiet", "--workers", "1"]
    assert data.main([*arguments, "--output", str(out)]) == 0
    assert sorted(p.name for p in out.iterdir()) == ["exclude.json", "report.json", "worst.jpg"]
    printed = capsys.readouterr().out
    assert f"ibug:{faulty}: 26 faces" in printed
    assert data.main([*arguments, "--strict"]) == 1
    assert "face_999x.png: the same pixels as face_003x.png" in capsys.readouterr().out
    packed = ["pack", f"ibug:{faulty}", str(tmp_path / "p"), "--quiet", "--size", "32",
              "--exclude", str(out / "exclude.json")]
    assert data.main(packed) is None or data.main(packed) == 0
    assert "skipped: excluded: face_999x.png: duplicate" in capsys.readouterr().out


def test_a_clean_source_passes_strictly(tmp_path: Path) -> None:
    folder = drawn.write_ibug(tmp_path / "clean", 3)
    assert data.main(["check", f"ibug:{folder}", "--quiet", "--workers", "1", "--strict"]) in (0, 1)
    found = quick([f"ibug:{folder}"], workers=1)
    assert found.notes and "3 faces of ibug68, 20 are needed" in found.notes[0]


@pytest.mark.parametrize("extra, words", [
    (["ibug:{folder}"], "given twice"),
    (["--against", "ibug:{folder}"], "given twice"),
    (["nosuch:{folder}"], "unknown reader"),
    (["ibug:{folder}/absent"], "does not exist"),
    (["--near", "9"], "near: expected 0 to 7"),
    (["--box", "nan"], "box: expected 0 to 1"),
])
def test_bad_input_is_told(faulty: Path, extra: list[str], words: str) -> None:
    extra = [word.format(folder=faulty) for word in extra]
    with pytest.raises(EfldError, match=words):
        data.main(["check", f"ibug:{faulty}", *extra, "--quiet"])


@pytest.mark.parametrize("content", [
    "", "[]", "{}", '{"sources": [{"source": "ibug:a"}]}', '{"sources": 3}', "[" * 9999,
    '{"sources": [{"source": "ibug:a", "exclude": [1]}]}',
])
def test_a_broken_list_of_exclusions_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "exclude.json").write_text(content)
    with pytest.raises(DataError, match="exclude.json: not a list of exclusions"):
        exclusions.read(tmp_path / "exclude.json", "ibug:a")


def test_lists_follow_their_source_and_no_other(tmp_path: Path) -> None:
    def entry(source: str, key: str) -> dict:
        return {"source": source, "exclude": [{"key": key, "reason": "r"}]}

    path = tmp_path / "exclude.json"
    path.write_text(json.dumps({"sources": [
        entry("ibug:/old/helen/trainset", "h"), entry("ibug:/old/lfpw/trainset", "l"),
        entry("youtube_faces:/old/yt?identities=train", "t"), entry("wflw:/old/list.txt", "w"),
    ]}))
    assert exclusions.read(path, "ibug:/new/lfpw/trainset") == {"l": "r"}
    assert exclusions.read(path, "youtube_faces:/new/yt?identities=train") == {"t": "r"}
    assert exclusions.read(path, "wflw:list.txt") == {"w": "r"}
    with pytest.raises(DataError, match="not a list for mtfl:.*list.txt: it is for ibug"):
        exclusions.read(path, "mtfl:/old/list.txt")
    with pytest.raises(DataError, match="not a list for ibug:"):
        exclusions.read(path, "ibug:/old/helen/testset")
    with pytest.raises(DataError, match="two of its entries"):
        exclusions.read(path, "ibug:/new/trainset")
    with pytest.raises(EfldError, match="none of its 1 keys"):
        exclusions.unknown({"h": "r"}, frozenset(), path)


def formats(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    data.main(["formats", *arguments])
    return capsys.readouterr().out


def test_formats_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    listed = json.loads(formats(capsys, "--json"))
    assert [entry["name"] for entry in listed] == sorted(sources.FORMATS)
    wflw = next(entry for entry in listed if entry["name"] == "wflw")
    assert wflw["schemas"] == [{"name": "wflw98", "points": 98}]
    assert "images" in wflw["options"]
    text = formats(capsys)
    for name, format in sources.FORMATS.items():
        assert f"{name}:{format.path}" in text
        assert format.layout in text and format.licence in text
        assert all(format.options.values()), f"{name}: an option is not described"


def test_formats_say_what_options_mean(capsys: pytest.CaptureFixture[str]) -> None:
    text = formats(capsys, "wflw", "300w")
    assert "?subset=only faces with that attribute" in text
    assert "?split=`train` (AFW" in text and "?convert=" in text
    with pytest.raises(EfldError, match="unknown format 'wlfw'; known: 300vw, 300w, "):
        formats(capsys, "wlfw")


def test_thresholds_change_what_is_found(faulty: Path) -> None:
    strict = quick([f"ibug:{faulty}"], workers=1, thresholds=Thresholds(similar=1.0, near=0))
    assert findings.NEAR_DUPLICATE not in kinds_of(strict)


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
