"""What verifying found.

In:   what is not as it should be, as it is met.  Out: `Verification`: findings, notes, and how much was looked at.
"""

from __future__ import annotations

import msgspec


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not as it should be."""

    kind: str
    """"missing", "altered", "unexpected", "erased", "ledger", "manifest", "account", "seal", "signature" or "stamp"."""

    path: str
    expected: str
    found: str

    def __str__(self) -> str:
        """Say it in one line."""
        return f"{self.kind}: {self.path!a}: expected {self.expected}, found {self.found}"


class Verification(msgspec.Struct, kw_only=True):
    """What verifying found. No findings: the archive is what its ledgers say, as far as was looked at."""

    archive: str
    runs: int = 0
    lines: int = 0
    files: int = 0  # that were looked at
    bytes: int = 0  # in them
    hashed_files: int = 0  # of them, those that were read from end to end
    hashed_bytes: int = 0
    erased_files: int = 0  # that are missing because tombstones say so
    sealed: int = 0  # of the runs
    signed: int = 0  # of the seals, by signatures that are theirs; by whom, a note says
    stamped: int = 0
    findings: list[Finding] = msgspec.field(default_factory=list)
    notes: list[str] = msgspec.field(default_factory=list)

    def find(self, kind: str, path: str, expected: str, found: str) -> None:
        """Take in one thing that is not as it should be."""
        self.findings.append(Finding(kind=kind, path=path, expected=expected, found=found))
