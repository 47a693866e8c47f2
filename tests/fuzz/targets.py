"""What strangers' bytes are given to: a parser each, which parses them or raises an EfldError.

Any other exception, a crash, a wait and a lack of memory are findings.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from efld_tf.errors import EfldError

# Gives a parser the content of a file; the folder is empty at first, and the target's own.
Parser = Callable[[Path, bytes], object]

CORPUS = Path(__file__).parent / "corpus"

LAYOUTS = ("layouts", "layouts_browser", "layouts_labelme", "layouts_matlab", "layouts_tables",
           "layouts_text", "layouts_yolo")
# The first inputs of these are binary files of real data sets, which may not be published: they are
# taken from `EFLD_DATA`, where it is.
REAL_SEEDS = ("annotations_aflw2000", "annotations_cofw68", "annotations_scut")
# Larger photos than the seeds take long to decode, in libraries that are not measured here.
MOST_PIXELS = 1 << 18
# Of reading a small HDF5 file.
HDF5_SECONDS = 0.5


@dataclass(frozen=True)
class Target:
    """A parser to be fuzzed.

    Attributes:
      name: also of the folder of its corpus.
      load: imports what it needs, and gives the parser.
      tensorflow: whether that imports TensorFlow, which takes seconds.
      max_bytes: of an input.
    """

    name: str
    load: Callable[[], Parser]
    tensorflow: bool = False
    max_bytes: int = 1 << 15


def first_inputs(target: Target) -> list[bytes]:
    """The kept inputs of a target, or a file of the real data sets, if these are there."""
    if target.name not in REAL_SEEDS:
        return [path.read_bytes() for path in sorted((CORPUS / target.name).iterdir())]
    from tests.annotations import test_fuzz

    data = Path(os.environ.get("EFLD_DATA", Path(__file__).parents[3] / "shared" / "data"))
    layout = test_fuzz.LAYOUTS[target.name.removeprefix("annotations_")]
    return [layout.content(data)] if data.is_dir() else []


def stands(parser: Parser, folder: Path, content: bytes) -> None:
    """Gives a parser an input; raises what it should not have raised."""
    with contextlib.suppress(EfldError):
        parser(folder, content)


def _layout(name: str) -> Callable[[], Parser]:
    def load() -> Parser:
        from tests.annotations import test_fuzz

        _hdf5_in_a_fork()
        layout = test_fuzz.LAYOUTS[name]
        return lambda folder, content: test_fuzz.check(layout, folder, content)

    return load


def _hdf5_in_a_fork() -> None:
    """Files are tried in a fork, which is as safe as a new process, and 50 times as fast."""
    from efld_tf import hdf5

    def tried(path: Path, size: int, changed_ns: int) -> None:
        child = os.fork()
        if not child:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            for number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE):
                signal.signal(number, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, HDF5_SECONDS)
            hdf5.read_all(path)
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            raise ValueError("HDF5 crashes or never ends")

    hdf5._try = tried


def _layout_names() -> list[str]:
    modules = [importlib.import_module(f"tests.annotations.{name}") for name in LAYOUTS]
    return [name for module in modules for name in module.LAYOUTS]


def _photo() -> Parser:
    from efld_tf.annotations import decoding, header

    def parse(folder: Path, content: bytes) -> None:
        path = folder / "a.jpg"
        path.write_bytes(content)
        found = header.read_header(path)
        if found is None or found.width * found.height <= MOST_PIXELS:
            decoding.decode(content, path, upright=True)

    return parse


def _recipe() -> Parser:
    from efld_tf.training import recipe

    return _from_file("a.yaml", recipe.load)


def _schema() -> Parser:
    from efld_tf.landmarks import schemas

    return _from_file("a.yaml", schemas.load)


def _results() -> Parser:
    from efld_tf.scoring import results

    return _from_file("results.json", results.read)


def _exclusions() -> Parser:
    from efld_tf.data.check import exclusions

    return _from_file("a.json", lambda path: exclusions.read(path, "ibug:a"))


def _manifest() -> Parser:
    from efld_tf.data import manifest

    def parse(folder: Path, content: bytes) -> None:
        (folder / manifest.MANIFEST).write_bytes(content)
        for split in ("train", "validation"):
            (folder / f"{split}-00000.tfrecord").touch()
        manifest.read_manifest(folder)

    return parse


def _golden() -> Parser:
    from efld_tf.runtime import golden
    from tests.fuzz import seeds

    def parse(folder: Path, content: bytes) -> None:
        if not (folder / seeds.MODEL).exists():
            seeds.write_bundle(folder)
        (folder / golden.FILE).write_bytes(content)
        golden.read(folder / seeds.MODEL)

    return parse


def _tflite() -> Parser:
    from efld_tf.runtime import graph, metadata, model_license, versions

    def parse(path: Path) -> None:
        model_license.read(path)
        try:
            metadata.read(path)
        finally:
            versions.minimum_runtime(graph.read(path))

    return _from_file("a.tflite", parse)


def _h5() -> Parser:
    import tensorflow as tf

    from efld_tf.models import checkpoint

    _hdf5_in_a_fork()
    shape = tf.TensorShape((3, 3, 3, 4))

    def parse(path: Path) -> None:
        with checkpoint._opened(path) as file:
            spec = checkpoint._spec(file)
            for name in file:
                checkpoint._weight(file, f"{name}/kernel:0", shape)
        assert spec.heads

    return _from_file("a.h5", parse)


def _shard() -> Parser:
    from efld_tf.data import manifest, shard_check
    from tests.fuzz.seeds import SHARD_POINTS, SHARD_SIDE

    def parse(path: Path) -> None:
        content = path.read_bytes()
        shard = manifest.Shard(path.name, 1, hashlib.sha256(content).hexdigest())
        shard_check._check_file.__wrapped__(path, len(content), 0, shard,
                                             SHARD_SIDE, SHARD_POINTS)

    return _from_file("train-00000.tfrecord", parse)


def _calibration() -> Parser:
    from efld_tf.exporting import calibration

    return _from_file("calibration.json", calibration.read_manifest)


def _from_file(name: str, read: Callable[[Path], object]) -> Parser:
    def parse(folder: Path, content: bytes) -> None:
        path = folder / name
        path.write_bytes(content)
        read(path)

    return parse


def targets() -> dict[str, Target]:
    """All targets by name; those without TensorFlow come first."""
    found = [Target(f"annotations_{name}", _layout(name)) for name in _layout_names()]
    found += [
        Target("photo", _photo), Target("recipe", _recipe), Target("schema", _schema),
        Target("results", _results), Target("exclusions", _exclusions),
        Target("manifest", _manifest), Target("golden", _golden), Target("tflite", _tflite),
        Target("calibration", _calibration, tensorflow=True),
        Target("shard", _shard, tensorflow=True), Target("h5", _h5, tensorflow=True),
    ]
    return {target.name: target for target in found}
