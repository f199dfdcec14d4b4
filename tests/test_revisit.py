"""Asking for calls one by one: what each answer makes of a call. The ways are plain functions, as the course gives them."""

import datetime as dt
import itertools
from collections.abc import Callable, Iterable, Iterator

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester.errors import AuthError, HarvestError, NotGivenError, PlatformError, StorageError
from harvester.model import Call, Entry, Outcome, State
from harvester.platform.rows import read_call
from harvester.revisit import Revisit, Ways, spans

DAY = dt.timedelta(days=1)
Answer = bytes | None | HarvestError


def entry(call_id: str, place: str = "2025/08/04/x", recording: State = State.FAILED) -> Entry:
    """An entry of the archive."""
    return Entry(
        id=call_id, digest="", place=place, version=1, recording=recording, transcript=State.SAVED, reason="before"
    )


class World:
    """A platform that gives each call as `answers` say, or as a row with its id, and notes what becomes of them."""

    def __init__(
        self,
        answers: dict[str, Answer] | None = None,
        *,
        covers: Callable[[dt.date | None], bool] = lambda day: True,
        shown: Iterable[str] = (),
        proven: bool = True,
        wanted: int = 1_000,
        down: HarvestError | None = None,
    ) -> None:
        self.answers = answers or {}
        self.covers = covers
        self.shown = set(shown)
        self.proven = proven
        self.wanted = wanted
        self.down = down
        self.asked: list[str] = []
        self.emitted: list[str] = []
        self.kept: dict[str, Outcome] = {}
        self.spans: list[tuple[dt.date, dt.date]] = []
        self.in_flight = self.in_flight_most = 0

    async def ask(self, call_id: str) -> bytes | None:
        """Answer after everybody else had a turn."""
        self.asked.append(call_id)
        self.in_flight += 1
        self.in_flight_most = max(self.in_flight_most, self.in_flight)
        await anyio.lowlevel.checkpoint()
        self.in_flight -= 1
        answer = self.answers.get(call_id, b'{"id":"%b"}' % call_id.encode())
        if isinstance(answer, HarvestError):
            raise answer
        return answer

    async def emit(self, call: Call) -> bool:
        """Take a call."""
        self.emitted.append(call.id)
        return len(self.emitted) < self.wanted

    def keep(self, outcome: Outcome) -> None:
        """Note a call that stays as it is."""
        self.kept[outcome.id] = outcome

    async def check(self) -> None:
        """Say whether the platform is up."""
        if self.down:
            raise self.down

    async def list_days(self, first: dt.date, last: dt.date) -> bool:
        """Note that days were listed."""
        self.spans.append((first, last))
        return self.proven

    async def revisit(self, *entries: Entry, in_flight: int = 4) -> list[str]:
        """Ask for these; return the ids of those that are gone."""
        return await self.revisit_all(entries, in_flight=in_flight)

    async def revisit_all(self, entries: Iterable[Entry], in_flight: int = 4) -> list[str]:
        """Ask for these; return the ids of those that are gone."""
        ways = Ways(
            ask=self.ask,
            read_call=read_call,
            emit=self.emit,
            keep=self.keep,
            has_seen=self.shown.__contains__,
            covers=self.covers,
            check=self.check,
            list_days=self.list_days,
        )
        return [gone.id for gone in await Revisit(ways, in_flight=in_flight).ask_for(entries)]


async def test_a_call_that_is_given_goes_the_way_of_every_call() -> None:
    """It is emitted like a listed one, several being asked for at a time."""
    world = World()
    assert await world.revisit(*map(entry, "abcdefgh")) == []
    assert sorted(world.emitted) == list("abcdefgh")
    assert world.in_flight_most == 4


async def test_a_call_that_listing_and_asking_miss_is_gone() -> None:
    """Where the listing was whole, the 404 is the second witness; no days are listed again."""
    world = World({"b": None})
    assert await world.revisit(entry("a"), entry("b")) == ["b"]
    assert (world.emitted, world.kept, world.spans) == (["a"], {}, [])


async def test_days_that_were_not_listed_are_listed_first() -> None:
    """Neighbouring days in one go, a day more on either side; who shows up there is not gone, and is counted by the listing."""
    world = World({"a": None, "b": None, "c": None}, covers=lambda day: False, shown=["b"])
    entries = [entry("a", "2025/08/04/a"), entry("b", "2025/08/06/b"), entry("c", "2025/09/01/c")]
    assert await world.revisit(*entries) == ["a", "c"]
    assert world.spans == [
        (dt.date(2025, 8, 3), dt.date(2025, 8, 7)),
        (dt.date(2025, 8, 31), dt.date(2025, 9, 2)),
    ]
    assert world.kept == {}


