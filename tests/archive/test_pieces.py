"""Pieces that are written together lie behind one another in the file, whatever the system takes of them at a time."""

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester.archive import pieces as ours
from harvester.archive.part import PIECE_BYTES, Part
from harvester.archive.pieces import write_all


@pytest.mark.parametrize("count", [0, 1, 2, ours.AT_ONCE, ours.AT_ONCE + 1, 3 * ours.AT_ONCE])
def test_all_pieces_are_written_in_order(tmp_path: Path, count: int) -> None:
    """More pieces than one call takes, empty ones among them."""
    pieces = [b"%d," % number * (number % 3) for number in range(count)]
    with (tmp_path / "file").open("wb") as file:
        write_all(file.fileno(), pieces)
    assert (tmp_path / "file").read_bytes() == b"".join(pieces)


@pytest.mark.parametrize("size", [0, 1, ours.BITE_BYTES, ours.BITE_BYTES + 1])
def test_a_single_piece_is_written_whole(tmp_path: Path, size: int) -> None:
    """Rows and transcripts are such; a large one goes like many."""
    with (tmp_path / "file").open("wb") as file:
        write_all(file.fileno(), [os.urandom(size)])
        assert file.seek(0, os.SEEK_END) == size


@pytest.mark.parametrize("most", [1, 999, 5000, 5001, 7777, 10_000])
@pytest.mark.parametrize("sizes", [[5000], [0, 5000, 5000, 0, 1, 300_000, 20], [3] * 2000])
def test_what_is_taken_in_part_is_written_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sizes: list[int], most: int
) -> None:
    """A disk that is nearly full, or a share, may take less than it was given, also within a piece."""
    pieces, write = [os.urandom(size) for size in sizes], os.write
    with (tmp_path / "file").open("wb") as file, monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda to, left: write(to, left[:most]))
        patched.setattr(os, "writev", lambda to, bite: write(to, b"".join(bite)[:most]))
        write_all(file.fileno(), pieces)
    assert (tmp_path / "file").read_bytes() == b"".join(pieces)


@pytest.mark.parametrize("sizes", [[10**6], [70_000] * 3, [1] * 2000])
def test_no_call_is_given_more_than_a_bite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sizes: list[int]) -> None:
    """Neither many bytes nor many pieces."""
    given_bytes, given_pieces, writev = [], [], os.writev

    def noting(to: int, bite: list[bytes]) -> int:
        given_bytes.append(sum(map(len, bite)))
        given_pieces.append(len(bite))
        return writev(to, bite)

    with (tmp_path / "file").open("wb") as file, monkeypatch.context() as patched:
        patched.setattr(os, "writev", noting)
        write_all(file.fileno(), [bytes(size) for size in sizes])
    assert sum(given_bytes) == sum(sizes)
    assert max(given_bytes) <= ours.BITE_BYTES
    assert max(given_pieces) <= ours.AT_ONCE


@given(
    sizes=st.lists(
        st.sampled_from([0, 1, 100, ours.BITE_BYTES - 1, ours.BITE_BYTES, 3 * ours.BITE_BYTES + 7]), max_size=8
    )
)
def test_no_call_writes_much(sizes: list[int]) -> None:
    """All but the last write the same, and nothing is left out: ext4 is many times slower where one call writes a megabyte."""
    pieces = [bytes([number]) * size for number, size in enumerate(sizes)]
    bites = [b"".join(bite) for bite in ours.bites(pieces)]
    assert b"".join(bites) == b"".join(pieces)
    assert [len(bite) for bite in bites[:-1]] == [ours.BITE_BYTES] * (len(bites) - 1)
    assert all(0 < len(bite) <= ours.BITE_BYTES for bite in bites)


def test_no_call_writes_many_pieces() -> None:
    """A server that sends byte by byte brings more than the system takes at once."""
    assert [len(bite) for bite in ours.bites([b"1"] * (2 * ours.AT_ONCE + 1))] == [ours.AT_ONCE, ours.AT_ONCE, 1]


def test_what_the_system_takes_in_part_is_written_on() -> None:
    """A pipe takes what it has room for; the rest follows, also where it ends within a piece."""
    pieces = [bytes([number]) * 7000 for number in range(60)]
    read, write = os.pipe()
    os.set_blocking(write, True)
    came = bytearray()

    def reading() -> None:
        while chunk := os.read(read, 999):
            came.extend(chunk)

    reader = threading.Thread(target=reading)
    reader.start()
    write_all(write, pieces)
    os.close(write)
    reader.join()
    os.close(read)
    assert came == b"".join(pieces)


@given(sizes=st.lists(st.one_of(st.integers(0, 50), st.integers(PIECE_BYTES - 1, PIECE_BYTES + 1)), max_size=40))
async def test_chunks_of_any_size_are_a_recording(sizes: list[int], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Small chunks are put together, large ones are kept; head, digest and file are those of all of them."""
    part = Part(tmp_path_factory.mktemp("parts") / "1.part")
    chunks = [bytes([number]) * size for number, size in enumerate(sizes)]
    for chunk in chunks:
        await part.write(chunk)
    whole = b"".join(chunks)
    assert part.head == whole[:4096]
    assert len(part._spool) <= 2 + 2 * len(whole) // PIECE_BYTES
    digest, size_bytes, _ = part.stage(durably=False)
    assert (part.path.read_bytes(), size_bytes) == (whole, len(whole))
    assert digest == part.digest().hex()
