"""Have a run's seal vouched for as the settings say, and put into its account who did, and what could not be had.

In:   settings, an archive whose run has closed, its account.  Out: the account with `seal`, and an alarm for what is missing.

A signature or stamp that was asked for and could not be made is an alarm: it is told on the screen whatever `quiet` says, in the
log, in the report and by `status`, and with `strict` it ends the run with 3. Without, a run that has settled everything ends
with 0: the backup is whole, the next run makes good what is missing, and a scheduler must not take the one for the other.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from harvester import logs
from harvester.report import EXIT_INCOMPLETE, Account
from harvester.settings import Settings
from harvester.wording import counted

if TYPE_CHECKING:
    from harvester.evidence.sealing import Vouched, Vouchers


def is_asked_for(settings: Settings) -> bool:
    """Whether anybody is to vouch for the seals. What that takes is imported only where it is asked for."""
    return bool(settings.seal_ssh_key or settings.seal_tsa_url)


def vouchers_of(settings: Settings) -> Vouchers:
    """Return who is to vouch for the seals."""
    from harvester.evidence.sealing import Vouchers

    return Vouchers(ssh_key=settings.seal_ssh_key, tsa_url=settings.seal_tsa_url, tsa_ca=settings.seal_tsa_ca)


def require_vouchers(settings: Settings) -> None:
    """Make sure, before anything is asked of the platform, that who is to vouch can. Raises ConfigError."""
    if is_asked_for(settings):
        from harvester.evidence.sealing import require

        require(vouchers_of(settings))


async def vouch_for(account: Account, root: Path, settings: Settings, stopped: Callable[[], bool]) -> None:
    """Have the seal of the run of `account` vouched for, and those that wait. `stopped`: leave those for the next run."""
    if not is_asked_for(settings):
        return
    from harvester.evidence.sealing import vouch

    vouched = await vouch(root, account.run, vouchers_of(settings), stopped=stopped)
    for sentence in vouched.missing:
        logs.note_in_file(sentence)
    account.seal += said_of(vouched)
    account.alarms += vouched.missing
    if vouched.missing and account.strict and account.verdict == "complete":
        account.exit_code = EXIT_INCOMPLETE


def said_of(vouched: Vouched) -> list[str]:
    """Say in a line each who has vouched for the newest seal, and what was made of earlier ones."""
    signed = vouched.signed - sum(each.startswith("signed") for each in vouched.newest)
    stamped = vouched.stamped - sum(each.startswith("stamped") for each in vouched.newest)
    lines = list(vouched.newest)
    if signed or stamped:
        parts = [
            f"{counted(number, 'seal')} {word}" for number, word in ((signed, "signed"), (stamped, "stamped")) if number
        ]
        lines.append(f"of earlier runs {' and '.join(parts)}")
    if vouched.waiting:
        lines.append(f"{counted(vouched.waiting, 'seal')} of earlier runs left for the next run")
    return lines
