"""Faces that are not where their annotation says, planted in copies of real data, are found."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from efld_tf.annotations import placement, sources
from efld_tf.annotations.images import read_image
from efld_tf.annotations.record import FaceRecord
from efld_tf.data.check import exclusions, findings
from efld_tf.data.check.run import Report
from tests.annotations.turned import write_turned
from tests.annotations.writers import ibug_text
from tests.data.check.checking import kinds_of, quick
from tests.errors import assert_told, refuses

SCHEMA = "ibug68"


@pytest.fixture(scope="module")
def faces(shared_data: Path) -> list[FaceRecord]:
    """Faces of different photos."""
    records = sources.read(f"ibug:{shared_data}/ibug/helen/testset").records
    seen: set[str] = set()
    return [r for r in records if not (r.identity in seen or seen.add(r.identity))][:24]


def _write(folder: Path, faces: list[FaceRecord], **changed: dict[int, Any]) -> str:
    """A COCO file of the faces with changed points or sizes of some; the source."""
    folder.mkdir(exist_ok=True)
    images, annotations = [], []
    for index, face in enumerate(faces):
        name = f"{index:02d}.jpg"
        if not (folder / name).exists():
            shutil.copyfile(face.image, folder / name)
        points = changed.get("points", {}).get(index, face.points)
        keypoints = np.column_stack([points.astype(float), np.full(68, 2)]).ravel().tolist()
        size = changed.get("sizes", {}).get(index, {})
        images.append({"id": index, "file_name": name, **size})
        annotations.append({"id": index, "image_id": index, "keypoints": keypoints})
    path = folder / "faces.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    return f"coco:{path}"


def _found(source: str) -> dict[str, set[str]]:
    kinds = kinds_of(quick([source]))
    return {kind: keys for kind, keys in kinds.items() if kind != findings.NEAR_DUPLICATE}


def _listed(report: Report) -> set[str]:
    """The keys in the exclusion list of a report of one source."""
    (source,) = exclusions.from_report(report)["sources"]
    return {face["key"] for face in source["exclude"]}


def test_the_untouched_copy_is_clean(tmp_path: Path, faces: list[FaceRecord]) -> None:
    assert _found(_write(tmp_path, faces)) == {}


def test_photos_stored_turned(tmp_path: Path, faces: list[FaceRecord]) -> None:
    for index, orientation in ((2, 6), (5, 8), (7, 3), (9, 2)):
        write_turned(tmp_path / f"{index:02d}.jpg", read_image(faces[index]), orientation)
    source = _write(tmp_path, faces)
    report = quick([source])
    assert kinds_of(report)[placement.TURNED] == {"02.jpg", "05.jpg", "07.jpg", "09.jpg"}
    assert _listed(report) == set()  # they are good faces, read in a wrong way
    for kind in (placement.TURNED, placement.RESIZED, placement.UNITS):
        (option,) = (name for name in ("upright=", "sizes=", "normalised=")
                     if name in findings.KINDS[kind])
        assert option.removesuffix("=") in placement.OPTIONS
    assert _found(f"{source}?upright=true") == {}
    report = quick([f"{source}?upright=false"])
    assert_told("\n".join(report.notes), "4 faces", "upright")


def test_stated_sizes_that_the_faces_contradict(tmp_path: Path, faces: list[FaceRecord]) -> None:
    """Sizes as stored, as Pillow's, of points in the photos as they are shown."""
    sizes, points = {}, {}
    for index in range(4):
        shown = read_image(faces[index])[:, :330]
        write_turned(tmp_path / f"{index:02d}.jpg", shown, 6)
        sizes[index] = {"width": shown.shape[0], "height": 330}
        points[index] = np.minimum(faces[index].points, 329)
    source = _write(tmp_path, faces, points=points, sizes=sizes)
    report = quick([source])
    assert kinds_of(report)[placement.TURNED] == {"faces.json"}
    (finding,) = (f for f in report.findings if f.kind == placement.TURNED)
    assert finding.whole_source
    assert_told(finding.message, "4 photos", "upright=true&sizes=ignore")
    assert placement.TURNED not in _found(f"{source}?upright=true&sizes=ignore")


def test_images_of_another_size(tmp_path: Path, faces: list[FaceRecord]) -> None:
    source = _write(tmp_path, faces, points={3: faces[3].points * 2},
                    sizes={3: {"width": 800, "height": 800}, 4: {"width": 0, "height": 0}})
    assert _found(source) == {placement.RESIZED: {"03.jpg"}}
    assert _listed(quick([source])) == set()


def test_shares_and_percentages(tmp_path: Path, faces: list[FaceRecord]) -> None:
    sizes = [np.array(read_image(face).shape[1::-1]) for face in faces]
    shares = {i: face.points / sizes[i] for i, face in enumerate(faces)}
    every = {f"{i:02d}.jpg" for i in range(24)}
    assert _found(_write(tmp_path, faces, points=shares)) == {placement.TINY: every}
    percent = {i: points * 100 for i, points in shares.items()}
    source = _write(tmp_path, faces, points=percent)
    assert _found(source)[placement.UNITS] == {"faces.json"}
    for unit in ("true", "percent"):
        source = _write(tmp_path, faces, points=shares if unit == "true" else percent)
        assert _found(f"{source}?normalised={unit}") == {}


