"""When a run's figures leave the archive's own history: decided from days, without a clock."""

import datetime as dt
import math
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvester.alarms import UNLIKELY, alarms_of, chance_of
from harvester.model import Coverage, Days, Figures, Reach

LAST = dt.date(2026, 11, 22)  # a Sunday
DAY = dt.timedelta(days=1)
WEEK = dt.timedelta(days=7)


def ago(days: int) -> dt.date:
    """The day that lies so many days before the last one."""
    return LAST - days * DAY


def figures(
    calls: int, *, recorded: int | None = None, transcribed: int | None = None, timed: int | None = None
) -> Figures:
    """A day on which every call has everything, but for what is said."""
    having = [calls if each is None else each for each in (recorded, transcribed, timed)]
    return Figures(calls=calls, recorded=having[0], transcribed=having[1], timed=having[2])


def history(days: int = 63, calls: int = 10, **members: int) -> Days:
    """So many equal days up to the last one."""
    return {ago(number): figures(calls, **members) for number in range(days) if calls}


def without(days: Days, *silent: int) -> Days:
    """The days but for some, which are named by how long ago they are."""
    return {day: each for day, each in days.items() if day not in {ago(number) for number in silent}}


def run(
    days: Days, *, covers: int = 10, told: int | None = 1, past: Days | None = None, last: dt.date = LAST
) -> list[str]:
    """The alarms of a run that lists the days that `covers` names, after runs that listed all (or the `past`) as it is."""
    first = last - (covers - 1) * DAY
    earlier = coverage(days if past is None else past)
    listed = {day: each for day, each in days.items() if first <= day}
    return alarms_of(
        listed, [earlier], covered=(first, last), checked_through=None if told is None else last - told * DAY
    )


def coverage(days: Days) -> Coverage:
    """An earlier run that has listed these days."""
    return Coverage(reach=Reach.RECENT, filters={}, days=days)


# Silent days


def test_a_silent_weekday_is_told() -> None:
    """No call on a day whose weekday had some in each of the four weeks before: one sentence with day and figures."""
    days = without(history(29) | {LAST - WEEK: figures(31), LAST - 2 * WEEK: figures(7)}, 0)
    assert run(days) == [
        "no call on Sunday 2026-11-22; each of the four Sundays before had at least 7: do calls still reach the platform?"
    ]


def test_one_call_is_no_silence() -> None:
    """A single call on the day is enough to say nothing."""
    assert run(history(29) | {LAST: figures(1)}) == []


@pytest.mark.parametrize("week", [1, 2, 3, 4])
def test_a_weekday_that_was_silent_before_alarms_nothing(week: int) -> None:
    """One of the four weeks before had no call on that weekday: it did not always have some."""
    assert run(without(history(), 0, 7 * week)) == []


def test_the_fifth_week_before_is_not_asked() -> None:
    """Four weeks make a habit: what lies behind them does not take the alarm away."""
    assert len(run(without(history(), 0, 35))) == 1


def test_a_history_below_four_weeks_alarms_no_silence() -> None:
    """The history must begin four weeks before the day, or no weekday of it *always* had calls."""
    assert run(without(history(28), 0)) == []
    assert len(run(without(history(29), 0))) == 1


def test_no_history_and_no_days_alarm_nothing() -> None:
    """An account without calls, an archive without runs, and a run that has listed no day whole have nothing to tell."""
    assert run({}) == []
    assert alarms_of({}, [], covered=(LAST, LAST), checked_through=None) == []
    assert run(without(history(), 0), covers=0) == []


def test_a_silent_day_is_told_once() -> None:
    """The night after, the run before has looked at that day already; also when the day is listed again."""
    assert run(without(history(), 1), told=1) == []
    assert len(run(without(history(), 1), told=2)) == 1


def test_silent_days_in_a_row_are_one_sentence() -> None:
    """Two silent days are named together; when a new one joins, those before it are named again, as it goes on."""
    told = (
        "no call on Saturday 2026-11-21 and Sunday 2026-11-22; in the four weeks before, each of these weekdays always had "
        "at least 10: do calls still reach the platform?"
    )
    assert run(without(history(), 0, 1), told=2) == [told]
    assert run(without(history(), 0, 1), told=1) == [told]
    (three,) = run(without(history(), 0, 1, 2))
    assert three.startswith("no call on Friday 2026-11-20, Saturday 2026-11-21 and Sunday 2026-11-22; in")


