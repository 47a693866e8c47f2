"""Pairs of LFW and CFP, and how well a model of face recognition tells them apart."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from efld_tf.annotations.images import read_photo
from efld_tf.evaluation import pairs, verification
from efld_tf.evaluation.pairs import Pair
from tests import tiny_models
from tests.errors import refuses

PEOPLE = {"Ann_Lee": 3, "Bo": 2, "Cy": 1, "Di": 1}
COLOURS = (230, 30, 30), (30, 230, 30), (30, 30, 230), (128, 128, 128)


def photo(path: Path, colour: tuple[int, int, int]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((16, 16, 3), colour, np.uint8))
    return path


@pytest.fixture
def lfw(tmp_path: Path) -> Path:
    """Two folds of two pairs of one person and two of two; people have a colour each."""
    for (name, count), (blue, green, red) in zip(PEOPLE.items(), COLOURS, strict=True):
        for index in range(1, count + 1):
            photo(tmp_path / "lfw" / name / f"{name}_{index:04d}.jpg", (blue, green + index, red))
    (tmp_path / "pairs.txt").write_text(
        "2\t2\nAnn_Lee\t1\t2\nBo\t1\t2\nAnn_Lee\t1\tBo\t1\nCy\t1\tDi\t1\n"
        "Ann_Lee\t2\t3\nAnn_Lee\t1\t3\nBo\t2\tCy\t1\nAnn_Lee\t3\tDi\t1\n")
    return tmp_path / "lfw"


@pytest.fixture
def cfp(tmp_path: Path) -> Path:
    protocol = tmp_path / "cfp" / "Protocol"
    for side, name in (("F", "frontal"), ("P", "profile")):
        rows = []
        for person in range(1, 4):
            photo(tmp_path / f"cfp/Data/Images/{person:03d}/{name}/01.jpg", (80 * person, 99, 9))
            rows.append(f"{person} ../Data/Images/{person:03d}/{name}/01.jpg")
        protocol.mkdir(parents=True, exist_ok=True)
        (protocol / f"Pair_list_{side}.txt").write_text("\n".join(rows) + "\n")
    for kind in pairs.CFP_KINDS:
        for fold, (same, other) in enumerate((("1,1\n2,2", "1,2\n2,3"), ("3,3", "3,1")), start=1):
            folder = protocol / "Split" / kind / f"{fold:02d}"
            folder.mkdir(parents=True)
            (folder / "same.txt").write_text(same)
            (folder / "diff.txt").write_text(other)
    return tmp_path / "cfp"


def test_pairs_of_lfw(lfw: Path) -> None:
    found = pairs.lfw(lfw)
    assert [(p.first.name, p.second.name, p.same, p.fold) for p in found] == [
        ("Ann_Lee_0001.jpg", "Ann_Lee_0002.jpg", True, 0), ("Bo_0001.jpg", "Bo_0002.jpg", True, 0),
        ("Ann_Lee_0001.jpg", "Bo_0001.jpg", False, 0), ("Cy_0001.jpg", "Di_0001.jpg", False, 0),
        ("Ann_Lee_0002.jpg", "Ann_Lee_0003.jpg", True, 1),
        ("Ann_Lee_0001.jpg", "Ann_Lee_0003.jpg", True, 1),
        ("Bo_0002.jpg", "Cy_0001.jpg", False, 1), ("Ann_Lee_0003.jpg", "Di_0001.jpg", False, 1)]
    assert all(p.first.is_file() and p.second.is_file() for p in found)
    (lfw.parent / "dev.txt").write_text("1\nBo 1 2\nCy 1 Di 1\n")
    assert [(p.same, p.fold) for p in pairs.lfw(lfw, lfw.parent / "dev.txt")] == [
        (True, 0), (False, 0)]


@pytest.mark.parametrize(("text", "line", "facts"), [
    ("", 1, ("folds",)), ("x\t2\n", 1, ("folds", "'x 2'")), ("0\t2\n", 1, ("folds",)),
    ("1\nBo 1 2\n", None, ("2 pairs", "1")), ("1\nBo 1 2\nCy 1 Di 1\nBo 1 2\n", 4, ("2 pairs",)),
    ("1\nBo 1 Cy 1\n", 2, ("NAME NUMBER NUMBER", "'Bo 1 Cy 1'")),
    ("1\nBo 1 2\nBo 1 2\n", 3, ("NAME NUMBER NAME NUMBER",)), ("1\nBo 1 9\n", 2, ("exist",)),
    ("1\nBo 1 two\n", 2, ("'Bo two'",)), (f"1\nBo 1 {'9' * 5000}\n", 2, ("number",)),
    ("1\n../lfw/Bo 1 2\n", 2, ("name",)), ("1\n.. 1 2\n", 2, ("name",)),
])
def test_lists_that_are_not_lfw_s(lfw: Path, text: str, line: int | None, facts: tuple) -> None:
    path = lfw.parent / "pairs.txt"
    path.write_text(text)
    with refuses(*facts, path=path, line=line):
        pairs.lfw(lfw)


def test_pairs_of_cfp(cfp: Path) -> None:
    found = pairs.cfp(cfp)
    assert [(p.first.parts[-3:-1], p.second.parts[-3:-1], p.same, p.fold) for p in found] == [
        (("001", "frontal"), ("001", "profile"), True, 0),
        (("002", "frontal"), ("002", "profile"), True, 0),
        (("001", "frontal"), ("002", "profile"), False, 0),
        (("002", "frontal"), ("003", "profile"), False, 0),
        (("003", "frontal"), ("003", "profile"), True, 1),
        (("003", "frontal"), ("001", "profile"), False, 1)]
    assert {p.second.parts[-2] for p in pairs.cfp(cfp, "FF")} == {"frontal"}
    with refuses("kind", "'PP'"):
        pairs.cfp(cfp, "PP")


@pytest.mark.parametrize(("file", "text", "line", "facts"), [
    ("Pair_list_P.txt", "2 ../Data/a.jpg", 1, ("1", "path")),
    ("Pair_list_P.txt", "1 ../../../etc/passwd", 1, ("data set",)),
    ("Pair_list_P.txt", "1 /etc/passwd", 1, ("data set",)),
    ("Pair_list_F.txt", "1 ../Data/none.jpg", 1, ("exist",)),
    ("Split/FP/02/same.txt", "1,4", 1, ("3", "'1,4'")),
    ("Split/FP/02/diff.txt", "0,1", 1, ("'0,1'",)),
    ("Split/FP/02/diff.txt", "1,2\n1;2", 2, ("'1;2'",)), ("Split/FP/01/same.txt", "1,2,3", 1, ()),
])
def test_lists_that_are_not_cfp_s(
    cfp: Path, file: str, text: str, line: int, facts: tuple
) -> None:
    (cfp / "Protocol" / file).write_text(text)
    with refuses(*facts, path=cfp / "Protocol" / file, line=line):
        pairs.cfp(cfp)


def test_lists_that_are_missing(tmp_path: Path, cfp: Path) -> None:
    with refuses("read", path=tmp_path / "pairs.txt"):
        pairs.lfw(tmp_path)
    (cfp / "Protocol/Split/FP/01/diff.txt").unlink()
    with refuses(path=cfp / "Protocol/Split/FP/01/diff.txt"):
        pairs.cfp(cfp)
    for path in (cfp / "Protocol/Split/FP").glob("*/same.txt"):
        path.unlink()
    with refuses("folds", path=cfp / "Protocol/Split/FP"):
        pairs.cfp(cfp)


# -- A model ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy model that knows people by the mean colour of their pictures."""
    import tensorflow as tf

    path = tmp_path_factory.mktemp("toy") / "colours.tflite"
    path.write_bytes(tiny_models.convert(
        lambda image: tf.reduce_mean(image, axis=(1, 2)) + tf.constant([0.1, 0.2, 0.3]),
        [(1, 16, 16, 3)]))
    return path


