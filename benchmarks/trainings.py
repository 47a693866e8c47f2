"""What benchmarks that train many models share: variants of a recipe, trained and measured once."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from common import command

from efld_tf import config, files, runs
from efld_tf.training import recipe as training_recipe
from efld_tf.training import rounds as training_rounds

CROSS_FORMAT = Path(__file__).parents[1] / "configs" / "efld" / "cross_format.yaml"

# Photos whose faces a teacher labels: none of HELEN and YouTube Faces, but all of SCUT and CUHK,
# those of the test list and those that a recipe holds out among them.
LABELLED = {"scut": "scut_fbp5500/Images", "net7876": "net7876/images"}

Recipe = dict[str, Any]
# Changes a recipe in place.
Change = Callable[[Recipe], None]


def training(**values: Any) -> Change:
    """Fields of `training`."""
    return lambda recipe: recipe["training"].update(values)


def augment(**values: float) -> Change:
    """Fields of `data.augment`."""
    return lambda recipe: recipe["data"].setdefault("augment", {}).update(values)


def model(**options: Any) -> Change:
    """Options of the family."""
    return lambda recipe: recipe["model"].setdefault("options", {}).update(options)


def without(*names: str) -> Change:
    """Without these sources, and without heads that nothing is left to supervise."""

    def change(recipe: Recipe) -> None:
        data = recipe["data"]
        data["sources"] = [s for s in data["sources"] if s["name"] not in names]
        used = {head for source in data["sources"] for head in source["heads"]}
        recipe["heads"] = {head: about for head, about in recipe["heads"].items() if head in used}

    return change


def together(*changes: Change) -> Change:
    """One change after the other."""

    def change(recipe: Recipe) -> None:
        for one in changes:
            one(recipe)

    return change


def source(recipe: Recipe, name: str) -> dict[str, Any]:
    """The source of that name."""
    return next(s for s in recipe["data"]["sources"] if s["name"] == name)


def share_percent(name: str) -> float:
    """Which share of the faces that a step of `CROSS_FORMAT` sees are of that source."""
    data = Path(__file__).parent / "real_faces" / "cross_format_data.json"
    faces = json.loads(data.read_text())
    drawn = {s["name"]: faces[s["name"]]["train"] * s.get("repeat", 1)
             for s in yaml.safe_load(CROSS_FORMAT.read_text())["data"]["sources"]}
    return 100 * drawn[name] / sum(drawn.values())


@dataclass(frozen=True)
class Teacher:
    """A model that labels photos.

    Attributes:
      name: of its labels.
      schema: of them.
      run: what trained it, the name of a run among the others; None for MediaPipe's mesh.
      views: of each face, whose mean the label is.
    """

    name: str
    schema: str
    run: str | None = None
    views: int = 4

    def make(self, runs: Path) -> None:
        """Labels the photos; done once."""
        wanted = {runs / f"{name}_{self.name}.jsonl": photos for name, photos in LABELLED.items()}
        missing = {labels: photos for labels, photos in wanted.items() if not labels.exists()}
        how: list[object] = ["mesh", "--convert", self.schema]
        if self.run and missing:
            exported = runs / self.run / "labeller"
            command("efld-export", runs / self.run, "--float32", "--head", self.schema,
                    "--output", exported)
            how = [exported]
        for labels, photos in missing.items():
            command("efld-data", "label", Path(os.environ["EFLD_DATA"]) / photos, "--model", *how,
                    "--views", self.views, "--output", labels)

    def supervises(self, head: str) -> Change:
        """Its labels as sources of a head."""

        def change(recipe: Recipe) -> None:
            recipe["heads"].setdefault(head, {"weight": 1.0})
            for name, photos in LABELLED.items():
                labels = f"json:{recipe['output_dir']}/{name}_{self.name}.jsonl"
                where = f"{labels}?schema={self.schema}&images=${{EFLD_DATA}}/{photos}"
                recipe["data"]["sources"].append(
                    {"name": f"{self.name}_{name}", "source": where, "heads": [head]})

        return change


@dataclass(frozen=True)
class Rendered:
    """Faces with WFLW's 98 points that the project draws itself.

    Attributes:
      name: of the source.
      count: of faces.
    """

    name: str
    count: int = 3000

    def make(self, runs: Path) -> None:
        """Renders them; done once."""
        command("efld-data", "synth", runs / self.name, "--schema", "wflw98", "--count",
                self.count, "--seed", 1, "--size", 192)

    def supervises(self, head: str) -> Change:
        """Them as a source of a head."""

        def change(recipe: Recipe) -> None:
            where = f"wflw:{recipe['output_dir']}/{self.name}/list_98pt_rect_attr.txt"
            recipe["heads"].setdefault(head, {"weight": 1.0})
            recipe["data"]["sources"].append(
                {"name": self.name, "source": where, "heads": [head]})

        return change


@dataclass(frozen=True)
class Attempt:
    """Something tried.

    Attributes:
      title: what it is.
      against: the attempt that it changes, or None.
      change: of that.
      faces: drawn in training; None for those of `against`.
      made: whose labels it learns from.
      needs: the attempt whose model it starts from or is taught by.
    """

    title: str
    against: str | None
    change: Change
    faces: int | None = None
    made: tuple[Teacher, ...] = ()
    needs: str | None = None


def chain(attempts: Mapping[str, Attempt], name: str) -> list[Attempt]:
    """What an attempt was added to, from the first on, and itself."""
    attempt = attempts[name]
    before = chain(attempts, attempt.against) if attempt.against else []
    return [*before, attempt]


def variant(name: str, runs: Path, *changes: Change, base: Path = CROSS_FORMAT) -> Recipe:
    """The recipe of a config file, changed, as a run of that name among `runs`."""
    recipe = copy.deepcopy(yaml.safe_load(base.read_text()))
    recipe.update(name=name, output_dir=str(runs))
    recipe["data"]["cache_dir"] = str(runs / "packed")
    together(*changes)(recipe)
    return recipe


def train(recipe: Recipe) -> Path:
    """The folder of a recipe's run; what is trained already stays as it is."""
    folder = Path(recipe["output_dir"]) / recipe["name"]
    folder.parent.mkdir(parents=True, exist_ok=True)
    path = folder.with_suffix(".yaml")
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    command("efld-train", path, "--quiet")
    return folder


