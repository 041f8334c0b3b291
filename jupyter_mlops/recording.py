"""The results of a batch on disk: frames that a scoring kernel appends, and the server reads.

A frame is a header, `length of the body, kind, seconds`, and its body. The rows of a slice follow one another
in the order of their indices, so that no frame needs to name its row; the artifacts of a row come before it.
A frame that is not whole was being written when its kernel ended, and does not count.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

HEADER = struct.Struct("<IBf")
_START = struct.Struct("<Q")
_NAME = struct.Struct("<H")
_COUNT = struct.Struct("<Q")
_BLOCK = 2**18
START_BYTES = HEADER.size + _START.size
"""Bytes of the frame that begins a slice."""


class Kind(IntEnum):
    """What a frame holds."""

    START = 1
    """The beginning of a slice: the index of its first row."""
    PLAIN = 2
    """A row that was answered, and did nothing else: JSON of its outputs."""
    FULL = 3
    """A row that was answered: JSON of a `WebServiceResult`, without the content of its artifacts."""
    FAILED = 4
    """A row that was not: JSON of a `WebServiceResult`."""
    STOPPED = 5
    """The same for a row that was interrupted."""
    ARTIFACT = 6
    """A file that the next row wrote: its name and its content."""
    COLUMNS = 7
    """Many rows that ran as one, all answered: their number, and their outputs as `chunks.pack_columns`."""


class Frame(NamedTuple):
    """One frame of a file."""

    kind: int
    seconds: float
    """How long it took."""
    place: int
    """Where the body begins in the file."""
    length: int
    """Bytes of the body."""
    body: bytes
    """The body; empty for an artifact's content, and where bodies were not asked for."""
    rows: int
    """How many rows it is the result of."""
    name: str
    """Of an artifact, what it is called."""


def frame(kind: Kind, seconds: float, body: bytes) -> bytes:
    """Put a body behind its header."""
    return HEADER.pack(len(body), kind, seconds) + body


def start(index: int) -> bytes:
    """The frame that begins a slice."""
    return frame(Kind.START, 0.0, _START.pack(index))


def artifact(name: str, content: bytes) -> list[bytes]:
    """The frame of an artifact, in pieces, so that its content is not copied."""
    encoded = name.encode()
    size = _NAME.size + len(encoded) + len(content)
    return [HEADER.pack(size, Kind.ARTIFACT, 0.0) + _NAME.pack(len(encoded)) + encoded, content]


def columns(count: int, seconds: float, packed: bytes) -> bytes:
    """The frame of rows that ran as one."""
    return HEADER.pack(_COUNT.size + len(packed), Kind.COLUMNS, seconds) + _COUNT.pack(count) + packed


def started(body: bytes) -> int:
    """Index of the first row of the slice that a `START` frame begins."""
    return int(_START.unpack(body)[0])


def frames(path: Path, begin: int, end: int | None = None) -> Iterator[Frame]:
    """Read the whole frames of a part of a file.

    Parameters
    ----------
    path:
        The file; one that is not there has no frames.
    begin, end:
        Where the first frame begins, and where the last one ends; without `end`, all that there are.
    """
    try:
        file = path.open("rb", buffering=_BLOCK)
    except FileNotFoundError:
        return
    with file:
        stop = file.seek(0, 2) if end is None else end
        file.seek(begin)
        place = begin
        while place + HEADER.size <= stop:
            head = file.read(HEADER.size)
            if len(head) < HEADER.size:
                return
            length, kind, seconds = HEADER.unpack(head)
            place += HEADER.size
            if place + length > stop:
                return
            if kind == Kind.ARTIFACT:
                (size,) = _NAME.unpack(file.read(_NAME.size))
                name = file.read(size).decode()
                skip = _NAME.size + size
                file.seek(length - skip, 1)
                yield Frame(kind, seconds, place + skip, length - skip, b"", 0, name)
            else:
                body = file.read(length)
                if len(body) < length:
                    return
                if kind == Kind.COLUMNS:
                    (rows,) = _COUNT.unpack_from(body)
                    yield Frame(kind, seconds, place, length, body[_COUNT.size :], rows, "")
                else:
                    yield Frame(kind, seconds, place, length, body, 0 if kind == Kind.START else 1, "")
            place += length
