"""What log lines look like, and where they go."""

import errno
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harvester import logs
from harvester.archive.advice import ADVICE
from harvester.errors import StorageError

NASTY = "call \x1b[2J\x07\r\nharvester: complete \u202egnp.exe\u2066 \x9b31m \x7f \u2028 \x00 \udcff end"
ESCAPED = r"call \x1b[2J\x07\r\nharvester: complete \u202egnp.exe\u2066 \x9b31m \x7f \u2028 \x00 \udcff end"

log = logging.getLogger("harvester.tests")


@pytest.fixture(autouse=True)
def _quiet_afterwards() -> Iterator[None]:
    """Leave no handler behind."""
    yield
    root = logging.getLogger("harvester")
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    root.propagate = True
    root.setLevel(logging.NOTSET)


def set_up(*, verbose: int = 0, quiet: bool = False, as_json: bool = False) -> None:
    """Set up the log, as warnings only unless told otherwise."""
    logs.set_up(verbose=verbose, quiet=quiet, as_json=as_json)


def test_what_could_write_on_the_terminal_is_escaped() -> None:
    """Control, escape and bidi characters, line breaks and broken encodings are written as what they are; the rest stays."""
    assert logs.escaped(NASTY) == ESCAPED
    assert logs.escaped("Grüße 📞 東京 \\n") == "Grüße 📞 東京 \\n"


def test_a_message_is_one_harmless_line_on_the_screen(capsys: pytest.CaptureFixture[str]) -> None:
    """A name from outside cannot move the cursor, nor forge a second line."""
    set_up()
    log.warning("odd: %s", NASTY)
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", f"harvester: odd: {ESCAPED}\n")


def test_a_message_is_one_harmless_line_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """A JSON line is ASCII without control characters, and holds the message as it was."""
    set_up(as_json=True)
    log.warning("odd: %s", NASTY)
    line = capsys.readouterr().err
    assert line.endswith("}\n")
    assert line[:-1].isascii()
    assert line[:-1].isprintable()
    found = json.loads(line)
    assert found.pop("at").endswith("Z")
    assert found == {"level": "warning", "from": "harvester.tests", "message": f"odd: {NASTY}"}


def test_a_message_is_one_harmless_line_in_the_file(tmp_path: Path) -> None:
    """Who reads the file with `cat` is as safe as at the screen."""
    set_up(quiet=True)
    logs.keep_in(tmp_path / "state" / "log")
    log.warning("odd: %s", NASTY)
    lines = (tmp_path / "state" / "log").read_text().splitlines()
    assert len(lines) == 1
    assert lines[0].endswith(f" WARNING harvester.tests: odd: {ESCAPED}")


