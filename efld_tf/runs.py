"""Finding runs and models: what a command means by RUN."""

from __future__ import annotations

from pathlib import Path

from efld_tf.errors import EfldError

BEST_MODEL = "best.h5"
RUNS = Path("runs")


def newest_run(folder: Path = RUNS) -> Path:
    """The newest folder below `runs` that has a best model.

    Raises:
      EfldError: there is none.
    """
    models = sorted(folder.glob(f"*/{BEST_MODEL}"), key=lambda path: path.stat().st_mtime)
    if not models:
        raise EfldError(f"no trained run below {folder}/: train one with efld-train, or name a RUN")
    return models[-1].parent


def trained_model(path: str | Path) -> Path:
    """The float model that is meant: a run's best, or the file itself.

    Raises:
      EfldError: there is none.
    """
    path = Path(path)
    if path.is_dir():
        path = path / BEST_MODEL
    if not path.is_file():
        raise EfldError(f"{path}: no trained model there; expected a run's folder or a .h5 file")
    return path
