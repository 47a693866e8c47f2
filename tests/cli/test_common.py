"""What all commands share: errors in one harmless line, and standard streams that are closed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from efld_tf.cli import common
from efld_tf.errors import DataError, EfldError
from tests.errors import assert_error_line

ROOT = Path(__file__).parents[2]
# Each is right (0) or refused (2) without TensorFlow and without data.
COMMANDS = [
    ("data", ["formats"], 0),
    ("data", ["check", "ibug:absent"], 2),
    ("score", ["absent.json"], 2),
    ("train", ["absent.yaml"], 2),
    ("export", ["absent"], 2),
    ("eval", ["absent", "--source", "ibug:absent"], 2),
    ("predict", ["absent.jpg"], 2),
    ("bench", ["absent.tflite"], 2),
    ("verify", ["absent.tflite"], 2),
    ("predict", ["--help"], 0),
    ("predict", ["--no-such-option"], 2),
]


@pytest.mark.parametrize(
    "error",
    [
        EfldError("a.yaml: \x1b[2J\nerror: forged"),
        DataError("\x1b]0;title\x07.jpg", "not an image\r"),
        OSError(2, "No such\nfile", "\x1b[31m"),
        EfldError("start" + "x" * 4096 + "end"),
    ],
)
def test_an_error_is_one_harmless_line(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(argv: Sequence[str] | None) -> int:
        raise error

    assert common.run(command, []) == 2
    out, err = capsys.readouterr()
    assert_error_line(err)
    assert out == "" and len(err) <= 1001
    if "start" in str(error):
        assert err.startswith("error: startx") and err.endswith("xend\n")


def test_arguments_are_told_harmlessly(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        common.parser("efld-x", "x").parse_args(["--\x1b[31m" + "y" * 4096])
    assert stopped.value.code == 2
    err = capsys.readouterr().err
    assert_error_line(err, "efld-x", "--help")
    assert len(err) <= 1001


def test_a_lack_of_memory_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    def command(argv: Sequence[str] | None) -> int:
        raise MemoryError("Unable to allocate 8 GiB")

    assert common.run(command, []) == 2
    assert_error_line(capsys.readouterr().err, "memory", "8 GiB")


@pytest.mark.parametrize(("command", "arguments", "code"), COMMANDS)
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_change_no_exit_code(
    tmp_path: Path, command: str, arguments: list[str], code: int, closed: str
) -> None:
    run = f"from efld_tf.cli import {command}; {command}.entry()"
    finished = subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-c", run, *arguments],
        capture_output=True, text=True, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, check=False,
    )
    assert finished.returncode == code, finished.stderr
    assert "Traceback" not in finished.stdout + finished.stderr
    if code == 2 and "2>&-" not in closed:
        assert_error_line(finished.stderr)


def test_children_get_no_closed_streams(tmp_path: Path) -> None:
    """A library or a child that writes to stream 2 must not write into a file of ours."""
    program = (
        "import subprocess, sys\n"
        "from efld_tf.cli import common\n"
        "def command(argv):\n"
        "    with open('mine', 'wb') as file:\n"
        "        subprocess.run([sys.executable, '-c', 'import os; os.write(2, b\"x\")'],"
        " check=True)\n"
        "        return file.fileno()\n"
        "sys.exit(common.run(command))\n"
    )
    finished = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" >&- 2>&-', "sh", sys.executable, "-c", program],
        cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, check=False,
    )
    assert finished.returncode > 2
    assert (tmp_path / "mine").read_bytes() == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
@pytest.mark.parametrize("arguments", [["formats"], ["--help"]])
def test_a_full_disk_is_told(tmp_path: Path, arguments: list[str]) -> None:
    run = "from efld_tf.cli import data; data.entry()"
    with open("/dev/full", "wb") as full:
        finished = subprocess.run(
            [sys.executable, "-c", run, *arguments], stdout=full, stderr=subprocess.PIPE,
            text=True, env={"PYTHONPATH": str(ROOT)}, check=False,
        )
    assert finished.returncode == 2
    assert_error_line(finished.stderr, "standard output", "space")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
def test_errors_that_cannot_be_told_change_no_exit_code(tmp_path: Path) -> None:
    run = "from efld_tf.cli import score; score.entry()"
    with open("/dev/full", "wb") as full:
        code = subprocess.run([sys.executable, "-c", run, "absent.json"], stderr=full, check=False,
                              env={"PYTHONPATH": str(ROOT)}, cwd=tmp_path).returncode
    assert code == 2


def test_a_current_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    run = "import os; os.rmdir(os.getcwd()); from efld_tf.cli import predict; predict.entry()"
    (tmp_path / "gone").mkdir()
    finished = subprocess.run(
        [sys.executable, "-c", run, __file__], capture_output=True, text=True, check=False,
        env={"PYTHONPATH": str(ROOT)}, cwd=tmp_path / "gone")
    assert finished.returncode == 2
    assert_error_line(finished.stderr, "current folder")


def test_temporary_files_go_with_the_process(tmp_path: Path) -> None:
    """Those that TensorFlow generates, and their byte code."""
    program = (
        "import sys\n"
        "from efld_tf.cli import common\n"
        "def command(argv):\n"
        "    from efld_tf import quiet\n"
        "    quiet.quiet_tensorflow()\n"
        "    import tensorflow as tf\n"
        "    @tf.function\n"
        "    def f(x):\n"
        "        return x + 1 if x > 0 else x\n"
        "    return int(f(tf.constant(6)))\n"
        "sys.exit(common.run(command))\n"
    )
    script, place = tmp_path / "script.py", tmp_path / "temporary"
    script.write_text(program)
    place.mkdir()
    environment = {"PYTHONPATH": str(ROOT), "TMPDIR": str(place)}
    assert subprocess.run([sys.executable, script], env=environment, check=False).returncode == 7
    assert [*place.iterdir()] == []
