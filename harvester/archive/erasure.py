"""Erase calls: which files that takes, their tombstones, and the removing, which a crash may interrupt anywhere.

In:   entries of calls.  Out: `Tomb`s: every file that lies there of each call; then tombstones in the ledger, then no such files.

The order is the promise: a tombstone is durable before the first of its files goes, and whoever closes a run that was cut off
(closing.py) removes what its tombstones name and still lies there. So a file is missing only where a line says why, and what a
line calls erased is gone, or goes with the next command. Files of a call are found by its place, in every ledger line whatever it
is about, and in the call's folder: what a crash left there without a line is the call's too.
"""

from __future__ import annotations

import logging
import re
import zlib
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from harvester.archive import disk, ledger
from harvester.archive.layout import FILE_KEY, PAGE_KEY
from harvester.archive.ledger import Event
from harvester.errors import StorageError
from harvester.model import PAGE, Entry, File

log = logging.getLogger(__name__)

ERASE = "erase"
"""The command of a run that erases."""

LARGEST_PAGE_BYTES = 256 * 1024 * 1024
"""What is unpacked of a page at most: eight times what a run takes for one."""

GZIP = b"\x1f\x8b"
"""How packed bytes begin (RFC 1952)."""

ALTERED, MISSING = "altered", "missing"
"""What a tombstone says besides of a file that was not what the ledger says when it was erased."""