def test_many_silent_days_are_told_by_first_and_last() -> None:
    """More than three are not named one by one."""
    (told,) = run(without(history(), *range(6)), told=6)
    assert told.startswith("no call on 6 days from Tuesday 2026-11-17 to Sunday 2026-11-22; in")


def test_silent_days_with_calls_between_are_two_sentences() -> None:
    """They are two events, and each is told for itself."""
    first, second = run(without(history(), 0, 3), told=4)
    assert "Thursday 2026-11-19;" in first
    assert "Sunday 2026-11-22;" in second


def test_a_free_weekend_does_not_part_silent_days() -> None:
    """Friday and Monday without calls are one silence where there never are calls at the weekend, which is not named."""
    office = {day: each for day, each in history(64).items() if day.weekday() < 5}
    monday = LAST + DAY
    (told,) = run(without(office, 2), told=4, last=monday)
    assert told.startswith("no call on Friday 2026-11-20 and Monday 2026-11-23; in")
    assert run(office) == []


def test_an_account_that_is_often_silent_is_left_alone() -> None:
    """After two silences in the eight weeks before a third is told no more: it goes silent by chance or by habit."""
    days = history(120)
    assert len(run(without(days, 0, 12, 20))) == 1
    assert run(without(days, 0, 12, 20, 29)) == []
    assert len(run(without(days, 0, 12, 20, 57))) == 1


def test_an_outage_is_told_as_long_as_it_is_new() -> None:
    """Each of the first seven nights of an outage tells of it; then every weekday of the history has been silent."""
    for night in range(1, 15):
        assert len(run(without(history(), *range(night)), covers=20)) == (night <= 7), night


def test_the_first_run_tells_of_the_newest_days_alone() -> None:
    """A first run lists years: a silent day of the last week is told, a holiday of long ago is no news."""
    days = history(400)
    assert len(run(without(days, 6), covers=400, told=None, past={})) == 1
    assert run(without(days, 7), covers=400, told=None, past={}) == []


def test_a_day_that_was_not_listed_is_not_silent() -> None:
    """Days between two runs that nobody has listed are not claimed to be without calls."""
    (told,) = run(without(history(), *range(6)), told=6, covers=2)
    assert told.startswith("no call on Saturday 2026-11-21 and Sunday 2026-11-22;")


def test_a_silence_that_this_run_has_not_listed_is_not_told() -> None:
    """Days before the first that was listed whole are another run's to tell of."""
    assert run(without(history(), 5), told=10, covers=2) == []


def test_an_outage_is_judged_by_the_weeks_before_it_began() -> None:
    """Its seventh night is told or not as its first was: silences that were near then are not forgotten meanwhile."""
    assert run(without(history(120), 40, 50, 62, *range(7))) == []
    assert len(run(without(history(120), 40, 50, 63, *range(7)))) == 1


def test_a_run_over_old_days_alarms_nothing() -> None:
    """What is older than what an earlier run has looked at is no news, whatever it shows."""
    assert run(without(history(), 0) | {ago(1): figures(40, recorded=0)}, told=-1) == []


def test_a_day_of_which_the_calls_were_deleted_is_not_silent() -> None:
    """An earlier run has seen calls on the day: the platform took them, and deleted them later."""
    assert run(without(history(), 0), past=history()) == []


# Shares


def test_a_share_below_half_is_told() -> None:
    """The newest calls have a recording less than half as often as those of the weeks before: one sentence with figures."""
    days = history(calls=20, recorded=17) | {ago(0): figures(20, recorded=2)}
    assert run(days) == [
        "only 10 % of the 20 newest connected calls (Sunday 2026-11-22) have a recording; on the same weekday of the 8 weeks "
        "before it was 85 % of 160: are recordings still being made?"
    ]


def test_half_of_the_share_exactly_is_not_told() -> None:
    """Half is not below half; one call less is."""
    days = history(calls=100, transcribed=80)
    assert run(days | {LAST: figures(100, transcribed=40)}) == []
    (told,) = run(days | {LAST: figures(100, transcribed=39)})
    assert told.startswith("only 39 % of the 100 newest connected calls (Sunday 2026-11-22) have a transcript; ")
    assert told.endswith("it was 80 % of 800: are transcripts still being made?")


