from __future__ import annotations

import random
import unicodedata
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from efld_tf.annotations import point_names
from efld_tf.annotations.declared import schema_named
from efld_tf.landmarks import schemas
from tests.errors import refuses

SCHEMA = "mtfl5"
OWN = schemas.get(SCHEMA).names


@pytest.mark.parametrize(
    "names",
    [
        OWN,
        [name.upper().replace("_", " ") for name in OWN],
        [name.replace("_", "-") for name in OWN],
        ["0", "1", "2", "3", "4"],
        ["1", "2", "3", "4", "5"],
        ["00", "01", "02", "03", "04"],
        ["p1", "p2", "p3", "p4", "p5"],
        ["point 1", "Point 2", "point-3", "point_4", "point 05"],
        ["landmark[0]", "landmark[1]", "landmark[2]", "landmark[3]", "landmark[4]"],
    ],
)
@given(seed=st.integers(0, 99))
def test_names_decide_whatever_their_order(names: list[str], seed: int) -> None:
    shuffled = random.Random(seed).sample([*names], 5)
    assert point_names.match(shuffled, SCHEMA) == {name: i for i, name in enumerate(names)}


def test_numbers_sorted_as_texts() -> None:
    names = sorted(str(i) for i in range(1, 69))
    indices = point_names.match(names, "ibug68")
    assert [indices[name] for name in names[:3]] == [0, 9, 10] and indices["68"] == 67


def test_some_points_alone() -> None:
    assert point_names.match([OWN[3]], SCHEMA) == {OWN[3]: 3}
    assert point_names.match(["0", "3"], SCHEMA) == {"0": 0, "3": 3}
    assert point_names.match(["2", "5"], SCHEMA) == {"2": 1, "5": 4}
    assert point_names.match(["2", "3"], SCHEMA, first=1) == {"2": 1, "3": 2}
    assert point_names.match([OWN[0], "4"], SCHEMA, first=0) == {OWN[0]: 0, "4": 4}


@pytest.mark.parametrize(
    ("names", "facts"),
    [
        (["2", "3"], ["2 to 3", SCHEMA, "first=0", "first=1"]),
        (["0", "5"], ["0 to 5", "0 to 4"]),
        (["7"], ["7 to 7", "1 to 5"]),
        ([*OWN[:4], "chin"], ["'chin'", f"'{OWN[4]}'", "names=ignore"]),
        (["a", "b"], ["2 names", "'a'", "'b'", f"'{OWN[0]}'"]),
        (["eye_0", "eye_x"], ["'eye_0'"]),
        (["-1", "0"], ["'-1'"]),
        (["1.5", "0"], ["'1.5'"]),
        (["99999"], ["'99999'"]),
        (["1" * 5000], ["1 name"]),
        ([OWN[1], OWN[1].upper()], [f"'{OWN[1]}'", "same point"]),
        ([OWN[1], "1", "0"], ["'1'", "'0'", SCHEMA, "first=0", "first=1"]),
        ([*OWN[:4], "5"], ["'5'", SCHEMA, "first=1"]),
        (["p1", "p2", "p3", "mole"], ["1 name", "'mole'"]),
    ],
)
def test_what_cannot_be_matched_is_refused(names: list[str], facts: list[str]) -> None:
    with refuses(*facts):
        point_names.match(names, SCHEMA)


@pytest.mark.parametrize("names", [OWN, [f"p{i}" for i in range(1, 6)], [*"01234"]])
def test_other_names_beside_all_points(names: list[str]) -> None:
    for others in (["mole"], ["mole", "scar 2"], ["q1", "q2"]):
        assert point_names.match([*others, *names], SCHEMA, more=True) == {
            name: i for i, name in enumerate(names)}
        with refuses(f"'{others[0]}'"):
            point_names.match([*names, *others], SCHEMA)


def test_two_sets_of_numbers_for_all_points() -> None:
    names = [f"{kind}{i}" for kind in "pq" for i in range(5)]
    with refuses("'p0'", "'q0'", SCHEMA):
        point_names.match(names, SCHEMA, more=True)


@pytest.mark.parametrize("first", [None, 1])
def test_numbers_beside_the_names_of_all_points(first: int | None) -> None:
    names = [*OWN, "1", "2", "68"]
    expected = {name: i for i, name in enumerate(OWN)}
    assert point_names.match(names, SCHEMA, first, more=True) == expected


def test_composed_letters(tmp_path: Path) -> None:
    names = ["œil gauché", "bouche drôite"]
    (tmp_path / "two.yaml").write_text(yaml.safe_dump({
        "name": "two_composed", "title": "Two", "flip": [1, 0],
        "names": [unicodedata.normalize("NFC", name) for name in names],
        "parts": {"all": {"points": "0-1"}}, "normalisers": {"width": {"right": 0, "left": 1}}}))
    schema = schema_named(str(tmp_path / "two.yaml"))
    decomposed = [unicodedata.normalize("NFD", name) for name in names]
    assert point_names.match(decomposed[::-1], schema) == {decomposed[0]: 0, decomposed[1]: 1}


def test_numbers_of_a_part_are_none_of_the_schema() -> None:
    """`jaw_17` is no point of 68, though a point 17 there is."""
    names = [f"jaw_{i}" for i in range(18)]
    with refuses("'jaw_17'"):
        point_names.match(names, "ibug68")


def test_where_numbers_start() -> None:
    assert point_names.first_number(["3", "0"], SCHEMA) == 0
    assert point_names.first_number(["3", "p5", "x"], SCHEMA) == 1
    assert point_names.first_number(["3", "x"], SCHEMA) is None


def test_names_of_other_things_are_told_from_those_of_the_schema() -> None:
    hand, face = ["wrist", "thumb"], [*OWN[:3], "misspelt"]
    assert point_names.families_of({"hand": hand, "face": face}, SCHEMA, "category") == ["face"]
    # Names decide over numbers, and numbers over nothing.
    numbers = ["1", "2", "3"]
    assert point_names.families_of({1: numbers, None: face}, SCHEMA, "category") == [None]
    assert point_names.families_of({1: numbers, 2: hand}, SCHEMA, "category") == [1]
    assert point_names.families_of({1: numbers, 2: numbers[::-1]}, SCHEMA, "category") == [1, 2]
    # Where nothing fits, `match` tells of all of them.
    assert point_names.families_of({1: hand, 2: ["a"]}, SCHEMA, "category") == [1, 2]
    assert point_names.families_of({1: []}, SCHEMA, "category") == [1]


def test_numbers_of_several_things() -> None:
    """Neither may be taken for the schema's points without a word."""
    families = {"face": ["1", "2", "3", "4", "5"], "hand": ["1", "2", "3"], None: ["p1"]}
    with refuses("'face'", "'hand'", "'single points'", "control=", SCHEMA):
        point_names.families_of(families, SCHEMA, "control")
