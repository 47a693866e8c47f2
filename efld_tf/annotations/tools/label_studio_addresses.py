"""What a task of Label Studio calls its image, as paths on the server."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote

from efld_tf.annotations import listing
from efld_tf.annotations.tools.local_copies import Address, path_parts

# The usual field of a task's data with its image.
USUAL = "image"


def addresses(text: str) -> list[Address]:
    """The paths that the image of a task may have on the server, those that tell most first."""
    scheme = re.match(r"([a-z][a-z0-9+.-]+)://[^/]*", text, re.IGNORECASE)
    rest = text[scheme.end():] if scheme else text
    on_server = scheme is None or scheme[1].lower() in ("http", "https")
    path, _, query = rest.partition("?")
    if on_server and "/data/local-files" in path and (files := parse_qs(query).get("d")):
        written = query.partition("d=")[2]
        found = [Address(path_parts(files[0])), Address(path_parts(written))]
    elif on_server and (upload := re.search(r"/data/(upload/.+)", path)):
        parts = path_parts(unquote(upload[1]))
        original = re.sub(r"^[0-9a-f]{8}-(?=.)", "", parts[-1])
        found = [Address(parts, uploaded=True), *(
            Address((name,), whole=False, uploaded=True)
            for name in dict.fromkeys((parts[-1], original)))]
    elif scheme and on_server:
        found = [Address(path_parts(unquote(path.partition("#")[0])))]
    elif re.match(r"data:", text, re.IGNORECASE):
        found = []
    else:  # a cloud's key, or a file's name, with spaces as they are or as in an address
        rest = re.sub(r"^[a-z]:(?=[\\/])", "", rest, flags=re.IGNORECASE)
        found = [Address(path_parts(rest)), Address(path_parts(unquote(rest)))]
    return [address for address in found if address.parts]


def names_image(value: Any) -> bool:
    """Whether a field of a task's data names an image, or several."""
    if isinstance(value, list):
        value = value[0] if value else None
    return isinstance(value, str) and any(
        PurePosixPath(address.parts[-1]).suffix.lower() in listing.IMAGE_SUFFIXES
        for address in addresses(value))


def images_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a task's data that name its images."""
    return {key: value for key, value in data.items() if key == USUAL or names_image(value)}
