"""Everything that can go wrong, as one tree. Each class has one exit code; see docs/exit-codes.md.

    HarvestError             1   a bug when nothing below fits
    ├── ConfigError          2   wrong before we start: the user can mend it
    ├── RecordingError       3   one recording cannot be had: an outcome of its call, never the end of a run
    │   └── LinkError        3   its link is refused or dead: a fresh one may help
    ├── AuthError            4   401, 403 from the API: no retry will help
    ├── PlatformError        5   the API's answer cannot be used, or TLS does not hold
    │   ├── CertificateError 5   a server's certificate does not hold
    │   ├── NotGivenError    5   one call is kept from this key, or its id is none of this platform's
    │   └── TransientError   5   429, 5xx, timeout, cut connection: tried again
    ├── StorageError         6   full, read-only, not writable, vanished
    │   ├── NotKeptError     6   a new file did not become durable: another one may
    │   └── MarkError        6   not an archive, or not the one that was expected here
    ├── LockedError          7   another run is at work on this archive
    └── LedgerError          8   the ledger does not hold together
        ├── SealError        8   a seal cannot be read, or is not what it says that it is
        │   └── EvidenceError   8   a signature or stamp does not hold; or cannot be made, which ends no run
        └── DamagedError     8   what is to be exported is missing, or is not what the ledger says

A message is one sentence for the user: what was wrong, where, and what to do. It never holds the key or a query string.
"""


class HarvestError(Exception):
    """The root: catching it catches every failure that is ours."""

    exit_code = 1


class ConfigError(HarvestError):
    """A flag, an environment variable or a line of the settings file cannot be used."""

    exit_code = 2


class RecordingError(HarvestError):
    """The recording of one call cannot be had; the call's outcome is `failed` with this message as the reason."""

    exit_code = 3


class LinkError(RecordingError):
    """The recording's link was refused or is dead (`status` 401, 403, 404, 410, or an expired 400), or led to no recording.

    `said` is the beginning of what came instead of a recording. It may hold anything, so it is never part of the message.
    """

    def __init__(self, message: str, status: int, said: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.said = said


class AuthError(HarvestError):
    """The API refuses the key."""

    exit_code = 4


class PlatformError(HarvestError):
    """The API answers, but not with what a call platform answers; or it may not be talked to at all."""

    exit_code = 5


class CertificateError(PlatformError):
    """A server's certificate does not hold. `why` says so, and what to do, without naming the server."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"{where}: {why}")
        self.why = why


class NotGivenError(PlatformError):
    """The platform does not give one call (403, 422): that says nothing about whether it exists."""


class TransientError(PlatformError):
    """A failure that another attempt may mend.

    `retry_after_seconds` is what the server asked us to wait, or None when it asked for nothing; `throttled`: it is no failure,
    but a "later".
    """

    def __init__(self, message: str, *, retry_after_seconds: float | None = None, throttled: bool = False) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        self.throttled = throttled


class StorageError(HarvestError):
    """The archive's disk, or the local state's, does not take what we write or give what we wrote."""

    exit_code = 6


class NotKeptError(StorageError):
    """What was written into a new file did not become durable (an error of the device, a share that went stale).

    Nothing that lies in that file is to be believed, and no second fsync of it; its call may be settled again, into new ones.
    """


class MarkError(StorageError):
    """The folder bears no mark of an archive, a broken one, or that of another archive."""


class LockedError(HarvestError):
    """Another run holds the archive's lock."""

    exit_code = 7


class LedgerError(HarvestError):
    """A ledger line is unreadable or does not continue the one before it."""

    exit_code = 8


class SealError(LedgerError):
    """The seal of a run cannot be read, or does not stand for the run in whose folder it lies."""


class EvidenceError(SealError):
    """A seal's signature or stamp does not hold. Or none can be made: that is told, and made good by the next run."""


class DamagedError(LedgerError):
    """Files of the archive are missing, or are not what its ledger says."""
