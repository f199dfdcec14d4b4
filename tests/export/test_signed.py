"""A bundle counts those signatures and stamps that belong to their seals, and says by whom they are."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harvester.archive.layout import MARK, SEAL, SIGNATURE, STAMP, STAMP_CHAIN, run_key
from harvester.errors import DamagedError, LedgerError, MarkError
from tests.archive.sites import Site, flip_bit
from tests.evidence.tsa import Authority
from tests.export.bundles import exported_to, info_of, key, sign, stamp, typed


def signatures_of(site: Site) -> list[Path]:
    """The signatures of all runs, oldest run first."""
    return [site.root / run_key(run.name, SIGNATURE) for run in sorted((site.root / "runs").iterdir())]


def test_the_certificate_names_the_keys_that_have_signed(site: Site, tmp_path: Path) -> None:
    """As `ssh-keygen -l` names them, and that nobody was asked whose they are."""
    sign(site, key(tmp_path, "mine"))
    listed = ["ssh-keygen", "-l", "-f", str(tmp_path / "mine.pub")]
    fingerprint = subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split()[1]
    made = exported_to(site, tmp_path / "bundle")
    text = (tmp_path / "bundle" / "CERTIFICATE.md").read_text()
    said = f"2 checked: over its seal, made with the key that it bears: ED25519 key {fingerprint}. Whose key that is was not"
    assert (said in text, made.notes, made.unsigned_runs) == (True, (), ())


def test_the_certificate_names_the_authorities_that_have_stamped(site: Site, tmp_path: Path) -> None:
    """As their certificates do, and that nobody was asked whether to trust them."""
    sign(site, key(tmp_path, "mine"))
    stamp(site, Authority(tmp_path / "tsa"))
    made = exported_to(site, tmp_path / "bundle")
    text = (tmp_path / "bundle" / "CERTIFICATE.md").read_text()
    said = "2 checked: over its seal or the signature of it, by the certificates that lie beside it: CN=TSA,O=Stamps. Whether"
    assert (said in text, made.notes, made.unstamped_runs) == (True, (), ())


def of_another_run(site: Site, folder: Path) -> None:
    """The first run bears the signature of the second."""
    first, second = signatures_of(site)
    first.write_bytes(second.read_bytes())


def for_another_purpose(site: Site, folder: Path) -> None:
    """The same key has signed the same bytes, as a file and not as a seal."""
    signature = signatures_of(site)[0]
    seal = signature.with_name(SEAL)
    signature.unlink()
    command = ["ssh-keygen", "-q", "-Y", "sign", "-n", "file", "-f", str(folder / "mine"), str(seal)]
    subprocess.run(command, check=True, capture_output=True)


def altered(site: Site, folder: Path) -> None:
    """One bit of it is another."""
    flip_bit(signatures_of(site)[0], 150)


def nonsense(site: Site, folder: Path) -> None:
    """Something else lies under its name."""
    signatures_of(site)[0].write_bytes(b"-----BEGIN SSH SIGNATURE-----\n")


def empty(site: Site, folder: Path) -> None:
    """Nothing is in it."""
    signatures_of(site)[0].write_bytes(b"")


@pytest.mark.parametrize("forge", [of_another_run, for_another_purpose, altered, nonsense, empty])
def test_a_signature_that_is_not_of_its_seal_is_damage(
    site: Site, tmp_path: Path, forge: Callable[[Site, Path], None]
) -> None:
    """Refused with its name; included, it is handed over as it is, noted in every paper, and counts as none."""
    sign(site, key(tmp_path, "mine"))
    forge(site, tmp_path)
    signature = signatures_of(site)[0]
    named = signature.relative_to(site.root).as_posix()
    with pytest.raises(DamagedError, match=f"{named}: it is no signature of this seal: "):
        exported_to(site, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()
    made = exported_to(site, tmp_path / "bundle", include_damaged=True)
    assert made.unsigned_runs == (signature.parent.name,)
    assert info_of(tmp_path / "bundle")["Seals"] == "2 of 2 runs sealed, 1 signed, NOT STAMPED"
    assert (tmp_path / "bundle" / "evidence" / named).read_bytes() == signature.read_bytes()
    for paper in ("bag-info.txt", "VERIFY.md", "CERTIFICATE.md"):
        assert f"{named}: it is no signature of this seal" in (tmp_path / "bundle" / paper).read_text()


def test_a_forged_signature_ends_the_command_with_8(site: Site, tmp_path: Path) -> None:
    """As damaged files do, with the way to hand it over all the same."""
    sign(site, key(tmp_path, "mine"))
    of_another_run(site, tmp_path)
    done = typed(site, tmp_path / "bundle")
    assert (done.returncode, "seal.txt.sig" in done.stderr, "--include-damaged" in done.stderr) == (8, True, True)


def test_signatures_that_nobody_could_check_are_said_to_be_unchecked(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is no ssh-keygen they are handed over and counted, and every paper says that nobody has looked at them."""
    sign(site, key(tmp_path, "mine"))
    monkeypatch.setenv("PATH", str(tmp_path))
    made = exported_to(site, tmp_path / "bundle")
    note = "2 signatures NOT CHECKED, because ssh-keygen is not installed where the bundle was made"
    assert (made.notes, made.unsigned_runs) == ((note,), ())
    for paper in ("bag-info.txt", "VERIFY.md", "CERTIFICATE.md"):
        text = (tmp_path / "bundle" / paper).read_text()
        assert note in text
        assert "checked: over its seal" not in text
    assert "## 3. Who sealed it" in (tmp_path / "bundle" / "VERIFY.md").read_text()


