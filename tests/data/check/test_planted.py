"""Errors planted in copies of real data are found, and nothing else."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from efld_tf.annotations import pts, sources
from efld_tf.annotations.images import read_photo
from efld_tf.data import pack
from efld_tf.data.check import exclusions, findings, report
from efld_tf.data.check.run import Report
from efld_tf.data.options import PackOptions, SourceOptions
from efld_tf.landmarks import schemas
from tests.data.check.checking import kinds_of, quick
from tests.errors import assert_told


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
    (folder / f"{name}.pts").write_text(pts.text(record.points))
    return folder / f"{name}.jpg"


def annotate(image: Path, points: np.ndarray) -> None:
    image.with_suffix(".pts").write_text(pts.text(points))


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
    assert_told(table, "faces/s")
    assert_told(table, "left and right", 2)
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
    assert_told("\n".join(manifest.skipped), "excluded", "zz_copy.jpg", "duplicate")
    again = json.loads(listed.read_text())
    again["sources"][0]["exclude"][-1] = {"key": "no_such.jpg", "reason": "by hand"}
    listed.write_text(json.dumps(again))
    other = pack.pack(replace(options, on_error="skip"), tmp_path / "p", small, workers=1,
                      progress=False)
    assert other.fingerprint != manifest.fingerprint
    assert_told("\n".join(other.skipped), f"1 of {len(out)}", "no_such.jpg")
