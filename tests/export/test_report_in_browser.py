"""`report.html` in a real browser, opened from the disk: it runs nothing, loads nothing from outside, plays, prints, fits."""

import itertools
import shutil
import subprocess
import urllib.parse
from pathlib import Path
from typing import Literal

import anyio
import pytest

from harvester.demo.audio import recording
from harvester.export.report import CALLS_A_PAGE
from tests.archive.sites import Site, call
from tests.export.browsing import Visit, browsing, needs_chromium
from tests.export.bundled import call_of, file_of, write_report
from tests.export.bundles import exported_to

pytestmark = needs_chromium

SCRIPT = (
    '"\'></style></title><script>document.title = "ran"; alert(1)</script>'
    '<img src="https://evil.example/x" onerror="alert(2)">'
)
HOSTILE = {
    "id": SCRIPT,
    "assistant_name": SCRIPT,
    "campaign_name": SCRIPT,
    "status": SCRIPT,
    "type": SCRIPT,
    "client_phone_number": SCRIPT,
    "created_at": SCRIPT,
    "variables": {SCRIPT: SCRIPT, "deep": [SCRIPT]},
    "evaluation": [{"name": SCRIPT, "value": SCRIPT, "description": SCRIPT}],
}
TURNS = [{"sender": SCRIPT, "text": SCRIPT, "timestamp": 1.0}, {"sender": "bot", "text": "x" * 5000, "timestamp": 2.0}]


def opened(visit: Visit, path: Path) -> None:
    """Open a page and see that it asks for nothing but itself, runs nothing, and breaks no rule of its policy."""
    visit.open(path)
    assert visit.requests == [path.as_uri()]
    assert visit.complaints == []


def test_a_script_in_any_field_stays_text(tmp_path: Path) -> None:
    """Markup in transcript, names, ids, variables and reasons is shown as it was sent; nothing of it runs or is fetched."""
    calls = [
        call_of({**HOSTILE, "transcript": SCRIPT}, id=SCRIPT, reason=SCRIPT),
        call_of(
            {**HOSTILE, "transcript": TURNS}, number=2, files=(file_of("2025/08/04/2.mp3", "recording", damage=SCRIPT),)
        ),
    ]
    with browsing() as visit:
        opened(visit, write_report(tmp_path, calls, case=SCRIPT, operator=SCRIPT, selected=SCRIPT))
        assert visit.page.title() == f"{SCRIPT}: report"
        assert visit.page.locator("script, img").count() == 0
        assert visit.page.inner_text("body").count(SCRIPT) > 20


def test_an_exported_bundle_opens_and_plays(tmp_path: Path) -> None:
    """From a row as the platform sends it to what a reader sees and hears: the whole way."""
    site = Site(tmp_path)
    anyio.run(site.saved, call(7, assistant_name=SCRIPT, transcript=TURNS))
    exported_to(site, tmp_path / "bundle", case=SCRIPT)
    with browsing() as visit:
        opened(visit, tmp_path / "bundle" / "report.html")
        assert visit.page.inner_text("article").count(SCRIPT) == 3  # the assistant's name, and a turn's sender and text
        visit.play()
        assert visit.requests[1:] == [(tmp_path / "bundle" / "data/2025/08/04/7.mp3").as_uri()]
        for name in visit.page.locator("a").evaluate_all("all => all.map(e => new URL(e.href).pathname)"):
            assert Path(urllib.parse.unquote(name)).is_file()
        assert visit.complaints == []


def test_the_policy_holds_against_a_script_that_got_in(tmp_path: Path) -> None:
    """Were a text ever written unescaped, the page's policy would keep it from running, from loading, and from styling."""
    page = write_report(tmp_path, [call_of({"id": 1})])
    smuggled = f'{SCRIPT}<style>body {{ color: red }}</style><p style="color: red">'
    page.write_text(page.read_text().replace("<main>", f"<main>{smuggled}"))
    with browsing() as visit:
        visit.open(page)
        refused = "\n".join(visit.complaints)
        assert visit.page.title() != "ran"
        assert "dialog" not in refused
        assert refused.count("Content Security Policy") >= 4
        assert visit.page.evaluate("getComputedStyle(document.body).color") != "rgb(255, 0, 0)"


@pytest.mark.parametrize("kind", ["mp3", "m4a"])
def test_the_player_plays_the_recording_beside_the_page(tmp_path: Path, kind: Literal["mp3", "m4a"]) -> None:
    """Nothing is loaded until the reader plays; then the file below data/ is, wherever the bundle lies."""
    folder = tmp_path / "a bundle #1, 50 % ü"
    file = file_of(f"2025/08/04/1.{kind}", "recording")
    (folder / file.path).parent.mkdir(parents=True)
    (folder / file.path).write_bytes(recording(7, 5, kind))
    with browsing() as visit:
        opened(visit, write_report(folder, [call_of({"id": 1}, files=(file,))]))
        position, length = visit.play()
        assert (position > 0, round(length)) == (True, 5)
        assert set(visit.requests[1:]) == {(folder / file.path).as_uri()}
        assert visit.complaints == []


