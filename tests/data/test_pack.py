"""Packing: what goes in comes out, nothing is done twice, bad samples are told."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from efld_tf.annotations import sources
from efld_tf.data import pack, shards, splits
from efld_tf.data.crop_fit import REFERENCE_ANCHORS, crop_rule
from efld_tf.data.manifest import MANIFEST, read_manifest
from efld_tf.data.options import CropOptions, PackOptions, SourceOptions
from efld_tf.landmarks import schemas
from efld_tf.landmarks.geometry import BETWEEN_EYES, zoomed
from tests import faces
from tests.errors import assert_error_line, assert_told, refuses

PACK = PackOptions(size=96, margin=1.5, shard_faces=8)


def options(source: str, **changes) -> SourceOptions:
    return replace(SourceOptions(source=source, name="s", heads=["ibug68"]), **changes)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return faces.write_ibug(tmp_path / "photos", 20)


def test_packed_points_lie_where_they_were(tmp_path: Path, photos: Path) -> None:
    manifest = pack.pack(options(f"ibug:{photos}"), tmp_path / "packed", PACK, progress=False)
    assert (manifest.faces("train"), manifest.faces("validation")) == (20, 0)
    assert [shard.faces for shard in manifest.shards["train"]] == [8, 8, 4]
    records = sources.read(f"ibug:{photos}").records
    stored = list(shards.read(tmp_path / "packed", manifest, "train").as_numpy_iterator())
    assert [face["name"].decode() for face in stored] == [r.image.name for r in records]
    for face, record in zip(stored, records, strict=True):
        rule = manifest.crop_rule
        crop = rule.crop(record.source_box("points")).scaled(PACK.margin)
        np.testing.assert_allclose(crop.from_unit(face["points"]), record.points, atol=1e-3)
        assert face["side"] == pytest.approx(crop.side, rel=1e-5)


def test_mean_shape_is_that_of_the_model_s_crop(tmp_path: Path, photos: Path) -> None:
    manifest = pack.pack(options(f"ibug:{photos}"), tmp_path / "packed", PACK, progress=False)
    anchors = schemas.get("ibug68").anchor_points(np.array(manifest.mean_shape))
    # The drawn faces have other proportions than real ones: the fit is the best, not perfect.
    assert np.abs(anchors - REFERENCE_ANCHORS).max() < 0.08
    np.testing.assert_allclose(anchors.mean(0), REFERENCE_ANCHORS.mean(0), atol=1e-3)


def test_packing_again_changes_nothing(tmp_path: Path, photos: Path) -> None:
    folder = tmp_path / "packed"
    first = pack.pack(options(f"ibug:{photos}"), folder, PACK, progress=False)
    times = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    again = pack.pack(options(f"ibug:{photos}"), folder, PACK, progress=False)
    assert again == first
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == times


def test_a_changed_annotation_is_packed_anew(tmp_path: Path, photos: Path) -> None:
    folder = tmp_path / "packed"
    first = pack.pack(options(f"ibug:{photos}"), folder, PACK, progress=False)
    annotation = photos / "face_003x.pts"
    lines = annotation.read_text().split("\n")
    lines[13] = "40.0 41.0"
    annotation.write_text("\n".join(lines))
    second = pack.pack(options(f"ibug:{photos}"), folder, PACK, progress=False)
    assert second.content_sha256 != first.content_sha256
    assert sorted(p.name for p in tmp_path.iterdir()) == ["packed", "photos"]


def test_one_and_two_processes_write_the_same(tmp_path: Path) -> None:
    photos = faces.write_ibug(tmp_path / "photos", 70)
    results = [
        pack.pack(options(f"ibug:{photos}"), tmp_path / str(n), PACK, workers=n, progress=False)
        for n in (1, 2)
    ]
    assert results[0].content_sha256 == results[1].content_sha256


def test_hold_out_goes_by_identity_and_is_stable(tmp_path: Path, photos: Path) -> None:
    held = options(f"ibug:{photos}", validation_fraction=0.4)
    manifest = pack.pack(held, tmp_path / "packed", PACK, progress=False)
    assert 0 < manifest.faces("validation") < 20
    records = sources.read(f"ibug:{photos}").records
    expected = [r.image.name for r in records if splits.in_validation(r, 0.4)]
    stored = shards.read(tmp_path / "packed", manifest, "validation").as_numpy_iterator()
    assert [face["name"].decode() for face in stored] == expected
    one = records[0]
    same_person = replace(records[1], identity=one.identity)
    assert splits.in_validation(one, 0.5) == splits.in_validation(same_person, 0.5)


def test_a_bad_photo_stops_or_is_skipped_and_told(tmp_path: Path, photos: Path) -> None:
    (photos / "face_005x.png").write_bytes(b"not an image")
    with refuses("image", path=photos / "face_005x.png"):
        pack.pack(options(f"ibug:{photos}"), tmp_path / "packed", PACK, progress=False)
    assert not (tmp_path / "packed").exists()
    skipping = options(f"ibug:{photos}", on_error="skip")
    manifest = pack.pack(skipping, tmp_path / "packed", PACK, progress=False)
    assert manifest.faces("train") == 19
    assert len(manifest.skipped) == 1 and "face_005x.png" in manifest.skipped[0]


def test_a_foreign_folder_is_not_touched(tmp_path: Path, photos: Path) -> None:
    foreign = tmp_path / "packed"
    foreign.mkdir()
    (foreign / "thesis.tex").write_text("years of work")
    with refuses(foreign, "packed source"):
        pack.pack(options(f"ibug:{photos}"), foreign, PACK, progress=False)
    assert (foreign / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize(
    ("content", "facts"),
    [("", []), ("{", []), ("[]", ["mapping"]), ('{"format_version": 1}', ["source"]), ("\x00", [])],
)
def test_a_broken_manifest_is_named(tmp_path: Path, content: str, facts: list[str]) -> None:
    (tmp_path / MANIFEST).write_text(content)
    with refuses("not a manifest", *facts, path=tmp_path / MANIFEST):
        read_manifest(tmp_path)


def test_another_version_is_refused(tmp_path: Path, photos: Path) -> None:
    pack.pack(options(f"ibug:{photos}"), tmp_path / "packed", PACK, progress=False)
    path = tmp_path / "packed" / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), "format_version": 0}))
    with refuses("another version", path=path):
        read_manifest(tmp_path / "packed")


def test_the_fitted_rule_is_exact_for_similar_faces() -> None:
    """Five-point boxes of another size and place give the same crops."""
    schema = schemas.get("mtfl5")
    points = np.zeros((5, 2))
    for name, place in zip(schema.anchors, REFERENCE_ANCHORS, strict=True):
        points[list(schema.anchors[name])] = place * 50 + 100  # a crop of 50 px at (100, 100)
    from efld_tf.annotations.record import FaceRecord

    record = FaceRecord(Path("x.jpg"), points, "mtfl5", box=np.array([95.0, 90.0, 135.0, 120.0]))
    crop = crop_rule([record], CropOptions()).crop(record.box)
    assert (crop.center_x, crop.center_y, crop.side) == pytest.approx((125, 125, 50), abs=0.01)


def test_a_zoom_leaves_the_eyes_where_they_are(photos: Path) -> None:
    """Everything is so much larger, seen from between the eyes."""
    records = sources.read(f"ibug:{photos}").records
    plain, near = (crop_rule(records, CropOptions(), zoom) for zoom in (1.0, 1.25))
    assert (plain.zoom, near.zoom) == (1.0, 1.25)
    assert near.scale == pytest.approx(plain.scale / 1.25, abs=1e-3)
    seen = [rule.crop(records[0].source_box(rule.box)).to_unit(records[0].points)
            for rule in (plain, near)]
    np.testing.assert_allclose(seen[1], BETWEEN_EYES + 1.25 * (seen[0] - BETWEEN_EYES), atol=2e-3)
    given = CropOptions(scale=plain.scale, offset_x=plain.offset_x, offset_y=plain.offset_y)
    assert crop_rule(records, given) == plain
    of_given = crop_rule(records, given, 1.25)
    assert (of_given.zoom, of_given.scale, of_given.offset_x, of_given.offset_y) == pytest.approx(
        (1.25, near.scale, near.offset_x, near.offset_y), abs=2e-4)
    eyes = REFERENCE_ANCHORS[:2].mean(axis=0)
    np.testing.assert_allclose(zoomed(1.25).to_unit(eyes), eyes, atol=1e-3)
    for wrong in (0.1, 5.0, float("nan")):
        with refuses("zoom", 0.25, 4, wrong):
            PackOptions(zoom=wrong)


@pytest.mark.long
def test_real_sources_fill_the_crop_alike(shared_data: Path) -> None:
    """The same part of a face is at the same place of the crop in all four real formats."""
    for source in (
        "ibug:ibug/helen/trainset", "youtube_faces:youtube_faces", "scut:scut_fbp5500",
        "mtfl:net7876/trainImageList.txt",
    ):
        reader, _, path = source.partition(":")
        found = sources.read(f"{reader}:{shared_data / path}", on_error="skip")
        rule = crop_rule(found.records, CropOptions())
        schema = schemas.get(found.schema)
        anchors = np.mean([
            schema.anchor_points(rule.crop(r.source_box(rule.box)).to_unit(r.points))
            for r in found.records[::7]
        ], axis=0)
        assert np.abs(anchors - REFERENCE_ANCHORS).max() < 0.03, source


def test_a_rule_that_cannot_be_fitted_says_what_is_missing(shared_data: Path) -> None:
    found = sources.read(f"ibug:{shared_data / 'ibug/helen/testset'}")
    records = []
    for record in found.records[:3]:
        points = record.points.copy()
        points[36:42] = np.nan  # the person's right eye
        records.append(replace(record, points=points))
    box = CropOptions(box="points")
    with refuses("crop rule", "anchor right_eye", "crop.scale"):
        crop_rule(records, box)
    assert crop_rule([*records, found.records[3]], box).scale > 1
    turned = [replace(record, points=-record.points) for record in found.records[:3]]
    with refuses("crop rule", "upside down"):
        crop_rule(turned, box)


def test_a_changed_box_is_packed_anew(tmp_path: Path) -> None:
    listed = faces.write_five_points(tmp_path / "five", 6)
    source = options(f"mtfl:{listed}", crop=CropOptions(scale=1.5))
    first = pack.pack(source, tmp_path / "p", PACK, progress=False)
    name, x0, x1, *rest = listed.read_text().split("\n")[0].split()
    lines = listed.read_text().split("\n")
    lines[0] = " ".join([name, x0, str(float(x1) + 20), *rest])
    listed.write_text("\n".join(lines))
    second = pack.pack(source, tmp_path / "p", PACK, progress=False)
    assert second.content_sha256 != first.content_sha256


def test_another_source_is_not_replaced(tmp_path: Path, photos: Path) -> None:
    pack.pack(options(f"ibug:{photos}"), tmp_path / "p", PACK, progress=False)
    listed = faces.write_five_points(tmp_path / "five", 6)
    with refuses(tmp_path / "p", f"ibug:{photos}", f"mtfl:{listed}"):
        pack.pack(options(f"mtfl:{listed}"), tmp_path / "p", PACK, progress=False)
    assert read_manifest(tmp_path / "p").schema == "ibug68"


def test_crops_by_the_file_s_own_boxes(shared_data: Path) -> None:
    """WFLW-68 as PIPNet crops it: 98 points made 68, the file's box without its upper fifth."""
    samples = shared_data / "format_samples" / "wflw"
    records = sources.read(f"coco:{samples}/test_wflw.json?convert=ibug68").records
    rule = crop_rule(records, CropOptions(scale=1.2, box="file"))
    assert rule.name == "ibug68-file"
    x0, y0, x1, y1 = box = records[0].box
    crop = rule.crop(records[0].source_box(rule.box))
    assert (crop.center_x, crop.center_y) == pytest.approx(((x0 + x1) / 2, (y0 + y1) / 2))
    assert crop.side == pytest.approx(1.2 * max(x1 - x0, y1 - y0))
    assert crop_rule(records, CropOptions(scale=1.2)).name == "ibug68-points"
    lowered = rule.crop(box + np.array([0, 0.2 * (y1 - y0), 0, 0]))
    assert lowered.center_y > crop.center_y
    with refuses("box", "tight", "points", "file"):
        CropOptions(box="tight")
    boxless = [replace(record, box=None) for record in records]
    with refuses("face box", path=boxless[0].image):
        crop_rule(boxless, CropOptions(box="file"))


