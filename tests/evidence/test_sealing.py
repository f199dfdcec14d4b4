"""Seals that are signed and stamped when their runs close, or later; what cannot be made is said and waits, and ends nothing."""

import re
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from harvester.archive.layout import LEDGER, MANIFEST, SEAL, SIGNATURE, STAMP, STAMP_CHAIN, run_key
from harvester.archive.seal import make_seal, seal_text
from harvester.errors import ConfigError
from harvester.evidence import sealing
from harvester.evidence.sealing import Vouchers, require, vouch
from harvester.evidence.signature import check_novalidate, sign
from harvester.evidence.stamp import check_stamp
from harvester.verify.archive import verify
from tests.archive.sites import Site, call, flip_bit
from tests.evidence.test_signature import new_key
from tests.evidence.tsa import Authority, openssl_accepts

pytestmark = pytest.mark.skipif(
    not (shutil.which("openssl") and shutil.which("ssh-keygen")), reason="openssl or ssh-keygen is missing"
)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Return an archive of the test's own."""
    return Site(tmp_path)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """Return a key without a passphrase."""
    return new_key(tmp_path)


@pytest.fixture
async def authority(tmp_path: Path) -> AsyncIterator[Authority]:
    """Serve an authority of the test's own."""
    async with Authority(tmp_path / "tsa").served() as authority:
        yield authority


def beside(site: Site, run_id: str) -> set[str]:
    """Return what lies beside the seal of a run."""
    return {path.name for path in (site.root / "runs" / run_id).iterdir()} - {LEDGER, MANIFEST, "run.json", SEAL}


def read(site: Site, run_id: str, name: str) -> bytes:
    """Return a file of a run."""
    return (site.root / run_key(run_id, name)).read_bytes()


async def test_a_seal_is_signed_and_its_signature_stamped(site: Site, key: Path, authority: Authority) -> None:
    """Signature, stamp and chain lie beside the seal; OpenSSL and ssh-keygen accept them, and `verify` finds nothing odd."""
    run_id = await site.saved(call(1))
    vouchers = Vouchers(ssh_key=key, tsa_url=authority.url, tsa_ca=authority.root)
    require(vouchers)
    vouched = await vouch(site.root, run_id, vouchers)
    assert (vouched.missing, vouched.signed, vouched.stamped, vouched.waiting) == ([], 1, 1, 0)
    assert [each.split(" at ")[0].split(" SHA256")[0] for each in vouched.newest] == [
        "signed by ED25519 key",
        "stamped by CN=TSA,O=Stamps",
    ]
    assert beside(site, run_id) == {SIGNATURE, STAMP, STAMP_CHAIN}
    assert check_novalidate(read(site, run_id, SEAL), read(site, run_id, SIGNATURE))
    files = [site.root / run_key(run_id, name) for name in (SIGNATURE, STAMP, STAMP_CHAIN)]
    assert openssl_accepts(files[0], files[1], authority.root, files[2])
    result = verify(site.root)
    assert (result.findings, result.signed, result.stamped) == ([], 1, 1)


async def test_a_seal_without_a_signature_is_stamped_itself(site: Site, authority: Authority) -> None:
    """Without a key the stamp is over the seal."""
    run_id = await site.saved(call(1))
    vouched = await vouch(site.root, run_id, Vouchers(tsa_url=authority.url, tsa_ca=authority.root))
    assert vouched.missing == []
    seal, stamp = (site.root / run_key(run_id, name) for name in (SEAL, STAMP))
    assert openssl_accepts(seal, stamp, authority.root)


