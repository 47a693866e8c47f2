from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from efld_tf.annotations import image_paths
from efld_tf.errors import DataError
from tests.annotations.writers import write_image
from tests.errors import refuses

FILE = Path("faces.xml")


@pytest.mark.parametrize(
    ("name", "relative"),
    [
        ("a.jpg", "a.jpg"),
        ("b/a.jpg", "b/a.jpg"),
        ("b\\a.jpg", "b/a.jpg"),
        ("./b//a.jpg", "b/a.jpg"),
        ("b/../a.jpg", "a.jpg"),
        ("../images/a.jpg", "../images/a.jpg"),
        ("..\\images\\a.jpg", "../images/a.jpg"),
        ("b/../../images/a.jpg", "../images/a.jpg"),
    ],
)
def test_names(name: str, relative: str) -> None:
    assert image_paths.relative_name(name, FILE, folders=[Path("here")]) == relative


@pytest.mark.parametrize(
    "name",
    ["", "/etc/passwd", "C:\\a.jpg", "../a.jpg", "../../images/a.jpg", "..", "b/../../a.jpg",
     "a\0.jpg", "../x/../../a.jpg", "b/.."],
)
def test_names_that_lead_out_are_refused(name: str) -> None:
    with refuses("inside", path=FILE, line=3):
        image_paths.relative_name(name, FILE, 3, [Path("here")])


def test_neighbours_only_where_folders_are_known() -> None:
    with refuses("inside", path=FILE):
        image_paths.relative_name("../images/a.jpg", FILE)


def test_names_that_lead_back(tmp_path: Path) -> None:
    folders = [tmp_path / "key", tmp_path / "key/images"]
    for name, relative in (("../key/imgs/a.jpg", "imgs/a.jpg"), ("../key/a.jpg", "a.jpg"),
                           ("../images/a.jpg", "../images/a.jpg"),
                           ("x/../../key/a.jpg", "a.jpg"), ("key/a.jpg", "key/a.jpg")):
        assert image_paths.relative_name(name, FILE, folders=folders) == relative


def test_absolute_names_inside_the_data(tmp_path: Path) -> None:
    image = write_image(tmp_path / "images" / "b" / "a.jpg")
    folders = [tmp_path, tmp_path / "images"]
    name = image_paths.relative_name(str(image), FILE, folders=folders)
    assert (name, image_paths.find_image(folders, name, FILE)) == ("images/b/a.jpg", image)
    for other in (f"{tmp_path}/../a.jpg", f"{tmp_path}x/a.jpg", "/a.jpg"):
        with refuses("inside", path=FILE):
            image_paths.relative_name(other, FILE, folders=folders)


def _folders(place: Path, prefix: str | None) -> image_paths.ImageFolders:
    return image_paths.ImageFolders([place / "none", place], prefix)


@pytest.mark.parametrize(
    ("prefix", "name", "relative"),
    [
        ("/home/ann", "/home/ann/b/a.jpg", "b/a.jpg"),
        ("/home/ann/", "/home/ann/a.jpg", "a.jpg"),
        ("/home/ann", "/home/ann//b/./a.jpg", "b/a.jpg"),
        ("C:\\data", "C:\\data\\b\\a.jpg", "b/a.jpg"),
        ("c:/Data", "C:\\data\\a.jpg", "a.jpg"),
        ("C:\\data", "C:/data/a.jpg", "a.jpg"),
        ("//server/share", "\\\\Server\\Share\\a.jpg", "a.jpg"),
        ("photos", "photos/a.jpg", "a.jpg"),
        ("./photos", "photos\\a.jpg", "a.jpg"),
        ("../old", "../old/a.jpg", "a.jpg"),
        ("file:///data", "file:///data/a.jpg", "a.jpg"),
        ("photos", "photos/photos/a.jpg", "photos/a.jpg"),
        ("photos", "a.jpg", "a.jpg"),
        ("photos", "photos2/a.jpg", "photos2/a.jpg"),
        ("photos", "Photos/a.jpg", "Photos/a.jpg"),
        ("a.jpg", "a.jpg", "a.jpg"),
        ("", "photos/a.jpg", "photos/a.jpg"),
    ],
)
def test_a_prefix_stands_for_the_folder(
    tmp_path: Path, prefix: str, name: str, relative: str
) -> None:
    folders = _folders(tmp_path, prefix)
    assert image_paths.relative_name(name, FILE, folders=folders) == relative


