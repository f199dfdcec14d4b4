"""Hold the signatures of seals against the signers that the verifier allows.

In:   the runs that are sealed; an allowed_signers file, or none.  Out: findings, and who has signed.

Who brings such a file wants to know that somebody on it stands behind the archive as it is. A seal that was signed later covers,
by the chain, the runs before it; so an unsigned seal matters only where no signed one follows. Without a file a signature is
shown to belong to its seal, and that nobody vouches for its key is said.
"""

from __future__ import annotations

import collections
import datetime as dt
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from harvester.archive import disk
from harvester.archive.layout import SIGNATURE, run_key
from harvester.archive.seal import load_seal
from harvester.errors import ConfigError, EvidenceError
from harvester.evidence.signature import LARGEST_BYTES, PROGRAM, check, check_novalidate, is_installed, require_signers
from harvester.verify.findings import Verification
from harvester.verify.reading import READERS


class Verdict(NamedTuple):
    """What one signature is worth: whose it is; or what was expected instead, and found."""

    signer: str = ""
    expected: str = ""
    found: str = ""


UNSIGNED = Verdict()


class Signatures:
    """The signatures of one archive."""

    def __init__(self, archive: Path, allowed_signers: Path | None, result: Verification) -> None:
        self._archive = archive
        self._allowed = allowed_signers
        self._result = result

    def check(self, run_ids: Sequence[str], instants: Mapping[str, dt.datetime]) -> None:
        """Check the signatures of these runs, in the order of the chain; a key must have been valid when its seal was stamped.

        `instants` says when, where that is known; else the seal's own time counts. Raises StorageError.
        """
        with ThreadPoolExecutor(READERS) as pool:  # each waits for ssh-keygen
            verdicts = list(pool.map(lambda run_id: self._check(run_id, instants.get(run_id)), run_ids))
        for run_id, verdict in zip(run_ids, verdicts, strict=True):
            if verdict.expected:
                self._result.find("signature", run_key(run_id, SIGNATURE), verdict.expected, verdict.found)
        self._say([verdict.signer for verdict in verdicts if verdict.signer])
        if self._allowed:
            self._find_uncovered(run_ids, verdicts)

    def _check(self, run_id: str, at: dt.datetime | None) -> Verdict:
        signature = disk.beginning_of(self._archive / run_key(run_id, SIGNATURE), LARGEST_BYTES + 1)
        loaded = load_seal(self._archive, run_id)
        if signature is None or loaded is None:
            return UNSIGNED
        if not is_installed():
            return Verdict(signer=f"a key that was not looked at, as {PROGRAM} is not installed")
        seal, data = loaded
        try:
            key = check_novalidate(data, signature)
        except EvidenceError as error:
            return Verdict(expected="a signature of this seal", found=str(error))
        if self._allowed is None:
            return Verdict(signer=key)
        try:
            signer = check(data, signature, self._allowed, at or dt.datetime.fromisoformat(seal.sealed_at))
        except EvidenceError as error:
            return Verdict(expected=f"a signature by a signer that {self._allowed} allows", found=str(error))
        return Verdict(signer=f"{signer.principal} ({signer.key})")

    def _say(self, signers: Sequence[str]) -> None:
        """Say who has signed how many seals."""
        self._result.signed = len(signers)
        for signer, count in sorted(collections.Counter(signers).items()):
            word = (
                f"as {self._allowed} allows"
                if self._allowed
                else "for whom nobody vouches here: bring an allowed_signers file, as --allowed-signers FILE"
            )
            self._result.notes.append(f"signed by {signer}, {word}: {count:,} of {self._result.sealed:,} seals")

    def _find_uncovered(self, run_ids: Sequence[str], verdicts: Sequence[Verdict]) -> None:
        """Find the unsigned seals that no signed one follows, and say how many others there are."""
        signed = [
            nth for nth, verdict in enumerate(verdicts) if verdict != UNSIGNED
        ]  # what is wrong with them was told
        unsigned = [nth for nth, verdict in enumerate(verdicts) if verdict == UNSIGNED]
        behind = [nth for nth in unsigned if not signed or nth > signed[-1]]
        if behind:
            expected = f"a signature by a signer that {self._allowed} allows, on this seal or a later one"
            found = f"no file; {len(behind):,} of {len(run_ids):,} seals have nobody who stands behind them"
            self._result.find("signature", run_key(run_ids[behind[-1]], SIGNATURE), expected, found)
        if covered := len(unsigned) - len(behind):
            self._result.notes.append(
                f"not signed: {covered:,} of {len(run_ids):,} seals; the chain under a later signed one covers their runs"
            )


def signers_in(path: Path) -> Path:
    """Return the allowed_signers file that the verifier brings. Raises ConfigError where it cannot be used."""
    if not is_installed():
        raise ConfigError(
            f"--allowed-signers: {PROGRAM} is not installed, and it checks signatures; it comes with OpenSSH"
        )
    require_signers(path)
    return path
