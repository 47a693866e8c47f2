"""Writes one head of a trained model as a Core ML program, which Apple's systems run."""

from __future__ import annotations

import contextlib
import hashlib
import json
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from efld_tf import __version__, files, folders
from efld_tf.errors import EfldError
from efld_tf.exporting import bundle, convert
from efld_tf.exporting.modes import Mode
from efld_tf.exporting.onnx_model import named, plain_groups, quiet
from efld_tf.exporting.report import Bundle, ExportReport
from efld_tf.models import costs
from efld_tf.models.predictor import FloatPredictor
from efld_tf.models.registry import PRESENCE
from efld_tf.models.trained import DEPTH, POINTS, TrainedModel
from efld_tf.progress import Progress
from efld_tf.quiet import silenced_stderr
from efld_tf.runtime import golden, portable
from efld_tf.runtime.golden import Differences
from efld_tf.runtime.metadata import MODEL_FILE, NAMES_FILE, ModelMetadata

IMAGE = "image"
MINIMUM = "iOS 16 and macOS 13"
# Float16 may move a point by a pixel of 128 at most, unless the places that a model chooses move.
ALLOWED = Differences(golden.LARGEST_TOLERANCE, bundle.CONFIDENCE_TOLERANCE,
                      golden.LARGEST_TOLERANCE, golden.LARGEST_TOLERANCE)
# Its parts have identifiers, which are drawn anew for each.
MANIFEST, IDENTIFIERS = "Manifest.json", uuid.UUID("7d1e9a54-3c0b-5f6e-9a57-0f1c2b6d8e43")


def check_installed() -> Any:
    """The package `coremltools`.

    Raises:
      EfldError: it is not installed.
    """
    try:
        with quiet(), silenced_stderr():
            import coremltools
    except ImportError as error:
        raise EfldError("--coreml: coremltools is not installed: pip install 'efld-tf[coreml]'") \
            from error
    return coremltools


def export(
    trained: TrainedModel, folder: Path, mode: Mode, metadata: ModelMetadata, *,
    progress: bool = False,
) -> Bundle:  # fmt: skip
    """Writes a bundle with an `.mlpackage`; an app gives it pixels of an image in any order.

    Nothing here can run it, so that its golden output is that of the trained model in float.

    Raises:
      EfldError: `coremltools` is missing, or cannot convert the network.
    """
    coremltools = check_installed()
    network = convert.rewritten(trained, mode, convert.NO_CROPS, progress=progress)
    with Progress("converting", 1, "model", shown=progress) as bar:
        program = _program(coremltools, network)
        bar.update()
    _describe(program, metadata)
    name = f"{trained.spec.family}_{trained.head}_{mode.name}{mode.suffix}"
    with folders.new_folder(folder) as temporary:
        path = temporary / name
        with quiet():
            program.save(str(path))
        _name_parts(path / MANIFEST)
        predictor = FloatPredictor(trained)
        image, allowed = _golden_image(predictor, trained)
        golden.write(path, mode.name, image, predictor.predict_outputs(image), allowed,
                     digest(path))
        with contextlib.suppress(portable.NotPortable):
            files.write_json(path.with_name(portable.FILE), {
                **portable.fields(predictor),
                "model": {"file": name, "license": metadata.license}})
        report = ExportReport(
            model=name, mode=mode.name, numbers=mode.name, head=trained.head,
            size_bytes=sum(part.stat().st_size for part in _parts(path)),
            macs=costs.total(network.network).macs, calibration_source="", calibration_faces=0,
            minimum_runtime=MINIMUM, operators=_operators(program), types={}, comparison={})
        bundle.tell(path, trained, report, allowed.points)
    return Bundle(folder, report)


