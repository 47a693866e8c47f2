"""The tool gives a model a confidence that tells rendered faces from what is around them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from efld_tf import assets
from efld_tf.annotations.synthetic.dataset import write_dataset
from efld_tf.annotations.synthetic.render import render_face
from efld_tf.evaluation import presence as crops_of
from efld_tf.evaluation.scenes import paste
from efld_tf.landmarks.geometry import tight_box
from efld_tf.models import checkpoint
from tests.errors import assert_told
from tests.trained import float_predictor
from tools import fit_presence


def write_scenes(folder: Path, count: int) -> Path:
    """Rendered faces in larger pictures, and their boxes as the tool takes them."""
    folder.mkdir()
    boxes = {}
    for index in range(count):
        face = render_face(seed=7, index=index, size=192)
        scene = paste(face.image, face.points["ibug68"], f"face {index}")
        x0, y0, x1, y1 = tight_box(scene.place(face.points["ibug68"])).tolist()
        height = (y1 - y0) * 1.25  # from the hairline
        boxes[f"{index}.png"] = [[x0, y1 - height, x1 - x0, height]]
        cv2.imwrite(str(folder / f"{index}.png"), scene.image[..., ::-1])
    (folder / "boxes.json").write_text(json.dumps(boxes))
    return folder


@pytest.mark.long
def test_a_presence_is_fitted(tmp_path: Path, monkeypatch, capsys) -> None:
    for name, value in (("PATCHES", 30), ("BLANKS", 60), ("DETECTORS", (("short", 200.0),))):
        monkeypatch.setattr(crops_of, name, value)  # enough here, and quicker
    monkeypatch.setattr(fit_presence, "ROUNDS", 2)
    scenes = write_scenes(tmp_path / "scenes", 16)
    write_dataset(tmp_path / "faces", "ibug68", 40, seed=3, size=128)
    spec = checkpoint.read_spec(assets.FLOAT_MODEL)
    before = float_predictor(assets.FLOAT_MODEL)
    fit_presence.main([str(assets.FLOAT_MODEL), "--faces", f"ibug:{tmp_path / 'faces'}", "--scenes",
               str(scenes), "--boxes", str(scenes / "boxes.json"), "--output",
               str(tmp_path / "new.h5"), "--license", "for tests alone"])
    assert_told(capsys.readouterr().out, "confidence", 0.5)
    found = checkpoint.read_spec(tmp_path / "new.h5")
    assert found.license == "for tests alone"
    assert replace(found, license=spec.license, presence=None) == replace(spec, presence=None)
    assert found.presence["faces"] == {f"ibug:{tmp_path / 'faces'}": 40}
    rates = found.presence["other_scenes_percent"]
    assert rates["face of scenes"] > 85 and rates["patch"] < 15
    # Another confidence, by fresh faces, and the same points.
    predictor = float_predictor(tmp_path / "new.h5")
    faces = [render_face(seed=8, index=index, size=192) for index in range(12)]
    crops = [predictor.crop_rule.crop(tight_box(face.points["ibug68"])) for face in faces]
    seen = [[p.predict_in(face.image, [crop]) for face, crop in zip(faces, crops, strict=True)]
            for p in (before, predictor)]
    confidence = np.array([[one.confidence[0] for one in row] for row in seen])
    assert (confidence[1] >= 0.5).mean() > 0.8 and np.abs(confidence[0] - confidence[1]).max() > 0
    np.testing.assert_allclose(*([one.points for one in row] for row in seen), atol=1e-4)
    noise = np.random.default_rng(0).integers(0, 256, (8, 128, 128, 3), np.uint8)
    assert predictor.predict_outputs(noise).confidence.max() < 0.5


def test_weights_share_out_what_counts() -> None:
    found = crops_of.PresenceCrops(8, crops_of.AS_IS, np.random.default_rng(0))
    found.kinds = ["face"] * 5 + ["patch"] * 4 + ["alarm"]
    found.sources = ["a"] * 3 + ["scenes"] * 2 + ["scenes"] * 5
    weight = fit_presence.weights(found)
    assert weight[:5].sum() == pytest.approx(1) == pytest.approx(weight[5:].sum())
    assert weight[3] * 2 / (weight[0] * 3) == pytest.approx(fit_presence.SCENES)
    kinds = fit_presence.KINDS
    assert weight[5] * 4 / weight[9] == pytest.approx(kinds["patch"] / kinds["alarm"])
