"""Calling a service, and its description for client generators."""

from __future__ import annotations

from jupyter_mlops.schema.channel import Outcome
from jupyter_mlops.schema.swagger import service_swagger
from jupyter_mlops.server.handlers.base import BaseHandler

CALL_LIMIT = 64 * 2**20


class Execution(BaseHandler):
    """`/api/{name}` and `/api/{name}/{version}`."""

    limit = CALL_LIMIT

    async def post(self, name: str, version: str | None = None) -> None:
        """Run one call; a function that raised is a 200 with `success: false`, or a 422 for those who prefer."""
        reply = await self.managers.executions.call(self.identity, name, version, self.body())
        if reply.outcome == Outcome.RAISED:
            self.set_header("X-Mlops-Error", "raised")
            if "status=strict" in self.request.headers.get("Prefer", ""):
                self.set_status(422)
                self.set_header("Preference-Applied", "status=strict")
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        self.set_header("Content-Disposition", 'attachment; filename="result.json"')
        self.finish(reply.body)


class Swagger(BaseHandler):
    """`/api/{name}/{version}/swagger.json`."""

    def get(self, name: str, version: str) -> None:
        """Describe the service in Swagger 2.0, as Machine Learning Server did."""
        (service,) = self.managers.services.list(self.identity, name, version)
        self.set_header("Content-Disposition", 'attachment; filename="swagger.json"')
        self.answer(service_swagger(service))
