"""How the pages of the report look, on a desk, on a phone, in the dark and on paper.

In:   nothing.  Out: `STYLE`, the one style sheet, and `STYLE_SOURCE`, which allows it and no other in a page's security policy.

Fonts are those of the reader's system: nothing is loaded. Contrasts are at least 7:1 for text (WCAG 2.2, level AAA) and 3:1 for
borders that mean something. The paper's size is the printer's: A4 and letter both hold the lines.
"""

from __future__ import annotations

import base64
import hashlib

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fff; --ink: #1b1b1f; --soft: #4a4a55; --rule: #d4d4dc; --shade: #f4f4f7; --link: #17407f; --bot: #17407f;
  --human: #6b3410; --alarm: #8c1010; --alarm-shade: #fdf0ef; --note: #5c4400; --note-shade: #fdf6e3;
  --serif: Charter, "Bitstream Charter", "Iowan Old Style", "Source Serif 4", Cambria, Georgia, "Noto Serif",
    "DejaVu Serif", serif;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Helvetica Neue", "DejaVu Sans", sans-serif;
  --mono: ui-monospace, "Cascadia Mono", Menlo, Consolas, "Noto Sans Mono", "DejaVu Sans Mono", monospace;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --paper: #17171b; --ink: #ececf1; --soft: #b9b9c4; --rule: #43434e; --shade: #212127; --link: #a9c7ff; --bot:
      #a9c7ff;
    --human: #f3bd94; --alarm: #ffb4ab; --alarm-shade: #3a1a18; --note: #f0d58c; --note-shade: #322a14;
  }
}
* { box-sizing: border-box; }
html { background: var(--paper); color: var(--ink); font: 1.0625rem/1.55 var(--serif); -webkit-text-size-adjust:
  100%; text-size-adjust: 100%; }
body { max-width: 52rem; margin: 0 auto; padding: 2.5rem 1.5rem 5rem; overflow-wrap: break-word; }
h1, h2, h3 { line-height: 1.25; text-wrap: balance; break-after: avoid; overflow-wrap: anywhere; }
h1 { font-size: 2rem; margin: 0 0 1.25rem; }
h2 { font-size: 1.5rem; margin: 0 0 .25rem; }
h3 { font: 600 .8125rem/1.3 var(--sans); letter-spacing: .06em; text-transform: uppercase; color: var(--soft);
  margin: 2rem 0 .625rem; }
p { margin: 0 0 .75rem; }
a { color: var(--link); text-underline-offset: .15em; }
a:focus-visible, audio:focus-visible { outline: 3px solid var(--link); outline-offset: 3px; }
.kicker, .when, .hint { font-family: var(--sans); font-size: .875rem; color: var(--soft); }
.kicker { margin: 0 0 .375rem; }
.when { font-size: 1rem; margin: 0; }
.hint { max-width: 44rem; break-after: avoid; }
.note + .note { margin-top: -.75rem; }
dl { display: grid; grid-template-columns: minmax(9rem, 13rem) 1fr; margin: 0; font: .9375rem/1.45 var(--sans);
  border-top: 1px solid var(--rule); }
dt, dd { margin: 0; padding: .4375rem 0; border-bottom: 1px solid var(--rule); break-inside: avoid; min-width: 0; }
dt { color: var(--soft); padding-right: 1.25rem; break-after: avoid; }
dd { overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
dd small { color: var(--soft); font-size: .8125rem; margin-left: .5em; }
table { width: 100%; border-collapse: collapse; font: .875rem/1.4 var(--sans); font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .4375rem 1rem .4375rem 0; border-bottom: 1px solid
  var(--rule); overflow-wrap: anywhere; }
th:last-child, td:last-child { padding-right: 0; }
thead { display: table-header-group; }
thead th { color: var(--soft); font-weight: 600; border-bottom: 1px solid var(--soft); overflow-wrap: normal; }
tbody th { font-weight: inherit; }
tr { break-inside: avoid; }
.number { text-align: right; white-space: nowrap; }
.files b.bad { display: block; }
.files code.sum { display: block; font-size: .75rem; color: var(--soft); }
code { font-family: var(--mono); font-size: .875em; }
code.hidden { background: var(--note-shade); color: var(--note); border: 1px solid currentColor; border-radius:
  .2em; padding: 0 .2em; font-size: .7em; white-space: nowrap; }
article { border-top: 3px solid var(--ink); margin-top: 4rem; padding-top: 1.25rem; overflow: clip; }
audio { display: block; width: 100%; margin: 0 0 .5rem; }
ol.turns { list-style: none; margin: 0; padding: 0; }
.turns li { display: grid; grid-template-columns: 4.25rem 5.5rem 1fr; padding: .3125rem 0; }
.turns time { font: .8125rem/1.9 var(--sans); color: var(--soft); font-variant-numeric: tabular-nums; }
.turns b { font: 600 .8125rem/1.9 var(--sans); padding-right: .75rem; overflow-wrap: anywhere; }
.turns .bot b { color: var(--bot); } .turns .human b { color: var(--human); }
.turns p, .text { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; min-width: 0; orphans: 3; widows: 3; }
.alarm, .note { font: .9375rem/1.45 var(--sans); border-left: 4px solid currentColor; padding: .75rem 1rem; margin:
  1.25rem 0; break-inside: avoid; }
.alarm { background: var(--alarm-shade); color: var(--alarm); } .note { background: var(--note-shade); color:
  var(--note); }
.alarm p, .note p, .alarm ul { margin: 0; } .alarm ul { padding-left: 1.25rem; }
b.bad { color: var(--alarm); font-weight: 600; }
.pages { display: flex; flex-wrap: wrap; gap: .5rem 1.5rem; font: .9375rem var(--sans); margin: 0 0 1.5rem; }
nav.contents { margin-top: 3rem; overflow-x: auto; }
.contents th, .contents td { overflow-wrap: break-word; }
footer { margin-top: 4rem; border-top: 1px solid var(--rule); padding-top: 1rem; }
@media screen { article { content-visibility: auto; contain-intrinsic-size: auto 60rem; } }
@media (max-width: 38rem) {
  body { padding: 1.5rem 1rem 3rem; }
  h1 { font-size: 1.625rem; } h2 { font-size: 1.3125rem; }
  dl { display: block; } dt { border: 0; padding: .5rem 0 0; font-size: .8125rem; } dd { padding: 0 0 .5rem; }
  .turns li { grid-template-columns: auto 1fr; padding: .5rem 0; } .turns time { padding-right: .75rem; } .turns p {
    grid-column: 1 / -1; }
  dd small { display: block; margin: 0; }
  .wide, .contents td:first-child, .contents thead th:first-child {
    display: none; }
  th, td { padding-right: .625rem; }
}
@media print {
  @page { margin: 20mm 18mm; @bottom-right { content: counter(page) " / " counter(pages); font: 8pt sans-serif;
    color: #4a4a55; } }
  html { font-size: 10.5pt; } body { max-width: none; padding: 0; }
  .screen { display: none !important; }
  article { break-before: page; margin-top: 0; }
  article:only-child { break-before: auto; margin-top: 3rem; }
  .turns li { break-inside: avoid-page; } section { break-inside: avoid; }
  dt, dd { padding: .25rem 0; } h3 { margin-top: 1.25rem; }
  a { color: inherit; text-decoration: none; }
  .alarm, .note { background: none; }
}
"""

_SUM = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

STYLE_SOURCE = f"'sha256-{_SUM}'"
"""Allows a `<style>` element with exactly this text (Content Security Policy 3, 2.3.1)."""
