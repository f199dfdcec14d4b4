"""Look at every file that there should be, and read those that are to be read.

In:   the catalog's files.  Out: how many there were; a finding for each that is missing, or another one.

Threads read several files at once: hashing and reading both let go of the interpreter. What a file costs besides is the
interpreter's alone, so files are handed out in batches, and a file of the wrong size is not read.
"""

from __future__ import annotations

import collections
import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from harvester.archive import steps
from harvester.verify.catalog import Expected
from harvester.verify.findings import Finding, Verification
from harvester.verify.portion import Portion

READERS = max(4, os.cpu_count() or 1)
"""Files read at once: a disk wants a few requests in its queue, a share more, and each core can hash one."""

BATCH_FILES = 64
BATCH_BYTES = 4 * 1024 * 1024
"""A batch ends with the file by which it has as many."""

BLOCK_BYTES = 64 * 1024
"""Stays in the core's cache between reading and hashing, and costs no new pages each time, as larger ones do."""

FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)

Tell = Callable[[int, int], None]
"""Told the number of files and bytes that one more step has looked at."""

Task = tuple[Expected, bool]
"""A file, and whether it is to be read."""


class Tally:
    """What a batch has shown."""

    def __init__(self) -> None:
        self.files = self.bytes = self.hashed_files = self.hashed_bytes = 0
        self.findings: list[Finding] = []


def read_all(archive: Path, files: Iterable[Expected], portion: Portion, result: Verification, tell: Tell) -> None:
    """Look at the files, several at once, never more than a few batches ahead of the results."""
    waiting: collections.deque[Future[Tally]] = collections.deque()
    with ThreadPoolExecutor(READERS) as pool:
        for batch in _batches(files, portion):
            waiting.append(pool.submit(_look_at_batch, str(archive), batch))
            if len(waiting) >= 4 * READERS:
                _take(waiting.popleft().result(), result, tell)
        while waiting:
            _take(waiting.popleft().result(), result, tell)


def _batches(files: Iterable[Expected], portion: Portion) -> Iterator[list[Task]]:
    batch: list[Task] = []
    size_bytes = 0
    for file in files:
        if not portion.looks_at(file.path):
            continue
        batch.append((file, portion.reads(file.path)))
        size_bytes += int(file.size_text or 0)
        if len(batch) >= BATCH_FILES or size_bytes >= BATCH_BYTES:
            yield batch
            batch, size_bytes = [], 0
    if batch:
        yield batch


def _take(tally: Tally, result: Verification, tell: Tell) -> None:
    result.files += tally.files
    result.bytes += tally.bytes
    result.hashed_files += tally.hashed_files
    result.hashed_bytes += tally.hashed_bytes
    result.findings += tally.findings
    tell(tally.files, tally.bytes)


def _look_at_batch(archive: str, batch: list[Task]) -> Tally:
    tally = Tally()
    with steps.step("read", archive) as step:
        for file, reads in batch:
            finding = _look_at(archive, file, tally, step, reads=reads)
            tally.files += 1
            if finding:
                tally.findings.append(finding)
    return tally


def _look_at(archive: str, file: Expected, tally: Tally, step: steps.Step, *, reads: bool) -> Finding | None:
    """Look at one file, and read it if it is to be; return what is wrong with it."""
    key, digest, size_text = file

    def finding(kind: str, expected: str, found: str) -> Finding:
        return Finding(kind=kind, path=key, expected=expected, found=found)

    if _leads_out(key):
        return finding("ledger", "a path inside the archive", "one that leads out of it")
    step.path = path = f"{archive}/{key}"
    step.moves += 1
    try:
        state = os.lstat(path)
        if not stat.S_ISREG(state.st_mode):
            is_link = stat.S_ISLNK(state.st_mode)
            return finding("altered", "a file", "a symbolic link" if is_link else "something else")
        tally.bytes += state.st_size
        if size_text is not None and str(state.st_size) != size_text:
            return finding("altered", f"{size_text} bytes", f"{state.st_size} bytes")
        if not reads:
            return None
        found = _sha256(path, state.st_size, step)
    except (FileNotFoundError, NotADirectoryError):
        return finding("missing", f"SHA-256 {digest}", "no file")
    except OSError as error:
        return finding("missing", f"SHA-256 {digest}", f"it cannot be read: {error.strerror or error}")
    tally.hashed_files += 1
    tally.hashed_bytes += state.st_size
    if found != digest:
        voucher = ", as its manifest says" if size_text is None else ""
        return finding("altered", f"SHA-256 {digest}{voucher}", f"SHA-256 {found}")
    return None


def _leads_out(key: str) -> bool:
    """Whether a key is no path inside the archive."""
    return key.startswith("/") or "\0" in key or (".." in key and ".." in PurePosixPath(key).parts)


def _sha256(path: str, size_bytes: int, step: steps.Step) -> str:
    """Return the SHA-256 in hex of a file that has so many bytes. Raises OSError."""
    file = os.open(path, FLAGS)
    try:
        block = os.read(file, BLOCK_BYTES)
        digest = hashlib.sha256(block)
        if len(block) == size_bytes:  # to ask a small file for its end costs as much as to read it
            return digest.hexdigest()
        while block:
            step.moves += 1
            block = os.read(file, BLOCK_BYTES)
            digest.update(block)
    finally:
        os.close(file)
    return digest.hexdigest()
