"""The start mark: a page shared with the server that holds the id of the running call."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from jupyter_mlops.schema.channel import MARK_BYTES

_ID = struct.Struct("<Q")


class Mark:
    """Writes the running call's id where the server can read it whatever this process does next.

    Parameters
    ----------
    path:
        A file of `MARK_BYTES` that the server made.
    """

    def __init__(self, path: str) -> None:
        with Path(path).open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), MARK_BYTES)

    def set(self, call: int) -> None:
        """Mark the call as running; 0 for none."""
        _ID.pack_into(self._page, 0, call)

    def unwanted(self) -> int:
        """Id of the call that the server wants to be interrupted; an interrupt is for no other."""
        (call,) = _ID.unpack_from(self._page, _ID.size)
        return int(call)
