"""`report.html`: the calls of a bundle for a person to read, hear and print.

In:   one exported call after the other.  Out: whole pages, each as soon as it is full: `report.html`, `report-0002.html`, ...

A page has no script, and its security policy allows none: no request but for the recordings beside it, no style but its own, by
its hash. `'self'` covers what lies beside a page that is opened from a disk, too, in Chromium 156 and Firefox 153.

`CALLS_A_PAGE` calls make a page, so that ten thousand calls ask for little memory, of us and of the browser. `report.html` is the
first page and comes last, because it tells what is known when all calls are written; until then it is kept. The page of a call
follows from its number alone, so that `index.csv` can name it.
"""

from __future__ import annotations

from collections.abc import Iterator

from harvester.export.article import CONTENTS_HEAD, anchor_of, article, contents_row
from harvester.export.exported import Bundle, ExportedCall
from harvester.export.markup import Pair, isolated, link, pairs
from harvester.export.style import STYLE, STYLE_SOURCE
from harvester.export.visible import visible_html
from harvester.wording import counted, size_text

CALLS_A_PAGE = 250
"""Of calls of ten minutes they are 4.7 MB, which Chromium has open in a second; seven times as many took seven seconds."""

POLICY = f"default-src 'none'; media-src 'self'; style-src {STYLE_SOURCE}; base-uri 'none'; form-action 'none'"

HEAD = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<meta name="format-detection" content="telephone=no, date=no, address=no, email=no">
<title>%s</title>
<style>{STYLE.replace("%", "%%")}</style>
</head>
<body>
"""

FOOT = """<footer><p class="hint">This page holds no script and loads nothing but the recordings beside it. It is made of the
files of this bundle, and they are what counts. Characters that cannot be seen are shown as
<code class="hidden">U+202E</code>.</p></footer>
</body>
</html>
"""


class Page:
    """The calls of one page, while it fills."""

    def __init__(self, number: int) -> None:
        self.number = number  # from 1
        self.articles: list[str] = []
        self.rows: list[str] = []
        self.first = self.last = ""  # when the first and the last of its calls were created

    def add(self, call: ExportedCall) -> None:
        """Take one call."""
        number = (self.number - 1) * CALLS_A_PAGE + len(self.articles) + 1
        self.articles.append(article(call, number))
        self.rows.append(contents_row(call, number))
        self.first = self.first or call.created_at or ""
        self.last = call.created_at or self.last

    @property
    def span(self) -> str:
        """Which calls it holds."""
        first = (self.number - 1) * CALLS_A_PAGE + 1
        return f"{first:,} to {first + len(self.articles) - 1:,}"


class Report:
    """The pages of a report, as its calls come."""

    def __init__(self) -> None:
        self._page = self._front = Page(1)
        self._others: list[tuple[str, str, str, str]] = []  # of each later page: address, span, first and last day

    def call(self, call: ExportedCall) -> Iterator[tuple[str, bytes]]:
        """Take the next call; yield the name and the bytes of the page that was full before it."""
        if len(self._page.articles) == CALLS_A_PAGE:
            yield from self._turn_over(last=False)
            self._page = Page(self._page.number + 1)
        self._page.add(call)

    def end(self, bundle: Bundle) -> Iterator[tuple[str, bytes]]:
        """Yield the last page and the first."""
        yield from self._turn_over(last=True)
        yield page_name(1), self._first_page(bundle)

    def _turn_over(self, *, last: bool) -> Iterator[tuple[str, bytes]]:
        page = self._page
        if page is not self._front:
            self._others.append((page_name(page.number), page.span, page.first, page.last))
            yield page_name(page.number), _later_page(page, last=last)

    def _first_page(self, bundle: Bundle) -> bytes:
        title = bundle.case or counted(bundle.calls, "call")
        return "".join(
            [
                HEAD % visible_html(f"{title}: report"),
                _title(visible_html(title), "Recorded calls, exported from an archive"),
                pairs(_facts(bundle)),
                "\n</header>\n",
                self._pages(),
                _contents(self._front),
                *_main(self._front),
                _turning(self._front, last=not self._others),
                FOOT,
            ]
        ).encode()

    def _pages(self) -> str:
        """Return the list of the pages, where there are several."""
        if not self._others:
            return ""
        front = (page_name(1), self._front.span, self._front.first, self._front.last)
        rows = "".join(
            f'<tr><th scope="row">{link(name)}</th><td>{span}</td><td>{isolated(first)}</td>'
            f"<td>{isolated(last)}</td></tr>\n"
            for name, span, first, last in (front, *self._others)
        )
        return (
            '<nav class="contents" aria-labelledby="pages"><h2 id="pages">Pages</h2>\n'
            f'<p class="hint">{link("index.csv")} is a table of all calls, and names the page of each.</p>\n'
            '<table><thead><tr><th scope="col">Page</th><th scope="col">Calls</th><th scope="col">First created</th>'
            f'<th scope="col">Last created</th></tr></thead><tbody>\n{rows}</tbody></table></nav>\n'
        )


def page_name(number: int) -> str:
    """Return the name of a page, in the bundle's root."""
    return "report.html" if number == 1 else f"report-{number:04}.html"


