"""Many nights in a row on one archive, while the account lives on: whatever happens, nothing is missed without a word.

A property test. An example is a platform, and a list of nights: what happens before a run, the run's flags, what happens during
it and how it ends. After each run the laws below are held against what the platform really has. At the end everything is
mended, and three more runs must bring the archive and the platform together. What hypothesis has found stands below it.
"""

import datetime as dt
import json
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import anyio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harvester.archive.tidings import DELETED
from harvester.demo.calls import CallBook
from harvester.demo.faults import Fault
from harvester.demo.options import Options
from harvester.demo.server import Platform, Seen, serve
from harvester.model import UNENDED_STATUSES, Reach
from harvester.report import Account
from tests.harvests import Harvests

DAY = dt.timedelta(days=1)
SPAN_DAYS = 60
FOLDER = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""In memory where that is to be had: some hundred runs, each with all its fsyncs, take minutes on a slow disk."""

UNFINISHED: dict[str, object] = {"status": "in-progress", "duration": None, "transcript": None, "recording_url": None}


class Move(NamedTuple):
    """One thing that happens at the platform; `dice` picks the call or the number, `code` is a fault's status."""

    what: Literal["arrives", "appears", "goes", "changes", "ends", "recordings", "calls", "list", "mended", "forgotten"]
    dice: int = 0
    code: int = 0


class Night(NamedTuple):
    """What happens before a run, its flags, what happens at its nth list request, and where it is cut off, if it is."""

    before: list[Move]
    flags: dict[str, Any]
    during: list[tuple[int, Move]]
    cut_off: tuple[Literal["stopped", "killed"], int] | None = None
    lookback_days: int = 7


class World(NamedTuple):
    """A platform: how many calls it has, its ways, and how many downloads fail at first."""

    calls: int
    options: Options
    failing: int = 0
    seed: int = 1


DICE = st.integers(0, 10_000)
CALM = st.builds(
    Move,
    st.sampled_from(["arrives", "appears", "goes", "goes", "changes", "ends", "mended", "forgotten"]),
    DICE,
    st.just(0),
)
FAULTS = st.one_of(
    st.builds(Move, st.just("recordings"), DICE, st.sampled_from([500, 500, 404])),
    st.builds(Move, st.just("calls"), DICE, st.sampled_from([403, 404, 500])),
    st.builds(Move, st.just("list"), DICE, st.sampled_from([500, 500, 500, 401])),
)
# Nothing can be told when a call is deleted and another appears in the same old days during one walk: see docs of `Three proofs`.
MEANWHILE = st.sampled_from([("arrives", "goes", "ends"), ("arrives", "appears", "ends")]).flatmap(
    lambda kinds: st.lists(
        st.tuples(st.integers(3, 30), st.builds(Move, st.sampled_from(kinds), DICE, st.just(0))), max_size=6
    )
)
KINDS = st.sampled_from(
    [
        *({}, {}, {}, {}, {"full": True}, {"type": "web"}),
        *({"from": "20d"}, {"from": "40d", "to": "15d"}, {"limit": 9}, {"recordings": False}),
    ]
)
FLAGS = st.builds(
    lambda kind, per_page, in_flight: {**kind, "per_page": per_page, "pages_in_flight": in_flight},
    KINDS,
    st.sampled_from([3, 3, 3, 10, 100]),
    st.sampled_from([1, 4]),
)
NIGHTS = st.lists(
    st.builds(
        Night,
        before=st.lists(st.one_of(CALM, CALM, FAULTS), max_size=5),
        flags=FLAGS,
        during=st.one_of(st.just([]), MEANWHILE),
        cut_off=st.one_of(
            st.none(), st.none(), st.none(), st.tuples(st.sampled_from(["stopped", "killed"]), st.integers(1, 20))
        ),
        lookback_days=st.sampled_from([0, 7, 20]),
    ),
    min_size=2,
    max_size=8,
)
WORLDS = st.builds(
    World,
    calls=st.integers(10, 90),
    options=st.builds(
        Options,
        order=st.sampled_from(["newest", "oldest", "shuffled"]),
        date_to_inclusive=st.booleans(),
        day_zone_hours=st.sampled_from([0, 0, -11, 9, 13]),
        ignore_dates=st.sampled_from([False, False, False, True]),
        per_page_clamp=st.sampled_from([100, 100, 4]),
    ),
    failing=st.integers(0, 8),
    seed=st.integers(1, 100),
)


