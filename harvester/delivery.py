"""Give the account of a run to the machines that asked for it: where `--report-json` says, and on stdout.

In:   the settings and an account, or those of several.  Out: JSON there, whole or not at all; or a ConfigError.

A regular file is replaced, so that a monitor never reads half of one; anything else (a pipe, a device) is written into,
never replaced.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harvester.accounts import Meant
from harvester.archive import disk, steps
from harvester.errors import ConfigError, StorageError
from harvester.report import Account
from harvester.settings import Settings
from harvester.showing import joined_json
from harvester.streams import give_json


def check_report(meant: Meant) -> None:
    """Refuse a place for the report that cannot take it, before the first run and not after the last. Raises ConfigError."""
    for resolved in meant.accounts:
        settings = resolved.settings
        if settings.report_json and settings.archive:
            check_place(settings.report_json, settings.archive, resolved.sources["report_json"])


def check_place(path: Path, archive: Path, source: str) -> None:
    """Refuse a folder, a place whose folder is missing, and one inside the archive. Raises ConfigError."""
    with steps.step("look at", path):
        if path.exists() and not path.is_file() and not path.is_dir():
            return
        target = path.resolve()
        if target.is_dir():
            raise ConfigError(f"{source}: {path} is a folder; name a file")
        if not target.parent.is_dir():
            raise ConfigError(f"{source}: there is no folder {target.parent}; create it first")
    with steps.step("look at", archive):
        lies_in_archive = target.is_relative_to(archive.resolve())
    if lies_in_archive:
        raise ConfigError(
            f"{source}: {path} lies in the archive, which holds nothing but what it archives; name another place"
        )


def deliver(settings: Settings, document: bytes) -> None:
    """Give the document to the machines that asked for it. Raises ConfigError when the report cannot be written."""
    if settings.report_json:
        write_report(settings.report_json, document)
    if settings.json:
        give_json(document)


def document_of(accounts: Sequence[tuple[str, Account]]) -> bytes:
    """Return the accounts of several runs, each with its name, as one JSON document."""
    return joined_json([(name, account.exit_code, account.as_json()) for name, account in accounts])


def write_report(path: Path, document: bytes) -> None:
    """Write the document. Raises ConfigError."""
    try:
        if path.exists() and not path.is_file():
            with disk.guarded("write", path), path.open("wb", buffering=0) as stream:
                stream.write(document)
        else:
            disk.replace_durable(path.resolve(), document)
    except StorageError as error:
        raise ConfigError(f"the account could not be written where --report-json says: {error}") from None
