"""Serve an account of calls over HTTPS by nginx: list pages and recordings as files, so that the server costs next to nothing.

In:   how many calls, how large their recordings are, a folder.  Out: a `Site` that answers on 127.0.0.1 until it is closed.

The list is cut by date as the platform cuts it: for every pair of days there is a folder of pages, and nginx maps `date_from` and
`date_to` to it. Days before and after the account's are mapped to its edges. The certificate is made by openssl for this one
site; `ca_file` is what trusts it.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
import os
import random
import resource
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from harvester.demo import mpeg
from harvester.demo.answers import php_json
from harvester.demo.audio import recording
from harvester.demo.paginator import envelope, last_page
from harvester.demo.rows import settled_row

KEY = "benchmark-key-7f3a"
FIRST_DAY = dt.date(2025, 8, 1)
DAYS = 5
"""Over how many days the calls are spread: each pair of them costs a copy of its pages."""

BEFORE_FIRST_DAY = r"~^(1|20[01]|202[0-4]|2025-0[1-7])"
"""nginx's pattern for days before FIRST_DAY."""

FIRST_ID = 100_001
SEED = 4
PER_PAGE = 100
MOST_SECONDS = 230
FILES = 65_536
MOST_CACHED = 20_000
ANSWERS_WITHIN_SECONDS = 10

SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
"""Where Debian keeps nginx, which is not in everybody's PATH."""

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")

CONFIGURATION = """
{user}
worker_processes 2;
worker_rlimit_nofile {files};
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
daemon off;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000;
  open_file_cache max={cached} inactive=600s;
  default_type application/octet-stream;
  types {{ application/json json; audio/mpeg mp3; }}
  client_body_temp_path {folder}/temporary; proxy_temp_path {folder}/temporary; fastcgi_temp_path {folder}/temporary;
  uwsgi_temp_path {folder}/temporary; scgi_temp_path {folder}/temporary;
  ssl_certificate {folder}/site.pem;
  ssl_certificate_key {folder}/site.key;
  ssl_protocols TLSv1.3;
  ssl_session_cache shared:sessions:1m;
  map $arg_date_from $from {{ "" {first}; {before} {first}; {days} default none; }}
  map $arg_date_to $to {{ "" {last}; {before} none; {days} default {last}; }}
  map $arg_per_page $size {{ 1 1; default {per_page}; }}
  map $arg_page $number {{ "" 1; default $arg_page; }}
  server {{
    listen 127.0.0.1:{port} ssl backlog=4096;
    root {folder}/api;
    location = /api/user/calls {{
      if ($http_authorization != "Bearer {key}") {{ return 401 '{{"message":"Unauthenticated."}}'; }}
      try_files /$from/$to/$size/$number.json /none.json =404;
    }}
    location = /api/user/me {{
      if ($http_authorization != "Bearer {key}") {{ return 401 '{{"message":"Unauthenticated."}}'; }}
      try_files /me.json =404;
    }}
  }}
{recordings_server}
}}
"""

RECORDINGS_SERVER = """
  server {{
    listen 127.0.0.1:{port} ssl backlog=4096;
    root {folder}/recordings;
  }}
"""


