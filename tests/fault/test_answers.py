"""Rows 1 to 13, 19, 20 and 22: whatever platform, recordings' server, clock and machine do, all eight rules hold afterwards.

What exactly is said and done about each of these faults is shown beside the modules that do it; here it is that none of them
leaves out a rule, and that the run without the fault makes it good.
"""

import gzip
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from harvester.demo.calls import CallBook
from harvester.demo.faults import Fault, Kind
from harvester.demo.server import DEMO_KEY, Platform, serve
from tests.fault.invariants import assert_converges, assert_holds
from tests.fault.scene import Scene, Tree
from tests.fault.sweep import later

COMPLETE, INCOMPLETE, REFUSED, UNREACHABLE, LOCKED = 0, 3, 4, 5, 7

ECHO = f"<html>\x1b[31m your request: Authorization: Bearer {DEMO_KEY}\u202e".encode()
"""A page that writes on a terminal, and shows what it was asked with."""

BOMB = gzip.compress(bytes(64 * 1024 * 1024))
ODD_ROW = b'{"id":1,"duration":NaN,"x":1e999,"y":' + b"7" * 5000 + b',"z":"\xff\xfe"}'
DEEP = b"[" * 100_000


class Case(NamedTuple):
    """A fault, the flags of the run that meets it, and how that is to end."""

    fault: Fault
    exit_code: int
    flags: tuple[str, ...] = ()


def recording(kind: Kind, code: int | None = None, *flags: str, exit_code: int = INCOMPLETE, **more: object) -> Case:
    """A fault of every recording."""
    return Case(Fault(where="recording", kind=kind, code=code, **more), exit_code, flags)  # type: ignore[arg-type]


def page(kind: Kind, code: int | None = None, *flags: str, exit_code: int = INCOMPLETE, **more: object) -> Case:
    """A fault of every list page behind the first, which shows two calls."""
    return Case(Fault(where="list", kind=kind, code=code, match=2, **more), exit_code, ("--per-page", "2", *flags))  # type: ignore[arg-type]


CASES = {
    "cut": later(recording("cut")),
    "cut-chunked": later(recording("cut_chunked")),
    "cut-close": later(recording("cut_close")),
    "reset": later(recording("reset")),
    "cut-twice": later(recording("reset", times=2, exit_code=COMPLETE)),
    "hang": later(recording("hang", None, "--patience-seconds", "1")),
    "page-with-key": recording("html", body=ECHO),
    "empty": later(recording("empty")),
    "json": later(recording("wrong_type")),
    "206": later(recording("altered", 206, headers={"Content-Range": "bytes 5-9/10"})),
    "416": later(recording("altered", 416)),
    "no-gzip": later(recording("altered", headers={"Content-Encoding": "gzip"})),
    "bomb": later(recording("altered", None, "--max-file-size", "1M", headers={"Content-Encoding": "gzip"}, body=BOMB)),
    "digest": later(recording("altered", headers={"Repr-Digest": "sha-256=:" + "A" * 43 + "=:"})),
    "loop": later(recording("redirect")),
    "to-a-file": later(recording("redirect", location="file:///etc/passwd")),
    "private": later(recording("redirect", None, "--no-allow-private-hosts", location="http://169.254.169.254/x")),
    "404": later(recording("status", 404)),
    "429": later(recording("status", 429, times=3, headers={"Retry-After": "0"}, exit_code=COMPLETE)),
    "503": later(recording("status", 503, headers={"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"})),
    "401-midway": page("status", 401, exit_code=REFUSED),
    "403-midway": later(page("status", 403, exit_code=REFUSED)),
    "list-500": later(page("status", 500)),
    "list-cut": later(page("cut")),
    "list-reset": later(page("reset", times=1, exit_code=COMPLETE)),
    "list-with-key": later(page("html", body=ECHO)),
    "list-empty": later(page("empty")),
    "list-deep": later(page("altered", body=DEEP)),
    "list-odd": later(page("altered", body=ODD_ROW)),
    "list-no-paginator": later(page("not_paginator")),
    "list-bomb": later(page("altered", headers={"Content-Encoding": "gzip"}, body=BOMB)),
    "first-page": later(Case(Fault(where="list", kind="html", body=ECHO), UNREACHABLE)),
    "first-hangs": later(Case(Fault(where="list", kind="hang"), UNREACHABLE, ("--patience-seconds", "1"))),
}
PARAMETERS = [
    pytest.param(*getattr(each, "values", (each,)), id=name, marks=getattr(each, "marks", ()))
    for name, each in CASES.items()
]


