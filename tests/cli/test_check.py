"""`efld-data check` and its lists of exclusions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from efld_tf.annotations import placement, pts, sources
from efld_tf.cli import data
from efld_tf.data import pack
from efld_tf.data.check import exclusions, findings
from efld_tf.data.check.findings import Thresholds
from efld_tf.data.options import PackOptions, SourceOptions
from efld_tf.landmarks import schemas
from tests import faces as drawn
from tests.data.check.checking import kinds_of, quick
from tests.errors import assert_told, refuses


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
    assert_told(printed, f"ibug:{faulty}", "26 faces")
    listed = len(exclusions.read(out / "exclude.json", f"ibug:{faulty}"))
    assert_told(printed, "exclude.json", f"{listed} faces")
    assert data.main([*arguments, "--strict"]) == 1
    assert_told(capsys.readouterr().out, "face_999x.png", "same pixels", "face_003x.png")
    packed = ["pack", f"ibug:{faulty}", str(tmp_path / "p"), "--quiet", "--size", "32",
              "--exclude", str(out / "exclude.json")]
    assert data.main(packed) is None or data.main(packed) == 0
    assert_told(capsys.readouterr().out, "excluded", "face_999x.png", "duplicate")


def test_a_list_of_the_folder_one_is_in(
    faulty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(faulty)
    data.main(["check", "ibug:.", "--quiet", "--workers", "1", "--output", str(tmp_path / "out")])
    listed = tmp_path / "out" / "exclude.json"
    assert "face_999x.png" in exclusions.read(listed, "ibug:.")
    monkeypatch.chdir(tmp_path)
    assert "face_999x.png" in exclusions.read(listed, f"ibug:{faulty.name}")


def test_what_is_not_excluded_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = drawn.write_ibug(tmp_path / "a", 25)
    for path in sorted(folder.glob("*.pts"))[:5]:
        x, y, *_ = path.read_text().split("{")[1].split()
        path.write_text(path.read_text().replace(f"{x} {y}\n", f"-900 {y}\n", 1))
    data.main(["check", f"ibug:{folder}", "--quiet", "--workers", "1", "--outlier", "100",
               "--output", str(tmp_path / "out")])
    printed = capsys.readouterr().out
    assert_told(printed, 5, "outside")
    assert_told(printed, "exclude.json", "only outside")


def test_what_an_option_mends_is_told_and_not_excluded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = sources.read(f"ibug:{drawn.write_ibug(tmp_path / 'a', 25)}").records
    images, annotations = [], []
    for index, record in enumerate(records):
        size = {"width": 960, "height": 960} if index in (3, 7) else {}
        images.append({"id": index, "file_name": record.image.name, **size})
        keypoints = [v for x, y in record.points.tolist() for v in (x, y, 2)]
        annotations.append({"id": index, "image_id": index, "keypoints": keypoints})
    listed = tmp_path / "a/faces.json"
    listed.write_text(json.dumps({"images": images, "annotations": annotations}))
    out = tmp_path / "out"
    data.main(["check", f"coco:{listed}", "--quiet", "--workers", "1", "--output", str(out)])
    printed = capsys.readouterr().out
    assert_told(printed, 2, placement.RESIZED, "sizes=scale")
    assert_told(printed, "exclude.json", "0 faces", placement.RESIZED, "option")
    assert exclusions.read(out / "exclude.json", f"coco:{listed}") == {}


def test_sides_that_are_exchanged_everywhere_are_the_schema_s(tmp_path: Path) -> None:
    folder = drawn.write_ibug(tmp_path / "a", 25)
    schema = schemas.get("ibug68")
    for record in sources.read(f"ibug:{folder}").records:
        points = record.points[list(schema.flip)]
        record.image.with_suffix(".pts").write_text(pts.text(points))
    found = quick([f"ibug:{folder}"], workers=1)
    (note,) = (note for note in found.notes if "left and right" in note)
    assert_told(note, "25 of 25", "anchors", "ibug68")
    listed = tmp_path / "exclude.json"
    listed.write_text(json.dumps(exclusions.from_report(found)))
    options = SourceOptions(f"ibug:{folder}", "a", ["ibug68"], exclude=str(listed))
    with refuses(f"source ibug:{folder}", "25 faces", "excluded"):
        pack.pack(options, tmp_path / "packed", PackOptions(), progress=False)


def test_the_report_goes_into_a_folder(faulty: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with refuses("--output", tmp_path / "file", "folder"):
        data.main(["check", f"ibug:{faulty}", "--quiet", "--output", str(tmp_path / "file")])


def test_a_clean_source_passes_strictly(tmp_path: Path) -> None:
    folder = drawn.write_ibug(tmp_path / "clean", 3)
    assert data.main(["check", f"ibug:{folder}", "--quiet", "--workers", "1", "--strict"]) in (0, 1)
    found = quick([f"ibug:{folder}"], workers=1)
    assert_told(found.notes[0], "3 faces", "ibug68", 20)


@pytest.mark.parametrize(("extra", "facts"), [
    (["ibug:{folder}"], ["source ibug:{folder}", "twice"]),
    (["--against", "ibug:{folder}"], ["source ibug:{folder}", "twice"]),
    (["nosuch:{folder}"], ["reader 'nosuch'", *sources.FORMATS]),
    (["ibug:{folder}/absent"], ["source ibug:{folder}/absent", "exist"]),
    (["--near", "9"], ["near", "0 to 7", "9"]),
    (["--box", "nan"], ["box", "0 to 1", "nan"]),
])
def test_bad_input_is_told(faulty: Path, extra: list[str], facts: list[str]) -> None:
    extra = [word.format(folder=faulty) for word in extra]
    with refuses(*(fact.format(folder=faulty) for fact in facts)):
        data.main(["check", f"ibug:{faulty}", *extra, "--quiet"])


@pytest.mark.parametrize("content", [
    "", "[]", "{}", '{"sources": [{"source": "ibug:a"}]}', '{"sources": 3}', "[" * 9999,
    '{"sources": [{"source": "ibug:a", "exclude": [1]}]}',
])
def test_a_broken_list_of_exclusions_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "exclude.json").write_text(content)
    with refuses("exclusions", path=tmp_path / "exclude.json"):
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
    with refuses("mtfl:/old/list.txt", "ibug:/old/helen/trainset", "wflw:/old/list.txt", path=path):
        exclusions.read(path, "mtfl:/old/list.txt")
    with refuses("ibug:/old/helen/testset", "ibug:/old/helen/trainset", path=path):
        exclusions.read(path, "ibug:/old/helen/testset")
    with refuses("two", "ibug:/new/trainset", path=path):
        exclusions.read(path, "ibug:/new/trainset")
    with refuses(path, "1 keys", "h"):
        exclusions.unknown({"h": "r"}, frozenset(), path)


def test_thresholds_change_what_is_found(faulty: Path) -> None:
    strict = quick([f"ibug:{faulty}"], workers=1, thresholds=Thresholds(similar=1.0, near=0))
    assert findings.NEAR_DUPLICATE not in kinds_of(strict)
