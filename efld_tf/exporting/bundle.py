"""Writes an export's folder: the model, and all that somebody needs who gets only that folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import yaml

from efld_tf import files, runs
from efld_tf.annotations.synthetic.render import render_face
from efld_tf.errors import DataError, EfldError
from efld_tf.exporting import card, micro
from efld_tf.exporting.report import CALIBRATION, CARD, LAYERS, REPORT, SCHEMA, ExportReport
from efld_tf.landmarks import schemas
from efld_tf.landmarks.geometry import Crop, CropRule, extract_crop, zoomed
from efld_tf.landmarks.schema_fields import to_fields
from efld_tf.models.trained import TrainedModel
from efld_tf.runtime import golden, graph, interpreter, onnx_file, portable
from efld_tf.runtime.crop_maps import WHOLE
from efld_tf.runtime.golden import Differences
from efld_tf.runtime.model_crops import ModelCrops, needs_mean_shape

FILES = frozenset({REPORT, CALIBRATION, CARD, SCHEMA, LAYERS, portable.FILE, golden.FILE,
                   golden.INPUT_FILE, golden.OUTPUT_FILE, micro.HEADER, micro.SOURCE})
# The tolerance in crop sides, half a pixel of 128: several times the differences seen between
# kernels, and far below the effect of a wrong colour order, crop or normalisation.
TOLERANCE = 0.004
GOLDEN_FACES = 16
NOISY_IMAGES = 3
# A folder, which only Apple's systems run.
COREML = ".mlpackage"
# This is three steps of the int8 log-odds at a confidence of 0.5, where it changes fastest.
CONFIDENCE_TOLERANCE = 0.05


def check_replaceable(folder: Path) -> None:
    """Refuses to replace anything but a bundle.

    Raises:
      DataError: the path is a file, or a folder that holds anything that no export writes.
    """
    if not folder.exists():
        return
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else {""}
    models = {name for name in names if name.endswith((*runs.EXPORTED, COREML))}
    if names - FILES - models or len(models) > 1 or (names and golden.FILE not in names):
        raise DataError(folder, "exists and is not an export alone; name another with --output")


def golden_image(
    model: Path, size: int, part: Crop = WHOLE
) -> tuple[np.ndarray, Differences]:
    """Chooses a rendered face as the golden input, cropped as a detector would, and tolerances.

    Kernels differ by a step of the grid. If two cells of a score map are nearly equal, such a step
    moves a point by a cell. So the face is the first one on which the fast and the plain kernels
    agree well, in all that they tell, or the one of `GOLDEN_FACES` on which they agree best; the
    tolerance is twice the difference of their points, depths and expected errors. Others round in
    other places, which matters if a quantised model chooses places, by a search or by rounding:
    then the points also have to stay in place when the image changes by a level of noise. Some of
    them may still jump, which the tolerance allows; so that of the mean is stated, too.

    Args:
      size: S, the side of the model's input in pixels.
      part: the part of the reference crop that the model sees, in its unit square.

    Returns:
      The image [1, S, S, 3] uint8, and the tolerances.

    Raises:
      EfldError: the kernels agree on no face, or the model's points are not numbers.
    """
    best, differences, least = None, Differences(np.inf, np.inf, np.inf, np.inf), np.inf
    limit = golden.largest_tolerance(model)
    chooses = limit == golden.LARGEST_TOLERANCE_OF_CHOICE
    stored = _weight_types(model)
    for index in range(GOLDEN_FACES):
        image = rendered(index, size, part)
        face_differences = _kernels_differ(model, image, noise=chooses and "int8" in stored)
        share = 2 * float(np.max([  # NaN if one of them is
            face_differences.points / limit, face_differences.confidence / CONFIDENCE_TOLERANCE,
            face_differences.depth / golden.LARGEST_DEPTH_TOLERANCE,
            face_differences.errors / golden.LARGEST_ERRORS_TOLERANCE]))
        if share < least:
            best, differences, least = image, face_differences, share
        if max(differences.points, differences.depth, differences.errors) < TOLERANCE / 2 \
                and differences.confidence < CONFIDENCE_TOLERANCE / 2:
            break
    if best is None:
        raise EfldError(f"{model.name}: its outputs are not numbers on a rendered face")
    for what, difference, most in (
            ("depths", differences.depth, golden.LARGEST_DEPTH_TOLERANCE),
            ("expected errors", differences.errors, golden.LARGEST_ERRORS_TOLERANCE)):
        if 2 * difference > most:
            raise EfldError(
                f"{model.name}: the {what} of {_both_kernels(model)} kernels differ by "
                f"{difference:.4f} of the crop or more on each of {GOLDEN_FACES} rendered faces; "
                f"{most / 2:.4f} are allowed. It is hardly trained")
    if 2 * differences.points > limit:
        reason = "the places that it chooses are not clear" if chooses else \
            "its decoding magnifies the rounding of its numbers"
        raise EfldError(
            f"{model.name}: the points of {_both_kernels(model)} kernels differ by "
            f"{differences.points:.4f} of the crop or more on each of {GOLDEN_FACES} rendered "
            f"faces; {limit / 2:.4f} are allowed. It is hardly trained, or {reason}"
        )
    points = max(TOLERANCE, 2 * differences.points)
    mean = 2 * (differences.mean or 0)
    return best, Differences(
        points, CONFIDENCE_TOLERANCE, max(TOLERANCE, 2 * differences.depth),
        max(TOLERANCE, 2 * differences.errors),
        min(points, max(TOLERANCE, mean)) if chooses else None)


def rendered(index: int, size: int, part: Crop) -> np.ndarray:
    """A rendered face [1, S, S, 3] uint8; arguments as in `golden_image`."""
    face = render_face(seed=0, index=index, size=256)
    points = face.points["ibug68"]
    box = (*points.min(axis=0), *points.max(axis=0))
    crop = CropRule("points", "ibug68", 1.25).crop(box).within(part)
    return extract_crop(face.image, crop, size)[None]


def _weight_types(model: Path) -> set[str]:
    if onnx_file.is_onnx(model):
        return set(onnx_file.read(model).types)
    return {tensor.dtype for tensor in graph.read(model).tensors if tensor.constant}


def _both_kernels(model: Path) -> str:
    return " and ".join(interpreter.kernels(model, fast=fast) for fast in (True, False))


def _kernels_differ(model: Path, image: np.ndarray, noise: bool) -> Differences:
    """The largest differences between the fast kernels and the plain ones.

    With noise, those of the fast ones between the image and noisy ones count as well.
    """
    expected = golden.run(model, image)
    results = [golden.run(model, image, fast=False)]
    results += [golden.run(model, near) for near in (noisy(image) if noise else ())]
    off = [None if first is None else np.abs(np.array(others) - first)
           for first, *others in zip(expected, *results, strict=True)]
    assert off[0] is not None
    points, confidence, depth, errors = (0.0 if one is None else float(one.max()) for one in off)
    mean = float(off[0].reshape(len(results), -1).mean(axis=1).max())
    return Differences(points, confidence, depth, errors, mean)


def noisy(image: np.ndarray) -> Iterator[np.ndarray]:
    """Images [1, S, S, 3] uint8 that differ from `image` by at most one level."""
    random = np.random.default_rng(0)
    for _ in range(NOISY_IMAGES):
        noise = random.integers(-1, 2, image.shape)
        yield np.clip(image + noise, 0, 255).astype(np.uint8)


def part_of(trained: TrainedModel) -> Crop:
    """The part of the reference crop that a model sees, as far as it is known.

    Of a stretched crop it is a square nevertheless: a golden input need not look natural.
    """
    schema, mean_shape = schemas.get(trained.head), np.array(trained.head_spec.mean_shape)
    usual = zoomed(trained.crop_rule.zoom)
    if trained.crop_rule.stretched or not needs_mean_shape(schema, trained.crop_rule, mean_shape):
        return usual
    return ModelCrops(schema, trained.crop_rule, mean_shape).shown or usual


def complete(model: Path, trained: TrainedModel, report: ExportReport) -> None:
    """Writes schema, golden files, report and card beside an exported model."""
    image, allowed = golden_image(model, trained.input_size, part_of(trained))
    golden.write(model, report.numbers, image, golden.run(model, image), allowed)
    with contextlib.suppress(portable.NotPortable):
        files.write_json(model.with_name(portable.FILE), portable.described(model))
    tell(model, trained, report, allowed.points)


def tell(model: Path, trained: TrainedModel, report: ExportReport, tolerance: float) -> None:
    """Writes schema, report and card beside an exported model."""
    schema = schemas.get(trained.head)
    fields = yaml.safe_dump(to_fields(schema), sort_keys=False, allow_unicode=True, width=100)
    files.write_text(model.with_name(SCHEMA), fields)
    told = asdict(report)
    for name in ("calibration_photos", "micro"):  # only some exports have them
        if not told[name]:
            del told[name]
    files.write_json(model.with_name(REPORT), told)
    files.write_text(model.with_name(CARD), card.card(trained.spec, report, tolerance))
