from __future__ import annotations

import struct
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import loadmat

from efld_tf import hdf5
from efld_tf.annotations import matlab
from efld_tf.errors import DataError
from tests.annotations.writers import mat_bytes
from tests.errors import assert_refusal, refuses

LIMIT = 1 << 17


def _read(path: Path, content: bytes, *names: str) -> dict[str, matlab.Value]:
    path.write_bytes(content)
    return matlab.read_mat(path, names, LIMIT)


def test_real_files_read_as_scipy_reads_them(shared_data: Path) -> None:
    files = sorted([*shared_data.glob("aflw2000/*.mat"), *shared_data.glob("cofw68/*.mat")])
    assert len(files) > 30
    for file in files:
        expected = {k: v for k, v in loadmat(file).items() if not k.startswith("__")}
        found = matlab.read_mat(file, expected, LIMIT)
        assert set(found) == set(expected)
        for name, value in expected.items():
            np.testing.assert_array_equal(found[name], value)


@pytest.mark.parametrize("compress", [False, True])
def test_numbers_texts_and_cells(tmp_path: Path, compress: bool) -> None:
    cells = np.empty((3, 1), dtype=object)
    cells[:, 0] = ["0/a.jpg", "Zoë", np.arange(2.0)]
    numbers = np.arange(6.0).reshape(2, 3)
    content = mat_bytes(
        compress, cells=cells, numbers=numbers, flags=np.array([[True, False]]), text="abc",
        small=np.uint8([[1, 2, 3]]), none=np.zeros((0, 0)), other={"a": 1},
    )  # fmt: skip
    path = tmp_path / "a.mat"
    found = _read(path, content, "cells", "numbers", "flags", "text", "small", "none", "missing")
    assert sorted(found) == ["cells", "flags", "none", "numbers", "small", "text"]
    assert found["cells"][:2] == ["0/a.jpg", "Zoë"] and found["text"] == "abc"
    np.testing.assert_array_equal(found["cells"][2], [[0, 1]])
    np.testing.assert_array_equal(found["numbers"], numbers)
    np.testing.assert_array_equal(found["flags"], [[1, 0]])
    np.testing.assert_array_equal(found["small"], [[1, 2, 3]])
    assert found["none"].shape == (0, 0)


def test_big_endian(tmp_path: Path) -> None:
    name = struct.pack(">HH4s", 1, 1, b"x")  # a small element: its size first
    matrix = struct.pack(">IIII", 6, 8, 6, 0) + struct.pack(">IIii", 5, 8, 1, 2) + name[:0]
    matrix += struct.pack(">I4s", 1 << 16 | 1, b"x") + struct.pack(">IIdd", 9, 16, 1.5, -2)
    header = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x01\x00MI"
    found = _read(tmp_path / "a.mat", header + struct.pack(">II", 14, len(matrix)) + matrix, "x")
    np.testing.assert_array_equal(found["x"], [[1.5, -2]])


def _matrix(flags: int, sizes: tuple[int, ...], data: bytes = b"") -> bytes:
    """A file of one matrix `x` whose header may be a lie."""
    matrix = struct.pack("<IIII", 6, 8, flags, 0)
    matrix += struct.pack(f"<II{len(sizes)}i", 5, 4 * len(sizes), *sizes)
    matrix += struct.pack("<I4s", 1 << 16 | 1, b"x") + data
    header = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    return header + struct.pack("<II", 14, len(matrix)) + matrix


_HUGE = 2**31 - 1


@pytest.mark.parametrize(
    ("content", "facts"),
    [
        (b"", ["MATLAB", "version 5"]),
        (b"MATLAB 7.3 MAT-file".ljust(200), ["MATLAB 7.3", "-v7"]),
        (bytes(LIMIT + 1), ["bytes", LIMIT, LIMIT + 1]),
        (mat_bytes(x={"a": 1}), ["'x'", "numbers", "text"]),
        (mat_bytes(x=np.array([[1j]])), ["'x'", "numbers", "text"]),
        (mat_bytes(x=np.ones((9, 9)))[:-9], ["ends"]),
        (mat_bytes(False, x=np.ones((9, 9)))[:-9], ["ends"]),
        (mat_bytes(x=np.zeros((1, LIMIT))), ["compressed"]),
        (_matrix(6, (_HUGE, _HUGE), struct.pack("<II8s", 9, 8, b"")),
         ["'x'", "8 bytes", (_HUGE, _HUGE)]),
        (_matrix(6, (_HUGE, _HUGE), struct.pack("<II", 9, 2**32 - 1)), ["ends"]),
        (_matrix(1, (_HUGE, _HUGE)), ["ends"]),
        (_matrix(6, (-1, 1)), ["wrong sizes"]),
        (_matrix(6, (1,)), ["wrong sizes"]),
        (_matrix(6, (1,) * 9), ["no sizes"]),
        (_matrix(1, (1, 1), struct.pack("<II8s", 9, 8, b"")), ["cell"]),
    ],
)
def test_damaged_files_are_one_error(tmp_path: Path, content: bytes, facts: list[object]) -> None:
    with pytest.raises(DataError) as caught:
        _read(tmp_path / "a.mat", content, "x")
    assert_refusal(caught.value, *facts, path=tmp_path / "a.mat")
    assert len(str(caught.value)) < 300 + len(str(tmp_path))