def test_thousandths(tmp_path: Path, faces: list[FaceRecord]) -> None:
    """Of photos of 2400 x 1600 pixels, so that faces are squeezed by a third."""
    points = {}
    for index, face in enumerate(faces):
        shown = np.pad(read_image(face), ((0, 1200), (0, 2000), (0, 0)))
        height, width = shown.shape[:2]
        write_turned(tmp_path / f"{index:02d}.jpg", shown, 1)
        points[index] = face.points / [width, height] * 1000
    source = _write(tmp_path, faces, points=points)
    assert _found(source)[placement.UNITS] == {"faces.json"}
    assert _found(f"{source}?normalised=1000") == {}


@pytest.mark.parametrize("mark", [(0, 0), (-99, -99), (9999, 9999), (0, None)])
def test_points_that_stand_for_missing_ones(
    tmp_path: Path, faces: list[FaceRecord], mark: tuple[int, int | None]
) -> None:
    changed = {}
    for index in (3, 5, 8):
        changed[index] = faces[index].points.copy()
        changed[index][:4, 0] = mark[0]
        if mark[1] is not None:
            changed[index][:4, 1] = mark[1]
    source = _write(tmp_path, faces, points=changed)
    assert _found(source)[findings.MISSING] == {"03.jpg", "05.jpg", "08.jpg"}
    option = f"missing={mark[0]},{'*' if mark[1] is None else mark[1]}"
    assert_told("\n".join(quick([source]).notes), "12 points", option)
    assert _found(f"{source}?{option}") == {}


def test_notes_are_told_where_no_face_is_found(tmp_path: Path, faces: list[FaceRecord]) -> None:
    path = Path(_write(tmp_path, faces[:2]).partition(":")[2])
    content = json.loads(path.read_text())
    for annotation in content["annotations"]:
        del annotation["keypoints"]
        annotation["bbox"] = [1, 2, 3, 4]
    path.write_text(json.dumps(content))
    with refuses("no annotated face", "2 annotations", "without keypoints"):
        quick([f"coco:{path}"])


def test_tiny_faces_and_faces_beyond_their_image(
    tmp_path: Path, faces: list[FaceRecord]
) -> None:
    source = _write(tmp_path, faces, points={6: faces[6].points / 200, 8: faces[8].points + 900})
    assert _found(source) == {placement.TINY: {"06.jpg"}, placement.BEYOND: {"08.jpg"}}
    assert _listed(quick([source])) == {"06.jpg", "08.jpg"}


def test_side_files_are_no_findings(tmp_path: Path, faces: list[FaceRecord]) -> None:
    for index, face in enumerate(faces):
        shutil.copyfile(face.image, tmp_path / f"{index:02d}.jpg")
        (tmp_path / f"{index:02d}.pts").write_text(ibug_text(face.points))
        (tmp_path / f"._{index:02d}.pts").write_bytes(b"\0\5\x16\7")
        (tmp_path / f"{index:02d}.pts~").write_text("version: 1")
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX/00.pts").write_text(ibug_text(faces[0].points))
    assert _found(f"ibug:{tmp_path}") == {}


def test_what_the_reader_leaves_out_is_noted(tmp_path: Path, faces: list[FaceRecord]) -> None:
    path = Path(_write(tmp_path, faces).partition(":")[2])
    content = json.loads(path.read_text())
    content["annotations"].append({"id": 99, "image_id": 1, "bbox": [1, 2, 3, 4]})
    path.write_text(json.dumps(content))
    report = quick([f"coco:{path}"])
    assert report.faces == 24
    assert_told("\n".join(report.notes), "1 annotation", "without keypoints")


def test_what_is_wrong_with_a_whole_source_cannot_be_excluded(
    tmp_path: Path, faces: list[FaceRecord]
) -> None:
    """Not by a list, not by its key written by hand, nor with on_error=skip; one face can."""
    sizes = [np.array(read_image(face).shape[1::-1]) for face in faces]
    percent = {i: face.points / sizes[i] * 100 for i, face in enumerate(faces)}
    small = {i: face.points / np.ptp(face.points, axis=0).max() * 6 for i, face in enumerate(faces)}
    for points, kind in ((percent, placement.UNITS), (small, placement.TINY)):
        source = _write(tmp_path, faces, points=points)
        report = quick([source])
        assert kinds_of(report)[kind] == {"faces.json"}
        assert "faces.json" not in _listed(report)
        for on_error in sources.ON_ERROR:
            with pytest.raises(placement.PlacementError) as caught:
                sources.read(source, on_error, frozenset(["faces.json"]))
            assert (caught.value.kind, caught.value.whole_source) == (kind, True)


def test_errors_of_one_file_are_excluded_one_by_one(
    tmp_path: Path, faces: list[FaceRecord]
) -> None:
    source = _write(tmp_path, faces)
    path = Path(source.partition(":")[2])
    content = json.loads(path.read_text())
    content["annotations"][3]["keypoints"][2] = 7
    content["annotations"][5]["image_id"] = 777
    content["annotations"][7] |= {"id": "a: b", "image_id": 777}
    path.write_text(json.dumps(content))
    keys = {f"faces.json:annotation {label}" for label in ("'3'", "'5'", "'a: b'")}
    assert kinds_of(quick([source]))[findings.ANNOTATION] == keys
    assert sources.read(source, exclude=frozenset(keys)).excluded == keys
    for key in keys:
        with refuses("annotation", path=path):
            sources.read(source, exclude=frozenset(keys - {key}))
    found = sources.read(source, exclude=frozenset(["faces.json"]))  # as lists had it once
    assert (len(found.records), found.excluded) == (21, {"faces.json"})
