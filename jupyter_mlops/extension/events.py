"""Forward the events WebSocket: refused before the upgrade, then message by message, close codes included."""

from __future__ import annotations

import asyncio
import contextlib
from http import HTTPStatus
from typing import TYPE_CHECKING

from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from jupyter_server.utils import url_path_join
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.iostream import StreamClosedError
from tornado.web import HTTPError
from tornado.websocket import WebSocketClosedError, WebSocketHandler, websocket_connect

from jupyter_mlops.errors import ServerUnreachable
from jupyter_mlops.extension.backend import unreachable
from jupyter_mlops.extension.crossing import request_headers, target
from jupyter_mlops.extension.exchange import CONNECT_SECONDS
from jupyter_mlops.extension.guard import ws_guarded

if TYPE_CHECKING:
    from tornado.websocket import WebSocketClientConnection

    from jupyter_mlops.extension.backend import Backend

NOT_RUNNING = 4404
"""Close code: no server runs, and the viewer did not ask for one to be started."""

UNREACHABLE = 4503
"""Close code: the server could not be started or reached; the reason says why."""

_REFUSED = 4000  # + the server's HTTP status
_GATEWAY = 1011
_REASON_BYTES = 123
_LARGEST_MESSAGE = 1 << 28
_SENDABLE = frozenset({1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014})


class EventsHandler(WebSocketMixin, WebSocketHandler, JupyterHandler):
    """`{base_url}mlops/events`: what the server tells this user, as it happens.

    With `?start=1` a server is started when none runs. Viewers that come back by themselves do not ask for
    that: an open JupyterLab must not undo `jupyter mlops stop`. A browser is not shown the status of a
    refused upgrade, so what only the server can refuse is told by a close code.
    """

    def initialize(self, backend: Backend) -> None:
        """Take what the URL table gives.

        Parameters
        ----------
        backend:
            Where the server is.
        """
        self.backend = backend
        self._server: WebSocketClientConnection | None = None
        self._relay: asyncio.Task[None] | None = None
        self._verdict: tuple[int, str] | None = None

    @ws_guarded("read")
    async def get(self) -> None:
        """Check the origin, connect to the server, then upgrade."""
        if not self.check_origin(self.get_origin()):
            raise HTTPError(HTTPStatus.FORBIDDEN, "the page that asks is not one of this Jupyter server")
        if self.request.headers.get("Upgrade", "").lower() == "websocket":
            await self._connect()
        await super().get()

    def open(self) -> None:
        """Begin to pass on what the server says."""
        super().open()
        if self._server is None:
            self.close(*(self._verdict or (_GATEWAY, "")))
        else:
            self._relay = asyncio.create_task(self._pass_on(self._server))

    async def on_message(self, message: str | bytes) -> None:
        """Pass on what the viewer says."""
        if self._server is not None:
            with contextlib.suppress(WebSocketClosedError, StreamClosedError):
                await self._server.write_message(message, binary=isinstance(message, bytes))

    def on_close(self) -> None:
        """Hang up on the server as well."""
        super().on_close()
        if self._relay is not None:
            self._relay.cancel()
        if self._server is not None:
            self._server.close(self.close_code if self.close_code in _SENDABLE else 1001)

    async def _connect(self) -> None:
        try:
            address = await self.backend.locate(start=self.get_query_argument("start", "") == "1")
            if address is None:
                self._verdict = (NOT_RUNNING, "no server is running")
                return
            self._server = await self._dial(address)
        except HTTPClientError as error:
            self._verdict = (_REFUSED + error.code, _reason(f"the server refused: {error.message}"))
        except ServerUnreachable as error:
            self.backend.forget()
            self._verdict = (UNREACHABLE, _reason(error.message))

    async def _dial(self, address: str) -> WebSocketClientConnection:
        headers = self.request.headers
        credential = self.backend.authorization(
            self.current_user, self.identity_provider, headers.get("Authorization", "")
        )
        path = target(str(self.request.uri), url_path_join(self.base_url, "mlops"))
        request = HTTPRequest(
            "ws" + address.removeprefix("http") + path,
            headers=request_headers(headers, credential),
            connect_timeout=CONNECT_SECONDS,
            follow_redirects=False,
        )
        try:
            return await websocket_connect(request, max_message_size=_LARGEST_MESSAGE)
        except (OSError, TimeoutError, StreamClosedError) as error:
            raise unreachable(address, error) from error

    async def _pass_on(self, server: WebSocketClientConnection) -> None:
        with contextlib.suppress(WebSocketClosedError, StreamClosedError):
            while (message := await server.read_message()) is not None:
                await self.write_message(message, binary=isinstance(message, bytes))
        code = server.close_code
        passes = code is not None and (code in _SENDABLE or 3000 <= code < 5000)  # noqa: PLR2004
        self.close(code if passes else _GATEWAY, _reason(server.close_reason or ""))


def _reason(text: str) -> str:
    return text.encode()[:_REASON_BYTES].decode(errors="ignore")
