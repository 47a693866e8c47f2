"""Measuring real models: what is reported, and models that cannot be run."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from efld_tf.benchmarking import latency
from efld_tf.runtime import worker
from efld_tf.scoring import results
from tests import tiny_models
from tests.errors import refuses


def test_statistics_of_a_hand_case():
    # 1 to 21 ms: the median is the 11th, p95 the 20th (0.95 * 20 = 19 steps above the first).
    measured = latency.summarise(2, False, [n * 1_000_000 for n in range(21, 0, -1)])
    assert measured == latency.Latency(
        threads=2, xnnpack=False, runs=21, latency_ms_p50=11.0, latency_ms_p95=20.0,
        latency_ms_mean=11.0, latency_ms_min=1.0,
    )  # fmt: skip


def test_percentiles_interpolate():
    measured = latency.summarise(1, True, [1_000_000, 2_000_000])
    assert (measured.latency_ms_p50, measured.latency_ms_p95) == (1.5, 1.95)


@pytest.mark.parametrize("kind", ["int8_model", "float_model"])
def test_a_model_is_measured(kind, request):
    path = request.getfixturevalue(kind)
    measured = latency.measure(path, threads=[2, 1, 2], runs=45, warmup=1)
    assert [(m.threads, m.xnnpack) for m in measured.latencies] == [
        (2, True), (2, False), (1, True), (1, False),
    ]  # fmt: skip
    for row in measured.latencies:
        assert row.runs == 45
        assert 0 < row.latency_ms_min <= row.latency_ms_p50 <= row.latency_ms_p95
    assert measured.main == measured.latencies[2]
    assert measured.size_bytes == path.stat().st_size
    assert 0 < measured.peak_memory_bytes < 100e6


def test_the_section_is_valid_and_says_the_conditions(int8_model, tmp_path):
    section = latency.measure(int8_model, threads=[2], runs=1, warmup=0).summary()
    results.validate({"benchmark": section}, tmp_path)
    assert section["threads"] == 2
    assert section["xnnpack"] is True
    assert section["runtime"].startswith("ai-edge-litert 2")
    assert section["device"] and section["os"] and section["date"].endswith("+00:00")
    assert section["latency_ms_p50"] == section["measurements"][0]["latency_ms_p50"]


def test_rounds_of_interleaved_runs_take_turns():
    order: list[bool] = []

    class Recorder:
        def __init__(self, key: bool):
            self.key = key

        def invoke(self) -> None:
            order.append(self.key)

    samples = worker.time_interleaved({k: Recorder(k) for k in (True, False)}, 25, 2)
    assert {key: len(values) for key, values in samples.items()} == {True: 25, False: 25}
    assert order == (
        [True] * 2 + [False] * 2 + [True] * 21 + [False] * 21 + [True] * 6 + [False] * 6
    )


def test_inputs_are_repeatable_and_fill_the_range_of_pixels():
    first, second = (
        worker.random_input(np.random.default_rng(0), (64, 64, 3), np.uint8) for _ in range(2)
    )
    assert np.array_equal(first, second)
    assert (first.min(), first.max()) == (0, 255)
    random = np.random.default_rng(0)
    assert worker.random_input(random, (100,), np.int8).min() < -100
    assert worker.random_input(random, (100,), np.float32).min() >= 0
    assert not worker.random_input(random, (3,), np.int32).any()


def _shifted_zero_point(model) -> None:
    model.subgraphs[0].tensors[0].quantization.zeroPoint = np.array([1 << 25])


def _without_stride(model) -> None:
    model.subgraphs[0].operators[1].builtinOptions.strideW = 0


def _huge_activations(model) -> None:
    for index in (11, 12, 13):
        model.subgraphs[0].tensors[index].shape = np.array([1 << 27, 4, 4, 8], np.int32)


@pytest.mark.parametrize(
    ("edit", "facts"),
    [
        # This one takes the process with it; that is what the worker is for.
        (_shifted_zero_point, ["crashes"]),
        (_without_stride, ["stride_width"]),
        (_huge_activations, []),
    ],
)
def test_models_that_the_runtime_cannot_run_are_refused(tmp_path, edit, facts):
    path = tmp_path / "bad.tflite"
    path.write_bytes(tiny_models.edited(tiny_models.tiny_int8(), edit))
    with refuses("run", *facts, path=path):
        latency.measure(path, runs=1)


def test_files_that_are_no_models_are_refused(tmp_path, int8_model):
    path = tmp_path / "bad.tflite"
    for content in (b"", b"nothing", int8_model.read_bytes()[:2000]):
        path.write_bytes(content)
        with refuses("run", path=path):
            latency.measure(path, runs=1)
    with refuses("model", "No such file", path=tmp_path / "none.tflite"):
        latency.measure(tmp_path / "none.tflite")


def test_a_smaller_limit_of_memory_is_kept(int8_model):
    code = ("import resource, sys\n"
            "resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))\n"
            "from efld_tf.benchmarking import latency\n"
            "print(latency.measure(sys.argv[1], runs=2).main.latency_ms_p50 > 0)\n")
    done = subprocess.run([sys.executable, "-c", code, str(int8_model)], capture_output=True,
                          text=True, check=True)
    assert done.stdout == "True\n"


def test_a_model_that_takes_too_long_is_given_up(int8_model):
    with refuses("0.01 seconds", path=int8_model):
        latency.measure(int8_model, trial_seconds=0.01)


@pytest.mark.parametrize(
    "arguments", [{"threads": []}, {"threads": [0]}, {"runs": 0}, {"warmup": -1}]
)
def test_impossible_requests_are_refused(int8_model, arguments):
    with refuses("threads", "runs", "warm-up"):
        latency.measure(int8_model, **arguments)
