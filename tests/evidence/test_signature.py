"""Signatures, made and checked by ssh-keygen itself: with a key in a file, in an agent, and with every key that does not sign."""

import datetime as dt
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harvester.errors import ConfigError, EvidenceError
from harvester.evidence.signature import check, check_novalidate, require_key, sign

pytestmark = pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="ssh-keygen is missing")

SEAL = b"harvester seal 1\nrun: 20261126T020000Z-9f3c2a1b\n"
NOW = dt.datetime.now(dt.UTC)


def new_key(folder: Path, name: str = "key", passphrase: str = "") -> Path:
    """Make a pair of keys."""
    path = folder / name
    line = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", "", "-f", str(path)]
    subprocess.run(line, check=True, capture_output=True)
    return path


def allowed(folder: Path, key: Path, options: str = "", principal: str = "archive@example.com") -> Path:
    """Write an allowed_signers file with one signer."""
    path = folder / "allowed_signers"
    path.write_text(f"{principal} {options} {key.with_name(f'{key.name}.pub').read_text()}")
    return path


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """Return a key without a passphrase."""
    return new_key(tmp_path)


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Run an agent of the test's own; return its process."""
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(tmp_path / "agent")], stdout=subprocess.PIPE)
    assert process.stdout
    process.stdout.readline()
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    yield process.pid
    process.kill()
    process.wait()
    process.stdout.close()


def add(key: Path, *flags: str) -> None:
    """Give a key to the agent."""
    subprocess.run(["ssh-add", "-q", *flags, str(key)], check=True, capture_output=True)


def test_a_signature_is_that_of_ssh_keygen(key: Path, tmp_path: Path) -> None:
    """Anybody can check it by `ssh-keygen -Y verify` alone, and our check says who has signed, with which key."""
    signature = sign(SEAL, key)
    (tmp_path / "seal.txt.sig").write_bytes(signature)
    signers = allowed(tmp_path, key, 'namespaces="harvester-seal"')
    line = ["ssh-keygen", "-Y", "verify", "-n", "harvester-seal", "-I", "archive@example.com"]
    line += ["-f", str(signers), "-s", str(tmp_path / "seal.txt.sig")]
    assert b"Good" in subprocess.run(line, input=SEAL, check=True, capture_output=True).stdout
    signer = check(SEAL, signature, signers, NOW)
    assert signer.principal == "archive@example.com"
    assert signer.key == check_novalidate(SEAL, signature)
    assert signer.key.startswith("ED25519 key SHA256:")


def test_ssh_keygen_signs_what_we_check(key: Path, tmp_path: Path) -> None:
    """A signature that somebody made by hand is as good."""
    (tmp_path / "seal.txt").write_bytes(SEAL)
    line = ["ssh-keygen", "-Y", "sign", "-n", "harvester-seal", "-f", str(key), str(tmp_path / "seal.txt")]
    subprocess.run(line, check=True, capture_output=True)
    assert check(SEAL, (tmp_path / "seal.txt.sig").read_bytes(), allowed(tmp_path, key), NOW)


def test_a_key_in_an_agent_signs(key: Path, tmp_path: Path, agent: int) -> None:
    """The public key is enough where the private one lies in the agent, and a locked key that the agent holds is open."""
    add(key)
    (tmp_path / "away").mkdir()
    public = Path(shutil.copy(key.with_name("key.pub"), tmp_path / "away" / "key.pub"))
    assert check(SEAL, sign(SEAL, public), allowed(tmp_path, key), NOW)


@pytest.mark.parametrize("how", ["confirm", "stopped", "empty", "none"])
def test_an_agent_that_does_not_sign_is_told(key: Path, tmp_path: Path, agent: int, how: str) -> None:
    """It asks somebody for each use and nobody is there; it was stopped; it has no such key: its reason, and no signature."""
    (tmp_path / "away").mkdir()
    public = Path(shutil.copy(key.with_name("key.pub"), tmp_path / "away" / "key.pub"))
    if how == "confirm":
        add(key, "-c")
    elif how == "stopped":
        add(key)
        os.kill(agent, signal.SIGTERM)
        os.waitid(os.P_PID, agent, os.WEXITED | os.WNOWAIT)
    elif how == "none":
        os.environ["SSH_AUTH_SOCK"] = ""
    said = "agent refused operation" if how == "confirm" else "No private key found for public key"
    with pytest.raises(EvidenceError, match=f"does not sign with {public}: .*{said}"):
        sign(SEAL, public)


