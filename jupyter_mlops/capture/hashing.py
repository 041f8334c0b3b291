"""Digests of content, each piece of memory hashed once in one capture.

A digest is kept only while the capture runs and its memory lives: the next capture reads every byte again, because
an array changes in place without anybody being told.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

from blake3 import blake3

from jupyter_mlops.capture.limits import Progress, Watch
from jupyter_mlops.capture.spans import Span, span_of
from jupyter_mlops.schema.snapshots import BUFFER_THRESHOLD

PIECE = 64 * 2**20
"""Bytes hashed at a time, so that progress shows and Ctrl-C is heard in between."""


class Digests:
    """BLAKE3 digests of memory, by address range.

    Parameters
    ----------
    progress:
        Told how many bytes are hashed.
    watch:
        Is told that it goes on.
    """

    def __init__(self, progress: Progress | None = None, watch: Watch | None = None) -> None:
        self.total = 0
        """How many bytes there will be."""
        self.hashed = 0
        self._progress = progress
        self._watch = watch
        self._known: dict[Span, tuple[str, Callable[[], Any]]] = {}

    def of(self, content: memoryview) -> str:
        """Digest of a buffer's bytes, in hex.

        Parameters
        ----------
        content:
            One-dimensional and contiguous.
        """
        if content.nbytes < BUFFER_THRESHOLD:
            return digest(content)
        span = span_of(content)
        known = self._known.get(span)
        if known is not None and known[1]() is not None:
            return known[0]
        found = self._hash(content)
        self._known[span] = found, _holder(content)
        return found

    def _hash(self, content: memoryview) -> str:
        hasher = blake3(max_threads=blake3.AUTO)
        for start in range(0, content.nbytes, PIECE):
            piece = content[start : start + PIECE]
            hasher.update(piece)
            if self._watch is not None:
                self._watch.beats += 1
            self.hashed += piece.nbytes
            if self._progress is not None:
                self._progress("hashing", self.hashed, max(self.total, self.hashed))
        return hasher.hexdigest()


def _holder(content: memoryview) -> Callable[[], Any]:
    """Tells whether the memory still belongs to the object it belonged to; another one may get its address."""
    owner = content.obj
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        base = numpy.ndarray.base.__get__
        while issubclass(type(owner), numpy.ndarray) and issubclass(type(base(owner)), numpy.ndarray):
            owner = base(owner)
    try:
        return weakref.ref(owner)
    except TypeError:
        return lambda: owner


def digest(content: memoryview) -> str:
    """BLAKE3 of bytes, in hex."""
    return blake3(content, max_threads=blake3.AUTO).hexdigest()


def digest_of_file(path: Path) -> str:
    """BLAKE3 of a file's bytes, in hex; the file is mapped, not read."""
    return blake3(max_threads=blake3.AUTO).update_mmap(path).hexdigest()
