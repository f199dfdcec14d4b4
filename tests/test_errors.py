"""The tree of errors: it is as it is drawn, and every exit code is documented."""

import re
from pathlib import Path

import pytest

from harvester import errors
from harvester.errors import HarvestError

EXIT_CODES = Path(__file__).parents[1] / "docs" / "exit-codes.md"

BRANCH = re.compile(r"^    ([ │├└─]*)(\w+) +(\d+)   \S", re.MULTILINE)


def drawn() -> list[tuple[str, str | None, int]]:
    """Return name, parent and exit code of each error, as the module's docstring draws them."""
    found: list[tuple[str, str | None, int]] = []
    above: list[str] = []
    for branch, name, code in BRANCH.findall(errors.__doc__ or ""):
        depth = len(branch) // 4
        del above[depth:]
        found.append((name, above[-1] if above else None, int(code)))
        above.append(name)
    return found


def classes(root: type[HarvestError] = HarvestError) -> list[type[HarvestError]]:
    """Return the module's tree of errors in its order, parents before their children."""
    children = [child for child in root.__subclasses__() if child.__module__ == errors.__name__]
    return [root, *(each for child in children for each in classes(child))]


def test_the_tree_is_as_it_is_drawn() -> None:
    """Every class is in the drawing, in order, below its parent and with its exit code; nothing else is."""
    real = [(each.__name__, each.__base__ if each is not HarvestError else None, each.exit_code) for each in classes()]
    assert drawn() == [(name, parent.__name__ if parent else None, code) for name, parent, code in real]


def test_every_exception_of_the_module_is_in_the_tree() -> None:
    """There is one root: catching it catches every failure that is ours."""
    ours = {each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, BaseException)}
    assert ours == set(classes())


def test_every_branch_of_the_root_has_its_own_exit_code() -> None:
    """A script that reads the exit code can tell the kinds of failure apart; what lies deeper shares its branch's."""
    branches = [each for each in classes() if each.__base__ is HarvestError]
    assert len({branch.exit_code for branch in branches}) == len(branches)
    for branch in branches:
        assert {each.exit_code for each in classes(branch)} == {branch.exit_code}


@pytest.mark.parametrize("error", classes())
def test_every_error_is_documented_with_its_code(error: type[HarvestError]) -> None:
    """docs/exit-codes.md names each class in the row of its code."""
    rows = [line for line in EXIT_CODES.read_text().splitlines() if f"`{error.__name__}`" in line]
    assert [row.split("|")[2].strip() for row in rows] == [str(error.exit_code)]


@pytest.mark.parametrize("code", sorted({0, 130, 143, *(each.exit_code for each in classes())}))
def test_every_exit_code_is_documented(code: int) -> None:
    """docs/exit-codes.md has a row for each code of the tree, for success, and for both signals."""
    rows = [line for line in EXIT_CODES.read_text().splitlines() if line.startswith("|")]
    assert any(re.search(rf"\b{code}\b", row.split("|")[1]) for row in rows)