@pytest.mark.parametrize("place", ["2025/08/04/a", "undated/a"])
async def test_without_proof_nothing_is_gone(place: str) -> None:
    """Days that cannot be proven whole, or a call of which nobody knows the day: it stays as it is, with the reason."""
    world = World({"a": None}, covers=lambda day: False, proven=False)
    assert await world.revisit(entry("a", place)) == []
    assert world.kept["a"].recording is State.FAILED
    assert "a full run finds out" in str(world.kept["a"].reason)
    assert bool(world.spans) == (place != "undated/a")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (NotGivenError("the platform does not give it"), "the platform does not give it"),
        (PlatformError("down"), "it could not be asked for: down"),
        (b'{"id":"other"}', "the platform answered with another call ('other')"),
        (b"<html>", "the platform answered with another call"),
    ],
)
async def test_an_answer_that_says_nothing_leaves_a_call_as_it_is(answer: Answer, words: str) -> None:
    """Withheld, failing, or something else: no proof of anything, and the others are asked for all the same."""
    world = World({"a": answer})
    assert await world.revisit(entry("a"), entry("b")) == []
    assert (world.emitted, list(world.kept)) == (["b"], ["a"])
    assert words in str(world.kept["a"].reason)


@pytest.mark.parametrize(
    ("held", "told"),
    [(State.SAVED, State.UNCHANGED), (State.PENDING, State.PENDING), (State.FAILED, State.FAILED)],
)
async def test_a_call_that_stays_is_counted_as_it_stands(held: State, told: State) -> None:
    """A recording that the archive holds is unchanged; what failed before has failed still."""
    world = World({"a": NotGivenError("no")})
    await world.revisit(entry("a", recording=held))
    assert (world.kept["a"].recording, world.kept["a"].known) == (told, True)


async def test_a_platform_that_is_down_is_not_asked_for_everything() -> None:
    """Three failures in a row end it; one that answers in between begins the count anew."""
    down = PlatformError("down")
    world = World(dict.fromkeys("abdefg", down), down=down)
    with pytest.raises(PlatformError, match="down"):
        await world.revisit(*map(entry, "abcdefg"), in_flight=1)
    assert "".join(world.asked) == "abcdef"


async def test_a_platform_that_gives_no_calls_by_their_ids_ends_nothing() -> None:
    """It lists, and fails for three calls in a row: the open ones stay as they are, the settled ones are let be."""
    world = World(dict.fromkeys("abcdefg", PlatformError("500")))
    settled = entry("h", recording=State.SAVED)
    assert await world.revisit(*map(entry, "abcdefg"), settled, in_flight=1) == []
    assert "".join(world.asked) == "abc"
    assert "".join(world.kept) == "abcdefg"
    assert "gives none by its id (500)" in str(world.kept["g"].reason)


async def test_what_is_asked_for_may_fail_itself() -> None:
    """An error from whoever names the calls, such as a checkpoint that cannot be read, is raised as itself."""

    def broken() -> Iterator[Entry]:
        yield entry("a")
        raise StorageError("no disk")

    world = World()
    with pytest.raises(StorageError, match="no disk"):
        await world.revisit_all(broken())


async def test_an_id_that_was_made_here_is_not_asked_for() -> None:
    """The platform cannot know it: an unreadable row stays failed."""
    world = World()
    assert await world.revisit(entry("without-id-0123456789abcdef")) == []
    assert (world.asked, len(world.kept)) == ([], 1)


async def test_a_refused_key_ends_it_as_itself() -> None:
    """What no call can be asked without is raised as what it is, not wrapped."""
    with pytest.raises(AuthError, match="refused"):
        await World({"b": AuthError("refused")}).revisit(*map(entry, "abcdefgh"))


async def test_nobody_is_asked_for_once_no_more_are_wanted() -> None:
    """A run that stops asks for nothing more, and settles nothing as gone."""
    world = World({"a": None}, wanted=2)
    assert await world.revisit(*map(entry, "abcdefgh"), in_flight=1) == []
    assert "".join(world.asked) == "abc"


@given(st.sets(st.dates(dt.date(2020, 1, 1), dt.date(2020, 3, 1)), max_size=20))
def test_spans_hold_every_day_with_a_margin_and_do_not_overlap(days: set[dt.date]) -> None:
    """Each day lies inside one span, and not at its edge, which may be half a day in the platform's zone."""
    found = list(spans(days))
    for day in days:
        assert sum(first < day < last for first, last in found) == 1
    for (_, last), (first, _) in itertools.pairwise(found):
        assert last < first + 2 * DAY
