"""`efld-eval --report` on real faces: what the page says, and that nothing in it runs."""

from __future__ import annotations

import base64
import csv
import json
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from efld_tf import assets, runs
from efld_tf.cli import common, eval
from efld_tf.evaluation import report
from efld_tf.scoring import results
from tests.errors import assert_error_line

BUNDLE = assets.INT8_MODEL.parent
HOSTILE = '"><script>alert(1)<img src=x onerror=alert(2)>&amp;\u202egpj.$x$'
EMPTY = {"meta", "img", "br", "link"}  # elements that have no end
NAMES = {"index.html", "results.json", "faces.csv"}


class Page(HTMLParser):
    """Reads a page strictly.

    Attributes:
      tags: the name and attributes of every element.
      texts: every text, with the open elements around it.
    """

    def __init__(self, path: Path):
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[tuple[str, ...], str]] = []
        self._open: list[str] = []
        self.feed(path.read_text("utf-8"))
        self.close()
        assert not self._open, "an element has no end"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((tuple(self._open), data))

    def inside(self, tag: str) -> list[str]:
        """The texts anywhere inside elements of a name."""
        return [text for opened, text in self.texts if tag in opened]

    def pictures(self) -> list[tuple[str, np.ndarray]]:
        """What every picture shows, and its pixels."""
        found = []
        for tag, attributes in self.tags:
            if tag == "img":
                content = base64.b64decode(attributes["src"].partition(";base64,")[2])
                image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
                found.append((attributes["alt"], image))
        return found


def evaluate(*words: object) -> int:
    return common.run(eval.main, [*map(str, words), "--quiet"])


