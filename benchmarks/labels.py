"""Measures what efld-data label writes of HELEN's test photos against their annotations.

    EFLD_DATA=/path/to/data python benchmarks/labels.py

Results go to benchmarks/labels/. The photos are of twice the face, which is easy for the detector.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from common import HELEN_TEST

from efld_tf import files
from efld_tf.annotations import sources
from efld_tf.evaluation.evaluate import percent
from efld_tf.landmarks import metrics, schemas
from efld_tf.runtime import inputs, labels

OUTPUT = Path(__file__).parent / "labels"
MODELS = {"shipped": labels.Labeller().models[0], "mesh": "mesh"}
VIEWS = (1, 2, 4, 8)
INNER = schemas.get("ibug51")


def main() -> None:
    """Labels the photos by every model with every number of views."""
    truth = {record.image: record.points[17:] for record in sources.read(HELEN_TEST).records}
    results = {
        name: {str(views): measure(model, views, truth) for views in VIEWS}
        for name, model in MODELS.items()
    }
    files.write_json(OUTPUT / "results.json", {"source": HELEN_TEST, **results})
    files.write_text(OUTPUT / "table.md", table(results, len(truth)))
    print(table(results, len(truth)))


def measure(model: str, views: int, truth: dict[Path, np.ndarray]) -> dict[str, Any]:
    """The accuracy of the labels, each photo's by the face that lies nearest."""
    convert = INNER.name if model in labels.MESHES else None
    labeller = labels.Labeller((model,), convert, views=views)
    with tempfile.TemporaryDirectory() as folder:
        found_files = inputs.expand([str(path) for path in truth])
        photos = [item for item in found_files.items if isinstance(item, inputs.Photo)]
        summary = labels.write(labeller, photos, found_files.root, Path(folder) / "labels.jsonl")
        found = sources.read(summary.sources[0]).records
    errors: dict[Path, float] = {}
    spreads: dict[Path, float] = {}
    for record in found:
        error = metrics.nme(record.points[None], truth[record.image][None], INNER)[0]
        if error < errors.get(record.image, np.inf):
            errors[record.image] = error
            spreads[record.image] = float(record.attributes.get("spread_percent", 0))
    nme = np.array(list(errors.values()))
    result: dict[str, Any] = {
        "faces": len(found), "photos_without_a_label": len(truth) - len(errors),
        "nme_interocular_percent": percent(nme.mean()),
        "failure_rate_10_percent": percent(metrics.failure_rate(nme, 0.1)),
    }
    if views > 1:
        spread = np.array(list(spreads.values()))
        result["correlation_of_spread_and_error"] = round(np.corrcoef(nme, spread)[0, 1], 3)
    return result


def table(results: dict[str, Any], photos: int) -> str:
    """The results as Markdown."""
    lines = [
        f"Labels of HELEN's {photos} test photos by `efld-data label`, detector `both`: 51 "
        "points, inter-ocular; NME of the face that lies nearest the annotation.",
        "",
        "| model | " + " | ".join(f"{views} views" for views in VIEWS)
        + " | photos without a label | spread and error correlate |",
        "|---|" + "---|" * (len(VIEWS) + 2),
    ]
    for name, title in (("shipped", "shipped int8 model"), ("mesh", "mesh, `--convert ibug51`")):
        rows = results[name]
        most = rows[str(VIEWS[-1])]
        lines.append(
            f"| {title} | "
            + " | ".join(f"{row['nme_interocular_percent']:.2f}%" for row in rows.values())
            + f" | {most['photos_without_a_label']} "
            f"| {most['correlation_of_spread_and_error']:.2f} |"
        )
    return "\n".join(lines).replace("| 1 views", "| 1 view") + "\n"


if __name__ == "__main__":
    main()
