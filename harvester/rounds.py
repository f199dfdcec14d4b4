"""Run the accounts: one after the other, in the order of the settings file.

In:   the accounts that are meant, and the function that harvests one.  Out: the account of each run, told and delivered, and an
exit code: the worst.

Not at the same time: there is one screen, one signal stops them all, and the budget of requests is each account's own, so that
nothing would be won but confusion. One account that fails does not stop the others; a signal does. A settings file without
[[account]] tables is a round of one, and is told as if there were no rounds.
"""

from __future__ import annotations

import functools
import logging
import os
import signal
import textwrap
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from harvester import logs, screen
from harvester.accounts import Meant, is_interrupted, worst
from harvester.archive import disk
from harvester.archive.local import BULLETIN, LOG, LocalState, remembered_folder
from harvester.bulletin import Board, give_up
from harvester.delivery import check_report, deliver, document_of
from harvester.ending import UNEXPECTED
from harvester.errors import ConfigError, HarvestError, LockedError, StorageError
from harvester.exhaustion import NO_MEMORY, is_want_of_memory
from harvester.key import key_of
from harvester.loop import run_async
from harvester.place import local_state, state_folder
from harvester.progress import Progress
from harvester.report import Account
from harvester.settings import Resolved, Settings
from harvester.showing import heading
from harvester.spread import is_likely
from harvester.standby import Standby, on_standby
from harvester.streams import tell
from harvester.vigil import VIGIL
from harvester.wording import counted

log = logging.getLogger(__name__)

LONGEST_REASON = 80
"""Characters of a reason in the table at the end; it stands in full above."""

Ran = tuple[Resolved, Account]
"""An account, and the account of its run."""

Document = Callable[[Account], bytes]
"""Makes the document that is delivered, from the account of a run."""

Harvest = Callable[[Resolved, str, Progress, Standby | None], Awaitable[Account]]
"""Runs once, with the settings and the key of one account, and a process that can become a porter."""


def run_each(meant: Meant, harvest: Harvest) -> int:
    """Run each account and deliver the accounts; return the exit code.

    Raises ConfigError when a report cannot lie where it shall, and HarvestError when the only account cannot begin.
    """
    return _run_round(meant, harvest) if meant.several else _run_alone(meant, harvest)


def _run_alone(meant: Meant, harvest: Harvest) -> int:
    settings = meant.first.settings
    local = _kept_vigil_over(meant.first, Account.as_json)
    check_report(meant)
    try:
        _keep_log(settings, local)
        account = _harvested(meant.first, local, harvest)
    except HarvestError as error:  # it has not begun; whoever reads the report in the morning must not find yesterday's
        _delivered(settings, Account.of_nothing(_archive_of(meant.first), error).as_json(), error.exit_code)
        raise
    if text := _text_of(account, settings):
        tell(text)
    return _delivered(settings, account.as_json(), account.exit_code)


def _run_round(meant: Meant, harvest: Harvest) -> int:
    settings = meant.first.settings
    check_report(meant)
    done: list[Ran] = []
    stopped_by = 0
    for resolved in meant.accounts:
        if stopped_by:
            account = _stopped(resolved, "not begun: a signal had ended the round", stopped_by)
        else:
            if not settings.quiet:
                tell(f"\n{heading(resolved)}" if done else heading(resolved))
            account = _attempt(resolved, harvest, functools.partial(_cut_short, meant.accounts, done))
        done.append((resolved, account))
        stopped_by = account.exit_code if is_interrupted(account.exit_code) else 0
    logs.keep_in(None)  # what follows is of all of them
    code = worst(account.exit_code for _, account in done)
    if len(done) > 1 and (code or not settings.quiet):
        tell(_summary(done, code))
    return _delivered(settings, _document(done), code)


def _delivered(settings: Settings, document: bytes, code: int) -> int:
    """Give the document to the machines that asked for it; return the `code`, or a worse one where they cannot have it."""
    try:
        deliver(settings, document)
    except ConfigError as error:
        tell(logs.escaped(f"harvester: {error}"))
        return worst((code, error.exit_code))
    return code


def _document(done: list[Ran]) -> bytes:
    return document_of([(resolved.account or "", account) for resolved, account in done])


def _cut_short(accounts: Sequence[Resolved], done: list[Ran], hung: Account) -> bytes:
    """Return the document of a round that the storage of one account has ended."""
    which, *behind = accounts[len(done) :]
    why = "not begun: the storage of an account before hung, which ended the round"
    return _document([*done, (which, hung), *((each, _stopped(each, why, hung.exit_code)) for each in behind)])


def _attempt(resolved: Resolved, harvest: Harvest, document: Document) -> Account:
    """Run one of several accounts, and tell how it ended. Whatever goes wrong is in the account."""
    name, settings = resolved.account, resolved.settings
    received: list[int] = []
    try:
        with _as_interrupts(received):
            local = _kept_vigil_over(resolved, document)
            _keep_log(settings, local)
            account = _harvested(resolved, local, harvest)
        text = _text_of(account, settings)
    except HarvestError as error:
        tell(logs.escaped(f"harvester: {name}: {error}"))
        logs.note_in_file(str(error))
        return Account.of_nothing(_archive_of(resolved), error)
    except KeyboardInterrupt:
        tell(f"harvester: {name}: interrupted")
        return _stopped(resolved, "interrupted before it had begun", 128 + (*received, signal.SIGINT)[0])
    except Exception as error:
        log.exception("unexpected error")
        tell(f"harvester: {name}: {UNEXPECTED}")
        return Account.of_nothing(
            _archive_of(resolved), HarvestError(f"unexpected error, a bug: {type(error).__name__}")
        )
    if text:
        tell(f"{heading(resolved)}\n{text}" if settings.quiet else text)
    return account


