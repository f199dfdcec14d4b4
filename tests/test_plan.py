"""The plan: what a run would list, ask for, fetch and write, held against what runs really do."""

import datetime as dt
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import msgspec
import pytest

from harvester.demo.calls import CallBook
from harvester.demo.faults import Fault
from harvester.demo.options import DEFAULTS, Options
from harvester.demo.server import Platform, serve
from harvester.errors import AuthError, ConfigError, MarkError, PlatformError
from harvester.forecast import BLOCK_BYTES, Size, Spread, size_teller
from harvester.glance import MOST_REQUESTS, MOST_SIZES
from harvester.layers import resolve
from harvester.place import local_state
from harvester.plan import Disk, Plan, plan, plan_text
from harvester.platform.windows import Span
from harvester.sample import Sample, Sampled, Work, pages_to_sample
from tests.harvests import Harvests


async def planned(harvests: Harvests, **flags: object) -> Plan:
    """Plan the run that `harvests.run` would make with these flags."""
    return await plan(resolve(flags, harvests.environment, None), harvests.platform.key)


@asynccontextmanager
async def account(folder: Path, count: int, options: Options = DEFAULTS) -> AsyncIterator[Harvests]:
    """Serve so many calls of the last 90 days, and harvest them into a folder."""
    async with serve(CallBook(count=count, most_seconds=20), options=options) as platform:
        yield Harvests(platform, folder)


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Everything below a folder but what SQLite puts beside a database: when each file was written, and what it holds."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix not in (".db-shm", ".db-wal")]
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


CUT: dict[str, object] = {"per_page": 10}

RUNS: list[tuple[int, Options, dict[str, object]]] = [
    (0, DEFAULTS, {}),
    (1, DEFAULTS, {}),
    (65, DEFAULTS, {}),
    (100, DEFAULTS, {}),  # a full last page
    (250, DEFAULTS, {}),
    (700, DEFAULTS, CUT),
    (700, Options(order="oldest"), CUT),
    (700, Options(order="shuffled"), CUT),
    (700, Options(date_to_inclusive=False), CUT),
    (700, Options(ignore_dates=True), CUT),
    (700, Options(per_page_clamp=20), {}),
    (700, Options(data_as_object=True), CUT),
    (900, DEFAULTS, {**CUT, "from": "40d"}),
    (900, DEFAULTS, {**CUT, "from": "60d", "to": "20d"}),
    (900, DEFAULTS, {**CUT, "from": "1d"}),
    (900, DEFAULTS, {**CUT, "type": "inbound"}),
    (900, DEFAULTS, {**CUT, "status": ["completed", "ended", "busy"]}),
    (900, DEFAULTS, {**CUT, "status": ["completed", "ended", "busy", "failed", "no-answer", "ringing"]}),
]


@pytest.mark.parametrize(("count", "options", "flags"), RUNS)
async def test_requests_and_windows_are_those_of_a_run(
    tmp_path: Path, count: int, options: Options, flags: dict[str, object]
) -> None:
    """Within a tenth and five requests, whatever the order of the list and its way with dates, filters included."""
    async with account(tmp_path, count, options) as harvests:
        foreseen = await planned(harvests, recordings=False, **flags)
        run = await harvests.run(dry_run=True, **flags)
    assert foreseen.calls == run.claimed_at_start
    assert foreseen.requests == pytest.approx(run.traffic.requests, rel=0.1, abs=5)
    assert foreseen.windows == pytest.approx(run.windows_proven, rel=0.2, abs=1)
    if foreseen.windows == 1:  # nothing was cut, so nothing had to be guessed
        assert foreseen.requests == run.traffic.requests


async def test_a_burst_of_calls_is_foreseen(tmp_path: Path) -> None:
    """When half of an account's calls came today they stand in one window, which is walked twice."""
    async with account(tmp_path, 400) as harvests:
        for _ in range(400):
            harvests.platform.book.insert()
        foreseen = await planned(harvests, per_page=10)
        run = await harvests.run(per_page=10, dry_run=True)
    assert foreseen.requests == pytest.approx(run.traffic.requests, rel=0.1, abs=5)


