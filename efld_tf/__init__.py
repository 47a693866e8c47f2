"""From annotated faces to a tiny, fast, accurate landmark model on a phone.

Find faces and their landmarks:

    import efld_tf
    landmarker = efld_tf.load("research")           # or a bundle, a .tflite, a run
    faces = landmarker("photo.jpg")                 # a path, or an RGB array; a list gives lists
    faces[0].points, faces[0].names, faces[0].box, faces[0].confidence, faces[0].schema
    faces.draw()                                    # the picture as an array; .save(path)
    tracker = landmarker.track()
    faces = tracker(frame, seconds)                 # one frame of a video after another

Train a model, export it, measure it:

    run = efld_tf.train("recipe.yaml", steps=200)   # its folder, NME, history
    bundle = efld_tf.export(run, "int8", head="ibug51")
    result = efld_tf.evaluate(bundle, "ibug:PATH")  # its report(), nme_percent
    times = efld_tf.benchmark(bundle)
    efld_tf.score(result, times, power_w=1.9)

`load` and `benchmark` take exported models; `load` and `evaluate` trained ones too, with
TensorFlow, which `train` and `export` need. Models are files, folders, what a verb gave, or the
names of the shipped ones: `research`, not for commercial use, and `synthetic`. Mistakes raise
`EfldError`, of which `DataError` names the file and line. Each verb has its arguments in its help,
`help(efld_tf.load)`, and a command: efld-predict, efld-train, efld-export, efld-eval, efld-bench,
efld-score.
"""

from __future__ import annotations

import importlib
import os
import platform
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from efld_tf.api import benchmark as benchmark
    from efld_tf.api import evaluate as evaluate
    from efld_tf.api import export as export
    from efld_tf.api import load as load
    from efld_tf.api import score as score
    from efld_tf.api import train as train
    from efld_tf.benchmarking.latency import Benchmark as Benchmark
    from efld_tf.errors import DataError as DataError
    from efld_tf.errors import EfldError as EfldError
    from efld_tf.errors import UnsupportedMode as UnsupportedMode
    from efld_tf.evaluation.evaluate import Evaluation as Evaluation
    from efld_tf.exporting.report import Bundle as Bundle
    from efld_tf.runs import Run as Run
    from efld_tf.runtime.faces import Face as Face
    from efld_tf.runtime.faces import Faces as Faces
    from efld_tf.runtime.landmarker import FaceLandmarker as FaceLandmarker
    from efld_tf.runtime.tracker import FaceTracker as FaceTracker
    from efld_tf.scoring.score import PairScore as PairScore

# The module that defines each name; it is imported when the name is first used.
_PLACES = {
    "efld_tf.api": ("load", "train", "export", "evaluate", "benchmark", "score"),
    "efld_tf.errors": ("EfldError", "DataError", "UnsupportedMode"),
    "efld_tf.runs": ("Run",),
    "efld_tf.runtime.faces": ("Face", "Faces"),
    "efld_tf.runtime.landmarker": ("FaceLandmarker",),
    "efld_tf.runtime.tracker": ("FaceTracker",),
    "efld_tf.exporting.report": ("Bundle",),
    "efld_tf.evaluation.evaluate": ("Evaluation",),
    "efld_tf.benchmarking.latency": ("Benchmark",),
    "efld_tf.scoring.score": ("PairScore",),
}
_MODULES = {name: module for module, names in _PLACES.items() for name in names}

__all__ = [
    "Benchmark", "Bundle", "DataError", "EfldError", "Evaluation", "Face", "FaceLandmarker",
    "FaceTracker", "Faces", "PairScore", "Run", "UnsupportedMode", "benchmark", "evaluate",
    "export", "load", "score", "train",
]

# An untrusted photo may claim any size, and OpenCV's own limit of 2^30 pixels would take 6 GB. The
# largest photos of the data sets read here have 6e7 pixels. OpenCV reads this when it is loaded.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 27))

# TensorFlow leaves oneDNN's kernels off on x86 CPUs without AVX-512 VNNI, where training is much
# faster with them. TensorFlow reads this when it is loaded.
if platform.machine() in ("x86_64", "AMD64"):
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Imports a public name of the package when it is first used (PEP 562)."""
    if name not in _MODULES:
        known = ", ".join(__all__)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {known}")
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
