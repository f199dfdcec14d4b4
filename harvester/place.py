"""Where the archive that the settings name lies, and its local state.

In:   settings.  Out: `LocalState`, which knows the archive's folder.
"""

from __future__ import annotations

from pathlib import Path

import platformdirs

from harvester.archive.local import LocalState
from harvester.errors import ConfigError
from harvester.settings import Settings


def local_state(settings: Settings) -> LocalState:
    """Return the local state of the archive that the settings name. Raises ConfigError when they name none."""
    if settings.archive is None:
        raise ConfigError(
            "no archive: name its folder with --archive, HARVESTER_ARCHIVE or `archive` in the settings file"
        )
    return LocalState(state_folder(settings), settings.archive, settings.checkpoint)


def state_folder(settings: Settings) -> Path:
    """Return the folder that holds the local states of all archives."""
    return settings.state_folder or platformdirs.user_state_path("harvester")
