"""Who labels faces best: MediaPipe's meshes and models of this toolkit, alone and together.

    EFLD_DATA=/path/to/data python benchmarks/teachers.py [RUNS [NAME=MODEL ...]]

The faces are those of HELEN's and LFPW's training photos that are held out of training
(`noticed.py`). NAME=MODEL are further teachers: runs that hold them out too, such as one of
configs/dense_unet/teacher.yaml. What teachers see is kept in RUNS (default runs/teachers). Writes
benchmarks/teachers/: results.json and table.md.
"""

from __future__ import annotations

import sys
import warnings
from itertools import combinations
from pathlib import Path

import numpy as np
from noticed import HELD_OUT, OF_300W
from teaching import SHIPPED

import efld_tf
from efld_tf import files
from efld_tf.annotations import sources
from efld_tf.annotations.images import read_photo
from efld_tf.annotations.record import FaceRecord
from efld_tf.data.splits import in_validation
from efld_tf.landmarks import metrics, schemas
from efld_tf.landmarks.geometry import tight_box
from efld_tf.progress import Progress
from efld_tf.runtime import views
from efld_tf.runtime.attention_mesh import AttentionMeshPredictor
from efld_tf.runtime.landmarker import FaceLandmarker
from efld_tf.runtime.mesh import MeshPredictor

OUTPUT = Path(__file__).parent / "teachers"
INNER = schemas.get("ibug51")
MESHES = {"mesh": MeshPredictor, "attention_mesh": AttentionMeshPredictor}
TITLES = {"mesh": "MediaPipe's mesh", "attention_mesh": "MediaPipe's attention mesh",
          "research": "EFLD as shipped"}
VIEWS = 8
COUNTS = (1, 2, 4, VIEWS)
BAD = 5.0  # percent
LEFT_OUT = 0.25  # of the faces, on which teachers agree least


def faces() -> list[tuple[str, FaceRecord]]:
    """The held-out faces with their source."""
    return [(name, record) for name in OF_300W for spec, share in [HELD_OUT[name]]
            for record in sources.read(spec, progress=False).records
            if in_validation(record, share)]


def landmarker_of(model: str) -> FaceLandmarker:
    """A teacher, given by its name or as a model."""
    if model in MESHES:
        return FaceLandmarker(MESHES[model]())
    chosen = SHIPPED if model == "research" else model
    return efld_tf.load(chosen, head=INNER.name, detector=None)


def seen(landmarker: FaceLandmarker, some: list[tuple[str, FaceRecord]], title: str) -> np.ndarray:
    """Where a teacher sees the inner points, [F, VIEWS, 51, 2] in pixels; NaN where it does not."""
    schema, found = schemas.get(landmarker.schema), []
    with Progress(title, len(some), "face") as bar:
        for _, record in bar.over(some):
            image = read_photo(record.image)
            box = tight_box(record.points.astype(np.float64))
            points = landmarker.find(image, [box])[0].points
            for count in (1, VIEWS):
                crop = landmarker.crop_around(points)
                told = views.look(landmarker.predictor, image, crop, count)
                there = np.ones(count) if told.confidence is None else told.confidence
                looks = np.where((there > 0)[:, None, None], told.points, np.nan)
                points = mean(looks) if (there > 0).any() else points
            found.append([schema.convert(view, None, INNER.name)[0] for view in looks])
    return np.array(found)


