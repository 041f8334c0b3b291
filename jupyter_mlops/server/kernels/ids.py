"""Ids of messages to kernels."""

from __future__ import annotations

_last = 0


def new_ids(count: int = 1) -> int:
    """The first of so many ids that nobody had before; they only grow.

    Parameters
    ----------
    count:
        How many, one after another.
    """
    global _last  # one sequence for the whole process
    first, _last = _last + 1, _last + count
    return first
