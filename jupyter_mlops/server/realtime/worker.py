"""One realtime worker process, as the server sees it: starting, ready, stalled, and gone."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import mmap
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_mlops.container import Header
from jupyter_mlops.errors import MLOpsError, Unavailable
from jupyter_mlops.inner_end import CHANNEL_VARIABLE
from jupyter_mlops.schema.channel import BEGUN, MARK_BYTES, RUNNING, WITHDRAWN
from jupyter_mlops.schema.realtime import Employ, Forget, LoadModel, ModelLoaded, Score, Scored, ToWorker, Unload
from jupyter_mlops.server.kernels.channel import Connection, Listener, Spoken

log = logging.getLogger(__name__)

START_SECONDS = 60.0
_TAIL = 12

_ids = itertools.count(1)


@dataclass(frozen=True, eq=False)
class Specification:
    """A model as workers load it."""

    id: str
    """Of its revision."""
    name: tuple[str, str]
    """Name and version of the service."""
    path: str
    offset: int
    header: Header
    grouped: bool
    group_size: int
    size: int
    """Bytes of its file."""


@dataclass(eq=False, slots=True)
class Request:
    """A call on its way through the workers."""

    model: Specification
    body: bytes
    path: str
    media: str
    accept: str
    head: int
    future: asyncio.Future[Scored]
    since: float
    """When it was handed to its worker, on the monotonic clock."""
    alone: bool = False
    tries: int = 0
    number: int = 0
    """The id of its message."""
    worker: Worker | None = None
    timer: asyncio.TimerHandle | None = None

    def running(self) -> bool:
        """Whether its worker has begun it, and not ended."""
        worker = self.worker
        return worker is not None and self.number in worker.sent and self.number <= worker.begun()

    def stop_timer(self) -> None:
        """Have no deadline any more."""
        if self.timer is not None:
            self.timer.cancel()

    def fail(self, error: MLOpsError) -> None:
        """Give the caller an error, if the caller still waits."""
        if not self.future.done():
            self.future.set_exception(error)


@dataclass(eq=False, slots=True)
class Held:
    """A model in one worker."""

    model: Specification
    number: int
    """The id of the message that loads it."""
    since: float
    memory: int
    used: float
    loaded: asyncio.Future[None]


@dataclass(frozen=True)
class Employment:
    """What every worker is started with."""

    listener: Listener
    environment: Mapping[str, str]
    directory: Path
    """Private, for logs and marks."""
    folder: Path
    """Private, for large bodies and answers."""
    in_memory: bool
    """Whether that is in memory."""
    threads: int
    memory: int


@dataclass(eq=False)
class Worker:
    """A worker process. Messages may be sent at once: they wait until it has greeted.

    Parameters
    ----------
    employment:
        What it is started with.
    on_reply, on_gone:
        Told of every answer, and once of its end, expected or not.
    """

    employment: Employment
    on_reply: Callable[[Worker, ModelLoaded | Scored], None]
    on_gone: Callable[[Worker], None]
    models: dict[str, Held] = field(default_factory=dict)
    sent: dict[int, Request | Held] = field(default_factory=dict)
    """What was sent and not answered, oldest first."""
    stalled: bool = False
    """Whether the oldest of them takes so long that nothing is to be sent after it."""
    calls: int = 0
    reason: str = ""
    """Why it was ended on purpose, or did not start."""
    differences: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.started = time.monotonic()
        self.ready = False
        self.seen = 0
        """The call that ran when somebody last looked."""
        self.place = self.employment.directory / f"worker-{secrets.token_hex(6)}"
        self.place.mkdir(mode=0o700)
        mark = self.place / "mark"
        mark.write_bytes(bytes(MARK_BYTES))
        with mark.open("r+b") as file:
            self._page = memoryview(mmap.mmap(file.fileno(), MARK_BYTES)).cast("Q")
        self._key = secrets.token_urlsafe(24)
        self._greeted = self.employment.listener.expect(self._key)
        self._connection: Connection | None = None
        self._unsent: list[ToWorker] = []
        self._gone = False
        self._process: asyncio.subprocess.Process | None = None
        self._killed = False
        self.pid = 0
        self._life = asyncio.get_running_loop().create_task(self._live())

    def score(self, request: Request) -> None:
        """Hand it a call."""
        request.number, request.worker, request.since = next(_ids), self, time.monotonic()
        self.models[request.model.id].used = request.since
        self.sent[request.number] = request
        self._send(
            Score(
                request.number,
                request.model.id,
                request.body,
                request.path,
                request.media,
                request.accept,
                request.alone,
                request.head,
            )
        )

    def load(self, model: Specification) -> Held:
        """Let it load a model; calls may be sent behind this."""
        now = time.monotonic()
        loaded = asyncio.get_running_loop().create_future()
        loaded.add_done_callback(lambda done: done.cancelled() or done.exception())  # who waits for it is told too
        held = Held(model, next(_ids), now, model.size, now, loaded)
        self.models[model.id] = held
        self.sent[held.number] = held
        self._send(
            LoadModel(
                held.number,
                model.id,
                model.name,
                model.path,
                model.offset,
                model.header,
                model.grouped,
                model.group_size,
            )
        )
        return held

    def unload(self, model: str) -> None:
        """Let it forget a model."""
        if self.models.pop(model, None) is not None:
            self._send(Unload(model))

    def forget(self, request: Request) -> None:
        """Drop a call that has not begun; should it begin just now, its answer is ignored."""
        if self.sent.pop(request.number, None) is not None:
            self._send(Forget(request.number))

    def behind(self, now: float, model: str, seconds: float) -> bool:
        """Whether what it is at takes longer than so many seconds; the load of this very model does not count."""
        if not self.sent or not self.ready:
            return False
        oldest = next(iter(self.sent.values()))
        own = isinstance(oldest, Held) and oldest.model.id == model
        return not own and now - oldest.since > seconds

    def running(self) -> int:
        """Id of the message that it works on now, 0 for none."""
        return self._page[RUNNING]

    def begun(self) -> int:
        """Id of the last message that it began: later ones did not."""
        return self._page[BEGUN]

    def take_back(self) -> list[Request]:
        """Let no call begin any more that was sent until now; those that did not."""
        if not self.sent:
            return []
        self._page[WITHDRAWN] = max(self._page[WITHDRAWN], next(reversed(self.sent)))
        begun = self._page[BEGUN]
        taken = [one for one in self.sent.values() if isinstance(one, Request) and one.number > begun]
        for request in taken:
            del self.sent[request.number]
        return taken

    def kill(self, reason: str = "") -> None:
        """End the process now; `on_gone` follows."""
        self.reason = self.reason or reason
        self._killed = True
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def gone(self) -> None:
        """Wait until the process has ended."""
        await asyncio.shield(self._life)

    async def _live(self) -> None:
        try:
            process = await self._start()
        except OSError as error:
            self.reason = f"did not start: {error.strerror}"
        else:
            await self._watch(process)
        self._greeted.cancel()
        self._end()
        await asyncio.to_thread(shutil.rmtree, self.place, ignore_errors=True)

    async def _start(self) -> asyncio.subprocess.Process:
        channel = f"{self.employment.listener.address} {self._key}"
        with (self.place / "log").open("wb") as sink:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "jupyter_mlops.realtime.worker",
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                cwd=self.place,
                env={**self.employment.environment, CHANNEL_VARIABLE: channel},
                start_new_session=True,
            )

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        self._process, self.pid = process, process.pid
        if self._killed:
            self.kill()
        ended = asyncio.ensure_future(process.wait())
        try:
            async with asyncio.timeout(START_SECONDS):
                await _first(self._greeted, ended)
            if self._greeted.done():
                self._greet(self._greeted.result())
        except TimeoutError:
            self.kill(f"did not start within {START_SECONDS:.0f} s")
        except MLOpsError as error:
            self.kill(error.message)
        await ended

    def _greet(self, connection: Connection) -> None:
        self._connection = connection
        connection.on_message = self._receive
        connection.on_lost = self.kill
        employment = self.employment
        mark = str(self.place / "mark")
        connection.send(Employ(mark, str(employment.folder), employment.threads, employment.memory))
        self.ready = True
        now = time.monotonic()
        for one in self.sent.values():
            one.since = now
        for message in self._unsent:
            connection.send(message)
        self._unsent.clear()

    def _send(self, message: ToWorker) -> None:
        if self._connection is not None:
            self._connection.send(message)
        else:
            self._unsent.append(message)

    def _receive(self, message: Spoken) -> None:
        if not isinstance(message, ModelLoaded | Scored):
            return
        if self.sent and next(iter(self.sent)) == message.id:
            self.stalled = False
        if isinstance(message, Scored):
            self.calls += 1
        self.on_reply(self, message)

    def _end(self) -> None:
        if self._gone:
            return
        self._gone = True
        if not self.ready and not self.reason:
            with contextlib.suppress(OSError):
                lines = (self.place / "log").read_text(errors="replace").splitlines()
                self.reason = f"did not start; its last words: {' '.join(lines[-_TAIL:])[-500:]}"
        if self._connection is not None:
            self._connection.on_lost = None
        self.on_gone(self)


def not_installed() -> Unavailable:
    """What is told where the libraries of realtime services are missing."""
    return Unavailable(
        "this server has no onnxruntime, which scores realtime services: install it beside the server with "
        "pip install 'jupyter_mlops[realtime]', and start the server again"
    )


async def _first(*futures: asyncio.Future[Any]) -> None:
    """Wait until one of them is done."""
    await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
