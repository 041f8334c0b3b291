"""Batches of realtime services: rows of a model's columns, a chunk at a time through the workers.

Machine Learning Server's clients send frames instead, `[{"inputData": {...}}, ...]`; each is then a call of its own.
"""

from __future__ import annotations

import asyncio
import errno
import math
import os
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from jupyter_mlops.chunks import pack_columns, unpack_columns
from jupyter_mlops.container import CellType
from jupyter_mlops.errors import InvalidInput, KernelDied, MLOpsError, Unavailable
from jupyter_mlops.recording import Kind, columns, frame, start
from jupyter_mlops.schema.channel import Outcome, Slice
from jupyter_mlops.schema.executions import WebServiceResult
from jupyter_mlops.schema.realtime import INLINE_BODY, INPUT, JSON, MESSAGEPACK, OUTPUT
from jupyter_mlops.schema.services import Revision
from jupyter_mlops.schema.types import Parameter, ValueType
from jupyter_mlops.server.kernels.slicing import SliceEnd
from jupyter_mlops.server.managers.models import ModelScoring
from jupyter_mlops.server.realtime.pool import ModelPool

_TYPES: dict[CellType, ValueType] = {
    "double": ValueType.NUMERIC,
    "float": ValueType.NUMERIC,
    "integer": ValueType.INTEGER,
    "string": ValueType.CHARACTER,
    "logical": ValueType.LOGICAL,
}
_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG}
_FRAMED = re.compile(rb'(?:\xef\xbb\xbf)?\s*\[?\s*\{\s*"%b"\s*:\s*\{' % INPUT.encode())
_BEGINNING = 4096
"""Bytes of a body in which it shows whether its records are frames."""


def holds_frames(path: Path) -> bool:
    """Whether the body of a submission looks as if its records were frames."""
    with path.open("rb") as file:
        return _FRAMED.match(file.read(_BEGINNING)) is not None


def as_sent(revision: Revision, *, frames: bool) -> Revision:
    """A revision as a batch sees it: of a realtime service by rows, unless its records are frames.

    Parameters
    ----------
    revision:
        Of any service.
    frames:
        What `holds_frames` said of the batch's body.
    """
    model = revision.definition.model
    if model is None or (frames and INPUT not in {one.name for one in model.header.inputs}):
        return revision
    return by_rows(revision)


def by_rows(revision: Revision) -> Revision:
    """A revision as its batches see it: of a realtime service, with an input and an output for each column."""
    model = revision.definition.model
    if model is None:
        return revision
    inputs = tuple(Parameter(name=one.name, type=_TYPES[one.type]) for one in model.header.inputs)
    outputs = tuple(Parameter(name=one.name, type=_TYPES[one.type]) for one in model.header.outputs)
    definition = msgspec.structs.replace(revision.definition, inputs=inputs, outputs=outputs, batchable=True)
    return msgspec.structs.replace(revision, definition=definition)


