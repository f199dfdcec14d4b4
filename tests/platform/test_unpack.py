"""Packed answers: what was packed comes out whole, or an error does, and memory stays bounded."""

import base64
import gzip
import hashlib
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harvester.demo.calls import CallBook
from harvester.demo.faults import Fault
from harvester.demo.server import Platform, serve
from harvester.errors import AuthError, HarvestError, PlatformError, RecordingError, TransientError
from harvester.platform.api import LARGEST_ANSWER_BYTES, Api
from harvester.platform.budget import Budget, Gate
from harvester.platform.unpack import PIECE_BYTES, unpacked
from tests.harvests import Harvests
from tests.platform.opening import EVERYTHING, at_once, open_api
from tests.platform.strange import answering, http
from tests.platform.visiting import World, world

PAGE = b'{"data":[{"id":1},{"id":2}],"current_page":1,"last_page":1,"per_page":15,"total":2}'
MIB = 1024 * 1024


def keyed_api(port: int, attempts: int = 3) -> Api:
    """An API on a port of this machine."""
    return Api(f"http://127.0.0.1:{port}/api/", "k1", Gate(Budget()), at_once(attempts))


def packed(body: bytes, encoding: str = "gzip", status: str = "200 OK") -> bytes:
    """A whole answer of HTTP with a body that is packed as it says, or not."""
    return http(body, status, f"Content-Encoding: {encoding}\r\n")


def bomb(unpacked_mib: int) -> bytes:
    """A gzip stream of zeros, about a kilobyte for each MiB of them."""
    block = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    repeated = block.compress(bytes(MIB)) + block.flush(zlib.Z_FULL_FLUSH)  # what follows such a flush stands alone
    end = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS).flush()
    size = unpacked_mib * MIB
    return (
        b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + repeated * unpacked_mib + end + b"crc!" + (size % 2**32).to_bytes(4, "little")
    )


@given(st.binary(max_size=300), st.integers(0, 9))
@example(bytes(3 * PIECE_BYTES), 0)
@settings(deadline=None)
def test_what_was_packed_comes_out(body: bytes, level: int) -> None:
    """Byte for byte, however well it was packed; an answer that is not packed stays as it is."""
    assert unpacked(gzip.compress(body, level), "gzip", len(body), "W") == body
    assert unpacked(gzip.compress(body, level), " X-GZIP ", len(body), "W") == body
    for encoding in ("", "identity", "Identity"):
        assert unpacked(body, encoding, 0, "W") == body


@given(st.binary(max_size=300), st.data())
@settings(deadline=None)
def test_a_stream_that_was_cut_anywhere_is_none(body: bytes, data: st.DataObject) -> None:
    """Not the last byte of its checksum may be missing; nor may anything follow it."""
    whole = gzip.compress(body)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with pytest.raises(TransientError, match=r"^W: the answer was cut short, inside of its gzip stream$"):
        unpacked(cut, "gzip", LARGEST_ANSWER_BYTES, "W")
    with pytest.raises(TransientError, match=r"^W: the answer is damaged \(gzip: something follows its end\)$"):
        unpacked(whole + b"\0", "gzip", LARGEST_ANSWER_BYTES, "W")


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda noise: b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + noise))
@settings(deadline=None)
def test_noise_is_one_of_our_errors(noise: bytes) -> None:
    """Whatever bytes come as gzip: nothing but a PlatformError."""
    with pytest.raises(PlatformError):
        unpacked(noise, "gzip", LARGEST_ANSWER_BYTES, "W")


def test_a_changed_bit_is_noticed() -> None:
    """The checksum behind the data counts."""
    whole = bytearray(gzip.compress(PAGE))
    whole[-8] ^= 1
    with pytest.raises(TransientError, match="damaged"):
        unpacked(bytes(whole), "gzip", LARGEST_ANSWER_BYTES, "W")


@pytest.mark.parametrize("size_bytes", [PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, MIB])
def test_the_largest_size_itself_is_permitted(size_bytes: int) -> None:
    """One byte more is not, wherever the slices end."""
    whole = gzip.compress(bytes(size_bytes))
    assert len(unpacked(whole, "gzip", size_bytes, "W")) == size_bytes
    with pytest.raises(PlatformError, match=f"^W answered more than {size_bytes - 1:,} bytes$"):
        unpacked(whole, "gzip", size_bytes - 1, "W")


async def test_a_page_that_unpacks_to_gigabytes_takes_little_memory() -> None:
    """4 GiB in 4 MiB: it is refused at 32 MiB, at once, and never held."""
    async with answering(packed(bomb(4096))) as (port, heads), keyed_api(port) as api:
        tracemalloc.start()
        try:
            with pytest.raises(PlatformError, match=r"/user/calls answered more than 33,554,432 bytes$"):
                await api.page(EVERYTHING, 1, 10)
            most_bytes = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert len(heads) == 1
    assert most_bytes < 3 * LARGEST_ANSWER_BYTES


@pytest.mark.parametrize("cut", [0, 10, -9, -8, -1], ids=["empty", "header", "data", "checksum", "last byte"])
async def test_a_page_whose_gzip_stream_was_cut_is_tried_again(cut: int) -> None:
    """HTTP's own length was right, so that nothing but the stream itself shows it; aiohttp would take it for whole."""
    async with answering(packed(gzip.compress(PAGE)[:cut])) as (port, heads), keyed_api(port) as api:
        with pytest.raises(TransientError, match="inside of its gzip stream"):
            await api.page(EVERYTHING, 1, 10)
        assert len(heads) == 3
    async with answering(packed(gzip.compress(PAGE))) as (port, _), keyed_api(port) as api:
        assert (await api.page(EVERYTHING, 1, 10)).rows == (b'{"id":1}', b'{"id":2}')


