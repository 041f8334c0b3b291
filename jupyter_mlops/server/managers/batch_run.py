"""A batch at work: rows to a runner slice by slice, results to the ledger, until every row has one."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jupyter_mlops.chunks import Chunk
from jupyter_mlops.errors import DiskFull, MLOpsError, Unavailable
from jupyter_mlops.recording import START_BYTES
from jupyter_mlops.schema.channel import Slice
from jupyter_mlops.server.kernels.slicing import SliceEnd
from jupyter_mlops.server.managers.batch import Batch
from jupyter_mlops.server.managers.batch_harvest import Harvest, failure, harvest, leftovers
from jupyter_mlops.server.managers.batch_runner import Runner
from jupyter_mlops.server.managers.spans import Spans, gaps
from jupyter_mlops.server.stores.batch_files import BatchFiles
from jupyter_mlops.server.stores.batches import BatchStore, Recorded, Try
from jupyter_mlops.server.stores.crash import crashpoint

log = logging.getLogger(__name__)

SLICE_SECONDS = 0.25
"""How much work a slice is to be, by recent run times."""
LEAST_SECONDS = 0.02
"""The same towards the end, when the rows are shared out more finely."""
LONGEST_SLICE = 0.5
"""Time after which no further row of a slice begins."""
FIRST_ROWS = 16
"""Rows of the first slice, when nothing is known of them."""
TRIES = 3
"""How many kernels may end while they run a row before it fails."""
IDLE_DEATHS = 5
"""How many kernels may end in a row without having run any."""
CANNOT_START_SECONDS = 600.0
"""How long a batch whose service cannot start waits for its next result before it fails."""
LONGEST_PAUSE = 5.0
ROOM_SECONDS = 1.0
"""How often a batch that waits for disk space looks for it."""
FILE_BYTES = 256 * 2**20
"""Size from which a file of results is followed by another."""
RECORD_SECONDS = 0.1
"""How long results may wait for those of the next slices to be made durable with them."""
NO_ROOM = "waiting for disk space"


@dataclass
class _Sheet:
    """A file of results and how far it is written; one runner writes to it at a time."""

    number: int
    end: int = 0
    waiting: list[Harvest] = field(default_factory=list)
    """What is written, and not recorded."""
    recorded: float = field(default_factory=time.monotonic)
    """When something was recorded of it last."""
    known: bool = False
    """Whether its name is on disk."""


class BatchRun:
    """Works through one batch.

    Parameters
    ----------
    batch:
        The batch.
    runner:
        What scores its slices; released at the end.
    store, files:
        Where results go.
    resumed:
        Whether a server before this one ran it: what that one did not record was begun for nothing.
    """

    def __init__(self, batch: Batch, runner: Runner, store: BatchStore, files: BatchFiles, *, resumed: bool) -> None:
        self._batch = batch
        self._resumed = resumed
        self._runner = runner
        self._store = store
        self._files = files
        self._spans: Spans
        self._deaths: Counter[int] = Counter()
        self._numbers = itertools.count(1)
        self._seconds_a_row = 0.0
        self._last_result = time.monotonic()
        self._idle_deaths = 0
        self._at_work = 0
        self._news = asyncio.Event()
        self._stopping = asyncio.Event()
        self._cancelled = False

    async def run(self) -> None:
        """Work until every row has a result, or until it is stopped.

        Raises
        ------
        MLOpsError
            When the batch cannot go on.
        """
        batch = self._batch
        try:
            chunks = await self._store.chunks(batch.id)
            await self._resume(chunks)
            count = min(batch.record.parallel, self._runner.width(), max(1, self._spans.left()))
            async with asyncio.TaskGroup() as group:
                for _ in range(count):
                    group.create_task(self._work(count))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        finally:
            self._runner.release()

    def stop(self, *, gently: bool) -> None:
        """Hand out nothing more, and end what runs: at once, or gently after the rows that run."""
        self._stopping.set()
        self._cancelled = self._cancelled or not gently
        self._runner.stop(gently=gently)
        self._tell()

    async def _resume(self, chunks: Sequence[Chunk]) -> None:
        batch, store = self._batch, self._store
        done = await store.slices(batch.id)
        self._spans = Spans(chunks, gaps(batch.record.total, ((one.first, one.count) for one in done)))
        for one in await store.tries(batch.id):
            if one.kind == "death":
                self._deaths.update(range(one.first, one.first + one.count))
        numbers = await asyncio.to_thread(self._files.numbers, batch.id)
        self._numbers = itertools.count(max(numbers, default=0) + 1)
        ends = dict.fromkeys(numbers, 0)
        for part in done:
            ends[part.file] = max(ends.get(part.file, 0), part.offset + part.length)
        for number in numbers:
            await self._forget(number, ends[number])

    async def _forget(self, number: int, end: int) -> None:
        """Forget results that are not recorded; the rows of a killed server's have been tried."""
        path = self._files.results(self._batch.id, number)
        for first, count in await asyncio.to_thread(leftovers, path, end) if self._resumed else ():
            await self._try(first, count, "lost")
        await asyncio.to_thread(self._files.cut, self._batch.id, number, end)

    async def _work(self, workers: int) -> None:
        sheet = _Sheet(next(self._numbers))
        while not self._stopping.is_set():
            if self._spans:
                sheet = await self._slice(sheet, workers)
                continue
            await self._record(sheet)
            if not self._spans:
                if not self._at_work:
                    return
                await self._news.wait()  # what others have may come back
        await self._record(sheet)

    async def _slice(self, sheet: _Sheet, workers: int) -> _Sheet:
        """Have the next rows run, and record them; where to write next."""
        batch = self._batch
        chunk, first, stop = self._spans.take(self._rows(workers))
        self._at_work += 1
        batch.running += stop - first
        left, right = first, stop
        try:
            crashpoint("before a slice runs")
            end = await self._run(self._request(chunk, first, stop, sheet), sheet)
            crashpoint("after a slice ran")
            for _ in range(end.again):
                await self._try(first, stop - first, "lost")
            found = await self._harvest(sheet, first, stop, end)
            left = first + found.count
            if end.done is None or end.full or time.monotonic() - sheet.recorded > RECORD_SECONDS:
                await self._record(sheet)
            if end.done is None:
                sheet = _Sheet(next(self._numbers))
                left = await self._died(end, found, stop, sheet)
            elif sheet.end > FILE_BYTES:
                await self._record(sheet)
                sheet = _Sheet(next(self._numbers))
            elif batch.record.columnar and stop - left > 1 and left == first:
                # it gave way before anything had come of it: what fails as a whole is to come to an end
                right = (left + stop) // 2
                self._spans.give_back(right, stop)
            if end.full:
                await self._find_room()
        except Unavailable as error:
            await self._record(sheet)
            await self._pause(error)
        finally:
            self._spans.give_back(left, right)
            batch.running -= stop - first
            self._at_work -= 1
            self._tell()
        return sheet

    async def _run(self, request: Slice, sheet: _Sheet) -> SliceEnd:
        """Have a slice run; when it takes long, what came before it is recorded meanwhile."""
        if not sheet.waiting:
            return await self._runner.run(request)
        running = asyncio.ensure_future(self._runner.run(request))
        try:
            await asyncio.wait([running], timeout=RECORD_SECONDS)
            if not running.done():
                await self._record(sheet)
            return await running
        finally:
            running.cancel()

    def _rows(self, workers: int) -> int:
        """How many rows the next slice may have."""
        if self._batch.record.columnar:
            return self._batch.record.total
        share = -(-self._spans.left() // (2 * workers))
        if not self._seconds_a_row:
            return min(share, FIRST_ROWS)
        most, least = (max(1, int(s / self._seconds_a_row)) for s in (SLICE_SECONDS, LEAST_SECONDS))
        return max(min(share, most), least)

    def _request(self, chunk: Chunk, first: int, stop: int, sheet: _Sheet) -> Slice:
        batch = self._batch
        return Slice(
            id=0,
            path=str(self._files.inputs(batch.id).absolute()),
            offset=chunk.offset,
            length=chunk.length,
            start=first - chunk.first,
            count=stop - first,
            first=first,
            columnar=batch.record.columnar,
            results=str(self._path(sheet).absolute()),
            end=sheet.end,
            seconds=LONGEST_SLICE,
        )

    def _path(self, sheet: _Sheet) -> Path:
        return self._files.results(self._batch.id, sheet.number)

    async def _harvest(self, sheet: _Sheet, first: int, stop: int, end: SliceEnd) -> Harvest:
        """Find what was written; it is read only when the end of the slice does not tell all of it."""
        if end.done and sheet.end + START_BYTES < end.end and end.done <= stop - first:
            found = Harvest(first, sheet.end + START_BYTES, end.end, end.done, end.busy)
        else:
            found = await asyncio.to_thread(
                harvest, self._path(sheet), sheet.number, sheet.end, first, stop - first, cancelled=self._cancelled
            )
        if found.count:
            sheet.end = found.end
            sheet.waiting.append(found)
            self._learn(found.seconds / found.count)
        return found

    async def _record(self, sheet: _Sheet) -> None:
        """Make results durable, each once; while the disk is full, wait for room."""
        found, sheet.waiting = sheet.waiting, []
        if not found:
            return
        batch = self._batch
        done = [
            Recorded(one.first, one.count, sheet.number, one.offset, one.end - one.offset, one.seconds) for one in found
        ]
        failures = {row: message for one in found for row, message in one.failures.items()}
        artifacts = [each for one in found for each in one.artifacts]
        while True:
            try:
                await asyncio.to_thread(self._files.sync, self._path(sheet), new=not sheet.known)
                if await self._store.record(batch.id, done, failures, artifacts):
                    break
                raise MLOpsError("the batch was deleted")
            except FileNotFoundError:
                raise MLOpsError("the batch was deleted") from None
            except DiskFull:
                await self._find_room()
        sheet.known = True
        self._last_result = sheet.recorded = time.monotonic()
        self._idle_deaths = 0
        batch.wait_for("")
        batch.recorded(sum(one.count for one in found), failures, len(artifacts), sum(one.seconds for one in found))

    def _learn(self, seconds: float) -> None:
        mean = self._seconds_a_row
        self._seconds_a_row = seconds if not mean else (mean + seconds) / 2

    async def _died(self, end: SliceEnd, found: Harvest, stop: int, sheet: _Sheet) -> int:
        """Charge the row that ran when its kernel ended; the first row that has no result still."""
        left = found.first + found.count
        if left >= stop:
            return left
        if self._batch.record.columnar:
            if stop - left > 1 and not self._stopping.is_set():  # halves, after all others, until only guilty rows fail
                middle = (left + stop) // 2
                self._spans.give_back(left, middle, later=True)
                self._spans.give_back(middle, stop, later=True)
                await self._try(left, stop - left, "lost")
                return stop
            row = left if end.row is not None else None
        else:
            row = end.row
        if row is None or not left <= row < stop:
            if not found.count:
                self._idle_deaths += 1
            if self._idle_deaths >= IDLE_DEATHS:
                raise MLOpsError(f"{IDLE_DEATHS} kernels in a row ended before they had run anything: {end.reason}")
            return left
        if self._cancelled:
            return left
        if row > left:
            await self._try(left, row - left, "lost")
        self._deaths[row] += 1
        await self._try(row, 1, "death")
        if self._deaths[row] < TRIES:
            return left
        self._spans.give_back(left, row)
        message = f"the kernel {end.reason} while it ran this row, {TRIES} times; the row is not tried again"
        await self._give_up(row, message, sheet)
        return row + 1

    async def _give_up(self, row: int, message: str, sheet: _Sheet) -> None:
        """Record that a row failed which no kernel could answer."""
        while True:
            try:
                await asyncio.to_thread(self._files.fail, self._path(sheet), sheet.end, row, failure(message))
                break
            except DiskFull:
                await self._find_room()
        found = await asyncio.to_thread(harvest, self._path(sheet), sheet.number, sheet.end, row, 1, cancelled=False)
        sheet.end = found.end
        sheet.waiting.append(found)
        await self._record(sheet)

    async def _try(self, first: int, count: int, kind: str) -> None:
        """Keep that rows were begun and have to run again."""
        self._batch.standing.attempts += count
        while True:
            try:
                return await self._store.add_tries(self._batch.id, [Try(first, count, kind)])
            except DiskFull:
                await self._find_room()

    async def _pause(self, error: Unavailable) -> None:
        """Wait before trying again; who is only short of room may wait forever."""
        self._batch.wait_for(f"{self._runner.lacks}: {error.message}")
        if self._runner.stuck() and time.monotonic() - self._last_result > CANNOT_START_SECONDS:
            raise error
        wait = min(error.retry_after or 1.0, LONGEST_PAUSE)
        await self._sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311  # so that not all come back at once

    async def _find_room(self) -> None:
        self._batch.wait_for(NO_ROOM)
        while not await asyncio.to_thread(self._files.has_room):
            if self._stopping.is_set():
                raise DiskFull
            await self._sleep(ROOM_SECONDS)
        self._batch.wait_for("")

    async def _sleep(self, seconds: float) -> None:
        """Wait, but not longer than until it is stopped."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    def _tell(self) -> None:
        """Let those who wait for rows look again."""
        news, self._news = self._news, asyncio.Event()
        news.set()