def _golden_image(
    predictor: FloatPredictor, trained: TrainedModel
) -> tuple[np.ndarray, Differences]:
    """A rendered face on which noise moves no point far, and how far the program may move one.

    It is what `bundle.golden_image` does, by the trained model alone.
    """
    best, least = None, (np.inf, np.inf)
    for index in range(bundle.GOLDEN_FACES):
        image = bundle.rendered(index, trained.input_size, bundle.part_of(trained))
        expected = predictor.predict_outputs(image).points
        away = [np.abs(predictor.predict_outputs(noisy).points - expected)
                for noisy in bundle.noisy(image)]
        moved = float(np.max(away)), float(np.mean(away, axis=(1, 2, 3)).max())
        if moved < least:
            best, least = image, moved
        if 2 * least[0] <= ALLOWED.points:
            break
    if best is None:
        raise EfldError("--coreml: the model's points are not numbers on a rendered face")
    if 2 * least[0] <= ALLOWED.points:
        return best, ALLOWED
    points = min(2 * least[0], golden.LARGEST_TOLERANCE_OF_CHOICE)
    return best, ALLOWED._replace(
        points=points, mean=min(points, max(ALLOWED.points, 2 * least[1])))


def _name_parts(manifest: Path) -> None:
    """Gives the parts of a package identifiers that are the same each time."""
    content = json.loads(manifest.read_text())
    entries = content["itemInfoEntries"]
    names = {old: str(uuid.uuid5(IDENTIFIERS, entry["path"])).upper()
             for old, entry in entries.items()}
    content["itemInfoEntries"] = {names[old]: entry for old, entry in entries.items()}
    content["rootModelIdentifier"] = names[content["rootModelIdentifier"]]
    # As coremltools writes it, which it does again whenever it opens a package.
    files.write_text(manifest, json.dumps(content, indent=4, sort_keys=True) + "\n")


def digest(package: Path) -> str:
    """The SHA-256 of a package: of its files' hashes, in the order of their paths.

    Its manifest does not count, since programs that open a package write it again.
    """
    hashes = [files.sha256(part) for part in _parts(package) if part.name != MANIFEST]
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def _parts(package: Path) -> list[Path]:
    return sorted(part for part in package.rglob("*") if part.is_file())


def _program(coremltools: Any, trained: TrainedModel) -> Any:
    shape, network = [1, trained.input_size, trained.input_size, 3], named(trained.network)

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, name=IMAGE)])
    def landmarks(image: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = trained.decode(network(image, training=False))
        return {name: outputs[name] for name in (POINTS, PRESENCE, DEPTH) if name in outputs}

    with plain_groups(network):
        concrete = landmarks.get_concrete_function()
    # The converter takes no names of its own for outputs.
    names = dict(zip((output.op.name for output in concrete.outputs),
                     sorted(concrete.structured_outputs), strict=True))
    image = coremltools.ImageType(
        name=IMAGE, shape=shape, scale=1 / 255, color_layout=coremltools.colorlayout.RGB)
    try:
        with quiet(), silenced_stderr():
            program = coremltools.convert(
                [concrete], source="tensorflow", convert_to="mlprogram", inputs=[image],
                outputs=[coremltools.TensorType(name=name, dtype=np.float32) for name in names],
                minimum_deployment_target=coremltools.target.iOS16)
            specification = program.get_spec()
            for given, name in names.items():
                coremltools.utils.rename_feature(specification, given, name)
            return coremltools.models.MLModel(specification, weights_dir=program.weights_dir)
    except Exception as error:  # coremltools has none of its own
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise EfldError(f"--coreml: coremltools cannot convert the network: {reason[0]}") from error


def _describe(program: Any, metadata: ModelMetadata) -> None:
    program.author, program.license = "efld_tf", metadata.license
    program.version = __version__
    # The same export gives the same bytes.
    program.user_defined_metadata.pop("com.github.apple.coremltools.conversion_date", None)
    program.short_description = f"{metadata.family} {metadata.schema}: points of a face crop"
    program.user_defined_metadata[MODEL_FILE] = metadata.json()
    program.user_defined_metadata[NAMES_FILE] = "\n".join(metadata.names)
    program.input_description[IMAGE] = "a square crop of the face, see efld.json"
    program.output_description[POINTS] = \
        "x, y in the unit square of the crop; pixel j of W is at (j + 0.5) / W"


def _operators(program: Any) -> dict[str, int]:
    """How many of each operator the program has, without constants."""
    (function,) = program.get_spec().mlProgram.functions.values()
    (block,) = function.block_specializations.values()
    names = Counter(operation.type for operation in block.operations)
    return {name: count for name, count in sorted(names.items()) if name != "const"}