def test_newest_calls_are_taken_backwards_until_there_are_enough() -> None:
    """Twenty calls are enough, so that the good days before do not hide the bad ones; never more than seven days."""
    bad = {ago(number): figures(10, recorded=0) for number in range(2)}
    (told,) = run(history() | bad)
    assert told.startswith(
        "none of the 20 newest connected calls (Saturday 2026-11-21 to Sunday 2026-11-22) have a rec"
    )
    assert "; on the same weekdays of the 8 weeks before it was 100 % of 160:" in told
    (week,) = run(history(calls=2) | {ago(number): figures(2, recorded=0) for number in range(7)})
    assert week.startswith("none of the 14 newest connected calls (Monday 2026-11-16 to Sunday 2026-11-22) ")
    assert "; in the 8 weeks before it was 100 % of 112:" in week


def test_only_listed_days_are_newest() -> None:
    """A run over two days is held against the same two weekdays, not against whole weeks."""
    (told,) = run(history(calls=4) | {ago(number): figures(4, recorded=0) for number in range(7)}, covers=2)
    assert "none of the 8 newest connected calls (Saturday 2026-11-21 to Sunday 2026-11-22) have" in told
    assert "same weekdays of the 8 weeks before it was 100 % of 64:" in told


def test_a_weekday_that_is_always_so_alarms_nothing() -> None:
    """Sundays are answered by a machine that nobody records, and always were: Sundays are held against Sundays."""
    days = history(calls=40)
    sundays = {day: figures(40, recorded=2, transcribed=1) for day in days if day.weekday() == 6}
    assert run(days | sundays) == []
    assert len(run(days | {LAST: sundays[LAST]})) == 2


def test_another_mix_of_weekdays_is_no_fall() -> None:
    """Saturdays are never recorded and Sundays always: a Sunday with a single call makes no fall of the two together."""
    days = history(calls=20)
    saturdays = {day: figures(20, recorded=0) for day in days if day.weekday() == 5}
    assert run(days | saturdays | {LAST: figures(1)}) == []
    assert len(run(days | saturdays | {LAST: figures(19, recorded=0)})) == 1


def test_calls_that_nobody_answered_are_no_failure() -> None:
    """A campaign in which one call in ten is answered has few recordings; those that connected have theirs."""
    campaign = figures(400, recorded=38, transcribed=39, timed=40)
    assert run(history(calls=30) | {LAST: campaign}) == []
    assert len(run(history(calls=30) | {LAST: figures(400, recorded=12, transcribed=39, timed=40)})) == 1


def test_where_durations_are_never_given_all_calls_count() -> None:
    """A platform that tells no duration: the shares are those of all calls."""
    (told,) = run(history(timed=0) | {ago(number): figures(10, recorded=0, timed=0) for number in range(2)})
    assert told.startswith("none of the 20 newest calls (Saturday")


def test_a_day_that_is_not_over_is_not_looked_at() -> None:
    """What this run has seen of later days changes nothing: neither silence nor shares, nor how they are counted."""
    days = history(timed=0) | {ago(number): figures(10, recorded=0, timed=0) for number in range(2)}
    assert run(days | {ago(-1): figures(30, transcribed=0)}) == run(days) != []


def test_an_account_that_never_records_alarms_nothing() -> None:
    """What was never there cannot fall."""
    assert run(history(calls=100, recorded=0, transcribed=0)) == []


def test_chance_alarms_nothing() -> None:
    """Few calls of which half are recorded: five without may be chance, fourteen may not."""
    few = {ago(number): figures(2, recorded=0, transcribed=2) for number in range(7)}
    half = history(calls=2, recorded=1)
    assert run(half | {ago(number): each for number, each in enumerate(few.values()) if number < 5}, covers=3) == []
    assert len(run(half | few)) == 1


def test_fewer_than_five_calls_say_nothing() -> None:
    """Three calls without recording may all be somebody's trial, however long the history is."""
    quiet = {ago(number): figures(0) for number in range(7)}
    assert run(history(calls=500) | quiet | {LAST: figures(4, recorded=0)}, told=0) == []
    assert len(run(history(calls=500) | quiet | {LAST: figures(5, recorded=0)}, told=0)) == 1


def test_a_young_archive_is_held_against_what_there_is() -> None:
    """Two weeks are a history too, and the sentence does not claim more; less than a week is none."""
    (told,) = run(history(14, calls=50) | {LAST: figures(50, transcribed=0)})
    assert "; on the same weekday of the week before it was 100 % of 50:" in told
    assert run(history(7, calls=50) | {LAST: figures(50, transcribed=0)}) == []


