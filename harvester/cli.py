"""What was typed. Each command reads its flags, calls one function, prints what it returned, and exits with its code.

In:   arguments.  Out: data on stdout, all else on stderr, an exit code (docs/exit-codes.md).

What is heavy (aiohttp, anyio, tqdm) is imported by the command that needs it, so that `--help` answers at once.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import click

import harvester
from harvester import logs
from harvester.errors import HarvestError
from harvester.flags import resolved_from, unknown_variables, with_settings
from harvester.settings import Resolved, Settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from harvester.archive.verify import Verification
    from harvester.report import Account

log = logging.getLogger(__name__)

Parameters = ParamSpec("Parameters")

Result = TypeVar("Result")
EXIT_DAMAGED = 8
EXIT_INTERRUPTED = 130
EXIT_STORAGE = 6


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(harvester.__version__, prog_name="harvester")
def cli() -> None:
    """Archive every call of a voice-AI account: recording, transcript and metadata, proven whole.

    Start with `harvester demo`. With a key of your own: HARVESTER_API_KEY=... harvester run --archive ./calls
    """


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


@cli.command()
@with_settings("archive", "run", "talk")
def run(config_file: str | None, **flags: object) -> None:
    """List every call, fetch what is new, and write it into the archive."""
    from harvester import screen
    from harvester.archive import disk
    from harvester.key import key_of
    from harvester.place import local_state
    from harvester.progress import Progress
    from harvester.report import Account
    from harvester.run import harvest

    resolved = begin(config_file, flags)
    settings = resolved.settings
    local = local_state(settings)
    check_report(resolved)
    logs.keep_in(local.log)
    try:
        key, warning = key_of(resolved, os.environ)
        if warning:
            log.warning("%s", warning)
        with Progress(shown=settings.progress and not settings.quiet) as progress:
            account = run_async(harvest, resolved, key, progress)
    except HarvestError as error:  # it has not begun; whoever reads the report in the morning must not find yesterday's
        deliver(resolved, Account.of_nothing(disk.path_text(local.archive), error))
        raise
    deliver(resolved, account)
    log.log(logging.DEBUG if account.exit_code == 0 else logging.INFO, "%s", screen.verdict_text(account))
    if not settings.quiet:
        say(screen.account_text(account))
    elif account.exit_code:
        say(screen.trouble_text(account))
    sys.exit(account.exit_code)


@cli.command()
@with_settings("archive", "talk")
def status(config_file: str | None, **flags: object) -> None:
    """Tell how the last run ended, and what is pending or failed and why."""
    from harvester import screen
    from harvester.status import read_status

    resolved = begin(config_file, flags)
    found = read_status(resolved.settings)
    click.echo(found.as_json().decode() if resolved.settings.json else screen.status_text(found))


@cli.command()
@with_settings("archive", "talk")
def verify(config_file: str | None, **flags: object) -> None:
    """Hash every file again, walk the ledger's chain, and name what is missing, altered or unexpected."""
    from harvester import screen
    from harvester.archive.verify import verify as verify_archive
    from harvester.place import local_state

    resolved = begin(config_file, flags)
    settings = resolved.settings
    folder = local_state(settings).archive
    with screen.reading(shown=settings.progress and not settings.quiet) as tell:
        result: Verification = verify_archive(folder, tell)
    if settings.json:
        click.echo(screen.verification_json(result).decode())
    elif not settings.quiet or result.findings:
        click.echo(escaped_lines(screen.verification_text(result)))
    sys.exit(EXIT_DAMAGED if result.findings else 0)


@cli.command()
@click.option("--write", "target", default="harvester.toml", show_default=True, help="The settings file to write.")
@with_settings("archive", "run", "talk")
def init(config_file: str | None, target: str, **flags: object) -> None:
    """Make an archive and a settings file for it."""
    from harvester.founding import found

    resolved = begin(config_file, flags)
    say(run_async(found, resolved, Path(target)))


@cli.command()
@with_settings("archive", "run", "talk")
def config(config_file: str | None, **flags: object) -> None:
    """Show every setting's value and where it came from."""
    from harvester import screen

    resolved = begin(config_file, flags)
    click.echo(screen.settings_json(resolved).decode() if resolved.settings.json else screen.settings_text(resolved))


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


def deliver(resolved: Resolved, account: Account) -> None:
    """Give the account to the machines that asked for it. Raises ConfigError when the report cannot be written."""
    if resolved.settings.report_json:
        from harvester.delivery import write_report

        write_report(resolved.settings.report_json, account)
    if resolved.settings.json:
        click.echo(account.as_json().decode(), nl=False)


def check_report(resolved: Resolved) -> None:
    """Refuse a place for the report that cannot take it, before the run and not after it. Raises ConfigError."""
    from harvester.delivery import check_place

    settings = resolved.settings
    if settings.report_json and settings.archive:
        check_place(settings.report_json, settings.archive, resolved.sources["report_json"])


def begin(config_file: str | None, flags: dict[str, object]) -> Resolved:
    """Resolve the settings and set up the log as they say. Raises ConfigError."""
    resolved = resolved_from(config_file, flags)
    settings: Settings = resolved.settings
    logs.set_up(verbose=settings.verbose, quiet=settings.quiet, as_json=settings.log_json)
    for name in sorted(unknown_variables(os.environ)):
        log.warning("there is no setting for the environment variable %s; `harvester config` lists them all", name)
    return resolved


def run_async(call: Callable[Parameters, Awaitable[Result]], *args: Parameters.args, **_: Parameters.kwargs) -> Result:
    """Run an asynchronous function in an event loop of its own: uvloop where it exists."""
    import anyio

    return anyio.run(call, *args, backend_options={"use_uvloop": sys.platform != "win32"})


def say(text: str) -> None:
    """Print for a person, on stderr, with control characters escaped."""
    if sys.stderr is not None:  # it is None where the shell has closed it
        click.echo(escaped_lines(text), err=True)


def escaped_lines(text: str) -> str:
    """Return lines for a terminal, with control characters escaped."""
    return "\n".join(map(logs.escaped, text.splitlines()))


def fill_closed_streams() -> None:
    """Put the null device where the shell has closed 0, 1 or 2: the next file opened would get that number, and what
    some library prints would go into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def main() -> None:
    """Run the command line; turn every error into one sentence and its exit code."""
    fill_closed_streams()
    try:
        cli(standalone_mode=False)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        say("harvester: interrupted")
        sys.exit(EXIT_INTERRUPTED)
    except HarvestError as error:
        say(f"harvester: {error}")
        logs.note_in_file(str(error))
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os._exit(EXIT_INTERRUPTED)
    except OSError as error:
        say(f"harvester: cannot write the output: {error.strerror or error}")
        os._exit(EXIT_STORAGE)
    except Exception:
        log.exception("unexpected error")
        say("harvester: unexpected error, a bug; the lines above and the log tell where. What is saved stays.")
        sys.exit(1)


if __name__ == "__main__":
    main()
