"""Have the seals of closed runs signed and stamped: that of the run which has just closed, and what earlier runs left waiting.

In:   an archive, its newest run, who is to vouch.  Out: `seal.txt.sig`, `seal.txt.tsr`, `seal.txt.chain.pem`; what is missing.

A backup never fails for its signature, so nothing here ends a run: what cannot be made now is said, with the reason, and waits
for the next one. Only a seal that fits its run is vouched for, and only a stamp that holds is kept. A stamp is over the
signature, or over the seal where there is none yet: the instant is what cannot be had again later, so it does not wait for a key.
It stays what it is when the signature comes after all.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio.to_thread
import msgspec

from harvester.archive import disk, ledger
from harvester.archive.layout import RUNS, SEAL, SIGNATURE, STAMP, STAMP_CHAIN, run_key
from harvester.archive.modes import is_read_only, mode_of
from harvester.archive.seal import differences, load_seal
from harvester.errors import EvidenceError, HarvestError, SealError
from harvester.evidence.authority import ask
from harvester.evidence.signature import LARGEST_BYTES, check_novalidate, require_key, sign
from harvester.evidence.stamp import check_stamp, query_for, require_extra, require_roots

MOST_SIGNATURES = 100
MOST_STAMPS = 20
"""How many a run makes at most; a public authority is no place for thousands at once."""

MOST_SECONDS = 60.0
"""How long what earlier runs left waiting may take; the newest seal has its time besides."""


Make = Callable[[str, bytes], Awaitable[str]]
"""Makes something for the seal of a run, whose bytes it is given, and says by whom."""


class UnfitError(EvidenceError):
    """A seal does not fit its run, or cannot be read: nobody is asked to vouch for it."""


class Vouchers(msgspec.Struct, frozen=True, kw_only=True):
    """Who is to vouch for seals: a key, an authority, both or none."""

    ssh_key: Path | None = None
    tsa_url: str | None = None
    tsa_ca: Path | None = None  # PEM; None: the authorities that this machine trusts


class Vouched(msgspec.Struct, kw_only=True):
    """What was made: of the newest run in words, of earlier ones how many; and what could not be made, with its reason."""

    newest: list[str] = msgspec.field(default_factory=list)
    signed: int = 0
    stamped: int = 0
    waiting: int = 0  # seals of earlier runs that are left for later, for want of time
    missing: list[str] = msgspec.field(default_factory=list)


def require(vouchers: Vouchers) -> None:
    """Make sure, before anything is asked of the platform, that there can be signatures and stamps. Raises ConfigError."""
    if vouchers.ssh_key:
        require_key(vouchers.ssh_key)
    if vouchers.tsa_url:
        require_extra()
        if vouchers.tsa_ca:
            require_roots(vouchers.tsa_ca)


async def vouch(root: Path, newest: str, vouchers: Vouchers, *, stopped: Callable[[], bool] = lambda: False) -> Vouched:
    """Have the seal of the newest run signed and stamped, then those that wait, newest first. `stopped`: end early."""
    return await _Round(root, newest, vouchers, stopped).go()


class _Round:
    """One round over the seals that want a signature or a stamp. The first that cannot be made is the last that is tried."""

    def __init__(self, root: Path, newest: str, vouchers: Vouchers, stopped: Callable[[], bool]) -> None:
        self._root = root
        self._newest = newest
        self._vouchers = vouchers
        self._stopped = stopped
        self._ends_at = time.monotonic() + MOST_SECONDS
        self._result = Vouched()

    async def go(self) -> Vouched:
        """Sign, then stamp."""
        if self._vouchers.ssh_key:
            self._result.signed = await self._each(SIGNATURE, "signed", MOST_SIGNATURES, self._sign)
        if self._vouchers.tsa_url:
            self._result.stamped = await self._each(STAMP, "stamped", MOST_STAMPS, self._stamp)
        return self._result

    async def _each(self, name: str, done: str, most: int, make: Make) -> int:
        """Make `name` for each run that has a seal and lacks it; return for how many it was made."""
        made = 0
        try:
            wanting = await anyio.to_thread.run_sync(self._wanting, name)
        except HarvestError as error:
            self._result.missing.append(f"no seal is {done}: {error}. The next run tries again")
            return made
        for number, run_id in enumerate(wanting):
            if number == most or (run_id != self._newest and (self._stopped() or time.monotonic() > self._ends_at)):
                self._result.waiting = max(self._result.waiting, len(wanting) - number)
                break
            try:
                data = await anyio.to_thread.run_sync(self._fitting, run_id)
                said = await make(run_id, data)
            except UnfitError as error:
                self._result.missing.append(f"the seal of the run {run_id} is not {done}: {error}")
                continue
            except HarvestError as error:
                left = len(wanting) - number - 1
                others = (
                    f", nor {'is the one' if left == 1 else f'are {left:,}'} that earlier runs have left"
                    if left
                    else ""
                )
                self._result.missing.append(
                    f"the seal of the run {run_id} is not {done}{others}: {error}. The next run tries again"
                )
                break
            made += 1
            if run_id == self._newest:
                self._result.newest.append(f"{done} {said}")
        return made

    def _wanting(self, name: str) -> list[str]:
        """Return the runs that have a seal and lack a file beside it, newest first."""
        with disk.guarded("read", self._root / RUNS) as step:
            runs = sorted((folder.name for folder in step.over(ledger.run_folders(self._root))), reverse=True)
        return [
            run_id
            for run_id in runs
            if disk.exists(self._root / run_key(run_id, SEAL)) and not disk.exists(self._root / run_key(run_id, name))
        ]

    def _fitting(self, run_id: str) -> bytes:
        """Return the bytes of a seal that fits its run. Raises UnfitError: what was altered since is not vouched for."""
        try:
            loaded = load_seal(self._root, run_id)
            found = [] if run_id == self._newest else list(differences(self._root, run_id))
        except SealError as error:
            raise UnfitError(f"{error}; `harvester verify` tells more") from error
        if found or loaded is None:
            raise UnfitError("it does not fit its run any more, which was altered; `harvester verify` tells more")
        return loaded[1]

    async def _sign(self, run_id: str, data: bytes) -> str:
        """Sign one seal; return by which key."""
        assert self._vouchers.ssh_key
        signature = await anyio.to_thread.run_sync(sign, data, self._vouchers.ssh_key)
        await anyio.to_thread.run_sync(self._keep, run_id, SIGNATURE, signature)
        return f"by {await anyio.to_thread.run_sync(check_novalidate, data, signature)}"

    async def _stamp(self, run_id: str, data: bytes) -> str:
        """Have one signature, or a seal that has none, stamped; return by whom and when."""
        assert self._vouchers.tsa_url
        signature = await anyio.to_thread.run_sync(self._signature_of, run_id)
        query = query_for(data if signature is None else signature)
        answer = await ask(self._vouchers.tsa_url, query.der)
        stamp = await anyio.to_thread.run_sync(
            lambda: check_stamp(answer, data, signature, self._vouchers.tsa_ca, nonce=query.nonce)
        )
        if stamp.over_signature is not (signature is not None):
            raise EvidenceError("the authority stamped another hash than that which it was asked for")
        await anyio.to_thread.run_sync(self._keep, run_id, STAMP_CHAIN, stamp.chain_pem)
        await anyio.to_thread.run_sync(self._keep, run_id, STAMP, answer)
        return f"by {stamp.authority} at {stamp.at:%Y-%m-%dT%H:%M:%SZ}"

    def _signature_of(self, run_id: str) -> bytes | None:
        path = self._root / run_key(run_id, SIGNATURE)
        if not disk.exists(path):
            return None
        with disk.guarded("read", path), path.open("rb") as file:
            return file.read(LARGEST_BYTES)

    def _keep(self, run_id: str, name: str, data: bytes) -> None:
        read_only = is_read_only(self._root / run_key(run_id, SEAL))  # as the other files of its run are
        disk.replace_durable(self._root / run_key(run_id, name), data, mode=mode_of(read_only=read_only))
