"""Batches that mix formats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from efld_tf import files
from efld_tf.annotations import sources as sources_of
from efld_tf.annotations.synthetic.dataset import write_dataset
from efld_tf.data import crops, emphasis, pack, pipeline, shards
from efld_tf.data.options import (
    EMPHASES,
    AugmentOptions,
    PackOptions,
    ServiceOptions,
    SourceOptions,
)
from efld_tf.landmarks import openings, pose, schemas
from tests import faces
from tests.errors import refuses

HEADS = ("ibug51", "ibug68", "mtfl5")
PACK = PackOptions(size=48, margin=1.5)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[pipeline.PackedSource]:
    folder = tmp_path_factory.mktemp("mixed")
    listed = [
        ("big", f"ibug:{faces.write_ibug(folder / 'a', 60)}", ["ibug68"], 1.0),
        ("inner", f"ibug:{faces.write_ibug(folder / 'b', 20, seed=1)}", ["ibug51"], 3.0),
        ("five", f"mtfl:{faces.write_five_points(folder / 'c', 30)}", ["mtfl5"], 1.0),
    ]
    result = []
    for name, source, heads, repeat in listed:
        options = SourceOptions(source, name, heads, repeat, validation_fraction=0.2)
        manifest = pack.pack(options, folder / name, PACK, progress=False)
        supervised = pipeline.supervised_heads(options, manifest.schema)
        result.append(pipeline.PackedSource(folder / name, manifest, supervised, repeat))
    return result


def options(**changes) -> pipeline.BatchOptions:
    values = {"heads": HEADS, "size": 32, "batch_size": 16, "seed": 7, **changes}
    return pipeline.BatchOptions(**values)


def take(dataset, count: int) -> list[dict]:
    return list(dataset.take(count).as_numpy_iterator())


def test_shapes_and_that_each_face_has_one_format(sources) -> None:
    for batch in take(pipeline.training_batches(sources, options()), 3):
        assert batch["image"].shape == (16, 32, 32, 3) and batch["image"].dtype == np.float32
        assert batch["image"].min() >= 0 and batch["image"].max() <= 1
        masks = np.stack([batch["mask"][head].max(axis=1) for head in HEADS])
        np.testing.assert_array_equal(masks.sum(axis=0), 1)
        for head in HEADS:
            points = schemas.get(head).num_points
            assert batch["points"][head].shape == (16, points, 2)
            assert batch["mask"][head].shape == (16, points)


def test_sources_are_drawn_in_proportion_to_size_times_repeat(sources) -> None:
    counts: Counter[str] = Counter()
    for batch in take(pipeline.training_batches(sources, options()), 60):
        for head in HEADS:
            counts[head] += int(batch["mask"][head].max(axis=1).sum())
    faces_of = {"ibug68": sources[0], "ibug51": sources[1], "mtfl5": sources[2]}
    weights = {h: s.manifest.faces("train") * s.repeat for h, s in faces_of.items()}
    for head in HEADS:
        expected = weights[head] / sum(weights.values())
        assert counts[head] / (60 * 16) == pytest.approx(expected, abs=0.06)


@pytest.mark.parametrize("cache", [True, False])
def test_faces_of_a_kind_are_drawn_more_often(tmp_path: Path, cache: bool) -> None:
    """Winking faces four times as often as others of the source, and it as often as before."""
    packed = []
    for name, seed, head in (("a", 0, "ibug68"), ("b", 1, "ibug51")):
        folder = faces.write_ibug(tmp_path / name, 12, seed=seed)
        for index in range(3 if name == "a" else 0):
            path = folder / f"face_{index:03d}x.pts"
            lines = path.read_text().splitlines()
            lines[3 + 37 : 3 + 39] = lines[3 + 41], lines[3 + 40]  # the upper lid on the lower one
            path.write_text("\n".join(lines) + "\n")
        made = SourceOptions(f"ibug:{folder}", name, [head])
        manifest = pack.pack(made, tmp_path / f"packed_{name}", PACK, progress=False)
        packed.append(pipeline.PackedSource(
            tmp_path / f"packed_{name}", manifest, pipeline.supervised_heads(made, "ibug68")))
    emphasised = [replace(packed[0], emphasis={"closed_eyes": 4}), packed[1]]
    counts: Counter[str] = Counter()
    for batch in take(pipeline.training_batches(emphasised, options(
            heads=HEADS[:2], cache=cache, augment=AugmentOptions.none())), 60):
        first = batch["mask"]["ibug68"].max(axis=1) > 0
        opening = openings.of_eyes(batch["points"]["ibug68"][first], schemas.get("ibug68"))
        counts.update(a=int(first.sum()), winking=int((opening.min(axis=1) < 0.2).sum()))
    assert counts["a"] / (60 * 16) == pytest.approx(0.5, abs=0.06)
    assert counts["winking"] / counts["a"] == pytest.approx(4 * 3 / (4 * 3 + 9), abs=0.06)
    later = take(pipeline.training_batches(emphasised, options(heads=HEADS[:2], cache=cache), 4), 1)
    whole = take(pipeline.training_batches(emphasised, options(heads=HEADS[:2], cache=cache)), 5)
    np.testing.assert_array_equal(later[0]["image"], whole[4]["image"])


def test_turned_heads_are_told_from_others(tmp_path: Path) -> None:
    write_dataset(tmp_path / "faces", "ibug68", 24, 5, 64, 1, progress=False, yaw=60)
    made = SourceOptions(f"ibug:{tmp_path / 'faces'}", "a", ["ibug68"])
    manifest = pack.pack(made, tmp_path / "packed", PACK, progress=False)
    times = emphasis.times(tmp_path / "packed", manifest, {"turned": 3, "closed_eyes": 2})
    records = sources_of.read(made.source, progress=False).records
    yaw = np.abs(pose.estimate(np.array([r.points for r in records]), schemas.get("ibug68"))[:, 0])
    np.testing.assert_array_equal(times == 3, yaw >= emphasis.TURNED)
    assert 6 < (times == 3).sum() < 20 and set(times) <= {1, 2, 3}


def test_what_points_do_not_tell_is_not_emphasised(sources) -> None:
    five = sources[2]
    with refuses("emphasis.closed_eyes", "mtfl5", five.manifest.source):
        emphasis.times(five.folder, five.manifest, {"closed_eyes": 2})


@pytest.mark.parametrize(("given", "facts"), [
    ({"blinks": 2}, ("emphasis.blinks", "closed_eyes")),
    ({"turned": 0}, ("emphasis.turned", 0)),
    ({"turned": 101}, ("emphasis.turned", 101)),
])
def test_an_emphasis_that_cannot_be_is_named(given: dict[str, int], facts: tuple) -> None:
    with refuses(*facts):
        SourceOptions("ibug:x", "a", ["ibug68"], emphasis=given)
    assert tuple(emphasis.KINDS) == EMPHASES


@pytest.mark.parametrize("cache", [True, False])
def test_a_later_start_continues_the_same_stream(sources, cache: bool) -> None:
    whole = take(pipeline.training_batches(sources, options(cache=cache)), 12)
    later = take(pipeline.training_batches(sources, options(cache=cache), start_step=9), 3)
    for expected, found in zip(whole[9:], later, strict=True):
        np.testing.assert_array_equal(found["image"], expected["image"])
        for head in HEADS:
            np.testing.assert_array_equal(found["points"][head], expected["points"][head])


def test_caching_changes_nothing(sources) -> None:
    cached, read = (
        take(pipeline.training_batches(sources, options(cache=cache)), 2) for cache in (True, False)
    )
    np.testing.assert_array_equal(cached[1]["image"], read[1]["image"])


def test_pairs_are_the_same_faces_in_two_crops(sources) -> None:
    """What each crop shows lies, in the stored crop, where the other one has it."""
    paired = options(pairs=True)
    assert paired.faces == 8
    (batch,) = take(pipeline.training_batches(sources[:1], paired), 1)
    flip = list(schemas.get("ibug68").known_flip)
    stored = []
    for points, to_stored, mirrored in zip(
        batch["points"]["ibug68"], batch["to_stored"], batch["mirrored"], strict=True
    ):
        points = points[flip] if mirrored else points
        stored.append(points @ to_stored[:, :2].T + to_stored[:, 2])
    np.testing.assert_allclose(stored[:8], stored[8:], atol=1e-5)
    assert 0 < batch["mirrored"].mean() < 1
    assert np.abs(batch["image"][:8] - batch["image"][8:]).mean(axis=(1, 2, 3)).min() > 0.01
    for unpaired in (pipeline.training_batches(sources[:1], options()),
                     pipeline.validation_batches(sources[:1], paired)):
        assert "to_stored" not in take(unpaired, 1)[0]


def test_pairs_start_later_in_the_same_stream(sources) -> None:
    whole = take(pipeline.training_batches(sources, options(pairs=True)), 4)
    later = take(pipeline.training_batches(sources, options(pairs=True), 2), 2)
    for before, after in zip(whole[2:], later, strict=True):
        np.testing.assert_array_equal(before["image"], after["image"])
        np.testing.assert_array_equal(before["to_stored"], after["to_stored"])


def test_the_seed_changes_the_order(sources) -> None:
    first, other = (
        take(pipeline.training_batches(sources, options(seed=seed)), 1)[0] for seed in (1, 2)
    )
    assert np.abs(first["image"] - other["image"]).max() > 0.1


def test_validation_goes_through_all_held_out_faces_once(sources) -> None:
    batches = take(pipeline.validation_batches(sources, options()), -1)
    total = sum(len(batch["image"]) for batch in batches)
    assert total == sum(source.manifest.faces("validation") for source in sources) > 0
    again = take(pipeline.validation_batches(sources, options(seed=9)), -1)
    np.testing.assert_array_equal(batches[0]["image"], again[0]["image"])


@pytest.mark.parametrize("count", [1, 2, 5, 1000])
def test_a_sample_goes_through_all_held_out_faces_in_even_steps(sources, count: int) -> None:
    whole = take(pipeline.validation_batches(sources, options(batch_size=1000)), 1)[0]
    total = len(whole["image"])
    places = {1: [0], 2: [0, total - 1], 1000: list(range(total))}.get(
        count, [step * (total - 1) // 4 for step in range(5)])
    for _ in range(2):
        sample = pipeline.sample_batch(sources, options(batch_size=count))
        np.testing.assert_array_equal(sample["image"], whole["image"][places])
        for head in HEADS:
            for part in ("points", "mask"):
                np.testing.assert_array_equal(sample[part][head], whole[part][head][places])


def test_no_thread_tunes_what_is_parallel(sources) -> None:
    # It may sleep on for a minute when an iterator is dropped; a finished training waited for it.
    for batches in (pipeline.training_batches, pipeline.validation_batches):
        assert batches(sources, options()).options().autotune.enabled is False


def test_points_of_a_subset_are_those_of_the_annotation(sources) -> None:
    """The 51-point head sees points 17 to 67 of the 68-point files."""
    inner = sources[1]
    batch = take(pipeline.validation_batches([inner], options()), 1)[0]
    both = pipeline.PackedSource(
        inner.folder, inner.manifest, {"ibug68": tuple(range(68)), "ibug51": tuple(range(17, 68))}
    )
    full = take(pipeline.validation_batches([both], options()), 1)[0]
    np.testing.assert_array_equal(batch["points"]["ibug51"], full["points"]["ibug68"][:, 17:])
    assert full["mask"]["ibug51"].all() and full["mask"]["ibug68"].all()


def test_sources_packed_differently_are_refused(sources, tmp_path: Path) -> None:
    other = SourceOptions(f"ibug:{faces.write_ibug(tmp_path / 'x', 5)}", "x", ["ibug68"])
    manifest = pack.pack(other, tmp_path / "p", PackOptions(size=64), progress=False)
    added = pipeline.PackedSource(tmp_path / "p", manifest, {"ibug68": tuple(range(68))})
    mixed = [*sources, added]
    with refuses("sizes", "margins"):
        pipeline.training_batches(mixed, options(augment=AugmentOptions.none()))


def test_a_head_that_the_source_cannot_supervise_is_named() -> None:
    with refuses("source x", "schema mtfl5", "ibug51"):
        pipeline.supervised_heads(SourceOptions("mtfl:x", "x", ["ibug51"]), "mtfl5")


def test_the_mask_follows_a_mirrored_face(tmp_path: Path) -> None:
    """A missing right outer eye corner is a missing left one in the mirrored image."""
    folder = faces.write_ibug(tmp_path / "x", 3)
    source = SourceOptions(f"ibug:{folder}", "x", ["ibug68"])
    manifest = pack.pack(source, tmp_path / "p", PACK, progress=False)
    records = list(shards.read(tmp_path / "p", manifest, "train").as_numpy_iterator())
    for face in records:
        face["points"] = face["points"].copy()
        face["points"][36] = np.nan
    writer = shards.ShardWriter(tmp_path / "p" / manifest.shards["train"][0].file)
    for face in records:
        writer.add(crops.PackedFace(face["jpeg"], face["points"], float(face["side"]), "x"))
    writer.close()
    written = replace(manifest.shards["train"][0], sha256=files.sha256(writer.path))
    manifest = replace(manifest, shards={"train": [written], "validation": []})
    packed = pipeline.PackedSource(tmp_path / "p", manifest, {"ibug68": tuple(range(68))})
    for flip, missing in ((0.0, 36), (1.0, 45)):
        how = replace(AugmentOptions.none(), flip=flip)
        wanted = options(heads=("ibug68",), batch_size=3, augment=how)
        mask = take(pipeline.training_batches([packed], wanted), 1)[0]["mask"]["ibug68"]
        assert np.flatnonzero(mask[0] == 0).tolist() == [missing]


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceOptions]:
    """A dispatcher with two workers in this process."""
    dispatcher = tf.data.experimental.service.DispatchServer()
    address = dispatcher.target.partition("://")[2]
    config = tf.data.experimental.service.WorkerConfig(dispatcher_address=address)
    workers = [tf.data.experimental.service.WorkerServer(config) for _ in range(2)]
    yield ServiceOptions(dispatcher.target)
    del workers, dispatcher


@pytest.fixture(scope="module")
def many_shards(tmp_path_factory: pytest.TempPathFactory) -> list[pipeline.PackedSource]:
    folder = tmp_path_factory.mktemp("shards")
    result = []
    for name, count, repeat, seed in (("a", 50, 1.0, 0), ("b", 21, 2.0, 1)):
        options = SourceOptions(
            f"ibug:{faces.write_ibug(folder / name, count, seed=seed)}", name, ["ibug68"], repeat
        )
        small = replace(PACK, shard_faces=8)
        manifest = pack.pack(options, folder / f"packed_{name}", small, progress=False)
        supervised = pipeline.supervised_heads(options, manifest.schema)
        result.append(
            pipeline.PackedSource(folder / f"packed_{name}", manifest, supervised, repeat)
        )
    return result


def test_two_workers_of_a_service_lose_and_double_no_face(many_shards, service) -> None:
    still = options(heads=("ibug68",), augment=AugmentOptions.none())
    expected: Counter[bytes] = Counter()
    for source in many_shards:
        for batch in pipeline.validation_batches([source], still, split="train"):
            for points in batch["points"]["ibug68"].numpy():
                expected[points.round(4).tobytes()] += int(source.repeat)
    batches = pipeline._service_round(many_shards, still, service)
    for _ in range(2):  # and in a second round again
        found: Counter[bytes] = Counter()
        for batch in batches:
            assert batch["image"].shape[1:] == (32, 32, 3)
            found.update(points.round(4).tobytes() for points in batch["points"]["ibug68"].numpy())
        assert found == expected
        assert sum(found.values()) == 50 + 2 * 21


def test_a_service_gives_full_augmented_batches_without_end(many_shards, service) -> None:
    tf.random.set_seed(3)  # as training does
    how = options(heads=("ibug68",))
    batches = take(pipeline.service_batches(many_shards, how, service), 14)
    assert {batch["image"].shape for batch in batches} == {(16, 32, 32, 3)}  # 92 faces a round
    flat = [points.tobytes() for batch in batches for points in batch["points"]["ibug68"]]
    assert len(set(flat)) == len(flat)  # the second round is augmented anew


def test_a_service_wants_whole_repeats(many_shards, service) -> None:
    halves = [replace(many_shards[0], repeat=1.5)]
    with refuses(many_shards[0].manifest.source, "repeat", "whole", 1.5):
        pipeline.service_batches(halves, options(heads=("ibug68",)), service)
    with refuses("address", "grpc://HOST:PORT", "localhost:5000"):
        ServiceOptions("localhost:5000")
