"""`efld-score`: what it prints and its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from efld_tf.cli import common, score
from efld_tf.scoring import results
from tests.errors import assert_error_line, assert_told

FACTORS = {
    "accuracy_percent": 20.0,
    "time_ms": 2.0,
    "complexity_gflops": 0.5,
    "power_w": 4.0,
    "size_mb": 0.25,
}


@pytest.fixture
def write(tmp_path: Path):
    """Writes a results file with the factors above, changed; None leaves one out."""

    def write(file: str = "results.json", **changes) -> str:
        content = {k: v for k, v in {**FACTORS, **changes}.items() if v is not None}
        path = tmp_path / file
        path.write_text(json.dumps(content))
        return str(path)

    return write


def _run(*arguments: str) -> int:
    return common.run(score.main, arguments)


def test_one_file_shows_every_factor_and_the_score(write, capsys):
    assert _run(write("a.json")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines[1:6]] == [
        ["accuracy_percent", "20", "%"],
        ["time_ms", "2", "ms"],
        ["complexity_gflops", "0.5", "GFLOPs"],
        ["power_w", "4", "W"],
        ["size_mb", "0.25", "MB"],
    ]
    assert lines[6].startswith("PAIR score: 20 ")


def test_missing_power_exits_3_and_says_how_to_give_it(write, capsys):
    path = write(power_w=None)
    assert _run(path) == 3
    output = capsys.readouterr().out
    assert_told(output, "missing", "power_w", "--power W")
    assert_told(output, "not a score", 80)
    assert "PAIR score" not in output
    assert _run(path, "--power", "4") == 0
    assert "PAIR score: 20 " in capsys.readouterr().out


def test_the_given_power_goes_before_the_file_s(write, capsys):
    assert _run(write(), "--power", "2") == 0
    output = capsys.readouterr().out
    assert "PAIR score: 40 " in output and "--power" in output


@pytest.mark.parametrize("name", [name for name in FACTORS if name != "power_w"])
def test_any_other_missing_factor_is_named(write, capsys, name):
    assert _run(write(**{name: None})) == 3
    output = capsys.readouterr().out
    assert_told(output, "missing", name)
    assert "product" not in output and "PAIR score" not in output


@pytest.mark.parametrize("name", [name for name in FACTORS if name != "accuracy_percent"])
def test_a_factor_of_zero_is_one_line(write, capsys, name):
    path = write(**{name: 0})
    assert _run(path) == 2
    captured = capsys.readouterr()
    assert_error_line(captured.err, path, name, 0)
    assert not captured.out


def test_sources_are_those_of_the_sections_only_where_the_numbers_agree(write, capsys):
    sections = {
        "evaluation": {"source": "ibug:helen", "faces": 330, "accuracy_5px_percent": 20.0},
        "benchmark": {
            "device": "a phone", "threads": 1, "xnnpack": True, "latency_ms_p50": 2.0,
            "macs": 250_000_000, "size_bytes": 250_000,
        },
    }  # fmt: skip
    _run(write(**sections))
    output = capsys.readouterr().out
    for facts in (
        ["ibug:helen", "330 faces"], ["p50", "a phone", "1 thread", "XNNPACK on"],
        ["250,000,000 MACs"], ["250,000 bytes"],
    ):
        assert_told(output, *facts)
    _run(write(**sections, time_ms=3.0))
    assert "a phone" not in capsys.readouterr().out


def test_several_files_make_a_sorted_leaderboard(write, capsys):
    slow = write("slow.json", time_ms=8.0, name="slow")
    fast = write("fast.json", name="fast")
    unknown = write("unknown.json", power_w=None)  # Its path stands for its name.
    assert _run(slow, unknown, fast) == 3
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[1:4]] == [
        ["1", "fast"],
        ["2", "slow"],
        ["-", unknown],
    ]
    assert lines[1].split()[-1] == "20" and lines[2].split()[-1] == "5"
    # Numbers end where their column's title ends.
    end = lines[0].index("time ms") + len("time ms")
    assert [line[:end].split()[-1] for line in lines[1:4]] == ["2", "8", "2"]
    assert_told("\n".join(lines), unknown, "no score")


def test_results_by_other_normalisers_are_not_ranked(write, capsys):
    files = [write(f"{name}.json", evaluation={"source": "menpo:test", "normaliser": name})
             for name in ("interocular", "box_diagonal")]
    assert _run(*files) == 2
    assert_error_line(
        capsys.readouterr().err, "evaluation.normaliser", "interocular", "box_diagonal")


def test_the_paper_s_table_alone(capsys):
    assert _run("--reference") == 0
    lines = capsys.readouterr().out.splitlines()
    rows = lines[1:12]
    assert rows[0].split()[:2] == ["1", "jjiawu"] and "2741.92" in rows[0]
    assert sum(row.endswith("yes") for row in rows) == 10
    (misprint,) = [row for row in rows if not row.endswith("yes")]
    assert_told(misprint, "YUJIE47", "no", "0.000907 to 0.000914")


def test_a_file_is_ranked_among_the_paper_s_rows(write, capsys):
    assert _run(write("mine.json", name="mine"), "--reference") == 0
    ranks = [line.split()[:2] for line in capsys.readouterr().out.splitlines()[1:13]]
    assert ranks[:3] == [["1", "jjiawu"], ["2", "mine"], ["3", "yuhs1"]]


def test_json(write, capsys):
    path = write(power_w=None)
    assert _run(path, "--json") == 3
    (entry,) = json.loads(capsys.readouterr().out)
    assert entry["file"] == entry["name"] == path
    assert entry["score"] is None and entry["score_times_watt"] == 80
    assert entry["missing"] == ["power_w"] and entry["time_ms"] == 2.0
    assert _run("--reference", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows if not row["printed_score_holds"]] == ["YUJIE47"]


def test_bad_input_exits_2_with_one_line(tmp_path, capsys):
    path = tmp_path / "results.json"
    for content in (b"", b"\xff\x00", b"[" * 100_000, b'{"time_ms": "x"}', b'{"speed": 1}'):
        path.write_bytes(content)
        assert _run(str(path)) == 2
        captured = capsys.readouterr()
        assert_error_line(captured.err, path)
        assert not captured.out


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        ([], ["results.json", "--reference"]),
        (["a.json", "--power", "0"], ["--power", "'0'"]),
        (["a.json", "--power", "nan"], ["--power", "'nan'"]),
        (["a.json", "b.json", "--power", "1"], ["--power"]),
    ],
)
def test_wrong_usage_exits_2(arguments, facts, capsys):
    with pytest.raises(SystemExit) as caught:
        score.main(arguments)
    assert caught.value.code == 2
    assert_error_line(capsys.readouterr().err, *facts)


def test_the_command_uses_the_standard_library_alone(write):
    code = (
        "import sys; from efld_tf.cli import common, score; "
        "code = common.run(score.main, sys.argv[1:]); "
        "assert not {'numpy', 'yaml', 'cv2', 'tensorflow'} & set(sys.modules); sys.exit(code)"
    )
    for path, expected in ((write("a.json"), 0), (write("b.json", power_w=None), 3), ("none", 2)):
        process = subprocess.run(
            [sys.executable, "-c", code, path], capture_output=True, text=True, check=False
        )
        assert process.returncode == expected, process.stderr
        assert "Traceback" not in process.stderr


def test_every_factor_has_a_unit():
    assert tuple(results.UNITS) == results.FACTORS
