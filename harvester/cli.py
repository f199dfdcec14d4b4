"""What was typed. Each command reads its flags, calls one function, and exits with the code that it returned.

In:   arguments.  Out: data on stdout, all else on stderr, an exit code (docs/exit-codes.md).

What is heavy (aiohttp, anyio, tqdm) is imported by the command that needs it, so that `--help` answers at once.
"""

from __future__ import annotations

import datetime as dt
import logging
import os
import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import harvester
from harvester import logs
from harvester.beginning import begin, set_up_log
from harvester.custody.commands import erase_calls, hold
from harvester.ending import end_by
from harvester.errors import LedgerError
from harvester.flags import SettingsCommand, resolved_from
from harvester.loop import run_async
from harvester.showing import Shown, show_each
from harvester.streams import fill_closed_streams, say
from harvester.vigil import VIGIL

if TYPE_CHECKING:
    from harvester.report import Account
    from harvester.settings import Resolved

log = logging.getLogger(__name__)

EXIT_DAMAGED = LedgerError.exit_code


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(harvester.__version__, prog_name="harvester")
def cli() -> None:
    """Archive every call of a voice-AI account: recording, transcript and metadata, proven whole.

    Start with `harvester demo`. With a key of your own: HARVESTER_API_KEY=... harvester run --archive ./calls
    """
    VIGIL.begin()


@cli.command()
@click.option("--folder", default="harvester-demo", help="Where to put the demo's archive.", show_default=True)
def demo(folder: str) -> None:
    """Harvest 200 made-up calls from a simulated platform, and show what comes out."""
    from harvester import screen
    from harvester.progress import Progress
    from harvester.tour import free_folder, tour

    logs.set_up(verbose=0, quiet=False, as_json=False)
    target = free_folder(Path(folder))
    with Progress(shown=True) as progress:
        account, verification = run_async(tour, target, progress, say)
    say(screen.tour_text(target, account, verification))
    sys.exit(account.exit_code or (EXIT_DAMAGED if verification.findings else 0))


@cli.command(cls=SettingsCommand, groups=("archive", "run", "evidence", "talk"))
def run(**typed: Any) -> None:
    """List every call, fetch what is new, and write it into the archive."""
    meant = begin(typed)
    from harvester.rounds import run_each

    sys.exit(run_each(meant, _harvest))


def _harvest(*given: Any) -> Awaitable[Account]:
    from harvester.run import harvest  # here: while it is loaded, a process on standby loads what that needs

    return harvest(*given)


@cli.command(cls=SettingsCommand, groups=("archive", "run", "evidence", "talk"))
def plan(**typed: Any) -> None:
    """Tell what a run would list, fetch and write, and whether the disk can take it; write nothing."""
    meant = begin(typed)
    from harvester.key import key_of
    from harvester.plan import plan as plan_run
    from harvester.plan import plan_text

    def look(resolved: Resolved) -> Shown:
        key, warning = key_of(resolved, os.environ)
        if warning:
            log.warning("%s", warning)
        found = run_async(plan_run, resolved, key)
        return Shown(text=plan_text(found), json=found.as_json())

    sys.exit(show_each(meant, look))


@cli.command(cls=SettingsCommand, groups=("archive", "run", "evidence", "talk"))
def doctor(**typed: Any) -> None:
    """Examine the archive's folder, the key, the platform and one recording; say what is wrong and what to change."""
    meant = begin(typed)
    from harvester.doctor import diagnosis_text, examine
    from harvester.errors import ConfigError
    from harvester.key import key_of

    def look(resolved: Resolved) -> Shown:
        key, problem = None, None
        try:
            key, problem = key_of(resolved, os.environ)
        except ConfigError as error:
            problem = str(error)
        found = run_async(examine, resolved, key, problem)
        return Shown(text=diagnosis_text(found), json=found.as_json(), exit_code=found.exit_code)

    sys.exit(show_each(meant, look))


@cli.command(cls=SettingsCommand, groups=("archive", "talk"))
@click.option("--changes", is_flag=True, help="Show what the last run found changed: field by field, old and new.")
def status(changes: bool, **typed: Any) -> None:
    """Tell how the last run ended, and what is pending or failed and why."""
    meant = begin(typed)
    sys.exit(show_each(meant, _look_at_changes if changes else _look_at_status))


def _look_at_status(resolved: Resolved) -> Shown:
    from harvester import screen
    from harvester.status import PATIENCE_SECONDS, read_status, say_what_is_told

    VIGIL.allow(min(PATIENCE_SECONDS, resolved.settings.storage_patience_seconds))
    VIGIL.on_stuck = lambda _: say_what_is_told(resolved.settings)
    found = read_status(resolved.settings)
    return Shown(text=screen.status_text(found), json=found.as_json())


def _look_at_changes(resolved: Resolved) -> Shown:
    from harvester.changes import read_changes
    from harvester.contrast import changes_text
    from harvester.report import SHOWN

    found = read_changes(resolved.settings, None if resolved.settings.json else SHOWN)
    return Shown(text=changes_text(found), json=found.as_json())


