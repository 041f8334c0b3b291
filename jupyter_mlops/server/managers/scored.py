"""A revision with what its calls need, and the way through it for those who make many."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from jupyter_mlops.errors import DeadlineExceeded, InvalidInput, KernelDied
from jupyter_mlops.inputs import InputReader, Rows, RowsReader
from jupyter_mlops.schema.channel import Reply
from jupyter_mlops.schema.services import Revision
from jupyter_mlops.server.kernels.pool import Pool
from jupyter_mlops.server.managers.metrics import CallMetrics


@dataclass(eq=False)
class Scored:
    """A revision with what its calls need."""

    reader: InputReader
    rows: RowsReader | None
    pool: Pool
    metrics: CallMetrics
    holds: int = 0
    """How many work through it, and need its kernels even when the version points at another."""
    released: asyncio.Event = field(default_factory=asyncio.Event)


class Held:
    """One revision that somebody works through, call by call; made by `ExecutionManager.hold`."""

    def __init__(self, revision: Revision, scored: Scored, touch: Callable[[], None]) -> None:
        self.revision = revision
        self._scored = scored
        self._touch = touch
        self._encoder = msgspec.msgpack.Encoder()
        self._released = False

    def check(self, body: bytes) -> bytes:
        """Check the inputs of one call; what `call` takes. May be asked by any thread.

        Raises
        ------
        InvalidInput
            With the JSON path and the expected type of the first value that does not fit.
        """
        return self._encoder.encode(self._scored.reader.read(body))

    async def call(self, inputs: bytes | Path) -> Reply:
        """Run one call; waiting for a kernel is not counted in its deadline.

        Parameters
        ----------
        inputs:
            What `check` returned, or a file that holds the JSON that was checked.

        Raises
        ------
        InvalidInput, KernelDied, DeadlineExceeded, Unavailable
            As their names say.
        """
        scored, timeout = self._scored, self.revision.definition.timeout
        self._touch()
        started = time.monotonic()
        outcome = None
        try:
            if isinstance(inputs, Path):
                reply = await scored.pool.call(b"", timeout, checked=False, path=str(inputs), patient=True)
            elif scored.rows is not None:
                row = msgspec.msgpack.decode(inputs)
                rows = Rows({name: [value] for name, value in row.items()}, 1, single=True)
                reply = await scored.pool.call(b"", timeout, checked=True, rows=rows, patient=True)
            else:
                reply = await scored.pool.call(inputs, timeout, checked=True, patient=True)
            outcome = reply.outcome
        except (KernelDied, DeadlineExceeded, InvalidInput):
            outcome = -1
            raise
        finally:
            self._touch()
            if outcome is not None:  # else nothing ran: it was taken back, or will be tried again
                scored.metrics.count(time.monotonic() - started, outcome)
        return reply

    def room(self) -> int:
        """How many calls one may have under way: half of those that may wait, so that others find a place."""
        return max(1, self._scored.pool.settings.queue_limit // 2)

    def cannot_start(self) -> bool:
        """Whether there is no kernel, and starting one failed."""
        pool = self._scored.pool
        return not pool.kernels() and bool(pool.last_error())

    def release(self) -> None:
        """Say that no more calls will come."""
        if not self._released:
            self._released = True
            self._scored.holds -= 1
            if not self._scored.holds:
                self._scored.released.set()
