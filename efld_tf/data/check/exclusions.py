"""Lists of faces to leave out, which a check writes and packing reads.

    {"sources": [{"source": "ibug:helen/trainset",
                  "exclude": [{"key": "2345_1.jpg", "reason": "outlier: an unlikely shape"}]}]}

Keys are those of faces and errors (`sources.error_key`), relative to the source, so that a list is
valid wherever the data lies: an entry belongs to a source with the same reader and the same last
parts of the path.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from efld_tf import config
from efld_tf.annotations import parsing, sources
from efld_tf.annotations.sources import Source
from efld_tf.data.check import findings
from efld_tf.data.check.run import Report
from efld_tf.errors import DataError, EfldError

MAX_FILE_BYTES = 1 << 28


def from_report(report: Report) -> dict[str, Any]:
    """The list of the corpus' faces with a finding of a kind in `findings.EXCLUDED`.

    What is true of a whole source is wrong with the way it is read; no list of faces mends that.
    Test data is never thinned out; its faces are only reported.
    """
    entries = []
    for index, checked_source in enumerate(report.sources):
        if checked_source.against:
            continue
        reasons: dict[str, str] = {}
        for finding in report.findings:
            if finding.source == index and finding.kind in findings.EXCLUDED \
                    and not finding.whole_source:
                reasons.setdefault(finding.key, f"{finding.kind}: {finding.message}")
        source = checked_source.source
        if not source.path.name:  # `.` would say nothing elsewhere
            source = replace(source, path=source.path.absolute())
        entries.append({
            "source": str(source),
            "exclude": [{"key": key, "reason": reason} for key, reason in reasons.items()],
        })
    return {"sources": entries}


def read(path: str | Path, source: str | Source) -> dict[str, str]:
    """Reads the reasons, by key, for leaving out faces of `source`.

    Args:
      path: the list; `${NAME}` in it is that environment variable.

    Raises:
      DataError: the file is not such a list, or not a list for this source.
      EfldError: an environment variable is not set.
    """
    path = Path(config.expand(str(path))).expanduser()
    source = sources.parse(source) if isinstance(source, str) else source
    try:
        content = json.loads(parsing.read_bytes(path, MAX_FILE_BYTES))
        entries = [
            (str(entry["source"]),
             {str(face["key"]): str(face["reason"]) for face in entry["exclude"]})
            for entry in content["sources"]
        ]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise DataError(path, "not a list of exclusions as efld-data check writes it") from error
    ranked = sorted(
        ((_agreement(text, source), keys) for text, keys in entries),
        key=lambda entry: entry[0], reverse=True,
    )
    if not ranked or not ranked[0][0]:
        available = ", ".join(text for text, _ in entries) or "no source"
        raise DataError(path, f"not a list for {source}: it is for {available}")
    if len(ranked) > 1 and ranked[1][0] == ranked[0][0]:
        raise DataError(path, f"two of its entries may be meant for {source}")
    return ranked[0][1]


def _agreement(text: str, source: Source) -> int:
    """A score by the number of last parts of the paths that agree; 0 for another reader.

    Among sources of the same path, equal options decide.
    """
    reader, _, location = text.partition(":")
    if reader != source.reader:
        return 0
    path, _, options = location.partition("?")
    count = 0
    for listed, wanted in zip(
        reversed(Path(path).parts), reversed(source.path.absolute().parts), strict=False
    ):
        if listed != wanted:
            break
        count += 1
    same_options = options == str(source).partition("?")[2]
    return 2 * count + same_options if count else 0


def unknown(reasons: dict[str, str], excluded_keys: frozenset[str], path: str | Path) -> str | None:
    """One line about keys that are not in the source; None if all are.

    Args:
      reasons: the list, by key.
      excluded_keys: the keys of the list that are in the source.

    Raises:
      EfldError: none of the keys is in the source, so that the list is for another one.
    """
    missing = [key for key in reasons if key not in excluded_keys]
    if not missing:
        return None
    if len(missing) == len(reasons):
        raise EfldError(f"{path}: none of its {len(reasons)} keys is in the source, "
                        f"e.g. {missing[0]}")
    return f"not in the source: {len(missing)} of {len(reasons)} exclusions, e.g. {missing[0]}"
