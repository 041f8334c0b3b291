"""One scoring kernel's life: starting, ready, and gone."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import mmap
import os
import secrets
import signal
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from jupyter_mlops.errors import PublishRefused
from jupyter_mlops.schema.channel import (
    BEGUN,
    MARK_BYTES,
    RUNNING,
    UNWANTED,
    WITHDRAWN,
    Answer,
    Call,
    Cancel,
    Done,
    Group,
    GroupReply,
    Load,
    Loaded,
    Open,
    Reply,
    SessionRequest,
    Slice,
    SliceReply,
)
from jupyter_mlops.server.kernels.channel import Connection, Listener, Spoken
from jupyter_mlops.server.kernels.launcher import Launched, Launcher
from jupyter_mlops.server.kernels.templates import Template

log = logging.getLogger(__name__)


class Kernel:
    """A process that scores one revision.

    Made by `start`; afterwards `send` hands it calls, `on_reply` gets the answers, and `on_gone` is called
    once when the process has ended, expected or not.
    """

    def __init__(self, launcher: Launcher, launched: Launched, connection: Connection) -> None:
        self._launcher = launcher
        self._launched = launched
        self._connection = connection
        self._ending: asyncio.Task[None] | None = None
        with launched.mark.open("r+b") as file:
            self._page = memoryview(mmap.mmap(file.fileno(), MARK_BYTES)).cast("Q")
        self._loaded: asyncio.Future[Loaded] = asyncio.get_running_loop().create_future()
        self.pid = launched.pid
        self.started = time.monotonic()
        self.sent: dict[int, Call | Group | Slice | SessionRequest] = {}
        """Messages that were sent and not answered, oldest first."""
        self.stalled = False
        """Whether the oldest of them takes so long that nothing is to be sent after it."""
        self.differences: tuple[str, ...] = ()
        """What is not as it was where the snapshot was captured."""
        self.calls = 0
        """Calls that it has answered."""
        self.reason = ""
        """Why it was ended on purpose, as in "used more than its memory limit"; empty otherwise."""
        self.on_reply: Callable[[Answer], None] | None = None
        self.on_gone: Callable[[Kernel], None] | None = None
        connection.on_message = self._receive
        connection.on_lost = self._lost

    @classmethod
    async def start(
        cls,
        launcher: Launcher,
        listener: Listener,
        interpreter: str,
        load: Load | Open,
        timeout: float,
        template: Template | None = None,
    ) -> Kernel:
        """Start a process, load the revision in it, and return when it can be called.

        Parameters
        ----------
        launcher, listener:
            What starts processes, and what they connect to.
        interpreter:
            Path of the Python that scores.
        load:
            The revision, or what a session is opened with; `mark` and `console` are filled in here.
        timeout:
            Seconds for the process to greet and load.
        template:
            What to fork; without one the interpreter starts cold.

        Raises
        ------
        PublishRefused
            When the process ends or runs out of time before it greets, or when the revision does not load.
        """
        key = secrets.token_urlsafe(24)
        greeted = listener.expect(key)
        try:
            launched = await launcher.launch(interpreter, f"{listener.address} {key}", template, threads=load.threads)
        except OSError as error:
            greeted.cancel()
            raise PublishRefused(f"the interpreter {interpreter} does not start: {error.strerror}") from error
        kernel: Kernel | None = None
        try:
            async with asyncio.timeout(timeout):
                connection = await _first(greeted, launcher, launched, interpreter)
                kernel = cls(launcher, launched, connection)
                connection.send(_placed(load, launched))
                loaded = await kernel._loaded
            kernel._check(loaded)
            kernel.differences = loaded.differences
        except TimeoutError:
            await _abandon(kernel, launcher, launched)
            raise PublishRefused(f"the service did not load within {timeout:.0f} s") from None
        except BaseException:
            greeted.cancel()
            await _abandon(kernel, launcher, launched)
            raise
        return kernel

    def send(self, call: Call | Group | Slice | SessionRequest) -> None:
        """Send a call, several that run as one, or a session's request; the answer comes to `on_reply`."""
        self.sent[call.id] = call
        self._connection.send(call)

    def cancel(self, call: int) -> None:
        """Drop a call that has not begun; should it begin just now, its answer is ignored."""
        if self.sent.pop(call, None) is not None:
            self._connection.send(Cancel(call))

    def running(self) -> int:
        """Id of the call that runs now, 0 for none."""
        return self._page[RUNNING]

    def begun(self) -> int:
        """Id of the last call that began: later ones did not."""
        return self._page[BEGUN]

    def withdraw(self) -> None:
        """Let nothing begin any more that was sent until now; a moment later, `begun` says what did.

        What is withdrawn is answered with `Withdrawn`, once the kernel comes to it.
        """
        if self.sent:  # what was taken back before is on the list no more, and stays withdrawn
            self._page[WITHDRAWN] = max(self._page[WITHDRAWN], next(reversed(self.sent)))

    def stop_slice(self, request: Slice) -> None:
        """Let no further row of a slice begin; the answer tells how many did."""
        self._page[WITHDRAWN] = max(self._page[WITHDRAWN], request.last())

    def take_back(self) -> list[int]:
        """Drop the withdrawn calls that did not begin, and return their ids, oldest first.

        The oldest of all stays: it runs, or else the kernel hangs, and then its deadline must find it.
        """
        begun, withdrawn = self._page[BEGUN], self._page[WITHDRAWN]
        taken = [call for call in list(self.sent)[1:] if begun < call <= withdrawn]
        for call in taken:
            del self.sent[call]
        return taken

    def interrupt(self, call: int) -> bool:
        """Interrupt the process if it runs this very call; say whether it did."""
        if self.running() != call:
            return False
        self._page[UNWANTED] = call  # should it end just now, the signal means nothing to the next
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGINT)
        return True

    def kill(self, reason: str = "") -> None:
        """End the process now; `on_gone` follows.

        Parameters
        ----------
        reason:
            What the caller of the running call is told.
        """
        self.reason = reason
        self._connection.close()
        self._end()

    async def gone(self) -> None:
        """Wait until the process has ended; the caller has killed it or seen it die."""
        self._end()
        if self._ending is not None:
            await asyncio.shield(self._ending)

    @property
    def directory(self) -> Path:
        """Its private directory, which goes with it; `work` inside is its working directory."""
        return self._launched.directory

    def log_tail(self) -> str:
        """The last lines of its standard error."""
        return self._launched.log_tail()

    def _check(self, loaded: Loaded) -> None:
        if loaded.error:
            raise PublishRefused(loaded.error)

    def _receive(self, message: Spoken) -> None:
        if isinstance(message, Loaded):
            if not self._loaded.done():
                self._loaded.set_result(message)
        elif isinstance(message, Answer) and self.sent.pop(message.id, None) is not None:
            self.stalled = False
            if isinstance(message, Reply | Done):
                self.calls += 1
            elif isinstance(message, GroupReply):
                self.calls += len(message.outcomes)
            elif isinstance(message, SliceReply):
                self.calls += message.done
            if self.on_reply is not None:
                self.on_reply(message)

    def _lost(self) -> None:
        if not self._loaded.done():
            tail = self.log_tail()
            self._loaded.set_exception(
                PublishRefused(
                    "the kernel ended while the service loaded" + (f"; its last words:\n{tail}" if tail else "")
                )
            )
        self._end()

    def _end(self) -> None:
        if self._ending is None:
            if self.on_gone is not None:
                self.on_gone(self)
            self._ending = asyncio.get_running_loop().create_task(self._launcher.end(self._launched))


def _placed(load: Load | Open, launched: Launched) -> Load | Open:
    if isinstance(load, Open):
        return msgspec.structs.replace(load, mark=str(launched.mark), console=str(launched.directory / "console"))
    return msgspec.structs.replace(load, mark=str(launched.mark))


async def _first(
    greeted: asyncio.Future[Connection],
    launcher: Launcher,
    launched: Launched,
    interpreter: str,
) -> Connection:
    """Wait for the greeting, but no longer than the process lives."""
    while not greeted.done():
        await asyncio.wait([greeted], timeout=0.2)
        if not greeted.done() and await launcher.exited(launched):
            words = launched.log_tail()
            raise PublishRefused(
                f"the interpreter {interpreter} ended before its kernel could greet; its last words:\n{words}"
            )
    return greeted.result()


async def _abandon(kernel: Kernel | None, launcher: Launcher, launched: Launched) -> None:
    if kernel is None:
        await launcher.end(launched)
    else:
        kernel.kill()
        await kernel.gone()
