"""The account of a run: what was listed, how each call ended, and whether that adds up.

In:   outcomes and window results, as they come.  Out: `Account`, as JSON and as the last lines on the screen.

`listed = saved + unchanged + absent + pending + failed + gone`, for recordings and for transcripts. The verdict is
`complete` only when that holds, no call failed, and every window is proven whole.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter

import msgspec

from harvester.errors import HarvestError, NotKeptError
from harvester.logs import escaped
from harvester.model import Outcome, Reach, State, WindowResult
from harvester.provenance import Provenance
from harvester.wording import counted, duration_text, size_text

SHOWN = 20
"""How many failed calls the screen names; the account in the file names all."""

MOST_QUOTES = 1000
"""Of how many failed calls the page that came instead is remembered: more than the screen shows, and little memory."""

EXIT_INCOMPLETE = 3


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A call that failed, or whose recording is gone, and why."""

    id: str
    reason: str


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """What a run cost the platform."""

    requests: int = 0
    throttled: int = 0  # answers with status 429


class Account(msgspec.Struct, kw_only=True):
    """The account of one run. Counts are of calls; `written_bytes` what was written, `seconds` how long it took."""

    run: str
    archive: str
    started_at: str
    provenance: Provenance | None = None  # None for a run that could not begin
    finished_at: str = ""
    seconds: float = 0.0
    verdict: str = ""
    exit_code: int = 0
    dry_run: bool = False
    filtered: bool = False  # only a part of the account was asked for
    reach: str = ""  # how much was listed: "full", "recent" or "dates"
    why: str = ""  # why so much
    listed_from: dt.date | None = None
    listed_to: dt.date | None = None
    proven_through: dt.date | None = None  # every call up to this day is proven to have been listed
    listed: int = 0
    revisited: int = 0  # not listed, and asked for by their ids
    erased: int = 0  # of both, and left alone: the archive has erased them, and they count as unchanged
    unreached: int = 0  # of both, and the run ended before they were settled
    recordings: Counter[str] = msgspec.field(default_factory=Counter)
    transcripts: Counter[str] = msgspec.field(default_factory=Counter)
    claimed_at_start: int = 0
    claimed_at_end: int = 0
    windows_proven: int = 0
    windows_unproven: list[str] = msgspec.field(default_factory=list)
    traffic: Traffic = Traffic()
    written_bytes: int = 0
    failures: list[Failure] = msgspec.field(default_factory=list)
    quotes: dict[str, str] = msgspec.field(default_factory=dict)  # by call: how what came instead of recordings begins
    gone: list[Failure] = msgspec.field(default_factory=list)  # found by this run to be gone
    unproven: list[str] = msgspec.field(default_factory=list)  # ids of calls whose recordings are kept without proof
    pages_kept: int = 0  # list pages, as they came
    unread_pages: list[str] = msgspec.field(default_factory=list)  # those of them that nobody can read: their keys
    settled_again: int = 0  # calls whose files the storage did not keep at first
    mended_runs: list[str] = msgspec.field(default_factory=list)
    alarms: list[str] = msgspec.field(default_factory=list)  # figures that leave the archive's own history
    strict: bool = False  # whether an alarm decides the exit code
    seal: list[str] = msgspec.field(
        default_factory=list
    )  # who has vouched for it; known only after run.json was written
    warnings: list[str] = msgspec.field(default_factory=list)
    error: str | None = None

    @classmethod
    def of_nothing(cls, archive: str, error: HarvestError) -> Account:
        """Return the account of a run that could not begin."""
        now = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        account = cls(run="", archive=archive, started_at=now)
        account.conclude(seconds=0.0, finished_at=now, signal=None, error=error)
        return account

    def count(self, outcome: Outcome) -> None:
        """Take in how one call ended."""
        self.recordings[outcome.recording] += 1
        self.transcripts[outcome.transcript] += 1
        self.written_bytes += outcome.bytes
        self.erased += outcome.erased
        if outcome.unproven:
            self.unproven.append(outcome.id)
        if outcome.recording is State.FAILED:
            self.failures.append(Failure(id=outcome.id, reason=outcome.reason or ""))
            if outcome.quote and len(self.quotes) < MOST_QUOTES:
                self.quotes[outcome.id] = outcome.quote
        elif outcome.recording is State.GONE and not outcome.known:
            self.gone.append(Failure(id=outcome.id, reason=outcome.reason or ""))

    def count_again(self, error: NotKeptError, calls: int) -> None:
        """Take in that so many calls are settled once more, because the storage did not keep their files. It warns of it once."""
        if not self.settled_again:
            self.warnings.append(f"{error}; what the storage did not keep was fetched again, into new files")
        self.settled_again += calls

    def add_window(self, result: WindowResult) -> None:
        """Take in how the walk of one window ended."""
        if result.reason is None:
            self.windows_proven += 1
        else:
            self.windows_unproven.append(result.reason)

    def conclude(self, *, seconds: float, finished_at: str, signal: int | None, error: HarvestError | None) -> None:
        """Set verdict and exit code.

        `seconds` is how long the run took, `signal` the number of the one that stopped it, `error` what ended it.
        """
        self.seconds, self.finished_at = round(seconds, 3), finished_at
        self.unreached = self.listed + self.revisited - sum(self.recordings.values())
        if error:
            self.verdict, self.exit_code, self.error = "incomplete", error.exit_code, str(error)
        elif signal:
            self.verdict, self.exit_code = "interrupted", 128 + signal
        elif self.failures or self.windows_unproven or self.unreached:
            self.verdict, self.exit_code = "incomplete", EXIT_INCOMPLETE
        else:
            self.verdict, self.exit_code = "complete", EXIT_INCOMPLETE if self.alarms and self.strict else 0

    def as_json(self) -> bytes:
        """Return the account as JSON in ASCII, so that nothing in it writes on a terminal, in the order of its fields.

        Without the quotes: they may hold anything that a server says, and this is kept in the archive and handed on.
        """
        every = {str(state): 0 for state in State}
        known = msgspec.to_builtins(self) | {
            "recordings": every | dict(self.recordings),
            "transcripts": every | dict(self.transcripts),
        }
        del known["quotes"]
        return json.dumps(known, indent=2).replace("\x7f", "\\u007f").encode() + b"\n"


