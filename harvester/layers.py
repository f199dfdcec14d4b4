"""Join the layers of settings: a flag wins over the environment, that over the settings file, that over the default.

In:   flags, environment, what is written in the settings file.  Out: `Resolved`, or a ConfigError that names the place of what
is wrong.

The same reader serves all layers, so a value means the same wherever it comes from. The table of an account is a layer of its
own, above the rest of the file. What is odd about settings that belong together is refused here too, before anything begins.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from pathlib import Path

from harvester.errors import ConfigError
from harvester.settings import Resolved, Settings, environment_of, flag_of, table
from harvester.written import Table, Written, read_written

LONGEST_SHOWN = 100
"""How many characters of a refused value a message shows."""

LARGEST_SHOWN = 10**LONGEST_SHOWN
"""Python refuses to write numbers of more than 4,300 digits as text."""

FIRST_DAY = dt.date(1970, 1, 1)
"""No call is older; a day before it is a slip of the finger, or a count of days that was meant to be smaller."""


def resolve(flags: Mapping[str, object], environment: Mapping[str, str], file: Path | None) -> Resolved:
    """Join flags, environment and a settings file without accounts. Raises ConfigError that names the place."""
    written = read_written(file) if file else None
    if written and written.accounts:
        raise ConfigError(
            f"{written.place(written.accounts[0].line)}: `init` makes the archive of one account, and here begin several; "
            "the first run of each makes its own, or name another settings file with --config"
        )
    return joined(flags, environment, written)


def joined(
    flags: Mapping[str, object], environment: Mapping[str, str], written: Written | None, account: Table | None = None
) -> Resolved:
    """Join flags, environment, the table of an account, and what stands above the accounts, in this order. Raises ConfigError."""
    layers = [each for each in (account, written and written.top) if each]
    chosen: dict[str, object] = {}
    sources: dict[str, str] = {}
    for name, (field, setting) in table().items():
        variable = environment_of(name)
        if flags.get(name) is not None:
            source, value = flag_of(name), flags[name]
        elif environment.get(variable):
            source, value = variable, environment[variable]
        elif written and (layer := next((each for each in layers if name in each.values), None)):
            source, value = written.place(layer.lines[name]), layer.values[name]
        else:
            sources[name] = "default"
            continue
        try:
            chosen[field] = setting.read(value)
        except ValueError as error:
            raise ConfigError(f"{source}: {_shown(value)} is not {error}") from None
        sources[name] = source
    settings = Settings(**chosen)  # type: ignore[arg-type]
    _check_together(settings, sources, dt.datetime.now(dt.UTC).date())
    return Resolved(settings=settings, sources=sources, account=account.name if account else None)


def _check_together(settings: Settings, sources: Mapping[str, str], today: dt.date) -> None:
    """Refuse days on which there can be no call, and settings that contradict each other. `today` is in UTC."""
    given = {name: day for name, day in (("from", settings.date_from), ("to", settings.date_to)) if day}
    for name, day in given.items():
        if day < FIRST_DAY:
            raise ConfigError(f"{sources[name]}: {name} ({day}) lies before {FIRST_DAY}; no call is older than that")
        if day > today + dt.timedelta(days=1):  # a zone may be a day ahead
            raise ConfigError(f"{sources[name]}: {name} ({day}) lies in the future; today is {today} in UTC")
    if settings.date_from and settings.date_to and settings.date_from > settings.date_to:
        raise ConfigError(
            f"{sources['from']}: from ({settings.date_from}) is later than to ({settings.date_to}, {sources['to']})"
        )
    if settings.full and given:
        places = " and ".join(f"{name} ({sources[name]})" for name in given)
        raise ConfigError(f"{sources['full']}: full lists everything: leave out {places}")


def _shown(value: object) -> str:
    """Return a refused value as a message may show it: short, and without what a URL may hold of secrets."""
    if isinstance(value, list | tuple | dict) or (isinstance(value, int) and abs(value) > LARGEST_SHOWN):
        return "what stands there"
    if isinstance(value, bool):
        return str(value).lower()
    safe = re.sub(r"(?<=//).*(?=@)|(?<=\?).*", "...", str(value), flags=re.DOTALL)
    return ascii(safe if len(safe) <= LONGEST_SHOWN else safe[:LONGEST_SHOWN] + "...")
