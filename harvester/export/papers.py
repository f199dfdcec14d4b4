"""What a bundle says of itself: `bag-info.txt`, `VERIFY.md`, `CERTIFICATE.md`.

In:   what is true of the bundle.  Out: text; no clock, no host: the same for the same bundle.

Every text from outside stands in one line, and what Markdown would read in it is escaped: a case may be called anything.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

import msgspec

import harvester
from harvester.export.bag import ALGORITHMS, one_line
from harvester.export.exported import Bundle
from harvester.export.procedure import PAYLOAD, PROOFS, SIGNED, STAMPED, SUMS, UNPROVEN
from harvester.export.vouched import Vouched
from harvester.wording import counted, size_text

NONE_GIVEN = "(none given)"
SHOWN = 20


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the papers tell besides the bundle itself."""

    bundle: Bundle
    ledger_lines: int
    vouched: Vouched  # who vouches for the seals
    notes: tuple[str, ...]  # what is wrong or incomplete, a sentence each
    manifest_sha256: str  # of manifest-sha256.txt

    @property
    def sealed(self) -> int:
        """How many of the runs are sealed."""
        return len(self.bundle.runs) - len(self.bundle.unsealed_runs)

    @property
    def signed(self) -> int:
        """How many are signed."""
        return self.sealed - len(self.vouched.unsigned)

    @property
    def stamped(self) -> int:
        """How many are stamped."""
        return self.sealed - len(self.vouched.unstamped)


def info(facts: Facts) -> Iterator[tuple[str, str]]:
    """Yield the labels and values of `bag-info.txt` (RFC 8493, 2.2.2): reserved ones first, then ours."""
    bundle = facts.bundle
    yield "External-Identifier", bundle.name
    yield "External-Description", f"{counted(bundle.calls, 'recorded call')}, selected by: {bundle.selected}"
    yield "Bagging-Date", bundle.as_of[:10]
    yield "Bag-Size", size_text(bundle.bytes)
    yield "Payload-Oxum", f"{bundle.bytes}.{bundle.files}"
    yield "Bag-Software-Agent", f"harvester {harvester.__version__}"
    yield "Case", bundle.case or NONE_GIVEN
    yield "Operator", bundle.operator or NONE_GIVEN
    if bundle.reason:
        yield "Reason", bundle.reason
    yield "Archive-Id", bundle.archive_id
    yield "Archive-As-Of", bundle.as_of
    yield "Platform", bundle.platform
    yield "Account", bundle.account or "(not known)"
    yield "Calls", str(bundle.calls)
    yield "Damaged-Calls", str(bundle.damaged)
    yield "Erased-Calls", str(bundle.erased)
    yield "Seals", seals_text(facts)
    for note in facts.notes:
        yield "Note", note


def seals_text(facts: Facts) -> str:
    """Return in so many words how much of the bundle is sealed, signed and stamped."""
    runs = len(facts.bundle.runs)
    if not facts.sealed:
        return "NOT SEALED: " + (f"none of the {runs:,} runs" if runs > 1 else "the run") + " of these calls has a seal"
    said = [f"{facts.sealed:,} of {counted(runs, 'run')} sealed"]
    said.append(f"{facts.signed:,} signed" if facts.signed else "NOT SIGNED")
    said.append(f"{facts.stamped:,} stamped by a time-stamping authority" if facts.stamped else "NOT STAMPED")
    return ", ".join(said)


def verify_md(facts: Facts) -> bytes:
    """Return `VERIFY.md`: how to check the bundle with tools that are not ours."""
    bundle = facts.bundle
    parts = [
        f"# How to check this bundle\n\n`{bundle.name}`: {counted(bundle.calls, 'call')}, {counted(bundle.files, 'file')} "
        f"below `data/`. {seals_text(facts)}.\n",
        *_warnings(facts),
        "Open a shell in the folder that holds this page; each block below can be pasted as it is.\n",
        SUMS % tuple(PAYLOAD % each if bundle.files else "" for each in ALGORITHMS),
        PROOFS if facts.sealed else UNPROVEN,
    ]
    if facts.signed:
        parts.append(SIGNED)
    if facts.stamped:
        parts.append(STAMPED)
    return "\n".join(parts).encode("utf-8", "replace")


def _warnings(facts: Facts) -> Iterator[str]:
    """Yield what is not as it should be."""
    lists = {
        "has NO SEAL that holds: nothing here proves that its lines and files are as they were written": [
            *facts.bundle.unsealed_runs
        ],
        "is sealed and NOT SIGNED: whoever could write to the archive could have made the seal anew": facts.vouched.unsigned,
        "is sealed and NOT STAMPED: the time in its seal is that of the machine that made it": facts.vouched.unstamped,
    }
    lines = [f"- Run `{run_id}` {said}." for said, runs in lists.items() for run_id in runs[:SHOWN]]
    lines += [
        f"- And {len(runs) - SHOWN:,} more runs: each {said}." for said, runs in lists.items() if len(runs) > SHOWN
    ]
    lines += _exceptions(facts)
    if lines:
        yield "\n".join(["**What is to be known first:**\n", *lines, ""])


def certificate_md(facts: Facts) -> bytes:
    """Return `CERTIFICATE.md`: the facts for a declaration, and what a person has to complete."""
    return CERTIFICATE.format_map(_filled_in(facts)).encode("utf-8", "replace")