@pytest.fixture
def faulty(platform: Platform) -> Iterator[Platform]:
    """Return the platform, which does nothing wrong afterwards."""
    yield platform
    platform.faults.clear()


@pytest.mark.parametrize("case", PARAMETERS)
async def test_a_wrong_answer_breaks_no_rule(faulty: Platform, scene: Scene, undisturbed: Tree, case: Case) -> None:
    """The run ends as it is to, without a traceback; nothing half lies there; and the next one has the same bytes."""
    faulty.faults.add(case.fault)
    ended = await scene.ends("--attempts", "3" if case.fault.times else "2", *case.flags)
    assert ended.exit_code == case.exit_code, ended.said
    assert_holds(scene, ended, undisturbed)
    assert "\x1b" not in ended.said
    faulty.faults.clear()
    await assert_converges(scene, undisturbed)


ODD_IDS = (
    "../../x",
    "CON",
    "a/b\\c:d",
    "x" * 400,
    "Abc",
    "abC",
    "abc",
    "7.v2",
    "\u202e7",
    "\x1b[31m7",
    "",
    ".",
    "\ud83d",
)


@pytest.fixture
async def odd() -> AsyncIterator[Platform]:
    """Serve calls whose ids are paths, devices, too long, alike, or write on a terminal."""
    book = CallBook(count=len(ODD_IDS), most_seconds=5, in_progress=0, late=0)
    for call, odd_id in zip(list(book.ids()), ODD_IDS, strict=True):
        book.change(call, id=odd_id, client_phone_number=f"{odd_id[:9]}\x1b]0;x\x07", created_at="2025-08-04 10:00:00")
    async with serve(book) as platform:
        yield platform


@pytest.mark.fault
async def test_an_odd_id_breaks_no_rule(odd: Platform, tmp_path: Path) -> None:
    """Each call has its own files, inside of the archive, and nothing that a row holds writes on the screen."""
    first = Scene(odd, tmp_path / "first")
    ended = await first.ends("-vv")
    assert ended.exit_code == COMPLETE, ended.said
    assert "\x1b" not in ended.said
    assert sum(key.endswith(".json") for key in first.tree()) == len(ODD_IDS)
    assert_holds(first, ended, first.tree())
    await assert_converges(first, first.tree())


CLOCKS = ["-1h", "+1h", "@2099-06-01 12:00:00", "@1971-06-01 12:00:00"]


@pytest.mark.fault
@pytest.mark.skipif(not shutil.which("faketime"), reason="needs faketime")
@pytest.mark.parametrize("clock", CLOCKS)
async def test_a_wrong_clock_breaks_no_rule(scene: Scene, undisturbed: Tree, clock: str) -> None:
    """Whatever this machine believes the time to be: the run is complete, and so is the next one by the right clock."""
    ended = await scene.ends(before=("faketime", "-f", clock))
    assert ended.exit_code == COMPLETE, ended.said
    assert_holds(scene, ended, undisturbed)
    await assert_converges(scene, undisturbed)


async def test_a_second_run_breaks_no_rule(faulty: Platform, scene: Scene, undisturbed: Tree) -> None:
    """Exit 7 for the one that comes second; the first is killed, its lock is taken over."""
    faulty.faults.add(Fault(where="recording", kind="hang"))
    asked = faulty.count("recording")
    process = await scene.begins(())
    try:
        await scene.until(asked + 1)
        ended = await scene.ends()
    finally:
        process.kill()
        await process.aclose()
        faulty.faults.clear()
    assert ended.exit_code == LOCKED
    assert_holds(scene, ended, undisturbed)
    await assert_converges(scene, undisturbed)


@pytest.mark.fault
@pytest.mark.skipif(not shutil.which("prlimit"), reason="needs prlimit, of util-linux")
async def test_few_open_files_break_no_rule(scene: Scene, undisturbed: Tree) -> None:
    """As many workers as can be asked for, where 256 files may be open."""
    ended = await scene.ends("--workers", "256", before=("prlimit", "--nofile=256:256"))
    assert ended.exit_code == COMPLETE, ended.said
    assert_holds(scene, ended, undisturbed)
    await assert_converges(scene, undisturbed)
