"""One batch: its items, the calls that work through them, and their results, each in its place."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import shutil
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from jupyter_mlops.errors import (
    DeadlineExceeded,
    InternalError,
    InvalidInput,
    InvalidRequest,
    KernelDied,
    MLOpsError,
    NotFound,
    Unavailable,
)
from jupyter_mlops.schema.batches import BatchState, BatchWebServiceResult
from jupyter_mlops.schema.channel import Reply
from jupyter_mlops.server.managers.batch_results import LARGE, WAITING, Result, failure, keep
from jupyter_mlops.server.managers.scored import Held

log = logging.getLogger(__name__)

CANNOT_START_SECONDS = 600.0
"""How long a batch whose service cannot start waits for its next answer before it fails."""
LONGEST_PAUSE = 5.0
PIECE = 256 * 1024

_ENDED = frozenset({BatchState.COMPLETE, BatchState.FAILED})


class Batch:
    """Many calls of one revision.

    Parameters
    ----------
    owner:
        Name of the user who submitted it.
    held:
        The revision that it runs on, released at the end.
    directory:
        Where its files may lie: a directory that is made when it is needed, and removed with the batch.
    parallel:
        Most items that run at a time.
    """

    def __init__(self, owner: str, held: Held, directory: Path, parallel: int) -> None:
        self.id = str(uuid.uuid4())
        self.owner = owner
        self.name = held.revision.name
        self.version = held.revision.version
        self.state = BatchState.PENDING
        self.ended = 0.0
        """When it ended, on the monotonic clock."""
        self.deleted = False
        self._held = held
        self._directory = directory / self.id
        self._parallel = parallel
        self._items: list[bytes | Path] = []
        self._results: list[Result | None] = []
        self._completed = 0
        self._progress = time.monotonic()
        self._users = 0
        """How many use its files now: the last one removes those of a batch that was deleted."""
        self._task: asyncio.Task[None] | None = None

    @property
    def done(self) -> bool:
        """Whether it has come to its end."""
        return self.state in _ENDED

    async def read(self, body: bytes) -> list[bytes | Path]:
        """Check every record against the declared inputs.

        Parameters
        ----------
        body:
            A JSON array of input objects.

        Raises
        ------
        InvalidInput
            With the path of the first value that does not fit, such as `$[3].hp`.
        """
        with self._using():
            return await asyncio.to_thread(self._read, body)

    def start(self, items: list[bytes | Path], on_end: Callable[[], None]) -> None:
        """Run it.

        Parameters
        ----------
        items:
            What `read` returned.
        on_end:
            Called when it has come to its end, unless it is deleted before.
        """
        self._items = items
        self._results = [None] * len(items)
        self.state = BatchState.READY if items else BatchState.COMPLETE
        self.ended = time.monotonic()
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._task.add_done_callback(lambda task: self._over(task, on_end))

    async def delete(self) -> None:
        """Take back what runs, and remove what there is."""
        self.deleted = True
        if self._task is None:
            self._held.release()
        else:
            self._task.cancel()
            await asyncio.wait([self._task])
        if not self._users:
            await asyncio.to_thread(self._remove)

    async def answer(self, *, partial: bool) -> AsyncGenerator[bytes, None]:
        """The state and the results there are, as JSON in pieces.

        Parameters
        ----------
        partial:
            Whether to show results before the end.
        """
        shown = self._shown() if partial or self.done else []
        head = BatchWebServiceResult(
            state=self.state, completed_item_count=self._completed, total_item_count=len(self._results)
        )
        text = msgspec.json.encode(head).removesuffix(b"]}")
        with self._using():
            async for piece in _joined(shown):
                yield text + piece
                text = b""
                await asyncio.sleep(0)  # a fast reader would keep the loop for itself
        yield text + b"]}"

    def artifacts(self, index: str) -> dict[str, Path]:
        """The files that an item wrote, by name; none while it has not been processed.

        Raises
        ------
        InvalidRequest
            When the index is no number.
        NotFound
            When there is no such item.
        """
        if not (index.removeprefix("-").isdecimal() and index.isascii()):
            raise InvalidRequest(f"an index is a whole number from 0, not {index[:80]!r}", fields="index")
        if index.startswith("-") or len(index) > 18 or int(index) >= len(self._results):  # noqa: PLR2004
            there = f"0 to {len(self._results) - 1}" if self._results else "none"
            raise NotFound(f"the batch has no item {index[:80]}; its items are {there}", fields="index")
        result = self._results[int(index)]
        return {} if result is None else result.written()

    @contextlib.contextmanager
    def _using(self) -> Iterator[None]:
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            if self.deleted and not self._users:
                asyncio.get_running_loop().run_in_executor(None, self._remove)

    def _read(self, body: bytes) -> list[bytes | Path]:
        self._directory.mkdir(mode=0o700)
        items: list[bytes | Path] = []
        for index, record in enumerate(_split(body)):
            try:
                packed = self._held.check(record)
            except InvalidInput as error:
                message, fields = (text.replace("$", f"$[{index}]", 1) for text in (error.message, error.fields))
                raise InvalidInput(message, fields=fields) from None
            if len(record) < LARGE:
                items.append(packed)
            else:
                path = self._directory / f"{index}-in"
                path.write_bytes(record)
                items.append(path)
        return items

    async def _run(self) -> None:
        if self._items:
            self.state = BatchState.IN_PROGRESS
        indices = iter(range(len(self._items)))
        async with asyncio.TaskGroup() as workers:
            for _ in range(min(self._parallel, self._held.room(), len(self._items))):
                workers.create_task(self._work(indices))

    async def _work(self, indices: Iterator[int]) -> None:
        for index in indices:
            item = self._items[index]
            result = await self._result(index, item)
            if isinstance(item, Path):
                await asyncio.to_thread(item.unlink, missing_ok=True)
            self._items[index] = b""
            self._results[index] = result
            self._completed += 1
            self._progress = time.monotonic()

    async def _result(self, index: int, item: bytes | Path) -> Result:
        while True:
            try:
                reply = await self._held.call(item)
            except (KernelDied, DeadlineExceeded, InvalidInput) as error:
                return failure(error.message)
            except Unavailable as error:
                await self._pause(error)
            else:
                return await self._kept(index, reply)

    async def _kept(self, index: int, reply: Reply) -> Result:
        artifacts = bool(self._held.revision.definition.artifacts)
        if not artifacts and not reply.path:
            return Result(reply.body)
        try:
            return await asyncio.to_thread(self._keep, reply, self._directory / str(index), artifacts=artifacts)
        except OSError as error:
            log.warning("batch %s cannot keep the answer of item %d: %s", self.id, index, error)
            return failure(f"the server could not keep this item's answer: {error.strerror}")

    def _keep(self, reply: Reply, place: Path, *, artifacts: bool) -> Result:
        result = keep(reply, place, artifacts=artifacts)
        if self.deleted:  # whoever deleted it did not wait for this
            self._remove()
        return result

    async def _pause(self, error: Unavailable) -> None:
        """Wait before trying again; who is only short of room may wait forever."""
        if self._held.cannot_start() and time.monotonic() - self._progress > CANNOT_START_SECONDS:
            raise error
        wait = min(error.retry_after or 1.0, LONGEST_PAUSE)
        await asyncio.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311  # so that not all come back at once

    def _over(self, task: asyncio.Task[None], on_end: Callable[[], None]) -> None:
        self._held.release()
        if task.cancelled():
            return
        error = task.exception()
        self.state = BatchState.COMPLETE if error is None else BatchState.FAILED
        self.ended = time.monotonic()
        if error is not None:
            self._fail(error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error)
        self._items.clear()
        on_end()

    def _fail(self, error: BaseException) -> None:
        if not isinstance(error, MLOpsError):
            log.error("batch %s met a defect", self.id, exc_info=error)
            error = InternalError()
        result = failure(f"the batch ended before this item: {error}")
        self._results = [result if one is None else one for one in self._results]

    def _shown(self) -> list[Result]:
        """Results up to the last there is."""
        last = next((i for i in range(len(self._results), 0, -1) if self._results[i - 1] is not None), 0)
        return [WAITING if one is None else one for one in self._results[:last]]

    def _remove(self) -> None:
        shutil.rmtree(self._directory, ignore_errors=True)


async def _joined(results: list[Result]) -> AsyncIterator[bytes]:
    """The results with commas between them, in pieces."""
    parts: list[bytes] = []
    size = 0
    for number, result in enumerate(results, 1):
        body = result.body if result.at_hand() else await asyncio.to_thread(result.read)
        parts.append(body)
        size += len(body)
        if size > PIECE or number == len(results):
            yield b",".join(parts) + (b"," if number < len(results) else b"")
            parts.clear()
            size = 0


class _Record:
    """Stands for a record of a body while it is split."""


def _split(body: bytes) -> list[bytes]:
    """The records of a JSON array, each as JSON."""
    records: list[bytes] = []
    encode, place = msgspec.json.Encoder().encode, _Record()

    def take(_: type, record: Any) -> _Record:  # that Python runs for each record lets other threads run too
        records.append(encode(record))
        return place

    try:
        msgspec.json.Decoder(list[_Record], dec_hook=take).decode(body)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at ")
        where = path.strip("`").partition("[...]")[0] or "$"
        raise InvalidInput(f"{where}: a batch is a JSON array of input objects: {text}", fields=where) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"the body is not a JSON array of input objects: {error}", fields="$") from None
    return records
