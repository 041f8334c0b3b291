"""Rows of a batch that have no result yet, as spans between two indices."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Sequence

from jupyter_mlops.chunks import Chunk


def gaps(total: int, done: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The spans of a batch that no recorded one covers.

    Parameters
    ----------
    total:
        Rows of the batch.
    done:
        First row and number of rows of what is recorded, in order.
    """
    found = []
    at = 0
    for first, count in done:
        if first > at:
            found.append((at, first))
        at = max(at, first + count)
    if at < total:
        found.append((at, total))
    return found


class Spans:
    """Hands out rows, lowest first, never across the border of a chunk.

    Parameters
    ----------
    chunks:
        The chunks of the batch, in order.
    spans:
        Pairs of the first index and the one after the last.
    """

    def __init__(self, chunks: Sequence[Chunk], spans: Iterable[tuple[int, int]]) -> None:
        self._chunks = chunks
        self._starts = [chunk.first for chunk in chunks]
        self._spans = sorted(spans)
        self._later: list[tuple[int, int]] = []

    def left(self) -> int:
        """How many rows there are."""
        return sum(stop - first for spans in (self._spans, self._later) for first, stop in spans)

    def __bool__(self) -> bool:
        return bool(self._spans or self._later)

    def take(self, most: int) -> tuple[Chunk, int, int]:
        """The next rows: their chunk, the first index and the one after the last.

        Parameters
        ----------
        most:
            How many, at most.
        """
        spans = self._spans or self._later
        first, stop = spans.pop(0)
        chunk = self._chunks[bisect_right(self._starts, first) - 1]
        end = min(stop, chunk.first + chunk.count, first + most)
        if end < stop:
            spans.insert(0, (end, stop))
        return chunk, first, end

    def give_back(self, first: int, stop: int, *, later: bool = False) -> None:
        """Take rows back that have no result; with `later`, after all others."""
        if first < stop and later:
            self._later.append((first, stop))
        elif first < stop:
            insort(self._spans, (first, stop))
