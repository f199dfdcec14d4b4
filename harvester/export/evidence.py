"""What shows a stranger that exported files and ledger lines belong to sealed runs, without showing him anybody else's.

In:   a `Selection`, and a bag.  Out: `evidence/` in the bag: the archive's mark, seals with their signatures and stamps, the
ledger lines of these calls, and Merkle proofs.

A proof is a line, of the ledger or of a manifest, and the hashes beside its way up to the root that stands in the run's seal
(RFC 9162, 2.1.3): it tells nothing of the lines beside it. A file is proven in the first sealed run that names it. For a run
without a seal nothing can be proven: its ledger lines are handed over all the same, and the bundle says that it has none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import msgspec

from harvester.archive import disk, ledger
from harvester.archive.layout import LEDGER, MANIFEST, MARK, SEAL, SIGNATURE, STAMP, STAMP_CHAIN, run_key
from harvester.archive.mark import require_mark
from harvester.archive.merkle import inclusion_proofs
from harvester.archive.seal import Seal, is_to_be_sealed, read_seal
from harvester.errors import SealError
from harvester.export.bag import Bag
from harvester.export.selection import Selection
from harvester.export.vouched import Vouched

FOLDER = "evidence"
SCRIPT = "check_proofs.py"

LARGEST_BYTES = 1024 * 1024
"""Of a seal, and of what signs and stamps it: chains of certificates have some 10 kB."""

MARK_NAMED = f"  {MARK}".encode()
"""How a line of a manifest ends that names the mark: the first run's has one."""

PROOFS_AT_ONCE = 20_000
"""About 30 MB. Each further so many of a run cost another pass over its lines."""


class Proven(msgspec.Struct, kw_only=True):
    """What the evidence of a bundle is made of."""

    runs: list[str] = msgspec.field(default_factory=list)  # that have lines of these calls
    unsealed: list[str] = msgspec.field(default_factory=list)  # those of them without a seal that holds
    vouched: Vouched = msgspec.field(default_factory=Vouched)  # who vouches for the seals of the others
    lines: int = 0  # of the ledger, of these calls


def write_evidence(selection: Selection, bag: Bag, at_once: int = PROOFS_AT_ONCE) -> Proven:
    """Write `evidence/` into a bag, so many proofs of a run at once. Raises StorageError, MarkError.

    What does not agree with a seal is noted as a flaw of the selection.
    """
    found = Proven(runs=selection.runs())
    archive_id = require_mark(selection.inside.root).archive_id
    seals = {run_id: seal for run_id in found.runs if (seal := _add_seal(selection, bag, archive_id, run_id, found))}
    bag.add(f"{FOLDER}/{MARK}", [_mark(selection)])
    bag.add(f"{FOLDER}/{LEDGER}", _lines(selection, found))
    bag.add(f"{FOLDER}/proofs.jsonl", _proofs(selection, seals, at_once))
    bag.add(f"{FOLDER}/{SCRIPT}", [Path(__file__).with_name(SCRIPT).read_bytes()])
    return found


def _add_seal(selection: Selection, bag: Bag, archive_id: str, run_id: str, found: Proven) -> Seal | None:
    """Put the seal of a run into the bag, with what signs and stamps it; return it where it can be read."""
    data = _read(selection, run_key(run_id, SEAL))
    if data is None:
        found.unsealed.append(run_id)
        _miss(selection, run_id)
        return None
    last_first = (STAMP, STAMP_CHAIN, SIGNATURE)  # in the order against that of their making: a run may be at work
    beside = {name: _read(selection, run_key(run_id, name)) for name in last_first}
    for name, held in {SEAL: data, **beside}.items():
        if held is not None:
            bag.add(f"{FOLDER}/{run_key(run_id, name)}", [held])
    try:
        seal = read_seal(data)
        if (seal.archive, seal.run) != (archive_id, run_id):
            raise SealError(f"it is the seal of another run, {seal.run} of the archive {seal.archive}")
    except SealError as error:
        selection.flawed(f"{run_key(run_id, SEAL)}: {error}")
        found.unsealed.append(run_id)
        return None
    found.vouched.look_at(selection, run_id, data, beside)
    return seal


def _mark(selection: Selection) -> bytes:
    """Return the archive's mark, which names platform and account; that it is the one of the first run is looked at."""
    data = b"".join(selection.lines(MARK))
    manifest = run_key(next(iter(ledger.run_ids(selection.inside.root))), MANIFEST)
    if disk.exists(selection.inside.root / manifest):
        digests = [raw[:64] for raw in selection.lines(manifest) if raw.rstrip(b"\n")[64:] == MARK_NAMED]
        if digests and digests != [hashlib.sha256(data).hexdigest().encode()]:
            selection.flawed(f"{MARK} is not the one that {manifest} names")
    return data


