"""The contents of a training config. TensorFlow is not imported, so that mistakes show at once."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from efld_tf import config, licenses
from efld_tf.annotations.sources import declare_schema
from efld_tf.data.manifest import open_packed
from efld_tf.data.options import (
    AugmentOptions,
    PackOptions,
    ServiceOptions,
    SourceOptions,
    check_service_repeat,
)
from efld_tf.errors import DataError, EfldError
from efld_tf.landmarks import normalisers, openings, schemas
from efld_tf.training.learning import TrainingRecipe


@dataclass(frozen=True)
class ModelRecipe:
    """Which network.

    Attributes:
      family: of architectures, such as `efld` or `pipnet`.
      input_size: side of the input in pixels.
      options: of the family.
    """

    family: str = "efld"
    input_size: int = 128
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class HeadRecipe:
    """One head: the schema is its name in the recipe.

    Attributes:
      weight: of its loss.
      normaliser: what its validation NME is divided by, as of `efld-eval --normaliser`: one of the
        schema's own, or `box_diagonal`, `box_size` or `image_size`, which needs crops that are made
        of the file's box; None for the schema's own choice. Losses divide by the schema's first
        alone; of a schema of heads in any pose, by that of the mean face.
      depth: weight of the loss of the points' depths, beside that of the points; with more than 0,
        the head also tells how far each point is in front, which needs a source that is annotated
        with it.
      openings: weight of the loss of how far eyes and lips are open, beside that of the points.
      hidden: weight of points in the losses that are annotated as hidden, 0 to 1; with less than 1,
        some source has to tell which are.
    """

    weight: float = 1.0
    normaliser: str | None = None
    depth: float = 0.0
    openings: float = 0.0
    hidden: float = 1.0

    def __post_init__(self) -> None:
        for name, value in (("weight", self.weight), ("depth", self.depth),
                            ("openings", self.openings)):
            if value < 0:
                raise EfldError(f"{name}: expected 0 or more, got {value}")
        if not 0 <= self.hidden <= 1:
            raise EfldError(f"hidden: expected 0 to 1, got {self.hidden}")


@dataclass(frozen=True)
class DataRecipe:
    """Which faces, and how they are mixed and changed.

    Attributes:
      sources: the annotated sources.
      cache_dir: where packed sources are kept, one folder a source.
      pack: how crops are stored.
      augment: random changes of training crops.
      cache_decoded: keep all decoded crops in memory.
      black: replace all pixels by black, in validation too: what is learnt then are the places of
        points alone (PIPNet, Section 3.4).
      service: let a `tf.data` service on other hosts decode and augment.
    """

    sources: list[SourceOptions]
    cache_dir: str = "packed"
    pack: PackOptions = field(default_factory=PackOptions)
    augment: AugmentOptions = field(default_factory=AugmentOptions)
    cache_decoded: bool = True
    service: ServiceOptions | None = None
    black: bool = False


def pseudo_names(source: SourceOptions) -> dict[str, str]:
    """The names of an unlabelled source with its pseudo-labels, by head."""
    return {head: f"{source.name}-{head}" for head in source.heads}


@dataclass(frozen=True)
class SelfTrainingRecipe:
    """Rounds of training on faces that the model of the round before has labelled.

    Attributes:
      unlabelled: sources of further faces. Their own points say where the crop is, nothing else;
        `heads` are those that get pseudo-labels, each a source of its own with this `repeat` and
        `emphasis`. Faces that are held out get none.
      teacher: a run's folder or model file, of any family, that labels for the first round in
        place of round 0, which is left out: knowledge distillation. It must have been trained with
        this `data.pack.zoom`.
      levels: of each round but round 0, what its pseudo-labels are used for; see
        `data.sources.N.level`. None for PIPNet's curriculum, [2, 1, 0, 0, 0], where the family has
        scores on a grid, else for standard self-training, [0, 0, 0]; with a teacher [0].
      steps: of each round but round 0. More faces need more.
      epochs: of each round but round 0, through its labelled and pseudo-labelled faces; where
        neither this nor `steps` is given, that of `training` which is given there.
    """

    unlabelled: list[SourceOptions]
    teacher: str | None = None
    levels: list[int] | None = None
    steps: int | None = None
    epochs: int | None = None

    def __post_init__(self) -> None:
        if self.steps is not None and self.epochs is not None:
            raise EfldError("steps, epochs: expected one of them at most, got both")
        if not self.unlabelled:
            raise EfldError("unlabelled: at least one source is needed")
        for source in self.unlabelled:
            if source.level:
                raise EfldError(
                    f"unlabelled: {source.name}: level is not for unlabelled sources; see levels"
                )
        names = [name for source in self.unlabelled for name in pseudo_names(source).values()]
        if len(set(names)) < len(names):
            raise EfldError("unlabelled: two sources have the same name and head")
        if self.levels is not None and (not self.levels or min(self.levels) < 0):
            raise EfldError(f"levels: expected numbers of 0 or more, got {self.levels}")

    def length(self, training: TrainingRecipe) -> TrainingRecipe:
        """That `training` for as long as a round after the first lasts.

        Raises:
          EfldError: it cannot last that long.
        """
        if self.steps is None and self.epochs is None:
            return training
        return replace(training, steps=self.steps, epochs=self.epochs)


@dataclass(frozen=True)
class Recipe:
    """A training run.

    Attributes:
      name: of the run; its folder is `output_dir/name`.
      heads: landmark formats that the model predicts, by the names of their schemas.
      data: which faces, and how they are mixed and changed.
      training: how long and how fast to learn.
      model: which network.
      self_training: rounds of training on faces that a model has labelled; None for none.
      output_dir: where runs are kept.
      license: of the weights, as the data allow; goes into every exported model.
    """

    name: str
    heads: dict[str, HeadRecipe]
    data: DataRecipe
    training: TrainingRecipe
    model: ModelRecipe = field(default_factory=ModelRecipe)
    self_training: SelfTrainingRecipe | None = None
    output_dir: str = "runs"
    license: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", self.name):
            raise EfldError(f"name: expected letters, digits, '_', '.' or '-', got {self.name!r}")
        licenses.checked(self.license)
        if self.training.target_head not in self.heads:
            raise EfldError(f"training.target_head: {self.training.target_head!r} is not in heads; "
                            f"known: {', '.join(self.heads)}")
        stored, needed = self.data.pack.size, self.model.input_size * self.data.pack.margin
        if stored < needed:
            raise EfldError(
                f"data.pack.size: {stored} px hold less detail than the model sees; with "
                f"model.input_size and data.pack.margin it must be at least {needed:g}"
            )
        if 2 * self.data.augment.blur_sigma > self.model.input_size:
            raise EfldError("data.augment.blur_sigma: expected at most half of model.input_size, "
                            f"got {self.data.augment.blur_sigma}")
        if self.data.service and self.training.deterministic:
            raise EfldError(
                "data.service: the order of its batches depends on the workers' speed; "
                "it cannot be combined with training.deterministic"
            )
        if self.data.service:
            for options in self.data.sources:
                check_service_repeat(options.source, options.repeat)
                if options.emphasis:
                    raise EfldError("data.service: its workers draw all faces of a source equally "
                                    f"often; source {options.name} has an emphasis")
        self._check_heads()
        self._check_held_out()
        if self.self_training:
            self._check_unlabelled(self.self_training)
        if any(source.validation_fraction for source in self.data.sources) and not any(
            (source.validation_fraction or source.packed)
            and self.training.target_head in source.heads
            for source in self.data.sources
        ):
            raise EfldError(
                "data.sources: one that supervises training.target_head needs a "
                "validation_fraction, to choose the best weights by, or all must have 0, to train "
                "on all faces"
            )

    @property
    def _unlabelled(self) -> list[SourceOptions]:
        return self.self_training.unlabelled if self.self_training else []

    def check_sources(self) -> None:
        """Finds mistakes that only files show, before any work, and declares the sources' schemas.

        Raises:
          EfldError: a schema file or packed folder cannot be read, a packed source does not fit
            the recipe, or the schema of a head or its normaliser is not known.
        """
        for options in [*self.data.sources, *self._unlabelled]:
            if options.packed:
                self._check_packed(options.source, options.packed)
            else:
                declare_schema(options.source)
        for head in self.heads:
            if head not in schemas.names():
                raise EfldError(
                    f"heads.{head}: no landmark schema of that name; expected one of "
                    f"{', '.join(schemas.names())}, or of a source with ?schema=FILE.yaml"
                )
            try:
                normalisers.find(schemas.get(head), self.heads[head].normaliser)
            except EfldError as error:
                raise EfldError(f"heads.{head}.normaliser: {error}") from error
            if self.heads[head].openings and not openings.outlines(schemas.get(head)):
                raise EfldError(f"heads.{head}.openings: its schema has no closed outlines of eyes "
                                "or lips; expected 0")

    def _check_packed(self, source: str, folder: Path) -> None:
        """Refuses a packed source whose crops are of another size than the recipe's."""
        stored_pack, recipe_pack = open_packed(folder).pack, self.data.pack
        for name in ("size", "margin", "zoom"):
            stored, expected = getattr(stored_pack, name), getattr(recipe_pack, name)
            if stored != expected:
                raise EfldError(
                    f"{source}: packed with {name} {stored:g}, but data.pack.{name} is "
                    f"{expected:g}"
                )

    def _check_heads(self) -> None:
        """Refuses sources that do not fit the heads, or each other."""
        sources = self.data.sources
        names = [source.name for source in sources]
        if len(set(names)) < len(names):
            raise EfldError("data.sources: two sources have the same name")
        for source in sources:
            self._check_known(f"data.sources: {source.name}", source.heads)
        for head in set(self.heads) - {h for s in sources if not s.level for h in s.heads}:
            coarsely = any(head in source.heads for source in sources)
            remark = ", but for those of a level above 0" if coarsely else ""
            raise EfldError(f"heads.{head}: no source supervises it{remark}")

    def _check_known(self, key: str, heads: Sequence[str]) -> None:
        """Refuses heads of a source, named by its key, that the recipe does not have."""
        for head in heads:
            if head not in self.heads:
                raise EfldError(f"{key}: the head {head!r} is not in heads; known: "
                                f"{', '.join(self.heads)}")

    def _check_held_out(self) -> None:
        """Refuses faces that are held out of one source and trained on by another."""
        shares: dict[str, float] = {}
        for options in [*self.data.sources, *self._unlabelled]:
            share = shares.setdefault(options.source, options.validation_fraction)
            if share != options.validation_fraction:
                raise EfldError(
                    f"validation_fraction: {options.source} has {share:g} in one place and "
                    f"{options.validation_fraction:g} in another, so that faces held out would be "
                    "trained on; give it the same"
                )

    def _check_unlabelled(self, self_training: SelfTrainingRecipe) -> None:
        """Refuses unlabelled sources that do not fit the heads or the labelled ones."""
        try:
            self_training.length(self.training)
        except EfldError as error:
            raise EfldError(f"self_training.{error}") from error
        if self.data.service:
            raise EfldError("data.service: it cannot be combined with self_training")
        names = {source.name for source in self.data.sources}
        for source in self_training.unlabelled:
            self._check_known(f"self_training.unlabelled: {source.name}", source.heads)
            if names & {source.name, *pseudo_names(source).values()}:
                raise EfldError(
                    f"self_training.unlabelled: {source.name}: a source of data.sources has that "
                    "name, or the one it gets with its head"
                )

    def faces(self) -> float:
        """The training faces of an epoch: those of all sources, which are packed, times `repeat`.

        Raises:
          DataError: a source is not packed.
        """
        sizes = [(open_packed(self.pack_folder(s)).faces("train"), s) for s in self.data.sources]
        return sum(count * source.repeat for count, source in sizes)

    def in_steps(self) -> Recipe:
        """The recipe with `training.steps` in place of `training.epochs`.

        Raises:
          EfldError: a source is not packed, or the epochs are shorter than the warm-up.
        """
        if self.training.epochs is None:
            return self
        try:
            return replace(self, training=self.training.in_steps(self.faces()))
        except DataError:
            raise
        except EfldError as error:
            raise EfldError(f"training.{error}") from error

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return Path(config.expand(self.output_dir)) / self.name

    def pack_folder(self, options: SourceOptions) -> Path:
        """The folder in which a source of this recipe is packed, or will be.

        The name ends in a hash of the options, so that two recipes that pack the same source
        differently do not replace each other's folder.
        """
        if options.packed:
            return options.packed
        settings = [options.source, options.validation_fraction, options.on_error,
                    options.crop.settings(), asdict(self.data.pack)]
        digest = hashlib.sha256(json.dumps(settings).encode()).hexdigest()
        return Path(config.expand(self.data.cache_dir)) / f"{options.name}-{digest[:8]}"


def load(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Reads a recipe and checks it, also for mistakes that only files show.

    Of `steps` and `epochs`, the one that is overridden replaces the other of the file.

    Raises:
      EfldError: as in `config.load`.
      DataError: as in `Recipe.check_sources`.
    """
    recipe = config.load(path, Recipe, [*overrides, *_replaced_lengths(overrides)])
    try:
        recipe.check_sources()
    except EfldError as error:
        raise DataError(path, str(error)) from error
    return recipe


def _replaced_lengths(overrides: Sequence[str]) -> list[str]:
    """Overrides that take away what an override of `steps` or `epochs` replaces."""
    values = {key: value for key, _, value in (text.partition("=") for text in overrides)}
    lengths = [(f"{part}.steps", f"{part}.epochs") for part in ("training", "self_training")]
    return [
        f"{other}=null" for steps, epochs in lengths
        for key, other in ((steps, epochs), (epochs, steps))
        if values.get(key, "null") not in ("null", "~", "") and other not in values
    ]
