"""The pool of a version, and metrics."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST

from jupyter_mlops.server.handlers.base import BaseHandler


class Pool(BaseHandler):
    """`/services/{name}/{version}/pool`: Machine Learning Server's."""

    def get(self, name: str, version: str) -> None:
        """Say whether the initial kernels run."""
        endpoint = f"{self.request.protocol}://{self.request.host}"
        self.answer(self.managers.pools.status(self.identity, name, version, endpoint))

    async def post(self, name: str, version: str) -> None:
        """Change the settings; what the body does not name stays."""
        self.answer(await self.managers.pools.change(self.identity, name, version, self.body()))

    async def delete(self, name: str, version: str) -> None:
        """Go back to the default settings."""
        await self.managers.pools.reset(self.identity, name, version)
        self.answer(f"the pool of service {name} version {version} has the default settings")


class PoolKernels(BaseHandler):
    """`/services/{name}/{version}/pool/kernels`: what the pool is doing."""

    def get(self, name: str, version: str) -> None:
        """Show the kernels, the queue and the times of the last calls."""
        self.answer(self.managers.pools.view(self.identity, name, version))


class Metrics(BaseHandler):
    """`/metrics`."""

    def get(self) -> None:
        """Answer in Prometheus' text format."""
        self.set_header("Content-Type", CONTENT_TYPE_LATEST)
        self.finish(self.managers.pools.metrics(self.identity))
