"""Every setting, once: its name, type, default, unit, meaning, and how it is read.

In:   nothing.  Out: the table of settings; `Settings`, and `Resolved`: also where each value came from.

A setting has one name everywhere: `requests_per_minute` in the file is `--requests-per-minute` as a flag and
`HARVESTER_REQUESTS_PER_MINUTE` in the environment. harvester/layers.py says which of them wins.
"""

from __future__ import annotations

import datetime as dt
import functools
import typing
import zoneinfo
from pathlib import Path
from typing import Annotated

import msgspec

from harvester import values
from harvester.model import KNOWN_TYPES, Query

ENVIRONMENT = "HARVESTER_"
FILE_NAME = "harvester.toml"


class Setting(msgspec.Struct, frozen=True):
    """How one setting is read and explained."""

    read: values.Read
    help: str  # one sentence without its full stop, with the unit
    group: str = (
        "run"  # of the run alone; "archive": of every command that opens an archive; "evidence": of every one that writes
        # into its ledger; "talk": of the screen
    )
    name: str = ""  # where the field's name is not the setting's
    default_text: str = ""  # what the help says of a default that is decided at run time


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a command works by. The defaults stand here and nowhere else."""

    archive: Annotated[Path | None, Setting(values.path, "folder of the archive", "archive")] = None
    base_url: Annotated[str, Setting(values.api_url, "base URL of the call platform's API")] = (
        "https://platform.spotzyai.com/api"
    )
    key_file: Annotated[Path | None, Setting(values.path, "file that holds the API key and nothing else")] = None
    key_command: Annotated[
        str | None, Setting(values.text, "command that prints the API key, such as `pass show calls`")
    ] = None

    date_from: Annotated[
        dt.date | None, Setting(values.date, "first day to list: 2025-08-04, or 30d for thirty days ago", name="from")
    ] = None
    date_to: Annotated[dt.date | None, Setting(values.date, "last day to list", name="to")] = None
    status: Annotated[
        tuple[str, ...], Setting(values.words, "only calls of this status; may be given several times")
    ] = ()
    type: Annotated[
        str | None, Setting(values.choice(*KNOWN_TYPES), "only calls of this type: inbound, outbound or web")
    ] = None
    phone_number: Annotated[str | None, Setting(values.text, "only calls from or to this number")] = None
    assistant_id: Annotated[int | None, Setting(values.whole(1), "only calls of this assistant")] = None
    campaign_id: Annotated[int | None, Setting(values.whole(1), "only calls of this campaign")] = None

    lookback_days: Annotated[
        int,
        Setting(
            values.whole(0, 3660),
            "days before the last proven one that a later run without dates lists again: what came late is found there",
        ),
    ] = 7
    full: Annotated[
        bool, Setting(values.switch, "list everything again: finds what changed or was deleted long ago")
    ] = False
    full_every: Annotated[
        values.Rhythm | None,
        Setting(
            values.rhythm,
            "make every so many runs a full one (7), or the first on a weekday (sunday)",
            default_text="never, but for the first",
        ),
    ] = None
    strict: Annotated[bool, Setting(values.switch, "let an alarm end the run with exit code 3")] = False

    per_page: Annotated[int, Setting(values.whole(1, 100), "calls per list page, 1 to 100")] = 100
    pages_in_flight: Annotated[int, Setting(values.whole(1, 64), "list pages asked for at the same time")] = 4
    requests_per_minute: Annotated[
        int | None,
        Setting(
            values.whole(1, 1_000_000),
            "most API requests per minute",
            default_text="60, then what the platform's headers allow",
        ),
    ] = None
    workers: Annotated[
        int | None,
        Setting(
            values.whole(1, 256),
            "calls settled at the same time",
            default_text="8 at first, up to 60 while more make it faster",
        ),
    ] = None
    processes: Annotated[
        int | None,
        Setting(
            values.whole(1, 32),
            "most processes that fetch recordings, where one is not enough and libcurl is installed",
            default_text="one for each processor, up to 4",
        ),
    ] = None
    bandwidth: Annotated[
        int | None,
        Setting(
            values.size(1), "most bytes per second of all recordings together, such as 2M", default_text="no limit"
        ),
    ] = None
    attempts: Annotated[int, Setting(values.whole(1, 20), "attempts per request, the first included")] = 5
    retry_wait_seconds: Annotated[
        float, Setting(values.number(0, 3600), "seconds before the second attempt; doubled before each further one")
    ] = 1.0

    recordings: Annotated[bool, Setting(values.switch, "download recordings; without, they stay pending")] = True
    max_file_size: Annotated[
        int | None,
        Setting(values.size(1), "largest recording to accept, in bytes, such as 2G", default_text="no limit"),
    ] = None
    min_rate: Annotated[
        int,
        Setting(
            values.size(0), "least bytes per second that a server must send of an answer, such as 10K; 0: any trickle"
        ),
    ] = 1024
    patience_seconds: Annotated[
        float,
        Setting(
            values.number(1, 86_400),
            "seconds that a server may be silent, or slower than min_rate, before the attempt fails",
        ),
    ] = 60.0
    recording_host: Annotated[
        tuple[str, ...],
        Setting(
            values.hosts, "fetch recordings from this host only; may be given several times", default_text="any host"
        ),
    ] = ()
    allow_private_hosts: Annotated[
        bool, Setting(values.switch, "fetch recordings from private and loopback addresses too")
    ] = False
    recording_grace_days: Annotated[
        float, Setting(values.number(0, 366), "days after a call's end in which its recording may still appear")
    ] = 3.0

    seal_ssh_key: Annotated[
        Path | None,
        Setting(
            values.path,
            "key of SSH that signs the seal of each run: a private one, or the public one of a key in an agent or on hardware",
        ),
    ] = None
    seal_tsa_url: Annotated[
        str | None, Setting(values.authority_url, "authority that stamps the seal of each run with the time (RFC 3161)")
    ] = None
    seal_tsa_ca: Annotated[
        Path | None,
        Setting(
            values.path,
            "file (PEM) of the root certificates to one of which a stamp must lead",
            default_text="the authorities that this machine trusts",
        ),
    ] = None

    timezone: Annotated[
        zoneinfo.ZoneInfo,
        Setting(values.zone, "zone of the dated folders, and of times that the platform sends without one"),
    ] = zoneinfo.ZoneInfo("UTC")
    must_exist: Annotated[
        bool, Setting(values.switch, "stop unless the archive exists already: the share may not be mounted", "archive")
    ] = False
    read_only: Annotated[
        bool,
        Setting(values.switch, "make files read-only once they are settled (0444, less the umask)", "archive"),
    ] = False
    min_free: Annotated[
        int | None,
        Setting(
            values.size(0),
            "bytes to leave free on the archive's disk, such as 5G",
            default_text="1G, or 1 % of a small disk",
        ),
    ] = None
    storage_patience_seconds: Annotated[
        float,
        Setting(
            values.number(1, 86_400),
            "seconds that a step of the storage may be without progress before the command ends: a share that hangs",
            "archive",
        ),
    ] = 120.0
    state_folder: Annotated[
        Path | None,
        Setting(
            values.path,
            "local folder for lock, checkpoint and log; never on a share",
            "archive",
            default_text="the user's state folder",
        ),
    ] = None
    checkpoint: Annotated[
        Path | None,
        Setting(values.path, "the checkpoint's file; on local disk", "archive", default_text="in state_folder"),
    ] = None

    operator: Annotated[
        str | None,
        Setting(
            values.line(200), "who runs it, as the ledger is to name them", "evidence", default_text="the system's user"
        ),
    ] = None
    case: Annotated[
        str | None, Setting(values.line(200), "case that the run belongs to, such as a file number", "evidence")
    ] = None
    reason: Annotated[
        str | None, Setting(values.line(1000), "why it is done, for whoever reads the ledger in ten years", "evidence")
    ] = None
    keep_pages: Annotated[
        bool,
        Setting(values.switch, "keep each list page as it came, packed, in the run's folder: rows of all callers"),
    ] = False

    limit: Annotated[int | None, Setting(values.whole(1), "stop after this many calls", default_text="no limit")] = None
    dry_run: Annotated[bool, Setting(values.switch, "list, and say what would be fetched; write nothing")] = False
    report_json: Annotated[Path | None, Setting(values.path, "write the account of the run to this file")] = None

    json: Annotated[bool, Setting(values.switch, "print the result as JSON on stdout", "talk")] = False
    progress: Annotated[
        bool, Setting(values.switch, "show a progress bar on a terminal, a line a minute elsewhere", "talk")
    ] = True
    quiet: Annotated[bool, Setting(values.switch, "say nothing unless something is wrong", "talk")] = False
    verbose: Annotated[int, Setting(values.whole(0, 2), "say more: 1 each failed attempt, 2 everything", "talk")] = 0
    log_json: Annotated[bool, Setting(values.switch, "write log lines as JSON", "talk")] = False

    def query(self) -> Query:
        """Return the filters of the run."""
        return Query(
            status=self.status,
            type=self.type,
            phone_number=self.phone_number,
            assistant_id=self.assistant_id,
            campaign_id=self.campaign_id,
            date_from=self.date_from,
            date_to=self.date_to,
        )


class Resolved(msgspec.Struct, frozen=True, kw_only=True):
    """Settings, and for each setting's name where its value came from."""

    settings: Settings
    sources: dict[str, str]
    account: str | None = None  # its name, where the settings file has several

    def text_of(self, name: str) -> str:
        """Return a setting's value as text, as the settings file would say it."""
        field, setting = table()[name]
        value = getattr(self.settings, field)
        if value is None or value == ():
            return setting.default_text or "not set"
        if isinstance(value, bool):
            return str(value).lower()
        return ", ".join(value) if isinstance(value, tuple) else str(value)


@functools.cache
def table() -> dict[str, tuple[str, Setting]]:
    """Return for each setting's name the field of `Settings` and how it is read, in the order of the file."""
    hints = typing.get_type_hints(Settings, include_extras=True)
    found = {}
    for field in Settings.__struct_fields__:
        setting = next(extra for extra in hints[field].__metadata__ if isinstance(extra, Setting))
        found[setting.name or field] = (field, setting)
    return found


def flag_of(name: str) -> str:
    """Return the flag of a setting; the two switches that are on by default are turned off by their flags."""
    return f"--no-{name}" if name in ("recordings", "progress") else f"--{name.replace('_', '-')}"


def environment_of(name: str) -> str:
    """Return the environment variable of a setting."""
    return ENVIRONMENT + name.upper()
