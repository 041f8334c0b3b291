"""Looking at pools, and changing their settings."""

from __future__ import annotations

import contextlib
import os
import time

import psutil

from jupyter_mlops.errors import Conflict
from jupyter_mlops.schema.access import Action, Identity
from jupyter_mlops.schema.pools import KernelView, PoolSettings, PoolStatus, PoolView, read_settings
from jupyter_mlops.schema.services import Revision
from jupyter_mlops.schema.status import NodeDetails
from jupyter_mlops.server.kernels.budget import Budget
from jupyter_mlops.server.kernels.kernel import Kernel
from jupyter_mlops.server.kernels.pool import Pool
from jupyter_mlops.server.managers.access import require
from jupyter_mlops.server.managers.catalog import Catalog
from jupyter_mlops.server.managers.executions import ExecutionManager
from jupyter_mlops.server.managers.metrics import Metrics
from jupyter_mlops.server.realtime.worker import Worker
from jupyter_mlops.server.stores.services import ServiceStore


class PoolManager:
    """Shows and changes the pools of published versions.

    Parameters
    ----------
    store, catalog:
        Where settings are kept, and looked up.
    executions:
        Owns the pools.
    budget:
        What all pools together may use.
    metrics:
        What Prometheus is shown.
    """

    def __init__(
        self, store: ServiceStore, catalog: Catalog, executions: ExecutionManager, budget: Budget, metrics: Metrics
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._executions = executions
        self._budget = budget
        self._metrics = metrics

    async def change(self, identity: Identity, name: str, version: str, body: bytes) -> PoolSettings:
        """Change the settings of a version's pool; what the body does not name stays.

        Raises
        ------
        Forbidden
            When the version is somebody else's.
        Conflict
            When its initial kernels, with those of all others, are more than the server's budget.
        """
        require(identity, Action.PUBLISH)
        revision = self._catalog.mine(identity, name, version)
        return await self._set(revision, read_settings(body, self._catalog.settings(revision)))

    async def reset(self, identity: Identity, name: str, version: str) -> None:
        """Give a version's pool the default settings again."""
        require(identity, Action.PUBLISH)
        await self._set(self._catalog.mine(identity, name, version), PoolSettings())

    async def set(self, revision: Revision, settings: PoolSettings) -> None:
        """Apply settings that came with a publish."""
        if settings != self._catalog.settings(revision):
            await self._set(revision, settings)

    def check(self, name: str, version: str, settings: PoolSettings) -> None:
        """Refuse initial kernels that do not fit the budget.

        Raises
        ------
        Conflict
            With the numbers.
        """
        kept = sum(
            self._catalog.settings(other).initial_pool_size
            for other in self._catalog.all()
            if (other.name, other.version) != (name, version)
        )
        if kept + settings.initial_pool_size > self._budget.kernels:
            raise Conflict(
                f"an initial size of {settings.initial_pool_size} does not fit: other services keep {kept} of this "
                f"server's {self._budget.kernels} kernels",
                fields="$.initialPoolSize",
            )

    def status(self, identity: Identity, name: str, version: str, endpoint: str) -> list[PoolStatus]:
        """Whether a version's initial kernels run, in Machine Learning Server's words."""
        require(identity, Action.LIST)
        revision = self._catalog.find(name, version)
        wanted = self._catalog.settings(revision).initial_pool_size
        pool = self._executions.pool(revision)
        if pool is None:
            status = "Pending" if wanted else "NotFound"
        else:
            status = "Success" if len(pool.kernels()) >= wanted else "Pending"
        return [PoolStatus(compute_node_endpoint=endpoint, status=status)]

    def view(self, identity: Identity, name: str, version: str) -> PoolView:
        """A version's pool as it is now."""
        require(identity, Action.LIST)
        return self.of(self._catalog.find(name, version))

    def of(self, revision: Revision) -> PoolView:
        """The pool of a revision as it is now."""
        pool = self._executions.pool(revision)
        settings = self._catalog.settings(revision)
        if pool is None:
            return PoolView(
                settings=settings, kernels=(), starting=0, waiting=0, running=0, calls=0, errors=0, restarts=0,
                last_error="", p50=None, p95=None, p99=None,
            )  # fmt: skip
        p50, p95, p99 = pool.record.quantiles(0.5, 0.95, 0.99)
        return PoolView(
            settings=settings,
            kernels=tuple(_kernel(kernel) for kernel in pool.kernels()),
            starting=pool.starting(),
            waiting=pool.waiting(),
            running=pool.running(),
            calls=pool.record.calls,
            errors=pool.record.errors,
            restarts=pool.restarts,
            last_error=pool.last_error(),
            p50=p50,
            p95=p95,
            p99=p99,
        )

    def node(self) -> NodeDetails:
        """The kernels of this node, counted."""
        busy = unavailable = pooled = 0
        for revision in self._catalog.all():
            pool = self._executions.pool(revision)
            if isinstance(pool, Pool):
                working = sum(1 for kernel in pool.kernels() if kernel.sent)
                busy += working
                pooled += pool.size()
                unavailable += max(working + pool.starting(), min(pool.settings.initial_pool_size, pool.size()))
        used = self._budget.used()
        others = used - pooled  # sessions, and pools that are just being proved or are about to end
        return NodeDetails(
            python_max_pool_size=self._budget.kernels,
            python_active_shell_count=busy + others,
            python_current_pool_size=used,
            python_can_open_shell="True" if unavailable + others < self._budget.kernels else "False",
        )

    def metrics(self, identity: Identity) -> bytes:
        """Every metric in Prometheus' text format."""
        require(identity, Action.LIST)
        for revision in self._catalog.all():
            pool = self._executions.pool(revision)
            if pool is not None:
                busy = sum(1 for kernel in pool.kernels() if kernel.sent)
                self._metrics.show_pool(
                    revision.name,
                    revision.version,
                    idle=len(pool.kernels()) - busy,
                    busy=busy,
                    waiting=pool.waiting(),
                    deaths=pool.restarts,
                )
        return self._metrics.text()

    async def _set(self, revision: Revision, settings: PoolSettings) -> PoolSettings:
        self.check(revision.name, revision.version, settings)
        await self._store.set_pool(revision.name, revision.version, settings)
        self._catalog.set_settings(revision, settings)
        self._executions.configure(revision, settings)
        return settings


def _kernel(kernel: Kernel | Worker) -> KernelView:
    memory = 0
    with contextlib.suppress(psutil.Error):
        memory = psutil.Process(kernel.pid).memory_info().rss
    return KernelView(
        pid=kernel.pid,
        state="busy" if kernel.sent else "idle",
        memory=memory,
        uptime=time.monotonic() - kernel.started,
        calls=kernel.calls,
    )


def default_budget() -> int:
    """Kernels that a server of this machine may have when no setting says otherwise."""
    return max(16, 8 * (os.cpu_count() or 1))
