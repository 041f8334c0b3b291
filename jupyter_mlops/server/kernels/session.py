"""A session's kernel, as the server drives it: requests one after another, and an interrupt for the running one."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from jupyter_mlops import errors
from jupyter_mlops.errors import Gone, KernelDied
from jupyter_mlops.schema.channel import Answer, Done, Open, SessionRequest
from jupyter_mlops.server.kernels.channel import Listener
from jupyter_mlops.server.kernels.kernel import Kernel
from jupyter_mlops.server.kernels.launcher import Launcher
from jupyter_mlops.server.kernels.templates import Templates

CONSOLE_LIMIT = 2**20
OPEN_SECONDS = 60.0

_ids = itertools.count(1)


class SessionKernel:
    """One session's process. It counts as one kernel of the server's budget, and gives up none.

    Parameters
    ----------
    kernel:
        The process, opened as a session.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._asked: dict[int, asyncio.Future[bytes]] = {}
        self._ended = ""
        self.last_used = time.monotonic()
        kernel.on_reply = self._replied
        kernel.on_gone = self._gone

    @classmethod
    async def start(cls, launcher: Launcher, listener: Listener, templates: Templates | None) -> SessionKernel:
        """Start one, on the server's own interpreter."""
        template = None if templates is None else await templates.plain(sys.executable)
        opening = Open(mark="", console="", console_limit=CONSOLE_LIMIT, threads=os.cpu_count() or 1)
        return cls(await Kernel.start(launcher, listener, sys.executable, opening, OPEN_SECONDS, template))

    async def ask(self, make: Callable[[int], SessionRequest]) -> bytes:
        """Send a request behind those that are under way, and return the body of its answer.

        Parameters
        ----------
        make:
            Makes the request, given its id.

        Raises
        ------
        Gone, KernelDied
            When the process had ended before, or ends meanwhile.
        MLOpsError
            Whatever the session refuses with.
        """
        if self._ended:
            raise Gone(self._ended)
        request = make(next(_ids))
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._asked[request.id] = future
        self._kernel.send(request)
        self.last_used = time.monotonic()
        try:
            # Shielded: what a caller has asked for goes on when the caller goes away.
            return await asyncio.shield(future)
        finally:
            self.last_used = time.monotonic()

    def interrupt(self) -> bool:
        """Interrupt the request that runs, if one does; say whether one did."""
        running = self._kernel.running()
        return running != 0 and self._kernel.interrupt(running)

    def state(self) -> str:
        """`idle`, `busy` or `gone`."""
        return "gone" if self._ended else "busy" if self._asked else "idle"

    def work(self) -> Path:
        """The working directory.

        Raises
        ------
        Gone
            When it has gone with the process.
        """
        if self._ended:
            raise Gone(self._ended)
        return self._kernel.directory / "work"

    def beside(self) -> Path:
        """The private directory that the working directory lies in; see `work`."""
        return self.work().parent

    def memory(self) -> int:
        """Resident bytes; 0 when the process has ended."""
        try:
            return 0 if self._ended else int(psutil.Process(self._kernel.pid).memory_info().rss)
        except psutil.Error:
            return 0

    async def end(self, reason: str) -> None:
        """Kill the process, and wait for its end.

        Parameters
        ----------
        reason:
            What whoever asks it for something is told from now on.
        """
        self._ended = self._ended or reason
        self._kernel.kill(reason)
        await self._kernel.gone()

    def size(self) -> int:
        """One kernel, as the budget counts."""
        return 0 if self._ended else 1

    def pids(self) -> list[int]:
        """Its process, while it lives."""
        return [] if self._ended else [self._kernel.pid]

    def give_up(self) -> bool:
        """Never: what a session holds is its user's."""
        return False

    def _replied(self, reply: Answer) -> None:
        assert isinstance(reply, Done), "a session answers requests"
        future = self._asked.pop(reply.id)
        if future.cancelled():
            return
        if reply.error:
            future.set_exception(errors.BY_NAME[reply.error](reply.message))
            future.exception()  # its caller may have gone away: that is no defect
        else:
            future.set_result(reply.body)

    def _gone(self, kernel: Kernel) -> None:
        closed = bool(self._ended)
        self._ended = self._ended or "the session's kernel has ended by itself; delete the session and create another"
        running = kernel.running()
        for number, future in self._asked.items():
            if not future.done():
                died = number == running and not closed
                future.set_exception(
                    KernelDied("the session's kernel ended while it ran this code") if died else Gone(self._ended)
                )
                future.exception()
        self._asked.clear()
