"""What the parts of Lite-HRNet Plus cost, and how the widths of its variants were found.

    python benchmarks/lite_hrnet_costs.py

Counts parameters and FLOPs (`models.costs`) at 96 pixels with 68 points, by formula for any widths,
and builds the variants to see that the formula gives the costs of their layers. Writes
benchmarks/lite_hrnet_costs/: results.json, table.md, and parts.png, which draws the networks by
their parts like the paper's Figure 2.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib
from lite_hrnet_counts import FUSION, HEAD, PARTS, Parts, by_formula, of_layers, total, uncounted

from efld_tf import trees
from efld_tf.models import registry
from efld_tf.models.lite_hrnet_fusion import FUSIONS, GROUPS
from efld_tf.models.lite_hrnet_heads import HEADS
from efld_tf.models.lite_hrnet_plus import VARIANTS, LiteHRNetPlusOptions

matplotlib.use("Agg")
import matplotlib.pyplot as plt

OUTPUT = Path(__file__).parent / "lite_hrnet_costs"
SIZE, POINTS = 96, 68
NETWORKS = {name: trees.from_tree(options, LiteHRNetPlusOptions)
            for name, options in VARIANTS.items()}
# Variants whose fusions and heads are compared at equal widths, with the row that has the other
# fusion: stepped attention or point-wise convolutions.
WIDTHS = {"small": "small, point-wise", "large": "large, point-wise",
          "lite_hrnet": "lite_hrnet, stepped"}
# Rows of the table and bars of the chart: the variants, and some with another fusion.
ROWS = {
    **NETWORKS,
    "small, point-wise": replace(NETWORKS["small"], fusion="pointwise"),
    "large, point-wise": replace(NETWORKS["large"], fusion="pointwise"),
    "lite_hrnet, stepped": replace(NETWORKS["lite_hrnet"], fusion="scaf"),
}
# What is built beside the rows to check the formula.
OTHERS = {f"small, {head}": replace(NETWORKS["small"], head=head)
          for head in ("hrnet_v1", "hrnet_v2")}


@dataclass(frozen=True)
class Search:
    """Widths to choose from.

    Attributes:
      parameters, flops: the paper's, in millions; no parameters where Table 2a has none.
      channels, stems, reductions: the grid.
    """

    parameters: float | None
    flops: float
    channels: range
    stems: range
    reductions: tuple[int, ...] = (1,)


REDUCTIONS = (1, 2, 4, 8, 16)
SEARCHES = {
    "small": Search(0.37, 10.25, range(16, 42, 2), range(8, 66, 2), REDUCTIONS),
    "large": Search(1.51, 30.27, range(24, 82, 2), range(8, 98, 2), REDUCTIONS),
    "lite_hrnet": Search(0.66, 33.61, range(16, 50, 2), range(8, 98, 2)),
    "large_pointwise": Search(None, 29.67, range(16, 50, 2), range(8, 98, 2)),
    "large_bottleneck": Search(None, 29.29, range(16, 50, 2), range(8, 98, 2)),
    "large_group": Search(None, 29.31, range(16, 50, GROUPS), range(8, 98, 2)),
}
BEST = 5


def main() -> None:
    """Counts, checks, searches and writes."""
    OUTPUT.mkdir(exist_ok=True)
    parts = {name: plain(count(options)) for name, options in ROWS.items()}
    found = {
        "input_size": SIZE, "points": POINTS, "fusions_uncounted": built(), "parts": parts,
        "fusions": {name: one_by_one(NETWORKS[name], "fusion", FUSIONS, FUSION)
                    for name in WIDTHS},
        "heads": {name: one_by_one(NETWORKS[name], "head", HEADS, HEAD) for name in WIDTHS},
        "widths": {name: searched(name) for name in SEARCHES},
    }
    (OUTPUT / "results.json").write_text(json.dumps(found, indent=1) + "\n")
    (OUTPUT / "table.md").write_text(tables(found))
    draw(parts)
    print((OUTPUT / "table.md").read_text())


def count(options: LiteHRNetPlusOptions) -> Parts:
    """The cost of each part."""
    return by_formula(options, SIZE, POINTS)


def plain(parts: Parts) -> dict[str, dict[str, int]]:
    """Costs for a file."""
    return {part: asdict(cost) for part, cost in parts.items()}


def built() -> dict[str, int]:
    """The sums, products and averages in the fusions of every row, which FLOPs leave out.

    Ends the command where a network does not cost what the formula says.
    """
    found = {}
    for name, options in {**ROWS, **OTHERS}.items():
        model = registry.architecture("lite_hrnet_plus", asdict(options), SIZE).build(
            {"ibug68": POINTS})
        if of_layers(model) != count(options):
            raise SystemExit(f"{name}: by formula {count(options)}, built {of_layers(model)}")
        found[name] = uncounted(model)
        print(f"{name}: as built", flush=True)
    return found


def one_by_one(
    options: LiteHRNetPlusOptions, option: str, choices: dict[str, Any], part: str
) -> dict[str, dict[str, int]]:
    """The cost of a part by what it can be, where the widths allow it."""
    found = {}
    for choice in choices:
        if choice != "group" or options.channels % GROUPS == 0:
            change: dict[str, Any] = {option: choice}
            found[choice] = asdict(count(replace(options, **change))[part])
    return found


def searched(name: str) -> list[dict[str, Any]]:
    """The best widths of a variant, best first, and the chosen ones wherever they come.

    With the paper's parameters, those with the lowest sum of both relative errors are the best.
    Without, each C takes the S nearest to the paper's FLOPs, and those are the best whose S / C is
    nearest to the large network's.
    """
    search, base = SEARCHES[name], NETWORKS[name]
    rows = []
    for channels, stem, reduction in itertools.product(
            search.channels, search.stems, search.reductions):
        widths: dict[str, Any] = {"channels": channels, "stem": stem}
        if base.fusion == "scaf":
            widths["reduction"] = reduction
        options = replace(base, **widths)
        cost = total(count(options))
        error = abs(cost.flops / 1e6 / search.flops - 1)
        if search.parameters:
            error += abs(cost.parameters / 1e6 / search.parameters - 1)
        rows.append({**widths, "parameters": cost.parameters, "flops": cost.flops,
                     "error": error, "chosen": options == base})
    rows.sort(key=lambda row: row["error"])
    if not search.parameters:
        rows = [next(row for row in rows if row["channels"] == channels)
                for channels in search.channels]
        share = NETWORKS["large"].stem / NETWORKS["large"].channels
        rows.sort(key=lambda row: abs(row["stem"] / row["channels"] - share))
    ranked = [{"rank": place + 1, **row} for place, row in enumerate(rows)]
    return [row for row in ranked if row["rank"] <= BEST or row["chosen"]]


def tables(found: dict[str, Any]) -> str:
    """The results as Markdown."""
    lines = [
        f"At {SIZE} pixels with {POINTS} points. FLOPs are multiply-accumulates, two for each "
        "value of a batch norm and one for each of an activation; sums, products, averages and "
        "resizing are not counted. Counted by formula, which gives exactly the costs, part by "
        "part, of the layers of the networks of this table and of small with the heads "
        "hrnet_v1 and hrnet_v2, as built.", "",
        "MFLOPs by part, and their share of the whole.", "",
        f"| network | C, S, r | parameters | MFLOPs | {' | '.join(PARTS)} |",
        "|---|---|---|---|" + "---|" * len(PARTS),
    ]
    for name, options in ROWS.items():
        costs = found["parts"][name]
        whole = {key: sum(cost[key] for cost in costs.values()) for key in ("parameters", "flops")}
        cells = [f"{cost['flops'] / 1e6:.2f} ({100 * cost['flops'] / whole['flops']:.0f}%)"
                 for cost in costs.values()]
        lines.append(f"| {name} | {widths_of(asdict(options), options.fusion)} "
                     f"| {whole['parameters']:,} | {whole['flops'] / 1e6:.2f} "
                     f"| {' | '.join(cells)} |")
    lines += ["", *fusion_table(found["fusions"], found["fusions_uncounted"]),
              "", *head_table(found["heads"])]
    for name, rows in found["widths"].items():
        lines += ["", *width_table(name, rows)]
    return "\n".join(lines) + "\n"


def widths_of(row: dict[str, Any], fusion: str) -> str:
    """C, S and, where it is used, r."""
    widths = [row["channels"], row["stem"], *([row["reduction"]] if fusion == "scaf" else [])]
    return ", ".join(map(str, widths))


def fusion_table(fusions: dict[str, Any], more: dict[str, int]) -> list[str]:
    """The fusions at equal widths, beside the paper's claim."""
    lines = [
        "MFLOPs of all fusions of a network at one width, and what stepped attention (scaf) saves "
        "of point-wise convolutions: in FLOPs as they are counted here, and with sums, products "
        "and averages, one for each value, which are about half or more of what scaf computes. "
        "The paper says about 80% (Section 3.1).", "",
        f"| width of | {' | '.join(FUSIONS)} | saved | with sums etc.: scaf | pointwise | saved |",
        "|---|" + "---|" * len(FUSIONS) + "---|---|---|---|",
    ]
    for name, costs in fusions.items():
        cells = [f"{costs[fusion]['flops'] / 1e6:.2f}" if fusion in costs else "-"
                 for fusion in FUSIONS]
        rows = {ROWS[row].fusion: more[row] for row in (name, WIDTHS[name])}
        counted = {fusion: costs[fusion]["flops"] for fusion in rows}
        whole = {fusion: counted[fusion] + rows[fusion] for fusion in rows}
        saved = [f"{100 * (1 - flops['scaf'] / flops['pointwise']):.1f}%"
                 for flops in (counted, whole)]
        lines.append(f"| {name} | {' | '.join(cells)} | {saved[0]} | {whole['scaf'] / 1e6:.2f} "
                     f"| {whole['pointwise'] / 1e6:.2f} | {saved[1]} |")
    return lines


