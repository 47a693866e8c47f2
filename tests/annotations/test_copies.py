"""Faces that one photo has twice."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from efld_tf.annotations import sources
from tests.annotations.writers import some_points, write_image
from tests.errors import assert_told

POINTS = some_points(68).astype(float) + 20


def _notes(folder: Path, *faces: np.ndarray, images: tuple[str, ...] = ()) -> list[str]:
    """The notes on faces of `a.jpg`, or of images of their own."""
    names = images or ("a.jpg",) * len(faces)
    for name in names:
        write_image(folder / name)
    (folder / "faces.jsonl").write_text("\n".join(
        json.dumps({"image": name, "points": points.tolist()})
        for name, points in zip(names, faces, strict=True)))
    return sources.read(f"json:{folder}/faces.jsonl?schema=ibug68").notes


def test_a_copy_and_a_second_version_are_told(tmp_path: Path) -> None:
    """A point that was moved far, and an eye that is missing, make no other face."""
    moved = POINTS + np.random.default_rng(0).normal(0, 1, POINTS.shape)
    moved[0] += 9
    (note,) = _notes(tmp_path, POINTS, POINTS + 150, moved, POINTS)
    assert_told(note, "2 faces", "'a.jpg@2'", "'a.jpg'", "exclude")


@pytest.mark.parametrize("other", [POINTS + np.array([40, 0]), (POINTS - 40) * 1.3 + 40])
def test_two_people_are_no_copies(tmp_path: Path, other: np.ndarray) -> None:
    assert _notes(tmp_path, POINTS, other) == []


def test_copies_of_photos_are_none_of_faces(tmp_path: Path) -> None:
    """Such as the frames of a video; `efld-data check` finds the same pixels."""
    assert _notes(tmp_path, POINTS, POINTS, images=("a.jpg", "b.jpg")) == []


def test_a_copied_file_of_annotations(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg")
    shapes = [{"label": str(i), "points": [p.tolist()], "shape_type": "point"}
              for i, p in enumerate(POINTS)]
    (tmp_path / "a.json").write_text(json.dumps({"imagePath": "a.jpg", "shapes": shapes}))
    assert sources.read(f"labelme:{tmp_path}?schema=ibug68").notes == []
    shutil.copy(tmp_path / "a.json", tmp_path / "a copy.json")
    (note,) = sources.read(f"labelme:{tmp_path}?schema=ibug68").notes
    assert_told(note, "1 face", "'a.jpg@1'", "'a.jpg'")
