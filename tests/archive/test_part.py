"""A recording on its way in: the same bytes and the same digest, in memory or on the disk, and no leftovers."""

import hashlib
import random
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from harvester.archive.part import HEAD_BYTES, Part
from harvester.archive.pieces import SPOOL_BYTES
from harvester.errors import StorageError

SIZES = [0, 1, SPOOL_BYTES - 1, SPOOL_BYTES, SPOOL_BYTES + 1, 2 * SPOOL_BYTES + 7]
CHUNK_BYTES = 100_000


@pytest.fixture
def part(tmp_path: Path) -> Part:
    """Begin a recording."""
    return Part(tmp_path / "1.part")


def sound(size_bytes: int) -> bytes:
    """Bytes of which no two blocks are alike."""
    return random.Random(size_bytes).randbytes(size_bytes)


async def fill(part: Part, data: bytes) -> None:
    """Hand over the bytes in chunks."""
    for start in range(0, len(data), CHUNK_BYTES):
        await part.write(data[start : start + CHUNK_BYTES])


@contextmanager
def largest_file(size_bytes: int) -> Iterator[None]:
    """Let the system refuse to let any file grow beyond so many bytes, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size_bytes", SIZES)
async def test_what_is_staged_is_what_came(part: Part, size_bytes: int) -> None:
    """Below, at and above what stays in memory: file, digest, size and head are those of the bytes that came."""
    data = sound(size_bytes)
    await fill(part, data)
    assert (part.head, part.size_bytes) == (data[:HEAD_BYTES], size_bytes)
    assert part.stage() == (hashlib.sha256(data).hexdigest(), size_bytes, True)
    assert part.path.read_bytes() == data


@pytest.mark.parametrize("size_bytes", SIZES)
async def test_a_part_can_be_examined_before_its_end(part: Part, size_bytes: int) -> None:
    """Reading and hashing what came does not end it: more may follow."""
    data = sound(size_bytes)
    await fill(part, data)
    with part.reader() as file:
        assert file.read() == data
    assert part.digest() == hashlib.sha256(data).digest()
    await fill(part, b"more")
    assert part.stage()[0] == hashlib.sha256(data + b"more").hexdigest()


@pytest.mark.parametrize("before_bytes", SIZES)
@pytest.mark.parametrize("after_bytes", [3, 2 * SPOOL_BYTES])
async def test_a_restart_forgets_the_attempt_before(part: Part, before_bytes: int, after_bytes: int) -> None:
    """Of several attempts only the last one counts."""
    await fill(part, sound(before_bytes))
    await part.restart()
    data = b"B" * after_bytes
    await fill(part, data)
    assert (part.head, part.stage()) == (data[:HEAD_BYTES], (hashlib.sha256(data).hexdigest(), after_bytes, True))


@pytest.mark.parametrize("size_bytes", SIZES)
async def test_what_is_discarded_leaves_nothing(part: Part, size_bytes: int) -> None:
    """A part that is given up leaves no file, and may be given up twice."""
    await fill(part, sound(size_bytes))
    part.discard()
    part.discard()
    assert not list(part.path.parent.iterdir())


async def test_a_small_recording_is_no_file_until_it_is_staged(part: Part) -> None:
    """Small recordings are written once, together with the other files of their call."""
    await fill(part, sound(SPOOL_BYTES - 1))
    assert not part.path.exists()


async def test_memory_stays_flat(part: Part) -> None:
    """However large a recording is, all but the last block is on the disk."""
    for _ in range(5):
        await part.write(bytes(SPOOL_BYTES))
    assert part.path.stat().st_size == 5 * SPOOL_BYTES
    part.discard()


async def test_a_cancelled_write_is_finished(part: Part) -> None:
    """A thread that is writing cannot be stopped, so its file is not closed under it: the block is there, whole."""
    with anyio.CancelScope() as scope:
        scope.cancel()
        await part.write(sound(SPOOL_BYTES))
    assert part.digest() == hashlib.sha256(sound(SPOOL_BYTES)).digest()
    assert part.path.stat().st_size == SPOOL_BYTES
    part.discard()


async def test_a_full_disk_while_it_comes_in(part: Part) -> None:
    """What the disk refuses is a StorageError, and the part can still be discarded."""
    with largest_file(SPOOL_BYTES + 1000), pytest.raises(StorageError, match="too large"):
        await fill(part, sound(3 * SPOOL_BYTES))
    part.discard()
    assert not part.path.exists()


@pytest.mark.parametrize("size_bytes", [SPOOL_BYTES - 1, SPOOL_BYTES + 500_000])
async def test_a_full_disk_at_the_end(part: Part, size_bytes: int) -> None:
    """The last block is refused: a StorageError, and no file stays open."""
    await fill(part, sound(size_bytes))
    with largest_file(size_bytes - 1000), pytest.raises(StorageError, match="too large"):
        part.stage()


async def test_a_part_is_never_written_into_a_file_that_lies_there(part: Part) -> None:
    """A part's file is new, always."""
    part.path.write_bytes(b"another's")
    with pytest.raises(StorageError):
        await fill(part, sound(SPOOL_BYTES))
    assert part.path.read_bytes() == b"another's"


def test_a_part_that_another_process_has_filled_is_staged_as_it_lies_there(part: Part) -> None:
    """Nothing of it is written or hashed anew, and its group makes it durable."""
    Path(part.place).write_bytes(sound(1000))
    part.bring("a1" * 32, 1000)
    assert (part.size_bytes, part.unwritten_bytes) == (1000, 0)
    assert part.stage(durably=False) == ("a1" * 32, 1000, False)
    assert Path(part.place).read_bytes() == sound(1000)


def test_a_part_that_another_process_has_filled_always_waits_for_the_sync_of_its_group(part: Part) -> None:
    """Also where each file has its own fsync by now: by who has not written it that may tell nothing of what failed."""
    part.bring("a1" * 32, 1000)
    assert part.stage(durably=True) == ("a1" * 32, 1000, False)
