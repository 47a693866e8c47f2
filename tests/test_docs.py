"""Relative links, anchors, pictures and files that pages and recipes name are there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from efld_tf.exporting import modes

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"^( *)```.*?^\1```[^\S\n]*$", re.M | re.S)
# Files of the repository that are named in words; with capitals they stand for others.
NAMED = re.compile(r"(?<![\w/.$}])(?:benchmarks|calibration|configs|tools)/[\w./]*\w")


def tracked(*patterns: str) -> list[Path]:
    """The files of the repository that fit one of the patterns, in their order."""
    found = subprocess.run(["git", "ls-files", "--", *patterns], cwd=ROOT, capture_output=True,
                           text=True, check=False)
    if found.returncode:  # an archive without history
        return sorted(path for pattern in patterns for path in ROOT.rglob(pattern)
                      if not {".venv", "runs"}.intersection(path.parts))
    return [ROOT / name for name in found.stdout.splitlines() if (ROOT / name).exists()]


PAGES = tracked("*.md")
RECIPES = tracked("configs/*.yaml")
# Those with sections to be found.
HANDBOOK = [path for path in PAGES if path.name == "README.md" and path.parent != ROOT]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.M):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")
        repeated = [slug, *(f"{slug}-{number}" for number in range(1, 100))]
        found.add(next(candidate for candidate in repeated if candidate not in found))
    return found


def links(page: Path) -> list[str]:
    """The targets of a page's links and pictures, but for those on the web."""
    text = re.sub(r"`[^`]*`", "", FENCE.sub("", page.read_text()))
    return [target for target in re.findall(r"\]\(\s*([^)\s]+)\s*\)", text)
            if not re.match(r"[a-z]+:", target)]


@pytest.mark.parametrize("page", ["FAULTS.md", "THREATS.md"])
def test_the_tests_of_promises_exist(page: str) -> None:
    named = re.findall(r"`(tests/[\w./]+\.py)(?:::(\w+))?`", (ROOT / "efld_tf" / page).read_text())
    assert len(named) > 10
    for file, test in named:
        assert f"\ndef {test or 'test_'}" in (ROOT / file).read_text(), f"{file}::{test}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in links(page):
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        assert path.exists(), f"{target}: no such file"
        assert path.is_relative_to(ROOT), f"{target}: leads out of the repository"
        if anchor:
            place = path / "README.md" if path.is_dir() else path
            assert anchor in anchors(place), f"{target}: no such heading"


@pytest.mark.parametrize("page", [*PAGES, *RECIPES], ids=name)
def test_files_that_are_named_are_there(page: Path) -> None:
    text = page.read_text()
    if page in RECIPES:
        text = "\n".join(line for line in text.splitlines() if line.lstrip().startswith("#"))
    for named in NAMED.findall(text):
        assert re.search("[A-Z]{4}", named) or (ROOT / named).exists(), f"{named}: no such file"


@pytest.mark.parametrize("page", HANDBOOK, ids=name)
def test_a_page_begins_with_what_it_is_for_and_its_contents(page: Path) -> None:
    title, purpose, contents = FENCE.sub("", page.read_text()).split("\n\n")[:3]
    assert title.startswith("# ") and purpose.startswith("This page ")
    listed = set(re.findall(r"\]\(#([^)]+)\)", contents))
    sections = re.findall(r"^## (.+)$", FENCE.sub("", page.read_text()), re.M)
    assert len(listed) >= len(sections) > 2
    for section in sections:
        assert re.sub(r"[^\w\- ]", "", section.lower()).replace(" ", "-") in listed, section


def test_every_recipe_and_benchmark_is_described() -> None:
    described = (ROOT / "configs/README.md").read_text()
    for recipe in RECIPES:
        assert f"({recipe.relative_to(ROOT / 'configs')})" in described
    described = (ROOT / "benchmarks/README.md").read_text()
    for folder in {path.parent for path in tracked("benchmarks/*/*")}:
        assert f"| `{folder.name}/` |" in described


def test_the_table_of_modes_is_that_of_the_package() -> None:
    page = (ROOT / "calibration" / "README.md").read_text()
    listed = re.findall(r"^\| \**`--(\w+)`\** \| [\d,]+ B", page, re.M)
    assert listed == list(modes.MODES)


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 200
