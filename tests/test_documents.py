"""What the documents name is there: a claim that leads to a test, or to another page, can be followed."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/*.md", "fuzz/*.md", "benchmarks/*.md")
    for path in ROOT.glob(pattern)
)
NAMED = re.compile(r"`((?:tests|fuzz|benchmarks|docs|harvester|\.ci)/[\w./-]+)`?")
TEST = re.compile(r"`(test_\w+\.py)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")


def headings(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as its readers' renderers make them."""
    titles = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_files_that_a_document_names_are_there(document: str) -> None:
    """A test that shows a sentence, or a module that keeps it, lies where the document says, moved or not."""
    text = (ROOT / document).read_text()
    tests = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    missing = {name for name in NAMED.findall(text) if not (ROOT / name).exists()} | (set(TEST.findall(text)) - tests)
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_links_of_a_document_lead_somewhere(document: str) -> None:
    """Each link within the repository leads to a file that is there, and to a heading that it has."""
    broken = []
    for link in LINK.findall((ROOT / document).read_text()):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        path = (ROOT / document).parent / file if file else ROOT / document
        if not path.exists() or (anchor and anchor not in headings(path)):
            broken.append(link)
    assert not broken
