"""How the command line ends: every error becomes one sentence and its exit code.

In:   the command line as a function.  Out: the end of the process, with an exit code of docs/exit-codes.md.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from contextlib import suppress

import click

from harvester import logs
from harvester.errors import HarvestError, StorageError
from harvester.exhaustion import NO_MEMORY, is_want_of_memory
from harvester.streams import say

log = logging.getLogger(__name__)

EXIT_INTERRUPTED = 130
STDERR = 2
NO_MEMORY_LINE = f"harvester: {NO_MEMORY}\n".encode()
UNEXPECTED = "unexpected error, a bug; the lines above and the log tell where. What is saved stays."


def end_by(command: Callable[[], object]) -> None:
    """Run the command line, and end the process as it ends."""
    try:
        command()
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        say("harvester: interrupted")
        sys.exit(EXIT_INTERRUPTED)
    except HarvestError as error:
        say(logs.escaped(f"harvester: {error}"))  # a line break in it must not forge a line
        logs.note_in_file(str(error))
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os._exit(EXIT_INTERRUPTED)
    except Exception as error:
        if is_want_of_memory(error):
            with suppress(OSError):
                os.write(STDERR, NO_MEMORY_LINE)  # as it is: every other way to say it takes memory too
            with suppress(MemoryError):
                logs.note_in_file(NO_MEMORY)
            os._exit(HarvestError.exit_code)  # and so does what else the end of a process does
        if isinstance(error, OSError):
            say(f"harvester: cannot write the output: {error.strerror or error}")
            os._exit(StorageError.exit_code)
        log.exception("unexpected error")
        say(f"harvester: {UNEXPECTED}")
        sys.exit(HarvestError.exit_code)
