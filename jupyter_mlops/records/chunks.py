"""Checked records on their way from a file to whoever stores or runs them, some at a time."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

CHUNK_ROWS = 10_000
CHUNK_BYTES = 4 * 2**20

Column: TypeAlias = "list[Any] | array[Any]"
"""Wire values; an `array` of 64-bit floats or whole numbers where the file had them so, and none is missing."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some records that follow one another, as checked wire values, by column.

    `first` is the place of the first one among all records, from 0; `size` is about how many bytes they had in the
    file.
    """

    first: int
    count: int
    columns: Mapping[str, Column]
    size: int

    def rows(self) -> Iterator[dict[str, Any]]:
        """The records, one dict of inputs each."""
        names = tuple(self.columns)
        if not names:
            return iter([{} for _ in range(self.count)])
        return (dict(zip(names, row, strict=True)) for row in zip(*self.columns.values(), strict=True))


def cut(pieces: Iterable[Chunk], rows: int = CHUNK_ROWS, size: int = CHUNK_BYTES) -> Iterator[Chunk]:
    """The same records in chunks of one length, but for the last; of fewer where records are large.

    Parameters
    ----------
    pieces:
        Chunks in their order, of any length.
    rows:
        Records of a chunk.
    size:
        About how many bytes make a chunk full before that.
    """
    first = count = 0
    weight = 0.0
    columns: dict[str, Column] = {}
    for piece in pieces:
        start = 0
        each = piece.size / max(piece.count, 1)
        while start < piece.count:
            room = max(1, int((size - weight) / each)) if each else rows
            take = min(rows - count, piece.count - start, room)
            if take == piece.count and not count:
                columns = dict(piece.columns)
            elif count:
                for name, values in piece.columns.items():
                    columns[name] = _joined(columns[name], values[start : start + take])
            else:
                columns = {name: values[start : start + take] for name, values in piece.columns.items()}
            start, count, weight = start + take, count + take, weight + take * each
            if count == rows or weight + each > size:
                yield Chunk(first, count, columns, int(weight))
                first, count, weight, columns = first + count, 0, 0.0, {}
    if count:
        yield Chunk(first, count, columns, int(weight))


def _joined(before: Column, after: Column) -> Column:
    if type(before) is not type(after):
        return [*before, *after]
    before += after  # type: ignore[operator]  # they are of one type
    return before