def other_stamp(site: Site, folder: Path) -> None:
    """The first run bears the stamp of the second."""
    first, second = (each.with_name(STAMP) for each in signatures_of(site))
    first.write_bytes(second.read_bytes())


def no_stamp(site: Site, folder: Path) -> None:
    """Something else lies under its name."""
    signatures_of(site)[0].with_name(STAMP).write_bytes(b"<html>Welcome!</html>")


def others_certificates(site: Site, folder: Path) -> None:
    """The certificates beside it are those of another authority."""
    signatures_of(site)[0].with_name(STAMP_CHAIN).write_bytes(Authority(folder / "another").root.read_bytes())


def no_certificates(site: Site, folder: Path) -> None:
    """Nobody can say any more who has made it."""
    signatures_of(site)[0].with_name(STAMP_CHAIN).unlink()


@pytest.mark.parametrize(
    ("forge", "said"),
    [
        (other_stamp, "the stamp is over another hash than that of this seal or its signature"),
        (no_stamp, "it is no stamp: it is not what RFC 3161 calls an answer"),
        (others_certificates, "lead to no authority in seal.txt.chain.pem"),
        (no_certificates, "the certificates of the stamp, seal.txt.chain.pem, do not lie beside it"),
    ],
)
def test_a_stamp_that_is_not_of_its_seal_is_damage(
    site: Site, tmp_path: Path, forge: Callable[[Site, Path], None], said: str
) -> None:
    """As a signature is: refused with its name, or noted in every paper and counted as none; no paper tells where it lay."""
    sign(site, key(tmp_path, "mine"))
    stamp(site, Authority(tmp_path / "tsa"))
    forge(site, tmp_path)
    run_id = signatures_of(site)[0].parent.name
    with pytest.raises(DamagedError, match=f"{run_key(run_id, STAMP)}: .*{said}"):
        exported_to(site, tmp_path / "bundle")
    made = exported_to(site, tmp_path / "bundle", include_damaged=True)
    assert (made.unsigned_runs, made.unstamped_runs) == ((), (run_id,))
    for paper in ("bag-info.txt", "VERIFY.md", "CERTIFICATE.md"):
        text = (tmp_path / "bundle" / paper).read_text()
        assert said in text
        assert str(site.root) not in text


def test_stamps_that_nobody_could_check_are_said_to_be_unchecked(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What checks them is an extra: without it they are handed over and counted, and every paper says so."""
    sign(site, key(tmp_path, "mine"))
    stamp(site, Authority(tmp_path / "tsa"))
    monkeypatch.setitem(sys.modules, "rfc3161_client", None)  # as Python blocks an import
    made = exported_to(site, tmp_path / "bundle")
    note = "2 stamps NOT CHECKED, because what checks them is not installed where the bundle was made"
    assert (made.notes, made.unstamped_runs) == ((note,), ())
    assert note in (tmp_path / "bundle" / "CERTIFICATE.md").read_text()


@pytest.mark.parametrize("nth", range(5))
def test_no_flipped_bit_is_handed_over(site: Site, tmp_path: Path, nth: int) -> None:
    """Wherever it is: in a file of a call, the mark, a ledger, a manifest, a seal, or in what signs and stamps it."""
    sign(site, key(tmp_path, "mine"))
    stamp(site, Authority(tmp_path / "tsa"))
    for path in sorted(path for path in site.root.rglob("*") if path.is_file() and path.name != "run.json"):
        at = (2 * nth + 1) * path.stat().st_size // 10
        flip_bit(path, at, nth)
        with pytest.raises((LedgerError, MarkError)):  # the one of damage among them
            exported_to(site, tmp_path / "bundle")
        flip_bit(path, at, nth)
    exported_to(site, tmp_path / "bundle")


def test_a_mark_that_was_altered_is_damage(site: Site, tmp_path: Path) -> None:
    """It names platform and account, which stand in the certificate; the first run's manifest has its hash."""
    mark = site.root / MARK
    mark.write_bytes(mark.read_bytes().replace(b"owner@", b"other@"))
    with pytest.raises(DamagedError, match=rf"{MARK} is not the one that runs/.*/manifest-sha256.txt names"):
        exported_to(site, tmp_path / "bundle")
