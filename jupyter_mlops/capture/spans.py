"""Ranges of memory: how much several of them cover together, and which of them meet."""

from __future__ import annotations

import ctypes
import sys
from bisect import bisect_right
from collections.abc import Iterable
from typing import Any

Span = tuple[int, int]
"""First address, and the one after the last."""


def union(spans: Iterable[Span]) -> int:
    """Bytes that the ranges cover, each counted once.

    Parameters
    ----------
    spans:
        In any order.
    """
    covered, end = 0, 0
    for low, high in sorted(spans):
        covered += max(high - max(low, end), 0)
        end = max(end, high)
    return covered


def clusters(spans: Iterable[tuple[Span, Any]]) -> list[tuple[Span, list[Any]]]:
    """Put together what overlaps.

    Parameters
    ----------
    spans:
        Ranges, each with what it belongs to.

    Returns
    -------
    list of tuple of Span and list
        Ranges that do not overlap, each with all that lies in it.
    """
    found: list[tuple[Span, list[Any]]] = []
    for (low, high), owner in sorted(spans, key=lambda one: one[0]):
        if found and low < found[-1][0][1]:
            (start, end), owners = found[-1]
            owners.append(owner)
            found[-1] = ((start, max(end, high)), owners)
        else:
            found.append(((low, high), [owner]))
    return found


def located(wanted: list[list[Span]], places: list[Span]) -> list[set[int]]:
    """Find in which of the places each of the wanted ranges lies.

    Parameters
    ----------
    wanted:
        Lists of ranges. A range that lies in no place was memory made for one look only; it is found by its size.
    places:
        Ranges.

    Returns
    -------
    list of set of int
        For each list, indexes into the places.
    """
    order = sorted(range(len(places)), key=places.__getitem__)
    lows = [places[index][0] for index in order]
    found: list[set[int]] = []
    lost: list[tuple[int, int]] = []
    for number, spans in enumerate(wanted):
        found.append(set())
        for low, high in spans:
            nearest = bisect_right(lows, low) - 1
            if nearest >= 0 and high <= places[order[nearest]][1]:
                found[number].add(order[nearest])
            else:
                lost.append((number, high - low))
    free = [index for index in range(len(places)) if not any(index in one for one in found)] if lost else []
    for number, size in lost:
        match = next((index for index in free if places[index][1] - places[index][0] == size), None)
        if match is not None:
            found[number].add(match)
            free.remove(match)
    return found


def span_of(view: memoryview) -> Span:
    """Where the bytes of a contiguous buffer lie.

    Parameters
    ----------
    view:
        One-dimensional bytes.
    """
    if view.nbytes == 0:
        return (0, 0)
    if "numpy" in sys.modules:
        import numpy as np

        low = int(np.frombuffer(view, np.uint8).__array_interface__["data"][0])
    else:
        low = _address(view)
    return (low, low + view.nbytes)


class _Buffer(ctypes.Structure):
    """The start of CPython's `Py_buffer`, with room for the rest of it."""

    _fields_ = (("buf", ctypes.c_void_p), ("rest", ctypes.c_char * 256))


def _address(view: memoryview) -> int:
    buffer = _Buffer()
    pointer = ctypes.byref(buffer)
    ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(view), pointer, 0)
    try:
        return buffer.buf or 0
    finally:
        ctypes.pythonapi.PyBuffer_Release(pointer)
