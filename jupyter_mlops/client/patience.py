"""How long a client waits for a server, and when it asks again by itself."""

from __future__ import annotations

import socket
from types import TracebackType
from typing import Any, Self, cast

import msgspec
import urllib3
from urllib3.connection import HTTPConnection
from urllib3.exceptions import MaxRetryError, ReadTimeoutError

CONNECT_SECONDS = 10.0
LONGEST_PAUSE = 30.0
"""Seconds: a server that asks for a longer pause is not waited for, its refusal is raised."""

_IDEMPOTENT = frozenset({"GET", "PUT", "DELETE"})
_NO_ROOM = frozenset({502, 503, 504})
_QUIET_SECONDS = 60


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long to wait, and how often to ask again."""

    connect: float = CONNECT_SECONDS
    """Seconds until a connection stands."""
    read: float | None = None
    """Seconds until an answer comes; None for what each kind of request usually takes."""
    retries: int = 2
    """How often a request that changes nothing the second time is sent again."""

    def retry(self, method: str, *, known: bool = False) -> urllib3.Retry:
        """What urllib3 does when a request fails.

        Parameters
        ----------
        method:
            The HTTP method.
        known:
            Whether the server would know the request again, so that any method may be sent twice.
        """
        if method not in _IDEMPOTENT and not known:
            return urllib3.Retry(total=0, redirect=0)
        return _Retry(
            total=self.retries,
            redirect=0,
            allowed_methods={method},
            status_forcelist=_NO_ROOM,
            raise_on_status=False,
            backoff_factor=0.2,
            backoff_max=5,
        )

    def socket_options(self) -> list[tuple[int, int, Any]]:
        """Options that let a connection notice the other side's end, however long an answer may take."""
        options: list[tuple[int, int, Any]] = list(HTTPConnection.default_socket_options)
        options.append((socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1))
        if hasattr(socket, "TCP_KEEPIDLE"):  # not on every system
            options.append((socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _QUIET_SECONDS))
        return options


class _Retry(urllib3.Retry):
    """Does not wait twice for a late answer, and not at all when the server asks for a long pause."""

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: urllib3.BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: urllib3.connectionpool.ConnectionPool | None = None,
        _stacktrace: TracebackType | None = None,
    ) -> Self:
        """Count a failure; raise when the request is not to be sent again."""
        if isinstance(error, ReadTimeoutError):
            raise error
        if response is not None and (self.get_retry_after(response) or 0) > LONGEST_PAUSE:
            raise MaxRetryError(cast("urllib3.connectionpool.ConnectionPool", _pool), url or "")
        return super().increment(method, url, response, error, _pool, _stacktrace)


def was_repeated(response: urllib3.BaseHTTPResponse) -> bool:
    """Whether an earlier try of the request may have reached the server, and its answer was lost."""
    return response.retries is not None and any(
        past.status in _NO_ROOM or isinstance(past.error, urllib3.exceptions.ProtocolError)
        for past in response.retries.history
    )