def test_what_the_source_deletes_later_stays_in_the_history() -> None:
    """Recordings older than a month are deleted, and a full run sees none: the history remembers that they were made."""
    seen = history(calls=40)
    now = {day: each if day > ago(3) else figures(40, recorded=0) for day, each in seen.items()}
    stopped = now | {LAST: figures(40, recorded=0)}
    assert run(now, covers=63, past=seen) == []
    assert len(run(stopped, covers=63, past=seen)) == 1


def test_calls_that_the_source_deletes_later_stay_in_the_history() -> None:
    """A full run sees one old call a day, the others are deleted: the figures of a day are the most that was ever seen."""
    now = {day: figures(40, timed=0) if day == LAST else figures(1) for day in history()}
    (told,) = run(now, covers=63, past=history(calls=40))
    assert "before 100 % of 320 had a longer one" in told


def test_recordings_that_vanish_everywhere_at_once_are_told() -> None:
    """The platform names no recording any more, not of old calls either: the newest days are as this run saw them."""
    (told,) = run(history(calls=1, recorded=0), past=history(calls=1))
    assert told.startswith("none of the 7 newest connected calls")


def test_a_share_that_stays_low_is_told_until_it_is_the_history() -> None:
    """It is told in every run while it lasts, told before or not, and ends when two months have passed."""
    lasted = [
        len(run(history(200, calls=30) | {ago(number): figures(30, recorded=0) for number in range(nights)}, told=0))
        for nights in range(70)
    ]
    assert lasted[0] == 0
    assert set(lasted[1:50]) == {1}
    assert lasted[57:] == [0] * 13


def test_a_rare_recording_is_not_told_as_none() -> None:
    """A share below one per cent that is not nothing is not told as 0 %."""
    (told,) = run(history(calls=1000) | {LAST: figures(1000, recorded=1)})
    assert told.startswith("fewer than 1 % of the 1,000 newest connected calls")


# Durations


def test_durations_of_zero_are_told() -> None:
    """No newest call lasted, and they used to: one sentence, and none on recordings as long as those are made."""
    assert run(history() | {ago(number): figures(10, timed=0) for number in range(2)}) == [
        "all 20 newest calls (Saturday 2026-11-21 to Sunday 2026-11-22) have duration 0; on the same weekdays of the 8 weeks "
        "before 100 % of 160 had a longer one: do calls still connect?"
    ]


def test_one_call_that_lasted_is_enough() -> None:
    """*All* durations are 0, or nothing is said: few answered calls are no failure."""
    assert run(history(calls=40) | {LAST: figures(40, recorded=1, transcribed=1, timed=1)}) == []


def test_durations_recordings_and_transcripts_may_fail_together() -> None:
    """Each is told in a sentence of its own."""
    broken = {ago(number): figures(10, recorded=0, transcribed=0, timed=0) for number in range(2)}
    durations, recordings, transcripts = run(history() | broken)
    assert "have duration 0" in durations
    assert "none of the 20 newest calls (Saturday" in recordings
    assert "have a transcript" in transcripts


def test_an_account_of_calls_that_seldom_connect_alarms_no_durations() -> None:
    """One call in ten connects: twenty that did not are chance."""
    assert (
        run(history(timed=1, recorded=1, transcribed=1) | {ago(0): figures(10, timed=0, recorded=0, transcribed=0)})
        == []
    )


# Laws


@st.composite
def patterns(draw: st.DrawFn) -> Mapping[int, Figures]:
    """What each weekday is like, all weeks the same."""
    week = {}
    for weekday in range(7):
        calls = draw(st.integers(0, 60))
        parts = [draw(st.integers(0, calls)) for _ in range(3)]
        week[weekday] = Figures(calls=calls, recorded=parts[0], transcribed=parts[1], timed=parts[2])
    return week


def repeated(week: Mapping[int, Figures], days: int) -> Days:
    """So many days of that pattern; a day without calls is absent, as in a run."""
    each = [ago(number) for number in range(days)]
    return {day: week[day.weekday()] for day in each if week[day.weekday()].calls}


@given(week=patterns(), days=st.integers(1, 130), covers=st.integers(1, 20), told=st.none() | st.integers(0, 80))
def test_a_history_that_repeats_itself_alarms_nothing(
    week: Mapping[int, Figures], days: int, covers: int, told: int | None
) -> None:
    """Whatever the weekdays of an account are like: while each is as it always was, nothing is said."""
    assert run(repeated(week, days), covers=covers, told=told) == []


