"""The batch driver's process: slices from the server to the cluster, results from there to the server's disk.

python -m jupyter_mlops.driver.main
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections import OrderedDict
from pathlib import Path
from typing import Any

from jupyter_mlops.chunks import pack_columns, unpack_columns
from jupyter_mlops.driver.cluster import Away, Cluster, Refused
from jupyter_mlops.inner_end import InnerEnd, connect, told
from jupyter_mlops.schema.base import CHANNEL_FORMAT
from jupyter_mlops.schema.channel import Slice
from jupyter_mlops.schema.driver import Drop, Halt, Hold, Join, Ran, Run, Task, ToDriver, Yield

log = logging.getLogger(__name__)

_CHUNKS = 4
_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG}


class Driver(InnerEnd):
    """Serves slices on a cluster; when the server goes, the scheduler forgets the tasks.

    Parameters
    ----------
    key:
        What tells the server who this is.
    """

    def __init__(self, key: str) -> None:
        super().__init__(key, ToDriver)
        self._held: dict[str, Hold] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._halted: set[int] = set()
        self._running: dict[int, str] = {}
        self._chunks: OrderedDict[tuple[str, int], dict[str, list[Any]]] = OrderedDict()
        self._cluster: Cluster

    def data_received(self, data: bytes) -> None:
        """Begin what the server asks for."""
        for message in self._messages(data):
            match message:
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


async def _serve() -> None:
    address, key = told()
    await connect(address, lambda: Driver(key))
    await asyncio.get_running_loop().create_future()


def main() -> None:
    """Connect to the server that the environment names, and serve it."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("jupyter_mlops").setLevel(logging.INFO)
    asyncio.run(_serve())


if __name__ == "__main__":
    main()
