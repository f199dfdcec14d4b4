"""Connections to many hosts, of which never more are open than are allowed.

In:   a limit.  Out: a connector for aiohttp's sessions.

aiohttp counts the connections in use. Each host may leave as many idle ones behind besides, for fifteen seconds, and recordings
may lie on any number of hosts: a thousand of them would use up what a process may open (`ulimit -n`). So the idle ones count
here too: where a new connection would be one too many, the one that has been idle for longest is closed first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp

from harvester.platform.guard import guarded_socket

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.tracing import Trace


class Connections(aiohttp.TCPConnector):
    """As many connections as a limit says, with those that are kept open for a further request."""

    def __init__(self, limit: int, *, guarded: bool) -> None:
        """`limit` is a count: how many may be open at once; `guarded`: none leads to a private address."""
        super().__init__(limit=limit, socket_factory=guarded_socket if guarded else None)

    async def _create_connection(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        # A place is taken in `_acquired` already for the one that is to be made.
        for _ in range(len(self._acquired) + sum(map(len, self._conns.values())) - self.limit):
            self._close_oldest()
        return await super()._create_connection(req, traces, timeout)

    def _close_oldest(self) -> None:
        """Close the connection that has been idle for longest, where there is one: at once, before its host says goodbye."""
        idle = [(times[0][1], key) for key, times in self._conns.items() if times]
        if idle:
            _, key = min(idle, key=lambda each: each[0])
            protocol, _ = self._conns[key].popleft()
            if not self._conns[key]:
                del self._conns[key]
            protocol.abort()
