"""What every handler shares: who calls, the body within its limit, and one shape for every refusal."""

from __future__ import annotations

import itertools
import logging
import os
import re
import secrets
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, BinaryIO, ClassVar, TypeVar
from urllib.parse import quote

import msgspec
from tornado.httputil import HTTPHeaders, format_timestamp, split_host_and_port
from tornado.iostream import StreamClosedError
from tornado.web import HTTPError, RequestHandler, stream_request_body

from jupyter_mlops import errors
from jupyter_mlops.errors import MLOpsError
from jupyter_mlops.schema.access import Identity
from jupyter_mlops.schema.errors import ErrorBody
from jupyter_mlops.server.handlers.spool import pieces
from jupyter_mlops.server.managers.access import AccessManager
from jupyter_mlops.server.managers.batches import BatchManager
from jupyter_mlops.server.managers.events import Events
from jupyter_mlops.server.managers.executions import ExecutionManager
from jupyter_mlops.server.managers.failures import FailureManager
from jupyter_mlops.server.managers.nodes import NodeManager
from jupyter_mlops.server.managers.pools import PoolManager
from jupyter_mlops.server.managers.realtime import RealtimeManager
from jupyter_mlops.server.managers.revisions import RevisionManager
from jupyter_mlops.server.managers.services import ServiceManager
from jupyter_mlops.server.managers.sessions import SessionManager
from jupyter_mlops.server.managers.snapshots import SnapshotManager
from jupyter_mlops.server.managers.status import StatusManager
from jupyter_mlops.server.managers.uploads import UploadManager
from jupyter_mlops.server.managers.users import UserManager
from jupyter_mlops.server.managers.workspaces import WorkspaceManager

T = TypeVar("T")

log = logging.getLogger(__name__)

STATUS_OF: dict[type[MLOpsError], int] = {
    errors.InvalidRequest: 400,
    errors.NotAuthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.Gone: 410,
    errors.TooLarge: 413,
    errors.UnsupportedMediaType: 415,
    errors.PublishRefused: 422,
    errors.KeyReused: 422,
    errors.TooManyRequests: 429,
    errors.KernelDied: 502,
    errors.Unavailable: 503,
    errors.DeadlineExceeded: 504,
    errors.DiskFull: 507,
    errors.InternalError: 500,
}
"""The one place where an error becomes a status; a subclass has the status of its nearest listed parent."""

SMALL_BODY = 64 * 1024
"""Bytes of body that are read even when the request is refused."""

_CORRELATION = re.compile(r"[A-Za-z0-9._-]{1,64}")
_PROCESS = secrets.token_hex(5)
_requests = itertools.count(1)


@dataclass(frozen=True)
class Managers:
    """The managers that handlers call."""

    access: AccessManager
    users: UserManager
    services: ServiceManager
    realtime: RealtimeManager
    executions: ExecutionManager
    batches: BatchManager
    uploads: UploadManager
    pools: PoolManager
    sessions: SessionManager
    workspaces: WorkspaceManager
    snapshots: SnapshotManager
    revisions: RevisionManager
    failures: FailureManager
    nodes: NodeManager
    status: StatusManager
    events: Events
    hosts: frozenset[str] | None
    """Host names that requests may be addressed to; None for any."""


