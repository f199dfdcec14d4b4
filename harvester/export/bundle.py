"""`harvester export`: a part of an archive as a bundle to hand over.

In:   an `Order`.  Out: a bag, in a folder or a zip file, whole or not at all; and `Made`, which tells of it.

Everything is written into a folder beside the target, made durable, and only then given its name. Evidence comes first, then the
calls, sorted by place: each file is hashed while it is copied and held against the ledger. What is damaged ends the export,
unless it is to be included: then the bundle says so wherever it speaks of it. No file of it tells the time, the host, or where
it lies.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import msgspec

from harvester.archive import disk
from harvester.archive.mark import Mark, require_mark
from harvester.archive.selecting import check_ids
from harvester.errors import ConfigError, DamagedError, MarkError, StorageError
from harvester.export import papers
from harvester.export.bag import Bag
from harvester.export.copying import copied, looked_at
from harvester.export.criteria import Criteria, check
from harvester.export.evidence import Proven, write_evidence
from harvester.export.exported import Bundle, ExportedCall, ExportedFile, exported
from harvester.export.papers import Facts
from harvester.export.rendered import Rendered
from harvester.export.selection import Selection, Tell, select
from harvester.export.sinks import FolderSink, ZipSink
from harvester.export.target import Target
from harvester.wording import counted

MOST_SHOWN = 20
NAME = "harvester-export-"
MANIFEST = "manifest-sha256.txt"


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be exported, and where to."""

    archive: Path
    target: Path
    criteria: Criteria
    as_zip: bool = False
    include_damaged: bool = False
    dry_run: bool = False
    case: str | None = None
    operator: str | None = None
    reason: str | None = None


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """What was exported; in a dry run, what would be."""

    bundle: str  # its path
    dry_run: bool
    name: str | None = None
    tagmanifest_sha256: str | None = None  # of tagmanifest-sha256.txt: stands for the whole bundle
    selected: str
    calls: int
    files: int
    bytes: int
    damaged: int  # calls with damaged files
    runs: int
    unsealed_runs: tuple[str, ...] = ()
    unsigned_runs: tuple[str, ...] = ()
    unstamped_runs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()  # what is wrong or incomplete
    first: tuple[str, ...] = ()  # the first calls, a line each: for the screen
    seals: str = ""  # how much is sealed, signed and stamped, in words


def export(order: Order, tell: Tell) -> Made:
    """Export a part of an archive.

    Raises ConfigError when nothing is selected or the target will not do, MarkError, StorageError, LockedError, and DamagedError
    when files are damaged that are not to be included. Nothing is left behind then.
    """
    check(order.criteria)
    mark = require_mark(order.archive)
    target = Target(order.target, order.archive, as_zip=order.as_zip)
    with _told_apart(order.archive, mark), closing(select(order.archive, order.criteria, tell)) as selection:
        damaged = looked_at(selection, MOST_SHOWN)
        if damaged or selection.flaws or selection.unreadable:
            _require_same(order.archive, mark)
        if not order.include_damaged:
            _refuse(damaged, selection)
        target.check_room(_chosen_bytes(selection))
        if order.dry_run:
            return _would_make(order, target, selection, damaged)
        with target.being_made() as path, ExitStack() as opened:
            making = _Making(order, mark, selection, path, opened)
            made = making.make(target, tell)
            if made.damaged or made.notes:
                _require_same(order.archive, mark)
        return made


@contextmanager
def _told_apart(archive: Path, mark: Mark) -> Iterator[None]:
    """Tell what is wrong with an archive from another that has come into its place. Raises MarkError for that."""
    try:
        yield
    except (ConfigError, DamagedError, StorageError):
        _require_same(archive, mark)
        raise


def _require_same(archive: Path, mark: Mark) -> None:
    """Make sure that the archive still lies there. Raises MarkError."""
    if require_mark(archive).archive_id != mark.archive_id:
        raise MarkError(f"another archive lies at {archive} by now: is the right disk or share mounted?")


