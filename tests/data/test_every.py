"""`every` thins the frames of videos for training, and never those that are held out."""

from __future__ import annotations

from pathlib import Path

import pytest

from efld_tf.annotations import sources
from efld_tf.data import pack, shards
from efld_tf.data.manifest import Manifest
from efld_tf.data.options import CropOptions, PackOptions, SourceOptions
from efld_tf.data.splits import in_validation
from efld_tf.evaluation import faces as faces_of
from efld_tf.landmarks.geometry import CropRule
from tests import faces
from tests.annotations.test_vw300 import FRAMES, _write
from tests.errors import assert_told, refuses

PACK = PackOptions(size=32)
HALF = 0.5  # holds out some of these videos


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in (1, 2, 3, 4):
        _write(tmp_path / "videos", number)
    return tmp_path / "videos"


def packed(source: str, folder: Path, **changes: object) -> Manifest:
    crop = CropOptions(scale=1.25)  # the points are no faces, to which a rule could be fitted
    options = SourceOptions(source, "v", ["ibug68"], crop=crop, **changes)
    return pack.pack(options, folder, PACK, progress=False)


def names(folder: Path, manifest: Manifest, split: str) -> list[str]:
    return [face["name"].decode() for face in shards.load(folder, manifest, split)]


def test_training_frames_alone_are_thinned(root: Path, tmp_path: Path) -> None:
    folder, source = tmp_path / "p", f"300vw:{root}"
    records = sources.read(source).records
    held = {r.key for r in records if in_validation(r, HALF)}
    videos = len(held) // FRAMES
    assert 0 < videos < 4 and len(held) == videos * FRAMES
    manifest = packed(source, folder, validation_fraction=HALF, every=5)
    assert set(names(folder, manifest, "validation")) == held
    assert set(names(folder, manifest, "train")) == {
        r.key for r in records if r.key not in held and r.frame in (0, 5, 10)}
    assert_told("\n".join(manifest.notes), 5, 3 * (4 - videos), (4 - videos) * FRAMES, len(held))
    again = packed(source, folder, validation_fraction=HALF)  # is another packing
    assert again.faces("train") == (4 - videos) * FRAMES


def test_a_source_s_own_option_means_what_it_says(root: Path, tmp_path: Path) -> None:
    """It thins a test source, and a training source without held-out faces; no others."""
    source = f"300vw:{root}?every=5"
    rule = CropRule("points", "ibug68", 1.25)
    assert len(faces_of.load(source, rule, 16, progress=False)) == 4 * 3
    assert packed(source, tmp_path / "p").faces("train") == 4 * 3
    for text in ("every=5", "split=all&every=05", "every=10&split=all"):
        with refuses("every"):
            SourceOptions(f"300vw:{root}?{text}", "v", ["ibug68"], validation_fraction=HALF)
    SourceOptions(f"300vw:{root}?every=1", "v", ["ibug68"], validation_fraction=HALF)


def test_photos_have_no_frames(tmp_path: Path) -> None:
    folder = faces.write_ibug(tmp_path / "photos", 3)
    with refuses("every", 5, f"ibug:{folder}"):
        packed(f"ibug:{folder}", tmp_path / "p", every=5)
    with refuses("every", 0):
        SourceOptions(f"ibug:{folder}", "v", ["ibug68"], every=0)
    with refuses("every", f"packed:{folder}"):
        SourceOptions(f"packed:{folder}", "v", ["ibug68"], every=2)
