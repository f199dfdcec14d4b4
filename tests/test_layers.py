"""The arrows of the design: which module may know which. They are read from the source, not from good will."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "harvester"

NO_NAMES = frozenset({"utils", "util", "helpers", "helper", "common", "core", "base", "misc"})


class Import(NamedTuple):
    """One import: the module in which it stands, the module that it names, and the line."""

    by: str
    of: str
    line: int

    def __str__(self) -> str:
        """Return it as a failure shows it."""
        return f"{self.by} (line {self.line}) imports {self.of}"


def module_of(path: Path) -> str:
    """Return the dotted name of a source file; a package's own file has the package's name."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


TREES = {module_of(path): ast.parse(path.read_bytes()) for path in sorted((ROOT / PACKAGE).rglob("*.py"))}
PACKAGES = frozenset(module_of(path) for path in (ROOT / PACKAGE).rglob("__init__.py"))


def imports_of(module: str) -> Iterator[Import]:
    """Yield what a module imports, anywhere in it: in functions and for type checkers too."""
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            yield from (Import(module, alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = (
                module.split(".")[: len(module.split(".")) - node.level + (module in PACKAGES)] if node.level else []
            )
            source = ".".join([*above, *filter(None, [node.module])])
            for alias in node.names:
                inner = f"{source}.{alias.name}"
                yield Import(module, inner if inner in TREES else source, node.lineno)


IMPORTS = [each for module in TREES for each in imports_of(module)]


def within(module: str, *places: str) -> bool:
    """Whether a module is one of these, or lies in one of these packages; ours are named without `harvester.`."""
    full = [*places, *(f"{PACKAGE}.{place}" for place in places)]
    return any(module == place or module.startswith(f"{place}.") for place in full)


def ours(each: Import) -> bool:
    """Whether an import names a module of this package, not only the package (its version)."""
    return each.of.startswith(f"{PACKAGE}.")


def nothing(found: list[str]) -> None:
    """Fail with what was found, in full."""
    assert not found, "\n".join(found)


Forbidden = Callable[[Import], bool]

ARROWS: dict[str, Forbidden] = {
    "platform knows no archive": lambda i: within(i.by, "platform") and within(i.of, "archive", "container"),
    "archive knows no platform": lambda i: within(i.by, "archive") and within(i.of, "harvester.platform"),
    "platform and archive know nothing above them": lambda i: (
        within(i.by, "platform", "archive")
        and ours(i)
        and not within(i.of, "platform", "archive", "container", "model", "errors", "mask", "needs", "transcript")
    ),
    "verify asks nobody": lambda i: (
        within(i.by, "verify")
        and ours(i)
        and not within(i.of, "verify", "archive", "evidence", "model", "errors", "values")
    ),
    "only what shows or tours knows verify": lambda i: (
        within(i.of, "harvester.verify") and not within(i.by, "verify", "cli", "screen", "tour", "export")
    ),
    "only the command line holds and erases": lambda i: (
        within(i.of, "harvester.custody") and not within(i.by, "custody", "cli")
    ),
    "custody asks no platform": lambda i: within(i.by, "custody") and within(i.of, "harvester.platform"),
    "container stands alone": lambda i: within(i.by, "container") and ours(i) and not within(i.of, "container"),
    "demo imports no client code": lambda i: within(i.by, "demo") and ours(i) and not within(i.of, "demo"),
    "only tour imports demo": lambda i: within(i.of, "demo") and not within(i.by, "demo", "tour"),
    "steps stands alone, and vigil touches no storage": lambda i: (
        (within(i.by, "archive.steps") and ours(i))
        or (within(i.by, "vigil") and within(i.of, "archive") and not within(i.of, "archive.steps", "archive.mounts"))
    ),
    "export knows of the platform only how its rows are read": lambda i: (
        within(i.by, "export")
        and within(i.of, "harvester.platform")
        and not within(i.of, "platform.rows", "platform.lenient")
    ),
    "export makes no signature and no stamp, and one module of it looks at them": lambda i: (
        within(i.by, "export")
        and within(i.of, "evidence")
        and not (
            within(i.by, "export.vouched")
            and within(i.of, "evidence.signature", "evidence.stamp", "evidence.certificates")
        )
    ),
    "the script that a bundle brings along stands alone": lambda i: (
        (within(i.by, "export.check_proofs") and ours(i)) or within(i.of, "export.check_proofs")
    ),
    "only the command line exports": lambda i: within(i.of, "export") and not within(i.by, "export", "cli"),
    "pipeline is given functions": lambda i: (
        within(i.by, "pipeline") and (within(i.of, "archive") or within(i.of, "harvester.platform"))
    ),
    "model, errors and mask know only each other": lambda i: (
        within(i.by, "model", "errors", "mask") and ours(i) and not within(i.of, "model", "errors", "mask")
    ),
    "nobody imports the command line": lambda i: within(i.of, "cli") and not within(i.by, "__main__"),
    "aiohttp stays behind its border": lambda i: (
        within(i.of, "aiohttp")
        and not within(i.by, "platform.wire", "platform.answer", "platform.api", "platform.guard")
        and not within(i.by, "platform.connections", "platform.recordings", "demo", "evidence.authority")
    ),
    "pycurl stays behind its border": lambda i: within(i.of, "pycurl") and not within(i.by, "platform.swift"),
    "who vouches for a seal knows the archive, and nothing above or beside it": lambda i: (
        within(i.by, "evidence") and ours(i) and not within(i.of, "evidence", "archive", "model", "errors")
    ),
    "ssh-keygen and the authorities stay behind their borders": lambda i: (
        (within(i.by, "evidence") and within(i.of, "subprocess") and not within(i.by, "evidence.signature"))
        or (within(i.of, "rfc3161_client") and not within(i.by, "evidence.stamp"))
        or (within(i.of, "cryptography") and not within(i.by, "evidence.stamp", "evidence.certificates"))
    ),
    "who settles calls speaks with porters, and knows nothing of platforms": lambda i: (
        within(i.by, "settle", "porters", "errands") and within(i.of, "harvester.platform", "harvester.porter")
    ),
    "checkpoint is our word": lambda i: i.of == "anyio.lowlevel.checkpoint",
}
"""For each rule of the design what breaks it."""


@pytest.mark.parametrize("rule", ARROWS)
def test_no_import_breaks_an_arrow(rule: str) -> None:
    """Every import in the package keeps to the arrows of the design."""
    nothing([str(each) for each in IMPORTS if ARROWS[rule](each)])


def test_few_modules_join_platform_and_archive() -> None:
    """What lies on the disk and what talks to the outside meet in run, in a porter that works for it, and in what founds, plans
    or examines.
    """
    joined = []
    for module in TREES:
        known = [each for each in IMPORTS if each.by == module]
        disk = [each for each in known if within(each.of, "archive")]
        outside = [each for each in known if within(each.of, "harvester.platform")]
        if disk and outside and not within(module, "run", "founding", "plan", "doctor", "porter"):
            joined.append(f"{disk[0]}; {outside[0]}")
    nothing(joined)


def test_no_modules_import_each_other_in_a_circle() -> None:
    """A circle has no beginning: none of its modules can be understood or tested first."""
    arrows, before = [each for each in IMPORTS if each.of in TREES], 0
    while len(arrows) != before:  # take away what lies on no circle, and on no way between two, until nothing more goes
        before = len(arrows)
        froms, tos = {each.by for each in arrows}, {each.of for each in arrows}
        arrows = [each for each in arrows if each.by in tos and each.of in froms]
    nothing([str(each) for each in arrows])


def test_every_module_has_a_name_that_says_something() -> None:
    """A function without a home names a missing concept."""
    nothing([module for module in TREES if NO_NAMES & set(module.split("."))])


def test_there_is_one_way_to_retry() -> None:
    """Only platform/retry.py sleeps in a loop in which errors are caught; the others sleep for their budget alone."""
    places = [
        (module, f"{module} (line {loop.lineno}) sleeps after a failure")
        for module, tree in TREES.items()
        for loop in ast.walk(tree)
        if isinstance(loop, ast.While | ast.For | ast.AsyncFor) and sleeps_after_failures(loop)
    ]
    nothing([place for module, place in places if not within(module, "platform.retry")])
    assert len(places) == 1


def sleeps_after_failures(loop: ast.AST) -> bool:
    """Whether a loop both catches errors and calls something named `sleep`."""
    called = [node.func for node in ast.walk(loop) if isinstance(node, ast.Call)]
    names = {each.attr if isinstance(each, ast.Attribute) else getattr(each, "id", "") for each in called}
    return "sleep" in names and any(isinstance(node, ast.ExceptHandler) for node in ast.walk(loop))


def test_every_import_is_seen() -> None:
    """The reading of the source finds what it must: this package's modules and what they are known to import."""
    assert len(TREES) > 50
    seen = {(each.by, each.of) for each in IMPORTS}
    assert {
        (f"{PACKAGE}.cli", f"{PACKAGE}.run"),  # in a function
        (f"{PACKAGE}.run", f"{PACKAGE}.platform.api"),
        (f"{PACKAGE}.archive.store", f"{PACKAGE}.archive.disk"),  # from a package
        (f"{PACKAGE}.platform.wire", "aiohttp"),
    } <= seen
