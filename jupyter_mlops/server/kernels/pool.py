"""The kernels of one revision, and the calls that wait for them."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import msgspec

from jupyter_mlops.errors import DeadlineExceeded, InvalidInput, KernelDied, MLOpsError, Unavailable
from jupyter_mlops.inputs import Rows
from jupyter_mlops.schema.channel import Answer, Call, Done, GroupReply, Outcome, Reply, SliceReply
from jupyter_mlops.schema.executions import WebServiceResult
from jupyter_mlops.schema.pools import PoolSettings
from jupyter_mlops.server.kernels.ahead import Ahead
from jupyter_mlops.server.kernels.budget import Budget
from jupyter_mlops.server.kernels.grouping import Grouping
from jupyter_mlops.server.kernels.ids import new_ids
from jupyter_mlops.server.kernels.kernel import Kernel
from jupyter_mlops.server.kernels.record import CallRecord
from jupyter_mlops.server.kernels.slicing import BATCH_PAUSE, Slicing
from jupyter_mlops.server.kernels.supply import LONGEST_PAUSE, Supply
from jupyter_mlops.server.kernels.waiting import Caller, Sent, Waiting

log = logging.getLogger(__name__)

GRACE_SECONDS = 2.0
"""How long an interrupted call may take to end before its kernel is killed."""

GROWTH_SECONDS = 0.01
"""How long a call must have waited before a further kernel is started for it."""


class Pool:
    """Runs calls of one revision on its kernels.

    A dead kernel fails the call it was running and no other; a call past its deadline is interrupted, and
    its kernel is killed when that does not help.

    Parameters
    ----------
    start:
        Starts a kernel that has the revision loaded.
    settings:
        Its sizes and limits.
    budget:
        What it shares with the other pools.
    """

    def __init__(self, start: Callable[[], Awaitable[Kernel]], settings: PoolSettings, budget: Budget) -> None:
        self.settings = settings
        self.record = CallRecord()
        self.restarts = 0
        self.last_used = time.monotonic()
        self._start = start
        self._supply = Supply(self._start_in_budget, self.adopt, self._refused)
        self._budget = budget
        self._queue: deque[Waiting] = deque()
        self._running: dict[int, Sent] = {}
        self._kernels: list[Kernel] = []
        self._ahead = Ahead(self._kernels, self._taken_back)
        self._grouping = Grouping(self._queue, self._dispatch)
        self.slicing = Slicing(self._kernels, self._check_open, self._dispatch)
        """The slices of batches, which run between the calls."""
        self._closed = False
        self._growth: asyncio.TimerHandle | None = None
        budget.join(self)

    def adopt(self, kernel: Kernel) -> None:
        """Take over a kernel that is ready."""
        kernel.on_reply = self._replied
        kernel.on_gone = self._gone
        self._kernels.append(kernel)
        self._dispatch()

    def configure(self, settings: PoolSettings) -> None:
        """Change the settings: missing initial kernels are started, idle ones beyond the maximum ended."""
        self.settings = settings
        for kernel in [kernel for kernel in self._kernels if not kernel.sent][self.maximum() :]:
            kernel.kill()
        while self.size() < settings.initial_pool_size and not self._closed:
            self._supply.request()

    async def call(
        self,
        body: bytes,
        timeout: float,
        *,
        checked: bool,
        rows: Rows | None = None,
        caller: Caller | None = None,
        path: str = "",
    ) -> Reply:
        """Run one call and return its answer.

        Parameters
        ----------
        body, checked, rows, path:
            What to run, as `Waiting` describes it.
        timeout:
            Seconds from now until the call is given up.
        caller:
            Is told how to take the call back.

        Raises
        ------
        InvalidInput
            When the kernel found that the inputs do not fit.
        KernelDied, DeadlineExceeded
            When the kernel ended during this call, or the call ran too long.
        Unavailable
            When too many calls wait, the pool is closed, or no kernel can be started.
        """
        started = time.monotonic()
        self._admit()
        self.slicing.last_call = started
        loop = asyncio.get_running_loop()
        waiting = Waiting(body, checked, rows, loop.create_future(), started)
        waiting.path = path
        waiting.timer = loop.call_later(timeout, self._late, waiting, timeout)
        self._queue.append(waiting)
        if caller is not None:
            caller.abandon = partial(self._abandon, waiting)
        self._dispatch()
        try:
            reply = await waiting.future
        except asyncio.CancelledError:
            self._forget(waiting)
            raise
        except MLOpsError:
            waiting.stop_timer()
            self.record.add(time.monotonic() - started, error=True)
            raise
        waiting.stop_timer()
        self.record.add(time.monotonic() - started, error=reply.outcome != Outcome.ANSWERED)
        if reply.outcome == Outcome.REJECTED:
            raise InvalidInput(_message(reply), fields="$")
        if reply.outcome == Outcome.INTERRUPTED:
            raise DeadlineExceeded(f"the call ran past its deadline of {timeout:g} s and was interrupted")
        return reply

    async def close(self) -> None:
        """Refuse new calls, fail those that wait, and end the kernels."""
        self._closed = True
        self._budget.leave(self)
        await self._supply.close()
        kernels = self.kernels()
        for kernel in kernels:
            kernel.kill()
        # Afterwards, because what they had not begun is in the queue again.
        self._fail_waiting(Unavailable("the service is going away; try again", retry_after=1))
        await asyncio.gather(*(kernel.gone() for kernel in kernels))

    async def drain(self) -> None:
        """Wait until every call that was accepted has been answered."""
        while self._queue or self._running or self.slicing.busy():  # noqa: ASYNC110  # an event would cost every call
            await asyncio.sleep(0.02)

    def kernels(self) -> list[Kernel]:
        """The kernels that can take calls now."""
        return list(self._kernels)

    def pids(self) -> list[int]:
        """Processes of these kernels."""
        return [kernel.pid for kernel in self._kernels]

    def size(self) -> int:
        """Kernels that run or start."""
        return len(self._kernels) + self._supply.starting()

    def starting(self) -> int:
        """Kernels that are being started."""
        return self._supply.starting()

    def last_error(self) -> str:
        """Why the last start failed, or kernels are held back, in one line; empty when all is well."""
        return self._supply.last_error

    def waiting(self) -> int:
        """How many calls wait for a kernel."""
        return len(self._queue)

    def running(self) -> int:
        """How many calls were handed to a kernel and are not answered."""
        return sum(len(sent.members) for sent in self._running.values())

    def give_up(self) -> bool:
        """End an idle kernel beyond the initial size, if there is one; say whether there was."""
        idle = [kernel for kernel in self._kernels if not kernel.sent]
        if not idle or self.size() <= self.settings.initial_pool_size or self._queue or self.slicing.waits():
            return False
        self._kernels.remove(idle[-1])
        idle[-1].kill()
        return True

    def maximum(self) -> int:
        """How many kernels there may be."""
        return self.settings.max_pool_size or max(os.cpu_count() or 1, self.settings.initial_pool_size)

    def _admit(self) -> None:
        if len(self._queue) >= self.settings.queue_limit:
            raise Unavailable(f"{len(self._queue)} calls wait already; try again", retry_after=1)
        self._check_open()

    def _check_open(self) -> None:
        self.last_used = time.monotonic()
        if self._closed:
            raise Unavailable("the service is going away; try again", retry_after=1)
        refusal = None if self._kernels or self._supply.starting() else self._supply.refusal()
        if refusal is not None:
            raise refusal

    def _dispatch(self) -> None:
        queue = self._queue
        starved = self.slicing.starved() and not self.slicing.hand(starved=True)
        while queue:
            kernel = self._ahead.free()
            if kernel is not None and kernel.sent and starved:  # let one run dry, for the slice
                kernel = None
            if kernel is None:
                kernel = self.slicing.give_way()
                self._ahead.watch()
            if kernel is None:
                break
            if self._grouping.worth_holding(self.settings, kernel):
                return
            self._hand(self._grouping.take(self.settings), kernel)
        if not queue:
            self.slicing.hand()
        if queue or self.slicing.waits():
            self._consider_growth()

    def _oldest(self) -> float:
        """When what waits longest came."""
        return self._queue[0].since if self._queue else self.slicing.oldest()

    def _hand(self, members: list[Waiting], kernel: Kernel) -> None:
        sent = Sent(new_ids(), members, kernel)
        for waiting in members:
            waiting.hand(sent)
        self._running[sent.id] = sent
        if members[0].rows is None:
            kernel.send(Call(sent.id, members[0].body, members[0].checked, members[0].path))
        else:
            kernel.send(sent.group())

    def _consider_growth(self) -> None:
        if self._closed or self.size() >= self.maximum():
            return
        if not self._kernels:
            if not self._supply.starting():
                self._supply.request()
        elif self._growth is None and not self._supply.starting():
            wait = GROWTH_SECONDS - (time.monotonic() - self._oldest())
            self._growth = asyncio.get_running_loop().call_later(max(wait, 0), self._grow_if_waiting)

    def _grow_if_waiting(self) -> None:
        self._growth = None
        waits = self._queue or self.slicing.waits()
        if waits and time.monotonic() - self._oldest() >= GROWTH_SECONDS / 2:
            self._supply.request()

    async def _start_in_budget(self) -> Kernel:
        self._budget.make_room(self)
        return await self._start()

    def _refused(self, error: MLOpsError) -> None:
        if not self._kernels:
            self._fail_waiting(error)

    def _fail_waiting(self, error: MLOpsError) -> None:
        for waiting in self._queue:
            waiting.fail(error)
        self._queue.clear()
        self.slicing.fail(error)

    def _replied(self, reply: Answer) -> None:
        assert not isinstance(reply, Done), "a pool's kernels are no sessions"
        sent = self._running.pop(reply.id, None)
        self._supply.answered()
        if isinstance(reply, SliceReply):
            self.slicing.answered(reply)
            self._dispatch()
            return
        if sent is None:
            return
        if isinstance(reply, Reply):
            sent.members[0].answer(reply)
            self._ahead.learn(reply.seconds)
        elif isinstance(reply, GroupReply):
            self._group_replied(sent, reply)
        else:
            self._put_back(sent.members)
        self._dispatch()

    def _group_replied(self, sent: Sent, reply: GroupReply) -> None:
        again = []
        for waiting, outcome, body in zip(sent.members, reply.outcomes, reply.bodies, strict=True):
            if outcome in {Outcome.ALONE, Outcome.INTERRUPTED} and len(sent.members) > 1:
                again.append(waiting)
            else:
                waiting.answer(Reply(sent.id, outcome, body, reply.seconds))
        self._put_back(again, alone=True)

    def _taken_back(self, numbers: list[int]) -> None:
        for number in reversed(numbers):
            self._put_back(self._running.pop(number).members)
        self._dispatch()

    def _put_back(self, members: Sequence[Waiting], *, alone: bool = False) -> None:
        """Put calls back to the front of the queue: they did not run, or with others, and shall now run alone."""
        for waiting in reversed(members):
            if not waiting.future.done():
                waiting.alone = waiting.alone or alone
                waiting.sent = None
                self._queue.appendleft(waiting)

    def _gone(self, kernel: Kernel) -> None:
        if kernel in self._kernels:
            self._kernels.remove(kernel)
            self.restarts += 1
        marked = kernel.running()
        kernel.withdraw()  # should we be about to kill it, nothing more begins that goes to another kernel now
        begun = kernel.begun()
        for number in reversed(list(kernel.sent)):
            sent = self._running.pop(number, None)
            if sent is None:
                continue
            if number > begun:  # another kernel takes it, in its old place
                self._put_back(sent.members)
            elif len(sent.members) > 1:
                self._put_back(sent.members, alone=True)
            else:
                reason = kernel.reason or "ended"
                sent.members[0].fail(KernelDied(f"the kernel {reason} while it ran this call; the next gets a new one"))
        of_batch = self.slicing.gone(kernel, marked)
        if self._closed:
            return
        refusal = self._supply.died(BATCH_PAUSE if of_batch else LONGEST_PAUSE) if marked else None
        if refusal is not None:
            self._refused(refusal)
        self._dispatch()

    def _late(self, waiting: Waiting, timeout: float) -> None:
        waiting.fail(DeadlineExceeded(f"the call ran past its deadline of {timeout:g} s"))
        sent = waiting.sent
        if sent is None:
            if waiting in self._queue:
                self._queue.remove(waiting)
        elif sent.kernel.interrupt(sent.id) or next(iter(sent.kernel.sent), None) == sent.id:
            # It runs, or should: a hung kernel never begins. Its answer may also be on its way just now.
            asyncio.get_running_loop().call_later(GRACE_SECONDS, self._kill_if_stuck, sent)
        else:
            self._forget(waiting)

    def _abandon(self, waiting: Waiting) -> None:
        if not waiting.future.done():
            waiting.fail(Unavailable("the caller has gone away"))
            self._forget(waiting)

    def _forget(self, waiting: Waiting) -> None:
        """Nobody waits for this call any more: give its place to another."""
        sent = waiting.sent
        if sent is None:
            waiting.stop_timer()
            if waiting in self._queue:
                self._queue.remove(waiting)
        elif all(member.future.done() for member in sent.members) and not sent.kernel.interrupt(sent.id):
            sent.kernel.cancel(sent.id)
            self._running.pop(sent.id, None)
            self._dispatch()

    def _kill_if_stuck(self, sent: Sent) -> None:
        if sent.id in sent.kernel.sent:
            log.warning(
                "kernel %d hangs, or does not heed the interrupt of a late call, and is killed", sent.kernel.pid
            )
            sent.kernel.kill()


def _message(reply: Reply) -> str:
    return msgspec.json.decode(reply.body, type=WebServiceResult).error_message
