"""Writes measurements of a model as a page to read, print and pass on.

    index.html      the page, with all its pictures inside: it needs no other file and no network
    results.json    the same numbers, for `efld-score` and other programs
    faces.csv       the error of each face

The folder is written as a whole, and replaces an earlier report alone.
"""

from __future__ import annotations

import csv
import datetime
import io
import os
import tempfile
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from markupsafe import Markup

import efld_tf
from efld_tf import folders, runs
from efld_tf.errors import DataError
from efld_tf.evaluation import history_plot, markup, plots
from efld_tf.evaluation.evaluate import Evaluation
from efld_tf.evaluation.measured import Measured
from efld_tf.evaluation.model_facts import model_facts
from efld_tf.evaluation.report_tables import tables
from efld_tf.text import counted, printable

PAGE, RESULTS, FACES = "index.html", "results.json", "faces.csv"
FILES = frozenset({PAGE, RESULTS, FACES})
# What a page of this module begins with, as `report.html` has it.
MARK = b'<meta name="generator" content="efld-eval --report">'
MARK_WITHIN = 1000  # bytes

SHOWN_FACES = 8  # of the worst, and of all
TILE = 320  # pixels of a face, which a sharp screen shows at half of that
SHOWN_SKIPPED = 20

TITLES = {
    "evaluation": "Errors",
    "slices": "For which faces",
    "robustness": "On worse photos",
    "implicit_prior": "Where no face is",
    "detection": "With detected faces",
    "box_detection": "Finding all faces",
}
CAPTIONS = {
    "ced": "Share of the faces whose error is at most that of the horizontal axis.",
    "points": "Error of each point, by region of the face.",
    "reliability": "Error by the expected one, of tenths of the faces.",
    "slices": "Error by group of faces.",
    "robustness_curves": "Error by how much the photos are worse.",
    "robustness_levels": "One face at every level.",
    "prior": "What is predicted on inputs without a face.",
}


