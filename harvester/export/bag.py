"""A bag of BagIt 1.0 (RFC 8493): files, and what they hash to.

In:   files, in blocks.  Out: the same files in a sink, manifests of what lies below `data/`, and of all else.

Each file is hashed as it passes, so it is read once. The list goes through a temporary SQLite file, so memory stays flat.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator

import msgspec

from harvester.export.exported import DATA
from harvester.export.sinks import Block, Sink

DECLARATION = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
"""What `bagit.txt` holds (RFC 8493, 2.1.1)."""

ALGORITHMS = ("sha256", "sha512")
LONGEST_VALUE = 2000
"""Characters of one value in `bag-info.txt`: a selection by hundreds of ids is told in full by `calls.jsonl`."""


class Passed(msgspec.Struct, frozen=True):
    """What passed: its size in bytes, and SHA-256 in hex."""

    bytes: int
    sha256: str


class Bag:
    """A bag that is being filled."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute("CREATE TABLE file (path TEXT PRIMARY KEY, payload, bytes, sha256, sha512) WITHOUT ROWID")
        self._db.execute("BEGIN")
        sink.folder(DATA)  # a bag has one, also where nothing lies in it (RFC 8493, 2.1.2)

    def add(self, path: str, blocks: Iterable[Block], size_bytes: int = 0) -> Passed:
        """Put a file into the bag; `size_bytes` is how large it is, as far as that is known. Raises StorageError."""
        sha256, sha512, size = hashlib.sha256(), hashlib.sha512(), 0
        self._sink.begin(path, size_bytes)
        for block in blocks:
            sha256.update(block)
            sha512.update(block)
            size += len(block)
            self._sink.write(block)
        self._sink.end()
        row = (path, path.startswith(f"{DATA}/"), size, sha256.hexdigest(), sha512.hexdigest())
        self._db.execute("INSERT INTO file VALUES (?, ?, ?, ?, ?)", row)
        return Passed(bytes=size, sha256=sha256.hexdigest())

    def payload(self) -> tuple[int, int]:
        """Return how many files lie below `data/`, and of how many bytes."""
        files, size_bytes = self._db.execute(
            "SELECT count(*), coalesce(sum(bytes), 0) FROM file WHERE payload"
        ).fetchone()
        return files, size_bytes

    def write_manifests(self) -> str:
        """Write the manifests of what lies below `data/`, once all of it does; return the SHA-256 in hex of the first."""
        passed = [self.add(f"manifest-{each}.txt", self._manifest(each, payload=True)) for each in ALGORITHMS]
        return passed[0].sha256

    def finish(self, info: Iterable[tuple[str, str]]) -> str:
        """Write what makes the files a bag, and make all durable; return the SHA-256 in hex of `tagmanifest-sha256.txt`.

        That hash stands for the whole bag. `info` are the labels and values of `bag-info.txt`. Raises StorageError.
        """
        self.add("bagit.txt", [DECLARATION])
        self.add("bag-info.txt", [info_text(info)])
        passed = [self.add(f"tagmanifest-{each}.txt", self._manifest(each, payload=False)) for each in ALGORITHMS]
        self._sink.finish()
        return passed[0].sha256

    def abandon(self) -> None:
        """Let go of what is open."""
        self._sink.abandon()
        self._db.close()

    def _manifest(self, algorithm: str, *, payload: bool) -> Iterator[bytes]:
        """Yield the lines of a manifest, sorted, in the form of coreutils. One of tag files names no tag manifest."""
        query = f"SELECT {algorithm}, path FROM file WHERE payload = ? AND path NOT LIKE 'tagmanifest-%' ORDER BY path"
        rows = self._db.execute(query, (payload,))
        while batch := rows.fetchmany(1000):
            yield "".join(f"{digest}  {path}\n" for digest, path in batch).encode()


def info_text(info: Iterable[tuple[str, str]]) -> bytes:
    """Return `bag-info.txt` (RFC 8493, 2.2.2): a label and a value a line, whatever line breaks and controls a value holds."""
    return "".join(f"{label}: {one_line(value)}\n" for label, value in info).encode("utf-8", "replace")


def one_line(value: str) -> str:
    """Return a text as one line without control characters, and of a length that people read."""
    text = " ".join("".join(each if each.isprintable() else " " for each in value).split())
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]} ..."
