"""HTTP with an end to the patience: a client that holds a connection still loses it."""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

LOOK, LOOKS = 4.0, 5
"""Seconds between two looks at a connection, and looks that it may be waited for in a row."""
READ = 64 * 1024
"""Bytes of its answer that a client has to take within that time: less is not reading."""
MOST = 256
"""Connections at a time; more are hung up at once. (Fewer are already answered "busy".)"""


class PatientProtocol(H11Protocol):
    """A connection that is closed when its client lets the server wait for too long.

    That is for the rest of a request's head or body, or for room for the answer, which the client
    does not read. While the server has the request and works on it, a client may wait for ever.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begins to look after the connection, if there are not too many."""
        super().connection_made(transport)
        if len(self.connections) > MOST:
            transport.abort()
            return
        self._waited, self._request, self._unread = 0, None, 0
        self.loop.call_later(LOOK, self._look)

    def _look(self) -> None:
        if self not in self.connections:
            return  # closed, all that was answered sent, or a live connection now
        request: Any = self.cycle  # another one is progress
        unread = self.transport.get_write_buffer_size()
        waits = self.conn.their_state in (h11.IDLE, h11.SEND_BODY) or unread
        if waits and request is self._request and unread > self._unread - READ:
            self._waited += 1
            self._unread = max(self._unread, unread)  # an answer may be written in parts
        else:
            self._waited, self._request, self._unread = 0, request, unread
        if self._waited < LOOKS:
            self.loop.call_later(LOOK, self._look)
        else:
            self.transport.abort()
