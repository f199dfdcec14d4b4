"""What is fuzzed: each target takes bytes and fails when its rule is broken."""

import atexit
import datetime as dt
import json
import shutil
import tempfile
import zoneinfo
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from fuzz.made import LINE, PAGE, ROW, made
from harvester import values
from harvester.accounts import meant_by
from harvester.archive import ledger
from harvester.archive.digest import etag_md5, promised
from harvester.archive.group import GROUP, unwritten
from harvester.archive.layout import PLACE, call_name, call_place, run_key, versioned
from harvester.archive.mark import read_mark
from harvester.archive.store import new_run_id
from harvester.bulletin import read_bulletin
from harvester.container.sniff import Container, measure, sniff
from harvester.difference import compare
from harvester.errors import ConfigError, HarvestError, LedgerError, MarkError, PlatformError, RecordingError
from harvester.logs import escaped
from harvester.mask import masked
from harvester.platform.guard import check_link, is_private
from harvester.platform.probe import look_of
from harvester.platform.recordings import next_hop, read_link
from harvester.platform.rows import read_call, read_page
from harvester.platform.wire import asked_wait_seconds, bare, header_number
from harvester.settings import table

NOW = dt.datetime(2026, 11, 25, tzinfo=dt.UTC)
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
FOLDER = Path(tempfile.mkdtemp(prefix="fuzz-"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
RUN = "20261125T020000Z-00000000"


def rows(data: bytes) -> None:
    """A row is read whatever it is; its names are safe, its texts can be written, its line reads back."""
    for raw in (data, made(ROW, data)):
        _row(raw)


def _row(data: bytes) -> None:
    call = read_call(data, BERLIN)
    place = call_place(call, BERLIN)
    assert PLACE.fullmatch(place), place
    assert call.raw == data
    (call.transcript or "").encode("utf-8", "backslashreplace")
    masked(call.transcript or "", call.phone_numbers)
    event: ledger.Event = {"seq": 1, "prev": "", "at": "", "event": "saved", "id": call.id, "place": place}
    line = ledger.decode_line(ledger.encode(event))
    assert line.place == place
    assert escaped(call.id).isprintable()
    compare(data, b'{"id": 1}')


def pages(data: bytes) -> None:
    """A page is read, or is a PlatformError; its rows can be read."""
    for body in (data, made(PAGE, data), b'{"data":[%b],"current_page":1,"last_page":1,"per_page":1,"total":1}' % data):
        _page(body)


def _page(body: bytes) -> None:
    try:
        page = read_page(body, "here")
    except PlatformError:
        return
    assert all(count >= 0 for count in (page.number, page.total, page.last_page, page.per_page))
    for row in page.rows:
        read_call(row)


def headers(data: bytes) -> None:
    """No header, link or redirect of a server makes anything stumble, or leads to where it must not."""
    lines = data.decode("latin-1").split("\n")
    names = ("Retry-After", "Date", "X-RateLimit-Reset", "X-RateLimit-Limit", "Content-Range", "Content-Length", "ETag")
    digests = ("repr-digest", "content-digest", "digest", "x-goog-hash", "content-md5", "x-amz-checksum-sha256", "etag")
    said = dict(zip(names, lines, strict=False))
    wait = asked_wait_seconds(said, data, NOW)
    assert wait is None or wait >= 0
    header_number(said, "X-RateLimit-Limit")
    look_of("here", 206, said)
    promised(dict(zip(digests, lines, strict=False)))
    etag_md5({"etag": lines[0]})
    try:
        url = read_link(lines[0])
        check_link(url)
        bare(url)
        hop = next_hop(url, lines[-1])
        check_link(hop)
        assert not (url.scheme == "https" and hop.scheme == "http")
    except RecordingError:
        pass
    is_private(lines[0])
    bare(lines[0])


def ledgers(data: bytes) -> None:
    """A line, a mark, a group's journal and a bulletin are read, or refused in words; a place leads nowhere else."""
    line = b'{"seq":1,"prev":"","event":"saved","at":"",%b' % made(LINE, data)[1:]
    for raw in (data, made(LINE, data), line):
        with suppress(LedgerError):
            read = ledger.decode_line(raw)
            assert read.place is None or PLACE.fullmatch(read.place), read.place
            ledger.past_run_of(read, RUN)
    for key, look in READ.items():
        path = FOLDER / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        with suppress(MarkError, LedgerError):
            look(path)
        path.unlink()


READ: dict[str, Callable[[Path], object]] = {
    "harvester-archive.json": lambda path: read_mark(path.parent),
    run_key(RUN, GROUP): lambda path: unwritten(FOLDER, RUN),
    "status.json": read_bulletin,
}


def settings(data: bytes) -> None:
    """A settings file gives accounts, or is refused in one sentence; so does each variable."""
    path = FOLDER / "harvester.toml"
    path.write_bytes(data)
    try:
        meant_by({}, {}, path, ())
    except ConfigError as error:
        _one_sentence(str(error))
    text = data.decode("utf-8", "surrogateescape")
    for _, setting in table().values():
        with suppress(ValueError):
            setting.read(text)
    with suppress(ValueError):
        values.words(text)


def names(data: bytes) -> None:
    """Any id and any date give a name within the archive that no file system refuses; any folder of runs an id behind it."""
    text = data.decode("utf-8", "surrogatepass" if b"\xed" in data else "replace") if _is_text(data) else repr(data)
    first, _, second = text.partition("\n")
    name = call_name(first)
    assert len(name) <= 80
    row = json.dumps({"id": first, "created_at": second}).encode()
    place = call_place(read_call(row), BERLIN)
    assert PLACE.fullmatch(place), place
    key = versioned(place, 3, "json")
    assert (FOLDER / key).resolve().is_relative_to(FOLDER.resolve())
    runs = FOLDER / "names" / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    digits = "".join(c for c in first if c in "0123456789")[:14].ljust(14, "9")
    folder = runs / f"{digits[:8]}T{digits[8:]}Z-00000000"
    folder.mkdir(exist_ok=True)
    try:
        assert new_run_id(FOLDER / "names", NOW) > folder.name
    except HarvestError:
        pass
    finally:
        folder.rmdir()
    run_key(first, second)


def recordings(data: bytes) -> None:
    """Any bytes are told from a recording, and measured as each kind, without an error and without end."""
    sniff(data)
    for container in Container:
        measured = measure(data, container)
        assert measured.duration_seconds is None or measured.duration_seconds >= 0


def _one_sentence(text: str) -> None:
    assert text.strip(), "an empty sentence"
    assert escaped(text).isprintable()


def _is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return False
    return True


TARGETS: dict[str, Callable[[bytes], None]] = {
    "rows": rows,
    "pages": pages,
    "headers": headers,
    "ledger": ledgers,
    "settings": settings,
    "names": names,
    "recordings": recordings,
}
