"""How long a recording's server is waited for: the reckoning on a clock that is only a number, then real servers that dawdle."""

import contextlib
import itertools
import math
import re
from collections.abc import AsyncIterator, Iterable
from typing import Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvester.demo.calls import CallBook
from harvester.demo.faults import Fault
from harvester.demo.server import Platform, serve
from harvester.errors import TransientError
from harvester.model import Transfer
from harvester.platform.api import Api
from harvester.platform.bandwidth import Bandwidth
from harvester.platform.budget import Budget, Gate
from harvester.platform.patience import MinRate, Patience
from harvester.platform.recordings import Recordings
from harvester.platform.rows import read_call
from harvester.settings import Settings
from tests.harvests import Harvests
from tests.platform.dawdling import dawdling
from tests.platform.opening import EVERYTHING, at_once, open_api
from tests.platform.visiting import Judge, Sink

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n"
OF_UNKNOWN_LENGTH = b"HTTP/1.1 200 OK\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
HALF = bytes(100_000)
SLOWLY = 45_455
"""At so many bytes a second a HALF takes 1.2 seconds: a second's worth is free."""

RATES = st.builds(MinRate, bytes_per_second=st.integers(1, 5000), over_seconds=st.floats(1, 100))
STEPS = st.lists(st.tuples(st.floats(0, 150), st.integers(1, 100_000)), max_size=40)
"""What a server does: each time silent for so many seconds, then so many bytes."""


def waited(rate: MinRate, steps: Iterable[tuple[float, int]]) -> tuple[Patience, float, int, bool]:
    """Wait for a server as long as the patience lasts; return it, the seconds waited, the bytes, and whether it lasted."""
    patience, seconds, received = Patience(rate), 0.0, 0
    for silent_seconds, size_bytes in steps:
        if silent_seconds > (left := patience.left_seconds):
            patience.spend(left, 0)
            return patience, seconds + left, received, False
        patience.spend(silent_seconds, size_bytes)
        seconds, received = seconds + silent_seconds, received + size_bytes
    return patience, seconds, received, True


def test_what_is_asked_of_a_server_if_nothing_is_set() -> None:
    """A KiB a second over a minute, for whoever opens connections and for who reads the settings."""
    default = Settings()
    assert MinRate() == MinRate(bytes_per_second=1024, over_seconds=60)
    assert MinRate() == MinRate(bytes_per_second=default.min_rate, over_seconds=default.patience_seconds)


@given(rate=RATES, steps=st.lists(st.tuples(st.floats(0, 1), st.floats(1, 10)), max_size=40))
@settings(max_examples=60, deadline=None)
def test_a_server_that_keeps_to_the_rate_is_always_waited_for(rate: MinRate, steps: list[tuple[float, float]]) -> None:
    """However it spreads its bytes: still for up to the whole time, then at least what the rate asks for that time."""
    dawdled = [(part * rate.over_seconds * 0.999, surplus) for part, surplus in steps]
    kept = [(seconds, math.ceil(seconds * rate.bytes_per_second * surplus) or 1) for seconds, surplus in dawdled]
    assert waited(rate, kept)[3]


@given(rate=RATES, steps=STEPS)
@settings(max_examples=100, deadline=None)
def test_the_size_sets_a_deadline(rate: MinRate, steps: list[tuple[float, int]]) -> None:
    """All waits for a body of n bytes add up to at most `over_seconds` + n / min_rate, whatever its server does."""
    _, seconds, received, _ = waited(rate, steps)
    assert seconds <= rate.over_seconds + received / rate.bytes_per_second + 1e-6


@given(rate=RATES, steps=STEPS)
@settings(max_examples=100, deadline=None)
def test_no_haste_buys_more_than_the_whole_patience(rate: MinRate, steps: list[tuple[float, int]]) -> None:
    """A gigabyte in a second does not excuse an hour of silence: `left_seconds` is never above `over_seconds`."""
    assert waited(rate, [*steps, (0.0, 10**9)])[0].left_seconds <= rate.over_seconds + 1e-6


@given(rate=RATES, each_seconds=st.floats(0.5, 5), share=st.floats(0, 0.9))
@settings(max_examples=60, deadline=None)
def test_a_trickle_ends_and_what_is_said_of_it_is_true(rate: MinRate, each_seconds: float, share: float) -> None:
    """A share of the rate, for ever, is waited for over_seconds / (1 - share) at most."""
    size_bytes = int(each_seconds * rate.bytes_per_second * share)
    patience, seconds, received, lasted = waited(rate, itertools.repeat((each_seconds, size_bytes)))
    assert not lasted
    assert seconds <= rate.over_seconds / (1 - share) + 1e-6
    if received:
        assert received / seconds < rate.bytes_per_second
        assert f"sent {received:,} bytes in {seconds:,.1f} s, which is less than min_rate" in patience.complaint


