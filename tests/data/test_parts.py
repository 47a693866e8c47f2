"""Points of a part of the face: their crops, checks and statistics."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from efld_tf.annotations import sources
from efld_tf.annotations.record import FaceRecord
from efld_tf.data import crop_fit, pack, stats
from efld_tf.data.check import findings, shapes
from efld_tf.data.manifest import MANIFEST, open_packed
from efld_tf.data.options import CropOptions, PackOptions, SourceOptions
from efld_tf.landmarks import schemas
from efld_tf.landmarks.geometry import CropRule
from tests import parts
from tests.data.check.checking import kinds_of, quick
from tests.errors import assert_told, refuses
from tests.parts import EYE, EYES, MOUTH, NOSE, Part

FACES = 30


@pytest.fixture(scope="module")
def helen(shared_data: Path) -> Path:
    return shared_data / "ibug/helen/testset"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, helen: Path) -> dict[str, str]:
    """The sources of all parts, by their names."""
    folder = tmp_path_factory.mktemp("parts")
    return {part.name: part.write(folder, helen, FACES) for part in parts.ALL}


def records(part: Part, written: dict[str, str]) -> list[FaceRecord]:
    return sources.read(written[part.name]).records


@pytest.mark.parametrize("part", [EYES, MOUTH, NOSE, EYE], ids=lambda part: part.name)
def test_the_crop_is_about_the_points(part: Part, written: dict[str, str]) -> None:
    found = records(part, written)
    rule = crop_fit.crop_rule(found, CropOptions())
    assert rule == CropRule("points", part.name, 1.25)
    for record in found:
        points = rule.crop(record.source_box("points")).to_unit(record.points)
        low, high = points.min(axis=0), points.max(axis=0)
        assert max(high - low) == pytest.approx(1 / 1.25, abs=1e-5)
        np.testing.assert_allclose((low + high) / 2, 0.5, atol=1e-5)


def test_a_scale_of_the_user_goes_first(written: dict[str, str]) -> None:
    found = records(EYES, written)
    chosen = CropOptions(scale=2.0, offset_y=0.3)
    assert crop_fit.crop_rule(found, chosen) == CropRule("points", "eyes12", 2.0, 0.0, 0.3)
    near = crop_fit.crop_rule(found, chosen, 1.6)  # about the middle of the same crop
    assert near == CropRule("points", "eyes12", 1.25, 0.0, 0.3, 1.6)
    with refuses("data.pack.zoom", 1.6, "schema eyes12", "mouth_right", "crop.scale"):
        crop_fit.crop_rule(found, CropOptions(), 1.6)


def test_exchanged_anchors_are_found_before_packing(written: dict[str, str]) -> None:
    """Left and right of the image in place of the person's."""
    found = records(EYES, written)
    exchanged = dict(zip(EYES.fields["anchors"], reversed(EYES.fields["anchors"].values()),
                         strict=True))
    schemas.register(EYES.named("exchanged", anchors=exchanged).schema)
    with refuses("schema exchanged", "right_eye", "left_eye"):
        crop_fit.crop_rule([replace(record, schema="exchanged") for record in found],
                           CropOptions())


def test_rules_of_other_schemas_are_not_taken_for_alike(written: dict[str, str], helen: Path
                                                       ) -> None:
    eyes = records(EYES, written)
    whole = sources.read(f"ibug:{helen}").records[:5]
    rule, of_whole = CropRule("points", "eyes12", 1.25), CropRule("points", "ibug68", 1.25)
    assert not crop_fit.alike(rule, of_whole) and crop_fit.alike(rule, replace(rule, scale=2.0))
    assert crop_fit.alike(of_whole, CropRule("points", "wflw98", 1.3))
    for model, faces in ((rule, whole), (of_whole, eyes)):
        with refuses("ibug68", "eyes12", "mouth_right"):
            crop_fit.rule_like(model, faces)
    for known in ("wflw98", "of_a_model_alone"):
        assert crop_fit.rule_like(CropRule("points", known, 1.3), whole).schema == "ibug68"


