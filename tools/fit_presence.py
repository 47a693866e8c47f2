"""Gives a trained model a presence output: a confidence that the crop shows a face.

    python tools/fit_presence.py MODEL.h5 --faces READER:PATH [READER:PATH ...] \\
        --scenes FOLDER --boxes boxes_xywh.json --output MODEL.h5

One dense layer is fitted to the features of the model, which stay as they are, and so do its
landmarks. Scenes are photos of which every face's box is known, [x, y, width, height] in pixels:
half of them, by the SHA-256 of their names, are fitted to, and the other half is only measured on.
What is told apart, and how crops are varied: `efld_tf.evaluation.presence`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from efld_tf import quiet
from efld_tf.cli import common

FACES_A_SOURCE = 1500
# What each kind of crop without a face counts for; all of them count as much as all faces, of which
# each source counts alike but for the scenes: many of their faces are in profile, covered or so
# blurred that a landmark model finds nothing there.
KINDS = {"patch": 0.4, "alarm": 0.25, "partial": 0.25, "blank": 0.1}
SCENES = 0.5
# How often each scene is cut, each time with other variations.
ROUNDS = 3


def main(argv: Sequence[str] | None = None) -> None:
    """Fits, writes the model and prints the rates on the scenes that were not fitted to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model", type=Path, help="a trained .h5")
    parser.add_argument("--faces", nargs="+", required=True, help="annotated sources")
    parser.add_argument("--scenes", required=True, help="folder of photos")
    parser.add_argument("--boxes", required=True, help="their faces' boxes, a JSON file")
    parser.add_argument("--output", type=Path, required=True, help="the model to write")
    parser.add_argument("--license", help="of the weights, as these photos too allow")
    arguments = parser.parse_args(argv)
    quiet.quiet_tensorflow()
    from efld_tf.evaluation import presence as crops_of
    from efld_tf.models import checkpoint
    from efld_tf.models.predictor import FloatPredictor
    from efld_tf.models.trained import TrainedModel
    from efld_tf.training import presence

    spec, model = checkpoint.load(arguments.model)
    fitting, measuring = (crops_of.read_scenes(arguments.scenes, arguments.boxes, half)
                          for half in (0, 1))
    looking = FloatPredictor(TrainedModel.of(
        Path(arguments.model), spec, model, next(iter(spec.heads))))
    size, zoom = spec.input_size, looking.crop_rule.zoom
    found = crops_of.PresenceCrops(size, crops_of.FOR_FITTING, np.random.default_rng(0), zoom)
    counts = {source: crops_of.add_source(found, source, FACES_A_SOURCE)
              for source in arguments.faces}
    crops_of.add_scenes(found, fitting, looking, rounds=ROUNDS)
    found.add_blanks(crops_of.BLANKS)
    x = presence.features(spec.architecture, model, found.stacked)
    face = np.array(found.kinds) == crops_of.FACE
    layer = presence.fit(x, face, weights(found), found.photos)
    held = crops_of.PresenceCrops(size, crops_of.AS_IS, np.random.default_rng(1), zoom)
    crops_of.add_scenes(held, measuring, looking)
    logit = presence.features(spec.architecture, model, held.stacked) @ layer.kernel + layer.bias
    about: dict[str, Any] = {
        "faces": counts,
        "scenes": f"{len(fitting)} photos of {arguments.scenes}",
        "held_out_percent": rates(found, layer.held_out),
        "other_scenes_percent": rates(held, logit),
    }
    spec, model = presence.attached(spec, model, layer, about)
    license = spec.license if arguments.license is None else arguments.license
    checkpoint.save(arguments.output, replace(spec, license=license), model)
    print(f"{arguments.output}: {len(x)} crops, penalty {layer.penalty:g}")
    for title in ("held_out_percent", "other_scenes_percent"):
        print(f"confidence of 0.5 and more, {title.replace('_', ' ')}: " + ", ".join(
            f"{kind} {value}" for kind, value in about[title].items()))


def weights(found: Any) -> np.ndarray:
    """What each crop counts for."""
    kinds, origins = np.array(found.kinds), np.array(found.sources)
    result = np.zeros(len(kinds))
    face = kinds == "face"
    for source in sorted(set(origins[face])):
        own = face & (origins == source)
        result[own] = (SCENES if source == "scenes" else 1.0) / own.sum()
    result[face] /= result[face].sum()
    for kind, share in KINDS.items():
        own = kinds == kind
        result[own] = share / max(own.sum(), 1)
    result[~face] /= result[~face].sum()
    return result


def rates(found: Any, logit: np.ndarray) -> dict[str, float]:
    """The share of each kind that is taken for a face, in percent; faces by their source."""
    from efld_tf.evaluation.evaluate import percent

    labels = [f"{kind} of {source}" if kind == "face" else kind
              for kind, source in zip(found.kinds, found.sources, strict=True)]
    return {label: percent((logit[np.array(labels) == label] >= 0).mean())
            for label in sorted(set(labels))}


if __name__ == "__main__":
    raise SystemExit(common.run(main))