@cli.command(cls=SettingsCommand, groups=("archive", "talk"))
@click.option("--quick", is_flag=True, help="Look at sizes alone; read no recording, transcript or metadata.")
@click.option("--sample", metavar="SHARE", help="Read only this share of the files (5%), another part each day.")
@click.option("--from", "first", metavar="DAY", help="Only calls from this day of the dated tree on.")
@click.option("--to", "last", metavar="DAY", help="Only calls up to this day of the dated tree.")
@click.option("--seals", metavar="PATH", help="Hold the seals against copies of them, in a file or a folder.")
@click.option(
    "--allowed-signers", metavar="FILE", help="Who may have signed the seals, in OpenSSH's form of such a file."
)
@click.option(
    "--tsa-ca", metavar="FILE", help="Roots of the authorities whose stamps count (PEM); else this machine's."
)
def verify(quick: bool, sample: str | None, first: str | None, last: str | None, **typed: Any) -> None:
    """Hash every file again, walk the ledger's chain, and name what is missing, altered or unexpected.

    It changes nothing and asks nobody. The chain, the manifests and the seals are always checked whole.
    """
    brought = {name: typed.pop(name) for name in ("seals", "allowed_signers", "tsa_ca")}
    meant = begin(typed)
    from harvester import screen
    from harvester.place import local_state
    from harvester.verify.archive import verify as verify_archive
    from harvester.verify.portion import portion_of
    from harvester.verify.witnesses import witnesses_of

    portion = portion_of(quick=quick, sample=sample, first=first, last=last, today=dt.date.today())
    witnesses = witnesses_of(**brought)

    def look(resolved: Resolved) -> Shown:
        settings = resolved.settings
        with screen.reading(shown=settings.progress and not settings.quiet) as tell:
            result = verify_archive(local_state(settings).archive, tell, portion=portion, witnesses=witnesses)
        return Shown(
            text="" if settings.quiet and not result.findings else screen.verification_text(result),
            json=screen.verification_json(result),
            exit_code=EXIT_DAMAGED if result.findings else 0,
        )

    sys.exit(show_each(meant, look))


@cli.command(cls=SettingsCommand, groups=("archive", "evidence", "talk"))
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--phone-number", multiple=True, metavar="NUMBER", help="Only calls from or to this number.")
@click.option("--id", "ids", multiple=True, metavar="ID", help="Only the call of this id.")
@click.option(
    "--from", "date_from", metavar="DAY", help="Only calls from this day on: 2025-08-04, or 30d for thirty days ago."
)
@click.option("--to", "date_to", metavar="DAY", help="Only calls up to this day.")
@click.option("--assistant", multiple=True, metavar="NAME", help="Only calls of this assistant, by name or id.")
@click.option("--campaign", multiple=True, metavar="NAME", help="Only calls of this campaign, by name or id.")
@click.option("--status", multiple=True, metavar="WORD", help="Only calls of this status.")
@click.option("--text", multiple=True, metavar="WORDS", help="Only calls in whose transcript these words stand.")
@click.option("--zip", "as_zip", is_flag=True, help="Make one zip file instead of a folder.")
@click.option("--include-damaged", is_flag=True, help="Export damaged files too, and say so in the bundle.")
@click.option("-n", "--dry-run", is_flag=True, help="Tell what would be exported; write nothing.")
def export(target: Path, **typed: Any) -> None:
    """Make a bundle of a part of the archive that a stranger can check: TARGET, a new folder, or a zip file.

    Each of the flags that choose calls may be given several times; any of its values is enough, and all flags must hold.
    """
    meant = begin(typed)
    from harvester import screen
    from harvester.export.bundle import export as export_calls
    from harvester.export.ordering import made_json, made_text, order_of

    order = order_of(meant, target, typed)

    def look(resolved: Resolved) -> Shown:
        settings = resolved.settings
        with screen.reading(shown=settings.progress and not settings.quiet) as tell:
            made = export_calls(order, tell)
        return Shown(text="" if settings.quiet else made_text(made), json=made_json(made))

    sys.exit(show_each(meant, look))


@cli.command(cls=SettingsCommand, groups=("archive", "run", "evidence", "talk"), accounts=False)
@click.option("--write", "target", default="harvester.toml", show_default=True, help="The settings file to write.")
def init(target: str, **typed: Any) -> None:
    """Make an archive and a settings file for it."""
    resolved = resolved_from(typed)
    set_up_log(resolved.settings)
    from harvester.founding import found

    say(run_async(found, resolved, Path(target)))


@cli.command(cls=SettingsCommand, groups=("archive", "run", "evidence", "talk"))
def config(**typed: Any) -> None:
    """Show every setting's value and where it came from."""
    meant = begin(typed)
    from harvester import screen

    def look(resolved: Resolved) -> Shown:
        return Shown(text=screen.settings_text(resolved), json=screen.settings_json(resolved))

    sys.exit(show_each(meant, look))


cli.add_command(hold)
cli.add_command(erase_calls)


@cli.command()
@click.option("--calls", default=200, show_default=True, type=click.IntRange(0), help="How many calls it holds.")
@click.option(
    "--port",
    default=8080,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port of the API; recordings come from another.",
)
@click.option(
    "--limit-per-minute", default=None, type=click.IntRange(1), help="Requests it allows per minute.  [default: any]"
)
def platform(calls: int, port: int, limit_per_minute: int | None) -> None:
    """Serve the simulated platform alone, on 127.0.0.1, until it is stopped.

    With --limit-per-minute it throttles, in requests per minute, as the real one does.
    """
    from harvester.tour import serve_alone

    run_async(serve_alone, calls, port, limit_per_minute, click.echo)


def main() -> None:
    """Run the command line; turn every error into one sentence and its exit code."""
    fill_closed_streams()
    end_by(lambda: cli(standalone_mode=False))


if __name__ == "__main__":
    main()
