"""Short ways to check sources, for the tests."""

from __future__ import annotations

from efld_tf.data.check.run import Report, check


def kinds_of(found: Report, source: int = 0) -> dict[str, set[str]]:
    """The keys of a source's findings by kind."""
    result: dict[str, set[str]] = {}
    for finding in found.findings:
        if finding.source == source:
            result.setdefault(finding.kind, set()).add(finding.key)
    return result


def quick(corpus: list[str], against: tuple[str, ...] = (), **options) -> Report:
    return check(corpus, against, progress=False, workers=options.pop("workers", 2), **options)