@pytest.mark.parametrize(
    ("encoding", "pack"), [("deflate", zlib.compress), ("br", bytes), ("zstd", bytes), ("gzip, gzip", gzip.compress)]
)
async def test_what_was_not_asked_for_is_not_unpacked(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    """Gzip alone is: each further way to unpack is one more that can be led astray."""
    async with answering(packed(pack(PAGE), encoding)) as (port, heads), keyed_api(port) as api:
        with pytest.raises(PlatformError, match=rf"answered encoded \('{encoding}'\), which was not asked for$"):
            await api.page(EVERYTHING, 1, 10)
        assert len(heads) == 1


@pytest.mark.parametrize(
    ("status", "kind"), [("401 No", AuthError), ("500 No", TransientError), ("404 No", PlatformError)]
)
@pytest.mark.parametrize(
    "body", [b"", b"noise", gzip.compress(PAGE)[:-1], bomb(64)], ids=["empty", "noise", "cut", "bomb"]
)
async def test_a_refusal_that_cannot_be_unpacked_is_still_a_refusal(
    status: str, kind: type[HarvestError], body: bytes
) -> None:
    """What its status says counts, not what its body may hold."""
    async with answering(packed(body, status=status)) as (port, _), keyed_api(port, attempts=1) as api:
        with pytest.raises(kind, match=rf"(answered {status[:3]}|\({status[:3]})") as caught:
            await api.page(EVERYTHING, 1, 10)
        assert type(caught.value) is kind


async def test_a_refusals_packed_words_are_quoted() -> None:
    """Error pages may be packed, too."""
    body = gzip.compress(b'{"message":"Unauthenticated."}')
    async with answering(packed(body, status="401 No")) as (port, _), keyed_api(port) as api:
        with pytest.raises(AuthError, match=r"\(401: Unauthenticated\.\)"):
            await api.account()


async def test_a_page_cut_midway_is_tried_again_and_read() -> None:
    """A passing cut on a platform that packs costs one request."""
    fault = Fault(
        where="list", kind="altered", times=1, headers={"Content-Encoding": "gzip"}, body=gzip.compress(PAGE)[:-1]
    )
    async with serve(CallBook(count=30), faults=[fault]) as platform, open_api(platform) as api:
        assert (await api.page(EVERYTHING, 1, 10)).total == 30
        assert platform.count("list") == 2


def recording_sent(w: World, body: bytes, **headers: str) -> Fault:
    """A recordings server that packs, whatever it is asked for."""
    return Fault(
        where="recording", kind="altered", match=w.call_id, body=body, headers={"Content-Encoding": "gzip", **headers}
    )


async def test_a_recording_that_comes_packed_is_unpacked() -> None:
    """Some stores send what was packed when it was put there, though `identity` is asked for: what was packed is kept."""
    async with world() as w:
        w.platform.faults.add(recording_sent(w, gzip.compress(w.platform.book.recording(w.call_id))))
        transfer = await w.fetch()
        assert w.whole
        assert (transfer.headers["content-encoding"], transfer.framing, transfer.attempts) == (
            "gzip",
            "content-length",
            1,
        )


@pytest.mark.parametrize("cut", [0, 10, -9, -1])
async def test_a_packed_recording_that_was_cut_is_fetched_again(cut: int) -> None:
    """HTTP's own length was right: the stream itself shows it, and a part is never taken for the whole."""
    async with world() as w:
        w.platform.faults.add(recording_sent(w, gzip.compress(w.platform.book.recording(w.call_id))[:cut]))
        with pytest.raises(TransientError, match="inside of its gzip stream"):
            await w.fetch()
        assert w.platform.count("recording") == 3


async def test_a_recording_that_unpacks_to_gigabytes_takes_little_memory() -> None:
    """It comes out in pieces, and ends where `max_file_size` does."""
    async with world(max_file_bytes=8 * MIB) as w:
        w.platform.faults.add(recording_sent(w, bomb(4096)))
        tracemalloc.start()
        try:
            with pytest.raises(RecordingError, match="larger than max_file_size"):
                await w.fetch()
            most_bytes = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert w.sink.size_bytes <= 8 * MIB + PIECE_BYTES
        assert most_bytes < 40 * MIB  # the answer itself, 4 MiB, is made in this process, too


async def test_a_digest_of_the_packed_bytes_says_nothing_of_the_recording(
    platform: Platform, harvests: Harvests
) -> None:
    """It is of what is not kept: neither a proof nor a contradiction; the length and the stream's own checksum hold."""
    call_id = next(i for i in platform.book.ids() if platform.book.row(i)["recording_url"])
    body = gzip.compress(platform.book.recording(call_id))
    md5 = hashlib.md5(body, usedforsecurity=False)
    headers = {
        "Content-Encoding": "gzip",
        "Content-MD5": base64.b64encode(md5.digest()).decode(),
        "ETag": f'"{md5.hexdigest()}"',
    }
    platform.faults.add(Fault(where="recording", kind="altered", match=call_id, body=body, headers=headers))
    assert (await harvests.run()).exit_code == 0
    (line,) = (each for each in harvests.lines() if each.get("id") == str(call_id))
    assert line["recording"]["proof"] == "content-length"
    assert line["recording"]["headers"]["content-encoding"] == "gzip"
    (path,) = (path for path in harvests.archive.rglob(f"{call_id}.*") if path.suffix not in (".json", ".txt"))
    assert path.read_bytes() == platform.book.recording(call_id)
