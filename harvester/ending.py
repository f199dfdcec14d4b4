"""How the command line ends: every error becomes one sentence and its exit code.

In:   the command line as a function.  Out: the end of the process, with an exit code of docs/exit-codes.md.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress

import click

from harvester import logs
from harvester.errors import HarvestError, StorageError
from harvester.exhaustion import NO_MEMORY, PERHAPS_MEMORY, is_memory_limited, is_want_of_memory
from harvester.streams import tell

log = logging.getLogger(__name__)

EXIT_INTERRUPTED = 130
STDERR = 2
UNEXPECTED = "unexpected error, a bug; the lines above and the log tell where. What is saved stays."

MOMENT_SECONDS = 0.1
"""A thread that has nothing more to do has ended long before."""

LAST_WORDS = f"harvester: {NO_MEMORY}\n".encode()
"""Ready to be written: to make them takes memory."""


def end_by(command: Callable[[], object]) -> None:
    """Run the command line, and end the process as it ends."""
    try:
        _end_by(command)
    except SystemExit as end:
        _end_at_once(end)
        raise
    except Exception as error:
        if not is_want_of_memory(error):
            raise
        with suppress(OSError):
            os.write(STDERR, LAST_WORDS)
        with suppress(Exception):  # the log wants some memory, and may be refused it
            logs.note_in_file(NO_MEMORY)
        os._exit(HarvestError.exit_code)  # what else the end of a process does takes memory too


def _end_at_once(end: SystemExit) -> None:
    """End the process as Python would, but free no objects; return where that is better left to Python.

    After 5,000 calls Python frees objects for 20 ms, whose memory the system takes back anyway.
    """
    if not isinstance(end.code, int) or not _have_threads_ended():
        return
    atexit._run_exitfuncs()  # as multiprocessing does before it leaves so
    try:
        for stream in filter(None, (sys.stdout, sys.stderr)):  # None where the shell has closed it
            stream.flush()
    except (OSError, ValueError):  # of which Python tells
        return
    os._exit(end.code)


def _have_threads_ended() -> bool:
    """Whether all threads have ended that Python would wait for. Those of an event loop that has closed may take a moment."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join(MOMENT_SECONDS)
            if thread.is_alive():
                return False
    return True


def _end_by(command: Callable[[], object]) -> None:
    try:
        command()
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        tell("harvester: interrupted")
        sys.exit(EXIT_INTERRUPTED)
    except HarvestError as error:
        tell(logs.escaped(f"harvester: {error}"))  # a line break in it must not forge a line
        logs.note_in_file(str(error))
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os._exit(EXIT_INTERRUPTED)
    except Exception as error:
        if is_want_of_memory(error):
            raise
        if is_memory_limited():  # the parser may call it bad syntax, OpenSSL a missing cipher
            tell(logs.escaped(f"harvester: {type(error).__name__}: {error}; {PERHAPS_MEMORY}"))
            logs.note_in_file(traceback.format_exc())
            sys.exit(HarvestError.exit_code)
        if isinstance(error, OSError):
            tell(f"harvester: cannot write the output: {error.strerror or error}")
            os._exit(StorageError.exit_code)
        log.exception("unexpected error")
        tell(f"harvester: {UNEXPECTED}")
        sys.exit(HarvestError.exit_code)
