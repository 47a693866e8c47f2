from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from efld_tf.annotations import asf, ibug, sources
from efld_tf.annotations.record import FaceRecord
from tests.annotations.writers import asf_text, write_image
from tests.errors import assert_refusal, refuses

SHARES = np.random.default_rng(0).uniform(0.2, 0.8, (5, 2)).round(6)


def _write(folder: Path, name: str = "01-1m", image: str = "01-1m.jpg", **changes: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    text = asf_text(SHARES, image)
    for old, new in changes.values():
        assert old in text
        text = text.replace(old, new)
    path = folder / f"{name}.asf"
    path.write_text(text)
    return path


def test_shares_of_the_width_and_height(tmp_path: Path) -> None:
    """By hand: x 0.25 of 640 pixels is 160, and y 0.75 of 480 is 360."""
    shares = SHARES.copy()
    shares[3] = 0.25, 0.75
    cv2.imwrite(str(tmp_path / "01-1m.jpg"), np.zeros((480, 640, 3), np.uint8))
    (tmp_path / "01-1m.asf").write_text(asf_text(shares, "01-1m.jpg"))
    found = sources.read(f"asf:{tmp_path}?schema=mtfl5")
    (record,) = found.records
    np.testing.assert_allclose(record.points[3], [160, 360], atol=1e-4)
    np.testing.assert_allclose(record.points, shares * [640, 480], atol=1e-3)
    assert (record.schema, record.identity, record.key) == ("mtfl5", "01", "01-1m.jpg")
    assert record.box is None and record.visible is None and not record.normalised


def test_real_faces(shared_data: Path, tmp_path: Path) -> None:
    truths = list(ibug.read(shared_data / "ibug" / "helen" / "testset"))[:8]
    for truth in truths:
        image = cv2.imread(str(truth.image))
        cv2.imwrite(str(tmp_path / f"{truth.image.stem}.png"), image)
        text = asf_text(truth.points / [image.shape[1], image.shape[0]],
                        rf"D:\faces\{truth.image.stem}.bmp")
        (tmp_path / f"{truth.image.stem}.asf").write_text(text)
    found = sources.read(f"asf:{tmp_path}?schema=ibug68").records
    assert len(found) == 8
    for record, truth in zip(found, truths, strict=True):
        np.testing.assert_allclose(record.points, truth.points, atol=1e-3)
        assert record.image.stem == truth.image.stem


def test_numbers_of_the_user_s_own_and_other_writers(tmp_path: Path) -> None:
    """Three more columns, no line between, numbers that are all 0, and CRLF."""
    write_image(tmp_path / "a.jpg")
    rows = "".join(f"0 4 {x:.6f} {y:.6f} 0 0 0 0.00\t0.00\t1.50\r\n" for x, y in SHARES)
    (tmp_path / "a.asf").write_bytes(f"# a\r\n5\r\n{rows}# host image\r\na.jpg\r\n".encode())
    (record,) = asf.read(tmp_path, schema="mtfl5")
    np.testing.assert_allclose(record.points, SHARES, atol=1e-6)
    assert record.normalised and record.upright is None


@pytest.mark.parametrize(
    ("host", "images", "chosen"),
    [
        ("01-1m.jpg", ["01-1m.jpg", "01-1m.bmp"], "01-1m.jpg"),
        ("other.jpg", ["other.jpg"], "other.jpg"),
        ("01-1M.BMP", ["01-1m.JPG"], "01-1m.JPG"),
        ("renamed.jpg", ["01-1M.jpg"], "01-1M.jpg"),
        ("01-1m.bmp", ["01-1m.jpg"], "01-1m.jpg"),
        ("C:\\AAM\\01-1m.jpg", ["01-1m.jpg", "01-1m.bmp"], "01-1m.jpg"),
        ("/home/a/01-1m.bmp", ["01-1m.jpg"], "01-1m.jpg"),
        ("../../01-1m.jpg", ["01-1m.jpg"], "01-1m.jpg"),
        ("renamed.jpg", ["01-1m.png"], "01-1m.png"),
        ("sub/x.jpg", ["sub/x.jpg"], "sub/x.jpg"),
        ("sub/01-1m.jpg", ["sub/01-1m.jpg", "01-1m.jpg"], "sub/01-1m.jpg"),
    ],
)
def test_the_image_that_is_meant(
    tmp_path: Path, host: str, images: list[str], chosen: str
) -> None:
    for image in images:
        write_image(tmp_path / image)
    _write(tmp_path, image=host)
    (record,) = asf.read(tmp_path, schema="mtfl5")
    assert record.image == tmp_path / chosen


@pytest.mark.parametrize("host", ["other.jpg", "C:\\AAM\\other.bmp", "sub/x.jpg"])
def test_a_copy_that_still_names_the_image_of_another(tmp_path: Path, host: str) -> None:
    for name in ("01-1m.jpg", "other.jpg", "sub/x.jpg"):
        write_image(tmp_path / name)
    path = _write(tmp_path, image=host)
    (error,) = asf.read(tmp_path, schema="mtfl5")
    assert_refusal(error, repr(host), "01-1m.jpg", path=path, line=26)


def test_images_stay_in_the_folder(tmp_path: Path) -> None:
    write_image(tmp_path / "secret.jpg")
    path = _write(tmp_path / "data" / "deep", image="../../secret.jpg")
    (error,) = asf.read(tmp_path / "data", schema="mtfl5")
    assert_refusal(error, "../../secret.jpg", "01-1m", path=path, line=26)


def test_sub_folders_and_other_places(tmp_path: Path) -> None:
    for name in ("b/a.jpg", "a/a.jpg"):
        write_image(tmp_path / "photos" / name)
        _write(tmp_path / "asf" / Path(name).parent, "a", "a.jpg")
    (tmp_path / "asf" / "a" / "._a.asf").write_bytes(b"\0")
    records = list(asf.read(tmp_path / "asf", schema="mtfl5", images=str(tmp_path / "photos")))
    assert [record.image.parent.name for record in records] == ["a", "b"]
    assert [record.identity for record in records] == ["a.jpg", "a.jpg"]


@pytest.mark.parametrize(
    ("change", "line", "facts"),
    [
        (("\n5\n", "\nmany\n"), 10, ["number of points", "many"]),
        (("\n5\n", "\n6\n"), 10, ["expected 5", "mtfl5", "got 6"]),
        (("\n5\n", "\n" + "9" * 5000 + "\n"), 10, ["number of points"]),
        (("0 \t0 \t", "0 \t"), 17, ["7 numbers"]),
        ((f"{SHARES[1, 0]:.8f}", "x"), 18, ["number", "x"]),
        ((f"{SHARES[1, 0]:.8f}", "nan"), 18, ["nan"]),
        (("01-1m.jpg", ""), None, ["ends", "5", "image"]),
        (("\t\t0 \t4", "\t\t1 \t4"), None, None),
        (("\t\t0 \t4", "\t\t9 \t4"), None, ["numbered", "order"]),
    ],
)
def test_a_damaged_file_is_one_error(
    tmp_path: Path, change: tuple[str, str], line: int | None, facts: list[str] | None
) -> None:
    write_image(tmp_path / "01-1m.jpg")
    write_image(tmp_path / "02-1f.jpg")
    path = _write(tmp_path, change=change)
    _write(tmp_path, "02-1f", "02-1f.jpg")
    first, second = asf.read(tmp_path, schema="mtfl5")
    assert isinstance(second, FaceRecord) and second.identity == "02"
    if facts is None:  # two equal numbers tell no order
        assert isinstance(first, FaceRecord)
    else:
        assert_refusal(first, *facts, path=path, line=line)


def test_images_that_are_not_there_or_several(tmp_path: Path) -> None:
    path = _write(tmp_path)
    (error,) = asf.read(tmp_path, schema="mtfl5")
    assert_refusal(error, "'01-1m.jpg'", path=path, line=26)
    write_image(tmp_path / "01-1m.png")
    write_image(tmp_path / "01-1m.bmp")
    (error,) = asf.read(tmp_path, schema="mtfl5")
    assert_refusal(error, "several", "01-1m.png", "01-1m.bmp", path=path, line=26)


def test_shares_beyond_the_image_are_refused(tmp_path: Path) -> None:
    """Pixels where shares belong."""
    write_image(tmp_path / "a.jpg")
    (tmp_path / "a.asf").write_text(asf_text(SHARES * 400, "a.jpg"))
    with refuses("0 to 1", "normalised"):
        sources.read(f"asf:{tmp_path}?schema=mtfl5")


def test_wrong_use(tmp_path: Path) -> None:
    path = _write(tmp_path)
    with refuses("schema", "ibug68", "mtfl5"):
        list(asf.read(tmp_path))
    with refuses("folder", ".asf", path=path):
        list(asf.read(path, schema="mtfl5"))
    with refuses("images", "nowhere"):
        list(asf.read(tmp_path, schema="mtfl5", images="nowhere"))
