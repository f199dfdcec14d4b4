"""What was typed for an export becomes an order, and what was made becomes text.

In:   settings and flags; what was made.  Out: `Order`; text for people, JSON for machines.

The flags that choose calls are no settings: what a run is to fetch every night says nothing about what is handed over once.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from harvester.accounts import Meant
from harvester.errors import ConfigError
from harvester.export.bundle import Made, Order
from harvester.export.criteria import Criteria
from harvester.logs import escaped
from harvester.place import local_state
from harvester.provenance import system_user
from harvester.report import SHOWN
from harvester.values import flag_day
from harvester.wording import counted, size_text


def order_of(meant: Meant, target: Path, typed: Mapping[str, Any]) -> Order:
    """Return the order that was given. Raises ConfigError."""
    if len(meant.accounts) > 1:
        raise ConfigError(
            "a bundle is made of one archive, and the settings file has several: choose one with --account NAME"
        )
    settings = meant.first.settings
    criteria = Criteria(
        ids=typed["ids"],
        phone_numbers=typed["phone_number"],
        date_from=flag_day("--from", typed["date_from"]),
        date_to=flag_day("--to", typed["date_to"]),
        assistants=typed["assistant"],
        campaigns=typed["campaign"],
        statuses=typed["status"],
        texts=typed["text"],
    )
    return Order(
        archive=local_state(settings).archive,
        target=target,
        criteria=criteria,
        as_zip=typed["as_zip"],
        include_damaged=typed["include_damaged"],
        dry_run=typed["dry_run"],
        case=settings.case,
        operator=settings.operator or system_user(),
        reason=settings.reason,
    )


def made_json(made: Made) -> bytes:
    """Return what was made, all of it."""
    told = msgspec.structs.asdict(made)
    del told["first"]
    return msgspec.json.format(msgspec.json.encode(told), indent=2)


def made_text(made: Made) -> str:
    """Return what was made, or what would be, for people."""
    what = f"{counted(made.calls, 'call')}, {counted(made.files, 'file')} ({size_text(made.bytes)})"
    lines = [f"selected by: {made.selected}"]
    lines += [f"note: {note}" for note in made.notes[:SHOWN]]
    if len(made.notes) > SHOWN:
        lines.append(f"and {len(made.notes) - SHOWN:,} more notes; --json has all")
    if made.dry_run:
        lines += [f"  call {first}" for first in made.first]
        if made.calls > len(made.first):
            lines.append(f"  and {made.calls - len(made.first):,} more")
        lines.append(f"would export {what} to {made.bundle}")
    else:
        lines += _done(made, what)
    return "\n".join(map(escaped, lines))


def _done(made: Made, what: str) -> list[str]:
    lines = [f"exported {what} to {made.bundle}: {made.name}", made.seals]
    if made.damaged:
        lines.append(f"DAMAGED: {counted(made.damaged, 'call')} with files that are not what the ledger says")
    lines.append(f"SHA-256 of tagmanifest-sha256.txt, which stands for all of it: {made.tagmanifest_sha256}")
    lines.append("VERIFY.md in it tells how anyone can check it")
    return lines
