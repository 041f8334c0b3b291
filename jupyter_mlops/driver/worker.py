"""What runs inside the workers of a Dask cluster: tasks that have rows scored, and return their results as bytes.

A row is never run in the worker's own process: it belongs to the whole cluster, has its own threads, its own current
directory and standard output, and cannot be interrupted. Each task takes a scoring process, which has the revision
loaded, and leaves it to the next.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from distributed import Worker, get_worker

from jupyter_mlops.driver.child import Child, DoesNotLoad
from jupyter_mlops.schema.base import CHANNEL_FORMAT
from jupyter_mlops.schema.channel import Load
from jupyter_mlops.schema.driver import Task, Yield

IDLE_SECONDS = 120.0
"""How long a scoring process waits for its next slice before it ends: its driver may have been killed."""
FORGET_SECONDS = 3600.0
"""The same for the files of a revision."""


@dataclass
class _Room:
    """A revision on this worker."""

    directory: Path
    load: Load
    idle: list[Child] = field(default_factory=list)
    used: float = field(default_factory=time.monotonic)


_rooms: dict[str, _Room] = {}
_running: dict[tuple[str, int], Child] = {}
_lock = threading.Lock()
_numbers = itertools.count(1)
_sweeper: threading.Thread | None = None


def score(how: bytes, rows: bytes) -> bytes:
    """Run rows of a batch; the task.

    Parameters
    ----------
    how:
        A `Task`, as MessagePack.
    rows:
        The rows, as `chunks.pack_columns`.

    Returns
    -------
    bytes
        A `Yield`, as MessagePack.
    """
    task, worker = msgspec.msgpack.decode(how, type=Task), get_worker()
    return msgspec.msgpack.encode(_score(task, rows, worker))


def _score(task: Task, rows: bytes, worker: Worker) -> Yield:
    address = worker.address
    if task.format != CHANNEL_FORMAT:
        return Yield(
            address,
            error=f"the Dask worker {address} speaks channel format {CHANNEL_FORMAT}, the server format {task.format}; "
            "install the same version of jupyter_mlops there",
        )
    with _lock:
        room = _rooms.get(task.room)
        if room is None:
            return Yield(address, missing=True)
        room.used = time.monotonic()
        child = room.idle.pop() if room.idle else None
    if child is not None and not child.alive():
        child.close()
        child = None
    worker.log_event(task.room.partition("/")[0], task.number)  # so that the driver knows of a second try
    try:
        child = child or Child(room.directory / f"process-{next(_numbers)}", room.load)
    except (DoesNotLoad, OSError) as error:
        return Yield(address, error=f"on the Dask worker {address}: {error}")
    key = task.room, task.number
    _running[key] = child
    try:
        found = child.run(task, rows, address)
    finally:
        del _running[key]
    with _lock:
        kept = child.alive() and found.done is not None and _rooms.get(task.room) is room
        if kept:
            room.idle.append(child)
    if not kept:
        child.close()
    return found


async def put(room: str, name: str, offset: int, data: bytes, dask_worker: Worker) -> None:
    """Write a piece of a revision's snapshot.

    Parameters
    ----------
    room, name:
        The revision, and the file.
    offset, data:
        The piece.
    """
    path = _directory(room, dask_worker) / name

    def write() -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with path.open("r+b" if offset else "wb") as file:
            file.seek(offset)
            file.write(data)

    await asyncio.to_thread(write)


def ready(room: str, load: bytes, dask_worker: Worker) -> None:
    """Say that a revision is here whole; its paths are names of files that were `put`."""
    global _sweeper  # noqa: PLW0603  # one for each process
    directory = _directory(room, dask_worker)
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = msgspec.msgpack.decode(load, type=Load)
    placed = msgspec.structs.replace(
        found,
        stream=str(directory / found.stream) if found.stream else "",
        buffers=tuple(str(directory / name) for name in found.buffers),
        files=tuple((path, str(directory / name)) for path, name in found.files),
    )
    with _lock:
        _rooms.setdefault(room, _Room(directory, placed))
    if _sweeper is None:
        _sweeper = threading.Thread(target=_sweep, daemon=True)
        _sweeper.start()


def halt(room: str, numbers: tuple[int, ...], *, gently: bool) -> list[int]:
    """End slices; those of them that run here, which will return soon.

    Parameters
    ----------
    room, numbers:
        Which slices.
    gently:
        Whether the rows that run may end.
    """
    found = [number for number in numbers if (room, number) in _running]
    for number in found:
        child = _running.get((room, number))
        if child is not None:
            child.stop(gently=gently)
    return found


async def drop(room: str) -> None:
    """Forget a revision, and remove what is here of it."""
    with _lock:
        found = _rooms.pop(room, None)
    if found is not None:
        await asyncio.to_thread(_remove, found)


def _directory(room: str, worker: Worker) -> Path:
    return Path(worker.local_directory) / "jupyter-mlops" / room


def _remove(room: _Room) -> None:
    for child in room.idle:
        child.close()
    shutil.rmtree(room.directory, ignore_errors=True)


def _sweep() -> None:
    """Close what nobody has used for long."""
    while True:
        time.sleep(IDLE_SECONDS / 4)
        now = time.monotonic()
        with _lock:
            old = [name for name, room in _rooms.items() if now - room.used > FORGET_SECONDS]
            forgotten = [_rooms.pop(name) for name in old]
            idle = []
            for room in _rooms.values():
                idle += [child for child in room.idle if now - child.used > IDLE_SECONDS]
                room.idle = [child for child in room.idle if child not in idle]
        for child in idle:
            child.close()
        for room in forgotten:
            _remove(room)
