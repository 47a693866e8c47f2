"""The base class of measurements that are a section of a model's `results.json`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from efld_tf.scoring import results


class Section(ABC):
    """A measurement of one model that fills a section of `results.json`.

    Attributes:
      section: name of the section, one of `results.SECTIONS`.
    """

    section: ClassVar[str]

    @abstractmethod
    def summary(self) -> dict[str, Any]:
        """The content of the section."""

    @property
    @abstractmethod
    def file(self) -> Path:
        """The file of the model that was measured."""

    def model_section(self) -> dict[str, Any]:
        """The `model` section, as `results.describe_model` makes it.

        Raises:
          DataError: the model's file cannot be read.
        """
        return results.describe_model(self.file)

    @property
    def factors(self) -> dict[str, float]:
        """Those of `results.FACTORS` that the measurement yields."""
        return {}

    def save(self, path: str | Path) -> None:
        """Merges the section into a results file, which is created where there is none.

        Raises:
          DataError: the file is not valid, or cannot be written.
          EfldError: the file holds the results of another model.
        """
        results.merge(
            path, model=self.model_section(), section=self.section, details=self.summary(),
            factors=self.factors)