def lines_of(account: Account) -> list[str]:
    """Return what the screen shows of an account; the verdict is the last line."""
    lines = [*(_table(account) if account.listed or not account.error else []), *trouble_of(account)]
    if account.recordings[State.PENDING] or account.transcripts[State.PENDING]:
        lines.append("pending: not there yet, or not fetched yet; the next run asks again")
    lines += [*(escaped(f"seal: {line}") for line in account.seal), _cost(account)]
    lines.append(escaped(_verdict(account)))
    return lines


def trouble_of(account: Account) -> list[str]:
    """Return a line for each failed call and each doubt, at most 20 of a kind."""
    lines = []
    place = "" if account.dry_run else f", all in {account.archive}/runs/{account.run}/run.json"
    for word, calls in (("failed", account.failures), ("gone", account.gone)):
        for call in sorted(calls, key=_by_id)[:SHOWN]:
            quote = account.quotes.get(call.id)
            lines.append(f"{word}: call {call.id!a}: {call.reason}" + (f"; it says: {quote}" if quote else ""))
        if len(calls) > SHOWN:
            lines.append(f"and {len(calls) - SHOWN:,} more{place}")
    if account.unproven:
        lines.append(_unproven(account.unproven, place))
    lines += [f"not proven whole: {reason}" for reason in account.windows_unproven[:SHOWN]]
    if len(account.windows_unproven) > SHOWN:
        lines.append(f"and {len(account.windows_unproven) - SHOWN:,} windows more")
    if account.unread_pages:
        lines.append(_unread(account))
    lines += [f"mended: the run {run} was cut off; its files are in order now" for run in account.mended_runs]
    lines += [f"alarm: {alarm}" for alarm in account.alarms]
    lines += [f"warning: {warning}" for warning in account.warnings]
    return [escaped(line) for line in lines]  # a reason that holds a line break must not forge a line


