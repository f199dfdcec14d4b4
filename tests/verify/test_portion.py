"""A portion of an archive is what was asked for: which files are looked at, which are read, and what is said of the others."""

import datetime as dt
import os
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from harvester.archive.layout import ACCOUNT, LEDGER, MANIFEST, MARK, run_key
from harvester.errors import ConfigError
from harvester.verify.archive import verify
from harvester.verify.portion import CIRCLE, Portion, Sample, notes_of, portion_of
from tests.archive.sites import Site, call, flip_bit
from tests.verify.damage import edit_ledger, found, runs

TODAY = dt.date(2026, 11, 26)
RECORDING = "2025/08/04/1.mp3"
SHARES = st.integers(1, CIRCLE)
DAYS = st.dates(dt.date(2000, 1, 1), dt.date(2100, 1, 1))
KEYS = st.text(min_size=1, max_size=40)


def asked(
    *, quick: bool = False, sample: str | None = None, first: str | None = None, last: str | None = None
) -> Portion:
    """What flags ask for on a fixed day."""
    return portion_of(quick=quick, sample=sample, first=first, last=last, today=TODAY)


@given(SHARES.filter(lambda share: share >= CIRCLE // 200), DAYS, KEYS)
def test_each_file_has_its_turn(share: int, day: dt.date, key: str) -> None:
    """Within 100 / share days in a row, rounded up, whenever they begin, every file is read."""
    days = -(-CIRCLE // share)
    turns = [Sample(share=share, day=day + dt.timedelta(days=nth)).holds(key) for nth in range(days)]
    assert any(turns)
    assert Sample(share=share, day=day).days == days


@given(SHARES.filter(lambda share: CIRCLE // 200 <= share <= CIRCLE // 2), DAYS, KEYS)
def test_no_file_has_its_turn_again_before_all_others(share: int, day: dt.date, key: str) -> None:
    """Of so many days as fit into 100 / share, none reads what another of them has read."""
    turns = [Sample(share=share, day=day + dt.timedelta(days=nth)).holds(key) for nth in range(CIRCLE // share)]
    assert sum(turns) <= 1


@given(st.integers(CIRCLE // 100, CIRCLE // 2), DAYS)
def test_a_sample_is_as_large_as_was_asked_for(share: int, day: dt.date) -> None:
    """Of ten thousand files about the share is read, whatever their names have in common."""
    sample = Sample(share=share, day=day)
    count = sum(sample.holds(f"2025/08/04/{number}.mp3") for number in range(10_000))
    expected = 10_000 * share / CIRCLE
    assert abs(count - expected) < 6 * expected**0.5


@given(KEYS, DAYS)
def test_a_sample_of_everything_is_everything(key: str, day: dt.date) -> None:
    """100 % reads every file on every day."""
    assert Sample(share=CIRCLE, day=day).holds(key)


@given(DAYS, DAYS, DAYS)
def test_dates_choose_whole_days(first: dt.date, last: dt.date, day: dt.date) -> None:
    """A call is looked at when its day is none before the first and none after the last; then its folders are entered."""
    assume(first <= last)
    portion = Portion(first=first, last=last)
    folder = f"{day.year:04}/{day.month:02}/{day.day:02}"
    assert portion.looks_at(f"{folder}/1.mp3") == (first <= day <= last)
    assert portion.enters(folder) == (first <= day <= last)
    if first <= day <= last:
        assert portion.enters(folder[:7])
        assert portion.enters(folder[:4])


@pytest.mark.parametrize("key", [MARK, "runs/20261123T020001Z-9f3c2a1b/ledger.jsonl"])
def test_what_vouches_is_always_read(key: str) -> None:
    """Mark, ledgers and accounts are read whatever the portion."""
    for portion in (asked(quick=True), asked(sample="0.0001%"), asked(first="2030-01-01")):
        assert portion.looks_at(key)
        assert portion.reads(key)


@pytest.mark.parametrize("text", ["5%", "5", "5 %", " 5.0000%"])
def test_a_share_can_be_written_in_several_ways(text: str) -> None:
    """The sign may be left out."""
    sample = asked(sample=text).sample
    assert sample == Sample(share=CIRCLE // 20, day=TODAY)
    assert (sample.percent, sample.days) == ("5 %", 20)


@pytest.mark.parametrize(
    "text", ["0%", "200%", "100.0001%", "-5%", "", "five", "0.00001%", "5%%", "\u0661%", "nan", "1e1"]
)
def test_what_is_no_share_is_refused(text: str) -> None:
    """0 %, more than 100 %, and what is no number: a ConfigError that says what is allowed."""
    with pytest.raises(ConfigError, match=r"--sample: .* is not a share of the files"):
        asked(sample=text)


def test_dates_in_the_wrong_order_are_refused() -> None:
    """No day is after the first and before the last."""
    with pytest.raises(ConfigError, match="--from 2025-08-05 is after --to 2025-08-04"):
        asked(first="2025-08-05", last="2025-08-04")


@pytest.mark.parametrize("text", ["", "yesterday", "2025-02-30", "04.08.2025"])
def test_what_is_no_day_is_refused(text: str) -> None:
    """A day that cannot be read is told with its flag."""
    with pytest.raises(ConfigError, match=r"--from: .* is not a day such as"):
        asked(first=text)


def test_quick_has_nothing_to_sample() -> None:
    """Both together contradict each other."""
    with pytest.raises(ConfigError, match="leave one of them out"):
        asked(quick=True, sample="5%")


@pytest.mark.parametrize(("share", "slow"), [("5%", False), ("3.6%", False), ("3.5%", True), ("1%", True)])
def test_a_share_that_a_month_cannot_cover_is_said_to_be_one(share: str, slow: bool) -> None:
    """A sample takes as long as it takes; that this is more than a month is said, and what would do."""
    (note,) = notes_of(asked(sample=share))
    assert ("more than a month has (3.6 % would do)" in note) == slow


def test_everything_needs_no_word() -> None:
    """Nothing is said where nothing was left out."""
    assert notes_of(Portion()) == notes_of(asked(sample="100%")) == []


def test_quick_finds_what_sizes_show(root: Path) -> None:
    """A file that is cut or missing is found, one with a flipped bit is not; and it is said that none was read."""
    flip_bit(root / "2025/08/04/2.mp3", 100)
    assert found(verify(root, portion=asked(quick=True))) == set()
    os.truncate(root / RECORDING, 100)
    (root / "2025/08/04/1.json").unlink()
    result = verify(root, portion=asked(quick=True))
    assert found(result) == {("altered", RECORDING), ("missing", "2025/08/04/1.json")}
    assert any("quick: sizes were looked at" in note for note in result.notes)
    assert 0 < result.hashed_files < result.files


@pytest.mark.parametrize("portion", [asked(quick=True), asked(sample="0.0001%"), asked(first="2030-01-01")])
@pytest.mark.parametrize("name", [LEDGER, ACCOUNT, MANIFEST])
def test_no_portion_passes_over_what_vouches(root: Path, portion: Portion, name: str) -> None:
    """A bit that was flipped in a ledger, account or manifest is found by every portion."""
    key = run_key(runs(root)[0], name)
    flip_bit(root / key, 20)
    assert verify(root, portion=portion).findings


@pytest.mark.parametrize("portion", [asked(quick=True), asked(sample="0.0001%"), asked(first="2030-01-01")])
def test_no_portion_passes_over_the_chain(root: Path, portion: Portion) -> None:
    """A line that was dropped is found by every portion."""
    key = edit_ledger(root, 0, lambda lines: [lines[0], *lines[2:]])
    assert ("ledger", key) in found(verify(root, portion=portion))


def test_a_sample_reads_each_file_once_in_its_days(root: Path) -> None:
    """Twenty nights of 5 % find one flipped bit once, and every night finds a cut file."""
    flip_bit(root / RECORDING, 100)
    os.truncate(root / "2025/08/04/2.mp3", 100)
    nights = []
    for nth in range(20):
        day = TODAY + dt.timedelta(days=nth)
        nights.append(
            found(verify(root, portion=portion_of(quick=False, sample="5%", first=None, last=None, today=day)))
        )
    assert [("altered", RECORDING) in night for night in nights].count(True) == 1
    assert all(("altered", "2025/08/04/2.mp3") in night for night in nights)


async def test_dates_look_at_their_days_alone(site: Site) -> None:
    """Damage, loss and strange files of other days are not looked for; those of the days asked for are."""
    await site.saved(call(1), call(2, created_at="2025-09-01 10:00:00"), call(3, created_at="no date"))
    for key in (RECORDING, "2025/09/01/2.mp3", "undated/3.mp3"):
        flip_bit(site.root / key, 100)
    for key in ("2025/08/04/stray", "2025/09/01/stray", "2025/stray"):
        (site.root / key).touch()
    august = verify(site.root, portion=asked(first="2025-08-01", last="2025-08-31"))
    assert found(august) == {("altered", RECORDING), ("unexpected", "2025/08/04/stray"), ("unexpected", "2025/stray")}
    since = verify(site.root, portion=asked(first="2025-08-05"))
    assert found(since) == {
        ("altered", "2025/09/01/2.mp3"),
        ("unexpected", "2025/09/01/stray"),
        ("unexpected", "2025/stray"),
    }
    assert any("from 2025-08-01 until 2025-08-31" in note for note in august.notes)


async def test_dates_and_quick_go_together(site: Site) -> None:
    """Sizes of these days alone."""
    await site.saved(call(1), call(2, created_at="2025-09-01 10:00:00"))
    for key in (RECORDING, "2025/09/01/2.mp3"):
        os.truncate(site.root / key, 100)
    result = verify(site.root, portion=asked(quick=True, first="2025-09-01"))
    assert found(result) == {("altered", "2025/09/01/2.mp3")}
