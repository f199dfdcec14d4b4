"""Read what the archive says of itself: the ledgers, in the order of the chain, and the manifest of each run.

In:   the archive's folder.  Out: every file that is named, in the `Catalog`; what does not hold together, as findings.

The chain shows that no line was altered, dropped or added in the middle; the manifests must say the same as the ledgers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from harvester.archive import disk, ledger
from harvester.archive.group import unwritten
from harvester.archive.layout import ACCOUNT, LEDGER, MANIFEST, MARK, PARTS, RUNS, SEAL_PART, SEALING, run_key
from harvester.errors import LedgerError
from harvester.verify.catalog import Catalog, Named
from harvester.verify.findings import Verification
from harvester.verify.seals import Book, Seals
from harvester.verify.sums import check_sums

CLOSED_NAMES = frozenset({MANIFEST, *SEALING, *(f"{name}.part" for name in SEALING)})
"""What may lie in the folder of a run that has closed, and stands in no manifest. The parts are a crash's: nobody reads them."""

OPEN_NAMES = frozenset({LEDGER, ACCOUNT, f"{ACCOUNT}.part", MANIFEST, f"{MANIFEST}.part", SEAL_PART, *SEALING})
"""What may lie in the folder of a run that had not closed when it was looked at, and may since."""

TAKEN_TOGETHER = 1000
"""Files for which the catalog is asked at once."""


