"""Connections: closed when they bring nothing, without a timer for each request.

Tornado's own time limits make a timer, a future and a task for every request, a tenth of a short call. Here
one sweep every few seconds looks at all connections.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPConnection, HTTPMessageDelegate
from tornado.ioloop import PeriodicCallback

SWEEP_SECONDS = 5.0
STALLED_SECONDS = 30.0
"""A request whose head or body has begun and brings nothing more for this long is given up."""
IDLE_SECONDS = 3600.0
"""A connection between two requests may be silent this long."""


@dataclass(slots=True)
class _Seen:
    request: Any
    received: int
    since: float


class ScoringServer(HTTPServer):
    """An HTTP server with one sweep instead of a timer for each request."""

    def initialize(self, *args: Any, **kwargs: Any) -> None:
        """Take Tornado's settings; its time limits are switched off."""
        super().initialize(*args, **kwargs)
        self.conn_params.header_timeout = None
        self.conn_params.body_timeout = None
        self._current: dict[Any, Any] = {}
        self._seen: dict[Any, _Seen] = {}
        self._sweeper = PeriodicCallback(self.sweep, SWEEP_SECONDS * 1000)
        self._sweeper.start()

    def stop(self) -> None:
        """Stop listening and sweeping."""
        self._sweeper.stop()
        super().stop()

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        """Note which request a connection is at."""
        self._current[server_conn] = request_conn
        return super().start_request(server_conn, request_conn)

    def on_close(self, server_conn: object) -> None:
        """Forget a connection."""
        self._current.pop(server_conn, None)
        self._seen.pop(server_conn, None)
        super().on_close(server_conn)

    def sweep(self) -> None:
        """Close every connection that has stalled in a request, or was silent too long between two."""
        now = time.monotonic()
        for server_conn, request in list(self._current.items()):
            stream = request.stream
            if stream is None or request._read_finished:  # noqa: SLF001  # tornado shows its state nowhere else
                self._seen.pop(server_conn, None)  # it waits for our answer, or belongs to a WebSocket
                continue
            received = stream._total_read_index + stream._read_buffer_size  # noqa: SLF001
            seen = self._seen.get(server_conn)
            if seen is None or seen.request is not request or seen.received != received:
                self._seen[server_conn] = _Seen(request, received, now)
                continue
            begun = request._request_headers is not None or stream._read_buffer_size > 0  # noqa: SLF001
            if now - seen.since > (STALLED_SECONDS if begun else IDLE_SECONDS):
                stream.close()