class ModelRunner:
    """Scores the slices of one batch by the realtime workers.

    Parameters
    ----------
    models:
        What scores realtime services.
    revision:
        Which of them, as `as_sent` made it.
    touch:
        Told that the server is in use.
    """

    lacks = "no realtime worker can be started"

    def __init__(self, models: ModelScoring, revision: Revision, touch: Callable[[], None]) -> None:
        assert revision.definition.model is not None, "a realtime service"
        self._models = models
        self._revision = revision
        self._outputs = revision.definition.model.header.outputs
        self._touch = touch
        self._calls: set[asyncio.Task[bytes]] = set()
        self._stopped = False
        self._stuck = False

    def width(self) -> int:
        """One more than there may be workers, so that none waits for the next slice."""
        return self._models.width() + 1

    async def run(self, request: Slice) -> SliceEnd:
        """Score a slice: its rows as one, and halves of what fails as a whole, until only guilty rows fail.

        Frames are scored one by one, until the slice's time is up.
        """
        self._touch()
        pool = await self._models.hold(self._revision)
        rows = await asyncio.to_thread(_read, request)
        began = time.monotonic()
        until = math.inf if request.columnar else began + request.seconds
        written = [start(request.first)]
        left, done = _parts(request), 0
        end = SliceEnd(0)
        while left and not self._over(until):
            first, stop = left.pop()
            part = {name: values[first:stop] for name, values in rows.items()}
            since = time.monotonic()
            try:
                written.append(await self._scored(pool, part, stop - first, columnar=request.columnar))
            except asyncio.CancelledError:
                if self._stopped:
                    break
                raise
            except KernelDied as error:
                end = SliceEnd(None, row=request.first + first, reason=error.message)
                break
            except Unavailable:
                self._stuck = not done
                if not done:
                    raise
                break
            except MLOpsError as error:
                if stop - first > 1:
                    middle = (first + stop) // 2
                    left += [(middle, stop), (first, middle)]
                    continue
                told = msgspec.json.encode(WebServiceResult(success=False, error_message=error.message))
                written.append(frame(Kind.FAILED, time.monotonic() - since, told))
            done = stop
        self._touch()
        full = not await asyncio.to_thread(_write, request, written if done else [])
        seconds = time.monotonic() - began
        return replace(end, seconds=seconds, full=full, done=None if end.done is None else 0 if full else done)

    def stop(self, *, gently: bool) -> None:
        """Begin nothing more; give up what runs unless gently."""
        self._stopped = True
        if not gently:
            for call in self._calls:
                call.cancel()

    def stuck(self) -> bool:
        """Whether nothing can run, and it is not for want of room."""
        return self._stuck

    def release(self) -> None:
        """Let go of the revision."""
        self._models.release(self._revision)

    def _over(self, until: float) -> bool:
        return self._stopped or time.monotonic() > until

    async def _scored(self, pool: ModelPool, part: dict[str, Any], count: int, *, columnar: bool) -> bytes:
        """The results of some rows, or of one frame, as they are recorded."""
        began = time.monotonic()
        body, accept = (part, MESSAGEPACK) if columnar else ({INPUT: part[INPUT][0]}, JSON)
        call = asyncio.ensure_future(self._call(pool, body, accept))
        self._calls.add(call)
        try:
            answer = await call
        finally:
            self._calls.discard(call)
        seconds = time.monotonic() - began
        if columnar:
            return columns(count, seconds, await asyncio.to_thread(self._packed, answer))
        return frame(Kind.FULL, seconds, answer)

    def _packed(self, answer: bytes) -> bytes:
        """The output columns of an answer in MessagePack, as they are recorded."""
        found: dict[str, Any] = msgspec.msgpack.decode(answer)["outputParameters"][OUTPUT]
        return pack_columns({one.name: found[one.name] for one in self._outputs})

    async def _call(self, pool: ModelPool, part: dict[str, Any], accept: str) -> bytes:
        body = await asyncio.to_thread(msgspec.msgpack.encode, part)
        path = Path()
        if len(body) > INLINE_BODY:
            path, _ = self._models.spool()
            await asyncio.to_thread(path.write_bytes, body)
            body = b""
        try:
            scored = await pool.call(
                body,
                self._revision.definition.timeout,
                path="" if body else str(path),
                media=MESSAGEPACK,
                accept=accept,
                patient=True,
            )
        finally:
            if not body:
                await asyncio.to_thread(path.unlink, missing_ok=True)
        if scored.outcome != Outcome.ANSWERED:
            raise InvalidInput(scored.body.decode())
        return await asyncio.to_thread(_taken, scored.path) if scored.path else scored.body


def _parts(request: Slice) -> list[tuple[int, int]]:
    """What is scored together of a slice, the last first: all its rows, or each frame alone."""
    if request.columnar:
        return [(0, request.count)]
    return [(row, row + 1) for row in reversed(range(request.count))]


def _read(request: Slice) -> dict[str, Any]:
    """The columns of a slice."""
    with Path(request.path).open("rb") as file:
        file.seek(request.offset)
        found = unpack_columns(file.read(request.length))
    return {name: values[request.start : request.start + request.count] for name, values in found.items()}


def _taken(path: str) -> bytes:
    """An answer that lies in a file, which nobody needs any more."""
    place = Path(path)
    body = place.read_bytes()
    place.unlink(missing_ok=True)
    return body


def _write(request: Slice, pieces: list[bytes]) -> bool:
    """Write results at their place, and forget what was there; whether the disk had room."""
    descriptor = os.open(request.results, os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
    try:
        os.ftruncate(descriptor, request.end)
        os.lseek(descriptor, request.end, os.SEEK_SET)
        rest = memoryview(b"".join(pieces))
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    except OSError as error:
        if error.errno not in _FULL:
            raise
        os.ftruncate(descriptor, request.end)
        return False
    finally:
        os.close(descriptor)
    return True