def head_table(heads: dict[str, Any]) -> list[str]:
    """The heads at equal widths, beside the paper's claims."""
    lines = [
        "MFLOPs of the head at one width. The paper says that the head of all resolutions (mr) "
        "costs 1.87 times Lite-HRNet's (Section 3.2), which it takes to be that of the highest "
        "resolution alone, and a fifteenth of HRNetV2's. Most of hrnet_v2 is the convolution that "
        "mixes all channels before the scores; the scores alone cost 15 times those of hrnet_v1 "
        "and 8 times mr.", "",
        f"| width of | {' | '.join(HEADS)} | mr / hrnet_v1 | hrnet_v2 / mr | mr / iterative |",
        "|---|" + "---|" * len(HEADS) + "---|---|---|",
    ]
    for name, costs in heads.items():
        flops = {head: cost["flops"] for head, cost in costs.items()}
        cells = [f"{flops[head] / 1e6:.3f}" for head in HEADS]
        lines.append(f"| {name} | {' | '.join(cells)} | {flops['mr'] / flops['hrnet_v1']:.3f} "
                     f"| {flops['hrnet_v2'] / flops['mr']:.1f} "
                     f"| {flops['mr'] / flops['iterative']:.2f} |")
    return lines


def width_table(name: str, rows: list[dict[str, Any]]) -> list[str]:
    """The best widths of a variant."""
    search, fusion = SEARCHES[name], NETWORKS[name].fusion
    grid = [f"{axis} from {values[0]} to {values[-1]} by {values.step}"
            for axis, values in (("C", search.channels), ("S", search.stems))]
    if fusion == "scaf":
        grid.append(f"r of {', '.join(map(str, search.reductions))}")
    aim = f"{search.parameters} M parameters and " if search.parameters else ""
    order = "the sum of both relative errors" if search.parameters else (
        "how near S / C is to large's (the paper gives no parameters here), with the S for each C "
        "that is nearest in FLOPs")
    chosen = next(row["rank"] for row in rows if row["chosen"])
    told = "the first" if chosen == 1 else f"number {chosen}"
    lines = [
        f"Widths of `{name}` for {aim}{search.flops} MFLOPs, by {order}: {'; '.join(grid)}. The "
        f"variant is {told}.", "",
        "| | C, S" + (", r" if fusion == "scaf" else "") + " | parameters | MFLOPs | error |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        mark = "**" if row["chosen"] else ""
        lines.append(f"| {row['rank']} | {mark}{widths_of(row, fusion)}{mark} "
                     f"| {row['parameters']:,} | {row['flops'] / 1e6:.2f} "
                     f"| {100 * row['error']:.2f}% |")
    return lines


def draw(parts: dict[str, dict[str, dict[str, int]]]) -> None:
    """MFLOPs by part, network by network."""
    figure, axis = plt.subplots(figsize=(10, 4.6), layout="constrained")
    names = sorted(ROWS, key=lambda name: list(NETWORKS).index(name.split(",")[0]))
    labels = [f"{name}\n({widths_of(asdict(ROWS[name]), ROWS[name].fusion)})" for name in names]
    start = [0.0] * len(names)
    colours = {FUSION: "tab:red", HEAD: "tab:purple"}
    blues = iter(["#c6dbef", "#9ecae1", "#6baed6", "#3182bd", "#08519c"])
    for part in PARTS:
        values = [parts[name][part]["flops"] / 1e6 for name in names]
        axis.barh(labels, values, left=start, label=part, height=0.7,
                  color=colours.get(part) or next(blues))
        start = [left + value for left, value in zip(start, values, strict=True)]
    for place, (name, whole) in enumerate(zip(names, start, strict=True)):
        share = parts[name][FUSION]["flops"] / 1e6 / whole
        axis.text(whole + 0.4, place, f"{whole:.1f}, fusion {100 * share:.0f}%", va="center",
                  fontsize=8)
    axis.set_xlim(0, 1.18 * max(start))
    axis.invert_yaxis()
    axis.tick_params(axis="y", labelsize=8)
    axis.set_xlabel(f"MFLOPs at {SIZE} pixels with {POINTS} points")
    axis.legend(fontsize=8, loc="lower right")
    figure.savefig(OUTPUT / "parts.png", dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