@given(
    week=patterns(),
    calls=st.integers(20, 300),
    share=st.integers(40, 100),
    kind=st.sampled_from(["recorded", "transcribed", "timed"]),
)
def test_what_vanishes_is_told(week: Mapping[int, Figures], calls: int, share: int, kind: str) -> None:
    """When four in ten calls or more had it on that weekday, and none of 20 or more has it now, it is told."""
    usual = {"recorded": calls, "transcribed": calls, "timed": calls} | {kind: calls * share // 100}
    days = repeated({**week, 6: figures(calls, **usual)}, 63) | {LAST: figures(calls, **usual | {kind: 0})}
    alarms = run(days)
    word = {"recorded": "have a recording", "transcribed": "have a transcript", "timed": "have duration 0"}[kind]
    assert [word in alarm for alarm in alarms] == [True]


@given(data=st.data(), week=patterns())
def test_the_order_of_earlier_runs_does_not_matter(data: st.DataObject, week: Mapping[int, Figures]) -> None:
    """The history is the most that was seen of each day: runs may be told in any order, twice, and in overlapping parts."""
    days = repeated(week, 70)
    parts = [
        coverage({day: days[day] for day in days if ago(start + 30) <= day <= ago(start)}) for start in range(1, 50, 8)
    ]
    listed: Days = {LAST: figures(data.draw(st.integers(1, 40)), recorded=0)}

    def alarms(past: list[Coverage]) -> list[str]:
        return alarms_of(listed, past, covered=(ago(2), LAST), checked_through=ago(3))

    mixed = data.draw(st.permutations(parts + data.draw(st.lists(st.sampled_from(parts)))))
    assert alarms(list(mixed)) == alarms([coverage(without(days, 0))])


@given(week=patterns(), newest=patterns(), factor=st.integers(2, 50))
@settings(max_examples=200)
def test_more_of_the_same_never_silences_an_alarm(
    week: Mapping[int, Figures], newest: Mapping[int, Figures], factor: int
) -> None:
    """When every day has so many times the calls, with the same shares, what was told of it is told again."""
    last = newest[LAST.weekday()]
    if last.calls < 20 or last.timed < 20:
        last = figures(20 + last.calls, recorded=last.recorded)
    days = repeated(week, 63) | {LAST: last}
    many = {
        day: Figures(
            calls=each.calls * factor,
            recorded=each.recorded * factor,
            transcribed=each.transcribed * factor,
            timed=each.timed * factor,
        )
        for day, each in days.items()
    }
    questions = {alarm.rpartition(": ")[2] for alarm in run(days)}
    assert questions <= {alarm.rpartition(": ")[2] for alarm in run(many)}


@given(data=st.data(), of=st.integers(0, 60), of_before=st.integers(0, 200))
def test_chance_is_fishers_exact_test(data: st.DataObject, of: int, of_before: int) -> None:
    """The probability is the lower tail of the hypergeometric distribution, held against whole numbers."""
    having, before = data.draw(st.integers(0, of)), data.draw(st.integers(0, of_before))
    every, with_it = of + of_before, having + before
    ways = sum(math.comb(with_it, k) * math.comb(every - with_it, of - k) for k in range(having + 1))
    assert chance_of(having, of, before, of_before) == pytest.approx(ways / math.comb(every, of), rel=1e-9)


def test_chance_is_found_for_large_accounts_too() -> None:
    """A hundred thousand calls a day: no number grows beyond what can be reckoned with."""
    assert chance_of(40_000, 100_000, 720_000, 800_000) == 0.0
    assert chance_of(90_000, 100_000, 720_000, 800_000) > UNLIKELY


@given(
    days=st.dictionaries(st.dates(), st.integers(0, 9).map(figures), max_size=9),
    last=st.sampled_from([dt.date.min, dt.date.min + DAY, LAST, dt.date.max - DAY, dt.date.max]),
)
def test_odd_dates_stop_no_run(days: Days, last: dt.date) -> None:
    """`created_at` is what the platform says, the years 1 and 9999 included: no sum of dates fails."""
    for first, told in ((last, None), (dt.date.min, None), (last, dt.date.min), (dt.date.min, last)):
        assert alarms_of(days, [coverage(days)], covered=(first, last), checked_through=told) == []
