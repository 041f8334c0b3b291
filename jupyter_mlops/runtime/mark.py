"""The start mark: a page shared with the server that says which call runs, and which may not begin."""

from __future__ import annotations

import mmap
from pathlib import Path

from jupyter_mlops.schema.channel import BEGUN, MARK_BYTES, RUNNING, UNWANTED, WITHDRAWN


class Mark:
    """Writes the running call's id where the server can read it whatever this process does next.

    Parameters
    ----------
    path:
        A file of `MARK_BYTES` that the server made.
    """

    def __init__(self, path: str) -> None:
        with Path(path).open("r+b") as file:
            self._page = memoryview(mmap.mmap(file.fileno(), MARK_BYTES)).cast("Q")

    def begin(self, call: int) -> bool:
        """Mark the call as begun and running; False when the server has withdrawn it, so that it may not run."""
        page = self._page
        # First written, then read: the server does it the other way round, so that one of the two sees the other.
        page[BEGUN] = page[RUNNING] = call
        if call <= page[WITHDRAWN]:
            page[RUNNING] = 0
            return False
        return True

    def end(self) -> None:
        """Mark that no call is running."""
        self._page[RUNNING] = 0

    def unwanted(self) -> int:
        """Id of the call that the server wants to be interrupted; an interrupt is for no other."""
        return self._page[UNWANTED]
