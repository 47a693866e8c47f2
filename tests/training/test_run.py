"""Whole runs on drawn faces: they learn, and a killed one resumes to the same result."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
import yaml

from efld_tf import config, runs
from efld_tf.annotations import sources
from efld_tf.evaluation import faces as faces_of
from efld_tf.landmarks import metrics, schemas
from efld_tf.models import checkpoint
from efld_tf.training import averaging, recipe, run, run_folder
from tests import faces
from tests.errors import assert_error_line, assert_told, refuses


def write_recipe(folder: Path, **training) -> Path:
    tree = {
        "name": "small",
        "output_dir": str(folder / "runs"),
        "model": {"input_size": 32},
        "heads": {"mtfl5": {"weight": 0.5}, "ibug51": {}},
        "data": {
            "cache_dir": str(folder / "packed"),
            "pack": {"size": 48},
            "sources": [
                {"name": "a", "source": f"ibug:{folder / 'a'}", "heads": ["ibug51"],
                 "validation_fraction": 0.25},
                {"name": "b", "source": f"mtfl:{folder / 'b' / 'list.txt'}", "heads": ["mtfl5"]},
            ],
        },
        "training": {
            "target_head": "ibug51", "steps": 48, "batch_size": 8, "validation_interval": 8,
            "checkpoint_interval": 4, "log_interval": 2, "deterministic": True,
            "weight_average": 0.5, **training,
        },
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(tree, sort_keys=False))
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    faces.write_ibug(folder / "a", 40, "ibug68")
    faces.write_five_points(folder / "b", 20)
    return folder


def start(path: Path, *arguments: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "efld_tf.cli.train", str(path), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def uninterrupted(photos: Path) -> Path:
    process = start(write_recipe(photos), "--set", "name=whole")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "best validation NME" in out and out.count("\n") == 1
    return photos / "runs" / "whole"


def weights(path: Path) -> dict[str, np.ndarray]:
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()]})
                        if isinstance(item, h5py.Dataset) else None)
    return found


def newest_checkpoint(folder: Path) -> int:
    """The step of the newest checkpoint whose saving has ended, 0 without one."""
    newest = tf.train.latest_checkpoint(str(folder / "checkpoints"))  # named once all is written
    return int(newest.rpartition("-")[2]) if newest else 0


@pytest.mark.long
def test_progress_is_shown_and_libraries_are_quiet(photos: Path) -> None:
    process = start(write_recipe(photos), "--set", "name=shown", "--set", "training.steps=8")
    _, err = process.communicate(timeout=300)
    assert "images/s" in err and "loss" in err and "step 8: validation NME ibug51" in err
    for noise in ("WARNING", "cuda", "absl", "FutureWarning", "retracing", "\r"):
        assert noise not in err
    told = err.splitlines()
    (compiling,) = (line for line in told if line.startswith("compiling"))
    assert told.index(compiling) < told.index(next(line for line in told if "NME" in line))
    assert len(set(told)) == len(told)  # nothing is told twice
    assert re.fullmatch(r"training shown: 100% 8/8 \[.*, \d+ images/s, loss [\d.]+\]", told[-1])
    assert "train | step:" in (photos / "runs" / "shown" / "train.log").read_text()


def test_a_run_leaves_what_later_commands_need(uninterrupted: Path) -> None:
    history = runs.validation_history(uninterrupted)
    assert [entry["step"] for entry in history] == [8, 16, 24, 32, 40, 48]
    # The five-point source holds out no faces, so nothing is said of that head.
    assert set(history[0]["nme_percent"]) == {"ibug51"}
    spec, _ = checkpoint.load(uninterrupted / "best.h5")
    best = min(history, key=lambda entry: entry["nme_percent"]["ibug51"])
    assert spec.training["step"] == best["step"]
    assert spec.heads["ibug51"].crop_rule.name == "ibug68-points"
    assert spec.heads["mtfl5"].crop_rule.name == "mtfl5-file"
    assert recipe.load(uninterrupted / "recipe.yaml").training.steps == 48
    assert list((uninterrupted / "checkpoints" / "train").glob("events*"))  # TensorBoard


@pytest.mark.parametrize("kills", [(20,), pytest.param((4, 12, 32), marks=pytest.mark.long)])
def test_killed_anywhere_it_resumes_to_the_same_result(
    photos: Path, uninterrupted: Path, kills: tuple[int, ...]
) -> None:
    path, name = write_recipe(photos), f"killed_{len(kills)}"
    folder = photos / "runs" / name
    for least_step in kills:
        process = start(path, "--set", f"name={name}", "--quiet")
        deadline = time.monotonic() + 300
        while newest_checkpoint(folder) < least_step:
            assert process.poll() is None, process.communicate()[1]  # it ended by itself
            assert time.monotonic() < deadline, "it does not get on"
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    process = start(path, "--set", f"name={name}")
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    expected, found = weights(uninterrupted / "best.h5"), weights(folder / "best.h5")
    assert expected.keys() == found.keys()
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    whole, resumed = runs.validation_history(uninterrupted), runs.validation_history(folder)
    assert [e["nme_percent"] for e in whole] == [e["nme_percent"] for e in resumed]


def wait_for_checkpoint(process: subprocess.Popen, folder: Path, least_step: int) -> None:
    """Waits until a run has saved a checkpoint of at least that step."""
    deadline = time.monotonic() + 300
    while newest_checkpoint(folder) < least_step:
        assert process.poll() is None, process.communicate()[1]  # it ended by itself
        assert time.monotonic() < deadline, "it does not get on"
        time.sleep(0.002)


@pytest.mark.long
@pytest.mark.parametrize(
    "stop", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.long)])
def test_stopped_it_saves_and_resumes_to_the_same_result(
    photos: Path, uninterrupted: Path, stop: signal.Signals
) -> None:
    path, name = write_recipe(photos, checkpoint_interval=1000), f"stopped_{stop.name}"
    folder = photos / "runs" / name
    process = start(path, "--set", f"name={name}")
    wait_for_checkpoint(process, folder, 8)
    process.send_signal(stop)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 128 + stop and out == "" and "Traceback" not in err
    saved = newest_checkpoint(folder)
    assert 8 <= saved < 48
    if saved % 8:  # it was training, not validating
        assert_told(err, folder, f"step {saved}")
    assert not (folder / ".lock").exists()
    process = start(path, "--set", f"name={name}")
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0
    assert_told(err, "resuming", f"step {saved}")
    assert same(folder, uninterrupted)


@pytest.mark.long
def test_checkpoints_come_by_time(photos: Path, uninterrupted: Path) -> None:
    path = write_recipe(photos, checkpoint_interval=1000, checkpoint_seconds=1e-6)
    process = start(path, "--set", "name=timed", "--quiet")
    wait_for_checkpoint(process, photos / "runs" / "timed", 2)
    process.kill()
    process.communicate()
    assert 2 <= newest_checkpoint(photos / "runs" / "timed") < 48
    assert start(path, "--set", "name=timed", "--quiet").wait(300) == 0
    assert same(photos / "runs" / "timed", uninterrupted)


def same(folder: Path, other: Path) -> bool:
    """Whether two runs have come to the same weights by the same validations."""
    expected, found = weights(other / "best.h5"), weights(folder / "best.h5")
    histories = ([entry["nme_percent"] for entry in runs.validation_history(one)]
                 for one in (folder, other))
    return len({str(history) for history in histories}) == 1 and expected.keys() == found.keys() \
        and all(np.array_equal(found[name], expected[name]) for name in expected)


@pytest.fixture(scope="module")
def killed_run(photos: Path) -> Path:
    """A run that was killed after step 16, with two checkpoints."""
    process = start(write_recipe(photos), "--set", "name=left")
    wait_for_checkpoint(process, photos / "runs" / "left", 16)
    process.kill()
    process.communicate()
    return photos / "runs" / "left"


@pytest.fixture
def left(photos: Path, killed_run: Path) -> Iterator[Path]:
    """The same for each test, since the name of a run is that of its folder."""
    copy = photos / "runs" / "copy"
    shutil.copytree(killed_run, copy)
    (copy / "recipe.yaml").write_text(
        (killed_run / "recipe.yaml").read_text().replace("name: left", "name: copy"))
    yield copy
    shutil.rmtree(copy)


def newest_data(folder: Path) -> Path:
    """The values of a run's newest checkpoint."""
    return folder / f"checkpoints/ckpt-{newest_checkpoint(folder)}.data-00000-of-00001"


DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut": lambda path: os.truncate(path, path.stat().st_size // 2),
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "changed": lambda path: path.write_bytes(path.read_bytes()[:-400] + bytes(400)),
    "index missing": lambda path: path.with_suffix(".index").unlink(),
    "index cut": lambda path: os.truncate(path.with_suffix(".index"), 99),
    "no state": lambda path: (path.parent / "checkpoint").unlink(),
    "empty state": lambda path: (path.parent / "checkpoint").write_bytes(b""),
    "state of lies": lambda path: (path.parent / "checkpoint").write_text(
        'model_checkpoint_path: "ckpt-999"\n'),
}


@pytest.mark.long
@pytest.mark.parametrize("damage", DAMAGES)
def test_of_damaged_checkpoints_the_newest_whole_one_is_taken(left: Path, damage: str) -> None:
    path, step = newest_data(left), newest_checkpoint(left)
    DAMAGES[damage](path)
    expected = step if "state" in damage else step - 4
    found, told = run_folder.newest_checkpoint(left)
    assert found == expected
    assert [f"ckpt-{step}" in text for text in told] == [True] * (expected != step)
    assert tf.train.latest_checkpoint(str(left / "checkpoints")) == \
        str(left / f"checkpoints/ckpt-{expected}")


@pytest.mark.long
def test_a_damaged_checkpoint_costs_its_steps_alone(
    photos: Path, uninterrupted: Path, left: Path
) -> None:
    step = newest_checkpoint(left)
    DAMAGES["cut"](newest_data(left))
    _, err = (process := start(write_recipe(photos), "--set", "name=copy")).communicate()
    assert process.returncode == 0, err
    assert_told(err, left / f"checkpoints/ckpt-{step}", "damaged")
    assert_told(err, "resuming", f"step {step - 4}")
    assert same(left, uninterrupted)