def held_out(
    folder: Path, name: str, head: str = "ibug51", base: Path = CROSS_FORMAT
) -> float:
    """NME, in percent, of a run's head on the faces of that source that it held out.

    As the base recipe reads them; they must have been packed so.
    """
    found = evaluate(folder, packed(folder, name, base), folder / f"held_out_{name}_{head}.json",
                     "--head", head)
    return found["evaluation"]["nme_interocular_percent"]


def packed(folder: Path, name: str, base: Path = CROSS_FORMAT) -> str:
    """The packed faces of a source of a run, as the base recipe reads them, for `evaluate`."""
    recipe = config.load(folder / "recipe.yaml", training_recipe.Recipe)
    read = source(yaml.safe_load(base.read_text()), name)["source"]
    used = next(s for s in recipe.data.sources if s.name == name)
    return f"packed:{recipe.pack_folder(replace(used, source=read))}"


def best_validation(folder: Path, head: str = "ibug51") -> dict[str, Any]:
    """The validation of a run, or of its last round, with the lowest NME of a head."""
    rounds = training_rounds.history(folder)
    last = folder / rounds[-1]["round"] if rounds else folder
    rows = runs.validation_history(last)
    return min(rows, key=lambda row: row["nme_percent"][head])


def evaluate(model: Path, source: str, results: Path, *options: object) -> dict[str, Any]:
    """The results of a model on a source; measured once."""
    if not results.exists():
        command("efld-eval", model, "--source", source, "--output", results, "--quiet", *options)
    return json.loads(results.read_text())


def known(results: Path) -> dict[str, Any]:
    """What a file of results says already, by run."""
    return json.loads(results.read_text()) if results.exists() else {}


def remember(results: Path, name: str, found: dict[str, Any]) -> None:
    """Adds a run to a file of results; several processes may do so by turns."""
    results.parent.mkdir(exist_ok=True)
    files.write_json(results, {**known(results), name: found})


def check_names(asked: list[str], known: Collection[str]) -> None:
    """Ends the command where something is asked for that there is not."""
    for name in asked:
        if name not in known:
            raise SystemExit(f"{name}: not one of {', '.join(known)}")


def mean_spread(values: list[float], digits: int = 2) -> str:
    """Mean and standard deviation over seeds."""
    mean = f"{np.mean(values):.{digits}f}"
    return f"{mean} ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else mean