class _Making:
    """A bundle that is being made."""

    def __init__(self, order: Order, mark: Mark, selection: Selection, path: Path, opened: ExitStack) -> None:
        self._order, self._mark, self._selection = order, mark, selection
        self._name = _name_of(order, mark, selection)
        self._bag = Bag(ZipSink(path, self._name) if order.as_zip else FolderSink(path))
        opened.callback(self._bag.abandon)
        self._rendered = Rendered(self._bag, path.parent, opened)
        self._calls = self._damaged = self._erased = 0

    def make(self, target: Target, tell: Tell) -> Made:
        """Write all of it."""
        proven = write_evidence(self._selection, self._bag)
        self._refuse([])
        for standing in self._selection.standings():
            files: list[ExportedFile] = []
            row = b""
            for file, read in copied(self._selection, standing, self._bag, tell):
                if file.damage:
                    _require_same(self._order.archive, self._mark)
                    self._refuse([f"{file.key}: {file.damage}"])
                files.append(file)
                row = read or row if file.version <= standing.version else row
            self._render(exported(standing, row, tuple(files)))
        return self._finish(target, proven)

    def _refuse(self, damaged: Sequence[str]) -> None:
        if not self._order.include_damaged:
            _refuse(damaged, self._selection)

    def _render(self, call: ExportedCall) -> None:
        self._calls += 1
        self._damaged += bool(call.damaged)
        self._erased += call.erased
        self._rendered.call(call)

    def _finish(self, target: Target, proven: Proven) -> Made:
        bag, files, size_bytes = self._bag, *self._bag.payload()
        bundle = Bundle(
            name=self._name,
            archive_id=self._mark.archive_id,
            platform=self._mark.platform,
            account=self._mark.account,
            case=self._order.case,
            operator=self._order.operator,
            reason=self._order.reason,
            selected=self._order.criteria.in_words(),
            as_of=self._selection.as_of,
            calls=self._calls,
            files=files,
            bytes=size_bytes,
            damaged=self._damaged,
            erased=self._erased,
            runs=tuple(proven.runs),
            unsealed_runs=tuple(proven.unsealed),
        )
        self._rendered.end(bundle)
        facts = Facts(
            bundle=bundle,
            ledger_lines=proven.lines,
            vouched=proven.vouched,
            notes=(*_notes(self._selection), *proven.vouched.notes),
            manifest_sha256=bag.write_manifests(),
        )
        bag.add("VERIFY.md", [papers.verify_md(facts)])
        bag.add("CERTIFICATE.md", [papers.certificate_md(facts)])
        return _made(self._order, target, facts, bag.finish(papers.info(facts)))


def _refuse(damaged: Sequence[str], selection: Selection) -> None:
    """Raise DamagedError where something is wrong with what is selected."""
    found = [*damaged, *selection.flaws]
    if selection.unreadable:
        found.append(
            f"{counted(selection.unreadable, 'call')} may be meant, and the rows cannot be read or are damaged"
        )
    if found:
        more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
        raise DamagedError(
            f"the selection is damaged, and nothing was exported: {'; '.join(found[:3])}{more}. `harvester verify` tells all "
            "of it; restore those files from a copy, or export them as they are, marked, with --include-damaged"
        )


def _chosen_bytes(selection: Selection) -> int:
    """Return how many bytes are selected. Raises ConfigError where no call is, or where an id is none of the archive."""
    if not selection.flaws:  # else a ledger may have told of it
        check_ids(selection.criteria.ids, selection.known)
    calls, _, size_bytes = selection.counts()
    if not calls:
        asked = selection.criteria.in_words()
        raise ConfigError(f"nothing is selected by: {asked}{_why_not(selection)}; nothing was written")
    return size_bytes


def _why_not(selection: Selection) -> str:
    """Return what may be the reason that nothing is selected."""
    if selection.flaws:
        return f" (ledgers are damaged: {selection.flaws[0]})"
    if selection.unreadable:
        return f" ({counted(selection.unreadable, 'call')} cannot be looked at: rows are missing or damaged)"
    return f" ({counted(selection.erased, 'call')} cannot be looked at: erased on request)" if selection.erased else ""


def _notes(selection: Selection) -> Iterator[str]:
    yield from selection.flaws
    if selection.unreadable:
        yield f"{counted(selection.unreadable, 'call')} could not be looked at, because rows are missing or damaged"
    if selection.erased:
        yield f"{counted(selection.erased, 'call')} could not be looked at, because rows were erased on request"


def _name_of(order: Order, mark: Mark, selection: Selection) -> str:
    """Return a name that is made of what the bundle holds."""
    digest = hashlib.sha256()
    for said in (mark.archive_id, selection.as_of, order.criteria.in_words(), order.case, order.operator, order.reason):
        digest.update(f"{said}\n".encode("utf-8", "replace"))
    for seq, sha256 in selection.line_hashes():
        digest.update(f"{seq} {sha256}\n".encode())
    return f"{NAME}{digest.hexdigest()[:10]}"


def _would_make(order: Order, target: Target, selection: Selection, damaged: Sequence[str]) -> Made:
    calls, files, size_bytes = selection.counts()
    first = []
    for standing in selection.standings():
        names = ", ".join(file.key.rpartition("/")[2] for file in selection.files(standing.id) if not file.erased)
        first.append(f"{standing.id!a} ({standing.place.rpartition('/')[0]}): {names or 'erased'}")
        if len(first) == MOST_SHOWN:
            break
    return Made(
        bundle=disk.path_text(target.path),
        dry_run=True,
        selected=order.criteria.in_words(),
        calls=calls,
        files=files,
        bytes=size_bytes,
        damaged=len(damaged),
        runs=len(selection.runs()),
        notes=(*damaged, *_notes(selection)),
        first=tuple(first),
    )


def _made(order: Order, target: Target, facts: Facts, tagmanifest_sha256: str) -> Made:
    bundle = facts.bundle
    return Made(
        bundle=disk.path_text(target.path),
        dry_run=False,
        name=bundle.name,
        tagmanifest_sha256=tagmanifest_sha256,
        selected=bundle.selected,
        calls=bundle.calls,
        files=bundle.files,
        bytes=bundle.bytes,
        damaged=bundle.damaged,
        runs=len(bundle.runs),
        unsealed_runs=bundle.unsealed_runs,
        unsigned_runs=tuple(facts.vouched.unsigned),
        unstamped_runs=tuple(facts.vouched.unstamped),
        notes=facts.notes,
        seals=papers.seals_text(facts),
    )
