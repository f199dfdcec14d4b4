"""Which servers are not trusted any more in this run, because their certificates do not hold.

In:   what came of a connection.  Out: silence, or CertificateError.

One attempt tells as much as a thousand: a certificate is not renewed while a run waits for it. So a server is told of once, with
what to do, and every further request to it fails at once, without a connection.
"""

from __future__ import annotations

import logging

from yarl import URL

from harvester.errors import CertificateError
from harvester.platform.wire import bare

log = logging.getLogger(__name__)


class Trust:
    """What is known of the servers of one run."""

    def __init__(self) -> None:
        self._distrusted: dict[URL, CertificateError] = {}

    def check(self, url: URL) -> None:
        """Raise CertificateError where the server of a URL has shown a certificate that does not hold."""
        if self._distrusted and (found := self._distrusted.get(url.origin())):
            raise CertificateError(f"{bare(url)} is not asked for any more in this run", found.why)

    def lose(self, url: URL, error: CertificateError) -> None:
        """Trust the server of a URL no more. It is told of once."""
        server = url.origin()
        if server not in self._distrusted:
            self._distrusted[server] = error
            log.warning("%s: %s; recordings that lie there fail in this run", server, error.why)
