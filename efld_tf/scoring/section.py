"""What was measured of a model, as a section of its `results.json`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from efld_tf.scoring import results


class Section(ABC):
    """One section.

    Attributes:
      section: its name, of `results.SECTIONS`.
    """

    section: ClassVar[str]

    @abstractmethod
    def summary(self) -> dict[str, Any]:
        """Its content."""

    @property
    @abstractmethod
    def file(self) -> Path:
        """The model that was measured."""

    def model_section(self) -> dict[str, Any]:
        """The `model` section, see `results.describe_model`.

        Raises:
          DataError: the model's file cannot be read.
        """
        return results.describe_model(self.file)

    @property
    def factors(self) -> dict[str, float]:
        """Those of `results.FACTORS` that it tells."""
        return {}

    def save(self, path: str | Path) -> None:
        """Merges it into a results file, which is created where there is none.

        Raises:
          DataError: the file is not valid, or cannot be written.
          EfldError: it holds the results of another model.
        """
        results.merge(
            path, model=self.model_section(), section=self.section, details=self.summary(),
            factors=self.factors)
