"""The objects of a snapshot, from its one pickle stream and its mapped buffers."""

from __future__ import annotations

import mmap
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import IO, Any

MAIN_REFERENCE = ("main",)
"""Persistent id under which a stream names the namespace that its functions share."""

CODE_REFERENCE = "code"
"""First part of the persistent id that stands for the class of code objects; the second is Python's `3.11`."""

BYTES_REFERENCE = "bytes"
"""First part of the persistent id of large bytes, which are a buffer; then a number, and whether they may change."""

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
"""This Python, as far as compiled functions depend on it."""

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
        unpickler = _Unpickler(file, _mapped(buffers))
        unpickler.main = sys.modules["__main__"].__dict__ if namespace is None else namespace
        objects: dict[str, Any] = unpickler.load()
    return objects


class OtherPython(pickle.UnpicklingError):
    """The snapshot holds compiled functions of another Python; the message says of which one."""


class _Unpickler(pickle.Unpickler):
    main: dict[str, Any]

    def __init__(self, file: IO[bytes], buffers: Iterator[mmap.mmap]) -> None:
        super().__init__(file, buffers=buffers)
        self._buffers = buffers  # the same iterator: large bytes stand in it in their turn
        self._bytes: dict[int, bytes | bytearray] = {}

    def persistent_load(self, pid: Any) -> Any:
        match pid:
            case _ if pid == MAIN_REFERENCE:
                return self.main
            case (kind, version) if kind == CODE_REFERENCE:
                return _code_class(version)
            case (kind, number, changes) if kind == BYTES_REFERENCE:
                if number not in self._bytes:
                    with next(self._buffers) as content:
                        self._bytes[number] = bytearray(content) if changes else content[:]
                return self._bytes[number]
            case _:
                raise pickle.UnpicklingError(f"unknown reference {pid!r}")


def _code_class(version: str) -> type[CodeType]:
    if version != PYTHON:
        raise OtherPython(
            f"it holds functions compiled by Python {version}, and {sys.executable} is Python {PYTHON}, which cannot "
            f"run them; use an interpreter of Python {version}, or capture it again with Python {PYTHON}"
        )
    return CodeType


def _mapped(paths: tuple[str, ...]) -> Iterator[mmap.mmap]:
    """Map each buffer privately: writable for the function, shared between kernels until written."""
    for path in paths:
        with Path(path).open("rb") as file:
            yield mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
