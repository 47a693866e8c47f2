from __future__ import annotations

import os
from pathlib import Path

import pytest

from efld_tf.runtime import inputs
from efld_tf.runtime.inputs import Address, CameraInput, Photo, VideoFile
from tests.errors import assert_refusal, refuses


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _touch(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


def _images(*arguments: str, stdin: str = "", skip: Path | None = None) -> list[str]:
    return [item.image for item in inputs.expand(arguments, stdin.splitlines(True), skip).items]


def test_a_folder_in_natural_order_with_its_layout(folder: Path) -> None:
    _touch("p/b10.jpg", "p/b9.JPG", "p/sub/2.png", "p/sub/10.webp", "p/a.mp4", "p/notes.txt",
           "p/.hidden.jpg", "p/.cache/x.jpg", "p/sub/deep/z.tif", "p/faces.csv")
    found = inputs.expand(["p"])
    assert [item.image for item in found.items] == [
        "a.mp4", "b9.JPG", "b10.jpg", "sub/2.png", "sub/10.webp", "sub/deep/z.tif"]
    assert [item.name for item in found.items][3:] == ["sub/2", "sub/10", "sub/deep/z"]
    assert isinstance(found.items[0], VideoFile) and not isinstance(found.items[0], Photo)
    assert isinstance(found.items[1], Photo) and not isinstance(found.items[1], VideoFile)
    assert found.items[1].path == Path("p/b9.JPG")  # as it was named
    assert found.root == folder / "p" and not found.errors
    for item in found.items:
        assert (found.root / item.image).samefile(item.path)


def test_files_of_any_suffix_and_from_anywhere(folder: Path) -> None:
    _touch("one/a.jpg", "two/a.jpg", "two/photo", ".hidden.jpg")
    assert _images("one/a.jpg") == ["a.jpg"]
    assert _images("two/a.jpg", "one/a.jpg", "two/photo") == ["two/a.jpg", "one/a.jpg", "two/photo"]
    assert _images("one", str(folder / "two")) == ["one/a.jpg", "two/a.jpg"]
    assert _images(".hidden.jpg") == [".hidden.jpg"]
    os.chdir("one")
    assert _images("../two/a.jpg") == ["a.jpg"]


def test_each_once(folder: Path) -> None:
    _touch("p/a.jpg", "p/b.jpg")
    os.symlink("p", "link")
    assert _images("p/b.jpg", "p", "./p/a.jpg", "p/../p/b.jpg", "p/*.jpg", "link") == \
        ["b.jpg", "a.jpg"]
    os.symlink("a.jpg", "p/c.jpg")  # a photo's link is a photo
    assert _images("p") == ["a.jpg", "b.jpg", "c.jpg"]


def test_links_of_a_data_set_among_its_photos(folder: Path) -> None:
    """`efld-data label p --save yolo` writes `images/` with links to the photos."""
    _touch("p/b.jpg", "q/c.jpg")
    os.makedirs("p/a_yolo/images")
    os.symlink(folder / "p/b.jpg", "p/a_yolo/images/b.jpg")
    os.symlink(folder / "q/c.jpg", "p/a_yolo/images/c.jpg")
    assert _images("p") == ["a_yolo/images/c.jpg", "b.jpg"]
    assert _images("p/a_yolo") == ["images/b.jpg", "images/c.jpg"]
    assert _images("p/a_yolo/images/b.jpg") == ["b.jpg"]


def test_links_that_lead_back(folder: Path) -> None:
    _touch("p/a.jpg", "p/sub/b.jpg", "q/c.jpg")
    os.symlink("..", "p/sub/up")
    os.symlink(folder / "q", "p/other")
    os.symlink(folder / "p", "q/back")
    os.symlink("nowhere", "p/broken.jpg")
    assert _images("p") == ["a.jpg", "broken.jpg", "other/c.jpg", "sub/b.jpg"]
    assert _images("p/**/*.jpg") == _images("p")


def test_a_link_to_itself_is_named_and_the_others_are_read(folder: Path) -> None:
    _touch("p/a.jpg", "p/sub/b.jpg")
    os.symlink("loop", "p/sub/loop")
    for argument in ("p", "p/**/*.jpg"):
        found = inputs.expand([argument])
        assert [item.image for item in found.items] == ["a.jpg", "sub/b.jpg"]
        (error,) = found.errors
        assert_refusal(error, "symbolic links", path="p/sub/loop")


@pytest.mark.parametrize("name", ["loop", "loop.jpg", "nowhere"])
def test_a_link_to_nothing_is_no_input(folder: Path, name: str) -> None:
    os.symlink(name if name.startswith("loop") else "absent", name)
    with refuses("link", path=name):
        inputs.expand([name])


def test_cameras_have_ascii_digits(folder: Path) -> None:
    with refuses("१", "exist"):
        inputs.expand(["१"])


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("p/*.jpg", ["a.jpg", "b.jpg"]),
        ("p/[ab].*", ["a.jpg", "b.jpg"]),
        ("p/**", ["a.jpg", "b.jpg", "sub/c.png", "sub/deep/d.jpg"]),
        ("p/**/*.jpg", ["a.jpg", "b.jpg", "sub/deep/d.jpg"]),
        ("p/**/deep/*", ["sub/deep/d.jpg"]),
        ("p/*/*", ["sub/c.png"]),
        ("*/?.jpg", ["p/a.jpg", "p/b.jpg"]),
        ("./p/s*/**/*.p[n]g", ["sub/c.png"]),
    ],
)
def test_patterns(folder: Path, pattern: str, expected: list[str]) -> None:
    _touch("p/a.jpg", "p/b.jpg", "p/sub/c.png", "p/sub/deep/d.jpg", "p/notes.txt", "p/.x.jpg")
    assert _images(pattern) == expected


