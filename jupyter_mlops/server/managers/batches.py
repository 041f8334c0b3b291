"""Batches: who may submit, see and delete them, how many there may be, and how long they are kept."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncGenerator
from pathlib import Path

from jupyter_mlops.errors import Conflict, InvalidRequest, NotFound, Unavailable
from jupyter_mlops.schema.access import Action, Identity
from jupyter_mlops.server.managers.access import require
from jupyter_mlops.server.managers.batch import Batch
from jupyter_mlops.server.managers.catalog import LATEST, Catalog
from jupyter_mlops.server.managers.executions import ExecutionManager

DEFAULT_PARALLEL = 10
UNFINISHED_PER_USER = 20
FINISHED_PER_USER = 100
SWEEP_SECONDS = 30.0


class BatchManager:
    """Runs batches, in this process and its memory: they end with the server.

    Parameters
    ----------
    catalog, executions:
        Which revision a name and version mean now, and what runs calls of it.
    directory:
        For large inputs, large answers and artifacts; it is the manager's own.
    most_parallel:
        Most items of one batch that run at a time, whatever its submitter asks for.
    kept_seconds:
        How long a batch is kept after its end.
    """

    def __init__(
        self,
        catalog: Catalog,
        executions: ExecutionManager,
        directory: Path,
        *,
        most_parallel: int,
        kept_seconds: float,
    ) -> None:
        self._catalog = catalog
        self._executions = executions
        self._directory = directory
        self._most_parallel = most_parallel
        self._kept_seconds = kept_seconds
        self._batches: dict[str, Batch] = {}
        self._deleting: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.Task[None] | None = None
        self._closing = False

    async def start(self) -> None:
        """Remove what a server before this one left, and old batches from now on."""
        await asyncio.to_thread(self._make_directory)
        self._sweeper = asyncio.get_running_loop().create_task(self._sweep())

    async def close(self) -> None:
        """Cancel and delete every batch."""
        self._closing = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for batch in list(self._batches.values()):
            self._drop(batch)
        if self._deleting:
            await asyncio.wait(self._deleting)
        await asyncio.to_thread(shutil.rmtree, self._directory, ignore_errors=True)

    async def submit(self, identity: Identity, name: str, version: str, body: bytes, parallel: str | None) -> str:
        """Begin a batch on the revision that the version has now; its id.

        Parameters
        ----------
        identity:
            The caller.
        name, version:
            The service; `latest` for the last published.
        body:
            A JSON array of input objects.
        parallel:
            How many items may run at a time, as the caller wrote it.

        Raises
        ------
        InvalidInput
            With the path of the first value that does not fit the declared inputs.
        Conflict
            When the user has as many unfinished batches as one may have.
        """
        require(identity, Action.CONSUME)
        revision = self._catalog.find(name, version)
        count = self._parallel(parallel)
        self._admit(identity)
        batch = Batch(identity.name, self._executions.hold(revision), self._directory, count)
        self._batches[batch.id] = batch
        try:
            items = await batch.read(body)
        except BaseException:
            await self._drop(batch)
            raise
        if batch.deleted:
            self._check_open()
            raise NotFound(f"service {name} version {revision.version} was deleted meanwhile")
        batch.start(items, lambda: self._trim(identity.name))
        return batch.id

    def ids(self, identity: Identity, name: str, version: str) -> list[str]:
        """The caller's batches of a version, for Owners everybody's; oldest first.

        With `latest` they are those of every version of the service.
        """
        require(identity, Action.CONSUME)
        self._catalog.find(name, version)
        return [batch.id for batch in self._batches.values() if _visible(batch, identity, name, version)]

    def answer(
        self, identity: Identity, name: str, version: str, identifier: str, *, partial: bool
    ) -> AsyncGenerator[bytes, None]:
        """The state of a batch and its results, as JSON in pieces.

        Raises
        ------
        NotFound
            When the caller has no such batch.
        """
        return self._find(identity, name, version, identifier).answer(partial=partial)

    async def delete(self, identity: Identity, name: str, version: str, identifier: str) -> None:
        """Cancel a batch, if it runs, and delete it.

        Raises
        ------
        NotFound
            When the caller has no such batch.
        """
        await self._drop(self._find(identity, name, version, identifier))

    def files(self, identity: Identity, name: str, version: str, identifier: str, index: str) -> list[str]:
        """Names of the artifacts that an item wrote.

        Raises
        ------
        NotFound
            When the caller has no such batch, or the batch no such item.
        """
        return list(self._find(identity, name, version, identifier).artifacts(index))

    def file(self, identity: Identity, name: str, version: str, identifier: str, index: str, file: str) -> Path:
        """Where an artifact that an item wrote lies.

        Raises
        ------
        NotFound
            When the caller has no such batch, the batch no such item, or the item wrote no such file.
        """
        written = self._find(identity, name, version, identifier).artifacts(index)
        if file not in written:
            there = ", ".join(written) or "none"
            raise NotFound(f"item {index} has no file {file[:200]!r}; it has {there}", fields="fileName")
        return written[file]

    async def forget(self, name: str, version: str) -> None:
        """Cancel and delete the batches of a version that is deleted."""
        mine = [batch for batch in self._batches.values() if (batch.name, batch.version) == (name, version)]
        await asyncio.gather(*map(self._drop, mine))

    def _parallel(self, text: str | None) -> int:
        if text is None:
            return min(DEFAULT_PARALLEL, self._most_parallel)
        digits = text.lstrip("0")
        if not (text.isascii() and text.isdecimal() and digits):
            raise InvalidRequest(
                f"parallelCount is a whole number from 1 to {self._most_parallel}, not {text[:80]!r}",
                fields="parallelCount",
            )
        return min(int(digits[:9]), self._most_parallel)

    def _admit(self, identity: Identity) -> None:
        self._check_open()
        count = sum(batch.owner == identity.name and not batch.done for batch in self._batches.values())
        if count >= UNFINISHED_PER_USER:
            raise Conflict(
                f"you have {count} unfinished batches, as many as one user may have; wait until one is complete, or "
                "cancel one (DELETE /api/NAME/VERSION/batch/ID; GET /api/NAME/VERSION/batch lists them)"
            )

    def _check_open(self) -> None:
        if self._closing:
            raise Unavailable("the server is about to end; try again", retry_after=1)

    def _find(self, identity: Identity, name: str, version: str, identifier: str) -> Batch:
        require(identity, Action.CONSUME)
        self._catalog.find(name, version)
        batch = self._batches.get(identifier)
        if batch is None or not _visible(batch, identity, name, version):
            hours = f"{self._kept_seconds / 3600:g} hours"
            raise NotFound(
                f"you have no such batch of service {name} version {version}; GET /api/{name}/{version}/batch lists "
                f"yours (a batch is kept for {hours} after its end, and not past the server's)",
                fields="executionId",
            )
        return batch

    def _drop(self, batch: Batch) -> asyncio.Task[None]:
        """Delete a batch; it is out of sight at once."""
        self._batches.pop(batch.id, None)
        task = asyncio.get_running_loop().create_task(batch.delete())
        self._deleting.add(task)
        task.add_done_callback(self._deleting.discard)
        return task

    def _trim(self, owner: str) -> None:
        """Keep no more of a user's finished batches than one may have."""
        done = [batch for batch in self._batches.values() if batch.owner == owner and batch.done]
        done.sort(key=lambda batch: batch.ended)
        for batch in done[: max(0, len(done) - FINISHED_PER_USER)]:
            self._drop(batch)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(min(SWEEP_SECONDS, self._kept_seconds / 2))
            limit = time.monotonic() - self._kept_seconds
            for batch in [batch for batch in self._batches.values() if batch.done and batch.ended < limit]:
                self._drop(batch)

    def _make_directory(self) -> None:
        shutil.rmtree(self._directory, ignore_errors=True)
        self._directory.mkdir(mode=0o700)


def _visible(batch: Batch, identity: Identity, name: str, version: str) -> bool:
    place = batch.name == name and version in {LATEST, batch.version}
    return place and (batch.owner == identity.name or identity.may(Action.MANAGE_ALL))
