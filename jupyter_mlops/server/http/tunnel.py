"""A way on for connections that leave HTTP, such as WebSockets: Tornado speaks on a stream of its own."""

from __future__ import annotations

import asyncio
import socket
from typing import cast

from tornado.iostream import IOStream


class Tunnel(asyncio.Protocol):
    """Carries bytes between a client and a stream in this process, as fast as the slower of them takes them.

    Parameters
    ----------
    client:
        The transport to the client.
    """

    def __init__(self, client: asyncio.Transport) -> None:
        self._client = client
        self._transport: asyncio.Transport | None = None
        self._early: list[bytes] = []
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        self.stream = IOStream(theirs)
        """What Tornado reads and writes."""
        self._opening = asyncio.ensure_future(asyncio.get_running_loop().create_connection(lambda: self, sock=ours))

    def feed(self, data: bytes) -> None:
        """Take what the client sent."""
        if self._transport is None:
            self._early.append(data)
        else:
            self._transport.write(data)

    def close(self) -> None:
        """End the stream: the client has gone."""
        if self._transport is None:
            self._opening.add_done_callback(lambda _: self.close())
        else:
            self._transport.close()

    def pause(self) -> None:
        """Read no more from the stream: the client is slow."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read from the stream again."""
        if self._transport is not None:
            self._transport.resume_reading()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Pass on what came before."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(b"".join(self._early))
        self._early.clear()

    def data_received(self, data: bytes) -> None:
        """Pass on what Tornado wrote."""
        self._client.write(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # either way it is over
        """Tornado has closed its stream."""
        self._client.close()

    def pause_writing(self) -> None:
        """Tornado is slow: let the client wait."""
        self._client.pause_reading()

    def resume_writing(self) -> None:
        """Go on reading from the client."""
        self._client.resume_reading()
