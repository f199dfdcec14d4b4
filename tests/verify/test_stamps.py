"""Stamps are held against their seals and against the authorities that the verifier trusts, as of the stamp's own time."""

import importlib.util
import os
import shutil
from pathlib import Path

import pytest

from harvester.archive.layout import SEAL, SIGNATURE, STAMP, STAMP_CHAIN, run_key
from harvester.archive.seal import make_seal, seal_text
from harvester.errors import ConfigError
from harvester.evidence.signature import sign
from harvester.evidence.stamp import check_stamp, query_for
from harvester.verify.archive import verify
from harvester.verify.findings import Verification
from harvester.verify.witnesses import Witnesses, witnesses_of
from tests.archive.sites import Site, copied, flip_bit
from tests.evidence.test_signature import allowed, new_key
from tests.evidence.tsa import Authority
from tests.verify.damage import found, runs

pytestmark = pytest.mark.skipif(
    not shutil.which("openssl") or importlib.util.find_spec("rfc3161_client") is None,
    reason="needs openssl and rfc3161-client",
)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority of this test's own."""
    return Authority(tmp_path_factory.mktemp("authorities") / "tsa")


def stamp_run(root: Path, nth: int, authority: Authority, *, at: str = "") -> str:
    """Stamp the seal of a run, or its signature where it has one, as a run does; return the key of the stamp."""
    run_id = runs(root)[nth]
    seal = (root / run_key(run_id, SEAL)).read_bytes()
    signed = root / run_key(run_id, SIGNATURE)
    signature = signed.read_bytes() if signed.exists() else None
    answer = authority.stamp(query_for(signature or seal).der, at=at)
    (root / run_key(run_id, STAMP)).write_bytes(answer)
    stamp = check_stamp(answer, seal, signature, authority.root)
    (root / run_key(run_id, STAMP_CHAIN)).write_bytes(stamp.chain_pem)
    return run_key(run_id, STAMP)


def trusting(authority: Authority) -> Witnesses:
    """Bring the root of an authority."""
    return witnesses_of(seals=None, allowed_signers=None, tsa_ca=str(authority.root))


def the_finding(result: Verification) -> tuple[str, str]:
    """Kind and path of the only finding."""
    (finding,) = result.findings
    return finding.kind, finding.path


def test_a_stamp_tells_when_a_key_must_have_been_valid(root: Path, authority: Authority, tmp_path: Path) -> None:
    """Whoever has stolen a key can date a seal back; a stamp that holds tells when it was there: a key must be valid then.

    Without a root that the verifier trusts the stamp tells nothing, and the seal's own time counts.
    """
    key = new_key(tmp_path)
    for run_id in runs(root):
        data = seal_text(make_seal(root, run_id, sealed_at="2025-06-01T02:00:00.000Z"))
        (root / run_key(run_id, SEAL)).write_bytes(data)
        (root / run_key(run_id, SIGNATURE)).write_bytes(sign(data, key))
    newest = run_key(runs(root)[-1], SIGNATURE)
    stamp_run(root, -1, authority)
    signers = str(allowed(tmp_path, key, 'valid-before="20250701"'))
    alone = verify(root, witnesses=witnesses_of(seals=None, allowed_signers=signers, tsa_ca=None))
    assert (alone.findings, alone.signed, alone.stamped) == ([], 2, 1)
    both = verify(root, witnesses=witnesses_of(seals=None, allowed_signers=signers, tsa_ca=str(authority.root)))
    assert (the_finding(both), both.signed, both.stamped) == (("signature", newest), 1, 1)


def test_stamps_of_a_trusted_authority_hold(root: Path, authority: Authority) -> None:
    """It is said how many there are, whose, and of which days; a seal that is not stamped yet is a note."""
    stamp_run(root, 0, authority)
    result = verify(root, witnesses=trusting(authority))
    assert (result.findings, result.stamped) == ([], 1)
    assert result.notes[0].startswith("stamped by CN=TSA,O=Stamps, an authority in ")
    assert result.notes[1].startswith("not stamped: 1 of 2 seals: pending")


def test_a_stamp_without_a_root_is_shown_to_belong_to_its_seal(root: Path, authority: Authority) -> None:
    """Nobody on this machine knows the authority: that is said, and what to bring."""
    stamp_run(root, 1, authority)
    result = verify(root)
    assert (result.findings, result.stamped) == ([], 1)
    assert "stamped by CN=TSA,O=Stamps, for which nobody vouches here: bring its root, as --tsa-ca" in result.notes[0]


def test_a_stamp_of_an_authority_that_is_not_trusted_is_found(root: Path, authority: Authority, tmp_path: Path) -> None:
    """The verifier brings the root of another one."""
    stamp = stamp_run(root, 1, authority)
    other = Authority(tmp_path / "other")
    assert the_finding(verify(root, witnesses=trusting(other))) == ("stamp", stamp)


