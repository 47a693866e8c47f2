"""Bounded reading of JSON: files of a stated size, and values of the type that is expected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from efld_tf.annotations import parsing
from efld_tf.errors import DataError

# COCO's own keypoints of 2017 have 150 MB, MMPose's 300W-LP about 300 MB. Parsed, a file takes
# several times its size in memory.
MAX_FILE_BYTES = 1 << 30


def load(path: Path) -> Any:
    """The content of a JSON file, read at once.

    Raises:
      DataError: it cannot be read, is larger than `MAX_FILE_BYTES`, or is not JSON.
    """
    return parse(parsing.read_bytes(path, MAX_FILE_BYTES), path)


def parse(text: str | bytes, path: Path, line: int | None = None) -> Any:
    """The value of a JSON text, which is the whole file or its line `line`.

    Raises:
      DataError: it is not JSON.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(path, f"not valid JSON: {error.msg}", line or error.lineno) from error
    except UnicodeDecodeError as error:
        raise DataError(path, "not valid JSON: not a UTF-8 text", line) from error
    except (RecursionError, ValueError) as error:  # ValueError: a number of thousands of digits
        raise DataError(path, "not valid JSON: nested too deeply, or too long a number", line) \
            from error


def numbers(value: Any, path: Path, where: str, line: int | None = None) -> np.ndarray:
    """A flat list of numbers of pixels as float64 [len(value)].

    Raises:
      DataError: it is no list, or an item is no number or beyond `parsing.MAX_COORDINATE`.
    """
    if not isinstance(value, list):
        raise DataError(path, f"{where}: expected a list of numbers", line)
    for item in value:
        # `bool` is an `int`. Comparing also refuses NaN, and integers too long for a float.
        if type(item) not in (int, float):
            raise DataError(path, f"{where}: expected numbers, got a {type(item).__name__}", line)
        if not abs(item) <= parsing.MAX_COORDINATE:
            raise DataError(path, f"{where}: a coordinate is NaN or too large for pixels", line)
    return np.array(value, dtype=np.float64)
