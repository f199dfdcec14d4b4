"""The ledger: a chain of lines across all runs, that shows every line altered, dropped or added."""

import contextlib
import hashlib
import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvester.archive import ledger
from harvester.archive.layout import LEDGER, run_key
from harvester.archive.ledger import GENESIS, Event, Ledger, Line, Position
from harvester.archive.torn import mend_ledger, torn_bytes
from harvester.errors import LedgerError, StorageError

FIRST, SECOND, THIRD = "20261123T020001Z-00000001", "20261124T020001Z-00000002", "20261125T020001Z-00000003"
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    max_leaves=5,
)


def add_run(archive: Path, run_id: str, events: Sequence[Event], after: Position | None = None) -> Position:
    """Write the ledger of one run, and return the end of the chain."""
    (archive / run_key(run_id, LEDGER)).parent.mkdir(parents=True)
    written = Ledger(archive / run_key(run_id, LEDGER), after or Position())
    written.append(list(events))
    written.close()
    return written.position


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Write three runs of one, two and three lines."""
    after = Position()
    for count, run_id in enumerate((FIRST, SECOND, THIRD), start=1):
        after = add_run(tmp_path, run_id, [{"event": "pending", "id": f"{count}.{n}"} for n in range(count)], after)
    return tmp_path


def lines(archive: Path, after: Position | None = None) -> list[Line]:
    """Read every line behind a point."""
    return [line for line, _ in ledger.read_from(archive, after or Position())]


def test_lines_bear_the_instant_at_which_they_were_written(tmp_path: Path) -> None:
    """One for those that are written together, and a later one for those that follow."""
    before = ledger.now_text()
    add_run(tmp_path, FIRST, [{"event": "pending"}, {"event": "pending"}])
    between = ledger.now_text()
    add_run(tmp_path, SECOND, [{"event": "pending"}])
    first, second, third = [
        json.loads(raw)["at"] for run_id in (FIRST, SECOND) for raw in ledger_bytes(tmp_path, run_id).splitlines()
    ]
    assert before <= first == second <= between <= third <= ledger.now_text()


def test_the_chain_goes_on_across_runs(archive: Path) -> None:
    """`seq` counts from 1 across runs; `prev` is the hash of the line before with its newline, 64 zeros at first."""
    raws = [raw for run_id in (FIRST, SECOND, THIRD) for raw in ledger_bytes(archive, run_id).splitlines(keepends=True)]
    hashes = [hashlib.sha256(raw).hexdigest() for raw in raws]
    assert [json.loads(raw)["seq"] for raw in raws] == [1, 2, 3, 4, 5, 6]
    assert [json.loads(raw)["prev"] for raw in raws] == ["0" * 64, *hashes[:-1]]
    assert [line.id for line in lines(archive)] == ["1.0", "2.0", "2.1", "3.0", "3.1", "3.2"]


def ledger_bytes(archive: Path, run_id: str) -> bytes:
    """The bytes of one run's ledger."""
    return (archive / run_key(run_id, LEDGER)).read_bytes()


def test_reading_goes_on_from_any_point(archive: Path) -> None:
    """From each position the lines behind it come, no other ones."""
    every = list(ledger.read_from(archive, Position()))
    for number, (_, position) in enumerate(every, start=1):
        assert lines(archive, position) == [line for line, _ in every[number:]]


def test_the_order_is_that_of_the_chain_not_of_the_names(archive: Path) -> None:
    """A clock that was set back gives an earlier name to a later run: the chain is read in its own order."""
    *_, (_, end) = ledger.read_from(archive, Position())
    add_run(archive, "20200101T000000Z-00000004", [{"event": "note"}], end)
    assert ledger.run_ids(archive) == [FIRST, SECOND, THIRD, "20200101T000000Z-00000004"]
    assert [line.seq for line in lines(archive)] == [1, 2, 3, 4, 5, 6, 7]


def shell_lines(heading: str) -> str:
    """The first shell commands behind a sentence of docs/archive-format.md."""
    page = (Path(__file__).parents[2] / "docs" / "archive-format.md").read_text()
    found = re.search(re.escape(heading) + r".*?```sh\n(.*?)```", page, re.DOTALL)
    assert found
    return found[1]


@pytest.mark.parametrize("damage", [None, "altered", "dropped", "swapped"])
def test_a_shell_can_check_the_chain(archive: Path, damage: str | None) -> None:
    """The few lines of shell in the documentation find the chain unbroken, and every damaged one broken."""
    path = archive / run_key(THIRD, LEDGER)
    one, two, three = path.read_bytes().splitlines(keepends=True)
    kept = {"altered": [one, two.replace(b"3.1", b"3.9"), three], "dropped": [one, three], "swapped": [two, one, three]}
    path.write_bytes(b"".join(kept.get(damage or "", [one, two, three])))
    checked = subprocess.run(
        ["bash", "-c", shell_lines("The ledger's chain:")], cwd=archive, capture_output=True, text=True, check=False
    )
    assert (checked.stdout.strip() == "unbroken") is (damage is None), checked
    assert (checked.returncode == 0) is (damage is None)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text(max_size=5).map(lambda key: f"x{key}"), JSON, max_size=3))
def test_any_event_round_trips(event: Event) -> None:
    """Whatever an event holds comes back equal, as one line of ASCII only."""
    raw = ledger.encode({"seq": 1, "prev": GENESIS, "at": "", "event": "note", **event})
    assert raw.isascii()
    assert raw.splitlines() == [raw.removesuffix(b"\n")]
    assert ledger.decode_line(raw).event == "note"
    assert {key: json.loads(raw)[key] for key in event} == event


