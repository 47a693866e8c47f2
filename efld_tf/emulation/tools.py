"""Makes what the emulation takes, below the user's cache and without an administrator's rights.

It takes QEMU, ARM's C library, the runtime's library for ARM, a program that runs models, and a
plugin of QEMU that counts. On Debian and its kin the first two come from the system's packages,
unpacked and not installed; where QEMU is installed, it is used. Everything else comes by pip: the
runtime's wheel for ARM, and Zig, whose compiler makes both programs.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from functools import cached_property, partial
from importlib import metadata as distributions
from pathlib import Path

from efld_tf import files, installing
from efld_tf.emulation.cores import CORES, Core
from efld_tf.errors import EfldError

RUNTIME = "ai-edge-litert"
COMPILER = "ziglang==0.17.1"
# The oldest C library that the runtime's wheel for ARM is made for.
TARGET, PLATFORM = "aarch64-linux-gnu.2.27", "manylinux_2_27_aarch64"
PACKAGES = ("qemu-user", "libc6-arm64-cross", "libgcc-s1-arm64-cross", "libstdc++6-arm64-cross")
QEMU, LIBRARIES = "qemu-aarch64", Path("usr/aarch64-linux-gnu/lib")
# Later ones have another interface of plugins.
COUNTING = (5, 8)
SOURCES = Path(__file__).parent
WHAT = "emulation of ARM"


@dataclass(frozen=True)
class Machine:
    """What runs programs for ARM here.

    Attributes:
      folder: of all of it.
    """

    folder: Path

    @property
    def runtime(self) -> str:
        """The runtime that runs models."""
        return f"LiteRT {distributions.version(RUNTIME)}"

    @cached_property
    def qemu(self) -> str:
        """QEMU's version."""
        answer = installing.run(WHAT, [*self._program(), "--version"], environment=self.environment)
        found = re.search(r"version (\d+\.[\d.]*\d)", answer)
        if found is None:
            raise EfldError(f"{WHAT}: {self._program()[0]} does not tell its version")
        return found[1]

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which QEMU starts."""
        own = self._unpacked / "usr" / "lib" / f"{os.uname().machine}-linux-gnu"
        paths = [str(own), os.environ.get("LD_LIBRARY_PATH", "")]
        return {**os.environ, "LD_LIBRARY_PATH": ":".join(filter(None, paths))}

    @property
    def _unpacked(self) -> Path:
        return self.folder / "packages"

    def command(self, core: Core, program: Path | None = None, *, counted: bool) -> list[str]:
        """What runs a program, followed by its arguments.

        Args:
          program: made for ARM; None for the one of `runner.c`.
          counted: whether instructions are counted, as `counter.c` says.

        Raises:
          EfldError: this QEMU cannot count.
        """
        options = []
        if counted:
            major = int(self.qemu.partition(".")[0])
            if not COUNTING[0] <= major <= COUNTING[1]:
                raise EfldError(f"{WHAT}: instructions are counted by QEMU {COUNTING[0]} to "
                                f"{COUNTING[1]}, and {self._program()[0]} is {self.qemu}")
            options = ["-plugin", str(self.folder / "counter.so")]
        root = self.folder / "cores" / core.name
        return [*self._program(), "-L", str(root), "-cpu", core.emulated, *options,
                str(program or self.folder / "runner")]

    def _program(self) -> list[str]:
        own = self._unpacked / "usr" / "bin" / QEMU
        return [str(own) if own.exists() else QEMU]


def machine() -> Machine:
    """The machine, which is made the first time.

    Raises:
      EfldError: this system cannot have it, or something is missing; the message says what.
    """
    if sys.platform != "linux":
        raise EfldError(f"{WHAT}: QEMU runs programs on Linux alone")
    versions = f"{distributions.version(RUNTIME)} {COMPILER} {TARGET} {CORES}"
    sources = [(SOURCES / name).read_bytes() for name in ("runner.c", "counter.c", "litert.h")]
    key = hashlib.sha256(b"\0".join([versions.encode(), *sources])).hexdigest()[:16]
    folder = files.cache("emulation") / key
    return Machine(installing.once(folder, WHAT, _make))


def compile_program(program: Path, source: Path, *options: str) -> None:
    """Compiles C or assembler, for this machine unless `-target` says otherwise.

    Args:
      options: of Clang.

    Raises:
      EfldError: the compiler cannot be installed, or refuses the source.
    """
    compiler = installing.once(files.cache("emulation") / COMPILER.replace("==", "-"), COMPILER,
                               partial(_pip, "install", COMPILER))
    with tempfile.TemporaryDirectory() as cache:
        environment = {"ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache}
        installing.run(
            WHAT, [str(compiler / "ziglang" / "zig"), "cc", "-O2", str(source), *options, "-o",
                   str(program)], folder=Path(cache), environment={**os.environ, **environment})


def _make(folder: Path) -> None:
    _unpack_packages(folder)
    _copy_libraries(folder)
    for core in CORES.values():
        _describe(folder / "cores" / core.name, core)
    compile_program(folder / "runner", SOURCES / "runner.c", "-target", TARGET,
                    f"-L{folder / 'lib'}", "-lLiteRt")
    compile_program(folder / "counter.so", SOURCES / "counter.c", "-shared", "-fPIC")


def _describe(root: Path, core: Core) -> None:
    """Makes the folder in which programs find their libraries and the core, instead of in `/`.

    Runtimes read the core's description, and would take this machine's for ARM's.
    """
    (root / "proc").mkdir(parents=True)
    files.write_text(root / "proc" / "cpuinfo", core.cpuinfo)
    (root / "lib").symlink_to(Path("..", "..", "lib"))


def _unpack_packages(folder: Path) -> None:
    """Unpacks those of `PACKAGES`, and what they need, that are not installed.

    Raises:
      EfldError: they are missing, and there is no APT to get them.
    """
    (folder / "packages").mkdir()
    if shutil.which(QEMU) and (Path("/") / LIBRARIES / "libstdc++.so.6").exists():
        return
    if not all(map(shutil.which, ("apt-get", "dpkg"))):
        raise EfldError(f"{WHAT}: {QEMU} and the C and C++ libraries for ARM in /{LIBRARIES} are "
                        f"missing: install them (on Debian {', '.join(PACKAGES)})")
    plan = installing.run(WHAT, ["apt-get", "install", "--simulate", "--quiet=2", "--yes",
                                 "--no-install-recommends", *PACKAGES])
    names = [line.split()[1] for line in plan.splitlines() if line.startswith("Inst ")]
    archives = folder / "archives"
    archives.mkdir()
    installing.run(WHAT, ["apt-get", "download", "--quiet=2", *names], folder=archives)
    for archive in archives.iterdir():
        installing.run(WHAT, ["dpkg", "--extract", str(archive), str(folder / "packages")])
    shutil.rmtree(archives)


def _copy_libraries(folder: Path) -> None:
    """Copies the libraries of ARM to `lib`."""
    places = [root / LIBRARIES for root in (folder / "packages", Path("/"))]
    found = next((place for place in places if (place / "libstdc++.so.6").exists()), None)
    if found is None:
        raise EfldError(f"{WHAT}: no C++ library for ARM in /{LIBRARIES}, nor in the packages")
    shutil.copytree(found, folder / "lib", symlinks=True)
    wheels = folder / "wheels"
    python = f"{sys.version_info[0]}{sys.version_info[1]}"
    _pip("download", f"{RUNTIME}=={distributions.version(RUNTIME)}", wheels,
         "--platform", PLATFORM, "--python-version", python, "--implementation", "cp",
         "--abi", f"cp{python}")
    (wheel,) = wheels.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive, archive.open("ai_edge_litert/libLiteRt.so") as library:
        files.write_bytes(folder / "lib" / "libLiteRt.so", library.read())
    shutil.rmtree(wheels)


def _pip(verb: str, requirement: str, folder: Path, *options: str) -> None:
    where = "--dest" if verb == "download" else "--target"
    installing.run(WHAT, [
        sys.executable, "-m", "pip", verb, "--quiet", "--no-input", "--no-deps",
        "--disable-pip-version-check", "--only-binary", ":all:", *options, where, str(folder),
        requirement])
