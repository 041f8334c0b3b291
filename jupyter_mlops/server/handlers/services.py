"""Publishing, listing, changing and deleting services."""

from __future__ import annotations

from jupyter_mlops.schema.access import Action
from jupyter_mlops.schema.operations import SERVICES
from jupyter_mlops.schema.services import PublishRequest, ServiceView
from jupyter_mlops.server.handlers.base import BaseHandler
from jupyter_mlops.server.handlers.operations import operation

PUBLISH_LIMIT = 16 * 2**20
_LISTED = list[ServiceView]
_PUBLISHED = {200: str, 201: str}
_REFUSED = (400, 404, 409, 422, 503)


class Services(BaseHandler):
    """`/services`."""

    @operation("getAllWebServices", SERVICES, Action.LIST, gives={200: _LISTED})
    def get(self) -> None:
        """List every service version."""
        self.answer(self.managers.services.list(self.identity))


class Service(BaseHandler):
    """`/services/{name}`."""

    limit = PUBLISH_LIMIT

    @operation("getAllWebServiceVersionsByName", SERVICES, Action.LIST, gives={200: _LISTED})
    def get(self, name: str) -> None:
        """List the versions of a service, oldest first; none for an unknown name."""
        self.answer(self.managers.services.list(self.identity, name))

    @operation(
        "publishWebService",
        SERVICES,
        Action.PUBLISH,
        takes=PublishRequest,
        body="publishRequest",
        gives=_PUBLISHED,
        refuses=_REFUSED,
    )
    async def post(self, name: str) -> None:
        """Publish without naming a version.

        The answer is the version: a GUID, or with `numbered` the next whole number.
        """
        await _publish(self, name, None)


class Version(BaseHandler):
    """`/services/{name}/{version}`."""

    limit = PUBLISH_LIMIT

    @operation("getWebServiceVersion", SERVICES, Action.LIST, gives={200: _LISTED}, refuses=(404,))
    def get(self, name: str, version: str) -> None:
        """List the one version."""
        self.answer(self.managers.services.list(self.identity, name, version))

    @operation(
        "publishWebServiceVersion",
        SERVICES,
        Action.PUBLISH,
        takes=PublishRequest,
        body="publishRequest",
        gives=_PUBLISHED,
        refuses=_REFUSED,
    )
    async def post(self, name: str, version: str) -> None:
        """Publish a version.

        It is loaded in a fresh kernel, and answers its sample, before anybody sees it.
        """
        await _publish(self, name, version)

    @operation(
        "patchWebServiceVersion",
        SERVICES,
        Action.PUBLISH,
        takes=PublishRequest,
        body="patchRequest",
        refuses=_REFUSED,
    )
    async def patch(self, name: str, version: str) -> None:
        """Make a new revision of a version.

        What the body leaves out stays as it is. Only its publisher and Owners may.
        """
        request = self.decode(PublishRequest)
        revision = await self.managers.services.update(self.identity, name, version, request)
        self.answer(revision.version)

    @operation("deleteWebServiceVersion", SERVICES, Action.PUBLISH, refuses=(404,))
    async def delete(self, name: str, version: str) -> None:
        """Delete a version.

        Only its publisher and Owners may.
        """
        await self.managers.services.delete(self.identity, name, version)
        self.answer(f"service {name} version {version} is deleted")


async def _publish(handler: BaseHandler, name: str, version: str | None) -> None:
    request = handler.decode(PublishRequest)
    revision, new = await handler.managers.services.publish(handler.identity, name, version, request)
    handler.answer(revision.version, 201 if new else 200)
