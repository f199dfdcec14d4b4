"""One archive on which a fault is played: the command line is run on it from outside, as a user would.

In:   a platform, a folder of the test's own.  Out: how each run ended, and what lies there afterwards.

Nothing here knows in which order harvester makes its system calls: what can be asked is what a user can see.
"""

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import msgspec

from harvester.archive.layout import MARK
from harvester.archive.mark import NOT_CONTENT
from harvester.demo.server import Platform
from tests.fault import measured
from tests.fault.fuse import Fuse
from tests.harvests import Harvests, command

Tree = dict[str, bytes]


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended, and what it took. `account` is what it gave to machines; None where it was killed or could not begin."""

    exit_code: int
    said: str
    printed: bytes
    peak_bytes: int  # of resident memory
    account: dict[str, Any] | None


class Scene(Harvests):
    """An archive, its local state, and what lies around them and must stay as it is.

    `plain` is where the archive's bytes are read by the test, when it is not the place that harvester is told.
    """

    def __init__(
        self,
        platform: Platform,
        folder: Path,
        *,
        archive: Path | None = None,
        plain: Path | None = None,
        state: Path | None = None,
    ) -> None:
        super().__init__(platform, folder)
        self.state = state or self.state
        told = archive or self.archive
        self.archive = plain or told
        self.peak = folder / "peak"
        self.environment |= {
            "HARVESTER_ARCHIVE": str(told),
            "HARVESTER_STATE_FOLDER": str(self.state),
            "PYTHONDONTWRITEBYTECODE": "1",
            "TMPDIR": str(folder / "tmp"),
        }
        own = (told, self.archive, self.state, *(folder / name for name in ("trace", "image", "notes", "peak")))
        self._own = {each.relative_to(folder).parts[0] for each in own if each.is_relative_to(folder)}
        (folder / "tmp").mkdir(parents=True, exist_ok=True)
        (folder / "neighbour").mkdir(exist_ok=True)
        (folder / "neighbour" / "letter.txt").write_text("nobody's business")
        self.around = self.surroundings()

    def surroundings(self) -> dict[str, str]:
        """Describe all that lies beside archive and local state: names, kinds, times, contents."""
        return {
            path.relative_to(self.folder).as_posix(): _described(path)
            for path in _below(self.folder)
            if path.relative_to(self.folder).parts[0] not in self._own
        }

    async def ends(self, *arguments: str, before: tuple[str, ...] = ()) -> Ended:
        """Run `harvester run` to its end; `before` is what is to run it, such as strace and its flags."""
        return await self.does("run", *arguments, before=before)

    async def does(self, *arguments: str, before: tuple[str, ...] = ()) -> Ended:
        """Do another command of harvester to its end; its JSON stands where the account of a run does."""
        line = [*measuring(self.peak), *before, *command(*arguments, "--json")]
        done = await anyio.run_process(line, check=False, env=self._environment({}), cwd=self.folder)
        return ended(done.returncode, done.stdout, done.stderr, int(self.peak.read_text()))

    async def begins(self, before: tuple[str, ...]) -> anyio.abc.Process:
        """Start `harvester run` by what stands before it, and leave it running."""
        line = [*before, *command("run", "--json")]
        return await anyio.open_process(line, env=self._environment({}), cwd=self.folder)

    def written(self) -> Iterator[Path]:
        """Yield every file of archive and local state."""
        for root in (self.archive, self.state):
            yield from (path for path in _below(root) if path.is_file() and not path.is_symlink())

    def saved_files(self) -> dict[str, tuple[str, int]]:
        """Return SHA-256 and size of each file that a whole ledger line tells of."""
        found = {}
        for ledger in sorted(self.archive.glob("runs/*/ledger.jsonl")):
            for raw in ledger.read_bytes().splitlines(keepends=True):
                if raw.endswith(b"\n"):
                    for file in json.loads(raw).get("files", ()):
                        found[file["path"]] = (file["sha256"], file["bytes"])
        return found

    def tree(self) -> Tree:
        """Return the dated tree, without half a mark and what file systems put beside it."""
        return {
            key: data for key, data in self.files().items() if key.split("/")[0] not in NOT_CONTENT | {f"{MARK}.part"}
        }


def new_scene(platform: Platform, folder: Path, share: Fuse | None = None) -> Scene:
    """Return a scene in a new folder of its own, for a test that plays many; with its archive on a share, where there is one."""
    own = Path(tempfile.mkdtemp(dir=folder))
    if share is None:
        return Scene(platform, own)
    return Scene(platform, own, archive=share.told / own.name, plain=share.plain / own.name)


def measuring(figure: Path) -> tuple[str, ...]:
    """Return what stands before a command whose memory is to be measured."""
    return sys.executable, "-ISE", str(Path(measured.__file__)), str(figure)


def ended(exit_code: int | None, printed: bytes, said: bytes, peak_bytes: int) -> Ended:
    """Read what a run has left behind of itself."""
    account = json.loads(printed) if printed.strip() else None
    code = -1 if exit_code is None else exit_code
    return Ended(exit_code=code, said=said.decode(), printed=printed, peak_bytes=peak_bytes, account=account)


def _below(root: Path) -> Iterator[Path]:
    return (Path(folder, name) for folder, folders, names in os.walk(root) for name in sorted(folders + names))


def _described(path: Path) -> str:
    found = path.lstat()
    data = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    return f"{found.st_mode:o} {found.st_mtime_ns} {data}"
