"""The command `efld-score`: the PAIR score of one model, or a leaderboard of several."""

from __future__ import annotations

import argparse
import json
import math
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from efld_tf.cli import common
from efld_tf.errors import DataError, EfldError
from efld_tf.scoring import conditions, reference, results
from efld_tf.scoring.score import (
    PairScore,
    Sensitivity,
    holds,
    pair_score,
    score_interval,
    sensitivities,
)
from efld_tf.text import printable, say, say_lines

EXIT_NO_SCORE = 3
UNIT = "% / (ms x GFLOPs x W x MB)"


@dataclass(frozen=True)
class Entry:
    """One model of the leaderboard.

    Attributes:
      name: name of the model, or the path of its file.
      file: the file that the numbers are from; None for a row of the paper.
      score: the factors and their score.
      sources: how each known factor was obtained.
      printed: the factors and the score as printed in the paper; empty for a file.
      printed_score_holds: whether a printed score agrees with its inputs; None for a file.
    """

    name: str
    file: str | None
    score: PairScore
    sources: dict[str, str]
    printed: dict[str, str]
    printed_score_holds: bool | None


def main(argv: Sequence[str] | None = None) -> int | None:
    """Parses the arguments and prints the score, the leaderboard or their JSON."""
    parser = common.parser(
        "efld-score",
        "The PAIR score, accuracy / (time x complexity x power x size), of results.json files.\n"
        "Several files, or --reference, give a leaderboard.",
        "exit codes: 0 every file has a score, 2 bad input, 3 a factor is missing",
    )
    parser.add_argument("files", nargs="*", metavar="results.json")
    parser.add_argument(
        "--power", type=_watts, metavar="W",
        help="measured power in watts; used instead of the file's power_w (one file only)",
    )
    parser.add_argument(
        "--reference", action="store_true", help="show the table of the EFLD paper as well"
    )
    parser.add_argument(
        "--sensitivity", action="store_true",
        help="what each factor does to the score (one file only)",
    )
    parser.add_argument(
        "--mixed", action="store_true",
        help="compare results although they were measured under different conditions",
    )
    parser.add_argument(
        "--json", action="store_true", help="print a JSON list, one object a model, best first"
    )
    arguments = parser.parse_args(argv)
    if not arguments.files and not arguments.reference:
        parser.error("give a results.json, or --reference for the paper's table")
    if arguments.power is not None and len(arguments.files) != 1:
        parser.error("--power is that of one model: write power_w into each file instead")

    if arguments.sensitivity and len(arguments.files) != 1:
        parser.error("--sensitivity: give one results.json")
    if not arguments.mixed:
        _check_conditions(arguments.files)
    file_entries = [_entry(file, arguments.power) for file in arguments.files]
    paper_rows = reference.TABLE_1 if arguments.reference else ()
    paper_entries = [_reference_entry(row) for row in paper_rows]
    entries = sorted(file_entries + paper_entries, key=_rank)
    sensitivity: list[Sensitivity] = []
    if arguments.sensitivity:
        content = results.read(arguments.files[0])
        power_given = arguments.power is not None
        sensitivity = _sensitivity(file_entries[0], content, power_given)
    if arguments.json:
        print(json.dumps([_as_json(entry, sensitivity if entry.file else None)
                          for entry in entries], indent=2))
    elif len(entries) == 1:
        say_lines(_report(entries[0]))
    else:
        say_lines(_leaderboard(entries))
        _print_unstated(arguments.files)
    if arguments.sensitivity and not arguments.json:
        say_lines(_sensitivity_table(file_entries[0], sensitivity))
    return EXIT_NO_SCORE if any(entry.score.missing for entry in file_entries) else 0


def entry() -> None:
    """The console script."""
    raise SystemExit(common.run(main))


def _check_conditions(files: Sequence[str]) -> None:
    """Refuses to rank results that were measured under different conditions."""
    differing = conditions.differences([conditions.of(results.read(file)) for file in files])
    if differing:
        described = "; ".join(
            f"{name}: {' / '.join(map(str, values))}" for name, values in differing.items()
        )
        raise EfldError(
            f"measured under different conditions ({described}): measure them alike, or say --mixed"
        )


