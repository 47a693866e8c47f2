"""Which of Label Studio's points are of one face."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.annotations.tools import writers_label_studio as ls
from tests.annotations.tools.writers_label_studio import FIVE, POINTS
from tests.errors import assert_refusal, assert_told


def test_points_below_a_box_are_its_face(tmp_path: Path) -> None:
    """Even if it does not hold them, and whatever else holds them."""
    person = ls.box(0, 0, 400, 400, "person", id="person")
    one = ls.box(100, 90, 200, 180, id="one", parent="person")
    two = ls.box(5, 5, 30, 30, id="two")
    results = [
        person, one, two, *ls.points(parent="one"), *ls.points(POINTS + 2, parent="two"),
        {"type": "relation", "from_id": "one", "to_id": "two", "direction": "right"},
    ]
    path = ls.write(tmp_path, ls.task(ls.annotation(*results)))
    (first, second), errors, (note,) = ls.read(path)
    assert not errors
    assert_told(note, 1, "'person'")
    np.testing.assert_allclose(first.points, POINTS, rtol=1e-6)
    np.testing.assert_allclose(first.box, [100, 90, 200, 180], rtol=1e-6)
    np.testing.assert_allclose(second.points, POINTS + 2, rtol=1e-6)
    np.testing.assert_allclose(second.box, [5, 5, 30, 30], rtol=1e-6)


EYES, REST = POINTS[:2], POINTS[2:]


def _face(
    shift: float = 0, *, id: str, parent: str = "", eyes: str = "eyes", label: str = "face"
) -> list[dict[str, Any]]:
    """A face's box with points below it, and those of the eyes below a box of their own."""
    corners = np.array([100, 90, 200, 180]) + shift
    return [
        ls.box(*corners, label, id=id, parent=parent),
        *ls.points(REST + shift, FIVE[2:], parent=id),
        ls.box(*(np.array([110, 95, 190, 110]) + shift), eyes, id=f"{id} eyes", parent=id),
        *ls.points(EYES + shift, FIVE[:2], parent=f"{id} eyes"),
    ]


@pytest.mark.parametrize("option", [{}, {"category": "face"}])
def test_regions_below_the_face(tmp_path: Path, option: dict[str, str]) -> None:
    """Those of its parts, and of a person and a crowd above it, in any order."""
    results = [
        ls.box(0, 0, 405, 405, "crowd", id="crowd"), ls.box(5, 5, 300, 300, "person", id="person",
                                                        parent="crowd"),
        *_face(id="one", parent="person"), *_face(150, id="two", parent="crowd")]
    for order in (results, results[::-1]):
        path = ls.write(tmp_path, ls.task(ls.annotation(*order)))
        records, errors, notes = ls.read(path, **option)
        assert not errors
        first, second = sorted(records, key=lambda record: float(record.points[0, 0]))
        np.testing.assert_allclose(first.points, POINTS, rtol=1e-6)
        np.testing.assert_allclose(first.box, [100, 90, 200, 180], rtol=1e-6)
        np.testing.assert_allclose(second.points, POINTS + 150, rtol=1e-6)
        np.testing.assert_allclose(second.box, [250, 240, 350, 330], rtol=1e-6)
        assert_told("\n".join(notes), 2, "'eyes'")


def test_the_usual_region_is_that_of_a_face_of_one_part(tmp_path: Path) -> None:
    one = ls.box(100, 90, 200, 180, id="f"), ls.box(110, 95, 190, 110, "eyes", id="e", parent="f")
    whole = ls.task(ls.annotation(*_face(id="one")))
    partial = ls.task(ls.annotation(*one, *ls.points(EYES, FIVE[:2], parent="e")))
    path = ls.write(tmp_path, partial, whole, whole)
    (record, *_), errors, _ = ls.read(path)
    assert not errors
    np.testing.assert_allclose(record.box, [100, 90, 200, 180], rtol=1e-6)


def test_a_name_twice_below_a_face_does_not_make_faces_of_its_parts(tmp_path: Path) -> None:
    results = [*_face(id="one"), ls.point([150, 150], FIVE[0], parent="one")]
    path = ls.write(tmp_path, ls.task(ls.annotation(*results)))
    records, (error,), _ = ls.read(path)
    assert not records
    assert_refusal(error, repr(FIVE[0]), "parentID", path=path)


def test_parts_of_a_face_that_no_region_holds_together(tmp_path: Path) -> None:
    results = [
        ls.box(110, 95, 190, 110, "eyes", id="e"), *ls.points(EYES, FIVE[:2], parent="e"),
        ls.box(110, 120, 190, 180, "rest", id="r"), *ls.points(REST, FIVE[2:], parent="r")]
    loose = [{key: value for key, value in result.items() if key != "parentID"}
             for result in results]
    for some in (results, loose):
        path = ls.write(tmp_path, ls.task(ls.annotation(*some)))
        records, (error,), _ = ls.read(path)
        assert not records
        assert_refusal(error, "'eyes'", "'rest'", "parentID", "category=NAME", path=path)
    assert len(ls.read(path, category="eyes,rest")[0]) == 2
    (record,), _, _ = ls.read(path, category="face")  # there is no such box
    np.testing.assert_allclose(record.points, POINTS, rtol=1e-6)


def test_parts_without_names(tmp_path: Path) -> None:
    results = [
        ls.box(100, 90, 200, 180, id="f"), ls.box(110, 95, 190, 110, "eyes", id="e", parent="f"),
        *ls.points(EYES, ["x"] * 2, parent="e"), *ls.points(REST, ["x"] * 3, parent="f")]
    (record,), errors, _ = ls.read(
        ls.write(tmp_path, ls.task(ls.annotation(*results))), names="ignore")
    assert not errors
    np.testing.assert_allclose(record.points, POINTS, rtol=1e-6)


def test_regions_too_deep_below_others(tmp_path: Path) -> None:
    boxes = [ls.box(1, 2, 3, 4, id=f"b{i}", parent=f"b{i + 1}") for i in range(100)]
    path = ls.write(tmp_path, ls.task(ls.annotation(*boxes)),
                    ls.task(ls.annotation(*ls.points()), id=88))
    (record,), (error,), _ = ls.read(path)
    assert_refusal(error, "'87'", 32, path=path)
    assert record.image.name == "a.jpg"


def test_points_below_a_point(tmp_path: Path) -> None:
    """A region may be dragged below any other; one that went round in a circle is no group."""
    first, *others = ls.points(id="", parent="")
    first["id"] = "top"
    for other in others:
        other["parentID"] = "top"
    results = [first, *others, *ls.points(POINTS + 100, parent="gone")]
    (one, two), errors, _ = ls.read(ls.write(tmp_path, ls.task(ls.annotation(*results))))
    assert not errors
    np.testing.assert_allclose(one.points, POINTS, rtol=1e-6)
    np.testing.assert_allclose(two.points, POINTS + 100, rtol=1e-6)
    first["parentID"] = others[0]["id"]
    others[0]["parentID"] = "top"
    assert any(ls.read(ls.write(tmp_path, ls.task(ls.annotation(*results)))))  # it ends
