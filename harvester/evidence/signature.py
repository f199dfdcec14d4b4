"""The border to ssh-keygen: it signs a seal, and tells who has signed one.

In:   a seal's bytes; a key, or a signature and the signers that are allowed.  Out: a signature, or its `Signer`.

A signature is what `ssh-keygen -Y sign` writes, so that anybody can check it who has OpenSSH. ssh-keygen does the signing, so a
key may lie in an agent, on a security key or a smart card. It has no terminal and no way to ask: a session of its own,
`SSH_ASKPASS_REQUIRE=never`, and on standard input the seal and nothing else. Where it would ask for a passphrase it reads from
there and fails. The bytes that are signed and checked go through pipes: no copy of them is written anywhere.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from harvester.errors import ConfigError, EvidenceError

NAMESPACE = "harvester-seal"
"""What a signature is for (`-n`): one that was made for something else, such as a commit, never passes for that of a seal."""

PROGRAM = "ssh-keygen"
DEADLINE_SECONDS = 30.0
"""How long ssh-keygen may take: a security key that wants to be touched waits for half a minute at most."""

LARGEST_BYTES = 16 * 1024
"""Of a signature; that of a 16,384-bit RSA key has 6 kB. So much fits into every system's pipe at once."""

KEY_HEAD_BYTES = 64
LARGEST_SIGNERS_BYTES = 4 * 1024 * 1024
SIGNER_LINE = re.compile(rb"[^#\s].*?\s(?:ssh-|ecdsa-|sk-ssh-|sk-ecdsa-)[\w@.-]+\s+[A-Za-z0-9+/]{20,}=*(?:\s.*)?")
"""Principals, perhaps options, the kind of the key, the key (ssh-keygen(1), ALLOWED SIGNERS)."""

SAID_CHARACTERS = 300
NOISE = ("Signing data on standard input", "@", "Signing (stdin) failed")
KEY_STARTS = (b"-----BEGIN ", b"ssh-", b"sk-ssh-", b"sk-ecdsa-", b"ecdsa-")
"""How the private and the public keys of OpenSSH begin."""


class Signer(msgspec.Struct, frozen=True, kw_only=True):
    """Who has signed: the principal as the allowed_signers file names it, and the key: `ED25519 key SHA256:...`."""

    principal: str
    key: str


def is_installed() -> bool:
    """Whether OpenSSH's ssh-keygen is there."""
    return shutil.which(PROGRAM) is not None


def require_key(key: Path) -> None:
    """Make sure, before a run begins, that a key can be read and is one. Raises ConfigError.

    Whether it is locked, or its agent refuses, shows only when it signs.
    """
    try:
        with key.open("rb") as file:
            head = file.read(KEY_HEAD_BYTES)
    except OSError as error:
        raise ConfigError(f"seal_ssh_key: the key {key} cannot be read: {error.strerror}") from None
    if not head.lstrip().startswith(KEY_STARTS):
        raise ConfigError(
            f"seal_ssh_key: {key} holds no SSH key; name a private key, or the public one of a key in the agent: "
            "`ssh-keygen -t ed25519 -f FILE` makes a pair"
        )


def require_signers(allowed_signers: Path) -> None:
    """Make sure that an allowed_signers file can be read and lists somebody. Raises ConfigError."""
    try:
        with allowed_signers.open("rb") as file:
            lines = file.read(LARGEST_SIGNERS_BYTES).splitlines()
    except OSError as error:
        raise ConfigError(f"--allowed-signers: the file {allowed_signers} cannot be read: {error.strerror}") from None
    if not any(SIGNER_LINE.fullmatch(line) for line in lines):
        raise ConfigError(
            f"--allowed-signers: {allowed_signers} lists nobody; a line of it is a name and a public key, such as "
            '`archive@example.com namespaces="harvester-seal" ssh-ed25519 AAAA...`'
        )


def sign(data: bytes, key: Path, *, deadline_seconds: float = DEADLINE_SECONDS) -> bytes:
    """Return the signature of a seal's bytes. Raises EvidenceError, with ssh-keygen's reason, where it makes none."""
    done = _run("-Y", "sign", "-n", NAMESPACE, "-f", os.fspath(key), data=data, seconds=deadline_seconds)
    if done.returncode:
        raise EvidenceError(_why_unsigned(key, _said(done)))
    check_novalidate(data, done.stdout)  # a passphrase that was read from the data would leave only a part of it signed
    return done.stdout


def check(data: bytes, signature: bytes, allowed_signers: Path, at: dt.datetime) -> Signer:
    """Return who has signed a seal's bytes, of the signers in a file that the verifier brings.

    `at` (aware) is the instant at which the key must have been valid: that of the stamp, or of the seal. Raises EvidenceError.
    """
    key = check_novalidate(data, signature)
    principal = find_principal(signature, allowed_signers, at, key)
    with _handed_over(signature) as path:
        arguments = ("-Y", "verify", "-n", NAMESPACE, "-I", principal, "-f", os.fspath(allowed_signers), "-s", path)
        done = _run(*arguments, _verify_time(at), data=data, descriptor=path)
    if done.returncode:
        raise EvidenceError(f"{allowed_signers} does not let {_plain(principal)} sign seals: {_said(done)}")
    return Signer(principal=_plain(principal), key=key)


