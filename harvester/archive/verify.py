"""Verify the archive against itself: every file against its hash, every ledger line against the one before it.

In:   an archive's folder; nothing else, no local state.  Out: `Verification` with every `Finding`.

The ledgers say which files there are. The chain shows that no line was altered, dropped or added in the middle; the manifests
must say the same as the ledgers; and every file must have the size and hash that they state. What lies there and stands in
none of them is unexpected. The list of files goes through a temporary SQLite file, so memory stays flat. Nothing is written.
"""

from __future__ import annotations

import collections
import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path, PurePosixPath

import msgspec

from harvester.archive import disk, ledger
from harvester.archive.layout import ACCOUNT, LEDGER, MANIFEST, MARK, PARTS, RUNS, run_key
from harvester.archive.mark import NOT_CONTENT, read_mark
from harvester.errors import LedgerError, MarkError, StorageError

READERS = 4
"""Files read at once: a disk wants a few requests in its queue, a share more; more readers only seek."""

Tell = Callable[[int, int], None]
"""Told the number of files and bytes that one more step has read."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not as it should be."""

    kind: str  # "missing", "altered", "unexpected", "ledger" or "manifest"
    path: str
    expected: str
    found: str

    def __str__(self) -> str:
        """Say it in one line."""
        return f"{self.kind}: {self.path!a}: expected {self.expected}, found {self.found}"


class Verification(msgspec.Struct, kw_only=True):
    """What verifying found. No findings: the archive is what its ledgers say."""

    archive: str
    runs: int = 0
    lines: int = 0
    files: int = 0
    bytes: int = 0
    findings: list[Finding] = msgspec.field(default_factory=list)
    notes: list[str] = msgspec.field(default_factory=list)


def verify(archive: Path, tell: Tell = lambda files, size_bytes: None) -> Verification:
    """Verify the archive in a folder. Raises MarkError when it is none, StorageError when it cannot be read at all."""
    if read_mark(archive) is None:
        raise MarkError(f"there is no archive at {archive}; is the disk or the share mounted?")
    result = Verification(archive=str(archive))
    with closing(sqlite3.connect("", check_same_thread=False)) as db:
        db.execute("CREATE TABLE file (path TEXT PRIMARY KEY, sha256 TEXT NOT NULL, bytes INTEGER) WITHOUT ROWID")
        _Books(archive, db, result).read()
        _walk(archive, db, result)
        _hash_all(archive, db, result, tell)
    return result


class _Books:
    """Reads ledgers and manifests into the table of files."""

    def __init__(self, archive: Path, db: sqlite3.Connection, result: Verification) -> None:
        self._archive = archive
        self._db = db
        self._result = result

    def read(self) -> None:
        """Read every run in the order of the chain."""
        after = ledger.Position()
        ids = self._run_ids()
        for run_id in ids:
            self._result.runs += 1
            after = self._read_ledger(run_id, after)
            if (self._archive / run_key(run_id, MANIFEST)).exists():
                self._read_manifest(run_id)
            elif run_id == ids[-1]:
                self._result.notes.append(f"the run {run_id} has not closed: it is going on, or the next run mends it")
            else:
                self._find("manifest", run_key(run_id, MANIFEST), "a manifest", "none")

    def _run_ids(self) -> list[str]:
        try:
            return ledger.run_ids(self._archive)
        except LedgerError as error:
            self._find("ledger", RUNS, "readable ledgers", str(error))
            return []

    def _read_ledger(self, run_id: str, after: ledger.Position) -> ledger.Position:
        """Read one ledger. A line that breaks the chain is a finding; reading goes on behind it."""
        key = run_key(run_id, LEDGER)
        with disk.guarded("read", self._archive / key), (self._archive / key).open("rb") as file:
            for raw in file:
                if not raw.endswith(b"\n"):
                    self._result.notes.append(f"{key} ends in a torn line; the next run cuts it off")
                    break
                try:
                    line = ledger.decode_line(raw)
                    ledger.check_link(line, after, key)
                except LedgerError as error:
                    self._find("ledger", key, f"line {after.seq + 1} of an unbroken chain", str(error))
                    after = msgspec.structs.replace(after, seq=after.seq + 1, prev=hashlib.sha256(raw).hexdigest())
                    continue
                self._result.lines += 1
                after = ledger.Position(run_id=run_id, seq=line.seq, prev=hashlib.sha256(raw).hexdigest())
                self._db.executemany(
                    "INSERT OR REPLACE INTO file VALUES (?, ?, ?)", [(f.path, f.sha256, f.bytes) for f in line.files]
                )
        return after

    def _read_manifest(self, run_id: str) -> None:
        """Hold a manifest against the ledger's files, and take in the files that only manifests name."""
        key = run_key(run_id, MANIFEST)
        own = {run_key(run_id, LEDGER), run_key(run_id, ACCOUNT), MARK}
        with disk.guarded("read", self._archive / key), (self._archive / key).open("rb") as file:
            for number, raw in enumerate(file, start=1):
                digest, _, path = raw.decode("utf-8", "replace").rstrip("\n").partition("  ")
                known = self._db.execute("SELECT sha256 FROM file WHERE path = ?", (path,)).fetchone()
                if known is None and path in own:
                    self._db.execute("INSERT INTO file VALUES (?, ?, NULL)", (path, digest))
                elif known is None:
                    self._find("manifest", key, "only files of the ledger", f"line {number}: {path[:200]!a}")
                elif known[0] != digest:
                    self._find("manifest", key, f"{known[0]} for {path}, as in the ledger", digest[:200])

    def _find(self, kind: str, path: str, expected: str, found: str) -> None:
        self._result.findings.append(Finding(kind=kind, path=path, expected=expected, found=found))


