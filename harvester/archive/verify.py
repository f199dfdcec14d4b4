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
import stat
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path, PurePosixPath

import msgspec

from harvester.archive import disk, ledger
from harvester.archive.group import unwritten
from harvester.archive.layout import ACCOUNT, LEDGER, MANIFEST, MARK, PARTS, RUNS, SEAL, SEAL_PART, SEALING, run_key
from harvester.archive.mark import NOT_CONTENT, require_mark
from harvester.archive.seal import differences, is_to_be_sealed
from harvester.errors import LedgerError, MarkError, StorageError

READERS = 4
"""Files read at once: a disk wants a few requests in its queue, a share more; more readers only seek."""

CLOSED_NAMES = frozenset({MANIFEST, *SEALING, *(f"{name}.part" for name in SEALING)})
"""What may lie in the folder of a run that has closed, and stands in no manifest. The parts are a crash's: nobody reads them."""

OPEN_NAMES = frozenset({LEDGER, ACCOUNT, f"{ACCOUNT}.part", f"{MANIFEST}.part", SEAL_PART, *SEALING})
"""What may lie in the folder of a run that has not closed, and stands in no manifest yet."""

Tell = Callable[[int, int], None]
"""Told the number of files and bytes that one more step has read."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not as it should be."""

    kind: str  # "missing", "altered", "unexpected", "ledger", "manifest" or "seal"
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
    problem: MarkError | None = None
    try:
        require_mark(archive)
    except MarkError as error:
        problem = error
    result = Verification(archive=disk.path_text(archive))
    with closing(sqlite3.connect("", check_same_thread=False)) as db:
        db.execute(SCHEMA)
        books = _Books(archive, db, result)
        books.read()
        if problem and not books.is_damaged(MARK):
            raise problem
        _walk(archive, books, result)
        _hash_all(archive, db, result, tell)
    return result


SCHEMA = """
CREATE TABLE file (path TEXT PRIMARY KEY, sha256 TEXT NOT NULL, bytes TEXT, run TEXT, listed INTEGER DEFAULT 0) WITHOUT ROWID
"""


