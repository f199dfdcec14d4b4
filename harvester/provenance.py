"""Where what a run writes comes from: who ran what, why, on which machine, by which clock, against whose platform.

In:   settings, and what the platform's answers told.  Out: a `Provenance`, for the ledger's first line and the account.

It is what somebody asks who was not there. It holds no key, and no phone number where one can be told: neither the one that was
asked for, nor one that was typed into a reason.
"""

from __future__ import annotations

import datetime as dt
import getpass
import os
import platform as machine
import re
import sqlite3
import ssl
import zlib
from typing import TYPE_CHECKING

import msgspec

import harvester
from harvester.mask import masked, masked_typed
from harvester.platform.clock import Clock
from harvester.scope import filters_of
from harvester.settings import Resolved, Settings

if TYPE_CHECKING:
    import importlib.metadata

LIBRARIES = (
    "aiofiles", "aiohttp", "anyio", "click", "filelock", "msgspec", "platformdirs", "pycurl", "tqdm", "uvloop", "yarl",
)  # fmt: skip
"""What harvester depends on. pycurl and uvloop are left out where they are not installed: they do not exist everywhere."""

VERSION = re.compile(r"^Version:[ \t]*(\S+)", re.MULTILINE)
"""The line of a wheel's metadata that names its version; the first, since the description stands below."""

KEPT_BACK = frozenset({"phone_number", "key_command"})
"""Settings that may hold a phone number or a secret."""

TOLD_APART = frozenset({"operator", "case", "reason"})
"""Settings that have members of their own."""


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """The platform, as its first answers to a run showed it."""

    account: str | None  # the e-mail address of the key's account, where the platform tells it
    certificate_sha256: str | None  # of the API's server, in hex; None without TLS
    clock: Clock | None  # None where it tells no time


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """What a run sets out to list."""

    reach: str  # "full", "recent" or "dates"
    listed_from: dt.date | None
    listed_to: dt.date | None
    filters: dict[str, str]  # without dates and phone number
    by_number: bool  # a phone number was asked for besides


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """Where what a run writes comes from. A command that asks no platform has neither `server` nor `listed`."""

    tool: str
    python: str
    libraries: dict[str, str]  # versions, those of the C libraries below Python included
    host: str
    system: str
    user: str  # as the system names it
    operator: str  # as was set, else the user
    case: str | None
    reason: str | None
    platform: str  # the API's base URL
    server: Server | None
    listed: Listed | None
    settings: dict[str, str]  # those that are no defaults


def provenance_of(resolved: Resolved, server: Server | None = None, listed: Listed | None = None) -> Provenance:
    """Return where what this process writes comes from."""
    settings = resolved.settings
    numbers = _numbers(settings)
    shown = {name for name, source in resolved.sources.items() if source != "default"} - KEPT_BACK - TOLD_APART
    user = system_user()
    return Provenance(
        tool=f"harvester {harvester.__version__}",
        python=machine.python_version(),
        libraries=libraries(),
        host=machine.node(),
        system=f"{machine.system()} {machine.release()} {machine.machine()}",
        user=user,
        operator=written_of(settings.operator, settings) if settings.operator else user,
        case=settings.case and written_of(settings.case, settings),
        reason=settings.reason and written_of(settings.reason, settings),
        platform=settings.base_url,
        server=server,
        listed=listed,
        settings={name: masked(resolved.text_of(name), numbers) for name in resolved.sources if name in shown},
    )


def listed_of(resolved: Resolved, reach: str, first: dt.date | None, last: dt.date | None) -> Listed:
    """Return what a run sets out to list, from a first day to a last one; None: all there are."""
    query = resolved.settings.query()
    return Listed(
        reach=reach,
        listed_from=first,
        listed_to=last,
        filters={name: masked(value) for name, value in filters_of(query).items()},
        by_number=query.phone_number is not None,
    )


def written_of(typed: str, settings: Settings) -> str:
    """Return what is written of a text that somebody typed: all but phone numbers, where they can be told."""
    return masked_typed(typed, _numbers(settings))


def libraries() -> dict[str, str]:
    """Return the version of each library that a run's bytes have passed through."""
    import importlib.metadata  # here, because few commands need it, and it takes 5 ms

    found = {"openssl": ssl.OPENSSL_VERSION, "sqlite": sqlite3.sqlite_version, "zlib": zlib.ZLIB_RUNTIME_VERSION}
    for name in LIBRARIES:
        try:
            found[name] = _version_of(importlib.metadata.distribution(name))
        except importlib.metadata.PackageNotFoundError:  # not on this system, or packed into one file
            continue
    return found


def _version_of(library: importlib.metadata.Distribution) -> str:
    """Return what `library.version` is, which reads the description too, as if it were mail, and takes three times as long."""
    version = VERSION.search(library.read_text("METADATA") or "")
    return version[1] if version else library.version  # some systems' own packages have no such file


def system_user() -> str:
    """Return the name of the user that runs this, as the system has it."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no name for this user id, as in containers
        return f"uid {os.getuid()}" if hasattr(os, "getuid") else "unknown"


def _numbers(settings: Settings) -> tuple[str, ...]:
    return (settings.phone_number,) if settings.phone_number else ()
