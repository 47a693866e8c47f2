"""The parts that all commands share, such as `--version` and errors in one line."""

from __future__ import annotations

import argparse
import atexit
import contextlib
import errno
import io
import math
import os
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn, TextIO

from efld_tf import __version__, stopping
from efld_tf.errors import DataError, EfldError
from efld_tf.text import say, shown

EXIT_BAD_INPUT = 2
EXIT_SIGNALLED = 128  # and the signal's number

# The largest count that a command line may give.
LARGEST_COUNT = 2**31 - 1
MOST_THREADS = 256


class _Parser(argparse.ArgumentParser):
    """A parser that prints an error in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_BAD_INPUT, shown(f"error: {message} (see {self.prog} --help)") + "\n")


def parser(prog: str, description: str, epilog: str | None = None) -> argparse.ArgumentParser:
    """Makes an argument parser in the style of all commands, with `--version`."""
    result = _Parser(
        prog=prog,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    return result


def whole_from(lowest: int, highest: int = LARGEST_COUNT) -> Callable[[str], int]:
    """The type of an argument that is a whole number from `lowest` to `highest`, both included."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = lowest - 1
        if not lowest <= value <= highest:
            open_ended = highest == LARGEST_COUNT and value < lowest
            limits = f"from {lowest} on" if open_ended else f"from {lowest} to {highest}"
            raise argparse.ArgumentTypeError(f"expected a whole number {limits}, got {text!r}")
        return value

    return parse


def number_within(low: float, high: float, *, ends: bool = True) -> Callable[[str], float]:
    """The type of an argument that is a finite number from `low` to `high`.

    Args:
      ends: whether these two are included.
    """

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        inside = low <= value <= high if ends else low < value < high
        if not inside or not math.isfinite(value):
            limits = f"from {low:g} to {high:g}" if math.isfinite(high) else f"from {low:g} on"
            limits = limits if ends else f"between {low:g} and {high:g}"
            raise argparse.ArgumentTypeError(f"expected a number {limits}, got {text!r}")
        return value

    return parse


def names(text: str) -> list[str]:
    """Names with commas between them, for `type=`."""
    return [name.strip() for name in text.split(",")]


def need_folder(option: str, path: Path | None) -> None:
    """Refuses a file where an option asks for a folder, which need not exist.

    Raises:
      EfldError: it is a file.
    """
    if path is not None and path.exists() and not path.is_dir():
        raise EfldError(f"{option} {path}: expected a folder, got a file")


def standard_input() -> TextIO:
    """Standard input, which may contain names of any bytes; it is empty where it is closed."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")
    return sys.stdin or io.StringIO()


def run(
    command: Callable[[Sequence[str] | None], int | None], argv: Sequence[str] | None = None
) -> int:
    """Runs `command(argv)` and turns the errors that users cause into one line.

    Returns:
      The exit code: that of the command (None counts as 0), 2 for bad input or a package that is
      not installed, or 128 and the number of the signal that stopped it: 130 for Ctrl-C.
    """
    _open_closed_streams()
    # A name that the terminal cannot show must not end a command.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with stopping.raised(), _temporary_files():
            return _completed(command, argv)
    except EfldError as error:
        _tell(f"error: {error}")
        return EXIT_BAD_INPUT
    except OSError as error:  # A folder is not writable, or a file is where a folder should be.
        # Errors of files that are written have their paths, see `files.errors_name`.
        full = _discard_unwritable(sys.stdout) or error.errno == errno.ENOSPC
        if isinstance(error, BrokenPipeError):  # The output ended early: `efld-score ... | head`.
            return 0
        place = error.filename or ("standard output" if full else _lost_folder())
        _tell(f"error: {f'{place}: ' if place else ''}{error.strerror or error}")
        return EXIT_BAD_INPUT
    except MemoryError as error:  # NumPy says how much it asked for.
        _tell(f"error: not enough memory{f': {error}' if str(error) else ''}")
        return EXIT_BAD_INPUT
    except ModuleNotFoundError as error:  # It happens in the environment of `make runtime`.
        package = (error.name or "efld_tf").partition(".")[0]
        if package == "efld_tf" or package in sys.stdlib_module_names:
            raise  # This is a bug, or Python is broken.
        _tell(f"error: this needs {package}, which is not installed; 'pip install .' in the "
              "project's folder installs everything")
        return EXIT_BAD_INPUT
    except KeyboardInterrupt as error:
        number = error.signal if isinstance(error, stopping.Stopped) else signal.SIGINT
        _tell("interrupted" if number == signal.SIGINT else f"stopped by {number.name}")
        return EXIT_SIGNALLED + number


def _completed(
    command: Callable[[Sequence[str] | None], int | None], argv: Sequence[str] | None
) -> int:
    """Runs a command until its output is written, so that a full disk is its error."""
    try:
        code = command(argv) or 0
    except SystemExit:  # of --help
        sys.stdout.flush()
        raise
    sys.stdout.flush()
    return code


@contextlib.contextmanager
def _temporary_files() -> Iterator[None]:
    """Gives the block a folder of its own for temporary files, which goes when the process ends.

    TensorFlow writes functions that it generates to files, of which Python leaves the byte code.
    """
    before = tempfile.tempdir
    try:
        folder = tempfile.mkdtemp(prefix="efld_tf_")
    except OSError:  # There is no place for any, which most commands do without.
        yield
        return
    # What was registered first runs last: libraries remove their own files before.
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    tempfile.tempdir = folder
    try:
        yield
    finally:
        tempfile.tempdir = before


def _open_closed_streams() -> None:
    """Opens standard streams that are closed, as by `2>&-`, to nothing.

    A file that is opened later would get the stream's number, and the messages of libraries.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # It is now the lowest number that is free.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def _tell(text: str) -> None:
    """Prints a line on standard error; what cannot be written there changes no exit code."""
    with contextlib.suppress(OSError):
        say(text, sys.stderr)
    _discard_unwritable(sys.stderr)


def _discard_unwritable(stream: TextIO) -> bool:
    """Gives up what cannot be written, which Python would complain about at its end.

    Returns:
      Whether there was such output.
    """
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return True
    return False


def _lost_folder() -> str:
    """What to name where no file is: the current folder, if that is no longer there."""
    try:
        os.getcwd()
    except OSError:
        return "the current folder"
    return ""


def tell(source: str, errors: Sequence[DataError], notes: Sequence[str]) -> None:
    """Prints the errors and notes of a command that reads the data of a source."""
    if errors:
        say(f"cannot be used: {len(errors)}; the first: {errors[0]}")
        say(f"  all of them: efld-data check {shlex.quote(source)}")
    for note in notes:
        say(f"note: {note}")

