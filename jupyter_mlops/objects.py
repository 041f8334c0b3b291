"""The objects of a snapshot, from its one pickle stream and its mapped buffers."""

from __future__ import annotations

import mmap
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MAIN_REFERENCE = ("main",)
"""Persistent id under which a stream names the namespace that its functions share."""

_loaded: dict[str, dict[str, Any]] = {}


def load_objects(stream: str, buffers: tuple[str, ...]) -> dict[str, Any]:
    """Load a snapshot's objects by name; what a template has loaded before a fork is not loaded again.

    Parameters
    ----------
    stream:
        Path of the pickle stream.
    buffers:
        Paths of its out-of-band buffers, in order.
    """
    if stream not in _loaded:
        _loaded[stream] = read_objects(stream, buffers)
    return _loaded[stream]


def read_objects(stream: str, buffers: tuple[str, ...], namespace: dict[str, Any] | None = None) -> dict[str, Any]:
    """Load a snapshot's objects by name, new ones each time.

    Parameters
    ----------
    stream, buffers:
        As of `load_objects`.
    namespace:
        What functions shall have as their globals; `__main__`'s by default.
    """
    with Path(stream).open("rb") as file:
        unpickler = _Unpickler(file, buffers=_mapped(buffers))
        unpickler.main = sys.modules["__main__"].__dict__ if namespace is None else namespace
        objects: dict[str, Any] = unpickler.load()
    return objects


class _Unpickler(pickle.Unpickler):
    main: dict[str, Any]

    def persistent_load(self, pid: Any) -> Any:
        if pid == MAIN_REFERENCE:
            return self.main
        raise pickle.UnpicklingError(f"unknown reference {pid!r}")


def _mapped(paths: tuple[str, ...]) -> Iterator[mmap.mmap]:
    """Map each buffer privately: writable for the function, shared between kernels until written."""
    for path in paths:
        with Path(path).open("rb") as file:
            yield mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
