from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from efld_tf.annotations import images, sources, vw300
from efld_tf.annotations.record import FaceRecord
from efld_tf.errors import DataError
from tests.annotations.writers import ibug_text, some_points
from tests.errors import assert_refusal, refuses

FRAMES = 12


def _write(root: Path, number: int, frames: int = FRAMES) -> Path:
    """A video whose frame K, from 1 on, is grey with the value 20 K."""
    folder = root / f"{number:03d}"
    (folder / "annot").mkdir(parents=True)
    codec = cv2.VideoWriter_fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(folder / "vid.avi"), codec, 25, (64, 48))
    for frame in range(1, frames + 1):
        writer.write(np.full((48, 64, 3), 20 * frame, np.uint8))
        text = ibug_text(some_points(68, 100 * number + frame))
        (folder / "annot" / f"{frame:06d}.pts").write_text(text)
    writer.release()
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in (1, 114, 203, 410):
        _write(tmp_path, number)
    (tmp_path / "extra").mkdir()
    return tmp_path


def test_the_official_split() -> None:
    sizes = {name: len(numbers) for name, numbers in vw300.SPLITS.items()}
    assert sizes == {"train": 50, "category1": 31, "category2": 19, "category3": 14}
    numbers = [number for split in vw300.SPLITS.values() for number in split]
    assert len(set(numbers)) == 114
    assert all(list(split) == sorted(split) for split in vw300.SPLITS.values())


def test_every_frame_is_read_unless_the_source_says_so(root: Path) -> None:
    assert len(sources.read(f"300vw:{root}?split=all").records) == 4 * FRAMES
    found = sources.read(f"300vw:{root}?every=5")
    assert [record.key for record in found.records[:4]] == [
        "001/vid.avi#0", "001/vid.avi#5", "001/vid.avi#10", "114/vid.avi#0",
    ]  # fmt: skip
    assert [record.identity for record in found.records[::3]] == ["001", "114", "203", "410"]
    splits = [record.attributes["split"] for record in found.records[::3]]
    assert splits == ["train", "category1", "category2", "category3"]
    reader = images.ImageReader()
    for record in found.records:
        assert record.image == root / record.identity / "vid.avi"
        seed = 100 * int(record.identity) + record.frame + 1
        np.testing.assert_allclose(record.points, some_points(68, seed), atol=1e-4)
        assert abs(float(reader.read(record).mean()) - 20 * (record.frame + 1)) < 3


@pytest.mark.parametrize(("every", "frames"), [("1", range(12)), ("7", [0, 7]), ("100", [0])])
def test_every(root: Path, every: str, frames: list[int]) -> None:
    records = [r for r in vw300.read(root, every=every) if r.identity == "114"]
    assert [record.frame for record in records] == list(frames)


@pytest.mark.parametrize("every", ["0", "-1", "x", "1.5", "", "\u0665", "9999999"])
def test_every_is_a_whole_number(root: Path, every: str) -> None:
    with refuses("every", repr(every)):
        list(vw300.read(root, every=every))


def test_a_split_must_be_complete(root: Path) -> None:
    items = list(vw300.read(root, split="category3"))
    records = [item for item in items if isinstance(item, FaceRecord)]
    assert {record.identity for record in records} == {"410"}
    errors = [item for item in items if isinstance(item, DataError)]
    assert len(errors) == 13
    assert_refusal(errors[0], "vid.avi", "category3", path=root / "411")
    with refuses("split", "test", "all", *vw300.SPLITS):
        list(vw300.read(root, split="test"))


def test_bad_files_are_one_error_each(root: Path) -> None:
    annotations = root / "114" / "annot"
    (annotations / "000001.pts").write_text("version: 1\n")
    (annotations / "000002.pts").write_text("not read")
    (annotations / "000006.pts").write_text(ibug_text(some_points(51)))
    (annotations / "x.pts").write_text("")
    (annotations / "000000.pts").write_text("")
    (root / "203" / "vid.avi").unlink()
    items = [item for item in vw300.read(root, every="5")
             if root / "001" not in item_path(item).parents]
    errors = {item.path: item for item in items if isinstance(item, DataError)}
    for path, facts in {
        annotations / "x.pts": ["number", "frame"],
        annotations / "000000.pts": ["number", "frame"],
        annotations / "000001.pts": ["{"],
        annotations / "000006.pts": ["points", 68, 51],
        root / "203": ["vid.avi", "category2"],
    }.items():
        assert_refusal(errors.pop(path), *facts, path=path)
    assert not errors and sum(isinstance(item, DataError) for item in items) == 5
    assert [r.frame for r in items if isinstance(r, FaceRecord)] == [10, 0, 5, 10]


def item_path(item: FaceRecord | DataError) -> Path:
    return item.image if isinstance(item, FaceRecord) else item.path


def test_a_video_shorter_than_its_annotations(root: Path) -> None:
    (root / "114" / "annot" / "000021.pts").write_text(ibug_text(some_points(68)))
    *_, last = (r for r in vw300.read(root) if r.identity == "114")
    with refuses("ends", "frame 20", path=root / "114" / "vid.avi"):
        images.read_image(last)


def test_a_file_is_no_folder(root: Path) -> None:
    with refuses("folder", "NNN", path=root / "001" / "vid.avi"):
        list(vw300.read(root / "001" / "vid.avi"))
