"""Forward HTTP to the server: authenticated by Jupyter first, then streamed both ways as it is."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
from jupyter_core.utils import ensure_async
from jupyter_server.auth import User
from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_path_join
from tornado.iostream import StreamClosedError
from tornado.web import HTTPError, authenticated, stream_request_body

from jupyter_mlops.errors import ServerUnreachable
from jupyter_mlops.extension.crossing import LOCKED_DOWN, request_headers, response_headers, target
from jupyter_mlops.extension.exchange import NO_LIMIT, Exchange
from jupyter_mlops.extension.guard import RESOURCE, guarded
from jupyter_mlops.schema.errors import ErrorBody

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from tornado.httputil import HTTPHeaders

    from jupyter_mlops.extension.backend import Backend

_NAMES = {
    401: "NotAuthenticated",
    403: "Forbidden",
    404: "NotFound",
    413: "TooLarge",
    503: "ServerUnreachable",
}
_CHUNKED = frozenset({"POST", "PUT", "PATCH"})


@stream_request_body
class ForwardHandler(JupyterHandler):
    """`{base_url}mlops/...`: the same request, made to the server by the Jupyter user.

    The body arrives between `prepare` and the verb, so the caller is checked in `prepare`; the verbs carry
    the same rule once more, for everybody who reads them.
    """

    ACTIONS: ClassVar[dict[str, str]] = {
        "GET": "read",
        "HEAD": "read",
        "OPTIONS": "read",
        "POST": "write",
        "PUT": "write",
        "PATCH": "write",
        "DELETE": "write",
    }
    is_page = False
    """Whether a person's browser opens it: then a stranger is sent to the login page."""

    def initialize(self, backend: Backend) -> None:
        """Take what the URL table gives.

        Parameters
        ----------
        backend:
            Where the server is.
        """
        self.backend = backend
        self._exchange: Exchange | None = None

    async def prepare(self) -> None:  # type: ignore[override]
        """Check the caller, then send the head of the request on."""
        self.set_header("Connection", "close")  # should Jupyter's own check answer: as in `_finish_with`
        await self._identify()
        if self._finished:
            return
        self.clear_header("Connection")
        if not self._admit():
            return
        if not await self._allowed():
            action = self.ACTIONS[str(self.request.method)]
            raise HTTPError(HTTPStatus.FORBIDDEN, f"you may not {action} {RESOURCE} on this Jupyter server")
        if not self.check_origin():
            raise HTTPError(HTTPStatus.NOT_FOUND)
        if self.is_page:
            self.xsrf_token  # noqa: B018  # sets the cookie that the page sends back as a header
        self._check_framing()
        self.request.connection.set_max_body_size(NO_LIMIT)  # type: ignore[union-attr]
        try:
            self._exchange = await self._begin()
        except ServerUnreachable as error:
            self.set_status(HTTPStatus.SERVICE_UNAVAILABLE)
            self._finish_with(error.message)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        """Pass on a piece of the body; Jupyter reads no more until the server has taken it."""
        return self._exchange.send(chunk) if self._exchange else None

    @guarded("read")
    async def get(self, *_: str) -> None:
        """Forward."""
        await self._answer()

    @guarded("read")
    async def head(self, *_: str) -> None:
        """Forward."""
        await self._answer()

    @guarded("read")
    async def options(self, *_: str) -> None:
        """Forward."""
        await self._answer()

    @guarded("write")
    async def post(self, *_: str) -> None:
        """Forward."""
        await self._answer()

    @guarded("write")
    async def put(self, *_: str) -> None:
        """Forward."""
        await self._answer()

    @guarded("write")
    async def patch(self, *_: str) -> None:
        """Forward."""
        await self._answer()

    @guarded("write")
    async def delete(self, *_: str) -> None:
        """Forward."""
        await self._answer()

    def on_connection_close(self) -> None:
        """Hang up on the server as well: the caller is gone."""
        super().on_connection_close()
        self.on_finish()

    def on_finish(self) -> None:
        """Let go of the connection."""
        if self._exchange is not None:
            self._exchange.close()

    def compute_etag(self) -> str | None:
        """None: an answer has the tag the server gave it, or none."""
        return None

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer a refusal in the shape of every other refusal of this interface."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        said = error.log_message if isinstance(error, HTTPError) else None
        if status_code == HTTPStatus.FORBIDDEN and self.current_user is None:
            said = "Unauthorized: this Jupyter server needs its own token, or the cookie of a login"
        self._finish_with(said or HTTPStatus(status_code).phrase)

    async def _identify(self) -> None:
        """Find out who calls: the holder of one of the server's own tokens, else whoever Jupyter knows."""
        own = self.backend.own_token(self.request.headers.get("Authorization", ""))
        if own is None:
            await super().prepare(_redirect_to_login=self.is_page)
            return
        # No cookie speaks here, so there is nothing to forge; the token is the caller's whole authority.
        if not self.check_host():
            raise HTTPError(HTTPStatus.FORBIDDEN)
        self.current_user = self._jupyter_current_user = User(username=own.name)

    def _admit(self) -> bool:
        # Jupyter's own `prepare` lets strangers pass while allow_unauthenticated_access is true, its default.
        if self.current_user is None and not self.is_page:
            raise HTTPError(HTTPStatus.FORBIDDEN)
        if self.current_user is None:
            self.set_header("Connection", "close")  # as in `_finish_with`
            authenticated(lambda _: None)(self)  # sends a stranger to the login page
        return not self._finished

    def _check_framing(self) -> None:
        headers = self.request.headers
        length = headers.get("Content-Length")
        if length is not None and not length.isdecimal():
            raise HTTPError(HTTPStatus.BAD_REQUEST, "Content-Length is not one number")
        if "Transfer-Encoding" in headers and self.request.method not in _CHUNKED:
            raise HTTPError(HTTPStatus.LENGTH_REQUIRED, f"{self.request.method} needs a Content-Length")

    async def _begin(self) -> Exchange:
        for attempt in (1, 2):
            address = await self.backend.locate()
            try:
                return await Exchange.begin(
                    str(address), str(self.request.method), self._target(), self._headers_for_server()
                )
            except ServerUnreachable:
                self.backend.forget()  # nothing was sent: look once more, it may have moved
                if attempt == 2:  # noqa: PLR2004
                    raise
        raise AssertionError

    def _headers_for_server(self) -> HTTPHeaders:
        headers = self.request.headers
        crossing = request_headers(headers, self._credential())
        if self.request.method in _CHUNKED and "Transfer-Encoding" not in headers:
            crossing.setdefault("Content-Length", "0")
        return crossing

    async def _allowed(self) -> bool:
        action = self.ACTIONS[str(self.request.method)]
        return bool(await ensure_async(self.authorizer.is_authorized(self, self.current_user, action, RESOURCE)))

    def _credential(self) -> str | None:
        header = self.request.headers.get("Authorization", "")
        if self.backend.own_token(header) is not None:
            return header
        return self.backend.authorization(self.current_user, self.identity_provider, header)

    def _prefix(self) -> str:
        return url_path_join(self.base_url, "mlops")

    def _target(self) -> str:
        return target(str(self.request.uri), self._prefix())

    async def _answer(self) -> None:
        exchange = self._exchange
        assert exchange is not None
        exchange.end()
        try:
            start_line, headers = await exchange.head
        except ServerUnreachable as error:
            self.backend.forget()
            self.set_status(HTTPStatus.SERVICE_UNAVAILABLE)
            self._finish_with(error.message)
            return
        self._send_head(start_line.code, response_headers(headers, self._prefix()))
        try:
            async for chunk in exchange:
                self.write(chunk)
                await self.flush()
        except StreamClosedError:
            return
        if not exchange.complete:
            # The caller has the head already: only a broken connection says that the rest is missing.
            self.log.warning("The jupyter_mlops server broke off its answer to %s", self.request.path)
            self.request.connection.stream.close()  # type: ignore[union-attr]

    def _send_head(self, status: int, headers: HTTPHeaders) -> None:
        self.set_status(status)
        self.clear_header("Content-Type")
        self.set_header("Content-Security-Policy", LOCKED_DOWN)
        for name in headers:
            self.clear_header(name)
        for name, value in headers.get_all():
            self.add_header(name, value)
        self.set_header("X-Content-Type-Options", "nosniff")

    def _finish_with(self, message: str) -> None:
        status = self.get_status()
        body = ErrorBody(message=message, code=status, exception_type=_NAMES.get(status, "InvalidRequest"))
        self.set_header("Content-Type", "application/json")
        # Tornado hangs up on a request whose body it has not read; the caller must not send another one.
        self.set_header("Connection", "close")
        self.finish(msgspec.json.encode(body))


