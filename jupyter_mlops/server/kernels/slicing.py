"""Slices of batches in a pool: which goes next, how long each row may run, and how they give way to calls."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from jupyter_mlops.errors import MLOpsError
from jupyter_mlops.schema.channel import Slice, SliceReply
from jupyter_mlops.server.kernels.ids import new_ids
from jupyter_mlops.server.kernels.kernel import Kernel

log = logging.getLogger(__name__)

WATCH_SECONDS = 0.1
"""How often the row that runs is looked at."""
GRACE_SECONDS = 2.0
"""How long an interrupted row may take to end before its kernel is killed."""
STOP_SECONDS = 0.7
"""The same when the batch was cancelled."""
BATCH_PAUSE = 1.0
"""For how long, at most, kernels are held back when rows of batches end them one after another: each has its tries."""
CALLS_SECONDS = 1.0
"""How long after a call one kernel of several is kept free of slices, for the next."""
CALLED_SECONDS = 2.0
"""How long after a call the next is expected, so that rows which run as one do so in pieces."""
PIECE_SECONDS = 0.02
"""How long such a piece is to take."""
STARVED_SECONDS = 0.1
"""How long slices may wait for calls, when none runs, before one takes its turn."""
STUCK_SECONDS = 2.0
"""The same when one runs: then it is one that takes long, and others wait for it."""
SERVED = 1000
"""Batches of which is remembered when they had their turn."""
TURN_SECONDS = 0.003
"""How long it may then run before it gives way again."""


@dataclass(frozen=True)
class SliceEnd:
    """What became of a slice."""

    done: int | None
    """Rows that have a result; None when the kernel ended, so that the file has to tell."""
    seconds: float = 0.0
    full: bool = False
    """Whether it ended early because the disk is full."""
    row: int | None = None
    """Index of the row that ran when the kernel ended, if one ran."""
    reason: str = ""
    """Why the kernel ended."""
    again: int = 0
    """How often it was begun before, by what was lost then without a trace."""
    end: int = 0
    """Where its results end in the file, when there is nothing to be said of any; else the file has to tell."""
    busy: float = 0.0
    """How long the rows took then, all together."""


@dataclass(eq=False)
class Job:
    """A slice on its way through a pool.

    Parameters
    ----------
    request:
        What the kernel is sent, but for its id.
    batch:
        Batches of one priority take turns.
    priority:
        The greater goes first.
    timeout:
        Seconds that a row, or a group of rows that runs as one, may take.
    future:
        Its end.
    """

    request: Slice
    batch: str
    priority: int
    timeout: float
    future: asyncio.Future[SliceEnd]
    since: float
    kernel: Kernel | None = None
    step: int = -1
    stepped: float = 0.0
    late: bool = False
    gave_way: bool = False
    """Whether it was to end early for a call, which was taken back since when the kernel is stalled."""
    turn: float = 0.0
    """Until when it need not give way."""


class Slicing:
    """The slices of one pool.

    Parameters
    ----------
    kernels:
        The pool's kernels, as they are at any time.
    check_open:
        Raises when nothing can run.
    again:
        Called when something may run that could not before.
    """

    def __init__(self, kernels: list[Kernel], check_open: Callable[[], None], again: Callable[[], None]) -> None:
        self._kernels = kernels
        self._check_open = check_open
        self._again = again
        self._waiting: list[Job] = []
        self._running: dict[int, Job] = {}
        self._served: dict[str, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._last_ran = 0.0
        self.last_call = 0.0
        """When the pool's last call was accepted, on the monotonic clock."""

    def waits(self) -> bool:
        """Whether a slice waits."""
        return bool(self._waiting)

    def busy(self) -> bool:
        """Whether a slice waits or runs."""
        return bool(self._waiting or self._running)

    def oldest(self) -> float:
        """When the slice that waits longest came."""
        return min(job.since for job in self._waiting)

    def starved(self) -> bool:
        """Whether slices have waited so long for calls that one takes its turn."""
        if not self._waiting:
            return False
        patience = STUCK_SECONDS if self._running else STARVED_SECONDS
        return time.monotonic() - max(self.oldest(), self._last_ran) > patience

    async def run(
        self, request: Slice, *, batch: str, priority: int, timeout: float, begun: Callable[[Job], None]
    ) -> SliceEnd:
        """Run a slice.

        Parameters
        ----------
        request:
            What to run; its id is given here.
        batch, priority, timeout:
            As `Job` describes them.
        begun:
            Is given what `stop` takes.

        Raises
        ------
        Unavailable, Conflict
            When the pool is closed, or no kernel can be started.
        """
        self._check_open()
        future: asyncio.Future[SliceEnd] = asyncio.get_running_loop().create_future()
        job = Job(request, batch, priority, timeout, future, time.monotonic())
        self._waiting.append(job)
        begun(job)
        self._again()
        return await future

    def hand(self, *, starved: bool = False) -> bool:
        """Send the slices that wait to idle kernels; say whether one was sent.

        Parameters
        ----------
        starved:
            Whether they have waited so long for calls that one goes before these.
        """
        sent = False
        while not (starved and sent) and (found := self._next(starved=starved)):
            self._send(*found, starved=starved)
            sent = True
        return sent

    def _next(self, *, starved: bool) -> tuple[Job, Kernel] | None:
        """The slice that goes next and an idle kernel for it, if there are both."""
        kernel = next((kernel for kernel in self._kernels if not kernel.sent), None)
        if kernel is None or not self._waiting:
            return None
        quiet = self.last_call + CALLS_SECONDS - time.monotonic()
        if quiet > 0 and not starved and 1 <= len(self._running) >= len(self._kernels) - 1:
            self._come_back(quiet)
            return None
        job = min(self._waiting, key=lambda job: (-job.priority, self._served.get(job.batch, 0.0)))
        self._waiting.remove(job)
        return job, kernel

    def _send(self, job: Job, kernel: Kernel, *, starved: bool) -> None:
        number = new_ids(2 * job.request.count + 1)
        job.kernel = kernel
        job.stepped = now = time.monotonic()
        pause = PIECE_SECONDS if now - self.last_call < CALLED_SECONDS else 0.0
        job.request = msgspec.structs.replace(job.request, id=number, pause=pause)
        self._served[job.batch] = self._last_ran = now
        if len(self._served) > SERVED:  # who waits has been served lately, or comes first anyway
            self._served = {batch: when for batch, when in self._served.items() if now - when < STARVED_SECONDS * 10}
        job.turn = now + TURN_SECONDS if starved else 0.0
        self._running[number] = job
        kernel.send(job.request)
        kernel.stalled = True
        asyncio.get_running_loop().call_later(WATCH_SECONDS, self._watch, job)

    def give_way(self) -> Kernel | None:
        """A kernel whose slice ends after its running row, so that a call can be sent behind it."""
        now = time.monotonic()
        for job in self._running.values():
            kernel = job.kernel
            assert kernel is not None, "a running slice has one"
            if len(kernel.sent) > 1 or (job.gave_way and kernel.stalled):
                continue
            if job.turn > now:
                self._come_back(job.turn - now)
                continue
            kernel.stop_slice(job.request)
            job.gave_way, kernel.stalled = True, False
            return kernel
        return None

    def answered(self, reply: SliceReply) -> None:
        """Take a kernel's answer."""
        job = self._running.pop(reply.id, None)
        if job is not None:
            self._end(job, SliceEnd(reply.done, reply.seconds, reply.full, end=reply.end, busy=reply.busy))

    def gone(self, kernel: Kernel, marked: int) -> bool:
        """End the slice of a kernel that has ended; say whether it had one.

        Parameters
        ----------
        kernel:
            The kernel.
        marked:
            What its start mark said was running.
        """
        for number, job in list(self._running.items()):
            if job.kernel is not kernel:
                continue
            del self._running[number]
            ran = number <= marked <= job.request.last()
            row = job.request.first + marked - number if ran else None
            reason = kernel.reason or "ended"
            self._end(job, SliceEnd(None, time.monotonic() - job.stepped, row=row, reason=reason))
            return True
        return False

    def stop(self, job: Job, *, gently: bool = False) -> None:
        """End a slice: gently after its running row, or at once.

        Then what runs of it is interrupted, and when that does not help its kernel is killed.
        """
        kernel = job.kernel
        if job in self._waiting:
            self._waiting.remove(job)
            self._end(job, SliceEnd(0))
        elif kernel is not None and job.request.id in self._running:
            kernel.stop_slice(job.request)
            running = kernel.running()
            if gently:
                return
            if job.request.id <= running <= job.request.last():
                kernel.interrupt(running)
            asyncio.get_running_loop().call_later(STOP_SECONDS, self._kill, job, "was stopped")

    def fail(self, error: MLOpsError) -> None:
        """Fail the slices that wait."""
        waiting, self._waiting[:] = list(self._waiting), []
        for job in waiting:
            if not job.future.done():
                job.future.set_exception(error)

    def _come_back(self, seconds: float) -> None:
        """Look again when something that holds up what waits is over, or earlier."""
        due = time.monotonic() + seconds
        if self._timer is not None:
            if self._due <= due:
                return
            self._timer.cancel()
        self._due = due
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        self._timer = None
        self._again()

    def _end(self, job: Job, end: SliceEnd) -> None:
        self._last_ran = time.monotonic()
        if not job.future.done():
            job.future.set_result(end)

    def _kill(self, job: Job, reason: str) -> None:
        if self._running.get(job.request.id) is job and job.kernel is not None:
            job.kernel.kill(reason)

    def _watch(self, job: Job) -> None:
        """Interrupt a row that runs past its deadline, then kill its kernel."""
        kernel = job.kernel
        if self._running.get(job.request.id) is not job or kernel is None:
            return
        now, step = time.monotonic(), kernel.running()
        if step != job.step:
            job.step, job.stepped, job.late = step, now, False
        elif not job.late and now - job.stepped > job.timeout:
            job.late = True
            if step:
                kernel.interrupt(step)
        elif now - job.stepped > job.timeout + GRACE_SECONDS:
            log.warning("kernel %d hangs, or does not heed the interrupt of a late row, and is killed", kernel.pid)
            self._kill(job, f"ran past the deadline of {job.timeout:g} s, heeded no interrupt")
            return
        asyncio.get_running_loop().call_later(WATCH_SECONDS, self._watch, job)
