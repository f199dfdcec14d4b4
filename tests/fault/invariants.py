"""What holds after every fault, whatever it was: the rules that no test of a fault may leave out.

1  A final name means whole; once a run has ended well, the ledger has the hash of every file.
2  What the ledger calls saved is there, and stays there.
3  A run without the fault brings the archive to the same bytes as one that was never disturbed.
4  A run ends with 0 if, and only if, it has settled all that is listed.
5  Not a byte is written outside the archive and the local state.
6  The key stands in no byte that is written or printed.
7  Memory stays bounded: no run takes more than `MOST_BYTES`, whatever comes in and whatever becomes of it.
8  `verify` finds nothing afterwards, and finds any one bit that is flipped then.
"""

import gzip
import hashlib
import random
from pathlib import Path

from harvester.archive.layout import PAGES, RUNS
from harvester.verify.archive import verify
from tests.archive.sites import flip_bit
from tests.fault.scene import Ended, Scene, Tree

STORAGE = 6
"""The exit code of everything that is the storage's fault."""

MOST_BYTES = 112 * 1024 * 1024
"""What a run's process may take at most of resident memory. Half of it are the interpreter and the libraries; the rest is room
for the 8 workers that a run has if not told otherwise: a block of a recording each, as it comes, is gathered and is written."""


def assert_holds(scene: Scene, ended: Ended, undisturbed: Tree, *, orderly: bool = True) -> None:
    """Assert what holds at once after a fault: rules 1, 2, 4, 5, 6, 7; and that no traceback was shown, if `orderly`."""
    tree = scene.tree()
    assert not {key for key, data in tree.items() if undisturbed.get(key) != data}, "a final name that is not whole"
    for key, (digest, size_bytes) in scene.saved_files().items():
        path = scene.archive / key
        assert path.is_file(), f"{key} was called saved and is not there"
        data = path.read_bytes()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (digest, size_bytes), key
    account = ended.account
    assert (ended.exit_code == 0) == bool(account and account["verdict"] == "complete")
    if ended.exit_code == 0:
        assert account is not None
        assert account["listed"] + account["revisited"] == sum(account["recordings"].values())
        assert tree == undisturbed
    assert scene.surroundings() == scene.around, "something was written beside archive and local state"
    assert_keyless(scene, ended)
    assert ended.peak_bytes < MOST_BYTES, f"{ended.peak_bytes:,} bytes of memory"
    assert not orderly or "Traceback" not in ended.said, ended.said


def assert_keyless(scene: Scene, ended: Ended) -> None:
    """Assert rule 6."""
    key = scene.platform.key.encode()
    assert key not in ended.said.encode() + ended.printed
    for path in scene.written():
        data = path.read_bytes()
        assert key not in data, path
        if path.suffix == ".gz" and path.parent.name == PAGES:
            assert key not in gzip.decompress(data), path


def assert_storage_error(ended: Ended, *named: str) -> None:
    """Assert that a run ended with exit 6 and says where and what to do: one of the texts `named` is in it."""
    assert ended.exit_code == STORAGE, (ended.exit_code, ended.said)
    assert any(name in ended.said for name in named), (named, ended.said)


async def assert_converges(scene: Scene, undisturbed: Tree) -> Ended:
    """Run without the fault, and assert all that holds then. Return how that run ended."""
    saved = scene.saved_files()
    ended = await scene.ends()
    assert ended.exit_code == 0, ended.said
    assert_holds(scene, ended, undisturbed)
    told = scene.saved_files()
    assert saved.items() <= told.items(), "a line of the ledger was lost"
    dated = {key for key in told if not key.startswith(f"{RUNS}/")}  # pages lie with their runs
    assert dated == set(undisturbed), "files without a line, or lines without a file"
    assert_verifies(scene.archive, seed=len(ended.said) + sum(map(ord, str(scene.folder))))
    return ended


def assert_verifies(archive: Path, *, seed: int) -> None:
    """Assert rule 8, with a bit that the seed chooses; it is flipped back."""
    found = verify(archive)
    assert not found.findings, found.findings
    assert not found.notes, found.notes
    dice = random.Random(seed)
    path = dice.choice([path for path in sorted(archive.rglob("*")) if path.is_file() and path.stat().st_size])
    at, bit = dice.randrange(path.stat().st_size), dice.randrange(8)
    flip_bit(path, at, bit)
    assert verify(archive).findings, f"bit {bit} of byte {at} of {path} was flipped unseen"
    flip_bit(path, at, bit)
