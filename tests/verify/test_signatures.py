"""Signatures are held against the signers that the verifier brings, by ssh-keygen itself; what nobody vouches for is said."""

import shutil
from pathlib import Path

import pytest

from harvester.archive.layout import SEAL, SIGNATURE, run_key
from harvester.errors import ConfigError
from harvester.evidence.signature import sign
from harvester.verify.archive import verify
from harvester.verify.findings import Verification
from harvester.verify.witnesses import Witnesses, witnesses_of
from tests.archive.sites import flip_bit
from tests.evidence.test_signature import allowed, new_key
from tests.verify.damage import runs

pytestmark = pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="ssh-keygen is missing")

OLD = 'valid-before="20200101"'


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """Return a key without a passphrase."""
    return new_key(tmp_path)


def sign_run(root: Path, nth: int, key: Path) -> str:
    """Sign the seal of a run; return the key of its signature."""
    run_id = runs(root)[nth]
    signature = run_key(run_id, SIGNATURE)
    (root / signature).write_bytes(sign((root / run_key(run_id, SEAL)).read_bytes(), key))
    return signature


def by(signers: Path) -> Witnesses:
    """Bring an allowed_signers file."""
    return witnesses_of(seals=None, allowed_signers=str(signers), tsa_ca=None)


def the_finding(result: Verification) -> tuple[str, str, str, str]:
    """Kind, path, expected, found of the only finding."""
    (finding,) = result.findings
    return finding.kind, finding.path, finding.expected, finding.found


def test_signatures_of_a_signer_on_the_list_hold(root: Path, key: Path, tmp_path: Path) -> None:
    """Both seals are signed by one who may: no finding, and it is said who, with which key, on whose word."""
    for nth in (0, 1):
        sign_run(root, nth, key)
    signers = allowed(tmp_path, key, 'namespaces="harvester-seal"')
    result = verify(root, witnesses=by(signers))
    assert (result.findings, result.signed) == ([], 2)
    (note,) = result.notes
    assert note.startswith("signed by archive@example.com (ED25519 key SHA256:")
    assert note.endswith(f", as {signers} allows: 2 of 2 seals")


def test_a_signature_without_a_list_is_shown_to_be_one(root: Path, key: Path) -> None:
    """It is of this seal, by this key; that nobody vouches for the key is said, and what to bring."""
    sign_run(root, 1, key)
    result = verify(root)
    assert (result.findings, result.signed) == ([], 1)
    (note,) = result.notes
    assert note.startswith("signed by ED25519 key SHA256:")
    assert "nobody vouches here: bring an allowed_signers file" in note
    assert note.endswith(": 1 of 2 seals")


@pytest.mark.parametrize("brings", [False, True])
def test_a_signature_with_a_flipped_bit_is_found(root: Path, key: Path, tmp_path: Path, brings: bool) -> None:
    """With the list and without: the finding names the signature."""
    signature = sign_run(root, 1, key)
    flip_bit(root / signature, 150)
    result = verify(root, witnesses=by(allowed(tmp_path, key)) if brings else None)
    kind, path, expected, found = the_finding(result)
    assert (kind, path, expected) == ("signature", signature, "a signature of this seal")
    assert found.startswith("it is no signature of this seal: ")


def test_the_signature_of_another_seal_is_found(root: Path, key: Path, tmp_path: Path) -> None:
    """A good signature that was copied from another run."""
    first, second = (sign_run(root, nth, key) for nth in (0, 1))
    shutil.copy(root / first, root / second)
    assert the_finding(verify(root, witnesses=by(allowed(tmp_path, key))))[:3] == (
        "signature",
        second,
        "a signature of this seal",
    )


def test_a_signer_who_is_not_on_the_list_is_found(root: Path, key: Path, tmp_path: Path) -> None:
    """The signature is good, and its key is nobody's whom the verifier knows."""
    signature = sign_run(root, 1, new_key(tmp_path, "thief"))
    signers = allowed(tmp_path, key)
    kind, path, expected, found = the_finding(verify(root, witnesses=by(signers)))
    assert (kind, path) == ("signature", signature)
    assert expected == f"a signature by a signer that {signers} allows"
    assert f"{signers} lists no signer with ED25519 key SHA256:" in found


@pytest.mark.parametrize("options", ['namespaces="git"', 'valid-before="20200101"'])
def test_a_signer_who_may_not_sign_seals_is_found(root: Path, key: Path, tmp_path: Path, options: str) -> None:
    """A key that is on the list for something else, or was no longer valid when the seal was made."""
    signature = sign_run(root, 1, key)
    kind, path, expected, _ = the_finding(verify(root, witnesses=by(allowed(tmp_path, key, options))))
    assert (kind, path) == ("signature", signature)
    assert "a signature by a signer that" in expected


def test_unsigned_seals_under_a_signed_one_are_a_note(root: Path, key: Path, tmp_path: Path) -> None:
    """The chain under the signed seal covers them."""
    sign_run(root, 1, key)
    result = verify(root, witnesses=by(allowed(tmp_path, key)))
    assert result.findings == []
    assert any(note.startswith("not signed: 1 of 2 seals; the chain under") for note in result.notes)


def test_unsigned_seals_that_no_signed_one_follows_are_found(root: Path, key: Path, tmp_path: Path) -> None:
    """Who brings a list wants somebody to stand behind the newest run; one finding tells how many have nobody."""
    signers = allowed(tmp_path, key)
    missing = run_key(runs(root)[1], SIGNATURE)
    kind, path, expected, found = the_finding(verify(root, witnesses=by(signers)))
    assert (kind, path, found) == ("signature", missing, "no file; 2 of 2 seals have nobody who stands behind them")
    assert expected == f"a signature by a signer that {signers} allows, on this seal or a later one"
    sign_run(root, 0, key)
    assert the_finding(verify(root, witnesses=by(signers)))[1:2] == (missing,)
    assert verify(root).findings == []


def test_without_ssh_keygen_signatures_are_a_note(
    root: Path, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who brings no list is told that nobody has looked; who brings one cannot have it checked: ConfigError."""
    sign_run(root, 1, key)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    result = verify(root)
    assert result.findings == []
    assert "ssh-keygen is not installed" in result.notes[0]
    with pytest.raises(ConfigError, match=r"--allowed-signers: ssh-keygen is not installed"):
        by(allowed(tmp_path, key))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file"),
        ("", "lists nobody"),
        ("# nobody yet\n\n", "lists nobody"),
        ("archive@example.com\n", "lists nobody"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n", "lists nobody"),
        ("\0\xff" * 100, "lists nobody"),
    ],
)
def test_a_file_of_signers_that_is_none_is_told(tmp_path: Path, content: str | None, said: str) -> None:
    """Absent, empty, comments alone, a name without a key, a private key, noise: a ConfigError that names the file."""
    path = tmp_path / "signers"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=f"--allowed-signers: .*{path}.*{said}"):
        by(path)


def test_a_folder_is_no_file_of_signers(tmp_path: Path) -> None:
    """A folder, or an empty name: told as that."""
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        by(tmp_path)
    with pytest.raises(ConfigError, match=r"--allowed-signers: ' ' is not a path"):
        witnesses_of(seals=None, allowed_signers=" ", tsa_ca=None)