def check_replaceable(folder: Path) -> None:
    """Refuses to replace anything but a report.

    Raises:
      DataError: the path is a file, or a folder that holds anything that no report has, or it
        cannot be written.
    """
    above = next(place for place in folder.absolute().parents if place.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise DataError(folder, f"cannot be written: {above} is not a folder to write to")
    if not folder.exists():
        return
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else {""}
    if names - FILES or (names and not _is_page(folder / PAGE)):
        raise DataError(folder, "exists and is not a report alone; name another with --report")


def _is_page(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return MARK in file.read(MARK_WITHIN)


def write(
    folder: str | Path,
    measured: Sequence[Measured],
    run: Path | None = None,
    when: datetime.datetime | None = None,
) -> Path:
    """Writes the report of one model's measurements into a folder, and returns its page.

    Args:
      measured: at least one measurement, all of one model.
      run: the run whose learning curve is shown; None for that in whose folder the model is.
      when: the time of the measurement; None for now.

    Raises:
      DataError: the folder is something else, or a validation of the run is damaged.
      EfldError: another command is writing there.
      OSError: it cannot be written; it has the path.
    """
    folder = Path(folder)
    run = runs.run_of(measured[0].file) if run is None else run
    when = datetime.datetime.now(datetime.timezone.utc) if when is None else when
    with folders.hold(folder):
        check_replaceable(folder)
        with folders.replacement(folder) as temporary:
            try:
                for part in measured:
                    part.save(temporary / RESULTS)
            except DataError as error:  # The file that it names will be gone.
                raise DataError(folder / RESULTS, error.reason) from error
            if evaluation := _evaluation(measured):
                (temporary / FACES).write_bytes(_faces_table(evaluation).encode())
            (temporary / PAGE).write_bytes(_page(measured, run, when).encode())
    return folder / PAGE


def _evaluation(measured: Sequence[Measured]) -> Evaluation | None:
    return next((part for part in measured if isinstance(part, Evaluation)), None)


def _page(measured: Sequence[Measured], run: Path | None, when: datetime.datetime) -> Markup:
    first = measured[0]
    evaluation, sections = _evaluation(measured), []
    if evaluation:
        sections.append(markup.section("Result", _headline(evaluation)))
    sections.append(markup.section("Model", markup.facts(model_facts(first))))
    if evaluation:
        sections.append(markup.section("Faces", markup.facts(_about_faces(evaluation))))
    with tempfile.TemporaryDirectory() as drawn:
        for part in measured:
            sections.append(_section(part, Path(drawn)))
            if isinstance(part, Evaluation):
                sections += _shown_faces(part)
        if run is not None and (history := runs.history(run)):
            sections.append(_learning_curve(run, history, Path(drawn)))
    sections += _skipped(measured)
    about = f"{counted(len(evaluation.faces), 'face')} of {evaluation.faces.source}, " \
        if evaluation else ""
    links = [RESULTS, FACES] if evaluation else [RESULTS]
    return Markup(_resource("report.html")).format(
        title=f"Evaluation of {printable(first.file.name)}",
        style=Markup(_resource("report.css")),
        subtitle=f"{printable(about)}{when:%Y-%m-%d %H:%M} {when.tzname() or ''}".strip(),
        sections=Markup("\n").join(sections),
        files=Markup("The numbers as files beside this page: {}").format(Markup(", ").join(
            Markup('<a href="{}">{}</a>').format(name, name) for name in links)),
        version=efld_tf.__version__,
    )


def _resource(name: str) -> str:
    return resources.files("efld_tf.evaluation").joinpath(name).read_text("utf-8")


def _headline(evaluation: Evaluation) -> Markup:
    summary = evaluation.summary()
    numbers = {f"NME, {evaluation.normaliser}": f"{evaluation.nme_percent:.2f}%"}
    for threshold in evaluation.thresholds_percent:
        area, failures = (summary[f"{name}_{threshold:g}_percent"]
                          for name in ("ced_auc", "failure_rate"))
        numbers[f"CED-AUC at {threshold:g}%"] = f"{area:.1f}%"
        numbers[f"failures, above {threshold:g}%"] = f"{failures:.2f}%"
    numbers["points within 5 px"] = f"{evaluation.accuracy_percent:.1f}%"
    return markup.tiles(numbers)


def _about_faces(evaluation: Evaluation) -> dict[str, markup.Cell]:
    faces = evaluation.faces
    return {
        "source": faces.source,
        "faces": len(faces),
        "people": len(set(faces.people)),
        "left out": len(faces.skipped),
        "annotated in": faces.schema,
        "compared in": f"{evaluation.schema.name}, {evaluation.schema.num_points} points",
        "errors divided by": evaluation.summary()["normaliser_is"],
        "crop rule": f"{faces.crop_rule.name}, {faces.crop_rule.scale_text}",
        "crop rule from": faces.crop_rule_from,
    }


def _section(part: Measured, drawn: Path) -> Markup:
    charts = [markup.chart(path, CAPTIONS[path.stem]) for path in part.charts(drawn)]
    return markup.section(TITLES[part.section], *charts, *tables(part.section, part.summary()))


def _shown_faces(evaluation: Evaluation) -> list[Markup]:
    legend = "Green: annotated. Orange: predicted. White: the error of each point."
    worst = plots.worst(evaluation, SHOWN_FACES)
    shown = [markup.section("Worst faces", markup.paragraph(legend),
                            _pictures(evaluation, worst))]
    if len(evaluation.faces) > SHOWN_FACES:
        spread = plots.spread(evaluation, SHOWN_FACES)
        title = "Faces from best to worst, in equal steps of rank"
        shown.append(markup.section(title, _pictures(evaluation, spread)))
    return shown


def _pictures(evaluation: Evaluation, indices: Sequence[int]) -> Markup:
    return markup.faces(
        (plots.comparison(evaluation, index, TILE), f"{100 * evaluation.nme[index]:.2f}%",
         evaluation.faces.names[index])
        for index in indices)


def _learning_curve(run: Path, history: Sequence[Mapping[str, Any]], drawn: Path) -> Markup:
    path = drawn / "history.png"
    history_plot.learning_curve(path, history)
    validations = sum(bool(entry["nme_percent"]) for entry in history)
    caption = f"Run {run.resolve().name}, {counted(validations, 'validation')}; a circle marks " \
        "the least error of a head."
    return markup.section("Learning curve", markup.chart(path, caption))


def _skipped(measured: Sequence[Measured]) -> list[Markup]:
    lines = list(dict.fromkeys(str(reason) for part in measured for reason in part.skipped))
    if not lines:
        return []
    more = len(lines) - SHOWN_SKIPPED
    rest = [f"and {more} more"] if more > 0 else []
    return [markup.section("Left out", markup.items([*lines[:SHOWN_SKIPPED], *rest]))]


def _faces_table(evaluation: Evaluation) -> str:
    """The error of each face as CSV, in the order of the source."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\r\n")
    writer.writerow(["face", "person", f"nme_{evaluation.normaliser}_percent"])
    faces = evaluation.faces
    for name, person, nme in zip(faces.names, faces.people, evaluation.nme, strict=True):
        writer.writerow([printable(name), printable(person), f"{100 * nme:.4f}"])
    return table.getvalue()