class Site:
    """One account behind nginx. Use as a context manager; `make` it first."""

    def __init__(
        self,
        folder: Path,
        *,
        calls: int,
        recording_bytes: int,
        distinct: int | None = None,
        serves_recordings: bool = True,
    ) -> None:
        """`folder` must be empty or hold what `make` has made of the same numbers; the ports are free ones.

        With `distinct` so many recordings are shared by all calls, as hard links: an account larger than the room there is.
        Unless it `serves_recordings`, somebody else must, on `recordings_port`.
        """
        self.folder = folder
        self.calls = calls
        self.recording_bytes = recording_bytes
        self.ca_file = folder / "site.pem"
        self.recordings_port = free_port()
        self._port = free_port()
        self._distinct = distinct or calls
        self._serves_recordings = serves_recordings
        self.base_url = f"https://127.0.0.1:{self._port}/api"
        self.recordings_url = f"https://127.0.0.1:{self.recordings_port}"

    @property
    def key_file(self) -> Path:
        """The private key of the certificate."""
        return self.folder / "site.key"

    @property
    def ids(self) -> range:
        """The ids of the calls."""
        return range(FIRST_ID, FIRST_ID + self.calls)

    def make(self) -> None:
        """Write recordings, pages, certificate and configuration."""
        for name in ("recordings", "api", "temporary"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self._make_recordings()
        self._make_pages()
        self._make_certificate()
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        files = FILES if most == resource.RLIM_INFINITY else min(FILES, most)
        days = [(FIRST_DAY + dt.timedelta(days=day)).isoformat() for day in range(DAYS)]
        (self.folder / "nginx.conf").write_text(
            CONFIGURATION.format(
                folder=self.folder,
                files=files,
                cached=min(MOST_CACHED, files // 2),  # else 100,000 recordings use up what a worker may open
                user="user root;" if os.geteuid() == 0 else "",  # nobody else can read a temporary folder of root's
                first=days[0],
                last=days[-1],
                days=" ".join(f"{day} {day};" for day in days),
                before=f'"{BEFORE_FIRST_DAY}"',
                per_page=PER_PAGE,
                port=self._port,
                recordings_server=RECORDINGS_SERVER.format(folder=self.folder, port=self.recordings_port)
                if self._serves_recordings
                else "",
                key=KEY,
            )
        )

    def __enter__(self) -> Site:
        """Start nginx and wait until it answers. SystemExit when it does not."""
        command = [nginx_path() or "nginx", "-c", str(self.folder / "nginx.conf"), "-p", str(self.folder)]
        self._nginx = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + ANSWERS_WITHIN_SECONDS
        while not _answers(self._port):
            if self._nginx.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"nginx did not start: see {self.folder / 'error.log'}")
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop nginx."""
        self._nginx.terminate()
        self._nginx.wait()

    def cpu_seconds(self) -> float:
        """CPU seconds that nginx has spent so far, its workers included."""
        return sum(_cpu_seconds(pid) for pid in _children(self._nginx.pid))

    def rows(self) -> list[dict[str, Any]]:
        """The rows of all calls, as the list has them."""
        edges = ((FIRST_DAY + dt.timedelta(days=day)).isoformat() for day in (0, DAYS - 1))
        pages = self.folder.joinpath("api", *edges, str(PER_PAGE)).glob("*.json")
        return [row for page in pages for row in json.loads(page.read_bytes())["data"]]

    def recording_of(self, call_id: int) -> Path:
        """The file that is served as a call's recording."""
        return self.folder / "recordings" / f"{call_id}.mp3"

    def _make_recordings(self) -> None:
        head = recording(SEED, 1)[: min(self.recording_bytes, 4 * mpeg.FRAME_BYTES)]
        draw = random.Random(SEED)
        for nth, call_id in enumerate(self.ids):
            if nth < self._distinct:
                self.recording_of(call_id).write_bytes(head + draw.randbytes(self.recording_bytes - len(head)))
            else:
                self.recording_of(call_id).hardlink_to(self.recording_of(FIRST_ID + nth % self._distinct))

    def _make_pages(self) -> None:
        api = self.folder / "api"
        (api / "me.json").write_bytes(php_json({"name": "Benchmark", "email": "benchmark@example.com"}))
        (api / "none.json").write_bytes(self._page([], 1, 0, PER_PAGE))
        rows = [self._row(index) for index in range(self.calls)]
        edges = [self.calls * day // DAYS for day in range(DAYS + 1)]
        for first, last in itertools.combinations_with_replacement(range(DAYS), 2):
            chosen = rows[edges[first] : edges[last + 1]]
            days = (FIRST_DAY + dt.timedelta(days=day) for day in (first, last))
            folder = api.joinpath(*(day.isoformat() for day in days))
            for per_page, most in ((PER_PAGE, last_page(len(chosen), PER_PAGE) + 1), (1, 1)):
                (folder / str(per_page)).mkdir(parents=True, exist_ok=True)
                for number in range(1, most + 1):
                    part = chosen[(number - 1) * per_page : number * per_page]
                    page = self._page(part, number, len(chosen), per_page)
                    (folder / str(per_page) / f"{number}.json").write_bytes(page)

    def _page(self, rows: list[bytes], number: int, total: int, per_page: int) -> bytes:
        path = f"{self.base_url}/user/calls"
        return envelope(rows, page=number, per_page=per_page, total=total, path=path, as_object=False)

    def _row(self, index: int) -> bytes:
        call_id = FIRST_ID + index
        share = index / self.calls
        start = dt.datetime.combine(FIRST_DAY, dt.time(), dt.UTC).timestamp()
        created_s = int(start + share * DAYS * 86_400)
        row = settled_row(SEED, index, call_id=call_id, created_s=created_s, most_s=MOST_SECONDS, whole=True)
        row["recording_url"] = f"{self.recordings_url}/{call_id}.mp3"
        row["created_at"] = f"{dt.datetime.fromtimestamp(created_s, dt.UTC):%Y-%m-%d %H:%M:%S}"
        if not isinstance(row["transcript"], str):  # the others know only texts
            row["transcript"] = "\n".join(str(turn["text"]) for turn in _turns(row["transcript"]))
        return php_json(row)

    def _make_certificate(self) -> None:
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
             "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
             "-keyout", str(self.key_file), "-out", str(self.ca_file)],
            check=True,
            capture_output=True,
        )  # fmt: skip


def nginx_path() -> str | None:
    """Return where nginx is, or None."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:{SBIN}")


def free_port() -> int:
    """Return a port on 127.0.0.1 that was free a moment ago."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _turns(transcript: object) -> list[dict[str, object]]:
    return transcript if isinstance(transcript, list) else []


def _answers(port: int) -> bool:
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _cpu_seconds(pid: int) -> float:
    behind_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(behind_name[11]) + int(behind_name[12])) / TICKS_PER_SECOND
