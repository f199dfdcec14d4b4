"""The seal of a run: a dozen lines that stand for its whole ledger and its whole manifest.

In:   a run whose manifest is written.  Out: `seal.txt`; and the seal again, read, and held against the run.

Who signs, stamps, mails or prints these few bytes has vouched for every file of the run, and by the chain for every run before
it: nothing of them can be altered, dropped or added any more without another seal. The two Merkle roots let one line be shown to
belong to the run without showing the others (merkle.py). The seal is made in one pass, line by line, whatever the run's size.
Its last line is a sum over the lines above it: that finds decay, while what keeps people from changing it stands beside it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from harvester.archive import disk, ledger
from harvester.archive.layout import LEDGER, MANIFEST, SEAL, SEAL_PART, run_key
from harvester.archive.mark import require_mark
from harvester.archive.merkle import Tree
from harvester.archive.modes import READ_ONLY, WRITABLE, protect, release
from harvester.errors import LedgerError, MarkError, SealError

FORM = 1
TITLE = f"harvester seal {FORM}"

LARGEST_BYTES = 4096
"""More than any seal has: its longest lines are a few names, figures and hashes."""


class Seal(msgspec.Struct, frozen=True, kw_only=True):
    """What a seal says. Hashes are SHA-256 in hex; the roots are those of RFC 9162 over lines without their newlines."""

    archive: str  # the archive's id
    run: str
    sealed_at: str  # UTC, by the clock of the machine that ran
    ledger_lines: int  # of this run
    ledger_last_seq: int  # lines of the whole chain up to here
    ledger_last_line_sha256: str  # with its newline: what the next run's first line bears as `prev`
    ledger_merkle_root: str
    manifest_sha256: str
    manifest_lines: int
    manifest_merkle_root: str


NAMES = {field: field.replace("_", "-") for field in Seal.__struct_fields__}
SHAPES = {
    "archive": r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "run": r"\d{8}T\d{6}Z-[0-9a-f]{8}",
    "sealed_at": r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z",
    **dict.fromkeys(("ledger_lines", "ledger_last_seq", "manifest_lines"), r"(?:0|[1-9]\d{0,17})"),
}
SUM = "seal-sha256"
HASH = r"[0-9a-f]{64}"


def seal_text(seal: Seal) -> bytes:
    """Return the bytes of `seal.txt`: ASCII, `name: value` lines in the order of the fields, and the sum over them."""
    lines = [TITLE, *(f"{name}: {getattr(seal, field)}" for field, name in NAMES.items())]
    body = "".join(f"{line}\n" for line in lines).encode()
    return body + f"{SUM}: {hashlib.sha256(body).hexdigest()}\n".encode()


def read_seal(data: bytes) -> Seal:
    """Read the bytes of a `seal.txt`. Raises SealError, which says which line is not as it should be."""
    if len(data) > LARGEST_BYTES:
        raise SealError(f"this is no seal: it has {len(data):,} bytes, and a seal has at most {LARGEST_BYTES:,}")
    lines = data.decode("ascii", "replace").split("\n")
    if lines[0] != TITLE:
        raise SealError(
            f"this is no seal that this harvester knows: it begins with {lines[0][:60]!a}, not with {TITLE!a}"
        )
    found: dict[str, str] = {}
    for number, (field, name) in enumerate(NAMES.items(), start=1):
        line = lines[number] if number < len(lines) else ""
        value = line.removeprefix(f"{name}: ")
        if value == line or not re.fullmatch(SHAPES.get(field, HASH), value, re.ASCII):
            raise SealError(f"the seal is damaged: line {number + 1} is {line[:120]!a}, and is to be `{name}: ...`")
        found[field] = value
    seal = msgspec.convert(found, Seal, strict=False)
    if seal_text(seal) != data:
        raise SealError(f"the seal is damaged: its lines are not those that its last one, `{SUM}`, stands for")
    return seal


def make_seal(archive: Path, run_id: str, *, sealed_at: str | None = None) -> Seal:
    """Return the seal of a run whose manifest is written; `sealed_at` is now, unless it is given.

    Reads ledger and manifest once. Raises MarkError, StorageError, LedgerError.
    """
    lines, last = _tree_of_ledger(archive, run_id)
    files, manifest_sha256 = _tree_of_manifest(archive, run_id)
    return Seal(
        archive=require_mark(archive).archive_id,
        run=run_id,
        sealed_at=sealed_at or ledger.now_text(),
        ledger_lines=lines.size,
        ledger_last_seq=ledger.decode_line(last).seq,
        ledger_last_line_sha256=hashlib.sha256(last).hexdigest(),
        ledger_merkle_root=lines.root().hex(),
        manifest_sha256=manifest_sha256,
        manifest_lines=files.size,
        manifest_merkle_root=files.root().hex(),
    )


def announce_seal(archive: Path, run_id: str) -> None:
    """Write down that a run is to be sealed once it has its manifest: an empty `seal.txt.part`, durable.

    A crash between manifest and seal thus leaves something that a run from before there were seals does not, nor one whose seal
    somebody took away: such are never sealed afterwards, as if nothing had happened. Raises StorageError.
    """
    part = archive / run_key(run_id, SEAL_PART)
    with disk.guarded("write", part):
        part.unlink(missing_ok=True)  # a link that lies there would lead elsewhere
    disk.write_durable(part, b"")
    disk.sync_folder(part.parent)


def is_to_be_sealed(archive: Path, run_id: str) -> bool:
    """Whether a run was cut off between `announce_seal` and the end of `write_seal`. Raises StorageError."""
    return disk.exists(archive / run_key(run_id, SEAL_PART))


def write_seal(archive: Path, run_id: str, mode: int = WRITABLE) -> None:
    """Put the seal of a run in place, durable; it was announced, and the manifest is there. Raises StorageError, LedgerError."""
    part = archive / run_key(run_id, SEAL_PART)
    release(part)  # a crash may have come between making it read-only and its name
    disk.overwrite(part, seal_text(make_seal(archive, run_id)), durably=True)
    if mode == READ_ONLY:
        protect(part)
    path = archive / run_key(run_id, SEAL)
    with disk.guarded("rename to", path):
        part.replace(path)
    disk.sync_folder(path.parent)


def load_seal(archive: Path, run_id: str) -> tuple[Seal, bytes] | None:
    """Return the seal of a run and its bytes; None where it has none. Raises SealError, StorageError."""
    data = disk.beginning_of(archive / run_key(run_id, SEAL), LARGEST_BYTES + 1)
    return None if data is None else (read_seal(data), data)


def differences(archive: Path, run_id: str) -> Iterator[tuple[str, str]]:
    """Hold a run's seal against its ledger and manifest; yield what was expected and what the seal says instead.

    Nothing where they agree, and where there is no seal. Raises StorageError.
    """
    try:
        loaded = load_seal(archive, run_id)
        if loaded is None:
            return
        stated = loaded[0]
        made = make_seal(archive, run_id, sealed_at=stated.sealed_at)
    except (LedgerError, MarkError) as error:
        yield "a seal that fits its run", str(error)
        return
    for field, name in NAMES.items():
        if getattr(made, field) != getattr(stated, field):
            yield f"{name}: {getattr(made, field)}", f"{name}: {getattr(stated, field)}"


def doubt_of_end(archive: Path, end: ledger.Position) -> str | None:
    """Say that the run at whose end the chain ends has closed with another last line: its ledger was cut or altered since.

    None where it ends as its seal says, or has none. It costs a few bytes read, whatever the ledger's size. Raises StorageError.
    """
    try:
        loaded = load_seal(archive, end.run_id) if end.run_id else None
    except SealError as error:
        return f"the seal of the run {end.run_id} cannot be read ({error}); `harvester verify` tells more"
    if loaded is None or loaded[0].ledger_last_line_sha256 == end.prev:
        return None
    return (
        f"{run_key(end.run_id, LEDGER)} does not end as its seal says: it was cut or altered after its run had closed; "
        "what it tells no more is looked at again, and `harvester verify` tells more"
    )


def _tree_of_ledger(archive: Path, run_id: str) -> tuple[Tree, bytes]:
    """Return the tree over the lines of a run's ledger, and the last line with its newline."""
    path = archive / run_key(run_id, LEDGER)
    tree, raw = Tree(), b""
    with disk.guarded("read", path) as step, path.open("rb", buffering=disk.READ_BLOCK_BYTES) as file:
        for raw in step.over(file):
            tree.add(raw[:-1])
    if not raw.endswith(b"\n"):
        raise LedgerError(f"{run_key(run_id, LEDGER)} does not end with a whole line; `harvester verify` tells more")
    return tree, raw


def _tree_of_manifest(archive: Path, run_id: str) -> tuple[Tree, str]:
    """Return the tree over the lines of a run's manifest, and its SHA-256 in hex."""
    path = archive / run_key(run_id, MANIFEST)
    tree, digest = Tree(), hashlib.sha256()
    with disk.guarded("read", path) as step, path.open("rb", buffering=disk.READ_BLOCK_BYTES) as file:
        for raw in step.over(file):
            digest.update(raw)
            tree.add(raw.removesuffix(b"\n"))
    return tree, digest.hexdigest()
