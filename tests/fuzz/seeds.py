"""Writes the first inputs of targets that have none: small files of each kind, as tests write them.

`EFLD_DATA=FOLDER python -m tests.fuzz.seeds`, with the real data sets, which may not be published:
other points take the place of theirs.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np

from tests.fuzz import targets
from tests.fuzz.targets import CORPUS

MODEL = "model.tflite"
# How formats write coordinates that are whole numbers.
WHOLE_NUMBERS = {
    "dlib": rb"(?<=['\" ][xy]=['\"])\d+|(?<=(?:top|eft|dth|ght)=['\"])\d+",
    **dict.fromkeys(("youtube_faces", "lapa", "mtfl", "wflw"), rb"(?<![\w.])\d{2,4}(?=[ ,.\n])"),
}
# Of the faces of a packed shard.
SHARD_SIDE, SHARD_POINTS = 16, 5


def write_bundle(folder: Path) -> None:
    """A small model, and the input and output that belong to it."""
    from efld_tf.runtime import golden

    shutil.copy(CORPUS / "tflite" / "tiny_int8", folder / MODEL)
    (folder / golden.INPUT_FILE).write_bytes(bytes(16 * 16 * 3))
    (folder / golden.OUTPUT_FILE).write_bytes(bytes(5 * 2 * 4))


def _golden() -> bytes:
    model = CORPUS / "tflite" / "tiny_int8"
    return json.dumps({
        "model": {"file": MODEL, "sha256": hashlib.sha256(model.read_bytes()).hexdigest()},
        "mode": "int8",
        "input": {"file": "golden_input.bin", "dtype": "uint8", "shape": [1, 16, 16, 3]},
        "output": {"file": "golden_output.bin", "dtype": "float32", "shape": [1, 5, 2],
                   "points": [[0.0, 0.0]] * 5},
        "tolerance": 0.004,
        "confidence": {"value": 0.998, "tolerance": 0.05},
    }).encode()


def _layouts(data: Path) -> dict[str, dict[str, bytes]]:
    from tests.annotations import test_fuzz

    digits = np.random.default_rng(0)

    def others(name: str, content: bytes) -> bytes:
        """With other digits in all coordinates."""
        kind = WHOLE_NUMBERS.get(name, rb"(?!0*\b)\d+(?=\.\d)|(?<=\d\.)(?!0+\b)\d+")
        return re.sub(kind, lambda found: bytes(
            digits.integers(ord("1"), ord("9") + 1, len(found[0]), np.uint8)), content)

    binary = ("aflw", "cofw", "300wlp")  # whose points are made up
    return {f"annotations_{name}": {"seed": content if name.startswith(binary)
                                    else others(name, content)}
            for name, layout in test_fuzz.LAYOUTS.items()
            if f"annotations_{name}" not in targets.REAL_SEEDS
            for content in [layout.content(data)]}


def _photos() -> dict[str, bytes]:
    from PIL import Image

    from tests.annotations import test_tiff
    from tests.annotations.photos import exif
    from tests.annotations.tiffs import tiff

    small = Image.effect_mandelbrot((16, 12), (-2, -1, 1, 1), 20).convert("RGB")
    found = {}

    def add(name: str, image: Image.Image, kind: str, **options: object) -> None:
        file = io.BytesIO()
        image.save(file, kind, **options)
        found[name] = file.getvalue()

    add("jpeg", small, "JPEG", exif=exif(6))
    add("jpeg_progressive", small, "JPEG", progressive=True)
    add("png", small, "PNG", exif=exif(3))
    add("png_palette", small.convert("P"), "PNG", transparency=3)
    add("png_animated", small, "PNG", save_all=True, append_images=[small.rotate(180)])
    add("webp", small, "WEBP", exif=exif(8))
    add("webp_alpha", small.convert("RGBA"), "WEBP", lossless=True)
    add("gif", small, "GIF")
    add("bmp", small, "BMP")
    add("jpeg2000", small, "JPEG2000")
    add("ppm", small, "PPM")
    add("avif", small, "AVIF")
    add("mpo", small, "MPO", save_all=True, append_images=[small.copy()])
    for compression in (None, "tiff_lzw", "tiff_adobe_deflate", "jpeg"):
        add(f"tiff_{compression}", small, "TIFF", compression=compression)
    add("tiff_big", small, "TIFF", big_tiff=True)
    for index, (samples, photometric, bits, tags, _) in enumerate(test_tiff.LAYOUTS.values()):
        found[f"tiff_{index}"] = tiff(samples[:8, :8], photometric, bits=bits, tags=tags)
    return found


def _manifest() -> bytes:
    from tests.faces import mean_shape

    return json.dumps({
        "format_version": 1, "source": "ibug:faces", "schema": "ibug68",
        "crop_rule": {"box": "points", "schema": "ibug68", "scale": 1.25},
        "pack": {"size": 16, "margin": 1.5, "shard_faces": 8},
        "shards": {split: [{"file": f"{split}-00000.tfrecord", "faces": 3, "sha256": "0" * 64}]
                   for split in ("train", "validation")},
        "mean_shape": np.round(mean_shape("ibug68"), 3).tolist(),
        "skipped": ["a.pts:3: expected 2 numbers"], "fingerprint": "0" * 64, "notes": ["a note"],
        "validation_fraction": 0.25, "excluded": ["b"], "licenses": ["CC-BY-4.0"],
    }).encode()


def _shard() -> bytes:
    import cv2

    from tests.data import test_shard_check as packed

    pixels = np.random.default_rng(0).integers(0, 256, (SHARD_SIDE, SHARD_SIDE, 3), np.uint8)
    return packed.framed(packed.example(
        points=[0.5] * 2 * SHARD_POINTS, jpeg=cv2.imencode(".jpg", pixels)[1].tobytes()))


def _h5() -> bytes:
    import h5py

    from efld_tf.models import checkpoint
    from tests.models.test_contracts import spec_of

    spec = spec_of("efld", "mtfl5")
    with h5py.File("a", "w", libver="latest", driver="core", backing_store=False) as file:
        file.attrs["efld_format"] = checkpoint.FORMAT_VERSION
        file.attrs["spec"] = json.dumps(asdict(spec))
        file.create_dataset("conv/kernel:0", data=np.ones((3, 3, 3, 4), np.float32))
        file.create_dataset("packed/kernel:0", data=np.ones((3, 3, 3, 4), np.float32),
                            chunks=(3, 3, 3, 4), compression="gzip")
        file.flush()
        return file.id.get_file_image()


_RESULTS = {
    "name": "my model", "accuracy_percent": 18.47, "time_ms": 1.08, "complexity_gflops": 0.0191,
    "power_w": 1.93, "size_mb": 0.17,
    "model": {"file": "a.tflite", "sha256": "0" * 64, "size_bytes": 170000},
    "evaluation": {"source": "ibug:test", "faces": 330, "nme_interocular_percent": 3.5,
                   "nme_by_point_percent": {"0": 1.5}},
    "benchmark": {"threads": 1, "xnnpack": True, "latency_ms_p50": 1.08},
}
_EXCLUSIONS = {"sources": [
    {"source": "ibug:a", "exclude": [{"key": "1.jpg", "reason": "outlier: an unlikely shape"}]},
    {"source": "ibug:b/a?images=c", "exclude": []},
]}
_CALIBRATION = {"source": "ibug:a", "images": [{"image": "1.jpg", "sha256": "0" * 64}]}


def _tflites() -> dict[str, bytes]:
    from efld_tf.exporting import metadata
    from efld_tf.landmarks import schemas
    from efld_tf.landmarks.geometry import CropRule
    from efld_tf.runtime.metadata import ModelMetadata
    from tests import tiny_models

    names = schemas.get("mtfl5").names
    whole = ModelMetadata("efld", "mtfl5", CropRule("file", "mtfl5", 1.25), names, "CC-BY-4.0")
    model = tiny_models.tiny_int8()
    return {"tiny_int8": model, "tiny_float": tiny_models.tiny_float(),
            "with_metadata": metadata.add(model, whole)}


def write(folder: Path, data: Path) -> None:
    """Writes the inputs of targets without any to FOLDER/TARGET/."""
    root = Path(__file__).parents[2]
    recipes = {path.stem: path.read_bytes() for path in (root / "configs").glob("*/*.yaml")}
    schema_files = root / "efld_tf" / "landmarks" / "schema_files"
    tree = _layouts(data) | {
        "tflite": _tflites(), "photo": _photos(), "manifest": {"seed": _manifest()},
        "recipe": {name: recipes[name] for name in ("cross_format", "uda_self_training")},
        "schema": {name: (schema_files / f"{name}.yaml").read_bytes()
                   for name in ("mtfl5", "ibug68")},
        "shard": {"seed": _shard()}, "h5": {"seed": _h5()},
        "results": {"seed": json.dumps(_RESULTS).encode()},
        "exclusions": {"seed": json.dumps(_EXCLUSIONS).encode()},
        "calibration": {"seed": json.dumps(_CALIBRATION).encode()},
        "golden": {"seed": _golden()},
    }
    for name, inputs in tree.items():
        if (folder / name).exists():
            continue
        (folder / name).mkdir()
        for stem, content in inputs.items():
            (folder / name / stem).write_bytes(content)


if __name__ == "__main__":
    write(CORPUS, Path(os.environ["EFLD_DATA"]))