def test_damaged_shards_are_named(tmp_path: Path, photos: Path) -> None:
    folder = tmp_path / "p"
    manifest = pack.pack(options(f"ibug:{photos}"), folder, PACK, progress=False)
    shard = folder / manifest.shards["train"][1].file
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-50])
    with refuses("SHA-256", path=shard):
        list(shards.load(folder, manifest, "train"))
    shard.write_bytes(whole)
    stored = shards.load(folder, manifest, "train")
    next(stored)
    shard.write_bytes(whole[:-50])  # after it was checked
    with refuses("damaged shard", path=folder):
        list(stored)
    shard.unlink()
    with refuses(shard.name, "missing", path=folder / MANIFEST):
        read_manifest(folder)


def test_shards_lie_in_their_folder(tmp_path: Path, photos: Path) -> None:
    """A manifest is a stranger's file as much as any other."""
    folder = tmp_path / "packed"
    pack.pack(options(f"ibug:{photos}"), folder, PACK, progress=False)
    content = json.loads((folder / MANIFEST).read_text())
    first = content["shards"]["train"][0]
    (folder / first["file"]).rename(tmp_path / "elsewhere")
    first["file"] = "../elsewhere"
    (folder / MANIFEST).write_text(json.dumps(content))
    with refuses("../elsewhere", path=folder / MANIFEST):
        read_manifest(folder)


