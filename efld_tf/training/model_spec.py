"""The description of the model that a recipe trains, as far as its packed faces decide it."""

from __future__ import annotations

import numpy as np

from efld_tf import config, licenses, runs
from efld_tf.data import correlation, pipeline
from efld_tf.data.crop_fit import MOST_SIZE, alike
from efld_tf.errors import EfldError
from efld_tf.landmarks import schemas
from efld_tf.models import checkpoint, registry
from efld_tf.training.recipe import Recipe


def of(recipe: Recipe, sources: list[pipeline.PackedSource]) -> checkpoint.ModelSpec:
    """The spec of a recipe's model, with mean shapes over all faces and the first source's rule."""
    heads, model = {}, recipe.model
    by_correlation = registry.architecture(
        model.family, model.options, model.input_size).by_correlation
    for head in recipe.heads:
        supervising = [source for source in sources if head in source.heads]
        counts = [source.manifest.faces("train") for source in supervising]
        shapes = [source.manifest.mean_points[list(source.heads[head])] for source in supervising]
        _check_sizes(head, supervising, shapes)
        if recipe.heads[head].hidden < 1 and not any(s.manifest.hidden for s in supervising):
            raise EfldError(f"heads.{head}.hidden: no point of its sources is annotated as hidden; "
                            "leave it out, or add a source that tells which are")
        depth = _mean_depth(head, supervising) if recipe.heads[head].depth else None
        first_manifest = supervising[0].manifest
        heads[head] = checkpoint.HeadSpec(
            mean_shape=_mean_of(head, counts, shapes).round(6).tolist(),
            crop_rule=first_manifest.crop_rule,
            source=first_manifest.source,
            validation_fraction=first_manifest.validation_fraction,
            excluded=first_manifest.excluded,
            order=correlation.order_of(
                (source.folder, source.manifest, source.heads[head]) for source in supervising
            ).tolist() if by_correlation else None,
            mean_depth=depth,
        )
    schema_names = {*heads, *(head.crop_rule.schema for head in heads.values())}
    declared = {name: schemas.declared_fields(name) for name in sorted(schema_names)}
    return checkpoint.ModelSpec(
        model.family, model.input_size, dict(model.options), heads,
        schemas={name: fields for name, fields in declared.items() if fields},
        license=_license(recipe, sources),
    )


def _mean_of(head: str, counts: list[int], shapes: list[np.ndarray]) -> np.ndarray:
    """The mean shape [N, 2] of a head over sources with so many faces, each of its own.

    A point that a source is not annotated with is the mean over the others.

    Raises:
      EfldError: no source is annotated with a point.
    """
    stacked = np.stack(shapes)
    weights = np.isfinite(stacked) * np.reshape(counts, (-1, 1, 1))
    total = weights.sum(axis=0)
    if missing := np.flatnonzero(~total.all(axis=-1)).tolist():
        raise EfldError(f"head {head}: no face of its sources is annotated with points {missing}; "
                        "it needs a source that has them")
    mean: np.ndarray = (weights * np.nan_to_num(stacked)).sum(axis=0) / total
    return mean


def _mean_depth(head: str, sources: list[pipeline.PackedSource]) -> list[float]:
    """The mean depths [N] of a head, from their mean, over sources that are annotated with them.

    Raises:
      EfldError: none of them is.
    """
    found = [(source.manifest.faces("train"), np.array(source.manifest.mean_depth)[
        list(source.heads[head])]) for source in sources if source.manifest.mean_depth is not None]
    if not found:
        raise EfldError(f"heads.{head}.depth: none of its sources is annotated with the depths of "
                        "all points; leave it out, or add one that is")
    counts, depths = zip(*found, strict=True)
    mean = np.average(depths, axis=0, weights=counts)
    return (mean - mean.mean()).round(6).tolist()


def _check_sizes(
    head: str, sources: list[pipeline.PackedSource], shapes: list[np.ndarray]
) -> None:
    """Checks that the faces of a head have about one size in crops that are not fitted alike.

    Args:
      shapes: the mean shape of the head in the crops of each source.

    Raises:
      EfldError: they have not.
    """
    first, *others = (source.manifest for source in sources)
    for manifest, shape in zip(others, shapes[1:], strict=True):
        if manifest.crop_rule.stretched != first.crop_rule.stretched:
            raise EfldError(
                f"head {head}: one of the crops of {manifest.source} and {first.source} is "
                "stretched, and the other is not; give crop.scale_x and scale_y to both or none")
        if alike(first.crop_rule, manifest.crop_rule):
            continue
        ratio = _times_as_large(head, shape, shapes[0])
        if ratio is None:
            raise EfldError(
                f"head {head}: whether the crops of {manifest.source} show it as large as those of "
                f"{first.source} cannot be told, since they have not two points in common; fit "
                "both by the same points (crop)")
        if not 1 / MOST_SIZE < ratio < MOST_SIZE:
            raise EfldError(
                f"head {head}: the crops of {manifest.source} show it {ratio:.2f} times as large "
                f"as those of {first.source}, since they are not fitted by eyes and mouth; give "
                "the sources a crop.scale each")


def _times_as_large(head: str, shape: np.ndarray, other: np.ndarray) -> float | None:
    """How many times as large one mean shape [N, 2] of a head is as another, by common points.

    None where they have fewer than two.
    """
    distance = schemas.get(head).normaliser.distance
    ratio = float(distance(shape) / distance(other))
    if np.isfinite(ratio):
        return ratio
    both = np.isfinite(shape + other).all(axis=-1)
    if both.sum() < 2:
        return None
    return float(shape[both].std(axis=0).sum() / other[both].std(axis=0).sum())


def _license(recipe: Recipe, sources: list[pipeline.PackedSource]) -> str:
    """The recipe's licence, combined with those of its initial weights and its labels' teachers."""
    result, start = recipe.license, recipe.training.init_from
    if start:
        origin = checkpoint.read_spec(runs.trained_model(config.expand(start))).license
        result = licenses.combined(result, origin, "started from")
    for license in (license for source in sources for license in source.manifest.licenses):
        result = licenses.combined(result, license, "taught by")
    return result
