"""On which image of a task of Label Studio points are, and where its copy lies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from efld_tf.annotations.tools.label_studio_addresses import addresses
from tests.annotations.tools import writers_label_studio as ls
from tests.annotations.tools.writers_label_studio import POINTS
from tests.annotations.writers import write_image
from tests.errors import assert_refusal, assert_told, refuses


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.jpg", [("a.jpg",)]),
        ("photos/a b.jpg", [("photos", "a b.jpg")]),
        ("photos\\a.jpg", [("photos", "a.jpg")]),
        ("C:\\photos\\a.jpg", [("photos", "a.jpg")]),
        ("photos/a%20b.jpg", [("photos", "a%20b.jpg"), ("photos", "a b.jpg")]),
        ("/data/upload/3/1a2b3c4d-a%20b.jpg",
         [("upload", "3", "1a2b3c4d-a b.jpg"), ("1a2b3c4d-a b.jpg",), ("a b.jpg",)]),
        ("/label-studio/data/upload/a_ZoqW18z.jpg",
         [("upload", "a_ZoqW18z.jpg"), ("a_ZoqW18z.jpg",)]),
        ("http://localhost:8080/data/upload/3/1a2b3c4d-a.jpg",
         [("upload", "3", "1a2b3c4d-a.jpg"), ("1a2b3c4d-a.jpg",), ("a.jpg",)]),
        ("/data/local-files/?d=photos/a.jpg", [("photos", "a.jpg")]),
        ("/data/local-files/?d=photos%2Fa%2Bb.jpg",
         [("photos", "a+b.jpg"), ("photos%2Fa%2Bb.jpg",)]),
        ("http://localhost:8080/data/local-files/?d=a+b.jpg", [("a b.jpg",), ("a+b.jpg",)]),
        ("s3://bucket/photos/a b#1.jpg", [("photos", "a b#1.jpg")]),
        ("gs://bucket/a.jpg", [("a.jpg",)]),
        ("azure-blob://container/photos/a.jpg", [("photos", "a.jpg")]),
        ("https://host/x/a%20b.jpg?signature=a/b.png#top", [("x", "a b.jpg")]),
        ("data:image/png;base64,AAAA", []),
        ("/", []),
        ("", []),
    ],
)
def test_addresses(text: str, expected: list[tuple[str, ...]]) -> None:
    found = list(dict.fromkeys(address.parts for address in addresses(text)))
    assert found == expected
    assert all(address.whole != ("upload" in text and len(address.parts) == 1)
               for address in addresses(text))


@pytest.mark.parametrize(
    ("address", "files", "found"),
    [
        # Uploaded files have 8 digits before their names, which LS's own folder keeps.
        ("/data/upload/3/1a2b3c4d-a.jpg", ["a.jpg"], "a.jpg"),
        ("/data/upload/3/1a2b3c4d-a.jpg", ["deep/down/a.jpg"], "deep/down/a.jpg"),
        ("/data/upload/3/1a2b3c4d-a.jpg", ["a.jpg", "x/1a2b3c4d-a.jpg"], "x/1a2b3c4d-a.jpg"),
        ("/data/upload/3/1a2b3c4d-a.jpg", ["3/1a2b3c4d-a.jpg", "a.jpg"], "3/1a2b3c4d-a.jpg"),
        ("/data/upload/3/1a2b3c4d-a.jpg", ["a.jpg", "x/a.jpg"], None),
        ("/data/upload/3/1a2b3c4d-My_photo_1.JPG", ["My photo (1).jpg"], "My photo (1).jpg"),
        ("/data/upload/3/1a2b3c4d-deadbeef-a.jpg", ["deadbeef-a.jpg"], "deadbeef-a.jpg"),
        ("/data/upload/src_ZoqW18z.jpg", ["x/src_ZoqW18z.jpg"], "x/src_ZoqW18z.jpg"),
        # Names of uploads were made without signs, those of other copies were not.
        ("/data/upload/3/1a2b3c4d-a1.jpg", ["a(1).jpg"], "a(1).jpg"),
        ("/data/upload/3/1a2b3c4d-a1.jpg", ["a(1).jpg", "a1.jpg"], None),
        ("/data/upload/3/1a2b3c4d-a(1).jpg", ["a1.jpg"], ""),
        ("s3://bucket/a(1).jpg", ["a1.jpg"], ""),
        ("s3://bucket/a1.jpg", ["a(1).jpg"], ""),
        ("/data/local-files/?d=a1.jpg", ["a+1.jpg"], ""),
        ("https://host/a_1.jpg", ["a 1.jpg"], ""),
        ("s3://bucket/a(1).JPG", ["a(1).jpg"], "a(1).jpg"),
        # The end of a path decides, and a whole one before others.
        ("/data/local-files/?d=faces/train/a.jpg", ["train/a.jpg", "test/a.jpg"], "train/a.jpg"),
        ("/data/local-files/?d=train/a.jpg", ["x/train/a.jpg", "a.jpg"], "x/train/a.jpg"),
        ("/data/local-files/?d=train/a.jpg", ["x/train/a.jpg", "y/train/a.jpg"], None),
        ("s3://bucket/train/a.jpg", ["test/a.jpg"], ""),
        ("s3://bucket/train/a.jpg", ["a.jpg"], "a.jpg"),
        ("a.jpg", ["a.jpg", "x/a.jpg"], "a.jpg"),
        ("a.jpg", ["x/a.jpg", "y/a.jpg"], None),
        ("a.jpg", ["A.JPG"], "A.JPG"),
        ("../../a.jpg", ["x/b.jpg"], ""),
        ("https://host/img?id=3", ["a.jpg"], ""),
    ],
)
def test_local_copies(
    tmp_path: Path, address: str, files: list[str], found: str | None
) -> None:
    path = ls.write(tmp_path, ls.task(ls.annotation(*ls.points()), image=address), files=files)
    records, errors, _ = ls.read(path)
    if found:
        (record,) = records
        assert (record.image, record.identity) == (tmp_path / found, found)
        return
    (error,) = errors
    places = [repr(name) for name in files] if found is None else ["images="]
    assert_refusal(error, "'87'", repr(address), *places, path=path)


def test_a_copy_whose_upload_has_lost_signs_is_told(tmp_path: Path) -> None:
    names = ("a(1).jpg", "b 2.jpg")
    path = ls.write(tmp_path, *(
        ls.task(ls.annotation(*ls.points()), image=f"/data/upload/3/1a2b3c4d-{name}", id=number)
        for number, name in enumerate(("a1.jpg", "b_2.jpg"))), files=names)
    records, errors, (note,) = ls.read(path)
    assert not errors and [record.identity for record in records] == [*names]
    assert_told(note, 1, "'a(1).jpg'", "'a1.jpg'")


def test_images_option(tmp_path: Path) -> None:
    path = ls.write(tmp_path / "here", ls.task(ls.annotation(*ls.points()), image="s3://b/faces/c.jpg"))
    image = write_image(tmp_path / "there" / "c.jpg")
    (record,), _, _ = ls.read(path, images=str(tmp_path / "there"))
    assert record.image == image
    with refuses("images", "/nowhere"):
        ls.read(path, images="/nowhere")


def test_links_to_a_copy_are_no_other_copies(tmp_path: Path) -> None:
    """As in a YOLO data set that was written among the photos."""
    path = ls.write(tmp_path, ls.task(ls.annotation(*ls.points())))
    for link in ("yolo/images/a.jpg", "a link/a.jpg"):
        (tmp_path / link).parent.mkdir(parents=True)
        (tmp_path / link).symlink_to(tmp_path / "a.jpg")
    (record,), errors, _ = ls.read(path)
    assert not errors and record.image == tmp_path / "a.jpg"
    (record,), errors, _ = ls.read(path, images=str(tmp_path / "yolo"))
    assert not errors and record.image == tmp_path / "yolo/images/a.jpg"


def test_one_copy_is_not_taken_for_two_images(tmp_path: Path) -> None:
    """Two photos of one name were uploaded, and one of them lies here."""
    first, second = (f"/data/upload/3/{digits}-a.jpg" for digits in ("1a2b3c4d", "2b3c4d5e"))
    path = ls.write(tmp_path, ls.task(ls.annotation(*ls.points()), image=first),
                  ls.task(ls.annotation(*ls.points()), image=second, id=88),
                  ls.task(ls.annotation(*ls.points()), image="sub/b.jpg", id=89),
                  ls.task(ls.annotation(*ls.points()), image="sub/b.jpg", id=90))
    records, errors, _ = ls.read(path)
    assert [record.image.name for record in records] == ["b.jpg", "b.jpg"]
    for error, task in zip(errors, ("'87'", "'88'"), strict=True):
        assert_refusal(error, task, "'a.jpg'", repr(first), repr(second), "images=", path=path)


@pytest.mark.parametrize("minimal", [False, True])
def test_a_task_without_points_has_another_image_of_the_name(
    tmp_path: Path, minimal: bool
) -> None:
    """Two photos of one name were uploaded; the other fields of its data tell nothing."""
    first, second = (f"/data/upload/3/{digits}-a.jpg" for digits in ("1a2b3c4d", "2b3c4d5e"))
    for other, found in ((second, False), (first, True), ("/data/upload/3/1a2b3c4d-c.jpg", True)):
        if minimal:
            tasks = [ls.minimal(annotation=None, id=88, image=other) | {"small": "x/a.jpg"},
                     ls.minimal(*ls.points(), image=first) | {"small": "x/a.jpg"}]
        else:
            data = {"image": first, "small": "x/a.jpg"}
            tasks = [ls.task(id=88, data=data | {"image": other}),
                     ls.task(ls.annotation(*ls.points()), data=data)]
        path = ls.write(tmp_path, *tasks)
        records, errors, _ = ls.read(path, field="image")
        assert len(records) == found
        for error in errors:
            assert_refusal(error, "'87'", "'a.jpg'", repr(first), repr(other), path=path)


def test_the_field_of_the_image(tmp_path: Path) -> None:
    def task(**data: Any) -> dict[str, Any]:
        return ls.task(ls.annotation(*ls.points()), data=data)

    (record,), _, _ = ls.read(ls.write(tmp_path, task(url="s3://b/a.jpg", person="anna", age=7)))
    assert record.image == tmp_path / "a.jpg"
    path = ls.write(tmp_path, task(one="a.jpg", two="b.png"))
    _, (error,), _ = ls.read(path)
    assert_refusal(error, "'87'", "field=", "'one'", "'two'", path=path)
    (record,), _, _ = ls.read(path, field="one")
    assert record.image == tmp_path / "a.jpg"
    _, (error,), _ = ls.read(path, field="three")
    assert_refusal(error, "'87'", "'three'", path=path)
    _, (error,), _ = ls.read(ls.write(tmp_path, task()))
    assert_refusal(error, "'87'", "field=", path=path)


def _on(target: str, results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**result, "to_name": target} for result in results]


def test_each_image_of_the_labelling_interface(tmp_path: Path) -> None:
    """`to_name` is called as the field, whatever other fields name images."""
    left = _on("left", [ls.box(100, 90, 200, 180, id="l"), *ls.points(parent="l", control="kp1")])
    right = _on("image", ls.points(POINTS + 9, control="kp2"))
    data = {"left": "a.jpg", "image": "sub/b.jpg"}
    path = ls.write(tmp_path, ls.task(ls.annotation(*left, *right), data=data))
    records, errors, notes = ls.read(path)
    assert not errors and not notes
    found = {record.identity: record.points for record in records}
    np.testing.assert_allclose(found["a.jpg"], POINTS, rtol=1e-6)
    np.testing.assert_allclose(found["sub/b.jpg"], POINTS + 9, rtol=1e-6)
    (record,), errors, (note,) = ls.read(path, field="left")
    assert not errors and record.identity == "a.jpg"
    assert_told(note, 5, "'kp2'")
    path = ls.write(tmp_path, ls.task(ls.annotation(*left), data=data))
    (record,), _, _ = ls.read(path)
    assert record.identity == "a.jpg"


def test_images_that_the_labelling_interface_calls_otherwise(tmp_path: Path) -> None:
    one = _on("img1", ls.points(control="kp1"))
    two = _on("img2", [ls.box(5, 5, 50, 50), *ls.points(POINTS + 9, control="kp2")])
    data = {"image": "a.jpg", "right": "sub/b.jpg"}
    path = ls.write(tmp_path, ls.task(ls.annotation(*one), data=data),
                  ls.task(ls.annotation(*two), data=data, id=88))
    records, errors, _ = ls.read(path)
    assert not records
    for error in errors:
        assert_refusal(error, "'img1'", "'img2'", "control=", "field=", "'image'", "'right'",
                       path=path)
    with refuses("field", "'img1'", "'img2'", "control=", path=path):
        ls.read(path, field="right")
    (record,), errors, _ = ls.read(path, field="right", control="kp2")
    assert not errors and record.identity == "sub/b.jpg"
    np.testing.assert_allclose(record.points, POINTS + 9, rtol=1e-6)
    # One of the two alone: it may be on either.
    path = ls.write(tmp_path, ls.task(ls.annotation(*two), data=data))
    _, (error,), _ = ls.read(path)
    assert_refusal(error, "'87'", "field=", "'image'", "'right'", path=path)


def test_json_min_does_not_tell_the_image(tmp_path: Path) -> None:
    pages = ls.minimal(*ls.points(item_index=1)) | {"image": ["a.jpg", "sub/b.jpg"]}
    path = ls.write(tmp_path, pages)
    _, (error,), _ = ls.read(path)
    assert_refusal(error, "'87'", "JSON-MIN", "JSON", path=path)
    one = ls.minimal(*ls.points()) | {"image": ["a.jpg"]}
    (record,), errors, _ = ls.read(ls.write(tmp_path, one))
    assert not errors and record.identity == "a.jpg"
    both = ls.minimal(*ls.points(control="kp1"), *ls.points(POINTS + 9, control="kp2"))
    path = ls.write(tmp_path, both | {"right": "sub/b.jpg"})
    _, (error,), _ = ls.read(path)
    assert_refusal(error, "'87'", "field=", "'image'", "'right'", path=path)
    _, (error,), _ = ls.read(path, field="right")
    assert_refusal(error, "'87'", "JSON-MIN", "control=", path=path)
    (record,), errors, _ = ls.read(path, field="right", control="kp2")
    assert not errors and record.identity == "sub/b.jpg"
    np.testing.assert_allclose(record.points, POINTS + 9, rtol=1e-6)


def test_several_images_of_a_task(tmp_path: Path) -> None:
    results = [*ls.points(item_index=1), *ls.points(POINTS + 9, item_index=0)]
    data = {"pages": ["a.jpg", "sub/b.jpg"]}
    path = ls.write(tmp_path, ls.task(ls.annotation(*results), data=data))
    (first, second), errors, _ = ls.read(path)
    assert not errors
    assert (first.identity, second.identity) == ("a.jpg", "sub/b.jpg")
    np.testing.assert_allclose(second.points, POINTS, rtol=1e-6)
    results = ls.points(item_index=2)
    data = {"pages": ["a.jpg", "sub/b.jpg"]}
    path = ls.write(tmp_path, ls.task(ls.annotation(*results), data=data))
    _, (error,), _ = ls.read(path)
    assert_refusal(error, "'87'", "image 2", "'pages'", path=path)
