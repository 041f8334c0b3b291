"""A revision with what its calls need, and the way through it for those who make many."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from jupyter_mlops.inputs import InputReader, RowsReader
from jupyter_mlops.schema.channel import Slice
from jupyter_mlops.schema.services import Revision
from jupyter_mlops.server.kernels.pool import Pool
from jupyter_mlops.server.kernels.slicing import Job, SliceEnd
from jupyter_mlops.server.managers.metrics import CallMetrics


@dataclass(eq=False)
class Scored:
    """A revision with what its calls need."""

    reader: InputReader
    rows: RowsReader | None
    pool: Pool
    metrics: CallMetrics
    holds: int = 0
    """How many work through it, and need its kernels even when the version points at another."""
    released: asyncio.Event = field(default_factory=asyncio.Event)


class Held:
    """One revision that somebody works through, slice by slice; made by `ExecutionManager.hold`."""

    def __init__(self, revision: Revision, scored: Scored, touch: Callable[[], None]) -> None:
        self.revision = revision
        self._scored = scored
        self._touch = touch
        self._released = False

    async def run_slice(self, request: Slice, batch: str, rank: int, begun: Callable[[Job], None]) -> SliceEnd:
        """Run a slice of a batch; waiting for a kernel is not counted in the deadline of its rows.

        Parameters
        ----------
        request:
            What to run.
        batch, rank:
            Batches of one rank take turns, those of a greater one go first.
        begun:
            Is given what `stop_slice` takes.

        Raises
        ------
        Unavailable, Conflict
            When no kernel can be started.
        """
        self._touch()
        pool, timeout = self._scored.pool, self.revision.definition.timeout
        try:
            return await pool.slicing.run(request, batch=batch, priority=rank, timeout=timeout, begun=begun)
        finally:
            self._touch()

    def stop_slice(self, job: Job, *, gently: bool) -> None:
        """End a slice at once, or gently after the row that runs."""
        self._scored.pool.slicing.stop(job, gently=gently)

    def count(self, answered: int, failed: int) -> None:
        """Count rows that have been recorded."""
        self._scored.metrics.count_rows(answered, failed)

    def width(self) -> int:
        """How many kernels there may be."""
        return self._scored.pool.maximum()

    def cannot_start(self) -> bool:
        """Whether there is no kernel, and starting one failed."""
        pool = self._scored.pool
        return not pool.kernels() and bool(pool.last_error())

    def release(self) -> None:
        """Say that no more slices will come."""
        if not self._released:
            self._released = True
            self._scored.holds -= 1
            if not self._scored.holds:
                self._scored.released.set()
