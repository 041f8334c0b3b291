"""Versions and their revisions in SQL."""

from __future__ import annotations

import msgspec
from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from jupyter_mlops.errors import Conflict
from jupyter_mlops.schema.pools import PoolSettings
from jupyter_mlops.schema.services import Revision
from jupyter_mlops.server.stores.database import Database, count_change
from jupyter_mlops.server.stores.tables import blob_references, revisions, versions


class _Interpreter(msgspec.Struct):
    """Of a revision only this."""

    interpreter: str


class ServiceStore:
    """Keeps revisions, and which one each version points at.

    Parameters
    ----------
    database:
        Where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def current(self) -> list[tuple[Revision, PoolSettings]]:
        """The revision and pool settings of every version, in order of publication."""
        query = (
            select(revisions.c.body, versions.c.pool)
            .join(versions, versions.c.revision == revisions.c.id)
            .order_by(versions.c.ordinal)
        )

        def work(connection: Connection) -> list[tuple[Revision, PoolSettings]]:
            return [
                (msgspec.json.decode(body, type=Revision), msgspec.json.decode(pool or b"{}", type=PoolSettings))
                for body, pool in connection.execute(query)
            ]

        return await self._database.run(work)

    async def set_pool(self, name: str, version: str, settings: PoolSettings) -> None:
        """Keep the pool settings of a version."""
        statement = update(versions).where(*_is(name, version)).values(pool=msgspec.json.encode(settings))

        def work(connection: Connection) -> None:
            connection.execute(statement)
            count_change(connection)

        await self._database.run(work)

    async def publish(self, revision: Revision, settings: PoolSettings) -> None:
        """Add a version with its first revision and its pool settings.

        Raises
        ------
        Conflict
            When the version exists.
        """

        def work(connection: Connection) -> None:
            taken = select(versions.c.ordinal).where(*_is(revision.name, revision.version))
            if connection.scalar(taken) is not None:
                raise Conflict(f"service {revision.name} version {revision.version} exists already")
            _add(connection, revision)
            connection.execute(
                insert(versions).values(
                    name=revision.name,
                    version=revision.version,
                    revision=revision.id,
                    pool=msgspec.json.encode(settings),
                )
            )
            count_change(connection)

        await self._database.run(work)

    async def revise(self, revision: Revision, replaces: str) -> None:
        """Add a revision and point its version at it.

        Parameters
        ----------
        revision:
            The new one.
        replaces:
            Id of the revision that the version is expected to point at.

        Raises
        ------
        Conflict
            When the version points elsewhere by now, or is gone.
        """

        def work(connection: Connection) -> None:
            _add(connection, revision)
            _move(connection, revision, replaces)

        await self._database.run(work)

    async def last_number(self, name: str, version: str) -> int:
        """Number of the newest revision of a version, 0 when there is none."""
        query = select(func.max(revisions.c.number)).where(revisions.c.name == name, revisions.c.version == version)
        return await self._database.run(lambda connection: int(connection.scalar(query) or 0))

    async def revisions(self, name: str, version: str) -> list[Revision]:
        """Every revision of a version, oldest first."""
        query = (
            select(revisions.c.body)
            .where(revisions.c.name == name, revisions.c.version == version)
            .order_by(revisions.c.number)
        )

        def work(connection: Connection) -> list[Revision]:
            return [msgspec.json.decode(body, type=Revision) for body in connection.scalars(query)]

        return await self._database.run(work)

    async def revision_ids(self) -> set[str]:
        """Ids of all revisions of all versions."""
        return await self._database.run(lambda connection: set(connection.scalars(select(revisions.c.id))))

    async def interpreters(self) -> set[str]:
        """Paths of the interpreters that revisions are scored by."""

        def work(connection: Connection) -> set[str]:
            bodies = connection.scalars(select(revisions.c.body))
            return {msgspec.json.decode(body, type=_Interpreter).interpreter for body in bodies}

        return await self._database.run(work)

    async def point(self, revision: Revision, replaces: str) -> None:
        """Point a version at another one of its revisions.

        Raises
        ------
        Conflict
            When the version points elsewhere than at `replaces` by now, or is gone.
        """

        def work(connection: Connection) -> None:
            _move(connection, revision, replaces)

        await self._database.run(work)

    async def delete(self, name: str, version: str) -> set[str]:
        """Remove a version with all its revisions; the digests of the blobs they held."""
        mine = select(revisions.c.id).where(revisions.c.name == name, revisions.c.version == version)

        def work(connection: Connection) -> set[str]:
            held = select(blob_references.c.digest).where(blob_references.c.revision.in_(mine)).distinct()
            digests = set(connection.scalars(held))
            connection.execute(delete(versions).where(*_is(name, version)))
            connection.execute(delete(revisions).where(revisions.c.name == name, revisions.c.version == version))
            count_change(connection)
            return digests

        return await self._database.run(work)


def _is(name: str, version: str) -> tuple[ColumnElement[bool], ...]:
    return versions.c.name == name, versions.c.version == version


def _move(connection: Connection, revision: Revision, replaces: str) -> None:
    moved = connection.execute(
        update(versions)
        .where(*_is(revision.name, revision.version), versions.c.revision == replaces)
        .values(revision=revision.id)
    )
    if moved.rowcount != 1:
        raise Conflict(f"service {revision.name} version {revision.version} was changed by somebody else meanwhile")
    count_change(connection)


def _add(connection: Connection, revision: Revision) -> None:
    connection.execute(
        insert(revisions).values(
            id=revision.id,
            name=revision.name,
            version=revision.version,
            number=revision.number,
            body=msgspec.json.encode(revision),
        )
    )
    if revision.manifest is not None:
        rows = [
            {"digest": digest, "revision": revision.id, "owner": revision.published_by}
            for digest in revision.manifest.blobs()
        ]
        connection.execute(insert(blob_references), rows)
