"""How the folder of a run gets what closes it: its account, its manifest, its seal.

In:   a run whose ledger has its last line, or was cut off.  Out: `run.json`, `manifest-sha256.txt`, `seal.txt`, in this order.

A run without a manifest has not closed, and one that was to be sealed and is not has left a note of that: the next run makes good
both, whenever the crash came.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from harvester.archive import disk, erasure, holds, ledger
from harvester.archive.layout import ACCOUNT, LEDGER, MANIFEST, MARK, PARTS, run_key
from harvester.archive.ledger import Event
from harvester.archive.manifest import write_manifest
from harvester.archive.modes import READ_ONLY, WRITABLE, protect
from harvester.archive.seal import announce_seal, is_to_be_sealed, write_seal
from harvester.archive.torn import mend_ledger
from harvester.model import State

NO_PROVENANCE = frozenset({"seq", "prev", "at", "event", "run", "seal"})
"""Members of a first line that tell nothing of where its run came from."""


def finish_run(root: Path, run_id: str, account: bytes | None, mode: int = WRITABLE) -> None:
    """Sweep a run's parts and write account, manifest and seal; without `account` one lies there already.

    `mode` is that with which files are made; where nobody may write them, neither may they those that lie there already.
    Raises StorageError, LedgerError.
    """
    disk.remove_tree(root / run_key(run_id, PARTS))
    if account is not None:
        disk.replace_durable(root / run_key(run_id, ACCOUNT), account, mode=mode)
    if mode == READ_ONLY:
        folder = root / run_key(run_id, "")
        for path in (root / MARK, *(folder / name for name in disk.names(folder))):
            if disk.file_bytes(path) is not None:
                protect(path)
    announce_seal(root, run_id)
    write_manifest(root, run_id, mode)
    write_seal(root, run_id, mode)


def is_closed(root: Path, run_id: str) -> bool:
    """Whether a run has its manifest."""
    return disk.exists(root / run_key(run_id, MANIFEST))


def close_cut_off(root: Path, run_id: str, mode: int = WRITABLE) -> int:
    """Close a run that could not close itself: cut its torn line, and finish it. Return the bytes cut off.

    What its tombstones name, now that they are durable, is removed before its manifest is written.
    An account that lies there already is the run's own: the crash came between it and the manifest.
    """
    torn = mend_ledger(root, run_id)
    erasure.finish(root, run_id)
    holds.sweep(root, run_id)
    account = None
    if not disk.exists(root / run_key(run_id, ACCOUNT)):
        sums = {"run": run_id, "verdict": "interrupted", **_sums_of(root, run_id)}
        sums["provenance"] = _provenance_of(root, run_id)
        account = msgspec.json.format(msgspec.json.encode(sums), indent=2) + b"\n"
    finish_run(root, run_id, account, mode)
    return torn


def seal_unsealed(root: Path, run_ids: Iterable[str], mode: int = WRITABLE) -> None:
    """Seal those of the runs that were cut off between manifest and seal. Raises StorageError, LedgerError."""
    for run_id in run_ids:
        if is_to_be_sealed(root, run_id):
            write_seal(root, run_id, mode)


def _provenance_of(root: Path, run_id: str) -> Event:
    """Return what the first line of a run tells of who ran it, where and why."""
    path = root / run_key(run_id, LEDGER)
    with disk.guarded("read", path), path.open("rb") as file:
        raw = file.readline(ledger.LONGEST_LINE_BYTES)
    told = msgspec.json.decode(raw, type=Event)
    return {name: value for name, value in told.items() if name not in NO_PROVENANCE}


def _sums_of(root: Path, run_id: str) -> Event:
    """Count what the ledger of a run that was cut off says it settled, or erased; and tell its command, where it names one."""
    recordings = dict.fromkeys(State, 0)
    transcripts = dict.fromkeys(State, 0)
    command, erased = None, 0
    for line in ledger.whole_lines(root, run_id):
        command = line.command or command
        if line.event == ledger.ERASED:
            erased += 1
        elif line.recording and line.transcript:
            recordings[line.recording.state] += 1
            transcripts[line.transcript.state] += 1
    if command not in (None, ledger.HARVEST):
        return {"command": command, "erased_calls": erased}
    return {"recordings": recordings, "transcripts": transcripts}
