"""Stamps, with a real authority: what holds is taken, and nothing else; OpenSSL says the same."""

import asyncio
import datetime as dt
import shutil
from pathlib import Path

import pytest

from harvester.errors import ConfigError, EvidenceError
from harvester.evidence.authority import ask
from harvester.evidence.stamp import check_stamp, query_for, require_extra, require_roots
from tests.evidence.tsa import Authority, broken_name, openssl_accepts

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is missing")

SEAL = b"harvester seal 1\nrun: 20261126T020000Z-9f3c2a1b\n"
SIGNATURE = b"-----BEGIN SSH SIGNATURE-----\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return an authority whose answers bring its own certificate alone."""
    return Authority(tmp_path_factory.mktemp("tsa") / "it")


def stamped(authority: Authority, data: bytes, *, at: str = "") -> tuple[bytes, int | None]:
    """Return an answer to a query about some bytes, and the query's nonce."""
    query = query_for(data)
    return authority.stamp(query.der, at=at), query.nonce


@pytest.mark.parametrize("certs", [False, True])
def test_a_stamp_tells_when_and_who(tmp_path: Path, certs: bool) -> None:
    """Time, authority and chain are the token's; one whose certificates OpenSSL left in another order than DER's is read too."""
    authority = Authority(tmp_path / "tsa", certs=certs)
    answer, nonce = stamped(authority, SIGNATURE)
    stamp = check_stamp(answer, SEAL, SIGNATURE, authority.root, nonce=nonce)
    assert abs(dt.datetime.now(dt.UTC) - stamp.at) < dt.timedelta(minutes=1)
    assert (stamp.authority, stamp.over_signature) == ("CN=TSA,O=Stamps", True)
    assert stamp.chain_pem.count(b"BEGIN CERTIFICATE") == 2
    assert stamp.chain_pem.endswith(authority.root.read_bytes())
    (tmp_path / "data").write_bytes(SIGNATURE)
    (tmp_path / "it.tsr").write_bytes(answer)
    (tmp_path / "chain.pem").write_bytes(stamp.chain_pem)
    assert openssl_accepts(tmp_path / "data", tmp_path / "it.tsr", authority.root, tmp_path / "chain.pem")


def test_a_stamp_is_over_the_signature_or_over_the_seal(authority: Authority) -> None:
    """Which of them is told; a stamp over anything else is none of this seal."""
    answer, _ = stamped(authority, SEAL)
    assert not check_stamp(answer, SEAL, None, authority.root).over_signature
    assert not check_stamp(answer, SEAL, SIGNATURE, authority.root).over_signature
    with pytest.raises(EvidenceError, match="over another hash than that of this seal or its signature"):
        check_stamp(answer, SEAL + b"x", SIGNATURE, authority.root)


def test_a_stamp_for_another_question_is_refused(authority: Authority) -> None:
    """The nonce ties an answer to its question: an old one is not taken again."""
    answer, _ = stamped(authority, SEAL)
    with pytest.raises(EvidenceError, match="answers another question"):
        check_stamp(answer, SEAL, None, authority.root, nonce=7)


def test_an_authority_that_nobody_trusts_is_refused(authority: Authority, tmp_path: Path) -> None:
    """The chain must lead to a root of the file, or of this machine; the sentence says whose root is wanted."""
    answer, _ = stamped(authority, SEAL)
    other = Authority(tmp_path / "other")
    with pytest.raises(EvidenceError, match=r"\(CN=Root\) lead to no authority in .*root\.pem .* seal_tsa_ca"):
        check_stamp(answer, SEAL, None, other.root)
    with pytest.raises(
        EvidenceError, match=r"lead to no authority that this machine trusts|this machine trusts no authority"
    ):
        check_stamp(answer, SEAL, None, None)


@pytest.mark.skipif(not shutil.which("faketime"), reason="faketime is missing")
def test_a_stamp_outlives_its_certificate(tmp_path: Path) -> None:
    """A chain that was good at the token's own time is good, though the authority's certificate has expired since."""
    authority = Authority(tmp_path / "tsa")
    then = "2027-03-01 12:00:00"
    authority.certify("-days 2", at=then)
    answer, _ = stamped(authority, SEAL, at=then)
    assert check_stamp(answer, SEAL, None, authority.root).at.date() == dt.date(2027, 3, 1)
    late, _ = stamped(authority, SEAL, at="2027-03-09 12:00:00")
    with pytest.raises(EvidenceError, match="expired"):
        check_stamp(late, SEAL, None, authority.root)
    (tmp_path / "data").write_bytes(SEAL)
    (tmp_path / "it.tsr").write_bytes(answer)
    arguments = (tmp_path / "data", tmp_path / "it.tsr", authority.root)
    assert not openssl_accepts(*arguments, at=dt.datetime(2027, 3, 9, tzinfo=dt.UTC))
    assert openssl_accepts(*arguments, at=dt.datetime(2027, 3, 1, 13, tzinfo=dt.UTC))


