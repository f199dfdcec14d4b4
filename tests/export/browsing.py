"""A headless Chromium that opens a page from the disk as a reader does, and tells what the page asked for and complained of."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Dialog, Page, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (Debian: chromium)")

FLAGS = (
    "--no-sandbox",  # the tests may run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
)


class Visit:
    """One page that is open, and what happened on it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.requests: list[str] = []
        self.complaints: list[str] = []  # console messages, errors and dialogs
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", self._dialog)

    def _dialog(self, dialog: Dialog) -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def open(self, path: Path) -> None:
        """Open a file."""
        self.page.goto(path.as_uri())

    def play(self) -> tuple[float, float]:
        """Play the first recording until it is under way; return the position reached and the length, in seconds."""
        position, length = self.page.evaluate(PLAY)
        return position, length


PLAY = """() => new Promise((done, fail) => {
  const player = document.querySelector("audio");
  player.muted = true;
  player.addEventListener("timeupdate", () => { if (player.currentTime > 0) done([player.currentTime, player.duration]) });
  player.addEventListener("error", () => fail(player.error.message));
  player.play().catch(fail);
})"""


@contextmanager
def browsing(**context: object) -> Iterator[Visit]:
    """Open a browser with an empty profile; `context` is what playwright's contexts take, such as `viewport`."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        try:
            yield Visit(browser.new_context(**context).new_page())  # type: ignore[arg-type]
        finally:
            browser.close()
