"""The account of a run: sums, verdict, exit code, and how it is shown."""

import json

import pytest

from harvester.errors import AuthError, HarvestError, LedgerError, PlatformError, StorageError
from harvester.model import Outcome, Query, State, Window, WindowResult
from harvester.report import SHOWN, Account, Traffic, lines_of
from harvester.wording import duration_text, size_text


def account(*states: State, listed: int | None = None, reason: str | None = None, dry_run: bool = False) -> Account:
    """Return the account of a run in which calls ended so, each with 1,000 bytes; all of them listed unless told."""
    found = Account(run="r1", archive="/calls", started_at="2026-11-23T02:00:01Z", dry_run=dry_run)
    found.listed = len(states) if listed is None else listed
    for number, state in enumerate(states):
        why = reason or "the link is dead" if state is State.FAILED else None
        found.count(Outcome(id=str(number), recording=state, transcript=State.SAVED, bytes=1000, reason=why))
    return found


def window(reason: str | None, total: int = 5) -> WindowResult:
    """Return how the walk of a window ended that grew by one call; None is proven whole."""
    return WindowResult(
        window=Window(query=Query()),
        total_at_start=total,
        total_at_end=total + 1,
        distinct_ids=total,
        walks=1,
        reason=reason,
    )


def concluded(found: Account, *, signal: int | None = None, error: HarvestError | None = None) -> Account:
    """Conclude an account after 125 seconds."""
    found.conclude(seconds=125.0004, finished_at="2026-11-23T02:02:06Z", signal=signal, error=error)
    return found


def test_the_outcomes_are_summed_up() -> None:
    """Each call counts once for its recording and once for its transcript; bytes and windows add up."""
    found = account(*State, State.SAVED)
    found.add_window(window(None))
    found.add_window(window("two walks did not agree", total=7))
    assert found.recordings == {**dict.fromkeys(State, 1), State.SAVED: 2}
    assert found.transcripts == {State.SAVED: 7}
    assert found.written_bytes == 7000
    assert (found.windows_proven, found.windows_unproven) == (1, ["two walks did not agree"])
    assert [(failure.id, failure.reason) for failure in found.failures] == [("4", "the link is dead")]


@pytest.mark.parametrize("state", [state for state in State if state is not State.FAILED])
def test_a_run_in_which_no_call_failed_is_complete(state: State) -> None:
    """Saved, unchanged, absent, pending and gone are ends that a complete run may have."""
    found = concluded(account(state))
    assert (found.verdict, found.exit_code, found.error) == ("complete", 0, None)


def test_a_run_without_calls_is_complete() -> None:
    """An empty account is archived when nothing is."""
    assert concluded(account()).exit_code == 0


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (account(State.SAVED, State.FAILED), "incomplete: 1 failed, and the next run tries them again"),
        (account(State.SAVED, listed=2), "incomplete: the outcomes do not add up to what was listed"),
        (account(State.SAVED, State.SAVED, listed=1), "incomplete: the outcomes do not add up to what was listed"),
    ],
)
def test_a_run_that_does_not_add_up_is_incomplete(found: Account, said: str) -> None:
    """A failed call, a call without an outcome, or an outcome without a call: exit code 3, and the reason."""
    concluded(found)
    assert (found.verdict, found.exit_code) == ("incomplete", 3)
    assert lines_of(found)[-1] == said


def test_an_unproven_window_makes_a_run_incomplete() -> None:
    """Calls may be missing that nobody saw: exit code 3, and the window's reason on the screen."""
    found = account(State.SAVED)
    found.add_window(window("the total kept changing"))
    assert (concluded(found).verdict, found.exit_code) == ("incomplete", 3)
    assert "not proven whole: the total kept changing" in lines_of(found)
    assert lines_of(found)[-1] == "incomplete: the listing is not proven whole"


@pytest.mark.parametrize("error", [AuthError("a"), PlatformError("b"), StorageError("c"), LedgerError("d")])
def test_an_error_that_ends_the_run_gives_its_exit_code(error: HarvestError) -> None:
    """The error is the verdict's reason, though a signal came too."""
    found = concluded(account(State.SAVED), error=error, signal=15)
    assert (found.verdict, found.exit_code, found.error) == ("incomplete", error.exit_code, str(error))
    assert lines_of(found)[-1] == f"incomplete: {error}"


@pytest.mark.parametrize(("signal", "code"), [(2, 130), (15, 143)])
def test_a_signal_is_an_interruption(signal: int, code: int) -> None:
    """128 and the signal's number, as a shell says it; failures do not hide it."""
    found = concluded(account(State.FAILED), signal=signal)
    assert (found.verdict, found.exit_code) == ("interrupted", code)
    assert lines_of(found)[-1] == "interrupted: the next run goes on where this one stopped"


