"""The batch driver's process: slices from the server to the cluster, results from there to the server's disk.

python -m jupyter_mlops.driver.main
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import platform
from collections import OrderedDict
from pathlib import Path
from typing import Any, cast

import msgspec

from jupyter_mlops.chunks import pack_columns, unpack_columns
from jupyter_mlops.driver.cluster import Away, Cluster, Refused
from jupyter_mlops.framing import Frames, frame
from jupyter_mlops.schema.base import CHANNEL_FORMAT
from jupyter_mlops.schema.channel import MAX_FRAME, Greeting, Slice
from jupyter_mlops.schema.driver import Drop, Halt, Hold, Join, Linked, Ran, Run, Task, ToDriver, Yield

log = logging.getLogger(__name__)

CHANNEL_VARIABLE = "JUPYTER_MLOPS_CHANNEL"
_CHUNKS = 4
_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG}


class Driver(asyncio.Protocol):
    """Serves one server until it goes away; then this process has no more purpose and ends.

    Parameters
    ----------
    key:
        What tells the server who this is.
    """

    def __init__(self, key: str) -> None:
        self._key = key
        self._frames = Frames(MAX_FRAME)
        self._decoder = msgspec.msgpack.Decoder(ToDriver)
        self._encoder = msgspec.msgpack.Encoder()
        self._held: dict[str, Hold] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._halted: set[int] = set()
        self._running: dict[int, str] = {}
        self._chunks: OrderedDict[tuple[str, int], dict[str, list[Any]]] = OrderedDict()
        self._cluster: Cluster
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet the server."""
        self._transport = cast("asyncio.Transport", transport)
        self._send(Greeting(self._key, os.getpid(), platform.python_version()))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """End with the server; the scheduler then forgets the tasks."""
        os._exit(0)

    def data_received(self, data: bytes) -> None:
        """Begin what the server asks for."""
        for message in self._frames.feed(data):
            match self._decoder.decode(message):
                case Join(scheduler=scheduler):
                    self._cluster = Cluster(scheduler, self._send)
                    self._do(self._cluster.stay_joined())
                case Hold() as hold:
                    self._held[hold.revision] = hold
                case Drop(revision=revision):
                    self._held.pop(revision, None)
                    self._do(self._cluster.drop(revision))
                case Run() as request:
                    self._running[request.id] = request.revision
                    self._do(self._run(request))
                case Halt() as request:
                    self._halt(request)

    def _halt(self, request: Halt) -> None:
        revisions = {self._running[number] for number in request.ids if number in self._running}
        self._halted |= {number for number in request.ids if number in self._running}
        for revision in revisions:
            numbers = tuple(number for number in request.ids if self._running.get(number) == revision)
            self._do(self._cluster.halt(revision, numbers, gently=request.gently))

    async def _run(self, request: Run) -> None:
        ran: Ran
        try:
            rows = await asyncio.to_thread(self._rows, request.slice)
            hold, part = self._held[request.revision], request.slice
            task = Task(
                format=CHANNEL_FORMAT,
                room=self._cluster.room(request.revision),
                number=request.id,
                count=part.count,
                first=part.first,
                columnar=part.columnar,
                seconds=part.seconds,
                timeout=request.timeout,
            )
            found, again = await self._cluster.run(request.revision, hold.load, task, rows, request.priority)
            ran = await asyncio.to_thread(_written, request, found, again)
        except Away as error:
            ran = Ran(request.id, error=str(error))
            if request.id in self._halted:
                ran = Ran(request.id, done=0)
        except (Refused, OSError) as error:
            ran = Ran(request.id, error=str(error), stuck=True)
        self._running.pop(request.id)
        self._halted.discard(request.id)
        self._send(ran)

    def _rows(self, part: Slice) -> bytes:
        """The rows of a slice, cut out of their chunk when they are not all of it."""
        key = part.path, part.offset
        columns = self._chunks.get(key)
        if columns is None:
            with Path(part.path).open("rb") as file:
                file.seek(part.offset)
                data = file.read(part.length)
            columns = unpack_columns(data)
            if part.start == 0 and all(len(column) == part.count for column in columns.values()):
                return data
            self._chunks[key] = columns
            while len(self._chunks) > _CHUNKS:
                self._chunks.popitem(last=False)
        stop = part.start + part.count
        return pack_columns({name: column[part.start : stop] for name, column in columns.items()})

    def _do(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("the batch driver met a defect", exc_info=task.exception())
            os._exit(1)  # the server starts another one

    def _send(self, message: Greeting | Linked | Ran) -> None:
        self._transport.write(frame(self._encoder.encode(message)))


def _written(request: Run, found: Yield, again: int) -> Ran:
    """Put what a worker returned where the slice wants it; when the disk is full, nothing of it."""
    if found.error:
        return Ran(request.id, error=found.error, stuck=True)
    part = request.slice
    descriptor = os.open(part.results, os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.seek(part.end)
        file.truncate()
        try:
            file.write(found.results)
            file.flush()
        except OSError as error:
            if error.errno not in _FULL:
                raise
            os.ftruncate(file.fileno(), part.end)
            return Ran(request.id, done=0, full=True)
    return Ran(request.id, done=found.done, seconds=found.seconds, row=found.row, reason=found.reason, again=again)


async def _serve(address: str, key: str) -> None:
    loop = asyncio.get_running_loop()
    kind, _, place = address.partition(":")
    if kind == "unix":
        await loop.create_unix_connection(lambda: Driver(key), place)
    else:
        host, _, port = place.rpartition(":")
        await loop.create_connection(lambda: Driver(key), host, int(port))
    await loop.create_future()


def main() -> None:
    """Connect to the server that the environment names, and serve it."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("jupyter_mlops").setLevel(logging.INFO)
    address, _, key = os.environ.pop(CHANNEL_VARIABLE).partition(" ")
    asyncio.run(_serve(address, key))


if __name__ == "__main__":
    main()
