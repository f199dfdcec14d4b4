"""What is committed about calls of which no file is written."""

from collections.abc import Sequence

from harvester.archive.stage import Draft
from harvester.archive.tidings import commit_gone
from harvester.errors import HarvestError, StorageError
from harvester.model import Entry, Outcome, State

MOST = 3
LOST = [
    Entry(
        id=str(number),
        digest="",
        place=f"2025/08/04/{number}",
        version=1,
        recording=State.SAVED,
        transcript=State.SAVED,
        offered=True,
        link=None,
        left=False,
        reason=None,
    )
    for number in range(2 * MOST + 1)
]


class Committed:
    """Commits groups, and notes how large they were."""

    def __init__(self, *, most: int = len(LOST)) -> None:
        self._most = most
        self.sizes: list[int] = []
        self.told: list[str] = []

    async def commit(self, drafts: Sequence[Draft]) -> list[Outcome]:
        """Commit a group, unless there are to be no more."""
        if len(self.sizes) == self._most:
            raise StorageError("no room")
        self.sizes.append(len(drafts))
        return [draft.outcome for draft in drafts]

    async def all(self, *, until: int = len(LOST)) -> HarvestError | None:
        """Commit that all are gone, until so many outcomes are told."""
        return await commit_gone(
            LOST, MOST, self.commit, lambda outcome: self.told.append(outcome.id), lambda: len(self.told) >= until
        )


async def test_calls_that_are_gone_are_committed_in_groups() -> None:
    """All of them, in their order, each told once."""
    committed = Committed()
    assert await committed.all() is None
    assert committed.sizes == [MOST, MOST, 1]
    assert committed.told == [entry.id for entry in LOST]


async def test_a_run_that_is_stopped_commits_no_further_group() -> None:
    """What is told by then is committed."""
    committed = Committed()
    assert await committed.all(until=1) is None
    assert committed.sizes == [MOST]
    assert len(committed.told) == MOST


async def test_what_ends_the_run_is_returned() -> None:
    """So that its ledger is closed by whoever has it."""
    committed = Committed(most=1)
    assert str(await committed.all()) == "no room"
    assert len(committed.told) == MOST
