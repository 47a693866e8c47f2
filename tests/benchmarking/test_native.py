"""The native tool on a phone: a stand-in for adb replays what real ones print, and failures."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from efld_tf.benchmarking import adb, benchmark_model, native
from efld_tf.cli import bench, common
from efld_tf.scoring import results
from tests.errors import assert_error_line, assert_told, refuses

NATIVE = """INFO: STARTING!
INFO: Log parameter values verbosely: [0]
INFO: Graph: [/data/local/tmp/efld/m.tflite]
INFO: The input model file size (MB): 0.16708
INFO: Initialized session in 5.685ms.
INFO: count=3 first=1853 curr=1462 min=1410 max=1853 avg=1590 std=90 p5=1412 median=1466 p95=1830
INFO: count=50 first=1453 curr=1432 min=1410 max=1502 avg=1440.2 std=12 p5=1415 median=1438 p95=1466
INFO: Inference timings in us: Init: 5685, First inference: 18535, Warmup (avg): 14462.3, Inference (avg): 14575.2
INFO: Memory footprint delta from the start of the tool (MB): init=1.2 overall=3.4
INFO: Overall peak memory footprint (MB) via periodic monitoring: 7.1
"""  # noqa: E501
OLD = "STARTING!\ncount=5 first=2e+03 curr=1.9e+03 min=1.8e+03 max=2e+03 avg=1.9e+03 std=70\n"
SAME = "INFO: count=1 curr=1432\nINFO: count=20 curr=1432(all same)\n"
LITERT = "Model initialization: 3.2 ms\nWarmup (avg): 1.90 ms (5 runs)\nInference (avg):  1.44 ms (50 runs)\n"  # noqa: E501
PROPS = {
    "ro.product.manufacturer": "Google", "ro.product.model": "Pixel 8", "ro.hardware": "shiba",
    "ro.soc.manufacturer": "Google", "ro.soc.model": "Tensor G3",
    "ro.build.version.release": "14", "ro.build.version.sdk": "34",
}
BATTERY = "Current Battery Service state:\n  USB powered: {}\n  temperature: 253\n"
COOL, HOT = "IsStatusOverride: false\nThermal Status: 0\n", "Thermal Status: 3\n"


def test_every_form_of_the_output() -> None:
    full = benchmark_model.parse(NATIVE)
    assert full == benchmark_model.Output(
        runs=50, latency_ms_mean=1.4402, latency_ms_p50=1.438, latency_ms_p5=1.415,
        latency_ms_p95=1.466, latency_ms_min=1.41, latency_ms_max=1.502, latency_ms_std=0.012,
        init_ms=5.685, first_ms=18.535, tool_peak_memory_bytes=7_444_890,
    )
    old = benchmark_model.parse(OLD)
    assert (old.runs, old.latency_ms_mean, old.latency_ms_p50) == (5, 1.9, None)
    same = benchmark_model.parse(SAME)
    assert (same.runs, same.latency_ms_mean, same.latency_ms_p50) == (20, 1.432, 1.432)
    litert = benchmark_model.parse(LITERT)
    assert (litert.runs, litert.latency_ms_mean, litert.latency_ms_p50) == (50, 1.44, None)


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("WARN: Unconsumed cmdline flags: --min_secs=0\n" + NATIVE, "--min_secs=0"),
        ("ERROR: Benchmarking failed.\n", "Benchmarking failed"),
        ("", "times"),
        ("INFO: count=5 first=1 min=2\n", "INFO: count=5 first=1 min=2"),
        ("INFO: count=5 avg=1.2.3\n", "'1.2.3'"),
    ],
)
def test_outputs_that_say_nothing(text: str, fact: str) -> None:
    with refuses("benchmark_model", fact):
        benchmark_model.parse(text)


def test_bytes_that_are_no_text_say_nothing() -> None:
    with refuses("benchmark_model", "times"):
        benchmark_model.parse("\x00\xff" * 100)


@pytest.fixture
def phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Sets up the stand-in; call it with what differs from a healthy phone."""
    program = tmp_path / "bin" / "adb"
    program.parent.mkdir()
    program.write_text((Path(__file__).parent / "fake_adb.py").read_text())
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_ADB", str(tmp_path / "config.json"))
    monkeypatch.setattr(native, "SAMPLE_SECONDS", 0.1)
    (tmp_path / "tool").write_bytes(b"\x7fELF a tool")

    def configure(**changes) -> Path:
        config = {"state": {"PHONE1": "device"}, "props": PROPS, "run": [NATIVE, 0],
                  "battery": BATTERY.format("false"), "thermal": [COOL, COOL],
                  "watts": [[-100_000, 4_000_000], [-600_000, 4_000_000]], **changes}
        (tmp_path / "config.json").write_text(json.dumps(config))
        return tmp_path

    return configure