def test_it_fits_every_screen_in_light_and_dark(tmp_path: Path) -> None:
    """Even a text without a blank moves nothing out of the screen, and texts stand out from their ground (WCAG 2.2, 1.4.6)."""
    row = {**HOSTILE, "transcript": TURNS, "assistant_name": "W" * 500}
    calls = [call_of(row, number=n, gone=True, id="9" * 200) for n in (1, 2)]
    with browsing() as visit:
        opened(visit, write_report(tmp_path, calls))
        for width in (320, 390, 768, 1280):
            visit.page.set_viewport_size({"width": width, "height": 800})
            assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
        assert visit.page.evaluate(LOWEST_CONTRAST) >= 7
        light = visit.page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        visit.page.emulate_media(color_scheme="dark")
        assert visit.page.evaluate(LOWEST_CONTRAST) >= 7
        assert visit.page.evaluate("getComputedStyle(document.documentElement).backgroundColor") != light


LOWEST_CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const light = colour => {
    canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3)
      .map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = element => {
    for (let each = element; each; each = each.parentElement) {
      const colour = getComputedStyle(each).backgroundColor;
      if (colour !== "rgba(0, 0, 0, 0)") return colour;
    }
    return "white";
  };
  return Math.min(...[...document.querySelectorAll("body *")].filter(each => each.tagName !== "AUDIO").map(each => {
    const [a, b] = [light(getComputedStyle(each).color), light(ground(each))];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  }));
}"""
"""The lowest contrast of any text and its ground, by WCAG 2.2's formula of relative luminance."""


def test_it_tells_its_order_to_who_cannot_see_it(tmp_path: Path) -> None:
    """Headings go down one level at a time, landmarks and tables and players have names."""
    with browsing() as visit:
        opened(visit, write_report(tmp_path, [call_of({"id": n, "variables": {"a": 1}}, number=n) for n in (1, 2)]))
        levels = [
            int(name[1]) for name in visit.page.locator("h1, h2, h3").evaluate_all("all => all.map(e => e.tagName)")
        ]
        assert levels[0] == 1
        assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
        for role, name in (("navigation", "Calls on this page"), ("article", "Call 2"), ("main", None)):
            assert visit.page.get_by_role(role, name=name).count() == 1  # type: ignore[arg-type]
        assert visit.page.locator("audio").nth(1).evaluate(NAME) == "Recording Call 2"
        assert visit.page.locator("html").get_attribute("lang") == "en"


NAME = """e => e.getAttribute("aria-labelledby").split(" ").map(id => document.getElementById(id).innerText).join(" ")
  .replace("RECORDING", "Recording")"""


@pytest.mark.skipif(not shutil.which("pdftotext"), reason="pdftotext is not installed (Debian: poppler-utils)")
@pytest.mark.parametrize(("paper", "width_points"), [("A4", 595), ("Letter", 612)])
def test_it_prints_each_call_on_pages_of_its_own(tmp_path: Path, paper: str, width_points: int) -> None:
    """On A4 and letter, light whatever the screen is, with page numbers and the recording's path, and without a player."""
    calls = [call_of({"id": n, "transcript": "Hello."}, number=n) for n in (1, 2)]
    with browsing(color_scheme="dark") as visit:
        opened(visit, write_report(tmp_path, calls))
        visit.page.pdf(path=tmp_path / "report.pdf", format=paper)
    pages = text_of(tmp_path / "report.pdf").split("\f")[:-1]
    assert len(pages) == 3
    assert ["Call 1\n" in page for page in pages] == [False, True, False]
    assert "1/3" in pages[0].replace(" ", "")
    assert "data/2025/08/04/1.mp3, 21.6 kB" in pages[1]
    sizes = subprocess.run(["pdfinfo", tmp_path / "report.pdf"], check=True, capture_output=True, text=True).stdout
    assert f"Page size:       {width_points}" in sizes


def text_of(pdf: Path) -> str:
    """Return the text of a PDF, its pages ended by form feeds."""
    return subprocess.run(["pdftotext", "-layout", pdf, "-"], check=True, capture_output=True, text=True).stdout


def test_links_lead_from_page_to_page(tmp_path: Path) -> None:
    """From the contents to a call, from the first page to the next and back, without anything being asked from outside."""
    page = write_report(tmp_path, (call_of({"id": n}, number=n) for n in range(1, CALLS_A_PAGE + 2)))
    with browsing() as visit:
        opened(visit, page)
        visit.page.click("text=Next page")
        visit.page.wait_for_url("**/report-0002.html")
        assert visit.page.locator("article").count() == 1
        visit.page.click("nav >> nth=0 >> text=First page")
        visit.page.wait_for_url("**/report.html")
        visit.page.click(".contents a >> text=/^7$/")
        assert visit.page.url.endswith("#call-7")
        top = visit.page.locator("#call-7").evaluate("e => e.getBoundingClientRect().top")
        assert -1 < top < 300  # though what is above was never laid out
        assert all(url.startswith(tmp_path.as_uri()) for url in visit.requests)
        assert visit.complaints == []
