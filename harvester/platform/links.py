"""Read a recording's link, and where a redirect leads from it.

In:   text from a row or a `Location` header.  Out: a `URL`, or RecordingError. Nothing is sent from here.
"""

from __future__ import annotations

import functools

from yarl import URL

from harvester.errors import RecordingError
from harvester.platform.wire import bare


def read_link(link: str) -> URL:
    """Read a recording's link. What is encoded stays as it is, a literal `+` too: a signature would not survive less.

    Raises RecordingError when it is no URL.
    """
    link = link.strip()
    try:
        url = URL(link, encoded=link.isascii() and " " not in link)
        if url.host and url.port != 0:  # bad names and ports show only when somebody asks for them
            _check_host(url.host)
    except ValueError as error:
        raise RecordingError("the recording's link is not a URL") from error
    if not link.isprintable():
        raise RecordingError("the recording's link is not a URL: it holds control characters")
    return url


@functools.lru_cache(maxsize=256)
def _check_host(host: str) -> None:
    """Raise UnicodeError, which is a ValueError, for a host that no resolver can be asked for."""
    host.encode("idna")


def next_hop(url: URL, location: str) -> URL:
    """Return where a redirect from `url` leads; `location` may be relative. Raises RecordingError when https would be left."""
    target = url.join(read_link(location))
    if url.scheme == "https" and target.scheme != "https":
        raise RecordingError(f"{bare(url)} redirects from https to {target.scheme or 'nowhere'}, which is refused")
    return target
