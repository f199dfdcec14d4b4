"""Who vouches for the seals of a bundle: signatures and stamps are looked at before they are counted and handed over.

In:   the bytes of a seal, and of what lies beside it.  Out: `Vouched`; what does not belong to its seal is noted as a flaw.

A signature has to be over its seal, made with the key that it bears. A stamp has to be over the signature or the seal, and to
hold by the certificates that lie beside it. Whose key and which authority that is, and whether to trust them, is not asked: the
recipient finds out, with keys and roots from elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from harvester.archive.layout import SIGNATURE, STAMP, STAMP_CHAIN, run_key
from harvester.errors import ConfigError, EvidenceError
from harvester.evidence.certificates import roots_are_whole
from harvester.evidence.signature import check_novalidate, is_installed
from harvester.evidence.stamp import check_stamp, require_extra
from harvester.export.selection import Selection
from harvester.wording import counted

Beside = Mapping[str, bytes | None]
"""What lies beside a seal, by its name; None: nothing that can be read."""


class Vouched(msgspec.Struct, kw_only=True):
    """Who vouches for the seals of a bundle."""

    unsigned: list[str] = msgspec.field(default_factory=list)  # runs that are sealed, without a signature of the seal
    unstamped: list[str] = msgspec.field(
        default_factory=list
    )  # runs that are sealed, without a stamp of seal or signature
    keys: set[str] = msgspec.field(default_factory=set)  # that have signed: `ED25519 key SHA256:...`
    authorities: set[str] = msgspec.field(default_factory=set)  # that have stamped, as their certificates name them
    unchecked_signatures: int = 0  # counted, and nobody here could look at them
    unchecked_stamps: int = 0

    @property
    def notes(self) -> Iterator[str]:
        """What could not be looked at, a sentence each."""
        if self.unchecked_signatures:
            signatures = counted(self.unchecked_signatures, "signature")
            yield f"{signatures} NOT CHECKED, because ssh-keygen is not installed where the bundle was made"
        if self.unchecked_stamps:
            stamps = counted(self.unchecked_stamps, "stamp")
            yield f"{stamps} NOT CHECKED, because what checks them is not installed where the bundle was made"

    def look_at(self, selection: Selection, run_id: str, seal: bytes, beside: Beside) -> None:
        """Look at what lies beside the seal of a run, and count it."""
        if not self._is_signed(selection, run_id, seal, beside):
            self.unsigned.append(run_id)
        if not self._is_stamped(selection, run_id, seal, beside):
            self.unstamped.append(run_id)

    def _is_signed(self, selection: Selection, run_id: str, seal: bytes, beside: Beside) -> bool:
        signature = beside[SIGNATURE]
        if signature is None:
            return False
        if not is_installed():
            self.unchecked_signatures += 1
            return True
        try:
            self.keys.add(check_novalidate(seal, signature))
        except EvidenceError as error:
            selection.flawed(f"{run_key(run_id, SIGNATURE)}: {error}")
            return False
        return True

    def _is_stamped(self, selection: Selection, run_id: str, seal: bytes, beside: Beside) -> bool:
        stamp = beside[STAMP]
        if stamp is None:
            return False
        try:
            require_extra()
        except ConfigError:
            self.unchecked_stamps += 1
            return True
        chain = selection.inside.root / run_key(run_id, STAMP_CHAIN)
        try:
            kept = beside[STAMP_CHAIN]
            if kept is None:
                raise EvidenceError(f"the certificates of the stamp, {STAMP_CHAIN}, do not lie beside it")
            found = check_stamp(stamp, seal, beside[SIGNATURE], chain)
            if found.chain_pem != kept or not roots_are_whole(kept):
                raise EvidenceError(f"the certificates in {STAMP_CHAIN} are not those of the stamp")
            self.authorities.add(found.authority)
        except EvidenceError as error:
            said = str(error).replace(str(chain), STAMP_CHAIN).partition("; name the file")[0]
            selection.flawed(f"{run_key(run_id, STAMP)}: {said}")
            return False
        return True
