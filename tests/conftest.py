"""What all tests share: the real data sets and Hypothesis' settings."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from efld_tf.landmarks import schemas
from tests import tiny_models
from tests.once import once

# Repeatable and short by default; HYPOTHESIS_PROFILE=search looks for new failures.
_SUPPRESSED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
settings.register_profile(
    "repeatable",
    deadline=None,
    derandomize=True,
    max_examples=40,
    suppress_health_check=_SUPPRESSED,
)
settings.register_profile(
    "search", deadline=None, max_examples=1000, suppress_health_check=_SUPPRESSED
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


# Workers take a file at a time: those that take long come first, so that none waits for another.
SLOW = ("training/", "exporting/", "cli/", "test_how_to_add", "test_api")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    root = Path(__file__).parent
    items.sort(key=lambda item: not str(item.path.relative_to(root)).startswith(SLOW))


@pytest.fixture(autouse=True, scope="module")
def own_schemas() -> Iterator[None]:
    """Schemas that a module's tests register are gone after it."""
    before = dict(schemas._registered)
    yield
    schemas._registered.clear()
    schemas._registered.update(before)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets: `EFLD_DATA`, or `shared/data` beside the repository.

    Tests that need it are skipped where it is absent, but fail in CI, so that CI never passes
    without them.
    """
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("EFLD_DATA", default))
    if not folder.is_dir():
        reason = f"the real data sets are not at {folder}; set EFLD_DATA"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


@pytest.fixture(scope="session")
def int8_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny_int8.tflite"
    path.write_bytes(tiny_models.tiny_int8())
    return path


@pytest.fixture(scope="session")
def float_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny_float.tflite"
    path.write_bytes(tiny_models.tiny_float())
    return path


@pytest.fixture(scope="session")
def npm(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The npm on the path; the packages that tools/web needs for its tests are there then."""
    found = needed("npm", "nodejs npm")

    def install(_: Path) -> None:
        web = Path(__file__).parents[1] / "tools" / "web"
        installed, lock = web / "node_modules" / ".package-lock.json", web / "package-lock.json"
        if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
            subprocess.run([found, "ci", "--no-audit", "--no-fund"], cwd=web, check=True,
                           capture_output=True)

    once(tmp_path_factory, "npm", install)
    return found


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser of the tests: CHROMIUM, or the one on the path."""
    return needed(os.environ.get("CHROMIUM", "chromium"), "chromium")


def needed(program: str, package: str) -> str:
    """A program on the path; without it tests are skipped, but fail in CI."""
    found = shutil.which(program)
    if not found:
        reason = f"no {program} on the path (Debian: {package})"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found
