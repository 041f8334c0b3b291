"""What a file of results holds after a slice: rows that are whole, which of them failed, and what they wrote."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from jupyter_mlops.recording import Kind, frames, started
from jupyter_mlops.schema.executions import WebServiceResult
from jupyter_mlops.server.stores.batches import Located

MESSAGE_LIMIT = 300
"""Characters of an error that rows are grouped by."""

_FAILURES = {Kind.FAILED, Kind.STOPPED}


class _Error(msgspec.Struct, rename="camel"):
    """Of a result only this."""

    error_message: str


_DECODER = msgspec.json.Decoder(_Error)


@dataclass
class Harvest:
    """The whole rows of one slice."""

    first: int
    offset: int
    """Where their frames begin."""
    end: int
    """Where they end."""
    count: int = 0
    seconds: float = 0.0
    failures: dict[int, str] = field(default_factory=dict)
    artifacts: list[Located] = field(default_factory=list)


def harvest(path: Path, number: int, offset: int, first: int, most: int, *, cancelled: bool) -> Harvest:
    """Read what a runner has written of a slice.

    Parameters
    ----------
    path, number:
        The file of results, and its number.
    offset:
        Where the slice begins in it.
    first, most:
        Index of the slice's first row, and the number of its rows.
    cancelled:
        Whether a row that was interrupted is none: it was not at its deadline.
    """
    found = Harvest(first, offset, offset)
    written: list[Located] = []
    for one in frames(path, offset):
        if one.kind == Kind.START:
            if found.count or started(one.body) != first:
                break
            found.offset = found.end = one.place + one.length
            continue
        row = first + found.count
        if found.count + one.rows > most or (cancelled and one.kind == Kind.STOPPED):
            break
        if one.kind == Kind.ARTIFACT:
            written.append(Located(row, one.name, number, one.place, one.length))
            continue
        if one.kind in _FAILURES:
            found.failures[row] = _message(one.body)
        found.artifacts += written
        written = []
        found.count += one.rows
        found.seconds += one.seconds
        found.end = one.place + one.length
    return found


def leftovers(path: Path, offset: int) -> list[tuple[int, int]]:
    """Rows whose results were written and not recorded, because the server ended: first row and number of each slice.

    Parameters
    ----------
    path, offset:
        The file of results, and where what is recorded of it ends.
    """
    found: list[tuple[int, int]] = []
    for one in frames(path, offset):
        if one.kind == Kind.START:
            found.append((started(one.body), 0))
        elif found:
            found[-1] = found[-1][0], found[-1][1] + one.rows
    return [(first, count) for first, count in found if count]


def parts(path: Path, first: int, offset: int, end: int, rows: set[int]) -> list[tuple[int, int, int, int, float]]:
    """Cut what is recorded of a slice at some of its rows, which are left out.

    Parameters
    ----------
    path, offset, end:
        Where it lies.
    first:
        Index of its first row.
    rows:
        The rows to leave out.

    Returns
    -------
    list
        First row, number of rows, offset, length and seconds of each part that stays.
    """
    kept: list[tuple[int, int, int, int, float]] = []
    at, begin, row, seconds = first, offset, first, 0.0
    row_begin = offset
    for one in frames(path, offset, end):
        if one.kind == Kind.ARTIFACT:
            continue
        stop = one.place + one.length
        if row in rows:
            if row > at:
                kept.append((at, row - at, begin, row_begin - begin, seconds))
            at, begin, seconds = row + 1, stop, 0.0
        else:
            seconds += one.seconds
        row += one.rows
        row_begin = stop
    if row > at:
        kept.append((at, row - at, begin, row_begin - begin, seconds))
    return kept


def failure(message: str) -> bytes:
    """JSON of the result of a row that got no answer.

    Parameters
    ----------
    message:
        Why.
    """
    return msgspec.json.encode(WebServiceResult(success=False, error_message=message))


def _message(body: bytes) -> str:
    """What rows that failed are grouped by: the last line of the traceback, or why there was no answer."""
    lines = _DECODER.decode(body).error_message.strip().splitlines() or [""]
    return lines[-1].strip()[:MESSAGE_LIMIT]
