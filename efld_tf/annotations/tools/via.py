"""Files of VGG Image Annotator (VIA), versions 1 to 3; see `via_files` for their layouts.

Browsers show photos turned as their EXIF orientation says since 2020, and VIA with them. Projects
that state the version of their layout are from then on; for other files sources ask.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from efld_tf.annotations import image_paths, listing, parsing, point_names
from efld_tf.annotations.declared import image_folders
from efld_tf.annotations.format import Format, Note
from efld_tf.annotations.point_names import simplified
from efld_tf.annotations.record import FaceRecord
from efld_tf.annotations.tools import drawn, via_files
from efld_tf.annotations.tools.drawn import Options
from efld_tf.annotations.tools.shapes import Picture, Shape
from efld_tf.annotations.tools.via_files import Entry, Region
from efld_tf.errors import DataError
from efld_tf.landmarks import schemas
from efld_tf.text import counted


def read(
    path: Path,
    *,
    schema: str | None = None,
    images: str | None = None,
    label: str = "",
    group: str = "",
    names: str = "match",
    first: str = "",
    category: str = "",
    origin: str = "0",
) -> Iterator[FaceRecord | DataError | Note]:
    """The faces of a project, or of exported annotations, in its order; the identity is the image.

    A face is a polygon or polyline of all points, or single points with an attribute that names
    each of them. Those of one face have a group in common, or lie in its rectangle. Points without
    attributes are in the schema's order. Other shapes are left out and counted.

    Args:
      schema: `NAME` or `FILE.yaml`; required.
      images: the folder that file names are relative to; by default the file's, or `images` in it.
      label: the attribute that names points, and shapes in `category`; by default the only one that
        can.
      group: the attribute that is the same for the points of a face, such as `person`; by default
        there is none.
      names: `match` matches the names of points with the schema's names or numbers, `ignore` takes
        points in the order in which they were drawn.
      first: the number of the first point, `0` or `1`, if names are numbers that do not tell.
      category: the labels of faces, with commas between; by default those of shapes with the
        schema's number of points.
      origin: what the file calls the first pixel's centre, `0`, `0.5` or `1`.

    Raises:
      DataError: `path` is not a file of VIA, or its attributes do not tell the points' names.
      EfldError: an option has an unknown value.
    """
    options = Options.parse(schema, names, first, category, origin)
    folders = image_folders(images, [path.parent, path.parent / "images"])
    content = via_files.read(path)
    entries = [entry for entry in content.images if isinstance(entry, Entry)]
    _say_what_was_chosen(entries, content.choices, options)
    for option, attribute in (("label", label), ("group", group)):
        if attribute:
            _check_attribute(option, attribute, entries, path)
    naming = label or _naming(entries, group, options, path)
    if content.is_sorted and not naming and any(
        region.is_single for entry in entries for region in entry.regions
    ):
        raise DataError(path, "its points have no names, and are no longer in the order in which "
                              "they were drawn, since its keys were sorted: give the file as VIA "
                              "saved it, or name the points")
    labelling = label or _labelling(entries, group, naming, options, path)
    pictures: list[Picture | DataError] = []
    sizes: dict[str, int | None] = {}
    dropped: list[tuple[str, str]] = []
    for item in _located(content.images, folders, path, dropped):
        if isinstance(item, DataError):
            pictures.append(item)
            continue
        entry, name = item
        sizes[name] = entry.bytes
        shapes = [_shape(region, entry, naming if region.is_single else labelling, group)
                  for region in entry.regions]
        pictures.append(Picture(name, shapes, path, entry.line,
                                upright=True if content.dated else None))
    found = drawn.faces(pictures, options, folders, path, _grouping(entries, naming))
    identities = set()
    for found_item in _watched(found, sizes):
        if isinstance(found_item, FaceRecord):
            identities.add(found_item.identity)
        yield found_item
    yield from _cut(entries)
    if without := [pair for pair in dropped if pair[1] in identities]:
        stated, name = (parsing.shorten(text, 100) for text in without[0])
        yield Note(f"{counted(len(without), 'image')} found without the folders in the name: "
                   f"{name} was taken for {stated}")
    if not label and not content.is_project:
        yield from _numbers(entries, naming)


def _numbers(entries: Sequence[Entry], naming: str | None) -> Iterator[Note]:
    """A note that the names of points are numbers, as the ids of options are."""
    texts = {region.texts[naming] for entry in entries for region in entry.regions
             if region.is_single and naming in region.texts} if naming else set()
    if texts and all(text.isdecimal() for text in texts):
        yield Note(f"{parsing.shorten(naming or '')} has numbers, which were taken for those of "
                   "points: if they are chosen from options (dropdown, radio), they are the "
                   "options' ids, and only the project, which VIA saves, says what these mean")


def _grouping(entries: Sequence[Entry], naming: str | None) -> str:
    """How the points of a face are kept together, for messages."""
    others = sorted({key for entry in entries for region in entry.regions if region.is_single
                     for key in region.texts} - {naming})
    if not others:
        return "give the points of a face an attribute in common, and name it with group="
    return f"say with group= which attribute is that of a face: {_listed(others)}"


def _shape(region: Region, entry: Entry, naming: str | None, group: str) -> Shape:
    attributes = dict(entry.texts)
    if not region.is_single:  # those of a point are not those of its face
        attributes |= {k: v for k, v in region.texts.items() if k not in (naming, group)}
    return Shape(
        points=region.points,
        label=region.texts.get(naming, "") if naming else "",
        is_box=region.is_box,
        group=region.texts.get(group),
        attributes=attributes,
        line=region.line,
    )


def _say_what_was_chosen(
    entries: Sequence[Entry], choices: Mapping[str, Mapping[str, str]], options: Options
) -> None:
    """Puts the meanings of ids in their place, unless the ids are the names of points.

    Ids that are texts of their own stay if neither they nor their meanings are such names, or
    numbers of points; ids that are numbers never do, since they are not those of points.
    """
    known = _known(options)
    meant = {}
    for key, meanings in choices.items():
        ids, texts = ({*map(simplified, names)} for names in (meanings, meanings.values()))
        numbers = all(id.isdecimal() for id in ids)
        tells = numbers or texts & known or point_names.numbered([*texts]) is not None
        if len(texts) == len(meanings) and not ids & known and tells:
            meant[key] = meanings
    for region in (region for entry in entries for region in entry.regions if meant):
        region.texts = {key: meant.get(key, {}).get(text, text)
                        for key, text in region.texts.items()}


def _known(options: Options) -> set[str]:
    """The names of the schema's points, simplified, but for numbers: they are no evidence of a
    name, since they may as well count faces."""
    known = {simplified(name) for name in schemas.get(options.schema).names}
    return {name for name in known if not name.isdecimal()}


def _check_attribute(option: str, name: str, entries: Sequence[Entry], path: Path) -> None:
    known = {key for entry in entries for region in entry.regions for key in region.texts}
    if name not in known:
        raise DataError(path, f"{option}: no region has an attribute {parsing.shorten(name)}; "
                              f"there are: {_listed(sorted(known))}")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(parsing.shorten(name, 30) for name in names[:8]) or "none"


def _values(regions: Sequence[Region], group: str) -> dict[str, set[str]]:
    """The values that each attribute but the group has."""
    values: dict[str, set[str]] = defaultdict(set)
    for region in regions:
        for key, text in region.texts.items():
            if key != group:
                values[key].add(text)
    return values


def _naming(
    entries: Sequence[Entry], group: str, options: Options, path: Path
) -> str | None:
    """The attribute that names single points; None if they have no names.

    It is the only one whose values are names of the schema's points (see `_known`), or else the
    only one whose values differ. What is ticked comes last if no option is such a name.

    Raises:
      DataError: several attributes may name them, or the only one seems to tell faces apart.
    """
    if not options.match_names:
        return None
    regions = [region for entry in entries for region in entry.regions if region.is_single]
    values = _values(regions, group)
    known = _known(options)
    sure = [key for key, texts in values.items() if {simplified(text) for text in texts} <= known]
    ticked = {key for region in regions for key in region.ticked}
    differ = [key for key, texts in values.items() if len(texts) > 1]
    candidates = sure or [
        key for key in differ if key not in ticked
        or known & {simplified(option) for text in values[key] for option in text.split(", ")}
    ] or differ
    if len(candidates) > 1:
        examples = "; ".join(f"{parsing.shorten(key, 30)} is {_listed(sorted(values[key])[:3])}"
                             for key in candidates[:4])
        raise DataError(path, f"several attributes may name the points: {examples}. Say "
                              "label=ATTRIBUTE, or names=ignore if points were drawn in the "
                              "schema's order")
    if candidates and not sure and not group:
        _check_names_points(candidates[0], len(values[candidates[0]]), entries, options, path)
    return candidates[0] if candidates else None


def _check_names_points(
    name: str, count: int, entries: Sequence[Entry], options: Options, path: Path
) -> None:
    """Refuses an attribute of few values that several points of an image have."""
    if 2 * count >= schemas.get(options.schema).num_points:
        return
    for entry in entries:
        texts = Counter(r.texts[name] for r in entry.regions if r.is_single and name in r.texts)
        value, times = max(texts.items(), key=lambda item: item[1], default=("", 0))
        if times > 1:
            raise DataError(
                path, f"image {parsing.shorten(entry.name)}: {parsing.shorten(name)} is "
                f"{parsing.shorten(value)} for {times} points: say group={name} if it tells faces "
                f"apart, or label={name} if it names points", entry.line)


def _labelling(
    entries: Sequence[Entry], group: str, naming: str | None, options: Options, path: Path
) -> str | None:
    """The attribute that says what polygons and boxes are: that of points, or the only one.

    Raises:
      DataError: `category` is given and there are several.
    """
    regions = [region for entry in entries for region in entry.regions if not region.is_single]
    values = _values(regions, group)
    if naming in values:
        return naming
    ticked = {key for region in regions for key in region.ticked}
    values = {key: texts for key, texts in values.items() if key not in ticked} or values
    if len(values) > 1 and options.categories:
        raise DataError(path, f"category: which attribute is it of? There are "
                              f"{_listed(sorted(values))}: say label=ATTRIBUTE")
    return next(iter(values)) if len(values) == 1 else None


def _located(
    found: Sequence[Entry | DataError], folders: Sequence[Path], path: Path,
    dropped: list[tuple[str, str]],
) -> list[tuple[Entry, str] | DataError]:  # fmt: skip
    """The images with their names in the folders, or errors where these cannot be told.

    Args:
      dropped: gets the images that are looked for without the folders in their names, and how.
    """
    entries = [entry for entry in found if isinstance(entry, Entry)]
    last = Counter(listing.folded(_last(entry.name)) for entry in entries)
    alike = Counter((listing.folded(_last(entry.name)), entry.bytes) for entry in entries)
    located: list[tuple[Entry, str] | DataError] = []
    for item in found:
        if isinstance(item, DataError):
            located.append(item)
            continue
        name = listing.folded(_last(item.name))
        others = last[name] - 1
        if others and item.bytes is not None and alike[name, item.bytes] == 1 \
                and item.bytes == _size_in(folders, _last(item.name)):
            others = 0  # the size in bytes tells
        try:
            located.append((item, _local_name(item, others, folders, path, dropped)))
        except DataError as error:
            located.append(error if item.regions else (item, item.name))
    same = Counter(item[1] for item in located if isinstance(item, tuple))
    return [_of_this_size(*item, same[item[1]], folders, path) if isinstance(item, tuple) else item
            for item in located]


def _of_this_size(
    entry: Entry, name: str, same: int, folders: Sequence[Path], path: Path
) -> tuple[Entry, str] | DataError:
    """An image with its name; an error if it is one of several of this name and not this file."""
    if same < 2 or not entry.regions:
        return entry, name
    size = _size_in(folders, name)
    if size is not None and size == entry.bytes:
        return entry, name
    return DataError(path, f"image {parsing.shorten(name)}: {same} images of that name were "
                           f"annotated, this one with {entry.bytes} bytes, and the file has {size}",
                     entry.line)


def _local_name(
    entry: Entry, others: int, folders: Sequence[Path], path: Path,
    dropped: list[tuple[str, str]],
) -> str:  # fmt: skip
    """The name of an image in the folders.

    An address, and a path on another computer, stand for the file of that name if no other image of
    the source has it, be it without regions; they are added to `dropped`.

    Args:
      others: how many other images of the source have its name, in any folder.

    Raises:
      DataError: there is another one.
    """
    name = _last(entry.name)
    several = f"there are {others + 1} images of the name {parsing.shorten(name)}: give each a " \
              "name relative to the folder of images"
    reason = f"{parsing.shorten(entry.name)}: {several}"
    if not _is_address(entry.name):
        try:
            return image_paths.relative_name(entry.name, path, entry.line, folders)
        except DataError as error:
            if not name:
                raise
            reason = f"{error.reason}; {several}"
    if others:
        raise DataError(path, reason, entry.line)
    if entry.regions:
        dropped.append((entry.name, name))
    return name


def _is_address(name: str) -> bool:
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", name) is not None


def _last(name: str) -> str:
    """The last part of a path or an address."""
    try:
        path = unquote(urlsplit(name).path) if _is_address(name) else name
    except ValueError:
        path = name
    return PurePosixPath(path.replace("\\", "/")).name


def _size_in(folders: Sequence[Path], name: str) -> int | None:
    """The bytes of a file in the first folder that has it."""
    return next(filter(None, (_size(folder / name) for folder in folders)), None)


def _size(image: Path) -> int | None:
    try:
        return image.stat().st_size
    except (OSError, ValueError):
        return None


def _watched(
    items: Iterator[FaceRecord | DataError | Note], sizes: dict[str, int | None]
) -> Iterator[FaceRecord | DataError | Note]:
    """The items, and a note of images whose files have changed since they were annotated."""
    images: dict[str, tuple[int, int]] = {}
    for item in items:
        if isinstance(item, FaceRecord) and item.identity not in images:
            stated, size = sizes.get(item.identity or ""), _size(item.image)
            if item.identity and stated is not None and size is not None:
                images[item.identity] = (stated, size)
        yield item
    changed = [name for name, (stated, size) in images.items() if stated != size]
    if changed:
        stated, size = images[changed[0]]
        yield Note(f"{len(changed)} of {len(images)} images are not the files that were annotated, "
                   f"such as {parsing.shorten(changed[0])} with {size} bytes instead of {stated}: "
                   "if they were resized, their points are wrong")


def _cut(entries: Sequence[Entry]) -> Iterator[Note]:
    short = [entry for entry in entries if len(entry.regions) < entry.stated]
    if short:
        yield Note(f"the table has fewer regions of {counted(len(short), 'image')} than it states "
                   f"(region_count), such as {len(short[0].regions)} of {short[0].stated} of "
                   f"{parsing.shorten(short[0].name)}: was it cut?")


FORMAT = Format(
    "via", "VGG Image Annotator (VIA)", read, (), "FILE.json or FILE.csv",
    "a project, or exported annotations as JSON or CSV; needs schema=", "yours",
)
