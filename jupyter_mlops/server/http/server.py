"""The listening side: accepts connections, and closes those that bring nothing."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from tornado.httputil import HTTPServerConnectionDelegate

from jupyter_mlops.server.http.connection import Connection

SWEEP_SECONDS = 5.0
LAST_SECONDS = 2.0
"""How long clients may take to read the last of their answers when the server ends."""


class HttpServer:
    """Serves a Tornado application; one sweep closes stalled connections, in place of a timer for each request.

    Parameters
    ----------
    application:
        What answers.
    """

    def __init__(self, application: HTTPServerConnectionDelegate) -> None:
        self._application = application
        self._servers: list[asyncio.Server] = []
        self._connections: set[Connection] = set()
        self._sweeper: asyncio.Task[None] | None = None

    async def listen(self, sockets: list[socket.socket]) -> None:
        """Accept connections on sockets that are bound."""
        loop = asyncio.get_running_loop()
        for one in sockets:
            self._servers.append(await loop.create_server(self._connection, sock=one))
        self._sweeper = loop.create_task(self._sweep())

    def stop(self) -> None:
        """Accept no more connections."""
        for server in self._servers:
            server.close()

    async def close(self) -> None:
        """Close every connection."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for end in (Connection.close, Connection.abort):
            for connection in list(self._connections):
                end(connection)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_SECONDS):
                    while self._connections:  # noqa: ASYNC110  # once, at the end
                        await asyncio.sleep(0.01)

    def _connection(self) -> Connection:
        connection = Connection(self._application, self._connections.discard)
        self._connections.add(connection)
        return connection

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            for connection in [one for one in self._connections if one.stalled(loop.time())]:
                connection.close()
