"""How the server is, for people and for monitoring."""

from __future__ import annotations

import sqlite3
from typing import Literal

import msgspec

import jupyter_mlops
from jupyter_mlops.schema.access import Action, Identity
from jupyter_mlops.schema.services import Revision
from jupyter_mlops.schema.status import Health, StatusResponse
from jupyter_mlops.server.floors import below_floor
from jupyter_mlops.server.managers.access import require
from jupyter_mlops.server.managers.catalog import Catalog
from jupyter_mlops.server.managers.pools import PoolManager


class StatusManager:
    """Reports on the server's parts.

    Parameters
    ----------
    instance:
        The server's instance id.
    catalog, pools:
        What there is, and what runs.
    """

    def __init__(self, instance: str, catalog: Catalog, pools: PoolManager) -> None:
        self._instance = instance
        self._catalog = catalog
        self._pools = pools
        self.draining = False

    def health(self) -> Health:
        """What anybody may know."""
        status: Literal["ok", "draining"] = "draining" if self.draining else "ok"
        return Health(status=status, instance=self._instance, version=jupyter_mlops.__version__)

    def status(self, identity: Identity) -> StatusResponse:
        """The state of every part, in the shape of Machine Learning Server's StatusResponse."""
        require(identity, Action.LIST)
        services = {f"{r.name}/{r.version}": self._service(r) for r in self._catalog.all()}
        failing = any(service.status_code != "pass" for service in services.values())
        outdated = below_floor()
        database = StatusResponse(
            status_code="pass",
            details={"type": "sqlite", "state": "Open", "version": sqlite3.sqlite_version},
        )
        return StatusResponse(
            status_code="warn" if failing or outdated else "pass",
            components={
                "services": StatusResponse(status_code="warn" if failing else "pass", components=services),
                "database": database,
            },
            details={"version": jupyter_mlops.__version__, "belowSecurityFloor": outdated},
        )

    def _service(self, revision: Revision) -> StatusResponse:
        pool = self._pools.of(revision)
        details = {"revision": revision.number, **msgspec.to_builtins(pool)}
        return StatusResponse(status_code="warn" if pool.last_error else "pass", details=details)