def test_what_is_left_of_a_run_is_never_trained_from_the_start(photos: Path, left: Path) -> None:
    asked = recipe.load(write_recipe(photos), ["name=copy"])
    history = (left / "validation.jsonl").read_bytes()
    for path in (left / "checkpoints").glob("ckpt-*.data*"):
        path.write_bytes(b"")
    with refuses("checkpoint", left, path=left / "checkpoints"):
        run.train(asked, progress=False)
    shutil.rmtree(left / "checkpoints")
    with refuses("checkpoint", left, path=left / "checkpoints"):
        run.train(asked, progress=False)
    assert (left / "validation.jsonl").read_bytes() == history
    (left / "validation.jsonl").write_bytes(history[:-9])
    with refuses("line", path=left / "validation.jsonl", line=history.count(b"\n")):
        runs.validation_history(left)
    (left / "data.json").write_bytes(b'{"a": {')
    with refuses("delete", path=left / "data.json"):
        run.train(asked, progress=False)


def test_a_run_whose_first_checkpoint_is_damaged_starts_anew(left: Path) -> None:
    (left / "validation.jsonl").unlink()
    for path in (left / "checkpoints").glob("ckpt-*.index"):
        path.write_bytes(b"")
    (left / "checkpoints" / "checkpoint.tmp12ab").write_bytes(b"")
    step, [told] = run_folder.newest_checkpoint(left)
    assert step == 0
    assert_told(told, left / "checkpoints", "damaged", "anew")
    assert not [*(left / "checkpoints").glob("c*kp*")]
    assert run_folder.newest_checkpoint(left) == (0, [])


