"""Whose certificate a recording came under: the ledger tells, so that a stranger can ask who served it."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from harvester.demo.calls import CallBook
from harvester.demo.server import Platform, serve
from tests.harvests import Harvests
from tests.platform.strange import answering, http
from tests.platform.test_tls import Authority, authority, server_tls

__all__ = ["authority"]


def fingerprint(certificate: Path) -> str:
    """The SHA-256 of a certificate, as the openssl command tells it."""
    command = ["openssl", "x509", "-in", str(certificate), "-noout", "-fingerprint", "-sha256"]
    told = subprocess.run(command, check=True, capture_output=True).stdout.decode()
    return told.strip().partition("=")[2].replace(":", "").lower()


def saved(harvests: Harvests) -> list[dict[str, Any]]:
    """What the ledger tells of the recordings that were fetched."""
    return [line["recording"] for line in harvests.lines() if line.get("recording", {}).get("proof")]


async def test_every_recording_tells_its_servers_certificate(authority: Authority, tmp_path: Path) -> None:
    """All that came over TLS bear the SHA-256 of the certificate that their server showed, however many share a connection."""
    certificate = authority.certificate("served", "IP:127.0.0.1")
    async with serve(CallBook(count=65, most_seconds=20), tls=server_tls(certificate)) as platform:
        harvests = Harvests(platform, tmp_path)
        done = await harvests.cli("run", SSL_CERT_FILE=str(authority.file))
        assert done.returncode == 0, done.stderr
    told = saved(harvests)
    assert len(told) > 20
    assert {each["certificate_sha256"] for each in told} == {fingerprint(certificate)}


async def test_without_tls_there_is_none(harvests: Harvests) -> None:
    """A recording that came in the clear says so: null, not a missing member."""
    await harvests.run()
    assert {each["certificate_sha256"] for each in saved(harvests)} == {None}


@pytest.mark.parametrize("from_tls", [True, False])
async def test_behind_redirects_it_is_that_of_the_server_that_answered(
    platform: Platform, harvests: Harvests, authority: Authority, from_tls: bool
) -> None:
    """Who only redirects vouches for no byte: its certificate is not the one that is told."""
    first, last = (authority.certificate(name, "IP:127.0.0.1") for name in ("first", "last"))
    call_id = next(i for i in platform.book.ids() if str(platform.book.row(i)["recording_url"]).endswith(".mp3"))
    async with answering(http(platform.book.recording(call_id)), server_tls(last)) as (port, _):
        redirect = http(status="302 Found", headers=f"Location: https://127.0.0.1:{port}/last.mp3\r\n")
        async with answering(redirect, server_tls(first) if from_tls else None) as (begins, _):
            link = f"http{'s' if from_tls else ''}://127.0.0.1:{begins}/first.mp3"
            platform.book.change(call_id, recording_url=link)
            done = await harvests.cli("run", SSL_CERT_FILE=str(authority.file))
            assert done.returncode == 0, done.stderr
    (line,) = [each for each in harvests.lines() if each.get("id") == str(call_id)]
    assert line["recording"]["redirect_hosts"] == ["127.0.0.1"]
    assert line["recording"]["certificate_sha256"] == fingerprint(last)
