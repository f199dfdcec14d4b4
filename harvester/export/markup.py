"""What the pages of the report are written with: texts, links to files of the bundle, lists of names and values. Pure.

In:   values from outside, and paths in the bundle.  Out: HTML that holds no markup but ours.
"""

from __future__ import annotations

import html
import urllib.parse
from collections.abc import Iterable

from harvester.export.visible import visible_html

Pair = tuple[str, str]
"""A name, and its value as HTML."""


def pairs(known: Iterable[Pair]) -> str:
    """Return names and values as a list."""
    rows = "\n".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in known)
    return f"<dl>\n{rows}\n</dl>"


def link(path: str, words: str | None = None) -> str:
    """Return a link to a file of the bundle."""
    return f'<a href="{address(path)}">{visible_html(words or path)}</a>'


def address(path: str) -> str:
    """Return a path in the bundle as it stands in an attribute."""
    return html.escape(urllib.parse.quote(path))


def isolated(text: str) -> str:
    """Return a text that keeps its direction of writing to itself."""
    return f"<bdi>{visible_html(text)}</bdi>"


def clock(seconds: float) -> str:
    """Return a duration as hours, minutes and seconds, such as `4:05`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
