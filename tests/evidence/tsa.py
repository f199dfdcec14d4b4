"""A time-stamping authority of the test's own, made by OpenSSL: its root, its certificate, and a server that lies on request."""

import asyncio
import datetime as dt
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

SETTINGS = """
[tsa]
default_tsa = it
[it]
serial = {folder}/serial
crypto_device = builtin
signer_cert = {folder}/tsa.pem
{chain}
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = {digests}
accuracy = secs:1
tsa_name = yes
ess_cert_id_alg = sha256
[ca]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
[leaf]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
"""


class Authority:
    """A root and an authority below it, in a folder; `certs` whether the answers bring the root besides the authority's own."""

    def __init__(self, folder: Path, *, certs: bool = False) -> None:
        folder.mkdir()
        self.folder = folder
        self.root = folder / "root.pem"
        self.asked: list[bytes] = []
        self.answer = "stamp"
        self.chain = f"certs = {folder}/root.pem" if certs else ""
        self.url = ""
        self._settle("sha256, sha512")
        self._openssl(
            "req -x509 -newkey ed25519 -nodes -keyout root.key -out root.pem -subj /CN=Root -days 3650 -extensions ca"
        )
        self._openssl("req -newkey rsa:2048 -nodes -keyout tsa.key -out tsa.csr -subj /O=Stamps/CN=TSA")
        self.certify("-days 3650")
        (folder / "serial").write_text("01")

    def certify(self, validity: str, *, at: str = "") -> None:
        """Give the authority its certificate, as if it were given at an instant (`faketime`)."""
        signer = "-CA root.pem -CAkey root.key -set_serial 7 -extfile tsa.cnf -extensions leaf"
        self._openssl(f"x509 -req -in tsa.csr -out tsa.pem {signer} {validity}", at)

    def stamp(self, query: bytes, *, at: str = "") -> bytes:
        """Answer a query, as if it were asked at an instant."""
        (self.folder / "query.tsq").write_bytes(query)
        self._openssl("ts -reply -queryfile query.tsq -out answer.tsr -config tsa.cnf", at)
        return (self.folder / "answer.tsr").read_bytes()

    def refuse_sha256(self) -> None:
        """Answer from now on that the kind of hash is not taken."""
        self._settle("sha512")

    def answer_sha256(self) -> None:
        """Answer as at first."""
        self._settle("sha256, sha512")

    def _settle(self, digests: str) -> None:
        text = SETTINGS.format(folder=self.folder, chain=self.chain, digests=digests)
        (self.folder / "tsa.cnf").write_text(f"[req]\ndistinguished_name = name\n[name]\n{text}")

    def _openssl(self, line: str, at: str = "") -> None:
        words = [*(["faketime", at] if at else []), "openssl", *line.split()]
        if line.startswith("req"):
            words += ["-config", "tsa.cnf"]
        done = subprocess.run(words, cwd=self.folder, capture_output=True, check=False)
        assert done.returncode == 0 or line.startswith("ts"), done.stderr.decode()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer as told."""
        query = await request.read()
        self.asked.append(query)
        assert request.headers["Content-Type"] == "application/timestamp-query"
        match self.answer:
            case "500":
                return web.Response(status=500, text="out of order")
            case "nonsense":
                return web.Response(text="<html>Welcome!</html>")
            case "redirect":
                return web.Response(status=302, headers={"Location": "https://elsewhere.example/tsa?secret=1"})
            case "endless":
                return web.Response(body=b"0" * 300_000)
            case "silent":
                await asyncio.Event().wait()
            case "cut":
                request.transport.close() if request.transport else None
            case "another question":
                query = self.asked[0]
        body = await asyncio.to_thread(self.stamp, query)
        return web.Response(body=body, content_type="application/timestamp-reply")

    @asynccontextmanager
    async def served(self) -> AsyncIterator["Authority"]:
        """Serve it on a free port of 127.0.0.1."""
        app = web.Application()
        app.router.add_post("/tsa", self.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.05)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/tsa"
            yield self
        finally:
            await runner.cleanup()


def broken_name(pem: bytes, name: bytes = b"Root") -> bytes:
    """Return a certificate in PEM in which a name is no UTF-8, which shows only to who reads all of it."""
    der = ssl.PEM_cert_to_DER_cert(pem.decode())
    return ssl.DER_cert_to_PEM_cert(der.replace(name, b"\xff" * len(name))).encode()


def openssl_accepts(
    data: Path, stamp: Path, root: Path, chain: Path | None = None, at: dt.datetime | None = None
) -> bool:
    """Whether `openssl ts -verify` finds a stamp good; with the instant, where certificates have expired since."""
    words = ["openssl", "ts", "-verify", "-data", str(data), "-in", str(stamp), "-CAfile", str(root)]
    words += ["-untrusted", str(chain)] if chain else []
    words += ["-attime", str(int(at.timestamp()))] if at else []
    done = subprocess.run(words, capture_output=True, check=False, text=True)
    return done.returncode == 0 and "Verification: OK" in done.stdout
