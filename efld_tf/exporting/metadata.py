"""Writes TFLite metadata, which Android Studio, MediaPipe's tools and our runtime read."""

from __future__ import annotations

import importlib.util
import io
import zipfile
from typing import Any

import flatbuffers

from efld_tf import __version__
from efld_tf.exporting import flatbuffer
from efld_tf.landmarks import model_outputs, schemas
from efld_tf.landmarks.model_outputs import Places
from efld_tf.runtime.blazeface import bundled
from efld_tf.runtime.metadata import MODEL_FILE, NAMES_FILE, ModelMetadata
from efld_tf.runtime.model_license import METADATA_NAME

FILE_IDENTIFIER = b"M001"


def _load_schema() -> Any:
    """MediaPipe's generated classes of the metadata format.

    MediaPipe itself is not imported: that would take ten seconds and load JAX.
    """
    path = bundled("tasks/metadata/metadata_schema_py_generated.py")
    spec = importlib.util.spec_from_file_location("mediapipe_metadata_schema", path)
    assert spec is not None and spec.loader is not None  # a Python file has a loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


schema = _load_schema()


def add(model: bytes, model_metadata: ModelMetadata) -> bytes:
    """The model with its metadata and the two associated files."""
    tree = flatbuffer.read(model)
    graph = tree.subgraphs[0]
    places = model_outputs.places([graph.tensors[index].shape for index in graph.outputs])
    builder = flatbuffers.Builder(0)
    builder.Finish(_model_metadata(model_metadata, places).Pack(builder), FILE_IDENTIFIER)
    flatbuffer.add_metadata(tree, METADATA_NAME, bytes(builder.Output()))
    file = io.BytesIO(flatbuffer.write(tree))
    # The format is a ZIP archive behind the flatbuffer. MediaPipe's populator does the same, but
    # stores uncompressed and rewrites the flatbuffer in a longer form.
    with zipfile.ZipFile(file, "a") as archive:
        names = "\n".join(model_metadata.names)
        for name, content in ((NAMES_FILE, names), (MODEL_FILE, model_metadata.json())):
            # `ZipInfo` has a fixed time stamp, so that the same model gives the same bytes.
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return file.getvalue()


def _model_metadata(model_metadata: ModelMetadata, places: Places) -> Any:
    title = schemas.get(model_metadata.schema).title
    result = schema.ModelMetadataT()
    result.name = f"{model_metadata.family} {model_metadata.schema}"
    result.description = f"{title} of the face in a square crop"
    result.version = __version__
    result.author = "efld_tf"
    if model_metadata.license:
        result.license = model_metadata.license
    result.associatedFiles = [_file(MODEL_FILE, schema.AssociatedFileType.DESCRIPTIONS)]
    graph = schema.SubGraphMetadataT()
    graph.inputTensorMetadata = [_image_metadata()]
    graph.outputTensorMetadata = [_points_metadata()]
    if places.confidence is not None:
        graph.outputTensorMetadata.append(_confidence_metadata(places.errors))
    if places.depth is not None:
        graph.outputTensorMetadata.append(_depth_metadata())
    result.subgraphMetadata = [graph]
    return result


def _image_metadata() -> Any:
    image = schema.TensorMetadataT()
    image.name = "image"
    image.description = "uint8 RGB face crop; see efld.json for how it is cut"
    image.content = schema.ContentT()
    image.content.contentPropertiesType = schema.ContentProperties.ImageProperties
    image.content.contentProperties = schema.ImagePropertiesT()
    image.content.contentProperties.colorSpace = schema.ColorSpaceType.RGB
    # The quantised input takes pixels as they are; 0 to 255 stand for 0 to 1.
    unit = schema.ProcessUnitT()
    unit.optionsType = schema.ProcessUnitOptions.NormalizationOptions
    unit.options = schema.NormalizationOptionsT()
    unit.options.mean, unit.options.std = [0.0], [255.0]
    image.processUnits = [unit]
    image.stats = schema.StatsT()
    image.stats.min, image.stats.max = [0.0], [255.0]
    return image


def _points_metadata() -> Any:
    points = schema.TensorMetadataT()
    points.name = "points"
    points.description = "x, y in the unit square of the crop; pixel j of W is at (j + 0.5) / W"
    points.dimensionNames = ["batch", "point", "xy"]
    points.content = _feature()
    points.associatedFiles = [_file(NAMES_FILE, schema.AssociatedFileType.TENSOR_AXIS_LABELS)]
    return points


def _confidence_metadata(errors: bool) -> Any:
    confidence = schema.TensorMetadataT()
    confidence.name = "confidence"
    confidence.description = "how sure it is that the crop shows a face, 0 to 1"
    confidence.dimensionNames = ["batch", "face"]
    if errors:
        confidence.name = "confidence and errors"
        confidence.description += "; then how far off each point may be, in sides of the crop"
        confidence.dimensionNames = ["batch", "face and points"]
    confidence.content = _feature()
    confidence.stats = schema.StatsT()
    confidence.stats.min, confidence.stats.max = [0.0], [1.0]
    return confidence


def _depth_metadata() -> Any:
    depth = schema.TensorMetadataT()
    depth.name = "depth"
    depth.description = "how far each point is in front of their mean, in sides of the crop"
    depth.dimensionNames = ["batch", "point"]
    depth.content = _feature()
    return depth


def _feature() -> Any:
    content = schema.ContentT()
    content.contentPropertiesType = schema.ContentProperties.FeatureProperties
    content.contentProperties = schema.FeaturePropertiesT()
    return content


def _file(name: str, kind: int) -> Any:
    file = schema.AssociatedFileT()
    file.name, file.type = name, kind
    return file
