"""A model of every family with weights of a plausible size, and its int8 export."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from efld_tf.export import calibration, export
from efld_tf.landmarks.geometry import CropRule
from efld_tf.models import checkpoint, registry
from tests import faces

SIZE = 64
RULE = CropRule("points", "ibug68", 1.25)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return faces.write_ibug(tmp_path_factory.mktemp("photos"), 24)


@pytest.fixture(scope="session", params=sorted(registry.FAMILIES))
def trained(request, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with weights of a plausible size, of every family, with a presence output."""
    spec = checkpoint.ModelSpec(
        request.param, SIZE, {},
        {head: checkpoint.HeadSpec(faces.mean_shape(head).tolist(), RULE, f"ibug:{photos}")
         for head in ("ibug51", "ibug68")},
        license="for tests alone", presence={"faces": "drawn"},
    )
    model = spec.build()
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if "points/kernel" in weight.name or weight.name.endswith("bias:0"):
            weight.assign(rng.normal(0, 0.02, weight.shape))
    presence = model.get_layer("presence")  # different for these faces, and on both sides of 0.5
    presence.set_weights([rng.normal(0, 6, presence.kernel.shape), np.zeros(1)])
    crops = calibration.load_faces(calibration.choose(f"ibug:{photos}"), RULE, SIZE).crops
    logit = model(crops / np.float32(255))["presence"].numpy()
    presence.set_weights([presence.kernel, -np.median(logit, axis=0)])
    path = tmp_path_factory.mktemp("run") / "best.h5"
    checkpoint.save(path, spec, model)
    return path


@pytest.fixture(scope="session")
def exported(trained: Path) -> tuple[Path, export.ExportReport]:
    folder = trained.parent / "bundle"
    report = export.export(trained, folder, "int8", head="ibug51")
    return folder / report.model, report
