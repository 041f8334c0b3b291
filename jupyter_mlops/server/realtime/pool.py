"""The calls of one realtime revision: what a pool of kernels is to a standard one."""

from __future__ import annotations

import asyncio
import time
from functools import partial

from jupyter_mlops.errors import InvalidInput, Unavailable
from jupyter_mlops.schema.channel import Outcome
from jupyter_mlops.schema.pools import PoolSettings
from jupyter_mlops.schema.realtime import JSON, Scored
from jupyter_mlops.server.kernels.record import CallRecord
from jupyter_mlops.server.kernels.waiting import Caller
from jupyter_mlops.server.realtime.worker import Request, Specification, Worker
from jupyter_mlops.server.realtime.workers import Workers


class ModelPool:
    """Scores one revision on the workers that all realtime services share.

    Parameters
    ----------
    workers:
        They hold the model while there is room for it.
    model:
        The revision's model.
    settings:
        Of its sizes and limits only the length of the queue means something here.
    """

    def __init__(self, workers: Workers, model: Specification, settings: PoolSettings) -> None:
        self.settings = settings
        self.record = CallRecord()
        self.model = model
        self._workers = workers
        self._running = 0
        self._closed = False

    async def call(
        self,
        body: bytes,
        timeout: float,
        *,
        path: str = "",
        media: str = JSON,
        accept: str = JSON,
        head: int = 0,
        caller: Caller | None = None,
        patient: bool = False,
    ) -> Scored:
        """Score one call and return the answer.

        Parameters
        ----------
        body, path:
            What the caller sent, or the file that holds it.
        timeout:
            Seconds from now until the call is given up; of a `patient` one, seconds that it may run.
        media, accept:
            Media types of the body, and of the answer.
        head:
            Of Open Inference Protocol V2: bytes of JSON before binary tensors.
        caller:
            Is told how to take the call back.

        Raises
        ------
        InvalidInput
            When the body does not fit the model.
        KernelDied, DeadlineExceeded
            When the worker ended during this call, or the call ran too long.
        Unavailable
            When too many calls wait, the service is going away, or no worker can be started.
        """
        if self._closed:
            raise Unavailable("the service is going away; try again", retry_after=1)
        if self._running >= self.settings.queue_limit:
            raise Unavailable(f"{self._running} calls wait already; try again", retry_after=1)
        started = time.monotonic()
        future: asyncio.Future[Scored] = asyncio.get_running_loop().create_future()
        request = Request(self.model, body, path, media, accept, head, future, started)
        if caller is not None:
            caller.abandon = partial(self._abandon, request)
        self._running += 1
        failed = True
        try:
            self._workers.submit(request, timeout, patient=patient)
            scored = await future
            failed = scored.outcome != Outcome.ANSWERED
        except asyncio.CancelledError:
            self._workers.abandon(request)
            raise
        finally:
            self._running -= 1
            if not request.running():
                request.stop_timer()
            self.record.add(time.monotonic() - started, error=failed)
        if scored.outcome == Outcome.REJECTED:
            raise InvalidInput(scored.body.decode(), fields=scored.fields or "$")
        return scored

    async def load(self) -> None:
        """See that the model is in memory.

        Raises
        ------
        MLOpsError
            With the reason why it cannot be.
        """
        await self._workers.load(self.model)

    def configure(self, settings: PoolSettings) -> None:
        """Change the settings."""
        self.settings = settings

    async def drain(self) -> None:
        """Wait until every call that was accepted has been answered."""
        while self._running:  # noqa: ASYNC110  # seldom, and an event would cost every call
            await asyncio.sleep(0.02)

    async def close(self) -> None:
        """Refuse new calls, and let the workers forget the model."""
        self._closed = True
        self._workers.forget(self.model.id)

    def kernels(self) -> list[Worker]:
        """The workers that hold the model."""
        return [worker for worker in self._workers.all() if self.model.id in worker.models]

    def pids(self) -> list[int]:
        """Processes of these workers."""
        return [worker.pid for worker in self.kernels()]

    def size(self) -> int:
        """Workers that hold the model or load it."""
        return len(self.kernels())

    def starting(self) -> int:
        """Workers that start, with this model to be loaded first."""
        return sum(1 for worker in self.kernels() if not worker.ready)

    def last_error(self) -> str:
        """Why the last worker could not be started, in one line; empty when all is well."""
        return self._workers.last_error

    @property
    def restarts(self) -> int:
        """Workers that ended unasked, whichever model was to blame."""
        return self._workers.restarts

    def waiting(self) -> int:
        """How many calls wait for a worker."""
        return self._running - self.running()

    def running(self) -> int:
        """How many calls were handed to a worker and are not answered."""
        return sum(
            1
            for worker in self._workers.all()
            for one in worker.sent.values()
            if isinstance(one, Request) and one.model is self.model
        )

    def _abandon(self, request: Request) -> None:
        if not request.future.done():
            self._workers.abandon(request)
            request.fail(Unavailable("the caller has gone away"))
