"""Who is compared: what each one is started with, and where it leaves the files of a call.

In:   an interpreter, a `Site`, an empty folder.  Out: a command line, its environment; the files that it has left, by call.

Each does the whole job over HTTPS: list, download, a file for the transcript and one for the metadata of each call. The three
pipelines add the SHA-256 of each recording, and so does harvester; the script adds none, Scrapy an MD5. Only harvester's
archive survives a power cut.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
from harvested import ARCHIVE, ROOT, STATE
from nginx_site import KEY, Site

PIPELINES = Path(__file__).with_name("pipelines")
HARVESTER = "harvester"
UNLIMITED_PER_MINUTE = "1000000"

_NAME = re.compile(r"(?P<id>\d+)(?P<suffix>\.json|\.txt|\.mp3)")


class Contestant(msgspec.Struct, frozen=True, kw_only=True):
    """One way to do the job. `parallel` is the number of downloads at once that was fastest; see `CONTESTANTS`."""

    name: str
    title: str
    file: str = ""  # in PIPELINES
    parallel: int = 0
    packages: tuple[str, ...] = ()  # what its interpreter needs, in an environment of its own
    manifest: str = ""  # where it leaves the SHA-256 of each recording

    @property
    def shell(self) -> bool:
        """Whether it is a complete pipeline of the shell."""
        return self.file.endswith(".sh")

    def command(self, folder: Path, python: str) -> list[str]:
        """Return its command line; `python` is the interpreter that has its packages."""
        if self.name == HARVESTER:
            state, archive = str(folder / STATE), str(folder / ARCHIVE)
            flags = ["--archive", archive, "--state-folder", state, "--quiet", "--no-progress"]
            return [python, "-m", "harvester.cli", "run", *flags]
        return ["sh" if self.shell else python, str(PIPELINES / self.file)]

    def environment(self, folder: Path, site: Site) -> dict[str, str]:
        """Return its environment. It is all that a contestant is told."""
        plain = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8"}
        if self.name == HARVESTER:
            settings = {
                "BASE_URL": site.base_url,
                "API_KEY": KEY,
                "ALLOW_PRIVATE_HOSTS": "yes",
                "REQUESTS_PER_MINUTE": UNLIMITED_PER_MINUTE,
            }
            named = {f"HARVESTER_{name}": value for name, value in settings.items()}
            return {**plain, **named, "PYTHONPATH": str(ROOT), "SSL_CERT_FILE": str(site.ca_file)}
        told = {"BASE_URL": site.base_url, "API_KEY": KEY, "CA_FILE": str(site.ca_file), "PARALLEL": str(self.parallel)}
        return {**plain, **told}


CONTESTANTS = [
    Contestant(name=HARVESTER, title="harvester, durable", manifest=f"{ARCHIVE}/runs/*/manifest-sha256.txt"),
    Contestant(
        name="wget2",
        title="wget2, curl, jq, awk, sha256sum",
        file="wget2.sh",
        parallel=4,
        manifest="manifest-sha256.txt",
    ),
    Contestant(
        name="curl",
        title="curl --parallel, jq, awk, sha256sum",
        file="curl.sh",
        parallel=8,
        manifest="manifest-sha256.txt",
    ),
    Contestant(
        name="aria2",
        title="aria2c, curl, jq, awk, sha256sum",
        file="aria2.sh",
        parallel=8,
        manifest="manifest-sha256.txt",
    ),
    Contestant(
        name="script",
        title="a script of aiohttp and aiofiles, no hashes",
        file="script.py",
        parallel=16,
        packages=("aiohttp", "aiofiles"),
    ),
    Contestant(
        name="scrapy", title="Scrapy with FilesPipeline", file="scrapy_calls.py", parallel=16, packages=("scrapy",)
    ),
]


def files_of_calls(folder: Path) -> Iterator[tuple[int, str, Path]]:
    """Yield id, suffix and path of every file that a contestant has left of a call, wherever it lies."""
    for path in folder.rglob("*"):
        found = _NAME.fullmatch(path.name)
        if found and path.parent.name != "pages":  # of the list, as the pipelines keep them
            yield int(found["id"]), found["suffix"], path


def own_python() -> str:
    """Return the interpreter that runs this, which is harvester's too."""
    return sys.executable
