"""What the commands print: results as text for people.

In:   accounts, verifications, settings.  Out: text; who prints it, and where, is the command line's business.
"""

from __future__ import annotations

import json
import shlex
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from harvester.archive.layout import RUNS
from harvester.logs import escaped
from harvester.report import SHOWN, Account, lines_of, trouble_of
from harvester.settings import Resolved, environment_of, table
from harvester.status import Status, attempt_text
from harvester.verify.findings import Verification
from harvester.wording import counted, duration_text, size_text

UNVOUCHED = frozenset({"signature", "stamp"})
"""Kinds of findings that say nothing against the archive itself."""

RESTORABLE = frozenset({"missing", "altered"})
"""Kinds of findings about files that a copy brings back."""

BOOKS = frozenset({"ledger", "manifest", "account", "seal"})
"""Kinds of findings about what a run says of itself."""

CHAIN_LINE = "every ledger line continues the one before it"


def account_text(account: Account) -> str:
    """Return the account of a run."""
    return "\n".join(lines_of(account))


def verdict_text(account: Account) -> str:
    """Return the last line of the account."""
    return lines_of(account)[-1]


def trouble_text(account: Account) -> str:
    """Return what a person who asked for quiet must know of a run that is not complete."""
    return "\n".join([*trouble_of(account), f"harvester: {account.archive}: {verdict_text(account)}"])


def verification_text(result: Verification) -> str:
    """Return what verifying found, at most 20 findings of it."""
    lines = [str(finding) for finding in result.findings[:SHOWN]]
    if len(result.findings) > SHOWN:
        lines.append(f"and {len(result.findings) - SHOWN:,} more; --json names all")
    lines += [f"note: {note}" for note in result.notes]
    files, ledger_lines = counted(result.files, "file"), counted(result.lines, "ledger line")
    counts = {"sealed": result.sealed, "signed": result.signed, "stamped": result.stamped}
    vouched = ", ".join(f"{count or 'none'} {word}" for word, count in counts.items())
    checked = f"{files} ({size_text(result.bytes)}), {ledger_lines}, {counted(result.runs, 'run')} ({vouched})"
    if result.findings:
        kinds = {finding.kind for finding in result.findings}
        word = "damaged" if kinds - UNVOUCHED else "not vouched for"
        lines.append(f"{word}: {counted(len(result.findings), 'finding')} in {checked}")
        if kinds & RESTORABLE:
            lines.append(
                "restore what is missing or altered from a copy: a run does not fetch again what its ledger calls saved"
            )
        if kinds & BOOKS or any(each.path.startswith(f"{RUNS}/") for each in result.findings):
            lines.append(
                "restore a run's ledger, manifest, account and seal from a copy; a folder below runs/ that no run of harvester "
                "has made is to be moved elsewhere"
            )
    else:
        lines.append(f"intact: {checked}: {_shown_of_files(result)}, and {CHAIN_LINE}")
    return "\n".join(map(escaped, lines))  # the name of a file must not forge a line


def _shown_of_files(result: Verification) -> str:
    """Say what was shown of the files that were looked at."""
    if result.hashed_files == result.files:
        return "every file is what its ledger line says"
    hashed = f"{counted(result.hashed_files, 'file')} ({size_text(result.hashed_bytes)})"
    return f"every file has the size that its ledger line says, {hashed} were read and are what it says"


def verification_json(result: Verification) -> bytes:
    """Return what verifying found, all of it."""
    return msgspec.json.format(msgspec.json.encode(result), indent=2)


@contextmanager
def reading(*, shown: bool) -> Iterator[Callable[[int, int], None]]:
    """Show how much has been read, on a terminal; yield the function that is told the files and bytes of each step."""
    if not (shown and sys.stderr.isatty()):
        yield lambda files, size_bytes: None
        return
    from tqdm import tqdm

    with tqdm(unit=" files", file=sys.stderr, dynamic_ncols=True, leave=False) as bar:
        read_bytes = 0

        def tell(files: int, size_bytes: int) -> None:
            nonlocal read_bytes
            read_bytes += size_bytes
            bar.set_postfix_str(size_text(read_bytes), refresh=False)
            bar.update(files)

        yield tell


