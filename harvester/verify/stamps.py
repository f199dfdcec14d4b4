"""Hold the stamps of seals against the bytes that they are over, and against the authorities that the verifier trusts.

In:   the runs that are sealed; a file of authorities, or none.  Out: findings; and for each stamp that holds, its instant.

A stamp is looked at as of its own time: the authority's certificate may have expired since. Without a file of authorities those
of this machine count; where they do not know it either, a stamp is held against the chain that lies beside it. Then it is shown
to belong to its seal, and that nobody vouches for who made it is said.
"""

from __future__ import annotations

import collections
import datetime as dt
import importlib.util
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from harvester.archive import disk
from harvester.archive.layout import SEAL, SIGNATURE, STAMP, STAMP_CHAIN, run_key
from harvester.errors import ConfigError, EvidenceError
from harvester.evidence.certificates import roots_are_whole
from harvester.evidence.stamp import EXTRA, LARGEST_STAMP_BYTES, Stamp, check_stamp
from harvester.verify.findings import Verification

LARGEST_CHAIN_BYTES = 1024 * 1024


class Stamps:
    """The stamps of one archive."""

    def __init__(self, archive: Path, authorities: Path | None, result: Verification) -> None:
        """`authorities` is a file of trusted roots in PEM, None: those of this machine."""
        self._archive = archive
        self._authorities = authorities
        self._result = result
        self._trusted: dict[str, list[dt.datetime]] = collections.defaultdict(list)  # by authority
        self._unknown: dict[str, int] = collections.Counter()
        self._unstamped = self._unlooked = 0

    def check(self, run_ids: Iterable[str]) -> dict[str, dt.datetime]:
        """Check the stamps of these runs; return when each was made that holds and whose authority is trusted.

        Raises StorageError.
        """
        instants = {}
        for run_id in run_ids:
            answer = disk.beginning_of(self._archive / run_key(run_id, STAMP), LARGEST_STAMP_BYTES + 1)
            if answer is None:
                self._unstamped += 1
            elif not is_installed():
                self._unlooked += 1
            elif stamp := self._check(run_id, answer):
                instants[run_id] = stamp.at
        self._say()
        return instants

    def _check(self, run_id: str, answer: bytes) -> Stamp | None:
        """Check one stamp and the chain beside it; return the stamp when it holds and is trusted."""
        seal = disk.beginning_of(self._archive / run_key(run_id, SEAL), LARGEST_STAMP_BYTES) or b""
        signature = disk.beginning_of(self._archive / run_key(run_id, SIGNATURE), LARGEST_STAMP_BYTES)
        chain = self._archive / run_key(run_id, STAMP_CHAIN)
        by_chain = self._by_chain(run_id, answer, seal, signature, chain)
        stamp = None
        try:
            stamp = check_stamp(answer, seal, signature, self._authorities)
            self._trusted[stamp.authority].append(stamp.at)
        except EvidenceError as error:
            if self._authorities or by_chain is None:
                expected = (
                    f"a stamp by an authority in {self._authorities}" if self._authorities else "a stamp of this seal"
                )
                self._result.find("stamp", run_key(run_id, STAMP), expected, str(error))
                return None
            self._unknown[by_chain.authority] += 1
        self._result.stamped += 1
        return stamp

    def _by_chain(self, run_id: str, answer: bytes, seal: bytes, signature: bytes | None, chain: Path) -> Stamp | None:
        """Hold a stamp against the chain beside it, and that against what the stamp says; None where they do not fit."""
        key = run_key(run_id, STAMP_CHAIN)
        kept = disk.beginning_of(chain, LARGEST_CHAIN_BYTES)
        if kept is None:
            self._result.find("missing", key, "the certificates of the stamp", "no file")
            return None
        if not kept:  # a pipe too, which would be waited for
            self._result.find("stamp", key, "the certificates of the stamp", "nothing that can be read")
            return None
        with suppress(EvidenceError):
            stamp = check_stamp(answer, seal, signature, chain)
            if stamp.chain_pem == kept and roots_are_whole(kept):
                return stamp
        with suppress(EvidenceError):
            check_stamp(answer, seal, signature, self._authorities)
            self._result.find("stamp", key, "the certificates of the stamp", "others, or none that can be read")
        return None

    def _say(self) -> None:
        """Say who has stamped, and whom nobody vouches for."""
        by = f"in {self._authorities}" if self._authorities else "that this machine trusts"
        of = f"of {self._result.sealed:,} seals"
        for authority, instants in sorted(self._trusted.items()):
            days = f"{min(instants):%Y-%m-%d} to {max(instants):%Y-%m-%d}"
            self._result.notes.append(f"stamped by {authority}, an authority {by}: {len(instants):,} {of} ({days})")
        for authority, count in sorted(self._unknown.items()):
            self._result.notes.append(
                f"stamped by {authority}, for which nobody vouches here: bring its root, as --tsa-ca FILE: {count:,} {of}"
            )
        if self._unlooked:
            self._result.notes.append(f"stamps that were not looked at: {self._unlooked:,}; what checks them: {EXTRA}")
        if self._unstamped and self._unstamped < self._result.sealed:
            self._result.notes.append(
                f"not stamped: {self._unstamped:,} {of}: pending, or from before there were stamps"
            )


def is_installed() -> bool:
    """Whether what checks stamps is there: it is an extra."""
    return importlib.util.find_spec("rfc3161_client") is not None


def authorities_in(path: Path) -> Path:
    """Return the file of authorities that the verifier brings. Raises ConfigError where it cannot be used."""
    from harvester.evidence.stamp import require_roots

    if not is_installed():
        raise ConfigError(f"--tsa-ca: what checks stamps is not installed; install it with: {EXTRA}")
    try:
        require_roots(path)
    except ConfigError as error:
        raise ConfigError(f"--tsa-ca: {str(error).removeprefix('seal_tsa_ca: ')}") from None
    return path
