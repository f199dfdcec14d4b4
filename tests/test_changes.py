"""Changes: what the newest run found changed, old and new, and what it found gone."""

import json
from pathlib import Path
from typing import Any

import pytest

from harvester.archive.choice import Choice
from harvester.archive.layout import LEDGER, run_key
from harvester.changes import Changes, Gone, read_changes
from harvester.contrast import changes_text
from harvester.custody.erasing import erase
from harvester.demo.audio import recording
from harvester.demo.faults import Fault
from harvester.demo.server import Platform
from harvester.errors import LedgerError, MarkError
from harvester.layers import resolve
from harvester.report import SHOWN
from harvester.wording import size_text
from tests.archive.sites import SOUND, Site, call
from tests.custody.conftest import because
from tests.harvests import Harvests

DAY = "2025/08/04"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Make a new archive."""
    return Site(tmp_path)


def changes_of(site: Site, most: int | None = None) -> Changes:
    """Read the changes of a site, without any local state."""
    flags = {"archive": str(site.root), "state_folder": str(site.root.parent / "none")}
    changes = read_changes(resolve(flags, {}, None).settings, most)
    assert not (site.root.parent / "none").exists()
    return changes


def told(changes: Changes) -> dict[str, Any]:
    """Return the changed calls by id, as JSON tells them."""
    return {each["id"]: each for each in json.loads(changes.as_json())["calls"]}


def lines(changes: Changes) -> list[str]:
    """Return the lines of the screen without their indentation."""
    return [line.strip() for line in changes_text(changes).splitlines()]


def harvested(harvests: Harvests) -> Changes:
    """Read the changes of a harvested archive."""
    return read_changes(resolve({}, harvests.environment, None).settings)


async def test_what_a_run_finds_changed_is_told_field_by_field(platform: Platform, harvests: Harvests) -> None:
    """Fields that changed, came and went, old and new, of exactly the calls that changed; a new call is no change."""
    await harvests.run()
    one, other = list(platform.book.ids())[:2]
    before = platform.book.row(one)
    platform.book.change(one, total_cost="0.0250000000", evaluation=None, sentiment="good")
    platform.book.replace_row(other, b'{"id":%d,"duration":1.50}' % other)
    platform.book.insert()
    account = await harvests.run(full=True)
    changes = harvested(harvests)
    calls = told(changes)
    assert (changes.run, changes.changed, set(calls)) == (account.run, 2, {str(one), str(other)})
    assert changes.closed_at == list(harvests.lines())[-1]["at"]
    assert (calls[str(one)]["version_before"], calls[str(one)]["version"]) == (1, 2)
    fields = {each["path"]: each for each in calls[str(one)]["differences"]}
    assert fields["total_cost"] == {"path": "total_cost", "old": before["total_cost"], "new": "0.0250000000"}
    assert fields["sentiment"] == {"path": "sentiment", "new": "good"}
    assert "transcript" not in fields
    assert b'"new": 1.50' in changes.as_json()
    removed = {each["path"] for each in calls[str(other)]["differences"] if "new" not in each}
    assert removed == set(platform.book.row(other)) - {"id", "duration"}
    assert 'sentiment: added: "good"' in lines(changes)


async def test_a_changed_call_that_was_erased_since_is_told_as_that(site: Site) -> None:
    """Nothing of it is left to compare, and nothing is damaged; the others are told as before."""
    await site.saved(call(1), call(2))
    await site.saved(call(1, transcript="New."), call(2, transcript="New."))
    erase(because(site), Choice(ids=("1",)), execute=True)
    shown = told(changes_of(site))
    assert shown["1"]["notes"] == ["it has been erased since: nothing of it is left to compare"]
    assert (shown["1"]["differences"], shown["1"]["version_before"], shown["2"]["version_before"]) == ([], None, 1)
    assert [each["path"] for each in shown["2"]["differences"]] == ["transcript"]


async def test_a_call_that_has_ended_shows_what_came(platform: Platform, harvests: Harvests) -> None:
    """Status, transcript and recording of a call that went on at the last run: each with what was there before, if anything."""
    await harvests.run()
    call_id = platform.book.unsettled()[-1]
    status = platform.book.row(call_id)["status"]
    platform.book.finish(call_id)
    await harvests.run()
    shown = lines(harvested(harvests))
    assert f'status: "{status}" -> "completed"' in shown
    assert any(line.startswith("transcript: null -> ") for line in shown)
    size = size_text(len(platform.book.recording(call_id)))
    assert f"recording: fetched, {size}; there was none before" in shown


async def test_a_recording_that_is_gone_is_told(platform: Platform, harvests: Harvests) -> None:
    """A link that stays dead makes its call gone in the second run: it is named with the reason, though no row has changed."""
    dead = next(i for i in platform.book.ids() if str(platform.book.row(i)["recording_url"]).endswith(f"{i}.mp3"))
    platform.faults.add(Fault(where="recording", kind="gone", match=dead))
    for _ in range(2):
        await harvests.run()
    changes = harvested(harvests)
    assert [(each.id, "answered 410" in (each.reason or "")) for each in changes.gone] == [(str(dead), True)]
    assert any(line.startswith(f"call '{dead}' (") and "answered 410" in line for line in lines(changes))
    assert any("no row changed of the calls that were archived before" in line for line in lines(changes))


async def test_a_new_recording_is_told_with_both_sizes(site: Site) -> None:
    """Where a changed call names another recording, the old and the new one are held against each other by size."""
    await site.saved(call(1), call(2))
    link = {"recording_url": "https://recordings.example/again.mp3"}
    longer = recording(2, 3)
    await site.saved(call(1, **link), sound=longer)
    change = told(changes_of(site))["1"]["recording"]
    assert (change["path_before"], change["path"]) == (f"{DAY}/1.mp3", f"{DAY}/1.v2.mp3")
    assert (change["bytes_before"], change["bytes"]) == (len(SOUND), len(longer))
    text = f"recording: fetched anew, {size_text(len(SOUND))} before, {size_text(len(longer))} now"
    assert text in lines(changes_of(site))


async def test_a_changed_call_whose_recording_fails_is_a_change(site: Site) -> None:
    """Its ledger line is called failed, and its row has changed all the same; why the recording is not there is said."""
    await site.saved(call(1))
    await site.saved(call(1, recording_url="https://recordings.example/again.mp3"), sound=None)
    assert told(changes_of(site))["1"]["recording"]["state"] == "failed"
    assert "recording: failed: no such file" in lines(changes_of(site))


async def test_long_texts_are_shown_from_where_they_differ(site: Site) -> None:
    """Of a transcript made anew there are two lines, a little before the first other character, and both lengths."""
    words = "Hello, this is Sarah. " * 40
    await site.saved(call(1, transcript=words))
    await site.saved(call(1, transcript=f"{words[:500]}Goodbye.{words[500:]}"))
    shown = lines(changes_of(site))
    at = next(index for index, line in enumerate(shown) if line.startswith("transcript: "))
    assert shown[at] == "transcript: differs from character 501 on; 880 characters before, 888 now"
    assert shown[at + 1] == f"old: ...{words[480:550]}..."
    assert shown[at + 2] == f"new: ...{words[480:500]}Goodbye.{words[500:542]}..."
    assert told(changes_of(site))["1"]["differences"][0]["old"] == words


async def test_the_screen_shows_no_control_characters_and_no_signed_link(site: Site) -> None:
    """What a caller said, or a link holds, neither moves the cursor nor forges a line nor gives a key away, in JSON neither."""
    await site.saved(call(1), call(2))
    evil = "\x1b[2J\u202e\x9b\nlast run complete"
    row = call(1, **{evil: evil, "transcript": evil * 20, "page": "https://h.example/a?sig=s3cret"})
    with site.run() as run:
        link = call(2, recording_url="https://recordings.example/again.mp3")
        run.archive.commit([await run.draft(row), await run.draft(link, None, failure=evil)])
        run.close()
    text, data = changes_text(changes_of(site)), changes_of(site).as_json()
    assert all(line.isprintable() and len(line) < 120 for line in text.splitlines())
    assert sum(line.lstrip().startswith("last run") for line in text.splitlines()) == 1
    assert data.replace(b"\n", b"").isascii()
    assert min(data.replace(b"\n", b"")) >= 0x20
    assert "s3cret" not in text
    assert b"s3cret" not in data


def test_a_reason_forges_no_line() -> None:
    """A line break in why a call is gone is escaped; those that are not named are counted."""
    gone = Gone(id="1", place=f"{DAY}/1", reason="no\nlast run: complete")
    shown = lines(Changes(archive="/calls", run="7", gone=(gone,) * (SHOWN + 1)))
    assert sum(line.startswith("last run") for line in shown) == 1
    assert shown[-1] == "and 1 more; --json names all"


async def test_many_changes_are_counted_on_the_screen_and_all_in_json(site: Site) -> None:
    """The screen names 20 calls; more are counted, also when only so many were compared."""
    count = SHOWN + 5
    await site.saved(*(call(number) for number in range(count)))
    await site.saved(*(call(number, duration=61) for number in range(count)))
    assert (len(told(changes_of(site))), len(told(changes_of(site, SHOWN)))) == (count, SHOWN)
    for changes in (changes_of(site), changes_of(site, SHOWN)):
        assert sum(line.startswith("call ") for line in lines(changes)) == SHOWN
        assert lines(changes)[-1] == "and 5 more; --json names all"
    await site.saved(call(1, **{f"field{number}": number for number in range(11)}))
    shown = lines(changes_of(site))
    assert "and 2 fields more; --json names all" in shown  # `duration` is 60 again: 12 differ
    assert sum(line.startswith("field") for line in shown) == 9


async def test_a_field_that_differs_in_its_signature_alone_is_told_so(site: Site) -> None:
    """Two links that look the same without their query strings are not shown as one becoming the same."""
    for signature in ("one", "two"):
        await site.saved(call(1, page=f"https://h.example/a?sig={signature}"))
    assert "page: differs in the query string of a link alone, which is never shown" in lines(changes_of(site))


@pytest.mark.parametrize(
    ("name", "damage", "note"),
    [
        ("1.json", None, "the version before cannot be read: none lies"),
        ("1.json", b'{"id":1', "the older row is not JSON"),
        ("1.v2.json", None, "the new version (1.v2.json) cannot be read: No such file"),
        ("1.v2.json", b'{"id":1}', "the new version (1.v2.json) is not what its ledger line says"),
    ],
)
async def test_a_version_that_is_missing_or_damaged_is_told(
    site: Site, name: str, damage: bytes | None, note: str
) -> None:
    """The entry says what cannot be read; the other calls are compared."""
    await site.saved(call(1), call(2))
    await site.saved(call(1, duration=61), call(2, duration=61))
    path = site.root / DAY / name
    path.unlink() if damage is None else path.write_bytes(damage)
    calls = told(changes_of(site))
    assert calls["1"]["notes"][0].startswith(note)
    assert calls["2"]["differences"] == [{"path": "duration", "old": 60, "new": 61}]
    assert any(line.startswith(f"note: {note}") for line in lines(changes_of(site)))


async def test_a_version_that_a_crash_left_is_not_taken_for_the_one_before(site: Site) -> None:
    """A row adopted with the change was never compared with any: the change is told against the row that the archive knew."""
    await site.saved(call(1, duration=60))
    (site.root / DAY / "1.v2.json").write_bytes(call(1, duration=99).raw)
    await site.saved(call(1, duration=61))
    change = told(changes_of(site))["1"]
    assert (change["version_before"], change["version"], change["notes"]) == (1, 3, [])
    assert change["differences"] == [{"path": "duration", "old": 60, "new": 61}]


async def test_a_gap_between_versions_is_told(site: Site) -> None:
    """Where the version before is lost, an older one is compared, and that it is an older one is said."""
    for seconds in (60, 61, 62):
        await site.saved(call(1, duration=seconds))
    (site.root / DAY / "1.v2.json").unlink()
    change = told(changes_of(site))["1"]
    assert change["differences"] == [{"path": "duration", "old": 60, "new": 62}]
    assert change["notes"] == ["no row of version 2 lies in the archive: compared with version 1"]


async def test_a_new_call_beside_a_stray_file_is_no_change(site: Site) -> None:
    """A call archived for the first time as version 2, since something lay under its name, has no version before."""
    await site.saved(call(1))
    (site.root / DAY / "2.json").write_bytes(b"{}")
    await site.saved(call(2))
    assert (site.root / DAY / "2.v2.json").exists()
    assert changes_of(site).changed == 0


async def test_a_run_without_changes_names_the_newest_with_some(site: Site) -> None:
    """Nothing is shown of older runs; but nobody need think that there never was a change."""
    first = await site.saved(call(1))
    assert any(line.startswith("it is the archive's first") for line in lines(changes_of(site)))
    assert changes_of(site).run == first
    quiet = await site.saved(call(2))
    assert lines(changes_of(site))[-1].endswith("nor did any before")
    for seconds in (61, 62):
        changed = await site.saved(call(1, duration=seconds))
    for _ in range(2):
        quiet = await site.saved(call(quiet))
    changes = changes_of(site)
    assert (changes.run, changes.earlier_run, changes.calls) == (quiet, changed, ())
    assert lines(changes)[-1].endswith(f"the newest run that found one is {changed}")


async def test_a_run_that_has_not_closed_is_told_as_far_as_it_has_got(site: Site) -> None:
    """One that is going on or was cut off is the newest all the same; half a line at its end is none."""
    await site.saved(call(1), call(2))
    with site.run() as run:
        await run.save(call(1, duration=61))
        with (site.root / run_key(run.id, LEDGER)).open("ab") as ledger:
            ledger.write(b'{"seq":')
        changes = changes_of(site)
    assert (changes.run, changes.closed_at, set(told(changes))) == (run.id, None, {"1"})
    assert any(line.startswith(f"last run {run.id} has not closed") for line in lines(changes))


async def test_nothing_is_written(site: Site) -> None:
    """Who asks leaves no trace: every file as it was, none new, no local state."""
    await site.saved(call(1))
    await site.saved(call(1, duration=61))
    before = {path: path.stat().st_mtime_ns for path in site.root.parent.rglob("*")}
    changes_text(changes_of(site))
    assert {path: path.stat().st_mtime_ns for path in site.root.parent.rglob("*")} == before


async def test_what_is_no_archive_is_refused(site: Site) -> None:
    """Without a mark there is no archive, without a run nothing to tell, and a ledger that is none is an error."""
    assert lines(changes_of(site))[-1] == "no run has written anything yet"
    run_id = await site.saved(call(1))
    (site.root / run_key(run_id, LEDGER)).write_bytes(b'{"seq":1,"prev":"","at":"","event":"x"}\nnoise\n')
    with pytest.raises(LedgerError):
        changes_of(site)
    (site.root / "harvester-archive.json").unlink()
    with pytest.raises(MarkError):
        changes_of(site)