def test_packed_faces_carry_the_schema_and_say_what_their_crops_are(
    tmp_path: Path, helen: Path
) -> None:
    storage, part = PackOptions(size=64), NOSE.named("packed9")  # whose flip is not known yet
    options = SourceOptions(
        source=part.write(tmp_path, helen, FACES), name="nose", heads=["packed9"])
    manifest = pack.pack(options, tmp_path / "p", storage, workers=1, progress=False)
    notes = "\n".join(manifest.notes)
    assert_told(notes, "flip", "packed9", "upright", [0, 1, 2, 3, 8, 7, 6, 5, 4])
    assert_told(notes, "schema packed9", *NOSE.schema.missing_anchors, 1.25)
    carried = json.loads((tmp_path / "p" / MANIFEST).read_text())["schema_fields"]
    assert "anchors" not in carried and carried["nose_tip"] == "3"
    assert open_packed(tmp_path / "p") == manifest
    mean = np.array(manifest.mean_shape)
    assert mean.min() >= 0.1 and mean.max() <= 0.9
    own = replace(options, crop=CropOptions(scale=3.0))
    manifest = pack.pack(own, tmp_path / "q", storage, workers=1, progress=False)
    assert not any("1.25" in note for note in manifest.notes)


@pytest.mark.parametrize("part", [EYES, MOUTH, NOSE], ids=lambda part: part.name)
def test_planted_mistakes_are_found(part: Part, shared_data: Path) -> None:
    points = parts.points_of(part, shared_data / "ibug/helen/testset")
    schema = replace(part.schema, flip=tuple(parts.flip_of_68(part)))
    assert not shapes.doubtful_flip(points, schema)
    clean = shapes.shape_tests(points, schema)
    assert not clean.swapped.any() and not clean.shifts and not clean.outlier.any()
    planted = list(range(0, len(points), 30))
    exchanged = points.copy()
    exchanged[planted] = points[planted][:, list(schema.known_flip)]
    assert np.flatnonzero(shapes.shape_tests(exchanged, schema).swapped).tolist() == planted
    shifted, first = points.copy(), list(schema.parts[0].points)
    shifted[np.ix_(planted, first)] = points[np.ix_(planted, np.roll(first, 1))]
    found = shapes.shape_tests(shifted, schema)
    assert {*found.shifts, *np.flatnonzero(found.outlier)} == {*planted}
    if schema.anchors:
        everything = shapes.shape_tests(points[:, list(schema.known_flip)], schema)
        assert everything.swapped.mean() > 0.9


@pytest.mark.parametrize("part", parts.ALL, ids=lambda part: part.name)
def test_a_check_finds_nothing_wrong(part: Part, written: dict[str, str]) -> None:
    found = quick([written[part.name]], workers=1)
    assert not kinds_of(found)
    notes = "\n".join(found.notes)
    assert_told(notes, f"schema {part.name}", *part.schema.missing_anchors, "crop.scale")
    if part is EYE:
        assert_told(notes, "flip", "eye6", "one side", "eye_0 with eye_3")
    if part is parts.HALF_JAW:
        assert_told(notes, "flip", "jaw9", "symmetric")


def test_a_face_s_box_around_a_part_is_right(tmp_path: Path, helen: Path) -> None:
    """How large the face is does not follow from its eyes; whether they are in the box does."""
    source = EYES.write(tmp_path, helen, FACES)
    path = tmp_path / "eyes12_testset.jsonl"
    whole = sources.read(f"ibug:{helen}").records[:FACES]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line, record in zip(lines, whole, strict=True):
        line["box"] = record.source_box("points").tolist()
    lines[3]["box"] = [0, 0, 9, 9]
    path.write_text("\n".join(map(json.dumps, lines)))
    found = [f for f in quick([source], workers=1).findings if f.kind == findings.BOX]
    assert [Path(f.key).name for f in found] == [whole[3].image.name]
    assert_told(found[0].message, "box", "0 of 12")


@pytest.mark.parametrize(
    ("part", "known"), [(EYES, True), (MOUTH, True), (NOSE, False), (EYE, False)],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_statistics(part: Part, known: bool, written: dict[str, str]) -> None:
    found = stats.measure(written[part.name], progress=False)
    assert len(found.values["yaw"]) == len(found.values["pitch"]) == 0
    assert len(found.values["roll"]) == (FACES if known else 0)
    assert len(found.values["size"]) == len(found.values["brightness"]) == FACES
    assert np.isfinite(found.mean).all()
    assert np.ptp(found.mean, axis=0).max() == pytest.approx(1)
    assert_told("\n".join(found.remarks.notes), f"schema {part.name}", "face size", "box")


def test_roll_by_hand() -> None:
    points = np.zeros((2, 20, 2))
    points[0, 6], points[1, 6] = [10, 10], [10, 0]
    schemas.register(MOUTH.schema)
    np.testing.assert_allclose(stats.angles(points, "mouth20")["roll"], [45, 0])
