from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from efld_tf.annotations import listing, sources
from efld_tf.errors import DataError
from efld_tf.runtime import inputs
from tests.annotations.writers import ibug_text, some_points, write_image
from tests.errors import assert_refusal, refuses

SIDE_FILES = (
    "._a.pts", "__MACOSX/a.pts", "__MACOSX/._a.pts", ".a.pts", ".#a.pts", "#a.pts#", "#a.pts",
    "a.pts~", "a~.pts", "a.pts.bak", "a.bak.pts", "a.pts.orig", "@eaDir/a.pts", "~$a.pts",
    ".ipynb_checkpoints/a-checkpoint.pts", "Thumbnails/a.pts", "$RECYCLE.BIN/a.pts",
)  # fmt: skip


@pytest.mark.parametrize("name", SIDE_FILES)
def test_side_files_are_no_annotations(tmp_path: Path, name: str) -> None:
    """Neither a copy of a face, nor damage (macOS writes binary files of the same suffix)."""
    write_image(tmp_path / "a.jpg")
    (tmp_path / "a.pts").write_text(ibug_text(some_points(68)))
    for content in (ibug_text(some_points(68, 1)).encode(), b"\0\5\x16\7\0\2\0\0Mac OS X"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        write_image(path.parent / "a.jpg")
        found = sources.read(f"ibug:{tmp_path}")
        assert [record.key for record in found.records] == ["a.jpg"]
        # What may be the user's own is counted.
        told = name in ("#a.pts#", "#a.pts", "a~.pts", "a.bak.pts") and name.endswith(".pts")
        assert [repr(name) in note for note in found.notes] == [True] * told


@pytest.mark.parametrize("name", ["C#", "a~b", "photo.bak.2", "tmp"])
def test_names_that_only_look_like_those_of_side_files(tmp_path: Path, name: str) -> None:
    write_image(tmp_path / f"{name}.jpg")
    (tmp_path / f"{name}.pts").write_text(ibug_text(some_points(68)))
    assert [r.key for r in sources.read(f"ibug:{tmp_path}").records] == [f"{name}.jpg"]


def test_side_files_are_no_photos(tmp_path: Path) -> None:
    for name in ("a.jpg", "._a.jpg", "__MACOSX/a.jpg", "b/c.PNG", "b/#c.png"):
        write_image(tmp_path / Path(name).with_suffix(Path(name).suffix.lower()))
    (tmp_path / "b/c.png").rename(tmp_path / "b/c.PNG")
    assert [item.image for item in inputs.expand([str(tmp_path)]).items] == ["a.jpg", "b/c.PNG"]


def test_suffixes_in_any_case_and_sorted(tmp_path: Path) -> None:
    for name in ("b.PTS", "a.pts", "c/d.Pts", "e.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    names = [str(p.relative_to(tmp_path)) for p in listing.files(tmp_path, [".pts"])]
    assert names == ["a.pts", "b.PTS", "c/d.Pts"]
    assert len(listing.files(tmp_path, [".pts"], deep=False)) == 2
    with pytest.raises(DataError) as caught:
        listing.files(tmp_path / "none", [".pts"])
    assert_refusal(caught.value, "read", path=tmp_path / "none")


def test_links_of_folders_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/a.pts").touch()
    (tmp_path / "a/loop").symlink_to(tmp_path)
    assert listing.files(tmp_path, [".pts"]) == [tmp_path / "a/a.pts"]


def test_two_images_of_one_stem_are_refused(tmp_path: Path) -> None:
    image = write_image(tmp_path / "a.jpg")
    images = listing.images_by_stem(tmp_path)
    assert listing.only_image(images, tmp_path / "a.tem") == image
    write_image(tmp_path / "a.png")
    with refuses("a.jpg", "a.png", path=tmp_path / "a.tem"):
        listing.only_image(listing.images_by_stem(tmp_path), tmp_path / "a.tem")
    with refuses(".jpg", ".heic", path=tmp_path / "b.tem"):
        listing.only_image(images, tmp_path / "b.tem")


def test_an_image_whose_name_differs_in_case_or_composed_letters(tmp_path: Path) -> None:
    for stored, asked in (("A.JPG", "a"), ("Zoe\u0308.jpg", "ZO\u00cb")):
        image = write_image(tmp_path / "new.jpg").rename(tmp_path / stored)
        images = listing.images_by_stem(tmp_path)
        assert listing.only_image(images, tmp_path / f"{asked}.tem") == image
    (tmp_path / "a.png").touch()  # the same name goes first
    images = listing.images_by_stem(tmp_path)
    assert listing.only_image(images, tmp_path / "a.tem").name == "a.png"


def test_folders_deeper_than_calls_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """1,200 in each other, with a file at the bottom; and more than a path may be long."""
    top = tmp_path / "top"
    top.mkdir()
    monkeypatch.chdir(top)
    for depth in range(2100):
        if depth == 1200:
            Path("a.pts").touch()
        Path("d").mkdir()
        os.chdir("d")
    monkeypatch.chdir(tmp_path)
    unreadable: list[DataError] = []
    try:
        (found,) = listing.files(top, [".pts"], unreadable=unreadable)
        assert len(found.relative_to(top).parts) == 1201
        assert len(unreadable) == 1
        with refuses("read"):
            listing.files(top, [".pts"])
    finally:
        subprocess.run(["rm", "-r", str(top)], check=True)  # Python's own removal is recursive


@pytest.mark.parametrize("reader", ["ibug", "asf", "webmorph", "labelme", "helen194"])
def test_a_sub_folder_that_may_not_be_read(tmp_path: Path, reader: str) -> None:
    """It is one error among others; what the file system itself put there is none."""
    for folder in ("secret", "lost+found", "b"):
        (tmp_path / folder).mkdir()
    option = "?schema=ibug68" if reader in ("asf", "labelme") else ""
    source = sources.parse(f"{reader}:{tmp_path}{option}")
    with _nobody(tmp_path, "secret", "lost+found"):
        (error,) = sources.stream(source)
        assert isinstance(error, DataError)
        assert_refusal(error, "read", "Permission denied", path=tmp_path / "secret")
        assert sources.error_key(error, tmp_path) == "secret"
    with _nobody(tmp_path, "."), refuses("read", path=tmp_path):
        [*sources.stream(source)]


def test_faces_beside_a_folder_that_may_not_be_read(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg")
    (tmp_path / "a.pts").write_text(ibug_text(some_points(68)))
    (tmp_path / "secret").mkdir()
    with _nobody(tmp_path, "secret"):
        found = sources.read(f"ibug:{tmp_path}", on_error="skip")
        assert ([record.key for record in found.records], len(found.skipped)) == (["a.jpg"], 1)
        with refuses("read", path=tmp_path / "secret"):
            sources.read(f"ibug:{tmp_path}")


@contextlib.contextmanager
def _nobody(root: Path, *folders: str) -> Iterator[None]:
    """Runs as a user who may not read these folders of `root`."""
    for place in (root, *root.parents):  # pytest's own, which only its user may enter
        if place == root or place.name.startswith(("pytest-", "popen-")):
            place.chmod(0o755)
    for folder in folders:
        (root / folder).chmod(0)
    user = os.geteuid()
    "".encode("utf-8-sig")  # Python's own files may be out of the other user's reach
    if user == 0:  # who may read everything
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
        for folder in folders:
            (root / folder).chmod(0o755)
