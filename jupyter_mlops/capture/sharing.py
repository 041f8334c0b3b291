"""Arrays on common memory: views of one array, blocks of frames. Pickle alone would make each its own."""

from __future__ import annotations

import ctypes
import functools
import sys
import weakref
from dataclasses import dataclass
from typing import Any

from jupyter_mlops import arrays
from jupyter_mlops.capture.spans import Span, clusters
from jupyter_mlops.schema.snapshots import BUFFER_THRESHOLD

WASTE = 2
"""A lone view goes along with the memory between its items when that is at most so many times its own."""

_KINDS = ("ndarray", "memmap", "matrix", "recarray")


@dataclass(frozen=True)
class _Memory:
    """Memory that several arrays use: one array of bytes that stands for it in the stream."""

    base: Any
    low: int
    users: tuple[Any, ...]
    """The arrays, held so that the memory stays."""


class Arrays:
    """Meets the arrays of a capture, and finds which of them share memory."""

    def __init__(self) -> None:
        self._met: dict[int, tuple[weakref.ref[Any], Span]] = {}
        self._shared: dict[int, _Memory] = {}

    def meet(self, array: Any) -> None:
        """Note an array while all names are measured; one that is made for pickling only is forgotten when it goes."""
        key = id(array)
        if key not in self._met and array.size:
            self._met[key] = weakref.ref(array, lambda _: self._met.pop(key, None)), bounds(array)

    def settle(self) -> None:
        """Decide, after all were met, which arrays go along as views of common memory."""
        alive = [(span, array) for reference, span in list(self._met.values()) if (array := reference()) is not None]
        for (low, high), users in clusters(alive):
            if len(users) > 1:
                memory = _Memory(_bytes_at(low, high - low, users), low, tuple(users))
                self._shared |= {id(array): memory for array in users}

    def reduce(self, array: Any) -> Any:
        """How an array is written; `NotImplemented` for numpy's own way."""
        import numpy as np

        memory = self._shared.get(id(array))
        if memory is not None:
            return _view(array, memory.base, memory.low)
        if array.nbytes < BUFFER_THRESHOLD or _has_a_way(array):
            return NotImplemented
        low, high = bounds(array)
        if high - low <= array.nbytes * WASTE:
            return _view(array, _bytes_at(low, high - low, [array]), low)
        copied = np.ascontiguousarray(np.ndarray.view(array, np.ndarray))
        return _view(array, copied.reshape(-1).view(np.uint8), bounds(copied)[0], copied)


PANDAS_INSIDES = frozenset({"pandas.core.internals.blocks", "pandas.core.internals.managers", "pandas._libs.internals"})
"""Modules of the objects that `reduce_pandas` is for."""


def is_plain_array(obj: Any, kind: type) -> bool:
    """Whether it is an array of numpy's own classes, whose items are not Python objects.

    Parameters
    ----------
    obj:
        Any object.
    kind:
        Its type.
    """
    # By id: a class may have a metaclass with a hash of its own.
    return "numpy" in sys.modules and id(kind) in _array_kinds() and not obj.dtype.hasobject


@functools.cache
def _array_kinds() -> frozenset[int]:
    import numpy as np

    return frozenset(id(getattr(np, name)) for name in _KINDS)


def bounds(array: Any) -> Span:
    """The range of addresses that an array's items lie in."""
    low = high = array.__array_interface__["data"][0]
    for length, stride in zip(array.shape, array.strides, strict=True):
        reach = (length - 1) * stride
        low, high = low + min(reach, 0), high + max(reach, 0)
    return low, high + array.itemsize


def reduce_pandas(obj: Any, kind: type) -> Any:
    """How a block of a frame is written when other frames use its values too; `NotImplemented` when not so.

    pandas copies shared values when one of the frames is changed; it knows them by an object of their references.

    Parameters
    ----------
    obj:
        An object of pandas' insides.
    kind:
        Its type.
    """
    if kind.__name__ == "BlockValuesRefs":
        return kind, ()
    if kind.__name__ == "SingleBlockManager":
        (block,) = obj.blocks
        return (kind, (block, obj.axes[0])) if _is_shared(block) else NotImplemented
    if not _is_shared(obj):
        return NotImplemented
    make, arguments = obj.__reduce_ex__(5)[:2]
    # pandas copies a view with gaps when it is pickled; its own values are what is shared.
    return arrays.same_block, (make, (obj.values, *arguments[1:]), obj.refs)


def _has_a_way(array: Any) -> bool:
    """Whether numpy itself hands out the array's memory; it copies views with gaps, dates and subclasses."""
    import numpy as np

    buffer: Any = array
    if type(array) is not np.ndarray or not array.flags.forc:
        return False
    try:
        memoryview(buffer)
    except (ValueError, BufferError):
        return False
    return True


def _is_shared(block: Any) -> bool:
    references: Any = getattr(block, "refs", None)
    return type(references).__name__ == "BlockValuesRefs" and bool(references.has_reference())


def _view(array: Any, base: Any, low: int, layout: Any = None) -> Any:
    like = array if layout is None else layout
    offset = like.__array_interface__["data"][0] - low
    arguments = base, array.dtype, array.shape, like.strides, offset, type(array), bool(array.flags.writeable)
    return arrays.view, arguments


def _bytes_at(low: int, size: int, users: list[Any]) -> Any:
    """Memory as an array of bytes; who uses it must be held as long as it is used."""
    import numpy as np

    held: Any = (ctypes.c_ubyte * size).from_address(low)
    held.users = users  # the array of bytes holds this, and this the memory's owners
    return np.frombuffer(held, np.uint8)
