"""`harvester doctor`: try everything that a run stands on, and tell in words what was found and what to change.

In:   settings and the key, or why there is none.  Out: `Diagnosis`, and the same as text.

It costs two requests to the API and one to a recording's server, each tried once: a doctor tells of a flaky platform and does not
wait for it to get well. It holds no lock, and what it writes it removes. Nothing of what goes wrong is raised: it is what was
asked for.
"""

from __future__ import annotations

import datetime as dt
import json
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import anyio
import anyio.to_thread
import msgspec

from harvester.archive.ground import (
    ARCHIVE,
    LOCAL_STATE,
    Finding,
    Ground,
    bad,
    examine_archive,
    examine_local_state,
    good,
    note,
)
from harvester.archive.local import LocalState
from harvester.archive.mark import Mark, check_owner
from harvester.errors import (
    AuthError,
    ConfigError,
    HarvestError,
    PlatformError,
    RecordingError,
    StorageError,
    TransientError,
)
from harvester.gauges import budget_finding, clock_finding
from harvester.logs import escaped
from harvester.mask import masked
from harvester.model import Page, Query, Window
from harvester.place import local_state
from harvester.platform.api import Api
from harvester.platform.bandwidth import Bandwidth
from harvester.platform.budget import DEFAULT_PER_MINUTE, Budget, Gate
from harvester.platform.probe import Look, Probe
from harvester.platform.retry import RetryPolicy
from harvester.platform.rows import read_call
from harvester.platform.wire import header_number
from harvester.settings import Resolved, Settings
from harvester.wording import counted, duration_text, size_text

WORST_FIRST = (8, 6, 4, 2, 5)
"""Exit codes, in the order of docs/exit-codes.md."""

PATIENCE_SECONDS = 30.0
"""How long a folder, the API, or a recording's server may take each. A healthy one takes less than one."""

LOOKED_AT_CALLS = 20
"""Of five, all may be going on still, or never have been answered."""

ONCE = RetryPolicy(attempts=1, throttled_attempts=1)

Found = TypeVar("Found")


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """All that was found, in the order in which it was looked at."""

    findings: tuple[Finding, ...]
    cost_requests: int  # that it sent to the API

    @property
    def exit_code(self) -> int:
        """0 when nothing is bad, else the worst of the codes with which a run would end."""
        codes = {each.exit_code for each in self.findings if each.verdict == "bad"}
        return next((code for code in WORST_FIRST if code in codes), max(codes, default=0))

    def as_json(self) -> bytes:
        """Return it as JSON in ASCII, so that nothing in it writes on a terminal."""
        told = {"exit_code": self.exit_code, **msgspec.to_builtins(self)}
        return json.dumps(told, indent=2).replace("\x7f", "\\u007f").encode()


async def examine(resolved: Resolved, key: str | None, key_problem: str | None) -> Diagnosis:
    """Look at the archive's folder, the local state, the key, the platform, the clock, the budget and a recording.

    `key_problem` says why there is no key, or what is odd about it. Raises nothing that is a HarvestError.
    """
    settings = resolved.settings
    findings, mark = await _storage(settings)
    if key is None:
        problem = ConfigError(key_problem or "no API key")
        findings.append(bad("key", problem, "set HARVESTER_API_KEY, or name a file that holds it with --key-file"))
        findings.append(note("platform", "the platform was not asked, for want of a key", "see above"))
        return Diagnosis(findings=tuple(findings), cost_requests=0)
    if key_problem:
        said, _, advice = key_problem.partition("; ")
        findings.append(note("key", said, advice or "see above"))
    gate = Gate(Budget(settings.requests_per_minute), on_wait=_refuse_to_wait)
    async with Api(settings.base_url, key, gate, ONCE) as api:
        findings += await _Contact(api, settings, mark).findings()
    return Diagnosis(findings=tuple(findings), cost_requests=gate.budget.sent)