def test_silence_is_called_silence() -> None:
    """Where nothing came since all was well, no rate is named: `patience_seconds` is what ended it."""
    patience = waited(MinRate(), [(1.0, 10**9), (61.0, 1)])[0]
    assert patience.complaint == "sent nothing for 60 s (patience_seconds)"


def test_without_a_rate_any_trickle_will_do() -> None:
    """0 turns the rate off: a byte a minute is enough; what is silent for longer is still not waited for."""
    rate = MinRate(bytes_per_second=0, over_seconds=60.0)
    assert waited(rate, [(60.0, 1)] * 1000)[3]
    assert not waited(rate, [(60.0, 1), (61.0, 1)])[3]


class SlowDisk(Sink):
    """A sink on a disk that takes so many bytes a second."""

    def __init__(self, bytes_per_second: int | None) -> None:
        super().__init__()
        self._speed = Bandwidth(bytes_per_second)

    async def write(self, chunk: bytes) -> None:
        await super().write(chunk)
        await self._speed.spend(len(chunk))


class Visit:
    """A client that is in a hurry, and one call."""

    def __init__(self, platform: Platform, recordings: Recordings) -> None:
        self.platform = platform
        self.recordings = recordings
        self.call_id = next(i for i in platform.book.ids() if platform.book.row(i)["recording_url"])

    async def fetch(self, link: str | None = None, sink: Sink | None = None) -> Transfer:
        """Fetch the recording of the call, from another link where one is given."""
        call = read_call(self.platform.row(self.call_id))
        call = msgspec.structs.replace(call, recording_url=link or call.recording_url)
        return await self.recordings.fetch(call, sink or Sink(), Judge())


@contextlib.asynccontextmanager
async def visit(*faults: Fault, over_seconds: float = 0.2, bandwidth: int | None = None) -> AsyncIterator[Visit]:
    """Three attempts without waits, at a megabyte a second or not at all."""
    rate = MinRate(bytes_per_second=1_000_000, over_seconds=over_seconds)
    async with (
        serve(CallBook(count=30, most_seconds=20), faults=faults) as platform,
        open_api(platform) as api,
        Recordings(
            api, at_once(), workers=4, bandwidth=Bandwidth(bandwidth), min_rate=rate, allow_private_hosts=True
        ) as recordings,
    ):
        yield Visit(platform, recordings)


async def test_a_trickle_is_given_up_and_says_so() -> None:
    """A byte now and then keeps no worker: each attempt ends with the reason, and its connection is closed."""
    async with visit() as v:
        async with dawdling(HEAD, rest=b".") as server:
            with pytest.raises(TransientError) as caught:
                await v.fetch(server.link)
        said = r" sent \d+ bytes in 0\.\d s, which is less than min_rate \(1,000,000 bytes a second\)"
        assert re.fullmatch(re.escape(server.link) + said, str(caught.value))
        assert (server.connections, server.left_alone) == (3, 3)


@pytest.mark.parametrize("head", [HEAD, OF_UNKNOWN_LENGTH, CHUNKED])
async def test_a_body_that_stands_still_is_given_up(head: bytes) -> None:
    """In every framing, also after a good beginning; what came so far is not taken for the whole."""
    async with visit() as v:
        async with dawdling(head + b"a\r\n0123456789\r\n" * 1000, rest=b"") as server:
            with pytest.raises(TransientError, match=r"/1\.mp3 sent nothing for 0\.2 s \(patience_seconds\)$"):
                await v.fetch(server.link)
        assert (server.connections, server.left_alone) == (3, 3)