def test_a_model_tells_people_apart(colours: Path, lfw: Path) -> None:
    recogniser, looked = verification.Recogniser(colours), []

    def picture(path: Path) -> np.ndarray:
        looked.append(path.name)
        return read_photo(path)

    found = pairs.lfw(lfw)
    alike = verification.likeness(found, recogniser, picture)
    assert recogniser.size == 16 and len(looked) == len({*looked}) == 7
    image = read_photo(found[0].first)
    expected = image.mean(axis=(0, 1)) / 127.5 - 1 + [0.1, 0.2, 0.3]
    np.testing.assert_allclose(
        recogniser.vector(image), expected / np.linalg.norm(expected), atol=1e-5)
    same = np.array([pair.same for pair in found])
    assert alike[same].min() > 0.99 > alike[~same].max()
    result = verification.accuracy(found, alike)
    assert (result.mean, result.standard_error, result.pairs) == (1.0, 0.0, 8)


def test_other_models_are_refused(tmp_path: Path, colours: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(tiny_models.convert(lambda image: image[:, 0], [(1, 16, 8, 3)]))
    with refuses("input", "[1, 16, 8, 3]", path=path):
        verification.Recogniser(path)
    path.write_bytes(tiny_models.convert(lambda image: image[:, 0, 0] * 0.0, [(1, 16, 16, 3)]))
    with refuses("length", 0, path=path):
        verification.Recogniser(path).vector(np.zeros((16, 16, 3), np.uint8))


def listed(same: list[bool], folds: list[int]) -> list[Pair]:
    return [Pair(Path("a"), Path("b"), *about) for about in zip(same, folds, strict=True)]


def test_the_accuracy_by_hand() -> None:
    """The threshold of each fold is that of the other: 0.45 for the first, 0.65 for the second."""
    found = listed([True, True, False, False] * 2, [0] * 4 + [1] * 4)
    alike = np.array([0.9, 0.7, 0.6, 0.1, 0.8, 0.5, 0.4, 0.2])
    result = verification.accuracy(found, alike)
    # 0.6 is taken for one person in the first, and 0.5 for two in the second.
    assert result.mean == pytest.approx(0.75) and result.standard_error == 0
    assert verification.accuracy(found[:4], alike[:4]).mean == 1.0


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.1, 0.2, 0.3, 0.4])), min_size=1))
def test_no_threshold_is_better_in_the_same_pairs(rows: list[tuple[bool, float]]) -> None:
    same, alike = (np.array(some) for some in zip(*rows, strict=True))
    found = verification.accuracy(listed(same.tolist(), [0] * len(rows)), alike.astype(float))
    best = max(((alike >= threshold) == same).mean()
               for threshold in (-np.inf, 0.15, 0.25, 0.35, np.inf))
    assert found.mean == pytest.approx(best)


def test_what_has_no_accuracy() -> None:
    with refuses("likeness", "1"):
        verification.accuracy(listed([True], [0]), np.array([np.nan]))
    with refuses("likeness", "0"):
        verification.accuracy([], np.array([]))