def _print_unstated(files: Sequence[str]) -> None:
    for file in files:
        missing = conditions.unstated(conditions.of(results.read(file)))
        if missing:
            say(f"{file}: does not state the conditions of its {' and '.join(missing)}")


def _sensitivity(entry: Entry, content: dict[str, Any], power_given: bool) -> list[Sensitivity]:
    """Computes how each factor changes the score; the list is empty where there is no score.

    The uncertainty in a file belongs to the file's power, so it is ignored where another power was
    given instead.
    """
    if entry.score.score is None:
        return []
    factors = {name: getattr(entry.score, name) for name in results.FACTORS}
    benchmark = content.get("benchmark", {})
    uncertainty = 0.0 if power_given else benchmark.get("power_uncertainty_w", 0.0)
    return sensitivities(factors, {"power_w": uncertainty})


def _sensitivity_table(entry: Entry, sensitivity: list[Sensitivity]) -> str:
    score = entry.score.score
    if score is None:
        return "no score, so no sensitivity"
    rows = [["factor", "10% better", "within its uncertainty"]]
    for row in sensitivity:
        high = "unbounded" if row.high == math.inf else _number(row.high or 0.0)
        interval = "-" if row.low is None else f"{_number(row.low)} to {high}"
        rows.append([row.factor, f"{_number(row.better)} ({row.better / score - 1:+.1%})",
                     interval])
    return "\n".join(["", "the score with one factor changed:", *_aligned(rows, right=(1,))])