def calls(folder: Path) -> list[list[str]]:
    return [json.loads(line) for line in (folder / "log.txt").read_text().splitlines()]


def test_a_phone_is_measured(phone, int8_model: Path, capsys: pytest.CaptureFixture) -> None:
    folder = phone()
    arguments = [str(int8_model), "--android", "--benchmark-model", str(folder / "tool"),
                 "--cores", "f0", "--runs", "50", "--warmup", "3",
                 "--output", str(folder / "r.json")]
    assert bench.main(arguments) is None
    found = results.read(folder / "r.json")
    assert found["time_ms"] == 1.438 and "power_w" not in found
    section = found["benchmark"]
    assert (section["device"], section["soc"]) == ("Google Pixel 8", "Google Tensor G3")
    assert section["os"] == "Android 14 (API 34)" and section["core_mask"] == "f0"
    assert section["battery_c_before"] == 25.3 and section["thermal_status_after"] == 0
    assert section["throttled"] is False and section["time_is"] == "median"
    shown = capsys.readouterr().out
    assert "median 1.438 ms of 50 runs" in shown and "warning" not in shown
    run = next(words[3] for words in calls(folder) if "--graph=" in words[-1])
    assert run.startswith("taskset f0 /data/local/tmp/efld/")
    for option in ("--num_threads=1", "--num_runs=50", "--warmup_runs=3", "--min_secs=0",
                   "--use_xnnpack=true"):
        assert option in run


def test_files_are_pushed_once(phone, int8_model: Path) -> None:
    folder = phone()
    for _ in range(2):
        native.on_phone(int8_model, folder / "tool")
    pushed = [words for words in calls(folder) if "push" in words]
    assert len(pushed) == 2 and all(words[-1].endswith(".part") for words in pushed)
    (folder / "tool").write_bytes(b"\x7fELF another build")
    native.on_phone(int8_model, folder / "tool")
    assert len([words for words in calls(folder) if "push" in words]) == 3


@pytest.mark.long
def test_power_above_idle(
    phone, int8_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = phone()
    monkeypatch.setattr(native, "SAMPLE_SECONDS", 0.5)  # ten samples in the least time
    arguments = [str(int8_model), "--android", "--benchmark-model", str(folder / "tool"),
                 "--power", "5", "--output", str(folder / "r.json")]
    assert bench.main(arguments) is None
    found = results.read(folder / "r.json")
    assert found["power_w"] == pytest.approx(2.0, abs=0.01)  # 0.5 A more at 4 V
    assert 0 < found["benchmark"]["power_uncertainty_w"] < 0.01
    assert found["benchmark"]["power_idle_w"] == pytest.approx(0.4, abs=0.01)


def test_the_uncertainty_of_a_hand_case() -> None:
    """Variances 0.025 and 0.1 of five samples: 1.96 * sqrt(0.005 + 0.02)."""
    idle, running = [0.8, 0.9, 1.0, 1.1, 1.2], [2.6, 2.8, 3.0, 3.2, 3.4]
    found = native.difference(idle, running)
    assert found.power_w == pytest.approx(2.0)
    assert found.uncertainty_w == pytest.approx(1.96 * 0.025**0.5)
    with refuses("--power", "4 samples"):
        native.difference(idle[:4], running)


FAILURES = {
    "no device": ({"state": {}}, ["adb", "no device"]),
    "unauthorized": ({"state": {"PHONE1": "unauthorized"}}, ["PHONE1", "authorised"]),
    "offline": ({"state": {"PHONE1": "offline"}}, ["PHONE1", "offline"]),
    "several": ({"state": {"A": "device", "B": "device"}}, ["--serial", "A", "B"]),
    "push fails": ({"push": ["adb: error: failed to copy: No space left on device\n", 1]},
                   ["No space left on device"]),
    "flag": ({"run": ["WARN: Unconsumed cmdline flags: --use_xnnpack=true\n" + NATIVE, 0]},
             ["--use_xnnpack=true"]),
    "failed": ({"run": ["ERROR: Failed to load model\nERROR: Benchmarking failed.\n", 1]},
               ["Failed to load model"]),
    "crash": ({"run": ["Segmentation fault\n", 139]}, ["crashes", "SIGSEGV"]),
    "wrong build": ({"run": ["/data/local/tmp/efld/x: not executable: 64-bit ELF file\n", 126]},
                    ["not executable"]),
    "crash of a model with an unlucky name": (
        {"run": ["Graph: [eyes_closed.tflite]\nSegmentation fault\n", 139]},
        ["crashes", "SIGSEGV"]),
    "disconnected": ({"run": ["count=3 avg=1\nadb: device 'PHONE1' not found\n", 1]},
                     ["adb", "disconnected"]),
    "silent": ({"run": ["", 0]}, ["benchmark_model", "no times"]),
}


@pytest.mark.parametrize("name", FAILURES)
def test_failures_are_one_line_and_leave_nothing(
    name: str, phone, int8_model: Path, capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    changes, facts = FAILURES[name]
    folder = phone(**changes)
    monkeypatch.setattr("sys.argv", [
        "efld-bench", str(int8_model), "--android", "--benchmark-model", str(folder / "tool"),
        "--output", str(folder / "r.json")])
    assert common.run(bench.main) == 2
    assert_error_line(capsys.readouterr().err, *facts)
    assert not (folder / "r.json").exists()


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        ({"battery": BATTERY.format("true")}, ["--power", "charged"]),
        ({"gone_after": 4}, ["adb", "disconnected"]),
        ({"gone_after": 12}, ["adb", "disconnected"]),
        ({"watts": [[100_000, 4_000_000]] * 2}, ["--power", "uncertainty"]),
        ({"watts": [["unknown", 4_000_000]] * 2}, ["adb cat"]),
        ({"watts": [[-100, 4_000]] * 2}, ["PHONE1", 4000, "microvolts"]),
        ({"runs_for": 0}, ["benchmark_model", "ended early"]),
    ],
)
def test_power_that_cannot_be_measured(
    phone, int8_model: Path, changes: dict[str, object], facts: list[object]
) -> None:
    folder = phone(**changes)
    with refuses(*facts):
        native.on_phone(int8_model, folder / "tool", power_seconds=1)
    # Whatever went wrong while it ran, it does not run on over there.
    started = any("--graph=" in words[-1] and "--min_secs=0 " not in words[-1] + " "
                  for words in calls(folder))
    assert any("kill $(pidof" in words[-1] for words in calls(folder)) == started