@pytest.mark.parametrize("name", ["/home/ann/../../etc/passwd", "/home/joe/a.jpg", "/home/ann",
                                  "/home/annabel/a.jpg", "/home/ann/..", "/home/Ann/a.jpg"])
def test_a_prefix_leads_nowhere_else(tmp_path: Path, name: str) -> None:
    with refuses("inside", repr(name), path=FILE, line=3):
        image_paths.relative_name(name, FILE, 3, _folders(tmp_path, "/home/ann"))


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("/home/ann/faces/b/a.jpg", "/home/ann/faces"),
        ("/home/ann/faces/B/A.jpg", "/home/ann/faces"),
        ("D:\\faces\\b\\a.jpg", "D:/faces"),
        ("/home/ann/c.jpg", "/home/ann"),
        ("../../x/c.jpg", "../../x"),
        ("x/y/c.jpg", "x/y"),
    ],
)
def test_the_option_for_a_name_of_another_computer_is_said(
    tmp_path: Path, name: str, prefix: str
) -> None:
    """But no image is taken by the end of its name alone."""
    write_image(tmp_path / "b/a.jpg")
    write_image(tmp_path / "c.jpg")

    def find(option: str | None) -> Path:
        folders = _folders(tmp_path, option)
        relative = image_paths.relative_name(name, FILE, 2, folders)
        return image_paths.find_image(folders, relative, FILE, 2)

    with refuses(f"prefix={prefix}", path=FILE, line=2):
        find("")
    assert find(prefix).is_file()
    with pytest.raises(DataError) as caught:
        find(None)
    assert "prefix" not in caught.value.reason


def test_no_option_for_what_is_not_there(tmp_path: Path) -> None:
    write_image(tmp_path.parent / "secret.jpg")
    for name in ("/home/ann/b.jpg", "/x/../secret.jpg", "/" + "x/" * 3000 + "b.jpg", "/\0/b.jpg"):
        with pytest.raises(DataError) as caught:
            image_paths.relative_name(name, FILE, None, _folders(tmp_path, ""))
        assert "prefix" not in caught.value.reason


def test_names_encoded_as_in_addresses(tmp_path: Path) -> None:
    """Only if there is no image of the name as it stands."""
    image = write_image(tmp_path / "My photo/ä b.jpg")
    assert image_paths.find_image([tmp_path], "My%20photo/%C3%A4%20b.jpg", FILE) == image
    assert image_paths.find_image([tmp_path], "my%20photo/%C3%84%20b.jpg", FILE) == image
    plain = write_image(tmp_path / "My%20photo/%C3%A4%20b.jpg")
    assert image_paths.find_image([tmp_path], "My%20photo/%C3%A4%20b.jpg", FILE) == plain
    write_image(tmp_path / "secret.jpg")
    for name in ("%2e%2e/secret.jpg", "x/%2E%2E/%2e%2e/secret.jpg", "%2Fetc%2Fpasswd", "%00"):
        with refuses("exist", path=FILE):
            image_paths.find_image([tmp_path / "My photo"], name, FILE)


def test_the_identity_of_an_encoded_name(tmp_path: Path) -> None:
    image = write_image(tmp_path / "My photo.jpg")
    identities = image_paths.Identities()
    for name in ("My%20photo.jpg", "My photo.jpg", "my photo.jpg"):
        assert identities.of(name, image, "My photo.jpg") == "My photo.jpg"


SIGNS = st.text(st.sampled_from("ab./\\:"), max_size=12)


