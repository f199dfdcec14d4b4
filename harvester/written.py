"""Read a settings file: what stands in it, and on which line.

In:   the path of a TOML file.  Out: `Written`: the settings above the accounts, and one `Table` for each `[[account]]`.

Only names are judged here, not values. tomllib does not tell lines, so the text is cut into its statements: each is the fewest
lines that are TOML by themselves, because a string or list that goes over several lines is none until it is closed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from harvester.errors import ConfigError
from harvester.settings import table

ACCOUNT = "account"
"""The name of the tables."""

SECRETS = ("api_key", "key", "token")

OWN = ("archive", "key_file", "key_command", "checkpoint")
"""Settings that no two accounts may share: where there are accounts, they stand in their tables only."""

OF_THE_COMMAND = ("report_json",)
"""Settings, besides the group "talk", of which a command has one, however many accounts it goes through."""

ACCOUNT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
"""It is typed, and stands in headings and reports; 40 characters leave room for what stands beside it."""

NAME_ALLOWED = "a short word of letters, digits and . _ -, such as sales"


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Settings that stand together: their values, the line of each, and the line on which they begin."""

    values: dict[str, object]
    lines: dict[str, int]
    line: int
    name: str | None = None  # the account's; None above the accounts


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in a settings file."""

    path: Path
    top: Table
    accounts: tuple[Table, ...]

    def place(self, line: int) -> str:
        """Return how a message names a line."""
        return place(self.path, line)


def place(path: Path, line: int) -> str:
    """Return how a message names a line of a file."""
    return f"{path}, line {line}"


def read_written(path: Path) -> Written:
    """Read a settings file. Raises ConfigError when it is none, or a name in it means nothing where it stands."""
    text = _text_of(path)
    try:
        values = _parsed(text)
    except (ValueError, RecursionError) as error:  # ValueError: also a number of thousands of digits
        raise ConfigError(f"the settings file {path} is not TOML: {error}") from None
    lines = _Lines(text)
    tables = values.pop(ACCOUNT, None)
    top = Table(values=values, lines={name: lines.top.get(name, 1) for name in values}, line=1)
    for name in values:
        _check_name(path, top, name)
    if tables is None:
        return Written(path=path, top=top, accounts=())
    begins = lines.top.get(ACCOUNT, 1)
    if not isinstance(tables, list) or not tables or not all(isinstance(each, dict) for each in tables):
        raise ConfigError(
            f"{place(path, begins)}: each account begins with a line [[account]], in two pairs of brackets"
        )
    accounts = []
    for number, written in enumerate(tables):
        found, line = lines.accounts[number] if number < len(lines.accounts) else ({}, begins)
        accounts.append(_account(path, written, found, line))
    _check_accounts(path, top, accounts)
    return Written(path=path, top=top, accounts=tuple(accounts))


def _text_of(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except OSError as error:
        raise ConfigError(f"the settings file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"the settings file {path} is not UTF-8 text") from None


def _account(path: Path, written: dict[str, object], found: dict[str, int], line: int) -> Table:
    """Return the table of one account. Raises ConfigError for names that mean nothing in it, or none of its own."""
    if not written:
        raise ConfigError(f"{place(path, line)}: this [[account]] is empty; it needs a name, an archive and a key_file")
    lines = {name: found.get(name, line) for name in written}
    whole = Table(values={key: value for key, value in written.items() if key != "name"}, lines=lines, line=line)
    for key in whole.values:
        _check_name(path, whole, key)
        if table()[key][1].group == "talk" or key in OF_THE_COMMAND:
            raise ConfigError(
                f"{place(path, lines[key])}: {key} is one for all accounts; write it above the first [[account]]"
            )
    name = written.get("name")
    if name is None:
        raise ConfigError(f"{place(path, line)}: this [[account]] has no name; give it {NAME_ALLOWED}")
    if not isinstance(name, str) or not ACCOUNT_NAME.fullmatch(name):
        raise ConfigError(
            f"{place(path, lines['name'])}: what stands there is not {NAME_ALLOWED}, at most 40 characters"
        )
    return msgspec.structs.replace(whole, name=name)


def _check_name(path: Path, of: Table, name: str) -> None:
    where = place(path, of.lines[name])
    if name in SECRETS:
        raise ConfigError(f"{where}: the key does not belong here; name its file with key_file")
    if isinstance(of.values[name], dict):
        raise ConfigError(f"{where}: {name!a} is a table; only accounts are, each setting is `name = value`")
    if name not in table():
        raise ConfigError(f"{where}: there is no setting {name!a}; `harvester config` lists them all")


def _check_accounts(path: Path, top: Table, accounts: list[Table]) -> None:
    for name in OWN:
        if name in top.values:
            raise ConfigError(
                f"{place(path, top.lines[name])}: each account needs its own {name}; write it into the [[account]] tables"
            )
    seen: dict[str, Table] = {}
    for each in accounts:
        name = each.name or ""
        earlier = seen.setdefault(name.lower(), each)
        if earlier is not each:
            raise ConfigError(
                f"{place(path, each.lines['name'])}: the account of line {earlier.line} is called {earlier.name} already"
            )


def _parsed(text: str) -> dict[str, Any]:
    """Return what a text says as TOML. Raises ValueError, RecursionError."""
    import tomllib  # here, because it takes 1.5 ms, and not every command has a settings file

    return tomllib.loads(text)


class _Lines:
    """On which line each name stands: above the accounts, and in the table of each account."""

    def __init__(self, text: str) -> None:
        self.top: dict[str, int] = {}
        self.accounts: list[tuple[dict[str, int], int]] = []
        here: dict[str, int] | None = self.top
        for line, statement in _statements(text):
            parsed = _parsed(statement)
            header = statement.lstrip().startswith("[")
            for name, value in parsed.items():
                if not header:
                    if here is not None:
                        here.setdefault(name, line)
                    continue
                self.top.setdefault(name, line)
                here = self._begun(name, value, line)

    def _begun(self, name: str, value: object, line: int) -> dict[str, int] | None:
        """Take in a header; return where the names below it are noted."""
        if name == ACCOUNT and isinstance(value, list):
            self.accounts.append(({}, line))
            return self.accounts[-1][0]
        if name == ACCOUNT and isinstance(value, dict) and self.accounts:  # a table within the account
            for inner in value:
                self.accounts[-1][0].setdefault(inner, line)
        return None


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Yield each statement with the number of its first line."""
    begun, first = "", 1
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        begun, first = (f"{begun}\n{line}", first) if begun else (line, number)
        try:
            _parsed(begun)
        except (ValueError, RecursionError):
            continue
        yield first, begun
        begun = ""