def diagnosis_text(diagnosis: Diagnosis) -> str:
    """Return the findings as lines, advice below each, and a last line that counts them."""
    width = max((len(each.area) for each in diagnosis.findings), default=0)
    lines = []
    for each in diagnosis.findings:
        lines.append(f"{each.verdict:4}  {each.area:{width}}  {each.said}")
        if each.advice:
            lines.append(f"{'':4}  {'':{width}}  -> {each.advice}")
    verdicts = [each.verdict for each in diagnosis.findings]
    wrong, notes = verdicts.count("bad"), verdicts.count("note")
    verdict = f"{counted(wrong, 'thing')} must be changed" if wrong else "nothing is wrong"
    noted = f", {counted(notes, 'note')}" if notes else ""
    lines.append(
        f"{verdict}{noted}; this cost {counted(diagnosis.cost_requests, 'API request')}, and left nothing behind"
    )
    return "\n".join(map(escaped, lines))


async def _storage(settings: Settings) -> tuple[list[Finding], Mark | None]:
    try:
        local = local_state(settings)
    except ConfigError as error:
        return [bad(ARCHIVE, error, "name the archive's folder with --archive")], None
    ground = await _in_time(ARCHIVE, lambda: _archive(local, settings))
    if isinstance(ground, Finding):
        ground = Ground(findings=[ground], mark=None)
    has_archive = ground.mark is not None
    state = await _in_time(LOCAL_STATE, lambda: examine_local_state(local, has_archive=has_archive))
    return [*ground.findings, *([state] if isinstance(state, Finding) else state)], ground.mark


def _archive(local: LocalState, settings: Settings) -> Ground:
    return examine_archive(
        local,
        must_exist=settings.must_exist,
        min_free_bytes=settings.min_free,
        read_only=settings.read_only,
    )


async def _in_time(area: str, look: Callable[[], Found]) -> Found | Finding:
    """Look in a thread; a share that hangs is a finding too. The thread goes on, and clears up should the share come back."""
    with anyio.move_on_after(PATIENCE_SECONDS):
        return await anyio.to_thread.run_sync(look, abandon_on_cancel=True)
    silent = StorageError(f"the folder does not answer within {PATIENCE_SECONDS:g} s; check whether its share is there")
    return bad(area, silent, "")