def test_coinciding_eyes_are_a_bad_sample(tmp_path: Path, photos: Path) -> None:
    annotation = photos / "face_003x.pts"
    lines = annotation.read_text().split("\n")
    lines[3 + 36] = lines[3 + 45] = "40.0 41.0"
    annotation.write_text("\n".join(lines))
    with refuses("interocular", "coincide", path=photos / "face_003x.png"):
        pack.pack(options(f"ibug:{photos}"), tmp_path / "p", PACK, progress=False)
    skipping = options(f"ibug:{photos}", on_error="skip")
    manifest = pack.pack(skipping, tmp_path / "p", PACK, progress=False)
    assert manifest.faces("train") == 19
    assert_told(manifest.skipped[0], photos / "face_003x.png", "interocular", "coincide")


def test_what_a_killed_packing_left_is_removed(tmp_path: Path, photos: Path) -> None:
    left = tmp_path / ".p.0123abcd.tmp"
    left.mkdir()
    (left / "train-00000.tfrecord").write_bytes(b"half")
    (tmp_path / ".p.lock").touch()
    pack.pack(options(f"ibug:{photos}"), tmp_path / "p", PACK, progress=False)
    assert {path.name for path in tmp_path.iterdir()} == {"photos", "p"}


def test_a_full_disk_is_told_with_the_path_and_the_old_faces_stay(
    tmp_path: Path, photos: Path
) -> None:
    """A limit of the size of files stands for the disk's, which a test cannot fill."""
    made = pack.pack(options(f"ibug:{photos}"), tmp_path / "p", PACK, progress=False)
    command = [sys.executable, "-c", "from efld_tf.cli import data; data.entry()",
               "pack", f"ibug:{photos}", str(tmp_path / "p"), "--quiet"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)))
    assert done.returncode == 2
    assert_error_line(done.stderr, tmp_path / "p", "large")
    assert read_manifest(tmp_path / "p") == made
    assert {path.name for path in tmp_path.iterdir()} == {"photos", "p"}


def test_of_two_packings_at_once_one_does_the_work(tmp_path: Path, photos: Path) -> None:
    command = [sys.executable, "-c", "from efld_tf.cli import data; data.entry()",
               "pack", f"ibug:{photos}", str(tmp_path / "p")]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    told = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum("packed 20 faces" in text for text in told) == 1
    assert read_manifest(tmp_path / "p").faces("train") == 20
    assert {path.name for path in tmp_path.iterdir()} == {"photos", "p"}
