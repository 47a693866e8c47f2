"""What the Android sample is compiled and packaged with, where there is no Android SDK.

Android's classes (API 23) and the compiler to Dalvik's code are packages of Debian 11, which are
unpacked below the user's cache; Kotlin's compiler comes from npm. What the sample uses beside them
is declared in `android_stubs`, by hand.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from efld_tf import files, installing

WHAT = "the Android sample's compilers"
KOTLIN = "kotlin-compiler@2.4.20"
# The last release of Debian that has them.
RELEASE, PACKAGES = "bullseye", ("libandroid-23-java", "dalvik-exchange")
KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
STUBS = Path(__file__).parent / "android_stubs"
RESOURCES = Path("/usr/share/android-framework-res/framework-res.apk")
ORG_JSON = Path("/usr/share/java/json-android.jar")
KOTLIN_RUNS_WITH = ("-compiler", "-stdlib", "-reflect", "-script-runtime", "x-coroutines-core-jvm")


@dataclass(frozen=True)
class Sdk:
    """Where the tools are.

    Attributes:
      folder: of all of it.
    """

    folder: Path

    @property
    def _tools(self) -> Path:
        return self.folder / "packages" / "usr" / "lib" / "android-sdk"

    @property
    def android(self) -> Path:
        """Android's classes."""
        return self._tools / "platforms" / "android-23" / "android.jar"

    @property
    def _kotlin(self) -> Path:
        return self.folder / "node_modules" / KOTLIN.partition("@")[0] / "lib"

    @property
    def standard_library(self) -> Path:
        """Kotlin's."""
        return self._kotlin / "kotlin-stdlib.jar"

    def kotlin(self, sources: list[Path], classes: list[Path],
               out: Path) -> subprocess.CompletedProcess[str]:
        """Compiles Kotlin, in which a warning counts as an error."""
        own = ":".join(str(self._kotlin / f"kotlin{part}.jar") for part in KOTLIN_RUNS_WITH)
        path = ":".join(map(str, [self.android, self.standard_library, *classes]))
        return subprocess.run(
            ["java", "-cp", own, "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler", "-no-reflect",
             "-no-stdlib", "-no-jdk", "-jvm-target", "1.8", "-Werror", "-Xlambdas=class",
             "-Xsam-conversions=class", "-cp", path, "-d", str(out), *map(str, sources)],
            capture_output=True, text=True, check=False)

    def dex(self, classes: list[Path], out: Path) -> None:
        """Compiles classes to Dalvik's code."""
        dx = self._tools / "build-tools" / "debian" / "lib" / "dx.jar"
        subprocess.run(
            ["java", "-cp", str(dx), "com.android.dx.command.Main", "--dex", "--min-sdk-version=26",
             f"--output={out}", *map(str, classes)], check=True)


def needed(*paths: Path | str) -> None:
    """Skips where a program or a file is missing, but for CI."""
    missing = [str(path) for path in paths
               if not (path.exists() if isinstance(path, Path) else shutil.which(path))]
    if missing:
        reason = f"not installed: {', '.join(missing)}"
        (pytest.fail if os.environ.get("CI", "").lower() == "true" else pytest.skip)(reason)


def sdk() -> Sdk:
    """The tools, which are fetched the first time."""
    needed("java", "javac", "npm", "apt-get", Path(KEYS))
    folder = files.cache("android") / f"{KOTLIN}-{RELEASE}"
    return Sdk(installing.once(folder, WHAT, _make))


def java(sources: list[Path], classes: list[Path], out: Path) -> Path:
    """Compiles Java as old as Android's, in which a warning counts as an error."""
    needed("javac")
    out.mkdir()
    subprocess.run(
        ["javac", "--release", "8", "-Xlint:all,-options", "-Werror", "-cp",
         ":".join(map(str, classes)), "-d", str(out), *map(str, sources)], check=True)
    return out


def _make(folder: Path) -> None:
    installing.run(WHAT, ["npm", "install", "--prefix", str(folder), "--silent", "--no-audit",
                          "--no-fund", "--ignore-scripts", KOTLIN])
    # From where this system's packages come, but of the older release.
    indices = installing.run(WHAT, ["apt-get", "indextargets", "--format", "$(REPO_URI)",
                                    "Created-By: Packages"])
    archive = next(line for line in indices.splitlines() if line.endswith("/debian/"))
    (folder / "sources.list").write_text(f"deb [signed-by={KEYS}] {archive} {RELEASE} main\n")
    for place in ("lists/partial", "cache/archives/partial", "archives", "packages"):
        (folder / place).mkdir(parents=True)
    apt = ["apt-get", "--quiet=2",
           "-o", f"Dir::Etc::SourceList={folder / 'sources.list'}",
           "-o", "Dir::Etc::SourceParts=/nonexistent",
           "-o", f"Dir::State::Lists={folder / 'lists'}", "-o", f"Dir::Cache={folder / 'cache'}"]
    installing.run(WHAT, [*apt, "update"])
    installing.run(WHAT, [*apt, "download", *PACKAGES], folder=folder / "archives")
    for package in (folder / "archives").iterdir():
        installing.run(WHAT, ["dpkg", "--extract", str(package), str(folder / "packages")])