@given(SIGNS, SIGNS)
def test_no_name_leads_farther_than_to_a_neighbour(text: str, prefix: str) -> None:
    root = Path("/data/set/xml")
    try:
        name = image_paths.relative_name(
            text, FILE, folders=image_paths.ImageFolders([root], prefix))
    except DataError:
        return
    parts = (root / name).parts
    assert parts.count("..") <= 1 and (".." not in parts or parts[4] == "..")


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        ("a.JPG", "a.jpg"),
        ("A.jpg", "a.JPG"),
        ("Images/a.jpg", "images/a.jpg"),
        (unicodedata.normalize("NFD", "Zoë/Müller.jpg"), "Zoë/Müller.jpg"),
        ("Zoë/Müller.jpg", unicodedata.normalize("NFD", "Zoë/Müller.jpg")),
        (unicodedata.normalize("NFD", "É.JPG"), "é.jpg"),
    ],
)
def test_names_that_differ_in_case_or_composition(
    tmp_path: Path, stored: str, asked: str
) -> None:
    (tmp_path / stored).parent.mkdir(exist_ok=True)
    (tmp_path / stored).touch()
    assert image_paths.find_image([tmp_path / "none", tmp_path], asked, FILE) == tmp_path / stored


def test_the_exact_name_goes_first_and_doubt_is_refused(tmp_path: Path) -> None:
    for name in ("a.jpg", "A.jpg", "A.JPG"):
        (tmp_path / name).touch()
    assert image_paths.find_image([tmp_path], "A.jpg", FILE).name == "A.jpg"
    with refuses("a.JPG", "'A.jpg'", "'a.jpg'", path=FILE, line=2):
        image_paths.find_image([tmp_path], "a.JPG", FILE, 2)


def test_images_of_one_name_in_two_folders(tmp_path: Path) -> None:
    """Unless they are copies, nothing tells which is meant."""
    folders = [tmp_path, tmp_path / "images"]
    folders[1].mkdir()
    for folder in folders:
        (folder / "a.jpg").write_bytes(b"one")
    assert image_paths.find_image(folders, "a.jpg", FILE) == tmp_path / "a.jpg"
    (folders[1] / "a.jpg").write_bytes(b"two")
    with refuses(tmp_path / "a.jpg", tmp_path / "images/a.jpg", "images=", path=FILE, line=2):
        image_paths.find_image(folders, "a.jpg", FILE, 2)


def test_a_near_name_is_said(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b/Face.jpeg").touch()
    with refuses(tmp_path / "b/face.jpg", "'Face.jpeg'", path=FILE):
        image_paths.find_image([tmp_path], "b/face.jpg", FILE)


def test_a_folder_that_changes_is_read_again(tmp_path: Path) -> None:
    with refuses("a.jpg", path=FILE):
        image_paths.find_image([tmp_path], "a.jpg", FILE)
    (tmp_path / "A.jpg").touch()
    assert image_paths.find_image([tmp_path], "a.jpg", FILE).name == "A.jpg"


def test_links_that_lead_back_take_no_time(tmp_path: Path) -> None:
    """Two names of one folder in itself: 2**60 paths to the same files."""
    write_image(tmp_path / "x.jpg")
    for name in "aA":
        (tmp_path / name).symlink_to(".")
    name = "a/" * 30
    found = image_paths.find_image([tmp_path], name + "X.jpg", FILE)
    assert os.path.samefile(found, tmp_path / "x.jpg")
    with refuses("y.jpg", "exist", path=FILE):
        image_paths.find_image([tmp_path], name + "y.jpg", FILE)


def test_folders_that_may_not_be_entered(tmp_path: Path) -> None:
    write_image(tmp_path / "a/B.jpg")
    for place in (tmp_path, *tmp_path.parents[:2]):
        place.chmod(0o755)
    (tmp_path / "a").chmod(0o744)
    user = os.geteuid()
    if user == 0:  # who may enter everything
        os.seteuid(65534)
    try:
        for name in ("a/b.jpg", "a/B.jpg", "A/b.jpg"):
            with refuses("exist", path=FILE):
                image_paths.find_image([tmp_path], name, FILE)
    finally:
        os.seteuid(user)
        (tmp_path / "a").chmod(0o755)
