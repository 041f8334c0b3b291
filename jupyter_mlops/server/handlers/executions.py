"""Calling a service, and its description for client generators."""

from __future__ import annotations

import asyncio
from typing import Any

from tornado.httputil import HTTPServerRequest
from tornado.web import Application, RequestHandler

from jupyter_mlops.schema.channel import Outcome
from jupyter_mlops.schema.swagger import service_swagger
from jupyter_mlops.server.handlers.base import SMALL_BODY, BaseHandler

CALL_LIMIT = 64 * 2**20


class Execution(BaseHandler):
    """`/api/{name}` and `/api/{name}/{version}`."""

    limit = CALL_LIMIT
    _calling: asyncio.Task[Any] | None = None
    _gone = False

    def on_connection_close(self) -> None:
        """Give the place of a caller who has gone to others."""
        if self._calling is not None:
            self._gone = True
            self._calling.cancel()

    async def post(self, name: str, version: str | None = None) -> None:
        """Run one call; a function that raised is a 200 with `success: false`, or a 422 for those who prefer."""
        self._calling = asyncio.current_task()
        try:
            reply = await self.managers.executions.call(self.identity, name, version, self.body())
        except asyncio.CancelledError:
            if self._gone:  # nobody reads what could be answered
                return
            raise
        self._calling = None
        if reply.outcome == Outcome.RAISED:
            self.set_header("X-Mlops-Error", "raised")
            if "status=strict" in self.request.headers.get("Prefer", ""):
                self.set_status(422)
                self.set_header("Preference-Applied", "status=strict")
        self._headers["Content-Type"] = "application/json; charset=UTF-8"
        self._headers["Content-Disposition"] = 'attachment; filename="result.json"'
        self.finish(reply.body)


class Swagger(BaseHandler):
    """`/api/{name}/{version}/swagger.json`."""

    def get(self, name: str, version: str) -> None:
        """Describe the service in Swagger 2.0, as Machine Learning Server did."""
        (service,) = self.managers.services.list(self.identity, name, version)
        self.set_header("Content-Disposition", 'attachment; filename="swagger.json"')
        self.answer(service_swagger(service))


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

    def get_handler_delegate(
        self, request: HTTPServerRequest, target_class: type[RequestHandler], *args: Any, **kwargs: Any
    ) -> Any:
        """Choose the handler by the announced size of the body."""
        if target_class is Execution:
            announced = request.headers.get("Content-Length", "")
            if announced.isdecimal() and int(announced) <= SMALL_BODY:
                target_class = SmallExecution
        return super().get_handler_delegate(request, target_class, *args, **kwargs)
