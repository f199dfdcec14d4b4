"""Where log lines go: to standard error for a person or a machine, and to a file in the local state for later.

In:   verbosity, form, folder.  Out: logging that is set up; why the file takes no more, where it does not.

Control characters from outside (names, ids, answers) are escaped on every way out: a row must not be able to write on the
terminal. Phone numbers, which links bear, are left out: logs are handed to strangers.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from harvester.errors import StorageError
from harvester.exhaustion import is_want_of_memory
from harvester.mask import masked

LOG_BYTES = 2 * 1024 * 1024
LOG_FILES = 3
"""The local log holds the last 6 MB, some months of nightly runs."""

ExceptionParts = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]

LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)


class _Plain(logging.Formatter):
    converter = staticmethod(time.gmtime)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        return escaped(
            masked(super().formatMessage(record))
        )  # line breaks too: a name must not be able to forge a line

    def formatException(self, ei: ExceptionParts) -> str:  # noqa: N802
        return "\n".join(map(escaped, masked(super().formatException(ei)).splitlines()))


class _Json(_Plain):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": self.formatTime(record, "%Y-%m-%dT%H:%M:%SZ"),
            "level": record.levelname.lower(),
            "from": record.name,
            "message": masked(record.getMessage()),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line).replace("\x7f", "\\u007f")


class _Screen(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to standard error without tearing tqdm's bar, where there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        if sys.stderr is None:  # the shell has closed it
            return
        if "tqdm" in sys.modules:
            from tqdm import tqdm

            try:
                tqdm.write(self.format(record), file=sys.stderr)
            except OSError:  # nobody reads any more: no reason for the run to end
                self.handleError(record)
        else:
            super().emit(record)


class _Kept(logging.handlers.RotatingFileHandler):
    """Writes to the kept log until that takes no more; why it does not is its `failure` then, which ends the run."""

    failure: StorageError | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if self.failure is None:
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            if not is_want_of_memory(error):
                super().handleError(record)
            return
        from harvester.archive import disk

        try:
            with disk.guarded("write", self.baseFilename):
                raise error
        except StorageError as failure:
            self.failure = failure
        with suppress(OSError):  # what could not be written is tried once more by that
            self.close()


def _is_news(record: logging.LogRecord) -> bool:
    """Whether what the event loop logs says anything: that it got no memory is told by what could not go on without."""
    return not (record.exc_info and is_want_of_memory(record.exc_info[1]))


def set_up(*, verbose: int, quiet: bool, as_json: bool) -> None:
    """Send log lines to standard error: warnings, with `verbose` 1 and 2 more, with `quiet` only errors."""
    screen = _Screen()
    screen.setLevel(logging.ERROR if quiet else LEVELS[verbose])
    screen.setFormatter(_Json() if as_json else _Plain("harvester: %(message)s"))
    root = logging.getLogger("harvester")
    for earlier in root.handlers:
        earlier.close()
    root.handlers[:] = [screen]
    root.setLevel(logging.DEBUG)
    root.propagate = False
    logging.getLogger("asyncio").addFilter(_is_news)


def keep_in(path: Path | None) -> None:
    """Keep log lines in a file of limited size too, from now on in this one alone; None: in no file any more.

    Raises StorageError where there can be no such file.
    """
    root = logging.getLogger("harvester")
    for earlier in [each for each in root.handlers if isinstance(each, logging.handlers.RotatingFileHandler)]:
        root.removeHandler(earlier)
        earlier.close()
    if path is None:
        return
    from harvester.archive import disk  # here, because `--help` has no use for it

    with disk.guarded("write", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = _Kept(path, maxBytes=LOG_BYTES, backupCount=LOG_FILES - 1, encoding="utf-8", errors="backslashreplace")
    kept.setLevel(logging.INFO)
    kept.setFormatter(_Plain("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root.addHandler(kept)


def failure() -> StorageError | None:
    """Return why the kept log takes no more; None while it does, and where none is kept."""
    kept = (each for each in logging.getLogger("harvester").handlers if isinstance(each, _Kept))
    return next((each.failure for each in kept if each.failure), None)


def note_in_file(message: str) -> None:
    """Write what the screen has shown already into the kept log, where there is one."""
    record = logging.LogRecord("harvester", logging.ERROR, "", 0, "%s", (message,), None)
    for handler in logging.getLogger("harvester").handlers:
        if isinstance(handler, logging.handlers.RotatingFileHandler):
            handler.handle(record)


def escaped(text: str) -> str:
    """Return text with every character escaped that could move the cursor, change colours or the direction of writing."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
