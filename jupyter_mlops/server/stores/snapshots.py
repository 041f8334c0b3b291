"""Snapshots in SQL, and which blobs anything holds."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, delete, insert, select

from jupyter_mlops.schema.snapshots import Snapshot
from jupyter_mlops.server.stores.database import Database
from jupyter_mlops.server.stores.tables import batch_blobs, blob_references, snapshot_blobs, snapshots


class SnapshotStore:
    """Keeps snapshots, each for its owner.

    Parameters
    ----------
    database:
        Where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, snapshot: Snapshot) -> None:
        """Keep a snapshot; its blobs are in their place."""
        held = [{"digest": digest, "snapshot": snapshot.id} for digest in snapshot.manifest.blobs()]
        body = msgspec.json.encode(snapshot)

        def work(connection: Connection) -> None:
            connection.execute(insert(snapshots).values(id=snapshot.id, owner=snapshot.owner, body=body))
            connection.execute(insert(snapshot_blobs), held)

        await self._database.run(work)

    async def of(self, owner: str) -> list[Snapshot]:
        """The snapshots of a user, oldest first."""
        query = select(snapshots.c.body).where(snapshots.c.owner == owner).order_by(snapshots.c.ordinal)

        def work(connection: Connection) -> list[Snapshot]:
            return [msgspec.json.decode(body, type=Snapshot) for body in connection.scalars(query)]

        return await self._database.run(work)

    async def find(self, owner: str, snapshot: str) -> Snapshot | None:
        """A snapshot of a user by its id."""
        query = select(snapshots.c.body).where(snapshots.c.owner == owner, snapshots.c.id == snapshot)

        def work(connection: Connection) -> Snapshot | None:
            body = connection.scalar(query)
            return None if body is None else msgspec.json.decode(body, type=Snapshot)

        return await self._database.run(work)

    async def delete(self, owner: str, snapshot: str) -> set[str] | None:
        """Remove a snapshot of a user; the digests of the blobs it held, or None when there is no such snapshot."""
        held = select(snapshot_blobs.c.digest).where(snapshot_blobs.c.snapshot == snapshot)
        gone = delete(snapshots).where(snapshots.c.owner == owner, snapshots.c.id == snapshot)

        def work(connection: Connection) -> set[str] | None:
            digests = set(connection.scalars(held))
            return digests if connection.execute(gone).rowcount == 1 else None

        return await self._database.run(work)


class References:
    """Says which blobs are held, by services, snapshots and batches alike.

    Parameters
    ----------
    database:
        Where that is kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def owned(self, owner: str) -> set[str]:
        """Digests of the blobs that this user's own services and snapshots hold."""
        mine = select(snapshots.c.id).where(snapshots.c.owner == owner)
        query = (
            select(blob_references.c.digest)
            .where(blob_references.c.owner == owner)
            .union(select(snapshot_blobs.c.digest).where(snapshot_blobs.c.snapshot.in_(mine)))
        )
        return await self._database.run(lambda connection: set(connection.scalars(query)))

    async def held(self) -> set[str]:
        """Digests of the blobs that any service, snapshot or batch holds."""
        query = select(blob_references.c.digest).union(select(snapshot_blobs.c.digest), select(batch_blobs.c.digest))
        return await self._database.run(lambda connection: set(connection.scalars(query)))
