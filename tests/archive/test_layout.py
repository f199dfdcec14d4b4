"""Names are safe on every file system, and different calls have different ones."""

import datetime as dt
import hashlib
import re
import zoneinfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from harvester.archive.layout import (
    DEVICE_NAMES,
    LONGEST_PLAIN_ID,
    UNDATED,
    call_name,
    call_place,
    date_folder,
    run_key,
    versioned,
)
from harvester.container.sniff import Container
from tests.archive.sites import call

SUFFIXES = ("json", "txt", *(str(container) for container in Container))
IDS = st.one_of(
    st.text(st.characters(codec=None, categories=None), min_size=1, max_size=120),
    st.text("abAB1.-_ /\\vxX\0", min_size=1, max_size=12),
    st.sampled_from(sorted(DEVICE_NAMES)).flatmap(lambda name: st.sampled_from([name, name.upper(), f"{name}.txt"])),
    st.text("ab12", min_size=75, max_size=85),
    st.integers(0).map(str),
)


@settings(max_examples=150, deadline=None)
@given(IDS, st.integers(1, 999_999), st.sampled_from(SUFFIXES))
def test_any_id_gives_a_safe_name(call_id: str, version: int, suffix: str) -> None:
    """A name consists of [a-z0-9._-], at most 100 bytes, begins with no dot or hyphen, and is no device name."""
    name = versioned(call_name(call_id), version, suffix)
    assert re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name, re.ASCII)
    assert len(name.encode()) <= 100
    assert name.partition(".")[0] not in DEVICE_NAMES


@settings(max_examples=150, deadline=None)
@given(IDS, IDS)
def test_no_two_ids_meet(one: str, other: str) -> None:
    """Different ids have different names on a share that ignores case, and no version of one is a name of the other."""
    assume(one != other)
    names = [{versioned(call_name(each), version, "json").casefold() for version in (1, 2, 3)} for each in (one, other)]
    assert not names[0] & names[1]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("abc", "ABC"),
        ("7", "7.v2"),
        ("7", "7 "),
        ("a-b", "a/b"),
        ("../../etc/passwd", "etc/passwd"),
        ("con", "CON"),
        ("a" * LONGEST_PLAIN_ID, "a" * (LONGEST_PLAIN_ID + 1)),
        ("A", call_name("A")),  # an id that looks as if it had been made
        ("A B", "a-b-xfea4c5ce72"),  # what was made of the one before there were more digits
        ("!$?>(", "#}?(~"),  # their SHA-256 begin with the same ten digits: found in a second by trying
    ],
)
def test_ids_that_look_alike_are_kept_apart(one: str, other: str) -> None:
    """Case, dots, slashes, length, and names that another id would be given make no two calls one."""
    assert call_name(one) != call_name(other)


@pytest.mark.parametrize("call_id", ["123", "0", "call_7", "a-b", "f" * LONGEST_PLAIN_ID])
def test_a_plain_id_is_its_own_name(call_id: str) -> None:
    """A documented id can be found in the archive by eye."""
    assert call_name(call_id) == call_id


def test_a_made_name_can_be_told_by_anyone() -> None:
    """An id that is not plain becomes so and gets -x and 32 hex digits of its SHA-256."""
    assert call_name("A B") == f"a-b-x{hashlib.sha256(b'A B').hexdigest()[:32]}"


@pytest.mark.parametrize(
    ("created_at", "zone", "folder"),
    [
        ("2025-08-04 14:30:00", "UTC", "2025/08/04"),
        ("2025-08-04 23:59:59", "Asia/Tokyo", "2025/08/04"),  # bears no zone: as received
        ("2024-01-15T10:30:00Z", "UTC", "2024/01/15"),
        ("2024-01-15T23:30:00Z", "Europe/Berlin", "2024/01/16"),
        ("2024-01-15T23:30:00.123456+02:00", "UTC", "2024/01/15"),
        ("2024-01-15T01:30:00+02:00", "UTC", "2024/01/14"),
        ("2024-01-15", "Asia/Tokyo", "2024/01/15"),
        (" 2024-01-15 10:30:00 ", "UTC", "2024/01/15"),
        ("2024-01-15 25:99", "UTC", "2024/01/15"),  # only the time of day is odd
        ("0001-01-01T00:00:00+14:00", "UTC", "0001/01/01"),  # in UTC it would be before the first day there is
    ],
)
def test_a_call_lies_under_its_day(created_at: str, zone: str, folder: str) -> None:
    """The date part of created_at as received; an instant that bears a zone is put into the archive's zone."""
    assert date_folder(created_at, zoneinfo.ZoneInfo(zone)) == folder


@pytest.mark.parametrize(
    "created_at", [None, "", "yesterday", "2025-13-45", "2025-02-30 10:00:00", "04.08.2025", "../..", "٢٠٢٥-٠٨-٠٤"]
)
def test_a_date_that_cannot_be_read_is_undated(created_at: str | None) -> None:
    """Without a readable day a call lies in its own folder, never in a guessed one."""
    assert date_folder(created_at, dt.UTC) == UNDATED


@settings(max_examples=100, deadline=None)
@given(st.one_of(st.text(), st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T]?.{0,20}")))
def test_any_created_at_gives_a_day_or_undated(created_at: str) -> None:
    """Whatever stands in created_at, the folder is a real day or undated."""
    folder = date_folder(created_at, dt.UTC)
    if folder != UNDATED:
        dt.date.fromisoformat(folder.replace("/", "-"))


def test_keys() -> None:
    """The first version bears no number, the next ones do; a run has its own folder."""
    place = call_place(call(123), dt.UTC)
    assert [versioned(place, version, "json") for version in (1, 2)] == [
        "2025/08/04/123.json",
        "2025/08/04/123.v2.json",
    ]
    assert run_key("20261123T020001Z-9f3c2a1b", "run.json") == "runs/20261123T020001Z-9f3c2a1b/run.json"
