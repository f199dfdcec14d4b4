"""TLS: whom it is spoken with, and in which words everybody else is refused."""

import asyncio
import contextlib
import json
import shutil
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from harvester.demo.server import Platform
from harvester.errors import PlatformError, TransientError
from tests.harvests import Harvests
from tests.platform.strange import answering, http
from tests.platform.test_wire import SECRET, get
from tests.platform.visiting import world

CA_ADVICE = "; if your network has its own certificate authority, name its file in SSL_CERT_FILE"


class Authority:
    """A certificate authority of the test's own, made with the openssl command."""

    def __init__(self, folder: Path) -> None:
        openssl = shutil.which("openssl")
        if openssl is None:
            pytest.skip("no openssl command to make certificates with")
        self._openssl = openssl
        self._folder = folder
        self.file = folder / "ca.pem"
        self._run("req", "-x509", "-days", "2", "-subj", "/CN=a test", "-out", self.file, *self._new_key("ca"))

    def certificate(self, name: str, subject: str, *, days: int = 2, signed_by_itself: bool = False) -> Path:
        """Return a file with a key and a certificate for a `subject` (`IP:127.0.0.1`); fewer than 0 days: expired."""
        file, request, extensions = (self._folder / f"{name}.{suffix}" for suffix in ("pem", "csr", "ext"))
        extensions.write_text(f"subjectAltName={subject}")
        self._run("req", "-new", "-subj", f"/CN={name}", "-out", request, *self._new_key(name))
        key = self._folder / f"{name}.key"
        signer = ("-signkey", key) if signed_by_itself else ("-CA", self.file, "-CAkey", self._folder / "ca.key")
        serial = () if signed_by_itself else ("-CAcreateserial",)
        dated = ("-days", str(days), "-extfile", extensions)
        self._run("x509", "-req", "-in", request, *signer, *serial, *dated, "-out", file)
        file.write_text(file.read_text() + key.read_text())
        return file

    def _new_key(self, name: str) -> tuple[str | Path, ...]:
        return (
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-keyout",
            self._folder / f"{name}.key",
        )

    def _run(self, *arguments: str | Path) -> None:
        subprocess.run([self._openssl, *map(str, arguments)], check=True, capture_output=True)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """One for all tests."""
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def certificate(authority: Authority) -> Path:
    """A file with a key and a certificate for 127.0.0.1 that is signed by itself."""
    return authority.certificate("self-signed", "IP:127.0.0.1", signed_by_itself=True)


def server_tls(certificate: Path) -> ssl.SSLContext:
    """The server's side."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@contextlib.asynccontextmanager
async def counting(tls: ssl.SSLContext) -> AsyncIterator[tuple[int, list[int]]]:
    """Serve TLS on a free port until the block ends; give the port and, in a list, how many connections there were."""
    connections = [0]

    async def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections[0] += 1
        with contextlib.suppress(OSError):
            await writer.start_tls(tls)
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], connections


async def test_an_untrusted_certificate_is_one_clear_sentence(certificate: Path) -> None:
    """It is tried once, and the message names the way out."""
    async with answering(http(), server_tls(certificate)) as (port, heads):
        with pytest.raises(PlatformError) as caught:
            await get(f"https://127.0.0.1:{port}/?{SECRET}")
    text = str(caught.value)
    assert text == f"https://127.0.0.1:{port}/: no trusted TLS connection (self-signed certificate){CA_ADVICE}"
    assert not isinstance(caught.value, TransientError)
    assert SECRET not in text
    assert "\n" not in text
    assert heads == []


async def test_an_authority_file_that_is_not_there_is_named(harvests: Harvests, certificate: Path) -> None:
    """Who has mistyped its path is told so, and not to name one."""
    async with answering(http(), server_tls(certificate)) as (port, _):
        done = await harvests.cli("run", "--base-url", f"https://127.0.0.1:{port}/api", SSL_CERT_FILE="/no/ca.pem")
    assert done.returncode == 5
    assert b"(self-signed certificate); SSL_CERT_FILE names /no/ca.pem, which cannot be read\n" in done.stderr


async def test_a_server_without_tls_is_told_apart() -> None:
    """https to a port that speaks http: the sentence says so, and does not talk of certificate authorities."""
    async with answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as (port, _):
        with pytest.raises(PlatformError, match="/: what answers there does not speak TLS"):
            await get(f"https://127.0.0.1:{port}/")


async def test_ssl_cert_file_is_trusted(certificate: Path) -> None:
    """A network's own certificate authority works once SSL_CERT_FILE names its file."""
    program = "import asyncio, sys; from tests.platform.test_wire import get; print(asyncio.run(get(sys.argv[1])))"
    async with answering(http(b"trusted"), server_tls(certificate)) as (port, _):
        command = [sys.executable, "-c", program, f"https://127.0.0.1:{port}/"]
        ended = await anyio.run_process(command, env={"SSL_CERT_FILE": str(certificate)}, check=False)
    assert ended.stdout.strip() == b"b'trusted'", ended.stderr.decode()


