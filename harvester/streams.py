"""The standard streams: data on stdout, all else on stderr, nothing on either that could write on the terminal.

In:   text.  Out: the same text, escaped, on a stream that is there.
"""

from __future__ import annotations

import json
import os
import re
import sys
from contextlib import suppress

import click

from harvester.logs import escaped

_NOT_ASCII = re.compile(r"[^\x00-\x7e]")
"""In JSON such characters stand in strings alone, where an escape means the same."""


def say(text: str) -> None:
    """Print for a person, on stderr, with control characters escaped."""
    if sys.stderr is not None:  # it is None where the shell has closed it
        click.echo(escaped_lines(text), err=True)


def tell(text: str) -> None:
    """Print as `say`, but fall silent when nobody reads any more: what is at work goes on."""
    try:
        say(text)
    except OSError:
        with suppress(OSError):  # what could not be written would be tried again when the process ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def give(data: str) -> None:
    """Print a result on stdout, as it is."""
    click.echo(data, nl=not data.endswith("\n"))


def give_json(document: bytes) -> None:
    """Print JSON on stdout, in ASCII: what stands in a string writes nothing on the terminal."""
    give(_NOT_ASCII.sub(lambda character: json.dumps(character[0])[1:-1], document.decode()))


def escaped_lines(text: str) -> str:
    """Return lines for a terminal, with control characters escaped."""
    return "\n".join(map(escaped, text.splitlines()))


def fill_closed_streams() -> None:
    """Put the null device where the shell has closed 0, 1 or 2: the next file opened would get that number, and what
    some library prints would go into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
