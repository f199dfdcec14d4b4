"""Exported calls made by hand, and bundles of them on the disk, for the tests of what is rendered."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harvester.export.exported import Bundle, ExportedCall, ExportedFile, Standing, exported
from harvester.export.report import Report
from harvester.model import State

SHA256 = "13c85ebbb261a147e0f87d8db32abc7ae4b458a56253029bd3fbe223a4425d54"

RUN = "20261126T020000Z-00000000"


def call_of(row: dict[str, Any] | bytes, *, number: int = 1, **standing: Any) -> ExportedCall:
    """Return a call with this row, a metadata file, a transcript and a recording; `standing` is what the ledger says besides."""
    raw = row if isinstance(row, bytes) else json.dumps(row).encode()
    place = f"2025/08/04/{number}"
    files = standing.pop("files", None)
    if files is None:
        files = tuple(file_of(f"{place}.{end}", role) for end, role in ROLES)
    known: dict[str, Any] = {
        "id": str(number),
        "version": 1,
        "recording_state": State.SAVED,
        "transcript_state": State.SAVED,
        "proof": "content-length",
    }
    return exported(Standing(place=place, **(known | standing)), raw, files)


ROLES = (("json", "metadata"), ("mp3", "recording"), ("txt", "transcript"))


def file_of(key: str, role: str, **more: Any) -> ExportedFile:
    """Return one file of a call."""
    known: dict[str, Any] = {"bytes": 21560, "sha256": SHA256, "version": 1, "run": RUN}
    return ExportedFile(key=key, role=role, **(known | more))


def bundle_of(calls: int, **more: Any) -> Bundle:
    """Return what is true of a bundle of so many calls."""
    known: dict[str, Any] = {
        "name": "harvester-export-0123456789",
        "archive_id": "0e2f3a4c-0000-4000-8000-000000000000",
        "platform": "https://platform.example/api",
        "account": "account@example.org",
        "case": None,
        "operator": "A. Person",
        "selected": "all calls",
        "as_of": "2026-11-26T02:00:00.000Z",
        "calls": calls,
        "files": 3 * calls,
        "bytes": 1_000_000,
        "damaged": 0,
        "erased": 0,
        "runs": (RUN,),
        "unsealed_runs": (),
    }
    return Bundle(**(known | more))


def pages_of(calls: Iterable[ExportedCall], **more: Any) -> dict[str, str]:
    """Return the pages of a report of these calls by their names, in the order in which they were ready."""
    report, count = Report(), 0
    pages: dict[str, bytes] = {}
    for call in calls:
        count += 1
        pages.update(report.call(call))
    pages.update(report.end(bundle_of(count, **more)))
    return {name: page.decode() for name, page in pages.items()}


def write_report(folder: Path, calls: Iterable[ExportedCall], **more: Any) -> Path:
    """Write the pages of a report into a folder; return the first."""
    for name, page in pages_of(calls, **more).items():
        (folder / name).write_text(page, encoding="utf-8", newline="")
    return folder / "report.html"