def find_principal(signature: bytes, allowed_signers: Path, at: dt.datetime, key: str = "its key") -> str:
    """Return the first principal of an allowed_signers file whose key has made a signature.

    `key` is what the key is called in messages. Raises EvidenceError where the file lists none, or cannot be read.
    """
    try:
        allowed_signers.open("rb").close()
    except OSError as error:
        raise EvidenceError(f"the allowed_signers file {allowed_signers} cannot be read: {error.strerror}") from None
    with _handed_over(signature) as path:
        arguments = ("-Y", "find-principals", "-f", os.fspath(allowed_signers), "-s", path)
        done = _run(*arguments, _verify_time(at), descriptor=path)
    principals = done.stdout.decode("utf-8", "replace").splitlines()
    if done.returncode or not principals:
        raise EvidenceError(f"{allowed_signers} lists no signer with {key}, which has signed it ({_said(done)})")
    return principals[0]


def check_novalidate(data: bytes, signature: bytes) -> str:
    """Return which key has signed a seal's bytes, as `ED25519 key SHA256:...`, whoever has it. Raises EvidenceError."""
    if len(signature) > LARGEST_BYTES:
        raise EvidenceError(f"it is no SSH signature: it has {len(signature):,} bytes")
    with _handed_over(signature) as path:
        done = _run("-Y", "check-novalidate", "-n", NAMESPACE, "-s", path, data=data, descriptor=path)
    if done.returncode:
        raise EvidenceError(f"it is no signature of this seal: {_said(done)}")
    return _plain(done.stdout.decode("utf-8", "replace").strip().partition(" with ")[2]) or "an unnamed key"


def _run(
    *arguments: str, data: bytes = b"", descriptor: str = "", seconds: float = DEADLINE_SECONDS
) -> subprocess.CompletedProcess[bytes]:
    """Run ssh-keygen with `data` on its standard input, and without a terminal. Raises EvidenceError when it cannot be run."""
    program = shutil.which(PROGRAM)
    if program is None:
        raise EvidenceError(f"{PROGRAM} is not installed; it comes with OpenSSH (8.9 or later)")
    try:
        return subprocess.run(
            [program, *filter(None, arguments)],
            input=data,
            capture_output=True,
            timeout=seconds,
            check=False,
            env=_environment(),
            pass_fds=(int(descriptor.rpartition("/")[2]),) if descriptor else (),
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        raise EvidenceError(
            f"{PROGRAM} did not end within {seconds:g} seconds; does the agent, or a security key, wait for somebody?"
        ) from None
    except OSError as error:
        raise EvidenceError(f"{PROGRAM} cannot be run: {error.strerror}") from None


def _environment() -> dict[str, str]:
    """Return the environment of ssh-keygen: ours, without our key, and without what lets it ask on a screen."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HARVESTER_", "SSH_ASKPASS"))}
    kept.pop("DISPLAY", None)
    return kept | {"SSH_ASKPASS_REQUIRE": "never", "LC_ALL": "C"}


@contextmanager
def _handed_over(signature: bytes) -> Iterator[str]:
    """Give the path under which ssh-keygen can read a signature once: the end of a pipe."""
    reading, writing = os.pipe()
    try:
        os.write(writing, signature[:LARGEST_BYTES])
        os.close(writing)
        yield f"/dev/fd/{reading}"
    finally:
        os.close(reading)


def _verify_time(at: dt.datetime) -> str:
    """Return the flag for an instant at which keys must be valid; in local time, which OpenSSH before 9.1 took it for."""
    return f"-Overify-time={at.astimezone():%Y%m%d%H%M%S}"


def _why_unsigned(key: Path, said: str) -> str:
    if "passphrase" in said:
        return f"the key {key} is locked by a passphrase, and no agent holds it; unlock it with: ssh-add {key}"
    return f"{PROGRAM} does not sign with {key}: {said}"


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    """Return what ssh-keygen gives as its reason, in one line."""
    lines = [line.strip() for line in done.stderr.decode("utf-8", "replace").splitlines()]
    said = "; ".join(line.rstrip(".") for line in lines if line and not line.startswith(NOISE))
    return _plain(said)[:SAID_CHARACTERS] or f"exit code {done.returncode}, without a word"


def _plain(text: str) -> str:
    """Return text with everything escaped that is not ASCII, or writes on a terminal."""
    return "".join(c if c.isascii() and c.isprintable() else c.encode("unicode_escape").decode() for c in text)
