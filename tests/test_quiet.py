from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from efld_tf import quiet


def test_what_is_written_to_stderr_is_kept_or_dropped(capfd) -> None:
    with quiet.captured_stderr() as said:
        assert said() == b""
        os.write(2, b"a warning")
        assert said() == b"a warning"
        os.write(2, b"x" * 1_000_000)  # more than a pipe holds does not stop the writer
    with quiet.silenced_stderr():
        os.write(2, b"dropped")
    os.write(2, b"kept")
    assert capfd.readouterr().err == "kept"


def test_threads_take_turns_and_leave_stderr_as_it_was(capfd) -> None:
    def capture(index: int) -> bool:
        with quiet.captured_stderr() as said:
            os.write(2, b"%d" % index)
            return said() == b"%d" % index

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(capture, range(400)))
    os.write(2, b"kept")
    assert capfd.readouterr().err == "kept"


def test_python_goes_on_telling_while_libraries_are_silent() -> None:
    code = (
        "import os, sys, threading\nfrom efld_tf import quiet\n"
        "def decode():\n"
        "    with quiet.captured_stderr():\n        os.write(2, b'library')\n"
        "        started.set(); told.wait()\n"
        "started, told = threading.Event(), threading.Event()\n"
        "with quiet.native_stderr_silenced():\n"
        "    thread = threading.Thread(target=decode); thread.start(); started.wait()\n"
        "    print('one', file=sys.stderr)\n"
        "    told.set(); thread.join(); os.write(2, b'library')\n"
        "    print('two', file=sys.stderr)\n"
        "print('three', file=sys.stderr)\nos.write(2, b'four')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "one\ntwo\nthree\nfour"


def test_a_replaced_stderr_stays(capsys) -> None:
    """As in tests, and in notebooks."""
    before = sys.stderr
    with quiet.native_stderr_silenced():
        assert sys.stderr is before
        thread = threading.Thread(target=print, args=("told",), kwargs={"file": sys.stderr})
        thread.start()
        thread.join()
    assert sys.stderr is before and capsys.readouterr().err == "told\n"