def test_a_name_that_looks_like_a_pattern_or_a_camera(folder: Path) -> None:
    _touch("[1].jpg", "0")
    assert _images("[1].jpg") == ["[1].jpg"]
    assert isinstance(inputs.expand(["0"]).items[0], Photo)
    found = inputs.expand(["1", "0", "/dev/null", "1"]).items
    assert found[0] == CameraInput(1, "camera1", "camera1")
    assert found[2] == CameraInput("/dev/null", "camera_null", "camera_null") and len(found) == 3


def test_a_list_on_standard_input(folder: Path) -> None:
    _touch("p/a b.jpg", "p/[x].jpg", "q/c.jpg")
    os.mkdir("empty")
    lines = "p/a b.jpg\n\n  \np/[x].jpg\r\nq\nmissing.jpg\nempty\n"
    found = inputs.expand(["-"], lines.splitlines(True))
    assert [item.image for item in found.items] == \
        ["p/a b.jpg", "p/[x].jpg", "q/c.jpg", "missing.jpg"]
    (error,) = found.errors
    assert_refusal(error, "folder", path="empty")
    assert _images("q/c.jpg", "-", stdin="p/[x].jpg") == ["q/c.jpg", "p/[x].jpg"]
    with refuses("standard input"):
        inputs.expand(["-"], ["\n"])


def test_names_never_collide(folder: Path) -> None:
    _touch("p/a.jpg", "p/a.png", "p/A.bmp", "p/a.mp4", "p/a_jpg.gif", "p/b.jpg", "p/camera0.jpg")
    found = {item.image: item.name for item in inputs.expand(["p", "0"]).items}
    assert found == {
        "a.jpg": "a_jpg_2", "A.bmp": "A_bmp", "a.mp4": "a_mp4", "a.png": "a_png",
        "a_jpg.gif": "a_jpg", "b.jpg": "b", "camera0.jpg": "camera0_jpg",
        "camera0": "camera0_camera",
    }
    assert len({name.casefold() for name in found.values()}) == len(found)
    assert [item.name for item in inputs.expand(["p/a.png"]).items] == ["a"]


def test_names_do_not_depend_on_other_inputs_unless_called_alike(folder: Path) -> None:
    _touch("p/a.jpg", "p/sub/b.jpg", "q/c.jpg", "q/deep/a.jpg", "q/A.png")
    alone = {path: inputs.expand([path]).items[0].name for path in ("p/a.jpg", "q/c.jpg", "p/sub")}
    assert alone == {"p/a.jpg": "a", "q/c.jpg": "c", "p/sub": "b"}
    together = {item.image: item.name for item in inputs.expand(["p", "q/c.jpg"]).items}
    assert together == {"p/a.jpg": "a", "p/sub/b.jpg": "sub/b", "q/c.jpg": "c"}
    os.chdir("p")
    alike = {item.image: item.name for item in inputs.expand([".", str(folder / "q")]).items}
    assert alike == {"p/a.jpg": "a", "p/sub/b.jpg": "sub/b", "q/A.png": "q/A", "q/c.jpg": "c",
                     "q/deep/a.jpg": "deep/a"}