def mean(values: np.ndarray) -> np.ndarray:
    """Over the first axis, of what is known."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of a face that nobody sees
        return np.nanmean(values, axis=0)


def agreed(looks: np.ndarray, size: np.ndarray) -> np.ndarray:
    """The mean [F, 51, 2] of teachers [T, F, V, 51, 2], each by how far its own views agree."""
    found = []
    for of_face, side in zip(looks.swapaxes(0, 1), size, strict=True):
        seen = [one[~np.isnan(one).any(axis=(1, 2))] for one in of_face]
        seen = [one for one in seen if len(one)]
        found.append(views.agreed(seen, side) if seen else np.full(of_face.shape[2:], np.nan))
    return np.stack(found)


class Judge:
    """Measures points against those of the held-out faces."""

    def __init__(self, some: list[tuple[str, FaceRecord]]):
        self.names = np.array([name for name, _ in some])
        schema = schemas.get("ibug68")
        self.true = np.stack([schema.convert(record.points, None, INNER.name)[0]
                              for _, record in some]).astype(np.float64)
        self.size = INNER.normaliser.distance(self.true)

    def errors(self, points: np.ndarray) -> np.ndarray:
        """The errors [F] of points [F, 51, 2], in percent."""
        off = np.linalg.norm(points - self.true, axis=-1).mean(axis=-1)
        return 100 * off / self.size

    def row(self, points: np.ndarray) -> dict[str, float]:
        """The mean errors of points by source, and how many faces are missed."""
        off = self.errors(points)
        row = {name: round(float(np.nanmean(off[self.names == name])), 3) for name in OF_300W}
        return {**row, "missed": int(np.isnan(off).sum())}

    def told(self, points: np.ndarray, each: np.ndarray) -> dict[str, float]:
        """How well the distance of teachers [T, F, 51, 2] from their mean tells its error."""
        off = self.errors(points)
        apart = 100 * np.nanmean(np.linalg.norm(each - points, axis=-1), axis=(0, 2)) / self.size
        known = ~np.isnan(off) & ~np.isnan(apart)
        off, apart = off[known], apart[known]
        kept = apart <= np.quantile(apart, 1 - LEFT_OUT)
        return {"correlation": round(float(np.corrcoef(off, apart)[0, 1]), 3),
                "bad_auroc": round(metrics.auroc(apart, off > BAD), 3),
                "all": round(float(off.mean()), 3),
                "without_those_they_agree_least_on": round(float(off[kept].mean()), 3)}


def main() -> None:
    """Looks, measures and writes."""
    runs = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/teachers")
    runs.mkdir(parents=True, exist_ok=True)
    models = {name: name for name in TITLES}
    models |= dict(word.split("=", 1) for word in sys.argv[2:])
    some, looks = faces(), {}
    for name, model in models.items():
        path = runs / f"{name}.npy"
        if not path.exists():
            np.save(path, seen(landmarker_of(model), some, name))
        looks[name] = np.load(path)
    results = measured(Judge(some), looks)
    files.write_json(OUTPUT / "results.json", results)
    files.write_text(OUTPUT / "table.md", table(results))
    print(table(results))


def measured(judge: Judge, looks: dict[str, np.ndarray]) -> dict[str, dict]:
    """What results.json says: of each teacher, and of those together."""
    alone = {name: {str(count): judge.row(mean(found[:, :count].swapaxes(0, 1)))
                    for count in COUNTS} for name, found in looks.items()}
    together = {}
    for number in range(2, len(looks) + 1):
        for names in combinations(looks, number):
            chosen = np.stack([looks[name] for name in names])
            each = np.stack([mean(one.swapaxes(0, 1)) for one in chosen])
            plain = mean(each)
            together[" + ".join(names)] = {
                "mean": judge.row(plain), "by_agreement": judge.row(agreed(chosen, judge.size)),
                "told": judge.told(plain, each)}
    return {"faces": {name: int((judge.names == name).sum()) for name in OF_300W},
            "alone": alone, "together": together}


def table(results: dict[str, dict]) -> str:
    """The results as Markdown."""
    found = results["faces"]
    lines = [
        f"NME in percent of the distance between the outer eye corners, 51 points, on held-out "
        f"training faces of HELEN ({found['helen']}) and LFPW ({found['lfpw']}).", "",
        "| teacher | " + " | ".join(
            f"{name.upper()}, {count} view{'s' * (count > 1)}" for name in OF_300W
            for count in COUNTS) + " | faces missed |",
        "|---" * (2 + len(OF_300W) * len(COUNTS)) + "|"]
    for name, rows in results["alone"].items():
        cells = [f"{rows[str(count)][source]:.2f}" for source in OF_300W for count in COUNTS]
        lines.append(f"| {TITLES.get(name, name)} | {' | '.join(cells)} "
                     f"| {rows[str(VIEWS)]['missed']} |")
    lines += [
        "", f"Together, with {VIEWS} views each: the mean, and that by how far each one's own "
        "views agree on a point. Then how the distance of the teachers from their mean tells the "
        f"error of the mean: its correlation, the AUROC of errors above {BAD:.0f}%, and the mean "
        f"error of all faces and of those {100 * (1 - LEFT_OUT):.0f}% on which they agree best.",
        "",
        "| teachers | HELEN | LFPW | by agreement | LFPW | correlation | AUROC | all | those they "
        "agree on |", "|---" * 9 + "|"]
    for name, rows in results["together"].items():
        cells = [f"{rows[kind][source]:.2f}" for kind in ("mean", "by_agreement")
                 for source in OF_300W]
        cells += [f"{value:.2f}" for value in rows["told"].values()]
        titles = ", ".join(TITLES.get(one, one) for one in name.split(" + "))
        lines.append(f"| {titles} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
