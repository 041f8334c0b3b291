"""What a version was, what it holds, and which of its calls failed: for its publisher and Owners."""

from __future__ import annotations

from jupyter_mlops.errors import InvalidRequest
from jupyter_mlops.schema.access import Action
from jupyter_mlops.schema.failures import Failure, FailureView
from jupyter_mlops.schema.operations import SERVICES, Argument, Content
from jupyter_mlops.schema.revisions import RevisionView, RollbackRequest
from jupyter_mlops.server.handlers.base import BaseHandler
from jupyter_mlops.server.handlers.operations import operation


class Revisions(BaseHandler):
    """`/services/{name}/{version}/revisions`."""

    @operation("listRevisions", SERVICES, Action.PUBLISH, gives={200: list[RevisionView]}, refuses=(404,))
    async def get(self, name: str, version: str) -> None:
        """List every revision of a version, oldest first."""
        self.answer(await self.managers.revisions.list(self.identity, name, version))


class Rollback(BaseHandler):
    """`/services/{name}/{version}/rollback`."""

    @operation("rollbackWebService", SERVICES, Action.PUBLISH, takes=RollbackRequest, refuses=(400, 404, 422, 503))
    async def post(self, name: str, version: str) -> None:
        """Let a version point at another of its revisions, once that has loaded."""
        request = self.decode(RollbackRequest)
        revision = await self.managers.revisions.rollback(self.identity, name, version, request.revision)
        self.answer(f"service {name} version {version} is revision {revision.number}")


class ServiceSnapshot(BaseHandler):
    """`/services/{name}/{version}/snapshot`."""

    @operation(
        "getServiceSnapshot",
        SERVICES,
        Action.PUBLISH,
        gives={200: Content("application/zip")},
        refuses=(400, 404),
        arguments=(Argument("revision", int, "Number of the revision; the one in force by default.", least=1),),
    )
    async def get(self, name: str, version: str) -> None:
        """Download what a version holds as a zip file: its code, objects and files."""
        number = self.get_query_argument("revision", "")
        if number and not (number.isascii() and number.isdecimal()):
            raise InvalidRequest(f"revision {number[:20]!r} is not a whole number", fields="$.revision")
        path = await self.managers.revisions.archive(self.identity, name, version, int(number) if number else None)
        file = path.open("rb", buffering=0)
        path.unlink()
        await self.send_file(file, f"{name}-{version}.zip", "application/zip")


class Failures(BaseHandler):
    """`/services/{name}/{version}/failures`."""

    @operation("listFailures", SERVICES, Action.PUBLISH, gives={200: list[FailureView]}, refuses=(404,))
    async def get(self, name: str, version: str) -> None:
        """List the calls that raised and are kept, newest first."""
        self.answer(await self.managers.failures.list(self.identity, name, version))

    @operation("forgetFailures", SERVICES, Action.PUBLISH, refuses=(404,))
    async def delete(self, name: str, version: str) -> None:
        """Forget the calls that raised."""
        await self.managers.failures.forget(self.identity, name, version)
        self.answer(f"the failed calls of {name} {version} are forgotten")


class OneFailure(BaseHandler):
    """`/services/{name}/{version}/failures/{id}`."""

    @operation(
        "getFailure", SERVICES, Action.PUBLISH, gives={200: Failure}, refuses=(404,), path=("name", "version", "id")
    )
    async def get(self, name: str, version: str, identifier: str) -> None:
        """Show a call that raised, with the inputs it got."""
        self.set_header("Content-Disposition", 'attachment; filename="failure.json"')
        self.answer(await self.managers.failures.find(self.identity, name, version, identifier))
