"""Digests of content, each piece of memory hashed once in one capture.

A digest is kept only while the capture runs and its memory lives: the next capture reads every byte again, because
an array changes in place without anybody being told.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from blake3 import blake3

from jupyter_mlops.capture.limits import Progress, Watch
from jupyter_mlops.capture.spans import Span, span_of
from jupyter_mlops.schema.snapshots import BUFFER_THRESHOLD

PIECE = 64 * 2**20
"""Bytes hashed at a time, so that progress shows and Ctrl-C is heard in between."""


AHEAD = 2**20
"""Bytes from which an array is hashed ahead."""

_TICK = 0.1


class Digests:
    """BLAKE3 digests of memory, by address range.

    Memory that is sure to be needed can be hashed ahead, in a thread, while small objects are still being pickled.

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
        self._ahead: dict[Span, Future[str]] = {}
        self._thread: ThreadPoolExecutor | None = None
        self._stopped = False
        self._owner = threading.get_ident()

    def begin(self, value: Any) -> None:
        """Begin to hash a value that will be asked for by and by, if it is a large array that owns its memory.

        Parameters
        ----------
        value:
            Any object.
        """
        numpy = sys.modules.get("numpy")
        if numpy is None or type(value) is not numpy.ndarray or value.dtype.hasobject:
            return
        if value.nbytes < AHEAD or not (value.flags.owndata and value.flags.forc):
            return
        content = memoryview(value.reshape(-1, order="A").view(numpy.uint8))
        span = span_of(content)
        if span not in self._ahead:
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, thread_name_prefix="hashing")
            self._ahead[span] = self._thread.submit(self._hash, content)

    def close(self) -> None:
        """Stop hashing ahead, also in the middle of it."""
        self._stopped = True
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)
        self._ahead.clear()

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
        found = self._awaited(span) or self._hash(content)
        self._known[span] = found, _holder(content)
        return found

    def _awaited(self, span: Span) -> str:
        """What was hashed ahead; empty when nothing was, or it has not begun."""
        ahead = self._ahead.pop(span, None)
        if ahead is None or ahead.cancel():
            return ""
        while True:
            try:
                return ahead.result(_TICK)
            except TimeoutError:
                self._go_on()

    def _hash(self, content: memoryview) -> str:
        mine = threading.get_ident() == self._owner
        hasher = blake3(max_threads=blake3.AUTO)
        for start in range(0, content.nbytes, PIECE):
            if self._stopped:
                break
            piece = content[start : start + PIECE]
            hasher.update(piece)
            self.hashed += piece.nbytes
            if mine:
                self._go_on()
        return hasher.hexdigest()

    def _go_on(self) -> None:
        if self._watch is not None:
            self._watch.beats += 1
        if self._progress is not None:
            self._progress("hashing", self.hashed, max(self.total, self.hashed))


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