class CallHandler(ForwardHandler):
    """`{base_url}mlops/api/...`: calling a service is `execute` to Jupyter's authorizer."""

    ACTIONS: ClassVar[dict[str, str]] = {**ForwardHandler.ACTIONS, "POST": "execute"}

    @guarded("execute")
    async def post(self, *_: str) -> None:
        """Forward."""
        await self._answer()


class LoginHandler(ForwardHandler):
    """`{base_url}mlops/login...`: how clients of the server itself get its tokens; open there, and so here."""

    @allow_unauthenticated
    async def post(self, *_: str) -> None:
        """Forward."""
        await self._answer()

    @allow_unauthenticated
    async def delete(self, *_: str) -> None:
        """Forward."""
        await self._answer()

    def check_xsrf_cookie(self) -> None:
        """Nothing: what is sent here is a password or a refresh token, never a cookie's authority."""

    def _admit(self) -> bool:
        if self.backend.shared or self.request.method not in {"POST", "DELETE"}:
            return super()._admit()
        return True

    async def _allowed(self) -> bool:
        return True if self.current_user is None else await super()._allowed()

    def _credential(self) -> str | None:
        return None


class PageHandler(ForwardHandler):
    """`{base_url}mlops/docs`: a page that people open, so strangers are asked to log in to Jupyter."""

    is_page = True