class _Books:
    """Reads ledgers and manifests into the table of files: `run` is whose ledger names it, `listed` if its manifest does."""

    def __init__(self, archive: Path, db: sqlite3.Connection, result: Verification) -> None:
        self._archive = archive
        self._db = db
        self._result = result
        self._closed: set[str] = set()
        self._promised: set[str] = set()
        self._open: set[str] = set()

    def read(self) -> None:
        """Read every run in the order of the chain."""
        after = ledger.Position()
        ids = self._run_ids()
        for run_id in ids:
            self._result.runs += 1
            before, after = after, self._read_ledger(run_id, after)
            if (self._archive / run_key(run_id, MANIFEST)).exists():
                self._closed.add(run_id)
                self._read_manifest(run_id, is_first=before.seq == 0)
                self._read_seal(run_id)
                continue
            self._open.add(run_id)
            if run_id == ids[-1] and not (self._archive / run_key(run_id, SEAL)).exists():
                self._result.notes.append(f"the run {run_id} has not closed: it is going on, or the next run mends it")
            else:
                self._find("manifest", run_key(run_id, MANIFEST), "a manifest", "none")

    def knows(self, key: str) -> bool:
        """Whether a file stands in a ledger or manifest, or is one that a run's folder holds besides."""
        if self._names(key):
            return True
        folder, _, rest = key.partition("/")
        run_id, _, name = rest.partition("/")
        if key == MARK:
            return not self._closed  # no manifest names it yet
        if folder != RUNS or (self._archive / key).is_symlink():
            return False
        if run_id in self._closed:
            return name in CLOSED_NAMES
        return run_id in self._open and (name in OPEN_NAMES or name.startswith(f"{PARTS}/"))

    def named_by_open_runs(self, keys: set[str]) -> set[str]:
        """Return those of the keys that a run which has not closed has named, perhaps since its ledger was read."""
        named = set()
        for run_id in self._open:
            named |= keys & {file.path for file in unwritten(self._archive, run_id)}
            if (self._archive / run_key(run_id, LEDGER)).is_file():
                lines = ledger.whole_lines(self._archive, run_id)
                named |= keys & {file.path for line in lines for file in line.files}
        return named

    def is_damaged(self, key: str) -> bool:
        """Whether a file stands in a ledger or manifest and is another one, or is missing."""
        row = self._db.execute("SELECT sha256 FROM file WHERE path = ?", (key,)).fetchone()
        path = self._archive / key
        return bool(row) and (not path.is_file() or disk.sha256_of(path)[0] != row[0])

    def _run_ids(self) -> list[str]:
        """Return the runs in the order of the chain, as the first readable line of each tells it."""
        unbegun = ledger.unbegun_ids(self._archive)
        self._open.update(unbegun)
        self._result.notes += [f"the run {run_id} has not begun; the next run sweeps it" for run_id in unbegun]
        started = []
        with disk.guarded("read", self._archive / RUNS) as step:
            for folder in step.over(ledger.run_folders(self._archive)):
                if (folder / LEDGER).is_file():
                    started.append((_first_seq(folder / LEDGER), folder.name))
                elif folder.name not in self._open:
                    self._find("missing", run_key(folder.name, LEDGER), "the ledger of a run", "no file")
        return [run_id for _, run_id in sorted(started) if run_id not in self._open]

    def _read_ledger(self, run_id: str, after: ledger.Position) -> ledger.Position:
        """Read one ledger. A line that breaks the chain is a finding; reading goes on behind it."""
        key = run_key(run_id, LEDGER)
        with disk.guarded("read", self._archive / key) as step, (self._archive / key).open("rb") as file:
            for raw in step.over(file):
                if not raw.endswith(b"\n"):
                    self._result.notes.append(f"{key} ends in a torn line; the next run cuts it off")
                    break
                seq = after.seq + 1
                try:
                    line = ledger.decode_line(raw)
                    self._take(run_id, line)
                    seq = line.seq
                    ledger.check_link(line, after, key)
                    self._result.lines += 1
                except LedgerError as error:
                    self._find("ledger", key, f"line {after.seq + 1} of an unbroken chain", str(error))
                after = ledger.Position(run_id=run_id, seq=seq, prev=hashlib.sha256(raw).hexdigest())
        return after

    def _take(self, run_id: str, line: ledger.Line) -> None:
        """Take in the files of a line. A file is never changed, so a second line about it must say the same."""
        if line.seal:
            self._promised.add(run_id)
        for file in line.files:
            known = self._db.execute("SELECT sha256 FROM file WHERE path = ?", (file.path,)).fetchone()
            if known is None:
                row = (file.path, file.sha256, str(file.bytes), run_id)
                self._db.execute("INSERT INTO file (path, sha256, bytes, run) VALUES (?, ?, ?, ?)", row)
            elif known[0] != file.sha256:
                found = f"{file.sha256} in line {line.seq}"
                self._find("ledger", run_key(run_id, LEDGER), f"{known[0]} for {file.path[:200]!a}, as before", found)

    def _read_manifest(self, run_id: str, *, is_first: bool) -> None:
        """Hold a manifest against the ledger's files, and take in the files that only manifests name."""
        key = run_key(run_id, MANIFEST)
        own = {run_key(run_id, LEDGER), run_key(run_id, ACCOUNT), *([MARK] if is_first else ())}
        with disk.guarded("read", self._archive / key) as step, (self._archive / key).open("rb") as file:
            for number, raw in enumerate(step.over(file), start=1):
                digest, _, path = raw.decode("utf-8", "replace").rstrip("\n").partition("  ")
                known = self._db.execute("SELECT sha256 FROM file WHERE path = ?", (path,)).fetchone()
                if known is None and path in own:
                    self._db.execute("INSERT INTO file (path, sha256, run) VALUES (?, ?, ?)", (path, digest, run_id))
                elif known is None:
                    self._find("manifest", key, "only files of the ledger", f"line {number}: {path[:200]!a}")
                elif known[0] != digest:
                    self._find("manifest", key, f"{known[0]} for {path}, as in the ledger", digest[:200])
                self._db.execute("UPDATE file SET listed = 1 WHERE path = ?", (path,))
        named = self._db.execute("SELECT path FROM file WHERE run = ? AND NOT listed", (run_id,))
        unlisted = [row[0] for row in named] + [path for path in sorted(own) if not self._names(path)]
        for path in unlisted:
            self._find("manifest", key, f"a line for {path[:200]!a}", "none")

    def _read_seal(self, run_id: str) -> None:
        """Hold a seal against its run."""
        for expected, found in differences(self._archive, run_id):
            self._find("seal", run_key(run_id, SEAL), expected, found)
        if is_to_be_sealed(self._archive, run_id):
            self._result.notes.append(f"the run {run_id} has closed without its seal: the next run seals it")
        elif run_id in self._promised and not (self._archive / run_key(run_id, SEAL)).exists():
            self._find("missing", run_key(run_id, SEAL), "the seal that the run's first line speaks of", "no file")

    def _names(self, path: str) -> bool:
        return bool(self._db.execute("SELECT 1 FROM file WHERE path = ?", (path,)).fetchone())

    def _find(self, kind: str, path: str, expected: str, found: str) -> None:
        self._result.findings.append(Finding(kind=kind, path=path, expected=expected, found=found))


