"""The settings as flags of the command line.

In:   the table of settings.  Out: commands that have its flags, and the settings that were meant.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import platformdirs

from harvester import values
from harvester.accounts import Meant, meant_by
from harvester.errors import ConfigError
from harvester.layers import resolve
from harvester.settings import ENVIRONMENT, FILE_NAME, Resolved, environment_of, flag_of, table
from harvester.written import ACCOUNT

SHORT = {"dry_run": "-n", "quiet": "-q", "verbose": "-v"}
ON_BY_DEFAULT = ("recordings", "progress")
LASTING = ("must_exist", "allow_private_hosts", "log_json", "strict", "keep_pages", "read_only")
"""Switches that a settings file may set for good, and so need a flag that turns them back."""

SWITCHES = (*LASTING, "dry_run", "json", "quiet", "full")


class SettingsCommand(click.Command):
    """A command that takes `--config`, the flags of the settings of `groups` and, unless `accounts` is False, `--account`.

    They stand behind its own, and are made when they are first asked for: one command runs of a dozen, which have 400 together.
    """

    def __init__(self, *args: Any, groups: tuple[str, ...], accounts: bool = True, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self._groups = groups
        self._accounts = accounts
        self._is_ready = False

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the flags, its own first; click asks for them here whatever it needs them for."""
        if not self._is_ready:
            self._is_ready = True
            self.params.extend(_options(self._groups, accounts=self._accounts))
        return super().get_params(ctx)


def _options(groups: tuple[str, ...], *, accounts: bool) -> Iterator[click.Option]:
    yield click.Option(["--config"], metavar="FILE", help=f"Settings file; else ./{FILE_NAME}.")
    if accounts:
        shown = "Of the accounts in the settings file, only this one."
        yield click.Option([f"--{ACCOUNT}"], multiple=True, metavar="NAME", help=shown)
    for name, (_, setting) in table().items():
        if setting.group in groups:
            yield _option(name, setting.help, setting.default_text)


def _option(name: str, help_text: str, default_text: str) -> click.Option:
    names = [flag_of(name), *([SHORT[name]] if name in SHORT else []), f"flag_{name}"]
    shown = help_text[0].upper() + help_text[1:] + (f" (default: {default_text})." if default_text else ".")
    if name in ON_BY_DEFAULT:
        return click.Option([f"--{name}/--no-{name}", names[-1]], is_flag=True, default=None, help=shown)
    if name in SWITCHES:
        both = f"{flag_of(name)}/--no-{name.replace('_', '-')}" if name in LASTING else flag_of(name)
        return click.Option([both, *names[1:]], is_flag=True, default=None, help=shown)
    if name == "verbose":
        return click.Option(names, count=True, default=None, help=shown)
    if name in ("status", "recording_host"):
        return click.Option(names, multiple=True, metavar="WORD", help=shown)
    return click.Option(names, metavar="VALUE", help=shown)


def meant_from(typed: dict[str, Any]) -> Meant:
    """Join what was typed with the environment and the settings file, for each account that is meant. Raises ConfigError."""
    return meant_by(_given(typed), os.environ, _settings_path(typed["config"]), typed[ACCOUNT])


def resolved_from(typed: dict[str, Any]) -> Resolved:
    """Join what was typed with the environment and a settings file without accounts. Raises ConfigError."""
    return resolve(_given(typed), os.environ, _settings_path(typed["config"]))


def unknown_variables(environment: Mapping[str, str]) -> set[str]:
    """Return the variables that begin like ours and mean nothing: most likely a slip of the finger."""
    known = {environment_of(name) for name in (*table(), "config", "api_key", ACCOUNT)}
    return {name for name in environment if name.startswith(ENVIRONMENT)} - known


def _given(typed: dict[str, Any]) -> dict[str, object]:
    """Return the settings that were given as flags."""
    flags = {name.removeprefix("flag_"): value for name, value in typed.items() if name.startswith("flag_")}
    return {name: value for name, value in flags.items() if value is not None and value != ()}


def _settings_path(config_file: str | None) -> Path | None:
    """Return the settings file that was named, else the first of the usual places where one lies. Raises ConfigError."""
    named = config_file or os.environ.get(environment_of("config"))
    if named:
        try:
            return values.path(named)
        except ValueError as error:
            raise ConfigError(f"--config: {named!a} is not {error}") from None
    usual = (Path(FILE_NAME), platformdirs.user_config_path("harvester") / FILE_NAME)
    return next((path for path in usual if path.is_file()), None)
