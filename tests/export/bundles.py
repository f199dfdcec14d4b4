"""Exports of archives made by hand."""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from harvester.archive.layout import LEDGER, MANIFEST, SEAL, SIGNATURE, STAMP, STAMP_CHAIN, run_key
from harvester.archive.ledger import GENESIS, Ledger, Position
from harvester.archive.seal import make_seal, seal_text
from harvester.export.bundle import Made, Order, export
from harvester.export.criteria import Criteria
from tests.archive.sites import Site
from tests.evidence.tsa import Authority

ANNA, BORIS = "+14155550101", "+442079460202"
DAY = "2025/08/04"


def exported_to(site: Site, target: Path, criteria: Criteria | None = None, **order: Any) -> Made:
    """Export from a site in this process."""
    asked = Order(archive=site.root, target=target, criteria=criteria or Criteria(), **order)
    return export(asked, lambda files, size_bytes: None)


def typed(site: Site, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Export from a site by the command line, as a user would."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(site.root.parent), "HARVESTER_ARCHIVE": str(site.root)}
    command = [sys.executable, "-m", "harvester", "export", *map(str, arguments)]
    return subprocess.run(command, env=environment, cwd=site.root.parent, capture_output=True, text=True, check=False)


def files_of(bundle: Path) -> dict[str, bytes]:
    """Return every file of a bundle by its path."""
    paths = sorted(path for path in bundle.rglob("*") if path.is_file())
    return {path.relative_to(bundle).as_posix(): path.read_bytes() for path in paths}


def calls_of(bundle: Path) -> dict[str, dict[str, Any]]:
    """Return the calls of a bundle by their ids, as `calls.jsonl` tells them."""
    lines = (bundle / "calls.jsonl").read_text().splitlines()
    return {told["id"]: told for told in map(json.loads, lines)}


def info_of(bundle: Path) -> dict[str, str]:
    """Return `bag-info.txt`."""
    return dict(line.split(": ", 1) for line in (bundle / "bag-info.txt").read_text().splitlines())


def checked(bundle: Path) -> subprocess.CompletedProcess[str]:
    """Run the script that comes along, as a stranger would, without this package."""
    command = [sys.executable, "-I", "evidence/check_proofs.py"]
    return subprocess.run(command, cwd=bundle, capture_output=True, text=True, check=False)


def blocks(bundle: Path) -> list[str]:
    """Return the blocks of VERIFY.md that are to be pasted."""
    return re.findall(r"^```sh\n(.*?)^```$", (bundle / "VERIFY.md").read_text(), re.MULTILINE | re.DOTALL)


def pasted(bundle: Path, block: str) -> subprocess.CompletedProcess[str]:
    """Paste a block into a shell that stands in the bundle, in which `bagit.py` is found."""
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    return subprocess.run(
        ["bash", "-c", block], cwd=bundle, env=environment, capture_output=True, text=True, check=False
    )


def without_seal(site: Site, run_id: str) -> None:
    """Make a run one from before there were seals: its first line speaks of none. What stands on that line is made anew."""
    prev = GENESIS
    for run in sorted(path.name for path in (site.root / "runs").iterdir()):
        ledger, manifest, seal = (site.root / run_key(run, name) for name in (LEDGER, MANIFEST, SEAL))
        lines = ledger.read_bytes().splitlines(keepends=True)
        for number, line in enumerate(lines):
            line = line.replace(b'"seal":1,', b"") if run == run_id else line
            lines[number] = re.sub(rb'"prev":"\w{64}"', f'"prev":"{prev}"'.encode(), line, count=1)
            prev = hashlib.sha256(lines[number]).hexdigest()
        ledger.write_bytes(b"".join(lines))
        digest = hashlib.sha256(b"".join(lines)).hexdigest().encode()
        manifest.write_bytes(re.sub(rb"\w{64}(?=  runs/.*/ledger.jsonl)", digest, manifest.read_bytes()))
        if run == run_id:
            seal.unlink()
        elif seal.exists():
            seal.write_bytes(seal_text(make_seal(site.root, run)))


def key(folder: Path, name: str) -> Path:
    """Make a key to sign with."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", folder / name], check=True)
    return folder / name


def sign(site: Site, signing_key: Path) -> None:
    """Sign the seals of all runs, as `ssh-keygen` does it."""
    for run in (site.root / "runs").iterdir():
        seal = site.root / run_key(run.name, SEAL)
        command = ["ssh-keygen", "-q", "-Y", "sign", "-n", "harvester-seal", "-f", str(signing_key), str(seal)]
        subprocess.run(command, check=True, capture_output=True)


def stamp(site: Site, authority: Authority) -> None:
    """Have the signatures of all runs stamped by an authority, and keep its certificates beside the stamps, as a run does."""
    for run in (site.root / "runs").iterdir():
        signature, query = site.root / run_key(run.name, SIGNATURE), authority.folder / "asked.tsq"
        command = ["openssl", "ts", "-query", "-data", str(signature), "-sha256", "-cert", "-out", str(query)]
        subprocess.run(command, check=True, capture_output=True)
        (site.root / run_key(run.name, STAMP)).write_bytes(authority.stamp(query.read_bytes()))
        chain = (authority.folder / "tsa.pem").read_bytes() + authority.root.read_bytes()
        (site.root / run_key(run.name, STAMP_CHAIN)).write_bytes(chain)


def large_recording(site: Site, size_bytes: int) -> None:
    """Give call 1 a second recording of any size, with holes, in a run that is going on. Its hash is none."""
    key = f"{DAY}/1.v9.mp3"
    with (site.root / key).open("wb") as recording:
        recording.truncate(size_bytes)
    last_run = max(path.name for path in (site.root / "runs").iterdir())
    last = (site.root / run_key(last_run, LEDGER)).read_bytes().splitlines(keepends=True)[-1]
    after = Position(run_id=last_run, seq=json.loads(last)["seq"], prev=hashlib.sha256(last).hexdigest())
    run_id = "20990101T000000Z-00000000"
    (site.root / "runs" / run_id).mkdir()
    ledger = Ledger(site.root / run_key(run_id, LEDGER), after)
    file = {"path": key, "bytes": size_bytes, "sha256": "0" * 64, "role": "recording"}
    ledger.append([{"event": "saved", "id": "1", "place": f"{DAY}/1", "version": 9, "files": [file]}])
    ledger.close()