@stream_request_body
class BaseHandler(RequestHandler):
    """Authenticates, reads the body up to `limit` bytes, and answers every refusal in one shape."""

    public: ClassVar[bool] = False
    """Whether the route needs no credential; the few that do not are listed in the design and in a test."""
    limit: ClassVar[int] = 2**20
    """Largest body in bytes."""
    content_policy: ClassVar[str] = "default-src 'none'; frame-ancestors 'none'; sandbox"

    managers: Managers
    identity: Identity
    correlation: str

    def initialize(self, managers: Managers) -> None:
        """Take what the application hands to every handler."""
        self.managers = managers
        self._received: list[bytes] = []
        self._size = 0

    def clear(self) -> None:
        """Begin an answer: let nothing of it be sniffed, framed, run or kept."""
        # As tornado's own, without what would be made anew each time or taken out again.
        self._write_buffer: list[bytes] = []
        self._status_code = 200
        self._reason = "OK"
        self._headers = HTTPHeaders()
        self.set_default_headers()

    def set_default_headers(self) -> None:
        """Set what every answer says of itself."""
        asked = self.request.headers.get("X-Correlation-Id")
        known = asked is not None and _CORRELATION.fullmatch(asked)
        self.correlation = asked if asked is not None and known else f"{_PROCESS}-{next(_requests):x}"
        headers = self._headers  # constants of ours need none of the checks of set_header
        headers["Date"] = _date(int(time.time()))
        headers["X-Correlation-Id"] = self.correlation
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Content-Security-Policy"] = self.content_policy
        headers["Cache-Control"] = "no-store"

    def prepare(self) -> None:
        """Check the host, the caller and the announced size, before any of the body is read."""
        # A little more is read than is taken, so that who sends too much can still read the refusal.
        self.request.connection.set_max_body_size(self.limit + SMALL_BODY)  # type: ignore[union-attr]
        announced = self.request.headers.get("Content-Length", "")
        size = int(announced) if announced.isdecimal() else 0
        try:
            self.admit()
            if size > self.limit:
                raise self._too_large()
        except MLOpsError as error:
            self._refuse_early(error, size)

    def admit(self) -> None:
        """Raise whatever is known to be wrong from the request's head alone."""
        self._check_host()
        if not self.public:
            self.identity = self.managers.access.identify(self._bearer())

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        """Collect the body; of one that grows past the limit nothing is kept."""
        self._size += len(chunk)
        if self._size <= self.limit:
            self._received.append(chunk)
        else:
            self._received.clear()
            self._refuse_later(self._too_large())
        return None

    def body(self) -> bytes:
        """The whole body."""
        return b"".join(self._received)

    def decode(self, kind: type[T], *, or_empty: bool = False) -> T:
        """Decode the body as JSON of a wire type.

        Parameters
        ----------
        kind:
            The wire type.
        or_empty:
            Take an empty body for an empty object.

        Raises
        ------
        InvalidRequest
            With the JSON path and the expected type of what does not fit.
        """
        try:
            return msgspec.json.decode(self.body() or (b"{}" if or_empty else b""), type=kind)
        except msgspec.ValidationError as error:
            _, _, path = str(error).partition(" - at ")
            raise errors.InvalidRequest(f"the body does not fit: {error}", fields=path.strip("`") or "$") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise errors.InvalidRequest(f"the body is not JSON: {error}", fields="$") from None

    def endpoint(self) -> str:
        """Address of this node, as the caller knows it."""
        return f"{self.request.protocol}://{self.request.host}"

    def answer(self, value: Any, status: int = 200) -> None:
        """Finish with a value as JSON."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        self.finish(msgspec.json.encode(value))

    async def send_file(self, file: BinaryIO, name: str, kind: str = "application/octet-stream") -> None:
        """Finish with an open file, a piece at a time, as an attachment that no browser runs.

        Parameters
        ----------
        file:
            Open for reading; it is closed.
        name:
            What a browser is to call it.
        kind:
            Its media type.
        """
        self.set_header("Content-Type", kind)
        self.set_header("Content-Disposition", f"attachment; filename*=UTF-8''{quote(name, safe='')}")
        self.set_header("Content-Length", str(os.fstat(file.fileno()).st_size))
        async for piece in pieces(file):
            self.write(piece)
            await self.flush()
        await self.finish()

    def refuse(self, error: MLOpsError) -> None:
        """Finish with an error as JSON."""
        status = next(STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF)
        if isinstance(error, errors.NotAuthenticated):
            self.set_header("WWW-Authenticate", "Bearer")
        if error.retry_after is not None:
            self.set_header("Retry-After", str(max(1, round(error.retry_after))))
        self.answer(
            ErrorBody(message=error.message, code=status, exception_type=type(error).__name__, fields=error.fields),
            status,
        )

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer what a handler raised; a defect of ours shows nothing but the correlation id."""
        error = kwargs["exc_info"][1] if "exc_info" in kwargs else None
        if isinstance(error, MLOpsError):
            self.refuse(error)
        elif status_code == 405:  # noqa: PLR2004
            self.set_header("Allow", ", ".join(self._allowed()))
            self.answer(plain(f"{self.request.method} is not for this address", status_code, "InvalidRequest"), 405)
        elif isinstance(error, HTTPError) and status_code < 500:  # noqa: PLR2004
            self.set_header("Connection", "close")  # tornado may not have read the body, and then hangs up
            self.answer(plain(error.log_message or self._reason, status_code, "InvalidRequest"), status_code)
        else:
            message = f"the server met a defect of its own; its log has the rest under {self.correlation}"
            self.answer(plain(message, status_code, "InternalError"), status_code)

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Log defects with their stack, and refusals not at all: the access log has them."""
        if not isinstance(value, MLOpsError | HTTPError | StreamClosedError):  # the last: its reader has gone away
            log.error("correlation=%s %s", self.correlation, self._request_summary(), exc_info=(typ, value, tb))

    def _refuse_early(self, error: MLOpsError, size: int) -> None:
        """Refuse at once when a large body is on its way; else after it, so that the connection stays of use."""
        if size > SMALL_BODY:
            self.set_header("Connection", "close")
            self.refuse(error)
        else:
            self.limit = SMALL_BODY  # type: ignore[misc]  # this request's own, from here on
            self._refuse_later(error)

    def _refuse_later(self, error: MLOpsError) -> None:
        """Raise the error in the verb's place, when the body has been read."""

        def refuse(*_: str) -> None:
            raise error

        setattr(self, str(self.request.method).lower(), refuse)

    def _bearer(self) -> str:
        scheme, _, token = self.request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise errors.NotAuthenticated
        return token.strip()

    def _check_host(self) -> None:
        """Refuse a name that was never ours: a web page may have pointed its own name here (DNS rebinding)."""
        hosts = self.managers.hosts
        name = _host_name(self.request.host)
        if hosts is not None and name not in hosts:
            known = ", ".join(sorted(hosts))
            raise errors.Forbidden(
                f"this server is not addressed as {name[:100]!r}; known names: {known} (setting: allow_hosts)"
            )

    def _too_large(self) -> MLOpsError:
        return errors.TooLarge(f"the body is larger than the {self.limit} bytes that this address takes")

    def _allowed(self) -> list[str]:
        plain = RequestHandler._unimplemented_method  # noqa: SLF001  # tornado has no other way to tell
        return [verb for verb in self.SUPPORTED_METHODS if getattr(type(self), verb.lower()) is not plain]


@lru_cache(maxsize=256)
def _host_name(host: str) -> str:
    """The name in a Host header, without its port."""
    return split_host_and_port(host.lower())[0].strip("[]")


@lru_cache(maxsize=2)
def _date(second: int) -> str:
    """A Date header."""
    return format_timestamp(second)


class UnknownAddress(BaseHandler):
    """Whatever is not on the page of URLs."""

    def admit(self) -> None:
        """Say that it is unknown, to those who may know."""
        super().admit()
        raise errors.NotFound(f"there is nothing at {self.request.path[:200]!r}; see /docs")


def plain(message: str, status: int, kind: str) -> ErrorBody:
    """Make the body of a refusal that no exception of ours stands behind."""
    return ErrorBody(message=message, code=status, exception_type=kind)
