"""Where in the archive a call lies: pure decisions about keys, relative to the archive's root.

In:   an id, a `created_at`, a version.  Out: a key such as `2025/08/04/123.v2.json`.

A name consists of `[a-z0-9_-]` before its suffixes, is never a device name of Windows, and meets no other on a share that ignores
case: an id that is not plainly of that form is made so and gets `-x` and 32 hex digits of its SHA-256. A dot is
not plain: the id `7.v2` would meet the second version of the call 7.
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import re

from harvester.model import Call

MARK = "harvester-archive.json"
RUNS = "runs"
LEDGER = "ledger.jsonl"
MANIFEST = "manifest-sha256.txt"
ACCOUNT = "run.json"
SEAL = "seal.txt"
SIGNATURE = "seal.txt.sig"
STAMP = "seal.txt.tsr"
STAMP_CHAIN = "seal.txt.chain.pem"
SEALING = frozenset({SEAL, SIGNATURE, STAMP, STAMP_CHAIN})
"""What a run's folder gets after its manifest, so that no manifest can name it."""

SEAL_PART = f"{SEAL}.part"
PARTS = "parts"
PAGES = "pages"
UNDATED = "undated"

LONGEST_PLAIN_ID = 80
"""With version and suffix a name stays below 100 bytes, which every file system and archive format takes."""

DEVICE_NAMES = frozenset({"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))})
PLAIN = re.compile(r"[a-z0-9][a-z0-9_-]*", re.ASCII)
MADE = re.compile(r".*-x[0-9a-f]{10}(?:[0-9a-f]{22})?", re.ASCII)
"""What `call_name` makes of an id that is not plain; with ten digits it did so once, and names of that form lie in archives."""

HASH_DIGITS = 32
"""128 bits: who may choose the ids finds two of one name for every 40 bits within a second, and their calls would share files."""

RUN_STAMP = "%Y%m%dT%H%M%SZ"
RUN_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}", re.ASCII)
PLACE = re.compile(r"(?:\d{4}/\d{2}/\d{2}|undated)/[a-z0-9][a-z0-9_-]{0,79}", re.ASCII)
"""What `call_place` returns. A ledger that tells of others was altered, and would lead out of the archive."""

FILE_KEY = re.compile(rf"{PLACE.pattern}(?:\.v\d{{1,9}})?\.[a-z0-9]{{2,5}}", re.ASCII)
"""What `versioned` returns."""

PAGE_KEY = re.compile(rf"{RUNS}/{RUN_ID.pattern}/{PAGES}/\d{{6,9}}\.json\.gz", re.ASCII)
"""Of a list page that is kept as it came: numbered in its run, in the order in which they came."""

ZONELESS = re.compile(r"\d{4}-\d{2}-\d{2}(?:[ T][0-9:.]*)?", re.ASCII)
DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?:[ T].*)?", re.ASCII | re.DOTALL)


def call_name(call_id: str) -> str:
    """Return the file name, without suffixes, of a call: a safe one, different for different ids."""
    plain = PLAIN.fullmatch(call_id) and len(call_id) <= LONGEST_PLAIN_ID
    if plain and call_id not in DEVICE_NAMES and not MADE.fullmatch(call_id):
        return call_id
    kept = re.sub(r"[^a-z0-9]+", "-", call_id.lower()).strip("-")[:40].strip("-") or "id"
    return f"{kept}-x{hashlib.sha256(call_id.encode('utf-8', 'surrogatepass')).hexdigest()[:HASH_DIGITS]}"


def date_folder(created_at: str | None, zone: dt.tzinfo) -> str:
    """Return `YYYY/MM/DD` of a `created_at` as received, or `undated` where it cannot be read.

    An instant that bears a zone is put into `zone` first.
    """
    created_at = (created_at or "").strip()
    if ZONELESS.fullmatch(created_at):  # so nearly every row
        return _folder_of(created_at[:10])
    shape = DATE.fullmatch(created_at)
    if not shape:
        return UNDATED
    try:
        at = dt.datetime.fromisoformat(shape[0])
        day = at.astimezone(zone) if at.tzinfo else at
    except (ValueError, OverflowError):
        try:  # the time of day is odd, the day itself may not be
            day = dt.datetime(int(shape[1]), int(shape[2]), int(shape[3]))
        except ValueError:
            return UNDATED
    return f"{day.year:04}/{day.month:02}/{day.day:02}"


@functools.lru_cache(maxsize=1024)
def _folder_of(day: str) -> str:
    try:
        dt.date.fromisoformat(day)
    except ValueError:
        return UNDATED
    return day.replace("-", "/")


def call_place(call: Call, zone: dt.tzinfo) -> str:
    """Return the key of a call's files without version and suffix, such as `2025/08/04/123`."""
    return f"{date_folder(call.created_at, zone)}/{call_name(call.id)}"


def versioned(place: str, version: int, suffix: str) -> str:
    """Return the key of one file; the first version bears no number. `suffix` comes without its dot."""
    return f"{place}.{suffix}" if version == 1 else f"{place}.v{version}.{suffix}"


def run_key(run_id: str, name: str) -> str:
    """Return the key of a file in a run's folder."""
    return f"{RUNS}/{run_id}/{name}"
