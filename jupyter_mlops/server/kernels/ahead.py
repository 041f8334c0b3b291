"""What is sent to a kernel that is busy, and taken back when its running call turns out slow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from jupyter_mlops.server.kernels.kernel import Kernel

AHEAD_SECONDS = 0.004
"""How much work, by recent run times, may be sent to a kernel that is busy, so that it never waits for us."""
MOST_AHEAD = 64

PATIENCE_SECONDS = 0.02
"""How long the oldest call of a kernel may keep those behind it waiting; noticed within twice that time."""
SETTLED_SECONDS = 0.001
"""Time in which what one process writes to shared memory is seen by another: processors need less than a millionth."""


class Ahead:
    """Chooses the kernel for the next message, and looks after what was sent to busy ones.

    Parameters
    ----------
    kernels:
        The pool's kernels, as they are at any time.
    taken_back:
        Is given the ids of messages, oldest first, that a kernel did not begin and never will.
    """

    def __init__(self, kernels: list[Kernel], taken_back: Callable[[list[int]], None]) -> None:
        self._kernels = kernels
        self._taken_back = taken_back
        self._most = 1
        self._mean_seconds = 0.0
        self._heads: dict[Kernel, int] = {}
        self._timer: asyncio.TimerHandle | None = None

    def free(self) -> Kernel | None:
        """An idle kernel, else the least busy one that may have something sent ahead."""
        best = None
        for kernel in self._kernels:
            count = len(kernel.sent)
            if count == 0:
                return kernel
            if count < self._most and not kernel.stalled and (best is None or count < len(best.sent)):
                best = kernel
        if best is not None:
            self.watch()
        return best

    def watch(self) -> None:
        """Look soon after what was sent to busy kernels."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PATIENCE_SECONDS, self._look)

    def learn(self, seconds: float) -> None:
        """Note how long a call ran."""
        self._mean_seconds += 0.1 * (seconds - self._mean_seconds)
        self._most = 1 + min(int(AHEAD_SECONDS / max(self._mean_seconds, 1e-6)), MOST_AHEAD - 1)

    def _look(self) -> None:
        """Take back what waits behind a call that is the oldest of its kernel since the last look."""
        loop = asyncio.get_running_loop()
        heads = {kernel: next(iter(kernel.sent)) for kernel in self._kernels if len(kernel.sent) > 1}
        for kernel, head in heads.items():
            if self._heads.get(kernel) == head and not kernel.stalled:
                kernel.stalled = True
                kernel.withdraw()
                # Before a call the kernel writes that it begins and then reads what is withdrawn; here it is the other
                # way round. By then each sees what the other wrote before: it reads of our withdrawal, or we of its
                # beginning, on any processor.
                loop.call_later(SETTLED_SECONDS, self._take_back, kernel)
        self._heads = heads
        self._timer = loop.call_later(PATIENCE_SECONDS, self._look) if heads else None

    def _take_back(self, kernel: Kernel) -> None:
        if kernel in self._kernels:
            self._taken_back(kernel.take_back())