async def test_a_signature_that_comes_later_leaves_the_stamp_as_it_is(
    site: Site, key: Path, tmp_path: Path, authority: Authority
) -> None:
    """A locked key keeps no stamp waiting: it is over the seal, and stays; the signature is made by the next run."""
    run_id = await site.saved(call(1))
    locked = new_key(tmp_path, "locked", "secret")
    vouched = await vouch(site.root, run_id, Vouchers(ssh_key=locked, tsa_url=authority.url, tsa_ca=authority.root))
    assert (len(vouched.missing), beside(site, run_id)) == (1, {STAMP, STAMP_CHAIN})
    assert f"the seal of the run {run_id} is not signed: the key {locked} is locked" in vouched.missing[0]
    stamp = read(site, run_id, STAMP)
    later = await site.saved(call(2))
    vouched = await vouch(site.root, later, Vouchers(ssh_key=key, tsa_url=authority.url, tsa_ca=authority.root))
    assert (vouched.missing, vouched.signed, vouched.stamped) == ([], 2, 1)
    assert read(site, run_id, STAMP) == stamp
    told = check_stamp(stamp, read(site, run_id, SEAL), read(site, run_id, SIGNATURE), authority.root)
    assert not told.over_signature


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("500", "answers with HTTP status 500"),
        ("nonsense", "it is no stamp"),
        ("redirect", "which is not followed"),
        ("endless", "sends more than"),
        ("cut", "the exchange failed"),
        ("refusal", "refuses to stamp: status 2"),
        ("another question", "another hash than that of this seal"),
        ("an old answer", "answers another question"),
        ("another root", "lead to no authority in"),
    ],
)
async def test_a_stamp_that_cannot_be_had_waits_for_the_next_run(
    site: Site, authority: Authority, tmp_path: Path, answer: str, said: str
) -> None:
    """Whatever an authority answers instead of a stamp, none of it is kept; the next run has both stamps made."""
    first = await site.saved(call(1))
    root = authority.root
    if answer == "refusal":
        authority.refuse_sha256()
    elif answer == "another root":
        root = Authority(tmp_path / "other").root
    elif answer == "an old answer":  # for the same bytes, as somebody on the way could play it again
        await vouch(site.root, first, Vouchers(tsa_url=authority.url, tsa_ca=root))
        (site.root / run_key(first, STAMP)).unlink()
        (site.root / run_key(first, STAMP_CHAIN)).unlink()
        authority.answer = "another question"
    elif answer == "another question":
        other = await site.saved(call(7))
        await vouch(site.root, other, Vouchers(tsa_url=authority.url, tsa_ca=root))
        (site.root / run_key(first, STAMP)).unlink()
        (site.root / run_key(first, STAMP_CHAIN)).unlink()
        authority.answer = answer
    else:
        authority.answer = answer
    asked = len(authority.asked)
    vouched = await vouch(site.root, first, Vouchers(tsa_url=authority.url, tsa_ca=root))
    assert (len(vouched.missing), vouched.stamped, beside(site, first)) == (1, 0, set())
    assert f"the seal of the run {first} is not stamped" in vouched.missing[0]
    assert said in vouched.missing[0]
    assert len(authority.asked) == asked + 1
    authority.answer = "stamp"
    authority.answer_sha256()
    second = await site.saved(call(2))
    vouched = await vouch(site.root, second, Vouchers(tsa_url=authority.url, tsa_ca=authority.root))
    assert (vouched.missing, vouched.stamped) == ([], 2)
    assert beside(site, first) == beside(site, second) == {STAMP, STAMP_CHAIN}


async def test_an_authority_that_is_down_is_asked_once(site: Site, authority: Authority) -> None:
    """The first failure is the last try of a run, however many seals wait; the sentence counts them."""
    for number in range(3):
        newest = await site.saved(call(number))
    vouched = await vouch(site.root, newest, Vouchers(tsa_url="http://127.0.0.1:1/tsa", tsa_ca=authority.root))
    (sentence,) = vouched.missing
    assert f"{newest} is not stamped, nor are 2 that earlier runs have left: the authority" in sentence
    assert sentence.endswith("cannot be reached: Connection refused. The next run tries again")


@pytest.mark.parametrize("name", [LEDGER, MANIFEST, SEAL])
async def test_nobody_vouches_for_what_was_altered(site: Site, key: Path, authority: Authority, name: str) -> None:
    """A seal that waited and does not fit its run any more is neither signed nor stamped; those that fit are."""
    first = await site.saved(call(1))
    flip_bit(site.root / run_key(first, name), 60)
    second = await site.saved(call(2)) if name != LEDGER else first
    if name == LEDGER:
        second = "20991231T235959Z-00000000"  # a damaged chain lets no run begin; it is asked for another one
    vouched = await vouch(site.root, second, Vouchers(ssh_key=key, tsa_url=authority.url, tsa_ca=authority.root))
    assert len(vouched.missing) == 2
    assert all(f"the seal of the run {first} is not s" in each for each in vouched.missing)
    assert all("`harvester verify` tells more" in each for each in vouched.missing)
    assert beside(site, first) == set()
    assert authority.asked == [] or beside(site, second) == {SIGNATURE, STAMP, STAMP_CHAIN}


