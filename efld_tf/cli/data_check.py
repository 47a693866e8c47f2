"""The command `efld-data check`, which looks for mistakes in sources."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from efld_tf.cli import common
from efld_tf.data.check.findings import EXCLUDED, KINDS, MISREAD, Thresholds
from efld_tf.text import say, say_lines

if TYPE_CHECKING:
    from efld_tf.data.check.run import Report

REPORT, SHEET, EXCLUSIONS = "report.json", "worst.jpg", "exclude.json"

# The number of findings of a kind that are printed where there is no folder to write them to.
PRINTED = 3

THRESHOLDS = {
    "outside": "points farther outside the image, in face sizes",
    "outlier": "shapes so many robust deviations from the others",
    "box": "boxes with a smaller intersection over union with the face",
    "near": "near-duplicates: bits of 64 that the hashes may differ in, 0 to 7",
    "similar": "near-duplicates: least correlation of the faces",
}


def add_check(commands: argparse._SubParsersAction) -> None:
    """Adds `check` to the subcommands of `efld-data`."""
    kinds = "\n".join(f"  {kind:20} {meaning}" for kind, meaning in KINDS.items())
    parser = commands.add_parser(
        "check", help="look for mistakes in annotated sources",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Look for mistakes in annotated sources: every annotation and image is read.",
        epilog=f"findings:\n{kinds}",
    )
    parser.add_argument("source", nargs="+", metavar="READER:PATH",
                        help="what is trained on; several are one corpus")
    parser.add_argument("--against", action="append", default=[], metavar="READER:PATH",
                        help="test data that the corpus must not contain; may be repeated")
    parser.add_argument("--output", type=Path, metavar="FOLDER",
                        help=f"where to write {REPORT}, {SHEET} (the worst of each kind) and "
                        f"{EXCLUSIONS} (for efld-data pack --exclude)")
    for option in fields(Thresholds):
        parser.add_argument(f"--{option.name}", type=int if option.name == "near" else float,
                            default=option.default, metavar="NUMBER",
                            help=f"{THRESHOLDS[option.name]} (default: %(default)s)")
    parser.add_argument("--strict", action="store_true",
                        help="exit with code 1 if anything is found")
    parser.add_argument("--workers", type=common.whole_from(1),
                        help="processes (default: one a core)")
    parser.add_argument("--quiet", action="store_true", help="no progress display")
    parser.set_defaults(run=_check)


def _check(arguments: argparse.Namespace) -> int:
    from efld_tf.data.check import report as reports
    from efld_tf.data.check import run

    common.need_folder("--output", arguments.output)
    thresholds = {option.name: getattr(arguments, option.name) for option in fields(Thresholds)}
    report = run.check(
        arguments.source, arguments.against, Thresholds(**thresholds),
        workers=arguments.workers, progress=not arguments.quiet,
    )
    if arguments.output is None:
        for finding in reports.worst(report.findings, PRINTED):
            say(f"{finding.kind}: {report.sources[finding.source].source.path.name}: "
                f"{finding.key}: {finding.message}")
    else:
        _write(arguments.output, report)
    say_lines(reports.summary(report))
    return 1 if arguments.strict and report.findings else 0


def _write(folder: Path, report: Report) -> None:
    from efld_tf import files
    from efld_tf.data.check import exclusions
    from efld_tf.data.check import report as reports

    files.write_json(folder / REPORT, reports.to_json(report))
    listed = exclusions.from_report(report)
    files.write_json(folder / EXCLUSIONS, listed)
    written = [REPORT, EXCLUSIONS]
    if reports.write_sheet(folder / SHEET, report):
        written.append(SHEET)
    else:
        (folder / SHEET).unlink(missing_ok=True)  # It is from an earlier check.
    say(f"written: {', '.join(str(folder / name) for name in written)}")
    count = sum(len(source["exclude"]) for source in listed["sources"])
    corpus_kinds = {finding.kind for finding in report.findings
                    if not report.sources[finding.source].against}
    misread = ", ".join(kind for kind in KINDS if kind in corpus_kinds & MISREAD)
    unlisted = ", ".join(kind for kind in KINDS if kind in corpus_kinds - EXCLUDED - MISREAD)
    note = f"; not those that are only {unlisted}, which may be right" if unlisted else ""
    note += f"; not those that are {misread}, which an option of the source mends" \
        if misread else ""
    print(f"{EXCLUSIONS} lists {count} faces{note}")