def _unproven(calls: list[str], place: str) -> str:
    """Say in one line how many recordings are kept without proof, and of which calls; `place` tells where all stand."""
    they_are, noun = ("it is", "call") if len(calls) == 1 else ("they are", "calls")
    named = ", ".join(ascii(call_id) for call_id in calls[:SHOWN])
    more = f" and {len(calls) - SHOWN:,} more{place}" if len(calls) > SHOWN else ""
    return (
        f"unproven: {counted(len(calls), 'recording')} came without length, digest or other proof that {they_are} whole: "
        f"{noun} {named}{more}"
    )


def _unread(account: Account) -> str:
    """Say in one line where the list pages lie that could not be read, as they came."""
    pages = account.unread_pages
    folder = pages[0].rpartition("/")[0]
    named = ", ".join(key.rpartition("/")[2] for key in pages[:SHOWN])
    more = f" and {len(pages) - SHOWN:,} more" if len(pages) > SHOWN else ""
    return (
        f"unreadable: what came instead of {counted(len(pages), 'list page')} is kept, packed by gzip, in "
        f"{account.archive}/{folder}: {named}{more}"
    )


def _by_id(call: Failure) -> tuple[int, str]:
    return len(call.id), call.id  # as numbers: the mails of two nights can be held against each other


def _table(account: Account) -> list[str]:
    """Show how the calls ended: a column for each state, a row each for recordings and transcripts."""
    states = [str(state) for state in State]
    heads = ["to save" if account.dry_run and state == State.SAVED else state for state in states]
    since = _days_of(account)
    more = f", {account.revisited:,} more asked for by id" if account.revisited else ""
    lines = [
        f"{counted(account.listed, 'call')} listed{since}{more}",
        f"{'':12}" + "".join(f"{head:>11}" for head in heads),
    ]
    for label, counts in (("recordings", account.recordings), ("transcripts", account.transcripts)):
        lines.append(f"{label:12}" + "".join(f"{counts[state]:>11,}" for state in states))
    if account.erased:
        lines.append(
            f"{counted(account.erased, 'call')} of the unchanged: erased from the archive, and never fetched again"
        )
    if account.unreached:
        lines.append(f"{counted(account.unreached, 'call')} listed and not reached; the next run takes them")
    return lines


def _cost(account: Account) -> str:
    traffic = account.traffic
    throttled = f", {traffic.throttled:,} of them throttled" if traffic.throttled else ""
    size = "nothing written" if account.dry_run else f"{size_text(account.written_bytes)} written"
    return f"{size} in {duration_text(account.seconds)}, {traffic.requests:,} API requests{throttled}"


def _verdict(account: Account) -> str:
    if account.error:
        return f"incomplete: {account.error}"
    if account.verdict == "interrupted":
        return "interrupted: the next run goes on where this one stopped"
    if account.verdict == "complete":
        if account.dry_run:
            saved = account.recordings[State.SAVED] or account.transcripts[State.SAVED]
            what = "without --dry-run the calls above are saved" if saved else "nothing new to save"
            return f"dry run: the listing is proven whole; {what}"
        chosen = " under these filters" if account.filtered else ""
        since = _days_of(account)
        earlier = "; what is older was proven by earlier runs" if account.reach == Reach.RECENT else ""
        strict = "; an alarm was raised, and --strict makes it exit 3" if account.exit_code else ""
        return (
            f"complete: everything that the platform lists{chosen}{since} is settled, and the listing is proven whole"
            f"{earlier}{strict}"
        )
    parts = []
    if account.failures:
        parts.append(f"{len(account.failures):,} failed, and the next run tries them again")
    if account.windows_unproven:
        parts.append("the listing is not proven whole")
    return f"incomplete: {'; '.join(parts) or 'the outcomes do not add up to what was listed'}"


def _days_of(account: Account) -> str:
    """Say which days were listed, with a blank before it; nothing where it was all of them."""
    first, last = account.listed_from, account.listed_to
    if first and last:
        return f" from {first} to {last}"
    return f" since {first}" if first else f" until {last}" if last else ""