async def test_a_key_that_is_set_later_signs_earlier_seals_too(
    site: Site, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Newest first, and at most so many a run; the rest is counted and left for the next."""
    monkeypatch.setattr(sealing, "MOST_SIGNATURES", 2)
    runs = [await site.saved(call(number)) for number in range(4)]
    vouched = await vouch(site.root, runs[-1], Vouchers(ssh_key=key))
    assert (vouched.signed, vouched.waiting, vouched.missing) == (2, 2, [])
    assert [beside(site, run_id) for run_id in runs] == [set(), set(), {SIGNATURE}, {SIGNATURE}]
    runs.append(await site.saved(call(9)))
    vouched = await vouch(site.root, runs[-1], Vouchers(ssh_key=key), stopped=lambda: True)
    assert (vouched.signed, vouched.waiting) == (1, 2)


async def test_a_storage_that_takes_no_signature_is_told(site: Site, key: Path) -> None:
    """A folder that takes nothing more: the run is closed all the same, and the sentence is the storage's."""
    run_id = await site.saved(call(1))
    (site.root / run_key(run_id, f"{SIGNATURE}.part")).mkdir()
    vouched = await vouch(site.root, run_id, Vouchers(ssh_key=key))
    assert f"is not signed: cannot write {site.root / run_key(run_id, SIGNATURE)}.part" in vouched.missing[0]


async def test_without_vouchers_nothing_is_done(site: Site) -> None:
    """No key and no authority: no file, and not a word."""
    run_id = await site.saved(call(1))
    assert await vouch(site.root, run_id, Vouchers()) == sealing.Vouched()
    assert beside(site, run_id) == set()


def test_what_is_missing_is_told_before_a_run_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that is not there; an authority without the extra, with what to type."""
    with pytest.raises(ConfigError, match=r"seal_ssh_key: the key .* cannot be read"):
        require(Vouchers(ssh_key=tmp_path / "nowhere"))
    monkeypatch.setitem(sys.modules, "rfc3161_client", None)  # as Python blocks an import
    with pytest.raises(
        ConfigError, match=r"not installed; install it with: .*python.* -m pip install 'harvester\[stamp\]'"
    ):
        require(Vouchers(tsa_url="https://tsa.example.com"))


async def test_the_parts_of_a_crash_are_no_damage(site: Site, key: Path) -> None:
    """A crash while a signature was put in place leaves a part: `verify` takes it for what it is, and the next run clears it."""
    run_id = await site.saved(call(1))
    (site.root / run_key(run_id, f"{SIGNATURE}.part")).write_bytes(b"-----BEGIN")
    assert verify(site.root).findings == []
    await vouch(site.root, run_id, Vouchers(ssh_key=key))
    assert beside(site, run_id) == {SIGNATURE}


def shell_block(document: str, sentence: str) -> str:
    """Return the first shell commands behind a sentence of a page in docs/."""
    page = (Path(__file__).parents[2] / "docs" / document).read_text()
    (found,) = re.findall(re.escape(sentence) + r".*?```sh\n(.*?)```", page, re.DOTALL)
    return str(found)


async def shell(script: str, folder: Path) -> tuple[int, str]:
    """Run some shell in a folder; return its exit code and what it prints."""
    done = await anyio.run_process(["bash", "-c", script], cwd=folder, check=False)
    return done.returncode, done.stdout.decode()


async def test_a_shell_knows_a_key_that_was_replaced_since(site: Site, tmp_path: Path) -> None:
    """A key that has an end by now signed the seals of before; one that had its end before them did not."""
    run_id = await site.saved(call(1))
    seal = seal_text(make_seal(site.root, run_id, sealed_at="2025-06-01T02:00:00.000Z"))
    (site.root / run_key(run_id, SEAL)).write_bytes(seal)
    key = new_key(tmp_path)
    (site.root / run_key(run_id, SIGNATURE)).write_bytes(sign(seal, key))
    public = key.with_suffix(".pub").read_text()
    for end, good in (("20250601030000", True), ("20250601010000", False)):
        line = f'a@example.com,b@example.com namespaces="harvester-seal",valid-before="{end}" {public}'
        (site.root / "allowed_signers").write_text(line)
        code, said = await shell(shell_block("archive-format.md", "Signatures, with a file"), site.root)
        assert (code == 0, "signature for a@example.com" in said) == (good, good)


@pytest.mark.parametrize("damaged", [None, SEAL, SIGNATURE, STAMP])
async def test_a_shell_can_check_signatures_and_stamps(
    site: Site, tmp_path: Path, authority: Authority, damaged: str | None
) -> None:
    """The commands of the pages make a key and its allowed_signers, and check what was signed and stamped with them."""
    (tmp_path / "made").mkdir()
    assert (await shell(shell_block("evidence.md", "## A key"), tmp_path / "made"))[0] == 0
    shutil.copy(tmp_path / "made" / "allowed_signers", site.root)
    shutil.copy(authority.root, site.root / "root.pem")
    first = await site.saved(call(1))
    await vouch(site.root, first, Vouchers(tsa_url=authority.url, tsa_ca=authority.root))
    newest = await site.saved(call(2))
    vouchers = Vouchers(ssh_key=tmp_path / "made" / "seal_key", tsa_url=authority.url, tsa_ca=authority.root)
    assert (await vouch(site.root, newest, vouchers)).missing == []
    if damaged:
        flip_bit(site.root / run_key(newest, damaged), 110)
    code, said = await shell(shell_block("archive-format.md", "Signatures, with a file"), site.root)
    assert (code == 0) is (damaged in (None, STAMP))
    assert said.count('Good "harvester-seal" signature for archive@example.com') == (2 if code == 0 else 1)
    code, said = await shell(shell_block("archive-format.md", "Stamps, with the authority"), site.root)
    assert (code == 0) is (damaged in (None, SEAL))
    assert f"{run_key(first, SEAL)} was there at " in said
    assert (f"{run_key(newest, SIGNATURE)} was there at " in said) is (code == 0)