class Nights:
    """One archive and its platform, and what must be remembered of earlier runs to judge the next."""

    def __init__(self, platform: Platform, folder: Path) -> None:
        self.platform = platform
        self.harvests = Harvests(platform, folder)
        self.unfinished = set(platform.book.unsettled())
        self.arrived: set[str] = set()  # during this run
        self.backdated: set[str] = set()
        self.dead: set[str] = set()  # a server has said of their recordings that there are none
        self.files: dict[str, bytes] = {}
        self.lines: dict[str, dict[str, Any]] = {}  # the last ledger line of each call
        self.proven: dict[str | None, dt.date | None] = {}  # by the type that is asked for

    def rows(self) -> dict[str, bytes]:
        """Every call that the platform has, and its row as it is served."""
        return {str(call_id): self.platform.row(call_id) for call_id in self.platform.book.ids()}

    def move(self, move: Move) -> None:
        """Let one thing happen."""
        book, faults, dice = self.platform.book, self.platform.faults, move.dice
        ids = list(book.ids())
        match move.what:
            case "arrives" | "appears":
                at = dt.datetime.now(dt.UTC) - DAY * (11 + dice % 50)
                old: dict[str, object] = {"created_at": f"{at:%Y-%m-%d %H:%M:%S}"} if move.what == "appears" else {}
                new = book.insert(old | (UNFINISHED if dice % 3 == 0 else {}))
                self.arrived.add(str(new))
                self.backdated |= {str(new)} if old else set()
                self.unfinished |= {new} if dice % 3 == 0 else set()
            case "goes" if ids:
                opened = [i for i in ids if str(i) in self.opened(left=False)]
                book.delete((opened if opened and dice % 2 else ids)[dice // 2 % len(opened or ids) % len(ids)])
            case "changes" if ids:
                book.change(ids[dice % len(ids)], variables={"note": dice})
            case "ends":
                for call_id in self.unfinished & set(ids):
                    book.finish(call_id)
                self.unfinished.clear()
            case "recordings" | "calls" as where:
                match = ids[dice // 4 % len(ids)] if ids and dice % 4 else None
                faults.add(Fault(where=where[:-1], kind="status", code=move.code, match=match, times=1 + dice % 5))  # type: ignore[arg-type]
            case "list":
                faults.add(Fault(where="list", kind="status", code=move.code, after=dice % 12, times=1 + dice % 2))
            case "mended":
                faults.clear()
            case "forgotten":
                shutil.rmtree(self.harvests.state, ignore_errors=True)

    def opened(self, *, left: bool) -> set[str]:
        """The calls that a run has left open; with `left` those too whose recording was not wanted."""

        def is_open(line: dict[str, Any]) -> bool:
            recording = line["recording"]
            waits = recording["state"] == "failed" or (
                recording["state"] == "pending" and (left or not recording.get("left"))
            )
            return not line.get("gone") and (waits or line["transcript"]["state"] == "pending")

        return {call_id for call_id, line in self.lines.items() if is_open(line)}

    def present(self) -> set[str]:
        """The calls that the archive knows, those that are gone left out."""
        return {call_id for call_id, line in self.lines.items() if not line.get("gone")}

    async def run(self, night: Night) -> Account | None:
        """Run once, while things happen; None when it was killed."""
        asked = 0
        with anyio.CancelScope() as scope:

            def hook(*_: object) -> None:
                nonlocal asked
                asked += 1
                for number, move in night.during:
                    if number == asked:
                        self.move(move)
                if night.cut_off == ("stopped", asked):
                    os.kill(os.getpid(), signal.SIGTERM)
                elif night.cut_off == ("killed", asked):
                    scope.cancel()

            self.platform.on_request = hook
            self.harvests.environment["HARVESTER_LOOKBACK_DAYS"] = str(night.lookback_days)
            try:
                return await self.harvests.run(attempts=1, workers=4, **night.flags)
            finally:
                self.platform.on_request = None
        return None

    async def pass_by(self, night: Night) -> Account | None:
        """Live through one night, and hold it against the laws."""
        for move in night.before:
            self.move(move)
        self.arrived.clear()
        before, since = self.rows(), len(self.platform.requests)
        opened = self.opened(left=bool(night.flags.get("recordings", True)))
        account = await self.run(night)
        self.look()
        requests, dead_before = self.platform.requests[since:], self.dead
        self.dead = dead_before | dead_in(requests)
        if account is None:
            return None
        run = Told(self, night, account, before, opened, requests, dead_before & dead_in(requests))
        run.adds_up()
        run.is_whole()
        run.names_only_what_is_gone()
        run.counts_what_it_has_not_listed()
        run.is_content_when_nothing_went_wrong()
        run.goes_on_from_what_is_proven()
        return account

    def look(self) -> None:
        """Read the archive: what was ever written is still there, and no run settles a call twice."""
        files = self.harvests.files()
        assert {key: files.get(key) for key in self.files} == self.files
        self.files = files
        for ledger in sorted(self.harvests.archive.glob("runs/*/ledger.jsonl")):
            lines = [line for line in map(json.loads, ledger.read_text().splitlines()) if line.get("id")]
            assert len({line["id"] for line in lines}) == len(lines)
            self.lines |= {line["id"]: line for line in lines}

    def newest(self, call_id: str) -> bytes | None:
        """The newest version of a call's row in the archive."""
        versions = {
            int(key.rpartition(".v")[2].removesuffix(".json")) if ".v" in key else 1: data
            for key, data in self.files.items()
            if key.endswith(".json") and key.rpartition("/")[2].partition(".")[0] == call_id
        }
        return versions[max(versions)] if versions else None

    def has_recording(self, call_id: str) -> bool:
        """Whether the recording of a call, as it is served, lies in the archive."""
        wanted = self.platform.book.recording(int(call_id))
        return any(
            data == wanted
            for key, data in self.files.items()
            if not key.endswith((".json", ".txt")) and key.rpartition("/")[2].partition(".")[0] == call_id
        )


class Told(NamedTuple):
    """What a run has told, and what there was: each method is a law."""

    nights: Nights
    night: Night
    account: Account
    before: dict[str, bytes]  # the rows as it began
    opened: set[str]  # calls that earlier runs have left open
    requests: list[Seen]
    twice_dead: set[str]  # this run and an earlier one were told of their recordings that there are none

    @property
    def ended(self) -> bool:
        """Whether the run ended by itself."""
        return self.account.error is None and self.account.verdict != "interrupted"

    @property
    def everything(self) -> bool:
        """Whether neither filters nor dates nor a limit were given."""
        return not self.night.flags.keys() & {"type", "from", "to", "limit"}

    @property
    def refused(self) -> set[str]:
        """The calls that the platform was asked for by id, and would not tell about."""
        return {
            seen.path.rpartition("/")[2]
            for seen in self.requests
            if seen.where == "call" and seen.status not in (200, 404)
        }

    def lists(self, row: dict[str, Any], first: dt.date | None, margin: dt.timedelta) -> bool:
        """Whether the run lists a call of this row: `margin` leaves out what lies at the edge of the platform's days."""
        day = dt.date.fromisoformat(row["created_at"][:10])
        last = "to" in self.night.flags and dt.datetime.now(dt.UTC).date() - 15 * DAY
        return (
            row["type"] == self.night.flags.get("type", row["type"])
            and (first is None or day >= first + margin)
            and (not last or day <= last - 2 * margin)
        )

    def adds_up(self) -> None:
        """`listed + revisited` is the sum of the outcomes, and exit code 0 means that nothing failed and all is proven."""
        account = self.account
        if self.ended:
            assert account.listed + account.revisited == sum(account.recordings.values())
            assert account.listed + account.revisited == sum(account.transcripts.values())
        flawless = self.ended and not account.failures and not account.windows_unproven
        assert (account.exit_code == 0) == flawless

    def is_whole(self) -> None:
        """A complete run has every call that was there throughout and is listed, or was open, as it is served."""
        if self.account.exit_code:
            return
        nights, after = self.nights, self.nights.rows()
        still = {call_id for call_id, row in self.before.items() if after.get(call_id) == row}
        for call_id in still:
            row = json.loads(after[call_id])
            asked = self.everything and call_id in self.opened - self.refused
            if not asked and not self.lists(row, self.account.listed_from, DAY):
                continue
            assert nights.newest(call_id) == after[call_id]
            wants = row["recording_url"] and row["status"] not in UNENDED_STATUSES
            if wants and self.night.flags.get("recordings", True) and call_id not in nights.dead:
                assert nights.has_recording(call_id)
        if self.everything and self.account.reach == Reach.FULL:
            assert not nights.present() - after.keys() - self.before.keys() - nights.arrived - self.refused

    def names_only_what_is_gone(self) -> None:
        """No call is gone that the platform has, and no recording of which two runs were not told so."""
        gone = {each.id for each in self.account.gone if each.reason == DELETED}
        assert not gone & self.nights.rows().keys()
        assert {each.id for each in self.account.gone} - gone <= self.twice_dead

    def counts_what_it_has_not_listed(self) -> None:
        """What appears with an old date is noticed, unless as many deletions have not been noticed yet."""
        if self.ended and self.everything and self.account.reach == Reach.RECENT and self.account.exit_code == 0:
            unlisted = self.before.keys() - self.nights.lines.keys()
            unnoticed = self.nights.present() - self.before.keys() - self.nights.arrived
            assert len(unlisted) <= len(unnoticed)

    def is_content_when_nothing_went_wrong(self) -> None:
        """Where nothing moved and every request was answered well, the run is complete, but for calls never listed."""
        ids = self.nights.rows().keys()
        well = all(
            seen.status in (200, 206)
            or (seen.where == "call" and seen.status == 404 and seen.path.rpartition("/")[2] not in ids)
            for seen in self.requests
        )
        if well and not self.night.during and self.ended and "limit" not in self.night.flags:
            doubts = [doubt for doubt in self.account.windows_unproven if "were never listed" in doubt]
            assert not self.account.failures
            assert self.account.windows_unproven == doubts
            assert not doubts or self.before.keys() - self.nights.lines.keys()

    def goes_on_from_what_is_proven(self) -> None:
        """The proven day goes back only with a doubt; a run lists from the day behind it at the latest; and it is true."""
        nights, account, flags = self.nights, self.account, self.night.flags
        before, through = nights.proven.get(flags.get("type")), account.proven_through
        nights.proven[flags.get("type")] = through
        if before and not any("were never listed" in doubt for doubt in account.windows_unproven):
            assert through
            assert through >= before
        if "from" not in flags and account.listed_from:
            assert before
            assert account.listed_from <= before + DAY
        if through:
            for call_id in (self.before.keys() & nights.rows().keys()) - nights.backdated - nights.lines.keys():
                row = json.loads(self.before[call_id])
                day = dt.date.fromisoformat(row["created_at"][:10])
                assert day >= through or row["type"] != flags.get("type", row["type"])


def dead_in(requests: list[Seen]) -> set[str]:
    """The calls of whose recordings a server has said that there are none."""
    return {
        seen.path.rpartition("/")[2].partition(".")[0].rpartition("_")[2]
        for seen in requests
        if seen.where == "recording" and seen.status == 404
    }


@asynccontextmanager
async def living(world: World) -> AsyncIterator[Nights]:
    """Serve a world, and give an empty archive beside it."""
    now = dt.datetime.now(dt.UTC)
    book = CallBook(count=world.calls, first_at=now - SPAN_DAYS * DAY, most_seconds=6, seed=world.seed)
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        failing = Fault(where="recording", kind="status", code=500, times=world.failing)
        async with serve(book, options=world.options, faults=[failing]) as platform:
            yield Nights(platform, Path(folder))


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(world=WORLDS, nights=NIGHTS)
async def test_present_throughout_implies_archived_or_unproven(world: World, nights: list[Night]) -> None:
    """The law of many runs: what a run leaves out it says, and once all is mended nothing stays out."""
    async with living(world) as life:
        for night in nights:
            await life.pass_by(night)
        assert life.harvests.verify().findings == []
        hidden = life.present() - life.rows().keys()
        plain: dict[str, Any] = {"per_page": 20}
        await life.pass_by(Night([Move("mended"), Move("appears", 1)], plain, []))
        await life.pass_by(Night([], plain, []))
        assert hidden or not life.rows().keys() - life.lines.keys()
        full = await life.pass_by(Night([], {**plain, "full": True}, []))
        assert full
        assert full.exit_code == 0
        assert life.present() == life.rows().keys()
        files = life.files
        last = await life.pass_by(Night([], plain, []))
        assert last
        assert (last.exit_code, last.reach, last.gone, life.files) == (0, Reach.RECENT, [], files)
        assert life.harvests.verify().findings == []


def call_of(platform: Platform, days_ago: int, time: str = "12:00:00") -> int:
    """A call with a recording that bears an old date."""
    day = dt.datetime.now(dt.UTC).date() - days_ago * DAY
    return platform.book.insert({"created_at": f"{day} {time}"})


def fails(platform: Platform, call_id: int, code: int) -> None:
    """Let the recording of a call fail once."""
    platform.faults.add(Fault(where="recording", kind="status", code=code, match=call_id, times=1))


def events_of(harvests: Harvests, call_id: int) -> list[str]:
    """The events of a call, in the order of the ledger."""
    return [line["event"] for line in harvests.lines() if line.get("id") == str(call_id)]


async def test_a_call_that_was_asked_for_is_not_settled_again_when_its_day_is_listed(
    platform: Platform, harvests: Harvests
) -> None:
    """Its day is listed because a neighbour was deleted; it is fetched once, counted once, and stops no run."""
    deleted, there = call_of(platform, 40), call_of(platform, 40)
    fails(platform, deleted, 500)
    fails(platform, there, 500)
    await harvests.run(attempts=1)
    platform.book.delete(deleted)
    account = await harvests.run(attempts=1)
    assert (account.error, account.exit_code, [gone.id for gone in account.gone]) == (None, 0, [str(deleted)])
    assert events_of(harvests, there) == ["failed", "saved"]
    assert account.revisited == 2


async def test_calls_that_arrive_during_a_run_hide_none_that_was_never_listed(
    platform: Platform, harvests: Harvests
) -> None:
    """A busy account has new calls in every run; they do not make up for the one with an old date."""
    await harvests.run()
    call_of(platform, 40)
    asked = platform.count("list")

    def arrive(*_: object) -> None:
        if platform.count("list") - asked in (2, 3):
            platform.book.insert()

    platform.on_request = arrive
    account = await harvests.run(per_page=3)
    assert account.exit_code == 3
    assert "were never listed" in account.windows_unproven[-1]
    assert (await harvests.run()).reach == Reach.FULL


async def test_a_recording_is_gone_only_when_two_runs_were_told_so(platform: Platform, harvests: Harvests) -> None:
    """Another failure on the night before is no first word of it: the dead link must fail its call, so that somebody is told."""
    call_id = call_of(platform, 1)
    fails(platform, call_id, 500)
    fails(platform, call_id, 404)
    accounts = [await harvests.run(attempts=1) for _ in range(3)]
    assert [account.exit_code for account in accounts] == [3, 3, 0]
    assert events_of(harvests, call_id) == ["failed", "failed", "saved"]


async def test_a_platform_that_gives_no_call_by_its_id_makes_none_gone() -> None:
    """Its days may end east of ours, and before `date_to`: the listing that is asked as witness reaches over them."""
    async with living(World(40, Options(date_to_inclusive=False, day_zone_hours=13))) as life:
        call_id = call_of(life.platform, 40, "20:00:00")
        fails(life.platform, call_id, 500)
        life.platform.faults.add(Fault(where="call", kind="status", code=404))
        await life.harvests.run(attempts=1)
        account = await life.harvests.run(attempts=1)
        assert account.gone == []
        assert events_of(life.harvests, call_id) == ["failed", "saved"]


async def test_the_last_day_asked_for_is_listed_even_where_the_platform_leaves_it_out() -> None:
    """`--to` names the last day to list, whatever `date_to` means to the platform."""
    async with living(World(40, Options(date_to_inclusive=False))) as life:
        call_id = call_of(life.platform, 40)
        account = await life.harvests.run(**{"from": "41d", "to": "40d"})
        assert account.exit_code == 0
        assert events_of(life.harvests, call_id) == ["saved"]
