"""How a command begins: its settings are resolved, its log is set up, vigil is kept.

In:   what was typed.  Out: the accounts that are meant, with their settings.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from harvester import logs
from harvester.flags import meant_from, unknown_variables
from harvester.vigil import VIGIL

if TYPE_CHECKING:
    from harvester.accounts import Meant
    from harvester.settings import Settings

log = logging.getLogger(__name__)


def begin(typed: dict[str, Any]) -> Meant:
    """Resolve the settings of the accounts that are meant, and set up the log as they say. Raises ConfigError."""
    meant = meant_from(typed)
    set_up_log(meant.first.settings)
    VIGIL.allow(meant.first.settings.storage_patience_seconds)
    return meant


def set_up_log(settings: Settings) -> None:
    """Set up the log, and name the variables that are most likely slips of the finger."""
    logs.set_up(verbose=settings.verbose, quiet=settings.quiet, as_json=settings.log_json)
    for name in sorted(unknown_variables(os.environ)):
        log.warning("there is no setting for the environment variable %s; `harvester config` lists them all", name)
