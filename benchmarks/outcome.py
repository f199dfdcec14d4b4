"""Check that a contestant has done the whole job: that all of them have written the same.

In:   a `Site`, the folder of a contestant that has ended.  Out: nothing, or SystemExit with what is missing or different.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from contestants import Contestant, files_of_calls
from nginx_site import Site

MOST_SHOWN = 3

_HASHED = re.compile(r"(?P<digest>[0-9a-f]{64}) [ *](?:.*/)?(?P<name>[^/]+)")


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What must be there of one call."""

    recording: str  # its SHA-256
    metadata: dict[str, Any]

    @property
    def transcript(self) -> str:
        """The text, as far as contestants must agree about it."""
        return (self.metadata["transcript"] or "").rstrip("\n")


def expected_of(site: Site) -> dict[int, Expected]:
    """Return what must be there of every call of a site, by id, from the files that the site serves."""
    return {row["id"]: Expected(recording=sha256_of(site.recording_of(row["id"])), metadata=row) for row in site.rows()}


def check(contestant: Contestant, folder: Path, expected: dict[int, Expected]) -> None:
    """Raise SystemExit unless there are exactly one recording, one metadata file and one transcript per call, all as expected."""
    found: dict[tuple[int, str], Path] = {}
    wrong = []
    for call_id, suffix, path in files_of_calls(folder):
        if (call_id, suffix) in found or call_id not in expected:
            wrong.append(f"{path} is one too many")
        found[call_id, suffix] = path
    hashed = manifest_of(contestant, folder)
    for call_id, call in expected.items():
        wrong += (f"{contestant.name}: call {call_id}: {what}" for what in _differences(call_id, call, found))
        if contestant.manifest and hashed.get(f"{call_id}.mp3") != call.recording:
            wrong.append(f"{contestant.name}: call {call_id}: the manifest has no SHA-256 of its recording, or another")
    if wrong:
        shown = "\n".join(wrong[:MOST_SHOWN])
        raise SystemExit(f"{contestant.name} has not done what the others do, in {len(wrong):,} places:\n{shown}")


def _differences(call_id: int, call: Expected, found: dict[tuple[int, str], Path]) -> Iterable[str]:
    recording, metadata, transcript = (found.get((call_id, suffix)) for suffix in (".mp3", ".json", ".txt"))
    if not recording or sha256_of(recording) != call.recording:
        yield "its recording is missing, or another one"
    if not metadata or json.loads(metadata.read_bytes()) != call.metadata:
        yield "its metadata is missing, or another one"
    if (transcript.read_text() if transcript else "").rstrip("\n") != call.transcript:
        yield "its transcript is missing, or another one"


def manifest_of(contestant: Contestant, folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file that a contestant has hashed, by the file's name."""
    manifests = folder.glob(contestant.manifest) if contestant.manifest else ()
    lines = (line for path in manifests for line in path.read_text().splitlines())
    return {found["name"]: found["digest"] for line in lines if (found := _HASHED.fullmatch(line))}


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
