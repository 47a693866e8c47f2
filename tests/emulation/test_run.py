"""Models on emulated cores: what they compute there, and in how many instructions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from efld_tf import assets, files
from efld_tf.benchmarking import instructions
from efld_tf.cli import bench, verify
from efld_tf.emulation import cores, run, tools
from efld_tf.runtime import golden
from efld_tf.scoring import results
from tests.errors import assert_error_line, assert_told, refuses

# One of each kind of kernels.
KINDS = ("cortex-a72", "cortex-a76", "neoverse-v1")


@pytest.fixture(scope="module")
def machine() -> tools.Machine:
    return tools.machine()


@pytest.mark.parametrize("core", KINDS)
@pytest.mark.parametrize("shipped", assets.SHIPPED)
def test_shipped_models_give_their_golden_output(
    machine: tools.Machine, shipped: str, core: str
) -> None:
    check = run.check(machine, cores.get(core), assets.SHIPPED[shipped].int8)
    assert check.passed and check.largest_difference < 0.002
    assert (check.confidence_difference is not None) == (shipped == "research")


def test_counts_are_of_the_core_s_own_kernels_and_have_no_noise() -> None:
    first, again = (instructions.measure(assets.INT8_MODEL, KINDS).summary()["cores"]
                    for _ in range(2))
    for core, counts in first.items():
        assert counts["all"] == pytest.approx(again[core]["all"], abs=200)
        assert sum(instructions.shares(counts).values()) == counts["all"]
    plain, dots, products = (first[core] for core in KINDS)
    assert plain["dot_product"] == plain["matrix_product"] == dots["matrix_product"] == 0
    # 9.56 M multiply-accumulates: 16 a dot product, 32 a matrix product.
    assert plain["multiply_add"] > 1_500_000
    assert 9_563_456 / 16 < dots["dot_product"] < 1_000_000
    assert 9_563_456 / 32 < products["matrix_product"] < 700_000
    # What the shipped model takes, so that an export that takes more is noticed.
    assert plain["all"] < 6_500_000
    assert dots["all"] < 2_950_000 and products["all"] < 3_100_000


def test_a_model_without_golden_files_gets_noise(float_model: Path) -> None:
    measured = instructions.measure(float_model, ["cortex-a76"])
    (found,) = measured.cores.values()
    assert found.check is None and measured.passed
    assert found.counts["multiply_add"] > 0 == found.counts["dot_product"]
    values = run.noise(float_model)
    assert values.dtype == np.float32 and 0 <= values.min() < values.max() < 1


def test_operators_make_up_the_model(int8_model: Path) -> None:
    rows = instructions.by_operator(int8_model, "cortex-a76")
    whole = instructions.measure(int8_model, ["cortex-a76"]).cores["cortex-a76"].counts["all"]
    assert sum(row.instructions for row in rows) == pytest.approx(whole, abs=3000)
    assert max(rows, key=lambda row: row.instructions).macs == max(row.macs for row in rows)


def test_outputs_come_in_any_order() -> None:
    points, sure, depth = np.zeros((1, 5, 2)), np.ones((1, 1)), np.full((1, 5), 2.0)
    for outputs in ([points, sure, depth], [depth, sure, points], [sure, points, depth]):
        found = run.named(outputs)
        assert (found.points.shape, found.confidence, found.depth[0, 0]) == ((1, 5, 2), 1, 2)


def test_files_that_are_no_models_are_refused(machine: tools.Machine, tmp_path: Path) -> None:
    """By the runtime on that core, which a stranger's file may also kill."""
    path = tmp_path / "broken.tflite"
    path.write_bytes(assets.INT8_MODEL.read_bytes()[:5000])
    with refuses("cortex-a76", path=path):
        run.run(machine, cores.get("cortex-a76"), path, np.zeros((1, 128, 128, 3), np.uint8))


def test_an_input_of_another_size_is_refused(machine: tools.Machine, int8_model: Path) -> None:
    with refuses("cortex-a76", "input", path=int8_model):
        run.run(machine, cores.get("cortex-a76"), int8_model, np.zeros(7, np.uint8))