def test_outputs_are_no_inputs(folder: Path) -> None:
    _touch("a.jpg", "out/pictures/a.jpg")
    assert _images(".", skip=Path("out")) == ["a.jpg"]
    assert _images("**/*.jpg", skip=folder / "out") == ["a.jpg"]
    assert _images("out/pictures/a.jpg", skip=Path("out")) == ["a.jpg"]  # asked for by name


@pytest.mark.parametrize(
    ("argument", "facts"),
    [
        ("missing.jpg", ["missing.jpg", "exist"]),
        ("missing/", ["missing/", "exist"]),
        ("p/*.png", ["p/*.png", "pattern"]),
        ("nowhere/**", ["nowhere/**", "pattern"]),
        ("p/*.txt", ["p/*.txt", "pattern"]),
        ("", ["''", "exist"]),
    ],
)
def test_what_means_nothing(folder: Path, argument: str, facts: list[str]) -> None:
    _touch("p/a.jpg", "p/n.txt")
    with refuses(*facts):
        inputs.expand(["p/a.jpg", argument])


def test_an_empty_folder_means_nothing(folder: Path) -> None:
    _touch("p/a.jpg")
    os.mkdir("empty")
    with refuses("folder", path="empty"):
        inputs.expand(["p/a.jpg", "empty"])


def test_a_folder_that_may_not_be_read(folder: Path) -> None:
    _touch("p/a.jpg", "p/secret/b.jpg")
    folder.chmod(0o755)
    os.chmod("p/secret", 0)
    user = os.geteuid()
    if user == 0:  # who may read everything
        os.seteuid(65534)
    try:
        found = inputs.expand(["p"])
    finally:
        os.seteuid(user)
        os.chmod("p/secret", 0o755)
    assert [item.image for item in found.items] == ["a.jpg"]
    (error,) = found.errors
    assert_refusal(error, "read", "Permission denied", path="p/secret")


def test_long_numbers_are_no_cameras(folder: Path) -> None:
    for number in ("20240131", "99999999999999999999"):
        with refuses(number, "exist"):
            inputs.expand([number])


def test_the_folder_of_the_outputs_is_said_to_be_it(folder: Path) -> None:
    _touch("in/a.jpg")
    with refuses("outputs", "--output", path="in"):
        inputs.expand(["in"], skip=folder / "in")


def test_a_list_with_other_separators_is_said_to_be_one(folder: Path) -> None:
    _touch("a.jpg")
    found = inputs.expand(["-"], ["a.jpg\0b.jpg\n", "a.jpg\n"])
    (error,) = found.errors
    assert len(found.items) == 1
    assert_refusal(error, "NUL")


def test_addresses_have_safe_names_of_their_own(folder: Path) -> None:
    _touch("host_photo.jpg", "b.jpg")
    arguments = ["http://us:pw@host/x/photo.jpg?size=1", "http://host/y/photo.jpg?size=2",
                 "http://host/y/photo.jpg?size=2", "host_photo.jpg", "rtsp://us:pw@host/photo",
                 "http://host/clip.mp4", "-", "b.jpg"]
    found = inputs.expand(arguments, ["rtsp://us:pw@camera/live\n", "ftp://us:pw@camera/live\n"])
    assert [(item.image, item.name) for item in found.items] == [
        ("host_photo_2.jpg", "host_photo_2"), ("host_photo_3.jpg", "host_photo_3"),
        ("host_photo.jpg", "host_photo_jpg"), ("host_photo", "host_photo_rtsp"),
        ("host_clip.mp4", "host_clip"), ("camera_live", "camera_live"), ("b.jpg", "b"),
    ]  # fmt: skip
    address = found.items[0]
    assert isinstance(address, Address) and address.label == "http://host/x/photo.jpg?..."
    assert address.url.full == arguments[0] and found.root == folder
    (error,) = found.errors
    assert_refusal(error, "ftp://...", "rtsp")
    with refuses("gopher://...", "http"):
        inputs.expand(["b.jpg", "gopher://us:pw@host/*.jpg"])


def test_a_file_comes_before_an_address_of_its_name(folder: Path) -> None:
    _touch("rtsp:/host/a.jpg")
    assert isinstance(inputs.expand(["rtsp://host/a.jpg"]).items[0], Photo)
