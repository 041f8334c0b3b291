"""What all pools together may use: kernels and memory."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from jupyter_mlops.errors import Unavailable
from jupyter_mlops.server.kernels import memory

log = logging.getLogger(__name__)


class Member(Protocol):
    """What the budget asks of a pool."""

    last_used: float

    def size(self) -> int:
        """Kernels that run or start."""

    def pids(self) -> list[int]:
        """Processes of the kernels that run."""

    def give_up(self) -> bool:
        """End an idle kernel beyond the initial size, if there is one; say whether there was."""


class Budget:
    """Shares kernels and memory among the pools; the least recently used pool gives up first.

    Parameters
    ----------
    kernels:
        Most kernels at a time.
    share:
        Bytes of memory that all kernels together may use.
    """

    def __init__(self, kernels: int, share: int) -> None:
        self.kernels = kernels
        self._share = share
        self._used = 0
        self._members: set[Member] = set()

    def join(self, member: Member) -> None:
        """Count a pool in."""
        self._members.add(member)

    def leave(self, member: Member) -> None:
        """Count a pool no longer."""
        self._members.discard(member)

    def used(self) -> int:
        """Kernels that run or start, in all pools."""
        return sum(member.size() for member in self._members)

    def make_room(self, asking: Member | None, *, coming: int = 0) -> None:
        """Make sure that the kernels which run or start fit.

        Parameters
        ----------
        asking:
            The pool that wants one more; it gives up none. None for a kernel outside the pools.
        coming:
            Kernels that no pool counts yet.

        Raises
        ------
        Unavailable
            When every kernel is busy or kept for its own service.
        """
        missing = self.used() + coming - self.kernels
        over = self._used > self._share
        # With too much memory used, one must go for each that comes.
        for _ in range(max(missing, 1 if over else 0)):
            if not self._end_idle(asking):
                raise Unavailable(
                    f"all {self.kernels} kernels of this server are busy or kept for their services; try again"
                    if missing > 0
                    else f"the kernels of this server use {_shown(self._used)} of memory, more than their share of "
                    f"{_shown(self._share)}, and are all busy or kept for their services; try again",
                    retry_after=1,
                )

    async def watch_memory(self) -> None:
        """Measure what all kernels use; when it is too much, end one that is idle."""
        pids = [pid for member in self._members for pid in member.pids()]
        self._used = await asyncio.to_thread(memory.used, pids, self._share)
        if self._used > self._share and self._end_idle(None):
            log.warning(
                "the kernels use %s of memory, more than their share of %s; an idle one was ended",
                _shown(self._used),
                _shown(self._share),
            )

    def _end_idle(self, asking: Member | None) -> bool:
        """Let the least recently used pool that can give up a kernel; say whether there was one."""
        members = sorted(self._members, key=lambda member: member.last_used)
        return any(member.give_up() for member in members if member is not asking)


def _shown(size: int) -> str:
    return f"{size / 1e9:.2f} GB"
