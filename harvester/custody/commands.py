"""What was typed for holds and erasure: `harvester hold add|list|release`, `harvester erase`.

In:   arguments.  Out: one function called, what it tells printed, an exit code.

Which calls are meant is never taken from the settings: a filter that stands in a file for every night must not choose what is
erased. Of several accounts one is to be named, because an id is that of a call in one of them alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from harvester.beginning import begin
from harvester.errors import ConfigError
from harvester.flags import SettingsCommand
from harvester.showing import Shown, show_each
from harvester.values import flag_day

if TYPE_CHECKING:
    from harvester.archive.choice import Choice
    from harvester.custody.holding import Held
    from harvester.settings import Resolved

Command = TypeVar("Command", bound=Callable[..., object])


def _selecting(command: Command) -> Command:
    """Give a command the flags that choose calls."""
    for option in (
        click.option("--to", "date_to", metavar="DAY", help="Calls created until this day, as their folders tell it."),
        click.option("--from", "date_from", metavar="DAY", help="Calls created from this day on: 2025-08-04, or 30d."),
        click.option("--phone-number", "number", metavar="NUMBER", help="Calls from or to this number; digits count."),
        click.option("--id", "ids", multiple=True, metavar="ID", help="This call; may be given several times."),
    ):
        command = option(command)
    return command


@click.group()
def hold() -> None:
    """Put calls on hold, so that nobody erases them."""


@hold.command("add", cls=SettingsCommand, groups=("archive", "evidence", "talk"))
@_selecting
def add(**typed: Any) -> None:
    """Hold calls: by id, or all from or to a number, or of some days, later ones too. It takes a --reason."""
    from harvester.custody.holding import add_hold

    choice = _choice(typed)
    _tell_held(typed, lambda resolved: add_hold(resolved, choice))


@hold.command("list", cls=SettingsCommand, groups=("archive", "talk"))
@click.option("--released", is_flag=True, help="Show those that were released too.")
def list_(released: bool, **typed: Any) -> None:
    """Show the holds, and how many archived calls each covers."""
    from harvester.custody.holding import list_holds

    _tell_held(typed, lambda resolved: list_holds(resolved, released=released), each=True)


@hold.command("release", cls=SettingsCommand, groups=("archive", "evidence", "talk"))
@click.argument("hold_id", metavar="HOLD")
def release(hold_id: str, **typed: Any) -> None:
    """Release the hold of this id. It takes a --reason."""
    from harvester.custody.holding import release_hold

    _tell_held(typed, lambda resolved: release_hold(resolved, hold_id))


@click.command("erase", cls=SettingsCommand, groups=("archive", "evidence", "talk"))
@_selecting
@click.option("--execute", is_flag=True, help="Erase them; without, it is only shown what would be erased.")
def erase_calls(execute: bool, **typed: Any) -> None:
    """Erase calls for good, and leave a tombstone of each in the ledger. Shows them first; --execute erases.

    It takes a --reason, which the ledger keeps for ever: name nobody in it. No later run fetches the calls again. Calls on
    hold are refused, and so are all that were selected with one.
    """
    from harvester.custody.erasing import erase, erasure_text

    choice = _choice(typed)

    def look(resolved: Resolved) -> Shown:
        done = erase(resolved, choice, execute=execute)
        return Shown(text=erasure_text(done), json=done.as_json(), exit_code=done.exit_code)

    _show(typed, look)


def _tell_held(typed: dict[str, Any], act: Callable[[Resolved], Held], *, each: bool = False) -> None:
    from harvester.custody.holding import held_text

    def look(resolved: Resolved) -> Shown:
        held = act(resolved)
        return Shown(text=held_text(held), json=held.as_json())

    _show(typed, look, each=each)


def _show(typed: dict[str, Any], look: Callable[[Resolved], Shown], *, each: bool = False) -> None:
    """Do it to the account that is meant, or to `each`, and end the process."""
    meant = begin(typed)
    if len(meant.accounts) > 1 and not each:
        raise ConfigError("the settings file has several accounts: name the one that is meant by --account")
    sys.exit(show_each(meant, look))


def _choice(typed: dict[str, Any]) -> Choice:
    """Take the flags that choose calls out of what was typed. Raises ConfigError."""
    from harvester.archive.choice import Choice

    return Choice(
        ids=tuple(dict.fromkeys(typed.pop("ids"))),
        number=typed.pop("number"),
        date_from=flag_day("--from", typed.pop("date_from")),
        date_to=flag_day("--to", typed.pop("date_to")),
    )
