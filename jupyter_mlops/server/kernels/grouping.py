"""Calls that run as one: which of those that wait go together, and whether to wait a moment for more."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from jupyter_mlops.schema.pools import PoolSettings
from jupyter_mlops.server.kernels.kernel import Kernel
from jupyter_mlops.server.kernels.waiting import Waiting


class Grouping:
    """Takes calls from a pool's queue.

    Parameters
    ----------
    queue:
        The calls that wait, as they are at any time.
    again:
        Called when enough was waited for more.
    """

    def __init__(self, queue: deque[Waiting], again: Callable[[], None]) -> None:
        self._queue = queue
        self._again = again
        self._hold: asyncio.TimerHandle | None = None
        self._last = 1

    def take(self, settings: PoolSettings) -> list[Waiting]:
        """The next call, with those behind it that may run together with it."""
        queue = self._queue
        first = queue.popleft()
        members = [first]
        if first.groups():
            room = settings.group_size - first.size()
            while queue and queue[0].groups() and queue[0].size() <= room:
                room -= queue[0].size()
                members.append(queue.popleft())
        if first.rows is not None:
            self._last = len(members)
        return members

    def worth_holding(self, settings: PoolSettings, kernel: Kernel) -> bool:
        """Whether to wait a moment for the callers of the last group, who are about to come back."""
        if not self._queue[0].groups() or kernel.sent or len(self._queue) >= min(self._last, settings.group_size):
            return False
        if self._hold is None:
            left = settings.group_wait - (time.monotonic() - self._queue[0].since)
            if left <= 0:
                return False
            self._hold = asyncio.get_running_loop().call_later(left, self._held)
        return True

    def _held(self) -> None:
        self._hold = None
        self._last = max(1, len(self._queue))
        self._again()
