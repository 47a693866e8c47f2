"""The command `efld-data formats`, which lists the formats of sources that can be read."""

from __future__ import annotations

import argparse
import json
import textwrap
from typing import Any

from efld_tf.annotations import sources
from efld_tf.errors import EfldError
from efld_tf.landmarks import schemas


def add_formats(commands: argparse._SubParsersAction) -> None:
    """Adds `formats` to the subcommands of `efld-data`."""
    parser = commands.add_parser(
        "formats", help="list the data set formats that can be read",
        description="List the data set formats that can be read: what stands before the colon of "
        "a source, and what must lie where.",
    )
    parser.add_argument("name", nargs="*", metavar="NAME",
                        help="only these, with the values of their options")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(run=_formats)


def _formats(arguments: argparse.Namespace) -> None:
    for name in arguments.name:
        if name not in sources.FORMATS:
            known_formats = ", ".join(sorted(sources.FORMATS))
            raise EfldError(f"unknown format {name!r}; known: {known_formats}")
    entries = [_describe(name) for name in arguments.name or sorted(sources.FORMATS)]
    if arguments.json:
        print(json.dumps(entries, indent=2))
        return
    for entry in entries:
        schema_texts = ", ".join(
            f"{schema['name']} ({schema['points']} points)" for schema in entry["schemas"]
        )
        print(f"{entry['name']}:{entry['path']}")
        print(f"    {entry['title']}")
        print(f"    points   {schema_texts or 'a schema that you declare'}")
        print(f"    files    {entry['layout']}")
        if arguments.name:
            for option, meaning in entry["options"].items():
                print(textwrap.fill(f"?{option}={meaning}", 96, initial_indent=" " * 4,
                                    subsequent_indent=" " * 8))
        elif entry["options"]:
            print(f"    options  {', '.join(entry['options'])}")
        print(f"    licence  {entry['licence']}")
    if not arguments.name:
        print(f"\noptions of all: {', '.join(sources.COMMON_OPTIONS)}; "
              "written as READER:PATH?option=value&option=value\n"
              "what the options of a format mean: efld-data formats NAME")


def _describe(name: str) -> dict[str, Any]:
    reader = sources.FORMATS[name]
    return {
        "name": reader.name,
        "title": reader.title,
        "path": reader.path,
        "schemas": [
            {"name": schema, "points": schemas.get(schema).num_points} for schema in reader.schemas
        ],
        "options": reader.options | sources.COMMON_OPTIONS,
        "layout": reader.layout,
        "licence": reader.licence,
    }
