"""`efld-export --compare`: every mode of one head, side by side."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from efld_tf import files
from efld_tf.benchmarking import compare as latencies
from efld_tf.errors import UnsupportedMode
from efld_tf.exporting import export


def compare(model: Path, folder: Path, options: dict[str, Any]) -> list[dict[str, Any]]:
    """Exports all modes below `folder`, measures them in one run, prints and writes the table.

    Returns:
      A row a mode, also in `modes.json`; the table is in `modes.md`. Both say why the model cannot
      have a mode.

    Raises:
      EfldError: as in `export.export`.
    """
    if options["compare_source"] is None:
        # The same faces for every mode, whether it is calibrated or not.
        options = {**options, "compare_source": export.training_source(model, options["head"])}
    reports, refused = {}, {}
    for mode in export.MODES:
        print(f"{mode} ...", flush=True)
        try:
            reports[mode] = export.export(model, folder / mode, mode, **options)
        except UnsupportedMode as error:
            refused[mode] = str(error)
            print(f"{mode}: {error}")
    measured = latencies.measure([folder / m / r.model for m, r in reports.items()], runs=1000)
    rows = []
    for (mode, report), row in zip(reports.items(), measured.rows, strict=True):
        rows.append({
            "mode": mode, "size_bytes": report.size_bytes, "macs": report.macs,
            **{k: v for k, v in asdict(row).items() if k.startswith("latency")},
            **report.comparison,
        })
    files.write_json(folder / "modes.json", {
        "conditions": asdict(measured.conditions), "core": measured.core, "runs": measured.runs,
        "modes": rows, "refused": refused,
    })
    text = f"NME and differences on {options['compare_source']}.\n\n" + table(rows)
    text += "".join(f"\nNot as {mode}: {reason}.\n" for mode, reason in refused.items())
    files.write_text(folder / "modes.md", text)
    print(text)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown."""
    lines = [
        "| mode | size | latency p50 (95% interval) | NME | trained model | median point "
        "difference |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        nme, trained = row.get("exported_nme_percent"), row.get("trained_nme_percent")
        lines.append(
            f"| {row['mode']} | {row['size_bytes']:,} B | {row['latency_ms_p50']:.3f} ms "
            f"({row['latency_ms_low']:.3f} to {row['latency_ms_high']:.3f}) "
            f"| {'-' if nme is None else f'{nme:.3f}%'} "
            f"| {'-' if trained is None else f'{trained:.3f}%'} "
            f"| {row['point_difference_px_median']:.3f} px |"
        )
    return "\n".join(lines) + "\n"
