"""The kernels of one revision, and the calls that wait for them."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable

import msgspec

from jupyter_mlops.errors import Conflict, DeadlineExceeded, InvalidInput, KernelDied, MLOpsError, Unavailable
from jupyter_mlops.schema.channel import Call, Outcome, Reply
from jupyter_mlops.schema.executions import WebServiceResult
from jupyter_mlops.server.kernels.kernel import Kernel

log = logging.getLogger(__name__)

GRACE_SECONDS = 2.0
"""How long an interrupted call may take to end before its kernel is killed."""

_ids = itertools.count(1)


class _Waiting:
    """A call and its caller."""

    __slots__ = ("call", "future", "kernel", "timer")

    def __init__(self, call: Call, future: asyncio.Future[Reply]) -> None:
        self.call = call
        self.future = future
        self.kernel: Kernel | None = None
        self.timer: asyncio.TimerHandle | None = None


class Pool:
    """Runs calls of one revision on its kernels.

    A dead kernel fails the call it was running and no other; a call past its deadline is interrupted, and
    its kernel is killed when that does not help.

    Parameters
    ----------
    start:
        Starts a kernel that has the revision loaded.
    maximum:
        Most kernels at a time.
    queue_limit:
        Most calls that wait; one more is refused at once.
    """

    def __init__(self, start: Callable[[], Awaitable[Kernel]], *, maximum: int = 1, queue_limit: int = 1000) -> None:
        self._start = start
        self._maximum = maximum
        self._queue_limit = queue_limit
        self._queue: deque[_Waiting] = deque()
        self._running: dict[int, _Waiting] = {}
        self._kernels: list[Kernel] = []
        self._starting: asyncio.Task[None] | None = None
        self._closed = False
        self._failures = 0
        self._not_before = 0.0
        self._damaged = False
        self.last_error = ""
        """Why the last start failed, in one line; empty when it did not."""
        self.restarts = 0
        self.last_used = time.monotonic()

    def adopt(self, kernel: Kernel) -> None:
        """Take over a kernel that is ready."""
        kernel.on_reply = self._replied
        kernel.on_gone = self._gone
        self._kernels.append(kernel)
        self._dispatch()

    async def call(self, body: bytes, timeout: float, *, checked: bool) -> Reply:
        """Run one call and return its answer.

        Parameters
        ----------
        body:
            A MessagePack map of checked inputs, or the caller's JSON.
        timeout:
            Seconds from now until the call is given up.
        checked:
            Which of the two `body` is.

        Raises
        ------
        InvalidInput
            When the kernel found that the inputs do not fit.
        KernelDied, DeadlineExceeded
            When the kernel ended during this call, or the call ran too long.
        Unavailable
            When too many calls wait, the pool is closed, or no kernel can be started.
        """
        self.last_used = time.monotonic()
        if self._closed:
            raise Unavailable("the service is going away; try again", retry_after=1)
        if len(self._queue) >= self._queue_limit:
            raise Unavailable(f"{len(self._queue)} calls wait already; try again", retry_after=1)
        self._refuse_while_backing_off()
        loop = asyncio.get_running_loop()
        waiting = _Waiting(Call(next(_ids), body, checked), loop.create_future())
        waiting.timer = loop.call_later(timeout, self._late, waiting, timeout)
        self._queue.append(waiting)
        self._dispatch()
        try:
            reply = await waiting.future
        except asyncio.CancelledError:
            self._forget(waiting)
            raise
        finally:
            waiting.timer.cancel()
        if reply.outcome == Outcome.REJECTED:
            raise InvalidInput(_message(reply), fields="$")
        if reply.outcome == Outcome.INTERRUPTED:
            raise DeadlineExceeded(f"the call ran past its deadline of {timeout:g} s and was interrupted")
        return reply

    async def close(self) -> None:
        """Refuse new calls, fail those that wait, and end the kernels."""
        self._closed = True
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait([self._starting])
        for waiting in self._queue:
            _fail(waiting, Unavailable("the service is going away; try again", retry_after=1))
        self._queue.clear()
        kernels = self.kernels()
        for kernel in kernels:
            kernel.kill()
        await asyncio.gather(*(kernel.gone() for kernel in kernels))

    async def drain(self) -> None:
        """Wait until every call that was accepted has been answered."""
        while self._queue or self._running:  # noqa: ASYNC110  # seldom, and an event would cost every call
            await asyncio.sleep(0.02)

    def kernels(self) -> list[Kernel]:
        """The kernels that can take calls now."""
        return list(self._kernels)

    def waiting(self) -> int:
        """How many calls wait for a kernel."""
        return len(self._queue)

    def running(self) -> int:
        """How many calls were handed to a kernel and are not answered."""
        return len(self._running)

    def _dispatch(self) -> None:
        for kernel in self._kernels:
            if not self._queue:
                return
            if not kernel.sent:
                self._hand(self._queue.popleft(), kernel)
        if self._queue and self._starting is None and len(self._kernels) < self._maximum and not self._closed:
            self._starting = asyncio.get_running_loop().create_task(self._grow())
            self._starting.add_done_callback(self._grown)

    def _hand(self, waiting: _Waiting, kernel: Kernel) -> None:
        waiting.kernel = kernel
        self._running[waiting.call.id] = waiting
        kernel.send(waiting.call)

    async def _grow(self) -> None:
        try:
            kernel = await self._start()
        except MLOpsError as error:
            self._failures += 1
            self._not_before = time.monotonic() + min(2.0 ** (self._failures - 1), 60.0)
            self._damaged = isinstance(error, Conflict)
            self.last_error = error.message
            log.error("a scoring kernel did not start: %s", error.message)  # noqa: TRY400  # the message says it all
            for waiting in self._queue:
                _fail(waiting, self._cannot_start())
            self._queue.clear()
            return
        self._failures = 0
        self.last_error = ""
        if self._closed:
            kernel.kill()
            await kernel.gone()
            return
        self.adopt(kernel)

    def _grown(self, task: asyncio.Task[None]) -> None:
        self._starting = None
        if not task.cancelled():
            task.result()
            self._dispatch()

    def _refuse_while_backing_off(self) -> None:
        if not self._kernels and self._starting is None and time.monotonic() < self._not_before:
            raise self._cannot_start()

    def _cannot_start(self) -> MLOpsError:
        if self._damaged:  # waiting does not help: somebody must act
            return Conflict(self.last_error)
        wait = max(self._not_before - time.monotonic(), 1.0)
        return Unavailable(f"the service cannot start: {self.last_error}", retry_after=wait)

    def _replied(self, reply: Reply) -> None:
        waiting = self._running.pop(reply.id, None)
        if waiting is not None and not waiting.future.done():
            waiting.future.set_result(reply)
        self._dispatch()

    def _gone(self, kernel: Kernel) -> None:
        if kernel in self._kernels:
            self._kernels.remove(kernel)
            self.restarts += 1
        marked = kernel.running()
        for call in reversed(list(kernel.sent)):
            waiting = self._running.pop(call, None)
            if waiting is None:
                continue
            if call == marked:
                _fail(
                    waiting,
                    KernelDied("the kernel ended while it ran this call; the next call gets a new one"),
                )
            else:  # it never began: another kernel takes it, in its old place
                waiting.kernel = None
                self._queue.appendleft(waiting)
        if not self._closed:
            self._dispatch()

    def _late(self, waiting: _Waiting, timeout: float) -> None:
        kernel = waiting.kernel
        _fail(waiting, DeadlineExceeded(f"the call ran past its deadline of {timeout:g} s"))
        if kernel is None:
            self._queue.remove(waiting)
        elif kernel.interrupt(waiting.call.id):
            asyncio.get_running_loop().call_later(GRACE_SECONDS, self._kill_if_stuck, kernel, waiting.call.id)
        elif next(iter(kernel.sent), None) == waiting.call.id:
            log.warning("kernel %d did not begin a call before its deadline and is killed", kernel.pid)
            kernel.kill()
        else:
            self._forget(waiting)

    def _forget(self, waiting: _Waiting) -> None:
        """Nobody waits for this call any more: give its place to another if it has not begun."""
        if waiting.kernel is None:
            if waiting in self._queue:
                self._queue.remove(waiting)
        elif waiting.kernel.running() != waiting.call.id:
            waiting.kernel.cancel(waiting.call.id)
            self._running.pop(waiting.call.id, None)
            self._dispatch()

    def _kill_if_stuck(self, kernel: Kernel, call: int) -> None:
        if call in kernel.sent:
            log.warning("kernel %d did not heed the interrupt of a late call and is killed", kernel.pid)
            kernel.kill()


def _fail(waiting: _Waiting, error: MLOpsError) -> None:
    if not waiting.future.done():
        waiting.future.set_exception(error)


def _message(reply: Reply) -> str:
    return msgspec.json.decode(reply.body, type=WebServiceResult).error_message