@pytest.mark.parametrize("as_json", [False, True])
def test_no_way_out_shows_a_phone_number(as_json: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Links bear the caller's number: neither the screen nor the file has it, not in a traceback either."""
    set_up(as_json=as_json)
    logs.keep_in(tmp_path / "log")
    try:
        raise ValueError("https://r.example/%2B15550100123.mp3")
    except ValueError:
        log.exception("https://r.example/+4915112345678.mp3 answered 503")
    for shown in (capsys.readouterr().err, (tmp_path / "log").read_text()):
        assert "https://r.example/(number).mp3 answered 503" in shown
        assert "ValueError: https://r.example/(number).mp3" in shown
        assert not {"4915112345678", "15550100123"} & set(re.findall(r"\d{7,}", shown))


@pytest.mark.parametrize("as_json", [False, True])
def test_a_traceback_keeps_its_lines_and_is_harmless(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """An unexpected error is told with where it happened, and its message is escaped too."""
    set_up(as_json=as_json)
    try:
        raise ValueError("bad \x1b[2J")
    except ValueError:
        log.exception("unexpected")
    shown = capsys.readouterr().err
    assert "test_logs.py" in shown
    assert "\x1b" not in shown
    assert len(shown.splitlines()) == 1 if as_json else len(shown.splitlines()) > 3


@pytest.mark.parametrize(
    ("verbose", "quiet", "levels"),
    [(0, False, "WE"), (1, False, "IWE"), (2, False, "DIWE"), (0, True, "E"), (2, True, "E")],
)
def test_verbose_says_more_and_quiet_only_errors(
    verbose: int, quiet: bool, levels: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Warnings and errors unless asked otherwise; -q wins over -v."""
    set_up(verbose=verbose, quiet=quiet)
    for level, letter in ((logging.DEBUG, "D"), (logging.INFO, "I"), (logging.WARNING, "W"), (logging.ERROR, "E")):
        log.log(level, letter)
    assert capsys.readouterr().err.split() == [word for each in levels for word in ("harvester:", each)]


def test_the_file_keeps_more_than_the_screen(tmp_path: Path) -> None:
    """What happened is wanted after a quiet run too: the file holds failed attempts whatever the screen shows."""
    set_up(quiet=True)
    logs.keep_in(tmp_path / "log")
    log.info("attempt 1 failed")
    log.debug("every detail")
    assert "attempt 1 failed" in (tmp_path / "log").read_text()
    assert "every detail" not in (tmp_path / "log").read_text()


def test_the_file_does_not_grow_without_end(tmp_path: Path) -> None:
    """The log of years of nightly runs stays within its few files."""
    set_up(quiet=True)
    logs.keep_in(tmp_path / "log")
    for number in range(90):
        log.info("%d %s", number, "x" * 100_000)
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert len(sizes) == logs.LOG_FILES
    assert max(sizes) <= logs.LOG_BYTES
    assert "89 xxx" in (tmp_path / "log").read_text()


def test_a_file_that_cannot_be_opened_is_an_error_of_the_storage(tmp_path: Path) -> None:
    """It names the path, before a run has begun."""
    (tmp_path / "file").touch()
    set_up()
    with pytest.raises(StorageError, match=f"^cannot write {tmp_path}/file/log: "):
        logs.keep_in(tmp_path / "file" / "log")
    assert logs.failure() is None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_file_that_takes_no_more_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first line that finds no room is the last one that is tried; the screen goes on, and the next file is asked anew."""
    (tmp_path / "log").symlink_to("/dev/full")
    set_up()
    logs.keep_in(tmp_path / "log")
    assert logs.failure() is None
    log.warning("one")
    lost = logs.failure()
    log.warning("two")
    assert str(lost) == f"cannot write {tmp_path}/log: {ADVICE[errno.ENOSPC]}"
    assert logs.failure() is lost
    assert capsys.readouterr().err == "harvester: one\nharvester: two\n"
    logs.keep_in(tmp_path / "other")
    assert logs.failure() is None


@pytest.mark.parametrize("loaded", ["", "import tqdm"])
def test_a_screen_that_nobody_reads_is_no_reason_to_stop(loaded: str) -> None:
    """When the pipe behind stderr is closed the run goes on, whether a bar is shown or not."""
    source = f"""
import logging
{loaded}
from harvester import logs
logs.set_up(verbose=0, quiet=False, as_json=False)
logging.getLogger("harvester").warning("anyone there?")
print("alive", flush=True)
"""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([sys.executable, "-c", source], stdout=subprocess.PIPE, stderr=writing, check=False)
    os.close(writing)
    assert done.stdout == b"alive\n"


def test_setting_up_again_closes_what_was_open(tmp_path: Path) -> None:
    """Two runs in one process do not write into each other's file."""
    set_up()
    logs.keep_in(tmp_path / "first")
    first = logging.getLogger("harvester").handlers[-1]
    set_up(quiet=True)
    logs.keep_in(tmp_path / "second")
    log.info("of the second")
    assert isinstance(first, logging.FileHandler)
    assert first.stream is None
    assert (tmp_path / "first").read_text() == ""
    assert "of the second" in (tmp_path / "second").read_text()


def test_only_one_file_is_kept_at_a_time(tmp_path: Path) -> None:
    """What is said of one account stands in its own log, and nowhere when no log is kept any more."""
    set_up(quiet=True)
    for name in ("first", "second"):
        logs.keep_in(tmp_path / name)
        log.info("of the %s", name)
        logs.note_in_file(f"noted of the {name}")
    with pytest.raises(StorageError):
        logs.keep_in(tmp_path / "first" / "no folder")
    log.info("of the third")
    logs.keep_in(None)
    log.info("of all")
    for name in ("first", "second"):
        lines = (tmp_path / name).read_text().splitlines()
        assert [line.rpartition(": ")[2] for line in lines] == [f"of the {name}", f"noted of the {name}"]


def test_what_the_loop_says_of_memory_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A socket that gets no memory is closed by the event loop; whoever waited for it tells of it in a sentence. Bugs stay."""
    set_up()
    for error in (MemoryError(), ValueError("a bug")):
        logging.getLogger("asyncio").error("Fatal read error on socket transport", exc_info=error)
    assert [record.exc_info and record.exc_info[0] for record in caplog.records] == [ValueError]
