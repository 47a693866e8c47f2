from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from efld_tf.annotations import youtube_faces
from efld_tf.annotations.record import FaceRecord
from tests.annotations.writers import csv_text, some_points, write_image
from tests.errors import assert_refusal, refuses

TEST_CSV = "test_frames_keypoints.csv"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two people, each in both files."""
    for split, start in (("training", 0), ("test", 50)):
        rows = []
        for i, name in enumerate(("Ann_Lee_00.jpg", "Bob_02.jpg")):
            write_image(tmp_path / split / name)
            rows.append((name, some_points(68, start + i)))
        (tmp_path / f"{split}_frames_keypoints.csv").write_text(csv_text(rows), newline="")
    split_file = {"test_identities": ["Bob"], "train_identities": ["Ann_Lee"]}
    (tmp_path / "identity_split.json").write_text(json.dumps(split_file))
    return tmp_path


def test_real_data(shared_data: Path) -> None:
    folder = shared_data / "youtube_faces"
    everything = list(youtube_faces.read(folder))
    assert len(everything) == 3462 + 770
    assert all(isinstance(record, FaceRecord) for record in everything)
    assert everything[0].image.parent.name == "training"
    assert len(list(youtube_faces.read(folder / TEST_CSV))) == 770
    train = list(youtube_faces.read(folder, identities="train"))
    test = list(youtube_faces.read(folder, identities="test"))
    assert (len(train), len(test)) == (3619, 613)
    assert len({record.identity for record in test}) == 50
    assert not {record.identity for record in train} & {record.identity for record in test}


def test_round_trip(folder: Path) -> None:
    records = list(youtube_faces.read(folder))
    assert [record.identity for record in records] == ["Ann_Lee", "Bob"] * 2
    for record, seed in zip(records, (0, 1, 50, 51), strict=True):
        np.testing.assert_allclose(record.points, some_points(68, seed), atol=1e-4)
        assert record.image.is_file() and record.schema == "ibug68"


def test_options(folder: Path) -> None:
    for side, person in (("train", "Ann_Lee"), ("test", "Bob")):
        assert [r.identity for r in youtube_faces.read(folder, identities=side)] == [person] * 2
    only = list(youtube_faces.read(folder / TEST_CSV, identities="test"))
    assert [record.image for record in only] == [folder / "test" / "Bob_02.jpg"]
    (first, *_) = youtube_faces.read(folder, origin="1")
    np.testing.assert_allclose(first.points, some_points(68, 0) - 1, atol=1e-4)


def test_wrong_options(folder: Path) -> None:
    with refuses("identities", "both", "all", "train", "test"):
        list(youtube_faces.read(folder, identities="both"))
    with refuses("origin", 0, 1, 2):
        list(youtube_faces.read(folder, origin="2"))


@pytest.mark.parametrize("name", ["training" + TEST_CSV[4:], TEST_CSV])
def test_a_missing_csv_stops(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with refuses("read", "No such file", path=folder / name):
        list(youtube_faces.read(folder))


@pytest.mark.parametrize(
    ("content", "facts"),
    [
        (None, ["read", "No such file"]),
        ("{", ["JSON"]),
        ("[" * 100000, ["JSON"]),
        ("[]", ["list", "test_identities"]),
        ('{"test_identities": [1]}', ["list", "test_identities"]),
        (" " * (1 << 20) + "{}", ["bytes", 1048576, 1048578]),
    ],
)
def test_a_bad_split_file_stops(folder: Path, content: str | None, facts: list[object]) -> None:
    path = folder / "identity_split.json"
    path.unlink()
    if content is not None:
        path.write_text(content)
    with refuses(*facts, path=path):
        list(youtube_faces.read(folder, identities="test"))
    assert len(list(youtube_faces.read(folder))) == 4


@pytest.mark.parametrize("header", ["", "0,1,2", ",0,1", "name," + ",".join(map(str, range(136)))])
def test_a_wrong_header_stops(folder: Path, header: str) -> None:
    path = folder / TEST_CSV
    path.write_text("\n".join([header, *path.read_text().splitlines()[1:]]))
    with refuses("header", 0, 135, path=path, line=1):
        list(youtube_faces.read(path))


@pytest.mark.parametrize(
    ("row", "facts"),
    [
        ("Bob_02.jpg" + ",1" * 135, ["points", 68, 67.5]),
        ("Bob_02.jpg" + ",1" * 138, ["points", 68, 69]),
        ("Bob_02.jpg" + ",1" * 135 + ",", ["number", "''"]),
        ("Bob_02.jpg" + ",nan" * 136, ["coordinate", "nan"]),
        ("Bob_03.jpg" + ",1" * 136, ["Bob_03.jpg", "exist"]),
        ("../test/Bob_02.jpg" + ",1" * 136, ["inside", "../test/Bob_02.jpg"]),
        (",1" * 68, ["points", 68, 34]),
        (",1" * 136, ["inside", "''"]),
    ],
)
def test_a_bad_row_is_one_error(folder: Path, row: str, facts: list[object]) -> None:
    path = folder / TEST_CSV
    header, first, _ = path.read_text().splitlines()
    path.write_text("\n".join([header, row, first]))
    error, record = youtube_faces.read(path)
    assert_refusal(error, *facts, path=path, line=2)
    assert isinstance(record, FaceRecord)
