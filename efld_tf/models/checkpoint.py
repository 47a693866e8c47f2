"""A trained model in one HDF5 file: weights by name, and all that is needed to rebuild and use it.

The file holds plain arrays and JSON, so that loading a stranger's file runs none of its code.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tensorflow as tf
import tf_keras

from efld_tf import hdf5, licenses, trees
from efld_tf.annotations import parsing
from efld_tf.data.splits import check_fraction
from efld_tf.errors import DataError, EfldError
from efld_tf.files import write_bytes
from efld_tf.landmarks import schemas
from efld_tf.landmarks.geometry import CropRule, check_mean_shape
from efld_tf.landmarks.schema import LandmarkSchema
from efld_tf.models import pretrained, registry

FORMAT_VERSION = 1

# The bounds of a model from elsewhere: its heads, and the numbers that one layer makes of one face
# (1 GB).
MOST_HEADS = 100
MOST_SPEC_BYTES = 1 << 24
MOST_OUTPUTS = 1 << 28
VARIANCE = "moving_variance"  # as batch norms call theirs


@dataclass(frozen=True)
class HeadSpec:
    """One head of a trained model.

    Attributes:
      mean_shape: [N, 2] in the crop's unit square.
      crop_rule: how the faces it was trained on were cropped.
      source: its first training source, for calibration and reports.
      validation_fraction, excluded: the share of the source's faces that was held out, and the keys
        of faces that were not used at all.
      order: [N, N - 1] for each point the others, by falling correlation in the training faces;
        None where the family does not need it.
      mean_depth: [N] how far each point is in front of their mean in the training faces, in sides
        of the crop; None for a head that does not tell depths.
      errors: how its output of expected errors was fitted (`tools/fit_errors.py`): the data, and
        how well it told them; None for a head without one.
    """

    mean_shape: list[list[float]]
    crop_rule: CropRule
    source: str = ""
    validation_fraction: float = 0.0
    excluded: list[str] = field(default_factory=list)
    order: list[list[int]] | None = None
    mean_depth: list[float] | None = None
    errors: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        check_fraction(self.validation_fraction)
        count = len(self.mean_shape)
        for point, others in enumerate(self.order or []):
            if sorted([point, *others]) != [*range(count)]:
                raise EfldError(f"order.{point}: expected each other one of {count} points once")
        if self.order is not None and len(self.order) != count:
            raise EfldError(f"order: expected {count} rows, got {len(self.order)}")
        if self.mean_depth is not None and not (
            1 < len(self.mean_depth) == count and np.isfinite(self.mean_depth).all()
        ):
            raise EfldError(f"mean_depth: expected finite numbers of {max(count, 2)} points")


@dataclass(frozen=True)
class ModelSpec:
    """The description of a model: all but its weights.

    Attributes:
      family, input_size, options: as in the recipe; a file has all options of the family.
      heads: the heads, by the names of their schemas.
      schemas: the fields of those schemas that are not built in.
      training: where the model comes from: recipe, step, validation NME.
      license: the licence of the weights, as their training data allow.
      presence: how its presence output was fitted (`tools/fit_presence.py`): the data and the
        rates; None for a model without one.
    """

    family: str
    input_size: int
    options: dict[str, Any]
    heads: dict[str, HeadSpec]
    schemas: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    license: str = ""
    presence: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.heads) <= MOST_HEADS:
            raise EfldError(f"heads: expected 1 to {MOST_HEADS}, got {len(self.heads)}")
        licenses.checked(self.license)
        for name, head in self.heads.items():
            points = self.schema(name).num_points
            check_mean_shape(head.mean_shape, points, f"heads.{name}.mean_shape")
            if head.errors is not None and self.presence is None:
                raise EfldError(f"heads.{name}.errors: expected presence, too")
            self.schema(head.crop_rule.schema)

    def schema(self, name: str) -> LandmarkSchema:
        """A schema of the heads or crop rules, by name.

        Raises:
          EfldError: the schema is neither built in nor among `schemas`.
        """
        return schemas.resolved(name, self.schemas.get(name))

    @functools.cached_property
    def architecture(self) -> registry.Architecture:
        """The family's architecture with these options.

        Raises:
          EfldError: as in `registry.architecture`.
        """
        return registry.architecture(self.family, self.options, self.input_size)

    def build(self) -> tf_keras.Model:
        """Builds the model with fresh weights; errors are as in `architecture`."""
        points = {head: self.schema(head).num_points for head in self.heads}
        depths = {head: about.mean_depth for head, about in self.heads.items()
                  if about.mean_depth is not None}
        errors = [head for head, about in self.heads.items() if about.errors is not None]
        return self.architecture.build(points, self.presence is not None, depths, errors)

    def codec(self, head: str) -> registry.Codec:
        """The codec of a head."""
        about = self.heads[head]
        order = None if about.order is None else np.array(about.order)
        return self.architecture.codec(np.array(about.mean_shape), order)


def save(path: str | Path, spec: ModelSpec, model: tf_keras.Model) -> None:
    """Writes spec and weights to one file, atomically."""
    # In memory, since h5py only prints what goes wrong while it closes a file on a full disk.
    with h5py.File("model", "w", libver="latest", driver="core", backing_store=False) as file:
        file.attrs["efld_format"] = FORMAT_VERSION
        # The file gets all options, so that its model stays the same when a default changes.
        tree = {**asdict(spec), "options": asdict(spec.architecture.options)}
        for name, head in spec.heads.items():
            tree["heads"][name]["crop_rule"] = head.crop_rule.fields()
        file.attrs["spec"] = json.dumps(tree)
        for weight in model.weights:
            file.create_dataset(weight.name, data=weight.numpy())
        file.flush()
        content = file.id.get_file_image()
    write_bytes(path, content)


def load(path: str | Path) -> tuple[ModelSpec, tf_keras.Model]:
    """Reads a model and declares the schemas that it carries.

    Raises:
      DataError: the file is not a model, its weights do not fit its spec or are not finite, its
        spec is of a model that needs more memory than such a file can mean, or one of its schemas
        differs from a known one of the same name.
    """
    with _opened(path) as file:
        spec = _spec(file)
        try:
            for fields in spec.schemas.values():
                schemas.declare(fields)
            with _no_more_weights(os.stat(path).st_size):
                model = spec.build()
            _check_outputs(model)
        except EfldError as error:
            raise DataError(path, f"its description is not usable: {error}") from error
        missing = _restore(file, model)
    if missing:
        raise DataError(path, f"the weights {', '.join(missing[:3])} are missing or misshapen")
    return spec, model


@contextmanager
def _no_more_weights(count: int) -> Iterator[None]:
    """Refuses to build a model before it takes more memory than its file can hold weights.

    Args:
      count: the size of the file in bytes; compressed, a weight has at least one.

    Raises:
      EfldError: the model has more weights.
    """
    built = 0

    def create(create_next: Callable[..., tf.Variable], **arguments: Any) -> tf.Variable:
        nonlocal built
        shape = arguments.get("shape")
        if shape is not None:
            built += tf.TensorShape(shape).num_elements() or 0
        if built > count:
            raise EfldError(f"a model of more weights than the {count} bytes of the file can hold")
        return create_next(**arguments)

    with tf.variable_creator_scope(create):
        yield


def _check_outputs(model: tf_keras.Model) -> None:
    """Raises EfldError for a model of which one layer alone makes too much of one face."""
    for layer in model.layers:
        for node in range(len(layer.inbound_nodes)):
            for output in tf.nest.flatten(layer.get_output_at(node)):
                count = output.shape[1:].num_elements() or 0
                if count > MOST_OUTPUTS:
                    raise EfldError(f"its layer {layer.name} makes {count} numbers of one face, "
                                    f"expected at most {MOST_OUTPUTS}")


def read_spec(path: str | Path) -> ModelSpec:
    """Reads the spec of a model without building it; errors are as in `load`."""
    with _opened(path) as file:
        return _spec(file)


def load_matching(path: str | Path, model: tf_keras.Model) -> list[str]:
    """Copies the weights that a file shares with `model`, to fine-tune it with other heads.

    Returns:
      The names of the weights that the file did not supply.

    Raises:
      DataError: the file is not a model, shares no weight, or has one that is not finite; then the
        model is as it was.
    """
    with _opened(path) as file:
        _spec(file)  # refuses other files
        missing = _restore(file, model)
    if len(missing) == len(model.weights):
        raise DataError(path, "shares no weight with this model")
    return missing


def chosen_head(path: str | Path, spec: ModelSpec, head: str | None) -> str:
    """`head`, or the model's first one for None.

    Raises:
      DataError: the model has no such head.
    """
    if head is None:
        return next(iter(spec.heads))
    if head not in spec.heads:
        raise DataError(path, f"has no head {head!r}; it has {', '.join(spec.heads)}")
    return head


def _spec(file: h5py.File) -> ModelSpec:
    """Reads the spec in an opened file."""
    if hdf5.attribute(file, "efld_format", 8) != FORMAT_VERSION:
        raise ValueError("it is of another version of the toolkit")
    text = hdf5.attribute(file, "spec", MOST_SPEC_BYTES)
    return trees.from_tree(json.loads(text), ModelSpec, "spec")


def _restore(file: h5py.File, model: tf_keras.Model) -> list[str]:
    """Assigns weights by name and shape, and returns the names of those that are missing."""
    weights = {weight.name: _weight(file, weight.name, weight.shape) for weight in model.weights}
    for weight in model.weights:
        if weights[weight.name] is not None:
            weight.assign(weights[weight.name])
    return [name for name, value in weights.items() if value is None]


def _weight(file: h5py.File, name: str, shape: tf.TensorShape) -> np.ndarray | None:
    """Reads a weight of a file; None if there is none of that name and shape."""
    try:
        item = hdf5.find(file, name)
    except KeyError:
        return None
    if not isinstance(item, h5py.Dataset) or item.shape != tuple(shape):
        return None
    if item.dtype.kind != "f":
        raise ValueError(f"{name} is not an array of numbers")
    try:
        value = pretrained.as_float32(hdf5.values(item, "f", shape.num_elements()))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    if not np.isfinite(value).all():
        raise ValueError(f"{name} is not an array of finite numbers")
    if name.endswith(f"{VARIANCE}:0") and (value < 0).any():
        raise ValueError(f"{name}: a variance is negative")
    return value


@contextmanager
def _opened(path: str | Path) -> Iterator[h5py.File]:
    try:
        parsing.check_file(Path(path))
        with hdf5.opened(path) as file:
            yield file
    except DataError:
        raise
    except OSError as error:
        raise DataError(path, f"cannot be read as a model file: {hdf5.reason(error)}") from error
    except (*hdf5.ERRORS, EfldError) as error:
        raise DataError(path, f"not a model file of this toolkit: {hdf5.reason(error)}") from error
