"""How the server is, for people and for monitoring."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Literal, get_args

import msgspec

import jupyter_mlops
from jupyter_mlops.schema.access import Action, Identity
from jupyter_mlops.schema.services import Revision
from jupyter_mlops.schema.status import Code, Health, StatusResponse
from jupyter_mlops.server.floors import below_floor
from jupyter_mlops.server.managers.access import require
from jupyter_mlops.server.managers.catalog import Catalog
from jupyter_mlops.server.managers.pools import PoolManager
from jupyter_mlops.server.stores.database import Database

_CODES = get_args(Code)


class StatusManager:
    """Reports on the server's parts.

    Parameters
    ----------
    instance:
        The server's instance id.
    catalog, pools, database:
        What there is, what runs, and where it is kept.
    """

    def __init__(self, instance: str, catalog: Catalog, pools: PoolManager, database: Database) -> None:
        self._instance = instance
        self._catalog = catalog
        self._pools = pools
        self._database = database
        self.draining = False

    def health(self) -> Health:
        """What anybody may know."""
        status: Literal["ok", "draining"] = "draining" if self.draining else "ok"
        return Health(status=status, instance=self._instance, version=jupyter_mlops.__version__)

    async def status(self, identity: Identity, endpoint: str) -> StatusResponse:
        """The state of every part, in the shape of Machine Learning Server's StatusResponse.

        Parameters
        ----------
        identity:
            Who asks.
        endpoint:
            This node's address, as the caller knows it.
        """
        require(identity, Action.LIST)
        outdated = below_floor()
        components = {
            "backends": _whole({endpoint: self._node()}),
            "authentication": _whole({"local": StatusResponse(status_code="pass")}),
            "database": await self._stored(),
            "services": _whole({f"{r.name}/{r.version}": self._service(r) for r in self._catalog.all()}),
        }
        worst = _worst(components.values())
        return StatusResponse(
            status_code="warn" if outdated and worst == "pass" else worst,
            components=components,
            details={"version": jupyter_mlops.__version__, "belowSecurityFloor": outdated},
        )

    def _node(self) -> StatusResponse:
        details = self._pools.node()
        code: Code = "pass" if details.python_can_open_shell == "True" else "warn"
        return StatusResponse(status_code=code, details=msgspec.to_builtins(details))

    async def _stored(self) -> StatusResponse:
        responds = await self._database.responds()
        state = "Open" if responds else "Broken"
        return StatusResponse(
            status_code="pass" if responds else "fail",
            details={"type": "sqlite", "name": "main", "state": state, "version": sqlite3.sqlite_version},
        )

    def _service(self, revision: Revision) -> StatusResponse:
        pool = self._pools.of(revision)
        details = {"revision": revision.number, **msgspec.to_builtins(pool)}
        return StatusResponse(status_code="warn" if pool.last_error else "pass", details=details)


def _whole(components: dict[str, StatusResponse]) -> StatusResponse:
    return StatusResponse(status_code=_worst(components.values()), components=components)


def _worst(parts: Iterable[StatusResponse]) -> Code:
    return max((part.status_code for part in parts), key=_CODES.index, default="pass")
