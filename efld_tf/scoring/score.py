"""Computes the PAIR score (EFLD, Section 4.2, Eq. 1), and checks a printed score with its inputs.

    score = accuracy / (time * complexity * power * size)

with the accuracy in percent of points within 5 pixels of the truth, the time in ms, the complexity
in GFLOPs, the power in W and the size in MB (10^6 bytes).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from efld_tf.errors import EfldError
from efld_tf.scoring.reference import ReferenceRow
from efld_tf.scoring.results import FACTORS

ACCURACY = "accuracy_percent"
POWER = "power_w"
COSTS = tuple(name for name in FACTORS if name != ACCURACY)


@dataclass(frozen=True)
class PairScore:
    """The five factors and their score; None where a number is not known.

    Attributes:
      accuracy_percent: share of the points within 5 pixels of the truth, 0 to 100.
      time_ms: latency of one image.
      complexity_gflops: 2 x MACs / 1e9.
      power_w: power drawn while running.
      size_mb: size of the model file in 10^6 bytes.
      score: the PAIR score; higher is better.
      score_times_watt: accuracy / (time * complexity * size), where only the power is missing. It
        becomes a score when it is divided by a measured power in W.
      missing: names of the factors that are not known.
    """

    accuracy_percent: float | None
    time_ms: float | None
    complexity_gflops: float | None
    power_w: float | None
    size_mb: float | None
    score: float | None
    score_times_watt: float | None
    missing: tuple[str, ...]


def pair_score(factors: Mapping[str, float]) -> PairScore:
    """Computes the score of a model from the factors that are known.

    Args:
      factors: any of `FACTORS`; other keys are ignored.

    Raises:
      EfldError: a cost is not above 0, or the score is out of a float's range.
    """
    values = {name: float(factors[name]) for name in FACTORS if name in factors}
    missing = tuple(name for name in FACTORS if name not in values)
    for name in COSTS:
        if name in values and not values[name] > 0:
            raise EfldError(f"{name} is {values[name]:g}: a score needs every cost above 0")
    return PairScore(
        **{name: values.get(name) for name in FACTORS},
        score=None if missing else _quotient(values, COSTS),
        score_times_watt=(
            _quotient(values, [name for name in COSTS if name != POWER])
            if missing == (POWER,)
            else None
        ),
        missing=missing,
    )


@dataclass(frozen=True)
class Sensitivity:
    """How one factor changes the score.

    Attributes:
      factor: one of `FACTORS`.
      better: the score with this factor 10% better and the others unchanged.
      low, high: the scores at the ends of the factor's uncertainty; None where that is not known.
        `high` is infinite where a cost may be 0.
    """

    factor: str
    better: float
    low: float | None
    high: float | None


def sensitivities(
    factors: Mapping[str, float], uncertainties: Mapping[str, float]
) -> list[Sensitivity]:
    """Computes how the score changes with each factor.

    Args:
      factors: values of all `FACTORS`.
      uncertainties: half of an interval around the value of some of them, in its unit.

    Raises:
      EfldError: as in `pair_score`.
    """
    rows = []
    for name in FACTORS:
        better = factors[name] * (1.1 if name == ACCURACY else 0.9)
        low = high = None
        if uncertainties.get(name):
            ends = (factors[name] - uncertainties[name], factors[name] + uncertainties[name])
            low, high = sorted(
                math.inf if name in COSTS and end <= 0
                else pair_score({**factors, name: max(end, 0.0)}).score or 0.0 for end in ends)
        score = pair_score({**factors, name: better}).score or 0.0
        rows.append(Sensitivity(name, score, low, high))
    return rows


def _quotient(factors: Mapping[str, float], costs: Iterable[str]) -> float:
    denominator = math.prod(factors[name] for name in costs)
    result = factors[ACCURACY] / denominator if denominator > 0 else math.inf
    if not math.isfinite(result):
        raise EfldError("the factors are so small that their score is out of range")
    return result


@dataclass(frozen=True)
class Interval:
    """All numbers from `low` to `high`; they are exact, so that rounding limits are not rounded."""

    low: Fraction
    high: Fraction

    def overlaps(self, other: Interval) -> bool:
        """Whether some number is in both intervals."""
        return self.low <= other.high and other.low <= self.high


def printed_interval(text: str) -> Interval:
    """The numbers that print as the plain decimal `text`: up to half a unit of its last digit."""
    decimals = len(text.partition(".")[2])
    half = Fraction(1, 2 * 10**decimals)
    return Interval(Fraction(text) - half, Fraction(text) + half)


def score_interval(row: ReferenceRow) -> Interval:
    """The scores that the printed, rounded inputs of a row allow.

    The score rises with the accuracy and falls with every cost, so its limits are at the corners.
    """
    accuracy = printed_interval(row.accuracy_percent)
    costs = [printed_interval(getattr(row, name)) for name in COSTS]
    return Interval(
        accuracy.low / math.prod(cost.high for cost in costs),
        accuracy.high / math.prod(cost.low for cost in costs),
    )


def holds(row: ReferenceRow) -> bool:
    """Whether the printed score agrees with the printed inputs, allowing for all rounding."""
    return score_interval(row).overlaps(printed_interval(row.score))
