"""The base of all evaluation results: a section of `results.json` with a report and pictures."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from efld_tf.runtime.predictor import Predictor
from efld_tf.scoring import results
from efld_tf.scoring.section import Section
from efld_tf.text import printable


class Measured(Section):
    """The results of one predictor."""

    @property
    @abstractmethod
    def subject(self) -> Predictor:
        """What was measured."""

    @property
    def skipped(self) -> Sequence[object]:
        """A line or error for each sample that could not be used, unless told before."""
        return ()

    @property
    def file(self) -> Path:
        """The model that was measured."""
        return self.subject.model

    def model_section(self) -> dict[str, Any]:
        """The `model` section of `results.json`."""
        return results.describe_model(self.file, schema=self.subject.schema)

    def report(self) -> str:
        """The summary for a terminal."""
        return listed(self.summary())

    def draw(self, folder: Path) -> list[Path]:
        """Draws pictures of the results into a folder and returns their paths."""
        return []

    def charts(self, folder: Path) -> list[Path]:
        """Draws those pictures that a report shows as they are, and returns their paths."""
        return self.draw(folder)


def listed(summary: Mapping[str, Any]) -> str:
    """A summary with a line for each number, and for each region and value of an attribute."""
    lines = []
    for name, value in summary.items():
        if not isinstance(value, dict):
            number = f"{value:.2f}" if isinstance(value, float) else value
            lines.append(f"{name:28} {number}")
    for name, nme in summary.get("nme_by_region_percent", {}).items():
        lines.append(f"{f'region={name}':28} {nme:.2f}%")
    for name, degrees in summary.get("pose_error_degrees", {}).items():
        lines.append(f"{f'error of {name}':28} {degrees:.1f} degrees")
    for name, groups in summary.get("by_attribute", {}).items():
        for value, group in groups.items():
            label = printable(f"{name}={value}")
            lines.append(f"{label:28} {group['nme_percent']:.2f}% ({group['faces']} faces)")
    return "\n".join(lines)
