"""What the verifier brings from elsewhere to hold an archive against: copies of seals, signers, authorities.

In:   paths, as they were typed.  Out: `Witnesses`.

Whoever can write to an archive can make all of it anew, so what it says of itself proves nothing against them. What they could
not write to does: copies, public keys and roots that the verifier had before, or has from somebody else.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from harvester import values
from harvester.errors import ConfigError
from harvester.verify.findings import Verification
from harvester.verify.seals import Stated, copies_in
from harvester.verify.signatures import Signatures, signers_in
from harvester.verify.stamps import Stamps, authorities_in


class Witnesses(msgspec.Struct, frozen=True, kw_only=True):
    """What an archive is held against besides itself. None or empty: nothing was brought."""

    copies: tuple[Stated, ...] = ()
    allowed_signers: Path | None = None
    authorities: Path | None = None

    def hear(self, archive: Path, run_ids: list[str], result: Verification) -> None:
        """Check who vouches for the seals of these runs, in the order of the chain. Raises StorageError."""
        result.sealed = len(run_ids)
        instants = Stamps(archive, self.authorities, result).check(run_ids)
        Signatures(archive, self.allowed_signers, result).check(run_ids, instants)


def witnesses_of(*, seals: str | None, allowed_signers: str | None, tsa_ca: str | None) -> Witnesses:
    """Return the witnesses that were named. Raises ConfigError for what cannot be used, StorageError."""
    return Witnesses(
        copies=() if seals is None else tuple(copies_in(_path("--seals", seals))),
        allowed_signers=None if allowed_signers is None else signers_in(_path("--allowed-signers", allowed_signers)),
        authorities=None if tsa_ca is None else authorities_in(_path("--tsa-ca", tsa_ca)),
    )


def _path(flag: str, text: str) -> Path:
    try:
        return values.path(text)
    except ValueError as error:
        raise ConfigError(f"{flag}: {text!a} is not {error}") from None
