"""Compares size, latency and accuracy of all export modes of one head."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from efld_tf import files
from efld_tf.benchmarking import compare as latencies
from efld_tf.errors import UnsupportedMode

if TYPE_CHECKING:
    from efld_tf.evaluation.faces import EvaluationFaces
    from efld_tf.exporting.calibration import CalibrationChoice
    from efld_tf.exporting.report import Bundle
    from efld_tf.models.trained import TrainedModel

RUNS = 1000


@dataclass(frozen=True)
class ModeTable:
    """The exports of a model in every mode.

    Attributes:
      on: the faces on which they are compared with the trained model.
      bundles: the exported bundles, by mode.
      refused: the reasons why the model cannot be exported in a mode, by mode.
      latencies: of the bundles, in their order, measured in one run.
    """

    on: str
    bundles: dict[str, Bundle]
    refused: dict[str, str]
    latencies: latencies.Comparison

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row for each mode with its size, multiply-accumulates, latency and accuracy."""
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
        """The table, and the reasons why modes are missing from it."""
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
    notify: Callable[[str], None] = print,
    progress: bool = True,
) -> ModeTable:
    """Exports a model in every mode, each to a folder below `folder`, and measures them.

    Args:
      calibrate_on, compare_on: as in `exporting.export.export`; None compares on plain photos
        where these calibrate, and on the head's training source otherwise.
      notify: is called with a line for each mode that is begun.
      progress: whether to show how far each of them is.

    Raises:
      EfldError: as in `exporting.export.export`.
    """
    from efld_tf.exporting import export, modes  # TensorFlow

    # The same faces for every mode, whether it is calibrated or not. Finding them takes long.
    compared: str | EvaluationFaces = compare_on or trained.head_spec.source
    with suppress(UnsupportedMode):  # which each calibrated mode tells below
        calibrate_on = export.calibrated(trained, calibrate_on, progress=progress)
        if compare_on is None and calibrate_on.photos is not None:
            compared = calibrate_on.faces
    bundles: dict[str, Bundle] = {}
    refused: dict[str, str] = {}
    for name, mode in modes.MODES.items():
        notify(f"{name} ...")
        try:
            bundles[name] = export.export(
                trained, folder / name, mode, calibrate_on=calibrate_on, compare_on=compared,
                progress=progress)
        except UnsupportedMode as error:
            refused[name] = str(error)
            notify(f"{name}: {error}")
    measured = latencies.measure([bundle.model for bundle in bundles.values()], runs=RUNS)
    on = compared if isinstance(compared, str) else compared.source
    table = ModeTable(on, bundles, refused, measured)
    table.write(folder)
    return table


def _table(rows: list[dict[str, Any]]) -> str:
    """Formats the rows as a Markdown table."""
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
