"""The recorded rows of a batch, read from its files, as JSON lines and in Machine Learning Server's shape."""

from __future__ import annotations

import base64
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from jupyter_mlops.chunks import unpack_columns
from jupyter_mlops.recording import Frame, Kind, frames
from jupyter_mlops.schema.base import Wire
from jupyter_mlops.server.managers.batch_harvest import failure
from jupyter_mlops.server.stores.batch_files import BatchFiles
from jupyter_mlops.server.stores.batches import Recorded, Try

PIECE = 256 * 1024

_PLAIN = b'"success":true,"errorMessage":"","consoleOutput":"","changedFiles":[],"outputFiles":{},"outputParameters":'
WAITING = failure("this item has not been processed yet")
"""Stands where a result will be, so that the others are in their places."""


class Row(NamedTuple):
    """One row that has a result."""

    place: int
    """Its index in the batch."""
    body: bytes
    """JSON of its `WebServiceResult`, without the opening brace."""
    seconds: float


class Attempts:
    """Which attempt each row's result came from.

    Parameters
    ----------
    tries:
        The tries that came to nothing.
    """

    def __init__(self, tries: Sequence[Try]) -> None:
        changes: dict[int, int] = {}
        for one in tries:
            changes[one.first] = changes.get(one.first, 0) + 1
            changes[one.first + one.count] = changes.get(one.first + one.count, 0) - 1
        self._at = sorted(changes)
        self._counts: list[int] = []
        count = 0
        for at in self._at:
            count += changes[at]
            self._counts.append(count)

    def of(self, row: int) -> int:
        """The number of a row's attempt, from 1."""
        place = bisect_right(self._at, row) - 1
        return 1 if place < 0 else 1 + self._counts[place]


def rows(files: BatchFiles, batch: str, recorded: Sequence[Recorded], first: int, stop: int) -> Iterator[Row]:
    """Read rows that are recorded.

    Parameters
    ----------
    files, batch:
        Whose.
    recorded:
        Where they lie, in the order in which they are given.
    first, stop:
        Index of the first row, and the one after the last.
    """
    for one in recorded:
        yield from _rows(files.results(batch, one.file), one, first, stop)


def _rows(path: Path, one: Recorded, first: int, stop: int) -> Iterator[Row]:
    row = one.first
    written: list[Frame] = []
    for found in frames(path, one.offset, one.offset + one.length):
        if row >= stop:
            return
        if found.kind == Kind.ARTIFACT:
            written.append(found)
            continue
        if row + found.rows > first:
            if found.kind == Kind.PLAIN:
                yield Row(row, _PLAIN + found.body + b"}", found.seconds)
            elif found.kind == Kind.COLUMNS:
                yield from _column_rows(found, row, first, stop)
            else:
                body = found.body
                yield Row(row, (_with_files(body, path, written) if written else body)[1:], found.seconds)
        written.clear()
        row += found.rows


def _column_rows(found: Frame, row: int, first: int, stop: int) -> Iterator[Row]:
    columns = unpack_columns(found.body)
    begin, end = max(first - row, 0), min(stop - row, found.rows)
    parts = [values[begin:end] for values in columns.values()]
    names = tuple(columns)
    each = found.seconds / found.rows
    for number in range(end - begin):
        outputs = {name: part[number] for name, part in zip(names, parts, strict=True)}
        yield Row(row + begin + number, _PLAIN + _ENCODE(outputs) + b"}", each)


def _with_files(body: bytes, path: Path, written: Sequence[Frame]) -> bytes:
    """A result with the content of its artifacts."""
    parts = _DECODER.decode(body)
    contents = dict(parts.output_files)
    with path.open("rb") as file:
        for one in written:
            file.seek(one.place)
            contents[one.name] = base64.b64encode(file.read(one.length)).decode()
    return _ENCODE(msgspec.structs.replace(parts, output_files=contents))


def lines(found: Iterator[Row], attempts: Attempts) -> Iterator[bytes]:
    """Rows as JSON, one on each line.

    Parameters
    ----------
    found:
        The rows.
    attempts:
        Which attempt each came from.
    """
    return (
        b'{"index":%d,%b,"attempt":%d,"seconds":%.6g}\n'
        % (row.place, row.body[:-1], attempts.of(row.place), row.seconds)
        for row in found
    )


def elements(found: Iterator[Row], first: int, stop: int, missing: bytes = WAITING) -> Iterator[bytes]:
    """Rows as the elements of a JSON array, each at its place; for rows without a result others stand.

    Parameters
    ----------
    found:
        The rows, in their order.
    first, stop:
        Index of the first element, and the one up to which there are elements in any case.
    missing:
        What stands for a row without a result.
    """
    at = first
    comma = b""
    for row in found:
        for _ in range(row.place - at):
            yield comma + missing
            comma = b","
        yield comma + b"{" + row.body
        comma = b","
        at = row.place + 1
    for _ in range(at, stop):
        yield comma + missing
        comma = b","


def pieces(parts: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in larger pieces."""
    waiting: list[bytes] = []
    size = 0
    for part in parts:
        waiting.append(part)
        size += len(part)
        if size > PIECE:
            yield b"".join(waiting)
            waiting.clear()
            size = 0
    if waiting:
        yield b"".join(waiting)


def input_lines(path: Path, chunks: Sequence[Any], first: int, stop: int) -> Iterator[bytes]:
    """Rows of inputs as JSON, one on each line.

    Parameters
    ----------
    path:
        The file of a batch's inputs.
    chunks:
        The chunks in it.
    first, stop:
        Index of the first row, and the one after the last.
    """
    with path.open("rb") as file:
        for chunk in chunks:
            if chunk.first >= stop or chunk.first + chunk.count <= first:
                continue
            file.seek(chunk.offset)
            columns = unpack_columns(file.read(chunk.length))
            begin, end = max(first - chunk.first, 0), min(stop - chunk.first, chunk.count)
            if not columns:
                yield b"{}\n" * (end - begin)
                continue
            names = tuple(columns)
            for values in zip(*(column[begin:end] for column in columns.values()), strict=True):
                yield _ENCODE(dict(zip(names, values, strict=True))) + b"\n"


class _Parts(Wire, frozen=True):
    """A `WebServiceResult` of which only the artifacts are looked at."""

    success: msgspec.Raw
    error_message: msgspec.Raw
    console_output: msgspec.Raw
    changed_files: msgspec.Raw
    output_files: dict[str, str | None]
    output_parameters: msgspec.Raw


_ENCODE = msgspec.json.Encoder().encode
_DECODER = msgspec.json.Decoder(_Parts)
