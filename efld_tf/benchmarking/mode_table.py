"""Every export mode of one head side by side: size, latency, accuracy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from efld_tf import files
from efld_tf.benchmarking import compare as latencies
from efld_tf.errors import UnsupportedMode

if TYPE_CHECKING:
    from efld_tf.exporting.calibration import CalibrationChoice
    from efld_tf.exporting.report import Bundle
    from efld_tf.models.trained import TrainedModel

RUNS = 1000


@dataclass(frozen=True)
class ModeTable:
    """The exports of a model.

    Attributes:
      on: the faces on which they are compared with the trained model.
      bundles: by mode.
      refused: by mode, why the model cannot have it.
      latencies: of the bundles, in order, measured in one run.
    """

    on: str
    bundles: dict[str, Bundle]
    refused: dict[str, str]
    latencies: latencies.Comparison

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row a mode: its size, multiply-accumulates, latency and loss."""
        return [
            {
                "mode": mode, "size_bytes": bundle.report.size_bytes, "macs": bundle.report.macs,
                **{k: v for k, v in asdict(row).items() if k.startswith("latency")},
                **bundle.report.comparison,
            }
            for (mode, bundle), row in zip(
                self.bundles.items(), self.latencies.rows, strict=True)
        ]

    @property
    def markdown(self) -> str:
        """The table, and why modes are not in it."""
        refused = [f"\nNot as {mode}: {reason}.\n" for mode, reason in self.refused.items()]
        return f"NME and differences on {self.on}.\n\n" + _table(self.rows) + "".join(refused)

    def write(self, folder: Path) -> None:
        """Writes `modes.json` and `modes.md`."""
        measured = self.latencies
        files.write_json(folder / "modes.json", {
            "conditions": asdict(measured.conditions), "core": measured.core,
            "runs": measured.runs, "modes": self.rows, "refused": self.refused,
        })
        files.write_text(folder / "modes.md", self.markdown)


def export_all(
    trained: TrainedModel,
    folder: Path,
    *,
    calibrate_on: CalibrationChoice = None,
    compare_on: str | None = None,
    told: Callable[[str], None] = print,
) -> ModeTable:
    """Exports a model in every mode, each to a folder below `folder`, and measures them.

    Args:
      calibrate_on, compare_on: as in `exporting.export.export`; None compares on the head's
        training source.
      told: takes a line for each mode that is begun.

    Raises:
      EfldError: as in `exporting.export.export`.
    """
    from efld_tf.exporting import export, modes  # TensorFlow

    # The same faces for every mode, whether it is calibrated or not.
    compare_on = compare_on or trained.head_spec.source
    bundles: dict[str, Bundle] = {}
    refused: dict[str, str] = {}
    for name, mode in modes.MODES.items():
        told(f"{name} ...")
        try:
            bundles[name] = export.export(
                trained, folder / name, mode, calibrate_on=calibrate_on, compare_on=compare_on)
        except UnsupportedMode as error:
            refused[name] = str(error)
            told(f"{name}: {error}")
    measured = latencies.measure([bundle.model for bundle in bundles.values()], runs=RUNS)
    table = ModeTable(compare_on, bundles, refused, measured)
    table.write(folder)
    return table


def _table(rows: list[dict[str, Any]]) -> str:
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
