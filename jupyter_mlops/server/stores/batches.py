"""Batches in SQL: what was submitted, and which rows have a result, where."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec
from sqlalchemy import Connection, RowMapping, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from jupyter_mlops.chunks import Chunk
from jupyter_mlops.schema.base import BATCH_FORMAT
from jupyter_mlops.schema.batches import BatchArtifact, BatchError, BatchState, Engine, Priority
from jupyter_mlops.schema.services import Revision
from jupyter_mlops.server.stores.crash import crashpoint
from jupyter_mlops.server.stores.database import Database
from jupyter_mlops.server.stores.tables import (
    batch_artifacts,
    batch_blobs,
    batch_failures,
    batch_slices,
    batch_tries,
    batches,
)

T = TypeVar("T")

KINDS_OF_ERRORS = 20


class BatchRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What was submitted; it never changes."""

    id: str
    owner: str
    revision: Revision
    total: int
    parallel: int
    created: str
    engine: Engine = Engine.LOCAL
    priority: Priority = Priority.NORMAL
    webhook: str = ""
    columnar: bool = False
    key: str = ""
    """What its owner may repeat the submission with."""
    fingerprint: str = ""
    """Of what was submitted with the key."""
    format: int = BATCH_FORMAT


class Standing(msgspec.Struct, kw_only=True):
    """How a batch stands."""

    state: BatchState
    reason: str = ""
    started: str = ""
    ended: str = ""
    completed: int = 0
    seconds: float = 0.0
    failed: int = 0
    artifacts: int = 0
    attempts: int = 0
    errors: dict[str, tuple[int, int]] = {}
    """Message to the number of rows that failed with it, and the first of them."""


class Recorded(msgspec.Struct, frozen=True):
    """Some rows that have results, and where these lie."""

    first: int
    count: int
    file: int
    offset: int
    length: int
    seconds: float
    ordinal: int = 0
    """Grows in the order of recording."""


class Try(msgspec.Struct, frozen=True):
    """Rows that were begun, and got no result from that."""

    first: int
    count: int
    kind: str
    """`death`: it may have been their fault; `lost`: it was not; `retry`: they failed, and run again."""


class Located(msgspec.Struct, frozen=True):
    """Where an artifact lies."""

    row: int
    name: str
    file: int
    offset: int
    size: int