def test_a_locked_key_is_told_and_nobody_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an agent a key with a passphrase signs nothing; no program is started that would ask for it."""
    asked = tmp_path / "asked"
    program = tmp_path / "askpass"
    program.write_text(f"#!/bin/sh\ntouch {asked}\necho secret\n")
    program.chmod(0o700)
    for name, value in {"SSH_ASKPASS": str(program), "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": ":0"}.items():
        monkeypatch.setenv(name, value)
    locked = new_key(tmp_path, passphrase="secret")
    with pytest.raises(EvidenceError, match=f"is locked by a passphrase, and no agent holds it; .* ssh-add {locked}"):
        sign(SEAL, locked)
    assert not asked.exists()


def test_a_passphrase_is_never_read_from_the_seal(tmp_path: Path) -> None:
    """ssh-keygen reads its passphrase from where the seal comes from; one that fits would leave the rest of the seal signed."""
    locked = new_key(tmp_path, passphrase="harvester seal 1")
    with pytest.raises(EvidenceError, match="it is no signature of this seal"):
        sign(SEAL, locked)


def test_a_key_that_others_can_read_is_refused_by_ssh_keygen(key: Path) -> None:
    """Its reason is told in one line, without its frame of at signs."""
    key.chmod(0o644)
    with pytest.raises(EvidenceError, match="too open") as error:
        sign(SEAL, key)
    assert "@" not in str(error.value)
    assert str(error.value).isprintable()


def test_a_key_that_does_not_answer_is_waited_for_so_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A security key that nobody touches, an agent that hangs: the deadline ends it."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "ssh-keygen"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    with pytest.raises(EvidenceError, match=r"did not end within 0\.05 seconds"):
        sign(SEAL, tmp_path / "key", deadline_seconds=0.05)


def test_without_ssh_keygen_nothing_is_signed(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence says what is missing and where it comes from."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(EvidenceError, match="ssh-keygen is not installed; it comes with OpenSSH"):
        sign(SEAL, key)


def test_our_own_key_is_not_handed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is started for a signature has no use for the API's key, and does not get it."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "ssh-keygen"
    program.write_text(f"#!/bin/sh\nenv > {tmp_path / 'environment'}\nexit 1\n")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("HARVESTER_API_KEY", "the-key")
    with pytest.raises(EvidenceError, match="exit code 1, without a word"):
        sign(SEAL, tmp_path / "key")
    assert "the-key" not in (tmp_path / "environment").read_text()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            'namespaces="git"',
            "does not let archive@example.com sign seals: .*not permitted for use in signature namespace",
        ),
        ('valid-before="20200101"', "lists no signer with ED25519 key SHA256:.*key has expired"),
        ("nonsense", "lists no signer"),
    ],
)
def test_a_signer_who_is_not_allowed_is_told(key: Path, tmp_path: Path, options: str, said: str) -> None:
    """A key that may sign something else, has expired, or stands in a line that cannot be read: none of them is taken."""
    with pytest.raises(EvidenceError, match=said):
        check(SEAL, sign(SEAL, key), allowed(tmp_path, key, options), NOW)


def test_a_key_must_have_been_valid_when_it_signed(key: Path, tmp_path: Path) -> None:
    """The instant is that of the stamp or seal: a key that was withdrawn later has still signed what it signed."""
    signers = allowed(tmp_path, key, 'valid-before="20200101"')
    assert check(SEAL, sign(SEAL, key), signers, dt.datetime(2019, 6, 1, tzinfo=dt.UTC))


def test_an_unknown_signer_is_told(key: Path, tmp_path: Path) -> None:
    """A good signature by a key that the file does not list: the sentence names the key, so that its owner can be asked."""
    signature = sign(SEAL, key)
    stranger = new_key(tmp_path, "other")
    with pytest.raises(EvidenceError, match=r"allowed_signers lists no signer with ED25519 key SHA256:"):
        check(SEAL, signature, allowed(tmp_path, stranger), NOW)
    with pytest.raises(EvidenceError, match="cannot be read: No such file"):
        check(SEAL, signature, tmp_path / "nowhere", NOW)


def test_a_signature_holds_for_its_bytes_alone(key: Path, tmp_path: Path) -> None:
    """Another byte of the seal, of the signature, another namespace, or nonsense: it is no signature of this seal."""
    signature = sign(SEAL, key)
    (tmp_path / "seal.txt").write_bytes(SEAL)
    line = ["ssh-keygen", "-Y", "sign", "-n", "file", "-f", str(key), str(tmp_path / "seal.txt")]
    subprocess.run(line, check=True, capture_output=True)
    other = (tmp_path / "seal.txt.sig").read_bytes()
    flipped = signature.replace(signature[200:204], bytes(reversed(signature[200:204])))
    for data, each in ((SEAL + b"\n", signature), (SEAL, flipped), (SEAL, other), (SEAL, b""), (SEAL, b"\0" * 20_000)):
        with pytest.raises(EvidenceError, match="it is no"):
            check(data, each, allowed(tmp_path, key), NOW)


def test_a_key_file_that_is_none_is_told_first(key: Path, tmp_path: Path) -> None:
    """Before a run begins: one that is not there, and one that holds something else; a public key passes."""
    require_key(key)
    require_key(key.with_name("key.pub"))
    with pytest.raises(ConfigError, match=r"seal_ssh_key: the key .*nowhere cannot be read: No such file"):
        require_key(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        require_key(tmp_path)
    (tmp_path / "letter").write_text("Dear Sir,")
    with pytest.raises(ConfigError, match="letter holds no SSH key; name a private key"):
        require_key(tmp_path / "letter")