def test_a_refusal_is_told_in_the_authoritys_words(tmp_path: Path) -> None:
    """An answer that says no is no stamp, and the reason is the one it gives."""
    authority = Authority(tmp_path / "tsa")
    authority.refuse_sha256()
    answer, _ = stamped(authority, SEAL)
    with pytest.raises(EvidenceError, match=r"refuses to stamp: status 2 \(Message digest algorithm is not supported"):
        check_stamp(answer, SEAL, None, authority.root)


@pytest.mark.parametrize(
    "answer", [b"", b"\x30", b"\x30\x03\x02\x01\x00", b"\x30\x84\xff\xff\xff\xff", b"<html>", b"\0" * 300_000]
)
def test_nonsense_is_no_stamp(authority: Authority, answer: bytes) -> None:
    """Whatever comes instead of an answer is an EvidenceError, and never another one."""
    with pytest.raises(EvidenceError, match="it is no stamp"):
        check_stamp(answer, SEAL, None, authority.root)


def test_an_answer_with_a_flipped_bit_is_refused_or_says_the_same(tmp_path: Path) -> None:
    """Anywhere in it: it is an EvidenceError, or what it says is untouched (no signature covers every certificate)."""
    authority = Authority(tmp_path / "tsa", certs=True)
    answer, _ = stamped(authority, SEAL)
    whole = check_stamp(answer, SEAL, None, authority.root)
    for at in range(0, len(answer), 3):
        flipped = answer[:at] + bytes([answer[at] ^ 1 << at % 8]) + answer[at + 1 :]
        try:
            stamp = check_stamp(flipped, SEAL, None, authority.root)
        except EvidenceError:
            continue
        assert (stamp.at, stamp.authority) == (whole.at, whole.authority), at


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("500", "answers with HTTP status 500"),
        ("redirect", "a redirect to https://elsewhere.example/tsa, which is not followed"),
        ("endless", "sends more than 262,144 bytes"),
        ("silent", "has not answered within 0.2 seconds"),
        ("cut", "the exchange failed"),
    ],
)
async def test_an_authority_that_does_not_answer_is_told(authority: Authority, answer: str, said: str) -> None:
    """A status, a redirect, too much, silence, a broken connection: one sentence each, with the address and without its query."""
    async with authority.served():
        authority.answer = answer
        with pytest.raises(EvidenceError) as error:
            await ask(
                f"{authority.url}?token=secret", query_for(SEAL).der, deadline_seconds=0.2 if answer == "silent" else 20
            )
    authority.answer = "stamp"
    assert said in str(error.value)
    assert authority.url in str(error.value)
    assert "secret" not in str(error.value)


async def test_an_authority_that_is_down_is_told() -> None:
    """Nobody listens there, or there is no such name: a sentence."""
    with pytest.raises(EvidenceError, match=r"127\.0\.0\.1:1/tsa cannot be reached: Connection refused"):
        await ask("http://127.0.0.1:1/tsa", b"")
    with pytest.raises(EvidenceError, match="cannot be reached: its name cannot be found"):
        await ask("http://tsa.invalid/", b"")


async def test_an_authority_gets_a_hash_and_nothing_else(authority: Authority) -> None:
    """The query holds the SHA-256 of the bytes; the answer is as it was sent, and holds."""
    async with authority.served():
        query = query_for(SEAL)
        answer = await ask(authority.url, query.der)
    assert authority.asked[-1] == query.der
    assert b"harvester" not in query.der
    assert await asyncio.to_thread(check_stamp, answer, SEAL, None, authority.root, nonce=query.nonce)


def test_a_file_of_authorities_that_is_none_is_told_first(tmp_path: Path) -> None:
    """Before a run begins: a file that is not there, or holds no certificates."""
    require_extra()
    with pytest.raises(ConfigError, match=r"seal_tsa_ca: the file of authorities .* cannot be read: No such file"):
        require_roots(tmp_path / "none.pem")
    (tmp_path / "text.pem").write_text("hello")
    with pytest.raises(ConfigError, match=r"text\.pem holds no certificates in PEM"):
        require_roots(tmp_path / "text.pem")


def test_a_root_that_nobody_can_read_is_refused(authority: Authority, tmp_path: Path) -> None:
    """Before a run begins, and where a stamp is checked: what checks it would give up, and end the process."""
    (tmp_path / "broken.pem").write_bytes(broken_name(authority.root.read_bytes()))
    with pytest.raises(ConfigError, match=r"seal_tsa_ca: .*broken\.pem holds a certificate that cannot be read"):
        require_roots(tmp_path / "broken.pem")
    answer = authority.stamp(query_for(SEAL).der)
    assert check_stamp(answer, SEAL, None, authority.root)
    with pytest.raises(EvidenceError, match="holds a certificate that cannot be read"):
        check_stamp(answer, SEAL, None, tmp_path / "broken.pem")
