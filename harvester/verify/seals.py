"""Hold every run against its seal, and against the copies of seals that the verifier has kept elsewhere.

In:   what was met while the books of a run were read.  Out: a finding for each line of a seal that says something else.

A chain cannot show that its end was cut off; the seal of the last run that is there can, and a copy of a seal can also show that
its whole run is gone. What a seal says is believed, and what lies there is held against it: who altered the one had to alter the
other, and only a signature, a stamp or a copy tells who is right.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from harvester.archive import disk
from harvester.archive.layout import LEDGER, MANIFEST, SEAL, run_key
from harvester.archive.merkle import Tree
from harvester.archive.seal import LARGEST_BYTES, NAMES, SUM, TITLE, Seal, is_to_be_sealed, load_seal, read_seal
from harvester.errors import ConfigError, SealError
from harvester.verify.findings import Verification

TITLE_LINE = f"{TITLE}\n".encode()
SUM_START = f"{SUM}: ".encode()


class Book:
    """A ledger or a manifest while it is read: its lines, and where someone has sealed them, their tree."""

    def __init__(self, *, sealed: bool) -> None:
        self.lines = 0
        self.last = b""  # line
        self.root: str | None = None
        self._tree = Tree() if sealed else None

    def add(self, raw: bytes) -> None:
        """Take in a line with its newline."""
        self.lines += 1
        self.last = raw
        if self._tree:
            self._tree.add(raw.removesuffix(b"\n"))

    def end(self) -> None:
        """Take in that there are no more lines."""
        self.root = self._tree.root().hex() if self._tree else None


class Stated(NamedTuple):
    """A seal, its bytes, and where it lies, as a sentence says it."""

    seal: Seal
    data: bytes
    where: str


class Seals:
    """The seals of one archive, run by run, in the order of the chain."""

    def __init__(self, archive: Path, archive_id: str | None, copies: Sequence[Stated], result: Verification) -> None:
        """`archive_id` is None where the mark cannot be read; `copies` may be of other archives too.

        Raises ConfigError where all of them are.
        """
        self._archive = archive
        self._archive_id = archive_id
        self._result = result
        self._copies: dict[str, list[Stated]] = {}
        for copy in copies:
            if archive_id in (None, copy.seal.archive):
                self._copies.setdefault(copy.seal.run, []).append(copy)
        if copies and not self._copies:
            raise ConfigError(
                f"--seals: {len(copies):,} copies of seals, and none is of this archive, {archive_id}; name those of its own"
            )
        if copies:
            own = sum(map(len, self._copies.values()))
            result.notes.append(
                f"held against {own:,} copies of seals"
                + (f" ({len(copies) - own:,} more are of other archives)" if own < len(copies) else "")
            )
        self._unsealed: list[str] = []
        self.sealed: list[str] = []  # runs whose seal can be read, in the order of the chain

    def of(self, run_id: str) -> list[Stated]:
        """Return what is known to be sealed of a run: by its seal, and by copies that are not the same. Raises StorageError."""
        key = run_key(run_id, SEAL)
        own = b""
        stated = []
        try:
            if loaded := load_seal(self._archive, run_id):
                stated.append(Stated(*loaded, "its seal"))
                own = loaded[1]
                self.sealed.append(run_id)
        except SealError as error:
            self._result.find("seal", key, "a seal", str(error))
            own = b"unreadable"
        for copy in self._copies.pop(run_id, []):
            if copy.data != own:
                self._result.find("seal", key, f"the same seal as {copy.where}", "another one" if own else "no file")
                stated.append(copy)
        return stated

    def hold(self, run_id: str, stated: list[Stated], ledger: dict[str, object], manifest: dict[str, object]) -> None:
        """Hold the fields of a seal that are about the ledger and the manifest against what those have been found to be."""
        owner = {"run": run_id} | ({"archive": self._archive_id} if self._archive_id else {})
        parts = ((SEAL, owner), (LEDGER, ledger), (MANIFEST, manifest))
        for seal, _, where in stated:
            for name, fields in parts:
                for field, found in fields.items():
                    if getattr(seal, field) != found:
                        expected = f"{NAMES[field]} {getattr(seal, field)}, as {where} says"
                        self._result.find("seal", run_key(run_id, name), expected, f"{found}")

    def miss(self, run_id: str, *, promised: bool) -> None:
        """Say of a run that has closed what it means that it has no seal, if so. `promised`: its first line speaks of one."""
        key = run_key(run_id, SEAL)
        if is_to_be_sealed(self._archive, run_id):  # asked first: where it is sealed meanwhile, the seal is there now
            self._result.notes.append(f"the run {run_id} has closed without its seal: the next run seals it")
        elif disk.exists(self._archive / key):
            return
        elif promised:
            self._result.find("missing", key, "the seal that the run's first line speaks of", "no file")
        else:
            self._unsealed.append(run_id)

    def end(self) -> None:
        """Say which runs have no seal, and which seals no run."""
        if self._unsealed:
            self._result.notes.append(
                f"{len(self._unsealed):,} of {self._result.runs:,} runs are from before there were seals and have none "
                f"(the last is {self._unsealed[-1]}); the chain under a later seal covers them"
            )
        for run_id, copies in self._copies.items():
            expected = f"the run that {copies[0].where} stands for"
            self._result.find("missing", run_key(run_id, LEDGER), expected, "no such run")


def copies_in(path: Path) -> list[Stated]:
    """Return the seals that were kept in a file, or in the files of a folder and its folders.

    Raises ConfigError where there is none, or one cannot be read; StorageError.
    """
    if not disk.exists(path):
        raise ConfigError(f"--seals: there is nothing at {path}; name a file or a folder with copies of seals")
    found = []
    for file in _files(path):
        for data in _seals_in(file):
            try:
                found.append(Stated(read_seal(data), data, f"the copy in {file}"))
            except SealError as error:
                raise ConfigError(f"--seals: a copy in {file} cannot be used: {error}") from None
    if not found:
        raise ConfigError(f"--seals: no seal lies at {path}; a copy of `runs/*/seal.txt` is what it is to hold")
    return found


def _files(path: Path) -> Iterator[Path]:
    with disk.guarded("read", path) as step:
        yield from step.over(sorted(each for each in path.rglob("*") if each.is_file())) if path.is_dir() else [path]


def _seals_in(path: Path) -> Iterator[bytes]:
    """Yield the bytes of each seal in a file, from its title to its sum, whatever stands around them, as in a mailbox.

    Mail ends lines in its own way; a seal whose lines do not fit its sum is none, so nothing is lost by putting that right.
    """
    seal = b""
    with disk.guarded("read", path) as step, path.open("rb") as file:
        for raw in step.over(iter(lambda: file.readline(LARGEST_BYTES), b"")):
            line = raw.removesuffix(b"\n").removesuffix(b"\r") + b"\n"
            if line == TITLE_LINE:
                if seal:
                    yield seal  # one that was cut off
                seal = line
            elif seal:
                seal += line
                if line.startswith(SUM_START) or len(seal) > LARGEST_BYTES:
                    yield seal
                    seal = b""
    if seal:
        yield seal
