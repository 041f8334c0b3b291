"""Every realtime worker of a server: which one takes a call, and what happens when one stalls or dies."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from pathlib import Path

from jupyter_mlops.errors import DeadlineExceeded, KernelDied, MLOpsError, Unavailable
from jupyter_mlops.schema.channel import Outcome
from jupyter_mlops.schema.realtime import ModelLoaded, Scored
from jupyter_mlops.server.realtime.memory import make_room
from jupyter_mlops.server.realtime.worker import Employment, Held, Request, Specification, Worker, not_installed

log = logging.getLogger(__name__)

BEHIND_SECONDS = 0.02
"""How long a worker may be at something before calls go to another one that has nothing to do."""
STALL_SECONDS = 0.25
"""How long it may be at something before what it has not begun is taken back."""
TICK_SECONDS = 0.1
MOST_TRIES = 4
LONGEST_PAUSE = 30.0
_RESERVE = 2
"""How many workers there may be beyond the maximum, for each that there may be, while others stall."""


class Workers:
    """The worker processes.

    A call goes to the worker that has its model, unless that has been at something else for long; a model that hangs
    or dies costs the calls that were running and no other, because scoring a row twice changes nothing.

    Parameters
    ----------
    employment:
        What workers are started with.
    maximum:
        Most workers that are of use at a time; stalled ones are not counted.
    memory:
        Bytes that the models of all workers together may use.
    installed:
        Whether this machine has what workers need.
    """

    def __init__(self, employment: Employment, *, maximum: int, memory: int, installed: bool) -> None:
        self.memory = memory
        self.restarts = 0
        self.last_error = ""
        self._employment = employment
        self.maximum = maximum
        self._installed = installed
        self._workers: list[Worker] = []
        self._waiting: deque[Request] = deque()
        self._failures = 0
        self._resume = 0.0
        self._ticker: asyncio.Task[None] | None = None
        self._closed = False

    def start(self, *, wanted: bool) -> None:
        """Watch workers from now on; start the first at once when there is something to score."""
        self._ticker = asyncio.get_running_loop().create_task(self._tick())
        if wanted and self._installed:
            self._spawn()

    @property
    def folder(self) -> Path:
        """Where large bodies and answers lie."""
        return self._employment.folder

    @property
    def in_memory(self) -> bool:
        """Whether writing there is as fast as copying."""
        return self._employment.in_memory

    def all(self) -> list[Worker]:
        """Those that run or start."""
        return list(self._workers)

    def check(self) -> None:
        """Refuse what needs workers where none can run.

        Raises
        ------
        Unavailable
            Naming what to install.
        """
        if not self._installed:
            raise not_installed()

    def warm(self) -> None:
        """Start a worker when there is none: a model is on its way."""
        self.check()
        if not self._workers and not self._closed and time.monotonic() > self._resume:
            self._spawn()

    def submit(self, request: Request, timeout: float, *, patient: bool = False) -> None:
        """Let a worker score a call; its future gets the answer.

        Parameters
        ----------
        request:
            The call.
        timeout:
            Seconds from now until it is given up; of a `patient` one, seconds that it may run.

        Raises
        ------
        Unavailable
            When no worker can be started.
        """
        self.check()
        loop = request.future.get_loop()
        request.timer = loop.call_later(timeout, self._late, request, timeout, patient)
        self._place(request)

    def abandon(self, request: Request) -> None:
        """Nobody waits for this call any more; one that has begun keeps its deadline, should it hang."""
        if request.running():
            return
        request.stop_timer()
        if request.worker is None:
            with contextlib.suppress(ValueError):
                self._waiting.remove(request)
        else:
            request.worker.forget(request)

    async def load(self, model: Specification) -> None:
        """See that some worker has a model, and wait until it has.

        Raises
        ------
        Unavailable
            With the reason why it cannot be had.
        """
        self.check()
        worker = next((one for one in self._workers if model.id in one.models), None)
        if worker is None:
            worker = self._choose(model) or self._least()
            self._load(worker, model)
        await asyncio.shield(worker.models[model.id].loaded)

    def forget(self, model: str) -> None:
        """Let every worker forget a model."""
        for worker in self._workers:
            worker.unload(model)

    async def close(self) -> None:
        """End every worker."""
        self._closed = True
        if self._ticker is not None:
            self._ticker.cancel()
        workers = self.all()
        for worker in workers:
            worker.kill("the server is about to end")
        await asyncio.gather(*(worker.gone() for worker in workers))

    def _place(self, request: Request) -> None:
        """Hand a call to a worker, or let it wait for one."""
        try:
            worker = self._choose(request.model)
        except Unavailable as error:
            request.fail(error)
            return
        if worker is None:
            request.worker = None
            self._waiting.append(request)
            return
        if request.model.id not in worker.models:
            self._load(worker, request.model)
        worker.score(request)

    def _choose(self, model: Specification) -> Worker | None:
        """The worker for a call of a model; None when it must wait."""
        now, name = time.monotonic(), model.id
        able = [worker for worker in self._workers if not worker.stalled]
        homes = [worker for worker in able if name in worker.models]
        for candidates in (homes, able):
            free = [worker for worker in candidates if not worker.behind(now, name, BEHIND_SECONDS)]
            if free:
                return min(free, key=lambda worker: len(worker.sent))
        most = self.maximum * (1 + _RESERVE)
        mine = sum(1 for worker in self._workers if worker.stalled and _at(worker, name))
        if len(able) < self.maximum and len(self._workers) < most and mine < self.maximum:
            return self._spawn()
        return min(homes or able, key=lambda worker: len(worker.sent), default=None)

    def _least(self) -> Worker:
        return min(self._workers, key=lambda worker: len(worker.sent)) if self._workers else self._spawn()

    def _load(self, worker: Worker, model: Specification) -> None:
        make_room(self._workers, self.memory, model)
        worker.load(model)

    def _spawn(self) -> Worker:
        if self._closed:
            raise Unavailable("the server is about to end; try again", retry_after=1)
        wait = self._resume - time.monotonic()
        if wait > 0:
            raise Unavailable(f"no realtime worker can be started: {self.last_error}", retry_after=wait)
        worker = Worker(self._employment, self._replied, self._gone)
        self._workers.append(worker)
        return worker

    def _replied(self, worker: Worker, message: ModelLoaded | Scored) -> None:
        one = worker.sent.pop(message.id, None)
        if isinstance(one, Request):
            one.stop_timer()
        self._failures = 0
        self.last_error = ""
        if isinstance(one, Held) and isinstance(message, ModelLoaded):
            self._loaded(worker, one, message)
        elif isinstance(one, Request) and isinstance(message, Scored):
            if message.outcome == Outcome.ALONE:  # it was not run there
                self._again(one)
            elif not one.future.done():
                one.future.set_result(message)
        self._pump()

    def _loaded(self, worker: Worker, held: Held, message: ModelLoaded) -> None:
        if not message.error:
            held.memory = max(message.memory, held.model.size)
            make_room(self._workers, self.memory, None, keep=held)
            if not held.loaded.done():
                held.loaded.set_result(None)
            return
        if worker.models.get(held.model.id) is held:
            del worker.models[held.model.id]
        self._no_model(worker, held, Unavailable(message.error, retry_after=LONGEST_PAUSE))

    def _no_model(self, worker: Worker, held: Held, error: MLOpsError) -> None:
        log.warning("the model of %s %s cannot be had: %s", *held.model.name, error)
        if not held.loaded.done():
            held.loaded.set_exception(error)
        for one in list(worker.sent.values()):
            if isinstance(one, Request) and one.model is held.model:
                worker.forget(one)
                one.fail(error)

    def _again(self, request: Request) -> None:
        request.tries += 1
        if request.future.done():
            return
        if request.tries >= MOST_TRIES:
            request.fail(Unavailable("no realtime worker could take the call; try again", retry_after=1))
        else:
            self._place(request)

    def _pump(self) -> None:
        """Place what waits, as far as there are workers for it."""
        for _ in range(len(self._waiting)):
            request = self._waiting.popleft()
            if not request.future.done():
                self._place(request)

    def _gone(self, worker: Worker) -> None:
        self._workers.remove(worker)
        sent, begun = list(worker.sent.values()), worker.begun()
        worker.sent.clear()
        self.restarts += 1
        log.warning("realtime worker %d %s", worker.pid, worker.reason or "ended")
        if self._closed or not worker.ready:
            self._did_not_start(worker, sent)
            return
        died = KernelDied(f"the realtime worker {worker.reason or 'ended'} while it ran this; the next gets a new one")
        running = [one for one in sent if one.number <= begun]
        for one in running:
            if isinstance(one, Held):
                self._no_model(worker, one, died)
            elif len(running) == 1 or one.future.done():
                one.fail(died)
            else:  # one of those that ran together is to blame
                one.alone = True
                self._again(one)
        loading = {one.model.id for one in running if isinstance(one, Held)}
        for one in sent[len(running) :]:
            if isinstance(one, Request) and one.model.id not in loading:
                self._place(one)
            else:
                _tell(one, died)
        self._pump()

    def _did_not_start(self, worker: Worker, sent: list[Request | Held]) -> None:
        self._failures += 1
        self.last_error = worker.reason
        self._resume = time.monotonic() + min(0.5 * 2**self._failures, LONGEST_PAUSE)
        for one in sent:
            _tell(one, Unavailable(f"the realtime worker {worker.reason}", retry_after=1))

    def _late(self, request: Request, timeout: float, patient: bool) -> None:  # noqa: FBT001
        worker, begun = request.worker, request.running()
        if patient and not begun:
            request.timer = request.future.get_loop().call_later(timeout, self._late, request, timeout, patient)
            return
        request.fail(DeadlineExceeded(f"the call ran past its deadline of {timeout:g} s"))
        if begun:
            assert worker is not None
            worker.kill("was ended because a call ran past its deadline")
        else:
            self.abandon(request)

    async def _tick(self) -> None:
        """Take back, from workers that have been at one thing for long, what they have not begun."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = time.monotonic()
            for worker in self._workers:
                if not worker.stalled and worker.behind(now, "", STALL_SECONDS):
                    worker.stalled = worker.seen == worker.running() and bool(worker.seen)
                    if worker.stalled:
                        self._waiting.extend(worker.take_back())
                worker.seen = worker.running()
            self._pump()
            self._shrink()

    def _shrink(self) -> None:
        """End an idle worker that was started because others stalled."""
        able = [worker for worker in self._workers if not worker.stalled]
        idle = [worker for worker in able if not worker.sent and worker.ready]
        if len(able) > self.maximum and idle:
            worker = min(idle, key=lambda one: len(one.models))
            self._workers.remove(worker)
            worker.on_gone = lambda _: None
            worker.kill()


def _at(worker: Worker, model: str) -> bool:
    """Whether it is at a call of this model."""
    oldest = next(iter(worker.sent.values()), None)
    return oldest is not None and oldest.model.id == model


def _tell(one: Request | Held, error: MLOpsError) -> None:
    if isinstance(one, Request):
        one.fail(error)
    elif not one.loaded.done():
        one.loaded.set_exception(error)