def test_lines_written_together_are_read_one_by_one(tmp_path: Path) -> None:
    """A group of events becomes a line each, of one instant, with line breaks and other scripts inside of them."""
    events: list[Event] = [{"event": "note", "reason": text} for text in ("a\nb", "\u2028", "Grüße", "", "\r\n")]
    add_run(tmp_path, FIRST, events)
    assert ledger_bytes(tmp_path, FIRST).isascii()
    assert [line.reason for line in lines(tmp_path)] == [event["reason"] for event in events]
    assert len({line.at for line in lines(tmp_path)}) == 1


@settings(max_examples=100, deadline=None)
@given(
    st.one_of(
        st.binary(),
        JSON.map(lambda value: json.dumps(value).encode()),
        st.fixed_dictionaries(
            {"seq": JSON, "prev": JSON, "event": JSON, "at": JSON},
            optional={"id": JSON, "recording": JSON, "transcript": JSON, "files": JSON, "version": JSON},
        ).map(lambda value: json.dumps(value).encode()),
        st.integers(1, 5000).map(lambda depth: b"[" * depth),
    )
)
def test_any_bytes_as_a_line_are_a_line_or_a_ledger_error(raw: bytes) -> None:
    """A line that cannot be read is a LedgerError, never another one."""
    with contextlib.suppress(LedgerError):
        assert ledger.decode_line(raw).seq is not None


def test_an_unknown_state_is_unreadable() -> None:
    """A state that is none of ours cannot be taken for one: the line is refused, not the program ended."""
    raw = (
        b'{"seq":1,"prev":"","event":"saved","at":"","id":"1","recording":{"state":"?"},"transcript":{"state":"saved"}}'
    )
    with pytest.raises(LedgerError):
        ledger.decode_line(raw)


@pytest.mark.parametrize("torn", [b'{"seq":7,"prev":"', b"\0" * 5000, b"\xff", b"x" * 3_000_000])
def test_a_torn_last_line_is_left_out_and_cut(archive: Path, torn: bytes) -> None:
    """What a crash leaves behind the last newline is no line; it is counted, cut off, and nothing else is."""
    path = archive / run_key(THIRD, LEDGER)
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    assert len(lines(archive)) == len(list(ledger.whole_lines(archive, THIRD))) + 3 == 6
    assert (torn_bytes(archive, THIRD), mend_ledger(archive, THIRD)) == (len(torn), len(torn))
    assert path.read_bytes() == whole
    assert mend_ledger(archive, THIRD) == 0


@pytest.mark.parametrize("left", [None, b"", b'{"seq":1'])
def test_a_run_without_a_whole_line_has_not_begun(archive: Path, left: bytes | None) -> None:
    """A run that was cut off in its first line is no link of the chain, and can be told from the others."""
    run_id = "20261126T020001Z-00000004"
    (archive / run_key(run_id, "parts")).mkdir(parents=True)
    if left is not None:
        (archive / run_key(run_id, LEDGER)).write_bytes(left)
    assert ledger.unbegun_ids(archive) == [run_id]
    assert ledger.run_ids(archive) == [FIRST, SECOND, THIRD]
    assert len(lines(archive)) == 6


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"2.1"', b'"2.7"'),
        (b'"seq":3', b'"seq":5'),
        (b'"prev":"', b'"prev":"0'),
        (b'"event"', b'"EVENT"'),
        (b"{", b"["),
    ],
)
def test_an_altered_line_is_found(archive: Path, old: bytes, new: bytes) -> None:
    """A line that says something else than it did, or cannot be read, ends the reading with a LedgerError."""
    path = archive / run_key(SECOND, LEDGER)
    first, second = path.read_bytes().splitlines(keepends=True)
    assert old in second
    path.write_bytes(first + second.replace(old, new, 1))
    with pytest.raises(LedgerError):
        lines(archive)


def test_a_number_that_does_not_follow_is_found(archive: Path) -> None:
    """A line whose hash fits and whose `seq` skips one is no link of the chain."""
    *_, (_, end) = ledger.read_from(archive, Position())
    add_run(archive, "20261126T020001Z-00000004", [{"event": "note"}], msgspec.structs.replace(end, seq=end.seq + 1))
    with pytest.raises(LedgerError, match="line 8 does not continue line 6"):
        lines(archive)


def test_a_lost_run_is_found(archive: Path) -> None:
    """A run whose ledger is missing breaks the chain, and a point within it cannot be read on from."""
    position = next(behind for line, behind in ledger.read_from(archive, Position()) if line.id == "2.0")
    (archive / run_key(SECOND, LEDGER)).unlink()
    with pytest.raises(LedgerError, match="lines were altered, lost or added"):
        lines(archive)
    with pytest.raises(LedgerError, match=f"{SECOND} is missing"):
        lines(archive, position)


def test_a_ledger_is_never_written_over(archive: Path) -> None:
    """A new run with the name of an old one is refused."""
    before = ledger_bytes(archive, FIRST)
    with pytest.raises(StorageError):
        Ledger(archive / run_key(FIRST, LEDGER), Position())
    assert ledger_bytes(archive, FIRST) == before


def test_an_archive_without_runs_is_an_empty_chain(tmp_path: Path) -> None:
    """Nothing was written yet: no lines, no error, and the first line will be the first of the archive."""
    assert lines(tmp_path) == []
    assert ledger.run_ids(tmp_path) == ledger.unbegun_ids(tmp_path) == []
    assert Position().prev == GENESIS == "0" * 64