class _Contact:
    """One conversation with the platform, as findings."""

    def __init__(self, api: Api, settings: Settings, mark: Mark | None) -> None:
        self._api = api
        self._settings = settings
        self._mark = mark
        self._found: list[Finding] = []

    async def findings(self) -> list[Finding]:
        """Ask whose the key is, for a few calls, and for the first byte of one recording."""
        began, before = anyio.current_time(), dt.datetime.now(dt.UTC)
        page = None
        try:
            with _patience("the platform does not answer"):
                owner = await self._api.account()
                seconds, after = anyio.current_time() - began, dt.datetime.now(dt.UTC)
                clock = clock_finding(self._api.last_headers, before, after)
                page = await self._api.page(self._window(), 1, LOOKED_AT_CALLS)
            self._found += [good("key", f"the platform accepts the key{f' of {owner}' if owner else ''}")]
            self._found += [self._answered(page, seconds), clock, self._budget()]
            if self._mark:
                check_owner(self._mark, self._settings.base_url, owner)
        except HarvestError as error:
            self._found += self._refused(error, before)
        if page:
            found = await self._recording(page)
            self._found.append(msgspec.structs.replace(found, said=masked(found.said)))  # links bear numbers
        return self._found

    def _window(self) -> Window:
        query = self._settings.query()
        return Window(
            query=query, status=next(iter(query.status), None), date_from=query.date_from, date_to=query.date_to
        )

    def _answered(self, page: Page, seconds: float) -> Finding:
        base_url, filtered = self._settings.base_url, self._settings.query() != Query()
        said = f"{base_url} answers as a call platform, within {duration_text(seconds)}; it claims {counted(page.total, 'call')}"
        if _is_open(base_url):
            advice = "use an https address: the key can be read on the way"
            return note("platform", f"{said}; it is asked without TLS", advice)
        return good("platform", f"{said} under the filters of the settings" if filtered else said)

    def _budget(self) -> Finding:
        limit, left = (header_number(self._api.last_headers, f"X-RateLimit-{name}") for name in ("Limit", "Remaining"))
        return budget_finding(limit, left, self._settings.requests_per_minute, DEFAULT_PER_MINUTE)

    def _refused(self, error: HarvestError, before: dt.datetime) -> list[Finding]:
        """Say what an error means, and what the answer that bore it, if there was one, tells all the same."""
        if self._found:  # all was answered; it is the archive that is another's
            return [bad(ARCHIVE, error, "name another --archive")]
        if isinstance(error, AuthError):
            found = [bad("key", error, "check that it is the key of this platform")]
        elif isinstance(error, _NoRoomError) or (isinstance(error, TransientError) and error.throttled):
            advice = "try again in a minute; other programs with a key of this account share its limit"
            found = [note("budget", str(error), advice)]
        elif isinstance(error, ConfigError):
            found = [bad("platform", error, "change the filters of the settings")]
        else:
            found = [bad("platform", error, "check the base URL and the network, and try again")]
        headers = self._api.last_headers
        return [*found, clock_finding(headers, before, dt.datetime.now(dt.UTC))] if headers else found

    async def _recording(self, page: Page) -> Finding:
        calls = [read_call(row) for row in page.rows]
        link = next((call.recording_url for call in calls if call.recording_url), None)
        if not self._settings.recordings:
            return good("recordings", "none was looked at: they are switched off (recordings)")
        if link is None:
            said = f"none was looked at: there is none among {counted(len(calls), 'call')} of the first page"
            return note("recordings", said, "nothing; look again when there is a call with a recording")
        try:
            async with self._probe() as probe:
                with _patience("the recording's server does not answer"):
                    return look_finding(await probe.look(link))
        except RecordingError as error:
            found = bad("recordings", error, "change recording_host, if recordings lie there rightly")
            return msgspec.structs.replace(found, exit_code=ConfigError.exit_code)
        except PlatformError as error:
            return bad("recordings", error, "check the network; ask the platform's operator where recordings lie")

    def _probe(self) -> Probe:
        settings = self._settings
        return Probe(
            self._api,
            ONCE,
            workers=1,
            bandwidth=Bandwidth(None),
            hosts=settings.recording_host,
            allow_private_hosts=settings.allow_private_hosts,
        )


def look_finding(look: Look) -> Finding:
    """Say what the server of one recording can do."""
    size = "does not tell its size" if look.size_bytes is None else f"is {size_text(look.size_bytes)} large"
    if look.status not in (200, 206):
        said = f"{look.link} answered {look.status}"
        return note(
            "recordings", said, "nothing, if it is one old call: a run asks for a fresh link; else ask the operator"
        )
    said = f"the recording {look.link} {size}"
    if look.has_range and look.etag == "strong" and not _is_open(look.link):
        return good("recordings", f"{said}; its server sends parts (Range) and names versions (strong ETag)")
    lacks = [
        *([] if look.has_range else ["sends no parts (Range)"]),
        *([] if look.etag == "strong" else ["names no versions" if look.etag == "none" else "names versions weakly"]),
    ]
    advice = ["nothing: a download that is cut begins anew"] if lacks else []
    if _is_open(look.link):
        lacks.append("does not use TLS")
        advice = ["ask the platform's operator for https links: others can hear the recording on its way"]
    return note("recordings", f"{said}; its server {' and '.join(lacks)}", advice[0])


@contextmanager
def _patience(silent: str) -> Iterator[None]:
    """Raise PlatformError, which begins with `silent`, when the block takes too long."""
    with anyio.move_on_after(PATIENCE_SECONDS) as limit:
        yield
    if limit.cancelled_caught:
        raise PlatformError(f"{silent} within {PATIENCE_SECONDS:g} s; check the network, and try again")


def _is_open(url: str) -> bool:
    """Whether others on the way can read what goes to a URL and comes from it."""
    parts = urllib.parse.urlsplit(url)
    return parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "::1", "localhost")


class _NoRoomError(PlatformError):
    """The budget, or the platform, permits no further request just now. A run waits then; a doctor says so."""


def _refuse_to_wait(_: float) -> None:
    raise _NoRoomError("the budget permits no further request just now, so the rest was not asked")