def page_of(call: ExportedCall, number: int) -> str:
    """Return the address of a call in the report; `number` is its place among all, from 1."""
    return f"{page_name((number - 1) // CALLS_A_PAGE + 1)}#{anchor_of(call)}"


def _facts(bundle: Bundle) -> Iterator[Pair]:
    """Yield what is true of the whole bundle."""
    texts = (
        ("Case", bundle.case),
        ("Exported by", bundle.operator),
        ("Reason", bundle.reason),
        ("Selected by", bundle.selected),
        ("Platform", bundle.platform),
        ("Account", bundle.account),
        ("Archive", bundle.archive_id),
        ("As of", bundle.as_of),
    )
    yield from ((name, isolated(text)) for name, text in texts if text)
    yield "Calls", f"{bundle.calls:,}"
    yield "Files", f"{bundle.files:,} ({size_text(bundle.bytes)})"
    if bundle.damaged:
        yield "Damaged", f'<b class="bad">{counted(bundle.damaged, "call")} with damaged files</b>'
    if bundle.erased:
        yield "Erased", f"{counted(bundle.erased, 'call')} of which files were erased on request"
    runs, unsealed = len(bundle.runs), len(bundle.unsealed_runs)
    sealed = (
        "every run" if not unsealed else "none of the runs" if unsealed == runs else f"{runs - unsealed:,} of the runs"
    )
    yield "Sealed", f"{sealed} that archived these calls ({runs:,})"
    yield "To check it", f"{link('VERIFY.md')} tells how, {link('CERTIFICATE.md')} what was found"


def _later_page(page: Page, *, last: bool) -> bytes:
    turning = _turning(page, last=last)
    return "".join(
        [
            HEAD % f"Calls {page.span}: report",
            _title(f"Calls {page.span}", f"Page {page.number:,} of the report of exported calls"),
            turning,
            "</header>\n",
            _contents(page),
            *_main(page),
            turning,
            FOOT,
        ]
    ).encode()


def _title(title: str, above: str) -> str:
    """Return how a page's header begins; `title` is HTML."""
    return f'<header>\n<p class="kicker">{above}</p>\n<h1>{title}</h1>\n'


def _contents(page: Page) -> str:
    """Return the table of contents of a page, where there is something to choose from."""
    if len(page.rows) < 2:
        return ""
    rows = "".join(page.rows)
    return (
        '<nav class="contents" aria-labelledby="contents"><h2 id="contents">Calls on this page</h2>\n'
        f"<table><thead>{CONTENTS_HEAD}</thead><tbody>\n{rows}</tbody></table></nav>\n"
    )


def _main(page: Page) -> Iterator[str]:
    yield "<main>\n"
    yield from page.articles
    yield "</main>\n"


def _turning(page: Page, *, last: bool) -> str:
    """Return links to the pages before and behind, where there are others."""
    links = []
    if page.number > 1:
        links += [link(page_name(1), "First page"), link(page_name(page.number - 1), "Page before")]
    if not last:
        links.append(link(page_name(page.number + 1), "Next page"))
    if not links:
        return ""
    return f'<nav class="pages screen" aria-label="Other pages">{" ".join(links)}</nav>\n'
