"""What the ledger is told of a call.

In:   a call, its entries before and after, its download, its files.  Out: the event of one ledger line.

The ledger is handed to strangers, so it holds no phone number, no name, nothing that was spoken and no query string.
"""

from __future__ import annotations

from harvester.archive.ledger import Event
from harvester.mask import masked
from harvester.model import Call, Entry, File, Outcome, State, Transfer

LONGEST_WORD = 100
"""Of a status or a date, in characters: the platform may send anything, and a ledger line should stay a line."""


def held(entry: Entry) -> Event:
    """Say how the recording of a call stands."""
    told: Event = {"state": entry.recording, "offered": entry.offered, "link": entry.link}
    return told | ({"left": True} if entry.left else {})


def _clean(link: str, headers: dict[str, str], numbers: tuple[str, ...]) -> tuple[str, dict[str, str]]:
    """Return link and headers of a download without phone numbers.

    All of them are looked at in one go: nearly always there is nothing to mask.
    """
    together = "\n".join((link, *headers.values()))  # no value holds a line break, and no number goes over one
    if masked(together, numbers) == together:
        return link, headers
    return masked(link, numbers), {name: masked(value, numbers) for name, value in headers.items()}


def event_of(
    call: Call,
    before: Entry | None,
    entry: Entry,
    outcome: Outcome,
    download: tuple[str, Transfer] | None,
    files: list[File],
) -> Event:
    """Say in one ledger line what happened to a call: no phone number, no name, no text, no query string.

    `before` is what the archive held, `entry` what it holds now, `download` the proof and the transfer of a recording that
    came in.
    """
    recording = held(entry)
    if download:
        proof, transfer = download
        link, headers = _clean(transfer.link, transfer.headers, call.phone_numbers)
        recording |= {
            "proof": proof,
            "status": transfer.status,
            "from": link,
            "headers": headers,
            "redirect_hosts": transfer.redirect_hosts,
            "certificate_sha256": transfer.certificate_sha256,
            "attempts": transfer.attempts,
            "started_at": transfer.started_at.isoformat(timespec="milliseconds"),
            "finished_at": transfer.finished_at.isoformat(timespec="milliseconds"),
        }
        recording |= {"resumed_at_bytes": transfer.resumed_at_bytes} if transfer.resumed_at_bytes else {}
    changed = before is not None and before.digest != entry.digest and outcome.recording is not State.FAILED
    return {
        "event": "changed" if changed else str(outcome.recording),
        "id": call.id,
        "digest": call.digest,
        "place": entry.place,
        "version": entry.version,
        "status": call.status and call.status[:LONGEST_WORD],
        "created_at": call.created_at and call.created_at[:LONGEST_WORD],
        "recording": recording,
        "transcript": {"state": entry.transcript},
        "files": files,
        "reason": entry.reason,
    }
