"""Only what was measured alike is ranked; and what a factor does to the score."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from efld_tf.cli import score as command
from efld_tf.scoring import conditions, results
from efld_tf.scoring.score import sensitivities
from tests.errors import assert_told, refuses

FACTORS = {"accuracy_percent": 18.47, "time_ms": 1.08, "complexity_gflops": 0.0191,
           "power_w": 1.93, "size_mb": 0.17}
BENCHMARK = {"device": "Pixel 8", "runtime": "benchmark_model abc", "threads": 1, "xnnpack": True,
             "core_mask": "f0", "date": "2026-01-01"}
EVALUATION = {"source": "ibug:test", "faces": 330, "normaliser": "interocular"}


def write(folder: Path, name: str, **changes) -> str:
    content = {**FACTORS, "benchmark": BENCHMARK, "evaluation": EVALUATION, **changes}
    (folder / name).write_text(json.dumps(content))
    return str(folder / name)


def test_what_differs_is_named() -> None:
    first, second = ({"benchmark": {**BENCHMARK, "threads": n}} for n in (1, 4))
    found = conditions.differences([conditions.of(first), conditions.of(second)])
    assert found == {"benchmark.threads": [1, 4]}
    assert conditions.unstated(conditions.of(first)) == ["evaluation"]
    assert conditions.differences([{}, conditions.of(first)]) == {}


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        ({"benchmark": {**BENCHMARK, "device": "Pixel 9"}},
         ["benchmark.device", "Pixel 8", "Pixel 9"]),
        ({"benchmark": {**BENCHMARK, "core_mask": "0f"}}, ["benchmark.core_mask", "f0", "0f"]),
        ({"benchmark": {**BENCHMARK, "xnnpack": False}}, ["benchmark.xnnpack", True, False]),
        ({"evaluation": {**EVALUATION, "faces": 100}}, ["evaluation.faces", 330, 100]),
    ],
)
def test_different_conditions_are_refused_unless_told(
    tmp_path: Path, changes: dict, facts: list[object], capsys: pytest.CaptureFixture
) -> None:
    files = [write(tmp_path, "a.json"), write(tmp_path, "b.json", **changes)]
    with refuses("conditions", *facts, "--mixed"):
        command.main(files)
    assert command.main([*files, "--mixed"]) == 0
    assert "a.json" in capsys.readouterr().out


def test_another_date_is_no_other_condition(tmp_path: Path) -> None:
    later = {"benchmark": {**BENCHMARK, "date": "2026-02-02"}}
    assert command.main([write(tmp_path, "a.json"), write(tmp_path, "b.json", **later)]) == 0


def test_unstated_conditions_are_said(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "hand.json").write_text(json.dumps(FACTORS))
    command.main([write(tmp_path, "a.json"), str(tmp_path / "hand.json")])
    assert_told(capsys.readouterr().out, "hand.json", "conditions", "benchmark", "evaluation")


def test_sensitivity_of_a_hand_case() -> None:
    """The score is 100 / (2 * 1 * 5 * 1) = 10: a cost 10% smaller gives 10 / 0.9."""
    factors = {"accuracy_percent": 100.0, "time_ms": 2.0, "complexity_gflops": 1.0, "power_w": 5.0,
               "size_mb": 1.0}
    rows = {row.factor: row for row in sensitivities(factors, {"power_w": 1.0})}
    assert rows["accuracy_percent"].better == pytest.approx(11)
    assert rows["time_ms"].better == pytest.approx(10 / 0.9) and rows["time_ms"].low is None
    power = rows["power_w"]
    assert (power.low, power.high) == (pytest.approx(100 / 12), pytest.approx(100 / 8))


def test_sensitivity_to_a_power_that_may_be_zero(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path = write(tmp_path, "a.json", power_w=1.0,
                 benchmark={**BENCHMARK, "power_uncertainty_w": 2.5})
    assert command.main([path, "--sensitivity"]) == 0
    assert " to unbounded" in capsys.readouterr().out.splitlines()[-2]
    assert command.main([path, "--sensitivity", "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    power = next(row for row in entry["sensitivity"] if row["factor"] == "power_w")
    assert power["low"] == pytest.approx(entry["score"] / 3.5) and power["high"] is None
    # The uncertainty is that of the file's power, not of another one.
    assert command.main([path, "--sensitivity", "--power", "5"]) == 0
    assert " to " not in capsys.readouterr().out.splitlines()[-2]


def test_sensitivity_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = write(tmp_path, "a.json", benchmark={**BENCHMARK, "power_uncertainty_w": 0.1})
    assert command.main([path, "--sensitivity"]) == 0
    out = capsys.readouterr().out
    assert "(+11.1%)" in out and "(+10.0%)" in out and " to " in out.splitlines()[-2]


def test_a_measured_power_does_not_outlive_its_benchmark(tmp_path: Path) -> None:
    """Times of this machine with the power of a phone are no score."""
    path = tmp_path / "r.json"
    model = {"sha256": "0" * 64}
    measured = {**BENCHMARK, "power_uncertainty_w": 0.1}
    results.merge(path, model=model, section="benchmark", details=measured,
                  factors={"time_ms": 1.0, "power_w": 2.0})
    results.merge(path, model=model, section="benchmark", details=BENCHMARK,
                  factors={"time_ms": 0.2})
    assert "power_w" not in results.read(path)
    path.write_text(json.dumps({"power_w": 2.0}))  # given by hand
    results.merge(path, model=model, section="benchmark", details=BENCHMARK,
                  factors={"time_ms": 0.2})
    assert results.read(path)["power_w"] == 2.0