def _walk(archive: Path, db: sqlite3.Connection, result: Verification) -> None:
    """Find the files that stand in no ledger and no manifest."""
    for key in _keys(archive):
        parts = PurePosixPath(key).parts
        if parts[0] == RUNS and len(parts) > 2 and (parts[2] in (MANIFEST, PARTS) or _is_open(archive, parts)):
            continue
        if key != MARK and not db.execute("SELECT 1 FROM file WHERE path = ?", (key,)).fetchone():
            result.findings.append(Finding(kind="unexpected", path=key, expected="no such file", found="a file"))


def _is_open(archive: Path, parts: tuple[str, ...]) -> bool:
    """Whether a file is the ledger or account of a run that has not closed, and so stands in no manifest yet."""
    return parts[2] in (LEDGER, ACCOUNT) and not (archive / run_key(parts[1], MANIFEST)).exists()


def _keys(archive: Path) -> Iterator[str]:
    def fail(error: OSError) -> None:
        raise StorageError(f"cannot read {error.filename}: {error.strerror}") from error

    for folder, folders, names in os.walk(archive, onerror=fail):
        folders[:] = sorted(name for name in folders if name not in NOT_CONTENT)
        for name in sorted(names):
            if name not in NOT_CONTENT:
                yield Path(folder, name).relative_to(archive).as_posix()


def _hash_all(archive: Path, db: sqlite3.Connection, result: Verification, tell: Tell) -> None:
    """Read every file that there should be, several at once, never more than a few ahead of the results."""
    rows = db.execute("SELECT path, sha256, bytes FROM file ORDER BY path")
    waiting: collections.deque[Future[tuple[Finding | None, int]]] = collections.deque()
    with ThreadPoolExecutor(READERS) as pool:
        for path, digest, size_bytes in rows:
            waiting.append(pool.submit(_check, archive, path, digest, size_bytes))
            if len(waiting) >= 4 * READERS:
                _take(waiting.popleft().result(), result, tell)
        while waiting:
            _take(waiting.popleft().result(), result, tell)


def _take(checked: tuple[Finding | None, int], result: Verification, tell: Tell) -> None:
    finding, size_bytes = checked
    result.files += 1
    result.bytes += size_bytes
    if finding:
        result.findings.append(finding)
    tell(1, size_bytes)


def _check(archive: Path, key: str, digest: str, size_bytes: int | None) -> tuple[Finding | None, int]:
    """Read one file; return what is wrong with it, and its size in bytes."""

    def finding(kind: str, expected: str, found: str) -> Finding:
        return Finding(kind=kind, path=key, expected=expected, found=found)

    if PurePosixPath(key).is_absolute() or ".." in PurePosixPath(key).parts:
        return finding("ledger", "a path inside the archive", "one that leads out of it"), 0
    path = archive / key
    if path.is_symlink():
        return finding("altered", "a file", "a symbolic link"), 0
    try:
        found, found_bytes = disk.sha256_of(path)
    except StorageError as error:
        return finding("missing", f"SHA-256 {digest}", "no file" if not path.exists() else str(error)), 0
    if size_bytes is not None and found_bytes != size_bytes:
        return finding("altered", f"{size_bytes:,} bytes", f"{found_bytes:,} bytes"), found_bytes
    if found != digest:
        return finding("altered", f"SHA-256 {digest}", f"SHA-256 {found}"), found_bytes
    return None, found_bytes
