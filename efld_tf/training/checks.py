"""What of a recipe is refused before its run has a folder, beyond what its text alone shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from efld_tf import config, runs
from efld_tf.data.manifest import open_packed
from efld_tf.data.options import SourceOptions
from efld_tf.data.pipeline import PackedSource
from efld_tf.errors import DataError, EfldError
from efld_tf.landmarks.normalisers import BoxNormaliser
from efld_tf.models import checkpoint, registry
from efld_tf.training import losses, task
from efld_tf.training.recipe import Recipe


def check_model(recipe: Recipe) -> None:
    """Refuses impossible models and weights before the data are packed.

    Raises:
      EfldError: as in `check_options`, or weights that the recipe names cannot be read or do not
        fit.
    """
    check_options(recipe)
    model_architecture, training = architecture(recipe), recipe.training
    if training.init_from:
        try:
            checkpoint.read_spec(runs.trained_model(config.expand(training.init_from)))
        except EfldError as error:
            raise EfldError(f"training.init_from: {error}") from error
    if training.backbone_weights:
        path = config.expand(training.backbone_weights)
        # Only the network tells whether the file fits the backbone.
        model = model_architecture.build({"mtfl5": 5})
        try:
            model_architecture.load_backbone(model, path)
        except DataError as error:
            raise EfldError(f"training.backbone_weights: {error}; null starts from random "
                            "weights") from error


def check_options(recipe: Recipe) -> None:
    """Refuses families, sizes, options, losses and levels that do not exist or fit each other.

    Raises:
      EfldError: they do not; the message names the key.
    """
    model_architecture, training = architecture(recipe), recipe.training
    fitting = model_architecture.losses
    losses.get(training.loss or fitting[0], training.loss_options)
    if training.loss not in (None, *fitting):
        raise EfldError(
            f"training.loss: what the heads of {model_architecture.name} predict can be trained by "
            f"{' or '.join(fitting)}, not by {training.loss}"
        )
    if training.coherence and not model_architecture.family.by_maps:
        raise EfldError(f"training.coherence: the heads of {model_architecture.name} do not "
                        "predict one map a point; set it to 0")
    if training.coherence and recipe.data.service:
        raise EfldError("training.coherence: the workers of data.service do not keep pairs of "
                        "faces together; set it to 0, or data.service to null")
    check_levels(model_architecture, [source.level for source in recipe.data.sources])


def architecture(recipe: Recipe) -> registry.Architecture:
    """The recipe's architecture; no model is built.

    Raises:
      EfldError: its family, options or input size do not exist or do not fit each other.
    """
    model = recipe.model
    return registry.architecture(model.family, model.options, model.input_size)


def check_levels(model_architecture: registry.Architecture, levels: Iterable[int]) -> None:
    """Refuses levels of labels that a model cannot learn.

    Raises:
      EfldError: the heads have no grid, or one that cannot be that coarse.
    """
    for level in sorted({*levels} - {0}):
        model_architecture.grid(level)


def check_boxes(recipe: Recipe, source: SourceOptions) -> None:
    """Refuses a packed source that does not tell the box by which a head's errors are divided.

    Raises:
      EfldError: it is the box in the annotation's file, and the crops are not made of it.
    """
    rule = open_packed(recipe.pack_folder(source)).crop_rule
    for head in source.heads:
        chosen = task.normalisers_of(recipe)[head]
        of_file = isinstance(chosen, BoxNormaliser) and chosen.box == "file"
        if of_file and rule.box != "file":
            raise EfldError(
                f"heads.{head}.normaliser: {chosen.name} is of the box in the file, but the crops "
                f"of {source.name} are made of its points, and tell nothing of that; give it "
                "crop.box: file, or leave this to efld-eval --normaliser")


def is_validated(recipe: Recipe, sources: Sequence[PackedSource]) -> bool:
    """Whether faces of the target head are held out to choose the best weights by.

    Args:
      sources: those of the recipe, packed.

    Raises:
      EfldError: they are not, although faces were to be held out.
    """
    target = recipe.training.target_head
    if target in task.validated_heads(sources):
        return True
    if any(source.manifest.validation_fraction for source in sources):
        raise EfldError(
            f"no face of {target} is held out to choose the best weights by: raise "
            "validation_fraction of a source that supervises it, or set all to 0 to train on all "
            "faces and keep the last weights")
    return False
