"""A connection: requests are parsed by llhttp and handed to Tornado's application one after another."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import cast

import httptools
from tornado.httputil import (
    HTTPHeaders,
    HTTPInputError,
    HTTPMessageDelegate,
    HTTPServerConnectionDelegate,
    RequestStartLine,
)
from tornado.iostream import IOStream, StreamClosedError

from jupyter_mlops.server.http.exchange import CONTINUE, Exchange, Head, Peer
from jupyter_mlops.server.http.tunnel import Tunnel

log = logging.getLogger(__name__)

STALLED_SECONDS = 30.0
"""A request whose head or body has begun and brings nothing more for this long is given up."""
IDLE_SECONDS = 3600.0
"""A connection between two requests may be silent this long."""
LINGER_SECONDS = 2.0
"""How long what a refused client still sends is thrown away, so that it comes to read the refusal."""
HEAD_LIMIT = 32 * 1024
"""Most bytes of a request's line and headers."""
BODY_LIMIT = 2**20
"""Most bytes of a body, unless the handler sets its own limit."""

_END = object()
"""Stands for the end of a request among its parts."""


class Connection(asyncio.Protocol):
    """Reads requests, one at a time, and writes their answers.

    Parameters
    ----------
    application:
        What answers.
    on_lost:
        Is told when it has ended.
    """

    def __init__(self, application: HTTPServerConnectionDelegate, on_lost: Callable[[Connection], None]) -> None:
        self.peer = Peer("")
        self.lost = False
        self._application = application
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._heard = self._loop.time()
        self._url = b""
        self._headers = HTTPHeaders()
        self._head_size = 0
        self._in_message = False
        self._exchange: Exchange | None = None
        self._delegate: HTTPMessageDelegate | None = None
        self._parts: deque[object] = deque()
        """Parts of requests that cannot be handed on yet."""
        self._working: asyncio.Future[None] | None = None
        """The handler, as long as it works on the part that it got last."""
        self._listening = True
        self._last = False
        """Whether the client said that no request follows the one that has come."""
        self._plain = b""
        """The head of a request that asked for a protocol that nobody speaks here, without asking."""
        self._deaf = False
        """Whether what still comes is thrown away."""
        self._tunnel: Tunnel | None = None
        self._written: asyncio.Future[None] = self._loop.create_future()
        self._written.set_result(None)

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        address = transport.get_extra_info("peername")
        self.peer = Peer(address[0] if isinstance(address, tuple) else "127.0.0.1")

    def data_received(self, data: bytes) -> None:
        """Parse what came; Tornado's application is called from within."""
        self._heard = self._loop.time()
        if self._tunnel is not None:
            self._tunnel.feed(data)
        elif not self._deaf and not self._last:
            self._parse(data)

    def pause_writing(self) -> None:
        """Let whoever writes wait: the client is slow."""
        self._written = self._loop.create_future()
        if self._tunnel is not None:
            self._tunnel.pause()

    def resume_writing(self) -> None:
        """Let them go on."""
        self._written.set_result(None)
        if self._tunnel is not None:
            self._tunnel.resume()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # either way it is over
        """Tell whoever works for the client that it has gone."""
        self.lost = True
        self._on_lost(self)
        if not self._written.done():
            self._written.set_exception(StreamClosedError())
            self._written.exception()
        if self._tunnel is not None:
            self._tunnel.close()
        self._abandon()

    # What the parser calls.

    def on_message_begin(self) -> None:
        """A request begins."""
        self._url = b""
        self._headers = HTTPHeaders()
        self._head_size = 0
        self._in_message = True

    def on_url(self, url: bytes) -> None:
        """A piece of the address."""
        self._url += url
        self._head_size += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep one header; a name that comes twice has both values."""
        self._head_size += len(name) + len(value)
        key, text = name.decode("latin1"), value.decode("latin1")
        if key in self._headers:
            self._headers.add(key, text)
        else:
            self._headers[key] = text  # the parser has checked both

    def on_headers_complete(self) -> None:
        """Hand on the head of a request."""
        if self._head_size > HEAD_LIMIT:
            self._refuse(b"431 Request Header Fields Too Large")
            return
        parser, headers = self._parser, self._headers
        line = RequestStartLine(
            parser.get_method().decode(), self._url.decode("latin1"), f"HTTP/{parser.get_http_version()}"
        )
        upgrade = parser.should_upgrade()
        if upgrade and headers.get("Upgrade", "").lower() != "websocket":
            self._plain = _without_upgrade(line, headers)
        else:
            self._take(Head(line, headers, parser.should_keep_alive(), upgrade))

    def on_body(self, body: bytes) -> None:
        """Hand on a piece of the body."""
        self._take(body)

    def on_message_complete(self) -> None:
        """Hand on the end of a request."""
        if not self._plain:
            self._in_message = False
            self._last = not self._parser.should_keep_alive()
            self._take(_END)

    # What the exchange calls.

    def send(self, data: bytes) -> asyncio.Future[None]:
        """Write to the client; done when there is room for more."""
        if self.lost or self._transport.is_closing():
            future: asyncio.Future[None] = self._loop.create_future()
            future.set_exception(StreamClosedError())
            future.exception()  # who does not wait for it need not know
            return future
        self._transport.write(data)
        return self._written

    def answered(self, exchange: Exchange) -> None:
        """Go on to the next request, or end."""
        if exchange.keeps:
            self._exchange = self._delegate = None
            if self._parts:
                self._loop.call_soon(self._advance)
        elif exchange.head.upgrade:
            self._loop.call_soon(self._end_unless_tunnelled)  # the stream is asked for after the answer
        else:
            self._end()

    def tunnel(self) -> IOStream:
        """Leave HTTP."""
        self._exchange = self._delegate = None
        self._tunnel = Tunnel(self._transport)
        for part in self._parts:
            if isinstance(part, bytes):
                self._tunnel.feed(part)
        self._parts.clear()
        self._listen(True)
        return self._tunnel.stream

    # What the server calls.

    def stalled(self, now: float) -> bool:
        """Whether the client has been silent too long while it was its turn."""
        exchange = self._exchange
        if self._tunnel is not None or self._working is not None or (exchange is not None and exchange.read):
            return False
        return now - self._heard > (STALLED_SECONDS if self._in_message else IDLE_SECONDS)

    def close(self) -> None:
        """Close when what was written is sent."""
        self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    # Parts on their way to the application.

    def _parse(self, data: bytes) -> None:
        begun = self._in_message and self._exchange is None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
            if self._plain:
                plain, self._plain = self._plain, b""
                self._parser = httptools.HttpRequestParser(self)
                self._parse(plain + rest)
            elif self._tunnel is not None:
                self._tunnel.feed(rest)
            else:
                self._parts.append(rest)
                self._listen(False)
        except httptools.HttpParserCallbackError as error:
            log.exception("a request met a defect", exc_info=error.__context__ or error)
        except httptools.HttpParserError as error:
            if not self._last:
                log.info("a malformed request from %s: %s", self.peer.remote_ip, error)
                self._refuse(b"400 Bad Request")
        if begun and self._in_message and self._exchange is None and not self._deaf:
            self._head_size += len(data)
            if self._head_size > 2 * HEAD_LIMIT:
                self._refuse(b"431 Request Header Fields Too Large")

    def _take(self, part: object) -> None:
        if self._deaf:
            return
        if self._parts or not self._may(part):
            self._parts.append(part)
            self._listen(False)
        else:
            self._hand(part)

    def _may(self, part: object) -> bool:
        return self._working is None and (self._exchange is None or not isinstance(part, Head))

    def _advance(self) -> None:
        while self._parts and self._may(self._parts[0]):
            self._hand(self._parts.popleft())
        if not self._parts and self._working is None and not self.lost:
            self._listen(True)

    def _hand(self, part: object) -> None:
        try:
            work = self._begin(part) if isinstance(part, Head) else self._continue(part)
            if work is not None:
                self._await(asyncio.ensure_future(work))
        except HTTPInputError as error:
            log.info("a malformed request from %s: %s", self.peer.remote_ip, error)
            self._refuse(b"400 Bad Request")
        except Exception:
            self.close()
            raise

    def _begin(self, head: Head) -> Awaitable[None] | None:
        self._exchange = exchange = Exchange(self, head, BODY_LIMIT)
        self._delegate = self._application.start_request(self, exchange)
        work = self._delegate.headers_received(head.line, head.headers)
        if head.headers.get("Expect", "").lower() == "100-continue" and not exchange.written:
            self.send(CONTINUE)
        return work

    def _continue(self, part: object) -> Awaitable[None] | None:
        exchange, delegate = self._exchange, self._delegate
        if exchange is None or delegate is None or exchange.written:
            return None
        if isinstance(part, bytes):
            exchange.room -= len(part)
            if exchange.room < 0:
                raise HTTPInputError("the body is longer than may come")
            return delegate.data_received(part)
        exchange.read = True
        delegate.finish()
        return None

    def _await(self, work: asyncio.Future[None]) -> None:
        if not work.done():
            self._working = work
            self._listen(False)
            work.add_done_callback(self._worked)
        elif not work.cancelled():
            work.result()

    def _worked(self, work: asyncio.Future[None]) -> None:
        self._working = None
        error = None if work.cancelled() else work.exception()
        if error is not None:
            log.error("a request met a defect", exc_info=error)
            self.close()
        elif not self.lost:
            self._advance()

    def _listen(self, wanted: bool) -> None:  # noqa: FBT001
        if wanted != self._listening and not self._transport.is_closing():
            self._listening = wanted
            (self._transport.resume_reading if wanted else self._transport.pause_reading)()

    # Ends.

    def _refuse(self, status: bytes) -> None:
        """Answer what is no request, and hang up."""
        self._abandon()
        self.send(b"HTTP/1.1 %b\r\nConnection: close\r\nContent-Length: 0\r\n\r\n" % status)
        self._end()

    def _end(self) -> None:
        """Close when the client has what was written; until then nothing more is heard."""
        self._deaf = True
        self._parts.clear()
        self._exchange = self._delegate = None
        if self._in_message and self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()  # a plain close would reset what is on its way to a client that still sends
            self._listen(True)
            self._loop.call_later(LINGER_SECONDS, self._transport.close)
        else:
            self._transport.close()

    def _end_unless_tunnelled(self) -> None:
        if self._tunnel is None:
            self._end()

    def _abandon(self) -> None:
        exchange, delegate = self._exchange, self._delegate
        self._exchange = self._delegate = None
        self._parts.clear()
        if exchange is None or exchange.written:
            return
        if exchange.read:
            exchange.gone()
        elif delegate is not None:
            delegate.on_connection_close()


def _without_upgrade(line: RequestStartLine, headers: HTTPHeaders) -> bytes:
    """A head that asks for no other protocol: llhttp would take the body for the beginning of it (RFC 9110, 7.8)."""
    lines = [f"{line.method} {line.path} {line.version}"]
    lines += [f"{name}: {value}" for name, value in headers.get_all() if name not in {"Connection", "Upgrade"}]
    return "\r\n".join([*lines, "", ""]).encode("latin1")
