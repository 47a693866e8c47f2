"""Pairs of photos of one person or of two, by which models of face recognition are judged.

They come from the lists of two data sets:

- LFW (G. B. Huang et al., "Labeled Faces in the Wild", 2007): `pairs.txt`, ten folds of pairs of
  one person and of two, beside photos `NAME/NAME_0001.jpg`.
- CFP (S. Sengupta et al., "Frontal to Profile Face Verification in the Wild", WACV 2016): lists of
  frontal and of profile photos, and ten folds of pairs of one of each, in `Protocol/`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from efld_tf.annotations import parsing
from efld_tf.errors import DataError, EfldError

# Lists of a few thousand pairs.
MOST_BYTES = 1 << 24
CFP_KINDS = ("FP", "FF")


@dataclass(frozen=True)
class Pair:
    """Two photos.

    Attributes:
      first, second: the files.
      same: whether they show one person.
      fold: the number of the fold, from 0 on.
    """

    first: Path
    second: Path
    same: bool
    fold: int


def lfw(folder: str | Path, listed: str | Path | None = None) -> list[Pair]:
    """The pairs of LFW.

    Args:
      folder: the folder of the people's folders.
      listed: the list; None for `pairs.txt` in the folder or beside it.

    Raises:
      DataError: the list is missing or wrong, or a photo of it is missing.
    """
    folder = Path(folder)
    path = _found(folder, "pairs.txt") if listed is None else Path(listed)
    rows = _rows(path)
    folds, count = _lfw_head(path, next(rows, (1, [])))
    pairs: list[Pair] = []
    for line, words in rows:
        if len(pairs) == 2 * folds * count:
            raise DataError(path, f"expected {2 * folds * count} pairs, got more", line)
        fold, place = divmod(len(pairs), 2 * count)
        same = place < count
        if len(words) != (3 if same else 4):
            wanted = "NAME NUMBER NUMBER" if same else "NAME NUMBER NAME NUMBER"
            raise DataError(path, f"expected {wanted}, got {_quoted(words)}", line)
        first_name, first, *second_name, second = words
        pairs.append(Pair(_lfw_photo(folder, first_name, first, path, line),
                          _lfw_photo(folder, (second_name or [first_name])[0], second, path, line),
                          same, fold))
    if len(pairs) < 2 * folds * count:
        raise DataError(path, f"expected {2 * folds * count} pairs, got {len(pairs)}")
    return pairs


def _lfw_head(path: Path, row: tuple[int, list[str]]) -> tuple[int, int]:
    """The folds of a list, and the pairs of each kind in one of them."""
    line, words = row
    numbers = [_number(word) for word in words]
    if len(words) not in (1, 2) or min(numbers) < 1:
        raise DataError(path, "expected the number of folds and that of pairs of one person in "
                              f"each, got {_quoted(words)}", line)
    return (1, numbers[0]) if len(numbers) == 1 else (numbers[0], numbers[1])


def _lfw_photo(folder: Path, name: str, number: str, path: Path, line: int) -> Path:
    if _number(number) < 1 or Path(name).name != name or name == "..":
        raise DataError(path, f"expected a name and a number, got {_quoted([name, number])}", line)
    return _photo(folder / name / f"{name}_{_number(number):04d}.jpg", path, line)


def cfp(folder: str | Path, kind: str = "FP") -> list[Pair]:
    """The pairs of CFP.

    Args:
      folder: the data set's, with `Protocol/` and `Data/`.
      kind: `FP`, frontal and profile, or `FF`, frontal alone.

    Raises:
      EfldError: there is no such kind.
      DataError: a list is missing or wrong, or a photo of it is missing.
    """
    if kind not in CFP_KINDS:
        raise EfldError(f"kind: expected one of {', '.join(CFP_KINDS)}, got {kind!r}")
    protocol = Path(folder) / "Protocol"
    first, second = (_cfp_photos(protocol / f"Pair_list_{side}.txt") for side in kind)
    splits = sorted((protocol / "Split" / kind).glob("*/same.txt"))
    if not splits:
        raise DataError(protocol / "Split" / kind, "there are no folds in it: expected "
                                                   "01/same.txt, 01/diff.txt and further ones")
    return [Pair(first[one], second[other], name == "same.txt", fold)
            for fold, split in enumerate(splits) for name in ("same.txt", "diff.txt")
            for one, other in _cfp_pairs(split.with_name(name), len(first), len(second))]


def _cfp_photos(path: Path) -> list[Path]:
    """The photos of a list `NUMBER PATH`, in their order."""
    photos: list[Path] = []
    for line, words in _rows(path):
        if len(words) != 2 or words[0] != str(len(photos) + 1):
            raise DataError(
                path, f"expected {len(photos) + 1} and a path, got {_quoted(words)}", line)
        place = Path(os.path.normpath(path.parent / words[1]))
        if Path(words[1]).is_absolute() or not place.is_relative_to(
                Path(os.path.normpath(path.parents[1]))):
            raise DataError(path, f"{parsing.shorten(words[1])} is not in the data set", line)
        photos.append(_photo(place, path, line))
    return photos


def _cfp_pairs(path: Path, firsts: int, seconds: int) -> Iterator[tuple[int, int]]:
    for line, words in _rows(path):
        first, *others = (_number(word) for word in "".join(words).split(","))
        if len(others) != 1 or not (1 <= first <= firsts and 1 <= others[0] <= seconds):
            raise DataError(path, f"expected two numbers up to {firsts} and {seconds}, got "
                                  f"{_quoted(words)}", line)
        yield first - 1, others[0] - 1


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The words of a list's lines, with the lines' numbers; empty ones are left out."""
    text = parsing.read_bytes(path, MOST_BYTES).decode(errors="replace")
    for line, row in enumerate(text.splitlines(), start=1):
        if words := row.split():
            yield line, words


def _found(folder: Path, name: str) -> Path:
    places = folder / name, folder.parent / name
    return next((place for place in places if place.is_file()), places[0])


def _photo(place: Path, listed: Path, line: int) -> Path:
    if not place.is_file():
        raise DataError(listed, f"the photo {place} does not exist", line)
    return place


def _number(word: str) -> int:
    """A whole number of up to nine digits; -1 for anything else."""
    return int(word) if word.isascii() and word.isdigit() and len(word) < 10 else -1


def _quoted(words: Sequence[str]) -> str:
    return repr(parsing.shorten(" ".join(words)))
