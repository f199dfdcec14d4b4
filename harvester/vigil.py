"""Keep vigil over the storage: a share that hangs ends the command instead of holding it for ever.

In:   the steps under way, looked at every few seconds by a thread of its own.  Out: nothing, or the end of the process with
exit code 6.

The thread that hangs cannot be ended, and the event loop may be that thread. So this one tells what there is to tell, into the
local state and on the screen, and ends the process on the spot. Nothing here touches the storage, not even to look up a name.
What tells may hang as well (a log on the same disk, a screen that nobody reads): it has ten seconds.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from harvester import logs
from harvester.archive import steps
from harvester.archive.mounts import MOUNTS, Mount, mount_of
from harvester.archive.steps import Stuck, Watch
from harvester.errors import StorageError
from harvester.streams import say

PATIENCE_SECONDS = 120.0
"""Until the settings are known. The kernel itself calls a task hung after as long (khungtaskd)."""

LOOKS = 20
"""So often is looked within the patience, but not more seldom than every `SELDOMEST_SECONDS`."""

SELDOMEST_SECONDS = 5.0
TELLING_SECONDS = 10.0


class Vigil:
    """The vigil of this process. `on_stuck` is told the sentence before the process ends; it must not touch the storage."""

    def __init__(self) -> None:
        self.patience_seconds = PATIENCE_SECONDS
        self.on_stuck: Callable[[str], None] = logs.note_in_file
        self._changed = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Begin to look, until the process ends."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._keep, name="vigil", daemon=True)
            self._thread.start()

    def allow(self, patience_seconds: float) -> None:
        """Let a step be without progress for so long from now on."""
        self.patience_seconds = patience_seconds
        self._changed.set()

    def _keep(self) -> None:
        while True:
            self._changed.clear()
            every_seconds = min(SELDOMEST_SECONDS, self.patience_seconds / LOOKS)
            watch = Watch(every_seconds)
            while not self._changed.wait(every_seconds):
                stuck = watch.look(time.monotonic(), steps.under_way(), self.patience_seconds)
                if stuck:
                    self._give_up(stuck)

    def _give_up(self, stuck: Stuck) -> None:
        """Tell, and end the process. A thread in the kernel keeps it from going until the storage answers; no other does."""
        teller = threading.Thread(target=self._tell, args=(sentence_of(stuck, mount_under(stuck)),), daemon=True)
        teller.start()
        teller.join(TELLING_SECONDS)
        os._exit(StorageError.exit_code)

    def _tell(self, sentence: str) -> None:
        with suppress(Exception):  # whatever keeps one from being told keeps nothing from the other
            self.on_stuck(sentence)
        say(f"harvester: {sentence}")


VIGIL = Vigil()
"""A process has one storage as the kernel sees it, and one end."""


def sentence_of(stuck: Stuck, mount: Mount | None) -> str:
    """Return what is to be said of a step that is stuck, and of the mount on which it is."""
    on = f" ({mount})" if mount else ""
    return (
        f"the storage hangs{on}: to {stuck.doing} {stuck.path} has made no progress for {stuck.seconds:.0f} s; "
        "check whether the share or the disk is there, and run again: what is saved stays"
    )


def mount_under(stuck: Stuck) -> Mount | None:
    """Return the mount on which a step is stuck, by its name alone: to follow a link there would hang as well."""
    try:
        text = MOUNTS.read_bytes().decode("utf-8", "surrogateescape")
    except OSError:
        return None
    return mount_of(stuck.path.absolute(), text)
