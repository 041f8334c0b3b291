"""Large bodies on their way between a connection and a kernel: through a file, a piece at a time."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import AsyncIterator
from io import RawIOBase
from pathlib import Path
from typing import BinaryIO

from jupyter_mlops.errors import DiskFull

PIECE = 2**20


class Spool:
    """A file that takes a body while it arrives.

    Parameters
    ----------
    path:
        Where; nobody else uses the name.
    in_memory:
        Whether that is in memory, so that writing is waited for by nobody.
    """

    def __init__(self, path: Path, *, in_memory: bool = False) -> None:
        self.path = path
        self._in_memory = in_memory
        self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=0)
        self._waiting = bytearray()
        self._full = False

    async def write(self, data: bytes) -> None:
        """Take the next bytes; the disk is never waited for on the event loop."""
        if self._in_memory:
            _write_all(self._file.fileno(), data)
            return
        self._waiting += data
        if len(self._waiting) >= PIECE:
            await self._flush()

    async def finish(self) -> str:
        """Write the rest; the file's path.

        Raises
        ------
        DiskFull
            When something of it could not be written.
        """
        await self._flush()
        if self._full:
            raise DiskFull
        return str(self.path)

    def remove(self) -> None:
        """Remove the file."""
        self._file.close()
        self.path.unlink(missing_ok=True)

    async def _flush(self) -> None:
        piece, self._waiting = self._waiting, bytearray()
        try:
            await asyncio.to_thread(_write_all, self._file.fileno(), piece)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            self._full = True


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


async def memory_pieces_of(path: str) -> AsyncIterator[bytes]:
    """As `pieces_of`, where reading is as fast as copying."""
    with Path(path).open("rb", 0) as file:  # noqa: ASYNC230  # it lies in memory
        Path(path).unlink()  # noqa: ASYNC240  # the same
        while piece := file.read(PIECE):
            yield piece


async def pieces(file: RawIOBase | BinaryIO) -> AsyncIterator[bytes]:
    """Read an open file a piece at a time, and close it at the end."""
    try:
        while piece := await asyncio.to_thread(file.read, PIECE):
            yield piece
    finally:
        file.close()


async def part(file: RawIOBase | BinaryIO, size: int, piece: int) -> AsyncIterator[bytes]:
    """Read so many bytes of an open file from where it stands, a piece at a time, and close it at the end."""
    try:
        while size and (data := await asyncio.to_thread(file.read, min(size, piece))):
            size -= len(data)
            yield data
    finally:
        file.close()


def _write_all(descriptor: int, data: bytes | bytearray) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