def test_the_command_counts_draws_and_keeps(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    output, plots = tmp_path / "results.json", tmp_path / "plots"
    plots.mkdir()
    assert bench.main(["research", "--cpu", "cortex-a72, cortex-a76", "--output", str(output),
                       "--plots", str(plots)]) is None
    told = capsys.readouterr().out
    assert_told(told, "LiteRT", "QEMU")
    assert_told(told, "cortex-a72", "within")
    found = results.read(output)["instructions"]
    assert f"{found['cores']['cortex-a76']['all'] / 1e6:.3f}" in told
    assert cv2.imread(str(plots / "instructions.png")).std() > 10
    assert bench.main(["research", "synthetic", "--cpu", "cortex-a76", "--json"]) is None
    one, other = json.loads(capsys.readouterr().out)
    assert one["cores"]["cortex-a76"]["all"] != other["cores"]["cortex-a76"]["all"]


def test_another_output_is_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = shutil.copytree(assets.INT8_MODEL.parent, tmp_path / "bundle")
    model = folder / assets.INT8_MODEL.name
    output = np.frombuffer((folder / golden.OUTPUT_FILE).read_bytes(), "<f4") + 0.01
    (folder / golden.OUTPUT_FILE).write_bytes(output.astype("<f4").tobytes())
    stated = json.loads((folder / golden.FILE).read_text())
    stated["output"]["points"] = output.reshape(-1, 2).tolist()
    (folder / golden.FILE).write_text(json.dumps(stated))
    assert bench.main([str(model), "--cpu", "cortex-a76"]) == 1
    assert verify.main([str(model), "--cpu", "cortex-a76"]) == 1
    assert "cortex-a76: golden output within 0.0100" in capsys.readouterr().out


@pytest.mark.parametrize(("command", "words", "facts"), [
    (bench, ["research", "--cpu", "cortex-x1"], ["cortex-x1", "cortex-a76", "neoverse-v1"]),
    (verify, ["research", "--cpu", "cortex-x1"], ["cortex-x1", "cortex-a76", "neoverse-v1"]),
    (bench, ["research", "--cpu", "cortex-a76", "--android"], ["--cpu", "--android"]),
    (bench, ["research", "synthetic"], ["--cpu"]),
    (bench, ["research", "--plots", "x"], ["--plots", "--cpu"]),
    (bench, ["research", "--cpu", "cortex-a76", "--plots", __file__], ["--plots", "folder"]),
    (bench, ["research", "--cpu", "cortex-a76", "--threads", "2"], ["--threads", "--cpu"]),
    (bench, ["research", "--cpu", "cortex-a76", "--runs", "20"], ["--runs", "--cpu"]),
    (bench, ["research", "synthetic", "--cpu", "cortex-a76", "--profile"], ["--profile"]),
])
def test_mistakes_are_one_line(
    command, words: list[str], facts: list[str], capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit, match="2"):
        raise SystemExit(command.common.run(command.main, words))
    assert_error_line(capsys.readouterr().err, *facts)


def test_without_packages_it_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with refuses("qemu-aarch64", "qemu-user", "libc6-arm64-cross"):
        tools.machine()
    assert not list(files.cache("emulation").iterdir())


@pytest.mark.parametrize("version", ["4.2.1", "10.0.8"])
def test_another_qemu_does_not_count(
    machine: tools.Machine, tmp_path: Path, version: str
) -> None:
    """But it runs models."""
    program = tmp_path / "packages" / "usr" / "bin" / "qemu-aarch64"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho qemu-aarch64 version {version} '(Debian)'\n")
    program.chmod(0o755)
    other = tools.Machine(tmp_path)
    assert other.qemu == version
    with refuses(version, "QEMU"):
        other.command(cores.get("cortex-a76"), counted=True)
    assert other.command(cores.get("cortex-a76"), counted=False)[0] == str(program)


def test_it_is_for_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    with refuses("Linux"):
        tools.machine()


def test_a_core_describes_itself_as_linux_does() -> None:
    lines = filter(None, cores.get("cortex-a72").cpuinfo.splitlines())
    fields = {name.strip(): value.strip() for name, _, value in
              (line.partition(":") for line in lines)}
    assert fields["CPU part"] == "0xd08" and "asimddp" not in fields["Features"].split()
    assert "asimddp" in cores.get("cortex-a76").features.split()
    assert "i8mm" in cores.get("neoverse-v1").features.split()