def test_throttling_is_said(phone, int8_model: Path, capsys: pytest.CaptureFixture) -> None:
    folder = phone(thermal=[COOL, HOT])
    bench.main([str(int8_model), "--android", "--benchmark-model", str(folder / "tool")])
    assert_told(capsys.readouterr().out, "warning", "throttling")


def test_no_adb(int8_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("ANDROID_HOME", "ANDROID_SDK_ROOT"):
        monkeypatch.delenv(name, raising=False)
    with refuses("adb", "not found", "ANDROID_HOME/platform-tools"):
        adb.Phone()
    program = tmp_path / "platform-tools" / "adb"
    program.parent.mkdir()
    program.touch()
    monkeypatch.setenv("ANDROID_HOME", str(tmp_path))
    assert adb.find() == str(program)


def test_a_serial_that_is_not_there(phone) -> None:
    phone()
    with refuses("adb", "XYZ", "PHONE1"):
        adb.Phone("XYZ")


def tool(tmp_path: Path, text: str, code: int = 0) -> Path:
    """A benchmark_model for this machine that prints `text`."""
    (tmp_path / "out.txt").write_text(text)
    path = tmp_path / "benchmark_model"
    path.write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/args.txt\ncat {tmp_path}/out.txt\nexit {code}\n')
    path.chmod(0o755)
    return path


def test_the_same_runner_here(int8_model: Path, tmp_path: Path) -> None:
    program = tool(tmp_path, NATIVE)
    assert bench.main([str(int8_model), "--benchmark-model", str(program), "--cores", "1",
                       "--output", str(tmp_path / "r.json")]) is None
    section = results.read(tmp_path / "r.json")["benchmark"]
    assert section["latency_ms_p50"] == 1.438 and section["core_mask"] == "1"
    assert f"--graph={int8_model}" in (tmp_path / "args.txt").read_text()


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        (["--android"], ["--android", "--benchmark-model"]),
        (["--power", "9"], ["--power", "--android"]),
        (["--cores", "f0"], ["--cores", "--benchmark-model"]),
        (["--benchmark-model", "absent"], [Path("absent").absolute(), "No such file"]),
        (["--benchmark-model", "absent", "--cores", "0xzz"], ["--cores", "0xzz", "f0"]),
        (["--benchmark-model", "absent", "--threads", "1", "2"],
         ["--threads", "--benchmark-model"]),
        (["--benchmark-model", "absent", "--profile"], ["--profile", "--benchmark-model"]),
        (["--json", "--profile"], ["--profile", "--json"]),
    ],
)
def test_options_that_do_not_go_together(
    int8_model: Path, options: list[str], facts: list[object]
) -> None:
    with refuses(*facts):
        bench.main([str(int8_model), *options])


def test_a_crash_here_is_told(int8_model: Path, tmp_path: Path) -> None:
    with refuses("crashes", "SIGSEGV", path=int8_model):
        native.here(int8_model, tool(tmp_path, "", 139))