class Books:
    """The ledgers and manifests of an archive, and what they name."""

    def __init__(self, archive: Path, catalog: Catalog, seals: Seals, result: Verification) -> None:
        self._archive = archive
        self._catalog = catalog
        self._seals = seals
        self._result = result
        self._closed: set[str] = set()
        self._promised: set[str] = set()
        self.open: set[str] = set()  # ids of the runs that have not closed

    def read(self) -> None:
        """Read every run in the order of the chain. Raises StorageError."""
        after = ledger.Position()
        ids = self._run_ids()
        for run_id in ids:
            self._result.runs += 1
            after = self._read_run(run_id, after, is_last=run_id == ids[-1])
        self._seals.end()

    def _read_run(self, run_id: str, after: ledger.Position, *, is_last: bool) -> ledger.Position:
        """Read ledger, manifest and seal of a run; return its end."""
        manifest = self._archive / run_key(run_id, MANIFEST)
        has_closed = (
            disk.file_bytes(manifest) is not None
        )  # asked before its ledger is read, because it may close meanwhile
        stated = self._seals.of(run_id)
        lines = Book(sealed=bool(stated))
        before_findings = len(self._result.findings)
        before, (after, named) = after, self._read_ledger(run_id, after, lines, has_closed=has_closed)
        of_ledger = {
            "ledger_lines": lines.lines,
            "ledger_last_seq": after.seq,
            "ledger_last_line_sha256": after.prev,
            "ledger_merkle_root": lines.root,
        }
        if has_closed:
            self._closed.add(run_id)
            files = Book(sealed=bool(stated))
            digest = self._read_manifest(run_id, named, files, is_first=before.seq == 0)
            of_manifest = {
                "manifest_sha256": digest,
                "manifest_lines": files.lines,
                "manifest_merkle_root": files.root,
            }
            self._seals.hold(run_id, stated, of_ledger, of_manifest)
            self._seals.miss(run_id, promised=run_id in self._promised)
            check_sums(self._archive, run_id, lines.last, self._result)
            return after
        self.open.add(run_id)
        self._seals.hold(run_id, stated, of_ledger, {})
        if not is_last or stated:
            self._result.find("manifest", run_key(run_id, MANIFEST), "a manifest", "none")
        elif len(self._result.findings) == before_findings:  # else no run begins, and so none mends it
            self._result.notes.append(f"the run {run_id} has not closed: it is going on, or the next run mends it")
        return after

    def knows(self, key: str) -> bool:
        """Whether a file stands in a ledger or manifest, or is one that a run's folder holds besides."""
        if self._catalog.sha256_of(key) is not None or self._catalog.is_buried(key):
            return True
        folder, _, rest = key.partition("/")
        run_id, _, name = rest.partition("/")
        if key == MARK:
            return not self._closed  # no manifest names it yet
        if folder != RUNS or (self._archive / key).is_symlink():
            return False
        if run_id in self._closed:
            return name in CLOSED_NAMES
        return run_id in self.open and (name in OPEN_NAMES or name.startswith(f"{PARTS}/"))

    def named_by_open_runs(self, keys: set[str]) -> set[str]:
        """Return those of the keys that a run which has not closed has named, perhaps since its ledger was read."""
        named = set()
        for run_id in self.open:
            with suppress(LedgerError):  # of a line that cannot be read: told when the ledger was
                named |= keys & {file.path for file in unwritten(self._archive, run_id)}
                if (self._archive / run_key(run_id, LEDGER)).is_file():
                    lines = ledger.whole_lines(self._archive, run_id)
                    named |= keys & {file.path for line in lines for file in line.files}
        return named

    def is_damaged(self, key: str) -> bool:
        """Whether a file stands in a ledger or manifest and is another one, or is missing."""
        digest = self._catalog.sha256_of(key)
        path = self._archive / key
        return digest is not None and (not path.is_file() or disk.sha256_of(path)[0] != digest)

    def _run_ids(self) -> list[str]:
        """Return the runs in the order of the chain, as the first readable line of each tells it."""
        unbegun = ledger.unbegun_ids(self._archive)
        self.open.update(unbegun)
        self._result.notes += [f"the run {run_id} has not begun; the next run sweeps it" for run_id in unbegun]
        started = []
        with disk.guarded("read", self._archive / RUNS) as step:
            for folder in step.over(ledger.run_folders(self._archive)):
                if (folder / LEDGER).is_file():
                    started.append((_first_seq(folder / LEDGER), folder.name))
                elif folder.name not in self.open:
                    self._result.find("missing", run_key(folder.name, LEDGER), "the ledger of a run", "no file")
        return [run_id for _, run_id in sorted(started) if run_id not in self.open]

    def _read_ledger(
        self, run_id: str, after: ledger.Position, book: Book, *, has_closed: bool
    ) -> tuple[ledger.Position, int]:
        """Read one ledger into its book; return its end, and how many files it is the first to name.

        A line that breaks the chain is a finding; reading goes on behind it.
        """
        key = run_key(run_id, LEDGER)
        count = 0
        files: list[Named] = []
        with disk.guarded("read", self._archive / key) as step, (self._archive / key).open("rb") as file:
            for raw in step.over(iter(lambda: file.readline(ledger.LONGEST_LINE_BYTES), b"")):
                if len(raw) == ledger.LONGEST_LINE_BYTES:
                    self._result.find("ledger", key, f"lines of less than {len(raw):,} bytes", "a longer one")
                    break  # nobody else would read on either
                if not raw.endswith(b"\n"):
                    then = "nobody reads it" if has_closed else "the next run cuts it off"
                    self._result.notes.append(f"{key} ends in a torn line; {then}")
                    break
                book.add(raw)
                seq = after.seq + 1
                try:
                    line = ledger.decode_line(raw)
                    seq = line.seq
                    if line.seal:
                        self._promised.add(run_id)
                    if line.event == ledger.ERASED:
                        self._catalog.entomb(
                            (each.path, each.sha256, line.place or "", run_id, seq) for each in line.erased
                        )
                    files += [Named(each.path, each.sha256, str(each.bytes), run_id, seq) for each in line.files]
                    ledger.check_link(line, after)
                    self._result.lines += 1
                except LedgerError as error:
                    self._result.find("ledger", key, f"line {after.seq + 1} of an unbroken chain", str(error))
                after = ledger.Position(run_id=run_id, seq=seq, prev=hashlib.sha256(raw).hexdigest())
                if len(files) >= TAKEN_TOGETHER:
                    count += self._take(key, files)
                    files.clear()
        book.end()
        return after, count + self._take(key, files)

    def _take(self, key: str, files: list[Named]) -> int:
        """Take in files of a ledger. A file is never changed, so a second line about it must say the same."""
        count, contradictions = self._catalog.take(files)
        for each in contradictions:
            found = f"{each.sha256} in line {each.number}"
            self._result.find("ledger", key, f"{each.known} for {each.path[:200]!a}, as before", found)
        return count

    def _read_manifest(self, run_id: str, named: int, book: Book, *, is_first: bool) -> str:
        """Hold a manifest against its ledger, the first to name `named` files, and take in what only manifests name.

        Return the manifest's SHA-256 in hex.
        """
        key = run_key(run_id, MANIFEST)
        own = {run_key(run_id, LEDGER), run_key(run_id, ACCOUNT), *([MARK] if is_first else ())}
        with disk.guarded("read", self._archive / key) as step, (self._archive / key).open("rb") as file:
            digest = hashlib.sha256()
            self._catalog.hold_against(_listed(step.over(file), book, digest))
        named += sum(self._catalog.adopt(path, run_id) for path in own)
        for each in self._catalog.contradicted():
            if each.known is None:
                self._result.find(
                    "manifest", key, "only files of the ledger", f"line {each.number}: {each.path[:200]!a}"
                )
            else:
                self._result.find("manifest", key, f"{each.known} for {each.path}, as in the ledger", each.sha256[:200])
        unnamed = [path for path in sorted(own) if self._catalog.sha256_of(path) is None]
        for path in self._catalog.unlisted(run_id, named) + unnamed:
            self._result.find("manifest", key, f"a line for {path[:200]!a}", "none")
        return digest.hexdigest()


def _listed(lines: Iterator[bytes], book: Book, whole: hashlib._Hash) -> Iterator[tuple[str, str, int]]:
    """Yield path, hash and number of each line of a manifest, on its way into its book and into the hash of the `whole`."""
    for raw in lines:
        book.add(raw)
        whole.update(raw)
        digest, _, path = raw.decode("utf-8", "replace").rstrip("\n").partition("  ")
        yield path, digest, book.lines
    book.end()


def _first_seq(path: Path) -> tuple[bool, int]:
    """Return the seq of a ledger's first line, told from its first readable one; without one it sorts behind the others."""
    with path.open("rb") as file:
        for number, raw in enumerate(iter(lambda: file.readline(ledger.LONGEST_LINE_BYTES), b"")):
            with suppress(LedgerError):
                return False, ledger.decode_line(raw).seq - number
    return True, 0
