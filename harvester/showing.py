"""Show what a command that changes nothing finds of each account, in the order of the settings file.

In:   the accounts that are meant, and a function that looks at one.  Out: what it found, on stdout, and an exit code: the worst.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import msgspec

from harvester.accounts import Meant, worst
from harvester.errors import HarvestError
from harvester.logs import escaped
from harvester.settings import Resolved
from harvester.streams import give, give_json, say

NEXT = "\n"
"""An empty line stands between two accounts."""


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What a command has found of one account."""

    text: str  # for people; empty: nothing to say
    json: bytes
    exit_code: int = 0


def show_each(meant: Meant, look: Callable[[Resolved], Shown]) -> int:
    """Print what `look` finds of each account; return the worst exit code.

    Where the settings file has no accounts, raises the HarvestError of the only one; else each error is told, and the next
    account is looked at.
    """
    as_json = meant.first.settings.json
    if not meant.several:
        shown = look(meant.first)
        if as_json or shown.text:
            give_json(shown.json) if as_json else give(shown.text)
        return shown.exit_code
    found: list[tuple[str, int, bytes]] = []
    printed = False
    for resolved in meant.accounts:
        name = resolved.account or ""
        try:
            shown = look(resolved)
        except HarvestError as error:
            say(escaped(f"harvester: {name}: {error}"))
            shown = Shown(text="", json=_ascii_json({"error": str(error)}), exit_code=error.exit_code)
        if shown.text and not as_json:
            give(f"{NEXT if printed else ''}{heading(resolved)}\n{shown.text}")
            printed = True
        found.append((name, shown.exit_code, shown.json))
    if as_json:
        give_json(joined_json(found))
    return worst(code for _, code, _ in found)


def heading(resolved: Resolved) -> str:
    """Return the line that stands above what is said of an account."""
    return escaped(f"== {resolved.account}: {resolved.settings.archive}")


def joined_json(found: Sequence[tuple[str, int, bytes]]) -> bytes:
    """Return what was found of several accounts as one JSON document, from each one's name, exit code, and JSON object.

    The objects are taken over byte for byte, so that numbers keep all their digits.
    """
    accounts = [
        {"name": name, "exit_code": code, **msgspec.json.decode(each, type=dict[str, msgspec.Raw])}
        for name, code, each in found
    ]
    whole = {"accounts": accounts, "exit_code": worst(code for _, code, _ in found)}
    return msgspec.json.format(msgspec.json.encode(whole), indent=2) + b"\n"


def _ascii_json(value: object) -> bytes:
    """Return JSON that writes nothing on a terminal."""
    return json.dumps(value).replace("\x7f", "\\u007f").encode()
