"""Write the account of a run where `--report-json` says.

In:   a path and an account.  Out: the account there, whole or not at all; or a ConfigError.

A regular file is replaced, so that a monitor never reads half of one; anything else (a pipe, a device) is written into,
never replaced.
"""

from __future__ import annotations

from pathlib import Path

from harvester.archive import disk
from harvester.errors import ConfigError, StorageError
from harvester.report import Account


def check_place(path: Path, archive: Path, source: str) -> None:
    """Refuse a folder, a place whose folder is missing, and one inside the archive. Raises ConfigError."""
    if path.exists() and not path.is_file() and not path.is_dir():
        return
    target = path.resolve()
    if target.is_dir():
        raise ConfigError(f"{source}: {path} is a folder; name a file")
    if not target.parent.is_dir():
        raise ConfigError(f"{source}: there is no folder {target.parent}; create it first")
    if target.is_relative_to(archive.resolve()):
        raise ConfigError(
            f"{source}: {path} lies in the archive, which holds nothing but what it archives; name another place"
        )


def write_report(path: Path, account: Account) -> None:
    """Write the account. Raises ConfigError."""
    try:
        if path.exists() and not path.is_file():
            with disk.guarded("write", path), path.open("wb", buffering=0) as stream:
                stream.write(account.as_json())
        else:
            disk.replace_durable(path.resolve(), account.as_json())
    except StorageError as error:
        raise ConfigError(f"the account could not be written where --report-json says: {error}") from None
