"""What all pools together may use: kernels and memory."""

from __future__ import annotations

from typing import Protocol

from jupyter_mlops.errors import Unavailable


class Member(Protocol):
    """What the budget asks of a pool."""

    last_used: float

    def size(self) -> int:
        """Kernels that run or start."""

    def give_up(self) -> bool:
        """End an idle kernel beyond the initial size, if there is one; say whether there was."""


class Budget:
    """Shares the server's kernels among the pools; the least recently used pool gives up first.

    Parameters
    ----------
    kernels:
        Most kernels at a time.
    """

    def __init__(self, kernels: int) -> None:
        self.kernels = kernels
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
        used = self.used() + coming
        for member in sorted(self._members - {asking}, key=lambda member: member.last_used):
            while used > self.kernels and member.give_up():
                used -= 1
        if used > self.kernels:
            raise Unavailable(
                f"all {self.kernels} kernels of this server are busy or kept for their services; try again",
                retry_after=1,
            )
