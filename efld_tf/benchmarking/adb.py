"""A phone that is reached through `adb`: finding it, describing it, running commands on it."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from efld_tf.errors import EfldError

FOLDER = "/data/local/tmp/efld"
TIMEOUT = 60.0
# What a phone can draw, from sleeping to the most that a battery gives.
PLAUSIBLE_WATTS = (0.005, 50.0)
# What adb says when the phone has gone, in any of its versions.
GONE = re.compile(
    r"^(?:adb|error): .*(?:device offline|no devices/emulators found|device '[^']*' not found|"
    r"device not found|protocol fault|connection reset)|^(?:adb|error): (?:error: )?closed$",
    re.IGNORECASE | re.MULTILINE,
)


def find() -> str:
    """Finds the adb program on the path or in the Android SDK.

    Raises:
      EfldError: there is no such program.
    """
    homes = [os.environ.get(name) for name in ("ANDROID_HOME", "ANDROID_SDK_ROOT")]
    candidates = [Path(home) / "platform-tools" / "adb" for home in homes if home]
    program = shutil.which("adb") or next((str(c) for c in candidates if c.is_file()), None)
    if not program:
        raise EfldError("adb: not found on the path or in ANDROID_HOME/platform-tools; install "
                        "Android's platform tools")
    return program


@dataclass(frozen=True)
class Description:
    """What a phone is.

    Attributes:
      device: its maker and model.
      soc: maker and model of its chip.
      os: Android's version and API level.
    """

    device: str
    soc: str
    os: str


@dataclass(frozen=True)
class Heat:
    """How warm a phone is.

    Attributes:
      battery_c: temperature of the battery in degrees Celsius; None where the phone does not
        report it.
      status: Android's thermal status, from 0 for none to 6 for shutdown; None where the phone
        does not report it.
    """

    battery_c: float | None
    status: int | None


class Phone:
    """One connected phone."""

    def __init__(self, serial: str | None = None):
        """Finds adb and the phone.

        Args:
          serial: serial number of the phone; None for the only one.

        Raises:
          EfldError: there is no adb or no phone, the phone is not authorised or is offline, or
            there are several.
        """
        self._adb = find()
        lines = self._run(["devices"]).splitlines()
        states = dict(line.split("\t")[:2] for line in lines if "\t" in line)
        if serial is None:
            if not states:
                raise EfldError("adb: no device is connected (adb devices lists none)")
            if len(states) > 1:
                listed = ", ".join(states)
                raise EfldError(f"adb: several devices: choose one by --serial: {listed}")
            serial = next(iter(states))
        state = states.get(serial)
        if state is None:
            connected = ", ".join(states) or "none"
            raise EfldError(f"adb: no device {serial}; connected: {connected}")
        if state == "unauthorized":
            raise EfldError(f"adb: {serial} is not authorised: accept the dialog on its screen")
        if state != "device":
            raise EfldError(f"adb: {serial} is {state}: reconnect it")
        self.serial = serial

    def shell(self, *words: str, timeout: float = TIMEOUT) -> str:
        """Runs a command on the phone and returns what it wrote to both streams.

        Raises:
          EfldError: the phone has gone, the command failed, or it took too long.
        """
        return self._run(["-s", self.serial, "shell", shlex.join(words)], timeout)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Starts a command on the phone and returns at once."""
        return subprocess.Popen(
            [self._adb, "-s", self.serial, "shell", shlex.join(words)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        )

    def push(self, path: Path, *, executable: bool = False) -> str:
        """Copies a file to the phone and returns its path there.

        The name there contains a hash of the content, so that a file is copied only once.

        Raises:
          EfldError: as in `shell`, or the file cannot be read.
        """
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        except OSError as error:
            raise EfldError(f"{path}: cannot be read: {error.strerror or error}") from error
        remote_path = f"{FOLDER}/{digest}_{re.sub(r'[^A-Za-z0-9._-]', '_', path.name)}"
        if "yes" not in self.shell("sh", "-c", f"test -f {remote_path} && echo yes || echo no"):
            self.shell("mkdir", "-p", FOLDER)
            # An incomplete file must not have the name of a complete one.
            self._run(["-s", self.serial, "push", str(path), f"{remote_path}.part"], timeout=600)
            if executable:
                self.shell("chmod", "+x", f"{remote_path}.part")
            self.shell("mv", f"{remote_path}.part", remote_path)
        return remote_path

    def describe(self) -> Description:
        """Reads the phone's description of itself."""
        lines = re.findall(r"^\[([^\]]+)\]: \[(.*)\]$", self.shell("getprop"), re.MULTILINE)
        props = dict(lines)

        def first(*names: str) -> str:
            return next((props[name] for name in names if props.get(name)), "unknown")

        maker = first("ro.soc.manufacturer", "ro.hardware")
        soc = first("ro.soc.model", "ro.board.platform", "ro.hardware")
        device = f"{first('ro.product.manufacturer')} {first('ro.product.model')}"
        version = first("ro.build.version.release")
        return Description(device, f"{maker} {soc}",
                           f"Android {version} (API {first('ro.build.version.sdk')})")

    def heat(self) -> Heat:
        """Reads the temperature and the throttling of this moment."""
        battery = re.search(r"^\s*temperature: (-?\d+)", self.shell("dumpsys", "battery"), re.M)
        status = re.search(r"Thermal Status: (\d+)", self.shell("dumpsys", "thermalservice"))
        return Heat(int(battery[1]) / 10 if battery else None, int(status[1]) if status else None)

    def charging(self) -> bool:
        """Whether the phone has external power, so that its battery does not show what it uses."""
        return bool(re.search(r"powered: true", self.shell("dumpsys", "battery")))

    def battery_watts(self) -> float:
        """The power in watts that the battery gives at this moment.

        Raises:
          EfldError: the phone does not report it.
        """
        supply = "/sys/class/power_supply/battery"
        text = self.shell("cat", f"{supply}/current_now", f"{supply}/voltage_now")
        values = text.split()
        if len(values) != 2 or not all(re.fullmatch(r"-?\d{1,12}", value) for value in values):
            raise EfldError(f"{self.serial}: does not tell its battery's current and voltage")
        current, voltage = map(int, values)
        # In microamperes and microvolts; makers differ in the sign of an outgoing current.
        watts = abs(current) * 1e-6 * voltage * 1e-6
        if not PLAUSIBLE_WATTS[0] < watts < PLAUSIBLE_WATTS[1]:
            raise EfldError(f"{self.serial}: its battery tells {current} and {voltage}, which are "
                            "not microamperes and microvolts")
        return watts

    def gone(self, text: str) -> bool:
        """Whether a message of adb says that the phone is no longer there."""
        return bool(GONE.search(text))

    def _run(self, words: list[str], timeout: float = TIMEOUT) -> str:
        try:
            process = subprocess.run(
                [self._adb, *words], capture_output=True, text=True, errors="replace",
                check=False, timeout=timeout,
            )
        except subprocess.TimeoutExpired as error:
            raise EfldError(f"adb {words[-1][:60]}: no answer in {timeout:g} seconds") from error
        except OSError as error:
            raise EfldError(f"{self._adb}: cannot be run: {error.strerror or error}") from error
        text = process.stdout + process.stderr
        if process.returncode:
            if GONE.search(text):
                raise EfldError("adb: the device was disconnected")
            last_line = (text.strip() or f"exit code {process.returncode}").splitlines()[-1]
            raise CommandError(f"adb {words[-1][:60]}: {last_line[:200]}", text, process.returncode)
        return text


class CommandError(EfldError):
    """A command on the phone failed; it holds what the command wrote and its exit code."""

    def __init__(self, message: str, output: str, code: int):
        super().__init__(message)
        self.output, self.code = output, code
