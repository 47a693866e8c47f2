"""The PAIR score and the paper's Table 1."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from efld_tf.errors import EfldError
from efld_tf.scoring.reference import TABLE_1
from efld_tf.scoring.results import FACTORS
from efld_tf.scoring.score import Interval, holds, pair_score, printed_interval, score_interval
from tests.errors import refuses

EFLD = {
    "accuracy_percent": 18.47,
    "time_ms": 1.08,
    "complexity_gflops": 0.0191,
    "power_w": 1.93,
    "size_mb": 0.17,
}


def test_a_hand_case():
    factors = dict(zip(FACTORS, (20.0, 2.0, 0.5, 4.0, 0.25), strict=True))
    assert pair_score(factors).score == 20.0


def test_the_paper_s_model_scores_what_the_paper_says():
    # 2741.92 in print; the difference is the rounding of the inputs.
    assert pair_score(EFLD).score == pytest.approx(2729, abs=0.5)


def test_without_power_there_is_a_product_and_no_score():
    result = pair_score({k: v for k, v in EFLD.items() if k != "power_w"})
    assert result.score is None
    assert result.missing == ("power_w",)
    assert result.score_times_watt / 1.93 == pytest.approx(pair_score(EFLD).score)


def test_without_more_there_is_neither():
    result = pair_score({"time_ms": 1.0})
    assert result.score is None and result.score_times_watt is None
    assert result.missing == ("accuracy_percent", "complexity_gflops", "power_w", "size_mb")


def test_no_accuracy_at_all_scores_zero():
    assert pair_score({**EFLD, "accuracy_percent": 0}).score == 0


@pytest.mark.parametrize("name", [name for name in FACTORS if name != "accuracy_percent"])
def test_a_cost_of_zero_is_refused(name):
    with refuses(name, 0):
        pair_score({**EFLD, name: 0})


@given(st.fixed_dictionaries({name: st.floats(min_value=0, max_value=100) for name in FACTORS}))
def test_a_score_is_finite_or_refused(factors):
    try:
        assert 0 <= pair_score(factors).score < float("inf")
    except EfldError:
        assert min(factors.values()) < 1e-60


def test_a_printed_number_stands_for_half_a_digit_around_it():
    assert printed_interval("0.02") == Interval(Fraction("0.015"), Fraction("0.025"))
    assert printed_interval("10") == Interval(Fraction("9.5"), Fraction("10.5"))


def test_table_1_has_eleven_rows_in_the_order_of_their_scores():
    scores = [float(row.score) for row in TABLE_1]
    assert len(scores) == 11
    assert scores == sorted(scores, reverse=True)
    assert [row.team for row in TABLE_1 if row.int8] == ["jjiawu"]


@pytest.mark.parametrize("row", TABLE_1, ids=lambda row: row.team)
def test_table_1_agrees_with_the_formula_but_for_one_misprint(row):
    assert holds(row) == (row.team != "YUJIE47")


def test_the_intervals_of_table_1():
    intervals = {row.team: score_interval(row) for row in TABLE_1}
    assert float(intervals["jjiawu"].low) == pytest.approx(2010, abs=1)
    assert float(intervals["jjiawu"].high) == pytest.approx(3607, abs=1)
    misprint = intervals["YUJIE47"]
    assert 0.00090 < misprint.low < misprint.high < 0.00092