def test_cells_in_cells_are_refused(tmp_path: Path) -> None:
    inner = np.empty((1, 1), dtype=object)
    inner[0, 0] = "a"
    outer = np.empty((1, 1), dtype=object)
    outer[0, 0] = inner
    with refuses("numbers", "text", path=tmp_path / "a.mat"):
        _read(tmp_path / "a.mat", mat_bytes(x=outer), "x")


def test_bytes_that_do_not_decompress(tmp_path: Path) -> None:
    header = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    content = header + struct.pack("<II", 15, 8) + b"notzlib!"
    with refuses("decompressed", path=tmp_path / "a.mat"):
        _read(tmp_path / "a.mat", content, "x")
    cut = zlib.compress(_matrix(6, (1, 1), struct.pack("<IId", 9, 8, 1.0))[128:])[:-12]
    with refuses("ends", path=tmp_path / "a.mat"):
        _read(tmp_path / "a.mat", header + struct.pack("<II", 15, len(cut)) + cut, "x")


def test_shapes_are_checked(tmp_path: Path) -> None:
    found = _read(tmp_path / "a.mat", mat_bytes(x=np.ones((2, 3)), t="text"), "x", "t")
    path = tmp_path / "a.mat"
    assert matlab.array(found, "x", path, None, 3).shape == (2, 3)
    for shape, expected in (((3, 2), "3 x 2"), ((2, 3, 1), "2 x 3 x 1"), ((None, 4), "N x 4")):
        with refuses("array x", expected, "2 x 3", path=path):
            matlab.array(found, "x", path, *shape)
    for name in ("t", "y"):
        with refuses(f"array {name}", "1 x N", "none", path=path):
            matlab.array(found, name, path, 1, None)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e7])
def test_what_is_no_coordinate(tmp_path: Path, value: float) -> None:
    with refuses("row 3", "coordinates", path=tmp_path):
        matlab.pixels(np.array([1, value]), tmp_path, "row 3")


def test_hdf5_datasets_that_lead_elsewhere_or_never_end(tmp_path: Path) -> None:
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(8))
    with h5py.File(tmp_path / "other.mat", "w") as file:
        file["x"] = np.ones(3)
    path = tmp_path / "a.mat"
    with h5py.File(path, "w") as file:
        file["good"] = np.arange(6).reshape(2, 3)
        file["linked"] = h5py.ExternalLink("other.mat", "x")
        file["soft"] = h5py.SoftLink("/good")
        file.create_dataset("outside", (8,), "u1", external=str(secret))
        virtual = h5py.VirtualLayout((3,), "f8")
        virtual[:] = h5py.VirtualSource("other.mat", "x", (3,))
        file.create_virtual_dataset("virtual", virtual)
        file.create_dataset("huge", (1 << 20, 1 << 20), "f8", chunks=(64, 64))
        file["text"] = "abc"
        file["empty"] = h5py.Empty("f8")
        file.create_group("group")
    with matlab.open_hdf5(path) as file:
        np.testing.assert_array_equal(
            matlab.read_hdf5(file, "good", "i", 6), [[0, 3], [1, 4], [2, 5]]
        )
        for name in file:
            if name != "good":
                with pytest.raises(hdf5.ERRORS):
                    matlab.read_hdf5(file, name, "fiu", 100)
        with pytest.raises(ValueError, match=r"\(2, 3\)"):
            matlab.read_hdf5(file, "good", "i", 5)


def test_a_chunk_that_inflates_to_more_than_the_array(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.mat", "w") as file:
        data = file.create_dataset("x", (4, 4), "u1", chunks=(4, 4), compression="gzip")
        data.id.write_direct_chunk((0, 0), zlib.compress(bytes(1 << 23)))
    with (
        matlab.open_hdf5(tmp_path / "a.mat") as file,
        pytest.raises(ValueError, match="compressed"),
    ):
        matlab.read_hdf5(file, "x", "u", 100)


@pytest.mark.parametrize("content", [b"", b"MATLAB 7.3 MAT-file".ljust(600)])
def test_files_that_are_no_hdf5(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.mat").write_bytes(content)
    for path in (tmp_path / "a.mat", tmp_path / "missing.mat"):
        with refuses("MATLAB 7.3", path=path):
            matlab.open_hdf5(path)