class BatchStore:
    """Keeps batches.

    Parameters
    ----------
    database:
        Where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, record: BatchRecord, chunks: Sequence[Chunk], state: BatchState, ended: str) -> bool:
        """Keep a new batch; False when its owner has one with the same key already."""
        values = {
            "id": record.id,
            "owner": record.owner,
            "key": record.key or None,
            "body": msgspec.json.encode(record),
            "chunks": msgspec.msgpack.encode(chunks),
            "state": state,
            "reason": "",
            "started": "",
            "ended": ended,
        }
        manifest = record.revision.manifest
        held = [{"digest": digest, "batch": record.id} for digest in manifest.blobs()] if manifest else []

        def work(connection: Connection) -> None:
            connection.execute(insert(batches).values(**values))
            if held:
                connection.execute(insert(batch_blobs), held)

        try:
            await self._commit("submit", work)
        except IntegrityError:
            return False
        return True

    async def all(self) -> list[tuple[BatchRecord, Standing]]:
        """Every batch, oldest first."""

        def work(connection: Connection) -> list[tuple[BatchRecord, Standing]]:
            query = select(batches).order_by(batches.c.ordinal)
            return [
                (msgspec.json.decode(row["body"], type=BatchRecord), _standing(connection, row))
                for row in connection.execute(query).mappings()
            ]

        return await self._database.run(work)

    async def standing(self, batch: str) -> Standing:
        """How a batch stands."""
        query = select(batches).where(batches.c.id == batch)
        return await self._database.run(
            lambda connection: _standing(connection, connection.execute(query).mappings().one())
        )

    async def chunks(self, batch: str) -> list[Chunk]:
        """The chunks of a batch's inputs, in order."""
        query = select(batches.c.chunks).where(batches.c.id == batch)
        packed = await self._database.run(lambda connection: connection.scalar(query))
        return msgspec.msgpack.decode(packed or b"\x90", type=list[Chunk])

    async def slices(self, batch: str, first: int = 0, stop: int = 2**62, *, recorded: bool = False) -> list[Recorded]:
        """What is recorded of some rows, in their order, or in the order in which it was recorded."""
        table = batch_slices.c
        query = (
            select(batch_slices)
            .where(table.batch == batch, table.first < stop, table.first + table.count > first)
            .order_by(table.ordinal if recorded else table.first)
        )

        def work(connection: Connection) -> list[Recorded]:
            rows = connection.execute(query).mappings()
            return [
                Recorded(r["first"], r["count"], r["file"], r["offset"], r["length"], r["seconds"], r["ordinal"])
                for r in rows
            ]

        return await self._database.run(work)

    async def record(
        self, batch: str, done: Sequence[Recorded], failures: dict[int, str], artifacts: Sequence[Located]
    ) -> bool:
        """Record results, each once; False when the batch is gone, or one of them is recorded already."""
        slices = [
            {"batch": batch, **{k: v for k, v in msgspec.structs.asdict(one).items() if k != "ordinal"}} for one in done
        ]
        failed = [{"batch": batch, "row": row, "message": message} for row, message in failures.items()]
        written = [{"batch": batch, **msgspec.structs.asdict(one)} for one in artifacts]

        def work(connection: Connection) -> None:
            connection.execute(insert(batch_slices), slices)
            if failed:
                connection.execute(insert(batch_failures), failed)
            if written:
                connection.execute(insert(batch_artifacts), written)

        try:
            await self._commit("record", work)
        except IntegrityError:
            return False
        return True

    async def set_state(self, batch: str, standing: Standing) -> None:
        """Keep the state of a batch, with its reason and times."""
        statement = (
            update(batches)
            .where(batches.c.id == batch)
            .values(state=standing.state, reason=standing.reason, started=standing.started, ended=standing.ended)
        )
        await self._commit(f"state {standing.state}", lambda connection: connection.execute(statement))

    async def tries(self, batch: str) -> list[Try]:
        """The tries of rows that came to nothing, oldest first."""
        table = batch_tries.c
        query = select(table.first, table.count, table.kind).where(table.batch == batch).order_by(table.ordinal)
        return await self._database.run(lambda connection: [Try(*row) for row in connection.execute(query)])

    async def add_tries(self, batch: str, tries: Sequence[Try]) -> None:
        """Keep tries that came to nothing."""
        values = [{"batch": batch, **msgspec.structs.asdict(one)} for one in tries]

        def work(connection: Connection) -> None:
            if values and connection.scalar(select(batches.c.id).where(batches.c.id == batch)) is not None:
                connection.execute(insert(batch_tries), values)

        await self._commit("try", work)

    async def failures(self, batch: str) -> list[int]:
        """The rows that failed."""
        table = batch_failures.c
        query = select(table.row).where(table.batch == batch).order_by(table.row)
        return await self._database.run(lambda connection: list(connection.scalars(query)))

    async def retry(
        self, batch: str, standing: Standing, gone: Sequence[Recorded], kept: Sequence[Recorded], tries: Sequence[Try]
    ) -> None:
        """Forget the results of the rows that failed, and keep the new state, at once.

        Parameters
        ----------
        batch, standing:
            Which batch, and its state from now on.
        gone, kept:
            What was recorded together with a row that failed, and what of it stays.
        tries:
            The rows.
        """
        slices = batch_slices.c
        values = [
            {"batch": batch, **{k: v for k, v in msgspec.structs.asdict(one).items() if k != "ordinal"}} for one in kept
        ]
        tried = [{"batch": batch, **msgspec.structs.asdict(one)} for one in tries]
        state = {"state": standing.state, "reason": standing.reason, "ended": standing.ended}

        def work(connection: Connection) -> None:
            for one in gone:
                connection.execute(delete(batch_slices).where(slices.batch == batch, slices.first == one.first))
            if values:
                connection.execute(insert(batch_slices), values)
            failed = select(batch_failures.c.row).where(batch_failures.c.batch == batch)
            connection.execute(
                delete(batch_artifacts).where(batch_artifacts.c.batch == batch, batch_artifacts.c.row.in_(failed))
            )
            connection.execute(delete(batch_failures).where(batch_failures.c.batch == batch))
            connection.execute(
                update(batch_tries)
                .where(batch_tries.c.batch == batch, batch_tries.c.kind == "death")
                .values(kind="lost")
            )
            if tried:
                connection.execute(insert(batch_tries), tried)
            connection.execute(update(batches).where(batches.c.id == batch).values(**state))

        await self._commit("retry", work)

    async def artifacts(self, batch: str, offset: int, limit: int) -> list[BatchArtifact]:
        """The files that a batch's rows wrote, by row and name."""
        table = batch_artifacts.c
        query = (
            select(table.row, table.name, table.size)
            .where(table.batch == batch)
            .order_by(table.row, table.name)
            .offset(offset)
            .limit(limit)
        )

        def work(connection: Connection) -> list[BatchArtifact]:
            return [BatchArtifact(index=row, name=name, size=size) for row, name, size in connection.execute(query)]

        return await self._database.run(work)

    async def located(self, batch: str, row: int | None = None, *, after: int = -1, limit: int = 1000) -> list[Located]:
        """Where artifacts lie: those of one row, or of the next rows after one."""
        table = batch_artifacts.c
        query = select(table.row, table.name, table.file, table.offset, table.size).where(table.batch == batch)
        query = query.where(table.row > after).limit(limit) if row is None else query.where(table.row == row)
        query = query.order_by(table.row, table.name)
        return await self._database.run(lambda connection: [Located(*found) for found in connection.execute(query)])

    async def delete(self, batch: str) -> set[str]:
        """Remove a batch; the digests of the blobs it held."""
        held = select(batch_blobs.c.digest).where(batch_blobs.c.batch == batch)

        def work(connection: Connection) -> set[str]:
            digests = set(connection.scalars(held))
            connection.execute(delete(batches).where(batches.c.id == batch))
            return digests

        return await self._commit("delete", work)

    async def _commit(self, what: str, work: Callable[[Connection], T]) -> T:
        crashpoint(f"before the commit of {what}")
        done = await self._database.run(work)
        crashpoint(f"after the commit of {what}")
        return done