@pytest.mark.parametrize("count", [0, 1, 65, 3000])
async def test_it_costs_a_handful_of_requests(tmp_path: Path, count: int) -> None:
    """However large the account: eight, which it says, and the headers of ten recordings; nothing but GET."""
    async with account(tmp_path, count) as harvests:
        foreseen = await planned(harvests)
        asked = harvests.platform.requests
        assert foreseen.cost_requests == sum(seen.origin == "api" for seen in asked) <= MOST_REQUESTS
        assert foreseen.sizes_asked == harvests.platform.count("recording") <= MOST_SIZES
        assert {seen.method for seen in asked} == {"GET"}


async def test_each_status_is_a_listing_of_its_own(tmp_path: Path) -> None:
    """Several statuses are several first pages; their calls add up, and the plan still costs little."""
    statuses = ["completed", "no-answer", "busy"]
    async with account(tmp_path, 3000) as harvests:
        apart = [(await planned(harvests, status=[status])).calls for status in statuses]
        before = len(harvests.platform.requests)
        foreseen = await planned(harvests, status=statuses, recordings=False)
        asked = [seen.query for seen in harvests.platform.requests[before:] if seen.where == "list"]
    assert foreseen.calls == sum(apart)
    assert foreseen.cost_requests <= MOST_REQUESTS
    assert [query["status"] for query in asked if query["page"] == "1" and query["per_page"] == "100"] == statuses


