"""The models in the package side by side: error, size, time and licence.

    EFLD_DATA=/path/to/data python benchmarks/shipped.py

Writes benchmarks/shipped/: results.json and table.md.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from common import HELEN_TEST

import efld_tf
from efld_tf import assets
from efld_tf.benchmarking import compare
from efld_tf.runtime import model_license

OUTPUT = Path(__file__).parent / "shipped"
RUNS = 4000


def measured(name: str, shipped: assets.Shipped, row: compare.Row) -> dict[str, Any]:
    """What the table says of a model."""
    evaluation = efld_tf.evaluate(name, HELEN_TEST, progress=False).summary()
    return {
        "name": name, "points": len(evaluation["nme_by_point_percent"]),
        "nme_interocular_percent": evaluation["nme_interocular_percent"],
        "size_bytes": shipped.int8.stat().st_size,
        "latency_ms_p50": row.latency_ms_p50, "latency_ms_low": row.latency_ms_low,
        "latency_ms_high": row.latency_ms_high, "license": model_license.read(shipped.int8),
    }


def table(found: dict[str, Any]) -> str:
    """The results as Markdown."""
    about = found["conditions"]
    lines = [
        "int8 on HELEN's test set (330 faces, inter-ocular); one thread on core "
        f"{found['core']} of {about['device']}, {about['runtime']}, XNNPACK, "
        f"{found['runs']} runs of each in turns.",
        "",
        "| model | points | NME | size | p50 (95% interval) | licence |",
        "|---|---|---|---|---|---|",
    ]
    for row in found["models"]:
        lines.append(
            f"| `{row['name']}` | {row['points']} | {row['nme_interocular_percent']:.2f}% "
            f"| {row['size_bytes']:,} B | {row['latency_ms_p50']:.3f} ms "
            f"({row['latency_ms_low']:.3f} to {row['latency_ms_high']:.3f}) | {row['license']} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures and writes."""
    OUTPUT.mkdir(exist_ok=True)
    times = compare.measure([shipped.int8 for shipped in assets.SHIPPED.values()], runs=RUNS)
    found = {
        "conditions": asdict(times.conditions), "core": times.core, "runs": times.runs,
        "models": [measured(name, shipped, row) for (name, shipped), row in zip(
            assets.SHIPPED.items(), times.rows, strict=True)],
    }
    (OUTPUT / "results.json").write_text(json.dumps(found, indent=2) + "\n")
    (OUTPUT / "table.md").write_text(table(found))
    print(table(found))


if __name__ == "__main__":
    main()
