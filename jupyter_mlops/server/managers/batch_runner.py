"""What scores the slices of a batch: here the kernels of a service's pool; a cluster does it alike."""

from __future__ import annotations

from typing import Protocol

from jupyter_mlops.schema.batches import Priority
from jupyter_mlops.schema.channel import Slice
from jupyter_mlops.server.kernels.slicing import Job, SliceEnd
from jupyter_mlops.server.managers.scored import Held

RANK = {Priority.LOW: 0, Priority.NORMAL: 1, Priority.HIGH: 2}


class Runner(Protocol):
    """Scores slices of one batch, several at a time.

    A slice names a chunk in the file of inputs, some rows of it, and a file of results with the place where these
    begin. When `run` returns, what is in that file is whole (`jupyter_mlops.recording`) and nobody adds to it.
    """

    lacks: str
    """What a batch waits for while slices cannot be begun."""

    def width(self) -> int:
        """How many slices can run at a time."""

    async def run(self, request: Slice) -> SliceEnd:
        """Score a slice; its id is the runner's to give.

        Raises
        ------
        Unavailable
            When it cannot be begun now; try again.
        MLOpsError
            When trying again does not help.
        """

    def stop(self, *, gently: bool) -> None:
        """End what runs, within a second, or gently after the rows that run."""

    def stuck(self) -> bool:
        """Whether nothing can run, and it is not for want of room."""

    def release(self) -> None:
        """Say that nothing more will come."""


class KernelRunner:
    """Scores slices by the kernels of a service's pool.

    Parameters
    ----------
    held:
        The revision.
    batch:
        The batch's id.
    priority:
        Its place among the batches that wait for the same kernels.
    """

    lacks = "no kernel can be started"

    def __init__(self, held: Held, batch: str, priority: Priority) -> None:
        self._held = held
        self._batch = batch
        self._rank = RANK[priority]
        self._jobs: set[Job] = set()

    def width(self) -> int:
        """One more than there may be kernels, so that none waits for the next slice."""
        return self._held.width() + 1

    async def run(self, request: Slice) -> SliceEnd:
        """Score a slice, when a kernel has time for it."""
        jobs: list[Job] = []

        def begun(job: Job) -> None:
            jobs.append(job)
            self._jobs.add(job)

        try:
            return await self._held.run_slice(request, self._batch, self._rank, begun)
        finally:
            self._jobs.difference_update(jobs)

    def stop(self, *, gently: bool) -> None:
        """End what runs."""
        for job in list(self._jobs):
            self._held.stop_slice(job, gently=gently)

    def stuck(self) -> bool:
        """Whether there is no kernel, and starting one failed."""
        return self._held.cannot_start()

    def release(self) -> None:
        """Let go of the revision."""
        self._held.release()