@pytest.mark.parametrize("brings", [False, True])
def test_the_stamp_of_another_seal_is_found(root: Path, authority: Authority, brings: bool) -> None:
    """A good stamp, copied from another run with its chain."""
    first, second = (stamp_run(root, nth, authority) for nth in (0, 1))
    shutil.copy(root / first, root / second)
    result = verify(root, witnesses=trusting(authority) if brings else None)
    assert the_finding(result) == ("stamp", second)
    assert "over another hash" in result.findings[0].found


@pytest.mark.parametrize("brings", [False, True])
def test_a_stamp_that_is_nonsense_is_found(root: Path, authority: Authority, brings: bool) -> None:
    """Whatever lies under its name."""
    stamp = stamp_run(root, 1, authority)
    (root / stamp).write_bytes(b"<html>Welcome!</html>")
    result = verify(root, witnesses=trusting(authority) if brings else None)
    assert the_finding(result) == ("stamp", stamp)


@pytest.mark.parametrize("brings", [False, True])
def test_any_flipped_bit_of_a_chain_is_found(root: Path, authority: Authority, brings: bool) -> None:
    """The certificates that lie beside a stamp are those of the stamp, to the bit."""
    stamp_run(root, 1, authority)
    chain = run_key(runs(root)[1], STAMP_CHAIN)
    size_bytes = (root / chain).stat().st_size
    in_the_roots_signature = [size_bytes - back for back in (30, 60, 90)]
    for at in [*range(0, size_bytes, size_bytes // 12), *in_the_roots_signature]:
        flip_bit(root / chain, at, at % 7)
        result = verify(root, witnesses=trusting(authority) if brings else None)
        assert result.findings, at
        assert brings is False or the_finding(result) == ("stamp", chain)
        flip_bit(root / chain, at, at % 7)


def test_a_chain_that_is_gone_is_found(root: Path, authority: Authority) -> None:
    """A stamp and its certificates belong together."""
    stamp_run(root, 1, authority)
    chain = run_key(runs(root)[1], STAMP_CHAIN)
    (root / chain).unlink()
    assert the_finding(verify(root, witnesses=trusting(authority))) == ("missing", chain)
    os.mkfifo(root / chain)
    assert ("stamp", chain) in found(verify(root, witnesses=trusting(authority))), "and a pipe keeps nobody waiting"


@pytest.mark.skipif(not shutil.which("faketime"), reason="faketime is missing")
def test_a_stamp_is_looked_at_as_of_its_own_time(root: Path, tmp_path: Path) -> None:
    """The authority's certificate is not good today; the stamp was made on the one day on which it is."""
    authority = Authority(tmp_path / "old")
    authority.certify("-days 1", at="2029-03-01 12:00:00")
    stamp_run(root, 1, authority, at="2029-03-01 13:00:00")
    for witnesses in (trusting(authority), None):
        assert verify(root, witnesses=witnesses).findings == []


def test_a_key_must_have_been_valid_when_its_seal_was_stamped(root: Path, authority: Authority, tmp_path: Path) -> None:
    """A stamp over the signature says when that was there; the seal's own word about its time does not count then."""
    key = new_key(tmp_path)
    run_id = runs(root)[1]
    (root / run_key(run_id, SIGNATURE)).write_bytes(sign((root / run_key(run_id, SEAL)).read_bytes(), key))
    stamp_run(root, 1, authority)
    good, late = ('valid-before="20990101"', 'valid-after="20990101"')
    for options, findings in ((good, 0), (late, 1)):
        witnesses = witnesses_of(
            seals=None, allowed_signers=str(allowed(tmp_path, key, options)), tsa_ca=str(authority.root)
        )
        assert len(verify(root, witnesses=witnesses).findings) == findings


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_a_file_of_authorities_that_is_none_is_told(tmp_path: Path, content: str | None) -> None:
    """Absent, empty, or something else: a ConfigError that names the flag and the file."""
    path = tmp_path / "roots.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=f"--tsa-ca: .*{path}"):
        witnesses_of(seals=None, allowed_signers=None, tsa_ca=str(path))


def test_a_copy_with_its_evidence_verifies_the_same(root: Path, authority: Authority, tmp_path: Path) -> None:
    """Seal, signature, stamp and chain stand in no manifest, and none of them is unexpected."""
    stamp_run(root, 0, authority)
    assert verify(copied(_site_of(root), tmp_path / "again"), witnesses=trusting(authority)).findings == []


def _site_of(root: Path) -> Site:
    """Return what `copied` wants to know of an archive."""
    site = Site.__new__(Site)
    site.root = root
    return site