def settings_text(resolved: Resolved) -> str:
    """Return every setting with its value and where that came from, as columns."""
    width = max(map(len, table()))
    rows = [(name, resolved.text_of(name), resolved.sources[name]) for name in table()]
    wide = min(48, max(len(value) for _, value, _ in rows))
    return "\n".join(escaped(f"{name:{width}}  {value:{wide}}  {source}") for name, value, source in rows)


def settings_json(resolved: Resolved) -> bytes:
    """Return every setting with its value, as text, where that came from, and its environment variable."""
    rows = {
        name: {"value": resolved.text_of(name), "source": resolved.sources[name], "environment": environment_of(name)}
        for name in table()
    }
    return json.dumps(rows, indent=2).encode()  # ASCII: a path may be of any bytes


def status_text(status: Status) -> str:
    """Return how the last run ended and what is still open."""
    gone = f", {status.gone:,} of them gone from the platform" if status.gone else ""
    erased = f", {status.erased:,} of them erased" if status.erased else ""
    lines = [f"archive {status.archive}, {counted(status.calls, 'call')}{gone}{erased}"]
    if status.running:
        lines.append("a run is going on; what follows is as far as it has got")
    if told := attempt_text(status.attempt, status.running, status.last_run):
        lines.append(told)
    if status.last_run is None:
        lines.append("no run has written anything yet")
    else:
        last = status.last_run
        own = status.attempt if status.attempt and status.attempt.run == last.run else None
        ended = own.exit_code if own and own.exit_code is not None and last.exit_code is not None else last.exit_code
        code = "" if ended is None else f", exit code {ended}"
        since = f" since {last.listed_from}" if last.listed_from else ""
        listed = "" if last.listed is None else f", {counted(last.listed, 'call')} listed{since}"
        lines.append(f"last run {last.run}: {last.verdict}{code}{listed}")
        if last.finished_at and last.seconds is not None:
            lines.append(f"ended {last.finished_at} after {duration_text(last.seconds)}")
        if last.error:
            lines.append(last.error)
        lines += [f"not proven whole: {reason}" for reason in last.windows_unproven]
        lines += [f"alarm: {alarm}" for alarm in dict.fromkeys((*last.alarms, *(own.alarms if own else ())))]
        lines += [f"warning: {warning}" for warning in last.warnings]
    for word, opened in (("failed", status.failed), ("pending", status.pending)):
        lines.append(f"{counted(len(opened), 'call')} {word}")
        lines += [f"  call {each.id!a} ({each.place}): {each.reason or 'no reason noted'}" for each in opened[:SHOWN]]
        if len(opened) > SHOWN:
            lines.append(f"  and {len(opened) - SHOWN:,} more; --json names all")
    if status.left_out:
        lines.append(f"{counted(status.left_out, 'recording')} left out: recordings were switched off")
    return "\n".join(map(escaped, lines))  # a reason that holds a line break must not forge a line


def program() -> str:
    """Return what to type for this program: its name where the shell finds it, else the path it was started by."""
    started = Path(sys.argv[0])
    return "harvester" if shutil.which("harvester") or started.name != "harvester" else shlex.quote(sys.argv[0])


def tour_text(folder: Path, account: Account, verification: Verification) -> str:
    """Return what the demo has done, where it lies, and what to do next."""
    archive = folder / "archive"
    sample = sorted(path.relative_to(archive).as_posix() for path in archive.glob("2*/*/*/*"))[:3]
    quoted = shlex.quote(str(archive))
    return "\n".join(
        [
            _indented(lines_of(account)),
            "",
            "Verifying it ...",
            _indented(verification_text(verification).splitlines()),
            "",
            f"The archive lies in {archive}: listen to a recording, read a transcript.",
            _indented(sample),
            "Anyone can check it without this tool:",
            f"  (cd {quoted} && cat runs/*/manifest-sha256.txt | sha256sum --check --strict --quiet && echo intact)",
            "",
            "With a key of your own:",
            "  export HARVESTER_API_KEY=...        # or --key-file; never an argument",
            f"  {program()} run --archive ./calls --from 7d --dry-run",
            f"  {program()} run --archive ./calls",
            f"Another brand of the platform: --base-url https://its.host/api. Every setting: {program()} config.",
        ]
    )


def _indented(lines: list[str]) -> str:
    return textwrap.indent("\n".join(lines), "  ")
