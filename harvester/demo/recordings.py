"""Serve recordings from their own origin, to anyone who has the link.

In:   method, path, query and headers of a request.  Out: an `Answer`: 200, 206, 304, 403, 404, 405 or 416.
"""

import hashlib
import hmac
import re
import time
from collections.abc import Mapping
from urllib.parse import urlencode

from harvester.demo.answers import Answer
from harvester.demo.calls import CallBook
from harvester.demo.options import Options

_PATH = re.compile(r"/calls/(?:[^/]*_)?([0-9]{1,18})\.mp[34]")
_RANGE = re.compile(r"bytes=([0-9]*)-([0-9]*)")
_CONTENT_TYPES = {".mp3": "audio/mpeg", ".mp4": "video/mp4"}

# The links of common object stores live for ten minutes up to a day.
_LINK_LIFE_SECONDS = 600

_SECRET = b"known to the simulated platform alone"


def call_id_of(path: str) -> int | None:
    """The call whose recording the path names, or None."""
    found = _PATH.fullmatch(path)
    return int(found[1]) if found else None


class Links:
    """Make the links to recordings and, where they are signed, check them."""

    def __init__(self, origin: str, *, signed: bool) -> None:
        """`origin` is scheme, host and port of the recordings server."""
        self.origin = origin
        self._signed = signed
        self._issued = 0
        self._first_valid = 1

    def issue(self, path: str) -> str:
        """A link to the recording at `path`; another one at every call when links are signed."""
        if not self._signed:
            return self.origin + path
        self._issued += 1
        expires = f"{int(time.time()) + _LINK_LIFE_SECONDS}"
        query = {"expires": expires, "signature": f"{self._issued:x}-{self._digest(path, expires, self._issued)}"}
        return f"{self.origin}{path}?{urlencode(query)}"

    def honours(self, path: str, query: Mapping[str, str]) -> bool:
        """Whether a request for `path` with this query is let through."""
        if not self._signed:
            return True
        number, _, digest = query.get("signature", "").partition("-")
        if not re.fullmatch("[0-9a-f]{1,16}", number) or int(number, 16) < self._first_valid:
            return False
        expires = query.get("expires", "")
        return digest == self._digest(path, expires, int(number, 16)) and int(expires) > time.time()

    def expire(self) -> None:
        """End the life of every signed link issued so far."""
        self._first_valid = self._issued + 1

    def _digest(self, path: str, expires: str, number: int) -> str:
        return hmac.new(_SECRET, f"{path} {expires} {number}".encode(), hashlib.sha256).hexdigest()[:32]


class Recordings:
    """Answers for the recordings of one book."""

    def __init__(self, book: CallBook, options: Options, links: Links) -> None:
        self._book = book
        self._options = options
        self._links = links

    def answer(self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
        """The answer to a request for `path`, percent-decoded."""
        if method != "GET":
            return _plain(405, "Method Not Allowed")
        body = self._body(path)
        if body is None:
            return _plain(404, "Not Found")
        if not self._links.honours(path, query):
            return _plain(403, "This link has expired")
        sent: dict[str, str] = {}
        if self._options.with_etag:
            sent["ETag"] = f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
            if sent["ETag"] in (tag.strip() for tag in headers.get("If-None-Match", "").split(",")):
                return Answer(status=304, headers=sent)
        content_type = _CONTENT_TYPES[path[-4:]]
        if not self._options.with_range:
            return Answer(body=body, content_type=content_type, headers=sent)
        sent["Accept-Ranges"] = "bytes"
        asked = _RANGE.fullmatch(headers.get("Range", ""))
        if asked is None or asked[0] == "bytes=-" or headers.get("If-Range") not in (None, sent.get("ETag")):
            return Answer(body=body, content_type=content_type, headers=sent)
        return _part(body, asked[1], asked[2], content_type, sent)

    def _body(self, path: str) -> bytes | None:
        call_id = call_id_of(path)
        try:
            if call_id is None or self._path_of(call_id) != path:
                return None
            return self._book.recording(call_id)
        except KeyError:
            return None

    def _path_of(self, call_id: int) -> str:
        """Where the recording of a call lies now, even if a change has given it a whole link."""
        return str(self._book.row(call_id)["recording_url"]).removeprefix(self._links.origin).partition("?")[0]


def _plain(status: int, text: str) -> Answer:
    return Answer(status=status, body=text.encode(), content_type="text/plain; charset=utf-8")


def _part(body: bytes, first: str, last: str, content_type: str, headers: dict[str, str]) -> Answer:
    """One range of the body. Without `first`, `last` counts the bytes at the end."""
    size = len(body)
    start = int(first) if first else max(0, size - int(last))
    stop = min(size, int(last) + 1) if first and last else size
    if start >= size or (first and last and int(last) < start):
        return Answer(status=416, content_type=content_type, headers={**headers, "Content-Range": f"bytes */{size}"})
    return Answer(
        status=206,
        body=body[start:stop],
        content_type=content_type,
        headers={**headers, "Content-Range": f"bytes {start}-{stop - 1}/{size}"},
    )
