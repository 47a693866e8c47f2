"""Core ML programs have the ends, the weights and the golden files of the model; none runs here."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import coremltools
import numpy as np
import pytest

from efld_tf.cli import verify
from efld_tf.exporting import bundle, coreml_model
from efld_tf.exporting.report import Bundle
from efld_tf.models import registry
from efld_tf.runtime import portable
from tests.errors import refuses
from tests.exporting.conftest import SIZE
from tests.trained import export_as, float_predictor

ONE_FAMILY = pytest.mark.parametrize("trained", ["efld"], indirect=True)


@pytest.fixture
def exported(export_once: Callable[[str], Bundle]) -> Bundle:
    return export_once("coreml")


@pytest.mark.parametrize(
    "trained", [name if name == "efld" else pytest.param(name, marks=pytest.mark.long)
                for name in registry.FAMILIES], indirect=True)
def test_ends_and_metadata(exported: Bundle) -> None:
    model = coremltools.models.MLModel(str(exported.model), skip_model_load=True)
    told = model.get_spec().description
    (image,) = told.input
    assert (image.name, image.type.imageType.width, image.type.imageType.height) \
        == ("image", SIZE, SIZE)
    outputs = {output.name: output.type.multiArrayType for output in told.output}
    assert {name: list(kind.shape) for name, kind in outputs.items()} \
        == {"points": [1, 51, 2], "presence": [1, 52], "depth": [1, 51]}
    assert {kind.dataType for kind in outputs.values()} == {65568}  # FLOAT32
    about = model.user_defined_metadata
    assert json.loads(about["efld.json"])["schema"] == "ibug51"
    assert len(about["landmarks.txt"].splitlines()) == 51
    assert model.license == "for tests alone"


@ONE_FAMILY
def test_the_bundle_tells_what_it_must_give(exported: Bundle, trained: Path) -> None:
    golden = json.loads((exported.folder / "golden.json").read_text())
    pixels = np.fromfile(exported.folder / "golden_input.bin", np.uint8)
    expected = float_predictor(trained, "ibug51").predict_outputs(pixels.reshape(1, SIZE, SIZE, 3))
    np.testing.assert_allclose(golden["output"]["points"], expected.points[0], atol=2e-6)
    assert golden["model"]["sha256"] == coreml_model.digest(exported.model)
    described = json.loads((exported.folder / portable.FILE).read_text())
    assert described["model"]["file"] == exported.model.name
    card = (exported.folder / "MODEL_CARD.md").read_text()
    assert "iOS 16" in card and "efld-verify" not in card
    with refuses("Core ML", path=exported.folder):
        verify.main([str(exported.folder)])


@ONE_FAMILY
def test_the_same_export_gives_the_same_bytes(
    exported: Bundle, trained: Path, tmp_path: Path
) -> None:
    again = export_as(trained, tmp_path / "again", "coreml")
    for path in exported.folder.rglob("*"):
        if path.is_file():
            other = again.folder / path.relative_to(exported.folder)
            assert other.read_bytes() == path.read_bytes(), path.name


@pytest.mark.long
@pytest.mark.parametrize("trained", ["mapnet"], indirect=True)
def test_places_that_noise_moves_are_allowed_for(exported: Bundle, trained: Path) -> None:
    golden = json.loads((exported.folder / "golden.json").read_text())["output"]
    predictor = float_predictor(trained, "ibug51")
    image = np.fromfile(exported.folder / "golden_input.bin", np.uint8)
    image = image.reshape(1, SIZE, SIZE, 3)
    expected = predictor.predict_outputs(image).points
    for noisy in bundle.noisy(image):
        away = np.abs(predictor.predict_outputs(noisy).points - expected)
        assert away.max() <= golden["tolerance"]


@ONE_FAMILY
def test_faces_to_compare_on_are_refused(trained: Path, tmp_path: Path) -> None:
    with refuses("--faces", "coreml"):
        export_as(trained, tmp_path / "none", "coreml", compare_on="ibug:somewhere")
    assert not (tmp_path / "none").exists()


@ONE_FAMILY
def test_without_the_package_it_says_what_to_install(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "coremltools", None)
    with refuses("--coreml", "efld-tf[coreml]"):
        export_as(trained, tmp_path / "none", "coreml")
    assert not (tmp_path / "none").exists()
