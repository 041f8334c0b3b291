"""Connections: closed when they bring nothing, without a timer for each request.

Tornado's own time limits make a timer, a future and a task for every request, a tenth of a short call. Linux
knows when a connection last brought something, so one sweep every few seconds is enough. Elsewhere Tornado's
limits stay.
"""

from __future__ import annotations

import socket
import struct
import sys
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPConnection, HTTPMessageDelegate
from tornado.ioloop import PeriodicCallback

SWEEP_SECONDS = 5.0
STALLED_SECONDS = 30.0
"""A request whose head or body has begun and brings nothing more for this long is given up."""
IDLE_SECONDS = 3600.0
"""A connection between two requests may be silent this long."""

_LAST_DATA_RECEIVED = struct.Struct("=I")
_LAST_DATA_RECEIVED_AT = 52
"""Offset in Linux's `struct tcp_info` of the milliseconds since data came."""


class ScoringServer(HTTPServer):
    """An HTTP server with one sweep instead of a timer for each request."""

    def initialize(self, *args: Any, **kwargs: Any) -> None:
        """Take Tornado's settings; where a sweep can be made, its time limits are switched off."""
        super().initialize(*args, **kwargs)
        self._current: dict[Any, Any] = {}
        self._sweeper: PeriodicCallback | None = None
        if sys.platform == "linux":
            self.conn_params.header_timeout = None
            self.conn_params.body_timeout = None
            self._sweeper = PeriodicCallback(self.sweep, SWEEP_SECONDS * 1000)
            self._sweeper.start()
        else:
            self.conn_params.body_timeout = IDLE_SECONDS

    def stop(self) -> None:
        """Stop listening and sweeping."""
        if self._sweeper is not None:
            self._sweeper.stop()
        super().stop()

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        """Note which request a connection is at."""
        self._current[server_conn] = request_conn
        return super().start_request(server_conn, request_conn)

    def on_close(self, server_conn: object) -> None:
        """Forget a connection."""
        self._current.pop(server_conn, None)
        super().on_close(server_conn)

    def sweep(self) -> None:
        """Close every connection that has stalled in a request, or was silent too long between two."""
        for request in list(self._current.values()):
            stream = request.stream
            # It waits for our answer, or belongs to a WebSocket; tornado shows this nowhere else.
            if stream is None or stream.closed() or request._read_finished:  # noqa: SLF001
                continue
            begun = request._request_headers is not None or stream._read_buffer_size > 0  # noqa: SLF001
            if _silent_seconds(stream.socket) > (STALLED_SECONDS if begun else IDLE_SECONDS):
                stream.close()


def _silent_seconds(connection: socket.socket) -> float:
    """How long ago a TCP connection last brought data."""
    size = _LAST_DATA_RECEIVED_AT + _LAST_DATA_RECEIVED.size
    information = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, size)
    (milliseconds,) = _LAST_DATA_RECEIVED.unpack_from(information, _LAST_DATA_RECEIVED_AT)
    return float(milliseconds) / 1000
