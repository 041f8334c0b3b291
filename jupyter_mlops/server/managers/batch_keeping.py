"""How long batches are kept, and how they go."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from jupyter_mlops.server.managers.batch import Batch
from jupyter_mlops.server.managers.batch_harvest import parts
from jupyter_mlops.server.managers.batch_run import BatchRun
from jupyter_mlops.server.managers.uploads import UploadManager
from jupyter_mlops.server.stores.batch_files import BatchFiles
from jupyter_mlops.server.stores.batches import BatchStore, Recorded

FINISHED_PER_USER = 100
SWEEP_SECONDS = 30.0


@dataclass(frozen=True)
class BatchLimits:
    """What the server's settings say of batches."""

    most_parallel: int
    """Most items of one batch that run at a time, whatever its submitter asks for."""
    kept_seconds: float
    """How long a batch is kept after its end."""
    kept_bytes: int
    """How many bytes those that have ended may have on disk, all together; the oldest go first."""
    webhook_hosts: frozenset[str] = frozenset()
    """Hosts that may be told of the end of a batch."""


class BatchKeeping:
    """Deletes batches: those it is asked to, old ones, and those that are too many or too large.

    Parameters
    ----------
    batches, runs:
        All batches, and what runs those that run, by id, as they are at any time.
    store, files, uploads:
        Where batches are kept, and the blobs that they hold.
    limits:
        The settings.
    """

    def __init__(
        self,
        batches: dict[str, Batch],
        runs: dict[str, BatchRun],
        store: BatchStore,
        files: BatchFiles,
        uploads: UploadManager,
        limits: BatchLimits,
    ) -> None:
        self._batches = batches
        self._runs = runs
        self._store = store
        self._files = files
        self._uploads = uploads
        self._limits = limits
        self._deleting: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look for old batches from now on."""
        self._sweeper = asyncio.get_running_loop().create_task(self._sweep())

    async def close(self) -> None:
        """Look no more, and wait for what is being deleted."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        if self._deleting:
            await asyncio.wait(self._deleting)

    def delete(self, batch: Batch) -> Awaitable[None]:
        """Cancel a batch, if it runs, and delete it; it is out of sight at once."""
        self._batches.pop(batch.id, None)
        batch.deleted = True
        batch.changed()
        task = asyncio.get_running_loop().create_task(self._delete(batch))
        self._deleting.add(task)
        task.add_done_callback(self._deleting.discard)
        return task

    def unused(self, batch: Batch) -> None:
        """Remove the files of a deleted batch that nobody reads any more."""
        asyncio.get_running_loop().run_in_executor(None, self._files.remove, batch.id)

    def trim(self, owner: str) -> None:
        """Keep no more of a user's finished batches than one may have."""
        done = [batch for batch in self._batches.values() if batch.record.owner == owner and batch.done]
        done.sort(key=lambda batch: batch.standing.ended)
        for batch in done[: max(0, len(done) - FINISHED_PER_USER)]:
            self.delete(batch)

    async def _delete(self, batch: Batch) -> None:
        run = self._runs.get(batch.id)
        if run is not None:
            run.stop(gently=False)
        await self._uploads.release(await self._store.delete(batch.id))
        while batch.id in self._runs:  # noqa: ASYNC110  # seldom, and soon over
            await asyncio.sleep(0.02)
        if not batch.users:
            await asyncio.to_thread(self._files.remove, batch.id)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(min(SWEEP_SECONDS, self._limits.kept_seconds / 2))
            now = datetime.now(UTC)
            done = [batch for batch in self._batches.values() if batch.done]
            for batch in done:
                if (now - datetime.fromisoformat(batch.standing.ended)).total_seconds() > self._limits.kept_seconds:
                    self.delete(batch)
            await self._shrink([batch for batch in done if not batch.deleted])

    async def _shrink(self, done: list[Batch]) -> None:
        """Delete the oldest until the rest have no more bytes than they may."""
        for batch in done:
            batch.size = batch.size or await asyncio.to_thread(self._files.size, batch.id)
        size = sum(batch.size for batch in done)
        for batch in sorted(done, key=lambda batch: batch.standing.ended):
            if size <= self._limits.kept_bytes:
                return
            size -= batch.size
            if batch.done and not batch.deleted:
                self.delete(batch)


async def without(
    store: BatchStore, files: BatchFiles, batch: str, rows: Sequence[int]
) -> tuple[list[Recorded], list[Recorded]]:
    """What is recorded together with some rows, and what of it stays without them.

    Parameters
    ----------
    store, files, batch:
        Whose.
    rows:
        The rows, in order.
    """
    gone: list[Recorded] = []
    kept: list[Recorded] = []
    for one in await store.slices(batch) if rows else ():
        mine = set(rows[bisect_left(rows, one.first) : bisect_left(rows, one.first + one.count)])
        if mine:
            path = files.results(batch, one.file)
            gone.append(one)
            found = await asyncio.to_thread(parts, path, one.first, one.offset, one.offset + one.length, mine)
            kept += [
                Recorded(first, count, one.file, offset, length, seconds)
                for first, count, offset, length, seconds in found
            ]
    return gone, kept
