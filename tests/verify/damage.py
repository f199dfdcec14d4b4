"""Archives to be damaged, the damage, and what verify says of it."""

from collections.abc import Callable
from pathlib import Path

from harvester.archive.layout import LEDGER, run_key
from harvester.verify.findings import Verification
from tests.archive.sites import Site, call


async def fill(site: Site) -> None:
    """Two closed runs: saved, failed, changed."""
    await site.saved(call(1), call(2))
    with site.run() as run:
        run.archive.commit([await run.draft(call(3), None)])
        await run.save(call(2, transcript="Other."))
        run.close()


def found(result: Verification) -> set[tuple[str, str]]:
    """Kind and path of all findings."""
    return {(finding.kind, finding.path) for finding in result.findings}


def runs(root: Path) -> list[str]:
    """The ids of all runs."""
    return sorted(path.name for path in (root / "runs").iterdir())


def edit_ledger(root: Path, run: int, edit: Callable[[list[bytes]], list[bytes]]) -> str:
    """Change the lines of a run's ledger, and return its key."""
    key = run_key(runs(root)[run], LEDGER)
    (root / key).write_bytes(b"".join(edit((root / key).read_bytes().splitlines(keepends=True))))
    return key
