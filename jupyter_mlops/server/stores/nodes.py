"""The list of compute nodes in SQL."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, delete, insert, select

from jupyter_mlops.server.stores.database import Database
from jupyter_mlops.server.stores.tables import compute_nodes

Change = Callable[[tuple[str, ...]], tuple[str, ...]]


class NodeStore:
    """Keeps the list of compute nodes.

    Parameters
    ----------
    database:
        Where it is kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self) -> tuple[str, ...]:
        """Every entry, in the order of entry."""
        return await self._database.run(_read)

    async def change(self, change: Change) -> tuple[str, ...]:
        """Change the list, and return it as it is then.

        Parameters
        ----------
        change:
            Makes the new list of the present one; what it raises leaves the present one.
        """

        def work(connection: Connection) -> tuple[str, ...]:
            present = _read(connection)
            wanted = change(present)
            connection.execute(delete(compute_nodes))
            for uri in wanted:
                connection.execute(insert(compute_nodes).values(uri=uri))
            return wanted

        return await self._database.run(work)


def _read(connection: Connection) -> tuple[str, ...]:
    return tuple(connection.scalars(select(compute_nodes.c.uri).order_by(compute_nodes.c.ordinal)))