def _first_seq(path: Path) -> tuple[bool, int]:
    """Return the seq of a ledger's first line, told from its first readable one; without one it sorts behind the others."""
    with path.open("rb") as file:
        for number, raw in enumerate(file):
            with suppress(LedgerError):
                return False, ledger.decode_line(raw).seq - number
    return True, 0


def _walk(archive: Path, books: _Books, result: Verification) -> None:
    """Find the files that stand in no ledger and no manifest."""
    strange = [key for key in _keys(archive) if not books.knows(key)]
    named = books.named_by_open_runs(set(strange)) if strange else set()
    if named:
        result.notes.append(
            f"{len(named):,} files are named by a run that has not closed; it, or the next run, settles them"
        )
    for key in strange:
        if key not in named:
            result.findings.append(Finding(kind="unexpected", path=key, expected="no such file", found="a file"))


def _keys(archive: Path) -> Iterator[str]:
    def fail(error: OSError) -> None:
        raise StorageError(f"cannot read {error.filename}: {error.strerror}") from error

    def content(names: Iterable[str]) -> list[str]:
        return sorted(name for name in names if name not in NOT_CONTENT)

    for folder, folders, names in os.walk(archive, onerror=fail):
        folders[:] = content(folders)
        links = [name for name in folders if Path(folder, name).is_symlink()]  # not walked into, and none of ours
        for name in links + content(names):
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


def _check(archive: Path, key: str, digest: str, size_text: str | None) -> tuple[Finding | None, int]:
    """Read one file; return what is wrong with it, and its size in bytes."""

    def finding(kind: str, expected: str, found: str) -> Finding:
        return Finding(kind=kind, path=key, expected=expected, found=found)

    if PurePosixPath(key).is_absolute() or ".." in PurePosixPath(key).parts or "\0" in key:
        return finding("ledger", "a path inside the archive", "one that leads out of it"), 0
    path = archive / key
    try:
        mode = path.lstat().st_mode
        if not stat.S_ISREG(mode):
            return finding("altered", "a file", "a symbolic link" if stat.S_ISLNK(mode) else "something else"), 0
        found, found_bytes = disk.sha256_of(path)
    except (FileNotFoundError, NotADirectoryError):
        return finding("missing", f"SHA-256 {digest}", "no file"), 0
    except (OSError, StorageError) as error:
        return finding("missing", f"SHA-256 {digest}", str(error)[:200]), 0
    if size_text is not None and str(found_bytes) != size_text:
        return finding("altered", f"{size_text} bytes", f"{found_bytes} bytes"), found_bytes
    if found != digest:
        voucher = ", as its manifest says" if size_text is None else ""
        return finding("altered", f"SHA-256 {digest}{voucher}", f"SHA-256 {found}"), found_bytes
    return None, found_bytes
