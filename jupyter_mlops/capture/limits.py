"""Time limits for code of the user's objects, which runs while they are pickled and may hang.

In the main thread of a program on Linux or macOS, as in a notebook's kernel, the limit is a timer signal: it ends
loops, sleeps and waits for locks. Elsewhere, in other threads and on Windows, another thread raises the exception:
it ends loops of Python code, but a single call into C only when that returns. Code that swallows every
exception in a loop without end, or that never leaves a C function, is stopped by neither; nothing inside one
process can stop it.
"""

from __future__ import annotations

import ctypes
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

from jupyter_mlops.errors import MLOpsError

T = TypeVar("T")

CAPTURE_SECONDS = 30.0
"""How long one object may keep its snapshot waiting; a capture goes on as long as objects are written."""

SURVEY_SECONDS = 5.0
"""The same for one variable of a survey, in all."""

LOOK_SECONDS = 3.0
"""How long a look at one variable may take, which asks its objects nothing."""

LIMIT_OF_ALL = 40
"""A name may take this many times the limit of one object."""


class TookTooLong(MLOpsError):
    """The object's own code ran longer than it may."""

    def __init__(self, message: str = "", *, stalled: bool = True) -> None:
        super().__init__(message)
        self.stalled = stalled
        """Whether nothing happened for too long; False when it went on, and on."""


class _TimeUp(BaseException):
    """Raised in the middle of the object's code; not an Exception, which it might catch."""


class Watch:
    """Ends a call in which nothing happens for too long.

    Parameters
    ----------
    seconds:
        How long it may go on without a `beat`.
    total:
        How long it may go on in all, in seconds; None for 40 times as long.
    """

    def __init__(self, seconds: float, total: float | None = None) -> None:
        self.seconds = seconds
        self.total = seconds * LIMIT_OF_ALL if total is None else total
        self.beats = 0
        """Counted up by what makes progress."""
        self._seen = -1
        self._since = 0.0
        self._end = 0.0
        self._limit = seconds
        self._running = False
        self._armed = False

    def run(self, call: Callable[[], T], at_least: float = 0.0) -> T:
        """Call, and return its result.

        Parameters
        ----------
        call:
            Takes nothing.
        at_least:
            Seconds that it may take in any case, in all and without a `beat`.

        Raises
        ------
        TookTooLong
            When the time is up.
        """
        if self._running:  # an outer call of the same watch limits this one too
            return call()
        with self.armed():
            self._seen, self._since = self.beats, time.monotonic()
            self._limit = max(self.seconds, at_least)
            total = max(self.total, at_least)
            self._end = self._since + total
            self._running = True
            try:
                return call()
            except _TimeUp:
                self._running = False
                stalled = time.monotonic() < self._end or total <= self._limit
                limit = self._limit if stalled else total
                raise TookTooLong(f"it took longer than {limit:g} seconds", stalled=stalled) from None
            finally:
                self._running = False

    @contextmanager
    def armed(self) -> Iterator[None]:
        """Make ready for many calls, each of which is limited by itself."""
        if self._armed:
            yield
            return
        self._armed = True
        try:
            with self._by_signal() if _signals_work() else self._by_thread():
                yield
        finally:
            self._armed = False

    def _strikes(self) -> bool:
        return self._running and self._is_up()

    def _is_up(self) -> bool:
        now = time.monotonic()
        if self.beats != self._seen:
            self._seen, self._since = self.beats, now
        return now >= self._end or now - self._since >= self._limit

    def _every(self) -> float:
        # It strikes again and again: the object's code may swallow the first one.
        return max(min(self.seconds, self.total) / 4, 0.005)

    @contextmanager
    def _by_signal(self) -> Iterator[None]:
        def strike(_: int, __: FrameType | None) -> None:
            if self._strikes():
                raise _TimeUp

        before = signal.signal(signal.SIGALRM, strike)
        left, interval = signal.setitimer(signal.ITIMER_REAL, self._every(), self._every())
        started = time.monotonic()
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
            if left:  # a timer of the user's own goes on
                signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - started), 0.001), interval)

    @contextmanager
    def _by_thread(self) -> Iterator[None]:
        target = threading.get_ident()
        ended = threading.Event()

        def wait() -> None:
            while not ended.wait(self._every()):
                if self._strikes():
                    _raise_in(target, _TimeUp)

        threading.Thread(target=wait, name="capture time limit", daemon=True).start()
        try:
            yield
        finally:
            ended.set()
            _raise_in(target, None)  # one that came too late is not raised any more


def _signals_work() -> bool:
    return hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()


def _raise_in(thread: int, kind: type[BaseException] | None) -> None:
    raised = ctypes.py_object() if kind is None else ctypes.py_object(kind)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), raised)


def guarded(call: Callable[[], T], seconds: float, default: T) -> T:
    """Call code that may raise or hang, and return its result, or a default.

    Parameters
    ----------
    call:
        Takes nothing.
    seconds:
        How long it may take.
    default:
        What stands for a result that did not come.
    """
    try:
        return Watch(seconds, seconds).run(call)
    # It is somebody's own code, and a look at it is worth no error.
    except Exception:  # noqa: BLE001
        return default


Progress = Callable[[str, int, int], Any]
"""Told how far a long step is: what it does, how much is done, and of how much in all."""
