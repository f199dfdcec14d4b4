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
SHA256SUM = "sha256sum"

_NAME = re.compile(r"(?P<id>\d+)(?P<suffix>\.json|\.txt|\.mp3)")


class Contestant(msgspec.Struct, frozen=True, kw_only=True):
    """One way to do the job. `parallel` is how many downloads it has at once: see `CONTESTANTS`."""

    name: str
    title: str
    file: str = ""  # in PIPELINES
    parallel: int = 0
    packages: tuple[str, ...] = ()  # what its interpreter needs, in an environment of its own
    digest: str = ""  # the command by which a pipeline of the shell hashes
    manifest: str = ""  # where it leaves the SHA-256 of each recording

    def command(self, folder: Path, python: str) -> list[str]:
        """Return its command line; `python` is the interpreter that has its packages."""
        if self.name == HARVESTER:
            state, archive = str(folder / STATE), str(folder / ARCHIVE)
            flags = ["--archive", archive, "--state-folder", state, "--quiet", "--no-progress"]
            return [python, "-m", "harvester", "run", *flags]
        return ["sh" if self.digest else python, str(PIPELINES / self.file)]

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
        return {**plain, **told, "DIGEST": self.digest}


def _pipeline(name: str, title: str, file: str, *, parallel: int, digest: str = SHA256SUM) -> Contestant:
    manifest = "manifest-sha256.txt"
    return Contestant(name=name, title=title, file=file, parallel=parallel, digest=digest, manifest=manifest)


CONTESTANTS = [
    Contestant(name=HARVESTER, title="harvester, durable", manifest=f"{ARCHIVE}/runs/*/manifest-sha256.txt"),
    _pipeline("wget2", "wget2, curl, jq, awk, sha256sum", "wget2.sh", parallel=4),
    _pipeline("curl", "curl --parallel, jq, awk, sha256sum", "curl.sh", parallel=8),
    _pipeline("aria2", "aria2c, curl, jq, awk, sha256sum", "aria2.sh", parallel=8),
    _pipeline(
        "wget2-openssl", "wget2, curl, jq, awk, openssl dgst", "wget2.sh", parallel=4, digest="openssl dgst -sha256 -r"
    ),
    Contestant(
        name="script",
        title="a script of aiohttp and aiofiles, no hashes",
        file="script.py",
        parallel=32,
        packages=("aiohttp", "aiofiles"),
    ),
    Contestant(
        name="scrapy", title="Scrapy with FilesPipeline", file="scrapy_calls.py", parallel=32, packages=("scrapy",)
    ),
]
"""harvester runs with its defaults. The others were tried with 1 to 64 downloads at once, in memory, on two cores: 1,000
recordings of 64 KiB and 250 of 1 MiB, each setting several times, in turn.

- wget2, 1 to 8: 4 was fastest for small ones (one thread took a tenth longer), and all alike for large ones.
- curl, 2 to 50, and aria2, 1 to 16: within a twentieth of each other, so what is usual.
- openssl hashes three times as fast as coreutils' sha256sum here (SHA-NI), so that there is one pipeline with it.
- the script, 4 to 64: 64 took an eighth less than 4 for small ones, and a tenth more for large ones. A body read in
  blocks was as fast as one read whole.
- Scrapy, 8 to 64: within a twentieth of each other, uvloop included.
"""


def files_of_calls(folder: Path) -> Iterator[tuple[int, str, Path]]:
    """Yield id, suffix and path of every file that a contestant has left of a call, wherever it lies."""
    for path in folder.rglob("*"):
        found = _NAME.fullmatch(path.name)
        if found and path.parent.name != "pages":  # of the list, as the pipelines keep them
            yield int(found["id"]), found["suffix"], path


def own_python() -> str:
    """Return the interpreter that runs this, which is harvester's too."""
    return sys.executable