@pytest.fixture(scope="module")
def faces(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten faces of HELEN, one of which has a hostile name."""
    folder = tmp_path_factory.mktemp("report") / "faces"
    folder.mkdir()
    for index, photo in enumerate(sorted((shared_data / "ibug/helen/testset").glob("*.jpg"))[:10]):
        name = photo.stem if index else HOSTILE
        shutil.copy(photo, folder / f"{name}.jpg")
        shutil.copy(photo.with_suffix(".pts"), folder / f"{name}.pts")
    return folder


@pytest.fixture(scope="module")
def made(faces: Path) -> Path:
    """A report on them."""
    folder = faces.parent / "made"
    assert evaluate("research", "--source", f"ibug:{faces}", "--slices", "--report", folder) == 0
    return folder


def test_the_page_needs_no_other_file(made: Path) -> None:
    assert {path.name for path in made.iterdir()} == NAMES
    assert (made / "index.html").stat().st_size < 2e6
    page = Page(made / "index.html")
    assert {"script", "link", "iframe", "object", "base", "form"}.isdisjoint(
        tag for tag, _ in page.tags)
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")]
        assert {"srcset", "style", "action"}.isdisjoint(attributes)
        if "src" in attributes:
            assert re.fullmatch("data:image/(png|jpeg);base64,[A-Za-z0-9+/]+=*", attributes["src"])
        assert attributes.get("href", "results.json") in NAMES
    (style,) = page.inside("style")
    assert "prefers-color-scheme: dark" in style and "url(" not in style and "@import" not in style
    policy = next(attributes["content"] for tag, attributes in page.tags
                  if attributes.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'") and "script" not in policy


def test_the_numbers_are_those_of_the_results(made: Path, faces: Path) -> None:
    found = results.read(made / "results.json")
    evaluation = found["evaluation"]
    page = Page(made / "index.html")
    shown = page.inside("dd")
    assert shown[:4] == [
        f"{evaluation['nme_interocular_percent']:.2f}%",
        f"{evaluation['ced_auc_10_percent']:.1f}%",
        f"{evaluation['failure_rate_10_percent']:.2f}%",
        f"{evaluation['accuracy_5px_percent']:.1f}%",
    ]
    for fact in (found["model"]["sha256"], f"ibug:{faces}", "10", "int8", "9,563,456", "efld"):
        assert fact in shown
    cells = page.inside("table")
    for region, nme in evaluation["nme_by_region_percent"].items():
        assert cells[cells.index(region.replace("_", " ")) + 1] == f"{nme:.2f}"
    for about in found["slices"]["attributes"].values():
        for group in about["groups"]:
            assert any(cells[i : i + 4] == [
                group["group"], str(group["faces"]), str(group["people"]),
                f"{group['nme_interocular_percent']:.2f}"] for i in range(len(cells)))


def test_the_worst_faces_are_shown_worst_first(made: Path) -> None:
    with open(made / "faces.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    nme = np.array([float(row["nme_interocular_percent"]) for row in rows])
    mean = results.read(made / "results.json")["evaluation"]["nme_interocular_percent"]
    assert len(nme) == 10 and nme.mean() == pytest.approx(mean, abs=1e-3)
    worst = [rows[i]["face"] for i in np.argsort(-nme)[:8]]
    pictures = [(name, image) for name, image in Page(made / "index.html").pictures()
                if name.startswith("the points of")]
    assert [name.removeprefix("the points of ") for name, _ in pictures[:8]] == worst
    # All ten from best to worst in eight steps begin and end with those.
    assert pictures[-1][0] == pictures[0][0] and len(pictures) == 16
    for _, image in pictures:
        assert image.shape == (320, 320, 3) and image.std() > 5
    captions = Page(made / "index.html").inside("figcaption")
    assert f"{nme.max():.2f}%" in captions


def test_hostile_names_are_shown_and_not_run(made: Path) -> None:
    shown = HOSTILE.replace("\u202e", "\\u202e") + ".jpg"
    page = Page(made / "index.html")
    assert any(text.strip() == shown for text in page.inside("figcaption"))
    text = (made / "index.html").read_text("utf-8")
    assert "<script" not in text and "<img src=x" not in text and "\u202e" not in text
    with open(made / "faces.csv", newline="", encoding="utf-8") as file:
        assert shown in [row["face"] for row in csv.DictReader(file)]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a run with the export of its model; only what a report needs."""
    folder = tmp_path / "<b>run"
    shutil.copytree(BUNDLE, folder / BUNDLE.name)
    write_history(folder, [4.0, 3.0, 3.5])
    return folder


def write_history(folder: Path, errors: Sequence[float]) -> None:
    entries = [{"step": 100 * step, "training_loss": 1 / step, "nme_percent": {"ibug51": error}}
               for step, error in enumerate(errors, start=1)]
    text = "".join(json.dumps(entry) + "\n" for entry in entries)
    (folder / runs.VALIDATION_LOG).write_text(text)


def curve_of(folder: Path) -> list[str]:
    """The captions of the learning curves in a report."""
    return [name for name, image in Page(folder / "index.html").pictures()
            if name.startswith("Run ") and image.std() > 5]


def test_the_learning_curve_is_that_of_the_run(faces: Path, made: Path, run: Path) -> None:
    assert not curve_of(made)
    words = ["--source", f"ibug:{faces}", "--report", run.parent / "page"]
    assert evaluate(run / BUNDLE.name, *words) == 0  # by its place
    (caption,) = curve_of(run.parent / "page")
    assert caption.startswith("Run <b>run, 3 validations")
    write_history(run, [4.0])
    assert evaluate("research", *words, "--run", run) == 0  # by its name; the page is replaced
    (caption,) = curve_of(run.parent / "page")
    assert caption.startswith("Run <b>run, 1 validation;")


def test_a_run_without_validations_is_told(
    faces: Path, tmp_path: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["research", "--source", f"ibug:{faces}", "--report", tmp_path / "page"]
    assert evaluate(*words, "--run", tmp_path) == common.EXIT_BAD_INPUT
    assert_error_line(capsys.readouterr().err, str(tmp_path), runs.VALIDATION_LOG)
    (run / runs.VALIDATION_LOG).write_text('{"step": 5}\n')
    assert evaluate(run / BUNDLE.name, *words[1:]) == common.EXIT_BAD_INPUT
    assert_error_line(capsys.readouterr().err, f"{run / runs.VALIDATION_LOG}:1", "damaged")
    assert evaluate(*words[:3], "--run", run) == common.EXIT_BAD_INPUT
    assert_error_line(capsys.readouterr().err, "--run", "--report")
    assert not (tmp_path / "page").exists()


@pytest.mark.parametrize("mine", ["index.html", "thesis.txt", "results.json"])
def test_what_is_no_report_is_not_replaced(
    faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], mine: str
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / mine).write_text("<!DOCTYPE html><title>mine</title>")
    before = (tmp_path / "site" / mine).read_bytes()
    words = ["research", "--source", f"ibug:{faces}", "--report"]
    assert evaluate(*words, tmp_path / "site") == common.EXIT_BAD_INPUT
    assert_error_line(capsys.readouterr().err, str(tmp_path / "site"), "--report")
    assert evaluate(*words, tmp_path / "site" / mine) == common.EXIT_BAD_INPUT
    assert_error_line(capsys.readouterr().err, str(tmp_path / "site" / mine), "--report")
    assert evaluate(*words, tmp_path / "site" / mine / "deeper" / "page") == common.EXIT_BAD_INPUT
    assert_error_line(capsys.readouterr().err, str(tmp_path / "site" / mine), "folder")
    assert [path.name for path in (tmp_path / "site").iterdir()] == [mine]
    assert (tmp_path / "site" / mine).read_bytes() == before


@pytest.mark.parametrize(("option", "place"), [("--output", "page/r.json"), ("--plots", "page")])
def test_other_results_are_not_put_into_it(
    faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, place: str
) -> None:
    words = ["research", "--source", f"ibug:{faces}", "--report", tmp_path / "page"]
    assert evaluate(*words, option, tmp_path / place) == common.EXIT_BAD_INPUT
    assert_error_line(capsys.readouterr().err, option, str(tmp_path / place), "--report")
    assert not list(tmp_path.iterdir())


def test_an_earlier_report_beside_other_files_is_not_replaced(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "page")
    report.check_replaceable(tmp_path / "page")
    (tmp_path / "page" / "notes.txt").write_text("mine")
    with pytest.raises(report.DataError):
        report.check_replaceable(tmp_path / "page")


@pytest.mark.parametrize("existing", [True, False])
def test_a_full_disk_leaves_the_old_report_or_none(
    faces: Path, made: Path, tmp_path: Path, existing: bool
) -> None:
    """A limit of the size of files stands for the disk's, which a test cannot fill."""
    folder = tmp_path / "page"
    if existing:
        shutil.copytree(made, folder)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    done = subprocess.run(
        [str(Path(sys.executable).parent / "efld-eval"), "research", "--source", f"ibug:{faces}",
         "--report", str(folder), "--quiet"], capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)))
    assert done.returncode == 2, done.stderr
    assert_error_line(done.stderr, str(folder), "File too large")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert folder.exists() == existing


@pytest.mark.long
def test_without_annotated_faces_there_is_the_rest(tmp_path: Path) -> None:
    assert evaluate("research", "--prior", "--report", tmp_path / "page") == 0
    assert {path.name for path in (tmp_path / "page").iterdir()} == NAMES - {"faces.csv"}
    page = Page(tmp_path / "page" / "index.html")
    prior = results.read(tmp_path / "page" / "results.json")["implicit_prior"]
    cells = page.inside("table")
    for kind, numbers in prior["kinds"].items():
        assert cells[cells.index(kind) + 1] == str(numbers["inputs"])
    assert not any("faces.csv" in attributes.get("href", "") for _, attributes in page.tags)
