"""Make visible what a reader could not see, or what would move what he sees.

In:   text from outside.  Out: the same with control characters, marks of writing direction and what has no width written out.

The characters are listed here, instead of asking Python what is printable: that answer grows with each version of Unicode, and a
bundle must come out the same from every Python. What writing needs stays as it is: no-break spaces, the joiners of Persian, Hindi
and emoji (U+200C, U+200D), variation selectors.
"""

from __future__ import annotations

import html
import re

HIDDEN = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # controls
    "\xad\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0"  # soft hyphen, joiner and fillers without a shape
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # marks of writing direction (Unicode UAX 9)
    "\u180b-\u180e\u200b\u2028\u2029\u2060-\u2065\u206a-\u206f\ufeff\ufff0-\ufffb"  # separators and others without width
    "\ud800-\udfff"  # halves of characters, which no file can hold
    "\U000e0000-\U000e0fff"  # tags: a second text that nobody sees
    "]"
)

LINE_BREAK = re.compile(r"\r\n?")


def visible_text(text: str) -> str:
    r"""Return text on one line: what is hidden in it, line breaks too, is written as Python would, such as `\n` and `\u202e`."""
    return HIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def visible_html(text: str, *, lines: bool = False) -> str:
    """Return text as HTML, for the inside of an element; what is hidden in it is a mark such as `U+202E`.

    With `lines` line breaks and tabs stay what they are.
    """
    if lines:
        text = LINE_BREAK.sub("\n", text)
    kept = "\n\t" if lines else ""
    return HIDDEN.sub(lambda found: found[0] if found[0] in kept else _mark(found[0]), html.escape(text))


def _mark(character: str) -> str:
    return f'<code class="hidden">U+{ord(character):04X}</code>'
