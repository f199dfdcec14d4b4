"""Which accounts a command is for, and that no two of them get in each other's way.

In:   flags, environment, settings file, the names after --account.  Out: `Meant`, or a ConfigError before anything is written.

A settings file without [[account]] tables is one account without a name. What one account has for itself alone (its archive, its
key, its checkpoint) is never taken from a flag or a variable while several are meant: it would be that of each of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import TypeVar

import msgspec

from harvester import values
from harvester.archive import steps
from harvester.errors import ConfigError
from harvester.layers import joined
from harvester.settings import ENVIRONMENT, Resolved, environment_of, flag_of
from harvester.written import ACCOUNT, OWN, Table, Written, read_written

T = TypeVar("T")

VARIABLE = ENVIRONMENT + ACCOUNT.upper()

MILDEST_FIRST = (0, 3, 7, 5, 2, 4, 6, 8, 1)
"""Exit codes by how much they want somebody to act; what is not among them is a signal, and worse than all.

Nothing; then what another night may mend by itself (calls still missing, another run at work, a platform that cannot be
reached); what waits for a person but has harmed nothing (a setting, a key); what is the matter with the archive (its storage,
then damage in it); a bug, of which nobody knows what it means; and a round that was stopped, which says nothing at all of
the accounts behind it.
"""


class Meant(msgspec.Struct, frozen=True, kw_only=True):
    """The accounts that a command is for, in the order of the file.

    `several` tells whether the file has [[account]] tables, however many are meant: the form of what is printed depends on
    the file alone, so that a script need not know which were chosen.
    """

    accounts: tuple[Resolved, ...]
    several: bool

    @property
    def first(self) -> Resolved:
        """The first account: the settings of the screen and of the report are the same for all."""
        return self.accounts[0]


def meant_by(
    flags: Mapping[str, object], environment: Mapping[str, str], file: Path | None, chosen: tuple[str, ...] = ()
) -> Meant:
    """Return the accounts that are meant: those named by `chosen`, else by HARVESTER_ACCOUNT, else all of the file.

    Raises ConfigError.
    """
    written = read_written(file) if file else None
    names, asked_by = _names(chosen, environment)
    if written is None or not written.accounts:
        if names:
            where = f"{file} has no [[account]] tables" if file else "there is no settings file"
            raise ConfigError(f"{asked_by}: {where}; leave it out")
        return Meant(accounts=(joined(flags, environment, written),), several=False)
    tables = _chosen(written, names, asked_by)
    _check_layers(flags, environment, tables)
    bare = _without(OWN, flags), _without(map(environment_of, OWN), environment)
    everyone = [
        (each, joined(*((flags, environment) if tables == [each] else bare), written, each))
        for each in written.accounts
    ]
    for each, resolved in everyone:
        _check_whole(written, each, resolved)
    _check_apart([resolved for _, resolved in everyone])
    return Meant(accounts=tuple(resolved for each, resolved in everyone if each in tables), several=True)


def worst(codes: Iterable[int]) -> int:
    """Return the worst of some exit codes; 0 when there are none."""
    return max(codes, key=lambda code: MILDEST_FIRST.index(code) if code in MILDEST_FIRST else code, default=0)


def is_interrupted(code: int) -> bool:
    """Whether an exit code says that a signal ended it: 128 and the signal's number."""
    return code > 128


def _names(chosen: tuple[str, ...], environment: Mapping[str, str]) -> tuple[tuple[str, ...], str]:
    """Return the names that were given, and where."""
    source, value = (f"--{ACCOUNT}", chosen) if chosen else (VARIABLE, environment.get(VARIABLE))
    if not value:
        return (), source
    try:
        return values.words(value), source
    except ValueError as error:
        raise ConfigError(f"{source}: {value!a} is not {error}") from None


def _chosen(written: Written, names: tuple[str, ...], asked_by: str) -> list[Table]:
    known = {(each.name or "").lower(): each for each in written.accounts}
    for name in names:
        if name.lower() not in known:
            listed = ", ".join(each.name or "" for each in written.accounts)
            raise ConfigError(f"{asked_by}: there is no account {name!a} in {written.path}; it has {listed}")
    wanted = {name.lower() for name in names} or set(known)
    return [each for name, each in known.items() if name in wanted]


def _without(names: Iterable[str], layer: Mapping[str, T]) -> dict[str, T]:
    left_out = frozenset(names)
    return {name: value for name, value in layer.items() if name not in left_out}


def _check_layers(flags: Mapping[str, object], environment: Mapping[str, str], tables: list[Table]) -> None:
    """Refuse what would be the archive, the key or the checkpoint of each of several accounts."""
    if len(tables) == 1:
        return
    for name in OWN:
        given = [flag_of(name)] * (flags.get(name) is not None) + [environment_of(name)] * bool(
            environment.get(environment_of(name))
        )
        if given:
            raise ConfigError(
                f"{given[0]}: it would be the {name} of {len(tables)} accounts; choose one with --{ACCOUNT}, or leave it out"
            )


def _check_whole(written: Written, of: Table, resolved: Resolved) -> None:
    place = f"{written.place(of.line)}: the account {of.name}"
    settings = resolved.settings
    if settings.archive is None:
        raise ConfigError(f"{place} has no archive; name its folder with `archive` in its table")
    if settings.key_file is None and settings.key_command is None:
        raise ConfigError(
            f"{place} has no key of its own; name it with key_file or key_command in its table "
            "(HARVESTER_API_KEY and a systemd credential are one key, and there may be several accounts)"
        )


def _check_apart(everyone: Sequence[Resolved]) -> None:
    """Refuse two accounts with one archive, an archive within another's, and two with one checkpoint."""
    for one, other in combinations(everyone, 2):
        archive, other_archive = one.settings.archive or Path(), other.settings.archive or Path()
        where = f"{other.sources['archive']}: the accounts {one.account} and {other.account}"
        if _same(archive, other_archive):
            raise ConfigError(f"{where} share the archive {other_archive}; give each its own")
        for inner, outer in ((archive, other_archive), (other_archive, archive)):
            if any(_same(folder, outer) for folder in _real(inner).parents):
                raise ConfigError(f"{where}: the archive {inner} lies in the other's, {outer}; put it beside")
        named = next((each for each in (other, one) if each.settings.checkpoint), None)
        if named and _same(_checkpoint(one), _checkpoint(other)):
            raise ConfigError(
                f"{named.sources['checkpoint']}: the accounts {one.account} and {other.account} share the checkpoint "
                f"{named.settings.checkpoint}; give each its own, or leave it out"
            )


def _checkpoint(resolved: Resolved) -> Path:
    from harvester.place import local_state  # it brings filelock along, which is heavy

    return local_state(resolved.settings).checkpoint


def _same(one: Path, other: Path) -> bool:
    """Whether two paths lead to the same place, be it by links, mounts or a file system that knows no case."""
    if _real(one) == _real(other):
        return True
    try:
        with steps.step("look at", other):
            return one.samefile(other)
    except OSError:  # one of them is not there yet, or may not be looked at
        return False


def _real(path: Path) -> Path:
    try:
        with steps.step("look at", path):
            return path.resolve()
    except (OSError, RuntimeError):  # links in a circle
        return path.absolute()
