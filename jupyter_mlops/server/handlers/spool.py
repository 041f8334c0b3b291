"""Large bodies on their way between a connection and a kernel: through a file, a piece at a time."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from io import RawIOBase
from pathlib import Path
from typing import BinaryIO

PIECE = 2**20


class Spool:
    """A file that takes a body while it arrives.

    Parameters
    ----------
    path:
        Where; nobody else uses the name.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=0)
        self._waiting = bytearray()

    async def write(self, data: bytes) -> None:
        """Take the next bytes; the disk is never waited for on the event loop."""
        self._waiting += data
        if len(self._waiting) >= PIECE:
            await self._flush()

    async def finish(self) -> str:
        """Write the rest; the file's path."""
        await self._flush()
        return str(self.path)

    def remove(self) -> None:
        """Remove the file."""
        self._file.close()
        self.path.unlink(missing_ok=True)

    async def _flush(self) -> None:
        piece, self._waiting = self._waiting, bytearray()
        await asyncio.to_thread(_write_all, self._file.fileno(), piece)


def size_of(path: str) -> int:
    """Bytes of a kernel's large reply."""
    return Path(path).stat().st_size


async def pieces_of(path: str) -> AsyncIterator[bytes]:
    """Read a kernel's large reply a piece at a time, and remove it at the end."""
    try:
        async for piece in pieces(await asyncio.to_thread(Path(path).open, "rb", 0)):
            yield piece
    finally:
        with contextlib.suppress(OSError):
            await asyncio.to_thread(os.unlink, path)


async def pieces(file: RawIOBase | BinaryIO) -> AsyncIterator[bytes]:
    """Read an open file a piece at a time, and close it at the end."""
    try:
        while piece := await asyncio.to_thread(file.read, PIECE):
            yield piece
    finally:
        file.close()


def _write_all(descriptor: int, data: bytearray) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
