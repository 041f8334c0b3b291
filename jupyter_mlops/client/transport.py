"""HTTP to one server: pooled connections, the bearer token, and errors turned back into exceptions."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

import msgspec
import urllib3

from jupyter_mlops import __version__
from jupyter_mlops.client.patience import Patience, was_repeated
from jupyter_mlops.errors import (
    BY_NAME,
    Conflict,
    DeadlineExceeded,
    Forbidden,
    Gone,
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
    UnsupportedMediaType,
)
from jupyter_mlops.schema.base import API_VERSION
from jupyter_mlops.schema.errors import ErrorBody

T = TypeVar("T")

READ_SECONDS = 60.0
RENEW_SECONDS = 60.0
"""How long before its end a token is renewed."""

_BY_STATUS: dict[int, type[MLOpsError]] = {
    401: NotAuthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    413: TooLarge,
    429: TooManyRequests,
    502: KernelDied,
    503: Unavailable,
    504: DeadlineExceeded,
}


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where a server is and how to be let in."""

    url: str
    token: str = ""
    ends: float = math.inf
    """When the token ends, on the monotonic clock."""


class Content(Protocol):
    """A body that is made while it is sent, anew each time."""

    content_type: str
    size: int
    """Bytes."""

    def __iter__(self) -> Iterator[bytes]:
        """The body, in pieces."""
        ...