@pytest.mark.long
def test_steps_and_intervals_may_change_on_resuming(photos: Path, uninterrupted: Path) -> None:
    folder = photos / "runs" / "longer"
    shutil.copytree(uninterrupted, folder)
    text = (folder / "recipe.yaml").read_text()
    (folder / "recipe.yaml").write_text(text.replace("name: whole", "name: longer"))
    path = write_recipe(photos, steps=56, validation_interval=4, log_interval=4)
    process = start(path, "--set", "name=longer")
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert_told(err, "resuming", "step 48")
    steps = [entry["step"] for entry in runs.validation_history(folder)]
    assert steps == [8, 16, 24, 32, 40, 48, 52, 56]
    process = start(path, "--set", "name=longer", "--set", "training.steps=50")
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0
    assert_told(err, folder, "step 56", "training.steps")
    process = start(path, "--set", "name=longer", "--set", "training.learning_rate=0.1")
    _, err = process.communicate(timeout=300)
    assert process.returncode == 2
    assert_error_line(err, folder, "training.learning_rate", "--set", "--init-from")


@pytest.mark.long  # `test_locks` has the lock
def test_a_second_training_into_one_folder_is_told(photos: Path) -> None:
    path = write_recipe(photos)
    first = start(path, "--set", "name=both", "--set", "training.steps=5000")
    wait_for_checkpoint(first, photos / "runs" / "both", 4)
    _, err = start(path, "--set", "name=both", "--set", "training.steps=5000").communicate()
    assert_error_line(err, photos / "runs" / "both", "another")
    first.send_signal(signal.SIGTERM)
    assert first.wait(300) == 128 + signal.SIGTERM


@pytest.mark.long  # `faults/test_faults.py` has a disk that is full for a moment
def test_a_full_disk_is_told_with_the_path_and_what_is_kept(photos: Path) -> None:
    """A limit of the size of files stands for the disk's, which a test cannot fill."""
    path = write_recipe(photos)
    # Not even a first checkpoint can be saved.
    process = subprocess.run(
        [sys.executable, "-m", "efld_tf.cli.train", str(path), "--set", "name=full", "--quiet"],
        capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)))
    assert process.returncode == 2, process.stderr
    assert_error_line(process.stderr, photos / "runs" / "full")
    assert start(path, "--set", "name=full", "--set", "training.steps=8", "--quiet").wait(300) == 0


@pytest.mark.long
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_mixed_precision(photos: Path, uninterrupted: Path, precision: str) -> None:
    process = start(write_recipe(photos, precision=precision), "--set", f"name={precision}")
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    folder = photos / "runs" / precision
    # It computes differently, but learns the same.
    found, whole = (
        [entry["training_loss"] for entry in runs.validation_history(one)]
        for one in (folder, uninterrupted)
    )
    assert found != whole
    assert found == pytest.approx(whole, rel=0.1)
    kept = weights(folder / "best.h5")
    assert all(value.dtype != np.float16 for value in kept.values())
    assert any((value != value.astype(np.float16)).any() for value in kept.values()
               if value.dtype == np.float32)