@contextmanager
def _as_interrupts(received: list[int]) -> Iterator[None]:
    """Let SIGTERM and SIGHUP end what has not begun as SIGINT does: with a KeyboardInterrupt; `received` gets their numbers.

    Without, they would end the process before the accounts that are done were delivered. Once a run has begun it
    watches the signals itself.
    """

    def pass_on(number: int, _: object) -> None:
        received.append(number)
        signal.raise_signal(signal.SIGINT)

    numbers = [] if os.name == "nt" else [signal.SIGTERM, signal.SIGHUP]
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        if before[number] is signal.SIG_DFL:  # nohup has SIGHUP ignored
            signal.signal(number, pass_on)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, before[number])


def _harvested(resolved: Resolved, local: LocalState, harvest: Harvest) -> Account:
    """Run once. Raises HarvestError for what goes wrong before the run has begun."""
    settings = resolved.settings
    try:
        key, warning = key_of(resolved, os.environ)
    except ConfigError as error:
        _note_unbegun(settings, error)
        raise
    if warning:
        log.warning("%s", warning)
    is_wanted = is_likely(settings, is_first=not disk.exists(local.checkpoint))
    with (
        Progress(shown=settings.progress and not settings.quiet) as progress,
        on_standby(is_wanted=is_wanted) as standby,
    ):
        try:
            account = run_async(harvest, resolved, key, progress, standby)
        except Exception as error:
            _tell_of_lost_log(None)
            if is_want_of_memory(error):
                raise HarvestError(NO_MEMORY) from error
            raise
    log.log(logging.DEBUG if account.exit_code == 0 else logging.INFO, "%s", screen.verdict_text(account))
    _tell_of_lost_log(account.error)
    return account


def _tell_of_lost_log(told: str | None) -> None:
    """Say that no log is kept any more, where it is not that what has ended the run."""
    if (lost := logs.failure()) and str(lost) != told:
        log.warning("%s", lost)


def _keep_log(settings: Settings, local: LocalState) -> None:
    """Keep the log of a run. Raises StorageError: what went wrong at night is to be read in the morning."""
    try:
        logs.keep_in(local.log)
    except StorageError as error:
        _note_unbegun(settings, error)
        raise


def _note_unbegun(settings: Settings, error: HarvestError) -> None:
    """Let `harvester status` tell of a night that could not begin. Another run that is at work is not disturbed."""
    local = local_state(settings)
    with suppress(LockedError, StorageError), local.locked():
        Board(None if settings.dry_run else local.bulletin, local.archive).fail(error)


def _kept_vigil_over(resolved: Resolved, document: Document) -> LocalState:
    """Return the local state of an account over whose storage vigil is kept from now on.

    `document` is what its report shall hold if it hangs; it is given the account of the run.
    """
    settings = resolved.settings
    VIGIL.allow(settings.storage_patience_seconds)
    VIGIL.on_stuck = functools.partial(_given_up, resolved, document, None)
    local = local_state(settings)  # which follows links, and so may hang itself
    VIGIL.on_stuck = functools.partial(_given_up, resolved, document, local.folder)
    return local


def _given_up(resolved: Resolved, document: Document, folder: Path | None, sentence: str) -> None:
    """Say in the log, in the bulletin and in the report that the storage hangs; for vigil's thread.

    `folder` is that of the local state; None where not even the archive's name could be looked up.
    """
    settings = resolved.settings
    archive = settings.archive or Path()
    if folder is None and (folder := remembered_folder(state_folder(settings), archive)):
        with suppress(StorageError):
            logs.keep_in(folder / LOG)
    logs.note_in_file(sentence)
    if folder and not settings.dry_run:
        give_up(folder / BULLETIN, archive, sentence)
    deliver(settings, document(Account.of_nothing(_archive_of(resolved), StorageError(sentence))))


def _text_of(account: Account, settings: Settings) -> str:
    """Return what is to be said of a run that has ended; nothing when quiet was asked for and nobody need know of it."""
    if not settings.quiet:
        return screen.account_text(account)
    return screen.trouble_text(account) if account.exit_code or account.alarms or account.warnings else ""


def _archive_of(resolved: Resolved) -> str:
    return disk.path_text(resolved.settings.archive or Path())


def _stopped(resolved: Resolved, why: str, exit_code: int) -> Account:
    """Return the account of a run that a signal kept from beginning."""
    account = Account.of_nothing(_archive_of(resolved), HarvestError(why))
    account.verdict, account.exit_code = "interrupted", exit_code
    return account


def _summary(done: list[Ran], code: int) -> str:
    """Return a line for each account: how it ended, its exit code, and why; and the exit code of them all."""
    names = max(len(resolved.account or "") for resolved, _ in done)
    lines = ["", f"== {counted(len(done), 'account')}"]
    for resolved, account in done:
        lines.append(
            f"{resolved.account:{names}}  {account.verdict:11}  {account.exit_code:>3}  {_why(account)}".rstrip()
        )
    return "\n".join([*lines, f"exit code {code}" + (", the worst of them" if code else "")])


def _why(account: Account) -> str:
    """Return what is the matter with a run, short enough for a table."""
    if account.error:
        return textwrap.shorten(account.error, LONGEST_REASON, placeholder=" ...")
    if account.failures:
        return f"{counted(len(account.failures), 'call')} failed"
    if account.windows_unproven:
        return "not proven whole"
    return "an alarm was raised" if account.alarms else ""
