"""One request to the server and its answer, both streamed: neither body is ever whole in memory.

Written on tornado's HTTP/1.1 connection rather than its HTTP client, because the client hands the answer
to a callback that cannot say "wait": a slow browser would collect a large artifact in Jupyter's memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tornado.http1connection import HTTP1Connection, HTTP1ConnectionParameters
from tornado.httputil import HTTPHeaders, HTTPMessageDelegate, RequestStartLine, ResponseStartLine
from tornado.iostream import StreamClosedError, UnsatisfiableReadError
from tornado.tcpclient import TCPClient

from jupyter_mlops.extension.backend import unreachable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CONNECT_SECONDS = 10.0
NO_LIMIT = 1 << 62
"""Bodies are limited by the server, route by route, not on the way to it."""

_FIRST_FINAL_STATUS = 200
_ASK_FIRST = 64 * 1024
"""Bytes of a body from which the server is asked whether it wants it: what is refused while it is being sent
is refused by a reset, which takes the refusal's words with it."""

_PATIENCE = 1.0
"""Seconds to wait for that; a server that knows no such question just waits for the body."""


class Exchange(HTTPMessageDelegate):
    """A request that has been sent up to its body, and the answer as it comes in.

    Made by `begin`. The caller gives the body to `send` and `end`, awaits `head`, iterates over the
    answer's body and, whatever happens, calls `close`.
    """

    def __init__(self, connection: HTTP1Connection, address: str) -> None:
        self._connection = connection
        self._address = address
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._reading: asyncio.Task[None] | None = None
        self._wanted: asyncio.Future[None] = asyncio.Future()
        self.head: asyncio.Future[tuple[ResponseStartLine, HTTPHeaders]] = asyncio.Future()
        """Status line and headers; fails with `ServerUnreachable` when the server goes away."""
        self.complete = False
        """Whether the whole answer arrived, once the iteration has ended."""

    @classmethod
    async def begin(cls, address: str, method: str, target: str, headers: HTTPHeaders) -> Exchange:
        """Connect and send the head of a request.

        Parameters
        ----------
        address:
            The server's URL.
        method:
            The HTTP method.
        target:
            Path and query, below the address.
        headers:
            The request's headers; `Host` is added.

        Raises
        ------
        ServerUnreachable
            When nobody listens there; then nothing was sent.
        """
        url = urlsplit(address)
        secure = ssl.create_default_context() if url.scheme == "https" else None
        port = url.port or (443 if secure else 80)
        try:
            stream = await TCPClient().connect(url.hostname or "", port, ssl_options=secure, timeout=CONNECT_SECONDS)
        except (OSError, TimeoutError, StreamClosedError) as error:
            raise unreachable(address, error) from error
        stream.set_nodelay(True)
        limits = HTTP1ConnectionParameters(no_keep_alive=True, max_body_size=NO_LIMIT)
        exchange = cls(HTTP1Connection(stream, is_client=True, params=limits), address)
        headers["Host"] = url.netloc
        headers["Connection"] = "close"
        if int(headers.get("Content-Length", "0")) >= _ASK_FIRST:
            headers["Expect"] = "100-continue"
        else:
            exchange._wanted.set_result(None)
        with contextlib.suppress(StreamClosedError):  # said by `head`
            await exchange._connection.write_headers(RequestStartLine(method, url.path + target, "HTTP/1.1"), headers)
        exchange._reading = asyncio.create_task(exchange._read())
        return exchange

    async def send(self, chunk: bytes) -> None:
        """Send a piece of the body, as fast as the server takes it."""
        if not self._wanted.done():
            await asyncio.wait([self._wanted], timeout=_PATIENCE)
            self._heard()
        # A server that refused the body has stopped reading; its answer is what counts.
        if not self.head.done():
            with contextlib.suppress(StreamClosedError):
                await self._connection.write(chunk)

    def end(self) -> None:
        """Say that the body is complete."""
        if not self.head.done() and not self._connection.stream.closed():
            self._connection.finish()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Iterate over the answer's body; a piece is read when the last one has been dealt with."""
        while (chunk := await self._chunks.get()) is not None:
            yield chunk
            self._chunks.task_done()

    def close(self) -> None:
        """Hang up; the server notices when its work is no longer wanted."""
        if self._reading is not None:
            self._reading.cancel()
        self._connection.close()

    async def _read(self) -> None:
        reason: object = "it closed the connection"
        try:
            await self._connection.read_response(self)
        except (StreamClosedError, UnsatisfiableReadError, OSError) as error:
            reason = error
        if not self.head.done():
            self.head.set_exception(unreachable(self._address, reason))
            self.head.exception()  # it may be that nobody waits any more
        self._heard()
        self._chunks.put_nowait(None)

    def headers_received(self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders) -> None:
        """Take the answer's head (tornado calls this, also for interim answers)."""
        if isinstance(start_line, ResponseStartLine) and start_line.code >= _FIRST_FINAL_STATUS:
            self.head.set_result((start_line, headers))
        self._heard()

    async def data_received(self, chunk: bytes) -> None:
        """Take a piece of the answer, and let tornado read on when it has been passed on."""
        self._chunks.put_nowait(chunk)
        await self._chunks.join()

    def _heard(self) -> None:
        if not self._wanted.done():
            self._wanted.set_result(None)

    def finish(self) -> None:
        """Note that the answer is complete (tornado calls this)."""
        self.complete = True
        self._chunks.put_nowait(None)
