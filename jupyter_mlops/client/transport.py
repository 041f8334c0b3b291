"""HTTP to one server: pooled connections, the bearer token, and errors turned back into exceptions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import msgspec
import urllib3

from jupyter_mlops import __version__
from jupyter_mlops.errors import (
    BY_NAME,
    Conflict,
    DeadlineExceeded,
    Forbidden,
    InternalError,
    InvalidRequest,
    KernelDied,
    MLOpsError,
    NotAuthenticated,
    NotFound,
    ServerUnreachable,
    TooLarge,
    TooManyRequests,
    Unavailable,
)
from jupyter_mlops.schema.base import API_VERSION
from jupyter_mlops.schema.errors import ErrorBody

CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0

_BY_STATUS: dict[int, type[MLOpsError]] = {
    401: NotAuthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
    429: TooManyRequests,
    502: KernelDied,
    503: Unavailable,
    504: DeadlineExceeded,
}

# A GET may be asked again when its connection is reset; what changes something, or runs code, never is.
_RETRY_READS = urllib3.Retry(total=2, connect=2, read=2, status=0, redirect=0, other=0, allowed_methods=["GET"])
_NO_RETRY = urllib3.Retry(total=0, redirect=0)


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where a server is and how to be let in."""

    url: str
    token: str = ""


class Transport:
    """Sends requests to a server.

    Parameters
    ----------
    address:
        The server.
    renew:
        Finds the server, or logs in, again. It is asked once when nothing answers or a token is refused;
        in both cases the request was not carried out, so that it is sent again.
    """

    def __init__(self, address: Address, renew: Callable[[], Address] | None = None) -> None:
        self.address = address
        self._renew = renew
        self._pool = urllib3.PoolManager(
            maxsize=16,
            headers={
                "User-Agent": f"jupyter-mlops/{__version__} (api {API_VERSION})",
                "Accept": "application/json",
            },
        )

    @property
    def url(self) -> str:
        """The server's address, without a slash at the end."""
        return self.address.url

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        timeout: float = READ_SECONDS,
        content: bytes | memoryview | None = None,
    ) -> bytes:
        """Send a request and return the body of a successful answer.

        Parameters
        ----------
        method:
            The HTTP method.
        path:
            Path and query, quoted, such as `/services/cars`.
        body:
            What to send as JSON.
        timeout:
            Seconds to wait for the answer.
        content:
            Raw bytes to send instead of JSON.

        Raises
        ------
        MLOpsError
            The class that the server's error names.
        ServerUnreachable
            When nothing answers at the address.
        """
        try:
            return self._send(method, path, body, timeout, content)
        except (ServerUnreachable, NotAuthenticated) as error:
            if self._renew is None or (isinstance(error, ServerUnreachable) and not _never_sent(error)):
                raise
            address = self._renew()
            if address == self.address:
                raise
            self.address = address
        return self._send(method, path, body, timeout, content)

    def json(self, method: str, path: str, body: Any = None, *, timeout: float = READ_SECONDS) -> Any:
        """Send a request and decode the JSON of its answer; None for an empty one."""
        answer = self.request(method, path, body, timeout=timeout)
        return msgspec.json.decode(answer) if answer else None

    def close(self) -> None:
        """Close the pooled connections."""
        self._pool.clear()

    def _send(self, method: str, path: str, body: Any, timeout: float, content: bytes | memoryview | None) -> bytes:
        headers = dict(self._pool.headers)
        if self.address.token:
            headers["Authorization"] = f"Bearer {self.address.token}"
        data: Any = content
        if content is not None:
            headers["Content-Type"] = "application/octet-stream"
        elif body is not None:
            data = msgspec.json.encode(body)
            headers["Content-Type"] = "application/json"
        try:
            response = self._pool.request(
                method,
                self.url + path,
                body=data,
                headers=headers,
                timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=timeout),
                retries=_RETRY_READS if method == "GET" else _NO_RETRY,
            )
        except urllib3.exceptions.HTTPError as error:
            raise self._unreachable(error, timeout) from error
        if response.status >= 400:  # noqa: PLR2004
            raise _refusal(response, f"{method} {self.url}{path}")
        return response.data

    def _unreachable(self, error: urllib3.exceptions.HTTPError, timeout: float) -> MLOpsError:
        reason = error.reason if isinstance(error, urllib3.exceptions.MaxRetryError) else error
        match reason:
            case urllib3.exceptions.ReadTimeoutError():
                return DeadlineExceeded(f"{self.url} did not answer within {timeout:g} seconds")
            case urllib3.exceptions.ProtocolError():
                return ServerUnreachable(
                    f"the connection to {self.url} broke before the answer came; the server may have stopped: "
                    "`jupyter mlops status` tells"
                )
            case _:
                return ServerUnreachable(
                    f"no server answers at {self.url}; check the address, or start one with `jupyter mlops serve` "
                    "(without an address, one is found or started for you)"
                )


def segment(text: str) -> str:
    """Quote one segment of a path."""
    return quote(text, safe="")


def _never_sent(error: ServerUnreachable) -> bool:
    cause = error.__cause__
    reason = cause.reason if isinstance(cause, urllib3.exceptions.MaxRetryError) else cause
    return isinstance(reason, urllib3.exceptions.NewConnectionError | urllib3.exceptions.ConnectTimeoutError)


def _refusal(response: urllib3.BaseHTTPResponse, request: str) -> MLOpsError:
    retry_after = response.headers.get("Retry-After", "")
    wait = float(retry_after) if retry_after.isdigit() else None
    try:
        body = msgspec.json.decode(response.data, type=ErrorBody)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        kind = _BY_STATUS.get(response.status, InvalidRequest if response.status < 500 else InternalError)  # noqa: PLR2004
        return kind(f"{request} answered {response.status}, and not in the way of a jupyter_mlops server")
    kind = BY_NAME.get(body.exception_type, _BY_STATUS.get(body.code, InternalError))
    return kind(body.message, fields=body.fields, retry_after=wait)
