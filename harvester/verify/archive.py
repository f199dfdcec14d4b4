"""Verify the archive against itself: every file against its hash, every ledger line against the one before it.

In:   an archive's folder; nothing else, no local state.  Out: `Verification` with every `Finding`.

The ledgers say which files there are (books.py); seals stand for ledgers and manifests (seals.py), and signatures and stamps for
seals (witnesses.py); every file must have the size and hash that its line states (reading.py); what lies there and stands in none
of them is unexpected (tree.py); what was erased on purpose must not lie there (tombs.py). Nothing is written, nobody is asked.
"""

from __future__ import annotations

from pathlib import Path

from harvester.archive import disk
from harvester.archive.layout import MARK
from harvester.archive.mark import require_mark
from harvester.errors import MarkError
from harvester.verify.books import Books
from harvester.verify.catalog import Catalog
from harvester.verify.findings import Verification
from harvester.verify.portion import Portion, notes_of
from harvester.verify.reading import Tell, read_all
from harvester.verify.seals import Seals
from harvester.verify.tombs import hold_tombstones
from harvester.verify.tree import find_strangers
from harvester.verify.witnesses import Witnesses


def verify(
    archive: Path,
    tell: Tell = lambda files, size_bytes: None,
    *,
    portion: Portion | None = None,
    witnesses: Witnesses | None = None,
) -> Verification:
    """Verify the archive in a folder, or a portion of it; `tell` is told of progress, `witnesses` are from elsewhere.

    Raises MarkError when it is none, StorageError when it cannot be read at all, ConfigError when no witness knows it.
    """
    problem: MarkError | None = None
    archive_id = None
    try:
        archive_id = require_mark(archive).archive_id
    except MarkError as error:
        problem = error
    portion, witnesses = portion or Portion(), witnesses or Witnesses()
    result = Verification(archive=disk.path_text(archive), notes=notes_of(portion))
    with Catalog.opened() as catalog:
        seals = Seals(archive, archive_id, witnesses.copies, result)
        books = Books(archive, catalog, seals, result)
        books.read()
        if problem and not books.is_damaged(MARK):
            raise problem
        witnesses.hear(archive, seals.sealed, result)
        hold_tombstones(archive, catalog, books.open, portion, result)
        find_strangers(archive, books, portion, result)
        read_all(archive, catalog.files(), portion, result, tell)
    return result
