"""Slices of batches inside the kernel: rows from one file, one after another, their results to another."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import msgspec

from jupyter_mlops.chunks import as_numpy, pack_columns, unpack_columns
from jupyter_mlops.recording import Kind, artifact, columns, frame, start
from jupyter_mlops.runtime.invoke import Ended, Invoker
from jupyter_mlops.schema.channel import Outcome, Slice, SliceReply

FLUSH_SECONDS = 0.005
"""How long a finished row's result may wait to be written."""
FLUSH_BYTES = 256 * 1024
KEPT_CHUNKS = 2
"""Slices of one batch come in their order, but for those that are given back where a chunk ends."""
FIRST_PACE = 1e-5
"""Seconds that a row is thought to take among others when none has been run."""
LEAST_PACE = 1e-9
LEAST_PIECE = 100
"""Rows that run as one even when they take long: a call of the function costs something by itself."""


class Slices:
    """Runs slices on the service of one invoker.

    Parameters
    ----------
    invoker:
        Runs the rows, each exactly as a call of its own.
    """

    def __init__(self, invoker: Invoker) -> None:
        self._invoker = invoker
        self._pace = FIRST_PACE
        self._chunks: dict[tuple[str, int], dict[str, Any]] = {}

    def run(self, request: Slice) -> SliceReply:
        """Run a slice of a synchronous function, or of code, until its end, its time is up, or it is withdrawn."""
        began = time.perf_counter()
        with _Results(request) as results:
            if request.columnar:
                self._columns(request, results)
            else:
                self._rows(request, results, began + request.seconds)
        return results.reply(time.perf_counter() - began)

    async def run_async(self, request: Slice) -> SliceReply:
        """Run a slice of an asynchronous function."""
        began = time.perf_counter()
        with _Results(request) as results:
            for row in self._begun(request):
                results.row(await self._invoker.attempt_async(row))
                if results.full or time.perf_counter() - began > request.seconds:
                    break
        return results.reply(time.perf_counter() - began)

    def _rows(self, request: Slice, results: _Results, until: float) -> None:
        attempt, keep, clock = self._invoker.attempt, results.row, time.perf_counter
        for row in self._begun(request):
            keep(attempt(row))
            if results.full or clock() > until:
                return

    def _begun(self, request: Slice) -> Iterator[dict[str, Any]]:
        """The rows, each marked as begun; no more when the server has withdrawn them."""
        chunk = self._read(request)
        names, begin = tuple(chunk), self._invoker.begin_row
        stop = request.start + request.count
        rows = zip(*(values[request.start : stop] for values in chunk.values()), strict=True)
        for number in range(request.count):
            if not begin(request.id + number):
                return
            yield dict(zip(names, next(rows), strict=True)) if names else {}

    def _columns(self, request: Slice, results: _Results) -> None:
        """Run all rows as one, or in pieces when calls are expected.

        What fails as a whole is halved, until only guilty rows fail.
        """
        chunk = self._read(request)
        left = [(request.start, request.start + request.count)]
        step = request.id
        while left and not results.full:
            begin, end = left.pop()
            piece = max(LEAST_PIECE, int(request.pause / self._pace)) if request.pause else end - begin
            if end - begin > piece:
                left.append((begin + piece, end))
                end = begin + piece
            if not self._invoker.begin_row(step):
                return
            step += 1
            part = {name: values[begin:end] for name, values in chunk.items()}
            ended = self._invoker.attempt_columns(part, end - begin)
            self._pace = max(ended.seconds / (end - begin), LEAST_PACE)
            if ended.outcome is Outcome.ANSWERED:
                results.columns(ended, end - begin)
            elif end - begin == 1:
                results.row(ended)
            else:
                middle = (begin + end) // 2
                left += [(middle, end), (begin, middle)]

    def _read(self, request: Slice) -> dict[str, Any]:
        """The chunk that a slice lies in; the last ones are kept, because the next slice is often of one of them."""
        key = request.path, request.offset
        if key not in self._chunks:
            with Path(request.path).open("rb") as file:
                file.seek(request.offset)
                data = file.read(request.length)
            make = as_numpy if request.columnar else None
            chunk = unpack_columns(data, make)
            while len(self._chunks) >= KEPT_CHUNKS:
                del self._chunks[next(iter(self._chunks))]
            self._chunks[key] = chunk if request.columnar else self._invoker.convert(chunk)
        return self._chunks[key]


class _Results:
    """The file that takes a slice's results: only whole rows, written soon after they have ended."""

    def __init__(self, request: Slice) -> None:
        self.done = 0
        self.full = False
        self._id = request.id
        self._plain = True
        self._busy = self._seconds = 0.0
        self._end = request.end
        self._waiting: list[bytes] = [start(request.first)]
        self._size = 0
        self._rows = 0
        self._flushed = time.perf_counter()
        self._encode = msgspec.json.Encoder().encode
        self._file = os.open(request.results, os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
        self._cut()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        os.close(self._file)

    def reply(self, seconds: float) -> SliceReply:
        """What the server is told, when all is written."""
        end = self._end if self._plain and self.done else 0
        return SliceReply(self._id, self.done, seconds, self.full, end, self._busy)

    def row(self, ended: Ended) -> None:
        """Take the result of one row."""
        self._seconds += ended.seconds
        if ended.plain:
            self._take(frame(Kind.PLAIN, ended.seconds, ended.body), 1)
            return
        self._plain = False
        for name, content in ended.files.items():
            if content is not None:
                self._waiting += artifact(name, content)
                self._size += len(content)
        kind = Kind.FULL if ended.outcome is Outcome.ANSWERED else Kind.FAILED
        kind = Kind.STOPPED if ended.outcome is Outcome.INTERRUPTED else kind
        self._take(frame(kind, ended.seconds, ended.body), 1)

    def columns(self, ended: Ended, count: int) -> None:
        """Take the results of rows that ran as one."""
        self._seconds += ended.seconds
        self._take(columns(count, ended.seconds, pack_columns(ended.columns)), count)

    def _take(self, data: bytes, rows: int) -> None:
        self._waiting.append(data)
        self._size += len(data)
        self._rows += rows
        if self._size > FLUSH_BYTES or time.perf_counter() - self._flushed > FLUSH_SECONDS:
            self._flush()

    def _flush(self) -> None:
        """Write what waits; when the disk is full, none of it."""
        if self.full or not self._rows:
            return
        rest = memoryview(b"".join(self._waiting))
        size = len(rest)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            if error.errno not in {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG}:
                raise
            self._cut()
            self.full = True
            return
        self._end += size
        self.done += self._rows
        self._busy = self._seconds
        self._waiting.clear()
        self._size = self._rows = 0
        self._flushed = time.perf_counter()

    def _cut(self) -> None:
        """Forget what is beyond the last whole row."""
        os.ftruncate(self._file, self._end)
        os.lseek(self._file, self._end, os.SEEK_SET)
