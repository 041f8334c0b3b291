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
        self._key: tuple[str, int] = ("", -1)
        self._chunk: Any = None

    def run(self, request: Slice) -> SliceReply:
        """Run a slice of a synchronous function, or of code, until its end, its time is up, or it is withdrawn."""
        began = time.perf_counter()
        with _Results(request) as results:
            if request.columnar:
                self._columns(request, results)
            else:
                self._rows(request, results, began + request.seconds)
        return SliceReply(request.id, results.done, time.perf_counter() - began, results.full)

    async def run_async(self, request: Slice) -> SliceReply:
        """Run a slice of an asynchronous function."""
        began = time.perf_counter()
        with _Results(request) as results:
            for row in self._begun(request):
                results.row(await self._invoker.attempt_async(row))
                if results.full or time.perf_counter() - began > request.seconds:
                    break
        return SliceReply(request.id, results.done, time.perf_counter() - began, results.full)

    def _rows(self, request: Slice, results: _Results, until: float) -> None:
        attempt, keep, clock = self._invoker.attempt, results.row, time.perf_counter
        for row in self._begun(request):
            keep(attempt(row))
            if results.full or clock() > until:
                return

    def _begun(self, request: Slice) -> Iterator[dict[str, Any]]:
        """The rows, each marked as begun; no more when the server has withdrawn them."""
        names, rows = self._read(request)
        begin = self._invoker.begin_row
        for number in range(request.count):
            if not begin(request.id + number):
                return
            yield dict(zip(names, rows[request.start + number], strict=True)) if names else {}

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

    def _read(self, request: Slice) -> Any:
        """The chunk that a slice lies in; kept, because the next slice is often of the same."""
        key = request.path, request.offset
        if key != self._key:
            with Path(request.path).open("rb") as file:
                file.seek(request.offset)
                data = file.read(request.length)
            if request.columnar:
                self._chunk = unpack_columns(data, as_numpy)
            else:
                columns = self._invoker.convert(unpack_columns(data))
                self._chunk = tuple(columns), list(zip(*columns.values(), strict=True))
            self._key = key
        return self._chunk


class _Results:
    """The file that takes a slice's results: only whole rows, written soon after they have ended."""

    def __init__(self, request: Slice) -> None:
        self.done = 0
        self.full = False
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

    def row(self, ended: Ended) -> None:
        """Take the result of one row."""
        if ended.plain:
            self._take(frame(Kind.PLAIN, ended.seconds, ended.body), 1)
            return
        for name, content in ended.files.items():
            if content is not None:
                self._waiting += artifact(name, content)
                self._size += len(content)
        kind = Kind.FULL if ended.outcome is Outcome.ANSWERED else Kind.FAILED
        kind = Kind.STOPPED if ended.outcome is Outcome.INTERRUPTED else kind
        self._take(frame(kind, ended.seconds, ended.body), 1)

    def columns(self, ended: Ended, count: int) -> None:
        """Take the results of rows that ran as one."""
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
        self._waiting.clear()
        self._size = self._rows = 0
        self._flushed = time.perf_counter()

    def _cut(self) -> None:
        """Forget what is beyond the last whole row."""
        os.ftruncate(self._file, self._end)
        os.lseek(self._file, self._end, os.SEEK_SET)