@pytest.mark.parametrize("recordings", [True, False])
async def test_bytes_and_blocks_are_those_of_a_run(tmp_path: Path, recordings: bool) -> None:
    """What it expects to come in and to lie on the disk is what does, within a tenth or so."""
    async with account(tmp_path, 300) as harvests:
        foreseen = await planned(harvests, recordings=recordings)
        asked = harvests.platform.count("recording")
        await harvests.run(recordings=recordings)
    found = [(path.suffix, path.stat().st_size) for path in harvests.archive.rglob("*") if path.is_file()]
    fetched = [size for suffix, size in found if suffix in (".mp3", ".mp4", ".m4a")]
    blocks = sum(-(-size // BLOCK_BYTES) * BLOCK_BYTES for _, size in found)
    rows = sum(len(raw) for name, raw in harvests.files().items() if name.endswith((".json", ".txt")))
    assert foreseen.recordings == pytest.approx(len(fetched), rel=0.1)
    assert foreseen.recordings_bytes == pytest.approx(sum(fetched), rel=0.1)
    assert foreseen.files_bytes == pytest.approx(rows, rel=0.1)
    assert foreseen.needed_bytes == pytest.approx(blocks, rel=0.15)
    assert (asked > 0) is recordings


async def test_what_the_archive_holds_is_taken_off(tmp_path: Path) -> None:
    """After a run nothing is left to do; of what came since, all; the run's own listing is as short as it will be."""
    async with account(tmp_path, 200) as harvests:
        await harvests.run(recording_grace_days=0)
        done = await planned(harvests, recording_grace_days=0)
        for _ in range(7):
            harvests.platform.book.insert()
        nightly, everything = await planned(harvests), await planned(harvests, full=True)
        before = len(harvests.platform.requests)
        run = await harvests.run()
        sent = sum(seen.origin == "api" for seen in harvests.platform.requests[before:])
    assert (done.new_calls, done.recordings, done.needed_bytes) == (0, 0, 0)
    assert (nightly.new_calls, everything.new_calls, everything.calls) == (7, 7, 207)
    assert (nightly.recordings, nightly.calls) == (7, run.listed)
    assert nightly.requests == pytest.approx(sent, abs=3)
    assert str(nightly.date_from) in plan_text(nightly).splitlines()[0]


async def test_recordings_that_were_left_out_are_still_to_fetch(tmp_path: Path) -> None:
    """A run without recordings settles no recording: the next plan counts them, and no rows."""
    async with account(tmp_path, 150) as harvests:
        await harvests.run(recordings=False)
        foreseen = await planned(harvests, full=True)
        run = await harvests.run(full=True)
    assert foreseen.new_calls == foreseen.files_bytes == 0
    assert foreseen.recordings == run.recordings["saved"] > 90


async def test_it_writes_nothing_and_waits_for_nobody(harvests: Harvests) -> None:
    """Before there is an archive it makes none; while a run holds one it tells the same."""
    await planned(harvests)
    assert list(harvests.folder.iterdir()) == []
    await harvests.run()
    before = snapshot(harvests.folder)
    local = local_state(resolve({}, harvests.environment, None).settings)
    free = await planned(harvests, full=True)
    with local.locked():
        held = await planned(harvests, full=True)
    assert snapshot(harvests.folder) == before
    assert (held.calls, held.new_calls) == (free.calls, free.new_calls) == (65, 0)


async def test_without_an_archive_no_disk_is_looked_at(harvests: Harvests) -> None:
    """Someone who only wants to know how much there is need not name one."""
    del harvests.environment["HARVESTER_ARCHIVE"]
    foreseen = await planned(harvests)
    assert foreseen.disk is None
    assert foreseen.needed_bytes > 100_000
    assert "no archive is named" in plan_text(foreseen)


async def test_the_disk_is_that_of_the_nearest_folder(harvests: Harvests) -> None:
    """An archive that is still to be made, in folders that are, will lie where the first that exists lies."""
    foreseen = await planned(harvests, archive=str(harvests.folder / "not" / "yet" / "made"))
    assert foreseen.disk
    assert foreseen.disk.place == str(harvests.folder)
    assert foreseen.disk.lacking_bytes == 0
    assert plan_text(foreseen).splitlines()[-2] == f"the disk at {harvests.folder} can take it"


async def test_a_disk_that_is_too_small_is_said_in_one_line(harvests: Harvests) -> None:
    """What is to stay free counts: the line says how much is lacking, and where."""
    foreseen = await planned(harvests, min_free="900T")
    disk = foreseen.disk
    assert disk
    assert disk.lacking_bytes == foreseen.needed_bytes + disk.kept_free_bytes - disk.free_bytes
    (line,) = (line for line in plan_text(foreseen).splitlines() if "lacks" in line)
    assert line.startswith("the disk lacks about 98")
    assert str(harvests.folder) in line


@pytest.mark.parametrize("body", ["chunked", "close"])
async def test_sizes_that_nobody_tells_are_unknown(tmp_path: Path, body: Literal["chunked", "close"]) -> None:
    """Then it makes none up, and calls the rest a least."""
    async with account(tmp_path, 65, Options(recordings_body=body)) as harvests:
        foreseen = await planned(harvests)
    assert (foreseen.recordings_bytes, foreseen.sizes_told, foreseen.sizes_asked) == (None, 0, MOST_SIZES)
    text = plan_text(foreseen)
    assert "unknown  no server told one; 10 were asked for" in text
    assert "> " in next(line for line in text.splitlines() if line.startswith("disk needed"))
    assert "can take it is unknown" in text


async def test_a_few_sizes_are_enough(platform: Platform, harvests: Harvests) -> None:
    """Where some links are dead the others tell, and it says how many did."""
    platform.faults.add(Fault(where="recording", kind="gone", times=6))
    foreseen = await planned(harvests)
    real = sum(len(platform.book.recording(i)) for i in platform.book.ids() if platform.book.row(i)["recording_url"])
    assert (foreseen.sizes_told, foreseen.sizes_asked) == (4, 10)
    assert foreseen.recordings_bytes == pytest.approx(real, rel=0.15)
    assert "going by 4 sizes (10 were asked for)" in plan_text(foreseen)


ODD_ROWS = [
    b"null",
    b"[]",
    b'{"id":"x"}',
    b'{"id":1,"duration":"long","recording_url":"nowhere","created_at":"soon"}',
    b'{"id":7,"transcript":"\\ud83d"}',
]


@pytest.mark.parametrize("raw", ODD_ROWS)
@pytest.mark.parametrize("count", [1, 30])
async def test_odd_rows_are_counted_like_others(tmp_path: Path, count: int, raw: bytes) -> None:
    """No duration, no date, no link, no object: a plan comes out, and can be printed."""
    async with account(tmp_path, count) as harvests:
        for call_id in list(harvests.platform.book.ids()):
            harvests.platform.book.replace_row(call_id, raw)
        foreseen = await planned(harvests)
    assert (foreseen.calls, foreseen.sizes_told) == (count, 0)
    assert foreseen.files_bytes >= count * len(raw)
    assert plan_text(foreseen)


async def test_recordings_of_unknown_length_weigh_the_mean(platform: Platform, harvests: Harvests) -> None:
    """Rows without a duration still have recordings, and those have a size."""
    recorded = [i for i in platform.book.ids() if platform.book.row(i)["recording_url"]]
    real = sum(len(platform.book.recording(i)) for i in recorded)
    for call_id in recorded:
        row = json.loads(platform.row(call_id))
        platform.book.replace_row(call_id, json.dumps({**row, "duration": None}).encode())
    foreseen = await planned(harvests)
    assert foreseen.recordings == len(recorded)
    assert foreseen.recordings_bytes == pytest.approx(real, rel=0.5)


async def test_minutes_go_by_the_platforms_own_limit(tmp_path: Path) -> None:
    """What its headers say counts where the user says nothing, and never more than the user says."""
    async with account(tmp_path, 700, Options(limit_per_minute=600)) as harvests:
        capped = await planned(harvests, requests_per_minute=120, per_page=10, recordings=False)
        del harvests.environment["HARVESTER_REQUESTS_PER_MINUTE"]
        free = await planned(harvests, per_page=10, recordings=False)
    assert (capped.requests_per_minute, free.requests_per_minute) == (120, 600)
    assert (capped.minutes, free.minutes) == (round(capped.requests / 120, 2), round(free.requests / 600, 2))


async def test_a_limited_bandwidth_is_reckoned_with(harvests: Harvests) -> None:
    """At a thousand bytes a second the downloads take longer than the listing."""
    foreseen = await planned(harvests, bandwidth="1000")
    assert foreseen.download_minutes == pytest.approx((foreseen.recordings_bytes or 0) / 60_000, abs=0.01)
    assert "at the permitted bandwidth" in plan_text(foreseen)


async def test_what_a_reader_must_know_is_noted(tmp_path: Path) -> None:
    """Dates that are ignored, recordings that are switched off, a limit that ends the run early."""
    async with account(tmp_path, 300, Options(ignore_dates=True)) as harvests:
        foreseen = await planned(harvests, per_page=10, recordings=False, limit=5)
    assert [note.split()[:3] for note in foreseen.notes] == [
        ["the", "platform", "ignores"],
        ["recordings", "are", "switched"],
        ["the", "run", "will"],
    ]
    assert all(f"note: {note}" in plan_text(foreseen).splitlines() for note in foreseen.notes)


async def test_it_fails_as_a_run_does(platform: Platform, harvests: Harvests) -> None:
    """A refused key, another platform's archive, an archive that must exist, no API: the same errors as those of a run."""
    resolved = resolve({}, harvests.environment, None)
    with pytest.raises(AuthError):
        await plan(resolved, "another key")
    with pytest.raises(MarkError, match="must_exist"):
        await planned(harvests, must_exist=True)
    with pytest.raises(PlatformError, match="is this the call API's base URL"):
        await planned(harvests, base_url=f"{platform.base_url}/nothing")
    platform.faults.add(Fault(where="list", kind="status", code=422))
    with pytest.raises(ConfigError, match="refuses the filters"):
        await planned(harvests)
    platform.faults.clear()
    await harvests.run(recordings=False)
    mark = harvests.archive / "harvester-archive.json"
    mark.write_text(mark.read_text().replace(platform.base_url, "https://another.example/api"))
    with pytest.raises(ConfigError, match="holds calls of"):
        await planned(harvests)


async def test_the_plan_is_json_for_machines(harvests: Harvests) -> None:
    """Every figure is there, under the name of its field, and reads back."""
    foreseen = await planned(harvests)
    assert msgspec.json.decode(foreseen.as_json(), type=Plan) == foreseen
    assert json.loads(foreseen.as_json())["disk"]["place"] == str(harvests.folder)


async def test_nothing_in_the_text_writes_on_the_terminal(harvests: Harvests) -> None:
    """A folder whose name holds control characters is shown with escapes, on its one line."""
    foreseen = await planned(harvests)
    disk = Disk(place="/a\x1b[31m\nthe disk", free_bytes=1, kept_free_bytes=0, lacking_bytes=1)
    text = plan_text(msgspec.structs.replace(foreseen, disk=disk))
    assert "\x1b" not in text
    assert len(text.splitlines()) == len(plan_text(foreseen).splitlines())


async def test_figures_stand_in_one_column(tmp_path: Path) -> None:
    """Right-aligned, with thousands separators."""
    async with account(tmp_path, 3000) as harvests:
        lines = plan_text(await planned(harvests, per_page=10)).splitlines()
    width = lines[0].index("3,000") + len("3,000")
    assert all(line[width - 1] != " " and line[width : width + 2].strip() == "" for line in lines[:7])


@pytest.mark.parametrize(
    ("last_pages", "most", "pages"),
    [
        ([1], 4, []),
        ([2], 4, [(0, 2)]),
        ([3], 4, [(0, 2), (0, 3)]),
        ([2000], 4, [(0, 335), (0, 1001), (0, 1667), (0, 2000)]),
        ([10, 1, 30], 2, [(0, 10), (2, 30)]),
        ([10, 1, 30], 1, [(2, 30)]),
        ([10, 1, 30], 0, []),
        ([10, 1, 30], -1, []),
    ],
)
def test_pages_are_sampled_evenly_and_never_more_than_permitted(
    last_pages: list[int], most: int, pages: list[tuple[int, int]]
) -> None:
    """The ends of the longest lists first, then evenly what lies between."""
    assert pages_to_sample(last_pages, most) == pages


def test_a_sample_that_does_not_reach_the_end_goes_by_the_others() -> None:
    """Of ten calls of the last day out of a thousand nobody can tell how old the others are; another status may."""
    day = dt.datetime(2025, 8, 1, tzinfo=dt.UTC)

    def sample(*days_ago: int) -> Sample:
        calls = [
            Sampled(position=at, created_at=day - dt.timedelta(days=ago), as_new=Work(), as_held=None)
            for at, ago in enumerate(days_ago)
        ]
        return Sample(total=1000 if len(set(days_ago)) == 1 else len(days_ago), calls=tuple(calls))

    first_half = Span(last=day.date() - dt.timedelta(days=50))
    assert Spread(sample(*[0] * 10)).calls_in(first_half) == 0
    assert Spread(sample(*[0] * 10), [sample(*range(100))]).calls_in(first_half) == pytest.approx(500, rel=0.1)


def test_a_recording_weighs_by_the_length_of_its_call() -> None:
    """Bytes per second over all that were told, so that short and long calls are judged by the same measure."""
    bytes_of = size_teller([Size(bytes=1000, seconds=1), Size(bytes=5000, seconds=9), Size(bytes=60, seconds=None)])
    assert bytes_of
    assert bytes_of(Work(seconds=20)) == 12_000
    assert bytes_of(Work(seconds=None)) == 2_020
    assert size_teller([]) is None
