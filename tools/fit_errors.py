"""Lets a trained model tell how far off its points may be: an output of expected errors.

    python tools/fit_errors.py MODEL.h5 --faces READER:PATH [READER:PATH ...] \\
        --calibrate packed:PATH [READER:PATH ...] --judge READER:PATH [READER:PATH ...] \\
        --output MODEL.h5

Two dense layers are fitted to the features of the model, which stay as they are, and so do its
landmarks. The faces have the points of the model's head. They are looked at as they are and made
worse at random: `efld_tf.evaluation.expected_errors`. Errors are smaller on faces that the model
was trained on: so how large they are is fitted to those of `--calibrate`, which it has not learnt,
such as what a training held out. Those of `--judge` are only measured on. The model needs a
presence output first (`tools/fit_presence.py`).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from efld_tf import quiet
from efld_tf.cli import common
from efld_tf.errors import EfldError

WORSE = 3  # copies of each photo


def main(argv: Sequence[str] | None = None) -> None:
    """Fits, writes the model and prints how well it tells the errors of other faces."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model", type=Path, help="a trained .h5")
    parser.add_argument("--head", help="whose errors; by default the model's first")
    parser.add_argument("--faces", nargs="+", required=True, help="annotated sources to fit to")
    parser.add_argument("--calibrate", nargs="+", default=[],
                        help="annotated sources that the model has not learnt")
    parser.add_argument("--judge", nargs="+", default=[], help="annotated sources to measure on")
    parser.add_argument("--worse", type=int, default=WORSE, help="worse copies of each photo")
    parser.add_argument("--output", type=Path, required=True, help="the model to write")
    arguments = parser.parse_args(argv)
    quiet.quiet_tensorflow()
    from efld_tf.evaluation import expected_errors
    from efld_tf.models import checkpoint
    from efld_tf.models.predictor import FloatPredictor
    from efld_tf.models.trained import TrainedModel
    from efld_tf.training import expected_errors as fitting
    from efld_tf.training import presence

    spec, model = checkpoint.load(arguments.model)
    head = checkpoint.chosen_head(arguments.model, spec, arguments.head)
    predictor = FloatPredictor(TrainedModel.of(arguments.model, spec, model, head))
    looks, others = expected_errors.Looks(), expected_errors.Looks()
    counts, calibrated = (
        {source: expected_errors.add_source(some, predictor, source, arguments.worse)
         for source in sources}
        for some, sources in ((looks, arguments.faces), (others, arguments.calibrate)))

    def seen(some: expected_errors.Looks) -> tuple[np.ndarray, np.ndarray]:
        return (presence.features(spec.architecture, model, np.stack(some.crops)),
                np.stack(some.errors))

    for source, faces in (counts | calibrated).items():
        if not faces:
            raise EfldError(f"{source}: none of its faces has all points of {head}")
    layers = fitting.fit(*seen(looks), looks.photos,
                         calibration=seen(others) if calibrated else None)
    about = {"faces": counts, "worse_copies": arguments.worse, "calibration_faces": calibrated}
    spec, model = fitting.attached(spec, model, head, layers, about)
    checkpoint.save(arguments.output, spec, model)
    print(f"{arguments.output}: {len(looks.crops)} looks, penalty {layers.penalty:g}")
    predictor = FloatPredictor(TrainedModel.of(arguments.output, spec, model, head))
    for source in arguments.judge:
        judged = expected_errors.Looks()
        expected_errors.add_source(judged, predictor, source, arguments.worse)
        print(f"{source}: {expected_errors.summary(judged)}")


if __name__ == "__main__":
    raise SystemExit(common.run(main))