class Transport:
    """Sends requests to a server; may be used by several threads at once.

    Parameters
    ----------
    address:
        The server.
    renew:
        Finds the server, or logs in, again. It is asked once, for all threads, when nothing answers, when a token is
        refused (in both cases the request was not carried out, so that it is sent again), and shortly before a token
        ends.
    patience:
        How long to wait, and how often to ask again.
    """

    def __init__(
        self, address: Address, renew: Callable[[], Address] | None = None, patience: Patience | None = None
    ) -> None:
        self.address = address
        self.patience = patience or Patience()
        self._renew = renew
        self._renewing = threading.Lock()
        self._pool = urllib3.PoolManager(
            maxsize=16,
            headers={
                "User-Agent": f"jupyter-mlops/{__version__} (api {API_VERSION})",
                "Accept": "application/json",
            },
            socket_options=self.patience.socket_options(),
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
        timeout: float | None = None,
        usual: float | None = READ_SECONDS,
        content: bytes | memoryview | Content | None = None,
        into: Path | None = None,
        request_id: str = "",
        key: str = "",
        accept: str = "",
    ) -> bytes:
        """Send a request and return the body of a successful answer.

        Parameters
        ----------
        method:
            The HTTP method. GET, PUT and DELETE are sent again when the connection breaks, or the server or a proxy
            has no room (502, 503, 504); what runs code or makes something new is only if it has a key.
        path:
            Path and query, quoted, such as `/services/cars`.
        body:
            What to send as JSON.
        timeout:
            Seconds to wait for the answer; without it the client's own, else `usual`.
        usual:
            Seconds that such a request may take; None for as long as it takes.
        content:
            What to send instead of JSON.
        into:
            A file that takes the answer, which is not returned then.
        request_id:
            What the server shall call this request in its log, and keep it under if it fails; it makes one up without.
        key:
            What the server knows this request by (`Idempotency-Key`), where it takes one: when it comes twice, it is
            carried out once.
        accept:
            Media types to answer in; JSON without.

        Raises
        ------
        MLOpsError
            The class that the server's error names.
        ServerUnreachable
            When nothing answers at the address.
        DeadlineExceeded
            When the answer does not come in time.
        """
        more = {"X-Correlation-Id": request_id, "Idempotency-Key": key, "Accept": accept}
        wait = self._wait(timeout, usual)

        def send(address: Address) -> bytes:
            with self._answered(address, method, path, body, wait, content, more, preload=into is None) as response:
                return b"" if response is None else _received(response, into)

        return self._tried(send)

    @contextlib.contextmanager
    def stream(self, path: str, *, accept: str, usual: float | None = READ_SECONDS) -> Iterator[Iterator[bytes]]:
        """Get an answer in pieces, as they come.

        Parameters
        ----------
        path:
            Path and query, quoted.
        accept:
            The media type to ask for.
        usual:
            Seconds that the next piece may take.

        Raises
        ------
        MLOpsError
            As `request` does; a broken connection raises while the pieces are taken too.
        UnsupportedMediaType
            When the server answers with another media type.
        """
        wait = self._wait(None, usual)
        with contextlib.ExitStack() as stack:

            def send(address: Address) -> Iterator[bytes]:
                answered = self._answered(address, "GET", path, None, wait, None, {"Accept": accept}, preload=False)
                response = stack.enter_context(answered)
                assert response is not None, "only of a DELETE the answer may be lost"
                given = response.headers.get("Content-Type", "")
                if given.partition(";")[0].strip().lower() != accept:
                    raise UnsupportedMediaType(f"{address.url} answers with {given[:80]!r}, not with {accept}")
                return response.stream(_PIECE)

            yield self._tried(send)

    def watcher(self) -> Transport:
        """Another connection to the same server, for what watches in the background: it never starts a server."""
        return Transport(self.address, getattr(self._renew, "look", self._renew), self.patience)

    def json(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """Send a request and decode the JSON of its answer; None for an empty one."""
        answer = self.request(method, path, body, **more)
        return msgspec.json.decode(answer) if answer else None

    def close(self) -> None:
        """Close the pooled connections."""
        for key in self._pool.pools.keys():  # noqa: SIM118  # `clear` alone leaves them to the garbage collector
            pool = self._pool.pools.get(key)
            if pool is not None:
                pool.close()
        self._pool.clear()

    def _lasting(self) -> Address:
        """The address with a token that lasts for this request."""
        address = self.address
        if time.monotonic() < address.ends - RENEW_SECONDS:
            return address
        # While the old token is in force, what goes wrong with a new one is no concern of this request.
        with contextlib.suppress(MLOpsError):
            return self._renewed(address)
        return address

    def _renewed(self, used: Address) -> Address:
        """A newer address than the one used: one that another thread found meanwhile, or else a new one."""
        if self._renew is not None:
            with self._renewing:
                if self.address == used:
                    self.address = self._renew()
        return self.address

    def _wait(self, timeout: float | None, usual: float | None) -> float | None:
        return next((seconds for seconds in (timeout, self.patience.read) if seconds is not None), usual)

    def _tried(self, send: Callable[[Address], T]) -> T:
        """Send to the address, and to a newer one when it turns out that there is one."""
        address = self._lasting()
        try:
            return send(address)
        except (ServerUnreachable, NotAuthenticated) as error:
            if isinstance(error, ServerUnreachable) and not _never_sent(error):
                raise
            renewed = self._renewed(address)
            if renewed == address:
                raise
        return send(renewed)

    @contextlib.contextmanager
    def _answered(
        self,
        address: Address,
        method: str,
        path: str,
        body: Any,
        wait: float | None,
        content: Any,
        more: Mapping[str, str],
        *,
        preload: bool,
    ) -> Iterator[urllib3.BaseHTTPResponse | None]:
        """The server's answer; None when the first of two tries did what was asked, and its answer was lost."""
        headers = {**self._pool.headers, **{name: value for name, value in more.items() if value}}
        if address.token:
            headers["Authorization"] = f"Bearer {address.token}"
        if content is not None:
            headers["Content-Type"] = getattr(content, "content_type", "application/octet-stream")
            if not isinstance(content, bytes | memoryview):
                headers["Content-Length"] = str(content.size)
        elif body is not None:
            content = msgspec.json.encode(body)
            headers["Content-Type"] = "application/json"
        try:
            response = self._pool.request(
                method,
                address.url + path,
                body=content,
                headers=headers,
                timeout=urllib3.Timeout(connect=self.patience.connect, read=wait),
                retries=self.patience.retry(method, known=bool(more.get("Idempotency-Key"))),
                preload_content=preload,
            )
            with contextlib.closing(response):
                if response.status == 404 and method == "DELETE" and was_repeated(response):  # noqa: PLR2004
                    yield None
                    return
                if response.status >= 400:  # noqa: PLR2004
                    raise _refusal(response, f"{method} {address.url}{path}")
                yield response
        except urllib3.exceptions.HTTPError as error:
            raise _unreachable(address.url, error, wait) from error


_PIECE = 2**20


def _received(response: urllib3.BaseHTTPResponse, into: Path | None) -> bytes:
    if into is None:
        return response.data
    with into.open("wb") as file:
        for piece in response.stream(_PIECE):
            file.write(piece)
    return b""


def segment(text: str) -> str:
    """Quote one segment of a path."""
    return quote(text, safe="")


def _unreachable(url: str, error: urllib3.exceptions.HTTPError, wait: float | None) -> MLOpsError:
    reason = error.reason if isinstance(error, urllib3.exceptions.MaxRetryError) else error
    match reason:
        case urllib3.exceptions.ReadTimeoutError():
            return DeadlineExceeded(f"{url} did not answer within {wait:g} seconds")
        case urllib3.exceptions.ProtocolError():
            return ServerUnreachable(
                f"the connection to {url} broke before the answer came; the server may have stopped: "
                "`jupyter mlops status` tells"
            )
        case _:
            return ServerUnreachable(
                f"no server answers at {url}; check the address, or start one with `jupyter mlops serve` "
                "(without an address, one is found or started for you)"
            )


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
        return kind(
            f"{request} answered {response.status}, and not in the way of a jupyter_mlops server",
            retry_after=wait,
        )
    kind = BY_NAME.get(body.exception_type, _BY_STATUS.get(body.code, InternalError))
    return kind(body.message, fields=body.fields, retry_after=wait)
