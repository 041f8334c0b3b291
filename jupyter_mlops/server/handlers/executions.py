"""Calling a service."""

from __future__ import annotations

from typing import Any

from tornado.httputil import HTTPServerRequest
from tornado.web import Application

from jupyter_mlops.schema.access import Action
from jupyter_mlops.schema.channel import Outcome
from jupyter_mlops.schema.executions import WebServiceResult
from jupyter_mlops.schema.operations import CONSUMPTION, Argument
from jupyter_mlops.schema.realtime import ARROW, JSON, MESSAGEPACK, Scored
from jupyter_mlops.server.handlers.base import SMALL_BODY, BaseHandler
from jupyter_mlops.server.handlers.operations import operation
from jupyter_mlops.server.handlers.spool import Spool, memory_pieces_of, pieces_of, size_of
from jupyter_mlops.server.kernels.waiting import Caller
from jupyter_mlops.server.managers.models import Form

CALL_LIMIT = 64 * 2**20
_COMMON = frozenset({JSON, "*/*"})
_OTHERS = (ARROW, MESSAGEPACK)
_WRITTEN = {JSON: "application/json; charset=UTF-8", ARROW: ARROW, MESSAGEPACK: MESSAGEPACK}
_NAMED = {
    JSON: 'attachment; filename="result.json"',
    ARROW: 'attachment; filename="result.arrows"',
    MESSAGEPACK: 'attachment; filename="result.msgpack"',
}
_PREFER = "`status=strict`: a function that raised is a 422, not a 200 with `success: false`."


class Execution(BaseHandler):
    """`/api/{name}` and `/api/{name}/{version}`.

    Up to 64 KiB a body is held, decoded and checked here. A larger one goes to a file while it arrives, and the
    kernel reads it there: handling it in this process would hold up everybody's calls.
    """

    limit = CALL_LIMIT
    _caller: Caller | None = None
    _spool: Spool | None = None

    async def data_received(self, chunk: bytes) -> None:
        """Hold a small body; write a large one to its file, a piece at a time."""
        super().data_received(chunk)
        if self._spool is None and SMALL_BODY < self._size <= self.limit:
            path, in_memory = self.managers.executions.spool(*self.path_args)
            self._spool = Spool(path, in_memory=in_memory)
        if self._spool is not None:
            piece, self._received[:] = b"".join(self._received), []
            await self._spool.write(piece)

    @operation(
        "consume",
        CONSUMPTION,
        Action.CONSUME,
        takes=dict[str, Any],
        body="WebServiceParameters",
        gives={200: WebServiceResult, 422: WebServiceResult},
        refuses=(400, 404, 502, 503, 504),
        arguments=(Argument("Prefer", str, _PREFER, place="header"),),
        also={"/api/{name}": "consumeLatest"},
    )
    async def post(self, name: str, version: str | None = None) -> None:
        """Run one call; a function that raised is a 200 with `success: false`, or a 422 for those who prefer."""
        self._caller = Caller()
        path = "" if self._spool is None else await self._spool.finish()
        reply = await self.managers.executions.call(
            self.identity, name, version, self.body(), self._caller, path, self.correlation, self._form()
        )
        if reply.outcome == Outcome.RAISED:
            self.set_header("X-Mlops-Error", "raised")
            if "status=strict" in self.request.headers.get("Prefer", ""):
                self.set_status(422)
                self.set_header("Preference-Applied", "status=strict")
            elif any(other in self.request.headers.get("Accept", "") for other in _OTHERS):
                self.set_status(422)  # who expects no JSON looks at nothing else
        kind = reply.media if isinstance(reply, Scored) else JSON
        self._headers["Content-Type"] = _WRITTEN[kind]
        self._headers["Content-Disposition"] = _NAMED[kind]
        if reply.path:
            await self.send_reply(reply.path, in_memory=isinstance(reply, Scored))
        await self.finish(reply.body or None)

    async def send_reply(self, path: str, *, in_memory: bool) -> None:
        """Write a large answer from its file, which is removed."""
        self._headers["Content-Length"] = str(size_of(path))
        async for piece in memory_pieces_of(path) if in_memory else pieces_of(path):
            self.write(piece)
            await self.flush()

    def _form(self) -> Form | None:
        """How the caller writes and wants to read, if not in JSON."""
        headers = self.request.headers
        media, accept = headers.get("Content-Type", JSON), headers.get("Accept", JSON)
        if media == JSON and accept in _COMMON:
            return None
        kind = media.partition(";")[0].strip().lower()
        return Form(kind if kind in _OTHERS else JSON, next((one for one in _OTHERS if one in accept), JSON))

    def on_finish(self) -> None:
        """Remove the file of a large body."""
        if self._spool is not None:
            self._spool.remove()

    def on_connection_close(self) -> None:
        """Give the place of a caller who has gone to others."""
        super().on_connection_close()
        if self._caller is not None and self._caller.abandon is not None:
            self._caller.abandon()
        self.on_finish()


class SmallExecution(Execution):
    """`Execution` for a body that is announced to be small: read whole before the handler is made.

    Reading it in pieces costs a third of a short call.
    """

    _stream_request_body = False

    def body(self) -> bytes:
        """The whole body."""
        return self.request.body


class ScoringApplication(Application):
    """A Tornado application that takes the short way for small calls."""

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> Any:
        """Find a call's handler without trying every route."""
        parts = request.path.split("/")
        if parts[1:2] == ["api"] and len(parts) == _CALL_PARTS and all(parts[2:]) and "%" not in request.path:
            announced = request.headers.get("Content-Length", "")
            small = announced.isdecimal() and int(announced) <= SMALL_BODY
            arguments = [part.encode() for part in parts[2:]]
            kind = SmallExecution if small else Execution
            return self.get_handler_delegate(request, kind, self._arguments, path_args=arguments)
        return super().find_handler(request, **kwargs)

    @property
    def _arguments(self) -> dict[str, Any]:
        return self.settings["default_handler_args"]  # type: ignore[no-any-return]


_CALL_PARTS = 4
"""Parts of `/api/NAME/VERSION` between slashes, the empty one before the first included."""