def _miss(selection: Selection, run_id: str) -> None:
    """Note a seal that has been taken away: its run has closed, and its first line speaks of it."""
    root = selection.inside.root
    if run_id not in selection.promised or not disk.exists(root / run_key(run_id, MANIFEST)):
        return
    if is_to_be_sealed(root, run_id):  # asked first: where it is sealed meanwhile, the seal is there now
        return
    if not disk.exists(root / run_key(run_id, SEAL)):
        selection.flawed(f"{run_key(run_id, SEAL)} is missing, and the first line of its run speaks of it")


def _read(selection: Selection, key: str) -> bytes | None:
    """Return a file of a run's folder; None where there is none, or where what lies there cannot be read, which is a flaw."""
    if not disk.exists(selection.inside.root / key):
        return None
    try:
        size_bytes = selection.inside.size_bytes(key)
        if size_bytes > LARGEST_BYTES:
            raise ValueError(f"it has {size_bytes:,} bytes, and is to have a few thousand")
        return selection.inside.read(key)
    except ValueError as error:
        selection.flawed(f"{key}: {error}")
        return None


def _lines(selection: Selection, found: Proven) -> Iterator[bytes]:
    """Yield the ledger lines of the calls, byte for byte, in the order of the chain: those by which the calls were chosen."""
    for run_id in found.runs:
        key = run_key(run_id, LEDGER)
        lines = selection.numbered_lines(run_id)
        wanted = next(lines, None)
        for number, raw in enumerate(selection.lines(key)):
            if wanted is None:
                break
            if number == wanted[0]:
                if hashlib.sha256(raw).hexdigest() != wanted[1]:
                    selection.flawed(f"{key}: line {number + 1} is another than a moment before")
                found.lines += 1
                yield raw
                wanted = next(lines, None)
        if wanted is not None:
            selection.flawed(f"{key} is shorter than a moment before")


def _proofs(selection: Selection, seals: dict[str, Seal], at_once: int) -> Iterator[bytes]:
    """Yield the proofs of all ledger lines and files, run by run."""
    for run_id, seal in seals.items():
        lines = (number for number, _ in selection.numbered_lines(run_id))
        yield from _proven(selection, run_id, "ledger", lines, (seal.ledger_merkle_root, seal.ledger_lines), at_once)
        files = _manifest_numbers(selection, run_id)
        yield from _proven(
            selection, run_id, "manifest", files, (seal.manifest_merkle_root, seal.manifest_lines), at_once
        )
        if left := selection.unproven(run_id):
            selection.flawed(
                f"{run_key(run_id, MANIFEST)} does not name all files that the run's ledger names ({left:,})"
            )


def _manifest_numbers(selection: Selection, run_id: str) -> Iterator[int]:
    """Yield which lines of a manifest, counted from 0, are of files that are exported and that no run before has proven."""
    query = "SELECT sha256 FROM file JOIN call USING (id) WHERE key = ? AND meant AND NOT erased AND NOT proven"
    key = run_key(run_id, MANIFEST)
    if not disk.exists(selection.inside.root / key):
        selection.flawed(f"{key} is missing, and there is a seal for it")
        return
    for number, raw in enumerate(selection.lines(key)):
        digest, _, path = raw.decode("utf-8", "replace").rstrip("\n").partition("  ")
        row = selection.db.execute(query, (path,)).fetchone()
        if row is None:
            continue
        if row[0] != digest:
            selection.flawed(f"line {number + 1} of {key} says something else of a file than the ledger")
        selection.db.execute("UPDATE file SET proven = 1 WHERE key = ?", (path,))
        yield number


def _proven(
    selection: Selection, run_id: str, tree: str, numbers: Iterator[int], sealed: tuple[str, int], at_once: int
) -> Iterator[bytes]:
    """Yield the proofs of some lines of a run's ledger or manifest; none, and a flaw, where the tree is not the one `sealed`."""
    key = run_key(run_id, LEDGER if tree == "ledger" else MANIFEST)
    while wanted := set(islice(numbers, at_once)):
        kept: dict[int, bytes] = {}
        root, paths = inclusion_proofs(_entries(selection, key, wanted, kept), wanted)
        size = kept.pop(-1, b"0")
        if (root.hex(), int(size)) != sealed:
            selection.flawed(f"{key} is not what its seal stands for")
            return
        for index in sorted(paths):
            proof = {
                "run": run_id,
                "tree": tree,
                "index": index,
                "size": sealed[1],
                "path": [each.hex() for each in paths[index]],
                "entry": kept[index].decode("utf-8", "replace"),
            }
            yield msgspec.json.encode(proof) + b"\n"


def _entries(selection: Selection, key: str, wanted: set[int], kept: dict[int, bytes]) -> Iterator[bytes]:
    """Yield all lines of a file without their newlines; keep those that are wanted, and under -1 how many there are."""
    number = -1
    for number, raw in enumerate(selection.lines(key)):
        entry = raw.removesuffix(b"\n")
        if number in wanted:
            kept[number] = entry
        yield entry
    kept[-1] = str(number + 1).encode()
