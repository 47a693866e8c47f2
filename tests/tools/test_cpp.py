"""The C++ headers find what the toolkit does, on this machine and on an emulated ARM core."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from importlib import util
from pathlib import Path

import numpy as np
import pytest

import efld_tf
from efld_tf import assets
from efld_tf.annotations.synthetic.render import render_face
from efld_tf.emulation import cores, tools
from efld_tf.landmarks import schemas
from efld_tf.runtime import blazeface, portable
from efld_tf.runtime.detector import Detection
from tests.errors import assert_told
from tests.tools import web_vectors

SOURCES = Path(__file__).parents[2] / "tools" / "cpp"
HEADERS = Path("/usr/include")
PROGRAMS = {"efld_example": "example.cpp", "efld_vectors": "test/vectors.cpp"}
ARM, CORE = "aarch64-linux-gnu-g++", "cortex-a76"
Programs = Callable[..., subprocess.CompletedProcess[str]]


def needed() -> None:
    """Skips where there is nothing to compile with, but for CI."""
    missing = [name for name in ("cmake", "c++", ARM) if not shutil.which(name)]
    missing += [] if (HEADERS / "nlohmann" / "json.hpp").exists() else ["nlohmann-json3-dev"]
    if missing:
        reason = f"not installed: {', '.join(missing)}"
        (pytest.fail if os.environ.get("CI", "").lower() == "true" else pytest.skip)(reason)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    """The programs, by CMake and this system's compiler, with the library of the Python package."""
    needed()
    build = tmp_path_factory.mktemp("build")
    (library,) = util.find_spec("ai_edge_litert").submodule_search_locations
    for words in (["-S", str(SOURCES), "-B", str(build), f"-DLITERT={library}",
                   "-DCMAKE_CXX_FLAGS=-Werror"], ["--build", str(build), "--parallel"]):
        done = subprocess.run(["cmake", *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return lambda name, *words: subprocess.run(
        [build / name, *map(str, words)], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def on_arm(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    """The same for ARM, by Debian's cross compiler; Zig would first build its own C++ library."""
    needed()
    build, machine = tmp_path_factory.mktemp("arm"), tools.machine()
    (build / "nlohmann").symlink_to(HEADERS / "nlohmann")  # not all headers of this machine
    for name, source in PROGRAMS.items():
        subprocess.run([ARM, "-O2", "-std=c++17", str(SOURCES / source), f"-I{build}",
                        f"-L{machine.folder / 'lib'}", "-lLiteRt", "-o", str(build / name)],
                       check=True)
    return lambda name, *words: subprocess.run(
        [*machine.command(cores.get(CORE), build / name, counted=False), *map(str, words)],
        capture_output=True, text=True, check=False, env=machine.environment)


@pytest.fixture(params=["here", "on_arm"])
def programs(request: pytest.FixtureRequest) -> Programs:
    return request.getfixturevalue(request.param)


def test_crops_and_pixels_are_those_of_the_toolkit(programs: Programs) -> None:
    done = programs("efld_vectors", web_vectors.FILE)
    assert done.returncode == 0, done.stdout
    assert done.stdout.endswith(", 0 differences\n") and not done.stdout.startswith("0 ")


def photo(folder: Path, index: int) -> tuple[np.ndarray, Path, Detection]:
    """A rendered face as a PPM, and what a detector may find there."""
    size = (200, 300, 640)[index % 3]
    face = render_face(seed=7, index=index, size=size)
    path = folder / f"{index}.ppm"
    path.write_bytes(b"P6\n%d %d\n255\n" % (size, size) + face.image.tobytes())
    points = face.points["ibug68"].astype(float)
    low, high = points.min(axis=0), points.max(axis=0)
    right_eye, left_eye, *mouth = schemas.get("ibug68").anchor_points(points)
    seen = {"right_eye": right_eye, "left_eye": left_eye, "nose_tip": points[30],
            "mouth": np.mean(mouth, axis=0), "right_ear": points[0], "left_ear": points[16]}
    keypoints = np.array([seen[name] for name in blazeface.KEYPOINTS])
    box = np.concatenate([low, high]) + 0.03 * size * np.array([-1, 1, 1, -1])
    return face.image, path, Detection(box.round(2), keypoints.round(2), 0.9, portable.DETECTOR)


@pytest.mark.parametrize(("where", "count", "far"), [("here", 12, 0.0005), ("on_arm", 3, 0.01)])
def test_points_are_those_of_the_toolkit(
    where: str, count: int, far: float, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """After all looks, in sides of the crop.

    On ARM the last layer's kernel rounds otherwise; every look after the first then sees another
    crop, by parts of a pixel, to which models of int8 answer with up to half a percent.
    """
    programs, landmarker = request.getfixturevalue(where), efld_tf.load("research")
    for index in range(count):
        image, path, detection = photo(tmp_path, index)
        (face,) = landmarker.landmarks(image, [detection])
        looks = landmarker.look(image, [landmarker.crop_around(face.points)])
        done = programs("efld_example", assets.INT8_MODEL.parent, path, *detection.box,
                        *detection.keypoints[:2].ravel())
        assert done.returncode == 0, done.stderr
        lines = [line.split() for line in done.stdout.splitlines()]
        assert lines[0][:3] == ["golden", "output", "within"] and float(lines[0][3]) < 0.002
        assert float(lines[1][1]) == pytest.approx(float(looks.confidence[0]), abs=0.01)
        assert [name for name, _, _ in lines[2:]] == list(schemas.get("ibug51").names)
        found = np.array([[float(x), float(y)] for _, x, y in lines[2:]])
        assert np.abs(found - looks.points[0]).max() < far * looks.around[0].side


def test_files_that_cannot_be_read_are_told(here: Programs, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(assets.INT8_MODEL.parent, tmp_path / "bundle"))
    (tmp_path / "cut.ppm").write_bytes(b"P6\n40 40\n255\n" + bytes(70))
    (tmp_path / "other.ppm").write_bytes(b"P3\n40 40\n255\n")
    box = [1, 1, 30, 30, 10, 12, 20, 12]
    for words, facts in (
        ([tmp_path / "absent"], ["landmarker.json"]),
        ([bundle, tmp_path / "cut.ppm", *box], ["cut.ppm"]),
        ([bundle, tmp_path / "other.ppm", *box], ["other.ppm", "P6"]),
    ):
        done = here("efld_example", *words)
        assert done.returncode == 2
        assert_told(done.stderr, "error", *facts)
    (bundle / portable.FILE).write_text("{")
    done = here("efld_example", bundle)
    assert done.returncode == 2 and portable.FILE in done.stderr


def test_another_output_than_the_golden_one_is_told(here: Programs, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(assets.INT8_MODEL.parent, tmp_path / "bundle"))
    golden = json.loads((bundle / "golden.json").read_text())
    golden["output"]["points"][3][1] += 0.01
    (bundle / "golden.json").write_text(json.dumps(golden))
    done = here("efld_example", bundle)
    assert done.returncode == 2 and "0.0100" in done.stderr
    golden["output"]["points"].pop()
    (bundle / "golden.json").write_text(json.dumps(golden))
    assert here("efld_example", bundle).returncode == 2


def test_shipped_bundles_are_described() -> None:
    for shipped in assets.SHIPPED.values():
        text = shipped.int8.with_name(portable.FILE).read_text()
        assert json.loads(text) == json.loads(json.dumps(portable.described(shipped.int8)))
