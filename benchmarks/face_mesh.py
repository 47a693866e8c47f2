"""Measures MediaPipe's face meshes on HELEN's test set as 51 points, and writes the table.

    EFLD_DATA=/path/to/data python -m benchmarks.face_mesh

Results go to benchmarks/face_mesh/. The map that goes around is measured beside the one that the
schema has, which tools/fit_mesh_map.py fitted on HELEN's training faces, and the attention mesh by
its map, which tools/fit_attention_map.py fitted on HELEN's and LFPW's.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from efld_tf import files
from efld_tf.evaluation import faces
from efld_tf.evaluation.evaluate import percent
from efld_tf.landmarks import metrics, schemas
from efld_tf.runtime.attention_mesh import AttentionMeshPredictor
from efld_tf.runtime.mesh import MeshPredictor
from tools.fit_mesh_map import KNOWN

OUTPUT = Path(__file__).parent / "face_mesh"
TEST = "ibug:${EFLD_DATA}/ibug/helen/testset"


def main() -> None:
    """Predicts once and measures both maps."""
    predictor, inner = MeshPredictor(), schemas.get("ibug51")
    found = faces.load(TEST, predictor.crop_rule, predictor.input_size)
    mesh, confidence, *_ = predictor.predict_outputs(found.crops)
    assert confidence is not None
    maps = {
        "known": [(vertex,) for vertex in KNOWN[17:]],
        "fitted": schemas.get(predictor.schema).conversions["ibug51"].points,
    }
    results = {"source": TEST, "faces": len(found), "crop_scale": predictor.crop_rule.scale,
               "crop_offset_y": predictor.crop_rule.offset_y,
               "lowest_confidence": round(float(confidence.min()), 4)}
    for name, groups in maps.items():
        points = np.stack([mesh[:, list(group)].mean(axis=1) for group in groups], axis=1)
        nme = metrics.nme(points, found.points[:, 17:], inner)
        results[name] = measured(nme)
    attention = AttentionMeshPredictor()
    seen = faces.load(TEST, attention.crop_rule, attention.input_size)
    points, confidence, *_ = attention.predict_outputs(seen.crops)
    assert confidence is not None
    nme = metrics.nme(points[:, 17:], seen.points[:, 17:], inner)
    results["attention"] = {**measured(nme), "missed": int((confidence == 0).sum())}
    files.write_json(OUTPUT / "results.json", results)
    files.write_text(OUTPUT / "table.md", table(results))
    print(table(results))


def measured(nme: np.ndarray) -> dict[str, float]:
    """What is told of the errors of faces."""
    return {
        "nme_interocular_percent": percent(nme.mean()),
        "failure_rate_10_percent": percent(metrics.failure_rate(nme, 0.1)),
        "ced_auc_10_percent": percent(metrics.ced_auc(nme, 0.1)),
    }


def table(results: dict) -> str:
    """The results as Markdown."""
    lines = [
        f"MediaPipe's face meshes on HELEN's test set, {results['faces']} faces, 51 points, "
        "inter-ocular, upright crop from the ground-truth box.",
        "",
        "| mesh, and vertices taken for the points | NME | FR@10% | CED-AUC@10% |",
        "|---|---|---|---|",
    ]
    for name, title in (("known", "plain, the map that goes around"),
                        ("fitted", "plain, fitted on training faces (`mediapipe468`)"),
                        ("attention", "attention mesh, a linear map fitted on training faces")):
        row = results[name]
        lines.append(
            f"| {title} | {row['nme_interocular_percent']:.2f}% "
            f"| {row['failure_rate_10_percent']:.2f}% | {row['ced_auc_10_percent']:.1f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
