"""Several calls of a batchable service as one: each member gets its own share."""

from __future__ import annotations

from typing import Any


def split(columns: list[list[Any]], names: list[str], rows: tuple[int, ...]) -> list[dict[str, Any]]:
    """Give each member its rows' outputs: lists, or plain values to who sent a single row (-1)."""
    shares = []
    start = 0
    for count in rows:
        end = start + abs(count)
        if count < 0:
            shares.append({name: column[start] for name, column in zip(names, columns, strict=True)})
        else:
            shares.append({name: column[start:end] for name, column in zip(names, columns, strict=True)})
        start = end
    return shares