def _standing(connection: Connection, row: RowMapping) -> Standing:
    batch = row["id"]
    slices, failures, artifacts, tries = batch_slices.c, batch_failures.c, batch_artifacts.c, batch_tries.c
    done = select(func.coalesce(func.sum(slices.count), 0), func.coalesce(func.sum(slices.seconds), 0.0))
    completed, seconds = connection.execute(done.where(slices.batch == batch)).one()
    kinds = (
        select(failures.message, func.count(), func.min(failures.row))
        .where(failures.batch == batch)
        .group_by(failures.message)
    )
    errors = {message: (count, first) for message, count, first in connection.execute(kinds)}
    written = connection.scalar(select(func.count()).where(artifacts.batch == batch))
    again = select(func.coalesce(func.sum(tries.count), 0)).where(tries.batch == batch, tries.kind != "retry")
    return Standing(
        state=BatchState(row["state"]),
        reason=row["reason"],
        started=row["started"],
        ended=row["ended"],
        completed=completed,
        seconds=seconds,
        failed=sum(count for count, _ in errors.values()),
        artifacts=written or 0,
        attempts=connection.scalar(again) or 0,
        errors=errors,
    )


def kinds_of(errors: dict[str, tuple[int, int]]) -> tuple[BatchError, ...]:
    """The most frequent kinds of errors.

    Parameters
    ----------
    errors:
        Message to count and first row.
    """
    ordered = sorted(errors.items(), key=lambda item: (-item[1][0], item[1][1]))[:KINDS_OF_ERRORS]
    return tuple(BatchError(message=message, count=count, first=first) for message, (count, first) in ordered)
