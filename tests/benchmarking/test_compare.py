"""Models in turns, their intervals, the energy counter, and the time of each operator."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from efld_tf.benchmarking import compare, energy, profile
from efld_tf.runtime import graph
from tests import tiny_models
from tests.errors import refuses


def test_the_interval_of_a_hand_case() -> None:
    """100 values: positions 50 -+ 0.98 * 10, so the 41st to the 61st of 1 to 100."""
    assert compare.interval(np.random.default_rng(0).permutation(np.arange(1.0, 101))) == (41, 61)
    assert compare.interval(np.array([3.0])) == (3, 3)


def test_the_interval_holds_the_median_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    found = [compare.interval(rng.exponential(size=51)) for _ in range(2000)]
    share = np.mean([low <= np.log(2) <= high for low, high in found])
    assert 0.94 < share < 0.985


def test_models_are_compared_with_the_first(int8_model: Path, float_model: Path) -> None:
    found = compare.measure([int8_model, float_model, int8_model], runs=400, warmup=2)
    assert [row.model for row in found.rows] == [str(int8_model), str(float_model),
                                                 str(int8_model)]
    first = found.rows[0]
    assert (first.speedup, first.speedup_low, first.speedup_high) == (1, 1, 1)
    for row in found.rows:
        assert 0 < row.latency_ms_low <= row.latency_ms_p50 <= row.latency_ms_high
        assert row.speedup_low <= row.speedup <= row.speedup_high
    assert found.runs == 400 and found.conditions.device


def test_mistakes_are_named(int8_model: Path, tmp_path: Path) -> None:
    with refuses("runs", 20, 200):
        compare.measure([int8_model], runs=210)
    with refuses("run", path=tmp_path / "absent.tflite"):
        compare.measure([tmp_path / "absent.tflite"], runs=200)


def test_the_energy_counter(tmp_path: Path) -> None:
    assert energy.microjoules(tmp_path) is None
    for name, value in (("intel-rapl:0", "1000"), ("intel-rapl:1", "500"),
                        ("intel-rapl:0:0", "900")):  # a part of the first
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text(value + "\n")
    assert energy.microjoules(tmp_path) == 1500
    (tmp_path / "intel-rapl:1" / "energy_uj").write_text("?")
    assert energy.microjoules(tmp_path) is None
    assert energy.of_one_run("m.tflite", None, tmp_path) is None


def test_every_operator_has_a_cost(int8_model: Path) -> None:
    rows = profile.measure(int8_model, rounds=5)
    found = graph.read(int8_model)
    assert [(row.index, row.name, row.macs) for row in rows] == \
        [(op.index, op.name, op.macs) for op in found.operators]
    assert all(row.microseconds >= 0 for row in rows) and sum(r.microseconds for r in rows) > 0
    assert sum(row.macs for row in rows) == tiny_models.TINY_MACS
