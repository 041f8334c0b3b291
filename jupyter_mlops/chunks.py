"""The inputs of a batch on disk: rows in chunks, whose borders are fixed when the batch is submitted.

A chunk is MessagePack: a map of columns. A column of floats or of whole numbers, none of them missing, is packed as
the machine holds it, so that neither end makes an object of every value. Columns of outputs are packed alike.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

ROWS = 25_000
"""Most rows of one chunk."""
BYTES = 4 * 2**20
"""Bytes of input after which a chunk ends, however few its rows."""

_TYPES = {1: "d", 2: "q"}
"""Codes of packed columns, and what the module `array` calls their values."""
_FLOAT, _INTEGER = _TYPES


class Chunk(msgspec.Struct, frozen=True, array_like=True):
    """Some rows that follow one another, and where they lie in the file of a batch's inputs."""

    first: int
    """Index of its first row in the batch."""
    count: int
    offset: int
    length: int


def pack_columns(columns: Mapping[str, Any]) -> bytes:
    """Pack columns of one length.

    Parameters
    ----------
    columns:
        Name to a list of wire values, or to a contiguous buffer of 64-bit floats or signed integers, such as a
        numpy array of them.
    """
    return _ENCODER.encode({name: _packed(column) for name, column in columns.items()})


def unpack_columns(data: bytes | memoryview, make: Callable[[int, memoryview], Any] | None = None) -> dict[str, Any]:
    """Columns as `pack_columns` got them.

    Parameters
    ----------
    data:
        What it returned.
    make:
        What becomes of a packed column: a list, or by `as_numpy` an array.
    """
    return msgspec.msgpack.decode(data, type=dict[str, Any], ext_hook=make or as_list)


def as_list(code: int, data: memoryview) -> list[Any]:
    """The values of a packed column, for `unpack_columns`."""
    values = array(_TYPES[code])
    values.frombytes(data)
    return values.tolist()


def as_numpy(code: int, data: memoryview) -> Any:
    """The values of a packed column as a numpy array, for `unpack_columns`; only kernels have numpy."""
    import numpy as np

    return np.frombuffer(data, dtype="f8" if code == _FLOAT else "i8")


def _packed(column: Any) -> Any:
    """A column as it is encoded: as the machine holds it, when that is possible, else as a list."""
    if not isinstance(column, list):
        view = memoryview(column)
        return msgspec.msgpack.Ext(_FLOAT if view.format == "d" else _INTEGER, view.cast("B").tobytes())
    kinds = set(map(type, column))
    try:
        if kinds == {float}:
            return msgspec.msgpack.Ext(_FLOAT, array("d", column).tobytes())
        if kinds == {int}:
            return msgspec.msgpack.Ext(_INTEGER, array("q", column).tobytes())
    except OverflowError:  # a number of more than 64 bits
        pass
    return column


_ENCODER = msgspec.msgpack.Encoder()