@pytest.mark.long
@pytest.mark.parametrize("killed", [False, True])
def test_replicas_share_the_batches_and_stay_equal(
    photos: Path, uninterrupted: Path, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    path, name = write_recipe(photos, devices=2), f"name=replicas_{killed}"
    process = start(path, "--set", name)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 2 and "logical CPUs need TF_ENABLE_ONEDNN_OPTS=0" in err
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    process = start(path, "--set", name)
    deadline = time.monotonic() + 300
    folder = photos / "runs" / f"replicas_{killed}"
    if killed:
        while newest_checkpoint(folder) < 8:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        process = start(path, "--set", name)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    found, whole = runs.validation_history(folder), runs.validation_history(uninterrupted)
    assert [entry["step"] for entry in found] == [entry["step"] for entry in whole]
    nme = [entries[-1]["nme_percent"]["ibug51"] for entries in (found, whole)]
    # Each replica's batch norms see half a batch, and so few steps have not settled.
    assert nme[0] == pytest.approx(nme[1], rel=0.4)
    log = (folder / "train.log").read_text()
    for device in ("CPU:0", "CPU:1"):
        assert f"/device:{device}" in log
    assert "nan" not in log


def test_average_of_weights_by_hand() -> None:
    average, model = (tf_keras.Sequential([tf_keras.layers.BatchNormalization(input_shape=(1,))])
                      for _ in range(2))
    names = [weight.name.split("/")[1] for weight in model.weights]
    assert names == ["gamma:0", "beta:0", "moving_mean:0", "moving_variance:0"]
    average.set_weights([np.full(1, value) for value in (1.0, 2.0, 3.0, 4.0)])
    model.set_weights([np.full(1, value) for value in (3.0, 4.0, 5.0, 6.0)])
    averaging.update(average, model, decay=0.75, last_step=1000, step=1001)
    np.testing.assert_allclose(np.ravel(average.get_weights()), [1.5, 2.5, 3.5, 4.5])
    averaging.update(average, model, decay=0.75, last_step=2, step=3)  # at most 3 / 12 is kept
    np.testing.assert_allclose(np.ravel(average.get_weights()), [2.625, 3.625, 4.625, 5.625])
    averaging.update(average, model, decay=0.5, last_step=1000, step=1002)  # 0.5 twice
    expected = [2.90625, 3.90625, 4.90625, 5.90625]
    np.testing.assert_allclose(np.ravel(average.get_weights()), expected)


@pytest.mark.long
def test_the_average_is_what_is_validated_and_kept(photos: Path, uninterrupted: Path) -> None:
    process = start(write_recipe(photos, weight_average=0.0), "--set", "name=not_averaged")
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    folder = photos / "runs" / "not_averaged"
    plain, averaged = runs.validation_history(folder), runs.validation_history(uninterrupted)
    assert [e["training_loss"] for e in plain] == [e["training_loss"] for e in averaged]
    assert all(a["nme_percent"] != b["nme_percent"] for a, b in zip(plain, averaged, strict=True))
    last, kept = weights(folder / "best.h5"), weights(uninterrupted / "best.h5")
    assert any((last[name] != kept[name]).any() for name in last)


def test_a_finished_run_is_not_trained_again(photos: Path, uninterrupted: Path) -> None:
    before = (uninterrupted / "best.h5").stat().st_mtime_ns
    process = start(write_recipe(photos), "--set", "name=whole")
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0 and "best validation NME" in out
    assert (uninterrupted / "best.h5").stat().st_mtime_ns == before


def test_a_run_of_an_older_version_is_known(
    photos: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    found = recipe.load(uninterrupted / "recipe.yaml", [f"output_dir={tmp_path}"])
    found.folder.mkdir()
    (found.folder / "best.h5").touch()
    tree = yaml.safe_load(config.dump(found))
    for value, known in (("float32", True), ("bfloat16", False), (None, True), (8, False)):
        tree["training"]["precision"] = value
        if value is None:  # a field that the older version did not know
            del tree["training"]["precision"]
        (found.folder / "recipe.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
        if known:
            run_folder.check(found)
        else:
            with refuses(found.folder, "training.precision", value):
                run_folder.check(found)


@pytest.mark.long
def test_a_checkpoint_of_another_version_is_not_resumed(photos: Path, uninterrupted: Path) -> None:
    folder = photos / "runs" / "older"
    folder.mkdir()
    for name in ("recipe.yaml", "data.json"):
        text = (uninterrupted / name).read_text()
        (folder / name).write_text(text.replace("name: whole", "name: older"))
    older = tf.train.Checkpoint(  # with another optimizer's state
        global_step=tf.Variable(8, dtype=tf.int64), optimizer=tf.train.Checkpoint()
    )
    tf.train.CheckpointManager(older, str(folder / "checkpoints"), 1).save(checkpoint_number=8)
    process = start(write_recipe(photos), "--set", "name=older")
    _, err = process.communicate(timeout=300)
    assert process.returncode == 2 and "Traceback" not in err
    assert_told(err, folder, "version")


def test_it_learns(photos: Path) -> None:
    """Held-out faces are met far better than by the mean shape: features are found."""
    path = write_recipe(photos, steps=250, validation_interval=125, checkpoint_interval=125,
                        learning_rate=0.004, batch_size=16, deterministic=False)
    result = run.train(recipe.load(path, ["name=learns"]), progress=False)
    spec, _ = checkpoint.load(result.folder / "best.h5")
    held_out = faces_of.load(
        f"packed:{next((photos / 'packed').glob('a-*'))}", spec.heads["ibug51"].crop_rule, 32
    )
    truth = held_out.points[:, 17:]
    mean_shape = np.broadcast_to(spec.heads["ibug51"].mean_shape, truth.shape)
    baseline = 100 * metrics.nme(mean_shape, truth, schemas.get("ibug51")).mean()
    assert result.nme_percent < 0.7 * baseline
    assert spec.training["validation_nme_percent"]["ibug51"] == result.nme_percent


def test_fine_tuning_starts_from_given_weights(photos: Path, uninterrupted: Path) -> None:
    path = write_recipe(photos, steps=1, learning_rate=1e-9, validation_interval=1)
    start_nme = min(e["nme_percent"]["ibug51"] for e in runs.validation_history(uninterrupted))
    init = f"training.init_from={uninterrupted / 'best.h5'}"
    result = run.train(recipe.load(path, ["name=tuned", init]), progress=False)
    # One step changes the batch norm statistics a little, nothing else.
    assert result.nme_percent == pytest.approx(start_nme, rel=0.15)


@pytest.mark.long
def test_the_licence_of_weights_stays_in_what_is_made_of_them(
    photos: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    spec, model = checkpoint.load(uninterrupted / "best.h5")
    checkpoint.save(tmp_path / "large.h5", replace(spec, license="research only"), model)
    init = f"training.init_from={tmp_path / 'large.h5'}"
    path = write_recipe(photos, steps=1, validation_interval=1)
    for name, own, expected in (
        ("silent", "", "started from weights under: research only"),
        ("freed", "MIT", "MIT; started from weights under: research only"),
        ("known", "research only, as asked", "research only, as asked"),
    ):
        found = recipe.load(path, [f"name={name}", f"license={own!r}", init])
        made = checkpoint.read_spec(run.train(found, progress=False).folder / "best.h5")
        assert made.license == expected
        assert made.training["started_from"] == str(tmp_path / "large.h5")


def test_the_licences_of_labels_stay_in_what_is_made_of_them(photos: Path) -> None:
    """Those of models that made them; a person's labels say nothing."""
    licenses = ["MIT", "research only"] * 5 + [None] * 10
    records = sources.read(f"mtfl:{photos / 'b' / 'list.txt'}").records
    lines = [
        json.dumps({"image": record.key, "points": record.points.tolist(),
                    "box": record.box.tolist(),
                    "attributes": {"weights_license": license} if license else {}})
        for record, license in zip(records, licenses, strict=True)
    ]
    (photos / "b" / "labels.jsonl").write_text("\n".join(lines))
    labels = f"json:{photos / 'b' / 'labels.jsonl'}?schema=mtfl5"
    path = write_recipe(photos, steps=1, validation_interval=1)
    found = recipe.load(path, ["name=labelled", "license=MIT", "data.sources.1.name=labels",
                               f"data.sources.1.source={labels}"])
    made = checkpoint.read_spec(run.train(found, progress=False).folder / "best.h5")
    assert made.license == "MIT; taught by weights under: research only"


def test_fine_tuning_says_which_heads_start_anew(
    photos: Path, uninterrupted: Path, capfd: pytest.CaptureFixture
) -> None:
    image = next(path for path in (photos / "a").iterdir() if path.suffix != ".pts")
    _, points = faces.draw_face("face_synthetics70", np.random.default_rng(0))
    cells = ",".join(f"{value:.1f}" for value in points.ravel())
    names = ",".join(f"{axis}{i}" for i in range(len(points)) for axis in "xy")
    (photos / "more.csv").write_text(f"image,{names}\na/{image.name},{cells}")
    source = f"csv:{photos / 'more.csv'}?schema=face_synthetics70"
    overrides = [
        "name=more", f"training.init_from={uninterrupted}",
        "heads={mtfl5: {}, ibug51: {}, ibug68: {}, face_synthetics70: {}}", "data.pack.zoom=1.3",
        "model.options.activation=relu",
        f"data.sources=[{{name: a, source: 'ibug:{photos / 'a'}', heads: [ibug51, ibug68], "
        f"validation_fraction: 0.25}}, {{name: b, source: 'mtfl:{photos / 'b' / 'list.txt'}', "
        f"heads: [mtfl5]}}, {{name: c, source: '{source}', heads: [face_synthetics70]}}]",
    ]
    path = write_recipe(photos, steps=1, validation_interval=1)
    run.train(recipe.load(path, overrides), progress=False)
    told = f"{uninterrupted} has no weights for: face_synthetics70, ibug68\n"
    err = capfd.readouterr().err
    assert told in err
    assert_told(err, uninterrupted, "data.pack.zoom 1; here it is 1.3")
    assert_told(err, uninterrupted, "model.options.activation relu6; here it is relu")


def test_another_recipe_does_not_overwrite_a_run(photos: Path, uninterrupted: Path) -> None:
    path = write_recipe(photos, learning_rate=0.5)
    with refuses(uninterrupted, "training.learning_rate", 0.001, 0.5, "--set", "--init-from"):
        run.train(recipe.load(path, ["name=whole"]), progress=False)


def test_changed_data_are_noticed_when_a_run_goes_on(photos: Path, tmp_path: Path) -> None:
    """A checkpoint belongs to the mean shapes and faces that it was trained on."""
    faces.write_ibug(tmp_path / "a", 12)
    source = f"data.sources.0.source=ibug:{tmp_path / 'a'}"
    path = write_recipe(photos, steps=2, validation_interval=2)
    run.train(recipe.load(path, ["name=changing", source]), progress=False)
    faces.write_ibug(tmp_path / "a", 13)
    with refuses(photos / "runs" / "changing", "changed", "a"):
        run.train(recipe.load(path, ["name=changing", source]), progress=False)


@pytest.mark.parametrize(
    ("override", "path", "facts"),
    [
        ("data.sources.0.source=ibug:/nowhere", None, ["source ibug:/nowhere", "exist"]),
        ("training.init_from=/nowhere.h5", None,
         ["training.init_from", "/nowhere.h5", "research", "synthetic"]),
        ("data.sources.0.validation_fraction=1e-9", None, ["ibug51", "validation_fraction"]),
    ],
)
def test_a_mistake_does_not_take_the_run_s_name(
    photos: Path, override: str, path: str | None, facts: list[str]
) -> None:
    with refuses(*facts, path=path):
        run.train(recipe.load(write_recipe(photos), ["name=mistaken", override]), progress=False)
    assert not (photos / "runs" / "mistaken").exists()


def test_a_bad_annotation_stops_before_training(photos: Path) -> None:
    os.truncate(faces.write_ibug(photos / "bad", 3) / "face_001x.pts", 40)
    source = f"data.sources.0.source=ibug:{photos / 'bad'}"
    with refuses("1 of 68", path=photos / "bad" / "face_001x.pts"):
        run.train(recipe.load(write_recipe(photos), ["name=bad", source]), progress=False)


def test_what_should_be_known_of_the_faces_is_said(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(photos / "a", tmp_path / "a")
    first, second = sorted((tmp_path / "a").glob("*.pts"))[:2]
    lines = first.read_text().splitlines()
    first.write_text("\n".join([*lines[:3], *(f"{line} 0" for line in lines[3:-1]), "}"]))
    second.write_text("damaged")
    path = write_recipe(tmp_path)
    tree = yaml.safe_load(path.read_text())
    tree["data"]["sources"] = [tree["data"]["sources"][0] | {"on_error": "skip"}]
    tree["heads"] = {"ibug51": {}}
    path.write_text(yaml.safe_dump(tree))
    loaded = recipe.load(path)
    for _ in range(2):  # also when it is packed already
        run.pack_sources(loaded, loaded.data.sources, progress=False)
        told = capsys.readouterr().err
        assert_told(told, "a", "third column", "1 file")
        assert_told(told, "a", "1 left out", second.name)


def test_heads_keep_the_order_of_the_recipe(uninterrupted: Path) -> None:
    assert list(checkpoint.read_spec(uninterrupted / "best.h5").heads) == ["mtfl5", "ibug51"]
