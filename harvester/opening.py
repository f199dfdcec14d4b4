"""Open what a run talks to, as the settings say: the call API, and the recordings.

In:   `Settings` and the key.  Out: an `Api`, a `Recordings`; whose account it is.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from harvester.crew import Crew
from harvester.errands import Terms
from harvester.model import KNOWN_STATUSES, Window
from harvester.platform.api import Api
from harvester.platform.bandwidth import Bandwidth
from harvester.platform.budget import Budget, Gate
from harvester.platform.patience import MinRate
from harvester.platform.recordings import HEADERS, Recordings
from harvester.platform.retry import RetryPolicy
from harvester.porters import Porters
from harvester.progress import Progress
from harvester.provenance import written_of
from harvester.settings import Settings
from harvester.spread import has_libcurl, most_processes
from harvester.standby import Standby


def warnings_of(settings: Settings) -> list[str]:
    """Return what is odd about settings that are not wrong."""
    odd = [
        f"the status {status!a} is none that the platform documents ({', '.join(sorted(KNOWN_STATUSES))})"
        for status in settings.status
        if status not in KNOWN_STATUSES
    ]
    if (settings.processes or 1) > 1 and not has_libcurl():
        odd.append(
            "processes is of no use without libcurl: one process fetches everything; install harvester[fast] for more"
        )
    return odd + [
        f"the {name} holds what reads like a phone number; the archive keeps (number) in its place"
        for name, typed in (("operator", settings.operator), ("case", settings.case), ("reason", settings.reason))
        if typed and written_of(typed, settings) != typed
    ]


@asynccontextmanager
async def open_api(settings: Settings, key: str, progress: Progress | None = None) -> AsyncIterator[Api]:
    """Open the API that the settings name, with the budget and the retries that they set."""
    gate = Gate(Budget(settings.requests_per_minute), on_wait=progress.waiting if progress else None)
    async with Api(settings.base_url, key, gate, _policy(settings), _min_rate(settings)) as api:
        yield api


async def check_platform(api: Api, settings: Settings) -> str | None:
    """Make sure, before anything is written, that a call platform answers and takes the key; return the account's e-mail.

    Raises AuthError, ConfigError for a refused filter, PlatformError.
    """
    owner = await api.account()
    if owner is None:  # not every brand tells
        await api.page(Window(query=settings.query()), 1, 1)
    return owner


def recordings_of(api: Api, settings: Settings, connections: int, on_refusal: Callable[[], None]) -> Recordings:
    """Return the recordings, not yet opened, with at most so many connections."""
    return Recordings(
        api,
        _policy(settings),
        workers=connections,
        bandwidth=Bandwidth(settings.bandwidth),
        min_rate=_min_rate(settings),
        max_file_bytes=settings.max_file_size,
        hosts=settings.recording_host,
        allow_private_hosts=settings.allow_private_hosts,
        on_refusal=on_refusal,
    )


def porters_of(
    settings: Settings, crew: Crew, mode: int, on_lost: Callable[[str], None], standby: Standby | None = None
) -> Porters:
    """Return the porters, of whom none is at work yet, and at most one on `standby`; `mode` is that with which files are made."""
    trusted = ssl.get_default_verify_paths()
    terms = Terms(
        base_url=settings.base_url,
        mode=mode,
        headers=HEADERS,
        ca_file=trusted.cafile,
        ca_folder=trusted.capath,
        max_file_bytes=settings.max_file_size,
        hosts=settings.recording_host,
        allow_private_hosts=settings.allow_private_hosts,
    )
    return Porters(
        terms,
        min(most_processes(settings), crew.most) - 1,
        standby,
        on_hired=crew.helped,
        on_gone=crew.left_alone,
        on_lost=on_lost,
    )


def _min_rate(settings: Settings) -> MinRate:
    return MinRate(bytes_per_second=settings.min_rate, over_seconds=settings.patience_seconds)


def _policy(settings: Settings) -> RetryPolicy:
    return RetryPolicy(attempts=settings.attempts, first_wait_seconds=settings.retry_wait_seconds)