@pytest.mark.parametrize(
    ("head", "rest"),
    [
        (b"", b""),
        (b"HTTP/1.1 200 OK\r\nX-Slow: ", b"."),
        (b"HTTP/1.1 200 OK\r\n", b"X-Slow: .\r\n"),
        (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 200000\r\n\r\n", b"."),
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 200000\r\n\r\n", b""),
    ],
    ids=["accepts only", "endless header", "endless headers", "endless refusal", "refusal without its body"],
)
async def test_a_server_that_accepts_and_never_answers_is_given_up(head: bytes, rest: bytes) -> None:
    """The wait for an answer is limited as a whole: neither silence nor bytes of a head or refusal prolong it."""
    async with visit() as v:
        async with dawdling(head, rest=rest) as server:
            with pytest.raises(TransientError, match=r"/1\.mp3 did not answer within 0\.2 s \(patience_seconds\)$"):
                await v.fetch(server.link)
        assert (server.connections, server.left_alone) == (3, 3)


async def test_a_passing_hang_costs_one_attempt() -> None:
    """It is tried again as every other failure that may pass."""
    async with visit(Fault(where="recording", kind="hang", times=1)) as v:
        sink = Sink()
        assert (await v.fetch(sink=sink)).attempts == 2
        assert bytes(sink.data) == v.platform.book.recording(v.call_id)


async def test_a_size_that_nobody_tells_is_not_waited_for() -> None:
    """`plan` asks about ten recordings for their size; a server that hangs leaves it unknown."""
    async with visit(Fault(where="recording", kind="hang")) as v:
        link = read_call(v.platform.row(v.call_id)).recording_url
        assert await v.recordings.size_bytes(link or "") is None


async def test_a_pause_is_forgiven() -> None:
    """A body that stands still for a part of the patience, and then goes on, comes whole at the first attempt."""
    pause = (b"",) * 10
    async with visit(over_seconds=2) as v, dawdling(HEAD, HALF, *pause, HALF, rest=None) as server:
        sink = Sink()
        assert (await v.fetch(server.link, sink)).attempts == 1
        assert bytes(sink.data) == HALF * 2


@pytest.mark.parametrize(("bandwidth", "disk"), [(SLOWLY, None), (None, SLOWLY)])
async def test_what_we_hold_back_is_not_the_servers_fault(bandwidth: int | None, disk: int | None) -> None:
    """1.2 seconds go to the bandwidth limit, or to a slow disk; of the server's longer silence only the rest counts."""
    silence = (b"",) * 65
    async with (
        visit(over_seconds=1, bandwidth=bandwidth) as v,
        dawdling(OF_UNKNOWN_LENGTH + HALF, *silence, b"the end", rest=None) as server,
    ):
        sink = SlowDisk(disk)
        assert (await v.fetch(server.link, sink)).attempts == 1
        assert bytes(sink.data) == HALF + b"the end"


@contextlib.asynccontextmanager
async def hurried_api(link: str) -> AsyncIterator[Api]:
    """An API behind a dawdling server, with three attempts and the patience of the recordings above."""
    rate = MinRate(bytes_per_second=1_000_000, over_seconds=0.2)
    async with Api(link, "k1", Gate(Budget(1_000_000)), at_once(), rate) as api:
        yield api


@pytest.mark.parametrize(
    ("head", "rest", "said"),
    [
        (b"", b"", "did not answer within 0.2 s (patience_seconds)"),
        (b"HTTP/1.1 200 OK\r\nX-Slow: ", b".", "did not answer within 0.2 s (patience_seconds)"),
        (HEAD + b'{"data":[', b"", "sent 9 bytes in 0.2 s, which is less than min_rate (1,000,000 bytes a second)"),
        (HEAD, b".", "which is less than min_rate (1,000,000 bytes a second)"),
        (CHUNKED, b"1\r\n.\r\n", "which is less than min_rate (1,000,000 bytes a second)"),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 200000\r\n\r\n", b"", "sent nothing for 0.2 s (patience_seconds)"),
    ],
    ids=["accepts only", "endless header", "stands still", "trickle", "trickle of chunks", "refusal without its body"],
)
async def test_the_api_is_waited_for_no_longer_than_a_recording(head: bytes, rest: bytes, said: str) -> None:
    """A page at a byte a second, or none at all: each attempt ends with the reason, and its connection is closed."""
    async with dawdling(head, rest=rest) as server, hurried_api(server.link) as api:
        with pytest.raises(TransientError, match=re.escape(said) + "$"):
            await api.page(EVERYTHING, 1, 10)
    assert (server.connections, server.left_alone) == (3, 3)


async def test_a_page_that_comes_in_pieces_is_waited_for() -> None:
    """A pause is forgiven to the API as well."""
    pieces = b'{"data":[],', b"", b'"current_page":1,"last_page":1,"per_page":15,', b'"total":0}'
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % sum(map(len, pieces))
    async with dawdling(head, *pieces, rest=None) as server, hurried_api(server.link) as api:
        assert (await api.page(EVERYTHING, 1, 10)).total == 0
    assert server.connections == 1


@pytest.mark.parametrize("where", ["me", "list"])
async def test_a_platform_that_never_answers_ends_the_run(harvests: Harvests, where: Literal["me", "list"]) -> None:
    """`patience_seconds` holds for the API, for its first answer and for its listing: exit 5, with the reason."""
    harvests.platform.faults.add(Fault(where=where, kind="hang"))
    done = await harvests.cli("run", "--patience-seconds", "1", "--attempts", "1")
    assert done.returncode == 5
    assert b"did not answer within 1 s (patience_seconds)" in done.stderr


async def test_a_run_goes_on_past_a_server_that_hangs(harvests: Harvests) -> None:
    """The one worker is free again: the call fails with the reason, every other is saved."""
    stuck = next(i for i in harvests.platform.book.ids() if harvests.platform.book.row(i)["recording_url"])
    harvests.platform.faults.add(Fault(where="recording", kind="hang", match=stuck))
    account = await harvests.run(workers="1", attempts="1", patience_seconds="1")
    assert account.recordings["failed"] == 1
    assert account.recordings["saved"] > 40
    (reason,) = (line["reason"] for line in harvests.lines() if line["event"] == "failed")
    assert reason.endswith("did not answer within 1 s (patience_seconds)")