def _watts(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number of watts above 0, got {text!r}")
    return value


def _entry(file: str, power: float | None) -> Entry:
    content = results.read(file)
    factors = {name: content[name] for name in results.FACTORS if name in content}
    sources = {name: _source(name, content) for name in factors}
    if power is not None:
        factors["power_w"] = power
        sources["power_w"] = "--power"
    try:
        score = pair_score(factors)
    except EfldError as error:
        raise DataError(file, str(error)) from error
    shown_file = printable(file)
    # The file's stem is no name for a model: it is the same for all of runs/*/results.json.
    return Entry(content.get("name") or shown_file, shown_file, score, sources, {}, None)


def _source(name: str, content: dict[str, Any]) -> str:
    """Describes how a factor was obtained.

    A section is its source only where it has the same number.
    """
    benchmark, evaluation = content.get("benchmark", {}), content.get("evaluation", {})
    value = content[name]
    if name == "accuracy_percent" and _same(value, evaluation.get("accuracy_5px_percent")):
        faces = evaluation.get("faces", "?")
        return f"evaluation on {evaluation.get('source', '?')}, {faces} faces"
    if name == "time_ms" and _same(value, benchmark.get("latency_ms_p50")):
        threads = benchmark.get("threads", "?")
        return (
            f"benchmark: p50 on {benchmark.get('device', '?')}, "
            f"{threads} thread{'' if threads == 1 else 's'}, "
            f"XNNPACK {'on' if benchmark.get('xnnpack') else 'off'}"
        )
    if name == "complexity_gflops" and _same(value, benchmark.get("macs"), 2e-9):
        return f"benchmark: {benchmark['macs']:,} MACs"
    if name == "size_mb" and _same(value, benchmark.get("size_bytes"), 1e-6):
        return f"benchmark: {benchmark['size_bytes']:,} bytes"
    return "given in the file"


def _same(value: float, measured: float | None, scale: float = 1.0) -> bool:
    return measured is not None and math.isclose(value, measured * scale, rel_tol=1e-6)


def _reference_entry(row: reference.ReferenceRow) -> Entry:
    printed = {name: getattr(row, name) for name in (*results.FACTORS, "score")}
    numbers = {name: float(text) for name, text in printed.items()}
    score = PairScore(**numbers, score_times_watt=None, missing=())
    sources = dict.fromkeys(results.FACTORS, f"EFLD paper, Table 1 ({reference.PLATFORM})")
    return Entry(row.team, None, score, sources, printed, holds(row))


def _rank(entry: Entry) -> tuple[bool, float]:
    """The key that sorts the best score first and entries without a score last."""
    score = entry.score.score
    return (True, 0.0) if score is None else (False, -score)


def _number(value: float | None) -> str:
    """Formats a number with six significant digits, in plain notation where that is short."""
    return "-" if value is None else f"{value:.6g}"


def _report(entry: Entry) -> str:
    """Formats one model: every factor with its unit and source, and the score."""
    score = entry.score
    rows = []
    for name in results.FACTORS:
        source = entry.sources.get(name, "missing")
        rows.append([name, _number(getattr(score, name)), results.UNITS[name], source])
    title = entry.name if entry.name == entry.file else f"{entry.name} ({entry.file})"
    lines = [title, *_aligned(rows, right=(1,))]
    if score.score is not None:
        lines.append(f"PAIR score: {_number(score.score)}  [{UNIT}]")
    return "\n".join(lines + _missing_lines(entry))


def _missing_lines(entry: Entry) -> list[str]:
    score = entry.score
    if not score.missing:
        return []
    lines = [f"{entry.name}: no score, missing: {', '.join(score.missing)}"]
    if score.score_times_watt is not None:
        lines.append(
            f"  product of the other factors (score x watt, not a score): "
            f"{_number(score.score_times_watt)}"
        )
    if "power_w" in score.missing:
        lines.append(
            "  power is missing: measure it on the device and give it with --power W, or as "
            "power_w in the file"
        )
    return lines


def _leaderboard(entries: Sequence[Entry]) -> str:
    titles = [f"{name.rpartition('_')[0]} {unit}" for name, unit in results.UNITS.items()]
    header = ["", "model", *titles, "score"]
    with_paper = any(entry.printed_score_holds is not None for entry in entries)
    if with_paper:
        header.append("printed score holds")
    rows = [header]
    for rank, entry in enumerate(entries, 1):
        values = [
            entry.printed.get(name) or _number(getattr(entry.score, name))
            for name in (*results.FACTORS, "score")
        ]
        place = "-" if entry.score.missing else str(rank)
        rows.append([place, entry.name, *values, *([_checked(entry)] if with_paper else [])])
    lines = _aligned(rows, right=(0, *range(2, 8)))
    for entry in entries:
        lines += _missing_lines(entry)
    if with_paper:
        lines += textwrap.wrap(
            "Table 1 of the EFLD paper as printed, measured by the competition's host on a "
            f"{reference.PLATFORM}: times and powers of other devices do not compare. A printed "
            "score holds when it lies in the interval that the rounded numbers of its row allow.",
            width=100,
        )
    return "\n".join(lines)


def _checked(entry: Entry) -> str:
    if entry.printed_score_holds is None:
        return ""
    if entry.printed_score_holds:
        return "yes"
    row = next(row for row in reference.TABLE_1 if row.team == entry.name)
    allowed = score_interval(row)
    return f"no: its row gives {float(allowed.low):.3g} to {float(allowed.high):.3g}"


def _aligned(rows: Sequence[Sequence[str]], right: Sequence[int]) -> list[str]:
    """Formats rows of equal length as columns that are two spaces apart.

    Args:
      right: the indices of the columns that are aligned to the right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if index in right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _as_json(entry: Entry, sensitivity: list[Sensitivity] | None) -> dict[str, Any]:
    result = {"name": entry.name, "file": entry.file, **asdict(entry.score), "unit": UNIT}
    result["sources"] = entry.sources
    if entry.printed_score_holds is not None:
        result["printed_score_holds"] = entry.printed_score_holds
    if sensitivity is not None:
        # JSON has no infinity, so an unbounded score is null there.
        result["sensitivity"] = [
            {**asdict(row), "high": None if row.high == math.inf else row.high}
            for row in sensitivity
        ]
    return result
