"""Pieces of HTML, in which every text is escaped and a harmless line of at most 1,000 characters.

A piece is a `Markup`. Whatever else is put into one is escaped by it, so that a name of a file can
not become markup.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import cv2
from markupsafe import Markup

from efld_tf.arrays import Image
from efld_tf.landmarks import drawing
from efld_tf.text import shown

Cell = str | int | float | None
Row = Sequence[Cell]

BROAD = 800  # pixels; wider charts cannot be read on a narrow screen as a whole
# Of JPEGs: a face alone, and a sheet of many.
_QUALITY, _SHEET_QUALITY = 85, 75
_UNITS = {"_percent2": ", %²", "_percent": ", %"}
_ABBREVIATIONS = {"nme": "NME", "5px": "5 px"}


def words(key: str) -> str:
    """A key of `results.json` as a heading: `nme_found_percent` is `NME found, %`."""
    if match := re.fullmatch(r"(.+)_([0-9.]+)_percent", key):
        return f"{words(match[1])} at {match[2]}%"
    for end, unit in _UNITS.items():
        if key.endswith(end):
            return words(key.removesuffix(end)) + unit
    split = key.replace("ced_auc", "CED-AUC").split("_")
    return " ".join(_ABBREVIATIONS.get(word, word) for word in split)


def told(value: Cell) -> str:
    """A value as a text: fractions with two decimals, and a dash for nothing."""
    if value is None or isinstance(value, bool):
        return {None: "-", True: "yes", False: "no"}[value]
    return f"{value:,.2f}" if isinstance(value, float) else shown(str(value))


def section(title: str, *parts: Markup) -> Markup:
    """A part of the page with a heading."""
    return Markup("<section>\n<h2>{}</h2>\n{}\n</section>").format(
        shown(title), Markup("\n").join(parts))


def paragraph(text: str) -> Markup:
    """A paragraph of text alone."""
    return Markup("<p>{}</p>").format(shown(text))


def items(lines: Iterable[str]) -> Markup:
    """A list of lines."""
    listed = Markup("\n").join(Markup("<li>{}</li>").format(shown(line)) for line in lines)
    return Markup('<ul class="lines">\n{}\n</ul>').format(listed)


def tiles(numbers: Mapping[str, str]) -> Markup:
    """The few numbers that matter most, large."""
    listed = Markup("\n").join(
        Markup("<div><dt>{}</dt><dd>{}</dd></div>").format(shown(name), shown(number))
        for name, number in numbers.items())
    return Markup('<dl class="tiles">\n{}\n</dl>').format(listed)


def facts(values: Mapping[str, Cell]) -> Markup:
    """Names with a value each."""
    listed = Markup("\n").join(
        Markup("<div><dt>{}</dt><dd>{}</dd></div>").format(shown(name), told(value))
        for name, value in values.items())
    return Markup('<dl class="facts">\n{}\n</dl>').format(listed)


def table(columns: Sequence[str], groups: Mapping[str, Iterable[Row]]) -> Markup:
    """A table; each row begins with its name, and each group of rows with a heading.

    Args:
      groups: the rows by the heading; "" for a group without one.
    """
    head = Markup("").join(Markup('<th scope="col">{}</th>').format(shown(c)) for c in columns)
    bodies = Markup("\n").join(_group(name, rows, len(columns)) for name, rows in groups.items())
    return Markup(
        '<div class="wide"><table>\n<thead><tr>{}</tr></thead>\n{}\n</table></div>'
    ).format(head, bodies)


def _group(name: str, rows: Iterable[Row], columns: int) -> Markup:
    heading = Markup("")
    if name:
        heading = Markup('<tr><th scope="rowgroup" class="group" colspan="{}">{}</th></tr>\n') \
            .format(columns, shown(name))
    listed = Markup("\n").join(map(_row, rows))
    return Markup("<tbody>\n{}{}\n</tbody>").format(heading, listed)


def _row(cells: Row) -> Markup:
    name, *values = cells
    row = Markup('<tr><th scope="row">{}</th>').format(told(name))
    for value in values:
        kind = "" if isinstance(value, str) else Markup(' class="number"')
        row += Markup("<td{}>{}</td>").format(kind, told(value))
    return row + Markup("</tr>")


def chart(path: Path, caption: str) -> Markup:
    """A drawn chart, a PNG, which the page holds; a narrow screen scrolls wide ones."""
    image = cv2.imread(str(path))[..., ::-1]
    kind = "chart broad" if image.shape[1] > BROAD else "chart"
    return Markup('<figure class="{}"><div class="wide"><img src="{}" alt="{}"></div>'
                  "<figcaption>{}</figcaption></figure>").format(
        kind, _embedded(path.read_bytes(), image), shown(caption), shown(caption))


def faces(pictures: Iterable[tuple[Image, str, str]]) -> Markup:
    """Pictures of faces [H, W, 3] uint8 RGB beside each other, with a number and a name each."""
    listed = Markup("\n").join(
        Markup('<figure><img src="{}" alt="{}"><figcaption><b>{}</b> {}</figcaption></figure>')
        .format(_data(drawing.encoded(image, ".jpg", _QUALITY), "jpeg"),
                f"the points of {shown(name)}", shown(number), shown(name))
        for image, number, name in pictures)
    return Markup('<div class="faces">\n{}\n</div>').format(listed)


def _embedded(png: bytes, image: Image) -> str:
    """A PNG as an address that holds it; as JPEG if it is made of photos.

    Curves and bars take more bytes as JPEG, and photos several times less.
    """
    jpeg = drawing.encoded(image, ".jpg", _SHEET_QUALITY)
    return _data(jpeg, "jpeg") if 2 * len(jpeg) < len(png) else _data(png, "png")


def _data(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
