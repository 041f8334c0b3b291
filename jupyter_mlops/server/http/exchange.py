"""One request and its answer, as Tornado's handlers see it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPOutputError,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.iostream import IOStream

if TYPE_CHECKING:
    from jupyter_mlops.server.http.connection import Connection

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
SWITCHING_PROTOCOLS = 101
_WITHOUT_BODY = frozenset({204, 304, *range(100, 200)})


@dataclass(frozen=True)
class Head:
    """What stands before the body of a request."""

    line: RequestStartLine
    headers: HTTPHeaders
    keep: bool
    """Whether the connection may be used for another request."""
    upgrade: bool
    """Whether the client wants to go on in another protocol."""


@dataclass(frozen=True)
class Peer:
    """Who is at the other end, by the names that Tornado's requests look for."""

    remote_ip: str
    protocol: str = "http"


class Exchange(HTTPConnection):
    """Writes the answer of one request.

    Parameters
    ----------
    connection:
        What it came by.
    head:
        What stood before its body.
    most:
        Largest body in bytes, until the handler sets its own limit.
    """

    def __init__(self, connection: Connection, head: Head, most: int) -> None:
        self.head = head
        self.context = connection.peer
        self.read = False
        """Whether the whole request has been handed on."""
        self.written = False
        """Whether the whole answer has been handed over."""
        self.room = most
        """Bytes of body that may still come."""
        self._connection = connection
        self._keep = head.keep
        self._chunked = False
        self._left: int | None = None
        self._on_close: Callable[[], None] | None = None

    @property
    def keeps(self) -> bool:
        """Whether the connection can be used for another request after this one."""
        return self._keep and self.read and not self.head.upgrade

    def set_close_callback(self, callback: Callable[[], None] | None) -> None:
        """Say what to call when the client goes before it has its answer."""
        self._on_close = callback

    def set_max_body_size(self, max_body_size: int) -> None:
        """Set the largest body in bytes."""
        self.room = max_body_size

    def write_headers(
        self,
        start_line: RequestStartLine | ResponseStartLine,
        headers: HTTPHeaders,
        chunk: bytes | None = None,
    ) -> asyncio.Future[None]:
        """Write the answer's head, with the first bytes of its body."""
        assert isinstance(start_line, ResponseStartLine)
        modern = self.head.line.version == "HTTP/1.1"
        bodiless = self.head.line.method == "HEAD" or start_line.code in _WITHOUT_BODY
        self._chunked = modern and not bodiless and "Content-Length" not in headers
        ends = modern or bodiless or "Content-Length" in headers
        refused = self.head.upgrade and start_line.code != SWITCHING_PROTOCOLS
        self._keep = self._keep and ends and not refused and headers.get("Connection") != "close"
        if self._chunked:
            headers["Transfer-Encoding"] = "chunked"
        if not self._keep:
            headers["Connection"] = "close"
        elif not modern:
            headers["Connection"] = "Keep-Alive"
        if bodiless:
            self._left = 0
        elif "Content-Length" in headers:
            self._left = int(headers["Content-Length"])
        return self._connection.send(_head(start_line, headers) + self._framed(chunk or b""))

    def write(self, chunk: bytes) -> asyncio.Future[None]:
        """Write the next bytes of the body."""
        return self._connection.send(self._framed(chunk))

    def finish(self) -> None:
        """Say that the answer is whole."""
        if self._left and not self._connection.lost:
            self._connection.abort()
            raise HTTPOutputError(f"{self._left} bytes of the announced Content-Length were not written")
        if self._chunked:
            self._connection.send(b"0\r\n\r\n")
        self.written = True
        self._on_close = None
        self._connection.answered(self)

    def detach(self) -> IOStream:
        """Go on in another protocol: what the client sends from now on, and what it gets, goes through this stream."""
        return self._connection.tunnel()

    def gone(self) -> None:
        """Tell the handler that the client has gone."""
        callback, self._on_close = self._on_close, None
        if callback is not None:
            callback()

    def _framed(self, chunk: bytes) -> bytes:
        if self._left is not None:
            self._left -= len(chunk)
            if self._left < 0:
                self._connection.abort()
                raise HTTPOutputError("more bytes were written than the announced Content-Length")
        if self._chunked and chunk:
            return b"%x\r\n%b\r\n" % (len(chunk), chunk)
        return chunk


def _head(line: ResponseStartLine, headers: HTTPHeaders) -> bytes:
    lines = [f"HTTP/1.1 {line.code} {line.reason}"]
    lines += [f"{name}: {value}" for name, value in headers.get_all()]
    text = "\r\n".join(lines)
    if not text.count("\r") == text.count("\n") == len(lines) - 1:
        raise ValueError(f"a header of the answer holds a line break: {lines!r}")
    return f"{text}\r\n\r\n".encode("latin1")