class Grave(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is to be erased, as the ledger has it; `found` tells what is odd about what lies there."""

    file: File
    found: str = ""


class Tomb(msgspec.Struct, frozen=True, kw_only=True):
    """A call that is to be erased, and its files. One that was erased before has those that lie there again."""

    entry: Entry
    graves: tuple[Grave, ...]

    @property
    def size_bytes(self) -> int:
        """What the files take that lie there."""
        return sum(grave.file.bytes for grave in self.graves if grave.found != MISSING)

    def files(self) -> list[Event]:
        """Return the files as the tombstone names them."""
        told = [(msgspec.structs.asdict(grave.file), grave.found) for grave in self.graves]
        return [file | ({"found": found} if found else {}) for file, found in told]


def tombs_of(archive: Path, entries: Iterable[Entry]) -> list[Tomb]:
    """Return every call with all its files, in the order of the entries. Reads all ledgers once, and all kept list pages.

    A page that holds several of the calls stands in the first one's tomb. Raises StorageError, LedgerError.
    """
    calls = {entry.place: entry for entry in entries}
    files, pages, erased = _told(archive, set(calls))
    for folder in {place.rpartition("/")[0] for place in files}:
        for key in _lying(archive, folder):
            if key not in files.get(place_of(key), {key}):
                digest, size_bytes = disk.sha256_of(archive / key)
                files[place_of(key)][key] = File(path=key, bytes=size_bytes, sha256=digest, role="adopted")
    by_id = {entry.id: entry.place for entry in calls.values()}
    for page in pages:
        if shown := _shown(archive, page, by_id):
            files[shown][page.path] = page
    tombs = []
    for place, entry in calls.items():
        graves = (_grave(archive, file) for _, file in sorted(files[place].items()))
        left = tuple(grave for grave in graves if grave.found != MISSING or grave.file.path not in erased)
        tombs.append(Tomb(entry=entry, graves=left))
    return tombs


def remove(archive: Path, keys: Iterable[str]) -> list[StorageError]:
    """Remove the files of durable tombstones, and make that durable; return why some could not be.

    A key that is none of a call or a kept page is left alone: it would lead out of the archive, as a link on the way would.
    Raises StorageError when a folder cannot be made durable.
    """
    folders: dict[str, None] = {}
    failures: list[StorageError] = []
    for key in filter(is_erasable, keys):
        path, folder = archive / key, key.rpartition("/")[0]
        try:
            if disk.file_bytes(path) is None and not path.is_symlink():
                continue  # gone already; a folder of that name is none of ours
            disk.make_folders(archive, folder)  # which is there: this refuses a link on the way to it
            with disk.guarded("remove", path):
                path.unlink(missing_ok=True)
            folders[folder] = None
        except StorageError as error:
            failures.append(error)
    for folder in folders:
        disk.sync_folder(archive / folder)
    return failures


def finish(archive: Path, run_id: str) -> None:
    """Remove what the tombstones of a run that was cut off name and still lies there. Raises StorageError, LedgerError.

    What cannot be removed, such as a file that somebody has made immutable, holds up no run: the log tells of it, `verify` finds
    it, and erasing the call once more tries again.
    """
    tombstones = (line for line in ledger.whole_lines(archive, run_id) if line.event == ledger.ERASED)
    erased = (file.path for line in tombstones for file in line.erased)
    for failure in remove(archive, erased):
        log.warning("%s; it was erased by the run %s, and still lies there", failure, run_id)


def is_erasable(key: str) -> bool:
    """Whether a key is that of a call's file or of a kept list page."""
    return bool(FILE_KEY.fullmatch(key) or PAGE_KEY.fullmatch(key))


def place_of(key: str) -> str:
    """Return the place of the call to which a file belongs: its key without version and suffix."""
    folder, slash, name = key.rpartition("/")
    return f"{folder}{slash}{name.partition('.')[0]}"


def _told(archive: Path, places: set[str]) -> tuple[dict[str, dict[str, File]], list[File], set[str]]:
    """Return what the ledgers tell: the files of each place by their keys, all kept pages, and the keys that are erased."""
    files: dict[str, dict[str, File]] = {place: {} for place in places}
    pages: list[File] = []
    erased: set[str] = set()
    for run_id in ledger.run_ids(archive):
        for line in ledger.whole_lines(archive, run_id):
            erased.update(file.path for file in line.erased)
            for file in (*line.files, *line.erased):  # of what was erased a tombstone may be the only line
                if file.role == PAGE:
                    pages.append(file)
                elif (place := place_of(file.path)) in places and FILE_KEY.fullmatch(file.path):
                    files[place].setdefault(file.path, file)
    return files, pages, erased


def _lying(archive: Path, folder: str) -> Iterator[str]:
    """Yield the keys of the files in a folder that bear names of calls."""
    for name in sorted(disk.names(archive / folder)):
        if FILE_KEY.fullmatch(key := f"{folder}/{name}"):
            yield key


def _grave(archive: Path, file: File) -> Grave:
    """Hold a file against what the ledger says of it."""
    path = archive / file.path
    size_bytes = disk.file_bytes(path)
    if size_bytes is None:
        return Grave(file=file, found=ALTERED if disk.exists(path) else MISSING)
    same = size_bytes == file.bytes and disk.sha256_of(path)[0] == file.sha256
    return Grave(file=file, found="" if same else ALTERED)


def _shown(archive: Path, page: File, by_id: dict[str, str]) -> str | None:
    """Return the place of one of the calls that a kept page shows; None where it shows none of them.

    Where that cannot be told rather one page too many is erased than one too few.
    """
    path = archive / page.path
    if not PAGE_KEY.fullmatch(page.path) or disk.file_bytes(path) is None:
        return None
    with disk.guarded("read", path):
        body = _unpacked(path.read_bytes())
    if body is None:
        return next(iter(by_id.values()), None)
    return next((by_id[call_id] for call_id in shown_of(body, by_id)), None)


def _unpacked(data: bytes) -> bytes | None:
    """Return what a page held when it came, as much as is left where it was cut; None where nobody can tell."""
    if not data.startswith(GZIP):
        return data
    try:
        return zlib.decompressobj(wbits=zlib.MAX_WBITS | 16).decompress(data, LARGEST_PAGE_BYTES)
    except zlib.error:
        return None


class _Row(msgspec.Struct):
    id: Any = None


class _Page(msgspec.Struct):
    data: list[_Row] | dict[str, _Row]


_page = msgspec.json.Decoder(_Page)


def shown_of(body: bytes, ids: Collection[str]) -> set[str]:
    """Return which of some calls a list page shows. One that cannot be read as a page is searched for their ids as words."""
    found = ids_on(body)
    return {each for each in ids if _is_word(each, body)} if found is None else {each for each in found if each in ids}


def ids_on(body: bytes) -> set[str] | None:
    """Return the ids of the calls that a list page shows; None where it cannot be read as one."""
    try:
        data = _page.decode(body).data
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return {str(row.id) for row in (data.values() if isinstance(data, dict) else data)}


def _is_word(call_id: str, body: bytes) -> bool:
    return bool(re.search(rb"(?<![\w-])" + re.escape(call_id.encode("utf-8", "replace")) + rb"(?![\w-])", body))
