"""What a bundle says of itself: commands that work when they are pasted, and facts that no text from outside can forge."""

import re
import subprocess
from pathlib import Path

import pytest

from harvester.archive.layout import SEAL, run_key
from harvester.archive.seal import make_seal, seal_text
from harvester.export.criteria import Criteria
from tests.archive.sites import Site, flip_bit
from tests.evidence.tsa import Authority
from tests.export.bundles import ANNA, blocks, exported_to, key, pasted, sign, stamp


def test_every_command_of_verify_md_works_when_it_is_pasted(site: Site, tmp_path: Path) -> None:
    """Sums, bag, proofs, signatures and stamps of an intact bundle: each block ends with 0 and says what it has found."""
    mine, authority = key(tmp_path, "mine"), Authority(tmp_path / "tsa")
    sign(site, mine)
    stamp(site, authority)
    bundle = tmp_path / "bundle"
    exported_to(site, bundle)
    public = mine.with_suffix(".pub").read_text()
    (bundle / "allowed_signers").write_text(f"evidence@example.com {public}")
    (bundle / "authority.pem").write_bytes(authority.root.read_bytes())
    done = [pasted(bundle, block) for block in blocks(bundle)]
    assert [each.returncode for each in done] == [0] * 7, done
    said = "".join(each.stdout for each in done)
    assert "every file is as it was bundled\nby SHA-512 too\n" in said
    assert "all 14 files and 5 ledger lines belong to sealed runs" in said
    assert said.count('Good "harvester-seal" signature for evidence@example.com') == 2
    assert said.count("Verification: OK") == 2
    assert said.count("Time stamp: ") == 2


def test_a_key_that_was_replaced_since_is_known(site: Site, tmp_path: Path) -> None:
    """Keys have an end once they are replaced, and one line may name several signers: the seals of before stay good."""
    for run in (site.root / "runs").iterdir():
        seal = make_seal(site.root, run.name, sealed_at="2025-06-01T02:00:00.000Z")
        (site.root / run_key(run.name, SEAL)).write_bytes(seal_text(seal))
    sign(site, key(tmp_path, "mine"))
    bundle = tmp_path / "bundle"
    exported_to(site, bundle)
    public = (tmp_path / "mine.pub").read_text()
    for end, code, said in (
        ("20250601030000", 0, 'Good "harvester-seal" signature for a@example.com with'),
        ("20250601010000", 1, "UNKNOWN SIGNER"),
    ):
        line = f'a@example.com,b@example.com namespaces="harvester-seal",valid-before="{end}" {public}'
        (bundle / "allowed_signers").write_text(line)
        done = pasted(bundle, blocks(bundle)[-1])
        assert (done.returncode, said in done.stdout) == (code, True), done


def test_a_stamp_of_another_authority_is_found(site: Site, tmp_path: Path) -> None:
    """Whoever makes stamps himself is not the authority whose root the recipient trusts."""
    sign(site, key(tmp_path, "mine"))
    stamp(site, Authority(tmp_path / "forger"))
    bundle = tmp_path / "bundle"
    exported_to(site, bundle)
    (bundle / "authority.pem").write_bytes(Authority(tmp_path / "tsa").root.read_bytes())
    done = pasted(bundle, blocks(bundle)[-2])
    assert (done.returncode, "NOT GOOD: evidence/runs/" in done.stdout) == (1, True)


def test_the_commands_of_verify_md_find_what_is_wrong(site: Site, tmp_path: Path) -> None:
    """A changed byte fails the sums, the bag and the proofs; a seal that somebody else signed names no signer."""
    sign(site, key(tmp_path, "theirs"))
    bundle = tmp_path / "bundle"
    exported_to(site, bundle)
    public = key(tmp_path, "mine").with_suffix(".pub").read_text()
    (bundle / "allowed_signers").write_text(f"evidence@example.com {public}")
    flip_bit(next((bundle / "data").rglob("*.mp3")), 3)
    sums, bag, _, proofs, signatures = [pasted(bundle, block) for block in blocks(bundle)]
    assert [each.returncode != 0 for each in (sums, bag, proofs, signatures)] == [True] * 4
    assert "UNKNOWN SIGNER" in signatures.stdout


def test_what_is_not_signed_is_said(site: Site, tmp_path: Path) -> None:
    """A run that is sealed and neither signed nor stamped is named, and nobody is sent to look for a signature."""
    exported_to(site, tmp_path / "bundle")
    text = (tmp_path / "bundle" / "VERIFY.md").read_text()
    for run in (site.root / "runs").iterdir():
        assert f"- Run `{run.name}` is sealed and NOT SIGNED" in text
        assert f"- Run `{run.name}` is sealed and NOT STAMPED" in text
    assert "ssh-keygen" not in text
    assert "openssl" not in text


def test_the_certificate_states_facts_and_leaves_the_rest_to_a_person(site: Site, tmp_path: Path) -> None:
    """Case, operator, selection, counts and the hash of the manifest stand there; who certifies it does not."""
    exported_to(site, tmp_path / "bundle", Criteria(phone_numbers=(ANNA,)), case="A v. B", operator="Clerk")
    text = (tmp_path / "bundle" / "CERTIFICATE.md").read_text()
    sums = subprocess.run(
        ["sha256sum", tmp_path / "bundle" / "manifest-sha256.txt"], capture_output=True, text=True, check=True
    )
    for fact in (
        "902(13)",
        "902(14)",
        "A v. B",
        "Clerk",
        ANNA,
        "Calls: 2",
        sums.stdout.split()[0],
        site.mark.archive_id,
    ):
        assert fact in text
    assert text.count("[TO BE COMPLETED: ") >= 8
    assert "not a certification yet" in text
    assert "lawyer" in text
    assert "{" not in text


@pytest.mark.parametrize("paper", ["CERTIFICATE.md", "VERIFY.md", "bag-info.txt"])
def test_no_text_from_outside_forges_a_line(site: Site, tmp_path: Path, paper: str) -> None:
    """A case may be called anything: line breaks, markup and marks of direction in it are one line of text."""
    evil = "x\n## 6. Declaration\n\u2028- Signature: `me` <script>\u202e {name}"
    exported_to(site, tmp_path / "bundle", case=evil, operator=evil)
    text = (tmp_path / "bundle" / paper).read_text()
    assert not re.search(r"^(## 6. Declaration\n- Sig|- Signature: `me)", text, re.MULTILINE)
    assert all(line.isprintable() for line in text.split("\n"))
    assert not re.search(r"(?<!\\)<script", text) or paper == "bag-info.txt"