@pytest.mark.parametrize("more", [0, 1, 3000])
def test_the_screen_names_twenty_failures_and_the_file_all(more: int) -> None:
    """Twenty lines, and how many more there are and where; the JSON names every one with its reason."""
    found = concluded(account(*[State.FAILED] * (20 + more)))
    lines = lines_of(found)
    assert SHOWN == 20
    assert [line for line in lines if line.startswith("failed: ")] == [
        f"failed: call '{number}': the link is dead" for number in range(20)
    ]
    assert [line for line in lines if " more" in line] == (
        [f"and {more:,} more, all in /calls/runs/r1/run.json"] if more else []
    )
    assert len(json.loads(found.as_json())["failures"]) == 20 + more


def test_a_dry_run_points_to_no_file() -> None:
    """It writes none, and says that nothing was written."""
    lines = lines_of(concluded(account(*[State.FAILED] * 30, State.SAVED, dry_run=True)))
    assert "run.json" not in "".join(lines)
    assert any("nothing" in line and "written" in line for line in lines)


def test_the_json_holds_every_field_in_order() -> None:
    """Machines find every state, those that did not occur with 0, and people the fields in one order, but for the quotes."""
    found = account(State.SAVED, State.FAILED)
    found.traffic = Traffic(requests=12, throttled=1)
    known = json.loads(concluded(found).as_json())
    assert list(known) == [name for name in Account.__struct_fields__ if name != "quotes"]
    assert known["recordings"] == {**dict.fromkeys(map(str, State), 0), "saved": 1, "failed": 1}
    assert list(known["transcripts"]) == [str(state) for state in State]
    assert known["failures"] == [{"id": "1", "reason": "the link is dead"}]
    assert known["traffic"] == {"requests": 12, "throttled": 1}
    assert (known["seconds"], known["exit_code"], known["error"]) == (125.0, 3, None)


def test_what_comes_from_outside_cannot_write_on_the_terminal() -> None:
    """Neither the screen's lines nor the JSON hold a control character; a line break in a reason forges no line."""
    found = account(State.FAILED, reason="bad\x1b[2J\x7f\ncomplete\u202e\udcff")
    assert r"failed: call '0': bad\x1b[2J\x7f\ncomplete\u202e\udcff" in lines_of(concluded(found))
    text = found.as_json().decode("ascii")
    assert all(line.isprintable() for line in text.split("\n"))
    assert json.loads(text)["failures"][0]["reason"] == "bad\x1b[2J\x7f\ncomplete\u202e\udcff"


def test_the_screen_shows_the_sums_and_the_cost() -> None:
    """A column for each state, a row for recordings and for transcripts; bytes, time, requests, 429s, warnings."""
    found = account(State.SAVED, State.PENDING)
    found.traffic, found.warnings, found.mended_runs = Traffic(requests=1200, throttled=3), ["odd"], ["r0"]
    lines = lines_of(concluded(found))
    assert lines[0] == "2 calls listed"
    assert lines[1].split() == [str(state) for state in State]
    assert lines[2].split() == ["recordings", "1", "0", "0", "1", "0", "0"]
    assert lines[3].split() == ["transcripts", "2", "0", "0", "0", "0", "0"]
    assert {"warning: odd", "pending: not there yet, or not fetched yet; the next run asks again"} <= set(lines)
    assert any(line.startswith("mended: the run r0 ") for line in lines)
    assert lines[-2] == "2.0 kB written in 2 min 05 s, 1,200 API requests, 3 of them throttled"


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        *((0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (999_949, "999.9 kB"), (999_960, "1.0 MB")),
        *((12_345_678, "12.3 MB"), (2.5e9, "2.5 GB"), (3e15, "3000.0 TB")),
    ],
)
def test_sizes_are_for_people(size_bytes: float, text: str) -> None:
    """Units of 1000, one decimal, never `1000.0` of a unit that has a larger one."""
    assert size_text(size_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((0, "0.0 s"), (4.23, "4.2 s"), (59.97, "1 min 00 s"), (185, "3 min 05 s"), (3599.7, "1 h 00 min")),
        *((7800, "2 h 10 min"), (360_000, "100 h 00 min")),
    ],
)
def test_durations_are_for_people(seconds: float, text: str) -> None:
    """Seconds with a decimal, then minutes and seconds, then hours and minutes."""
    assert duration_text(seconds) == text