def _filled_in(facts: Facts) -> dict[str, str]:
    bundle = facts.bundle
    return {
        "name": bundle.name,
        "case": escaped_md(bundle.case or NONE_GIVEN),
        "operator": escaped_md(bundle.operator or NONE_GIVEN),
        "reason": escaped_md(bundle.reason or NONE_GIVEN),
        "selected": escaped_md(bundle.selected),
        "calls": f"{bundle.calls:,}",
        "files": counted(bundle.files, "file"),
        "bytes": f"{bundle.bytes:,}",
        "archive_id": bundle.archive_id,
        "as_of": escaped_md(bundle.as_of),
        "platform": escaped_md(bundle.platform),
        "account": escaped_md(bundle.account or "(not known)"),
        "version": harvester.__version__,
        "manifest": facts.manifest_sha256,
        "lines": counted(facts.ledger_lines, "line"),
        "seals": seals_text(facts),
        "vouching": "\n".join(_vouching(facts)),
        "exceptions": "\n".join(_exceptions(facts) or ["- None."]),
    }


def _vouching(facts: Facts) -> Iterator[str]:
    """Yield what the software has checked of signatures and stamps, and what is left to others."""
    vouched = facts.vouched
    if checked := facts.signed - vouched.unchecked_signatures:
        yield (
            f"- Signatures: {checked:,} checked: over its seal, made with the key that it bears: {_named(vouched.keys)}. "
            "Whose key that is was not asked; `VERIFY.md` tells how to find out"
        )
    if checked := facts.stamped - vouched.unchecked_stamps:
        yield (
            f"- Stamps: {checked:,} checked: over its seal or the signature of it, by the certificates that lie beside it: "
            f"{_named(vouched.authorities)}. Whether that authority is one to trust was not asked; `VERIFY.md` tells how to "
            "find out"
        )


def _named(names: Collection[str]) -> str:
    """Return names as a list that Markdown leaves alone."""
    return escaped_md("; ".join(sorted(names)[:SHOWN]) + ("; ..." if len(names) > SHOWN else ""))


def _exceptions(facts: Facts) -> Sequence[str]:
    bundle = facts.bundle
    found = [f"- {escaped_md(note)}." for note in facts.notes]
    if bundle.damaged:
        said = "that are missing or not what the ledger says; `damaged` in `calls.jsonl` names them"
        found.append(f"- DAMAGED: {counted(bundle.damaged, 'call')} with files {said}.")
    if bundle.erased:
        found.append(
            f"- ERASED: of {counted(bundle.erased, 'call')} files were erased on request; the ledger names them."
        )
    return found


def escaped_md(text: str) -> str:
    """Return a text as one line in which Markdown finds nothing of its own."""
    return re.sub(r"([\\`*_<>\[\]|])", r"\\\1", one_line(text))


CERTIFICATE = """# Facts for a certification under Federal Rules of Evidence 902(13) and 902(14)

**This is not a certification yet.** It states what the software has recorded. A qualified person has to check it, complete every
line that reads `[TO BE COMPLETED: ...]`, and sign it. Have a lawyer check it: Rule 902(11) asks for reasonable written notice
before the trial or hearing, and for the records and the certification to be made available for inspection.

## 1. The person who certifies

- Name: `[TO BE COMPLETED: name]`
- Position and employer: `[TO BE COMPLETED: position, employer]`
- Why qualified (training, experience with this system): `[TO BE COMPLETED: qualification]`

## 2. What was exported

- Bundle: `{name}`
- Case: {case}
- Exported by: {operator}
- Reason: {reason}
- Selected by: {selected}
- Calls: {calls}; payload: {files}, {bytes} bytes below `data/`
- Archive: `{archive_id}`, as it stood at {as_of}
- Source: {platform}, account {account}
- Software: harvester {version}

## 3. The process (Rule 902(13))

The software asks the platform's interface for the list of calls, and keeps of each call the record byte for byte as it was sent,
its transcript as text, and its recording byte for byte. What shows that a recording is whole is noted (`proof` in
`calls.jsonl`). Every outcome is one line in a ledger, and each line bears the SHA-256 of the line before it. A file of the
archive is not changed after its run has closed; a call that changed at its source becomes a new version beside the old one.

- The system was in regular use and worked properly in the time concerned: `[TO BE COMPLETED: confirm, or state what did not]`
- Who had access to the machine and to the archive: `[TO BE COMPLETED: access]`

## 4. Digital identification (Rule 902(14))

The files were copied by the software. It hashed each one while it was read, and held the SHA-256 against the one that has stood
in the ledger since the file was archived.

- SHA-256 of `manifest-sha256.txt`, which names every file below `data/` with its SHA-256: `{manifest}`
- Ledger: {lines} of these calls, in `evidence/ledger.jsonl`
- Seals: {seals}
{vouching}
- Checked as `VERIFY.md` tells, on: `[TO BE COMPLETED: date, by whom, with what result]`

Exceptions:

{exceptions}

## 5. What is not claimed

That the platform's own copy was genuine, or who spoke. Without a signature and a stamp, that nobody who could write to the
archive has made ledger and seals anew.

## 6. Declaration

I declare under penalty of perjury under the laws of the United States of America that the foregoing is true and correct
(28 U.S.C. 1746).

- Executed on: `[TO BE COMPLETED: date]`
- At: `[TO BE COMPLETED: place]`
- Signature: `[TO BE COMPLETED: signature]`
"""
