"""The batch driver's process, as the server sees it: started when it is needed, and again when it has ended."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from jupyter_mlops.errors import MLOpsError, Unavailable
from jupyter_mlops.inner_end import CHANNEL_VARIABLE
from jupyter_mlops.schema.channel import Load, Slice
from jupyter_mlops.schema.driver import Drop, Halt, Hold, Join, Linked, Ran, Run
from jupyter_mlops.server.kernels.channel import Connection, Listener, Spoken

log = logging.getLogger(__name__)

START_SECONDS = 60.0
PAUSE_SECONDS = 1.0
"""After which a driver that has ended is started again, when it is needed."""


class Driver:
    """Runs slices on a Dask cluster, by a child process.

    Parameters
    ----------
    scheduler:
        Address of the cluster's scheduler.
    listener:
        What the process connects to.
    environment:
        Its variables; those of Dask among them say how it authenticates itself.
    directory:
        Private, for its log.
    """

    def __init__(self, scheduler: str, listener: Listener, environment: Mapping[str, str], directory: Path) -> None:
        self.scheduler = scheduler
        self.slots = 0
        """How many slices can run at a time, as far as that is known."""
        self._listener = listener
        self._environment = environment
        self._directory = directory
        self._ids = itertools.count(1)
        self._held: dict[str, tuple[Hold, int]] = {}
        self._waiting: dict[int, asyncio.Future[Ran]] = {}
        self._connection: Connection | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._starting: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._resume = 0.0
        self._closed = False

    def hold(self, revision: str, load: Load) -> None:
        """Say that slices of a revision will come, until it is dropped as often."""
        held, count = self._held.get(revision, (Hold(revision, load), 0))
        self._held[revision] = held, count + 1
        if not count and self._connection is not None:
            self._connection.send(held)

    def drop(self, revision: str) -> None:
        """Say that no more will come."""
        held, count = self._held.pop(revision)
        if count > 1:
            self._held[revision] = held, count - 1
        elif self._connection is not None:
            self._connection.send(Drop(revision))

    async def run(self, revision: str, part: Slice, timeout: float, priority: int) -> tuple[int, asyncio.Future[Ran]]:
        """Begin a slice; its id, and what becomes of it.

        Parameters
        ----------
        revision:
            One that is held.
        part:
            The slice.
        timeout:
            Seconds that a row, or a group of rows that runs as one, may take.
        priority:
            The greater goes first.

        Raises
        ------
        Unavailable
            When the driver does not start.
        """
        connection = await self._ready()
        number = next(self._ids)
        future: asyncio.Future[Ran] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        future.add_done_callback(lambda _: self._waiting.pop(number, None))
        connection.send(Run(number, revision, timeout, priority, part))
        return number, future

    def halt(self, numbers: tuple[int, ...], *, gently: bool) -> None:
        """End slices; what becomes of them is told as ever."""
        if self._connection is not None and numbers:
            self._connection.send(Halt(numbers, gently))

    async def close(self) -> None:
        """End the process."""
        self._closed = True
        if self._starting is not None:
            self._starting.cancel()
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        if self._watching is not None:
            await self._watching

    async def _ready(self) -> Connection:
        while self._connection is None:
            if self._closed:
                raise Unavailable("the server is about to end; try again", retry_after=1)
            wait = self._resume - asyncio.get_running_loop().time()
            if wait > 0:
                raise Unavailable("the batch driver is being started again", retry_after=wait)
            if self._starting is None:
                self._starting = asyncio.get_running_loop().create_task(self._start())
                self._starting.add_done_callback(self._started)
            await asyncio.shield(self._starting)
        return self._connection

    def _started(self, task: asyncio.Task[None]) -> None:
        self._starting = None
        if not task.cancelled():
            task.exception()  # who waits for it is told

    async def _start(self) -> None:
        place = self._directory / f"driver-{secrets.token_hex(6)}"
        place.mkdir(mode=0o700)
        key = secrets.token_urlsafe(24)
        greeted = self._listener.expect(key)
        with (place / "log").open("wb") as sink:
            self._process = process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "jupyter_mlops.driver.main",
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                cwd=place,
                env={**self._environment, CHANNEL_VARIABLE: f"{self._listener.address} {key}"},
                start_new_session=True,
            )
        self._watching = asyncio.get_running_loop().create_task(self._watch(process, place))
        ended = asyncio.ensure_future(process.wait())
        try:
            async with asyncio.timeout(START_SECONDS):
                await asyncio.wait((greeted, ended), return_when=asyncio.FIRST_COMPLETED)
            if not greeted.done():
                raise Unavailable(f"the batch driver does not start: {_tail(place)}")
            self._greet(greeted.result())
        except TimeoutError:
            process.kill()
            raise Unavailable(f"the batch driver did not start within {START_SECONDS:.0f} s") from None
        except MLOpsError as error:
            raise Unavailable(f"the batch driver does not start: {error.message}") from error
        finally:
            greeted.cancel()
            ended.cancel()

    def _greet(self, connection: Connection) -> None:
        connection.on_message = self._receive
        connection.send(Join(self.scheduler))
        for held, _ in self._held.values():
            connection.send(held)
        self._connection = connection

    def _receive(self, message: Spoken) -> None:
        match message:
            case Ran(id=number) if number in self._waiting:
                future = self._waiting[number]
                if not future.done():
                    future.set_result(message)
            case Linked(slots=slots):
                self.slots = slots

    async def _watch(self, process: asyncio.subprocess.Process, place: Path) -> None:
        await process.wait()
        self._connection = None
        self.slots = 0
        self._resume = asyncio.get_running_loop().time() + PAUSE_SECONDS
        if not self._closed:
            log.warning("the batch driver ended: %s", _tail(place))
        for future in list(self._waiting.values()):
            if not future.done():
                future.set_exception(Unavailable("the batch driver ended", retry_after=PAUSE_SECONDS))
        await asyncio.to_thread(shutil.rmtree, place, ignore_errors=True)


def _tail(place: Path) -> str:
    with contextlib.suppress(OSError):
        return " ".join((place / "log").read_text(errors="replace").split())[-500:] or "it said nothing"
    return "it said nothing"
