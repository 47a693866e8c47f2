"""Reads JSON within bounds: files of limited size, and values of the expected type."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from efld_tf import licenses
from efld_tf.annotations import parsing
from efld_tf.annotations.record import LICENSE
from efld_tf.errors import DataError, EfldError

# COCO's own keypoints of 2017 take 150 MB, MMPose's 300W-LP about 300 MB. A parsed file takes
# several times its size in memory.
MAX_FILE_BYTES = 1 << 30


# Makes what is kept of an object.
Hook = Callable[[dict[str, Any]], Any]


def load(path: Path, hook: Hook | None = None) -> Any:
    """The content of a JSON file, read at once.

    Args:
      hook: makes what is kept of each object, so that a large file does not fill the memory.

    Raises:
      DataError: the file cannot be read, is larger than `MAX_FILE_BYTES`, or is not JSON, or an
        object in it has two values for a key, of which JSON keeps the last.
    """
    return parse(parsing.read_bytes(path, MAX_FILE_BYTES), path, hook=hook)


def parse(
    text: str | bytes, path: Path, line: int | None = None, hook: Hook | None = None
) -> Any:
    """The value of a JSON text, which is the whole file or its line `line`.

    Args and errors are as in `load`.
    """

    def once(pairs: list[tuple[str, Any]]) -> Any:
        result = dict(pairs)
        if len(result) < len(pairs):
            for key, value in pairs:
                # NaN, which differs from itself, is one object in a pair of the result.
                if value is not result[key] and value != result[key]:
                    raise DataError(path, f"{parsing.shorten(key)} stands twice", line)
        return result if hook is None else hook(result)

    try:
        return json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        raise DataError(path, f"not valid JSON: {error.msg}", line or error.lineno) from error
    except UnicodeDecodeError as error:
        raise DataError(path, "not valid JSON: not a UTF-8 text", line) from error
    except (RecursionError, ValueError) as error:  # ValueError: a number of thousands of digits
        raise DataError(path, "not valid JSON: nested too deeply, or too long a number", line) \
            from error


def attributes(value: Any, path: Path, line: int | None = None) -> dict[str, str]:
    """The texts and numbers of an object as texts; others, such as lists, are left out.

    Raises:
      DataError: the licence of a model among them is not a licence's name.
    """
    found = {
        key: str(item) for key, item in value.items()
        if isinstance(item, str | int | float) and not isinstance(item, bool)
    } if isinstance(value, dict) else {}
    if isinstance(value, dict) and LICENSE in value:
        try:
            found[LICENSE] = licenses.checked(value[LICENSE], LICENSE)
        except EfldError as error:
            raise DataError(path, str(error), line) from error
    return found


def numbers(
    value: Any, path: Path, place: str, line: int | None = None, *, loose: bool = False
) -> np.ndarray:
    """A flat list of coordinates in pixels as float64 [len(value)].

    Args:
      loose: whether null and NaN stand for a missing number, and texts such as `"5"` for numbers.

    Raises:
      DataError: the value is no list, or an item is no number or beyond `parsing.MAX_COORDINATE`;
        the message starts with `place`.
    """
    if not isinstance(value, list):
        raise DataError(path, f"{place}: expected a list of numbers", line)
    result: list[float] = []
    for item in value:
        # `bool` is an `int`.
        number = item if type(item) in (int, float) else None
        if loose and (item is None or item != item):
            result.append(np.nan)
            continue
        if loose and isinstance(item, str):
            number = parsing.number_of(item)
        if number is None:
            raise DataError(path, f"{place}: expected numbers, got a {type(item).__name__}", line)
        # Comparing also refuses NaN, and integers too long for a float.
        if not abs(number) <= parsing.MAX_COORDINATE:
            raise DataError(path, f"{place}: a coordinate is NaN or too large for pixels", line)
        result.append(number)
    return np.array(result, dtype=np.float64)


def pairs(value: Any, path: Path, place: str, line: int | None = None) -> np.ndarray:
    """A list of pairs x, y in pixels as float64 [len(value), 2].

    Raises:
      DataError: the value is no such list, see `numbers`.
    """
    if not isinstance(value, list) or not all(
        isinstance(pair, list) and len(pair) == 2 for pair in value
    ):
        raise DataError(path, f"{place}: expected a list of pairs x, y", line)
    return numbers([item for pair in value for item in pair], path, place, line).reshape(-1, 2)
