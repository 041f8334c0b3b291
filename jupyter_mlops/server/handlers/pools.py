"""The pool of a version, and metrics."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST

from jupyter_mlops.schema.access import Action
from jupyter_mlops.schema.operations import SERVICES, STATUS, Content
from jupyter_mlops.schema.pools import CreateOrUpdateServicePoolRequest, PoolStatus, PoolView
from jupyter_mlops.server.handlers.base import BaseHandler
from jupyter_mlops.server.handlers.operations import operation


class Pool(BaseHandler):
    """`/services/{name}/{version}/pool`: Machine Learning Server's."""

    @operation("getServicePoolStatus", SERVICES, Action.LIST, gives={200: list[PoolStatus]}, refuses=(404,))
    def get(self, name: str, version: str) -> None:
        """Say whether the initial kernels run."""
        self.answer(self.managers.pools.status(self.identity, name, version, self.endpoint()))

    @operation(
        "createOrUpdateServicePool",
        SERVICES,
        Action.PUBLISH,
        takes=CreateOrUpdateServicePoolRequest,
        refuses=(400, 404, 409),
    )
    async def post(self, name: str, version: str) -> None:
        """Change the settings; what the body does not name stays."""
        settings = await self.managers.pools.change(self.identity, name, version, self.body())
        sizes = f"{settings.initial_pool_size} to {settings.max_pool_size or 'one a core'}"
        self.answer(f"the pool of service {name} version {version} has {sizes} kernels")

    @operation("deleteServicePool", SERVICES, Action.PUBLISH, refuses=(404,))
    async def delete(self, name: str, version: str) -> None:
        """Go back to the default settings."""
        await self.managers.pools.reset(self.identity, name, version)
        self.answer(f"the pool of service {name} version {version} has the default settings")


class PoolKernels(BaseHandler):
    """`/services/{name}/{version}/pool/kernels`: what the pool is doing."""

    @operation("getServicePoolKernels", SERVICES, Action.LIST, gives={200: PoolView}, refuses=(404,))
    def get(self, name: str, version: str) -> None:
        """Show the kernels, the queue and the times of the last calls."""
        self.answer(self.managers.pools.view(self.identity, name, version))


class Metrics(BaseHandler):
    """`/metrics`."""

    @operation("metrics", STATUS, Action.LIST, gives={200: Content("text/plain")})
    def get(self) -> None:
        """Answer in Prometheus' text format."""
        self.set_header("Content-Type", CONTENT_TYPE_LATEST)
        self.finish(self.managers.pools.metrics(self.identity))
