"""The Dask cluster as the driver sees it: joined again whenever it was lost, its workers given what they need."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections import Counter
from collections.abc import Callable
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import msgspec
from distributed import Client, KilledWorker

from jupyter_mlops.driver.worker import drop, halt, put, ready, score
from jupyter_mlops.schema.channel import Load
from jupyter_mlops.schema.driver import Linked, Task, Yield

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How often the cluster is looked at."""
CONNECT_SECONDS = 10.0
ALONE_SECONDS = 5.0
"""How long a cluster may be without workers, which are perhaps being started again, before its tasks are given up."""
PIECE = 16 * 2**20
"""Bytes of a snapshot that are sent at a time."""
MOST_SENDINGS = 8
"""How often a task may find itself on a worker that has not its revision."""


_CLIENT: Any = Client  # only some of it has types


class Away(Exception):
    """The cluster cannot run anything now; the message says why."""


class Refused(Exception):
    """A worker could not run the task; the message says why."""


class Cluster:
    """One Dask cluster.

    Parameters
    ----------
    scheduler:
        Address of its scheduler.
    tell:
        Told how the cluster is, whenever that changes.
    """

    def __init__(self, scheduler: str, tell: Callable[[Linked], None]) -> None:
        self._scheduler = scheduler
        self._tell = tell
        self._lost = f"the connection to the Dask scheduler {scheduler} was lost"
        self._key = f"jupyter-mlops-{secrets.token_hex(8)}"
        self._told: Linked | None = None
        self._client: Any = None
        self._begun: Counter[int] = Counter()
        self._running: dict[int, asyncio.Task[Any]] = {}
        self._sending: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._sent_at: dict[tuple[str, str], float] = {}

    async def stay_joined(self) -> None:
        """Connect to the scheduler, and again each time the connection is lost."""
        while True:
            try:
                client: Any = await _CLIENT(
                    self._scheduler, asynchronous=True, set_as_default=False, timeout=CONNECT_SECONDS, name=self._key
                )
            except (OSError, TimeoutError, ValueError, ImportError) as error:
                self._say(f"the Dask scheduler {self._scheduler} cannot be reached: {_words(error)}")
                await asyncio.sleep(LOOK_SECONDS)
                continue
            client.subscribe_topic(self._key, self._noted)
            self._client = client
            with contextlib.suppress(OSError):
                await self._stay(client)
            self._client = None
            self._say(self._lost)
            self._give_up()
            with contextlib.suppress(OSError, TimeoutError):
                await client.close(timeout=LOOK_SECONDS)

    async def run(self, revision: str, load: Load, task: Task, rows: bytes, priority: int) -> tuple[Yield, int]:
        """Have rows run by a worker; what it says, and how often the task was begun in vain before.

        Parameters
        ----------
        revision, load:
            What scores them, for workers that have not got it yet.
        task, rows:
            The slice.
        priority:
            The greater goes first.

        Raises
        ------
        Away, Refused
            When nothing was run.
        """
        self._check()
        asked = asyncio.get_running_loop().create_task(self._run(revision, load, task, rows, priority))
        self._running[task.number] = asked
        try:
            found = await asked
        except asyncio.CancelledError:
            raise Away(self._told.error if self._told else "the task was cancelled") from None
        finally:
            del self._running[task.number]
            again = self._begun.pop(task.number, 1) - 1
        return found, again

    def room(self, revision: str) -> str:
        """What a revision is called on the workers."""
        return f"{self._key}/{revision}"

    async def halt(self, revision: str, numbers: tuple[int, ...], *, gently: bool) -> None:
        """End slices: those that run return soon, those that wait for a worker are taken back."""
        client = self._client
        if client is None:
            return
        with contextlib.suppress(OSError):
            found = await client.run(halt, self.room(revision), numbers, gently=gently, on_error="ignore")
            here = {number for running in found.values() for number in running}
            for number in set(numbers) - here:
                if number in self._running:
                    self._running[number].cancel()

    async def drop(self, revision: str) -> None:
        """Let every worker forget a revision."""
        if self._client is not None:
            with contextlib.suppress(OSError):
                await self._client.run(drop, self.room(revision), on_error="ignore")

    async def _run(self, revision: str, load: Load, task: Task, rows: bytes, priority: int) -> Yield:
        how = msgspec.msgpack.encode(task)
        for sending in range(MOST_SENDINGS):
            self._check()
            asked = asyncio.get_running_loop().time()
            key = f"{self.room(revision)}/{task.number}/{sending}"
            future: Any = self._client.submit(score, how, rows, key=key, pure=False, priority=priority)
            try:
                answer = await future
            except KilledWorker as error:
                return Yield("", reason=f"of the Dask cluster ended {error.allowed_failures + 1} times")
            except (OSError, CancelledError) as error:
                raise Away(self._lost) from error
            # What a task raises is not ours to know: a module that the worker lacks, a version that differs.
            except Exception as error:
                raise Refused(f"a Dask worker could not run the task: {_words(error)}") from error
            finally:
                future.release()
            found = msgspec.msgpack.decode(answer, type=Yield)
            if not found.missing:
                return found
            if self._sent_at.get((revision, found.worker), 0.0) < asked:
                await self._send(revision, load, found.worker)
        raise Refused(f"the task was sent to {MOST_SENDINGS} workers, and none of them had the service's snapshot")

    async def _send(self, revision: str, load: Load, worker: str) -> None:
        """Give a worker a revision, once, however many tasks find it missing."""
        key = revision, worker
        if key not in self._sending:
            self._sending[key] = asyncio.get_running_loop().create_task(self._sent(revision, load, worker))
            self._sending[key].add_done_callback(lambda _: self._sending.pop(key, None))
        await asyncio.shield(self._sending[key])

    async def _sent(self, revision: str, load: Load, worker: str) -> None:
        client, room = self._client, self.room(revision)
        paths = dict.fromkeys([*([load.stream] if load.stream else []), *load.buffers, *(p for _, p in load.files)])
        names = {path: f"blob-{number}" for number, path in enumerate(paths)}
        assert client is not None, "a task was there just now"
        with contextlib.suppress(OSError, KeyError):  # the worker is gone: the task finds another
            for path, name in names.items():
                offset = 0
                while data := await asyncio.to_thread(_read, path, offset):
                    await client.run(put, room, name, offset, data, workers=[worker])
                    offset += len(data)
                if not offset:
                    await client.run(put, room, name, 0, b"", workers=[worker])
            placed = msgspec.structs.replace(
                load,
                stream=names[load.stream] if load.stream else "",
                buffers=tuple(names[path] for path in load.buffers),
                files=tuple((name, names[path]) for name, path in load.files),
            )
            await client.run(ready, room, msgspec.msgpack.encode(placed), workers=[worker])
            self._sent_at[revision, worker] = asyncio.get_running_loop().time()
            log.info("the Dask worker %s has revision %s now", worker, revision)

    async def _stay(self, client: Any) -> None:
        """Look at the cluster until the connection is lost."""
        alone = 0.0
        while client.status == "running":
            threads = await client.nthreads()
            slots = sum(threads.values())
            alone = 0.0 if slots else alone + LOOK_SECONDS
            self._say("" if slots else f"the Dask scheduler {self._scheduler} has no workers", slots)
            if alone > ALONE_SECONDS:
                self._give_up()
            await asyncio.sleep(LOOK_SECONDS)

    def _check(self) -> None:
        if self._client is None or (self._told is not None and self._told.error):
            raise Away(
                self._told.error if self._told else f"the Dask scheduler {self._scheduler} is being connected to"
            )

    def _give_up(self) -> None:
        for task in list(self._running.values()):
            task.cancel()

    def _say(self, error: str, slots: int = 0) -> None:
        now = Linked(error, slots)
        if now != self._told:
            self._told = now
            if error:
                log.warning("%s", error)
            self._tell(now)

    def _noted(self, event: tuple[float, Any]) -> None:
        """A worker began a task."""
        _, number = event
        if number in self._running:
            self._begun[number] += 1


def _read(path: str, offset: int) -> bytes:
    with Path(path).open("rb") as file:
        file.seek(offset)
        return file.read(PIECE)


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
