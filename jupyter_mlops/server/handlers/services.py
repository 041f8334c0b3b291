"""Publishing, listing, changing and deleting services."""

from __future__ import annotations

from jupyter_mlops.schema.services import PublishRequest
from jupyter_mlops.server.handlers.base import BaseHandler

PUBLISH_LIMIT = 16 * 2**20


class Services(BaseHandler):
    """`/services`."""

    def get(self) -> None:
        """List every service version."""
        self.answer(self.managers.services.list(self.identity))


class Service(BaseHandler):
    """`/services/{name}`."""

    limit = PUBLISH_LIMIT

    def get(self, name: str) -> None:
        """List the versions of a service, oldest first."""
        self.answer(self.managers.services.list(self.identity, name))

    async def post(self, name: str) -> None:
        """Publish without naming a version."""
        await _publish(self, name, None)


class Version(BaseHandler):
    """`/services/{name}/{version}`."""

    limit = PUBLISH_LIMIT

    def get(self, name: str, version: str) -> None:
        """List the one version."""
        self.answer(self.managers.services.list(self.identity, name, version))

    async def post(self, name: str, version: str) -> None:
        """Publish a version."""
        await _publish(self, name, version)

    async def patch(self, name: str, version: str) -> None:
        """Make a new revision of a version."""
        request = self.decode(PublishRequest)
        revision = await self.managers.services.update(self.identity, name, version, request)
        self.answer(revision.version)

    async def delete(self, name: str, version: str) -> None:
        """Delete a version."""
        await self.managers.services.delete(self.identity, name, version)
        self.answer(f"service {name} version {version} is deleted")


async def _publish(handler: BaseHandler, name: str, version: str | None) -> None:
    request = handler.decode(PublishRequest)
    revision, new = await handler.managers.services.publish(handler.identity, name, version, request)
    handler.answer(revision.version, 201 if new else 200)
