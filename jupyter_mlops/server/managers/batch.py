"""One batch as the server sees it: what was submitted, how it stands, and who waits to hear of it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from jupyter_mlops.schema.batches import ENDED, BatchProgress, BatchState
from jupyter_mlops.server.stores.batches import BatchRecord, Standing, kinds_of

TELL_SECONDS = 0.1
"""Changes that follow one another within this time are told as one."""
RATE_SECONDS = 5.0
"""Over how long the rate is taken."""


class Batch:
    """How a batch stands.

    Parameters
    ----------
    record:
        What was submitted.
    standing:
        How it stands, as the store has it.
    tell:
        Called after changes, at most ten times a second.
    """

    def __init__(self, record: BatchRecord, standing: Standing, tell: Callable[[Batch], None]) -> None:
        self.record = record
        self.standing = standing
        self.running = 0
        """Rows that kernels have now."""
        self.deleted = False
        self.size = 0
        """Bytes of its files, once it has ended."""
        self.users = 0
        """Who reads its files now."""
        self._tell = tell
        self._sequence = 1
        self._telling: asyncio.TimerHandle | None = None
        self._news = asyncio.Event()
        self._marks: deque[tuple[float, int]] = deque()

    @property
    def id(self) -> str:
        """What names it."""
        return self.record.id

    @property
    def done(self) -> bool:
        """Whether it has come to an end."""
        return self.standing.state in ENDED

    def progress(self) -> BatchProgress:
        """How far it is."""
        record, standing = self.record, self.standing
        rate = self._rate()
        left = record.total - standing.completed
        return BatchProgress(
            id=record.id,
            name=record.revision.name,
            version=record.revision.version,
            revision=record.revision.number,
            owner=record.owner,
            state=standing.state,
            reason=standing.reason,
            engine=record.engine,
            priority=record.priority,
            total=record.total,
            completed=standing.completed,
            failed=standing.failed,
            running=self.running,
            attempts=standing.attempts,
            created=record.created,
            started=standing.started,
            ended=standing.ended,
            seconds=round(standing.seconds, 6),
            rate=round(rate, 3),
            seconds_left=round(left / rate, 3) if rate and not self.done else None,
            errors=kinds_of(standing.errors),
            artifacts=standing.artifacts,
            sequence=self._sequence,
        )

    def recorded(self, rows: int, failures: dict[int, str], artifacts: int, seconds: float) -> None:
        """Count rows that have been recorded."""
        standing = self.standing
        standing.completed += rows
        standing.failed += len(failures)
        standing.artifacts += artifacts
        standing.seconds += seconds
        for row, message in failures.items():
            count, first = standing.errors.get(message, (0, row))
            standing.errors[message] = count + 1, min(first, row)
        now = time.monotonic()
        self._marks.append((now, standing.completed))
        while self._marks[0][0] < now - RATE_SECONDS and len(self._marks) > 2:  # noqa: PLR2004  # a line has two ends
            self._marks.popleft()
        self.changed()

    def begin(self) -> None:
        """Say that its rows execute, from now on or again."""
        self.standing.state = BatchState.IN_PROGRESS
        self.standing.reason = self.standing.ended = ""
        self.standing.started = self.standing.started or now_text()
        self._marks.clear()
        self._marks.append((time.monotonic(), self.standing.completed))
        self.changed()

    def end(self, state: BatchState, reason: str = "") -> None:
        """Say that it has come to an end."""
        self.standing.state = state
        self.standing.reason = reason
        self.standing.ended = now_text()
        self.running = 0
        self.changed()

    def wait_for(self, reason: str) -> None:
        """Say what it waits for, or with an empty reason that it waits no longer."""
        if reason != self.standing.reason:
            self.standing.reason = reason
            self.changed()

    def changed(self) -> None:
        """Tell those who wait, soon."""
        if self._telling is None:
            self._telling = asyncio.get_running_loop().call_later(TELL_SECONDS, self._told)

    async def after(self, sequence: int, seconds: float) -> BatchProgress:
        """How far it is, as soon as that is news to who has seen this sequence number, at the latest after some time.

        Parameters
        ----------
        sequence:
            What `BatchProgress.sequence` was; a greater one than there is was told by a server before this one.
        seconds:
            How long to wait.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._sequence == sequence and not self.deleted:
                    await self._news.wait()
        return self.progress()

    @contextlib.contextmanager
    def in_use(self, unused: Callable[[Batch], None]) -> Iterator[None]:
        """Keep its files while this lasts; `unused` is called when they were to go meanwhile."""
        self.users += 1
        try:
            yield
        finally:
            self.users -= 1
            if self.deleted and not self.users:
                unused(self)

    def _told(self) -> None:
        self._telling = None
        self._sequence += 1
        news, self._news = self._news, asyncio.Event()
        news.set()
        self._tell(self)

    def _rate(self) -> float:
        """Rows per second of late."""
        if self.done or not self._marks:
            return 0.0
        since, count = self._marks[0]
        passed = time.monotonic() - since
        return (self.standing.completed - count) / passed if passed > 0 else 0.0


def now_text() -> str:
    """The time, in ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
