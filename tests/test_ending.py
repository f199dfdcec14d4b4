"""How a process ends: at once, with all that was written, and with the exit code that the command told."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BYTES = 3_000_000
"""Many times what a pipe holds."""

PROGRAM = """
import atexit, sys, threading
from harvester.ending import end_by

class Kept:
    def __del__(self):
        print("freed")

kept = Kept()

def waiting():
    threading.main_thread().join()
    print("waited for")

def command():
    atexit.register(print, "put off")
    exec(sys.argv[1])

end_by(command)
"""


def ended(command: str, stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[bytes]:
    """End a process by a command; what it writes waits in memory until then."""
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    line = [sys.executable, "-c", PROGRAM, command]
    return subprocess.run(line, env=buffered, stdout=stdout, stderr=subprocess.PIPE, check=False)


@pytest.mark.parametrize("code", [0, 3, 130])
def test_all_that_was_written_arrives(code: int) -> None:
    """Pipes get all of it, and what was put off until the end; then nothing is freed any more."""
    done = ended(f"sys.stdout.write('x' * {BYTES}); sys.stderr.write('y' * {BYTES}); sys.exit({code})")
    assert done.returncode == code
    assert done.stdout.decode() == "x" * BYTES + "put off\n"
    assert done.stderr.decode() == "y" * BYTES


def test_a_thread_that_is_at_work_is_waited_for() -> None:
    """Python ends the process then, in its own way: it waits before it does anything else."""
    done = ended("threading.Thread(target=waiting).start(); sys.exit(3)")
    assert (done.returncode, done.stdout.split(b"\n")) == (3, [b"waited for", b"put off", b"freed", b""])


def test_a_thread_that_is_about_to_end_is_no_reason_to_stay() -> None:
    """An event loop that has closed has told its threads to end, and does not wait for them."""
    done = ended("go = threading.Event(); threading.Thread(target=go.wait).start(); go.set(); sys.exit(3)")
    assert (done.returncode, done.stdout) == (3, b"put off\n")


def test_a_thread_that_nobody_waits_for_is_left() -> None:
    """Vigil's, and that of a bar, go on as long as the process lives."""
    done = ended("threading.Thread(target=threading.Event().wait, daemon=True).start(); sys.exit(3)")
    assert (done.returncode, done.stdout) == (3, b"put off\n")


def test_what_nobody_could_read_is_told() -> None:
    """Where the reader of a pipe has gone before the end, the exit code is Python's for it, and not that of a success."""
    reading, writing = os.pipe()
    os.close(reading)
    done = ended("print('to nobody'); sys.exit(0)", stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr.count(b"BrokenPipeError")) == (120, 1)


def test_an_end_with_words_is_pythons() -> None:
    """They are printed, and the exit code is 1."""
    done = ended("sys.exit('no way')")
    assert (done.returncode, done.stderr) == (1, b"no way\n")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_streams_that_are_closed_change_nothing(closed: str) -> None:
    """Some schedulers give a process none of them."""
    line = f'exec "$0" -c "$1" "sys.exit(3)" {closed}'
    done = subprocess.run(["sh", "-c", line, sys.executable, PROGRAM], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (3, b"")


def test_a_ctrl_c_while_it_is_loaded_is_one_line(tmp_path: Path) -> None:
    """It ends as it does later: with a word and 130, and no traceback."""
    (tmp_path / "click.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    command = [sys.executable, "-m", "harvester", "--help"]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (130, b"harvester: interrupted\n")