@pytest.mark.parametrize(
    ("name", "subject", "days", "host", "why"),
    [
        ("good", "IP:127.0.0.1", 2, "127.0.0.1", None),
        (
            "expired",
            "IP:127.0.0.1",
            -1,
            "127.0.0.1",
            "(certificate has expired); check the clock of this machine; if it",
        ),
        (
            "other-ip",
            "IP:127.0.0.2",
            2,
            "127.0.0.1",
            "certificate is not valid for '127.0.0.1'); check the spelling of",
        ),
        (
            "other-name",
            "DNS:other.example",
            2,
            "localhost",
            "certificate is not valid for 'localhost'); check the spell",
        ),
    ],
)
async def test_a_run_stops_where_tls_does_not_hold(
    harvests: Harvests, authority: Authority, name: str, subject: str, days: int, host: str, why: str | None
) -> None:
    """Expired, or for somebody else: exit 5 after one attempt, in one line, before the key is sent and a byte is written."""
    tls = server_tls(authority.certificate(name, subject, days=days))
    async with answering(http(), tls) as (port, heads):
        done = await harvests.cli("run", "--base-url", f"https://{host}:{port}/api", SSL_CERT_FILE=str(authority.file))
    told = done.stderr.decode()
    assert done.returncode == 5
    assert told.count("\n") == 1
    assert not harvests.archive.exists()
    if why is None:
        assert "TLS" not in told
        assert heads
    else:
        assert f"https://{host}:{port}/api/user/me: no trusted TLS connection (" in told
        assert why in told
        assert heads == []


async def test_a_recording_behind_a_bad_certificate_is_tried_once(certificate: Path) -> None:
    """Its call fails with the reason; there is no way around the check, for recordings either."""
    async with answering(http(), server_tls(certificate)) as (port, heads), world() as w:
        with pytest.raises(
            PlatformError, match=r"/1\.mp3: no trusted TLS connection \(self-signed certificate\)"
        ) as caught:
            await w.fetch(f"https://127.0.0.1:{port}/1.mp3?{SECRET}")
    assert not isinstance(caught.value, TransientError)
    assert SECRET not in str(caught.value)
    assert heads == []


async def test_a_server_with_a_bad_certificate_is_told_of_once(
    harvests: Harvests, authority: Authority, platform: Platform
) -> None:
    """Its recordings fail, after one connection for each that was under way; all others are archived, and it is exit 3."""
    tls = server_tls(authority.certificate("old", "IP:127.0.0.1", days=-1))
    async with counting(tls) as (port, connections):
        bad = [call for call in platform.book.ids() if platform.book.row(call)["recording_url"]][:20]
        for call in bad:
            platform.book.change(call, recording_url=f"https://127.0.0.1:{port}/{call}.mp3")
        done = await harvests.cli("run", "--workers", "2", "--json", SSL_CERT_FILE=str(authority.file))
    told, account = done.stderr.decode(), json.loads(done.stdout)
    why = "no trusted TLS connection (certificate has expired); check the clock of this machine"
    assert done.returncode == 3
    assert told.count(f"harvester: https://127.0.0.1:{port}: {why}") == 1
    assert 1 <= connections[0] <= 2
    assert {int(each["id"]) for each in account["failures"]} == set(bad)
    again = [
        each["reason"] for each in account["failures"] if "is not asked for any more in this run: " in each["reason"]
    ]
    assert len(again) >= len(bad) - 2
    assert all(why in each["reason"] for each in account["failures"])
    assert account["recordings"]["saved"] > 0


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (
            "https://platform.invalid/api",
            "the name platform.invalid cannot be found; check the spelling and the network",
        ),
        ("https://127.0.0.1:9/api", "no connection to 127.0.0.1:9 (Connection refused)"),
    ],
)
async def test_a_network_that_is_down_is_tried_again(harvests: Harvests, url: str, why: str) -> None:
    """No such name, or nobody who listens: as many attempts as are set, then exit 5 with the reason."""
    done = await harvests.cli("run", "-v", "--base-url", url, "--attempts", "3")
    told = done.stderr.decode()
    assert done.returncode == 5
    assert [f"attempt {number} failed" in told for number in (1, 2, 3)] == [True, True, False]
    assert told.count(why) == 3
    assert not harvests.archive.exists()
