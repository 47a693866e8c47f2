"""The package's verbs, as they are printed and with wrong arguments."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import cv2
import nbformat
import numpy as np
import pytest
import yaml
from nbclient import NotebookClient

import efld_tf
from efld_tf import assets
from efld_tf.annotations.synthetic.render import render_face
from efld_tf.arguments import numbers_of
from efld_tf.exporting import modes
from efld_tf.models import checkpoint
from tests import faces
from tests.errors import refuses

README = Path(__file__).parents[1] / "README.md"


def blocks() -> list[str]:
    """The Python of the package's help and of README that uses the verbs, in order."""
    help_text = textwrap.dedent(efld_tf.__doc__ or "")
    indented = "\n".join(re.findall(r"^    (.*)$", help_text, re.M))
    found = re.findall(r"```python\n(.*?)```", README.read_text(), re.S)
    return [indented, *(block for block in found if "import efld_tf" in block)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the printed code names: photo.jpg, recipe.yaml, and annotated faces in PATH."""
    path = tmp_path_factory.mktemp("printed")
    face = render_face(seed=0, index=3, size=320)
    cv2.imwrite(str(path / "photo.jpg"), face.image[..., ::-1])
    faces.write_ibug(path / "PATH", 24, "ibug68")
    source = {"name": "a", "source": "ibug:PATH", "heads": ["ibug51"], "validation_fraction": 0.2}
    (path / "recipe.yaml").write_text(yaml.safe_dump({
        "name": "mine", "model": {"input_size": 64}, "heads": {"ibug51": {}},
        "data": {"sources": [source], "pack": {"size": 96}},
        "training": {"target_head": "ibug51", "steps": 4000, "batch_size": 8,
                     "validation_interval": 100, "checkpoint_interval": 200},
    }))
    return path


@pytest.fixture(scope="module")
def printed(folder: Path) -> dict[str, Any]:
    """What the printed code leaves: everything that it names."""
    left: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        image = cv2.imread("photo.jpg")[..., ::-1]
        for number, block in enumerate(blocks()):
            names = {"frame": image, "seconds": 0.0}
            exec(compile(block, f"block {number}", "exec"), names)
            left |= names
    return left


def test_the_printed_code_runs(
    folder: Path, printed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    run, bundle, result = (printed[name] for name in ("run", "bundle", "result"))
    assert run.folder == Path("runs/mine") and run.head == "ibug51"
    assert [entry["step"] for entry in run.history] == [100, 200]
    best = min(entry["nme_percent"]["ibug51"] for entry in run.history)
    assert run.nme_percent == best
    assert bundle.model == Path("runs/mine/efld_ibug51_int8/efld_ibug51_int8.tflite")
    assert bundle.model.stat().st_size == bundle.report.size_bytes
    assert result.nme.shape == (24,) and result.summary()["source"] == "ibug:PATH"


def test_a_score_needs_no_more_than_an_evaluation(
    folder: Path, printed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    score = efld_tf.score(printed["result"], power_w=1.9)
    assert score.score is not None and score.missing == ()
    assert score.accuracy_percent == printed["result"].accuracy_percent
    assert score.size_mb == printed["bundle"].report.size_bytes / 1e6
    assert efld_tf.score(printed["result"]).missing == ("power_w",)
    printed["result"].save("results.json")
    efld_tf.benchmark(printed["bundle"], runs=3, warmup=0).save("results.json")
    assert efld_tf.score("results.json", power_w=1.9).size_mb == score.size_mb


def test_faces_of_a_photo(folder: Path, tmp_path: Path) -> None:
    landmarker = efld_tf.load("research")
    found = landmarker(str(folder / "photo.jpg"))
    truth = render_face(seed=0, index=3, size=320).points["ibug68"][17:]
    (face,) = found
    eyes = np.linalg.norm(truth[19] - truth[28])
    assert np.linalg.norm(face.points - truth, axis=1).mean() < 0.08 * eyes
    assert face.schema == "ibug51" and len(face.names) == 51 and face.confidence > 0.9
    assert face.box.shape == (4,)
    same, again = landmarker([folder / "photo.jpg", found.image])
    np.testing.assert_array_equal(same[0].points, face.points)
    np.testing.assert_array_equal(again[0].points, face.points)
    drawn = found.draw()
    assert drawn.dtype == np.uint8 and not np.array_equal(
        drawn, cv2.resize(found.image, drawn.shape[1::-1], interpolation=cv2.INTER_CUBIC))
    assert cv2.imread(str(found.save(tmp_path / "found.png"))).shape == drawn.shape
    with refuses(tmp_path / "found.gif", ".png", ".jpg", ".jpeg"):
        found.save(tmp_path / "found.gif")


def test_a_video_is_tracked(folder: Path) -> None:
    image = cv2.imread(str(folder / "photo.jpg"))[..., ::-1]
    tracker = efld_tf.load("research").track()
    for frame in range(3):
        (face,) = tracker(np.roll(image, 2 * frame, axis=1), frame / 25)
        assert face.track == 0


def test_a_run_finds_faces_too(folder: Path, printed: dict[str, Any]) -> None:
    landmarker = efld_tf.load(folder / "runs/mine", detector=None)
    image = cv2.imread(str(folder / "photo.jpg"))[..., ::-1]
    (face,) = landmarker.find(image, [np.array([60.0, 60, 260, 260])])
    assert face.points.shape == (51, 2)


def test_a_notebook_shows_the_faces(folder: Path) -> None:
    code = 'import efld_tf\nefld_tf.load("research")("photo.jpg")'
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(folder)}}).execute()
    (output,) = [out for out in notebook.cells[0].outputs if out.output_type == "execute_result"]
    assert output.data["image/png"].startswith("iVBOR")


def test_the_package_is_light() -> None:
    """In a process of its own: nothing is loaded before it is asked for."""
    code = ("import sys, efld_tf; heavy = {'tensorflow', 'cv2', 'ai_edge_litert', 'numpy'}; "
            "print(heavy & set(sys.modules)); "
            "import pydoc; text = pydoc.render_doc(efld_tf); "
            "print('tensorflow' in sys.modules, 'efld_tf.load(\"research\")' in text)")
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split("\n")[:2] == ["set()", "False True"]


def test_all_names_are_there() -> None:
    for name in efld_tf.__all__:
        assert getattr(efld_tf, name).__name__ == name
    assert set(efld_tf.__all__) <= set(dir(efld_tf))
    with pytest.raises(AttributeError, match=r"'lode'.*\bload\b"):
        efld_tf.lode  # noqa: B018


@pytest.mark.parametrize("wrong", [None, 3, b"research", "", ["research"]])
@pytest.mark.parametrize(("verb", "argument"), [
    (efld_tf.load, "model"), (efld_tf.train, "recipe"), (efld_tf.export, "model"),
    (efld_tf.benchmark, "model"), (efld_tf.score, "results"),
    (lambda model: efld_tf.evaluate(model, "ibug:x"), "model"),
])
def test_what_is_no_path(verb: Any, argument: str, wrong: object) -> None:
    with refuses(argument, "path", repr(wrong)):
        verb(wrong)


@pytest.mark.parametrize("verb", [
    efld_tf.load, efld_tf.export, efld_tf.benchmark, lambda model: efld_tf.evaluate(model, "x:y"),
])
def test_a_misspelt_model(verb: Any) -> None:
    with refuses("research", "synthetic", path="reserch"):
        verb("reserch")


def test_wrong_arguments(folder: Path, tmp_path: Path) -> None:
    landmarker = efld_tf.load("research")
    for wrong in (None, 3, np.zeros((4, 4)), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)):
        with refuses("image", "[H, W, 3]", getattr(wrong, "shape", wrong)):
            landmarker(wrong)
    with refuses("No such file", path=tmp_path / "none.jpg"):
        landmarker(tmp_path / "none.jpg")
    with refuses("'int7'", *modes.MODES):
        efld_tf.export("research", "int7")
    with refuses("both", "short", "full", path="sonar"):
        efld_tf.load("research", detector="sonar")
    with refuses("source", "READER:PATH", None):
        efld_tf.evaluate("research", None)
    with refuses("training.stepps", "steps", path=folder / "recipe.yaml"):
        efld_tf.train(folder / "recipe.yaml", overrides={"training.stepps": 3})
    with refuses("model.input_size", 16, 50, path=folder / "recipe.yaml"):
        efld_tf.train(folder / "recipe.yaml", overrides={"model.input_size": 50})


def test_scores_are_of_one_model(
    folder: Path, printed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    other = efld_tf.evaluate("research", f"ibug:{folder / 'PATH'}", progress=False)
    with refuses("results", printed["times"].file, other.file):
        efld_tf.score(printed["times"], other)


@pytest.mark.long
def test_an_export_reads_the_checkpoint_once(
    folder: Path, printed: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    opened: list[Path] = []
    real = checkpoint.h5py.File

    def counted(path: Any, *arguments: Any, **options: Any) -> Any:
        opened.append(Path(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr(checkpoint.h5py, "File", counted)
    efld_tf.export(printed["run"], "int8", output=tmp_path / "out", debug=True)
    assert [path.name for path in opened] == ["best.h5"]


def test_shipped_weights_are_not_exported_into_the_package(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    bundle = efld_tf.export("synthetic", "float16")
    assert bundle.folder.resolve() == folder / "efld_ibug51_float16"
    assert not list(assets.SHIPPED["synthetic"].folder.glob("*float16*"))
    shutil.rmtree(bundle.folder)


WRONG = {
    "power_w": lambda: efld_tf.score({"size_mb": 1.0}, power_w="x"),
    "threads": lambda: efld_tf.benchmark("synthetic", threads="2"),
    "runs": lambda: efld_tf.benchmark("synthetic", runs=0),
    "min_face": lambda: efld_tf.load("synthetic", min_face="a"),
    "min_confidence": lambda: efld_tf.load("research", min_confidence=5),
    "min_score": lambda: efld_tf.load("research", min_score=np.zeros(2)),
    "overrides": lambda: efld_tf.train("r.yaml", overrides="training.steps=3"),
    "init_from": lambda: efld_tf.train("r.yaml", init_from=3),
    "output": lambda: efld_tf.export("research", output=3),
    "thresholds_percent": lambda: efld_tf.evaluate("synthetic", "ibug:x", thresholds_percent=[-1]),
    "boxes": lambda: efld_tf.load("synthetic").find(IMAGE, boxes=[["a", 0, 1, 9]]),
    "path": lambda: efld_tf.load("synthetic")(IMAGE).save(None),
    "image": lambda: efld_tf.load("synthetic").track()(None, 0.0),
    "seconds": lambda: efld_tf.load("synthetic").track()(IMAGE, None),
}
IMAGE = np.zeros((64, 64, 3), np.uint8)


def test_numbers_may_come_one_by_one() -> None:
    assert numbers_of((n for n in (1, 2)), "threads", 1, whole=True) == (1, 2)


@pytest.mark.parametrize("argument", WRONG)
def test_arguments_of_wrong_types_are_named(argument: str) -> None:
    with pytest.raises(efld_tf.EfldError) as caught:
        WRONG[argument]()
    assert str(caught.value).startswith(f"{argument}: ")
