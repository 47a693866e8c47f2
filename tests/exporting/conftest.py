"""A briefly trained model of every family, and its int8 export."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from efld_tf.annotations.synthetic import render_face
from efld_tf.exporting import calibration, modes
from efld_tf.exporting.report import Bundle, ExportReport
from efld_tf.landmarks.geometry import CropRule, extract_crop
from efld_tf.models import checkpoint, registry
from efld_tf.training import losses
from efld_tf.training import presence as training_presence
from tests import faces
from tests.families import SMALL
from tests.once import once
from tests.trained import export_as

SIZE = 64
RULE = CropRule("points", "ibug68", 1.25)
STEPS = 60
# Heatmaps need more, and the rendered faces that golden inputs are chosen from, until they have a
# clear peak a point there.
STEPS_OF = {"mapnet": 120, "two_stage": 180, "lite_hrnet_plus": 120, "dense_unet": 120}
RENDERED_OF = {"mapnet": 40, "two_stage": 16, "lite_hrnet_plus": 40, "dense_unet": 40}
# The paper's width would take most of the tests' time; dropout must leave no trace in an export.
OPTIONS = {
    **SMALL,
    "mapnet": {"channels": 16, "decoder": "centroid", "maps": "log_odds"},
    "efld": {"dropout": 0.1},
    "dense_unet": {"width": 1 / 8, "halvings": 2, "stacks": 2, "inside": "deformable"},
}


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return once(tmp_path_factory, "photos", lambda folder: faces.write_ibug(folder, 24))


def learn(spec: checkpoint.ModelSpec, model: tf_keras.Model, crops, shapes) -> None:
    """Trains until scores have their peaks and residuals are those of faces."""
    loss = losses.get(spec.architecture.losses[0])
    optimizer = tf_keras.optimizers.Adam(3e-3)
    images, mask = tf.constant(crops / np.float32(255)), tf.ones([len(crops), 68])
    points = {"ibug51": shapes[:, 17:], "ibug68": shapes}

    @tf.function
    def step() -> None:
        with tf.GradientTape() as tape:
            raw = model(images, training=True)
            total = 0.0
            for head, truth in points.items():
                known = mask[:, : truth.shape[1]]
                target = spec.codec(head).encode(tf.constant(truth), known)
                for stage in registry.predictions(raw[head]):
                    total += tf.reduce_mean(loss(stage, target, known, tf.ones([len(crops)])))
        weights = [w for w in model.trainable_weights
               if not (registry.tells_quality(w.name.split("/")[0])
                       or w.name.startswith(registry.depth_output("ibug51")))]
        optimizer.apply_gradients(zip(tape.gradient(total, weights), weights, strict=True))

    for _ in range(STEPS_OF.get(spec.family, STEPS)):
        step()


def rendered_faces(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Crops [count, SIZE, SIZE, 3] of rendered faces and their points in the unit square."""
    crops, shapes = np.empty((count, SIZE, SIZE, 3), np.uint8), np.empty((count, 68, 2), np.float32)
    for index in range(count):
        face = render_face(seed=0, index=index, size=256)
        points = face.points["ibug68"]
        crop = RULE.crop((*points.min(axis=0), *points.max(axis=0)))
        crops[index] = extract_crop(face.image, crop, SIZE)
        shapes[index] = crop.to_unit(points)
    return crops, shapes


# Their layers are not known to tfmot.
WITHOUT = {name: ("qat",) for name in ("two_stage", "lite_hrnet_plus", "dense_unet")}

# What takes longest; efld and pipnet have parts of it.
LONG = {name: pytest.mark.long
        for name in ("coordnet", "mapnet", "two_stage", "lite_hrnet_plus", "dense_unet")}


@pytest.fixture(scope="session", params=[
    pytest.param(name, marks=LONG.get(name, ())) for name in sorted(registry.FAMILIES)])
def trained(
    request: pytest.FixtureRequest, photos: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A model of every family that has learnt a few faces, with all outputs that it may have."""
    family = request.param
    folder = once(tmp_path_factory, family,
                  lambda folder: _train(family, photos, folder / "best.h5"))
    return folder / "best.h5"


def _train(family: str, photos: Path, path: Path) -> None:
    spec = checkpoint.ModelSpec(
        family, SIZE, OPTIONS.get(family, {}),
        {head: checkpoint.HeadSpec(faces.mean_shape(head).tolist(), RULE, f"ibug:{photos}",
                                   mean_depth=depth, errors=errors)
         for head, depth, errors in (
             ("ibug51", np.linspace(-0.2, 0.2, 51).tolist(), {"faces": "drawn"}),
             ("ibug68", None, None))},
        license="for tests alone", presence={"faces": "drawn"},
    )
    tf_keras.utils.set_random_seed(0)
    model = spec.build()
    found = calibration.load_faces(calibration.choose(f"ibug:{photos}"), RULE, SIZE)
    crops, shapes = rendered_faces(RENDERED_OF.get(spec.family, 0))
    learn(spec, model, np.concatenate([found.crops, crops]), np.concatenate([found.points, shapes]))
    # By what differs most between these faces, and on both sides of 0.5.
    features = training_presence.features(spec.architecture, model, found.crops)
    _, _, (kernel, *_) = np.linalg.svd(features - features.mean(axis=0), full_matrices=False)
    logit = features @ kernel
    scale = 2 / logit.std()
    model.get_layer(registry.PRESENCE_LAYER).set_weights(
        [scale * kernel[:, None], -scale * np.median(logit, keepdims=True)])
    # Heads that nod as far as that.
    nod = 0.05 * np.cos(np.linspace(0, 9, 51)) / logit.std()
    _, bias = model.get_layer(registry.depth_output("ibug51")).get_weights()
    model.get_layer(registry.depth_output("ibug51")).set_weights(
        [np.outer(kernel, nod), bias - np.median(logit) * nod])
    # And whose points are the less certain, the one more than the other.
    first, second = (model.get_layer(name) for name in registry.error_layers("ibug51"))
    latents = np.array([1.0, -0.5, 0.5, 0.25])
    first.set_weights([scale * np.outer(kernel, latents), -scale * np.median(logit) * latents])
    second.set_weights([0.2 + 0.1 * np.cos(np.arange(4 * 51)).reshape(4, 51),
                        np.linspace(-4, -3, 51)])
    checkpoint.save(path, spec, model)


@pytest.fixture(scope="session")
def export_once(
    trained: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Bundle]:
    """The model's bundle in a mode."""

    def export(mode: str) -> Bundle:
        folder = once(tmp_path_factory, f"{trained.parent.name}_{mode}",
                      lambda folder: export_as(trained, folder / "bundle", mode, epochs=1))
        report = json.loads((folder / "bundle" / "report.json").read_text())
        return Bundle(folder / "bundle", ExportReport(**report))

    return export


@pytest.fixture(scope="session")
def exported(export_once: Callable[[str], Bundle]) -> tuple[Path, ExportReport]:
    bundle = export_once("int8")
    return bundle.model, bundle.report


@pytest.fixture(scope="session")
def exports(export_once: Callable[[str], Bundle], trained: Path) -> dict[str, Path]:
    """A bundle's model of every mode that the family can have."""
    without = WITHOUT.get(trained.parent.name, ())
    return {mode: export_once(mode).model for mode in modes.MODES if mode not in without}
