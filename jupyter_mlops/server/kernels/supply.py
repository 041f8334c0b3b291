"""Starts a pool's kernels, and holds back when they do not start or do not last."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from jupyter_mlops.errors import Conflict, MLOpsError, Unavailable
from jupyter_mlops.server.kernels.kernel import Kernel

log = logging.getLogger(__name__)

DEATHS_IN_A_ROW = 5
"""Kernels that may end one after another, each while it ran a call, before new ones are held back."""
LONGEST_PAUSE = 60.0


class Supply:
    """Where a pool's kernels come from.

    Parameters
    ----------
    start:
        Starts a kernel that has the revision loaded.
    ready:
        Is given each kernel that can take calls.
    refused:
        Is told why when there is no kernel and none can be had now.
    """

    def __init__(
        self,
        start: Callable[[], Awaitable[Kernel]],
        ready: Callable[[Kernel], None],
        refused: Callable[[MLOpsError], None],
    ) -> None:
        self.last_error = ""
        """Why the last start failed, or kernels are held back, in one line; empty when all is well."""
        self._start = start
        self._ready = ready
        self._refused = refused
        self._starting: set[asyncio.Task[None]] = set()
        self._failures = 0
        self._deaths = 0
        self._not_before = 0.0
        self._damaged = False
        self._closed = False

    def starting(self) -> int:
        """Kernels that are being started."""
        return len(self._starting)

    def request(self) -> None:
        """Start one kernel more."""
        task = asyncio.get_running_loop().create_task(self._grow())
        self._starting.add(task)
        task.add_done_callback(self._grown)

    def refusal(self) -> MLOpsError | None:
        """Why no kernel is started now, while kernels are held back; else None."""
        if self._damaged and self._failures:  # waiting does not help: somebody must act
            return Conflict(self.last_error)
        wait = self._not_before - time.monotonic()
        if wait <= 0:
            return None
        return Unavailable(f"the service cannot start: {self.last_error}", retry_after=max(wait, 1.0))

    def answered(self) -> None:
        """Note that a kernel answered: they last."""
        if self._deaths >= DEATHS_IN_A_ROW:
            self.last_error = ""
        self._deaths = 0

    def died(self, longest: float = LONGEST_PAUSE) -> MLOpsError | None:
        """Note that a kernel ended while it ran a call; why kernels are held back from now on, if they are.

        Parameters
        ----------
        longest:
            For how many seconds, at most.
        """
        self._deaths += 1
        if self._deaths < DEATHS_IN_A_ROW:
            return None
        pause = min(2.0 ** (self._deaths - DEATHS_IN_A_ROW), longest)
        self._not_before = time.monotonic() + pause
        self.last_error = f"its last {self._deaths} kernels ended while they ran a call"
        return self.refusal()

    async def close(self) -> None:
        """Stop starting."""
        self._closed = True
        for task in self._starting:
            task.cancel()
        if self._starting:
            await asyncio.wait(self._starting)

    async def _grow(self) -> None:
        try:
            kernel = await self._start()
        except Unavailable as error:  # no room now: nothing is wrong with the service
            self._refused(error)
            return
        except MLOpsError as error:
            self._failed(error)
            return
        self._failures = 0
        if self._deaths < DEATHS_IN_A_ROW:
            self.last_error = ""
        if self._closed:
            kernel.kill()
            await kernel.gone()
        else:
            self._ready(kernel)

    def _failed(self, error: MLOpsError) -> None:
        self._failures += 1
        self._not_before = time.monotonic() + min(2.0 ** (self._failures - 1), LONGEST_PAUSE)
        self._damaged = isinstance(error, Conflict)
        self.last_error = error.message
        log.error("a scoring kernel did not start: %s", error.message)
        self._refused(self.refusal() or error)

    def _grown(self, task: asyncio.Task[None]) -> None:
        self._starting.discard(task)
        if not task.cancelled():
            task.result()
