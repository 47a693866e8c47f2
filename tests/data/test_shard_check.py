"""Packed folders from elsewhere: what is not as the manifest says is refused before its use."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf

from efld_tf.annotations.sources import PACKED
from efld_tf.data import crops, look, pack, pipeline, shard_check, shards
from efld_tf.data.manifest import MANIFEST, Manifest, open_packed, read_manifest
from efld_tf.data.options import PackOptions, SourceOptions
from efld_tf.evaluation import faces as evaluation_faces
from efld_tf.landmarks import schemas
from tests import faces
from tests.errors import refuses

SIZE = 48
PACK = PackOptions(size=SIZE, margin=1.5, shard_faces=8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """20 faces in shards of 8, 8 and 4."""
    options = SourceOptions(f"ibug:{faces.write_ibug(tmp_path / 'photos', 20)}", "s", ["ibug68"])
    pack.pack(options, tmp_path / "packed", PACK, progress=False)
    return tmp_path / "packed"


def edit(folder: Path, change: Callable[[dict], object]) -> None:
    content = json.loads((folder / MANIFEST).read_text())
    change(content)
    (folder / MANIFEST).write_text(json.dumps(content))


def put(folder: Path, content: bytes, index: int = 0, split: str = "train") -> Path:
    """Gives a shard another content, to which the manifest agrees."""
    path = folder / read_manifest(folder).shards[split][index].file
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    edit(folder, lambda tree: tree["shards"][split][index].update(sha256=digest))
    return path


def put_undecodable(folder: Path, index: int = 0, split: str = "train") -> Path:
    """Gives a shard one face whose JPEG lacks its tables, which only decoding finds."""
    whole = jpeg(BLACK)
    tables, frame = (whole.index(marker) for marker in (b"\xff\xdb", b"\xff\xc0"))
    with tf.io.TFRecordWriter(str(folder / "x")) as writer:
        writer.write(example(jpeg=whole[:tables] + whole[frame:]))
    edit(folder, lambda tree: tree["shards"][split][index].update(faces=1))
    return put(folder, (folder / "x").read_bytes(), index, split)


def framed(record: bytes) -> bytes:
    with_length = struct.pack("<Q", len(record))
    return with_length + bytes(4) + record + bytes(4)


def example(**changes: object) -> bytes:
    """A face as it is stored, but for the changes; None leaves a feature out."""
    pixels = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    values: dict[str, object] = {
        "jpeg": jpeg(pixels), "name": b"a.jpg", "points": [0.5] * 136, "side": [60.0], **changes}
    features = {}
    for name, value in values.items():
        if isinstance(value, bytes):
            features[name] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        elif value is not None:
            features[name] = tf.train.Feature(float_list=tf.train.FloatList(value=value))
    return tf.train.Example(
        features=tf.train.Features(feature=features)).SerializeToString()


def jpeg(pixels: np.ndarray, *options: int) -> bytes:
    return cv2.imencode(".jpg", pixels, list(options))[1].tobytes()


def as_if(content: bytes, width: int, height: int) -> bytes:
    """A JPEG that says that it has another size."""
    place = content.index(b"\xff\xc0") + 5
    return content[:place] + struct.pack(">HH", height, width) + content[place + 4:]


BLACK = np.zeros((SIZE, SIZE, 3), np.uint8)


def test_a_shard_that_was_swapped_is_refused_by_every_reader(folder: Path) -> None:
    """The other shard is whole and has as many faces of the same size and schema."""
    manifest = open_packed(folder)
    first, second = (folder / shard.file for shard in manifest.shards["train"][:2])
    first.write_bytes(second.read_bytes())
    told = ["SHA-256", f"{manifest.shards['train'][0].sha256[:12]}...", folder, "pack again"]
    source = pipeline.PackedSource(folder, manifest, {"ibug68": tuple(range(68))})
    options = pipeline.BatchOptions(("ibug68",), 32, 4)
    readers: list[Callable[[], object]] = [
        lambda: shards.read(folder, manifest, "train"),
        lambda: list(shards.load(folder, manifest, "train")),
        lambda: pipeline.training_batches([source], options),
        lambda: pipeline.validation_batches([source], options, "train"),
        lambda: list(look.faces(f"{PACKED}:{folder}", look.Remarks())),
        lambda: evaluation_faces.load(
            f"{PACKED}:{folder}", manifest.crop_rule, 32, split="train", progress=False),
        lambda: pack.pack(
            SourceOptions(manifest.source, "s", ["ibug68"]), folder, PACK, progress=False),
    ]
    for read in readers:
        with refuses(*told, path=first):
            read()


def test_a_shard_is_hashed_once_until_it_changes(folder: Path, monkeypatch) -> None:
    hashed: list[str] = []
    sha256 = shard_check.files.sha256

    def counting(path: Path) -> str:
        hashed.append(path.name)
        return sha256(path)

    monkeypatch.setattr(shard_check.files, "sha256", counting)
    manifest = open_packed(folder)
    for _ in range(2):
        assert len(list(shards.load(folder, manifest, "train"))) == 20
        shard_check.check(folder, manifest)
    assert hashed == [shard.file for shard in manifest.shards["train"]]
    path = folder / hashed[2]
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with refuses("SHA-256", path=path):
        shard_check.check(folder, manifest)
    assert hashed[3:] == [path.name]


def test_what_is_packed_passes_at_its_extremes(tmp_path: Path, folder: Path) -> None:
    """Noise of full contrast without compression, a long name, points that are missing or far."""
    noise = np.random.default_rng(0).integers(0, 2, (SIZE, SIZE, 3), np.uint8) * 255
    best = [cv2.IMWRITE_JPEG_QUALITY, 100,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    points = np.full((68, 2), np.nan, np.float32)
    points[0] = 1e4
    stored = crops.PackedFace(jpeg(noise, *best), points, 1e-3, "ä" * 2000)
    writer = shards.ShardWriter(tmp_path / "one")
    writer.add(stored)
    writer.close()
    put(folder, (tmp_path / "one").read_bytes(), 2)
    edit(folder, lambda tree: tree["shards"]["train"][2].update(faces=1))
    manifest = read_manifest(folder)
    last = list(shards.load(folder, manifest, "train"))[-1]
    assert last["jpeg"] == stored.jpeg and last["name"].decode() == stored.name
    np.testing.assert_array_equal(last["points"], points)
    assert crops.decoded(last["jpeg"], folder).shape == (SIZE, SIZE, 3)
    # No picture of that size takes more: the limit is far from both.
    for side in (48, 192):
        noise = np.random.default_rng(0).integers(0, 2, (side, side, 3), np.uint8) * 255
        assert len(jpeg(noise, *best)) < 0.7 * shard_check.record_limit(side, 68)


@pytest.mark.parametrize(
    ("content", "facts"),
    [
        (struct.pack("<Q", 1 << 60) + bytes(100), [1 << 60, "end"]),
        (struct.pack("<Q", (1 << 64) - 1) + bytes(4), [(1 << 64) - 1, "end"]),
        (framed(bytes(100_000)), [100_000, 80_448]),
        (b"short", ["end"]),
        (b"", [8, 0]),
        (framed(example()) * 7, [8, 7]),
        (framed(example()) * 9, [8, 9]),
        (bytes(1_000_000), [8, 1_000_000]),
        (framed(b"\xff" * 50), ["face 0", "example"]),
        (framed(example()) + framed(example(jpeg=None)), ["face 1", "jpeg", 0]),
        (framed(example(name=None)), ["face 0", "name", 0]),
        (framed(example(name=b"\xff.jpg")), ["face 0", "name", "UTF-8"]),
        (framed(example(points=None)), ["face 0", "points", 136, 0]),
        (framed(example(points=[0.5] * 10)), ["face 0", "points", 136, 10]),
        (framed(example(points=b"text")), ["face 0", "points", 136, 0]),
        (framed(example(points=[0.5] * 135 + [float("inf")])), ["face 0", "points", "inf"]),
        (framed(example(points=[0.5] * 135 + [-1e30])), ["face 0", "points", "-1e+30"]),
        (framed(example(side=[])), ["face 0", "side", 0]),
        (framed(example(side=[float("nan")])), ["face 0", "side", "nan"]),
        (framed(example(side=[-1.0])), ["face 0", "side", "-1.0"]),
        (framed(example(side_y=[1.0, 2.0])), ["face 0", "side_y", 2]),
        (framed(example(side_y=[float("inf")])), ["face 0", "side_y", "inf"]),
        (framed(example(side_y=[601.0])), ["face 0", "side_y", 10]),
        (framed(example(jpeg=b"")), ["face 0", "jpeg"]),
        (framed(example(jpeg=b"\xff\xd8\xff\xd9")), ["face 0", "jpeg", "48 x 48", "none"]),
        (framed(example(jpeg=jpeg(BLACK)[:-2])), ["face 0", "jpeg", "whole"]),
        (framed(example(jpeg=as_if(jpeg(BLACK), 65500, 65500))),
         ["face 0", "48 x 48", "65500 x 65500"]),
        (framed(example(jpeg=jpeg(BLACK[:, :40]))), ["face 0", "48 x 48", "40 x 48"]),
        (framed(example(jpeg=jpeg(BLACK[..., 0]))), ["face 0", "jpeg", 3, 1]),
        (framed(example(jpeg=jpeg(BLACK, cv2.IMWRITE_JPEG_PROGRESSIVE, 1))),
         ["face 0", "jpeg", "baseline"]),
    ],
)
def test_hostile_shards_are_refused(folder: Path, content: bytes, facts: list[object]) -> None:
    """The manifest agrees to all of them."""
    path = put(folder, content)
    with refuses(*facts, "pack again", path=path):
        list(shards.load(folder, open_packed(folder), "train"))


def test_a_crop_that_cannot_be_decoded_is_one_line(folder: Path) -> None:
    put_undecodable(folder, 2)
    manifest = open_packed(folder)
    *_, last = look.faces(f"{PACKED}:{folder}", look.Remarks())
    with refuses("decoded", path=folder):
        last.pixels()
    with refuses("decoded", path=folder):
        evaluation_faces.load(
            f"{PACKED}:{folder}", manifest.crop_rule, 32, split="train", progress=False)


def set_(*path: str | int, to: object) -> Callable[[dict], None]:
    def change(tree: dict) -> None:
        *place, last = path
        node = tree
        for key in place:
            node = node[key]
        node[last] = to
    return change


POINT = [[0.5, 0.5]]


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        (set_("shards", "train", 0, "faces", to=-8), ["shards.train.0.faces", 1, -8]),
        (set_("shards", "train", 0, "faces", to=8.5), ["shards.train.0.faces", 8.5]),
        (set_("shards", "train", 0, "faces", to=10**18), ["shards", 10**18, 8]),
        (set_("shards", "train", 0, "sha256", to="0" * 63), ["shards.train.0.sha256", 64]),
        (set_("shards", "train", 0, "sha256", to="g" * 64), ["shards.train.0.sha256", 64]),
        (set_("shards", "train", 0, "file", to=".."), ["shards.train.0.file", "'..'"]),
        (set_("shards", "train", 0, "file", to="a\n"), ["shards.train.0.file"]),
        (set_("shards", "train", 1, "file", to="train-00000.tfrecord"),
         ["train-00000.tfrecord", "twice"]),
        (set_("shards", "train", to=[]), ["shards.train"]),
        (set_("shards", "test", to=[]), ["shards", "train", "validation", "test"]),
        (lambda tree: tree["shards"].pop("validation"), ["shards", "validation"]),
        (set_("mean_shape", to=POINT * 67), ["mean_shape", 68]),
        (set_("mean_shape", to=[*POINT * 67, [0.5]]), ["mean_shape", 68]),
        (set_("mean_shape", 3, 1, to=float("nan")), ["mean_shape.3.1", "nan"]),
        (set_("mean_shape", 3, 1, to=1e20), ["mean_shape", 100, "1e+20"]),
        (set_("validation_fraction", to=-0.1), ["validation_fraction", -0.1]),
        (set_("validation_fraction", to=1.5), ["validation_fraction", 1.5]),
        (set_("validation_fraction", to=float("inf")), ["validation_fraction", "inf"]),
        (set_("pack", "size", to=10**6), ["pack.size", 2048, 10**6]),
        (set_("pack", "margin", to=float("nan")), ["pack.margin", "nan"]),
        (set_("pack", "shard_faces", to=10**12), ["pack.shard_faces", 10**12]),
        (set_("crop_rule", "scale", to=0), ["crop_rule.scale", 100, "0.0"]),
        (set_("crop_rule", "zoom", to=100), ["crop_rule.zoom", 4, "100.0"]),
        (set_("crop_rule", "offset_x", to=1e9), ["crop_rule.offset_x", 100, "1000000000.0"]),
        (set_("schema", to="none"), ["'none'"]),
        (set_("licenses", to=["a\nb"]), ["license"]),
        (set_("skipped", to=3), ["skipped", 3]),
        (set_("surprise", to=3), ["surprise"]),
    ],
)
def test_manifests_that_cannot_be_are_refused(
    folder: Path, change: Callable[[dict], object], facts: list[object]
) -> None:
    edit(folder, change)
    with refuses("not a manifest", *facts, path=folder / MANIFEST):
        open_packed(folder)


@pytest.mark.parametrize("text", ["[" * 10**6, '{"a":' * 10**6, "9" * 10**5, '{"a": 1, "a": 2}'])
def test_manifests_that_are_hard_to_read_are_refused(folder: Path, text: str) -> None:
    (folder / MANIFEST).write_text(text)
    with refuses("not a manifest", path=folder / MANIFEST):
        read_manifest(folder)


def test_a_manifest_is_read_within_bounds(folder: Path) -> None:
    with open(folder / MANIFEST, "r+b") as file:
        file.truncate(1 << 40)
    with refuses("not a manifest", 1 << 40, path=folder / MANIFEST):
        read_manifest(folder)


def test_a_manifest_cannot_be_made_of_what_could_not_be_read(folder: Path) -> None:
    manifest = read_manifest(folder)
    values = {name: getattr(manifest, name) for name in Manifest.__dataclass_fields__}
    assert Manifest(**values) == manifest
    with refuses("mean_shape", schemas.get("ibug68").num_points):
        Manifest(**{**values, "mean_shape": POINT})
